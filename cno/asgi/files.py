"""Files whose content an application asks us to send: by path, or as a file that it has opened.

Reads in threads, from a descriptor of our own. Must never know requests or responses.
"""

import asyncio
import os
import stat
from typing import Any, Final

from mypy_extensions import i64

#: Bytes that are read at once.
PIECE: Final = 131_072


class FileRange:
    """An asynchronous iterator over a part of a file, which it closes at the end.

    `descriptor` becomes its own. `size` is how many bytes there are to come.
    """

    def __init__(self, descriptor: int, offset: int, count: int | None) -> None:
        self._descriptor = descriptor
        self._at: i64 = offset
        left = max(0, os.fstat(descriptor).st_size - offset)
        self.size: int = left if count is None else min(left, count)
        self._left: i64 = self.size
        # The read that is under way. It goes on even if the task that waits for it is cancelled.
        self._reading: asyncio.Future[bytes] | None = None

    def __aiter__(self) -> "FileRange":
        return self

    async def __anext__(self) -> bytes:
        if self._left == 0:
            raise StopAsyncIteration
        loop = asyncio.get_running_loop()
        want = int(min(PIECE, self._left))
        self._reading = loop.run_in_executor(None, os.pread, self._descriptor, want, int(self._at))
        data = await asyncio.shield(self._reading)
        if not data:
            raise EOFError("the file has become shorter while it was sent")
        self._at += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the descriptor, as soon as no thread reads from it."""
        if self._descriptor < 0:
            return
        descriptor = self._descriptor
        self._descriptor = -1
        reading = self._reading
        if reading is None or reading.done():
            os.close(descriptor)
        else:
            reading.add_done_callback(Closer(descriptor))


class Closer:
    """Closes a descriptor once a read from it is done."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, reading: asyncio.Future[bytes]) -> None:
        os.close(self._descriptor)
        if not reading.cancelled():
            reading.exception()  # nobody else will ask


async def open_path(path: str) -> FileRange:
    """Return the content of the regular file at an absolute path.

    Raises OSError if it cannot be opened, ValueError if it is no such file or path.
    """
    if not os.path.isabs(path):
        raise ValueError(f"http.response.pathsend: {path!r} is not an absolute path")
    loop = asyncio.get_running_loop()
    return FileRange(await loop.run_in_executor(None, _open, path), 0, None)


def _open(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"http.response.pathsend: {path!r} is not a regular file")
    return descriptor


def range_of(file: Any, offset: int | None, count: int | None) -> FileRange:
    """Return a part of an open binary file: from its position if no offset is given, to its end if
    no count is. The file stays open, and its position is what it was."""
    descriptor = os.dup(file.fileno())
    try:
        if offset is None:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        return FileRange(descriptor, offset, count)
    except BaseException:
        os.close(descriptor)
        raise
