"""A queue of lines for a file whose reader may be slow: adding a line never blocks.

Knows how lines are queued, dropped and counted. Must never know what they say.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Final, TextIO

from cno.cli.problems import reason
from cno.cli.text import lines_were
from cno.cli.worker import ATOMIC, Worker, write_bytes

#: Seconds to wait before writing, so that several lines are written at once.
DELAY: Final = 0.05
#: Lines in the queue. Further ones are dropped and counted.
MAX_QUEUED: Final = 10_000
#: Seconds to write the last lines.
PATIENCE: Final = 1.0

Line = str | Callable[[], str]


class LineWriter:
    """Writes lines to a file from a thread, in the order of `add`.

    Use it as an async context manager: leaving it waits until all lines are written, at most
    `PATIENCE` seconds. `warn` is called with one line about lines that were lost. A line may be a
    function that returns the text; the thread calls it.
    """

    def __init__(self, file: TextIO, warn: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._warn = warn
        self._worker = Worker("cno-lines")
        self._queue: deque[Line] = deque()
        self._unwritten = 0  # lines passed to the thread, and dropped lines that its note counts
        self._lost = 0  # lines dropped since the last note about them
        self._is_closing = False
        self._is_broken = False  # the reader has gone
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def file(self) -> TextIO:
        """The file that it writes to."""
        return self._file

    def add(self, line: Line) -> None:
        """Queue a line. Does not block."""
        if len(self._queue) >= MAX_QUEUED:
            self._lost += 1
        elif not self._is_broken:
            self._queue.append(line)
            self._wake.set()

    async def __aenter__(self) -> "LineWriter":
        self._task = asyncio.create_task(self._run(), context=Context())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
            self._task.cancel()
        self._worker.close()
        lost = self._lost + len(self._queue) + self._unwritten
        if lost and self._warn is not None:
            self._warn(f"cno: {lines_were(lost)} not written: nobody reads them")

    async def _run(self) -> None:
        while not (self._is_closing and not self._queue):
            await self._wake.wait()
            if not self._is_closing:
                await asyncio.sleep(DELAY)
            self._wake.clear()
            lines = [(line, 1) for line in self._queue]
            if self._lost:
                note = f"({lines_were(self._lost)} dropped: nobody read them in time)"
                lines.append((note, self._lost))
            self._unwritten = len(self._queue) + self._lost
            self._queue.clear()
            self._lost = 0
            await self._write(lines)

    async def _write(self, lines: list[tuple[Line, int]]) -> None:
        try:
            await self._worker.run(partial(self._write_blocks, lines))
        except BrokenPipeError as error:
            self._is_broken = True
            self._queue.clear()
            self._lost = self._unwritten = 0
            if self._warn is not None:
                self._warn(f"cno: lines are no longer written: {reason(error)}")
        except OSError:  # a full disk, perhaps: later lines may be written again
            self._lost += self._unwritten
            self._unwritten = 0

    def _write_blocks(self, lines: list[tuple[Line, int]]) -> None:
        """Write lines, in the thread, in blocks that a pipe writes atomically."""
        block, count = bytearray(), 0
        for line, counted in lines:
            text = line if isinstance(line, str) else line()
            data = f"{text}\n".encode(self._file.encoding or "utf-8", "replace")
            if block and len(block) + len(data) > ATOMIC:
                write_bytes(self._file, bytes(block))
                self._unwritten -= count
                block, count = bytearray(), 0
            block += data
            count += counted
        write_bytes(self._file, bytes(block))
        self._unwritten -= count
