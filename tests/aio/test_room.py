"""Bodies that nobody reads take no room from those that are read; and no more than is allowed."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP2, HTTP2_TLS, Lab, Peer, until

#: Streams with a body that nobody reads.
MANY = 99
BIG = bytes(3_000_000)
#: A server's windows: what they begin with, and what they may become.
WINDOW = 262_144
CONNECTION = 1_048_576
NARROW = 16_384
EQUAL = Limits()  # one stream may take all of the connection's window
BOUNDS = pytest.mark.parametrize(
    "bounds", [None, EQUAL, Limits(connection_window=200_000)], ids=["default", "equal", "small"]
)


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], BIG if request.path == "/big" else BIG[:100_000])


async def sizes(client: aio.Client, path: str, count: int) -> list[int]:
    """Ask for so many bodies, one after the other, and read them."""
    found = []
    for _ in range(count):
        async with await client.request("GET", path) as response:
            found.append(len(await response.payload.read()))
    return found


@BOUNDS
@pytest.mark.parametrize("count", [3, 9, MANY])
def test_responses_that_nobody_reads(lab: Lab, bounds: Limits | None, count: int) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2, answer, client_limits=bounds) as client:
            unread = [await client.request("GET", "/big") for _ in range(count)]
            assert await sizes(client, "/small", 20) == [100_000] * 20
            assert await sizes(client, "/big", 2) == [len(BIG)] * 2
            # And those are there when somebody comes for them.
            for response in unread[:5]:
                assert len(await response.payload.read()) == len(BIG)
            for response in unread[5:]:
                response.cancel()

    lab.run(main())


@BOUNDS
@pytest.mark.parametrize("count", [4, MANY])
def test_requests_that_nobody_reads(lab: Lab, bounds: Limits | None, count: int) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        waiting = 0

        async def handle(request: aio.Request) -> None:
            nonlocal waiting
            if request.path == "/later":
                waiting += 1
                await go_on.wait()
            total = 0
            while data := await request.payload.read(65_536):
                total += len(data)
            await request.respond(200, [("x-size", str(total))])

        async with lab.pair(HTTP2, handle, limits=bounds) as client:
            later = [
                asyncio.ensure_future(client.request("POST", "/later", [], BIG[:1_000_000]))
                for _ in range(count)
            ]
            await until(lambda: waiting == count)
            await asyncio.sleep(0.05)
            for _ in range(3):
                response = await client.request("POST", "/now", [], BIG)
                assert ("x-size", str(len(BIG))) in response.headers
            go_on.set()
            for each in later:
                assert ("x-size", "1000000") in (await each).headers

    lab.run(main())


def test_over_tls(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2_TLS, answer) as client:
            unread = [await client.request("GET", "/big") for _ in range(12)]
            assert await sizes(client, "/small", 5) == [100_000] * 5
            for response in unread:
                response.cancel()

    lab.run(main())


def test_streams_that_have_grown_and_are_no_longer_read(lab: Lab) -> None:
    """What they grow by leaves as much for the others."""

    async def main() -> None:
        endless = bytes(64_000_000)

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], endless if request.path == "/big" else BIG)

        bounds = Limits(max_stream_window=1_000_000, max_connection_window=2_000_000)
        async with lab.pair(HTTP2, handle, client_limits=bounds) as client:
            grown = [await client.request("GET", "/big") for _ in range(4)]
            for response in grown:
                got = 0
                while got < 8_000_000:
                    got += len(await response.payload.read(1 << 20))
            await asyncio.sleep(0.1)  # now they fill their windows
            assert await sizes(client, "/", 5) == [len(BIG)] * 5
            for response in grown:
                response.cancel()

    lab.run(main())


# -- what a peer can fill ------------------------------------------------------------------------


class Greedy(Peer):
    """Keeps books of the windows it has, and fills them."""

    initial = 65_535
    agrees = True

    async def listen(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                stream = int.from_bytes(head[5:], "big")
                got = f.Frame(head[3], head[4], stream, payload)
                self.seen.append(got)
                if got.type == f.WINDOW_UPDATE and stream in self.window:
                    self.window[stream] += got.increment
                elif got.type == f.SETTINGS and not got.flags & f.ACK and self.agrees:
                    self.send(self.pen.settings(ack=True))
                    change = dict(got.settings).get(f.INITIAL_WINDOW_SIZE, self.initial)
                    for each in range(1, 2 * MANY, 2):
                        self.window[each] += change - self.initial
                    self.initial = change

    async def fill(self) -> int:
        """Send all that the windows allow, for a while; how much that was."""
        self.window = dict.fromkeys([0, *range(1, 2 * MANY, 2)], 65_535)
        self.initial = 65_535
        self.send(f.PREFACE + self.pen.settings({}))
        listening = asyncio.ensure_future(self.listen())
        for stream in range(1, 2 * MANY, 2):
            self.send(self.pen.headers(stream, f.POST))
        loop = asyncio.get_running_loop()
        total = 0
        quiet = loop.time() + 0.4
        while loop.time() < quiet:
            await asyncio.sleep(0.01)
            self.agrees = self.willing or not total
            for stream in range(1, 2 * MANY, 2):
                while (size := min(16_384, self.window[0], self.window[stream])) > 0:
                    self.window[0] -= size
                    self.window[stream] -= size
                    total += size
                    self.send(self.pen.data(stream, bytes(size)))
                    quiet = loop.time() + 0.4
        self.writer.transport.abort()
        await listening
        return total

    window: dict[int, int]
    willing = True


@pytest.mark.parametrize("willing", [True, False], ids=["agrees", "ignores settings"])
def test_what_a_peer_can_fill_is_bounded(lab: Lab, willing: bool) -> None:
    """A server holds a bit for each stream, and what its windows began with."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(30)

        async with lab.serving(HTTP2, handle) as url:
            peer = await Greedy.connect(url)
            assert isinstance(peer, Greedy)
            peer.willing = willing
            total = await peer.fill()
            settings = [each for each in peer.seen if each.type == f.SETTINGS and each.payload]
            assert len(settings) == 2
            assert dict(settings[1].settings) == {f.INITIAL_WINDOW_SIZE: NARROW}
            if willing:
                assert CONNECTION < total <= CONNECTION + MANY * NARROW
            else:
                assert total <= CONNECTION

    lab.run(main())


@pytest.mark.parametrize("more", [0, 300_000])
def test_bound_can_be_set(lab: Lab, more: int) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(30)

        bounds = Limits(
            initial_window_size=WINDOW, connection_window=CONNECTION, max_unread_window=more
        )
        async with lab.serving(HTTP2, handle, limits=bounds) as url:
            peer = await Greedy.connect(url)
            assert isinstance(peer, Greedy)
            assert await peer.fill() == CONNECTION + more
            settings = [each for each in peer.seen if each.type == f.SETTINGS and each.payload]
            assert len(settings) == (2 if more else 1)

    lab.run(main())


def test_bodies_that_are_read_keep_their_windows(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            while await request.payload.read(65_536):
                pass
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            posts = [client.request("POST", "/", [], BIG) for _ in range(20)]
            for response in await asyncio.gather(*posts):
                assert response.code == 200
            assert client.remote_settings.initial_window_size == WINDOW

    lab.run(main())


# -- readers at random ---------------------------------------------------------------------------

PLANS = st.lists(
    st.lists(st.tuples(st.integers(0, 120_000), st.booleans()), max_size=6),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize("uploads", [False, True], ids=["responses", "requests"])
# (Each example runs in an event loop of its own.)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=PLANS, connection=st.sampled_from([65_535, 150_000]))
def test_readers_that_stop_and_resume(
    lab: Lab, uploads: bool, plans: list[list[tuple[int, bool]]], connection: int
) -> None:
    """Each reads according to its plan, and stops; then one more stream gets through, and all that
    go on come to their end."""
    size = 400_000
    bounds = replace(EQUAL, connection_window=connection)

    async def main() -> None:
        stopped = 0
        go_on = asyncio.Event()

        async def read(payload: asyncio.StreamReader, plan: list[tuple[int, bool]]) -> int:
            nonlocal stopped
            total = 0
            for step, rests in plan:
                total += len(await payload.read(step))
                if rests:
                    await asyncio.sleep(0.001)
            stopped += 1
            await go_on.wait()
            while data := await payload.read(100_000):
                total += len(data)
            return total

        async def handle(request: aio.Request) -> None:
            body = b""
            if request.path != "/" and uploads:
                total = await read(request.payload, plans[int(request.path[1:])])
                body = str(total).encode()
            elif uploads:
                body = str(len(await request.payload.read())).encode()
            else:
                body = BIG[:size]
            await request.respond(200, [], body)

        async def exchange(client: aio.Client, number: int | None) -> int:
            path = "/" if number is None else f"/{number}"
            data = BIG[:size] if uploads else b""
            response = await client.request("POST" if uploads else "GET", path, [], data)
            if uploads:
                return int(await response.payload.read())
            if number is None:
                return len(await response.payload.read())
            return await read(response.payload, plans[number])

        server = bounds if uploads else None
        ours = None if uploads else bounds
        async with lab.pair(HTTP2, handle, limits=server, client_limits=ours) as client:
            tasks = [asyncio.ensure_future(exchange(client, n)) for n in range(len(plans))]
            await until(lambda: stopped == len(plans), "the stop of all")
            assert await exchange(client, None) == size
            go_on.set()
            assert await asyncio.gather(*tasks) == [size] * len(plans)

    lab.run(main())
