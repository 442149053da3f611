"""WebSockets with peers that are written byte by byte, wsproto, and the example as a program."""

import asyncio
import sys
import tracemalloc
import zlib
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

import cno
from cno.examples.websocket import SETTINGS
from cno.websocket import Options
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer
from tests.processes import ENVIRONMENT

VERSION = ("sec-websocket-version", "13")


MAX_MESSAGE = 1_048_576
MAX_FRAGMENTS = 16_384
OPTIONS = Options(max_message_size=MAX_MESSAGE, max_fragments=MAX_FRAGMENTS)


async def echo(request: cno.Request) -> None:
    async with await request.accept_websocket(options=OPTIONS) as socket:
        async for message in socket:
            await socket.send(message)


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame; `first`: FIN (0x80), compressed (0x40), opcode."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    if size < 65536:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload


def bomb(size: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(bytes(size)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def shake_hands(peer: Peer, extensions: str = "") -> bytes:
    """A handshake over HTTP/1.1; the head of the answer."""
    fields = ["host: x", "upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"]
    fields += ["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]
    if extensions:
        fields.append(f"sec-websocket-extensions: {extensions}")
    peer.send(("\r\n".join(["GET / HTTP/1.1", *fields]) + "\r\n\r\n").encode())
    return await peer.reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("pieces", [1, 64])
def test_the_limit_is_kept_while_inflating(lab: Lab, pieces: int) -> None:
    """64 kB that inflate to 64 MB, as one frame or as several; none of it is kept."""

    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url, await Peer.connect(url) as peer:
            assert b"permessage-deflate" in await shake_hands(peer, "permessage-deflate")
            data = bomb(64 << 20)
            step = -(-len(data) // pieces)
            starts = range(0, len(data), step)
            frames = [
                masked(
                    (0x42 if start == 0 else 0) | (0x80 if start == starts[-1] else 0),
                    data[start : start + step],
                )
                for start in starts
            ]
            tracemalloc.start()
            try:
                peer.send(b"".join(frames))
                answer = await peer.reader.read()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert answer[:1] == b"\x88" and answer[2:4] == (1009).to_bytes(2, "big")
            assert peak < 16 << 20

    lab.run(main())


def test_compressed_messages_up_to_the_limit(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url, await Peer.connect(url) as peer:
            await shake_hands(peer, "permessage-deflate")
            peer.send(masked(0xC2, bomb(MAX_MESSAGE)))
            assert (await peer.reader.readexactly(1))[0] & 0xF == 2
            peer.send(masked(0x88, (1000).to_bytes(2, "big")))
            assert (await peer.reader.read())[-2:] == (1000).to_bytes(2, "big")

    lab.run(main())


@pytest.mark.parametrize(("count", "code"), [(1_000, 1000), (MAX_FRAGMENTS + 1, 1009)])
def test_empty_fragments_are_counted(lab: Lab, count: int, code: int) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url, await Peer.connect(url) as peer:
            await shake_hands(peer)
            peer.send(masked(1, b"") + masked(0, b"") * (count - 1))
            if code == 1000:
                peer.send(masked(0x80, b"end"))
                assert await peer.reader.readexactly(5) == b"\x81\x03end"
                peer.send(masked(0x88, code.to_bytes(2, "big")))
            answer = await peer.reader.read()
            assert answer[:1] == b"\x88" and answer[2:4] == code.to_bytes(2, "big")

    lab.run(main())


@pytest.mark.parametrize("value", ["x", "9" * 5_000, "7", "99"])
def test_malformed_parameters_are_declined(lab: Lab, value: str) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url, await Peer.connect(url) as peer:
            offer = f"permessage-deflate; client_max_window_bits={value}"
            head = await shake_hands(peer, offer)
            assert head.startswith(b"HTTP/1.1 101 ") and b"deflate" not in head
            peer.send(masked(0x81, b"hello"))
            assert await peer.reader.readexactly(7) == b"\x81\x05hello"

    lab.run(main())


# -- wsproto at the other end ----------------------------------------------------------------------


class Other:
    """Another implementation's client: what it is told, and what it has to say."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.events: list[Event] = []

    async def next(self, wire: Any, receive: Any) -> Event:
        while not self.events:
            wire.receive_data(await receive())
            self.events.extend(wire.events())
        return self.events.pop(0)


def test_wsproto_over_http1(lab: Lab) -> None:
    """Its own handshake, with compression; a message in pieces; the end."""

    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url, await Peer.connect(url) as peer:
            wire = WSConnection(ConnectionType.CLIENT)
            other = Other(peer)

            async def receive() -> bytes:
                return await peer.reader.read(65536)

            request = Request(host="x", target="/", extensions=[PerMessageDeflate()])
            peer.send(wire.send(request))
            accepted = await other.next(wire, receive)
            assert isinstance(accepted, AcceptConnection)
            assert [type(each) for each in accepted.extensions] == [PerMessageDeflate]
            peer.send(wire.send(TextMessage("Hel", message_finished=False)))
            peer.send(wire.send(TextMessage("lo")))
            assert await other.next(wire, receive) == TextMessage("Hello")
            peer.send(wire.send(BytesMessage(bytes(100_000))))
            size = 0
            while size < 100_000:
                piece = await other.next(wire, receive)
                assert isinstance(piece, BytesMessage)
                size += len(piece.data)
            peer.send(wire.send(CloseConnection(1000, "bye")))
            closed = await other.next(wire, receive)
            assert isinstance(closed, CloseConnection)
            assert closed.code == 1000
            assert await peer.reader.read() == b""

    lab.run(main())


def test_wsproto_over_http2(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, echo, settings=SETTINGS) as url:
            async with await Peer.connect_http2(url) as peer:
                assert (f.ENABLE_CONNECT_PROTOCOL, 1) in peer.seen[0].settings
                ask = [
                    (":method", "CONNECT"),
                    (":protocol", "websocket"),
                    (":scheme", "http"),
                    (":authority", "x"),
                    (":path", "/"),
                    VERSION,
                ]
                peer.send(peer.pen.headers(1, ask))
                head = peer.pen.decode((await peer.expect(f.HEADERS, 1)).payload)
                # > ... the Sec-WebSocket-Key and Sec-WebSocket-Accept header fields are not
                # > processed.   (RFC 8441 5)
                assert [name for name, _ in head] == [":status", "date"]
                assert head[0] == (":status", "200")
                wire = Connection(ConnectionType.CLIENT)
                other = Other(peer)

                async def receive() -> bytes | None:
                    return (await peer.expect(f.DATA, 1)).payload or None

                said = [
                    TextMessage("Hel", message_finished=False),
                    Ping(b"you?"),
                    TextMessage("lo"),
                ]
                peer.send(b"".join(peer.pen.data(1, wire.send(each)) for each in said))
                assert await other.next(wire, receive) == Pong(b"you?")
                assert await other.next(wire, receive) == TextMessage("Hello")
                peer.send(peer.pen.data(1, wire.send(CloseConnection(1001))))
                closed = await other.next(wire, receive)
                assert isinstance(closed, CloseConnection)
                assert closed.code == 1001
                assert (await peer.expect(f.DATA, 1)).flags & f.END_STREAM
                peer.send(peer.pen.data(1, b"", end_stream=True))

    lab.run(main())


# -- as a program ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--http2"]], ids=["http1", "http2"])
def test_program(options: list[str]) -> None:
    async def main() -> None:
        program = [sys.executable, "-m", "cno.examples.websocket"]
        server = await asyncio.create_subprocess_exec(
            *program, "--port=0", env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            url = (await asyncio.wait_for(server.stdout.readline(), 20)).decode().strip()
            talk = await asyncio.create_subprocess_exec(
                *(*program, url, *options),
                env=ENVIRONMENT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(talk.communicate(b"one\ntwo\n"), 20)
            assert (talk.returncode, out.split()) == (0, [b"one", b"two"])
        finally:
            server.terminate()
            await server.wait()

    asyncio.run(main())
