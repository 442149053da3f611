"""How an application may wait, and when the head of its response is sent meanwhile."""

import asyncio
import gc
import io
import re
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

import cno
from cno.asgi import Handler
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire, until
from tests.asgi.apps import App, Receive, Scope, Send, body, client_of, serving, start

CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)

Wait = Callable[[], Awaitable[object]]


async def not_at_all() -> None:
    pass


async def for_a_turn() -> None:
    await asyncio.sleep(0)


async def for_turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def for_a_time() -> None:
    await asyncio.sleep(0.001)


async def for_what_is_done() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    await future


async def for_what_is_soon_done() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    assert await future is None


async def for_a_failure() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_exception, KeyError("told"))
    with pytest.raises(KeyError, match="told"):
        await future
    await asyncio.sleep(0)


async def for_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
    await asyncio.sleep(0)


async def for_a_cancelled_future() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.cancel)
    with pytest.raises(asyncio.CancelledError):
        await future


async def for_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
    assert [task.result() for task in tasks] == [0, 1, 2]


async def for_a_thread() -> None:
    assert await asyncio.to_thread(len, "abc") == 3


WAITS: list[Wait] = [
    not_at_all,
    for_a_turn,
    for_turns,
    for_a_time,
    for_what_is_done,
    for_what_is_soon_done,
    for_a_failure,
    for_a_timeout,
    for_a_cancelled_future,
    for_a_group,
    for_a_thread,
]


def waiting(wait: Wait, where: str) -> App:
    """An application that waits before, between, or after its messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        own = asyncio.current_task()
        if where == "before":
            await wait()
        await send(start(200, (b"content-length", b"2")))
        if where == "between":
            await wait()
        await send(body(b"o", True))
        await send(body(b"k"))
        if where == "after":
            await wait()
        assert asyncio.current_task() is own

    return app


@CLEAR
@pytest.mark.parametrize("where", ["before", "between", "after"])
@pytest.mark.parametrize("wait", WAITS)
def test_applications_may_wait(lab: Lab, wire: Wire, wait: Wait, where: str) -> None:
    async def main() -> None:
        async with client_of(lab, wire, waiting(wait, where)) as client:
            for _ in range(3):
                response = await client.request("GET", "/")
                assert await response.read() == b"ok"

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("wait", [not_at_all, for_a_turn, for_a_time])
def test_the_head_comes_before_the_body(lab: Lab, wire: Wire, wait: Wait) -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await wait()
        await send(start(200, (b"x-early", b"1")))
        await proceed.wait()
        await send(body(b"late"))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            response = await asyncio.wait_for(client.request("GET", "/"), 5)
            assert response.header("x-early") == "1"
            proceed.set()
            assert await response.read() == b"late"

    lab.run(main())


def test_heads_of_many_connections_come_before_the_bodies(lab: Lab) -> None:
    """Some applications of an iteration of the event loop wait after their heads, some do not."""
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-early", scope["raw_path"])))
        if scope["path"] != "/at-once":
            await proceed.wait()
        await send(body(scope["raw_path"]))

    async def main() -> None:
        async with serving(lab, HTTP1, app) as url, AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(await lab.connect(HTTP1, url)) for _ in range(9)
            ]
            for _ in range(2):
                proceed.clear()
                paths = ["/at-once" if n % 3 == 1 else f"/{n}" for n in range(len(clients))]
                pairs = zip(clients, paths, strict=True)
                asked = [client.request("GET", path) for client, path in pairs]
                responses = await asyncio.wait_for(asyncio.gather(*asked), 5)
                assert [response.header("x-early") for response in responses] == paths
                proceed.set()
                for response, path in zip(responses, paths, strict=True):
                    assert await response.read() == path.encode()

    lab.run(main())


def test_a_head_that_waits_is_dropped_when_the_application_fails(lab: Lab) -> None:
    """It has waited for nothing yet: the client gets a 500, and others on the loop their heads."""
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x-early", b"1")))
        if scope["path"] == "/fails":
            raise ValueError("told")
        await proceed.wait()
        await send(body(b"late"))

    async def main() -> None:
        async with serving(lab, HTTP1, app) as url:
            async with await lab.connect(HTTP1, url) as one, await lab.connect(HTTP1, url) as two:
                for _ in range(2):
                    proceed.clear()
                    asked = asyncio.gather(one.request("GET", "/fails"), two.request("GET", "/"))
                    failed, response = await asyncio.wait_for(asked, 5)
                    assert failed.code == 500
                    assert await failed.read() == b"Internal Server Error"
                    assert response.header("x-early") == "1"
                    proceed.set()
                    assert await response.read() == b"late"

    lab.run(main())


def test_a_connection_that_closes_while_it_holds_a_head(lab: Lab) -> None:
    connections: list[cno.Server] = []
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200))
        connections[-1].abort()
        seen.append((await receive())["type"])
        while seen[-1] != "http.disconnect":
            seen.append((await receive())["type"])

    handler = Handler(app, lifespan="off")

    async def handle(request: cno.Request) -> None:
        connections.append(request.conn)
        await handler(request)

    async def main() -> None:
        async with lab.serving(HTTP1, handle) as url:
            for _ in range(2):
                async with await lab.connect(HTTP1, url) as client:
                    with pytest.raises(cno.ConnectionLostError):
                        await client.request("GET", "/")
        assert seen == ["http.request", "http.disconnect"] * 2

    lab.run(main())


def test_one_application_on_two_event_loops(lab: Lab) -> None:
    handler = Handler(waiting(for_turns, "between"), lifespan="off")

    async def main() -> None:
        async with lab.serving(HTTP1, handler) as url:
            async with await lab.connect(HTTP1, url) as client:
                assert await (await client.request("GET", "/")).read() == b"ok"

    lab.run(main())
    lab.run(main())


class Call:
    """An application whose call returns no coroutine, but something that can be awaited."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> "Call.Answer":
        return Call.Answer(self._app(scope, receive, send))

    class Answer:
        def __init__(self, work: Any) -> None:
            self._work = work

        def __await__(self) -> Generator[Any, Any, Any]:
            return self._work.__await__()  # type: ignore[no-any-return]  # that of a coroutine


@CLEAR
@pytest.mark.parametrize("wait", [not_at_all, for_a_time])
def test_no_coroutine(lab: Lab, wire: Wire, wait: Wait) -> None:
    async def main() -> None:
        app: Any = Call(waiting(wait, "between"))
        async with client_of(lab, wire, app) as client:
            response = await client.request("GET", "/")
            assert await response.read() == b"ok"

    lab.run(main())


@CLEAR
def test_cancelling_what_waits(lab: Lab, wire: Wire) -> None:
    """The application sees it, may clean up, and may wait while it does."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            own = asyncio.current_task()
            assert own is not None
            asyncio.get_running_loop().call_soon(own.cancel)
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cancelled")
            raise
        finally:
            seen.append("left")

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            with pytest.raises(cno.StreamError if wire.http2 else cno.ConnectionLostError):
                await client.request("GET", "/")
            await until(lambda: len(seen) == 2)
        assert seen == ["cancelled", "left"]

    lab.run(main())


@CLEAR
def test_who_takes_a_cancellation_goes_on(lab: Lab, wire: Wire) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        own = asyncio.current_task()
        assert own is not None
        asyncio.get_running_loop().call_soon(own.cancel)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            own.uncancel()
        await asyncio.sleep(0)
        await send(start())
        await send(body(b"taken"))

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            assert await (await client.request("GET", "/")).read() == b"taken"

    lab.run(main())


@CLEAR
def test_stacks_show_where_it_waits(lab: Lab, wire: Wire) -> None:
    proceed = asyncio.Event()

    async def deeper() -> None:
        await proceed.wait()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await deeper()
        await send(start())
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            asked = asyncio.create_task(client.request("GET", "/"))
            await asyncio.sleep(0.02)
            file = io.StringIO()
            cno.print_stacks(file)
            assert re.search(r"in app\n.*in deeper\n.*in wait\n", file.getvalue(), re.DOTALL)
            proceed.set()
            assert (await asked).code == 200

    lab.run(main())


class Large:
    """What an application holds while it runs."""


@CLEAR
def test_what_fails_is_freed_at_once(lab: Lab, wire: Wire) -> None:
    """There is no cycle from an error, by its traceback, to what an application held."""
    held: list[weakref.ref[Large]] = []

    def soon_failed() -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_exception, KeyError("told"))
        return future

    async def fail() -> None:
        large = Large()
        held.append(weakref.ref(large))
        await soon_failed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(KeyError):
            await fail()
        await send(start())
        await send(body())

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            for _ in range(3):
                assert (await client.request("GET", "/")).code == 200
            await until(lambda: all(each() is None for each in held))
            assert len(held) == 3

    gc.collect()
    gc.disable()
    try:
        lab.run(main())
    finally:
        gc.enable()


@CLEAR
def test_an_application_that_is_no_coroutine(
    lab: Lab, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def main() -> None:
        wrong: Any = app
        async with client_of(lab, wire, wrong) as client:
            assert (await client.request("GET", "/")).code == 500

    lab.run(main())
    assert "returned None" in caplog.text
