"""A queue that can be closed, for bodies that are produced piece by piece.

Knows asyncio's queues only. Stays interpreted (see setup.py), so that applications can subclass it.
"""

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, Final

from cno.aio.waiters import wake_first

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # which need not be installed

    T = TypeVar("T", default=bytes)
else:
    from typing import TypeVar

    T = TypeVar("T")

#: Numbers of channels: an error has the number of its channel, not a reference to it.
NUMBERS: Final = itertools.count(1)


class Channel(asyncio.Queue[T]):
    """An `asyncio.Queue` that can be closed, and an asynchronous iterator over its items.

    The channel holds up to `maxsize` items (0: any number). Iteration ends when the channel is
    closed and empty; `get` raises EOFError then. `put` raises BrokenPipeError once the channel is
    closed, even if it was waiting by then. `loop` is accepted for old programs, and ignored.
    """

    def __init__(self, maxsize: int = 0, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(maxsize)
        self._shut = False
        self._number = next(NUMBERS)
        # Separate from those of Queue, which only an item can wake.
        self._consumers: deque[asyncio.Future[None]] = deque()
        self._producers: deque[asyncio.Future[None]] = deque()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called. The channel may still hold items."""
        return self._shut

    def close(self) -> None:
        """Accept no more items; wake all tasks that wait in `put` or `get`."""
        self._shut = True
        while self._consumers:
            wake_first(self._consumers)
        while self._producers:
            wake_first(self._producers)

    def shutdown(self, immediate: bool = False) -> None:
        """Close the channel, as `asyncio.Queue` does from Python 3.13 on."""
        while immediate and not self.empty():
            self.get_nowait()
            self.task_done()
        self.close()

    async def put(self, item: T) -> None:
        while not self._shut and self.full():
            await _wait_in(self._producers)
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        if self._shut:
            error = BrokenPipeError("the channel is closed")
            error.__dict__["_channel"] = self._number
            raise error
        super().put_nowait(item)
        wake_first(self._consumers)

    async def get(self) -> T:
        while self.empty():
            if self._shut:
                raise EOFError("the channel is closed")
            await _wait_in(self._consumers)
        return self.get_nowait()

    def get_nowait(self) -> T:
        item = super().get_nowait()
        wake_first(self._producers)
        return item

    def __aiter__(self) -> "Channel[T]":
        return self

    async def __anext__(self) -> T:
        try:
            return await self.get()
        except EOFError:
            raise StopAsyncIteration from None


def channel_of(error: BrokenPipeError) -> int:
    """Return the number of the channel that raised this error; 0 if none did."""
    number = error.__dict__.get("_channel", 0)
    return number if isinstance(number, int) else 0


async def _wait_in(line: deque[asyncio.Future[None]]) -> None:
    """Wait to be woken. A task that is cancelled after it was woken wakes the next one."""
    waiter = asyncio.get_running_loop().create_future()
    line.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            wake_first(line)
        elif waiter in line:
            line.remove(waiter)
        raise
