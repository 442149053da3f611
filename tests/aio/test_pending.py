"""Requests and connections by `async with`, by `await` and by tasks."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any
from unittest import mock

import pytest

import cno
from cno import aio
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire
from tests.rows import each_row

both = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)

#: Sends a request to a server of the lab, at this path.
Send = Callable[[str], "aio.Pending[aio.Response]"]


async def handle(request: aio.Request) -> None:
    if request.path == "/never":
        await asyncio.Event().wait()
    if request.path == "/endless":
        async with request.start(200) as out:
            while True:
                await out.write(b"more")
                await asyncio.sleep(0)
    await request.respond(200, [], request.path.encode())


async def by_each(lab: Lab, wire: Wire, check: Callable[[Send], Awaitable[None]]) -> None:
    """Call `check` with each function that sends requests."""
    async with lab.serving(wire, handle) as url:
        options: dict[str, Any] = {"force_http2": wire.http2}
        await check(lambda path: cno.request("GET", url + path, **options))
        async with cno.connect(url, **options) as client:
            await check(lambda path: client.request("GET", path))
        async with cno.Pool(**options) as pool:
            await check(lambda path: pool.request("GET", url + path))


@both
def test_async_with(lab: Lab, wire: Wire) -> None:
    async def check(send: Send) -> None:
        async with send("/a") as response:
            assert (response.code, await response.read()) == (200, b"/a")

    lab.run(by_each(lab, wire, check))


@both
def test_await(lab: Lab, wire: Wire) -> None:
    async def check(send: Send) -> None:
        assert await (await send("/a")).read() == b"/a"
        async with await send("/b") as response:
            assert await response.read() == b"/b"

    lab.run(by_each(lab, wire, check))


@both
def test_tasks(lab: Lab, wire: Wire) -> None:
    async def check(send: Send) -> None:
        answers = [
            await asyncio.create_task(send("/task")),
            await asyncio.wait_for(send("/task"), 10),
            *await asyncio.gather(send("/task")),
        ]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(send("/task"))
        for answer in [*answers, task.result()]:
            assert await answer.read() == b"/task"

    if wire.http2:  # over HTTP/1.1, the responses would wait for each other
        lab.run(by_each(lab, wire, check))


@both
def test_leaving_cancels_the_rest(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def endless(request: aio.Request) -> None:
            try:
                await handle(request)
            finally:
                gone.set()

        async with lab.serving(wire, endless) as url, cno.Pool(force_http2=wire.http2) as pool:
            async with pool.request("GET", url + "/endless") as response:
                assert await response.payload.readexactly(4) == b"more"
            await gone.wait()
            gone.clear()
            with pytest.raises(ZeroDivisionError):
                async with pool.request("GET", url + "/endless"):
                    raise ZeroDivisionError
            await gone.wait()

    lab.run(main())


@both
def test_cancelled_while_entering(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def never(request: aio.Request) -> None:
            begun.set()
            try:
                await handle(request)
            finally:
                gone.set()

        async with lab.serving(wire, never) as url, cno.Pool(force_http2=wire.http2) as pool:

            async def fetch() -> None:
                async with pool.request("GET", url + "/never"):
                    raise AssertionError("there is no response")

            for start in (fetch, lambda: pool.request("GET", url + "/never")):
                task = asyncio.ensure_future(start())
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await gone.wait()
                begun.clear()
                gone.clear()

    lab.run(main())


def test_errors_come_out_of_both() -> None:
    async def main() -> None:
        async with cno.Pool() as pool:
            with pytest.raises(ValueError, match="scheme"):
                await pool.request("GET", "nothing")
            with pytest.raises(ValueError, match="scheme"):
                async with pool.request("GET", "nothing"):
                    pass
        for make in (cno.connect, lambda url: cno.request("GET", url)):
            with pytest.raises(ValueError, match="scheme"):
                async with make("nothing"):
                    pass

    asyncio.run(main())


def test_connections(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, handle) as url:
            async with cno.connect(url, force_http2=True) as client:
                assert client.is_http2
            assert client.transport.is_closing()
            client = await cno.connect(None, url)
            assert not client.transport.is_closing()
            client.close()
            await client.wait_closed()

    lab.run(main())


def test_what_it_is() -> None:
    """A coroutine for asyncio, an asynchronous context manager, and nothing that must be used."""
    pool = cno.Pool()
    pending = pool.request("GET", "http://cno.test/")
    assert isinstance(pending, cno.Pending)
    assert isinstance(pending, Coroutine)
    assert isinstance(pending, AbstractAsyncContextManager)
    assert asyncio.iscoroutine(pending)
    assert inspect.isawaitable(pending)
    pending.close()


def test_a_task_shows_where_it_is() -> None:
    async def main() -> None:
        async with cno.Pool() as pool:
            task = asyncio.create_task(pool.request("GET", "nothing"))
            assert "request" in repr(task)
            task.print_stack(file=mock.MagicMock())
            with pytest.raises(ValueError, match="scheme"):
                await task

    asyncio.run(main())


@each_row(
    "function",
    [cno.Pool.request, cno.Client.request, cno.Pool().request, cno.request, cno.connect],
    ids=["Pool", "Client", "pool", "request", "connect"],
)
def test_coroutine_functions(function: Callable[..., Any]) -> None:
    """By this, `unittest.mock` finds out what to replace by an AsyncMock."""
    assert inspect.iscoroutinefunction(function)
    replaced = mock.create_autospec(function, return_value=201)
    assert asyncio.run(replaced(mock.ANY, "GET", "http://cno.test/")) == 201


def test_a_mock_in_place_of_a_pool() -> None:
    """For code that uses `async with`, an application says what entering returns."""

    async def fetch(pool: cno.Pool) -> int:
        async with pool.request("GET", "http://cno.test/") as response:
            return response.code

    pool = mock.MagicMock(spec=cno.Pool)
    pool.request = mock.MagicMock()
    pool.request.return_value.__aenter__.return_value.code = 201
    assert asyncio.run(fetch(pool)) == 201
