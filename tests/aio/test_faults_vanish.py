"""Peers that vanish after any octet of a message: in its head, its body, its trailers.

By an orderly end of the stream (which may be only half an end), or by a reset. Nothing cut short is
taken for whole, everybody learns what happened, and nothing is left behind.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.aio.connection.timeouts import hangup_events
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Peer, Wire, by_hand, skip, until

BODY = b"0123456789" * 3
TRAILERS = [("x-sum", "42")]
SOON = Limits(half_closed_timeout=0.05, linger_timeout=0.05)
Headers = list[tuple[str, str]]


def cut_off(writer: asyncio.StreamWriter, how: str) -> None:
    """End a connection: FIN, or RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.write_eof()


def messages(head: bytes, block: Headers) -> dict[str, bytes]:
    """A message with a body and trailers, as either protocol has it; in HTTP/1.1 with a length,
    too."""
    pen = f.FrameFactory()
    chunked = b"transfer-encoding: chunked\r\n\r\na\r\n" + BODY[:10]
    chunked += b"\r\n14;x=y\r\n" + BODY[10:] + b"\r\n0\r\nx-sum: 42\r\n\r\n"
    frames = [
        pen.headers(1, block),
        pen.data(1, BODY[:10]),
        pen.data(1, BODY[10:], pad=3),
        pen.headers(1, TRAILERS, end_stream=True),
    ]
    return {
        "chunked": head + chunked,
        "length": head + b"content-length: 30\r\n\r\n" + BODY,
        "http2": b"".join(frames),
    }


# -- clients that vanish ---------------------------------------------------------------------------


REQUESTS = messages(b"POST / HTTP/1.1\r\nhost: a\r\n", f.POST)


class House:
    """A handler that reads, knows how that ended, and answers."""

    def __init__(self) -> None:
        self.running = 0
        self.whole = 0
        self.errors: list[BaseException] = []

    async def __call__(self, request: aio.Request) -> None:
        self.running += 1
        try:
            body = await request.payload.read()
            assert body == BODY, f"{body!r} was taken for all"
            self.whole += 1
            await request.respond(200, [], body)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            self.running -= 1


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("kind", list(REQUESTS))
def test_clients_that_vanish(lab: Lab, kind: str, how: str) -> None:
    wire = HTTP2 if kind == "http2" else HTTP1
    start = f.PREFACE + f.FrameFactory().settings() if wire.http2 else b""
    message = start + REQUESTS[kind]

    async def vanish(url: str, at: int) -> bytes:
        """Send so many octets, and go; what the server said to that."""
        async with await Peer.connect(url) as peer:
            peer.send(message[:at])
            await peer.writer.drain()
            if at % 3 == 0:
                await asyncio.sleep(0.002)  # it has read that; else it may see all at once
            cut_off(peer.writer, how)
            said = b""
            with contextlib.suppress(ConnectionError):
                said = await peer.reader.read()
            return said

    async def main() -> None:
        house = House()
        async with aio.serve(house, HOST, 0, limits=SOON) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
            # All at once, but in batches, so that none waits for its turn to be accepted.
            cuts = range(len(message))
            for first in range(0, len(message), 40):
                await asyncio.gather(*(vanish(url, at) for at in cuts[first : first + 40]))
            await until(lambda: listener.connections == 0, "the end of the connections")
            assert house.running == 0
            # Those that were cut in a body were told: by an error, or by being cancelled.
            assert house.whole == 0
            assert house.errors
            for error in house.errors:
                assert isinstance(
                    error, aio.ConnectionLostError | aio.StreamError | asyncio.CancelledError
                )
            house.errors.clear()
            said = await vanish(url, len(message))
            if how == "fin" and not wire.http2:
                # Half an end: it has asked all it wanted to, and waits for the answer.
                assert said.endswith(BODY)
                assert house.whole == 1

    lab.run(main())


def test_clients_that_vanish_while_they_are_answered(lab: Lab, wire: Wire) -> None:
    """In the middle of a response that goes on and on, and of one that waits for its window."""

    async def main() -> None:
        ended: list[str] = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1_000
                    await asyncio.sleep(0)
            finally:
                ended.append("source")

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], endless())
            finally:
                ended.append("handler")

        async with lab.serving(wire, handle, limits=SOON) as url:
            for read in (1, 50_000):
                client = await lab.connect(wire, url)
                response = await client.request("GET", "/")
                await response.payload.readexactly(read)
                client.abort()
                with pytest.raises(aio.ConnectionLostError):
                    await skip(response.payload)
                await client.wait_closed()
            await until(lambda: sorted(ended) == ["handler", "handler", "source", "source"])

    lab.run(main())


# -- servers that vanish ---------------------------------------------------------------------------


RESPONSES = messages(b"HTTP/1.1 200 OK\r\n", f.RESPONSE)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("kind", list(RESPONSES))
def test_servers_that_vanish(lab: Lab, kind: str, how: str) -> None:
    wire = HTTP2 if kind == "http2" else HTTP1
    message = RESPONSES[kind]
    if not wire.http2:
        message = b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n" + message

    async def script(peer: Peer) -> None:
        if wire.http2:
            assert await peer.reader.readexactly(len(f.PREFACE)) == f.PREFACE
            peer.send(peer.pen.settings())
            path = dict(peer.pen.decode((await peer.expect(f.HEADERS, 1)).payload))[":path"]
        else:
            path = (await peer.head()).split()[1].decode()
        at = int(path[1:])
        peer.send(message[:at])
        await peer.writer.drain()
        cut_off(peer.writer, how)
        with contextlib.suppress(ConnectionError):
            await peer.reader.read()

    async def ask(url: str, at: int) -> None:
        async with await lab.connect(wire, url, limits=SOON) as client:
            try:
                response = await client.request("GET", f"/{at}")
                assert response.code == 200
                body = await response.payload.read()
            except (aio.ConnectionLostError, aio.StreamError) as error:
                assert not error.retryable  # the server had the request
                if how == "fin":
                    assert at < len(message)
                return
            # That is all of it, and not what happened to come.
            assert body == BODY
            assert kind == "length" or response.trailers == TRAILERS
            assert at == len(message)
        assert client.transport.is_closing()

    async def main() -> None:
        async with by_hand(script) as url:
            cuts = range(len(message) + 1)
            for first in range(0, len(message) + 1, 40):
                await asyncio.gather(*(ask(url, at) for at in cuts[first : first + 40]))

    lab.run(main())


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_servers_that_vanish_during_an_upload(lab: Lab, wire: Wire, how: str) -> None:
    """Whoever produces the body is told; so is who waits for the response."""

    async def main() -> None:
        ended: list[str] = []

        async def script(peer: Peer) -> None:
            await peer.reader.read(100)
            if wire.http2:
                peer.send(peer.pen.settings())
                await peer.reader.read(30_000)
            cut_off(peer.writer, how)
            with contextlib.suppress(ConnectionError):
                await peer.reader.read()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(1_000)
                    await asyncio.sleep(0)
            finally:
                ended.append("source")

        async with by_hand(script) as url:
            async with await lab.connect(wire, url, limits=SOON) as client:
                with pytest.raises((aio.ConnectionLostError, aio.StreamError)) as caught:
                    await client.request("POST", "/", [], endless())
                assert isinstance(caught.value, aio.ConnectionLostError | aio.StreamError)
                assert not caught.value.retryable
                await client.wait_closed()
            assert ended == ["source"]

    lab.run(main())


def test_a_socket_that_is_closed_tells_nothing() -> None:
    """asyncio closes the one below TLS before it tells of the loss."""
    sock = socket.socket()
    transport = asyncio.BaseTransport({"socket": sock})
    sock.close()
    assert hangup_events(transport) == 0
