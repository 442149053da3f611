"""Writes to standard output and standard error, in order, without blocking the event loop.

Knows the order of writes and how they fail. Must never know the text.
"""

import asyncio
import sys
from concurrent.futures import Future
from functools import partial
from typing import Final, TextIO

from cno.cli.text import lines_were
from cno.cli.worker import Worker, write_bytes, write_text

#: Characters of lines about connections (`-v`) that wait for a slow reader of standard error.
#: Further ones are dropped and counted; a line says how many, where they are missing.
MAX_TRACE: Final = 4_194_304


class Printer:
    """Writes to standard output and standard error from one thread.

    A stopped terminal (Ctrl-S) or a pipe that nobody reads blocks `drain`, not the event loop, so
    timeouts and signals still end the command.
    """

    def __init__(self) -> None:
        self._worker = Worker("cno-print")
        self._last: Future[None] | None = None
        self._failure: OSError | None = None
        self._queued = 0  # characters of lines that `trace` has queued
        self._written = 0  # characters of these that are written: the thread counts them
        self._dropped = 0  # lines of `trace` dropped since the last line that said so

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
        """Queue a line for standard error, or drop it if more than `MAX_TRACE` waits.

        Once one is dropped, further ones are until half of that is written: gaps are few and long.
        """
        most = MAX_TRACE // 2 if self._dropped else MAX_TRACE
        if self._queued - self._written + len(text) > most:
            self._dropped += 1
            return
        self._note_dropped()
        self._queued += len(text)
        self._last = self._worker.submit(partial(self._write_trace, text))

    async def drain(self) -> None:
        """Wait until all is written. Raises the OSError of the first write that failed."""
        self._note_dropped()
        if self._last is not None:
            await asyncio.wrap_future(self._last)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread once all is written. Does not wait."""
        self._worker.close()

    def _put(self, file: TextIO, data: bytes | str) -> None:
        self._last = self._worker.submit(partial(self._write, file, data))

    def _note_dropped(self) -> None:
        """Say how many lines of `trace` are missing here."""
        if self._dropped:
            self.line(f"({lines_were(self._dropped)} dropped: standard error is read too slowly)")
            self._dropped = 0

    def _write_trace(self, text: str) -> None:
        self._write(sys.stderr, f"{text}\n")
        self._written += len(text)

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
