"""Lines for a reader that may be slow: adding one never blocks, and few of them wait.

Knows how lines are counted and dropped. Must never know what they say, or the file.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

#: Characters of lines about connections (`-v`, `--trace` into a pipe) that wait for a slow reader.
#: Further ones are dropped and counted; a line says how many, where they are missing.
MAX_WAITING: Final = 4_194_304


class BoundedLines:
    """Lines that a thread writes. `submit` passes a call to the thread, which calls `write`.

    `note` returns the line for a number of lines that were dropped.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], None]], None],
        write: Callable[[str], None],
        note: Callable[[int], str],
    ) -> None:
        self._submit = submit
        self._write = write
        self._note = note
        self._queued = 0  # characters of lines that were queued
        self._written = 0  # characters of these that are written: the thread counts them
        self._dropped = 0  # lines dropped since the last note

    def add(self, text: str) -> None:
        """Queue a line, or drop it if more than `MAX_WAITING` waits.

        Once one is dropped, further ones are until half of that is written: gaps are few and long.
        """
        most = MAX_WAITING // 2 if self._dropped else MAX_WAITING
        if self._queued - self._written + len(text) > most:
            self._dropped += 1
            return
        self.note_dropped()
        self._queued += len(text)
        self._submit(partial(self._write_counted, text))

    def note_dropped(self) -> None:
        """Queue the line that says how many are missing here, if some are."""
        if self._dropped:
            self._submit(partial(self._write, self._note(self._dropped)))
            self._dropped = 0

    def _write_counted(self, text: str) -> None:
        self._write(text)
        self._written += len(text)
