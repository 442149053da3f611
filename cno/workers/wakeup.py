"""Signals, as bytes that a selector can wait for, together with calls from other threads.

Knows signals and sockets. Must never know what they are for.
"""

import contextlib
import signal
import socket
from collections.abc import Iterable
from types import FrameType
from typing import Any


class Wakeup:
    """Collects signals: a context manager in the main thread. `sock` is readable once there are
    some, or after `wake`."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._before: dict[int, Any] = {}
        self._descriptor = -1
        self._pending: list[int] = []
        self.sock, self._end = socket.socketpair()
        self.sock.setblocking(False)
        self._end.setblocking(False)

    def __enter__(self) -> "Wakeup":
        self._descriptor = signal.set_wakeup_fd(self._end.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self.sock.close()
        self._end.close()

    def wake(self) -> None:
        """Make `sock` readable: for other threads."""
        with contextlib.suppress(OSError):
            self._end.send(b"\0")

    def take(self) -> list[int]:
        """Return the signals since the last call."""
        with contextlib.suppress(BlockingIOError):
            while self.sock.recv(4096):
                pass
        taken, self._pending = self._pending, []
        return taken

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending.append(number)
