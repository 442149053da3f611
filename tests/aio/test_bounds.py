"""Each wait for a peer that says nothing, or allows nothing, has an end.

Waits under test are short; nothing is asserted of how long anything took, only of what came of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import cno
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, settle

SHORT = 0.1
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

#: No wait has an end but those that a test names.
PATIENT: dict[str, Any] = {
    "handshake_timeout": None,
    "settings_timeout": None,
    "header_timeout": None,
    "response_timeout": None,
    "body_timeout": None,
    "write_stall_timeout": None,
    "ping_timeout": None,
    "expect_timeout": None,
    "keepalive_timeout": None,
    "shutdown_timeout": None,
}


async def silent_http2(peer: Peer) -> None:
    """Begins HTTP/2, and then reads only."""
    await greet(peer)
    await peer.rest()


def test_ping(lab: Lab) -> None:
    async def main() -> None:
        async with by_hand(silent_http2) as url:
            limits = Limits(ping_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                for _ in range(2):
                    with pytest.raises(TimeoutError, match="PING"):
                        await client.ping()
                with pytest.raises(TimeoutError):
                    await asyncio.gather(client.ping(), client.ping())

    lab.run(main())


def test_late_answers_to_a_ping_are_ignored(lab: Lab) -> None:
    async def main() -> None:
        late = asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer)
            first = await peer.expect(f.PING)
            await late.wait()
            peer.send(peer.pen.ping(first.payload, ack=True))
            second = await peer.expect(f.PING)
            assert second.payload != first.payload
            peer.send(peer.pen.ping(second.payload, ack=True))
            await peer.rest()

        async with by_hand(script) as url:
            limits = Limits(ping_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                with pytest.raises(TimeoutError):
                    await client.ping()
                late.set()
                assert await client.ping() >= 0

    lab.run(main())


# -- the head of a response ------------------------------------------------------------------------


async def silent(peer: Peer) -> None:
    """Reads only, in either protocol; of HTTP/2 it says what it must."""
    begin = await peer.reader.readexactly(4)
    if begin == f.PREFACE[:4]:
        await peer.reader.readexactly(len(f.PREFACE) - 4)
        peer.send(peer.pen.settings({f.ENABLE_CONNECT_PROTOCOL: 1}))
        await peer.rest()
    else:
        while await peer.reader.read(1000):
            pass


async def asked(how: str, wire: Wire, url: str, limits: Limits) -> None:
    """Send one request that is never answered."""
    if how == "pool":
        async with cno.Pool(force_http2=wire.http2, limits=limits) as pool:
            await pool.request("GET", url)
        return
    async with await cno.connect(url, force_http2=wire.http2, limits=limits) as client:
        if how == "request":
            await client.request("POST", "/", [], b"data")
        elif how == "upgrade":
            await client.upgrade("websocket")
        else:
            await client.tunnel("cno.test:443")


@CLEAR
@pytest.mark.parametrize("how", ["request", "upgrade", "tunnel", "pool"])
@pytest.mark.parametrize("others", [{}, PATIENT], ids=["usual", "patient"])
def test_response_that_never_begins(lab: Lab, wire: Wire, how: str, others: dict[str, Any]) -> None:
    async def main() -> None:
        limits = Limits(**{**others, "response_timeout": SHORT})
        async with by_hand(silent) as url:
            with pytest.raises(cno.StreamError) as caught:
                await asked(how, wire, url, limits)
        assert isinstance(caught.value, TimeoutError)
        assert not caught.value.retryable

    lab.run(main())


def test_other_streams_go_on(lab: Lab) -> None:
    """And the server learns that nobody waits any more."""

    async def main() -> None:
        resets = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            reset = await peer.expect(f.RST_STREAM, 1)
            resets.append(reset.code)
            await peer.expect(f.HEADERS, 3)
            peer.send(peer.pen.headers(3, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url:
            limits = Limits(response_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                with pytest.raises(TimeoutError):
                    await client.request("GET", "/")
                assert (await client.request("GET", "/")).code == 200
        assert resets == [f.CANCEL]

    lab.run(main())


@CLEAR
def test_interim_responses_and_slow_uploads_are_no_silence(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def slow() -> AsyncIterator[bytes]:
            for _ in range(6):
                await asyncio.sleep(SHORT)
                yield b"x"

        async def handle(request: cno.Request) -> None:
            if request.method == "POST":
                await request.payload.read()
            else:
                for _ in range(6):
                    await asyncio.sleep(SHORT)
                    await request.inform(103, [("link", "</a>")])
            await request.respond(200, [], b"fine")

        limits = Limits(response_timeout=3 * SHORT)
        async with lab.pair(wire, handle, client_limits=limits) as client:
            response = await client.request("POST", "/", [], slow())
            assert await response.payload.read() == b"fine"
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"fine"
            assert len(response.informational) == 6

    lab.run(main())


@CLEAR
def test_slow_interim_responses_are_kept_in_a_bounded_number(lab: Lab, wire: Wire) -> None:
    """They may come for as long as there is no answer; each of them may be a large list."""

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            for number in range(8):
                await asyncio.sleep(SHORT)
                await request.inform(103, [("x-number", str(number))])
            await request.respond(200, [], b"fine")

        limits = Limits(max_informational=3, informational_rate=1_000, response_timeout=3 * SHORT)
        async with lab.pair(wire, handle, client_limits=limits) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"fine"
            expected = [(103, [("x-number", str(number))]) for number in range(3)]
            assert response.informational == expected

    lab.run(main())


@CLEAR
def test_a_slow_answer_has_its_time(lab: Lab, wire: Wire) -> None:
    """Five minutes unless told, and for ever with None: bodies and heads are waited for less."""

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            await asyncio.sleep(6 * SHORT)
            await request.respond(200, [], b"fine")

        others: dict[str, Any] = {
            "body_timeout": SHORT,
            "header_timeout": SHORT,
            "write_stall_timeout": SHORT,
        }
        for limits in (Limits(**others), Limits(**others, response_timeout=None)):
            async with lab.pair(wire, handle, client_limits=limits) as client:
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"fine"

    lab.run(main())


def test_long_enough_for_polling() -> None:
    assert (Limits().response_timeout or 0) >= 120


@CLEAR
def test_a_body_is_waited_for_no_longer_though_nothing_else_is_bounded(
    lab: Lab, wire: Wire
) -> None:
    """The timer runs, even if there is nothing to look at before a stream is open."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            if wire.http2:
                await greet(peer)
                await peer.expect(f.HEADERS)
                peer.send(peer.pen.headers(1, f.RESPONSE) + peer.pen.data(1, b"1"))
                await peer.rest()
            else:
                await peer.head()
                peer.send(OK[:-1])
                await peer.reader.read()

        limits = Limits(**{**PATIENT, "body_timeout": SHORT})
        async with by_hand(script) as url:
            async with await cno.connect(url, force_http2=wire.http2, limits=limits) as client:
                await asyncio.sleep(2 * SHORT)
                response = await client.request("GET", "/")
                with pytest.raises(TimeoutError):
                    await response.payload.read()

    lab.run(main())


# -- pushes ----------------------------------------------------------------------------------------

PROMISED = [(":method", "GET"), (":scheme", "http"), (":authority", "cno.test"), (":path", "/a")]


@pytest.mark.parametrize("promised", [False, True])
def test_pushes_that_never_come(lab: Lab, promised: bool) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            request = await peer.expect(f.HEADERS)
            peer.pen.decode(request.payload)
            if promised:
                peer.send(peer.pen.push_promise(1, 2, PROMISED))
            peer.send(peer.pen.headers(1, f.RESPONSE))
            await peer.rest()

        async with by_hand(script) as url:
            limits = Limits(body_timeout=SHORT, response_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                response = await client.request("GET", "/", [(":authority", "cno.test")])
                if promised:
                    push = await anext(response.pushed)
                    with pytest.raises(TimeoutError):
                        await push.response
                assert [push async for push in response.pushed] == []
                with pytest.raises(TimeoutError):
                    await response.payload.read()

    lab.run(main())


# -- a server that allows no requests --------------------------------------------------------------


async def no_streams(peer: Peer) -> None:
    await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0, f.ENABLE_CONNECT_PROTOCOL: 1})
    while True:
        frame = await peer.frame()
        if frame.type == f.PING and not frame.flags & f.ACK:
            peer.send(peer.pen.ping(frame.payload, ack=True))
        elif frame.type == f.HEADERS:  # sent before that was known
            peer.send(peer.pen.rst(frame.stream, f.REFUSED_STREAM))


@pytest.mark.parametrize("how", ["request", "upgrade", "tunnel"])
@pytest.mark.parametrize("others", [{}, PATIENT], ids=["usual", "patient"])
def test_client_of_a_server_that_allows_no_requests(
    lab: Lab, how: str, others: dict[str, Any]
) -> None:
    async def main() -> None:
        limits = Limits(**{**others, "write_stall_timeout": SHORT})
        async with by_hand(no_streams) as url:
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                await client.ping()  # by then its SETTINGS have come
                ways: dict[str, Callable[[], Awaitable[object]]] = {
                    "request": lambda: client.request("GET", "/"),
                    "upgrade": lambda: client.upgrade("websocket"),
                    "tunnel": lambda: client.tunnel("cno.test:443"),
                }
                for _ in range(2):
                    results = await asyncio.gather(ways[how](), ways[how](), return_exceptions=True)
                    for result in results:
                        assert isinstance(result, cno.StreamError)
                        assert isinstance(result, TimeoutError)
                        assert result.retryable

    lab.run(main())


@pytest.mark.parametrize("keepalive", [60.0, SHORT / 2])
def test_pool_before_a_server_that_allows_no_requests(lab: Lab, keepalive: float) -> None:
    """Its connection is not idle meanwhile: else it would be closed and made again and again."""

    async def main() -> None:
        connections = 0

        async def script(peer: Peer) -> None:
            nonlocal connections
            connections += 1
            await no_streams(peer)

        limits = Limits(write_stall_timeout=4 * SHORT, keepalive_timeout=keepalive)
        async with by_hand(script) as url:
            async with cno.Pool(force_http2=True, limits=limits) as pool:
                results = await asyncio.gather(
                    *[pool.request("GET", url) for _ in range(3)], return_exceptions=True
                )
                assert connections == 1
                for result in results:
                    assert isinstance(result, cno.StreamTimeoutError)
                    assert result.retryable

    lab.run(main())


@pytest.mark.parametrize("how", ["client", "pool"])
def test_a_server_that_allows_none_for_a_while(lab: Lab, how: str) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
            await asyncio.sleep(4 * SHORT)
            peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 1}))
            for stream in (1, 3, 5):
                await peer.expect(f.HEADERS, stream)
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        limits = Limits(write_stall_timeout=20 * SHORT, body_timeout=SHORT)
        async with by_hand(script) as url:
            if how == "client":
                async with await cno.connect(url, force_http2=True, limits=limits) as client:
                    requests = [client.request("GET", "/") for _ in range(3)]
                    for response in await asyncio.gather(*requests):
                        assert response.code == 200
            else:
                async with cno.Pool(force_http2=True, limits=limits) as pool:
                    requests = [pool.request("GET", url) for _ in range(3)]
                    for response in await asyncio.gather(*requests):
                        assert response.code == 200

    lab.run(main())


def test_a_pool_whose_request_is_given_up_finds_its_connection_idle(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(keepalive_timeout=SHORT)
        async with by_hand(no_streams) as url:
            async with cno.Pool(force_http2=True, limits=limits) as pool:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(pool.request("GET", url), 3 * SHORT)
                assert pool.connections == 1
                await asyncio.sleep(3 * SHORT)
                assert pool.connections == 0

    lab.run(main())


# -- connections that are never there --------------------------------------------------------------


async def connecting(how: str, url: str, limits: Limits) -> None:
    if how == "proxy":
        await cno.connect("http://cno.test/", proxy=url, proxy_tunnel=True, limits=limits)
    elif how == "tls through a proxy":
        await cno.connect("https://cno.test/", proxy=url, limits=limits)
    elif how == "tls":
        await cno.connect(url.replace("http:", "https:"), limits=limits)
    elif how == "request":
        await cno.request("GET", url.replace("http:", "https:"), limits=limits)
    else:
        async with cno.Pool(proxy=url, proxy_tunnel=True, limits=limits) as pool:
            await pool.request("GET", "http://cno.test/")


HOWS = ["proxy", "tls through a proxy", "tls", "request", "pool"]


@pytest.mark.parametrize("how", HOWS)
def test_connection_that_is_never_there(lab: Lab, how: str) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def script(peer: Peer) -> None:
            try:
                while await peer.reader.read(1000):
                    pass
            finally:
                ended.set()

        async with by_hand(script) as url:
            with pytest.raises(TimeoutError) as caught:
                await connecting(how, url, Limits(handshake_timeout=SHORT))
            assert isinstance(caught.value, cno.ConnectError)
            await ended.wait()

    lab.run(main())


@pytest.mark.parametrize("how", HOWS)
def test_connection_that_is_given_up(lab: Lab, how: str) -> None:
    """By cancelling: nothing is left of it."""

    async def main() -> None:
        begun = asyncio.Event()
        ended = asyncio.Event()

        async def script(peer: Peer) -> None:
            try:
                while await peer.reader.read(1000):
                    begun.set()
            finally:
                ended.set()

        async with by_hand(script) as url:
            task = asyncio.ensure_future(connecting(how, url, Limits()))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await ended.wait()
            await settle()

    lab.run(main())


def test_proxy_that_never_answers_though_connecting_has_no_bound(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=None, response_timeout=SHORT)
        async with by_hand(silent) as url:
            with pytest.raises(cno.ConnectError) as caught:
                await cno.connect("http://cno.test/", proxy=url, proxy_tunnel=True, limits=limits)
            assert isinstance(caught.value, TimeoutError)

    lab.run(main())
