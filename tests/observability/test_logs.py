"""Records of the log: their loggers and fields."""

import asyncio
import logging

import pytest

import cno
from cno.testing import answer
from tests.aio.lab import until


def test_fields_of_timeouts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cno")

    async def main() -> None:
        limits = cno.Limits(keepalive_timeout=0.02)
        numbers: list[int] = []

        async def handle(request: cno.Request) -> None:
            numbers.append(request.conn.stats().number)
            await request.respond(200)

        async with cno.serve(handle, "127.0.0.1", 0, limits=limits) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with cno.connect(f"http://127.0.0.1:{port}/") as client:
                await client.request("GET", "/")
                await until(lambda: not listener.connections)
        records = [each for each in caplog.records if each.name == "cno.timeout"]
        assert [vars(each)["connection"] for each in records] == numbers

    asyncio.run(main())


def test_fields_of_retries(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cno")

    async def main() -> None:
        count = 0

        async def handle(request: cno.Request) -> None:
            nonlocal count
            count += 1
            if count == 1:
                request.conn.write_reset(request.stream, cno.raw.CNO_RST_REFUSED_STREAM)
                await asyncio.Event().wait()
            await request.respond(200)

        async with (
            cno.serve(handle, "127.0.0.1", 0) as listener,
            cno.Pool(force_http2=True) as pool,
        ):
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/a"
            async with pool.request("POST", url) as response:
                assert response.code == 200
        (record,) = [each for each in caplog.records if each.name == "cno.pool"]
        about = vars(record)
        assert (about["method"], about["path"]) == ("POST", "/a")
        assert isinstance(about["error"], cno.StreamError)
        assert about["authority"] in url

    asyncio.run(main())


def test_nothing_by_default(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: cno.Request) -> None:
        await request.respond(200)

    asyncio.run(answer(handle, "GET", "/"))
    assert not caplog.records
