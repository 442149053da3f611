"""The pool: which connections it makes, how requests share them, when they end."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cno import aio
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    HTTP2_TLS,
    Handler,
    Lab,
    Peer,
    Wire,
    by_hand,
    greet,
    settle,
    skip,
    until,
)

Work = Callable[[aio.Request], Any]


class House:
    """A handler that remembers who came on which connection."""

    def __init__(self, work: Work | None = None) -> None:
        self.conns: list[object] = []  # in order of their first requests
        self.paths: list[str] = []
        self.now = 0
        self.most = 0
        self._work = work

    async def __call__(self, request: aio.Request) -> None:
        if request.conn not in self.conns:
            self.conns.append(request.conn)
        self.paths.append(request.path)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self._work is not None:
                await self._work(request)
            body = await request.payload.read()
            await request.respond(200, [("x-path", request.path)], body or b"fine")
        finally:
            self.now -= 1


def pool_for(lab: Lab, wire: Wire, **options: Any) -> aio.Pool:
    if wire.tls:
        context = lab.certs.client()
        if not wire.http2:
            context.set_alpn_protocols(["http/1.1"])
        return aio.Pool(context, **options)
    return aio.Pool(force_http2=wire.http2, **options)


@asynccontextmanager
async def pooled(
    lab: Lab, wire: Wire, handler: Handler, *, server: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[aio.Pool, str]]:
    """A server, and a pool for it."""
    async with lab.serving(wire, handler, limits=server) as url:
        async with pool_for(lab, wire, **options) as pool:
            yield pool, url


async def get(pool: aio.Pool, url: str, **options: Any) -> bytes:
    async with await pool.request("GET", url, **options) as response:
        assert response.code == 200
        return await response.payload.read()


# -- requests --------------------------------------------------------------------------------------


def test_one_after_another_on_one_connection(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        house = House()
        async with pooled(lab, wire, house) as (pool, url):
            for n in range(5):
                response = await pool.request("POST", f"{url}/{n}?a=b#c", [("x", "y")], b"data")
                assert response.code == 200
                assert ("x-path", f"/{n}?a=b") in response.headers
                assert await response.payload.read() == b"data"
            assert pool.connections == len(house.conns) == 1
        assert pool.connections == 0

    lab.run(main())


def test_bodies_and_trailers_of_every_kind(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen: list[object] = []

        async def handle(request: aio.Request) -> None:
            seen.append(await request.payload.read())
            seen.append(request.trailers)
            await request.respond(200, [], b"", trailers=[("x-end", "1")])

        async def pieces() -> AsyncIterator[bytes]:
            yield b"some"
            yield b" data"

        channel: aio.Channel[bytes] = aio.Channel()
        channel.put_nowait(b"some data")
        channel.close()
        async with pooled(lab, wire, handle) as (pool, url):
            for data in (bytearray(b"some data"), pieces(), channel):
                response = await pool.request("PUT", url, [], data, trailers=[("x-sum", "9")])
                await skip(response.payload)
                assert response.trailers == [("x-end", "1")]
        assert seen == [b"some data", [("x-sum", "9")]] * 3

    lab.run(main())


def test_burst_shares_one_http2_connection(lab: Lab) -> None:
    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(0.005)

        house = House(work)
        for wire in (HTTP2, HTTP2_TLS):
            async with pooled(lab, wire, house) as (pool, url):
                got = await asyncio.gather(*(get(pool, f"{url}/{n}") for n in range(100)))
                assert got == [b"fine"] * 100
                assert pool.connections == 1
        assert len(house.conns) == 2
        assert house.most > 10

    lab.run(main())


def test_burst_takes_more_connections_when_it_has_to(lab: Lab) -> None:
    """Over TLS the first connection tells which protocol it is; then come the others."""

    async def main() -> None:
        gate = asyncio.Event()

        async def work(_: aio.Request) -> None:
            await gate.wait()

        house = House(work)
        context = lab.certs.client()
        async with lab.serving(HTTP1_TLS_ONLY, house) as url:
            async with aio.Pool(context, max_per_origin=7) as pool:
                asked = [asyncio.ensure_future(get(pool, f"{url}/{n}")) for n in range(30)]
                await until(lambda: house.now == 7, "seven at once")
                assert pool.connections == 7
                gate.set()
                assert await asyncio.gather(*asked) == [b"fine"] * 30
                assert pool.connections == 7
        assert house.most == 7
        assert len(house.conns) == 7

    lab.run(main())


HTTP1_TLS_ONLY = Wire("http1-tls", False, True)


def test_http1_is_bounded_for_each_origin(lab: Lab) -> None:
    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(0.001)

        house = House(work)
        async with pooled(lab, HTTP1, house, max_per_origin=3) as (pool, url):
            paths = [f"/{n}" for n in range(40)]
            got = await asyncio.gather(*(get(pool, url + path) for path in paths))
            assert got == [b"fine"] * 40
            assert pool.connections == 3
            assert sorted(house.paths) == sorted(paths)
        assert (house.most, len(house.conns)) == (3, 3)

    lab.run(main())


def test_first_come_first_served(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        async with pooled(lab, HTTP1, house, max_per_origin=1) as (pool, url):
            await asyncio.gather(*(get(pool, f"{url}/{n}") for n in range(20)))
        assert house.paths == [f"/{n}" for n in range(20)]

    lab.run(main())


def test_total_is_bounded_and_the_idle_make_room(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        async with (
            lab.serving(HTTP1, house) as one,
            lab.serving(HTTP1, house) as two,
            lab.serving(HTTP1, house) as three,
            aio.Pool(max_connections=2) as pool,
        ):
            for url in (one, two, three, one, three):
                assert await get(pool, url) == b"fine"
                await until(lambda: pool.connections <= 2, "an end")
            # `one` had to make room for `three`, and `two` for `one`.
            assert len(house.conns) == 4

    lab.run(main())


def test_those_that_wait_for_room_come_in_turn(lab: Lab) -> None:
    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(0.002)

        house = House(work)
        async with (
            lab.serving(HTTP1, house) as one,
            lab.serving(HTTP1, house) as two,
            lab.serving(HTTP1, house) as three,
            aio.Pool(max_connections=2) as pool,
        ):
            asked = [get(pool, f"{url}/{n}") for n in range(10) for url in (one, two, three)]
            assert await asyncio.gather(*asked) == [b"fine"] * 30
            numbers = [int(path[1:]) for path in house.paths]
            # None of the three has to wait for all of another's.
            assert max(abs(n - k // 3) for k, n in enumerate(numbers)) <= 3
        assert house.most <= 2

    lab.run(main())


def test_unread_responses_keep_an_http1_connection(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"x" * 3_000_000)

        async with pooled(lab, HTTP1, handle, max_per_origin=1) as (pool, url):
            held = await pool.request("GET", url)
            waiting = asyncio.ensure_future(get(pool, url))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            assert await skip(held.payload) == 3_000_000
            assert len(await waiting) == 3_000_000
            # One that is given up takes its connection along, but no longer its place.
            async with await pool.request("GET", url):
                pass
            assert len(await get(pool, url)) == 3_000_000

    lab.run(main())


# -- limits of streams -----------------------------------------------------------------------------


def test_waits_for_a_stream(lab: Lab) -> None:
    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(0.001)

        house = House(work)
        limits = Limits(max_concurrent_streams=4)
        async with pooled(lab, HTTP2, house, server=limits) as (pool, url):
            assert await get(pool, url) == b"fine"  # from here on the limit is known
            got = await asyncio.gather(*(get(pool, f"{url}/{n}") for n in range(50)))
            assert got == [b"fine"] * 50
        assert (house.most, len(house.conns)) == (4, 1)
        assert house.paths == ["/", *(f"/{n}" for n in range(50))]

    lab.run(main())


def test_burst_beyond_a_limit_not_known_yet(lab: Lab) -> None:
    """What is refused is asked again."""

    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(0.001)

        house = House(work)
        limits = Limits(max_concurrent_streams=4)
        async with pooled(lab, HTTP2, house, server=limits) as (pool, url):
            got = await asyncio.gather(*(get(pool, f"{url}/{n}") for n in range(100)))
            assert got == [b"fine"] * 100
        assert (house.most, len(house.conns)) == (4, 1)
        assert sorted(house.paths) == sorted(f"/{n}" for n in range(100))

    lab.run(main())


def test_limit_lowered_to_nothing_and_raised_again(lab: Lab) -> None:
    async def main() -> None:
        lowered, raised = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 2})
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 0}))
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            lowered.set()
            await raised.wait()
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 1}))
            for stream in (3, 5, 7):
                await peer.expect(f.HEADERS, stream)
                await asyncio.sleep(0.005)
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            assert (await pool.request("GET", url)).code == 200
            await lowered.wait()
            asked = [asyncio.ensure_future(pool.request("GET", url)) for _ in range(3)]
            await asyncio.sleep(0.02)
            assert not any(each.done() for each in asked)
            raised.set()
            assert [each.code for each in await asyncio.gather(*asked)] == [200] * 3

    lab.run(main())


# -- connections that end --------------------------------------------------------------------------


def test_goaway_moves_new_requests_to_a_new_connection(lab: Lab) -> None:
    async def main() -> None:
        told = asyncio.Event()
        finish = asyncio.Event()
        served: list[int] = []

        async def script(peer: Peer) -> None:
            served.append(len(served))
            mine = served[-1]
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            if mine:
                peer.send(peer.pen.headers(1, f.RESPONSE) + peer.pen.data(1, b"new", True))
                await peer.rest()
                return
            peer.send(peer.pen.headers(1, f.RESPONSE) + peer.pen.goaway(1))
            told.set()
            await finish.wait()
            peer.send(peer.pen.data(1, b"old", True))
            await peer.rest()

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            first = await pool.request("GET", url)
            await told.wait()
            assert await get(pool, url) == b"new"
            assert pool.connections == 2
            finish.set()
            assert await first.payload.read() == b"old"
            await until(lambda: pool.connections == 1, "the end of the first")
        assert served == [0, 1]

    lab.run(main())


def test_goaway_frees_those_that_wait(lab: Lab) -> None:
    """A connection that takes no more streams is nothing to wait for."""

    async def main() -> None:
        conns = 0

        async def script(peer: Peer) -> None:
            nonlocal conns
            conns += 1
            first = conns == 1
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 1})
            await peer.expect(f.HEADERS, 1)
            if first:
                peer.send(peer.pen.headers(1, f.RESPONSE))
                await asyncio.sleep(0.05)
                peer.send(peer.pen.goaway(1))
            else:
                peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            async with await pool.request("GET", url):
                async with asyncio.timeout(10):
                    assert (await pool.request("GET", url)).code == 200
                assert pool.connections == 2

    lab.run(main())


def test_goaway_that_one_has_seen_and_others_have_not(lab: Lab) -> None:
    """Who looks at an idle connection first, and finds it at its end, does not take along those
    who came meanwhile and just used it."""
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        await greet(peer)
        peers.append(peer)
        while True:
            asked = await peer.expect(f.HEADERS)
            await asyncio.sleep(0.02)  # a close would be known by now
            peer.send(peer.pen.headers(asked.stream, f.RESPONSE, end_stream=True))

    async def main() -> None:
        async with by_hand(script) as url:
            async with pool_for(lab, HTTP2) as pool:
                async with await pool.request("GET", url):
                    pass
                peers[0].send(peers[0].pen.goaway(f.MAX_ID))
                answers = await asyncio.gather(*(pool.request("GET", url) for _ in range(3)))
                assert [answer.code for answer in answers] == [200] * 3
        assert len(peers) == 2

    lab.run(main())


def test_what_was_never_processed_is_sent_again(lab: Lab) -> None:
    async def main() -> None:
        seen: list[list[tuple[str, str]]] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            while True:
                got = await peer.expect(f.HEADERS)
                await peer.expect(f.DATA, got.stream)
                seen.append([])
                if len(seen) == 1:
                    peer.send(peer.pen.rst(got.stream, f.REFUSED_STREAM))
                elif len(seen) == 2:
                    peer.send(peer.pen.goaway(0))
                    await peer.rest()
                    return
                else:
                    peer.send(peer.pen.headers(got.stream, f.RESPONSE, end_stream=True))

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            assert (await pool.request("POST", url, [], b"data")).code == 200
        assert len(seen) == 3

    lab.run(main())


def test_retries_are_bounded(lab: Lab) -> None:
    async def main() -> None:
        seen = 0

        async def script(peer: Peer) -> None:
            nonlocal seen
            await greet(peer)
            while True:
                got = await peer.expect(f.HEADERS)
                seen += 1
                peer.send(peer.pen.rst(got.stream, f.REFUSED_STREAM))

        async with by_hand(script) as url, aio.Pool(force_http2=True, retries=2) as pool:
            with pytest.raises(aio.StreamError) as caught:
                await pool.request("GET", url)
            assert caught.value.retryable
        assert seen == 3

    lab.run(main())


@pytest.mark.parametrize("asked", [False, True])
def test_bodies_are_sent_again_only_from_their_beginning(lab: Lab, asked: bool) -> None:
    async def main() -> None:
        steps: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            steps.append("begun")
            try:
                yield b"data"
            finally:
                steps.append("left")

        async def script(peer: Peer) -> None:
            await greet(peer)
            got = await peer.expect(f.HEADERS)
            if asked:
                await peer.expect(f.DATA)
            peer.send(peer.pen.rst(got.stream, f.REFUSED_STREAM))
            got = await peer.expect(f.HEADERS)
            steps.append("again")
            peer.send(peer.pen.headers(got.stream, [(":status", "100")]))
            await peer.expect(f.DATA)
            peer.send(peer.pen.headers(got.stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        patient = [] if asked else [("expect", "100-continue")]
        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            if asked:
                with pytest.raises(aio.StreamError) as caught:
                    await pool.request("POST", url, patient, body())
                assert caught.value.retryable
                assert steps == ["begun", "left"]
            else:
                assert (await pool.request("POST", url, patient, body())).code == 200
                await until(lambda: len(steps) == 3)
                assert steps == ["again", "begun", "left"]

    lab.run(main())


def test_goaway_storm_ends(lab: Lab) -> None:
    """A server that sends everybody away, again and again, before or after their requests."""

    async def main() -> None:
        conns = 0

        async def script(peer: Peer) -> None:
            nonlocal conns
            conns += 1
            if conns % 2:
                await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
            else:
                await greet(peer)
            peer.send(peer.pen.goaway(0))
            await peer.rest()

        async with by_hand(script) as url, aio.Pool(force_http2=True, retries=3) as pool:
            asked = [pool.request("GET", url) for _ in range(5)]
            for error in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(
                    error, aio.ConnectError | aio.StreamError | aio.ConnectionLostError
                )
                assert error.retryable
        assert conns <= 20

    lab.run(main())


def test_idle_connection_that_was_closed_is_not_used(lab: Lab) -> None:
    """The end of it lies in the socket; nobody has looked yet."""

    async def main() -> None:
        house = House()
        for wire in (HTTP1, HTTP2):
            async with pool_for(lab, wire) as pool:
                async with lab.serving(wire, house) as url:
                    assert await get(pool, url) == b"fine"
                port = int(url.rpartition(":")[2])
                # Not a turn of the loop between the end of the one and the next request.
                serve = aio.serve(house, HOST, port)
                async with serve:
                    assert await get(pool, url) == b"fine"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_burst_on_an_idle_connection_that_has_ended(lab: Lab, wire: Wire) -> None:
    """While one looks whether it is still there, nobody else uses it."""

    async def main() -> None:
        peers: list[Peer] = []

        async def script(peer: Peer) -> None:
            peers.append(peer)
            if not wire.http2:
                while True:
                    await peer.head()
                    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await greet(peer)
            while True:
                asked = await peer.expect(f.HEADERS)
                peer.send(peer.pen.headers(asked.stream, f.RESPONSE, end_stream=True))

        async with by_hand(script) as url, pool_for(lab, wire) as pool:
            assert (await pool.request("GET", url)).code == 200
            # At once, and without a word.
            number = peers[0].writer.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(number)) as sock:
                sock.shutdown(socket.SHUT_WR)
            answers = await asyncio.gather(*(pool.request("GET", url) for _ in range(5)))
            assert [answer.code for answer in answers] == [200] * 5
            assert len(peers) == (2 if wire.http2 else 6)

    lab.run(main())


def test_end_without_an_answer_says_so(lab: Lab) -> None:
    """An HTTP/1.1 connection that ends, when used again, without a byte: who knows? (What is
    idempotent is sent once more: see test_retry_rules.py.)"""

    async def main() -> None:
        seen: list[bytes] = []

        async def script(peer: Peer) -> None:
            seen.append(await peer.head())
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            seen.append(await peer.head())

        async with by_hand(script) as url, aio.Pool() as pool:
            assert (await pool.request("GET", url)).code == 200
            with pytest.raises(aio.ConnectionLostError) as caught:
                await pool.request("POST", url)
            assert not caught.value.retryable
            assert len(seen) == 2

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_connections_that_the_user_ends(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        house = House()
        async with pooled(lab, wire, house) as (pool, url):
            for n in range(4):
                response = await pool.request("GET", url)
                assert await response.payload.read() == b"fine"
                if n % 2:
                    response.conn.shutdown()
                else:
                    response.conn.close()
        assert len(house.conns) == 4

    lab.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine",
        b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nfine",
        b"HTTP/1.1 200 OK\r\n\r\nfine",
    ],
    ids=["close", "old", "unframed"],
)
def test_connections_for_one_request_each(lab: Lab, answer: bytes) -> None:
    async def main() -> None:
        conns = 0

        async def script(peer: Peer) -> None:
            nonlocal conns
            conns += 1
            await peer.head()
            peer.send(answer)

        async with by_hand(script) as url, aio.Pool(max_per_origin=2) as pool:
            got = await asyncio.gather(*(get(pool, url) for _ in range(6)))
            assert got == [b"fine"] * 6
        assert conns == 6

    lab.run(main())


def test_unasked_answers_end_a_connection(lab: Lab) -> None:
    """Such as 408 on one that is idle: it is no answer to the next request."""

    async def main() -> None:
        conns = 0

        async def script(peer: Peer) -> None:
            nonlocal conns
            conns += 1
            await peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
            if conns == 1:
                await asyncio.sleep(0.01)
                peer.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
            await peer.reader.read()

        async with by_hand(script) as url, aio.Pool() as pool:
            assert await get(pool, url) == b"fine"
            await until(lambda: pool.connections == 0, "the end")
            assert await get(pool, url) == b"fine"
        assert conns == 2

    lab.run(main())


def test_idle_ones_are_closed(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        limits = Limits(keepalive_timeout=0.05)
        for wire in (HTTP1, HTTP2):
            async with pooled(lab, wire, house, limits=limits) as (pool, url):
                await asyncio.gather(*(get(pool, url) for _ in range(3)))
                assert pool.connections >= 1
                held = await pool.request("GET", url + "/slow", [], None)
                await until(lambda: pool.connections <= 1, "their end")
                await held.payload.read()
                await until(lambda: pool.connections == 0, "its end")
                assert await get(pool, url) == b"fine"

    lab.run(main())


def test_idle_ones_are_kept_alive_by_pings(lab: Lab) -> None:
    """As long as they are answered; who does not, has gone."""

    async def main() -> None:
        pings = [0, 0]

        async def script(peer: Peer) -> None:
            mine = 0 if pings[0] == 0 else 1
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            while True:
                got = await peer.expect(f.PING)
                if not got.flags & f.ACK:
                    pings[mine] += 1
                    if mine or pings[0] < 3:
                        peer.send(peer.pen.ping(got.payload, ack=True))

        limits = Limits(ping_interval=0.04, ping_timeout=0.04)
        async with by_hand(script) as url, aio.Pool(force_http2=True, limits=limits) as pool:
            assert (await pool.request("GET", url)).code == 200
            await until(lambda: pings[0] == 3, "PINGs")
            await until(lambda: pool.connections == 0, "the end")
            assert (await pool.request("GET", url)).code == 200
            await until(lambda: pings[1] >= 3, "PINGs")
            assert pool.connections == 1

    lab.run(main())


# -- those who give up -----------------------------------------------------------------------------


def test_who_gives_up_takes_no_connect_along(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        async with pooled(lab, HTTP2_TLS, house) as (pool, url):
            asked = [asyncio.ensure_future(get(pool, url)) for _ in range(10)]
            await settle(2)
            for each in asked[:5]:
                each.cancel()
            got = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(each) for each in got[:5]] == [asyncio.CancelledError] * 5
            assert got[5:] == [b"fine"] * 5
            assert pool.connections == 1

    lab.run(main())


def test_who_gives_up_when_it_is_served_passes_it_on(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        async with pooled(lab, HTTP1, house, max_per_origin=1) as (pool, url):

            async def first() -> None:
                await get(pool, url)
                waiting[0].cancel()  # it has been given the connection by now, and has not run

            leading = asyncio.ensure_future(first())
            await settle(2)
            waiting = [asyncio.ensure_future(get(pool, f"{url}/{n}")) for n in range(3)]
            await leading
            assert await asyncio.gather(*waiting[1:]) == [b"fine"] * 2
            assert waiting[0].cancelled()
            assert len(house.conns) == 1

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_deadlines(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def work(request: aio.Request) -> None:
            if request.path == "/slow":
                await asyncio.sleep(60)

        soon = Limits(half_closed_timeout=0.02)
        async with pooled(lab, wire, House(work), server=soon) as (pool, url):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await pool.request("GET", url + "/slow")
            assert await get(pool, url) == b"fine"
            if wire.http2:
                assert pool.connections == 1

    lab.run(main())


# -- connections that cannot be made ---------------------------------------------------------------


def test_nobody_there(lab: Lab, free_port: int) -> None:
    async def main() -> None:
        async with aio.Pool() as pool:
            for scheme in ("http", "h2c"):
                url = f"{scheme}://{HOST}:{free_port}/"
                asked = [pool.request("GET", url) for _ in range(3)]
                for error in await asyncio.gather(*asked, return_exceptions=True):
                    assert isinstance(error, aio.ConnectError)
                    assert error.retryable
                    assert isinstance(error.__cause__, ConnectionRefusedError)
                    assert str(free_port) in str(error)
            assert pool.connections == 0

    lab.run(main())


def test_server_that_takes_no_more_connections(lab: Lab) -> None:
    """Those that there are have to do, for all."""

    async def main() -> None:
        gate = asyncio.Event()

        async def work(_: aio.Request) -> None:
            await gate.wait()

        house = House(work)
        loop = asyncio.get_running_loop()
        servers: list[aio.Server] = []

        def made() -> aio.Server:
            servers.append(aio.Server(house))
            return servers[-1]

        server = await loop.create_server(made, HOST, 0)
        url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        async with aio.Pool(max_per_origin=10) as pool:
            asked = [asyncio.ensure_future(get(pool, url)) for _ in range(2)]
            await until(lambda: house.now == 2)
            server.close()
            asked += [asyncio.ensure_future(get(pool, url)) for _ in range(20)]
            await asyncio.sleep(0.03)
            gate.set()
            assert await asyncio.gather(*asked) == [b"fine"] * 22
            assert len(house.conns) == 2
            for each in servers:
                each.close()
            await until(lambda: pool.connections == 0)
            with pytest.raises(aio.ConnectError):
                await get(pool, url)

    lab.run(main())


def test_certificates_are_checked(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, House()) as url, aio.Pool() as pool:
            with pytest.raises(aio.ConnectError) as caught:
                await pool.request("GET", url)
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)

    lab.run(main())


def test_connect_that_takes_too_long(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.read()  # and never says hello

        async with by_hand(script) as url:
            async with aio.Pool(limits=Limits(handshake_timeout=0.05)) as pool:
                with pytest.raises(aio.ConnectError) as caught:
                    await pool.request("GET", url.replace("http", "https"))
                assert isinstance(caught.value.__cause__, TimeoutError)

    lab.run(main())


def test_server_that_closes_at_once(lab: Lab) -> None:
    async def main() -> None:
        conns = 0

        async def script(peer: Peer) -> None:
            nonlocal conns
            conns += 1

        for force in (False, True):
            async with by_hand(script) as url, aio.Pool(force_http2=force) as pool:
                for _ in range(3):
                    with pytest.raises((aio.ConnectError, aio.ConnectionLostError)):
                        await pool.request("GET", url)
        assert conns <= 40  # six requests, none sent more than six times

    lab.run(main())


@pytest.mark.parametrize("url", ["", "/path", "ftp://h.test/", "http://"])
def test_urls_that_cannot_be_used(lab: Lab, url: str) -> None:
    async def main() -> None:
        async with aio.Pool() as pool:
            with pytest.raises(ValueError):  # noqa: PT011  # some texts are urllib's
                await pool.request("GET", url)

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_requests_that_must_not_be_sent(lab: Lab, wire: Wire) -> None:
    """They leave the connection free for others."""

    async def main() -> None:
        async with pooled(lab, wire, House(), max_per_origin=1) as (pool, url):
            for _ in range(3):
                with pytest.raises(UsageError):
                    await pool.request("GET", url, [("bad name", "x")])
            assert await get(pool, url) == b"fine"
            assert pool.connections == 1

    lab.run(main())


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_closing_lets_requests_finish(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def work(_: aio.Request) -> None:
            await gate.wait()

        house = House(work)
        async with lab.serving(wire, house) as url:
            pool = pool_for(lab, wire)
            asked = asyncio.ensure_future(get(pool, url))
            await until(lambda: house.now == 1)
            pool.close()
            with pytest.raises(UsageError):
                await pool.request("GET", url)
            gate.set()
            assert await asked == b"fine"
            await pool.wait_closed()
            assert pool.connections == 0
            await pool.aclose()

    lab.run(main())


def test_closing_fails_those_that_wait(lab: Lab) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def work(_: aio.Request) -> None:
            await gate.wait()

        house = House(work)
        async with lab.serving(HTTP1, house) as url:
            pool = aio.Pool(max_per_origin=1)
            asked = [asyncio.ensure_future(get(pool, url)) for _ in range(3)]
            await until(lambda: house.now == 1)
            closing = asyncio.ensure_future(pool.aclose())
            for each in asked[1:]:
                with pytest.raises(aio.ConnectionLostError) as caught:
                    await each
                assert caught.value.retryable
            gate.set()
            assert await asked[0] == b"fine"
            await closing

    lab.run(main())


@pytest.mark.parametrize("turns", range(1, 6))
def test_closing_while_a_connection_is_looked_at(lab: Lab, turns: int) -> None:
    """Whoever asked before the pool was closed is told that the request was not sent."""
    servers: list[aio.Server] = []

    async def handle(request: aio.Request) -> None:
        assert isinstance(request.conn, aio.Server)
        servers.append(request.conn)
        await request.respond(200, [], b"fine")

    async def main() -> None:
        async with lab.serving(HTTP1, handle) as url:
            pool = aio.Pool()
            assert await get(pool, url) == b"fine"
            number = servers[0].transport.get_extra_info("socket").fileno()
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as same:
                same.shutdown(socket.SHUT_WR)
            asked = asyncio.ensure_future(get(pool, url))
            await settle(turns)
            pool.close()
            with pytest.raises(aio.ConnectionLostError) as caught:
                await asked
            assert caught.value.retryable
            await pool.aclose()
            with pytest.raises(UsageError, match="the pool is closed"):
                await pool.request("GET", url)

    lab.run(main())


@pytest.mark.parametrize(
    "protocol", ["", "http/1.1", "h2"], ids=["clear", "http1-tls", "http2-tls"]
)
def test_closing_at_any_moment(lab: Lab, protocol: str) -> None:
    """The request that is being made is answered, or said not to have been sent."""

    async def main() -> None:
        context = lab.certs.client()
        context.set_alpn_protocols([protocol or "h2"])
        async with lab.serving(HTTP2_TLS if protocol else HTTP1, House()) as url:
            for turns in range(50):
                pool = aio.Pool(context)
                asked = asyncio.ensure_future(get(pool, url))
                await settle(turns)
                await pool.aclose()
                try:
                    assert await asked == b"fine"
                except UsageError as error:
                    assert turns == 0, error  # it had not been made
                except aio.ConnectionLostError as error:
                    assert error.retryable

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_origin_whose_last_connection_is_found_at_its_end(lab: Lab, wire: Wire) -> None:
    """The one that replaces it is kept for the requests to come."""

    async def main() -> None:
        house = House()
        async with pooled(lab, wire, house) as (pool, url):
            response = await pool.request("GET", url)
            await response.payload.read()
            response.conn.close()
            for _ in range(3):
                assert await get(pool, url) == b"fine"
        assert len(house.conns) == 2

    lab.run(main())


def test_closing_while_a_connection_is_replaced(lab: Lab) -> None:
    """Whoever waits for the new one is told."""

    async def main() -> None:
        first = True

        async def script(peer: Peer) -> None:
            nonlocal first
            if first:
                first = False
                for answer in (b"", b"content-length: 4\r\n"):
                    await peer.reader.readuntil(b"\r\n\r\n")
                    peer.send(b"HTTP/1.1 200 OK\r\n" + answer + b"\r\n" + b"fine" * bool(answer))
            await peer.rest()

        async def replaced() -> None:
            response = await pool.request("GET", "http://cno.test/")
            assert await response.payload.read() == b"fine"
            response.conn.close()
            await pool.request("GET", "http://cno.test/")

        async with by_hand(script) as proxy:
            pool = aio.Pool(
                proxy=proxy, proxy_tunnel=True
            )  # which does not answer the second CONNECT
            asked = asyncio.ensure_future(replaced())
            await asyncio.sleep(0.2)
            await pool.aclose()
            with pytest.raises(aio.ConnectionLostError):
                await asyncio.wait_for(asked, 5)

    lab.run(main())


def test_closing_while_connecting(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, House()) as url:
            pool = aio.Pool(lab.certs.client())
            asked = asyncio.ensure_future(pool.request("GET", url))
            await settle(2)
            await pool.aclose()
            with pytest.raises(aio.ConnectionLostError):
                await asked
            assert pool.connections == 0

    lab.run(main())


def test_leaving_by_an_exception_waits_for_nobody(lab: Lab) -> None:
    async def main() -> None:
        async def work(_: aio.Request) -> None:
            await asyncio.sleep(60)

        house = House(work)
        async with lab.serving(HTTP2, house) as url:
            pool = aio.Pool(force_http2=True)
            asked = asyncio.ensure_future(get(pool, url))
            await until(lambda: house.now == 1)
            with pytest.raises(ZeroDivisionError):
                async with pool:
                    raise ZeroDivisionError
            with pytest.raises(aio.ConnectionLostError) as caught:
                await asked
            assert not caught.value.retryable

    lab.run(main())


# -- pushes, and ways to the server ----------------------------------------------------------------


@pytest.mark.parametrize("wanted", [False, True])
def test_pushes_only_if_asked_for(lab: Lab, wanted: bool) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                request.push("GET", "/pushed")
            await request.respond(200, [], request.path.encode())

        async with pooled(lab, HTTP2, handle, pushes=wanted) as (pool, url):
            response = await pool.request("GET", url)
            pushed = [await (await push.response).payload.read() async for push in response.pushed]
            assert pushed == ([b"/pushed"] if wanted else [])

    lab.run(main())


def test_credentials_of_urls(lab: Lab) -> None:
    async def main() -> None:
        seen: list[list[str]] = []

        async def handle(request: aio.Request) -> None:
            seen.append([value for name, value in request.headers if name == "authorization"])
            await request.respond(200)

        async with pooled(lab, HTTP1, handle) as (pool, url):
            named = url.replace("//", "//Aladdin:open%20sesame@")
            await get(pool, named)
            await get(pool, named, headers=[("Authorization", "Own")])
            await get(pool, url)
            assert pool.connections == 1
        assert seen == [["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], ["Own"], []]

    lab.run(main())


@pytest.mark.parametrize("bounds", [{"max_connections": 0}, {"max_per_origin": 0}])
def test_a_pool_needs_room(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="room"):
        aio.Pool(**bounds)  # type: ignore[arg-type]  # of the mapping's values
