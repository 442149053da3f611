"""One stream of a connection, with the calls that its owner makes.

The base of `Request` and `Response`. Must never know what either of them is.
"""

import asyncio
from typing import TYPE_CHECKING

from cno.aio.connection import intake, timeouts
from cno.aio.connection.body import BodyBuffer, Payload
from cno.aio.connection.stream_state import StreamState
from cno.aio.errors import ConnectionLostError, claim, fresh
from cno.aio.fields import Headers

if TYPE_CHECKING:
    from cno.aio.connection.protocol import Connection


class EndObserver:
    """Learns when a request's stream has ended, whose handler is then not cancelled."""

    def ended(self) -> None:
        """Note that the stream has ended: the client has gone, or both messages are complete."""

    def draining(self) -> None:
        """Note that the connection is shutting down, and waits for this stream to end."""


class Exchange(StreamState):
    """One stream: the message that is being received, and how the stream ended.

    `stream` is the id of the stream. `headers` and `trailers` are those of the message; `trailers`
    is None until the message is complete, and if it has none.
    """

    def __init__(self, conn: "Connection", stream: int, headers: Headers) -> None:
        super().__init__(stream, headers)
        self._conn = conn
        self._reader: Payload | None = None

    @property
    def payload(self) -> asyncio.StreamReader:
        """The body of the message, as a reader."""
        if self._reader is None:
            self._reader = Payload(self._get_buffer())
        return self._reader

    def _get_buffer(self) -> BodyBuffer:
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = BodyBuffer(self._conn, self.stream, self._conn.loop)
            if self._error is not None:
                buffer.fail(self._error)
            elif self._complete:
                buffer.end()
            elif self._ended:
                buffer.detach()
            else:
                timeouts.shorten(self._conn)
        return buffer

    def _replace_buffer(self, buffer: BodyBuffer) -> BodyBuffer | None:
        """Have another buffer take the data from now on; return the one so far, if there is one.

        Its user gets an error when the stream ends early, and is not cancelled.
        """
        before = self._buffer
        self._buffer = buffer
        self._reader = None
        self._error_delivered = True
        return before

    def _take_body(self) -> tuple[BodyBuffer | None, Payload | None]:
        """Have the data from now on belong to a new message; return the body of the one so far."""
        before = self._buffer, self._reader
        self._buffer = None
        self._reader = None
        self._complete = False
        return before

    def _restore_body(self, body: tuple[BodyBuffer | None, Payload | None]) -> None:
        """Undo `_take_body`."""
        self._buffer, self._reader = body
        self._complete = True

    def _end_output(self) -> bool:
        """Note that all of our data is being sent; return False if it has been, or cannot be."""
        if self._ended or self._sent:
            return False
        self._sent = True
        return True

    def _open_tunnel(self) -> None:
        """Turn the stream into a byte stream in both directions."""
        self._tunnel = True
        intake.resume_input(self._conn)

    def _end_error(self, text: str) -> Exception:
        """Return the error for a call that needs an open stream."""
        if self._error is not None:
            return fresh(self._error)
        gone = ConnectionLostError(text, stream=self.stream)
        gone._connection = self._conn._number
        return gone

    def _failed(self, error: Exception) -> None:
        claim(error, self._conn._number)
        super()._failed(error)
