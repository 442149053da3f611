"""A part of an open file as a body: read at once if the system has it in memory, else in a thread.

Knows descriptors and threads. Must never know requests, responses or paths.
"""

import asyncio
import os
from typing import Final

from mypy_extensions import i64

#: Bytes that are read at once.
PIECE: Final = 131_072
#: The flag of `preadv` for data that is in memory; 0 if the system has none.
NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


HAS_PREAD: Final = hasattr(os, "pread")


class FileRange:
    """An asynchronous iterator over a part of a file. It owns the descriptor: call `close`.

    `size` is the number of its bytes, `left` of those that were not yet read or sent. Raises
    EOFError if the file has become shorter.
    """

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._at: i64 = start
        self._left: i64 = size
        self._size: i64 = size
        # The read that runs in a thread. It goes on if the task that waits for it is cancelled.
        self._reading: asyncio.Future[bytes] | None = None

    @property
    def size(self) -> int:
        return self._size

    @property
    def left(self) -> int:
        return self._left

    def __aiter__(self) -> "FileRange":
        return self

    async def __anext__(self) -> bytes:
        if self._left == 0:
            raise StopAsyncIteration
        return await self.read(PIECE)

    async def read(self, most: int) -> bytes:
        """Return the next bytes, up to `most`; b'' at the end."""
        want = min(most, self._left)
        if want == 0:
            return b""
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        if self.is_in_memory(want):
            data = read_at(self._descriptor, want, self._at)
        else:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, read_at, self._descriptor, want, self._at)
            data = await asyncio.shield(self._reading)
            self._reading = None
        if not data:
            raise EOFError(f"the file has become shorter, by {self._left} bytes")
        self._advance(len(data))
        return data

    def is_in_memory(self, want: int) -> bool:
        """Return whether the next `want` bytes can be read without waiting for a disk.

        It looks at the first and the last of them. The system reads ahead, so that those between
        are there as well, nearly always.
        """
        if NOWAIT == 0:  # pragma: no cover - macOS, Windows
            return False
        place = bytearray(1)
        try:
            if os.preadv(self._descriptor, [place], self._at, NOWAIT) != 1:
                return False
            return os.preadv(self._descriptor, [place], self._at + want - 1, NOWAIT) == 1
        except OSError:  # EAGAIN: it is not; EOPNOTSUPP: the file system does not tell
            return False

    def send_to(self, sock: int, most: int) -> int:
        """Copy up to `most` bytes to a non-blocking socket; return how many it took.

        Raises OSError if the connection is broken. Returns 0 at the end of the file, and if the
        system cannot do this for the file.
        """
        try:
            sent = os.sendfile(sock, self._descriptor, self._at, min(most, self._left))
        except BlockingIOError:
            return 0
        self._advance(sent)
        return sent

    def _advance(self, count: int) -> None:
        self._at += count
        self._left -= count

    def close(self) -> None:
        """Close the descriptor, as soon as no thread reads from it.

        Closing it earlier would let another file reuse its number under the reading thread.
        """
        if self._descriptor < 0:
            return
        descriptor = self._descriptor
        self._descriptor = -1
        reading = self._reading
        if reading is None or reading.done():
            os.close(descriptor)
        else:
            reading.add_done_callback(Closer(descriptor))

    async def aclose(self) -> None:
        self.close()


def read_at(descriptor: int, want: int, start: int) -> bytes:
    """Read up to `want` bytes from `start` on. (Windows has no `pread`.)"""
    if not HAS_PREAD:  # pragma: no cover - Windows
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, want)
    return os.pread(descriptor, want, start)


class Closer:
    """Closes a descriptor once a read from it is done."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, reading: asyncio.Future[bytes]) -> None:
        os.close(self._descriptor)
        if not reading.cancelled():
            reading.exception()  # nobody else will ask
