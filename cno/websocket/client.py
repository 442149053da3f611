"""The client's side of the opening handshake (RFC 6455 section 4.1, RFC 8441)."""

import secrets
from base64 import b64encode
from collections.abc import Iterable

from cno.aio.client.connection import Client, Response
from cno.aio.fields import Headers
from cno.aio.tunnel import Tunnel
from cno.const import CNO_RST_CANCEL
from cno.websocket import wire
from cno.websocket.errors import HandshakeError
from cno.websocket.handshake import KEY_SIZE, VERSION, only_value_of, values_of
from cno.websocket.options import DEFAULT, Options
from cno.websocket.socket import WebSocket


class Offer:
    """What a client offers to a server. Raises ImportError without the `websockets` package."""

    def __init__(
        self,
        headers: Iterable[tuple[str, str]],
        subprotocols: Iterable[str],
        options: Options | None,
    ) -> None:
        self._headers = list(headers)
        self._subprotocols = list(subprotocols)
        self._options = DEFAULT if options is None else options
        self._extensions = wire.offer() if self._options.compression else ""
        self._key = ""  # of the last request over HTTP/1.1

    def fields(self, http2: bool) -> Headers:
        """Return the fields of a request, with a new key over HTTP/1.1."""
        fields: Headers = [("sec-websocket-version", VERSION)]
        if not http2:
            self._key = b64encode(secrets.token_bytes(KEY_SIZE)).decode()
            fields.append(("sec-websocket-key", self._key))
        if self._subprotocols:
            fields.append(("sec-websocket-protocol", ", ".join(self._subprotocols)))
        if self._extensions:
            fields.append(("sec-websocket-extensions", self._extensions))
        return [*fields, *self._headers]

    def accepted(self, response: Response) -> WebSocket:
        """Return the WebSocket that a response, 101 or one to CONNECT, has opened.

        Raises HandshakeError, and resets the stream, if it accepts something else.
        """
        conn = response._conn
        headers = response.headers
        try:
            if not conn._http2:
                check_accept(headers, self._key)
            subprotocol = check_subprotocol(headers, self._subprotocols)
            deflate = agreed_compression(headers, self._options)
        except HandshakeError:
            response.cancel(CNO_RST_CANCEL)
            raise
        if not response._tunnel:
            response._open_tunnel()
        return WebSocket(response, deflate, subprotocol, True, self._options)


async def connect(
    client: Client,
    path: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    *,
    subprotocols: Iterable[str] = (),
    options: Options | None = None,
) -> WebSocket:
    """Open a WebSocket over a stream of this client; in HTTP/1.1 that takes its connection.

    Raises UpgradeRefused if the server answers with anything else, HandshakeError if it accepts
    something that was not offered; else as `Client.upgrade`.
    """
    offer = Offer(headers, subprotocols, options)
    tunnel: Tunnel = await client.upgrade("websocket", path, offer.fields(client.is_http2))
    exchange = tunnel._exchange
    assert isinstance(exchange, Response)
    return offer.accepted(exchange)


def check_accept(headers: Headers, key: str) -> None:
    """Raise HandshakeError unless the server has read our key. (RFC 6455 4.1)"""
    if only_value_of(headers, "sec-websocket-accept") != wire.library().accept_key(key):
        raise HandshakeError("the server's sec-websocket-accept is wrong", 0, headers)


def check_subprotocol(headers: Headers, offered: list[str]) -> str | None:
    """Return the subprotocol that the server has chosen; None if it has chosen none.

    Raises HandshakeError for one that was not offered. (RFC 6455 4.1)
    """
    found = values_of(headers, "sec-websocket-protocol")
    if not found:
        return None
    if len(found) != 1 or found[0] not in offered:
        raise HandshakeError(f"the server chose the subprotocol {found[0]!r}", 0, headers)
    return found[0]


def agreed_compression(headers: Headers, options: Options) -> wire.Deflate | None:
    """Return the compression that the server has agreed to. Raises HandshakeError for extensions
    that were not offered. (RFC 6455 4.1)"""
    answers = values_of(headers, "sec-websocket-extensions")
    if not answers:
        return None
    if not options.compression:
        raise HandshakeError("the server uses an extension that was not offered", 0, headers)
    try:
        return wire.take_agreed(answers)
    except ValueError as error:
        raise HandshakeError(str(error), 0, headers) from None
