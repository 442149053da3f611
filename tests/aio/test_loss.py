"""The loss of a connection: received data is parsed first, then every waiting call fails.

Later calls fail at once, and nothing is written inside a callback of the transport.
"""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import cno
from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    Lab,
    Peer,
    Transport,
    Wire,
    by_hand,
    hello,
    place,
    settle,
    until,
)

WIRES = [HTTP1, HTTP2]


class Recording(Transport):
    """Notes what is done to it, and when that is inside of one of its own callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.calling = False
        self.written = bytearray()
        self.inside: list[str] = []
        self.closed = False

    def _note(self, what: str) -> None:
        if self.calling:
            self.inside.append(what)

    def write(self, data: Any) -> None:
        self._note("write")
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._note("write_eof")

    def close(self) -> None:
        self._note("close")
        self.closed = True

    def abort(self) -> None:
        self._note("abort")
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume(self, protocol: asyncio.Protocol) -> None:
        """Call `resume_writing` as a transport does that has got rid of what was written."""
        self.calling = True
        protocol.resume_writing()
        self.calling = False


def ready_client(http2: bool, limits: Limits | None = None) -> tuple[aio.Client, Recording]:
    """A client on a transport by hand; in HTTP/2 the server has greeted it."""
    transport = Recording()
    client = aio.Client(None, "a", "http", force_http2=http2, limits=limits)
    client.connection_made(transport)
    if http2:
        pen = f.FrameFactory()
        client.data_received(
            pen.settings({f.INITIAL_WINDOW_SIZE: 1 << 24})
            + pen.settings(ack=True)
            + pen.window_update(0, 1 << 24)
        )
    return client, transport


def answer(http2: bool, body: bytes, piece: int = 16_384) -> bytes:
    """A whole response to the first request."""
    if not http2:
        return b"HTTP/1.1 413 X\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    pen = f.FrameFactory()
    sent = pen.headers(1, [(":status", "413")])
    for at in range(0, len(body), piece):
        sent += pen.data(1, body[at : at + piece])
    return sent + pen.data(1, b"", end_stream=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# -- a transport's own callbacks -------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_nothing_is_written_inside_resume_writing(lab: Lab, wire: Wire) -> None:
    """asyncio would forget that the write failed, and tell of an orderly end."""

    async def main() -> None:
        client, transport = ready_client(wire.http2)
        client.pause_writing()
        asked = asyncio.create_task(client.request("POST", "/", [], bytes(3_000_000)))
        other = asyncio.create_task(client.request("GET", "/other"))
        await settle()
        before = len(transport.written)
        transport.resume(client)
        assert len(transport.written) == before
        await until(lambda: len(transport.written) > before + 100_000, "what was waiting")
        client.pause_writing()
        transport.resume(client)
        await until(lambda: len(transport.written) > 3_000_000, "the rest")
        assert transport.inside == []
        client.connection_lost(None)
        for task in (asked, other):
            with pytest.raises(aio.ConnectionLostError):
                await task

    lab.run(main())


# -- an end that nobody has announced --------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_body_until_the_end_needs_an_end(lab: Lab, announced: bool) -> None:
    async def main() -> None:
        client, _ = ready_client(False)
        asked = asyncio.create_task(client.request("GET", "/"))
        await settle()
        client.data_received(b"HTTP/1.1 200 OK\r\n\r\npartial")
        response = await asked
        if announced:
            client.eof_received()
        client.connection_lost(None)
        if announced:
            assert await response.payload.read() == b"partial"
        else:
            with pytest.raises(aio.ConnectionLostError):
                await response.payload.read()
            assert not response.payload.at_eof()

    lab.run(main())


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "Connection reset by peer")])
def test_body_of_which_nothing_came_is_not_an_empty_one(lab: Lab, error: Exception | None) -> None:
    async def main() -> None:
        client, _ = ready_client(False)
        asked = asyncio.create_task(client.request("GET", "/"))
        await settle()
        client.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
        response = await asked
        client.connection_lost(error)
        with pytest.raises(aio.ConnectionLostError):
            await response.payload.read()

    lab.run(main())


def test_tunnel_needs_an_end(lab: Lab) -> None:
    async def main() -> None:
        client, _ = ready_client(False)
        asked = asyncio.create_task(client.tunnel("b:80"))
        await settle()
        client.data_received(b"HTTP/1.1 200 OK\r\n\r\npartial")
        tunnel = await asked
        client.connection_lost(None)
        assert await tunnel.read(100) == b"partial"
        with pytest.raises(aio.ConnectionLostError):
            await tunnel.read(100)

    lab.run(main())


# -- what had come ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5_000, 17_000, 100_000, 600_000])
@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_what_had_come_is_parsed_before_a_loss_is_told(lab: Lab, wire: Wire, size: int) -> None:
    async def main() -> None:
        client, _ = ready_client(wire.http2)
        asked = asyncio.create_task(client.request("POST", "/", [], bytes(8_000_000)))
        await settle()
        client.data_received(answer(wire.http2, b"y" * size))
        client.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        response = await asked
        assert response.code == 413
        assert await response.payload.read() == b"y" * size
        await client.wait_closed()

    lab.run(main())


def test_frames_beyond_those_of_a_turn_are_parsed_as_well(lab: Lab) -> None:
    async def main() -> None:
        client, _ = ready_client(True, Limits(read_frames=10))
        asked = asyncio.create_task(client.request("GET", "/"))
        await settle()
        client.data_received(answer(True, b"y" * 4_000, 100))
        client.connection_lost(OSError("gone"))
        assert await (await asked).payload.read() == b"y" * 4_000

    lab.run(main())


def test_loss_does_not_cost_more_in_a_turn_than_other_input(lab: Lab) -> None:
    """What had come is parsed piece by piece, and others have their turns in between."""

    async def main() -> None:
        client, _ = ready_client(
            True, Limits(initial_window_size=1 << 20, connection_window=1 << 23, read_chunk=16_384)
        )
        asked = asyncio.create_task(client.request("GET", "/"))
        await settle()
        client.data_received(answer(True, b"y" * 500_000))
        client.connection_lost(OSError("gone"))
        closed = asyncio.create_task(client.wait_closed())
        await settle(10)
        assert not closed.done()
        with pytest.raises(aio.ConnectionLostError):
            await client.request("GET", "/too-late")
        assert len(await (await asked).payload.read()) == 500_000
        await closed

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_server_reads_what_had_come_as_well(lab: Lab, wire: Wire) -> None:
    """Whoever reads for a handler gets all of the body; later requests are not begun."""

    async def main() -> None:
        bodies: list[bytes] = []
        paths: list[str] = []
        readers: list[asyncio.Task[None]] = []

        async def read(request: aio.Request) -> None:
            bodies.append(await request.payload.read())

        async def handle(request: aio.Request) -> None:
            paths.append(request.path)
            readers.append(asyncio.create_task(read(request)))
            await asyncio.sleep(10)

        server = aio.Server(handle)
        server.connection_made(Recording())
        pen = f.FrameFactory()
        body = b"z" * 100_000
        if wire.http2:
            first = f.PREFACE + pen.settings() + pen.settings(ack=True) + pen.headers(1, f.POST)
            rest = b"".join(pen.data(1, body[at : at + 10_000]) for at in range(0, 100_000, 10_000))
            rest += pen.data(1, b"", end_stream=True) + pen.headers(3, f.REQUEST, end_stream=True)
        else:
            first = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"
            rest = body + b"GET /second HTTP/1.1\r\nhost: a\r\n\r\n"
        server.data_received(first)
        await until(lambda: readers, "the handler")
        server.data_received(rest)
        server.connection_lost(OSError("gone"))
        await server.wait_closed()
        await readers[0]
        assert bodies == [body]
        assert len(paths) == 1

    lab.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="there, a reset throws away what had come")
def test_answer_behind_which_the_server_resets_the_connection(lab: Lab) -> None:
    """As one does that does not want the rest of an upload. All of that is here when the client
    looks, and its next write fails."""
    listening = socket.create_server((HOST, 0))

    def serve() -> None:
        """In a thread, since the client's loop is busy meanwhile."""
        sock, _ = listening.accept()
        with sock:
            sock.recv(65_536)
            sock.sendall(answer(False, b"y" * 60_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.1)

    async def main() -> None:
        served = asyncio.ensure_future(asyncio.to_thread(serve))
        client = await aio.connect(f"http://{HOST}:{listening.getsockname()[1]}")
        asked = asyncio.create_task(client.request("POST", "/", [], bytes(30_000_000)))
        await settle()
        time.sleep(0.3)  # noqa: ASYNC251  # the loop is to see all of it at once
        response = await asked
        assert response.code == 413
        assert await response.payload.read() == b"y" * 60_000
        await served
        await client.wait_closed()

    try:
        lab.run(main())
    finally:
        listening.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there, a reset throws away what had come")
def test_what_the_system_holds_is_read_before_a_loss_is_told(lab: Lab) -> None:
    """Reading is paused, since nobody reads the body, when the server resets the connection."""
    size = 200_000  # what the client reads at once, and what fits its system

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            sock: socket.socket = peer.writer.get_extra_info("socket")
            peer.send(answer(False, b"y" * size))
            await until(lambda: peer.writer.transport.get_write_buffer_size() == 0)
            await asyncio.sleep(0.2)
            assert sock.fileno() >= 0
            reset(peer.writer)

        limits = Limits(read_buffer=100_000, header_timeout=0.4)
        async with by_hand(script) as url:
            client = await aio.connect(url, limits=limits)
            response = await client.request("GET", "/")
            await client.wait_closed()  # a timer has seen it
            body = await response.payload.read()
            assert len(body) == size

    lab.run(main())


def test_what_tls_holds_is_read_before_a_loss_is_told(lab: Lab) -> None:
    """As far as the event loop's TLS has it: what it has not decrypted while reading was paused."""
    size = 150_000

    async def main() -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(False, b"y" * size))
            await writer.drain()
            await asyncio.sleep(0.2)
            reset(writer)

        server = await asyncio.start_server(play, HOST, 0, ssl=lab.certs.server())
        limits = Limits(read_buffer=50_000, header_timeout=0.4)
        client = await aio.connect(place(server, "https"), lab.certs.client(), limits=limits)
        response = await client.request("GET", "/")
        await client.wait_closed()  # a timer has seen it
        assert len(await response.payload.read()) == size
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_tunnel_gets_what_came_ahead_of_it_and_its_end(lab: Lab) -> None:
    """A client may ask for a tunnel, say all it has to say, and wait for what comes back."""

    async def main() -> None:
        got: list[bytes] = []

        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.1)
            async with await request.upgrade() as tunnel:
                got.append(await tunnel.read())
                await asyncio.sleep(0.3)
                await tunnel.write(b"bye")

        limits = Limits(half_closed_timeout=0.2)
        async with lab.serving(HTTP1, handle, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
                peer.send(b"early")
                peer.writer.write_eof()
                assert b"101" in await peer.head()
                assert await peer.reader.read() == b"bye"
        assert got == [b"early"]

    lab.run(main())


# -- those who wait --------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_nobody_waits_for_a_lost_connection(lab: Lab, wire: Wire) -> None:
    """It was lost while its transport was full, which will never be said to be over."""

    async def main() -> None:
        client, _ = ready_client(wire.http2)
        client.pause_writing()
        source = endless()
        waiting = [
            asyncio.create_task(client.request("POST", "/", [], bytes(1_000_000))),
            asyncio.create_task(client.request("GET", "/")),
            asyncio.create_task(client.request("POST", "/", [], source)),
            asyncio.create_task(client.tunnel("b:80")),
            asyncio.create_task(client.upgrade("websocket")),
        ]
        if wire.http2:
            waiting.append(asyncio.create_task(client.ping()))
        await settle()
        client.connection_lost(OSError("gone"))
        for task in waiting:
            with pytest.raises(aio.ConnectionLostError):
                await asyncio.wait_for(task, 5)
        for call in (client.request("GET", "/"), client.tunnel("b:80"), client.upgrade("x")):
            with pytest.raises(aio.ConnectionLostError):
                await asyncio.wait_for(call, 5)
        await client.wait_closed()

    lab.run(main())


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1_000
        await asyncio.sleep(0)


def closing(client: aio.Client, pen: f.FrameFactory) -> None:
    client.close()


def shutting_down(client: aio.Client, pen: f.FrameFactory) -> None:
    client.shutdown()


def going_away(client: aio.Client, pen: f.FrameFactory) -> None:
    client.data_received(pen.goaway(1, 0))


@pytest.mark.parametrize("end", [closing, shutting_down, going_away])
def test_line_is_refused_as_soon_as_no_request_can_be_sent(
    lab: Lab, end: Callable[[aio.Client, f.FrameFactory], None]
) -> None:
    """Not only when one of those under way is done, which may take long."""

    async def main() -> None:
        client, _ = ready_client(True)
        pen = f.FrameFactory()
        client.data_received(pen.settings({f.MAX_CONCURRENT_STREAMS: 1}))
        first = asyncio.create_task(client.request("GET", "/first"))
        await settle()
        behind = [asyncio.create_task(client.request("GET", "/")) for _ in range(3)]
        await settle()
        end(client, pen)
        for task in behind:
            with pytest.raises(aio.ConnectionLostError) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.retryable
        assert not first.done()
        client.connection_lost(None)
        with pytest.raises(aio.ConnectionLostError):
            await first

    lab.run(main())


def test_response_on_a_stream_that_has_been_reset_fails_at_once(lab: Lab) -> None:
    """Even while the transport is full: no event would tell it later."""

    async def main() -> None:
        go_on = asyncio.Event()
        inner: list[asyncio.Task[None]] = []

        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            await go_on.wait()
            yield b"second"

        async def handle(request: aio.Request) -> None:
            inner.append(asyncio.create_task(request.respond(200, [], pieces())))
            await asyncio.shield(inner[0])

        server = aio.Server(handle)
        server.connection_made(Recording())
        pen = f.FrameFactory()
        server.data_received(
            f.PREFACE + pen.settings() + pen.headers(1, f.REQUEST, end_stream=True)
        )
        await until(lambda: inner, "the handler")
        await settle()
        server.pause_writing()
        server.data_received(pen.rst(1))
        go_on.set()
        with pytest.raises(cno.ConnectionError):
            await asyncio.wait_for(asyncio.shield(inner[0]), 5)
        server.connection_lost(None)
        await server.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("closed", ["before", "meanwhile"])
def test_serve_forever_ends_when_the_server_is_closed(lab: Lab, closed: str) -> None:
    async def main() -> None:
        listener = await aio.serve(hello, HOST, 0)
        if closed == "before":
            listener.close()
        running = asyncio.create_task(listener.serve_forever())
        await settle()
        listener.close()
        await asyncio.wait_for(running, 5)

    lab.run(main())
