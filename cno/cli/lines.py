"""Lines of text for a reader who may not read: writing them never blocks the event loop.

Knows how lines are queued, dropped and counted. Must never know what they say.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import Final, TextIO

from cno.cli.problems import reason
from cno.cli.worker import ATOMIC, Worker, write_bytes

#: Seconds that a line waits, so that others are written with it.
DELAY: Final = 0.05
#: Lines that wait while others are written; more are dropped and counted.
MAX_WAITING: Final = 10_000
#: Seconds that writing the last lines may take.
PATIENCE: Final = 1.0

Line = str | Callable[[], str]


class Lines:
    """Writes lines to a file from a thread, in the order of `add`.

    Use it by `async with`, which waits at its end until all is written, for `PATIENCE` seconds at
    most. `tell` is called with one line about what was lost. Lines may be functions that return the
    text, called in the thread.
    """

    def __init__(self, file: TextIO, tell: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._tell = tell
        self._worker = Worker("cno-lines")
        self._waiting: deque[Line] = deque()
        self._writing = 0  # lines that the thread has been given
        self._lost = 0  # lines dropped since that was last told
        self._is_closing = False
        self._is_broken = False  # the reader has gone
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, line: Line) -> None:
        """Write a line soon. Never blocks."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
        elif not self._is_broken:
            self._waiting.append(line)
            self._wake.set()

    async def __aenter__(self) -> "Lines":
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
        lost = self._lost + len(self._waiting) + self._writing
        if lost and self._tell is not None:
            self._tell(f"cno: {lines_were(lost)} not written: nobody reads them")

    async def _run(self) -> None:
        while not (self._is_closing and not self._waiting):
            await self._wake.wait()
            if not self._is_closing:
                await asyncio.sleep(DELAY)
            self._wake.clear()
            lines, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = 0
            if lost:
                lines.append(f"({lines_were(lost)} dropped: nobody read them in time)")
            await self._write(lines, lost)

    async def _write(self, lines: list[Line], lost: int) -> None:
        self._writing = len(lines)
        try:
            await self._worker.run(partial(write_lines, self._file, lines))
        except BrokenPipeError as error:
            self._is_broken = True
            self._waiting.clear()
            self._lost = 0
            if self._tell is not None:
                self._tell(f"cno: lines are no longer written: {reason(error)}")
        except OSError:
            self._lost += len(lines) + lost  # a full disk, perhaps: the next ones may do
        self._writing = 0


def lines_were(count: int) -> str:
    return f"{count:,} line{'s' * (count != 1)} {'was' if count == 1 else 'were'}"


def write_lines(file: TextIO, lines: Iterable[Line]) -> None:
    """Write lines in blocks that a pipe takes whole or not at all. Blocks. Raises OSError."""
    block = bytearray()
    for line in lines:
        text = line if isinstance(line, str) else line()
        data = f"{text}\n".encode(file.encoding or "utf-8", "replace")
        if block and len(block) + len(data) > ATOMIC:
            write_bytes(file, bytes(block))
            block.clear()
        block += data
    if block:
        write_bytes(file, bytes(block))
