"""The body of a message that is being received: a buffer, and a reader over it.

Knows two calls of the engine: `consume` returns flow-control credit for bytes that were read, and
`write_head` sends a 100 (Continue). Must never know connections, transports or tasks.
"""

import asyncio

# Compiled classes look for their base class in this module, so it is imported by name too.
import asyncio.streams
from collections.abc import Coroutine
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.errors import fresh
from cno.aio.waiters import wake
from cno.engine import Engine

#: The longest line that `readline` and `readuntil` return, in bytes; asyncio's default.
LINE_LIMIT: Final = 65_536
#: Buffered pieces are joined when there are more than MANY of them, of fewer than PIECE bytes on
#: average.
MANY: Final = 64
PIECE: Final = 1_024


class BodyBuffer:
    """The buffer of a body that is being received.

    Reading returns flow-control credit to the sender. While a reader waits for more bytes than the
    buffer has, the buffered bytes count as read: otherwise a sender with a small window and a
    reader that needs many bytes at once would wait for each other.
    """

    def __init__(self, conn: Engine, stream: int, loop: asyncio.AbstractEventLoop) -> None:
        self._conn: Engine | None = conn  # None: no credit is returned any more
        self._stream = stream
        self._loop = loop
        # The buffer: joined bytes, followed by pieces in the order in which they were received.
        self._joined = bytearray()
        self._pieces: list[bytes] = []
        self._size: i64 = 0
        self._fed: i64 = 0  # bytes received in all
        self._taken: i64 = 0  # of these, bytes that were read
        self._returned: i64 = 0  # of these, bytes whose credit was returned
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        #: The sender waits for a 100 (Continue) before it sends the body.
        self.awaited = False
        self.iterated: i64 = 0  # bytes that an iteration of the message has returned
        # -- measurements of windows and timeouts ------------------------------------------------
        self.fed_before: i64 = 0  # `_fed` at the time of `mark`
        self.returned_before: i64 = 0  # `_returned` at the time of `mark`
        self.marked_at = 0.0  # when `mark` was called, by the loop's clock; 0: never
        self.fed_seen: i64 = 0  # `_fed` at the time `waiting_since`
        self.waiting_since = 0.0  # since when a reader waits without new data; 0: none waits

    # -- the connection's side -------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Add received bytes to the buffer."""
        size: i64 = len(data)
        if size == 0 or self._ended or self._error is not None:
            return
        self._size += size
        pieces = self._pieces
        pieces.append(data)
        if len(pieces) > MANY and len(pieces) * PIECE > self._size:
            self._join()
        self._fed += size
        self.awaited = False
        self._wake()

    def end(self) -> None:
        """Note that the body is complete."""
        if self._error is None:
            self._ended = True
            self._wake()

    def fail(self, error: Exception) -> None:
        """Note that the rest will never be received: reads fail after the buffered bytes."""
        if not self._ended and self._error is None:
            self._error = error
            self._wake()

    def detach(self) -> i64:
        """Stop returning credit; return the number of bytes whose credit is still held."""
        self._conn = None
        left = self._fed - self._returned
        self._returned = self._fed
        return left

    def drop(self) -> None:
        """Discard the buffered bytes, and return their credit."""
        self._joined = bytearray()
        self._pieces = []
        self._size = 0
        self._taken = self._fed
        self._give_back(0)

    def mark(self, now: float) -> None:
        """Start a measurement for `moved`."""
        self.marked_at = now
        self.fed_before = self._fed
        self.returned_before = self._returned

    def moved(self) -> i64:
        """Return how many bytes were received and read since `mark`."""
        return min(self._fed - self.fed_before, self._returned - self.returned_before)

    def draining(self) -> None:
        """Note that the connection is shutting down."""

    def abandoned(self, failed: bool) -> bool:
        """Note that the handler has returned, or failed, and left a tunnel open. Return whether
        the tunnel's user closes it."""
        return False

    def waits(self) -> bool:
        """Return whether a reader waits for more data."""
        return self._waiter is not None and not self._waiter.done()

    # -- the reader's side -----------------------------------------------------------------------

    def at_end(self) -> bool:
        return self._ended and self._size == 0

    def error(self) -> Exception | None:
        return self._error

    def note_iterated(self, size: i64) -> None:
        """Note how many bytes an iteration of the message has returned."""
        self.iterated = size

    async def read(self, n: int) -> bytes:
        """Return up to `n` bytes, and b"" at the end; with -1, all bytes up to the end."""
        if n < 0:
            return await self._read_all()
        if n == 0:
            return b""
        while self._size == 0:
            if self._error is not None:
                raise fresh(self._error)
            if self._ended:
                return b""
            await self._more(0)
        return self._take_some(n)

    async def read_exactly(self, n: int) -> bytes:
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        want: i64 = n
        while self._size < want:
            if self._error is not None:
                raise fresh(self._error)
            if self._ended:
                raise asyncio.IncompleteReadError(self._take(self._size), n)
            await self._more(want)
        return self._take(want)

    async def read_until(self, separator: bytes) -> bytes:
        step = len(separator)
        if step == 0:
            raise ValueError("Separator should be at least one-byte string")
        start = 0
        while True:
            self._join()
            found = self._joined.find(separator, start)
            if found >= 0:
                break
            start = max(0, len(self._joined) - step + 1)
            if start > LINE_LIMIT:
                raise asyncio.LimitOverrunError("no separator within the limit", start)
            if self._error is not None:
                raise fresh(self._error)
            if self._ended:
                raise asyncio.IncompleteReadError(self._take(self._size), None)
            await self._more(LINE_LIMIT + step)
        if found > LINE_LIMIT:
            raise asyncio.LimitOverrunError("the separator is beyond the limit", found)
        return self._take(found + step)

    async def read_line(self) -> bytes:
        try:
            return await self.read_until(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial
        except asyncio.LimitOverrunError as error:
            # As in asyncio: discard the line that is too long, or the buffered part of it.
            consumed = error.consumed
            if self._joined.startswith(b"\n", consumed):
                self._take(consumed + 1)
            else:
                self._take(self._size)
            raise ValueError(error.args[0]) from None

    async def _read_all(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            if self._size != 0:
                self._take_pieces(pieces)
            elif self._error is not None:
                raise fresh(self._error)
            elif self._ended:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            else:
                await self._more(0)

    # -- inside ----------------------------------------------------------------------------------

    def _join(self) -> None:
        if self._pieces:
            self._joined += b"".join(self._pieces)
            self._pieces = []

    def _take(self, n: i64) -> bytes:
        if n >= self._size:
            n = self._size
            if self._joined:
                self._join()
                data = bytes(self._joined)
                self._joined = bytearray()
            else:
                pieces = self._pieces
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                self._pieces = []
        else:
            self._join()
            if n < PIECE:
                data = bytes(self._joined[:n])
            else:
                with memoryview(self._joined) as whole, whole[:n] as part:
                    data = bytes(part)  # copied once
            del self._joined[:n]
        self._took(n)
        return data

    def _took(self, n: i64) -> None:
        """Account for `n` bytes that left the buffer, and return their credit."""
        self._size -= n
        self._taken += n
        self._give_back(0)

    def _take_some(self, n: i64) -> bytes:
        """Return up to `n` bytes.

        Return whole pieces if they make up at least half of `n`: cutting a piece copies both parts
        of it twice, which matters for the large pieces that uvloop receives.
        """
        pieces = self._pieces
        if PIECE <= n < self._size and not self._joined and len(pieces) <= MANY:
            size: i64 = 0
            count: i64 = 0
            for piece in pieces:
                if size + len(piece) > n:
                    break
                size += len(piece)
                count += 1
            if size * 2 >= n:
                data = pieces[0] if count == 1 else b"".join(pieces[:count])
                del pieces[:count]
                self._took(size)
                return data
        return self._take(n)

    def _take_pieces(self, taken: list[bytes]) -> None:
        """Move all buffered pieces to `taken`; join them first only if they are small."""
        if self._joined or len(self._pieces) * PIECE > self._size:
            taken.append(self._take(self._size))
            return
        taken += self._pieces
        self._pieces = []
        self._took(self._size)

    def _give_back(self, ahead: i64) -> None:
        """Return the credit of the bytes that were read, and of up to `ahead` buffered bytes."""
        due = min(self._taken + ahead, self._fed) - self._returned
        if due > 0:
            self._returned += due
            if self._conn is not None:
                self._conn.consume(self._stream, due)

    async def _more(self, want: i64) -> None:
        """Wait for data, the end or an error. The reader needs `want` bytes at once."""
        if self._waiter is not None:
            raise RuntimeError("another task is already waiting for this body")
        if self.awaited and self._conn is not None:
            # > A server MAY omit sending a 100 (Continue) response if it has already received some
            # > or all of the content for the corresponding request.   (RFC 9110 10.1.1)
            self.awaited = False
            self._conn.write_head(self._stream, 100, "", "", [], False)
        self._give_back(want)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        wake(self._waiter)


# A StreamReader by its type and its methods; the buffer is a separate object.
@mypyc_attr(native_class=False)
class Payload(asyncio.StreamReader):
    """The body of a message, an `asyncio.StreamReader`: `read`, `readline`, `async for` lines ...

    Reading lets the peer send more. A body that is cut short raises `cno.StreamError` or
    `cno.ConnectionLostError` after the bytes that were received have been read.
    """

    def __init__(self, buffer: BodyBuffer) -> None:
        # StreamReader's own __init__ is not called: every method that needs it is overridden.
        self._buffer = buffer

    def __repr__(self) -> str:
        buffer = self._buffer
        end = " ended" if buffer._ended else ""
        return f"<{type(self).__name__} stream={buffer._stream} buffered={buffer._size}{end}>"

    def exception(self) -> Exception | None:
        return self._buffer.error()

    def set_exception(self, exc: Exception) -> None:
        self._buffer.fail(exc)

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        raise RuntimeError("the connection feeds this reader")

    def feed_data(self, data: Any) -> None:
        self._buffer.feed(data)

    def feed_eof(self) -> None:
        self._buffer.end()

    def at_eof(self) -> bool:
        return self._buffer.at_end()

    def read(self, n: int = -1) -> Coroutine[Any, Any, bytes]:
        return self._buffer.read(n)

    def readline(self) -> Coroutine[Any, Any, bytes]:
        return self._buffer.read_line()

    def readuntil(self, separator: Any = b"\n") -> Coroutine[Any, Any, bytes]:
        return self._buffer.read_until(bytes(separator))

    def readexactly(self, n: int) -> Coroutine[Any, Any, bytes]:
        return self._buffer.read_exactly(n)
