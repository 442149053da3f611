"""Requests that wait until the server allows them.

Knows when the next one may try. Must never know how a request is written.
"""

from typing import Final

from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.state import ClientLink, is_open
from cno.aio.connection.timeouts import is_greeting
from cno.aio.errors import ConnectionLostError, not_sent
from cno.errors import Reason

NOT_ALLOWED: Final = Reason("the server allows no requests", "", "write_stall_timeout")


async def wait(conn: ClientLink, first: bool, observer: RequestObserver | None = None) -> None:
    """Wait until the server may allow one more request. `first`: in front of those that wait.

    Raises ConnectionLostError if it allows none any more.
    """
    if not is_open(conn):
        raise ConnectionLostError("the connection takes no more requests", retryable=True)
    waiter = conn.loop.create_future()
    if first:
        conn._requests.waiting.appendleft(waiter)
    else:
        conn._requests.waiting.append(waiter)
    conn._shorten_timer()
    if observer is not None:
        observer.waits(waiter, None)
    await waiter


async def wait_for_settings(conn: ClientLink) -> None:
    """Wait for the server's first SETTINGS: they say whether it takes extended CONNECT."""
    try:
        while is_greeting(conn):
            await wait(conn, False)
    finally:
        conn._freed()


def is_awaited(conn: ClientLink) -> bool:
    """Return whether requests wait."""
    return any(not waiter.done() for waiter in conn._requests.waiting)


def fail(conn: ClientLink, why: Reason | None) -> None:
    """Wake all waiting requests. `why`: raise a timeout in each; None: they see what has ended."""
    waiting = conn._requests.waiting
    while waiting:
        waiter = waiting.popleft()
        if waiter.done():
            continue
        if why is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(not_sent(why))
