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
        listener = await aio.serve(stubborn, HOST, 0, limits=limits, **files)  # type: ignore[arg-type]  # of the mapping's values
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


def test_slots_are_free_when_stream_and_handler_are_done(lab: Lab) -> None:
    """Neither handlers whose streams were reset, nor streams whose handlers have returned, nor both
    together are more than allowed; and those that are done count no more."""

    async def main() -> None:
        go_on = asyncio.Event()
        begun = 0

        async def handle(request: aio.Request) -> None:
            nonlocal begun
            begun += 1
            if request.path == "/stubborn":
                while not go_on.is_set():
                    try:
                        await go_on.wait()
                    except asyncio.CancelledError:
                        pass
            else:
                await request.respond(200)

        limits = Limits(max_pending_handlers=5, linger_timeout=5.0)

        def ask(peer: Peer, stream: int, path: str, end: bool) -> None:
            fields = [*f.POST[:3], (":path", path)]
            peer.send(peer.pen.headers(stream, fields, end_stream=end))

        async with lab.serving(HTTP2, handle, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                for n in range(20):  # one after the other: never more than one
                    ask(peer, 2 * n + 1, "/", True)
                    await peer.expect(f.HEADERS, 2 * n + 1)
                for stream in (101, 103, 105):
                    ask(peer, stream, "/stubborn", True)
                    await asyncio.sleep(0.01)
                    peer.send(peer.pen.rst(stream))
                for stream in (107, 109):  # answered, but still sending
                    ask(peer, stream, "/", False)
                    await peer.expect(f.HEADERS, stream)
                before = begun
                peer.send(peer.pen.data(109, b"", end_stream=True))
                ask(peer, 111, "/", True)
                await peer.expect(f.HEADERS, 111)
                ask(peer, 113, "/", False)
                await peer.expect(f.HEADERS, 113)
                assert begun == before + 2
                ask(peer, 115, "/", True)
                away = await peer.expect(f.GOAWAY)
                assert away.code == f.ENHANCE_YOUR_CALM
                assert begun == before + 2
            go_on.set()

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
