"""The order of bodies when a window or the transport is the bottleneck (RFC 9218)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, by_hand, greet, until

WINDOW = 65_535
QUANTUM = 65_536

#: The streams' own windows are never what holds a response back here.
WIDE = {f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}


async def handle(request: aio.Request) -> None:
    """/SIZE is answered with so many octets, /SIZE/PIECE piece by piece, with the priority that
    `x-reply` says."""
    fields = dict(request.headers)
    reply = [("priority", fields["x-reply"])] if "x-reply" in fields else []
    if request.method == "CONNECT":
        async with await request.upgrade() as tunnel:
            await tunnel.write(bytes(500_000))
        return
    size, _, piece = request.path[1:].partition("/")
    if piece:
        await request.respond(200, reply, pieces(int(size), int(piece)))
    else:
        await request.respond(200, reply, bytes(int(size)))


async def pieces(size: int, piece: int) -> AsyncIterator[bytes]:
    for _ in range(size // piece):
        yield bytes(piece)


class Client(Peer):
    """A client whose connection window is used up, until `let` lets more come."""

    @classmethod
    async def begin(cls, url: str) -> "Client":
        peer = await cls.connect(url)
        assert isinstance(peer, Client)
        peer.send(f.PREFACE + peer.pen.settings(WIDE))
        await peer.expect(f.SETTINGS)
        peer.ask(1, f"/{WINDOW}")
        while not (await peer.expect(f.DATA)).flags & f.END_STREAM:
            pass
        return peer

    async def __aenter__(self) -> "Client":
        return self

    def ask(self, stream: int, path: str, *more: tuple[str, str]) -> None:
        self.send(
            self.pen.headers(stream, [*f.REQUEST[:3], (":path", path), *more], end_stream=True)
        )

    async def wait(self, *, small: int = 99_999) -> None:
        """Until all that was asked for has been looked at, and waits in line."""
        self.ask(small, "/0")
        await self.expect(f.HEADERS, small)

    async def let(self, size: int) -> list[int]:
        """Let so many octets come; which streams they came on, 1,000 octets after another."""
        self.send(self.pen.window_update(0, size))
        order: list[int] = []
        left = size
        while left > 0:
            got = await self.expect(f.DATA)
            left -= len(got.payload)
            order += [got.stream] * round(len(got.payload) / 1000)
        return order


def runs(order: list[int]) -> list[int]:
    """The streams in the order they came, each run of one stream as one."""
    return [stream for n, stream in enumerate(order) if n == 0 or order[n - 1] != stream]


def play(
    lab: Lab,
    *streams: tuple[int, str] | tuple[int, str, str],
    update: str = "",
    size: int = 300_000,
) -> list[int]:
    """Responses of 100,000 octets (or by a third item's path) for (stream, priority) wait in line;
    which streams come when the window opens for `size` of them."""

    async def main() -> list[int]:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            for stream, priority, *path in streams:
                fields = [("priority", priority)] if priority else []
                peer.ask(stream, path[0] if path else "/100000", *fields)
            await peer.wait()
            if update:
                stream_of, _, value = update.partition(":")
                peer.send(peer.pen.priority_update(int(stream_of), value))
            return await peer.let(size)

    return lab.run(main())


# -- order -----------------------------------------------------------------------------------------


def test_the_more_urgent_goes_first(lab: Lab) -> None:
    order = play(lab, (3, "u=7"), (5, "u=2"), (7, "u=3"), (9, "u=0"), size=400_000)
    assert runs(order) == [9, 5, 7, 3]


def test_one_after_the_other_by_stream(lab: Lab) -> None:
    assert runs(play(lab, (3, "u=1"), (5, "u=1"), (7, "u=1"))) == [3, 5, 7]


def test_order_of_streams_not_of_responses(lab: Lab) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def late(request: aio.Request) -> None:
            if dict(request.headers).get("x-late"):
                await go_on.wait()
            await handle(request)

        async with lab.serving(HTTP2, late) as url, await Client.begin(url) as peer:
            peer.ask(3, "/100000", ("priority", "u=1"), ("x-late", "yes"))
            peer.ask(5, "/100000", ("priority", "u=1"))
            await peer.wait(small=101)
            go_on.set()
            await peer.wait(small=103)
            assert runs(await peer.let(200_000)) == [3, 5]

    lab.run(main())


def shares(order: list[int]) -> dict[int, int]:
    return {stream: order.count(stream) for stream in sorted(set(order))}


def assert_even(order: list[int], *streams: int) -> None:
    """All of these have had about as much, at any time (in thousands of octets)."""
    for n in range(0, len(order), 50):
        counts = [order[:n].count(stream) for stream in streams]
        assert max(counts) - min(counts) <= 2 * QUANTUM / 1000, (n, counts)
    assert set(order) == set(streams)


LARGE = "/1000000"


def test_incremental_ones_take_turns(lab: Lab) -> None:
    same = [(stream, "u=4, i", LARGE) for stream in (3, 5, 7)]
    assert_even(play(lab, *same, size=900_000), 3, 5, 7)


def test_first_of_the_others_takes_turns_with_them(lab: Lab) -> None:
    mixed = [(3, "i", LARGE), (5, "u=3", LARGE), (7, "u=3", LARGE), (9, "u=3, i", LARGE)]
    assert_even(play(lab, *mixed, size=900_000), 3, 5, 9)


def test_clients_that_say_nothing_get_equal_shares(lab: Lab) -> None:
    silent = [(stream, "", LARGE) for stream in (3, 5, 7)]
    assert_even(play(lab, *silent, size=900_000), 3, 5, 7)


def test_to_say_nothing_means_the_default_once_something_is_said(lab: Lab) -> None:
    order = play(lab, (3, ""), (5, "u=4"), (7, ""), (9, "u=2"), size=400_000)
    assert runs(order) == [9, 3, 7, 5]


@pytest.mark.parametrize(
    "nonsense", ["u=8", "u=x", "u=1,", "u", "i=1, u=-1", "u=1, x=" + "x" * 300]
)
def test_nonsense_is_the_default(lab: Lab, nonsense: str) -> None:
    assert runs(play(lab, (3, "u=4"), (5, nonsense), (7, "u=2"))) == [7, 5, 3]


def test_two_fields_are_one(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            peer.ask(3, "/100000", ("priority", "u=4"))
            peer.ask(5, "/100000", ("priority", "u=6"), ("priority", "u=1"))
            await peer.wait()
            assert runs(await peer.let(200_000)) == [5, 3]

    lab.run(main())


def test_the_response_knows_better(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            peer.ask(3, LARGE, ("priority", "u=5, i"))
            peer.ask(5, LARGE, ("priority", "u=6, i"), ("x-reply", "u=5"))  # still incremental
            peer.ask(7, "/100000", ("priority", "u=7"), ("x-reply", "u=0"))
            peer.ask(9, "/100000", ("x-reply", "i"))
            await peer.wait()
            assert runs(await peer.let(200_000)) == [7, 9]
            assert_even(await peer.let(900_000), 3, 5)

    lab.run(main())


def test_tunnels_share(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            peer.ask(3, LARGE, ("priority", "u=3"))
            for stream in (5, 7):
                fields = [(":method", "CONNECT"), (":authority", "x:1"), ("priority", "u=3")]
                peer.send(peer.pen.headers(stream, fields))
                await peer.expect(f.HEADERS, stream)
            await peer.wait()
            assert_even(await peer.let(900_000), 3, 5, 7)

    lab.run(main())


def test_bodies_in_pieces_keep_their_place(lab: Lab) -> None:
    """A writer that is not in line at the moment, because it makes its next piece."""
    streams = [(3, "u=5", "/200000/1000"), (5, "u=1", "/200000/1000"), (7, "u=1", "/200000/50000")]
    order = play(lab, *streams, size=600_000)
    assert runs(order) == [5, 7, 3]


# -- PRIORITY_UPDATE -------------------------------------------------------------------------------


def test_update_of_what_waits(lab: Lab) -> None:
    assert runs(play(lab, (3, "u=1"), (5, "u=2"), (7, "u=3"), update="7:u=0")) == [7, 3, 5]
    assert runs(play(lab, (3, "u=1"), (5, "u=2"), (7, "u=3"), update="3:u=7")) == [5, 7, 3]
    # What it does not name is at its default.
    assert runs(play(lab, (3, "u=1"), (5, "u=2"), (7, "u=4"), update="3:")) == [5, 3, 7]


def test_update_without_a_word_before(lab: Lab) -> None:
    assert runs(play(lab, (3, ""), (5, ""), (7, ""), update="5:u=2")) == [5, 3, 7]


def test_update_that_is_nonsense_changes_nothing(lab: Lab) -> None:
    assert runs(play(lab, (3, "u=1"), (5, "u=2"), (7, "u=3"), update="7:u=,")) == [3, 5, 7]


def test_update_ahead_of_the_request(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            peer.send(peer.pen.priority_update(7, "u=5") + peer.pen.priority_update(5, "u=7"))
            peer.send(peer.pen.priority_update(7, "u=0"))  # the last one counts
            peer.ask(3, "/100000", ("priority", "u=1"))
            peer.ask(5, "/100000", ("priority", "u=0"))
            peer.ask(7, "/100000")
            await peer.wait()
            assert runs(await peer.let(300_000)) == [7, 3, 5]

    lab.run(main())


# -- the transport ---------------------------------------------------------------------------------


@pytest.mark.parametrize("small", ["/10", "/100000"])
def test_what_is_urgent_overtakes_what_is_large(lab: Lab, small: str) -> None:
    """Nor is it behind megabytes in the transport or the system."""

    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            peer.ask(3, "/50000000", ("priority", "u=5"))
            peer.send(peer.pen.window_update(0, f.MAX_WINDOW - WINDOW))
            await peer.expect(f.DATA, 3)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport has it
            await asyncio.sleep(0.1)
            # What is on its way by now has filled the buffers of this side, however large.
            peer.ask(5, small, ("priority", "u=1"))
            await asyncio.sleep(0.1)
            before = sum(len(each.payload) for each in peer.seen if each.stream == 3)
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
            while not (await peer.expect(f.DATA, 5)).flags & f.END_STREAM:
                pass
            ahead = sum(len(each.payload) for each in peer.seen if each.stream == 3) - before
            assert ahead < buffered(peer) + 1_000_000
            peer.writer.transport.abort()

    lab.run(main())


def buffered(peer: Peer) -> int:
    """Octets that this side's system may have taken in meanwhile."""
    import socket

    sock = peer.writer.get_extra_info("socket")
    size: int = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return size


@pytest.mark.parametrize("path", ["/20000000", "/20000000/10000"])
def test_others_have_their_turn_while_a_large_body_is_written(lab: Lab, path: str) -> None:
    """The loop is not held up by one response, however fast the client takes it."""

    async def main() -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with lab.pair(HTTP2, handle) as client:
            counting = asyncio.ensure_future(count())
            response = await client.request("GET", path)
            assert len(await response.payload.read()) == 20_000_000
            counting.cancel()
        assert turns > 20_000_000 // QUANTUM // 4

    lab.run(main())


def test_many_in_line(lab: Lab) -> None:
    """As many as a client may ask for at once, with small windows: all are served."""

    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url, await Client.begin(url) as peer:
            streams = range(3, 3 + 2 * 99, 2)
            for stream in streams:
                peer.ask(stream, "/5000", ("priority", f"u={stream % 8}, i"))
            ended: set[int] = set()
            while len(ended) < len(streams):
                peer.send(peer.pen.window_update(0, 3000))
                got = await peer.expect(f.DATA)
                if got.flags & f.END_STREAM:
                    ended.add(got.stream)
            assert ended == set(streams)

    lab.run(main())


# -- the client's side -----------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_client_tells_a_server_that_listens(lab: Lab, known: bool) -> None:
    async def main() -> None:
        told: list[f.Frame] = []

        async def script(peer: Peer) -> None:
            await greet(peer, {f.NO_RFC7540_PRIORITIES: 1} if known else {})
            while True:
                got = await peer.frame()
                if got.type == f.HEADERS:
                    peer.send(peer.pen.headers(got.stream, f.RESPONSE))
                elif got.type == f.PRIORITY_UPDATE:
                    told.append(got)
                elif got.type == f.RST_STREAM:
                    told.append(got)

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            response = await client.request("GET", "/", [("priority", "u=5")])
            response.reprioritize(1, incremental=True)
            response.reprioritize()
            for urgency in (-1, 8):
                with pytest.raises(UsageError):
                    response.reprioritize(urgency)
            response.cancel()
            response.reprioritize(2)
            await until(lambda: told and told[-1].type == f.RST_STREAM, "the reset")
        head = f.u32(1)
        updates = [(each.stream, each.payload) for each in told[:-1]]
        assert updates == ([(0, head + b"u=1, i"), (0, head + b"u=3")] if known else [])

    lab.run(main())


def test_client_of_http1_tells_nothing(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP1, handle) as client:
            response = await client.request("GET", "/100000", [("priority", "u=1")])
            response.reprioritize(2)
            assert len(await response.payload.read()) == 100_000
            response = await client.request("GET", "/5")
            assert await response.payload.read() == bytes(5)

    lab.run(main())


def test_ours_together(lab: Lab) -> None:
    """Our client to our server: what is asked for last, and most urgently, comes first."""

    async def main() -> None:
        order: list[str] = []

        async def get(client: aio.Client, path: str, priority: str) -> None:
            response = await client.request("GET", path, [("priority", priority)])
            if priority == "u=6":
                response.reprioritize(0)
            await response.payload.read()
            order.append(priority)

        wide = Limits(
            initial_window_size=16_777_216, connection_window=65_535, max_connection_window=65_535
        )
        async with lab.pair(HTTP2, handle, client_limits=wide) as client:
            wishes = ["u=7", "u=5", "u=6"]
            await asyncio.gather(*(get(client, "/10000000", each) for each in wishes))
        assert order == ["u=6", "u=5", "u=7"]

    lab.run(main())


def test_request_overtakes_an_upload(lab: Lab) -> None:
    """However full the transport is all the time."""

    async def main() -> None:
        ahead = -1

        async def script(peer: Peer) -> None:
            nonlocal ahead
            await greet(peer, WIDE)
            peer.send(peer.pen.window_update(0, f.MAX_WINDOW - WINDOW))
            taken = 0
            while True:
                got = await peer.frame()
                if got.type == f.DATA:
                    taken += len(got.payload)
                    if taken % 500_000 < len(got.payload):
                        await asyncio.sleep(0.001)
                elif got.type == f.HEADERS and got.stream == 3:
                    ahead = taken
                    peer.send(peer.pen.headers(3, f.RESPONSE, end_stream=True))
                if got.type == f.DATA and got.flags & f.END_STREAM:
                    peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            upload = asyncio.ensure_future(client.request("POST", "/", [], bytes(30_000_000)))
            await asyncio.sleep(0.01)
            assert (await client.request("GET", "/")).code == 200
            assert (await upload).code == 200
        assert 0 < ahead < 20_000_000

    lab.run(main())
