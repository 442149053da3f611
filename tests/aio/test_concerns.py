"""A program between a client and a server can tell which of them has gone."""

import asyncio
import copy
import pickle
from collections.abc import Callable

import pytest

import cno
from cno import aio
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire, until

WIRES = [HTTP1, HTTP2]
PIECE = b"x" * 10_000


class Upstream:
    """A server that says something, and no more."""

    def __init__(self) -> None:
        self.requests: list[aio.Request] = []

    async def __call__(self, request: aio.Request) -> None:
        self.requests.append(request)
        body: aio.Channel[bytes] = aio.Channel()
        await body.put(PIECE)
        await request.respond(200, [], body)


class Between:
    """A proxy: what it is told, and about whom."""

    def __init__(self, pool: aio.Pool, url: str) -> None:
        self.pool = pool
        self.url = url
        self.errors: list[cno.ConnectionError] = []
        self.about: list[tuple[bool, bool]] = []
        self.requests: list[aio.Request] = []

    async def __call__(self, request: aio.Request) -> None:
        self.requests.append(request)
        response = await self.pool.request("GET", self.url)
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                try:
                    await request.respond(200, [], response.payload)
                except asyncio.CancelledError:
                    task.uncancel()  # that is how a client's end is told: look at what is said next
                    await request.inform(103)
                return
        except cno.ConnectionError as error:
            for each in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
                self.about.append((each.concerns(request), each.concerns(response)))
            self.errors.append(error)


async def between(
    lab: Lab,
    wires: tuple[Wire, Wire],
    end: Callable[[aio.Client, Between, Upstream], None],
) -> list[tuple[bool, bool]]:
    upstream = Upstream()
    async with lab.serving(wires[1], upstream) as behind:
        pool = aio.Pool(force_http2=wires[1].http2)
        proxy = Between(pool, behind)
        async with lab.serving(wires[0], proxy) as url:
            client = await lab.connect(wires[0], url)
            response = await client.request("GET", "/")
            assert await response.payload.readexactly(len(PIECE)) == PIECE
            end(client, proxy, upstream)
            await until(lambda: proxy.about)
            client.close()
            await client.wait_closed()
        for request in upstream.requests:
            request.conn.abort()
        await pool.aclose()
    assert len(proxy.errors) == 1
    assert len(set(proxy.about)) == 1
    return proxy.about


@pytest.mark.parametrize("front", WIRES, ids=str)
@pytest.mark.parametrize("back", WIRES, ids=str)
@pytest.mark.parametrize("whole", [True, False])
def test_server_that_goes(lab: Lab, front: Wire, back: Wire, whole: bool) -> None:
    """The connection, or the stream only."""

    def end(client: aio.Client, proxy: Between, upstream: Upstream) -> None:
        request = upstream.requests[0]
        if whole:
            request.conn.abort()
        else:
            request.conn.write_reset(request.stream, 2)

    assert lab.run(between(lab, (front, back), end))[0] == (False, True)


@pytest.mark.parametrize("front", WIRES, ids=str)
@pytest.mark.parametrize("back", WIRES, ids=str)
@pytest.mark.parametrize("whole", [True, False])
def test_client_that_goes(lab: Lab, front: Wire, back: Wire, whole: bool) -> None:
    def end(client: aio.Client, proxy: Between, upstream: Upstream) -> None:
        if whole:
            client.abort()
        else:
            client.write_reset(1, 8)

    assert lab.run(between(lab, (front, back), end))[0] == (True, False)


def test_request_body_that_is_cut_off(lab: Lab, wire: Wire) -> None:
    """Sent upstream, it is the client's fault that it ends."""

    async def main() -> None:
        found: list[tuple[bool, bool]] = []
        uploads: list[aio.Request] = []

        async def read(request: aio.Request) -> None:
            uploads.append(request)
            await request.payload.read()
            await request.respond(200)

        async with lab.serving(wire, read) as behind, aio.Pool(lab.certs.client()) as pool:

            async def proxy(request: aio.Request) -> None:
                task = asyncio.current_task()
                assert task is not None
                asked = asyncio.ensure_future(pool.request("POST", behind, [], request.payload))
                try:
                    await asyncio.shield(asked)
                except asyncio.CancelledError:
                    task.uncancel()
                try:
                    await asked
                except cno.ConnectionError as error:
                    found.append((error.concerns(request), error.stream == request.stream))

            async with lab.pair(HTTP2, proxy) as client:

                async def body() -> "asyncio.AsyncIterator[bytes]":  # type: ignore[name-defined]  # a generator
                    yield b"x"
                    await until(lambda: uploads)
                    client.abort()
                    await asyncio.sleep(5)

                with pytest.raises(cno.ConnectionError):
                    await client.request("POST", "/", [], body())
                await until(lambda: found)
        assert found == [(True, True)]

    lab.run(main())


def test_other_errors_concern_nobody(lab: Lab) -> None:
    async def main() -> None:
        async def handler(request: aio.Request) -> None:
            with pytest.raises(cno.ConnectionError) as caught:
                await request.inform(200)
            assert not caught.value.concerns(request)
            with pytest.raises(aio.ConnectError) as refused:
                await aio.Pool().request("GET", "http://127.0.0.1:9/")
            assert not refused.value.concerns(request)
            await request.respond(204)

        async with lab.pair(HTTP2, handler) as client:
            assert (await client.request("GET", "/")).code == 204

    lab.run(main())
