"""The extension `trace`: calls a function of the application with the events of a request.

Knows the events' names, which are httpcore's. Must never know a connection.
"""

import asyncio
from collections import deque
from typing import Any


def prefix(http2: bool) -> str:
    """Return how the names of events about a request begin."""
    return "http2" if http2 else "http11"


class SyncTracer:
    """Calls the application's function with each event of a blocking request."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def put(self, name: str, info: dict[str, Any]) -> None:
        """Pass an event to the function."""
        result = self._function(name, info)
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise TypeError(
                "If you are using a synchronous interface, the callback of the `trace` extension "
                "should be a normal function instead of an asynchronous function."
            )


class Tracer:
    """Calls the application's function with each event, in order, while the request goes on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Any) -> None:
        self._loop = loop
        self._function = function
        self._events: deque[tuple[str, dict[str, Any]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    def put(self, name: str, info: dict[str, Any]) -> None:
        """Add an event."""
        self._events.append((name, info))
        if self._task is None:
            self._task = self._loop.create_task(self._deliver())

    async def drain(self) -> None:
        """Wait until the function has seen all events. Raises what it has raised."""
        task = self._task
        if task is not None:
            await asyncio.wait((task,))
        error = self._error
        if error is not None:
            self._error = None
            raise error

    async def _deliver(self) -> None:
        try:
            while self._events:
                name, info = self._events.popleft()
                awaitable = self._function(name, info)
                if not hasattr(awaitable, "__await__"):
                    raise TypeError(
                        "If you're using an asynchronous interface, the callback of the `trace` "
                        "extension should be an asynchronous function rather than a normal "
                        "function."
                    )
                await awaitable
        except Exception as error:
            self._events.clear()
            self._error = error
        self._task = None
