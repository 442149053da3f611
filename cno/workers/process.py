"""One worker process, as its parent sees it.

Knows how a process is started, signalled and watched. Must never know when.
"""

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from cno.workers.child import PING, PONG, PREFIX, READY, REPLACE

# States of a worker.
STARTING: Final = "starting"
RUNNING: Final = "running"
STOPPING: Final = "stopping"

#: Seconds for a worker to take its job.
SEND_TIMEOUT: Final = 10.0

_CODE: Final = (
    "import sys; sys.path[:] = {path!r}; "
    "from cno.workers.child import main; main({descriptor}, {parent})"
)


class Worker:
    """A process that runs `target` ("module:function") with `argument`, which is pickled.

    `descriptors` are those that it inherits, by the same numbers.
    """

    def __init__(self, target: str, argument: Any, descriptors: Sequence[int], now: float) -> None:
        self.state = STARTING
        self.started_at = now
        self.deadline: float | None = None  # when it is killed
        self.pinged_at: float | None = None  # of a ping that it has not answered
        self.heard_at = now
        self.max_age: float | None = None
        self.wants_replacement = False
        self.successor: Worker | None = None  # that takes its place once it runs
        ours, theirs = socket.socketpair()
        self.control = ours
        code = _CODE.format(path=sys.path, descriptor=theirs.fileno(), parent=os.getpid())
        flags = ["-O"] * sys.flags.optimize
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, *flags, "-c", code],
                pass_fds=[*descriptors, theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        job = pickle.dumps((target, argument))
        ours.settimeout(SEND_TIMEOUT)  # the socket's buffer holds all of it, or the worker reads
        with contextlib.suppress(OSError):
            ours.sendall(len(job).to_bytes(PREFIX, "big") + job)
        ours.setblocking(False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def ping(self, now: float) -> None:
        """Ask whether it still works."""
        self.pinged_at = now
        with contextlib.suppress(OSError):
            self.control.send(PING)

    def read(self, now: float) -> bool:
        """Take what it has said; return False if it says nothing any more."""
        try:
            data = self.control.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if READY in data and self.state == STARTING:
            self.state = RUNNING
        if READY in data or PONG in data:
            self.pinged_at = None
            self.heard_at = now
        if REPLACE in data:
            self.wants_replacement = True
        return bool(data)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(OSError):
            self.process.send_signal(number)

    def close(self) -> None:
        """Release what the parent keeps of it."""
        self.control.close()
