"""Back-pressure in both directions: unread data stops the sender, and reading resumes it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Transport, Wire, by_hand, greet, settle, until

SMALL = Limits(initial_window_size=65_535, connection_window=65_535)


def blob(size: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    return b"".join(
        hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range((size + 31) // 32)
    )[:size]


async def counted(body: bytes, step: int, total: list[int]) -> AsyncIterator[bytes]:
    """A body in pieces; `total[0]` is how much of it has been asked for."""
    for at in range(0, len(body), step):
        total[0] = at + step
        yield body[at : at + step]


async def stops_growing(total: list[int], wait: float = 0.15) -> int:
    """Wait until a count has stood still for a while."""
    before = -1
    while before != total[0]:
        before = total[0]
        await asyncio.sleep(wait)
    return before


@pytest.mark.parametrize("limits", [None, SMALL], ids=["default", "small"])
@pytest.mark.parametrize("size", [65_535, 65_536, 3_000_000])
def test_large_bodies_arrive_whole(lab: Lab, wire: Wire, limits: Limits, size: int) -> None:
    async def main() -> None:
        body = blob(size)

        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == body
            await request.respond(200, [], body)

        async with lab.pair(wire, handle, limits=limits, client_limits=limits) as client:
            response = await client.request("POST", "/", [], body)
            assert await response.payload.read() == body

    lab.run(main())


@pytest.mark.parametrize("limits", [None, SMALL], ids=["default", "small"])
def test_upload_waits_for_a_server_that_does_not_read(
    lab: Lab, wire: Wire, limits: Limits | None
) -> None:
    async def main() -> None:
        body = blob(12_000_000)
        total = [0]
        go_on = asyncio.Event()
        got = []

        async def handle(request: aio.Request) -> None:
            await go_on.wait()
            while data := await request.payload.read(100_000):
                got.append(data)
            await request.respond(200)

        async with lab.pair(wire, handle, limits=limits) as client:
            asked = asyncio.ensure_future(
                client.request("POST", "/", [], counted(body, 10_000, total))
            )
            held = await stops_growing(total)
            # The window, and what the systems' buffers hold in HTTP/1.1.
            assert held < (1_000_000 if wire.http2 else 11_000_000)
            go_on.set()
            assert (await asked).code == 200
        assert b"".join(got) == body

    lab.run(main())


def test_response_waits_for_a_client_that_does_not_read(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        body = blob(12_000_000)
        total = [0]

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], counted(body, 10_000, total))

        async with lab.pair(wire, handle, client_limits=SMALL) as client:
            response = await client.request("GET", "/")
            held = await stops_growing(total)
            assert held < (1_000_000 if wire.http2 else 11_000_000)
            assert await response.payload.read() == body

    lab.run(main())


def test_respond_waits_until_bytes_are_taken(lab: Lab) -> None:
    async def main() -> None:
        done: list[str] = []

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(100_000))
            done.append("responded")

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
            got = 0
            while got < 65_535:
                got += len((await peer.expect(f.DATA, 1)).payload)
            await asyncio.sleep(0.02)
            assert (got, done) == (65_535, [])
            # Only both windows together let it go on.
            peer.send(peer.pen.window_update(1, 100_000))
            await asyncio.sleep(0.02)
            assert done == []
            peer.send(peer.pen.window_update(0, 100_000))
            flags = 0
            while got < 100_000:
                data = await peer.expect(f.DATA, 1)
                got += len(data.payload)
                flags = data.flags
            assert flags & f.END_STREAM
            await until(lambda: done, "respond()")

    lab.run(main())


def test_larger_initial_window_wakes_writers(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"x" * 1000)

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url, {f.INITIAL_WINDOW_SIZE: 0}) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                assert not (await peer.expect(f.HEADERS, 1)).flags & f.END_STREAM
                await asyncio.sleep(0.02)
                peer.send(peer.pen.settings({f.INITIAL_WINDOW_SIZE: 600}))
                assert len((await peer.expect(f.DATA, 1)).payload) == 600
                peer.send(peer.pen.settings({f.INITIAL_WINDOW_SIZE: 2000}))
                assert len((await peer.expect(f.DATA, 1)).payload) == 400

    lab.run(main())


def test_streams_share_the_connection_window(lab: Lab) -> None:
    """None of those that wait gets all of it, and none gets nothing."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(1_000_000))

        async with lab.serving(HTTP2, handle) as url:
            settings = {f.INITIAL_WINDOW_SIZE: 1_000_000}
            async with await Peer.connect_http2(url, settings) as peer:
                streams = [1, 3, 5, 7]
                for stream in streams:
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                got = dict.fromkeys(streams, 0)
                sent = 65_535
                for _ in range(16):
                    while sum(got.values()) < sent:
                        data = await peer.expect(f.DATA)
                        got[data.stream] += len(data.payload)
                    peer.send(peer.pen.window_update(0, 65_536))
                    sent += 65_536
                assert max(got.values()) - min(got.values()) <= 2 * 65_536

    lab.run(main())


def test_writers_take_turns_when_the_transport_was_full(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(8_000_000))

        async with lab.serving(HTTP2, handle) as url:
            settings = {f.INITIAL_WINDOW_SIZE: 8_000_000}
            async with await Peer.connect_http2(url, settings) as peer:
                peer.send(peer.pen.window_update(0, f.MAX_WINDOW - 65_535))
                for stream in (1, 3, 5):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                got = {1: 0, 3: 0, 5: 0}
                await asyncio.sleep(0.1)
                while sum(got.values()) < 20_000_000:
                    data = await peer.expect(f.DATA)
                    got[data.stream] += len(data.payload)
                    if data.flags & f.END_STREAM:
                        break
                assert min(got.values()) > 4_000_000

    lab.run(main())


def test_one_unread_stream_does_not_block_the_others(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(1_000_000))

        limits = Limits(initial_window_size=65_535, connection_window=200_000)
        async with lab.pair(HTTP2, handle, client_limits=limits) as client:
            unread = await client.request("GET", "/")
            for _ in range(3):
                response = await client.request("GET", "/")
                assert len(await response.payload.read()) == 1_000_000
            assert len(await unread.payload.read()) == 1_000_000

    lab.run(main())


def test_unread_streams_that_ended_give_the_window_back(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(50_000))

        async with lab.pair(HTTP2, handle, client_limits=SMALL) as client:
            responses = [await client.request("GET", "/") for _ in range(20)]
            await asyncio.sleep(0.05)
            for response in responses:
                assert len(await response.payload.read()) == 50_000

    lab.run(main())


def test_http1_responses_that_nobody_reads_do_not_block_the_next(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(100_000))

        async with lab.pair(HTTP1, handle) as client:
            responses = [await client.request("GET", "/") for _ in range(20)]
            for response in responses:
                assert len(await response.payload.read()) == 100_000

    lab.run(main())


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 300_000])
def test_more_can_be_asked_for_than_a_window_holds(lab: Lab, wire: Wire, size: int) -> None:
    async def main() -> None:
        body = blob(300_000)

        async def handle(request: aio.Request) -> None:
            start = await request.payload.readexactly(size)
            await request.respond(200, [], start + await request.payload.read())

        async with lab.pair(wire, handle, limits=SMALL) as client:
            response = await client.request("POST", "/", [], body)
            assert await response.payload.read() == body

    lab.run(main())


def test_longest_line(lab: Lab, wire: Wire) -> None:
    """64 KiB: one octet more than the smallest window."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            line = await request.payload.readline()
            with pytest.raises(ValueError, match="limit"):
                await request.payload.readline()
            rest = await request.payload.read()
            await request.respond(200, [("x-line", str(len(line))), ("x-rest", str(len(rest)))])

        async with lab.pair(wire, handle, limits=SMALL) as client:
            body = b"x" * 65_536 + b"\n" + b"y" * 100_000 + b"\nrest"
            headers = dict((await client.request("POST", "/", [], body)).headers)
            assert headers["x-line"] == "65537"
            # As in asyncio: how much of an overlong line is dropped depends on what had come.
            assert int(headers["x-rest"]) <= 100_000 + 5 - 65_536

    lab.run(main())


def test_window_updates_are_few(lab: Lab) -> None:
    """At most one per half window and stream, and per half window of the connection."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            while await request.payload.read(1000):
                pass
            await request.respond(200)

        # This peer takes no notice of SETTINGS, so that its windows must not be lowered.
        fixed = replace(SMALL, max_stream_window=0, max_connection_window=0, max_unread_window=0)
        async with lab.serving(HTTP2, handle, limits=fixed) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST))
                left = {0: 65_535, 1: 65_535}
                for _ in range(100):
                    while min(left.values()) < 10_000:
                        update = await peer.expect(f.WINDOW_UPDATE)
                        left[update.stream] += update.increment
                    peer.send(peer.pen.data(1, bytes(10_000)))
                    left[0] -= 10_000
                    left[1] -= 10_000
                updates = [each for each in peer.seen if each.type == f.WINDOW_UPDATE]
                assert 20 <= len(updates) <= 2 * 1_000_000 // 32_768 + 4

    lab.run(main())


def test_client_that_never_reads_is_not_buffered_for(lab: Lab) -> None:
    """Requests whose responses are never read: they wait, the transport's buffer stays small."""

    async def main() -> None:
        answered = 0

        async def handle(request: aio.Request) -> None:
            nonlocal answered
            await request.respond(200, [], bytes(60_000))
            answered += 1

        limits = Limits(initial_window_size=65_535, max_concurrent_streams=1000)
        async with lab.serving(HTTP2, handle, limits=limits) as url:
            peer = await Peer.connect_http2(url)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport has it
            peer.send(peer.pen.window_update(0, f.MAX_WINDOW - 65_535))
            for n in range(500):
                peer.send(peer.pen.headers(2 * n + 1, f.REQUEST, end_stream=True))
            before = -1
            while before != answered:
                before = answered
                await asyncio.sleep(0.1)
            assert answered < 250
            peer.writer.transport.abort()

    lab.run(main())


def test_client_that_pings_and_never_reads_is_cut_off(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        limits = Limits(glitch_budget=None)
        async with lab.serving(HTTP2, handle, limits=limits) as url:
            peer = await Peer.connect_http2(url)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport has it
            pings = peer.pen.ping() * 10_000
            for _ in range(300):
                peer.send(pings)
                try:
                    await asyncio.wait_for(peer.writer.drain(), 10)
                except ConnectionError:
                    break
            else:
                raise AssertionError("50 MB of PING were answered into a buffer")
            peer.writer.transport.abort()

    lab.run(main())


class Counted:
    """A transport that counts what is written to it."""

    def __init__(self, real: asyncio.BaseTransport) -> None:
        self._real = real
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._real.write(data)  # type: ignore[attr-defined]  # every transport has it

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))


def test_one_write_for_all_responses_of_a_turn(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"hello")

        counted: list[Counted] = []

        class Counting(aio.Server):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                counted.append(Counted(transport))
                super().connection_made(counted[0])  # type: ignore[arg-type]  # acts like one

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Counting(handle), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with await Peer.connect_http2(url) as peer:
            await settle()
            counted[0].writes = 0
            peer.send(
                b"".join(peer.pen.headers(2 * n + 1, f.REQUEST, end_stream=True) for n in range(50))
            )
            while (await peer.expect(f.DATA)).stream != 99:
                pass
            assert counted[0].writes == 1
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)

    lab.run(main())


def test_requests_wait_for_the_server_to_allow_more(lab: Lab) -> None:
    async def main() -> None:
        most = 0
        running = 0

        async def handle(request: aio.Request) -> None:
            nonlocal most, running
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            await request.respond(200)
            running -= 1

        limits = Limits(max_concurrent_streams=3)
        async with lab.pair(HTTP2, handle, limits=limits) as client:
            assert (await client.request("GET", "/")).code == 200
            responses = await asyncio.gather(*(client.request("GET", "/") for _ in range(50)))
            assert [response.code for response in responses] == [200] * 50
            assert most == 3

    lab.run(main())


def test_requests_wait_for_settings(lab: Lab) -> None:
    """A limit of 0 keeps them waiting; a higher one lets as many go."""

    async def main() -> None:
        streams: list[int] = []

        async def script(peer: Peer) -> None:
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
            await asyncio.sleep(0.05)
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 2}))
            for _ in range(2):
                streams.append((await peer.expect(f.HEADERS)).stream)
            await asyncio.sleep(0.05)
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 10}))
            while len(streams) < 4:
                streams.append((await peer.expect(f.HEADERS)).stream)
            for stream in streams:
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            await asyncio.sleep(0.02)
            asked = [client.request("GET", "/") for _ in range(4)]
            for response in await asyncio.gather(*asked):
                assert response.code == 200
        assert streams == [1, 3, 5, 7]

    lab.run(main())


def test_a_hundred_requests_at_most_before_the_server_has_said_anything(lab: Lab) -> None:
    """Fewer it should not allow (RFC 9113 6.5.2); what goes beyond might come back refused."""

    async def main() -> None:
        async def heads(peer: Peer, count: int) -> None:
            """Read so many requests, without answering anything; no more must come."""
            while count:
                head = await peer.reader.readexactly(9)
                await peer.reader.readexactly(int.from_bytes(head[:3], "big"))
                count -= head[3] == f.HEADERS
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await peer.reader.read(1)

        async def script(peer: Peer) -> None:
            assert await peer.reader.readexactly(len(f.PREFACE)) == f.PREFACE
            await heads(peer, 100)
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 110}))
            await heads(peer, 10)
            peer.send(peer.pen.settings(ack=True))
            for stream in range(1, 220, 2):
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            answers = await asyncio.gather(*(client.request("GET", "/") for _ in range(110)))
            assert {answer.code for answer in answers} == {200}

    lab.run(main())


def test_one_write_for_all_requests_of_a_turn(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            assert (await client.request("GET", "/")).code == 200
            await settle()
            counted = Counted(client.transport)
            client.transport = counted  # type: ignore[assignment]  # acts like one
            answers = await asyncio.gather(*(client.request("GET", "/") for _ in range(50)))
            assert {answer.code for answer in answers} == {200}
            assert counted.writes == 1

    lab.run(main())


@pytest.mark.parametrize("octets", [False, True], ids=["frames", "octets"])
def test_one_connection_does_not_keep_the_loop(lab: Lab, octets: bool) -> None:
    """However much comes at once: others have their turns in between, and nothing is lost."""

    async def main() -> None:
        turns = 0
        spinning = True

        async def spin() -> None:
            nonlocal turns
            while spinning:
                turns += 1
                await asyncio.sleep(0)

        bodies: list[bytes] = []

        async def handle(request: aio.Request) -> None:
            bodies.append(await request.payload.read())
            await request.respond(200)

        bound = Limits(read_chunk=100) if octets else Limits(read_frames=5)
        async with lab.serving(HTTP2, handle, limits=bound) as url:
            async with await Peer.connect_http2(url) as peer:
                other = asyncio.ensure_future(spin())
                body = b"".join(peer.pen.data(1, b"%3d" % n) for n in range(400))
                before = turns
                # Small enough to come in one piece.
                body += peer.pen.data(1, b"", end_stream=True)
                peer.send(peer.pen.headers(1, f.POST) + body)
                peer.send(peer.pen.headers(3, f.REQUEST, end_stream=True))
                # (In either order: the second handler starts at once where tasks do.)
                heads = [await peer.expect(f.HEADERS) for _ in range(2)]
                assert {head.stream for head in heads} == {1, 3}
                spinning = False
                await other
        assert turns - before >= (4800 // 100 if octets else 400 // 5)
        assert sorted(bodies) == [b"", b"".join(b"%3d" % n for n in range(400))]

    lab.run(main())


def test_requests_that_wait_are_answered_before_the_end(lab: Lab) -> None:
    """A client that closes its sending side at once has asked all the same (HTTP/1.1)."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], await request.payload.read())

        async with lab.serving(HTTP1, handle, limits=Limits(read_chunk=7)) as url:
            async with await Peer.connect(url) as peer:
                request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n" + b"x" * 500
                peer.send(request)
                peer.writer.write_eof()
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert await peer.reader.readexactly(500) == b"x" * 500

    lab.run(main())


@pytest.mark.parametrize("more", [0, 100, 2_048, 2_049, 20_000])
def test_a_little_more_than_a_piece_is_parsed_at_once(lab: Lab, more: int) -> None:
    """TLS gives more than the bytes that were read from the socket: no rest is left for later."""

    async def main() -> None:
        transport = Transport()
        client = aio.Client(None, "a", "http", limits=Limits(read_chunk=16_384))
        client.connection_made(transport)
        asked = asyncio.create_task(client.request("GET", "/"))
        await settle()
        client.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 90000\r\n\r\n")
        response = await asked
        client.data_received(bytes(16_384 + more))
        assert transport.paused is (more > 16_384 // 8)
        assert len(await response.payload.readexactly(16_384 + more)) == 16_384 + more
        await settle()
        assert not transport.paused
        client.connection_lost(None)

    lab.run(main())


class Attempts(aio.Server):
    """Counts how often it tries to write data."""

    count = 0

    def write_data(self, stream: int, data: bytes | bytearray | memoryview, final: bool) -> int:
        Attempts.count += 1
        return super().write_data(stream, data, final)


async def attempts(change: Callable[[Peer, int], bytes], waiting: int) -> None:
    """A client sends this 200 times while so many responses wait for the windows of their streams:
    how often the server, which reads a frame at a time, tries to write. Then all goes out."""

    async def handle(request: aio.Request) -> None:
        await request.respond(200, [], bytes(5_000))

    bounds = Limits(read_frames=1)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Attempts(handle, limits=bounds), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with await Peer.connect_http2(url, {f.INITIAL_WINDOW_SIZE: 0}) as peer:
        for n in range(waiting):
            peer.send(peer.pen.headers(2 * n + 1, f.REQUEST, end_stream=True))
        for _ in range(waiting):
            await peer.expect(f.HEADERS)
        peer.send(peer.pen.window_update(0, 5_000 * waiting))
        await asyncio.sleep(0.02)
        Attempts.count = 0
        began = loop.time()
        peer.send(b"".join(change(peer, n) for n in range(200)) + peer.pen.ping(b"all sent"))
        while (got := await peer.frame()).type != f.PING:
            assert got.type in (f.SETTINGS, f.DATA)
        # Each stream once in the time that many take, and what is left of the beginning.
        most = 3 * waiting + (loop.time() - began) * 12_000
        assert Attempts.count <= most, f"{Attempts.count} attempts"
        peer.send(peer.pen.settings({f.INITIAL_WINDOW_SIZE: 10_000}))
        whole = 0
        while whole < waiting:
            whole += (await peer.expect(f.DATA)).flags & f.END_STREAM
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


def larger(peer: Peer, n: int) -> bytes:
    return peer.pen.settings({f.INITIAL_WINDOW_SIZE: n + 1})


def up_and_down(peer: Peer, n: int) -> bytes:
    return b"".join(peer.pen.settings({f.INITIAL_WINDOW_SIZE: size}) for size in (0, 50))


def of_all(peer: Peer, n: int) -> bytes:
    return peer.pen.window_update(0, 1)


def of_one(peer: Peer, n: int) -> bytes:
    return peer.pen.window_update(1, 1)


@pytest.mark.parametrize("change", [larger, up_and_down, of_all, of_one])
def test_changes_of_windows_do_not_ask_every_stream(
    lab: Lab, change: Callable[[Peer, int], bytes]
) -> None:
    """Those that nothing has changed for cost nothing; where it has for all, time passes."""

    lab.run(attempts(change, 90))
