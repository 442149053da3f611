"""Futures on which tasks wait for a change of state. Knows nothing of that state."""

import asyncio
from collections import deque


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Wake a waiter, if there is one and it has not been cancelled."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def wake_first(line: deque[asyncio.Future[None]]) -> None:
    """Wake the first waiter that has not been cancelled, and remove it and those before it."""
    while line:
        waiter = line.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return
