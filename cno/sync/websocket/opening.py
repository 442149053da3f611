"""Opens a WebSocket over a connection of a pool: one of HTTP/2 if that will do, or of HTTP/1.1.

Must never know frames.
"""

from collections.abc import Iterable

from cno.aio.client.request_spec import completed
from cno.aio.client.urls import Target, same_server
from cno.aio.errors import BodyTooLargeError
from cno.errors import ConnectionError
from cno.pool.retries import Retries
from cno.sync.connection_pool import ConnectionPool
from cno.sync.messages import Response
from cno.sync.request_spec import RequestSpec, tunnel_request
from cno.sync.timeouts import Deadlines
from cno.sync.tunnel_opening import TunnelOpening, TunnelRequest
from cno.sync.upgrade_refused import UpgradeRefused
from cno.sync.websocket.connect import accepted
from cno.sync.websocket.socket import WebSocket
from cno.websocket.client import Offer
from cno.websocket.opening import MAX_REFUSAL, websocket_target
from cno.websocket.options import Options


class WebSocketRequest(TunnelRequest):
    """The request for a WebSocket."""

    def __init__(self, target: Target, offer: Offer) -> None:
        super().__init__(True)
        self._target = target
        self._offer = offer

    def spec(self, http2: bool) -> RequestSpec:
        target = self._target
        fields = completed(self._offer.fields(http2), target.authority, target.credentials)
        if http2:
            fields = [(":protocol", "websocket"), *fields]
            return tunnel_request("CONNECT", target.path, fields)
        fields = [*fields, ("connection", "upgrade"), ("upgrade", "websocket")]
        return RequestSpec("GET", target.path, fields, b"", None)


def open_websocket(
    pool: ConnectionPool,
    url: str,
    headers: Iterable[tuple[str, str]],
    subprotocols: Iterable[str],
    options: Options | None,
    deadlines: Deadlines,
    retries: Retries,
) -> WebSocket:
    """Open a WebSocket: see `Pool.websocket`."""
    target = websocket_target(url)
    offer = Offer(headers, subprotocols, options)
    asked = WebSocketRequest(target, offer)
    if target.scheme == "http" and pool._dialer.route.proxy_for(target) is not None:
        # > If the user configured the UA to use a proxy when using the WebSocket Protocol ... the
        # > client SHOULD connect to that proxy and ask it to open a TCP connection
        # > (RFC 6455 4.1)
        target = same_server(target, "tunnel", needs_tunnel=True)
    response = TunnelOpening(pool, target, asked, deadlines, retries).response()
    accepts = 200 <= response.code < 300 if response.is_http2 else response.code == 101
    if not accepts:
        keep_content(response)
        raise UpgradeRefused(response)
    return accepted(offer, response)


def keep_content(response: Response) -> None:
    """Read the content of a refusal, so that it can be read later, and the connection is free."""
    try:
        response.read(MAX_REFUSAL)
    except (BodyTooLargeError, ConnectionError):
        pass  # what is left of it raises the same error
    finally:
        response.cancel()  # a refused CONNECT leaves our side of its stream open
