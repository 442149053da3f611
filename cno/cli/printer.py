"""What a command prints: to both of its outputs, in order, without the event loop waiting.

Knows the order of writes and how they fail. Must never know what is printed.
"""

import asyncio
import sys
from concurrent.futures import Future
from functools import partial
from typing import TextIO

from cno.cli.worker import Worker, write_bytes, write_text


class Printer:
    """Writes to standard output and standard error from one thread.

    So a terminal that is stopped (Ctrl-S), or a pipe that nobody reads, holds up `drain` and not
    the event loop: timeouts and signals still end the command.
    """

    def __init__(self) -> None:
        self._worker = Worker("cno-print")
        self._last: Future[None] | None = None
        self._failure: OSError | None = None

    def out(self, data: bytes | str) -> None:
        """Write to standard output. Call `drain` before there is much more."""
        self._put(sys.stdout, data)

    def line(self, text: str) -> None:
        """Write a line to standard error."""
        self._put(sys.stderr, f"{text}\n")

    async def drain(self) -> None:
        """Wait until all is written. Raises OSError (BrokenPipeError) once any of it has failed."""
        if self._last is not None:
            await asyncio.wrap_future(self._last)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread once all is written; wait for nothing."""
        self._worker.close()

    def _put(self, file: TextIO, data: bytes | str) -> None:
        self._last = self._worker.submit(partial(self._write, file, data))

    def _write(self, file: TextIO, data: bytes | str) -> None:
        if self._failure is not None:
            return
        try:
            if isinstance(data, str):
                write_text(file, data)
            else:
                write_bytes(file, data)
        except OSError as error:
            self._failure = error
