"""The timeouts of a request: its own, or those of the connection's `Limits`.

Must never know connections.
"""

import time
from typing import Final, final

from cno.limits import Limits

#: Seconds of a wait without a limit, and the time at which it ends.
FOREVER: Final = float("inf")


@final
class Timeout:
    """The timeouts of a request, in seconds. None: as in `Limits`; `math.inf`: no timeout.

    `total`: from the call to the end of the response. `connect`: until a connection is made,
    including TLS and proxies. `pool`: until a connection of a pool is free, without the time to
    make one. `read`: until the head of the response, and between two pieces of its body. `write`:
    until the server accepts more of the request. (The system's name resolution cannot be
    interrupted.)
    """

    def __init__(
        self,
        total: float | None = None,
        *,
        connect: float | None = None,
        read: float | None = None,
        write: float | None = None,
        pool: float | None = None,
    ) -> None:
        self.total = total
        self.connect = connect
        self.read = read
        self.write = write
        self.pool = pool

    def __repr__(self) -> str:
        given = []
        for name, value in (
            ("total", self.total),
            ("connect", self.connect),
            ("read", self.read),
            ("write", self.write),
            ("pool", self.pool),
        ):
            if value is not None:
                given.append(f"{name}={value:g}")
        return f"Timeout({', '.join(given)})"


@final
class Deadlines:
    """The timeouts of one request. `total_at` is a time of `time.monotonic()`.

    `by_limits_...`: the timeout is that of `Limits`, which the error names.
    """

    def __init__(self, limits: Limits, timeout: Timeout | None) -> None:
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


def seconds(value: float | None) -> float:
    """Return a timeout as a number; None means that there is none."""
    return FOREVER if value is None else value


def as_timeout(value: "Timeout | float | None") -> Timeout | None:
    """Return the argument `timeout=` as a Timeout. Raises TypeError, ValueError."""
    if value is None or isinstance(value, Timeout):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a timeout is seconds or a Timeout, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"a timeout is positive, not {value}")
    return Timeout(float(value))
