"""Writes a response piece by piece; the head goes out with the first piece if that comes soon.

Must never know who produces the pieces.
"""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from mypy_extensions import i64

from cno.aio.connection import leftover, send_buffer, send_queue
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.state import FlushListener
from cno.aio.fields import Headers
from cno.aio.server import respond
from cno.aio.server.request_state import RequestState
from cno.core import UNKNOWN_LENGTH
from cno.errors import ConnectionError


class ResponseWriter(FlushListener):
    """The response to a request, in pieces."""

    def __init__(self, request: RequestState) -> None:
        self._request = request
        self._code = 0
        self._headers: Headers | None = None  # of a head that has not been written

    def start(self, code: int, headers: Headers, *, at_once: bool) -> None:
        """Begin the response. The head is written with the first piece; with `at_once`, no later
        than in the next turn of the event loop."""
        request = self._request
        self._code = code
        self._headers = headers
        request._response_begun = True  # whatever happens now: it is too late for another response
        if at_once:
            self.write_soon()

    def write_soon(self) -> None:
        """Write a head that is still held then in the next turn of the event loop."""
        # Most often the body follows at once, and there is nothing to do when the flush comes.
        if self._headers is not None:
            send_buffer.call_at_flush(self._request._conn, self)

    def flushed(self) -> None:
        if self._headers is not None:
            conn = self._request._conn
            conn.loop.call_soon(self._write_head, context=conn._context)

    def is_head_held(self) -> bool:
        """Return whether the head has not been written."""
        return self._headers is not None

    def take_back(self) -> bool:
        """Drop a head that has not been written, for another response. Return False if it has."""
        if self._headers is None:
            return False
        self._headers = None
        self._request._response_begun = False
        return True

    def _write_head(self) -> None:
        """Write the head alone: the application takes its time over the body.

        Where that is not possible now (an earlier response is not complete, the transport is full),
        the head goes out with the first piece.
        """
        request = self._request
        headers = self._headers
        if headers is None or request._ended:
            return
        head = self._next_write(b"", False, UNKNOWN_LENGTH, None)
        written = False
        try:
            written = respond.begin(request, head)
        except ConnectionError:
            request._response_begun = True  # the first piece raises the same error
        if not written:
            self._headers = headers

    def start_write(
        self, data: bytes, final: bool, length: i64, trailers: Headers | None
    ) -> PendingWrite | None:
        """Write a piece as far as possible; return what `finish_write` has to wait for, or None.

        `final`: no more follows. `length`: bytes of the whole body, if the head is to announce
        that. Raises as `Request.respond`.
        """
        request = self._request
        part = self._next_write(data, final, length, trailers)
        try:
            held = part.headers is not None
            done = respond.begin(request, part) if held else send_queue.start(request._conn, part)
        except BaseException:
            self._headers = part.headers  # None if it has been written
            request._response_begun = True
            raise
        if not done:
            return part
        self._written(part)
        return None

    async def finish_write(self, part: PendingWrite) -> None:
        """Wait until the client's window and the transport have taken a piece."""
        request = self._request
        try:
            await send_queue.finish(request._conn, part)
        except BaseException:
            request._response_begun = True
            raise
        self._written(part)

    def _written(self, part: PendingWrite) -> None:
        request = self._request
        request._count_sent(len(part.data))
        if part.final:
            request._end_output()

    def leave(self) -> None:
        """Drop the rest of the request, if the client is still sending it."""
        request = self._request
        if not request._complete and not request._ended:
            leftover.drain_stream(request._conn, request)

    def _next_write(
        self, data: bytes, final: bool, length: i64, trailers: Headers | None
    ) -> PendingWrite:
        headers = self._headers
        self._headers = None
        return PendingWrite(
            self._request.stream, data, final, headers, self._code, length=length, trailers=trailers
        )


class HeldHeads:
    """Heads of HTTP/1.1 that wait for the first pieces of their bodies, on all connections of an
    event loop.

    A head that is still here in the next iteration of the event loop is written in the one after
    that. Most bodies follow their heads at once: one callback for all connections looks.
    """

    def __init__(self) -> None:
        self._writers: list[ResponseWriter] = []
        self._look_due = False

    def add(self, writer: ResponseWriter) -> None:
        """Add a response whose head is held."""
        self._writers.append(writer)
        if not self._look_due:
            conn = writer._request._conn
            conn.loop.call_soon(self._look, context=conn._context)
            self._look_due = True

    def discard(self, writer: ResponseWriter) -> None:
        """Forget a response whose head is about to be written, if it was added last."""
        writers = self._writers
        if writers and writers[-1] is writer:
            writers.pop()

    def _look(self) -> None:
        """Have the heads that are still held written in the next iteration."""
        self._look_due = False
        writers = self._writers
        if writers:
            self._writers = []
            for writer in writers:
                writer.flushed()


#: By event loop.
_held: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, HeldHeads]] = WeakKeyDictionary()


def held_heads(loop: asyncio.AbstractEventLoop) -> HeldHeads:
    """Return the held heads of an event loop."""
    found = _held.get(loop)
    if found is None:
        for reference in _held.keyrefs():  # other threads have loops, too
            each = reference()
            if each is not None and each.is_closed():
                _held.pop(each, None)  # it may hold heads, and these their loop, for ever
        found = _held[loop] = HeldHeads()
    return found
