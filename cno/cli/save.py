"""Bodies into files: under names that are safe, complete or not at all, with a bar on a terminal.

Knows names of files, and how far a download is. Must never know a connection.
"""

import os
import re
import sys
from types import TracebackType
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from cno.cli.problems import one_line

_MAX_NAME: Final = 200
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]')
# Windows takes these, with any ending, for devices.
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def remote_name(url: str) -> str:
    """The last part of a URL's path as the name of a file in this folder, and nowhere else.

    Never empty, hidden, a device's or longer than file systems take.
    """
    last = unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")
    name = _UNSAFE.sub("_", last).lstrip(". -~").rstrip(". ")
    if _DEVICES.match(name):
        name = "_" + name
    stem, ending = os.path.splitext(name)
    while len(os.fsencode(stem + ending)) > _MAX_NAME:
        stem, ending = (stem[:-1], ending) if stem and len(ending) < 20 else (ending[:100], "")
    return stem + ending or "index.html"


def remote_names(urls: list[str]) -> list[str]:
    """One name for each, none twice."""
    taken: set[str] = set()
    names = []
    for url in urls:
        base = name = remote_name(url)
        count = 0
        while name.lower() in taken:
            count += 1
            name = f"{base}.{count}"
        taken.add(name.lower())
        names.append(name)
    return names


class Save:
    """A file that is written aside, and takes its name once it is whole.

    `with Save(path) as file: file.write(...); file.done()`. What is there and no regular file (a
    device, a pipe) is written to directly. Raises OSError.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._aside = path if _is_special(path) else f"{path}.part"
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Save":
        self._file = open(self._aside, "wb")
        return self

    def write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)

    def done(self) -> None:
        """All has been written."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._aside != self.path:
            os.replace(self._aside, self.path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._aside != self.path:
                os.unlink(self._aside)


def _is_special(path: str) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


class Bars:
    """Progress on standard error, if that is a terminal; else nothing at all."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(file=sys.stderr),
            )

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
        if self._progress is None:
            return Bar(None, TaskID(0))
        self._progress.start()  # shows nothing before the first
        task = self._progress.add_task(Text(one_line(name)).markup, total=total)
        return Bar(self._progress, task)


class Bar:
    """How far one download is."""

    def __init__(self, progress: Progress | None, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, octets: int) -> None:
        if self._progress is not None:
            self._progress.advance(self._task, octets)
