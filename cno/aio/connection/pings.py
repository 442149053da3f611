"""PINGs that the application waits for (RFC 9113 6.7).

Knows the PINGs without an answer. Must never know a connection.
"""

import asyncio
import time
from typing import Final

from cno.aio.errors import fresh
from cno.aio.waiters import wake

#: The beginning of their payload; the rest is their number.
PREFIX: Final = b"ping"


class Pings:
    """The PINGs of one connection that the application waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0

    def next(self) -> bytes:
        """Return the payload of the next PING."""
        self._count += 1
        return PREFIX + (self._count & 0xFFFF_FFFF).to_bytes(4, "big")

    async def answer(self, data: bytes, patience: float | None) -> float:
        """Wait for the answer to a PING that has just been sent. Return the round-trip time.

        Raises TimeoutError after `patience` seconds, and the error that `fail` is given.
        """
        waiter = self._waiters[data] = self._loop.create_future()
        sent = time.perf_counter()  # uvloop's own clock counts milliseconds
        timer: asyncio.TimerHandle | None = None
        if patience is not None:
            timer = self._loop.call_later(patience, expire, waiter, patience)
        try:
            await waiter
        finally:
            self._waiters.pop(data, None)
            if timer is not None:
                timer.cancel()
        return time.perf_counter() - sent

    def answered(self, data: bytes) -> None:
        """Wake the waiter of the PING with this payload."""
        wake(self._waiters.get(data))

    def fail(self, error: Exception) -> None:
        """Raise an error in all waiters: the connection has ended."""
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(fresh(error))


def expire(waiter: asyncio.Future[None], patience: float) -> None:
    """Raise TimeoutError in a waiter."""
    if not waiter.done():
        waiter.set_exception(TimeoutError(f"a PING was not answered in {patience} s"))
