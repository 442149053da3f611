"""An open file as a response body: parts of it, read in threads, one chunk at a time.

Knows descriptors and threads. Must never know a request, a header field or a path.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Final

from cno.cli.ranges import Span

#: Bytes read at a time: few enough for many downloads at once, enough to pay for the switch to a
#: thread.
CHUNK: Final = 131_072


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that read files: the event loop must not wait for a disk."""
    return ThreadPoolExecutor(4, thread_name_prefix="cno-files")


def read_at(fd: int, start: int, size: int) -> bytes:
    """Read up to `size` bytes from `start`; fewer at the end of the file. Moves its position."""
    os.lseek(fd, start, os.SEEK_SET)
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class FileBody:
    """An async iterator over the bytes of a body. It owns the descriptor: call `close()`.

    `pieces` are bytes to send as they are, and spans of the file. `sent` counts the bytes returned
    so far. Raises OSError if the file has become shorter than its spans.
    """

    def __init__(self, fd: int, pieces: Sequence[bytes | Span]) -> None:
        self.sent = 0
        self._fd = fd
        self._pieces = list(reversed(pieces))
        self._pending: Future[bytes] | None = None

    def __aiter__(self) -> "FileBody":
        return self

    async def __anext__(self) -> bytes:
        while self._pieces:
            piece = self._pieces.pop()
            data = piece if isinstance(piece, bytes) else await self._next_chunk(piece)
            if data:
                self.sent += len(data)
                return data
        raise StopAsyncIteration

    async def _next_chunk(self, span: Span) -> bytes:
        size = min(span.size, CHUNK)
        if size == 0:
            return b""
        if self._fd < 0:
            raise ValueError("read from a closed FileBody")
        if span.size > size:
            self._pieces.append(Span(span.start + size, span.stop))
        self._pending = _threads().submit(read_at, self._fd, span.start, size)
        data = await asyncio.wrap_future(self._pending)
        if len(data) != size:
            raise OSError("the file became shorter while it was sent")
        return data

    def close(self) -> None:
        """Close the descriptor, at once or after the read that a thread is doing.

        Closing it earlier would let another file reuse its number under the reading thread.
        """
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._pending is None or self._pending.done():
            os.close(fd)
        else:
            self._pending.add_done_callback(lambda _: os.close(fd))
