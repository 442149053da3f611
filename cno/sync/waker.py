"""Polling a socket, and a descriptor by which another thread interrupts the poll.

Must never know connections.
"""

import math
import os
import select
import socket
from typing import Any, Final, final

CAN_POLL: Final = hasattr(select, "poll")
IN: Final = 1
OUT: Final = 2
#: The longest wait that the system calls take, in seconds.
LONGEST: Final = 86_400.0


@final
class Waker:
    """Interrupts a poll. Two calls before the poll count as one."""

    def __init__(self) -> None:
        self._ends: Any = None
        self._event = -1
        if hasattr(os, "eventfd"):
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)

    def fileno(self) -> int:
        return self._event if self._ends is None else int(self._ends[0].fileno())

    def wake(self) -> None:
        try:
            if self._ends is not None:
                self._ends[1].send(b"\0")
            elif self._event >= 0:
                os.eventfd_write(self._event, 1)
        except OSError:
            pass  # it is woken already, or closed

    def clear(self) -> None:
        """Forget earlier calls of `wake`."""
        try:
            if self._ends is not None:
                self._ends[0].recv(64)
            elif self._event >= 0:
                os.eventfd_read(self._event)
        except OSError:
            pass  # it has not been woken

    def close(self) -> None:
        if self._ends is not None:
            for end in self._ends:
                end.close()
        elif self._event >= 0:
            event = self._event
            self._event = -1
            os.close(event)

    def __del__(self) -> None:
        self.close()


@final
class Poller:
    """Polls one socket and a waker. For one thread at a time."""

    def __init__(self, number: int, waker: Waker) -> None:
        self._number = number
        self._waker = waker
        self._woken_by = waker.fileno()
        self._poll: Any = None
        self._probe: Any = None
        self._wants_out = False
        self._wants_in = True
        if CAN_POLL:
            self._poll = select.poll()
            self._poll.register(number, select.POLLIN)
            self._poll.register(self._woken_by, select.POLLIN)

    def wait(self, wants_out: bool, timeout: float, wants_in: bool = True) -> int:
        """Wait until the socket has input (IN), accepts output (OUT), or the waker is called.

        Return the events of the socket. An error of the socket counts as input.
        """
        if self._poll is None:
            return self._select(wants_out, timeout, wants_in)
        if wants_out != self._wants_out or wants_in != self._wants_in:
            self._wants_out = wants_out
            self._wants_in = wants_in
            mask = (select.POLLIN if wants_in else 0) | (select.POLLOUT if wants_out else 0)
            self._poll.modify(self._number, mask)
        found: list[tuple[int, int]] = self._poll.poll(milliseconds(timeout))
        events = 0
        for number, mask in found:
            if number == self._woken_by:
                self._waker.clear()
            else:
                if mask & ~select.POLLOUT:
                    events |= IN
                if mask & select.POLLOUT:
                    events |= OUT
        return events

    def has_input(self) -> bool:
        """Return whether the socket has input or is at its end, or may have: another thread asks,
        or has closed it."""
        try:
            if self._poll is None:
                return bool(select.select([self._number], [], [], 0)[0])
            if self._probe is None:
                probe = select.poll()
                probe.register(self._number, select.POLLIN)
                self._probe = probe
            return bool(self._probe.poll(0))
        except (OSError, RuntimeError, ValueError):
            return True

    def _select(self, wants_out: bool, timeout: float, wants_in: bool) -> int:
        outs = [self._number] if wants_out else []
        ins = [self._number, self._woken_by] if wants_in else [self._woken_by]
        wait = None if timeout == math.inf else max(0.0, min(timeout, LONGEST))
        found = select.select(ins, outs, [self._number], wait)
        if self._woken_by in found[0]:
            self._waker.clear()
        events = IN if self._number in found[0] or found[2] else 0
        return events | (OUT if found[1] else 0)


def milliseconds(timeout: float) -> int | None:
    """Return a timeout as the argument of `poll`, rounded up."""
    if timeout == math.inf:
        return None
    if timeout <= 0.0:
        return 0
    return int(min(timeout, LONGEST) * 1000.0) + 1
