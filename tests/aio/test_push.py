"""Server push: promised by a handler, answered by the same, taken or cancelled by the client."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, Lab, Peer, by_hand, greet, settle, until

PROMISED: list[tuple[str, str]] = [*f.REQUEST[:2], (":authority", "cno.test"), (":path", "/pushed")]


async def pusher(request: aio.Request) -> None:
    if request.path == "/":
        request.push("GET", "/a.css", [("accept", "text/css")])
        request.push("GET", "/b.js")
        await request.respond(200, [], b"page")
    else:
        fields = dict(request.headers)
        await request.respond(200, [("x-for", fields[":authority"])], request.path.encode())


def test_pushes_come_with_the_response(lab: Lab) -> None:
    async def main() -> None:
        for wire in (HTTP2, HTTP2_TLS):
            async with lab.pair(wire, pusher) as client:
                response = await client.request("GET", "/")
                pushes = []
                async for push in response.pushed:
                    assert isinstance(push, aio.Push)
                    pushes.append((push.method, push.path))
                    assert repr(push).startswith(f"<Push GET {push.path!r} stream=")
                    answer = await push.response
                    assert answer is await push.response
                    assert answer.code == 200
                    assert ("x-for", client.authority) in answer.headers
                    assert await answer.payload.read() == push.path.encode()
                    assert answer.stream % 2 == 0
                    fields = [(":scheme", wire.scheme), (":authority", client.authority)]
                    if push.path == "/a.css":
                        fields.append(("accept", "text/css"))
                    assert push.headers == fields
                assert pushes == [("GET", "/a.css"), ("GET", "/b.js")]
                assert await response.payload.read() == b"page"

    lab.run(main())


def test_push_overrides_what_it_inherits(lab: Lab) -> None:
    async def main() -> None:
        seen: list[aio.Request] = []

        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                same = dict(request.headers)[":authority"]
                request.push("HEAD", "/x?y=z", [(":authority", same), (":scheme", "https")])
            else:
                seen.append(request)
            await request.respond(200, [], b"body")

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            async for push in response.pushed:
                assert (push.method, push.path) == ("HEAD", "/x?y=z")
                assert push.headers[0] == (":scheme", "https")
                assert await (await push.response).payload.read() == b""
            assert [(r.method, r.path, r.stream) for r in seen] == [("HEAD", "/x?y=z", 2)]

    lab.run(main())


def test_no_pushes_where_there_can_be_none(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP1, pusher) as client:
            response = await client.request("GET", "/")
            assert [push async for push in response.pushed] == []
            assert await response.payload.read() == b"page"
        no_pushes = Limits(max_pushes=0)
        async with lab.pair(HTTP2, pusher, client_limits=no_pushes) as client:
            response = await client.request("GET", "/")
            assert [push async for push in response.pushed] == []

    lab.run(main())


def test_pushed_waits_for_what_comes_and_ends_with_the_response(lab: Lab) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            if request.path == "/":

                async def body() -> AsyncIterator[bytes]:
                    for n in range(3):
                        await go_on.wait()
                        go_on.clear()
                        request.push("GET", f"/{n}")
                        yield b"part"
                    await go_on.wait()

                await request.respond(200, [], body())
            else:
                await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            pushed = response.pushed
            assert pushed is response.pushed
            for n in range(3):
                coming = asyncio.ensure_future(anext(pushed))
                await asyncio.sleep(0.01)
                assert not coming.done()
                go_on.set()
                assert (await coming).path == f"/{n}"
            coming = asyncio.ensure_future(anext(pushed))
            await asyncio.sleep(0.01)
            assert not coming.done()
            go_on.set()
            for end in (coming, anext(pushed)):
                with pytest.raises(StopAsyncIteration):
                    await end

    lab.run(main())


def test_cancelled_push(lab: Lab) -> None:
    async def main() -> None:
        codes: list[tuple[int, int]] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            pen = peer.pen
            peer.send(pen.push_promise(1, 2, PROMISED) + pen.push_promise(1, 4, PROMISED))
            peer.send(pen.headers(1, f.RESPONSE))
            for _ in range(2):
                reset = await peer.expect(f.RST_STREAM)
                codes.append((reset.stream, reset.code))
            await peer.rest()

        async with by_hand(script) as url:
            async with await lab.connect(HTTP2, url) as client:
                client.authority = "cno.test"
                client.scheme = "https"
                response = await client.request("GET", "/")
                first = await anext(response.pushed)
                second = await anext(response.pushed)
                first.cancel()
                second.cancel(f.REFUSED_STREAM)
                try:
                    await first.response
                except aio.StreamError as error:
                    assert error.code == f.CANCEL
                else:
                    raise AssertionError("a response to a push that was cancelled")
                await until(lambda: len(codes) == 2, "the resets")
                response.cancel()
        assert codes == [(2, f.CANCEL), (4, f.REFUSED_STREAM)]

    lab.run(main())


def test_cancelled_push_cancels_its_handler(lab: Lab) -> None:
    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                request.push("GET", "/pushed")
                await request.respond(200)
                return
            try:
                await asyncio.sleep(60)
            finally:
                ends.append(request.path)

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            async for push in response.pushed:
                push.cancel()
            await until(lambda: ends, "cancelling")

    lab.run(main())


def unclaimed(lab: Lab, how: str) -> list[tuple[int, int]]:
    """Which streams are reset, and with which code, when a push is left unclaimed."""
    codes: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS, 1)
        pen = peer.pen
        peer.send(pen.push_promise(1, 2, PROMISED) + pen.headers(1, f.RESPONSE))
        peer.send(pen.data(1, b"body", end_stream=how != "cancel"))
        while True:
            reset = await peer.expect(f.RST_STREAM)
            codes.append((reset.stream, reset.code))

    async def main() -> None:
        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            client.authority = "cno.test"
            client.scheme = "https"
            response = await client.request("GET", "/")
            assert await response.payload.readexactly(4) == b"body"
            await settle()
            assert codes == []
            if how == "async with":
                async with response:
                    pass
            elif how == "cancel":
                response.cancel()
            elif how == "taken":
                taken = [push async for push in response.pushed]
                assert len(taken) == 1
            elif how == "let go":
                del response
            if how == "taken":
                await asyncio.sleep(0.05)
            else:
                await until(lambda: codes, "the reset")
                await settle()

    lab.run(main())
    return codes


def test_pushes_that_nobody_claims_are_cancelled(lab: Lab) -> None:
    assert unclaimed(lab, "async with") == [(2, f.CANCEL)]
    assert unclaimed(lab, "let go") == [(2, f.CANCEL)]
    assert sorted(unclaimed(lab, "cancel")) == [(1, f.CANCEL), (2, f.CANCEL)]
    assert unclaimed(lab, "taken") == []


def test_push_that_is_reset_before_its_handler_starts(lab: Lab) -> None:
    """It is never run, and nobody waits for its end."""

    async def main() -> None:
        if asyncio.get_running_loop().get_task_factory() is not None:
            return  # eager: it starts when it is pushed
        ran: list[str] = []

        async def handle(request: aio.Request) -> None:
            ran.append(request.path)
            if request.path == "/":
                request.push("GET", "/pushed")
                request.conn.write_reset(2, f.CANCEL)
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            assert (await client.request("GET", "/")).code == 200
        assert ran == ["/"]

    lab.run(main())


def test_client_says_that_it_takes_pushes(lab: Lab) -> None:
    async def main() -> None:
        said: list[list[tuple[int, int]]] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            said.extend(each.settings for each in peer.seen if each.type == f.SETTINGS)
            await peer.rest()

        async with by_hand(script) as url:
            for limits in (None, Limits(max_pushes=0)):
                async with await lab.connect(HTTP2, url, limits=limits):
                    await asyncio.sleep(0.02)
            await until(lambda: len(said) == 2, "the settings")
        assert (f.ENABLE_PUSH, 0) not in said[0]
        assert (f.ENABLE_PUSH, 0) in said[1]

    lab.run(main())


# -- pushes that nobody has asked for --------------------------------------------------------------


def test_unclaimed_pushes_take_no_room_from_responses(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                for n in range(40):
                    request.push("GET", f"/{n}")
            await request.respond(200, [], bytes(3_000_000))

        async with lab.pair(HTTP2, handle) as client:
            first = await client.request("GET", "/")
            await asyncio.sleep(0.05)
            for _ in range(4):
                response = await client.request("GET", "/other")
                assert len(await response.payload.read()) == 3_000_000
            # Those that came to too much have been cancelled; the first of the rest is here.
            pushed = [push async for push in taken(first, 40)]
            outcomes = [await asyncio.wait_for(outcome(push), 10) for push in pushed]
            assert "cancelled" in outcomes
            first.cancel()

    lab.run(main())


async def taken(response: aio.Response, most: int) -> AsyncIterator[aio.Push]:
    """The pushes that are there already."""
    pushed = response.pushed
    while most:
        try:
            yield await asyncio.wait_for(anext(pushed), 0.05)
        except (TimeoutError, StopAsyncIteration):
            return
        most -= 1


async def outcome(push: aio.Push) -> str:
    try:
        response = await push.response
        return str(len(await response.payload.read()))
    except aio.StreamError:
        return "cancelled"


def test_claimed_push_is_as_good_as_a_response(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                request.push("GET", "/pushed")
                await request.respond(200)
            else:
                await request.respond(200, [], bytes(9_000_000))

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            push = await anext(response.pushed)
            assert len(await (await push.response).payload.read()) == 9_000_000

    lab.run(main())


@pytest.mark.parametrize("how", ["many", "large"])
def test_complete_pushes_that_nobody_claims_are_bounded(lab: Lab, how: str) -> None:
    """A response that does not end could bring any number of them."""
    count, size = (300, 100) if how == "many" else (60, 15_000)
    refused: list[int] = []

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS, 1)
        pen = peer.pen
        peer.send(pen.headers(1, f.RESPONSE))
        for n in range(1, count + 1):
            peer.send(pen.push_promise(1, 2 * n, PROMISED) + pen.headers(2 * n, f.RESPONSE))
            peer.send(pen.data(2 * n, bytes(size), end_stream=True))
        peer.send(pen.ping(b"all sent"))
        while (got := await peer.frame()).type != f.PING:
            if got.type == f.RST_STREAM:
                assert got.code == f.CANCEL
                refused.append(got.stream)
        await peer.expect(f.RST_STREAM, 1)

    async def main() -> None:
        bounds = Limits(connection_window=1_048_576)
        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=bounds) as client:
            client.authority = "cno.test"
            client.scheme = "https"
            response = await client.request("GET", "/")
            await until(lambda: refused, "the end of patience")
            await asyncio.sleep(0.05)
            kept = [push async for push in taken(response, count)]
            if how == "many":
                assert len(kept) == 100  # `Limits.max_pushes`
                assert len(refused) == count - 100
            else:
                # A quarter of the connection's window.
                whole = [each for each in [await outcome(p) for p in kept] if each != "cancelled"]
                assert whole == [str(size)] * len(whole)
                assert 13 <= len(whole) <= 262_144 // size
            response.cancel()

    lab.run(main())
