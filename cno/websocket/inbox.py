"""Messages that have been received and wait for the application, within bounds.

Must never know frames.
"""

import asyncio
from collections import deque

from mypy_extensions import i64

from cno.aio.waiters import wake
from cno.websocket.options import Options


class MessageQueue:
    """A queue of messages, bounded in their number and their size."""

    def __init__(self, options: Options) -> None:
        self._max_messages: i64 = options.max_queue
        self._max_size: i64 = options.max_queue_size
        self._messages: deque[str | bytes] = deque()
        self._size: i64 = 0  # bytes, or characters, of these

    def is_empty(self) -> bool:
        return not self._messages

    def is_full(self) -> bool:
        """Return whether no more should be received for now."""
        return len(self._messages) >= self._max_messages or self._size > self._max_size

    def put(self, message: str | bytes) -> None:
        self._messages.append(message)
        self._size += len(message)

    def take(self) -> str | bytes:
        """Return the oldest message. Raises IndexError if there is none."""
        message = self._messages.popleft()
        self._size -= len(message)
        return message

    def clear(self) -> None:
        """Drop all messages."""
        self._messages.clear()
        self._size = 0


class Inbox(MessageQueue):
    """A queue of messages, for which a task may wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Options) -> None:
        super().__init__(options)
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None  # of a task that waits for a message

    def put(self, message: str | bytes) -> None:
        super().put(message)
        wake(self._waiter)

    def wake(self) -> None:
        """Have a waiting task look again: no message will come."""
        wake(self._waiter)

    async def wait(self) -> None:
        """Wait until there is a message, or `wake` is called."""
        if self._waiter is not None:
            raise RuntimeError("another task is already waiting for a message")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
