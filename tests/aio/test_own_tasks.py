"""Handlers that start with one input have a task each: none sees anything of the others."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from cno import aio
from cno.limits import Limits
from tests.aio.lab import HTTP2, Lab, hello, settle, until

COUNT = 10

Handler = Callable[[aio.Request], Awaitable[None]]


def number(request: aio.Request) -> int:
    return int(request.path[1:])


def task() -> "asyncio.Task[Any]":
    found = asyncio.current_task()
    assert found is not None
    return found


def ask_all(
    lab: Lab, handler: Handler, failures: int = 0, before: Callable[[], object] = list
) -> list[int]:
    """Make requests /0 to /9 that the server gets with one input; the codes of the answers.

    `before` is called in the context that the server is made in.
    """

    async def handle(request: aio.Request) -> None:
        if request.path == "/warm":
            await request.respond(200)
        else:
            await handler(request)

    async def code(client: aio.Client, path: str) -> int:
        try:
            async with await client.request("GET", path) as response:
                await response.payload.read()
                return response.code
        except aio.StreamError as error:
            return -error.code

    async def main() -> list[int]:
        before()
        async with lab.pair(HTTP2, handle) as client:
            await code(client, "/warm")
            asking = (code(client, f"/{n}") for n in range(COUNT))
            return list(await asyncio.gather(*asking))

    return lab.run(main(), failures)


def test_none_waits(lab: Lab) -> None:
    seen: list[int] = []

    async def handler(request: aio.Request) -> None:
        seen.append(number(request))
        await request.respond(200 + number(request))

    assert ask_all(lab, handler) == [200 + n for n in range(COUNT)]
    assert seen == list(range(COUNT))


def test_attributes_of_a_task_are_nobody_elses(lab: Lab) -> None:
    """Where tracing agents keep what belongs to a request."""

    async def handler(request: aio.Request) -> None:
        own: Any = task()
        assert not hasattr(own, "context")
        own.context = request.path
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tasks start at once: one is freed before the next is made"
)
def test_nor_is_what_is_kept_by_its_id(lab: Lab) -> None:
    """And removed a little later, before another request comes."""
    kept: dict[int, str] = {}

    async def handler(request: aio.Request) -> None:
        assert kept.setdefault(id(task()), request.path) == request.path
        asyncio.get_running_loop().call_soon(kept.clear)
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT


def test_each_has_a_coroutine_of_its_own(lab: Lab) -> None:
    coros: list[object] = []

    async def handler(request: aio.Request) -> None:
        assert not any(task().get_coro() is each for each in coros)
        coros.append(task().get_coro())
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT


@pytest.mark.parametrize("waiting", [{0}, {3}, {9}, {2, 5}, set(range(COUNT))], ids=str)
def test_who_waits_keeps_nobody_waiting(lab: Lab, waiting: set[int]) -> None:
    begun: list[int] = []
    rest = asyncio.Event()
    done: list[int] = []

    async def handler(request: aio.Request) -> None:
        begun.append(number(request))
        if len(begun) == COUNT:
            rest.set()
        if number(request) in waiting:
            await rest.wait()
        done.append(number(request))
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT
    assert begun == sorted(begun)
    assert set(done[-len(waiting) :]) == waiting or len(waiting) == COUNT or 9 in waiting


def test_a_task_that_somebody_keeps_is_nobody_elses(lab: Lab) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def handler(request: aio.Request) -> None:
        if number(request) % 3 == 0:
            kept.append(task())
        else:
            assert task() not in kept
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT
    assert len(set(kept)) == 4
    assert all(each.done() for each in kept)


def test_who_cancels_itself_cancels_nobody_else(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) == 4:
            task().cancel()
        await request.respond(200)
        if number(request) == 5:
            await asyncio.sleep(0)

    assert ask_all(lab, handler) == [200] * COUNT


def test_who_takes_its_cancellation_back_leaves_it_to_nobody(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) == 4:
            task().cancel()
            task().uncancel()
        if number(request) == 5:
            await asyncio.sleep(0)
        await request.respond(200)

    # Before Python 3.13 that does not keep it from being cancelled, if it waits.
    assert ask_all(lab, handler) == [200] * COUNT


def test_who_cancels_itself_and_waits(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) == 4:
            task().cancel()
            await asyncio.sleep(0)
        await request.respond(200)

    codes = ask_all(lab, handler)
    assert codes[4] < 0
    assert codes[:4] + codes[5:] == [200] * (COUNT - 1)


def test_context_is_nobody_elses(lab: Lab) -> None:
    whose: ContextVar[object] = ContextVar("whose", default=None)

    class Awkward:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not to be compared")

        __hash__ = None  # type: ignore[assignment]  # of no interest here

    async def handler(request: aio.Request) -> None:
        assert whose.get() is None
        whose.set(number(request) if number(request) % 2 else Awkward())
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT


def test_nor_are_values_that_only_look_the_same(lab: Lab) -> None:
    whose: ContextVar[dict[str, int]] = ContextVar("whose")
    common: dict[str, int] = {}

    async def handler(request: aio.Request) -> None:
        assert whose.get() is common
        whose.set({})
        await request.respond(200)

    assert ask_all(lab, handler, before=lambda: whose.set(common)) == [200] * COUNT


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks do not tell their context")
def test_nor_is_a_context_that_somebody_keeps(lab: Lab) -> None:
    whose: ContextVar[int] = ContextVar("whose", default=-1)
    kept: list[Any] = []
    found: list[int] = []

    async def handler(request: aio.Request) -> None:
        if number(request) == 0:
            kept.append(getattr(task(), "get_context")())  # noqa: B009  # not in 3.11
        else:
            found.append(kept[0].get(whose, -1))
            whose.set(number(request))
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT
    assert found == [-1] * (COUNT - 1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks do not start at once")
def test_more_than_may_run_at_once_are_taken_one_by_one(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2, hello, limits=Limits(max_pending_handlers=3)) as client:
            for response in await asyncio.gather(*(client.request("GET", "/") for _ in range(9))):
                assert response.code == 200

    lab.run(main())


def test_tasks_that_are_cancelled_before_they_start_are_counted(lab: Lab) -> None:
    first = asyncio.Event()
    conns: set[aio.Server] = set()

    async def handler(request: aio.Request) -> None:
        server = request.conn
        assert isinstance(server, aio.Server)
        conns.add(server)
        loop = asyncio.get_running_loop()
        if number(request) == 0:
            # Behind what starts the others, and before they do anything.
            loop.call_soon(server.cancel_handlers)
            first.set()
            await asyncio.sleep(10)
        await request.respond(200)

    async def main() -> None:
        async with lab.pair(HTTP2, handler, limits=Limits(linger_timeout=5)) as client:
            asking = [asyncio.ensure_future(client.request("GET", f"/{n}")) for n in range(COUNT)]
            await first.wait()
            await settle(10)
            client.abort()
            await asyncio.gather(*asking, return_exceptions=True)
            assert len(conns) == 1

    # The end of the server waits for all handlers it knows of, and complains about those that stay.
    lab.run(main())


def test_callbacks_come_when_the_handler_is_done(lab: Lab) -> None:
    called: list[bool] = []
    all_done = asyncio.Event()

    async def handler(request: aio.Request) -> None:
        own = number(request)
        if own == 2:
            task().add_done_callback(lambda _: called.append(True))
        await request.respond(200)
        if own == 3:
            await all_done.wait()
        if own == COUNT - 1:
            await asyncio.sleep(0.01)
            assert called, "it need not wait for others"
            all_done.set()

    assert ask_all(lab, handler) == [200] * COUNT


def test_names_are_nobody_elses(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        assert not task().get_name().startswith("/")
        task().set_name(request.path)
        await request.respond(200)

    assert ask_all(lab, handler) == [200] * COUNT


def test_timeouts_are_those_of_their_handler(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) == 6:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(10)
            except TimeoutError:
                await request.respond(504)
        else:
            async with asyncio.timeout(0.01 if number(request) < 6 else 10):
                await request.respond(200)

    assert ask_all(lab, handler) == [504 if n == 6 else 200 for n in range(COUNT)]


def test_who_fails_fails_alone(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) == 5:
            raise ValueError("no")
        await request.respond(200)

    assert ask_all(lab, handler, failures=1) == [500 if n == 5 else 200 for n in range(COUNT)]


def test_who_resets_its_own_stream_resets_no_other(lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        if number(request) in (0, 4):
            request.conn.write_reset(request.stream, 8)
        else:
            await request.respond(200)

    codes = ask_all(lab, handler)
    assert [code < 0 for code in codes] == [n in (0, 4) for n in range(COUNT)]


def test_who_resets_another_keeps_it_from_starting(lab: Lab) -> None:
    begun: list[int] = []

    async def handler(request: aio.Request) -> None:
        begun.append(number(request))
        if number(request) == 2:
            for later in (4, 9):
                request.conn.write_reset(request.stream + 2 * (later - 2), 8)
        await request.respond(200)

    codes = ask_all(lab, handler)
    assert begun == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [code < 0 for code in codes] == [n in (4, 9) for n in range(COUNT)]


def test_a_client_that_goes_cancels_all(lab: Lab) -> None:
    ended: list[int] = []

    async def handler(request: aio.Request) -> None:
        try:
            if number(request) > 2:
                await asyncio.sleep(10)
            await request.respond(200)
        finally:
            ended.append(number(request))

    async def main() -> None:
        async with lab.pair(HTTP2, handler) as client:
            asking = [asyncio.ensure_future(client.request("GET", f"/{n}")) for n in range(COUNT)]
            await until(lambda: ended == [0, 1, 2], "the first ones")
            client.abort()
            await asyncio.gather(*asking, return_exceptions=True)
            await until(lambda: sorted(ended) == list(range(COUNT)), "the end of all")

    lab.run(main())
