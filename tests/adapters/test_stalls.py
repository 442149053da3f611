"""What users of httpx report as stalls over HTTP/2, as they describe it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.adapters.kit import Kit
from tests.aio.lab import HTTP2, Lab, Peer, by_hand, greet, until


def test_a_limit_of_streams_that_falls(kit: Kit, lab: Lab) -> None:
    """The server lowers MAX_CONCURRENT_STREAMS while as many streams as before are open."""
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        await greet(peer)
        waiting: list[int] = []
        answered = 0
        lowered = False
        while answered < 30:
            frame = await peer.expect(f.HEADERS)
            waiting.append(frame.stream)
            if not lowered and len(waiting) == 10:
                lowered = True
                peer.send(peer.pen.settings({f.MAX_CONCURRENT_STREAMS: 1}))
                for stream in waiting:
                    peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
                answered += len(waiting)
                waiting.clear()
            elif lowered:
                most = max(most, len(waiting))
                peer.send(peer.pen.headers(waiting.pop(), f.RESPONSE, end_stream=True))
                answered += 1
        await peer.rest()

    async def main() -> None:
        async with by_hand(script) as url, kit.client(lab, HTTP2) as client:
            responses = await asyncio.gather(*[client.get(url, timeout=5) for _ in range(30)])
            assert {each.status_code for each in responses} == {200}
            assert most == 1

    lab.run(main())


def test_concurrent_uploads(kit: Kit, lab: Lab) -> None:
    """Uploads larger than all windows at once, whose responses come meanwhile."""

    async def handler(request: aio.Request) -> None:
        total = 0
        while data := await request.payload.read(65536):
            total += len(data)
        await request.respond(200, [], str(total).encode())

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(50_000)

    async def main() -> None:
        async with (
            lab.serving(HTTP2, handler, limits=Limits(initial_window_size=65_535)) as url,
            kit.client(lab, HTTP2) as client,
        ):
            uploads = [client.post(url, content=pieces(), timeout=20) for _ in range(8)]
            whole = [client.post(url, content=bytes(2_000_000), timeout=20) for _ in range(4)]
            texts = [each.text for each in await asyncio.gather(*uploads, *whole)]
            assert set(texts) == {"2000000"}

    lab.run(main())


def test_cancelled_requests_are_reset(kit: Kit, lab: Lab) -> None:
    """A cancelled or late request is reset, so that its stream does not count any more."""
    open_now = 0

    async def handler(request: aio.Request) -> None:
        nonlocal open_now
        if request.path != "/":
            await request.respond(200)
            return
        open_now += 1
        try:
            await asyncio.sleep(30)
        finally:
            open_now -= 1

    async def main() -> None:
        limits = Limits(max_concurrent_streams=5)
        async with (
            lab.serving(HTTP2, handler, limits=limits) as url,
            kit.client(lab, HTTP2) as client,
        ):
            for _ in range(3):
                tasks = [asyncio.create_task(client.get(url)) for _ in range(5)]
                await until(lambda: open_now == 5)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                late = [client.get(url, timeout=0.1) for _ in range(5)]
                errors = await asyncio.gather(*late, return_exceptions=True)
                assert {type(each) for each in errors} == {kit.httpx.ReadTimeout}
                await until(lambda: open_now == 0)
            assert (await client.get(url + "/next", timeout=5)).status_code == 200

    lab.run(main())


def test_goaway_under_load(kit: Kit, lab: Lab) -> None:
    """A server that ends each connection after ten requests: none of them fails."""
    seen: list[str] = []

    async def handler(request: aio.Request) -> None:
        seen.append(request.path)
        await asyncio.sleep(0)
        await request.respond(200, [], request.path.encode())

    async def main() -> None:
        async with (
            lab.serving(HTTP2, handler, limits=Limits(max_requests_per_connection=10)) as url,
            kit.client(lab, HTTP2) as client,
        ):
            numbers = iter(range(200))

            async def worker() -> None:
                for n in numbers:
                    method = "POST" if n % 2 else "GET"
                    response = await client.request(method, f"{url}/{n}", timeout=10)
                    assert response.text == f"/{n}"

            await asyncio.gather(*[worker() for _ in range(10)])
            assert sorted(seen) == sorted(f"/{n}" for n in range(200))

    lab.run(main())


def test_a_reader_that_stops(kit: Kit, lab: Lab) -> None:
    """A response that nobody reads does not hold up the others."""

    async def handler(request: aio.Request) -> None:
        size = 5_000_000 if request.path == "/large" else 10
        await request.respond(200, [], bytes(size))

    async def main() -> None:
        async with lab.serving(HTTP2, handler) as url, kit.client(lab, HTTP2) as client:
            async with client.stream("GET", url + "/large") as large:
                small = await asyncio.gather(*[client.get(url, timeout=5) for _ in range(20)])
                assert {len(each.content) for each in small} == {10}
                assert len(await large.aread()) == 5_000_000

    lab.run(main())


@pytest.mark.parametrize("count", [300])
def test_more_than_the_server_allows(kit: Kit, lab: Lab, count: int) -> None:
    async def handler(request: aio.Request) -> None:
        await request.respond(200)

    async def main() -> None:
        results: list[Any] = []
        async with (
            lab.serving(HTTP2, handler, limits=Limits(max_concurrent_streams=7)) as url,
            kit.client(lab, HTTP2) as client,
        ):
            results = await asyncio.gather(*[client.get(url, timeout=20) for _ in range(count)])
        assert len(results) == count

    lab.run(main())
