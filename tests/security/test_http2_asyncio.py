"""Attacks on the asyncio layer over HTTP/2: handlers, buffers, waits, turns of the event loop.

Rows A1, A8, A9, A14, A16, A19 and A22; each test's name begins with its row.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP2, Lab, Peer, Transport, hello, settle, until

SHORT = 0.15


async def honest(lab: Lab, url: str) -> None:
    """Somebody else is answered."""
    async with await lab.connect(HTTP2, url) as client:
        response = await client.request("GET", "/")
        assert await response.payload.read() == b"hello"


async def goaway(peer: Peer) -> int:
    """The code of the last GOAWAY before the connection is closed."""
    return [frame.code for frame in await peer.rest() if frame.type == f.GOAWAY][-1]


# -- A1: handlers ----------------------------------------------------------------------------------


def test_a1_streams_reset_at_once_leave_nothing_behind() -> None:
    """Neither a handler nor a request, also before the rest of the input has been read."""

    def requests() -> int:
        return sum(isinstance(each, aio.Request) for each in gc.get_objects(generation=0))

    class Counting(aio.Server):
        most = 0

        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
        ) -> None:
            super().on_message_head(stream, code, method, path, headers)
            self.most = max(self.most, requests())

    async def main() -> None:
        begun: list[int] = []

        async def note(request: aio.Request) -> None:
            begun.append(request.stream)
            await request.respond(200)

        server = Counting(None, note)
        server.connection_made(Transport())
        pen = f.FrameFactory()
        wire = f.PREFACE + pen.settings({})
        for stream in range(1, 101, 2):
            wire += pen.headers(stream, f.REQUEST, end_stream=stream % 4 == 1) + pen.rst(stream)
        wire += pen.headers(101, f.REQUEST, end_stream=True)
        # What is made from here on is in the youngest generation, and little else is.
        gc.collect()
        gc.disable()
        try:
            server.data_received(wire)
            await settle()
        finally:
            gc.enable()
        assert server.most == 1
        assert begun == [101]
        server.connection_lost(None)
        await settle()

    asyncio.run(main())


def test_a01_a_slot_is_free_when_its_handler_is_done_too(lab: Lab) -> None:
    async def main() -> None:
        running = most = 0
        over = asyncio.Event()

        async def stubborn(request: aio.Request) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()
            await over.wait()
            running -= 1

        limits = Limits(max_concurrent_streams=5, max_pending_handlers=20)
        async with lab.serving(HTTP2, stubborn, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                for number in range(30):
                    stream = 2 * number + 1
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                    peer.send(peer.pen.ping())
                    try:
                        await peer.expect(f.PING)
                    except (asyncio.IncompleteReadError, ConnectionError):
                        break
                    peer.send(peer.pen.rst(stream))
                away = [each for each in peer.seen if each.type == f.GOAWAY]
                assert [each.code for each in away] == [f.ENHANCE_YOUR_CALM]
            assert most == 20
            over.set()
            await until(lambda: running == 0)

    lab.run(main())


def test_a01_requests_reset_in_one_breath_start_no_handler(lab: Lab) -> None:
    async def main() -> None:
        started = 0

        async def handle(request: aio.Request) -> None:
            nonlocal started
            started += 1
            await request.respond(200, [], b"hello")

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                data = b"".join(
                    peer.pen.headers(s, f.REQUEST, end_stream=True) + peer.pen.rst(s)
                    for s in range(1, 4_001, 2)
                )
                peer.send(data)
                assert await goaway(peer) == f.ENHANCE_YOUR_CALM
            # How the network cuts what is sent decides about a few.
            assert started < 50
            await honest(lab, url)

    lab.run(main())


def test_a01_honest_a_browser_cancels_60_images(lab: Lab) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def image(request: aio.Request) -> None:
            await go.wait()
            await request.respond(200, [], bytes(2_000))

        async with lab.serving(HTTP2, image) as url, await lab.connect(HTTP2, url) as client:
            tasks = [asyncio.create_task(client.request("GET", f"/{i}")) for i in range(90)]
            await asyncio.sleep(0.02)
            for task in tasks[:60]:
                task.cancel()
            await asyncio.wait(tasks[:60])
            go.set()
            for task in tasks[60:]:
                assert len(await (await task).payload.read()) == 2_000

    lab.run(main())


# -- A8: DATA in tiny pieces -----------------------------------------------------------------------


def test_a08_a_window_opened_octet_by_octet(lab: Lab) -> None:
    async def main() -> None:
        async def large(request: aio.Request) -> None:
            with contextlib.suppress(aio.StreamError):
                await request.respond(200, [], bytes(200_000))

        async with lab.serving(HTTP2, large) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.window_update(0, 1 << 20))
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                got = 0
                while got < 65_535:
                    got += len((await peer.expect(f.DATA, 1)).payload)
                peer.seen.clear()
                for _ in range(2_100):
                    peer.send(peer.pen.window_update(1, 1))
                peer.send(peer.pen.ping())
                await peer.expect(f.PING)
                sizes = [len(each.payload) for each in peer.seen if each.type == f.DATA]
                assert len([size for size in sizes if size < 1_024]) <= 18
                assert sum(sizes) <= 2_100
                peer.send(peer.pen.rst(1))

    lab.run(main())


def test_a08_tiny_frames_that_no_handler_reads(lab: Lab) -> None:
    async def main() -> None:
        async def idle(request: aio.Request) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

        async with lab.serving(HTTP2, idle) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST))
                # 1 MiB, 255 for each.
                peer.send(peer.pen.data(1, b".") * 4_200)
                assert await goaway(peer) == f.ENHANCE_YOUR_CALM

    lab.run(main())


def test_a08_honest_a_chat_in_tiny_frames(lab: Lab) -> None:
    async def main() -> None:
        async def echo(request: aio.Request) -> None:
            async def lines() -> AsyncIterator[bytes]:
                while line := await request.payload.readline():
                    yield line

            await request.respond(200, [], lines())

        async with lab.serving(HTTP2, echo) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST))
                for number in range(1_000):
                    peer.send(peer.pen.data(1, b"%04d\n" % number))
                    answer = (await peer.expect(f.DATA, 1)).payload
                    assert answer == b"%04d\n" % number
                    peer.send(peer.pen.window_update(1, 5) + peer.pen.window_update(0, 5))
                peer.send(peer.pen.data(1, b"", True))
                assert (await peer.expect(f.DATA, 1)).flags & f.END_STREAM

    lab.run(main())


# -- A9, A14: who does not read --------------------------------------------------------------------


def test_a09_pings_without_end_from_a_peer_that_does_not_read(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(glitch_budget=None, write_stall_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                flood = peer.pen.ping() * 1_000_000
                peer.send(flood)
                with pytest.raises(ConnectionError):
                    await peer.writer.drain()
            await honest(lab, url)

    lab.run(main())


def test_a14_no_more_is_made_than_the_transport_takes(lab: Lab) -> None:
    async def main() -> None:
        made = 0
        largest = 0
        ended: list[int] = []

        async def endless(request: aio.Request) -> None:
            async def pieces() -> AsyncIterator[bytes]:
                nonlocal made, largest
                while True:
                    yield bytes(50_000)
                    made += 50_000
                    size = request.conn.transport.get_write_buffer_size()
                    largest = max(largest, size)

            try:
                await request.respond(200, [], pieces())
            finally:
                ended.append(request.stream)

        limits = Limits(write_stall_timeout=SHORT)
        async with lab.serving(HTTP2, endless, limits=limits) as url:
            wide = {f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}
            async with await Peer.connect_http2(url, wide) as peer:
                peer.send(peer.pen.window_update(0, f.MAX_WINDOW - 65_535))
                for stream in range(1, 21, 2):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                transport: Any = peer.writer.transport
                transport.pause_reading()
                await until(lambda: len(ended) == 10)
                # Ten streams, and what the system's sockets hold.
                assert largest < 1_000_000
            assert made < 40_000_000

    lab.run(main())


# -- A16: floods end, and nobody else has to wait --------------------------------------------------


FLOODS = {
    "ping": f.frame(f.PING, 0, 0, bytes(8)),
    "settings": f.frame(f.SETTINGS),
    "priority": f.frame(f.PRIORITY, 0, 9, bytes(5)),
    "window update": f.frame(f.WINDOW_UPDATE, 0, 0, f.u32(1)),
    "unknown": f.frame(0x42, 0, 0, b"x"),
    "empty data": f.frame(f.DATA, 0, 1),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a16_floods_end_and_others_are_answered(lab: Lab, kind: str) -> None:
    async def main() -> None:
        async def wait(request: aio.Request) -> None:
            if request.method == "POST":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
            else:
                await hello(request)

        async with lab.serving(HTTP2, wait) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST))
                ends = asyncio.create_task(goaway(peer))
                peer.send(FLOODS[kind] * 20_000)
                await honest(lab, url)
                assert await ends == f.ENHANCE_YOUR_CALM

    lab.run(main())


# -- A19: who says nothing -------------------------------------------------------------------------


def request_cut_short(peer: Peer) -> bytes:
    return peer.pen.headers(1, f.REQUEST, end_stream=True)[:-1]


def test_a19_half_a_preface(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(f.PREFACE[:12])
                assert (await peer.reader.read()).startswith(b"HTTP/1.1 408 ")

    lab.run(main())


def test_a19_a_preface_and_no_settings(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(f.PREFACE)
                await peer.expect(f.SETTINGS)
                await peer.rest()

    lab.run(main())


def test_a19_settings_that_are_never_acknowledged(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(settings_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(f.PREFACE + peer.pen.settings())
                frames = []
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    while head := await peer.reader.readexactly(9):
                        payload = await peer.reader.readexactly(int.from_bytes(head[:3], "big"))
                        frames.append(f.Frame(head[3], head[4], 0, payload))
                assert frames[-1].type == f.GOAWAY and frames[-1].code == f.SETTINGS_TIMEOUT

    lab.run(main())


def test_a19_half_a_head(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(header_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(request_cut_short(peer))
                assert f.GOAWAY in [frame.type for frame in await peer.rest()]

    lab.run(main())


def test_a19_a_head_in_pieces_that_never_ends(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(header_timeout=SHORT)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers_frame(1, b"\x82", end_headers=False))
                assert f.GOAWAY in [frame.type for frame in await peer.rest()]

    lab.run(main())


def test_a19_a_window_of_nothing(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(write_stall_timeout=SHORT)
        ended: list[Exception] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], bytes(1_000))
            except aio.StreamError as error:
                ended.append(error)

        async with lab.serving(HTTP2, handle, limits=limits) as url:
            async with await Peer.connect_http2(url, {f.INITIAL_WINDOW_SIZE: 0}) as peer:
                for stream in range(1, 101, 2):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                for _ in range(50):
                    assert (await peer.expect(f.RST_STREAM)).code == f.CANCEL
                await until(lambda: len(ended) == 50)

    lab.run(main())


def test_a19_a_body_that_never_comes(lab: Lab) -> None:
    async def main() -> None:
        async def read(request: aio.Request) -> None:
            await request.payload.read()

        async with lab.serving(HTTP2, read, limits=Limits(body_timeout=SHORT)) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST) + peer.pen.data(1, b"half of"))
                reset = await peer.expect(f.RST_STREAM, 1)
                assert reset.code == f.CANCEL

    lab.run(main(), failures=0)


def test_a19_nothing_at_all(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, hello, limits=Limits(keepalive_timeout=SHORT)) as url:
            async with await Peer.connect_http2(url) as peer:
                assert await goaway(peer) == f.NO_ERROR

    lab.run(main())


# -- A22: turns of the event loop ------------------------------------------------------------------


def test_a22_others_have_their_turn_in_the_middle_of_a_flood(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(glitch_budget=None, read_frames=100)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                turns = 0

                async def count() -> None:
                    nonlocal turns
                    while True:
                        turns += 1
                        await asyncio.sleep(0)

                # One piece for the server: 20,000 frames.
                peer.send(f.frame(0x42) * 20_000 + peer.pen.ping(b"the last"))
                counting = asyncio.create_task(count())
                await peer.expect(f.PING)
                counting.cancel()
                assert turns >= 150
                await honest(lab, url)

    lab.run(main())


def test_a22_what_is_left_is_worked_off_without_more_input(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, hello, limits=Limits(read_frames=1, read_chunk=64)) as url:
            async with await Peer.connect_http2(url) as peer:
                streams = range(1, 101, 2)
                heads = [peer.pen.headers(s, f.REQUEST, end_stream=True) for s in streams]
                peer.send(b"".join(heads))
                for _ in streams:
                    await peer.expect(f.DATA)

    lab.run(main())
