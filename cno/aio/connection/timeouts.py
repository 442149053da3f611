"""The timeouts of a connection, kept by one periodic timer.

At each tick the timer compares counters with their last values, and closes the connection or resets
the streams that have made no progress in time. A request sets no timer. Must never know requests
and responses.
"""

import asyncio
import select
from typing import Final

from mypy_extensions import i64

from cno.aio.connection import bdp, stream_timeouts
from cno.aio.connection.durations import past, shortest
from cno.aio.connection.lifecycle import DRAINING, FLUSHING, LINGER, LOST, OPEN
from cno.aio.connection.progress import acknowledged, is_taking
from cno.aio.connection.state import Link
from cno.aio.end_reasons import NO_ACK, NO_BEGINNING, NO_PONG, NO_PROGRESS
from cno.aio.log import timeout_log
from cno.const import (
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
    waiting,
)
from cno.drive import fail
from cno.errors import ConnectionFault, Reason

#: Seconds that a client has, when a server shuts down, to send its first request; then, or when the
#: connection accepts no more requests, to answer the PING if no stream is open.
GRACE: Final = 1.0
#: The shortest `keepalive_timeout` in seconds that shortens the tick.
SOON: Final = 0.1
#: The shortest tick in seconds.
FASTEST_TICK: Final = 0.001
#: Linux only: the peer has closed its sending side; there may be unread input.
POLLRDHUP: Final[int] = getattr(select, "POLLRDHUP", 0)

# The timeouts, with the limit that was exceeded.
NOT_DONE: Final = Reason("requests were not done in time after a shutdown", "", "shutdown_timeout")
SLOW_HEAD: Final = Reason("the head takes too long", "", "header_timeout")
HUNG_UP: Final = Reason("the peer has hung up", "", "")


# -- the timer -------------------------------------------------------------------------------


def stop(conn: Link) -> None:
    """Cancel the timer, whatever it is set for."""
    timeouts = conn._timeouts
    if timeouts.timer is not None:
        timeouts.timer.cancel()
        timeouts.timer = None


def shorten(conn: Link) -> None:
    """Shorten the tick for the timeouts of streams: output waits for the peer."""
    if not conn._timeouts.fast_tick:
        conn._timeouts.fast_tick = True
        if conn._life.phase == OPEN or conn._life.phase == DRAINING:
            if stream_wait(conn) > 0.0:
                stop(conn)
                arm(conn)


def stream_wait(conn: Link) -> float:
    """Return the shortest timeout of streams; 0: there is none."""
    limits = conn._limits
    wait = shortest(limits.body_timeout, limits.write_stall_timeout)
    return wait if conn._server else shortest(wait, limits.response_timeout)


def arm(conn: Link) -> None:
    """Set the next tick, after a quarter of the shortest timeout that may be running."""
    timeouts = conn._timeouts
    if conn._life.phase >= FLUSHING or timeouts.timer is not None:
        return
    limits = conn._limits
    wait = 0.0 if limits.header_timeout is None else limits.header_timeout
    if is_greeting(conn):
        wait = shortest(wait, limits.handshake_timeout)
        wait = shortest(wait, limits.settings_timeout)
    elif is_unacked(conn):
        wait = shortest(wait, limits.settings_timeout)
    if timeouts.fast_tick:
        wait = shortest(wait, stream_wait(conn))
    if conn._server and limits.keepalive_timeout is not None:
        wait = shortest(wait, max(limits.keepalive_timeout, SOON))
    if limits.ping_interval is not None and (conn._http2 or is_greeting(conn)):
        wait = shortest(wait, limits.ping_interval)
        wait = shortest(wait, limits.ping_timeout)
    if timeouts.ping_sent != 0.0:
        wait = shortest(wait, limits.ping_timeout)
    if conn._life.phase == DRAINING:
        wait = shortest(wait, limits.shutdown_timeout)
        wait = shortest(wait, GRACE)
    delay = max(wait / 4, FASTEST_TICK) if wait > 0.0 else 0.0
    if timeouts.retire_at != 0.0:
        left = timeouts.retire_at - conn.loop.time()
        if left <= 0.0 and is_greeting(conn):
            left = GRACE  # it is delayed until the peer has begun
        delay = shortest(delay, max(left, FASTEST_TICK))
    if delay > 0.0:
        timer = conn.loop.call_later(delay, tick, conn, context=conn._context)
        timeouts.timer = timer


def tick(conn: Link) -> None:
    """Check all timeouts, and set the next tick."""
    timeouts = conn._timeouts
    timeouts.timer = None
    if conn._life.phase >= FLUSHING:
        return  # the connection closes in this iteration of the event loop
    now = conn.loop.time()
    if conn._intake.received != timeouts.received_seen:
        timeouts.received_seen = conn._intake.received
        timeouts.heard_at = now
    if check_connection(conn, now):
        stream_timeouts.check(conn, now)
        timeouts.fast_tick = (
            bool(conn._streams) or timeouts.output_since != 0.0 or conn._requests_wait()
        )
    if conn._life.phase < LOST:
        arm(conn)


def check_connection(conn: Link, now: float) -> bool:
    """Check the timeouts of the connection. Return False if it is closed, or soon will be."""
    limits, life = conn._limits, conn._life
    if life.phase == DRAINING and past(now, life.drain_since, limits.shutdown_timeout):
        log_timeout(conn, "not done in time after a shutdown: closing")
        conn._life.timed_out = NOT_DONE
        conn.abort()
    elif is_greeting(conn) and past(now, conn._life.connected_at, limits.handshake_timeout):
        log_timeout(conn, "the peer sent no preface, SETTINGS or request in time: closing")
        end_by_timeout(conn, NO_BEGINNING)
    elif overdue_ack(conn, now):
        log_timeout(conn, "the peer does not acknowledge SETTINGS: closing")
        conn._life.timed_out = NO_ACK
        conn.write_reset(0, CNO_RST_SETTINGS_TIMEOUT)
    elif overdue_head(conn, now):
        log_timeout(conn, "a head takes too long: closing")
        end_by_timeout(conn, SLOW_HEAD)
    elif overdue_output(conn, now):
        log_timeout(conn, "the peer acknowledges no output: closing")
        conn._lose(NO_PROGRESS)
    elif check_ping(conn, now):
        log_timeout(conn, "the peer answers no PING: closing")
        conn._lose(NO_PONG)
    elif overdue_turn(conn, now):
        log_timeout(conn, "the server allows no request")
        conn._requests_not_allowed()
    elif has_hung_up(conn, now):
        log_timeout(conn, "the peer is gone: closing")
        conn._lose(HUNG_UP)
    elif conn._life.phase == OPEN and idle_for_long(conn, now):
        log_timeout(conn, "the peer does nothing: closing")
        conn.shutdown()
    else:
        if life.phase == DRAINING and now - life.drain_since >= GRACE and not conn._streams:
            end_drain(conn)
        elif awaits_pong_idle(conn, now):
            end_drain(conn)
        retire_at = conn._timeouts.retire_at
        if retire_at != 0.0 and now >= retire_at and not is_greeting(conn):
            conn._timeouts.retire_at = 0.0
            if not conn._draining and conn._life.phase == OPEN:
                timeout_log.debug(
                    "the connection has reached its greatest age",
                    extra={"connection": conn._number},
                )
                conn._timeouts.idle_since = 0.0  # the client has time to answer the PING
                conn._retire()
        return conn._life.phase < FLUSHING
    return False


def is_fresh(conn: Link) -> bool:
    """Return whether a server still waits for the first request before it shuts down."""
    if not conn._server or conn._http2 or conn._last_remote != 0:
        return False
    life = conn._life
    return OPEN <= life.phase < FLUSHING and conn.loop.time() - life.connected_at < GRACE


def begin_drain(conn: Link) -> None:
    """Begin a shutdown that was delayed until the client's first request."""
    if not conn._draining and conn._life.phase < FLUSHING and not is_fresh(conn):
        conn._engine_shutdown()


def awaits_pong_idle(conn: Link, now: float) -> bool:
    """Return whether an HTTP/2 server that accepts no more requests has been idle for `GRACE`,
    while the PING of its shutdown has no answer."""
    if not conn._server or not conn._http2 or not conn._h2.goaway_ping:
        return False
    since = conn._timeouts.idle_since
    return conn._life.phase == OPEN and since != 0.0 and now - since >= GRACE


def end_drain(conn: Link) -> None:
    """Finish a shutdown: no stream is open, and the client had time to answer the PING."""
    if not conn._draining or (conn._http2 and conn._server and conn._h2.goaway_ping):
        conn._engine_shutdown()


def end_by_timeout(conn: Link, why: Reason) -> None:
    """Send the peer an error about the timeout, if possible, and close."""
    conn._life.timed_out = why
    if conn._http2:
        if conn._state == H2_PREFACE or conn._state == H2_SETTINGS:
            conn.close()  # the peer does not speak HTTP/2
        else:
            conn.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
    elif conn._server and waiting(conn) == 0 and conn._h1.head is None:
        conn.close()
    else:
        conn._life.close_by(LINGER)
        # > 408 (Request Timeout) ... the server did not receive a complete request message
        # > within the time that it was prepared to wait.   (RFC 9110 15.5.9)
        fail(conn, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))


# -- handshake, acknowledgements, heads, idle connections ------------------------------------


def is_greeting(conn: Link) -> bool:
    """Return whether the peer's first SETTINGS, or first request, are missing."""
    if conn._http2:
        return conn._state == H2_PREFACE or conn._state == H2_SETTINGS
    return conn._server and conn._last_remote == 0


def is_unacked(conn: Link) -> bool:
    return conn._http2 and bool(conn._h2.unacked)


def overdue_ack(conn: Link, now: float) -> bool:
    # > If the sender of a SETTINGS frame does not receive an acknowledgment within a reasonable
    # > amount of time, it MAY issue a connection error (Section 5.4.1) of type
    # > SETTINGS_TIMEOUT.   (RFC 9113 6.5.3)
    timeouts = conn._timeouts
    if not is_unacked(conn):
        timeouts.unacked_since = 0.0
        return False
    if timeouts.unacked_since == 0.0:
        timeouts.unacked_since = now
    if not past(now, timeouts.unacked_since, conn._limits.settings_timeout):
        return False
    if is_taking(conn):
        timeouts.unacked_since = now  # they wait behind output that the peer takes slowly
        return False
    return True


def idle_for_long(conn: Link, now: float) -> bool:
    timeouts = conn._timeouts
    if conn._streams or timeouts.output_since != 0.0 or not conn._is_idle():
        timeouts.idle_since = 0.0
        return False
    if timeouts.idle_since == 0.0 or timeouts.idle_mark != conn._last_remote:
        timeouts.idle_since = now
        timeouts.idle_mark = conn._last_remote
    patience = conn._limits.keepalive_timeout
    if patience is not None and conn._last_remote == 0:
        patience = max(patience, GRACE)  # the first request may be in flight
    return past(now, timeouts.idle_since, patience)


def overdue_head(conn: Link, now: float) -> bool:
    """Return whether a head, or a frame, has been incomplete for too long."""
    timeouts = conn._timeouts
    mark = begun_head(conn)
    if mark < 0:
        timeouts.head_since = 0.0
        return False
    if timeouts.head_since == 0.0 or timeouts.head_mark != mark:
        timeouts.head_since = now
        timeouts.head_mark = mark
    return past(now, timeouts.head_since, conn._limits.header_timeout)


def begun_head(conn: Link) -> i64:
    """Return the id of the partly received head or frame; -1 if there is none."""
    state = conn._state
    if conn._intake.behind or conn._intake.reading_paused:
        return -1  # we do not read
    if conn._http2:
        h2 = conn._h2
        if state == H2_CONTINUATION:
            return h2.frames - h2.block_frames - 1  # when its HEADERS frame began
        return h2.frames if state != H2_DATA and waiting(conn) != 0 else -1
    if state != H1_HEAD and state != H1_DETECT:
        return -1
    if waiting(conn) == 0 and conn._h1.head is None:
        return -1
    if not expects_head(conn):
        return -1
    return conn._last_remote if conn._server else conn._h1.next_id


def expects_head(conn: Link) -> bool:
    """HTTP/1.1: return whether the next head is due, and the peer must send it in time."""
    return not conn._streams if conn._server else bool(conn._streams)


def overdue_turn(conn: Link, now: float) -> bool:
    """Return whether requests have waited too long although none of our streams is open.

    > Servers SHOULD only set a zero value for short durations   (RFC 9113 6.5.2)
    """
    timeouts = conn._timeouts
    if not conn._http2 or conn._count_local != 0 or conn._transport_state.full or is_greeting(conn):
        timeouts.refused_since = 0.0
        return False
    if not conn._requests_wait():
        timeouts.refused_since = 0.0
        return False
    if timeouts.refused_since == 0.0:
        timeouts.refused_since = now
    return past(now, timeouts.refused_since, conn._limits.write_stall_timeout)


# -- a peer that takes no output, or sends nothing -------------------------------------------


def overdue_output(conn: Link, now: float) -> bool:
    """Return whether the peer has taken none of the transport's output for too long."""
    timeouts = conn._timeouts
    if conn.transport.get_write_buffer_size() == 0:
        timeouts.output_since = 0.0
        return False
    taken = acknowledged(conn)
    if timeouts.output_since == 0.0 or taken != timeouts.output_mark:
        timeouts.output_since = now
        timeouts.output_mark = taken
    return past(now, timeouts.output_since, conn._limits.write_stall_timeout)


def check_ping(conn: Link, now: float) -> bool:
    """Send a PING if nothing is received. Return whether one is unanswered for too long."""
    timeouts = conn._timeouts
    limits = conn._limits
    if limits.ping_interval is None and timeouts.ping_sent == 0.0:
        return False
    if not conn._http2 or is_greeting(conn):
        return False
    if timeouts.heard_at >= timeouts.ping_sent:
        timeouts.ping_sent = 0.0
    if timeouts.ping_sent != 0.0:
        if not past(now, timeouts.ping_sent, limits.ping_timeout):
            return False
        if is_taking(conn):
            # The PING waits behind output that the peer takes slowly.
            timeouts.ping_sent = now
            return False
        return True
    if past(now, timeouts.heard_at, limits.ping_interval) and conn._state != CLOSED:
        timeouts.ping_sent = now
        if not conn._window.probing:  # else one is out already
            bdp.probe(conn, now)
    return False


def suspect(conn: Link) -> None:
    """Suspect that the peer is gone: send a PING, and end the connection if it is not answered
    within `ping_timeout`."""
    timeouts = conn._timeouts
    if timeouts.suspected or conn._life.phase >= FLUSHING:
        return
    if conn._state == CLOSED or is_greeting(conn):
        return
    timeouts.suspected = True
    now = conn.loop.time()
    if not conn._window.probing:  # else one is out already
        bdp.probe(conn, now)
    if timeouts.ping_sent == 0.0:
        timeouts.ping_sent = now
    # Only later input shows that the peer is there.
    timeouts.received_seen = conn._intake.received
    stop(conn)
    arm(conn)


def trust(conn: Link) -> None:
    """End such a suspicion: the peer has answered."""
    if conn._timeouts.suspected:
        conn._timeouts.suspected = False
        conn._freed()


def has_hung_up(conn: Link, now: float) -> bool:
    """Return whether the peer hung up while reading is paused."""
    timeouts = conn._timeouts
    if not conn._intake.reading_paused:
        timeouts.eof_since = 0.0
        return False
    events = hangup_events(conn.transport)
    if events & (select.POLLHUP | select.POLLERR):
        return True
    # A half-close is ambiguous: the peer may be gone, or wait for a response. The application
    # has `body_timeout` to read on.
    if not events & POLLRDHUP:
        timeouts.eof_since = 0.0
        return False
    if timeouts.eof_since == 0.0:
        timeouts.eof_since = now
    return past(now, timeouts.eof_since, conn._limits.body_timeout)


def hangup_events(transport: asyncio.BaseTransport) -> int:
    """Return the poll events of a transport's socket that show the peer's end."""
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0 or not hasattr(select, "poll"):
        return 0  # the socket below TLS may be closed before the transport reports it
    poll = select.poll()
    poll.register(number, POLLRDHUP)
    found = poll.poll(0)
    return found[0][1] if found else 0


def log_timeout(conn: Link, text: str) -> None:
    """Log which time limit has passed."""
    timeout_log.debug(text, extra={"connection": conn._number})
