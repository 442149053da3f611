"""Blocking calls in threads, so that the event loop never waits for a pipe or a terminal.

Knows threads and file descriptors. Must never know the data.
"""

import asyncio
import os
import select
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from io import TextIOWrapper
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, ParamSpec, TextIO, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

# Bytes of a write to a pipe that is atomic: it writes everything or nothing (POSIX).
ATOMIC: Final = getattr(select, "PIPE_BUF", 512)

Job = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """Runs calls one after the other in a daemon thread, which starts with the first call.

    The process can exit while a call blocks, which a ThreadPoolExecutor prevents by joining its
    threads. So a call must not hold a lock that is needed at exit: it writes to descriptors, not to
    `sys.stdout`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run `call` after the calls submitted before it."""
        future: Future[T] = Future()
        self._jobs.put((future, call))
        if self._thread is None:
            self._thread = Thread(target=work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        return future

    async def run(self, call: Callable[[], T]) -> T:
        """Submit a call and wait for its result. Cancelling does not stop a call that has begun."""
        return await asyncio.wrap_future(self.submit(call))

    def close(self) -> None:
        """End the thread after the calls submitted so far."""
        if self._thread is not None:
            self._jobs.put(None)


class DaemonExecutor(ThreadPoolExecutor):
    """For `loop.set_default_executor`: runs each call in its own daemon thread.

    So `asyncio.run` can return while a call blocks, for instance while DNS does not answer.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        worker = Worker("cno-call")
        future = worker.submit(partial(fn, *args, **kwargs))
        worker.close()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Return at once: running calls are left to their daemon threads."""


def work(jobs: SimpleQueue[Job | None]) -> None:
    """Run jobs until there is a None: the thread's main function."""
    while (job := jobs.get()) is not None:
        future, call = job
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        del job, future, call  # do not keep these alive while waiting for the next job


def write_bytes(file: TextIO, data: bytes) -> None:
    """Write all of `data`, past the file's own buffer. Blocks."""
    descriptor = descriptor_of(file)
    if descriptor is None:
        file.buffer.write(data)
        file.flush()
        return
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # another process has made the terminal or pipe non-blocking
            select.select([], [descriptor], [])


def write_text(file: TextIO, text: str) -> None:
    """Write a text in the encoding of the file; characters that it lacks become `?`. Blocks."""
    data = text.encode(file.encoding or "utf-8", "replace")
    if descriptor_of(file) is None:
        file.write(data.decode(file.encoding or "utf-8"))
        file.flush()
    else:
        write_bytes(file, data)


def descriptor_of(file: TextIO) -> int | None:
    """Return the descriptor to write to; None if the file object must be used.

    That is: a file in memory, a proxy of another file (rich's, while it shows progress bars), and
    every file on Windows, whose consoles take text and no bytes.
    """
    if os.name != "posix" or not isinstance(file, TextIOWrapper):
        return None
    try:
        return file.fileno()
    except (OSError, ValueError):
        return None
