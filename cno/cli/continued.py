"""A file that `-C` continues in its place, where nothing says which representation it is a part of.

The end of the file is asked for again, and compared. Knows files and the fields of responses. Must
never know a connection.
"""

import os
import time
from io import FileIO
from typing import Final

from cno.cli import exit_codes
from cno.cli.download import (
    Headers,
    complete_size,
    http_time,
    range_start,
    require_all,
    strong_validator,
    value_of,
)
from cno.cli.problems import Problem
from cno.cli.saved_file import SavedFile

#: Bytes at the end of the file that are compared with the server's.
OVERLAP: Final = 16_384


class ChangedError(Exception):
    """The server has another file, or nothing shows that it has this one."""


class Appended(SavedFile):
    """A file that is continued in its place: it stays as it is if that fails."""

    def __enter__(self) -> "Appended":
        self._file = FileIO(self.path, "a")
        return self


class Continued:
    """The file for one URL, over all attempts to fetch the rest. It has the methods of `Download`.

    `offset`: the user says that the rest begins there, and nothing is compared; None: it begins at
    the end of the file. Then the file is continued only if its last 16 KiB are the server's, and
    the server's Last-Modified is not later than the file. Use it as a context manager. Raises
    OSError, Problem and ChangedError.
    """

    def __init__(self, path: str, url: str, offset: int | None = None) -> None:
        self.path = path
        self.file: SavedFile = Appended(path)
        #: Bytes of the file that are not asked for.
        self.before = 0
        self._url = url
        self._validator = ""  # of the responses so far
        self._open = False
        self._total: int | None = None  # bytes of the whole, as the last response has it
        self.compares = offset is None
        self._end = bytearray()  # bytes of the file that the next ones of the body should equal
        self._modified = os.path.getmtime(path) if self.compares else 0.0
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        self._size = size if offset is None else offset
        if size not in (0, self._size):
            text = f"{path} has {size:,} bytes: -C {offset} does not continue it (-C - does)"
            raise Problem(text, exit_codes.USAGE)

    def fields(self) -> Headers:
        """Return the fields that ask for the rest."""
        if self._start() <= 0:
            return []
        found = [("range", f"bytes={self._start()}-"), ("accept-encoding", "identity")]
        return [*found, ("if-range", self._validator)] if self._validator else found

    def _start(self) -> int:
        return self._size - OVERLAP if self.compares else self._size

    def begin(self, code: int, headers: Headers, decoded: bool) -> bool:
        """Prepare for the body of a response. Return False if the file is complete already.

        Raises Problem and ChangedError as `has_rest`.
        """
        if not self.has_rest(code, headers, decoded):
            return False
        if self.compares:
            self._compare(headers, decoded)
        self._validator = "" if decoded else strong_validator(headers)
        self.before = self._start()
        if not self._open:
            self.file.__enter__()
            self._open = True
        return True

    def has_rest(self, code: int, headers: Headers, decoded: bool) -> bool:
        """Return whether a response has what was asked for; False: the file is complete already.

        Raises Problem if it is an error, or another part than the one that was asked for, and
        ChangedError if the whole has to be fetched.
        """
        if code == 416 and complete_size(headers) == self._size and not self.compares:
            return False
        if self.compares and code in (200, 416):
            raise ChangedError
        if code == 206 and range_start(headers) != self._start():
            text = f"{self._url}: the server sent another part than the one asked for"
            raise Problem(text, exit_codes.NO_RANGE)
        if code != 206 or (self._open and not (self.compares or self._validator)):
            text = f"{self._url}: status {code}: {self.path} cannot be continued"
            raise Problem(text, exit_codes.NO_RANGE)
        self._total = None if decoded else complete_size(headers)
        return True

    def _compare(self, headers: Headers, decoded: bool) -> None:
        """Read what the body should begin with. Raises ChangedError if that would tell nothing."""
        total = complete_size(headers)
        if decoded or total is None or total < self._size or not self._is_older(headers):
            raise ChangedError
        with open(self.path, "rb") as file:
            file.seek(self._start())
            self._end = bytearray(file.read(OVERLAP))
        # A run of one byte, such as the zeros of a disk image, says nothing.
        if len(self._end) < OVERLAP or self._end.count(self._end[0]) == OVERLAP:
            raise ChangedError

    def _is_older(self, headers: Headers) -> bool:
        """Return whether the server's file has not been changed since this one was written."""
        modified = http_time(value_of(headers, "last-modified"))
        if modified is None:
            return False
        if modified == int(self._modified):
            return True  # -R has set it
        date = http_time(value_of(headers, "date"))
        ahead = 0.0 if date is None else time.time() - date  # of our clock
        return modified <= self._modified - max(0.0, ahead - 1.0)

    def write(self, data: bytes) -> None:
        """Write a piece of the body. Raises ChangedError if it is not what the file has there."""
        if self._end:
            same, data = data[: len(self._end)], data[len(self._end) :]
            if not self._end.startswith(same):
                raise ChangedError
            del self._end[: len(same)]
        self.file.write(data)
        self._size += len(data)

    def done(self, modified: float | None) -> None:
        """The body is complete. Raises ChangedError if it ended in what was compared, and Problem
        if it was a shorter part than the one asked for."""
        if self._end:
            raise ChangedError
        self.require_rest()
        self.file.done(modified)

    def require_rest(self, written: int = 0) -> None:
        """Raise Problem if the body was shorter than the rest. `written`: past this object."""
        require_all(self._url, self._size + written, self._total)

    @property
    def kept(self) -> str:
        """The name under which the incomplete file stays."""
        return self.path

    def __exit__(self, *_: object) -> None:
        if self._open:
            self.file.__exit__(None, None, None)
