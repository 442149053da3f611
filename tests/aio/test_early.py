"""Responses ahead of the end of a request: the rest is refused, and ordinary clients succeed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

import cno.raw
from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Peer, Wire, place, until
from tests.peers import require
from tests.processes import run

#: Little and soon, for tests.
LIMITS = Limits(linger_timeout=0.2, max_drained=50_000, initial_window_size=20_000)
SIZE = 20_000_000


async def refuse(request: aio.Request) -> None:
    await request.respond(413, [], b"too much")


# -- HTTP/2 ----------------------------------------------------------------------------------------


def test_small_rest_is_taken(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, refuse, limits=LIMITS) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST) + peer.pen.data(1, bytes(15_000)))
                while not (await peer.expect(f.DATA, 1)).flags & f.END_STREAM:
                    pass
                for _ in range(2):  # more than the window was, so it has been widened
                    await peer.expect(f.WINDOW_UPDATE, 1)
                    peer.send(peer.pen.data(1, bytes(10_000)))
                peer.send(peer.pen.data(1, b"", end_stream=True))
                peer.send(peer.pen.headers(3, f.REQUEST, end_stream=True))
                assert (await peer.expect(f.HEADERS, 3)).flags & f.END_HEADERS
                await asyncio.sleep(2 * 0.2)
                peer.send(peer.pen.ping())
                await peer.expect(f.PING)
                assert not [each for each in peer.seen if each.type == f.RST_STREAM]

    lab.run(main())


@pytest.mark.parametrize("sends", [True, False])
def test_large_or_slow_rest_is_cut_off(lab: Lab, sends: bool) -> None:
    """By RST_STREAM(NO_ERROR), after a while in which a client can read the response."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with lab.serving(HTTP2, refuse, limits=LIMITS) as url:
            async with await Peer.connect_http2(url) as peer:
                start = loop.time()
                peer.send(peer.pen.headers(1, f.POST))
                taken, window = 0, 20_000
                while True:
                    if sends and window:
                        size = min(window, 16_384)
                        peer.send(peer.pen.data(1, bytes(size)))
                        taken, window = taken + size, window - size
                    got = await peer.frame() if not sends or not window else None
                    if got is None:
                        continue
                    if (got.type, got.stream) == (f.WINDOW_UPDATE, 1):
                        window += got.increment
                    if got.type == f.RST_STREAM:
                        break
                assert (got.stream, got.code) == (1, f.NO_ERROR)
                assert loop.time() - start >= 0.15
                # What it takes, and what it had promised to take.
                assert taken <= 50_000 + 2 * 20_000
                assert [
                    each for each in peer.seen if each.type == f.DATA and each.flags & f.END_STREAM
                ]
                peer.send(peer.pen.headers(3, f.POST) + peer.pen.data(3, bytes(1), end_stream=True))
                await peer.expect(f.HEADERS, 3)

    lab.run(main())


def test_large_rests_do_not_use_up_the_connection(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                await request.respond(403)
            else:
                await request.respond(200, [], str(len(await request.payload.read())).encode())

        limits = Limits(linger_timeout=0.3, max_drained=0, connection_window=65_535)
        async with lab.pair(HTTP2, handle, limits=limits) as client:
            for _ in range(5):
                response = await client.request("POST", "/", [], bytes(60_000))
                assert response.code == 403
            response = await client.request("POST", "/read", [], bytes(300_000))
            assert await response.payload.read() == b"300000"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_handler_may_respond_first_and_read_on(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        sums: list[int] = []

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"early")
            sums.append(len(await request.payload.read()))

        async with lab.pair(wire, handle, limits=LIMITS) as client:
            response = await client.request("POST", "/", [], bytes(500_000))
            assert await response.payload.read() == b"early"
            await until(lambda: sums, "the end of the body")
        assert sums == [500_000]

    lab.run(main())


# -- HTTP/1.1 --------------------------------------------------------------------------------------

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


def test_small_rest_keeps_the_connection(lab: Lab) -> None:
    async def main() -> None:
        async with (
            lab.serving(HTTP1, refuse, limits=LIMITS) as url,
            await Peer.connect(url) as peer,
        ):
            for _ in range(2):
                peer.send(HEAD % 40_000)
                assert (await peer.head()).startswith(b"HTTP/1.1 413 ")
                assert await peer.reader.readexactly(8) == b"too much"
                peer.send(bytes(40_000))

    lab.run(main())


@pytest.mark.parametrize("sends", [True, False])
def test_large_or_slow_rest_ends_the_connection(lab: Lab, sends: bool) -> None:
    """But the response can be read until the end, although the client sends on."""

    async def main() -> None:
        async with (
            lab.serving(HTTP1, refuse, limits=LIMITS) as url,
            await Peer.connect(url) as peer,
        ):
            peer.send(HEAD % SIZE)
            if sends:
                for _ in range(100):
                    peer.send(bytes(10_000))
                    await asyncio.sleep(0)
            assert (await peer.head()).startswith(b"HTTP/1.1 413 ")
            assert await asyncio.wait_for(peer.reader.read(), 5) == b"too much"

    lab.run(main())


def test_nothing_is_read_of_a_body_that_waits_to_be_asked_for(lab: Lab) -> None:
    async def main() -> None:
        async with (
            lab.serving(HTTP1, refuse, limits=LIMITS) as url,
            await Peer.connect(url) as peer,
        ):
            peer.send(
                b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
            )
            head = await peer.head()
            assert head.startswith(b"HTTP/1.1 413 ")
            assert b"\r\nconnection: close\r\n" in head
            assert await asyncio.wait_for(peer.reader.read(), 5) == b"too much"

    lab.run(main())


def test_continue_is_sent_when_the_body_is_first_read(lab: Lab) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            body = request.payload
            await asked.wait()
            await request.respond(200, [], await body.readexactly(3))

        ask = [*f.POST, ("expect", "100-continue"), ("content-length", "3")]
        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, ask) + peer.pen.ping())
                await peer.expect(f.PING)
                assert not [each for each in peer.seen if each.type == f.HEADERS]
                asked.set()
                got = await peer.expect(f.HEADERS, 1)
                assert peer.pen.decode(got.payload) == [(":status", "100")]
                peer.send(peer.pen.data(1, b"abc", end_stream=True))
                got = await peer.expect(f.HEADERS, 1)
                assert peer.pen.decode(got.payload)[0] == (":status", "200")
            asked.clear()
            async with await Peer.connect(url) as peer:
                peer.send(HEAD.replace(b"host", b"expect: 100-continue\r\nhost") % 3)
                await asyncio.sleep(0.05)
                asked.set()
                assert await peer.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
                peer.send(b"abc")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert await peer.reader.readexactly(3) == b"abc"

    lab.run(main())


# -- curl ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "large"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.mark.parametrize("expects", [True, False])
def test_curl_reads_why_its_upload_is_refused(
    lab: Lab, wire: Wire, upload: Path, expects: bool
) -> None:
    curl = require("curl")
    version = (
        "--http1.1" if not wire.http2 else "--http2" if wire.tls else "--http2-prior-knowledge"
    )

    async def main() -> None:
        async with lab.serving(wire, refuse) as url:
            done = await asyncio.to_thread(
                run,
                *(curl, "-sS", "--max-time", "20", "--cacert", lab.certs.cafile, version),
                *("-w", " %{http_code}", "--data-binary", f"@{upload}"),
                *([] if expects else ["-H", "Expect:"]),
                f"{url}/",
            )
            assert (done.status, done.stdout, done.stderr) == (0, b"too much 413", "")

    lab.run(main())


# -- uploads that outlast their responses ----------------------------------------------------------


class Early(cno.raw.Connection, asyncio.Protocol):
    """A server that answers each request at once, and reads all of it."""

    transport: asyncio.Transport

    def __init__(self, http2: bool, says_goodbye: bool) -> None:
        super().__init__(True)
        self.begins_with_http2 = http2
        self.says_goodbye = says_goodbye
        self.got = 0
        self.whole = False
        self.done = asyncio.Event()

    def connection_made(  # type: ignore[override]  # both bases have one: it is asyncio's here
        self, transport: asyncio.BaseTransport
    ) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.configure(initial_window_size=1 << 20)
        super().connection_made(self.begins_with_http2)
        self.open_flow(0, 1 << 26)

    def on_writev(self, chunks: list[bytes]) -> None:
        self.transport.write(b"".join(chunks))

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.write_head(stream, 200, "", "", [("content-length", "2")], False)
        self.write_data(stream, b"ok", True)
        if self.says_goodbye:
            self.shutdown()

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.got += len(data)

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        self.whole = True

    def on_close(self) -> None:
        self.transport.close()

    def connection_lost(self, exc: BaseException | None = None) -> None:
        self.done.set()
        try:
            super().connection_lost()
        except cno.ConnectionError:
            assert not self.whole


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 10_000):
        yield bytes(10_000)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("how", ["request", "pool", "goaway"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_end_of_an_upload_that_outlasts_its_response(
    lab: Lab, wire: Wire, how: str, pieces: bool
) -> None:
    """What closes the connection then, from inside of the last write, lets that go out."""
    size = 3_000_000

    async def main() -> None:
        servers: list[Early] = []

        def made() -> Early:
            servers.append(Early(wire.http2, how == "goaway"))
            return servers[-1]

        server = await asyncio.get_running_loop().create_server(made, HOST, 0)
        url = place(server, "h2c" if wire.http2 else "http")
        data = in_pieces(size) if pieces else bytes(size)
        if how == "request":
            response = await aio.request("POST", url, data=data)
            assert await response.payload.read() == b"ok"
        else:
            async with aio.Pool() as pool:
                response = await pool.request("POST", url, data=data)
                assert await response.payload.read() == b"ok"
                if how == "goaway":
                    await until(lambda: servers[0].whole or servers[0].done.is_set())
        await servers[0].done.wait()
        assert (servers[0].got, servers[0].whole) == (size, True)
        server.close()
        await server.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_close_writes_what_is_corked(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            request.conn.cork()
            await request.respond(200, [], b"hello")
            request.conn.close()

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"hello"

    lab.run(main())
