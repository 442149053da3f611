"""A request that waits for a connection of a pool: its thread, its time limits, its error.

Must never know which connections exist, or how one is made.
"""

import time
from typing import cast, final

from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectionLostError, ConnectTimeoutError, StreamTimeoutError, fresh
from cno.pool.connection import Dial, Origin, Waiter
from cno.sync.dial import SPARE_TIME, Dialing
from cno.sync.errors import PoolTimeoutError
from cno.sync.parker import Parker
from cno.sync.timeouts import FOREVER, Deadlines


class PoolParker(Parker):
    """A thread whose request waits for a connection."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.waiter: Waiter | None = None
        self.dialing: Dialing | None = None  # the connection that the thread is making
        self.is_void = False  # the pool was reset
        self.dial: Dial | None = None  # the decision to make it
        self._pending: dict[str, list[Dial]] = {}
        self._origin = origin

    def attach(self, pending: dict[str, list[Dial]]) -> None:
        self._pending = pending

    def decided(self) -> bool:
        """Return whether the store has decided about the request."""
        waiter = self.waiter
        if waiter is None or self.is_void:
            return True
        return waiter.connection is not None or waiter.failed

    def done(self) -> bool:
        return self.decided() or self._origin.name in self._pending

    def unpark(self) -> None:
        dialing = self.dialing
        if dialing is None:
            super().unpark()
        elif self.decided():
            dialing.cancel(SPARE_TIME)


@final
class PoolClock:
    """How long a request waits for a connection: separately, while other threads make the first
    ones of its origin (`Timeout.connect`), and while all are in use (`Timeout.pool`)."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        # The connection's own limit is that of the thread that makes it.
        self._connect_left = FOREVER if deadlines.by_limits_connect else deadlines.connect
        self._pool_left = deadlines.pool
        self._connecting = False
        self.now = time.monotonic()

    def due(self, origin: Origin) -> float:
        """Return when the wait ends at the latest, as things are now."""
        now = time.monotonic()
        if self._connecting:
            self._connect_left -= now - self.now
        else:
            self._pool_left -= now - self.now
        self.now = now
        self._connecting = origin.dialing > 0 and origin.dialing == origin.live
        left = self._connect_left if self._connecting else self._pool_left
        return min(now + left, self._deadlines.total_at)

    def error(self, origin: Origin) -> Exception:
        """Return the error of a request that has waited for too long."""
        deadlines = self._deadlines
        cause: ConnectTimeoutError
        if self.now >= deadlines.total_at:
            cause = PoolTimeoutError("no connection was free in time")
        elif self._connecting:
            cause = ConnectTimeoutError(f"no connection within {deadlines.connect:.3g} s")
        else:
            cause = PoolTimeoutError(f"no connection was free within {deadlines.pool:g} s")
        return connect_error(cast(Target, origin.peer), cause)


class PoolResetError(Exception):
    """The pool was reset while a request waited: the request starts again."""


def failure_of(parker: PoolParker) -> Exception:
    """Return why there is no connection for a request that has waited."""
    waiter = parker.waiter
    if waiter is None or parker.is_void:
        return PoolResetError()
    target = cast(Target, waiter.origin.peer)
    return error_for(target, cast("Exception | None", waiter.reason))


def error_for(target: Target, reason: Exception | None) -> Exception:
    """Return the error of one request that waited for a connection; None: the pool was closed."""
    if reason is None:
        return ConnectionLostError("the pool was closed", retryable=True)
    if isinstance(reason, StreamTimeoutError):
        return fresh(reason)  # the server of the connection allows no requests
    if isinstance(reason, OSError):
        return connect_error(target, reason)
    return reason  # an error of the program, or a malformed environment variable
