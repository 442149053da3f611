"""Closing a pool: running transfers finish, and unread responses do not delay it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import cno
from cno import aio
from cno.limits import Limits
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire, skip

CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
#: Much more than `linger_timeout`, much less than a minute.
LIMITS = Limits(linger_timeout=0.5, shutdown_timeout=20.0)
SIZE = 4 << 20


async def large(request: aio.Request) -> None:
    await request.respond(200, [], bytes(SIZE))


@CLEAR
@pytest.mark.parametrize("kept", [False, True])
def test_body_that_nobody_reads_does_not_hold_up_the_end(lab: Lab, wire: Wire, kept: bool) -> None:
    async def main() -> None:
        async with lab.serving(wire, large) as url:
            began = time.monotonic()
            async with aio.Pool(force_http2=wire.http2, limits=LIMITS) as pool:
                response: aio.Response | None = await pool.request("GET", url)
                if not kept:
                    response = None
            assert time.monotonic() - began < 10
            if response is not None:
                with pytest.raises(cno.ConnectionError):
                    await response.payload.read()

    lab.run(main())


@CLEAR
def test_body_that_is_being_read_is_read_to_its_end(lab: Lab, wire: Wire) -> None:
    """However slowly: by a reader that waits for more, or one that takes its time in between."""

    async def main() -> None:
        async def slow() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x" * 100
                await asyncio.sleep(0.15)

        async def handle(request: aio.Request) -> None:
            if request.path == "/slow":
                await request.respond(200, [], slow())
            else:
                await request.respond(200, [], bytes(600_000))

        async def read_slowly(response: aio.Response) -> int:
            total = 0
            while data := await response.payload.read(100_000):
                total += len(data)
                await asyncio.sleep(0.1)
            return total

        async with lab.serving(wire, handle) as url:
            async with aio.Pool(force_http2=wire.http2, limits=LIMITS) as pool:
                first = await pool.request("GET", f"{url}/slow")
                second = await pool.request("GET", url)
                readers = [
                    asyncio.create_task(skip(first.payload)),
                    asyncio.create_task(read_slowly(second)),
                ]
            assert [await reader for reader in readers] == [400, 600_000]

    lab.run(main())


@CLEAR
def test_request_that_waits_for_its_answer_gets_it(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.6)
            await request.respond(200, [], b"late")

        async with lab.serving(wire, handle) as url:
            async with aio.Pool(force_http2=wire.http2, limits=LIMITS) as pool:
                asked = asyncio.create_task(pool.request("GET", url))
                await asyncio.sleep(0.1)
                asked.add_done_callback(lambda task: None)
                reading = asyncio.create_task(whole(asked))
            assert await reading == b"late"

    lab.run(main())


async def whole(asked: "asyncio.Task[aio.Response]") -> bytes:
    return await (await asked).payload.read()
