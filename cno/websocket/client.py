"""The client's side of the opening handshake (RFC 6455 section 4.1, RFC 8441)."""

import secrets
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from cno.aio.client.connection import Client
from cno.aio.fields import Headers
from cno.const import CNO_RST_CANCEL
from cno.websocket import wire
from cno.websocket.errors import HandshakeError
from cno.websocket.handshake import KEY_SIZE, VERSION, only_value_of, values_of
from cno.websocket.options import DEFAULT, Options
from cno.websocket.socket import WebSocket


async def connect(
    client: Client,
    path: str = "/",
    *,
    subprotocols: Iterable[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    options: Options = DEFAULT,
) -> WebSocket:
    """Open a WebSocket over a stream of this client; in HTTP/1.1 that takes its connection.

    Raises UpgradeRefused if the server answers with anything else, HandshakeError if it accepts
    something that was not offered; else as `Client.upgrade`.
    """
    offered = list(subprotocols)
    fields: Headers = [("sec-websocket-version", VERSION)]
    key = b64encode(secrets.token_bytes(KEY_SIZE)).decode()
    if not client.is_http2:
        fields.append(("sec-websocket-key", key))
    if offered:
        fields.append(("sec-websocket-protocol", ", ".join(offered)))
    if options.compression:
        fields.append(("sec-websocket-extensions", wire.offer()))
    tunnel = await client.upgrade("websocket", path, [*fields, *headers])
    try:
        if not client.is_http2:
            check_accept(tunnel.headers, key)
        chosen = check_subprotocol(tunnel.headers, offered)
        extensions = agreed_extensions(tunnel.headers, options)
    except HandshakeError:
        client.write_reset(tunnel.stream, CNO_RST_CANCEL)
        raise
    protocol = wire.make_protocol(True, options, extensions)
    return WebSocket(tunnel._exchange, protocol, chosen, True, options)


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


def agreed_extensions(headers: Headers, options: Options) -> list[Any]:
    """Return the extensions that the server has agreed to. Raises HandshakeError for others than
    were offered. (RFC 6455 4.1)"""
    answers = values_of(headers, "sec-websocket-extensions")
    if not answers:
        return []
    if not options.compression:
        raise HandshakeError("the server uses an extension that was not offered", 0, headers)
    try:
        return wire.take_agreed(answers)
    except ValueError as error:
        raise HandshakeError(str(error), 0, headers) from None
