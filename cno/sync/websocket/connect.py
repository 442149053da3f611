"""Opens a WebSocket over one connection, and takes over the stream of one that is open."""

from collections.abc import Iterable

from cno.const import CNO_RST_CANCEL
from cno.sync.client import Client
from cno.sync.messages import Response
from cno.sync.websocket.socket import WebSocket
from cno.timeouts import Timeout
from cno.websocket.client import Offer, agreed_compression, check_accept, check_subprotocol
from cno.websocket.options import Options


def connect(
    client: Client,
    path: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    *,
    subprotocols: Iterable[str] = (),
    options: Options | None = None,
    timeout: "Timeout | float | None" = None,
) -> WebSocket:
    """Open a WebSocket over a stream of this client; in HTTP/1.1 that takes its connection.

    Raises UpgradeRefused if the server answers with anything else, HandshakeError if it accepts
    something that was not offered; else as `Client.upgrade`. `timeout` is for the opening.
    """
    offer = Offer(headers, subprotocols, options)
    fields = offer.fields(client.is_http2)
    tunnel = client.upgrade("websocket", path, fields, timeout=timeout)
    return accepted(offer, tunnel._response)


def accepted(offer: Offer, response: Response) -> WebSocket:
    """Return the WebSocket that a response, 101 or one to CONNECT, has opened.

    Raises HandshakeError, and resets the stream, if it accepts something else.
    """
    headers = response.headers
    done = False
    try:
        if not response.is_http2:
            check_accept(headers, offer._key)
        subprotocol = check_subprotocol(headers, offer._subprotocols)
        deflate = agreed_compression(headers, offer._options)
        socket = WebSocket(response, deflate, subprotocol, offer._options)
        done = True
        return socket
    finally:
        if not done:
            response.cancel(CNO_RST_CANCEL)
