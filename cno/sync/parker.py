"""A thread that waits: parked until another thread unparks it, or in a poll of a socket.

One thread polls the socket of a connection, and reads for all others, which are parked (see
`polling.py`). Must never know connections.
"""

import threading
from typing import Any

from mypy_extensions import mypyc_attr

from cno.sync.waker import Waker


@mypyc_attr(allow_interpreted_subclasses=True)
class Parker:
    """One wait of one thread. `done` is the condition.

    All methods but `park` are called under the lock of the connection, or of the pool.
    """

    def __init__(self) -> None:
        self._lock: Any = None
        self._parked = False
        #: Interrupts the poll in which the thread waits; None: it polls no socket.
        self.waker: Waker | None = None
        self.until = 0.0  # when the wait ends, at the latest

    def done(self) -> bool:
        """Return whether the condition is met."""
        return False

    def unpark(self) -> None:
        """Make the thread test its condition."""
        if self._parked:
            self._parked = False
            self._lock.release()
        elif self.waker is not None:
            self.waker.wake()

    def prepare(self) -> None:
        """Prepare for `park`: a call of `unpark` before it is not lost."""
        if self._lock is None:
            self._lock = threading.Lock()
        self._lock.acquire(False)
        self._parked = True

    def park(self, timeout: float) -> None:
        """Wait until `unpark` is called. Called without the lock."""
        if timeout > threading.TIMEOUT_MAX:
            self._lock.acquire()
        elif timeout > 0.0:
            self._lock.acquire(True, timeout)

    def reset(self) -> None:
        """Note that the thread runs again."""
        self._parked = False
        self.waker = None
