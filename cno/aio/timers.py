"""Time: what a peer may take its time for, and for how long.

One coarse timer watches a connection: it looks at marks, and closes or resets what has not moved
since. Nothing is set up per request. Must never know what a request or a response is.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.errors import StreamTimeoutError
from cno.aio.exchange import Exchange
from cno.aio.lifecycle import DRAINING, FLUSHING, LINGER, LOST, OPEN
from cno.aio.output import Sending, log
from cno.aio.progress import NEVER, acknowledged, is_taking
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

#: Seconds that a client has, when a server shuts down, for its first request, and without streams
#: to acknowledge the PING.
GRACE: Final = 1.0
#: Seconds of the shortest `keepalive_timeout` that a server looks at its connections for.
SOON: Final = 0.1
#: Seconds between two looks at a connection, at least.
FASTEST_TICK: Final = 0.001
#: Linux only: the peer has closed its sending side, whatever is still to be read.
POLLRDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)

# What was late, and the limit that it exceeded.
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
    """The half of a connection's end that comes by itself."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._timer: asyncio.TimerHandle | None = None
        self._brisk = False  # streams are open: look as often as their waits need
        self._born = 0.0
        self._drain_since = 0.0  # when shutdown() was called; 0: it has not been
        self._retire_at = 0.0  # when to take no more requests; 0: never, or it has happened
        self._unacked_since = 0.0  # 0: all our SETTINGS are acknowledged
        self._idle_since = 0.0  # 0: not idle
        self._idle_mark: i64 = -1  # the peer's last stream when that was looked at
        self._head_since = 0.0  # 0: no head has been begun
        self._head_mark: i64 = 0  # which one
        self._received: i64 = 0  # how often something has come ...
        self._received_seen: i64 = 0  # ... when that was looked at last
        self._heard_at = 0.0
        self._ping_sent = 0.0  # 0: no PING to hear from the peer is out
        self._suspected = False  # the peer may be gone: that PING is to tell
        self._output_mark: i64 = 0  # octets that the peer had acknowledged
        self._output_since = 0.0  # 0: there is nothing in the transport
        self._taken_mark: i64 = NEVER  # the same, when an answer or the end was overdue
        self._moved_mark: i64 = 0  # octets of bodies that had been written
        self._deaf = False  # the transport's reading is paused
        self._deaf_since = 0.0  # 0: it is not, or the peer is still there
        self._turn_since = 0.0  # 0: no request waits for a server that allows none
        self._behind = False  # more has come than is worked off in one turn

    # -- what else a connection knows ------------------------------------------------------------

    def _is_idle(self) -> bool:
        """Whether a connection without streams may be closed for being idle."""
        return False

    def _waits_for_answer(self) -> bool:
        """HTTP/1.1: whether a head that comes now has its turn."""
        return not self._streams if self._server else bool(self._streams)

    def _requests_wait(self) -> bool:
        """Client: whether requests wait for the server to allow them."""
        return False

    # -- the timer -------------------------------------------------------------------------------

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, wait: float, callback: Callable[[], object]) -> None:
        self._timer = self.loop.call_later(wait, callback, context=self._context)

    def _hurry(self) -> None:
        """Something waits for the peer now: look as often as that needs."""
        if not self._brisk:
            self._brisk = True
            if self._phase == OPEN or self._phase == DRAINING:
                if self._stream_wait() > 0.0:
                    self._stop_timer()
                    self._arm()

    def _stream_wait(self) -> float:
        """The shortest of the waits that streams can have; 0: they are not bounded."""
        limits = self._limits
        wait = shortest(limits.body_timeout, limits.write_stall_timeout)
        return wait if self._server else shortest(wait, limits.response_timeout)

    def _arm(self) -> None:
        """Look again when a quarter of the shortest wait that may be going on has passed."""
        if self._phase >= FLUSHING or self._timer is not None:
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
        if self._phase == DRAINING:
            wait = shortest(wait, limits.shutdown_timeout)
            wait = shortest(wait, GRACE)
        delay = max(wait / 4, FASTEST_TICK) if wait > 0.0 else 0.0
        if self._retire_at != 0.0:
            left = self._retire_at - self.loop.time()
            if left <= 0.0 and self._is_greeting():
                left = GRACE  # it is put off until the peer has begun
            delay = shortest(delay, max(left, FASTEST_TICK))
        if delay > 0.0:
            self._set_timer(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._phase >= FLUSHING:
            return  # in this turn of the loop: what is left to do waits for nothing
        now = self.loop.time()
        if self._received != self._received_seen:
            self._received_seen = self._received
            self._heard_at = now
        if self._check_connection(now):
            self._check_streams(now)
            self._brisk = bool(self._streams) or self._output_since != 0.0 or self._requests_wait()
        if self._phase < LOST:
            self._arm()

    def _check_connection(self, now: float) -> bool:
        """Look at what concerns all of it; False if it has been closed, or soon will be."""
        limits = self._limits
        if self._phase == DRAINING and past(now, self._drain_since, limits.shutdown_timeout):
            log.debug("not done in time after a shutdown: closing")
            self._timed_out = NOT_DONE
            self.abort()
        elif self._is_greeting() and past(now, self._born, limits.handshake_timeout):
            log.debug("the peer does not begin: closing")
            self._give_up(NO_BEGINNING)
        elif self._overdue_ack(now):
            log.debug("the peer does not acknowledge SETTINGS: closing")
            self._timed_out = NO_ACK
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
        elif self._phase == OPEN and self._idle_for_long(now):
            log.debug("the peer does nothing: closing")
            self.shutdown()
        else:
            if self._phase == DRAINING and now - self._drain_since >= GRACE and not self._streams:
                self._end_drain()
            if self._retire_at != 0.0 and now >= self._retire_at and not self._is_greeting():
                self._retire_at = 0.0
                if not self._draining and self._phase == OPEN:
                    log.debug("the connection has reached its greatest age")
                    self._retire()
            return self._phase < FLUSHING
        return False

    def _is_fresh(self) -> bool:
        """Whether a server's first words to this client may still wait for those of the client."""
        if not self._server or self._http2 or self._last_remote != 0 or self._born == 0.0:
            return False
        return self._phase < FLUSHING and self.loop.time() - self._born < GRACE

    def _begin_drain(self) -> None:
        """It was asked for before the client had said anything."""
        if not self._draining and self._phase < FLUSHING and not self._is_fresh():
            self._engine_shutdown()

    def _end_drain(self) -> None:
        """A client has nothing to say, not even to a PING: it has no more requests under way."""
        if not self._draining or (self._http2 and self._server and self._h2.goaway_ping):
            self._engine_shutdown()

    def _retire(self) -> None:
        """Take no more requests; those that are open may finish."""

    def _engine_shutdown(self) -> None:
        super().shutdown()

    def _give_up(self, why: Reason) -> None:
        """Tell the peer that it takes too long, as far as that is possible, and close."""
        self._timed_out = why
        if self._http2:
            if self._state == H2_PREFACE or self._state == H2_SETTINGS:
                self.close()  # whatever this is, it does not speak HTTP/2
            else:
                self.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
        elif self._server and waiting(self) == 0 and self._h1.head is None:
            self.close()
        else:
            self._close_by(LINGER)
            # > 408 (Request Timeout) ... the server did not receive a complete request message
            # > within the time that it was prepared to wait.   (RFC 9110 15.5.9)
            fail(self, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))

    def _lose(self, why: Reason) -> None:
        """The peer is gone: end the connection, after what it had sent."""

    # -- the peer's beginning, its acknowledgements, and its idleness ----------------------------

    def _is_greeting(self) -> bool:
        """Whether the peer has yet to send its preface and first SETTINGS, or first request."""
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
            self._unacked_since = now  # they wait behind what it takes slowly
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
            patience = max(patience, GRACE)  # its first request may be on its way
        return past(now, self._idle_since, patience)

    def _overdue_head(self, now: float) -> bool:
        """Whether one head, or frame, has been coming in for too long."""
        mark = self._begun_head()
        if mark < 0:
            self._head_since = 0.0
            return False
        if self._head_since == 0.0 or self._head_mark != mark:
            self._head_since = now
            self._head_mark = mark
        return past(now, self._head_since, self._limits.header_timeout)

    def _begun_head(self) -> i64:
        """What tells the head or frame that is half here from all others; -1: there is none."""
        state = self._state
        if self._behind or self._deaf:
            return -1  # it is we who do not read
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
        """Whether requests wait although no stream of ours is open, and have done so for long.

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
        """Client: no request will get a turn."""

    # -- a peer that takes nothing, or says nothing ----------------------------------------------

    def _overdue_output(self, now: float) -> bool:
        """Whether the peer takes nothing of what waits in the transport."""
        if self.transport.get_write_buffer_size() == 0:
            self._output_since = 0.0
            return False
        taken = acknowledged(self)
        if self._output_since == 0.0 or taken != self._output_mark:
            self._output_since = now
            self._output_mark = taken
        return past(now, self._output_since, self._limits.write_stall_timeout)

    def _silent(self, now: float) -> bool:
        """Whether the peer does not answer a PING; sends one when nothing else comes."""
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
                self._ping_sent = now  # the PING waits behind what it takes slowly
                return False
            return True
        if past(now, self._heard_at, limits.ping_interval) and self._state != CLOSED:
            self._ping_sent = now
            if not self._probing:  # else one is out already
                self._probe(now)
        return False

    def _suspect(self) -> None:
        """A wait was in vain, and nothing has come: ask by a PING whether the peer is still there.
        Without an answer within `ping_timeout`, the connection ends."""
        if (
            self._suspected
            or self._phase >= FLUSHING
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
        self._received_seen = self._received  # only what comes from now on tells something
        self._stop_timer()
        self._arm()

    def _measured(self) -> None:
        super()._measured()
        if self._suspected:
            self._suspected = False
            self._freed()

    def _vanished(self, now: float) -> bool:
        """Whether a peer has gone to which we do not listen at the moment."""
        if not self._deaf:
            self._deaf_since = 0.0
            return False
        events = hung_up(self.transport)
        if events & (select.POLLHUP | select.POLLERR):
            return True
        # One that sends no more may have gone, or wait for its answer. What is to be read gets the
        # time that a body has.
        if not events & POLLRDHUP:
            self._deaf_since = 0.0
            return False
        if self._deaf_since == 0.0:
            self._deaf_since = now
        return past(now, self._deaf_since, self._limits.body_timeout)

    # -- streams ---------------------------------------------------------------------------------

    def _check_streams(self, now: float) -> None:
        """Give up those whose peer has stopped sending, or taking, while we wait."""
        if self._http2 and self._streams:
            self._remind()
        for exchange in list(self._exchanges.values()):
            why = self._overdue(exchange, now)
            if why is not None and self._phase < FLUSHING:
                self._too_late(exchange, why)
        wait = self._limits.write_stall_timeout
        moving = self._moved != self._moved_mark
        self._moved_mark = self._moved
        if wait is not None and self._stalled:
            for sending in list(self._stalled.values()):
                if self._overdue_write(sending, now, moving) and self._phase < FLUSHING:
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
        """Tell the peer of what has been read since, little as it may be: it has timers as well."""
        if self._state != CLOSED:
            cork(self)
            try:
                flow.remind(self)
            finally:
                end_call(self)

    def _overdue_body(self, exchange: Exchange, now: float) -> bool:
        """Whether a reader has waited for too long, and nothing came."""
        buffer = exchange._buffer
        # A client that waits for a 100 that has to wait for its turn owes nothing.
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
        """Fail who waits for the rest of a message, and give its stream up."""
        exchange._error_delivered = True
        exchange._failed(late(exchange.stream, why))
        if self._http2:
            self.write_reset(exchange.stream, CNO_RST_CANCEL)
        else:
            self._close_by(LINGER)
            fail(self, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))

    def _overdue_write(self, sending: Sending, now: float, moving: bool) -> bool:
        """Whether a window has been closed for too long."""
        if self._full or not self._http2:
            # The transport's time is taken elsewhere; HTTP/1.1 waits for nothing else of the peer.
            sending.since = 0.0
            return False
        stream = self._streams.get(sending.stream)
        if stream is None:
            return False
        window = self._remote._initial_window_size + stream.send_window
        if sending.headers is None and moving and window >= self._limits.min_data_frame:
            # Others go first for now: that is not the peer's doing.
            sending.since = 0.0
            return False
        # A window that grows, if only by too little to be used yet, is progress. (That of the whole
        # connection changes with all that is sent, unless that is nothing.)
        room = self._h2.send_window
        wider = window > sending.window or (room > sending.room and not moving)
        sending.window = window
        sending.room = room
        if sending.since == 0.0 or wider or sending.at != sending.seen:
            sending.since = now
            sending.seen = sending.at
        return past(now, sending.since, self._limits.write_stall_timeout)


def late(stream: int, why: Reason) -> StreamTimeoutError:
    """Return the error of a stream that is given up."""
    return StreamTimeoutError(why.text, stream=stream, code=CNO_RST_CANCEL, limit=why.limit)


def shortest(first: float | None, second: float | None) -> float:
    """The shorter of two waits; 0 (and None) stand for no wait."""
    if not first:
        return second or 0.0
    return min(first, second) if second else first


def past(now: float, since: float, wait: float | None) -> bool:
    """Whether more than `wait` seconds have passed; None: there is no bound."""
    return wait is not None and now - since >= wait


def hung_up(transport: asyncio.BaseTransport) -> int:
    """What the system knows of the other end of a transport that is not read from."""
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0 or not hasattr(select, "poll"):
        return 0  # below TLS it may be closed a turn of the event loop before that is told
    poll = select.poll()
    poll.register(number, POLLRDHUP)
    found = poll.poll(0)
    return found[0][1] if found else 0
