"""Bodies that the application passes, as bytes or as asynchronous iterators.

Knows files, readers and iterables. Must never know requests, responses or connections.
"""

import asyncio
import inspect
import io
import os
import stat
from collections.abc import AsyncIterable, Generator, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, TypeAlias, cast

from mypy_extensions import i64

from cno.aio.channel import Channel
from cno.aio.file_range import PIECE as PIECE
from cno.aio.file_range import FileRange

#: The types of a body. A file is read from its position, in a thread unless the system has it in
#: memory, and is not closed; the position of a file of the disk does not move. An
#: `asyncio.StreamReader`, for instance a `payload`, is read in pieces and not in lines. An iterable
#: yields bytes-like objects; it runs in the event loop and must not block.
Body: TypeAlias = (
    bytes | bytearray | memoryview | AsyncIterable[bytes] | Iterable[bytes] | BinaryIO | None
)

#: The types of files whose bytes are those of their descriptor.
PLAIN_FILES: Final = (io.FileIO, io.BufferedReader, io.BufferedRandom)

#: Marks the end of an iterator; no iterator yields it.
END: Final = object()


def to_bytes(data: object) -> bytes:
    """Return a bytes-like object as bytes. Raise TypeError for others, such as text and numbers."""
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(cast("Any", data)).tobytes()
    except TypeError:
        raise TypeError(f"a body is bytes-like, not {type(data).__name__}") from None


def whole_body(data: object) -> bytes:
    """Return a body that is in memory as bytes. Raise TypeError if the argument is no body."""
    if data is None:
        return b""
    if isinstance(data, (list, tuple)):
        return b"".join([to_bytes(each) for each in data])
    return to_bytes(data)


def source_of(data: object) -> AsyncIterable[bytes] | None:
    """Return an iterator over a body that is read in pieces; None if it is in memory.

    Raises TypeError for arguments that are no body (text, text files, mappings), ValueError for
    files that cannot be read.
    """
    if data is None or isinstance(data, (bytes, bytearray, memoryview, list, tuple)):
        return None
    if isinstance(data, asyncio.StreamReader):
        return ReaderSource(data)
    if hasattr(data, "__aiter__"):
        return cast("AsyncIterable[bytes]", data)
    if is_buffer(data):
        return None
    read = getattr(data, "read", None)
    if callable(read):
        return file_source(data, read)
    if hasattr(data, "__iter__") and not isinstance(data, (str, Mapping)):
        return IterableSource(cast("Iterable[bytes]", data))
    raise TypeError(
        "a body is bytes-like, a binary file, a StreamReader or an iterable of bytes, "
        f"not {type(data).__name__}"
    )


def is_buffer(data: object) -> bool:
    """Return whether an object is bytes-like."""
    try:
        memoryview(cast("Any", data)).release()
    except TypeError:
        return False
    return True


def size_of(source: object) -> int:
    """Return the number of bytes that a source yields; -1 if it is not known."""
    if isinstance(source, FileRange):
        return source.size
    return source.size if isinstance(source, FileSource) else -1


def file_range(source: object) -> FileRange | None:
    """Return a source as a part of a file with its own descriptor, which the caller closes; None
    if it is not one."""
    return source.to_range() if isinstance(source, FileSource) else None


def rewind(source: object) -> bool:
    """Make a source start again; return whether that is possible."""
    return isinstance(source, FileSource) and source.rewind()


async def dispose(source: object) -> None:
    """Close a source: its producer learns that nobody reads the rest."""
    if isinstance(source, Channel):
        source.close()
    elif hasattr(source, "aclose"):
        await cast("Any", source).aclose()


class ReaderSource:
    """The bytes of an `asyncio.StreamReader`, or of any object with such a `read`."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __aiter__(self) -> "ReaderSource":
        return self

    async def __anext__(self) -> bytes:
        data = to_bytes(await self._reader.read(PIECE))
        if not data:
            raise StopAsyncIteration
        return data


class IterableSource:
    """The items of a synchronous iterable."""

    def __init__(self, iterable: Iterable[bytes]) -> None:
        self._iterator: Iterator[bytes] = iter(iterable)

    def __aiter__(self) -> "IterableSource":
        return self

    async def __anext__(self) -> bytes:
        item: object = next(self._iterator, END)
        if item is END:
            raise StopAsyncIteration
        return to_bytes(item)

    async def aclose(self) -> None:
        if isinstance(self._iterator, Generator):
            self._iterator.close()


# -- files -----------------------------------------------------------------------------------------


def file_source(file: Any, read: Any) -> AsyncIterable[bytes]:
    """Return the source for an object with a method `read`. Raises TypeError, ValueError."""
    if inspect.iscoroutinefunction(read):
        return ReaderSource(file)
    if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
        raise TypeError("the file is in text mode: open it in binary mode")
    if getattr(file, "closed", False):
        raise ValueError("the file is closed")
    readable = getattr(file, "readable", None)
    if callable(readable) and not readable():
        raise ValueError("the file is not open for reading")
    return FileSource(file)


class FileSource:
    """The bytes of a binary file from its position on, read in pieces in a thread.

    `size` is their number if the file is a regular one or in memory; else -1. Bytes that are added
    to the file meanwhile are not read. If the file has become shorter, EOFError is raised.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._in_memory = isinstance(file, io.BytesIO)
        self._start: i64 = position_of(file)  # -1: it cannot be rewound
        self._size: i64 = -1 if self._start < 0 else bytes_behind(file, self._start)
        self._left: i64 = self._size
        self._moved = False  # seek to the start before the next read
        #: The read that runs in a thread. It goes on if the task that waited for it is cancelled.
        self._reading: asyncio.Future[Any] | None = None

    @property
    def size(self) -> int:
        return self._size

    def rewind(self) -> bool:
        """Start again at the next read; return whether that is possible."""
        if self._start < 0:
            return False
        self._moved = True
        return True

    def to_range(self) -> FileRange | None:
        """Return the rest of a regular file, by its descriptor; None if it has no such."""
        if self._size < 0 or self._reading is not None or type(self._file) not in PLAIN_FILES:
            return None
        try:
            descriptor = os.dup(self._file.fileno())
        except (OSError, ValueError):
            return None
        return FileRange(descriptor, self._start, self._size)

    def __aiter__(self) -> "FileSource":
        return self

    async def __anext__(self) -> bytes:
        if self._moved:
            await self._call(self._file.seek, self._start)
            self._moved = False
            self._left = self._size
        want = PIECE if self._size < 0 else min(PIECE, self._left)
        if want == 0:
            raise StopAsyncIteration
        data = await self._call(self._file.read, want)
        if data is None:
            raise BlockingIOError("the file is in non-blocking mode and has no data")
        piece = to_bytes(data)
        if not piece:
            if self._left > 0:
                raise EOFError(f"the file has become shorter, by {self._left} bytes")
            raise StopAsyncIteration
        if self._size >= 0:
            self._left -= len(piece)
        return piece

    async def _call(self, function: Any, argument: int) -> Any:
        """Call a method of the file in a thread, after the call that still runs there."""
        if self._in_memory:
            return function(argument)
        if self._reading is not None:
            await asyncio.wait((self._reading,))
        self._reading = asyncio.get_running_loop().run_in_executor(None, function, argument)
        result = await asyncio.shield(self._reading)
        self._reading = None
        return result


def position_of(file: Any) -> int:
    """Return the position of a file; -1 if it cannot seek to it."""
    try:
        return int(file.tell()) if file.seekable() else -1
    except (AttributeError, OSError, ValueError):
        return -1


def bytes_behind(file: Any, position: int) -> int:
    """Return the number of bytes of a file from this position on; -1 if it is not certain.

    It is certain for a file in memory, and for a regular file that is read directly, not through a
    decompressor for instance.
    """
    if isinstance(file, io.BytesIO):
        return max(0, len(file.getbuffer()) - position)
    raw = file if isinstance(file, io.FileIO) else getattr(file, "raw", None)
    if not isinstance(raw, io.FileIO):
        return -1
    try:
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return -1
        end = int(file.seek(0, os.SEEK_END))  # counts unflushed writes too
        file.seek(position)
    except (OSError, ValueError):
        return -1
    # The system reports a size of 0 for the files of /proc and the like.
    return max(0, end - position) if end > 0 else -1


class RetryableBody:
    """A body that comes piece by piece, kept from its end while it may have to be sent again.

    Whoever sends it leaves it when that fails; unless it has begun, it can be sent once more, or if
    it is a file that can be rewound.
    """

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = source
        self._pieces: Any = None
        self.begun = False
        self.kept = True  # the request has had no answer yet
        self._left = False

    def __aiter__(self) -> "RetryableBody":
        return self

    def __anext__(self) -> Any:
        if self._pieces is None:
            self.begun = True
            self._pieces = self._source.__aiter__()
        return self._pieces.__anext__()

    def again(self) -> bool:
        """Whether it can be sent once more."""
        self._left = False
        if self.begun:
            self._pieces = None
            return rewind(self._source)
        return True

    async def aclose(self) -> None:
        """No more of it is wanted by whoever sent it."""
        self._left = True
        if self.begun or not self.kept:
            await dispose(self._source)

    async def release(self, answered: bool) -> None:
        """There is an answer, or there will never be one: it is not going to be sent again."""
        self.kept = False
        if not self.begun and (self._left or not answered):  # else its sender sees to that
            await dispose(self._source)


class SingleChunkBody:
    """Bytes as something to iterate over."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __aiter__(self) -> "SingleChunkBody":
        return self

    async def __anext__(self) -> bytes:
        data = self._data
        if not data:
            raise StopAsyncIteration
        self._data = b""
        return data
