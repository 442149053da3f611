"""Several parts of an open file as a response body, with bytes between them.

Knows descriptors. Must never know a request, a header field or a path.
"""

import os
from collections.abc import Sequence

from cno.aio.file_range import FileRange, read_at
from cno.cli.ranges import Span


def read_all(fd: int, start: int, size: int) -> bytes:
    """Read up to `size` bytes from `start`; fewer at the end of the file."""
    parts = []
    while size > 0 and (part := read_at(fd, size, start)):
        parts.append(part)
        start += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class FileParts:
    """An async iterator over the bytes of a body. It owns the descriptor: call `close()`.

    `pieces` are bytes to send as they are, and spans of the file. `sent` counts the bytes returned
    so far. Raises EOFError if the file has become shorter than its spans.
    """

    def __init__(self, fd: int, pieces: Sequence[bytes | Span]) -> None:
        self.sent = 0
        self._fd = fd
        self._pieces = list(reversed(pieces))
        self._reader: FileRange | None = None

    def __aiter__(self) -> "FileParts":
        return self

    async def __anext__(self) -> bytes:
        while True:
            data = await self._next()
            if data:
                self.sent += len(data)
                return data

    async def _next(self) -> bytes:
        if self._reader is None:
            if not self._pieces:
                raise StopAsyncIteration
            piece = self._pieces.pop()
            if isinstance(piece, bytes):
                return piece
            if self._fd < 0:
                raise ValueError("read from closed FileParts")
            self._reader = FileRange(os.dup(self._fd), piece.start, piece.size)
        try:
            return await anext(self._reader)
        except StopAsyncIteration:
            self._reader.close()
            self._reader = None
            return b""

    def close(self) -> None:
        """Close the descriptor, at once or after the read that a thread is doing."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


FileBody = FileRange | FileParts


def file_body(fd: int, pieces: Sequence[bytes | Span]) -> FileBody:
    """Return pieces of a file as a body. It owns the descriptor."""
    if len(pieces) == 1 and isinstance(pieces[0], Span):
        return FileRange(fd, pieces[0].start, pieces[0].size)
    return FileParts(fd, pieces)


def sent(body: object) -> int:
    """Return how many bytes of a body have been sent."""
    if isinstance(body, bytes):
        return len(body)
    if isinstance(body, FileRange):
        return body.size - body.left
    return int(getattr(body, "sent", 0))
