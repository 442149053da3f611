"""A log file: opened for appending, and opened again after it has been moved away.

Knows files. Must never know what is logged.
"""

import os
from types import TracebackType
from typing import TextIO

from cno.cli.problems import Problem, reason
from cno.cli.text import one_line

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


class LogFile:
    """An open file for lines. Raises Problem if it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self.file: TextIO = open(os.open(path, _FLAGS, 0o666), "a", encoding="utf-8")
        except OSError as error:
            raise Problem(f"cannot write {one_line(path)}: {reason(error)}") from None

    def reopen(self) -> None:
        """Open the path again, under the descriptor that a thread may be writing to."""
        try:
            opened = os.open(self._path, _FLAGS, 0o666)
        except OSError:
            return  # the old file is better than none
        os.dup2(opened, self.file.fileno(), inheritable=False)
        os.close(opened)

    def __enter__(self) -> "LogFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()
