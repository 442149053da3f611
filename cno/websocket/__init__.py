"""WebSockets (RFC 6455) over a stream of HTTP/1.1 or HTTP/2 (RFC 8441), in both roles.

A handler accepts one by `request.accept_websocket()`; a pool opens one by `pool.websocket(url)`.

Masks, and the negotiation of compression, are those of the `websockets` package
(`pip install cno[ws]`); frames, flow control and timeouts are done here.
"""

from cno._description import DEBUG
from cno.strict import COMPILED
from cno.websocket.client import connect
from cno.websocket.errors import HandshakeError, WebSocketClosed
from cno.websocket.handshake import Handshake
from cno.websocket.opening import Opening
from cno.websocket.options import Options
from cno.websocket.socket import WebSocket

__all__ = [
    "Handshake",
    "HandshakeError",
    "Opening",
    "Options",
    "WebSocket",
    "WebSocketClosed",
    "connect",
]

if DEBUG and COMPILED:
    from cno._description import warn_unawaited

    warn_unawaited(WebSocket)
