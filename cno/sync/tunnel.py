"""A byte stream in both directions over one stream of a connection.

Knows how its bytes are written and when either direction ends. Must never know what the bytes mean,
or how the tunnel was agreed on.
"""

import time
from types import TracebackType
from typing import Final

from mypy_extensions import i64

from cno.aio.errors import claim
from cno.aio.fields import Headers
from cno.aio.sources import to_bytes
from cno.const import CNO_RST_CANCEL
from cno.errors import DisconnectError, InvalidStreamError, UsageError
from cno.sync.connection_io import abort, begin, begin_tunnel, flush
from cno.sync.errors import ReadTimeoutError, WriteTimeoutError
from cno.sync.exchange import (
    DATA,
    ROOM,
    cancel,
    drop_pieces,
    has_sent,
    is_running,
    lacks_data,
    resume_input,
    take_data,
    wait_for,
)
from cno.sync.messages import ALL, Response
from cno.sync.parker import Parker
from cno.sync.polling import wait
from cno.sync.state import Link, error_of
from cno.sync.timeouts import FOREVER

#: Bytes that are passed to the engine at once.
CHUNK: Final = 262_144


class LossParker(Parker):
    """A thread that waits until the connection is closed."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def done(self) -> bool:
        return self._link.is_lost


class SentParker(Parker):
    """A thread that waits until the socket has accepted the first `mark` bytes of the output."""

    def __init__(self, response: Response, mark: i64) -> None:
        super().__init__()
        self._response = response
        self._mark = mark
        self.has_failed = False

    def done(self) -> bool:
        response = self._response
        if response._ended or response._link.is_lost:
            self.has_failed = True
            return True
        return has_sent(response._link, self._mark)


class Tunnel:
    """A byte stream in both directions, over one stream of either protocol.

    `headers` are the fields that the server sent. Leaving `with` closes the tunnel. One thread may
    read while another one writes.
    """

    def __init__(self, response: Response) -> None:
        self._response = response
        self._link = response._link
        self._finished = False
        begin_tunnel(response)

    @property
    def stream(self) -> int:
        return self._response.stream

    @property
    def headers(self) -> Headers:
        return self._response.headers

    @property
    def is_http2(self) -> bool:
        """Whether the tunnel is a stream of an HTTP/2 connection."""
        return self._link.is_http2

    def read(self, n: int = -1, timeout: float | None = None) -> bytes:
        """Return up to `n` bytes as soon as there are some, b"" at the end; with -1, all.

        Raises ReadTimeoutError after `timeout` seconds without data: the tunnel stays open. Over
        HTTP/1.1, the server's end is the end of both directions.
        """
        if n == 0:
            return b""
        if n > 0:
            return self._read_some(n, timeout)
        pieces: list[bytes] = []
        while True:
            piece = self._read_some(ALL, timeout)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def write(self, data: bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Send bytes; wait until the server's window and the socket have accepted all of them.

        Raises WriteTimeoutError, after which the tunnel is closed, if they accept nothing for
        `timeout` seconds; StreamError or ConnectionLostError if the server has gone; UsageError
        after `write_eof`.
        """
        chunk = to_bytes(data)
        at: i64 = 0
        link = self._link
        guard = link.guard
        while at < len(chunk):
            room_mark: i64 = 0
            accepted: i64 = 0
            guard.check()
            with guard.lock:
                begin(guard)
                try:
                    accepted = self._write_some(chunk[at : at + CHUNK])
                except Exception:
                    guard.inside = False  # an interrupt leaves it set
                    raise
                last_sent_at = link.times.sent_at
                room_mark = link.send_buffer.room_mark
                guard.inside = False
            at += accepted
            flush(link)
            if accepted == 0:
                due = FOREVER if timeout is None else time.monotonic() + timeout
                in_time = wait_for(self._response, ROOM, due, room_mark)
                if not in_time and not link.is_lost and link.times.sent_at == last_sent_at:
                    raise self._write_timed_out(timeout)
        mark: i64 = link.transport.written
        if not has_sent(link, mark):
            self._await_sent(mark, timeout)

    def write_eof(self) -> None:
        """End the sending direction; reading continues.

        Over HTTP/1.1 with TLS, the server learns of the end by `close` only.
        """
        response, link = self._response, self._link
        if self._finished or response._ended:
            return
        self._finished = True
        guard = link.guard
        guard.check()
        with guard.lock:
            begin(guard)
            if is_running(response):
                if link.is_http2:
                    link.write_data(response.stream, b"", True)
                elif not link.transport.layers:
                    link.send_buffer.ends = True
            guard.inside = False
        flush(link)

    def close(self) -> None:
        """End the sending direction, and drop the bytes that the server still sends.

        Over HTTP/1.1, waits up to `Limits.linger_timeout` until the socket has accepted all bytes.
        """
        self.write_eof()
        response, link = self._response, self._link
        guard = link.guard
        guard.check()
        with guard.lock:
            begin(guard)
            response._discard = True
            size = len(drop_pieces(response))
            resume_input(response)
            if is_running(response):
                if link.is_http2:
                    link.consume(response.stream, size)
                else:
                    link.is_closing = True
            guard.inside = False
        flush(link)
        if link.is_http2:
            return
        due = time.monotonic() + link._limits.linger_timeout
        if not wait(link, LossParker(link), due):
            with guard.lock:
                begin(guard)
                abort(link)
                guard.inside = False

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            cancel(self._response, CNO_RST_CANCEL)

    def _read_some(self, most: i64, timeout: float | None) -> bytes:
        response = self._response
        while response._size == 0:
            if response._complete:
                return b""
            if response._error is not None or response._ended:
                raise error_of(response)
            due = FOREVER if timeout is None else time.monotonic() + timeout
            if not wait_for(response, DATA, due) and lacks_data(response):
                if self._link.is_lost:
                    continue
                error = ReadTimeoutError(
                    f"no data came within {timeout:g} s", stream=response.stream, code=0
                )
                raise claimed(error, self._link)
        return take_data(response, most)

    def _write_some(self, chunk: bytes) -> i64:
        """Write a part of these bytes; return how many. Called with the lock."""
        response, link = self._response, self._link
        if self._finished:
            raise UsageError("the tunnel's sending side is closed", stream=response.stream)
        if response._ended or link.is_lost:
            raise error_of(response)
        if link.send_buffer.size > link._limits.write_buffer:
            return 0
        try:
            return link.write_data(response.stream, chunk, False)
        except (DisconnectError, InvalidStreamError):
            pass
        raise error_of(response)

    def _await_sent(self, mark: i64, timeout: float | None) -> None:
        """Wait until the socket has accepted the first `mark` bytes of the output."""
        response, link = self._response, self._link
        parker = SentParker(response, mark)
        waiting = response._waiting
        assert waiting is not None
        waiting[parker] = None
        link.parked_writers[parker] = None
        try:
            while True:
                sent_at = link.times.sent_at
                due = FOREVER if timeout is None else time.monotonic() + timeout
                if wait(link, parker, due) or link.is_lost:
                    break
                if link.times.sent_at == sent_at:
                    raise self._write_timed_out(timeout)
        finally:
            waiting.pop(parker, None)
            link.parked_writers.pop(parker, None)
        if parker.has_failed or link.is_lost:
            raise error_of(response)

    def _write_timed_out(self, timeout: float | None) -> Exception:
        response = self._response
        error = WriteTimeoutError(
            f"nothing was accepted within {timeout:g} s",
            stream=response.stream,
            code=CNO_RST_CANCEL,
        )
        cancel(response, CNO_RST_CANCEL)
        return claimed(error, self._link)


def claimed(error: Exception, link: Link) -> Exception:
    """Return an error with the connection that it concerns."""
    claim(error, link.number)
    return error
