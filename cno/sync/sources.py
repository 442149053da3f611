"""Bodies that the application passes, piece by piece.

Knows files and iterables. Must never know requests, responses or connections.
"""

import io
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, TypeAlias, cast

from mypy_extensions import i64

from cno.aio.sources import END, bytes_behind, is_buffer, position_of, to_bytes

#: The types of a body. A file is read from its position, and not closed. An iterable yields
#: bytes-like objects.
Body: TypeAlias = bytes | bytearray | memoryview | Iterable[bytes] | BinaryIO | None

#: Bytes of one read of a file.
PIECE: Final = 65_536


class Source:
    """A body that comes piece by piece. `size` is its number of bytes; -1 if that is not known."""

    def __init__(self) -> None:
        self.begun = False
        self.size = -1

    def next(self) -> bytes | None:
        """Return the next piece; None at the end."""
        return None

    def again(self) -> bool:
        """Rewind; return False if the body cannot be read a second time."""
        return not self.begun

    def close(self) -> None:
        """Release the resources of the body: the rest is not read."""


class IterableSource(Source):
    """The items of an iterable."""

    def __init__(self, iterable: Iterable[bytes]) -> None:
        super().__init__()
        self._iterable: Iterable[bytes] | None = iterable
        self._iterator: Iterator[bytes] | None = None

    def next(self) -> bytes | None:
        if self._iterator is None:
            self.begun = True
            if self._iterable is None:
                return None
            self._iterator = iter(self._iterable)
        item: object = next(self._iterator, END)
        return None if item is END else to_bytes(item)

    def close(self) -> None:
        found = self._iterable if self._iterator is None else self._iterator
        self._iterable = None
        self._iterator = None
        if isinstance(found, Generator):
            found.close()


class FileSource(Source):
    """The bytes of a binary file from its position on.

    `size` is known for a regular file, and one in memory. Bytes that are added to the file
    meanwhile are not read. If the file has become shorter, EOFError is raised.
    """

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file
        self._start: i64 = position_of(file)  # -1: it cannot be rewound
        size = -1 if self._start < 0 else bytes_behind(file, int(self._start))
        self.size = size
        self._left: i64 = size

    def again(self) -> bool:
        if not self.begun:
            return True
        if self._start < 0:
            return False
        self._file.seek(self._start)
        self._left = self.size
        return True

    def next(self) -> bytes | None:
        self.begun = True
        want = PIECE if self.size < 0 else min(PIECE, self._left)
        if want == 0:
            return None
        data = self._file.read(want)
        if data is None:
            raise BlockingIOError("the file is in non-blocking mode and has no data")
        piece = to_bytes(data)
        if not piece:
            if self._left > 0:
                raise EOFError(f"the file has become shorter, by {self._left} bytes")
            return None
        if self.size >= 0:
            self._left -= len(piece)
        return piece


def source_of(data: object) -> Source | None:
    """Return the source of a body that is read in pieces; None if it is in memory.

    Raises TypeError for arguments that are no body (text, text files, mappings), ValueError for
    files that cannot be read.
    """
    if data is None or isinstance(data, (bytes, bytearray, memoryview, list, tuple)):
        return None
    if is_buffer(data):
        return None
    if callable(getattr(data, "read", None)):
        check_file(data)
        return FileSource(data)
    if hasattr(data, "__iter__") and not isinstance(data, (str, Mapping)):
        return IterableSource(cast("Iterable[bytes]", data))
    raise TypeError(
        f"a body is bytes-like, a binary file or an iterable of bytes, not {type(data).__name__}"
    )


def check_file(file: Any) -> None:
    """Raise TypeError, or ValueError, for a file that cannot be a body."""
    if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
        raise TypeError("the file is in text mode: open it in binary mode")
    if getattr(file, "closed", False):
        raise ValueError("the file is closed")
    readable = getattr(file, "readable", None)
    if callable(readable) and not readable():
        raise ValueError("the file is not open for reading")
