"""Connections whose stream ids are used up: they end, and a pool goes on with another."""

import asyncio
from typing import Any

import pytest

import cno
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire

LAST = (1 << 31) - 1
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


async def handle(request: cno.Request) -> None:
    await request.respond(200, [], b"fine")


async def read(response: cno.Response) -> tuple[int, bytes]:
    return response.stream, await response.payload.read()


def use_up(conn: Any) -> None:
    """All ids but one; of HTTP/1.1 as after 2^30 - 1 requests, to which no short way leads."""
    if conn.is_http2:
        headers = [(":authority", "cno.test")]
        conn.write_head(LAST - 2, 0, "GET", "/", headers, True)
    else:
        conn._last_local = LAST - 2
        conn._h1.next_id = LAST


@CLEAR
def test_a_client_says_so(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, handle) as client:
            assert await read(await client.request("GET", "/")) == (1, b"fine")
            use_up(client)
            assert await read(await client.request("GET", "/")) == (LAST, b"fine")
            for _ in range(2):
                with pytest.raises(cno.ConnectionLostError) as caught:
                    await client.request("GET", "/")
                assert caught.value.retryable

    lab.run(main())


@CLEAR
def test_a_pool_makes_another_connection(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            first = await pool.request("GET", url)
            assert await read(first) == (1, b"fine")
            use_up(first.conn)
            last = await pool.request("GET", url)
            assert await read(last) == (LAST, b"fine")
            assert last.conn is first.conn
            again = await pool.request("GET", url)
            assert await read(again) == (1, b"fine")
            assert again.conn is not first.conn
            await first.conn.wait_closed()

    lab.run(main())


@CLEAR
def test_many_requests_at_once_share_what_is_left(lab: Lab, wire: Wire) -> None:
    """Those that get no id any more go to another connection."""

    async def main() -> None:
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            first = await pool.request("GET", url)
            await read(first)
            use_up(first.conn)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(pool.request("GET", url)) for _ in range(20)]
            for task in tasks:
                assert (await read(task.result()))[1] == b"fine"

    lab.run(main())


@pytest.mark.parametrize("secure", [False, True])
def test_a_server_closes_after_the_last_response(lab: Lab, secure: bool) -> None:
    async def main() -> None:
        conns: list[Any] = []

        async def handler(request: cno.Request) -> None:
            conns.append(request.conn)
            await handle(request)

        wire = Wire("http1", False, secure)
        async with lab.pair(wire, handler) as client:
            await read(await client.request("GET", "/"))
            conns[0]._last_remote = LAST - 4
            conns[0]._h1.next_id = LAST - 2
            response = await client.request("GET", "/")
            assert ("connection", "close") not in response.headers
            await read(response)
            response = await client.request("GET", "/")
            await read(response)
            await client.wait_closed()
            assert len(conns) == 3

    lab.run(main())
