"""WebSocket (RFC 6455) over HTTP/1.1 and over HTTP/2 (RFC 8441), with wsproto.

    python -m cno.examples.websocket                       an echo server, on port 8765
    python -m cno.examples.websocket ws://127.0.0.1:8765/  sends it the lines of standard input

It needs `pip install wsproto`. cno turns a request of either protocol into a byte stream, wsproto
encodes and decodes the messages on it, and `WebSocket` connects the two.
"""

import argparse
import asyncio
import io
import re
import secrets
import sys
from base64 import b64encode
from typing import Final
from urllib.parse import urlsplit

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol
from wsproto.utilities import LocalProtocolError, generate_accept_token

import cno

#: Bytes, or characters, of the largest message that is accepted, and its frames.
MAX_MESSAGE = 1_048_576
MAX_FRAGMENTS = 16_384

#: Bytes that are inflated at a time. Each becomes at most 1,032 bytes (RFC 1951 3.2.5).
STEP = 1_024

#: A client's key: 16 bytes in base64.
KEY = re.compile("[A-Za-z0-9+/]{22}==")

#: A server announces in HTTP/2 that it supports extended CONNECT.
SETTINGS: Final[cno.SettingsDict] = {"enable_connect_protocol": 1}


class Refused(Exception):
    """The request is not a WebSocket handshake. `code` and `headers`: the response to send."""

    def __init__(self, code: int, headers: list[tuple[str, str]]) -> None:
        super().__init__(code, headers)
        self.code = code
        self.headers = headers

    def __str__(self) -> str:
        return f"not a WebSocket: {self.code}"


class BoundedDeflate(PerMessageDeflate):
    """Compression (RFC 7692) that checks the limit while it inflates."""

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        inflated = bytearray()
        for start in range(0, len(data), STEP):
            piece = super().frame_inbound_payload_data(proto, data[start : start + STEP])
            if isinstance(piece, CloseReason):
                return piece
            inflated += piece
            if len(inflated) > MAX_MESSAGE:
                return CloseReason.MESSAGE_TOO_BIG
        return bytes(inflated)


class WebSocket:
    """Messages over a tunnel, `str` or `bytes`. Iterate over it for those of the peer."""

    def __init__(
        self, tunnel: cno.Tunnel, kind: ConnectionType, extensions: list[Extension] | None = None
    ) -> None:
        self._tunnel = tunnel
        self._wire = Connection(kind, extensions)
        self._new_message()

    def _new_message(self) -> None:
        self._text, self._data = io.StringIO(), io.BytesIO()  # of the message being received
        self._size = 0
        self._fragments = 0

    async def send(self, message: str | bytes) -> None:
        """Send a message. Raises BrokenPipeError once closed, cno.ConnectionError once lost."""
        whole = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        try:
            data = self._wire.send(whole)
        except LocalProtocolError:
            raise BrokenPipeError("the WebSocket is closed") from None
        await self._tunnel.write(data)

    async def receive(self) -> str | bytes | None:
        """Return the next message; None at the end."""
        while True:
            for event in self._wire.events():
                if isinstance(event, CloseConnection):
                    await self._answer_close(event)
                    return None
                if isinstance(event, Ping):
                    await self._tunnel.write(self._wire.send(event.response()))
                elif isinstance(event, TextMessage | BytesMessage):
                    if not self._has_room(event):
                        await self.close(1009)
                        return None
                    if (message := self._joined(event)) is not None:
                        return message
            data = await self._tunnel.read(65536)
            if not data:
                return None
            self._wire.receive_data(data)

    def _has_room(self, event: TextMessage | BytesMessage) -> bool:
        """Count a piece of a message. Return whether the message is within the limits."""
        self._size += len(event.data)
        self._fragments += event.frame_finished  # empty ones too: they could go on for ever
        return self._size <= MAX_MESSAGE and self._fragments <= MAX_FRAGMENTS

    def _joined(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """Add a piece of a message. Return the message if that was the last piece."""
        if isinstance(event, TextMessage):
            self._text.write(event.data)
        else:
            self._data.write(event.data)
        if not event.message_finished:
            return None
        is_text = isinstance(event, TextMessage)
        message = self._text.getvalue() if is_text else self._data.getvalue()
        self._new_message()
        return message

    async def _answer_close(self, event: CloseConnection) -> None:
        try:
            await self._tunnel.write(self._wire.send(event.response()))
        except LocalProtocolError:
            pass  # it was the response to our close frame
        await self._tunnel.close()

    async def close(self, code: int = 1000) -> None:
        """Send a close frame and close the tunnel. Later data of the peer is dropped."""
        try:
            await self._tunnel.write(self._wire.send(CloseConnection(code)))
        except (LocalProtocolError, cno.raw.UsageError):
            pass  # the close frame has been sent already
        await self._tunnel.close()

    def __aiter__(self) -> "WebSocket":
        return self

    async def __anext__(self) -> str | bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> "WebSocket":
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self.close()
        except cno.ConnectionError:
            pass  # the peer has closed the connection already


# -- the server's side -----------------------------------------------------------------------------


async def accept(request: cno.Request) -> WebSocket:
    """Turn a request into a WebSocket. Raises Refused if it is not a WebSocket handshake."""
    fields = dict(request.headers)
    extended = request.method == "CONNECT"  # HTTP/2
    asked = fields.get(":protocol" if extended else "upgrade", "")
    if asked.lower() != "websocket":
        raise Refused(426, [("upgrade", "websocket"), ("connection", "upgrade")])
    if fields.get("sec-websocket-version") != "13":
        raise Refused(400, [("sec-websocket-version", "13")])
    headers: list[tuple[str, str]] = []
    if not extended:
        # > ... the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields ... not processed, as
        # > they are superseded by the :protocol pseudo-header field.   (RFC 8441 5)
        key = fields.get("sec-websocket-key", "")
        if request.method != "GET" or KEY.fullmatch(key) is None:
            raise Refused(400, [])
        headers.append(("sec-websocket-accept", generate_accept_token(key.encode()).decode()))
    extensions: list[Extension] = []
    for offer in fields.get("sec-websocket-extensions", "").split(","):
        if offer.strip().startswith(BoundedDeflate.name) and not extensions:
            deflate = BoundedDeflate()
            try:
                agreed = deflate.accept(offer)
            except ValueError:
                continue  # a parameter is not a number: decline this offer
            if agreed is not None and agreed is not False:
                parameters = f"; {agreed}" if isinstance(agreed, str) and agreed else ""
                headers.append(("sec-websocket-extensions", deflate.name + parameters))
                extensions.append(deflate)
    return WebSocket(await request.upgrade(headers), ConnectionType.SERVER, extensions)


async def echo(request: cno.Request) -> None:
    """Send every message back: the handler of the echo server."""
    try:
        socket = await accept(request)
    except Refused as refused:
        await request.respond(refused.code, refused.headers)
        return
    async with socket:
        async for message in socket:
            await socket.send(message)


# -- the client's side -----------------------------------------------------------------------------


async def connect(client: cno.Client, path: str = "/") -> WebSocket:
    """Open a WebSocket over a client. Raises Refused, and what `Client.upgrade` raises."""
    key = b64encode(secrets.token_bytes(16)).decode()
    headers = [("sec-websocket-version", "13")]
    if not client.is_http2:
        headers.append(("sec-websocket-key", key))
    tunnel = await client.upgrade("websocket", path, headers)
    if not client.is_http2:
        expected = generate_accept_token(key.encode()).decode()
        if dict(tunnel.headers).get("sec-websocket-accept") != expected:
            raise Refused(0, tunnel.headers)
    return WebSocket(tunnel, ConnectionType.CLIENT)


async def talk(url: str, http2: bool) -> None:
    """Send each line of standard input, and print the replies."""
    where = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(where.scheme, where.scheme)
    origin = f"{scheme}://{where.netloc}/"
    path = (where.path or "/") + (f"?{where.query}" if where.query else "")
    async with await cno.connect(None, origin, force_http2=http2) as client:
        async with await connect(client, path) as socket:
            while line := await asyncio.to_thread(sys.stdin.readline):
                await socket.send(line.rstrip("\n"))
                print(printable(await socket.receive()), flush=True)


def printable(message: str | bytes | None) -> str:
    """Return a message without characters that control a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(message))


async def serve(host: str, port: int, cert: str | None, key: str | None) -> None:
    """Run the echo server, over TLS if there is a certificate."""
    server = cno.serve(echo, host, port, certfile=cert, keyfile=key, settings=SETTINGS)
    async with server:
        name = server.sockets[0].getsockname()
        print(f"{'wss' if cert else 'ws'}://{name[0]}:{name[1]}/", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cno.examples.websocket")
    parser.add_argument("url", nargs="?", help="ws: or wss: URL to talk to; without, serve")
    parser.add_argument("--http2", action="store_true", help="ws: over HTTP/2 (prior knowledge)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--cert", help="serve over TLS: the certificate (PEM)")
    parser.add_argument("--key", help="its private key")
    options = parser.parse_args()
    try:
        if options.url:
            asyncio.run(talk(options.url, options.http2))
        else:
            asyncio.run(serve(options.host, options.port, options.cert, options.key))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
