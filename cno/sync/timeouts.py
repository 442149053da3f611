"""The timeouts of a request: its own, or those of the connection's `Limits`.

Must never know connections.
"""

import time
from typing import Final, final

from mypy_extensions import mypyc_attr

from cno.limits import Limits
from cno.timeouts import Timeout

#: Seconds of a wait without a limit, and the time at which it ends.
FOREVER: Final = float("inf")


@mypyc_attr(allow_interpreted_subclasses=True)
class Deadlines:
    """The timeouts of one request, in seconds. `total_at` is a time of `time.monotonic()`.

    `by_limits_...`: the timeout is that of `Limits`, which the error names.
    """

    def __init__(self, limits: Limits, timeout: Timeout | None) -> None:
        self.total = FOREVER
        self.total_at = FOREVER
        self.connect = seconds(limits.handshake_timeout)
        self.pool = FOREVER
        self.head = seconds(limits.response_timeout)
        self.body = seconds(limits.body_timeout)
        self.write = seconds(limits.write_stall_timeout)
        self.by_limits_read = True
        self.by_limits_write = True
        self.by_limits_connect = True
        if timeout is None:
            return
        if timeout.total is not None:
            self.total = timeout.total
            self.total_at = time.monotonic() + timeout.total
        if timeout.connect is not None:
            self.connect = timeout.connect
            self.by_limits_connect = False
        if timeout.pool is not None:
            self.pool = timeout.pool
        if timeout.read is not None:
            self.head = self.body = timeout.read
            self.by_limits_read = False
        if timeout.write is not None:
            self.write = timeout.write
            self.by_limits_write = False

    def after(self, wait: float) -> float:
        """Return when a wait of `wait` seconds ends, `total_at` at the latest."""
        if wait == FOREVER:
            return self.total_at
        return min(time.monotonic() + wait, self.total_at)


@final
class Expiry:
    """When something ends at the latest, which another thread may bring forward."""

    def __init__(self) -> None:
        self.at = FOREVER


def seconds(value: float | None) -> float:
    """Return a timeout as a number; None means that there is none."""
    return FOREVER if value is None else value
