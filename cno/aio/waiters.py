"""Futures that somebody waits for until something has changed. Knows nothing of what that is."""

import asyncio
from collections import deque


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Let go on who waits, if anybody does: a task that was cancelled meanwhile does not."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def wake_first(line: deque[asyncio.Future[None]]) -> None:
    """Let the first one in line go on that still waits."""
    while line:
        waiter = line.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return
