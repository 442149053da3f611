"""The state of one connection and of its streams, with the engine's events, which change it.

Functions in other modules are the behaviour. The lock of a `Guard` protects all of it. Must never
know pools, or what threads wait for.
"""

import itertools
import threading
import time
from collections import deque
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client.forward_proxy import ForwardProxy
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.errors import (
    LEFT,
    ConnectionLostError,
    StreamError,
    StreamTimeoutError,
    end_error,
    fresh,
    name_of,
)
from cno.aio.fields import Headers
from cno.const import (
    CNO_LOCAL,
    CNO_RST_CANCEL,
    CNO_RST_HTTP_1_1_REQUIRED,
    CNO_RST_REFUSED_STREAM,
    MAX_STREAM_ID,
)
from cno.core import CLOSED, H2_PREFACE, H2_SETTINGS
from cno.engine import Engine
from cno.errors import Reason
from cno.limits import Limits
from cno.settings import SettingsDict, check_dict
from cno.sync.forks import FORKS
from cno.sync.parker import Parker
from cno.sync.timeouts import Expiry
from cno.sync.transport import Transport

#: Numbers of connections, by which an error names its connection without a reference to it.
NUMBERS: Final = itertools.count(1 << 32)
#: Requests sent before the server's SETTINGS: servers should not allow fewer (RFC 9113 6.5.2), and
#: refuse those beyond their limit.
MAX_BLIND: Final = 100
#: The expiry of a connection that nobody cancels.
NEVER: Final = Expiry()
#: Bytes of a response, or of a tunnel, that are received over HTTP/1.1 before they are read.
MAX_UNREAD: Final = 1_048_576


class StreamState:
    """The state of one stream."""

    def __init__(self, link: "Link", stream: int) -> None:
        self.stream = stream
        self.code = 0
        self.reason = ""
        self.headers: Headers = []
        #: The fields behind the body; None until it is complete, and if there are none.
        self.trailers: Headers | None = None
        #: The first interim (1xx) responses, as (code, headers).
        self.informational: list[tuple[int, Headers]] = []
        self._link = link
        self._pieces: deque[bytes] = deque()  # of the body, received and not read
        self._size: i64 = 0  # bytes of these
        self._fed: i64 = 0  # bytes of the body received in all
        self._interim_count: i64 = 0
        self._got_100 = False
        self._complete = False  # the message is complete
        self._ended = False  # the stream is closed
        self._discard = False  # nobody reads the rest
        self._tunnel = False  # a byte stream in both directions
        self._error: Exception | None = None  # why the message will never be complete
        self._reused = False  # the connection had brought a response before the request was sent
        self._received_mark: i64 = 0  # the connection's count of inputs when it was sent
        self._parker: Parker | None = None  # of the thread that waits for this stream
        self._waiting: dict[Parker, None] | None = None  # of a tunnel: in place of `_parker`
        self._listener: StreamListener | None = None
        self._pushes: deque[Any] | None = None  # not taken yet

    def _wake(self) -> None:
        """Unpark the threads that wait for this stream."""
        parker = self._parker
        if parker is not None:
            parker.unpark()
        waiting = self._waiting
        if waiting is not None:
            for each in list(waiting):
                each.unpark()

    def _begin_tunnel(self) -> None:
        """Note that the stream is a byte stream in both directions, for several threads. Called
        with the lock."""
        self._tunnel = True
        self._waiting = {}
        self._link.changed_due = True  # one of HTTP/1.1 takes no more requests

    def _failed(self, error: Exception) -> None:
        if not self._complete and self._error is None:
            self._error = error

    def _progress(self) -> str:
        """Return which part of the message had been received, for the text of an error."""
        if self._tunnel:
            return " in the middle of a tunnel"
        return " in the middle of the response" if self.code != 0 else " before the response"

    def _promised(self, stream: int, method: str, path: str, headers: Headers) -> bool:
        """Process a PUSH_PROMISE; return whether the application accepts pushes."""
        return False


class StreamListener:
    """Receives the events of a stream: a WebSocket. Called with the lock."""

    def draining(self) -> None:
        """The connection is to close soon."""


@mypyc_attr(allow_interpreted_subclasses=True)
class LinkListener:
    """Receives the events of a connection: a pool."""

    def capacity_changed(self, link: "Link") -> None:
        """The number of requests that it accepts has changed."""

    def lost(self, link: "Link") -> None:
        """It has been closed."""

    def unresponsive(self, link: "Link") -> None:
        """A request timed out, and nothing was received meanwhile."""


class Guard:
    """The lock of one or several connections; recovers from interrupts and forks.

    Use `with guard.lock:` after `guard.check()`; between `begin(guard)` and `inside = False`, the
    state may be inconsistent. (The lock is one of the interpreter's, so that no interrupt comes
    between taking it and the block.)
    """

    def __init__(self) -> None:
        self.lock: Any = threading.Lock()
        self.inside = False
        self.forks: i64 = FORKS.count
        self.links: dict[Link, None] = {}

    def check(self) -> None:
        """In the child of a fork, make a new lock, and give up all connections."""
        if self.forks == FORKS.count:
            return
        with FORKS.lock:
            if self.forks != FORKS.count:
                self.lock = threading.Lock()
                self.inside = False
                for link in list(self.links):
                    link.disown()
                self.links.clear()
                self.forget_threads()
                self.reset()
                self.forks = FORKS.count

    def forget_threads(self) -> None:
        """Forget the threads of the parent process."""

    def reset(self) -> None:
        """Forget what is known of connections."""


@final
class SendBuffer:
    """The output of a connection that has not been sent."""

    def __init__(self) -> None:
        self.plain: list[bytes] = []  # before encryption
        self.encrypted: list[bytes] = []
        self.size: i64 = 0  # bytes of `plain`
        self.sending = False  # a thread sends, without the lock
        self.blocked = False  # the socket's send buffer is full
        self.ends = False  # half-close when the output has been sent
        self.room_mark: i64 = 0  # changes whenever more output may be possible

    def is_empty(self) -> bool:
        """Return whether there are no bytes to send."""
        return not self.plain and not self.encrypted

    def add(self, chunks: list[bytes], size: i64) -> None:
        """Append output that is not encrypted yet, `size` bytes in all."""
        self.size += size
        if self.plain:
            self.plain += chunks
        else:
            self.plain = chunks

    def clear(self) -> None:
        """Drop all output."""
        self.plain = []
        self.encrypted = []
        self.size = 0


@final
class Times:
    """When a connection sent and received, by `time.monotonic()`."""

    def __init__(self) -> None:
        self.connected_at = time.monotonic()
        self.received_at = self.connected_at
        self.sent_at = self.connected_at  # when the last send succeeded
        self.ping_sent = 0.0
        self.pongs: dict[bytes, float] = {}  # when the application's PINGs were answered
        self.expiry = NEVER  # of the connection itself


@final
class Ending:
    """How a connection ended."""

    def __init__(self) -> None:
        self.cause = ""  # as a text
        self.closed_here = False
        self.hung_up = False  # it was closed by the peer, between two messages
        self.timed_out: Reason | None = None


class Link(Engine):
    """The engine of one client's connection, with its socket and its streams."""

    def __init__(
        self,
        guard: Guard,
        transport: Transport,
        authority: str | None,
        scheme: str,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(False, limits=limits, clock=time.monotonic)
        self.guard = guard
        self.transport = transport
        self.authority = authority
        self.scheme = scheme
        self.number: int = next(NUMBERS)
        self.exchanges: dict[int, StreamState] = {}
        self.listener: LinkListener | None = None
        self.entry: Any = None  # the pool's record
        self.credentials: str | None = None
        self.forward_proxy: ForwardProxy | None = None  # the proxy that forwards requests
        self.force_http2 = False
        self.single = False  # it closes after its only request
        self.unclaimed: Unclaimed | None = None  # pushes, once there were any

        # -- threads -----------------------------------------------------------------------------
        self.reader: Parker | None = None
        self.parked: dict[Parker, None] = {}
        self.parked_writers: dict[Parker, None] = {}  # those that wait for flow control
        self.parked_requests: dict[Parker, None] = {}  # those whose requests wait for a stream
        self.reading = False  # the reading thread may have taken bytes out of the socket
        self.broken = False  # bytes were lost when a thread was interrupted
        self.changed_due = False  # the listener must be notified

        # -- the life of the connection ----------------------------------------------------------
        self.send_buffer = SendBuffer()
        self.times = Times()
        self.ending = Ending()
        self.is_closing = False  # it closes when its output has been sent
        self.is_lost = False
        self.answered_before = False
        self.received: i64 = 0  # inputs

        self.manual_flow_control = True
        if settings is not None:
            check_dict(settings, False)
            self.configure(**settings)

    # -- facts -----------------------------------------------------------------------------------

    def is_greeting(self) -> bool:
        """Return whether the server's first SETTINGS are missing."""
        return self._http2 and (self._state == H2_PREFACE or self._state == H2_SETTINGS)

    def is_open(self) -> bool:
        """Return whether it accepts requests, now or later."""
        if self.is_lost or self.is_closing or self.broken or self._draining:
            return False
        if self._state == CLOSED or self._last_local >= MAX_STREAM_ID - 1:
            return False
        if self._http2:
            return self._h2.goaway_received > MAX_STREAM_ID
        return not self._h1.no_more_messages

    def slots(self) -> int:
        """Return how many more requests it accepts now, if it is open."""
        if not self._http2:
            return 0 if self.exchanges else 1
        most: i64 = self._remote._max_concurrent_streams
        if most > MAX_BLIND and self.is_greeting():
            most = MAX_BLIND
        return int(most - self._count_local)

    def goaway_code(self) -> int:
        """Return the error code of the server's GOAWAY; 0: it sent none, or has no error."""
        return int(self._h2.goaway_code) if self._http2 else 0

    def passed_over(self, stream: i64) -> bool:
        """Return whether the server has ended the connection by GOAWAY after other requests, and
        before this one."""
        return self._http2 and 0 < self._h2.goaway_received < stream

    def lost_error(self, stream: int, where: str = "") -> ConnectionLostError:
        """Return the error for calls that wait on a connection that has ended."""
        error = end_error(self.ending.cause + where, stream, self.ending.timed_out)
        error._connection = self.number
        return error

    def disown(self) -> None:
        """Close the child's copy of the parent's socket, without sending anything."""
        self.is_lost = True
        self.ending.closed_here = True
        self.ending.cause = "the connection is that of the parent process"
        for state in list(self.exchanges.values()):
            state._failed(self.lost_error(state.stream))
            state._ended = True
        self.exchanges.clear()
        self.transport.close()

    # -- events ----------------------------------------------------------------------------------

    def on_writev(self, chunks: list[bytes]) -> None:
        transport = self.transport
        size: i64 = 0
        for chunk in chunks:
            size += len(chunk)
        self.send_buffer.add(chunks, size)
        transport.written += size
        if transport.tap is not None:
            for chunk in chunks:
                transport.tap.sent(chunk)

    def on_close(self) -> None:
        self.is_closing = True

    def close(self) -> None:
        self.is_closing = True

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        state = self.exchanges.get(stream)
        if state is None:
            return
        if code < 200 and code != 101:
            most = self._limits.max_informational
            state._interim_count += 1
            if most is None or len(state.informational) < most:
                state.informational.append((code, headers))
            if code == 100:
                state._got_100 = True
        else:
            self.answered_before = True
            state.code = code
            state.reason = method
            state.headers = headers
        state._wake()

    def on_message_data(self, stream: int, data: bytes) -> None:
        size = len(data)
        state = self.exchanges.get(stream)
        if state is None or state._discard:
            self.consume(stream, size)
            return
        if self.unclaimed is not None and not self.unclaimed.received(stream, size):
            self.write_reset(stream, CNO_RST_CANCEL)
            return
        if size == 0:
            return
        state._pieces.append(data)
        state._size += size
        state._fed += size
        if state._tunnel and state._size >= MAX_UNREAD and not self._http2:
            self.transport.is_paused = True  # HTTP/1.1 has no windows
        state._wake()

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        state = self.exchanges.get(stream)
        if state is not None:
            state._complete = True
            state.trailers = trailers
            state._wake()

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        state = self.exchanges.get(parent)
        if self.unclaimed is None:
            self.unclaimed = Unclaimed(self._limits)
        if state is None or not self.unclaimed.promised(stream, headers):
            self.write_reset(stream, CNO_RST_CANCEL)
        elif not state._promised(stream, method, path, headers):
            self.unclaimed.release(stream)
            self.write_reset(stream, CNO_RST_CANCEL)
        else:
            state._wake()

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        state = self.exchanges.pop(stream, None)
        if state is not None:
            state._ended = True
            if not state._complete:
                if state._error is None:
                    error = self.reset_error(state, code, side)
                    state._failed(error)
                if not self._http2:
                    self.is_closing = True  # the rest of its response would look like the next one
            state._wake()
            if self.single and not self.exchanges:
                self.is_closing = True
        self.changed_due = True

    def on_flow_increase(self, stream: int) -> None:
        self.send_buffer.room_mark += 1
        for parker in list(self.parked_writers):
            parker.unpark()

    def on_settings(self) -> None:
        self.changed_due = True
        for parker in self.parked:
            parker.unpark()  # it may wait for the first SETTINGS

    def on_pong(self, data: bytes) -> None:
        self.times.ping_sent = 0.0
        if data in self.times.pongs:
            self.times.pongs[data] = time.monotonic()
            for parker in self.parked:
                parker.unpark()

    def reset_error(self, state: StreamState, code: int, side: int) -> Exception:
        """Return the error of a stream that was reset."""
        stream = state.stream
        late = self.ending.timed_out
        error: Exception
        if late is not None and side == CNO_LOCAL:
            error = StreamTimeoutError(late.text, stream=stream, code=code, limit=late.limit)
        elif self._end_reason is not None and side == CNO_LOCAL:
            why = self._end_reason
            error = StreamError(why.text, stream=stream, code=code, rule=why.rule, limit=why.limit)
        elif self.is_lost:
            return self.lost_error(stream, state._progress())
        else:
            who = "here" if side == CNO_LOCAL else "by the peer"
            # > A REFUSED_STREAM error ... any request that was sent on the reset stream can be
            # > safely retried.   (RFC 9113 8.7)
            refused = code == CNO_RST_REFUSED_STREAM or code == CNO_RST_HTTP_1_1_REQUIRED
            left = LEFT if side == CNO_LOCAL and code == CNO_RST_CANCEL else ""
            error = StreamError(
                f"stream {stream} was reset {who}: {name_of(code)}{left}",
                stream=stream,
                code=code,
                retryable=side != CNO_LOCAL and refused,
            )
        error._connection = self.number
        return error


def error_of(state: StreamState) -> Exception:
    """Return the error of a stream, to be raised."""
    error = state._error
    if error is None:
        error = state._link.lost_error(state.stream, state._progress())
    return fresh(error)
