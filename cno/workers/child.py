"""The worker's side: it receives a job from its parent, runs it, and answers pings.

Knows the socket between both processes. Must never know what the worker does.

The parent sends the job, a pickle with its length in front, then `PING`s. The worker sends `READY`
once it works, `PONG`s, and `REPLACE` if it wants another one to take its place.
"""

import asyncio
import contextlib
import ctypes
import os
import pickle
import signal
import socket
import sys
import threading
import time
from importlib import import_module
from typing import Any, Final

PING: Final = b"p"
READY: Final = b"R"
PONG: Final = b"P"
REPLACE: Final = b"X"

#: Exit status of a worker that cannot begin its work, which a second attempt would not change.
STARTUP_FAILURE: Final = 3

#: Bytes of the length in front of the job.
PREFIX: Final = 8

_PR_SET_PDEATHSIG: Final = 1
#: Seconds between two looks for the parent, on systems without notice of its end.
_LOOK: Final = 0.5

#: Signals that a terminal, or a user, sends to the group of processes: they are for the parent.
PARENTS: Final = ("SIGINT", "SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2")


class Control:
    """The worker's end of the connection to its parent."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)

    def answer_pings(self) -> None:
        """Answer the parent's pings from the running event loop: one that hangs does not."""
        asyncio.get_running_loop().add_reader(self._sock, self._readable)

    def ready(self) -> None:
        """Tell the parent that this worker works."""
        self._send(READY)

    def replace(self) -> None:
        """Ask the parent for a worker in place of this one, which it then stops."""
        self._send(REPLACE)

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # the parent has gone, and we shall follow
            self._sock.send(message)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            os._exit(1)  # no parent, no worker
        self._send(PONG * data.count(PING))


def tie_to_parent(parent: int) -> None:
    """Have this process end with its parent, even if that is killed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)  # it has gone already
            return
    threading.Thread(target=follow, args=(parent,), name="cno-parent", daemon=True).start()


def follow(parent: int) -> None:
    """End this process once its parent has gone: a thread's main function."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def receive_job(sock: socket.socket) -> tuple[str, Any]:
    """Return what to run, "module:function", and the argument for it."""
    with sock.makefile("rb", buffering=0) as stream:
        size = int.from_bytes(read_exactly(stream, PREFIX), "big")
        job: tuple[str, Any] = pickle.loads(read_exactly(stream, size))
    return job


def read_exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            os._exit(1)  # the parent has gone
        data += piece
    return data


def main(descriptor: int, parent: int) -> None:
    """Run a worker: the main function of its process, which never returns."""
    tie_to_parent(parent)
    for name in PARENTS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sock = socket.socket(fileno=descriptor)
    target, argument = receive_job(sock)
    module, _, function = target.partition(":")
    status = getattr(import_module(module), function)(argument, Control(sock))
    sys.exit(status)
