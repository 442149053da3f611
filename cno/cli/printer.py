"""Writes to standard output and standard error, in order, without blocking the event loop.

Knows the order of writes and how they fail. Must never know the text.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TextIO

from cno.cli.bounded_lines import BoundedLines
from cno.cli.text import lines_were
from cno.cli.worker import Worker, write_bytes, write_text


class Printer:
    """Writes to standard output and standard error from one thread.

    A stopped terminal (Ctrl-S) or a pipe that nobody reads blocks `drain`, not the event loop, so
    timeouts and signals still end the command.
    """

    def __init__(self) -> None:
        self._worker = Worker("cno-print")
        self._last: Future[None] | None = None
        self._failure: OSError | None = None
        self._trace = BoundedLines(self._submit, self._write_line, dropped)

    def out(self, data: bytes | str) -> None:
        """Queue data for standard output. Call `drain` to bound the queue."""
        self._put(sys.stdout, data)

    def line(self, text: str) -> None:
        """Queue a line for standard error."""
        self._put(sys.stderr, f"{text}\n")

    def error(self, text: str) -> None:
        """Queue a text for standard error."""
        self._put(sys.stderr, text)

    def trace(self, text: str) -> None:
        """Queue a line for standard error, or drop it if too much waits; see `BoundedLines`."""
        self._trace.add(text)

    async def drain(self) -> None:
        """Wait until all is written. Raises the OSError of the first write that failed."""
        self._trace.note_dropped()
        if self._last is not None:
            await asyncio.wrap_future(self._last)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread once all is written. Does not wait."""
        self._worker.close()

    def _put(self, file: TextIO, data: bytes | str) -> None:
        self._submit(partial(self._write, file, data))

    def _submit(self, call: Callable[[], None]) -> None:
        self._last = self._worker.submit(call)

    def _write_line(self, text: str) -> None:
        self._write(sys.stderr, f"{text}\n")

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


def dropped(count: int) -> str:
    """Return the line that stands for lines that were dropped."""
    return f"({lines_were(count)} dropped: standard error is read too slowly)"
