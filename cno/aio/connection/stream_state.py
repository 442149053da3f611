"""The state of one stream in the asyncio layer: the peer's message, and the end of the stream.

The base of `Exchange`, which adds the connection. Must never know a connection, a request or a
response.
"""

import asyncio

from mypy_extensions import i64

from cno.aio.connection.body import BodyBuffer
from cno.aio.fields import Headers


class StreamState:
    """The state of one stream."""

    def __init__(self, stream: int, headers: Headers) -> None:
        self.stream = stream
        self.headers = headers
        self.trailers: Headers | None = None
        self._buffer: BodyBuffer | None = None
        self._complete = False  # the peer's message is complete
        self._sent = False  # our message is complete
        self._body_sent: i64 = 0  # bytes of our message's body that the transport has accepted
        self._ended = False  # the stream is closed
        self._discard = False  # drop the rest of the peer's message
        self._drained: i64 = 0  # bytes of the rest that were received
        #: Resets the stream if the rest takes too long.
        self._drain_timer: asyncio.TimerHandle | None = None
        self._tunnel = False  # the stream is a byte stream in both directions
        self._error: Exception | None = None  # why the peer's message will never be complete
        self._error_delivered = False  # its waiter gets the error, and is not cancelled

    def _get_buffer(self) -> BodyBuffer:
        """Return the buffer of the peer's message; make it if there is none."""
        raise NotImplementedError

    def _count_sent(self, size: i64) -> None:
        """Count bytes of our message's body that the transport has accepted."""
        self._body_sent += size

    def _draining(self) -> None:
        """Note that the connection is shutting down."""
        if self._buffer is not None:
            self._buffer.draining()

    def _completed(self, trailers: Headers | None) -> None:
        """Note that the peer's message is complete."""
        self._complete = True
        self.trailers = trailers
        if self._buffer is not None:
            self._buffer.end()

    def _failed(self, error: Exception) -> None:
        """Note that the peer's message will never be complete."""
        if not self._complete and self._error is None:
            self._error = error
            if self._buffer is not None:
                self._buffer.fail(error)

    def _progress(self) -> str:
        """Return how much of its message the peer had sent, for the text of an error."""
        return " in the middle of a tunnel" if self._tunnel else " in the middle of the request"
