"""What uvicorn's own tests need to run with `cno.uvicorn:Protocol`: loaded with `-p`.

Those tests call a protocol class with a mock of an event loop that knows tasks and timers. Ours
uses more of a loop: `MockLoop` below has it, on a clock of its own.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cno import uvicorn

#: An idle connection is looked at each quarter of its timeout: time for that to be seen.
LATE = 2.0


class MockLoop(asyncio.AbstractEventLoop):
    """Collects tasks, as uvicorn's does, and runs callbacks after each call of a test."""

    def __init__(self) -> None:
        self._tasks: list[Coroutine[Any, Any, Any]] = []
        self._soon: list[Callable[[], object]] = []
        self._timers: list[MockHandle] = []
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def get_task_factory(self) -> Any:
        return object()  # so that tasks are made by create_task

    def create_task(self, coro: Any, **options: Any) -> Any:
        self._tasks.insert(0, coro)
        return MockTask()

    def call_soon(  # type: ignore[override]  # the types of the arguments do not matter here
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        handle = MockHandle(self._now, callback, args)
        self._soon.append(handle.run)
        return handle

    def call_later(  # type: ignore[override]  # the types of the arguments do not matter here
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        handle = MockHandle(self._now + delay, callback, args)
        self._timers.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # the types of the arguments do not matter here
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        return self.call_later(when - self._now, callback, *args)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)

    def drain(self) -> None:
        """Run what was to run soon."""
        while self._soon:
            soon, self._soon = self._soon, []
            for run in soon:
                run()

    async def run_one(self) -> object:
        """Run the oldest task."""
        self.drain()
        try:
            return await self._tasks.pop()
        finally:
            self.drain()

    def run_later(self, with_delay: float) -> None:
        """Let time pass."""
        end = self._now + LATE * with_delay
        while due := [timer for timer in self._timers if timer.at <= end]:
            timer = min(due, key=lambda each: each.at)
            self._timers.remove(timer)
            self._now = max(self._now, timer.at)
            timer.run()
            self.drain()
        self._now = end


class MockHandle:
    """A callback that may be cancelled."""

    def __init__(self, at: float, callback: Any, args: tuple[Any, ...]) -> None:
        self.at = at
        self._callback: Any = callback
        self._args = args

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)


class MockTask:
    """What nobody asks for anything."""

    def done(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True

    def add_done_callback(self, callback: Any) -> None:
        pass


class Protocol(uvicorn.Protocol):
    """Ours, with two attributes that uvicorn's tests look at."""

    scope: Any = None

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        if not config.loaded:
            config.load()
        app = config.loaded_app

        async def keep_scope(scope: Any, receive: Any, send: Any) -> object:
            self.scope = scope
            result: object = await app(scope, receive, send)
            return result

        config.loaded_app = keep_scope
        super().__init__(config, server_state, app_state, _loop)
        config.loaded_app = app

    @property
    def timeout_keep_alive_task(self) -> object:
        """Not None while the connection is idle."""
        return None if self._exchanges or self._life.phase > 3 else self._timeouts.timer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._drain()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._drain()

    def _drain(self) -> None:
        if isinstance(self.loop, MockLoop):
            self.loop.drain()


@pytest.fixture(params=[pytest.param(Protocol, id="cno")])
def http_protocol_cls(request: pytest.FixtureRequest) -> type[asyncio.Protocol]:
    found: type[asyncio.Protocol] = request.param
    return found


def refuse_half_close(transport: object) -> None:
    raise NotImplementedError("the mock of a transport has one end")


def pytest_collection_modifyitems() -> None:
    """Complete the mocks of the modules that were collected."""
    module: Any = sys.modules.get("tests.protocols.test_http")
    if module is not None:
        module.MockLoop = MockLoop
        transport = module.MockTransport
        transport.set_write_buffer_limits = lambda self, high=None, low=None: None
        transport.get_write_buffer_size = lambda self: 0
        transport.write_eof = refuse_half_close
        transport.abort = lambda self: None if self.closed else self.close()
