"""Writes the frames of a WebSocket on its stream: one write at a time, the rest is buffered.

Knows how a stream takes bytes. Must never know frames.
"""

import asyncio
from collections.abc import Callable

from mypy_extensions import i64

from cno.aio.connection import leftover, send_queue
from cno.aio.connection.exchange import Exchange
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.waiters import wake
from cno.errors import ConnectionError


class FrameWriter:
    """The sending side of the stream. `on_loss` is called once if it takes nothing any more."""

    def __init__(self, exchange: Exchange, on_loss: Callable[[Exception | None], None]) -> None:
        self._exchange = exchange
        self._on_loss: Callable[[Exception | None], None] | None = on_loss
        self._buffer: list[bytes] = []  # waits for the write that is under way
        self._pong: bytes | None = None  # the last one that waits for it
        self._sending: PendingWrite | None = None  # that write
        self._waiter: asyncio.Future[None] | None = None  # of those who wait for room
        self._ending = False  # the stream is to end once all is written
        self._closed = False  # it takes nothing any more
        #: Bytes that are not written yet.
        self.size: i64 = 0

    def write(self, data: bytes) -> None:
        """Write, or buffer, this."""
        if self._closed or self._ending:
            return
        self._buffer.append(data)
        self.size += len(data)
        if self._sending is None:
            self._write_buffer()

    def write_pong(self, frame: bytes) -> None:
        """Write a pong; if it has to wait, it takes the place of an earlier one."""
        # > If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to
        # > previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most
        # > recently processed Ping frame.   (RFC 6455 5.5.3)
        if self._sending is None:
            self.write(frame)
        elif not self._closed and not self._ending:
            self._pong = frame

    async def drain(self, most: int) -> None:
        """Wait until no more than this many bytes are buffered, or the stream takes no more."""
        while self.size > most and not self._closed:
            if self._waiter is None:
                self._waiter = self._exchange._conn.loop.create_future()
            await asyncio.shield(self._waiter)

    def finish(self) -> None:
        """End our side of the stream once all is written."""
        if self._closed:
            return
        self._ending = True
        if self._sending is None:
            self._end_stream()

    def abandon(self) -> None:
        """Drop what is buffered: the stream takes nothing any more."""
        self._closed = True
        self._on_loss = None
        self._buffer = []
        self._pong = None
        self.size = 0
        self._wake()

    def _write_buffer(self) -> None:
        buffer = self._buffer
        self._buffer = []
        if self._pong is not None:
            buffer.insert(0, self._pong)
            self.size += len(self._pong)
            self._pong = None
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        part = PendingWrite(self._exchange.stream, data, False)
        try:
            waiter = send_queue.start_or_add(self._exchange._conn, part)
        except ConnectionError as error:
            self._lose(error)
            return
        if waiter is None:
            self.size = 0
        else:
            self._sending = part
            waiter.add_done_callback(self._written)

    def _written(self, waiter: asyncio.Future[None]) -> None:
        """A write that had to wait is done, or has failed."""
        part = self._sending
        self._sending = None
        if self._closed or part is None:
            return
        if part.error is not None:
            self._lose(part.error)
            return
        self.size -= len(part.data)
        if self._buffer or self._pong is not None:
            self._write_buffer()
        if self._ending and self._sending is None:
            self._end_stream()
        self._wake()

    def _lose(self, error: Exception) -> None:
        on_loss = self._on_loss
        self.abandon()
        if on_loss is not None:
            on_loss(error)

    def _wake(self) -> None:
        waiter = self._waiter
        self._waiter = None
        wake(waiter)

    def _end_stream(self) -> None:
        exchange = self._exchange
        self._closed = True
        self._on_loss = None
        self._wake()
        if not exchange._end_output():
            return
        conn = exchange._conn
        try:
            send_queue.post(conn, PendingWrite(exchange.stream, b"", True))
        except ConnectionError:
            return  # it has ended meanwhile
        if conn.is_http2:
            leftover.drain_stream(conn, exchange)
