"""WebSockets of the blocking client: `pool.websocket(url)`, and `connect(client, path)`.

Options and errors are those of `cno.websocket`.
"""

from cno.sync.websocket.connect import connect
from cno.sync.websocket.socket import WebSocket
from cno.websocket.errors import HandshakeError, WebSocketClosed
from cno.websocket.options import Options

__all__ = ["HandshakeError", "Options", "WebSocket", "WebSocketClosed", "connect"]
