"""One client that requests a page again and again, N at a time.

    python -m benchmarks.clients NAME URL N SECONDS

Runs in a separate process, on uvloop if that is installed, and prints its measurements as JSON.
Each response is read whole. Knows nothing of the comparison.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from benchmarks.lab import Missing, peer

#: The fields that the other clients send by default.
HEADERS: Final = [
    ("user-agent", "benchmarks"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"),
]
OTHERS: Final = dict(HEADERS)

#: A response of nghttpd's, as transports of httpx have it.
BODY: Final = b"Hello, World!"
FIELDS: Final = [
    (b"server", b"nghttpd nghttp2/1.52.0"),
    (b"cache-control", b"max-age=3600"),
    (b"date", b"Mon, 30 Nov 2026 12:00:00 GMT"),
    (b"content-length", b"13"),
    (b"last-modified", b"Mon, 30 Nov 2026 12:00:00 GMT"),
]
EXTENSIONS: Final = {"http_version": b"HTTP/2"}

#: Asks once; the octets of the body.
Get = Callable[[], Awaitable[int]]


async def with_cno(url: str, count: int, stack: AsyncExitStack, http2: bool) -> list[Get]:
    """HTTP/2: one connection for all; HTTP/1.1: one for each."""
    import cno

    path = "/" + url.split("/", 3)[3]
    conns = []
    for _ in range(1 if http2 else count):
        client = await cno.connect(None, url, force_http2=http2)
        conns.append(await stack.enter_async_context(client))

    def getter(client: cno.Client) -> Get:
        async def get() -> int:
            response = await client.request("GET", path, HEADERS)
            assert response.code == 200
            return len(await response.payload.read())

        return get

    return [getter(conns[at % len(conns)]) for at in range(count)]


async def cno_h2(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    return await with_cno(url, count, stack, True)


async def cno_h1(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    return await with_cno(url, count, stack, False)


async def cno_pool(url: str, count: int, stack: AsyncExitStack, http2: bool) -> list[Get]:
    """The same through a pool, which finds a connection for each request."""
    import cno

    make: Any = getattr(cno, "Pool", None)
    if make is None:
        raise Missing("cno.Pool is not there yet")
    pool = await stack.enter_async_context(make())
    target = url.replace("http:", "h2c:") if http2 else url

    async def get() -> int:
        response = await pool.request("GET", target, HEADERS)
        assert response.code == 200
        return len(await response.payload.read())

    return [get] * count


async def pool_h2(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    return await cno_pool(url, count, stack, True)


async def pool_h1(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    return await cno_pool(url, count, stack, False)


async def httpx_h2(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    client = peer("httpx").AsyncClient(http1=False, http2=True, headers=OTHERS, timeout=60)
    await stack.enter_async_context(client)

    async def get() -> int:
        response = await client.get(url)
        assert response.status_code == 200 and response.http_version == "HTTP/2"
        return len(response.content)

    return [get] * count


async def httpx_on_cno(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    """httpx as above, with the transport of `cno.httpx`."""
    import cno.httpx

    transport = cno.httpx.AsyncTransport(http1=False)
    client = peer("httpx").AsyncClient(transport=transport, headers=OTHERS, timeout=60)
    await stack.enter_async_context(client)

    async def get() -> int:
        response = await client.get(url)
        assert response.status_code == 200 and response.http_version == "HTTP/2"
        return len(response.content)

    return [get] * count


async def httpx_on_nothing(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    """httpx as above, with a transport that returns a ready response after one switch of tasks."""
    httpx = peer("httpx")

    class Body(httpx.AsyncByteStream):  # type: ignore[misc,name-defined]  # a peer has no types
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield BODY

    class Transport(httpx.AsyncBaseTransport):  # type: ignore[misc,name-defined]  # a peer has no types
        async def handle_async_request(self, request: Any) -> Any:
            await asyncio.sleep(0)
            return httpx.Response(200, headers=FIELDS, stream=Body(), extensions=EXTENSIONS)

    client = httpx.AsyncClient(transport=Transport(), headers=OTHERS, timeout=60)
    await stack.enter_async_context(client)

    async def get() -> int:
        response = await client.get(url)
        assert response.status_code == 200 and response.http_version == "HTTP/2"
        return len(response.content)

    return [get] * count


async def aiohttp_h1(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    aiohttp = peer("aiohttp")
    connector = aiohttp.TCPConnector(limit=count)
    session = aiohttp.ClientSession(connector=connector, headers=OTHERS)
    await stack.enter_async_context(session)

    async def get() -> int:
        async with session.get(url) as response:
            assert response.status == 200
            return len(await response.read())

    return [get] * count


async def niquests_h2(url: str, count: int, stack: AsyncExitStack) -> list[Get]:
    session = peer("niquests").AsyncSession(disable_http1=True, disable_http3=True)
    await stack.enter_async_context(session)

    async def get() -> int:
        response = await session.get(url, headers=OTHERS)
        assert response.status_code == 200 and response.http_version == 20
        return len(response.content)

    return [get] * count


CLIENTS: Final[dict[str, Callable[[str, int, AsyncExitStack], Awaitable[list[Get]]]]] = {
    "cno": cno_h2,
    "cno.Pool": pool_h2,
    "httpx": httpx_h2,
    "httpx on cno": httpx_on_cno,
    "httpx on nothing": httpx_on_nothing,
    "niquests": niquests_h2,
    "cno, HTTP/1.1": cno_h1,
    "cno.Pool, HTTP/1.1": pool_h1,
    "aiohttp": aiohttp_h1,
}


async def again_and_again(get: Get, deadline: float, times: list[float], octets: list[int]) -> None:
    clock = time.perf_counter
    started = clock()
    while started < deadline:
        octets.append(await get())
        ended = clock()
        times.append(ended - started)
        started = ended


async def measure(name: str, url: str, count: int, seconds: float) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        gets = await CLIENTS[name](url, count, stack)

        async def span(length: float) -> tuple[list[float], list[int]]:
            times: list[float] = []
            octets: list[int] = []
            deadline = time.perf_counter() + length
            await asyncio.gather(*(again_and_again(g, deadline, times, octets) for g in gets))
            return times, octets

        await span(seconds / 5)
        began, used = time.perf_counter(), time.process_time()
        times, octets = await span(seconds)
        took, spent = time.perf_counter() - began, time.process_time() - used
    times.sort()
    return {
        "requests": len(times),
        "rate": len(times) / took,
        "cpu": spent / len(times) * 1e6,
        "median": times[len(times) // 2] * 1e3,
        "slow": times[len(times) * 99 // 100] * 1e3,
        "octets": sum(octets),
    }


def main(name: str, url: str, count: str, seconds: str) -> None:
    try:
        factory = peer("uvloop").new_event_loop
    except Missing:
        factory = None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            seen: dict[str, Any] = runner.run(measure(name, url, int(count), float(seconds)))
    except Missing as reason:
        seen = {"missing": str(reason)}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
