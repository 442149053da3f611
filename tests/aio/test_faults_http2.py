"""Servers and clients of HTTP/2 in turmoil: GOAWAY upon GOAWAY, limits that go to nothing and come
back, resets that race with the last frame. Every request is answered, or fails with an error that
says whether it may have been processed; the connection is as good as before, or closed.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, by_hand, greet, settle, until

BODY = b"0123456789" * 3


async def hello(request: aio.Request) -> None:
    await request.respond(200, [], BODY)


async def answers(asked: list[asyncio.Task[aio.Response]]) -> list[int | Exception]:
    """What became of each: a status, or an error."""
    found: list[int | Exception] = []
    for each in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(each, aio.Response):
            found.append(each.code)
        else:
            assert isinstance(each, aio.ConnectionLostError | aio.StreamError), each
            found.append(each)
    return found


def begin(client: aio.Client, count: int) -> list[asyncio.Task[aio.Response]]:
    return [asyncio.create_task(client.request("GET", f"/{n}")) for n in range(count)]


# -- GOAWAY upon GOAWAY ----------------------------------------------------------------------------


def test_goaways_that_take_ever_more_back(lab: Lab) -> None:
    """From a promise to do all, down to four of ten: these are answered, the others may be sent
    again."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 19)
            for last in (f.MAX_ID, 19, 15, 15, 11, 7, 9, 7):
                peer.send(peer.pen.goaway(last))
            for stream in (1, 3, 5, 7):
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url:
            client = await lab.connect(HTTP2, url)
            found = await answers(begin(client, 10))
            assert found[:4] == [200] * 4
            for each in found[4:]:
                assert isinstance(each, aio.StreamError | aio.ConnectionLostError)
                assert each.retryable
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/late")
            assert caught.value.retryable
            await client.wait_closed()

    lab.run(main())


def test_goaways_without_end_from_a_server(lab: Lab) -> None:
    """All say the same; after a while that is enough."""

    async def main() -> None:
        ended = asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.goaway(f.MAX_ID) * 20_000)
            await peer.rest()
            ended.set()

        async with by_hand(script) as url:
            client = await lab.connect(HTTP2, url)
            (found,) = await answers(begin(client, 1))
            assert isinstance(found, aio.StreamError | aio.ConnectionLostError)
            assert not found.retryable  # it was sent, and nobody knows
            await client.wait_closed()
            await ended.wait()

    lab.run(main())


def test_goaways_from_a_client(lab: Lab) -> None:
    """It will take no more pushes; what it asked for it gets."""

    async def main() -> None:
        async with lab.serving(HTTP2, hello) as url:
            async with await Peer.connect_http2(url) as peer:
                for stream in range(1, 41, 2):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                    peer.send(peer.pen.goaway(0) * 5)
                for stream in range(1, 41, 2):
                    last = await peer.expect(f.DATA, stream)
                    assert last.payload == BODY
                    assert last.flags & f.END_STREAM

    lab.run(main())


# -- the limit of streams --------------------------------------------------------------------------


def test_limit_that_goes_up_and_down(lab: Lab) -> None:
    """Never more at once than allowed as the client knows it; nobody waits for ever."""

    async def main() -> None:
        known = asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
            await known.wait()
            stream = 1
            for room in (1, 0, 3, 0, 2, 0, 14):
                peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: room}))
                opened = list(range(stream, stream + 2 * room, 2))
                for each in opened:
                    await peer.expect(f.HEADERS, each)
                # Known before there is room for others.
                peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 0}))
                peer.send(peer.pen.ping())
                while not (await peer.expect(f.PING)).flags & f.ACK:
                    pass
                for each in opened:
                    peer.send(peer.pen.headers(each, f.RESPONSE, end_stream=True))
                stream += 2 * room
            heads = [each.stream for each in peer.seen if each.type == f.HEADERS]
            assert heads == list(range(1, 41, 2))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            await until(lambda: client.remote_settings.max_concurrent_streams == 0)
            known.set()
            assert await answers(begin(client, 20)) == [200] * 20

    lab.run(main())


def test_limit_of_nothing_and_requests_that_give_up(lab: Lab) -> None:
    """Those that wait can be cancelled; those that are left are served when there is room."""

    async def main() -> None:
        room = asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
            await room.wait()
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 1}))
            for stream in range(1, 11, 2):
                await peer.expect(f.HEADERS, stream)
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            await until(lambda: client.remote_settings.max_concurrent_streams == 0)
            asked = begin(client, 10)
            await settle()
            assert not any(each.done() for each in asked)
            for each in asked[::2]:
                each.cancel()
            room.set()
            assert await answers(asked[1::2]) == [200] * 5
            assert all(each.cancelled() for each in asked[::2])

    lab.run(main())


# -- resets that race with the last frame ----------------------------------------------------------


@pytest.mark.parametrize("code", [f.NO_ERROR, f.CANCEL, f.REFUSED_STREAM, f.INTERNAL_ERROR])
def test_resets_behind_the_last_frame_of_a_response(lab: Lab, code: int) -> None:
    """The response was complete: it is read whole, whatever the server says afterwards."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            for stream in range(1, 41, 2):
                await peer.expect(f.HEADERS, stream)
                answer = peer.pen.headers(stream, f.RESPONSE) + peer.pen.data(stream, BODY, True)
                peer.send(answer + peer.pen.rst(stream, code))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            for number in range(20):
                # Half of them have not said all they want to when the answer is complete.
                body = b"" if number % 2 else pieces()
                response = await client.request("POST", "/", [], body)
                assert await response.payload.read() == BODY
            assert not client.transport.is_closing()

    lab.run(main())


async def pieces() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(60)


@pytest.mark.parametrize("together", [True, False])
def test_resets_behind_the_last_frame_of_a_request(lab: Lab, together: bool) -> None:
    """In the same piece, or just after: its handler does not run, or is cancelled; others are
    answered."""

    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            if request.method == "GET":
                await hello(request)
                return
            try:
                assert await request.payload.read() == BODY
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                for stream in range(1, 41, 2):
                    request = peer.pen.headers(stream, f.POST) + peer.pen.data(stream, BODY, True)
                    peer.send(request)
                    if not together:
                        peer.send(peer.pen.ping())
                        await peer.expect(f.PING)
                        await settle()
                    peer.send(peer.pen.rst(stream))
                peer.send(peer.pen.headers(41, f.REQUEST, end_stream=True))
                assert (await peer.expect(f.DATA, 41)).payload == BODY
                if not together:
                    await until(lambda: len(ends) == 20, "cancelling")
            assert set(ends) <= {"cancelled"}

    lab.run(main())


def test_our_resets_race_with_the_last_frame(lab: Lab) -> None:
    """The client gives up at about the moment that the response ends, again and again."""

    async def main() -> None:
        running = 0

        async def handle(request: aio.Request) -> None:
            nonlocal running
            running += 1
            try:
                await asyncio.sleep(0)
                await hello(request)
            finally:
                running -= 1

        async with lab.pair(HTTP2, handle) as client:
            outcomes = set()
            for turns in range(200):
                asking = asyncio.create_task(client.request("GET", "/"))
                for _ in range(turns % 20):
                    await asyncio.sleep(0)
                if asking.done():
                    response = await asking
                    response.cancel()
                    try:
                        outcomes.add(await response.payload.read())
                    except aio.StreamError as error:
                        assert error.code == f.CANCEL
                        outcomes.add(b"cut off")
                else:
                    asking.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await asking
                    outcomes.add(b"cancelled")
            assert outcomes <= {BODY, b"cut off", b"cancelled"}
            assert len(outcomes) >= 2
            await until(lambda: running == 0, "the end of the handlers")
            response = await client.request("GET", "/")
            assert await response.payload.read() == BODY

    lab.run(main())


# -- turns -----------------------------------------------------------------------------------------


def test_chunks_of_one_octet_leave_others_their_turns(lab: Lab) -> None:
    """What costs much is worked off in smaller pieces than what does not."""
    chunks = 60_000

    async def main() -> None:
        most = total = 0

        async def handle(request: aio.Request) -> None:
            nonlocal most, total
            while data := await request.payload.read(1 << 20):
                most = max(most, len(data))
                total += len(data)
            await request.respond(200, [], BODY)

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            peer.send(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
            await peer.head()
        assert total == chunks
        assert most <= 12_000

    lab.run(main())
