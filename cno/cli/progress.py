"""Progress bars of downloads, by rich, which is imported only where a terminal shows them.

Knows names and sizes. Must never know files or connections.
"""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cno.cli.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress


class Bars:
    """Progress bars on standard error if that is a terminal; otherwise nothing."""

    def __init__(self, silent: bool = False) -> None:
        self._shown = sys.stderr.isatty() and not silent
        self._progress: Progress | None = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def add(self, name: str, total: int | None) -> "Bar":
        """Return the bar of a download; nothing is shown before the first one."""
        if not self._shown:
            return Bar(None, 0)
        if self._progress is None:
            self._progress = progress()
            self._progress.start()
        from rich.text import Text

        task = self._progress.add_task(Text(one_line(name)).markup, total=total)
        return Bar(self._progress, task)


def progress() -> "Progress":
    """Return the bars of a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
    )


class Bar:
    """The progress of one download."""

    def __init__(self, progress: "Progress | None", task: Any) -> None:
        self._progress = progress
        self._task = task

    def continues(self, before: int, total: int | None) -> None:
        """Count bytes that earlier responses brought. `total`: bytes that are still to come."""
        if self._progress is not None:
            whole = None if total is None else before + total
            self._progress.reset(self._task, total=whole, completed=before)

    def advance(self, size: int) -> None:
        """Count bytes that were written."""
        if self._progress is not None:
            self._progress.advance(self._task, size)
