"""The opening handshake of a WebSocket: the fields of the request and of the response.

RFC 6455 section 4 for HTTP/1.1, RFC 8441 for HTTP/2. Must never know frames.
"""

import binascii
from base64 import b64decode
from collections.abc import Collection, Iterable
from typing import Final

from cno.aio.fields import Headers, value_of
from cno.aio.server.request_state import RequestState
from cno.websocket import wire
from cno.websocket.errors import HandshakeError
from cno.websocket.options import DEFAULT, Options
from cno.websocket.socket import WebSocket

VERSION: Final = "13"

#: Bytes of a key (RFC 6455 4.1).
KEY_SIZE: Final = 16


def is_websocket(request: RequestState) -> bool:
    """Whether a request asks for a WebSocket, well-formed or not."""
    if request.method == "CONNECT":
        return only_value_of(request.headers, ":protocol") == "websocket"
    if not request._upgradable:
        return False
    asked = only_value_of(request.headers, "upgrade")
    return asked is not None and asked.strip().lower() == "websocket"


def only_value_of(headers: Headers, name: str) -> str | None:
    """Return the only value of a field; None if there is none, or more than one."""
    found = values_of(headers, name)
    return found[0] if len(found) == 1 else None


def values_of(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key == name]


class Handshake:
    """A request for a WebSocket, to be accepted or refused. Raises HandshakeError if it is none.

    `subprotocols` are those that the client offers, in its order of preference.
    """

    def __init__(self, request: RequestState) -> None:
        wire.library()  # ImportError, before anything is said
        if not is_websocket(request):
            upgrade = [("upgrade", "websocket"), ("connection", "upgrade")]
            raise HandshakeError("the request asks for no WebSocket", 426, upgrade)
        headers = request.headers
        # > If this version does not match a version understood by the server, the server MUST
        # > ... send an appropriate HTTP error code (such as 426 Upgrade Required) and a
        # > |Sec-WebSocket-Version| header field   (RFC 6455 4.2.2)
        if only_value_of(headers, "sec-websocket-version") != VERSION:
            raise HandshakeError("unknown version", 426, [("sec-websocket-version", VERSION)])
        self.request = request
        self._fields: Headers = []
        if request.method != "CONNECT":
            # > The method of the request MUST be GET   (RFC 6455 4.1)
            if request.method != "GET":
                raise HandshakeError("a WebSocket is requested by GET", 400, [])
            # > ... the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields are not used, as
            # > they are superseded by the :protocol pseudo-header field.   (RFC 8441 5)
            key = only_value_of(headers, "sec-websocket-key") or ""
            if not is_key(key):
                raise HandshakeError("malformed sec-websocket-key", 400, [])
            self._fields.append(("sec-websocket-accept", str(wire.library().accept_key(key))))
        self.subprotocols: list[str] = []
        for value in values_of(headers, "sec-websocket-protocol"):
            self.subprotocols += [each.strip() for each in value.split(",") if each.strip()]

    def check_origin(self, origins: Collection[str] | None) -> None:
        """Raise HandshakeError for the page of another origin than these. None: all may.

        Browsers say where a page comes from, and send the user's cookies from any. (RFC 6455 10.2)
        """
        found = value_of(self.request.headers, "origin")
        if origins is not None and found is not None and found not in origins:
            # > If the server does not wish to accept this connection, it MUST return an
            # > appropriate HTTP error code (e.g., 403 Forbidden)   (RFC 6455 4.2.2)
            raise HandshakeError("a page of another origin", 403, [])

    def choose(self, supported: Iterable[str]) -> str | None:
        """Return the first of these subprotocols that the client offers; None if it offers none."""
        for each in supported:
            if each in self.subprotocols:
                return each
        return None

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        options: Options | None = None,
    ) -> WebSocket:
        """Open the WebSocket. Raises ValueError for a subprotocol that was not offered,
        HandshakeError for a malformed offer of extensions; else as `Request.upgrade`."""
        options = DEFAULT if options is None else options
        fields = list(self._fields)
        if subprotocol is not None:
            # > ... the server MUST NOT send ... a subprotocol that was not offered (RFC 6455 4.2.2)
            if subprotocol not in self.subprotocols:
                raise ValueError(f"the client has not offered the subprotocol {subprotocol!r}")
            fields.append(("sec-websocket-protocol", subprotocol))
        try:
            offers = values_of(self.request.headers, "sec-websocket-extensions")
            agreed, deflate = wire.agree(offers, options)
        except ValueError as error:
            raise HandshakeError(str(error), 400, []) from None
        if agreed:
            fields.append(("sec-websocket-extensions", agreed))
        fields += headers
        await self.request.upgrade(fields)
        return WebSocket(self.request, deflate, subprotocol, False, options)


def is_key(key: str) -> bool:
    """Whether this is 16 bytes in base64 (RFC 6455 4.1)."""
    try:
        return len(b64decode(key.encode(), validate=True)) == KEY_SIZE
    except (ValueError, binascii.Error):
        return False
