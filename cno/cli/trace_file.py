"""The file of `--trace`: a regular file is written at once, a pipe or a device from a thread.

A pipe that nobody reads must block neither transfers nor timeouts and signals. Knows files. Must
never know records.
"""

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import Future
from io import TextIOWrapper

from cno.cli.bounded_lines import BoundedLines
from cno.cli.exit_codes import NOT_WRITTEN
from cno.cli.problems import Problem, reason
from cno.cli.worker import Worker, write_text


class TraceFile:
    """Lines for a file. `failed` gets the error that ends it. Raises Problem for a bad name."""

    def __init__(self, path: str, failed: Callable[[Exception], None]) -> None:
        self._path = path
        self._failed = failed
        self._file: TextIOWrapper | None = None
        self._worker: Worker | None = None
        self._last: Future[None] | None = None
        self._failure: Exception | None = None  # of the thread
        self._lines = BoundedLines(self._submit, self._write, dropped)
        if is_regular(path):
            self._file = opened(path)
        else:
            self._worker = Worker("cno-trace")
            self._submit(self._open)  # which blocks until a pipe has a reader

    def add(self, line: str) -> None:
        """Write a line, or queue it. Does not block, unless the disk does."""
        if self._worker is None:
            if self._file is not None:
                self._file.write(line + "\n")
                self._file.flush()
        else:
            self._lines.add(line)
            self._report()

    async def drain(self) -> None:
        """Wait until all lines are written."""
        if self._worker is not None:
            self._lines.note_dropped()
            if self._last is not None:
                await asyncio.wrap_future(self._last)
            self._report()

    def close(self) -> None:
        """Close the file; a pipe, once its lines are written. Does not wait for that."""
        if self._worker is None:
            self._close()
        else:
            self._submit(self._close)
            self._worker.close()

    def _report(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._failed(failure)

    # -- in the thread ---------------------------------------------------------------------------

    def _submit(self, call: Callable[[], None]) -> None:
        assert self._worker is not None
        self._last = self._worker.submit(call)

    def _open(self) -> None:
        try:
            self._file = opened(self._path)
        except Problem as problem:
            self._failure = problem

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                write_text(self._file, line + "\n")
            except OSError as error:
                self._failure = error
                self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def dropped(count: int) -> str:
    """Return the line of JSON that stands for lines that were dropped."""
    return f'{{"dropped":{count}}}'


def is_regular(path: str) -> bool:
    """Return whether a path names a regular file, or none yet; '-' is standard output."""
    try:
        found = os.fstat(sys.stdout.fileno()) if path == "-" else os.stat(path)
    except OSError:
        return True
    return stat.S_ISREG(found.st_mode)


def opened(path: str) -> TextIOWrapper:
    """Open a file for lines; '-' is standard output. Raises Problem."""
    try:
        if path == "-":
            return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise Problem(f"cannot write {path}: {reason(error)}", NOT_WRITTEN) from None


def save(path: str, text: str) -> None:
    """Write a file; '-' is standard output. Raises Problem."""
    try:
        with opened(path) as file:
            file.write(text)
    except OSError as error:
        raise Problem(f"cannot write {path}: {reason(error)}", NOT_WRITTEN) from None
