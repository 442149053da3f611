"""Waiting on a connection: one thread polls the socket and reads for all others, which are parked.

When the reading thread has what it waits for, it unparks another one, which reads from then on.
Enforces the connection's timeouts. Must never know what the threads wait for.
"""

import time
from typing import Final

from mypy_extensions import i64

from cno.aio.end_reasons import NO_ACK, NO_BEGINNING, NO_PONG, NO_PROGRESS
from cno.aio.errors import ConnectionLostError
from cno.const import CNO_RST_SETTINGS_TIMEOUT
from cno.core import CLOSED
from cno.errors import Reason
from cno.sync.connection_io import BROKEN, begin, flush, lose, lost, notify, release, take
from cno.sync.parker import Parker
from cno.sync.state import Link
from cno.sync.waker import IN, OUT

CANCELLED: Final = Reason("the connection is not needed any more", "", "")

#: The payload of PINGs that show whether the peer is there.
PROBE: Final = b"cno sync"


# What a waiting thread does next.
DONE: Final = 0
TIMED_OUT: Final = 1
READ: Final = 2
PARK: Final = 3
FLUSH: Final = 4


def wait(link: Link, parker: Parker, due: float) -> bool:
    """Wait until `parker.done()`; return False if the time `due` passes before. Called without the
    lock."""
    guard = link.guard
    data: bytes | None = None
    problem: OSError | None = None
    step: i64 = FLUSH
    finished = False
    try:
        while True:
            if link.is_closing or not link.send_buffer.is_empty():
                flush(link)
            guard.check()
            with guard.lock:
                begin(guard)
                step = next_step(link, parker, due, data, problem)
                finished = step <= TIMED_OUT
                guard.inside = False
            data = None
            problem = None
            if finished:
                break
            if step == PARK:
                parker.park(parker.until - time.monotonic())
            elif step == READ:
                try:
                    data = read(link, parker)
                except OSError as error:
                    problem = error
    finally:
        if not finished:
            step_down(link, parker)
    if link.is_closing or not link.send_buffer.is_empty():
        flush(link)
    return step == DONE


def next_step(
    link: Link, parker: Parker, due: float, data: bytes | None, problem: OSError | None
) -> i64:
    """Process input, if there is any; return what the thread does next. Called with the lock."""
    parker.reset()
    if link.reader is parker:
        link.reading = False
    if data is not None:
        take(link, data)
    elif problem is not None:
        lost(link, problem)
        notify(link)
    if link.broken:
        lose(link, BROKEN)
    now = time.monotonic()
    if not parker.done() and not link.is_lost:
        check_timeouts(link, now)
    if parker.done():
        leave(link, parker)
        return DONE
    if link.is_lost or now >= due:
        leave(link, parker)
        return TIMED_OUT
    buffer = link.send_buffer
    if not buffer.is_empty() and not buffer.blocked and not buffer.sending:
        return FLUSH
    if link.reader is None or link.reader is parker:
        link.reader = parker
        link.parked.pop(parker, None)
        parker.waker = link.transport.waker
        parker.until = min(due, next_expiry(link, now))
        return READ
    link.parked[parker] = None
    parker.prepare()
    parker.until = due
    return PARK


def read(link: Link, parker: Parker) -> bytes | None:
    """Poll the socket, and return its input. Called by the reading thread, without the lock.

    Raises OSError.
    """
    transport = link.transport
    timeout = parker.until - time.monotonic()
    events = transport.poller.wait(link.send_buffer.blocked, timeout, not transport.is_paused)
    if events & OUT:
        link.send_buffer.blocked = False
    if not events & IN:
        return None
    link.reading = True  # until `next_step`: after an interrupt, bytes may be missing
    return transport.receive()


def leave(link: Link, parker: Parker) -> None:
    """End the wait; let another thread read. Called with the lock."""
    parker.reset()
    link.parked.pop(parker, None)
    if link.reader is parker:
        link.reader = None
    if link.is_lost:
        release(link)
    elif link.reader is None and link.parked:
        for other in link.parked:
            other.unpark()
            break


def step_down(link: Link, parker: Parker) -> None:
    """End the wait after an interrupt or an error. Called without the lock."""
    if link.reader is parker:
        if link.reading:
            link.broken = True
            link.reading = False
        link.reader = None
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        if link.broken:
            lose(link, BROKEN)
        leave(link, parker)
        guard.inside = False


# -- timeouts of the connection --------------------------------------------------------------------


def next_expiry(link: Link, now: float) -> float:
    """Return when the next timeout of the connection expires; not earlier than `now`."""
    limits, times = link._limits, link.times
    at = times.expiry.at
    if link.is_greeting():
        if limits.handshake_timeout is not None:
            at = times.connected_at + limits.handshake_timeout
    elif link._http2 and link._h2.unacked and limits.settings_timeout is not None:
        at = times.connected_at + limits.settings_timeout
    if link.send_buffer.blocked and limits.write_stall_timeout is not None:
        at = min(at, times.sent_at + limits.write_stall_timeout)
    if link._http2 and times.ping_sent != 0.0:
        if limits.ping_timeout is not None:
            at = min(at, times.ping_sent + limits.ping_timeout)
    elif link._http2 and limits.ping_interval is not None:
        at = min(at, max(times.received_at, times.connected_at) + limits.ping_interval)
    return max(at, now)


def check_timeouts(link: Link, now: float) -> None:
    """Enforce the timeouts of the connection. Called with the lock."""
    limits, times = link._limits, link.times
    if link._state == CLOSED or link.is_closing:
        return
    if now >= times.expiry.at:
        lose(link, CANCELLED)
        return
    if link.is_greeting():
        wait = limits.handshake_timeout
        if wait is not None and now - times.connected_at >= wait:
            lose(link, NO_BEGINNING)
            return
    elif link._http2 and link._h2.unacked:
        wait = limits.settings_timeout
        if wait is not None and now - times.connected_at >= wait:
            link.ending.timed_out = NO_ACK
            link.write_reset(0, CNO_RST_SETTINGS_TIMEOUT)
            return
    if link.send_buffer.blocked and limits.write_stall_timeout is not None:
        if now - times.sent_at >= limits.write_stall_timeout:
            lose(link, NO_PROGRESS)
            return
    if not link._http2 or link.is_greeting():
        return
    if times.ping_sent != 0.0:
        if times.received_at > times.ping_sent:
            times.ping_sent = 0.0
        elif limits.ping_timeout is not None and now - times.ping_sent >= limits.ping_timeout:
            lose(link, NO_PONG)
            return
    interval = limits.ping_interval
    if times.ping_sent == 0.0 and interval is not None and now - times.received_at >= interval:
        times.ping_sent = now
        link.write_ping(PROBE)


def not_open(link: Link) -> ConnectionLostError:
    """Return the error of a request for which the connection is closed, or closing."""
    error = link.lost_error(0) if link.is_lost else ConnectionLostError("the connection is closed")
    error.retryable = True
    return error
