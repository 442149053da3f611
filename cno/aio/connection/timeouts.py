"""The timeouts of a connection, kept by one periodic timer.

At each tick the timer compares counters with their last values, and closes the connection or resets
the streams that have made no progress in time. A request sets no timer. Must never know requests
and responses.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connection.lifecycle import DRAINING, FLUSHING, LINGER, LOST, OPEN
from cno.aio.connection.progress import NEVER, acknowledged, is_taking
from cno.aio.errors import StreamTimeoutError
from cno.aio.exchange import Exchange
from cno.aio.output import Sending, log
from cno.aio.windows import Windows
from cno.const import (
    CNO_RST_CANCEL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_SETTINGS_TIMEOUT,
)
from cno.core import (
    CLOSED,
    H1_DETECT,
    H1_HEAD,
    H2_CONTINUATION,
    H2_DATA,
    H2_PREFACE,
    H2_SETTINGS,
    cork,
    waiting,
)
from cno.drive import end_call, fail
from cno.errors import ConnectionFault, Reason
from cno.h1.pipelining import continue_queued
from cno.h2 import flow
from cno.limits import Limits
from cno.settings import SettingsDict

#: Seconds that a client has, when a server shuts down, to send its first request, and to answer the
#: PING if no stream is open.
GRACE: Final = 1.0
#: The shortest `keepalive_timeout` in seconds that shortens the tick.
SOON: Final = 0.1
#: The shortest tick in seconds.
FASTEST_TICK: Final = 0.001
#: Linux only: the peer has closed its sending side; there may be unread input.
POLLRDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)

# The timeouts, with the limit that was exceeded.
NOT_DONE: Final = Reason("requests were not done in time after a shutdown", "", "shutdown_timeout")
NO_BEGINNING: Final = Reason("the peer does not begin", "", "handshake_timeout")
NO_ACK: Final = Reason("the peer does not acknowledge SETTINGS", "", "settings_timeout")
SLOW_HEAD: Final = Reason("the head takes too long", "", "header_timeout")
NO_PROGRESS: Final = Reason("the peer takes no output", "", "write_stall_timeout")
NO_PONG: Final = Reason("the peer answers no PING", "", "ping_timeout")
HUNG_UP: Final = Reason("the peer has hung up", "", "")
NO_BODY: Final = Reason("no more of the body came in time", "", "body_timeout")
STALLED: Final = Reason("the peer does not take what is to be sent", "", "write_stall_timeout")


@mypyc_attr(allow_interpreted_subclasses=True)
class Timers(Windows):
    """The part of a connection that ends it, or its streams, by timeouts."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._timer: asyncio.TimerHandle | None = None
        self._brisk = False  # the tick is short enough for the timeouts of streams
        self._retire_at = 0.0  # when to accept no more requests; 0: never, or it is past
        self._unacked_since = 0.0  # 0: all our SETTINGS are acknowledged
        self._idle_since = 0.0  # 0: not idle
        self._idle_mark: i64 = -1  # the peer's last stream at `_idle_since`
        self._head_since = 0.0  # 0: no head is partly received
        self._head_mark: i64 = 0  # the id of the partly received head
        self._received: i64 = 0  # calls of data_received
        self._received_seen: i64 = 0  # `_received` at the last tick
        self._heard_at = 0.0
        self._ping_sent = 0.0  # 0: no PING that tests the peer is unanswered
        self._suspected = False  # the connection is in doubt until that PING is answered
        self._output_mark: i64 = 0  # bytes that the peer had acknowledged at `_output_since`
        self._output_since = 0.0  # 0: the transport is empty
        self._taken_mark: i64 = NEVER  # bytes acknowledged at the last check of `is_taking`
        self._moved_mark: i64 = 0  # bytes of bodies written at the last tick
        self._deaf = False  # the transport's reading is paused
        self._deaf_since = 0.0  # when the peer's end was seen while reading is paused; 0: never
        self._turn_since = 0.0  # 0: no request waits for a server that allows none
        self._behind = False  # received input waits for the next iteration of the event loop

    # -- hooks of servers and clients ------------------------------------------------------------

    def _is_idle(self) -> bool:
        """Return whether a connection without streams may be closed as idle."""
        return False

    def _waits_for_answer(self) -> bool:
        """HTTP/1.1: return whether the next head is due, and the peer must send it in time."""
        return not self._streams if self._server else bool(self._streams)

    def _requests_wait(self) -> bool:
        """Client: return whether requests wait for the server to allow them."""
        return False

    # -- the timer -------------------------------------------------------------------------------

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, wait: float, callback: Callable[[], object]) -> None:
        self._timer = self.loop.call_later(wait, callback, context=self._context)

    def _hurry(self) -> None:
        """Shorten the tick for the timeouts of streams: output waits for the peer."""
        if not self._brisk:
            self._brisk = True
            if self._life.phase == OPEN or self._life.phase == DRAINING:
                if self._stream_wait() > 0.0:
                    self._stop_timer()
                    self._arm()

    def _stream_wait(self) -> float:
        """Return the shortest timeout of streams; 0: there is none."""
        limits = self._limits
        wait = shortest(limits.body_timeout, limits.write_stall_timeout)
        return wait if self._server else shortest(wait, limits.response_timeout)

    def _arm(self) -> None:
        """Set the next tick, after a quarter of the shortest timeout that may be running."""
        if self._life.phase >= FLUSHING or self._timer is not None:
            return
        limits = self._limits
        wait = 0.0 if limits.header_timeout is None else limits.header_timeout
        if self._is_greeting():
            wait = shortest(wait, limits.handshake_timeout)
            wait = shortest(wait, limits.settings_timeout)
        elif self._is_unacked():
            wait = shortest(wait, limits.settings_timeout)
        if self._brisk:
            wait = shortest(wait, self._stream_wait())
        if self._server and limits.keepalive_timeout is not None:
            wait = shortest(wait, max(limits.keepalive_timeout, SOON))
        if limits.ping_interval is not None and (self._http2 or self._is_greeting()):
            wait = shortest(wait, limits.ping_interval)
            wait = shortest(wait, limits.ping_timeout)
        if self._ping_sent != 0.0:
            wait = shortest(wait, limits.ping_timeout)
        if self._life.phase == DRAINING:
            wait = shortest(wait, limits.shutdown_timeout)
            wait = shortest(wait, GRACE)
        delay = max(wait / 4, FASTEST_TICK) if wait > 0.0 else 0.0
        if self._retire_at != 0.0:
            left = self._retire_at - self.loop.time()
            if left <= 0.0 and self._is_greeting():
                left = GRACE  # it is delayed until the peer has begun
            delay = shortest(delay, max(left, FASTEST_TICK))
        if delay > 0.0:
            self._set_timer(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._life.phase >= FLUSHING:
            return  # the connection closes in this iteration of the event loop
        now = self.loop.time()
        if self._received != self._received_seen:
            self._received_seen = self._received
            self._heard_at = now
        if self._check_connection(now):
            self._check_streams(now)
            self._brisk = bool(self._streams) or self._output_since != 0.0 or self._requests_wait()
        if self._life.phase < LOST:
            self._arm()

    def _check_connection(self, now: float) -> bool:
        """Check the timeouts of the connection. Return False if it is closed, or soon will be."""
        limits, life = self._limits, self._life
        if life.phase == DRAINING and past(now, life.drain_since, limits.shutdown_timeout):
            log.debug("not done in time after a shutdown: closing")
            self._life.timed_out = NOT_DONE
            self.abort()
        elif self._is_greeting() and past(now, self._life.connected_at, limits.handshake_timeout):
            log.debug("the peer does not begin: closing")
            self._give_up(NO_BEGINNING)
        elif self._overdue_ack(now):
            log.debug("the peer does not acknowledge SETTINGS: closing")
            self._life.timed_out = NO_ACK
            self.write_reset(0, CNO_RST_SETTINGS_TIMEOUT)
        elif self._overdue_head(now):
            log.debug("a head takes too long: closing")
            self._give_up(SLOW_HEAD)
        elif self._overdue_output(now):
            log.debug("the peer takes no output: closing")
            self._lose(NO_PROGRESS)
        elif self._silent(now):
            log.debug("the peer answers no PING: closing")
            self._lose(NO_PONG)
        elif self._overdue_turn(now):
            log.debug("the server allows no request")
            self._no_turn()
        elif self._vanished(now):
            log.debug("the peer is gone: closing")
            self._lose(HUNG_UP)
        elif self._life.phase == OPEN and self._idle_for_long(now):
            log.debug("the peer does nothing: closing")
            self.shutdown()
        else:
            if life.phase == DRAINING and now - life.drain_since >= GRACE and not self._streams:
                self._end_drain()
            if self._retire_at != 0.0 and now >= self._retire_at and not self._is_greeting():
                self._retire_at = 0.0
                if not self._draining and self._life.phase == OPEN:
                    log.debug("the connection has reached its greatest age")
                    self._retire()
            return self._life.phase < FLUSHING
        return False

    def _is_fresh(self) -> bool:
        """Return whether a server still waits for the first request before it shuts down."""
        if not self._server or self._http2 or self._last_remote != 0:
            return False
        life = self._life
        return OPEN <= life.phase < FLUSHING and self.loop.time() - life.connected_at < GRACE

    def _begin_drain(self) -> None:
        """Begin a shutdown that was delayed until the client's first request."""
        if not self._draining and self._life.phase < FLUSHING and not self._is_fresh():
            self._engine_shutdown()

    def _end_drain(self) -> None:
        """Finish a shutdown: no stream is open, and the client had time to answer the PING."""
        if not self._draining or (self._http2 and self._server and self._h2.goaway_ping):
            self._engine_shutdown()

    def _retire(self) -> None:
        """Accept no more requests; open ones may finish."""

    def _engine_shutdown(self) -> None:
        super().shutdown()

    def _give_up(self, why: Reason) -> None:
        """Send the peer an error about the timeout, if possible, and close."""
        self._life.timed_out = why
        if self._http2:
            if self._state == H2_PREFACE or self._state == H2_SETTINGS:
                self.close()  # the peer does not speak HTTP/2
            else:
                self.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
        elif self._server and waiting(self) == 0 and self._h1.head is None:
            self.close()
        else:
            self._life.close_by(LINGER)
            # > 408 (Request Timeout) ... the server did not receive a complete request message
            # > within the time that it was prepared to wait.   (RFC 9110 15.5.9)
            fail(self, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))

    def _lose(self, why: Reason) -> None:
        """End the connection after its received input: the peer has gone."""

    # -- handshake, acknowledgements, heads, idle connections ------------------------------------

    def _is_greeting(self) -> bool:
        """Return whether the peer's first SETTINGS, or first request, are missing."""
        if self._http2:
            return self._state == H2_PREFACE or self._state == H2_SETTINGS
        return self._server and self._last_remote == 0

    def _is_unacked(self) -> bool:
        return self._http2 and bool(self._h2.unacked)

    def _overdue_ack(self, now: float) -> bool:
        # > If the sender of a SETTINGS frame does not receive an acknowledgment within a reasonable
        # > amount of time, it MAY issue a connection error (Section 5.4.1) of type
        # > SETTINGS_TIMEOUT.   (RFC 9113 6.5.3)
        if not self._is_unacked():
            self._unacked_since = 0.0
            return False
        if self._unacked_since == 0.0:
            self._unacked_since = now
        if not past(now, self._unacked_since, self._limits.settings_timeout):
            return False
        if is_taking(self):
            self._unacked_since = now  # they wait behind output that the peer takes slowly
            return False
        return True

    def _idle_for_long(self, now: float) -> bool:
        if self._streams or self._output_since != 0.0 or not self._is_idle():
            self._idle_since = 0.0
            return False
        if self._idle_since == 0.0 or self._idle_mark != self._last_remote:
            self._idle_since = now
            self._idle_mark = self._last_remote
        patience = self._limits.keepalive_timeout
        if patience is not None and self._last_remote == 0:
            patience = max(patience, GRACE)  # the first request may be in flight
        return past(now, self._idle_since, patience)

    def _overdue_head(self, now: float) -> bool:
        """Return whether a head, or a frame, has been incomplete for too long."""
        mark = self._begun_head()
        if mark < 0:
            self._head_since = 0.0
            return False
        if self._head_since == 0.0 or self._head_mark != mark:
            self._head_since = now
            self._head_mark = mark
        return past(now, self._head_since, self._limits.header_timeout)

    def _begun_head(self) -> i64:
        """Return the id of the partly received head or frame; -1 if there is none."""
        state = self._state
        if self._behind or self._deaf:
            return -1  # we do not read
        if self._http2:
            h2 = self._h2
            if state == H2_CONTINUATION:
                return h2.frames - h2.block_frames - 1  # when its HEADERS frame began
            return h2.frames if state != H2_DATA and waiting(self) != 0 else -1
        if state != H1_HEAD and state != H1_DETECT:
            return -1
        if waiting(self) == 0 and self._h1.head is None:
            return -1
        if not self._waits_for_answer():
            return -1
        return self._last_remote if self._server else self._h1.next_id

    def _overdue_turn(self, now: float) -> bool:
        """Return whether requests have waited too long although none of our streams is open.

        > Servers SHOULD only set a zero value for short durations   (RFC 9113 6.5.2)
        """
        if not self._http2 or self._count_local != 0 or self._full or self._is_greeting():
            self._turn_since = 0.0
            return False
        if not self._requests_wait():
            self._turn_since = 0.0
            return False
        if self._turn_since == 0.0:
            self._turn_since = now
        return past(now, self._turn_since, self._limits.write_stall_timeout)

    def _no_turn(self) -> None:
        """Client: fail the waiting requests, which the server does not allow."""

    # -- a peer that takes no output, or sends nothing -------------------------------------------

    def _overdue_output(self, now: float) -> bool:
        """Return whether the peer has taken none of the transport's output for too long."""
        if self.transport.get_write_buffer_size() == 0:
            self._output_since = 0.0
            return False
        taken = acknowledged(self)
        if self._output_since == 0.0 or taken != self._output_mark:
            self._output_since = now
            self._output_mark = taken
        return past(now, self._output_since, self._limits.write_stall_timeout)

    def _silent(self, now: float) -> bool:
        """Return whether a PING is unanswered for too long. Send one if nothing is received."""
        limits = self._limits
        if limits.ping_interval is None and self._ping_sent == 0.0:
            return False
        if not self._http2 or self._is_greeting():
            return False
        if self._heard_at >= self._ping_sent:
            self._ping_sent = 0.0
        if self._ping_sent != 0.0:
            if not past(now, self._ping_sent, limits.ping_timeout):
                return False
            if is_taking(self):
                self._ping_sent = now  # the PING waits behind output that the peer takes slowly
                return False
            return True
        if past(now, self._heard_at, limits.ping_interval) and self._state != CLOSED:
            self._ping_sent = now
            if not self._probing:  # else one is out already
                self._probe(now)
        return False

    def _suspect(self) -> None:
        """Put the connection in doubt: send a PING, and end the connection if it is not answered
        within `ping_timeout`."""
        if (
            self._suspected
            or self._life.phase >= FLUSHING
            or self._state == CLOSED
            or self._is_greeting()
        ):
            return
        self._suspected = True
        now = self.loop.time()
        if not self._probing:  # else one is out already
            self._probe(now)
        if self._ping_sent == 0.0:
            self._ping_sent = now
        self._received_seen = self._received  # only later input shows that the peer is there
        self._stop_timer()
        self._arm()

    def _measured(self) -> None:
        super()._measured()
        if self._suspected:
            self._suspected = False
            self._freed()

    def _vanished(self, now: float) -> bool:
        """Return whether the peer hung up while reading is paused."""
        if not self._deaf:
            self._deaf_since = 0.0
            return False
        events = hung_up(self.transport)
        if events & (select.POLLHUP | select.POLLERR):
            return True
        # A half-close is ambiguous: the peer may be gone, or wait for a response. The application
        # has `body_timeout` to read on.
        if not events & POLLRDHUP:
            self._deaf_since = 0.0
            return False
        if self._deaf_since == 0.0:
            self._deaf_since = now
        return past(now, self._deaf_since, self._limits.body_timeout)

    # -- streams ---------------------------------------------------------------------------------

    def _check_streams(self, now: float) -> None:
        """Reset the streams on which the peer has sent, or taken, nothing for too long."""
        if self._http2 and self._streams:
            self._remind()
        for exchange in list(self._exchanges.values()):
            why = self._overdue(exchange, now)
            if why is not None and self._life.phase < FLUSHING:
                self._too_late(exchange, why)
        wait = self._limits.write_stall_timeout
        moving = self._moved != self._moved_mark
        self._moved_mark = self._moved
        if wait is not None and self._stalled:
            for sending in list(self._stalled.values()):
                if self._overdue_write(sending, now, moving) and self._life.phase < FLUSHING:
                    error = late(sending.stream, STALLED)
                    self._stalled.pop(sending.stream, None)
                    stuck = self._exchanges.get(sending.stream)
                    if stuck is not None:
                        stuck._error_delivered = True
                    self._resolve(sending, error)
                    if self._state != CLOSED:  # as the last stream's end makes it after a GOAWAY
                        self.write_reset(sending.stream, CNO_RST_CANCEL)

    def _overdue(self, exchange: Exchange, now: float) -> Reason | None:
        """Return what has not come in time on a stream; None if nothing is late."""
        return NO_BODY if self._overdue_body(exchange, now) else None

    def _remind(self) -> None:
        """Send window updates for small amounts that were read: the peer has timeouts, too."""
        if self._state != CLOSED:
            cork(self)
            try:
                flow.remind(self)
            finally:
                end_call(self)

    def _overdue_body(self, exchange: Exchange, now: float) -> bool:
        """Return whether a reader has waited too long without data."""
        buffer = exchange._buffer
        # A client need not send while its 100 waits behind earlier responses.
        queued = not self._http2 and continue_queued(self, exchange.stream)
        if buffer is None or exchange._tunnel or exchange._complete or not buffer.waits() or queued:
            if buffer is not None:
                buffer.waiting_since = 0.0
            return False
        if buffer.waiting_since == 0.0 or buffer._fed != buffer.fed_seen:
            buffer.waiting_since = now
            buffer.fed_seen = buffer._fed
        return past(now, buffer.waiting_since, self._limits.body_timeout)

    def _too_late(self, exchange: Exchange, why: Reason) -> None:
        """Fail the reader of a message, and reset its stream."""
        exchange._error_delivered = True
        exchange._failed(late(exchange.stream, why))
        if self._http2:
            self.write_reset(exchange.stream, CNO_RST_CANCEL)
        else:
            self._life.close_by(LINGER)
            fail(self, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))

    def _overdue_write(self, sending: Sending, now: float, moving: bool) -> bool:
        """Return whether a window has been closed for too long."""
        if self._full or not self._http2:
            # `_overdue_output` checks the transport; HTTP/1.1 has no other timeout of output.
            sending.since = 0.0
            return False
        stream = self._streams.get(sending.stream)
        if stream is None:
            return False
        window = self._remote._initial_window_size + stream.send_window
        if sending.headers is None and moving and window >= self._limits.min_data_frame:
            # Other streams are written first, which is not the peer's fault.
            sending.since = 0.0
            return False
        # A window that grows is progress, even if it is still too small to use. (The connection's
        # window counts only while nothing is sent, since all output changes it.)
        room = self._h2.send_window
        wider = window > sending.window or (room > sending.room and not moving)
        sending.window = window
        sending.room = room
        if sending.since == 0.0 or wider or sending.at != sending.seen:
            sending.since = now
            sending.seen = sending.at
        return past(now, sending.since, self._limits.write_stall_timeout)


def late(stream: int, why: Reason) -> StreamTimeoutError:
    """Return the error of a stream that is reset by a timeout."""
    return StreamTimeoutError(why.text, stream=stream, code=CNO_RST_CANCEL, limit=why.limit)


def shortest(first: float | None, second: float | None) -> float:
    """Return the shorter of two timeouts; 0 and None mean no timeout."""
    if not first:
        return second or 0.0
    return min(first, second) if second else first


def past(now: float, since: float, wait: float | None) -> bool:
    """Return whether `wait` seconds have passed; None: no timeout."""
    return wait is not None and now - since >= wait


def hung_up(transport: asyncio.BaseTransport) -> int:
    """Return the poll events of a transport's socket that show the peer's end."""
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0 or not hasattr(select, "poll"):
        return 0  # the socket below TLS may be closed before the transport reports it
    poll = select.poll()
    poll.register(number, POLLRDHUP)
    found = poll.poll(0)
    return found[0][1] if found else 0
