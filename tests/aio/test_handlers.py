"""What handlers do that they should not, and what becomes of the connection; bounds on them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.errors import UnsupportedError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    HTTP2_TLS,
    WIRES,
    Lab,
    Peer,
    Wire,
    by_hand,
    greet,
    skip,
    until,
)

# -- handlers that misbehave -----------------------------------------------------------------------


async def raises(request: aio.Request) -> None:
    raise ValueError("on purpose")


async def says_nothing(request: aio.Request) -> None:
    pass


async def stops_halfway(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("on purpose")

    await request.respond(200, [], body())


async def ignores_the_body(request: aio.Request) -> None:
    await request.respond(200, [], b"fine")


MISDEEDS = {each.__name__: each for each in (raises, says_nothing, stops_halfway, ignores_the_body)}


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
@pytest.mark.parametrize("name", MISDEEDS)
def test_others_do_not_suffer(lab: Lab, wire: Wire, name: str) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/good":
                await request.respond(200, [], b"good " + await request.payload.read())
            else:
                await MISDEEDS[name](request)

        async with lab.serving(wire, handle) as url:
            client = await lab.connect(wire, url)
            for _ in range(2):
                if client.transport.is_closing():
                    await client.wait_closed()
                    client = await lab.connect(wire, url)
                if name == "stops_halfway":
                    response = await client.request("POST", "/", [], b"x" * 1000)
                    with pytest.raises(CnoConnectionError):
                        await response.payload.read()
                    if not wire.http2:
                        await client.wait_closed()
                        client = await lab.connect(wire, url)
                else:
                    response = await client.request("POST", "/", [], b"x" * 1000)
                    assert response.code == (200 if name == "ignores_the_body" else 500)
                    await response.payload.read()
                response = await client.request("POST", "/good", [], b"body")
                assert await response.payload.read() == b"good body"
            client.close()
            await client.wait_closed()

    lab.run(main(), failures=0 if name == "ignores_the_body" else 2)


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_handler_goes_on_after_its_response(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        done: list[str] = []

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"done")
            await asyncio.sleep(0.05)
            done.append(request.path)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/work")
            assert await response.payload.read() == b"done"
            assert not done
            client.close()
            await until(lambda: done, "the work")

    lab.run(main())


def test_reset_cancels_the_handler(lab: Lab) -> None:
    """At once, wherever it waits, with whatever it has started."""

    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                if request.path == "/reads":
                    await request.payload.read()
                elif request.path == "/sleeps":
                    await asyncio.sleep(60)
                else:
                    await request.respond(200, [], bytes(10_000_000))
            except (asyncio.CancelledError, CnoConnectionError):
                ends.append(request.path)
                raise

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                paths = ["/reads", "/sleeps", "/writes"]
                for n, path in enumerate(paths):
                    peer.send(peer.pen.headers(2 * n + 1, [*f.POST[:3], (":path", path)]))
                await peer.expect(f.DATA, 5)
                for n in range(3):
                    peer.send(peer.pen.rst(2 * n + 1))
                await until(lambda: len(ends) == 3, "the ends")
                assert sorted(ends) == sorted(paths)

    lab.run(main())


def test_handler_that_swallows_its_cancellation(lab: Lab) -> None:
    """It goes on, on its own; what it says goes nowhere; the connection goes on as well."""

    async def main() -> None:
        said: list[object] = []
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                try:
                    await request.payload.read()
                except (asyncio.CancelledError, CnoConnectionError):
                    pass
                await go_on.wait()
                try:
                    await request.respond(200)
                except CnoConnectionError as error:
                    said.append(error)
            else:
                await request.respond(200)

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.POST))
                await asyncio.sleep(0.02)
                peer.send(peer.pen.rst(1))
                await asyncio.sleep(0.02)
                go_on.set()
                await until(lambda: said, "the refusal")
                peer.send(peer.pen.headers(3, [*f.REQUEST[:3], (":path", "/x")], end_stream=True))
                assert (await peer.expect(f.HEADERS)).stream == 3

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_handlers_that_never_end_do_not_keep_a_server_from_closing(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def stubborn(request: aio.Request) -> None:
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    pass

        limits = Limits(shutdown_timeout=0.1, linger_timeout=0.1)
        certs = lab.certs
        files = {"certfile": certs.certfile, "keyfile": certs.keyfile} if wire.tls else {}
        listener = await aio.serve(stubborn, HOST, 0, limits=limits, **files)  # type: ignore[call-overload]  # of the mapping's values
        url = f"{wire.scheme}://{HOST}:{listener.sockets[0].getsockname()[1]}"
        client = await aio.connect(
            url, certs.client() if wire.tls else None, force_http2=wire.http2 and not wire.tls
        )
        asked = asyncio.ensure_future(client.request("GET", "/"))
        await asyncio.sleep(0.05)
        listener.close()
        await asyncio.wait_for(listener.wait_closed(), 5)
        with pytest.raises(CnoConnectionError):
            await asked
        await client.wait_closed()
        go_on.set()

    lab.run(main(), failures=1)
    assert "do not end" in lab.failures[0]["message"]


# -- bounds ----------------------------------------------------------------------------------------


def ask(peer: Peer, stream: int, path: str, end: bool = True) -> None:
    """A request of HTTP/2."""
    fields = [*f.POST[:3], (":path", path)]
    peer.send(peer.pen.headers(stream, fields, end_stream=end))


def test_handlers_of_streams_that_were_reset_are_bounded(lab: Lab) -> None:
    """Only those that do not return, and only those that were reset while they worked."""

    async def main() -> None:
        begun = 0
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            nonlocal begun
            begun += 1
            if request.path == "/stubborn":
                while not go_on.is_set():
                    try:
                        await go_on.wait()
                    except asyncio.CancelledError:
                        pass
            elif request.path == "/obedient":
                await go_on.wait()
            else:
                await request.respond(200)

        limits = Limits(max_pending_handlers=5, linger_timeout=5.0)
        async with lab.serving(HTTP2, handle, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                for n in range(20):
                    ask(peer, 4 * n + 1, "/obedient")
                    await asyncio.sleep(0.002)
                    peer.send(peer.pen.rst(4 * n + 1))
                    ask(peer, 4 * n + 3, "/", n % 2 == 0)  # answered, though still sending
                    await peer.expect(f.HEADERS, 4 * n + 3)
                for stream in (101, 105, 109, 113, 117):
                    ask(peer, stream, "/")
                    await peer.expect(f.HEADERS, stream)
                    ask(peer, stream + 2, "/stubborn")
                    await asyncio.sleep(0.01)
                    peer.send(peer.pen.rst(stream + 2))
                before = begun
                ask(peer, 121, "/")
                away = await peer.expect(f.GOAWAY)
                assert away.code == f.ENHANCE_YOUR_CALM
                assert begun == before
            go_on.set()

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_work_after_the_answer_holds_others_back(lab: Lab, wire: Wire) -> None:
    """However long it takes, the connection goes on: a request waits until a handler returns."""

    async def main() -> None:
        running = most = 0

        async def handle(request: aio.Request) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await request.respond(200, [], b"ok")
            await asyncio.sleep(0.03)  # a mail, a metric, a line in a log
            running -= 1

        limits = Limits(max_pending_handlers=7)
        async with lab.pair(wire, handle, limits=limits) as client:
            for _ in range(40):
                async with await client.request("GET", "/") as response:
                    assert await response.payload.read() == b"ok"
            if wire.http2:
                responses = await asyncio.gather(*(client.request("GET", "/") for _ in range(40)))
                assert [each.code for each in responses] == [200] * 40
            await until(lambda: running == 0, "the end of all work")
        assert most == 7

    lab.run(main())


def test_pipelined_requests_that_are_held_back(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], request.path.encode())
            await asyncio.sleep(0.01)

        async with lab.serving(HTTP1, handle, limits=Limits(max_pending_handlers=3)) as url:
            async with await Peer.connect(url) as peer:
                for n in range(40):
                    peer.send(f"GET /{n:02} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                for n in range(40):
                    assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                    assert await peer.reader.readexactly(3) == f"/{n:02}".encode()

    lab.run(main())


def test_requests_that_are_held_back_and_reset(lab: Lab) -> None:
    """Their handlers never start, and they are not counted; nor is anything left of them."""

    async def main() -> None:
        begun: list[str] = []
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            begun.append(request.path)
            await request.respond(200)
            await go_on.wait()

        async with lab.serving(HTTP2, handle, limits=Limits(max_pending_handlers=2)) as url:
            async with await Peer.connect_http2(url) as peer:
                for stream in (1, 3):
                    ask(peer, stream, "/first")
                    await peer.expect(f.HEADERS, stream)
                for stream in range(5, 105, 2):
                    ask(peer, stream, f"/{stream}")
                peer.send(peer.pen.ping())
                await peer.expect(f.PING)
                for stream in range(5, 101, 2):
                    peer.send(peer.pen.rst(stream))
                peer.send(peer.pen.ping())
                await peer.expect(f.PING)
                assert begun == ["/first"] * 2
                go_on.set()
                await peer.expect(f.HEADERS, 103)
                assert begun == ["/first"] * 2 + ["/101", "/103"]

    lab.run(main())


def test_connection_that_is_lost_while_requests_are_held_back(lab: Lab) -> None:
    async def main() -> None:
        begun = 0
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            nonlocal begun
            begun += 1
            await request.respond(200)
            await go_on.wait()

        async with lab.serving(HTTP2, handle, limits=Limits(max_pending_handlers=1)) as url:
            async with await Peer.connect_http2(url) as peer:
                for stream in (1, 3, 5):
                    ask(peer, stream, "/")
                await peer.expect(f.HEADERS, 1)
            await asyncio.sleep(0.02)
            go_on.set()
        assert begun == 1

    lab.run(main())


def test_shutdown_answers_what_is_held_back(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"ok")
            await asyncio.sleep(0.02)

        async with aio.serve(handle, HOST, 0, limits=Limits(max_pending_handlers=2)) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}/"
            async with await aio.connect(url, force_http2=True) as client:
                asking = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(9)]
                await asking[0]
                listener.close()
                for each in asking:
                    assert await (await each).payload.read() == b"ok"

    lab.run(main())


def test_one_handler_at_a_time(lab: Lab) -> None:
    async def main() -> None:
        for wire in (HTTP1, HTTP2):
            async with lab.pair(wire, ignores_the_body, limits=Limits(max_pending_handlers=1)) as c:
                for _ in range(3):
                    assert (await c.request("GET", "/")).code == 200

    lab.run(main())


def test_pushes_take_no_place_of_requests(lab: Lab) -> None:
    """However many the server makes: they are its own doing, and those beyond are left out."""

    async def main() -> None:
        pushed = 0

        async def handle(request: aio.Request) -> None:
            nonlocal pushed
            if request.path == "/":
                for n in range(20):
                    request.push("GET", f"/{n}")
                await asyncio.sleep(0.01)
            else:
                pushed += 1
                await asyncio.sleep(0.02)
            await request.respond(200, [], b"ok")

        limits = Limits(max_pending_handlers=30)
        client_limits = Limits(max_pushes=None)
        async with lab.pair(HTTP2, handle, limits=limits, client_limits=client_limits) as client:
            for cancel in (False, True):
                pushed = 0
                responses = await asyncio.gather(*(client.request("GET", "/") for _ in range(4)))
                for response in responses:
                    assert await response.payload.read() == b"ok"
                    response.cancel() if cancel else None
                assert pushed == 30
                await asyncio.sleep(0.05)

    lab.run(main())


def test_as_many_handlers_as_streams(lab: Lab) -> None:
    """More streams, when they are allowed, are also more handlers."""

    async def main() -> None:
        begun = 0
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            nonlocal begun
            begun += 1
            await go_on.wait()
            await request.respond(200)

        for limits in (Limits(max_concurrent_streams=500), Limits(max_concurrent_streams=None)):
            go_on.clear()
            async with lab.pair(HTTP2, handle, limits=limits) as client:
                before = begun
                asked = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(500)]
                await until(lambda: begun == before + 500, "the handlers")  # noqa: B023  # of this turn
                go_on.set()
                assert {each.code for each in await asyncio.gather(*asked)} == {200}

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_last_request_of_a_connection(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.02)
            await request.respond(200, [], bytes(300_000))

        async with lab.serving(wire, handle, limits=Limits(max_requests_per_connection=3)) as url:
            client = await lab.connect(wire, url)
            for n in range(3):
                response = await client.request("GET", "/")
                assert response.code == 200
                assert await skip(response.payload) == 300_000, n
            await asyncio.wait_for(client.wait_closed(), 5)
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/")
            assert caught.value.retryable

    lab.run(main())


def test_last_request_is_told(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"x")

        limits = Limits(max_requests_per_connection=2, max_concurrent_streams=3)
        async with lab.serving(HTTP1, handle, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
                assert b"\r\nconnection: close\r\n" not in await peer.head()
                await peer.reader.readexactly(1)
                assert b"\r\nconnection: close\r\n" in await peer.head()
                assert await peer.reader.read() == b"x"
            async with await Peer.connect_http2(url) as peer:
                for stream in (1, 3, 5):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                    await peer.expect(f.HEADERS, stream)
                (away,) = [each for each in peer.seen if each.type == f.GOAWAY]
                assert (away.last, away.code) == (f.MAX_ID, f.NO_ERROR)
                # One that does not answer the PING, and asks on, is not served for ever.
                for stream in range(7, 101, 2):
                    peer.send(peer.pen.headers(stream, f.REQUEST, end_stream=True))
                last = [each for each in await peer.rest() if each.type == f.GOAWAY][-1]
                assert (last.last < 20, last.code) == (True, f.NO_ERROR)

    lab.run(main())


def test_long_last_response_is_not_cut_off(lab: Lab) -> None:
    """Unlike at a shutdown, nobody waits for the connection to end."""

    async def main() -> None:
        async def slow(request: aio.Request) -> None:
            await asyncio.sleep(0.4)
            await request.respond(200, [], b"slow")

        limits = Limits(max_requests_per_connection=1, shutdown_timeout=0.1)
        for wire in (HTTP1, HTTP2):
            async with lab.pair(wire, slow, limits=limits) as client:
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"slow"

    lab.run(main())


# -- round trips -----------------------------------------------------------------------------------


def test_ping_takes_a_round_trip(lab: Lab) -> None:
    async def main() -> None:
        trips: list[float] = []

        async def handle(request: aio.Request) -> None:
            trips.append(await request.conn.ping())
            await request.respond(200)

        for wire in (HTTP2, HTTP2_TLS):
            async with lab.pair(wire, handle) as client:
                trips += await asyncio.gather(*(client.ping() for _ in range(5)))
                assert (await client.request("GET", "/")).code == 200
        assert len(trips) == 12
        assert all(0 < trip < 5 for trip in trips)
        async with lab.pair(HTTP1, handle) as client:
            with pytest.raises(UnsupportedError):
                await client.ping()

    lab.run(main())


def test_ping_that_nobody_answers(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            for _ in range(2):
                await peer.expect(f.PING)
            peer.send(peer.pen.ping(b"whatever", ack=True))
            await peer.expect(f.PING)

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.ping(), 0.02)
            with pytest.raises(CnoConnectionError):
                await client.ping()

    lab.run(main())
