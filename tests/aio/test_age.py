"""`Limits.max_connection_age`: a connection that has lived that long takes no new requests.

Open requests may finish. The tests check no durations.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

import cno
from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, hello, until

AGE = 0.15
OLD = Limits(max_connection_age=AGE)
CLEAR = pytest.mark.parametrize("clear", [HTTP1, HTTP2], ids=str)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
CLOSE = b"\r\nconnection: close\r\n"


async def slowly(request: aio.Request) -> None:
    """Answer twice as late as the connection may become old."""
    await asyncio.sleep(2 * AGE)
    await request.respond(200, [], b"slow")


async def in_pieces(request: aio.Request) -> None:
    """The head at once, half of the body later."""

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(2 * AGE)
        yield b"b"

    await request.respond(200, [], body())


# -- servers --------------------------------------------------------------------------------------


def test_http2_server(lab: Lab) -> None:
    """GOAWAY when it is old, though nothing happens; requests that come before the client can have
    read that are answered; then the end."""

    async def main() -> None:
        async with lab.serving(HTTP2, hello, limits=OLD) as url:
            async with await Peer.connect_http2(url) as peer:
                first = await peer.expect(f.GOAWAY)
                assert (first.last, first.code) == (f.MAX_ID, f.NO_ERROR)
                ping = await peer.expect(f.PING)
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                assert (await peer.expect(f.DATA, 1)).payload == b"hello"
                peer.send(peer.pen.ping(ping.payload, True))
                last = await peer.expect(f.GOAWAY)
                assert (last.last, last.code) == (1, f.NO_ERROR)
                assert await peer.rest() == []

    lab.run(main())


def test_http2_server_lets_requests_finish(lab: Lab) -> None:
    """Also those that take longer than a shutdown may."""

    async def main() -> None:
        limits = replace(OLD, shutdown_timeout=AGE / 2)
        async with lab.serving(HTTP2, slowly, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                peer.send(peer.pen.ping((await peer.expect(f.PING)).payload, True))
                assert (await peer.expect(f.GOAWAY)).last == 1
                assert (await peer.expect(f.DATA, 1)).payload == b"slow"
                assert await peer.rest() == []

    lab.run(main())


@pytest.mark.parametrize("limit", ["age", "requests"])
def test_http2_client_that_answers_no_ping(lab: Lab, limit: str) -> None:
    """It cannot keep the connection, even if idle ones may stay."""

    async def main() -> None:
        limits = Limits(keepalive_timeout=None, header_timeout=0.4)
        if limit == "age":
            limits = replace(limits, max_connection_age=AGE)
        else:
            limits = replace(limits, max_requests_per_connection=1)
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                got = await asyncio.wait_for(peer.rest(), 10)
                away = [each.last for each in got if each.type == f.GOAWAY]
                assert away == [f.MAX_ID, 1]

    lab.run(main())


def test_http1_server_with_a_request(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, slowly, limits=OLD) as url:
            async with await Peer.connect(url) as peer:
                peer.send(GET)
                assert CLOSE in await peer.head()
                assert await peer.reader.read() == b"slow"

    lab.run(main())


def test_http1_server_without_a_request(lab: Lab) -> None:
    """A client that sends one just then loses nothing: the next response says that it is the
    last."""

    async def main() -> None:
        async with lab.serving(HTTP1, hello, limits=OLD) as url:
            async with await Peer.connect(url) as peer:
                peer.send(GET)
                assert CLOSE not in await peer.head()
                assert await peer.reader.readexactly(5) == b"hello"
                await asyncio.sleep(2 * AGE)
                assert not peer.reader.at_eof()
                peer.send(GET + GET)
                assert CLOSE in await peer.head()
                assert await peer.reader.read() == b"hello"

    lab.run(main())


def test_http1_server_in_the_middle_of_a_response(lab: Lab) -> None:
    """What has been said cannot be taken back: the response behind it is the last."""

    async def main() -> None:
        async with lab.serving(HTTP1, in_pieces, limits=OLD) as url:
            async with await Peer.connect(url) as peer:
                peer.send(GET)
                assert CLOSE not in await peer.head()
                assert await peer.reader.readuntil(b"0\r\n\r\n") == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
                peer.send(GET)
                assert CLOSE in await peer.head()
                assert await peer.reader.read() == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"

    lab.run(main())


def test_a_tunnel_goes_on(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                while data := await tunnel.read(10):
                    await tunnel.write(data)

        for wire in (HTTP1, HTTP2):
            async with lab.pair(wire, handle, limits=OLD, client_limits=OLD) as client:
                async with await client.tunnel("a:1") as tunnel:
                    for _ in range(3):
                        await tunnel.write(b"x")
                        assert await tunnel.read(1) == b"x"
                        await asyncio.sleep(AGE)

    lab.run(main())


# -- clients --------------------------------------------------------------------------------------


@CLEAR
def test_client(lab: Lab, clear: Wire) -> None:
    """It closes once nothing is open; who asks later is told."""

    async def main() -> None:
        async with lab.serving(clear, hello) as url:
            client = await lab.connect(clear, url, limits=OLD)
            assert (await client.request("GET", "/")).code == 200
            await client.wait_closed()
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/")
            assert caught.value.retryable

    lab.run(main())


@CLEAR
def test_client_with_a_request(lab: Lab, clear: Wire) -> None:
    async def main() -> None:
        async with lab.serving(clear, slowly) as url:
            client = await lab.connect(clear, url, limits=OLD)
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"slow"
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/")
            assert caught.value.retryable
            await client.wait_closed()

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("side", ["server", "client"])
def test_a_pool_goes_on_with_other_connections(lab: Lab, clear: Wire, side: str) -> None:
    async def main() -> None:
        server = OLD if side == "server" else None
        client = OLD if side == "client" else None
        used: set[int] = set()

        async def one(pool: cno.Pool, url: str) -> None:
            async with await pool.request("GET", url) as response:
                assert await response.payload.read() == b"hello"
                used.add(id(response.conn))
                kept.append(response.conn)

        kept: list[Any] = []
        async with lab.serving(clear, hello, limits=server) as url:
            async with cno.Pool(force_http2=clear.http2, limits=client) as pool:
                for _ in range(30):
                    await asyncio.gather(one(pool, url), one(pool, url))
                    await asyncio.sleep(AGE / 10)
        assert len(used) >= 3

    lab.run(main())


def test_requests_in_line_do_not_wait_for_it(lab: Lab) -> None:
    """The server allows one request at once; those behind it go to another connection."""

    async def main() -> None:
        limits = Limits(max_concurrent_streams=1)
        async with lab.serving(HTTP2, slowly, limits=limits) as url:
            async with cno.Pool(force_http2=True, limits=OLD) as pool:
                responses = await asyncio.gather(*(pool.request("GET", url) for _ in range(3)))
                assert [await each.payload.read() for each in responses] == [b"slow"] * 3

    lab.run(main())


def test_it_needs_no_other_limit(lab: Lab) -> None:
    """The timer runs where nothing else is bounded."""

    async def main() -> None:
        limits = Limits(
            max_connection_age=AGE,
            handshake_timeout=None,
            settings_timeout=None,
            header_timeout=None,
            response_timeout=None,
            body_timeout=None,
            write_stall_timeout=None,
            ping_timeout=None,
            keepalive_timeout=None,
        )
        async with lab.serving(HTTP2, hello) as url:
            client = await lab.connect(HTTP2, url, limits=limits)
            await client.wait_closed()

    lab.run(main())


def test_a_connection_that_has_not_begun_is_left_alone(lab: Lab) -> None:
    """What it speaks is not known yet."""

    async def main() -> None:
        async with lab.serving(HTTP2, hello, limits=OLD) as url:
            async with await Peer.connect(url) as peer:
                await asyncio.sleep(2 * AGE)
                peer.send(f.PREFACE + peer.pen.settings())
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                assert (await peer.expect(f.DATA, 1)).payload == b"hello"
                await peer.expect(f.GOAWAY)

    lab.run(main())


def test_a_shutdown_before_it(lab: Lab) -> None:
    async def main() -> None:
        async with aio.serve(slowly, "127.0.0.1", 0, limits=OLD) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                await until(lambda: listener.connections == 1)
                await asyncio.sleep(0.02)
                listener.close()
                await peer.expect(f.GOAWAY)
                await asyncio.sleep(2 * AGE)
                goaways = sum(each.type == f.GOAWAY for each in peer.seen)
                assert goaways == 1  # the client has not answered the PING

    lab.run(main())
