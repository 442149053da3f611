"""A byte stream in both directions over one stream of a connection.

Knows how its bytes are written and when either direction ends. Must never know what the bytes mean,
or how the tunnel was agreed on.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from cno.aio.connection import ending, leftover, send_queue
from cno.aio.connection.exchange import Exchange
from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.protocol import Connection
from cno.aio.fields import Headers
from cno.aio.sources import to_bytes
from cno.const import CNO_RST_CANCEL
from cno.errors import UsageError


class Tunnel:
    """A byte stream in both directions, over one stream of either protocol.

    `reader` is an `asyncio.StreamReader`, `headers` are the fields that the peer sent. Leaving
    `async with` closes the tunnel.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._conn = exchange._conn
        self._finished = False
        exchange._open_tunnel()

    @property
    def conn(self) -> Connection:
        """The connection that the stream belongs to: a `Server` or a `Client`."""
        return self._conn

    @property
    def stream(self) -> int:
        return self._exchange.stream

    @property
    def headers(self) -> Headers:
        return self._exchange.headers

    @property
    def reader(self) -> asyncio.StreamReader:
        return self._exchange.payload

    def read(self, n: int = -1) -> Coroutine[Any, Any, bytes]:
        """Return up to `n` bytes, and b"" at the end; with -1, all bytes up to the end."""
        return self._exchange._get_buffer().read(n)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; wait until the peer's window and the transport have accepted all of them.

        Raises StreamError or ConnectionLostError if the peer has gone, UsageError after `write_eof`
        and while another task writes.
        """
        self._check()
        chunk = to_bytes(data)
        if chunk:
            await send_queue.perform(self._conn, PendingWrite(self.stream, chunk, False))

    async def write_eof(self) -> None:
        """End the sending direction; reading continues.

        Over HTTP/1.1 with TLS, the peer learns of the end by `close` only. Raises UsageError while
        another task writes.
        """
        exchange = self._exchange
        if self._finished or exchange._ended:
            return
        if send_queue.is_pending(self._conn, self.stream):
            raise UsageError("another task is writing on this stream", stream=self.stream)
        self._finished = True
        exchange._end_output()
        if self._conn._http2:
            await send_queue.perform(self._conn, PendingWrite(self.stream, b"", True))
        elif exchange._complete:
            self._conn.write_data(self.stream, b"", True)  # closes the connection
        else:
            ending.half_close(self._conn)

    async def close(self) -> None:
        """End the sending direction, and drop the bytes that the peer still sends.

        Resets the stream if another task writes.
        """
        exchange = self._exchange
        if send_queue.is_pending(self._conn, self.stream):  # an orderly end would look complete
            self._conn.write_reset(self.stream, CNO_RST_CANCEL)
            return
        await self.write_eof()
        if exchange._ended or self._conn._life.phase >= LOST:
            return
        if self._conn._http2:
            # A reset could overtake the bytes that were written before.
            leftover.drain_stream(self._conn, exchange)
        else:
            self._conn.write_data(self.stream, b"", True)

    async def __aenter__(self) -> "Tunnel":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
        elif not self._exchange._ended:
            self._conn.write_reset(self.stream, CNO_RST_CANCEL)

    def _check(self) -> None:
        if self._finished:
            raise UsageError("the tunnel's sending side is closed", stream=self.stream)
        if self._exchange._ended:
            raise self._exchange._end_error("the tunnel has ended")
