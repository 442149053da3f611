"""Receive windows that grow with the bandwidth-delay product of the network.

The acknowledgement of SETTINGS gives the first round-trip time, PINGs the later ones. A stream of
which half a window or more is received and read within one round trip is limited by its window: the
window grows, and the connection's window with it. Unread streams do not grow. Must never know the
content of a stream.
"""

from typing import Final

from mypy_extensions import i64

from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.state import Link
from cno.aio.connection.stream_state import StreamState
from cno.core import CLOSED, Stream, cork
from cno.drive import end_call
from cno.h2 import flow, send

#: Look at the clock once for each 1/PART of a window that is read.
PART: Final = 8
#: Seconds between two PINGs while nothing changes.
PING_PAUSE: Final = 10.0
#: The smallest round-trip time in seconds that is assumed: event loops add delays.
SHORTEST: Final = 0.005


def consumed(conn: Link, stream: int, size: i64) -> None:
    """HTTP/2: count bytes of a stream that the application has read."""
    conn._window.until_check -= size
    if conn._window.until_check < 0:
        check(conn, stream)


def check(conn: Link, stream: int) -> None:
    """Check, after a part of a window has been read, whether the window limits the peer."""
    part: i64 = conn._h2.acked._initial_window_size // PART
    conn._window.read_in_all += part - conn._window.until_check
    conn._window.until_check = part
    if conn._state == CLOSED or conn._life.phase >= FLUSHING:
        return
    now = conn.loop.time()
    exchange = conn._exchanges.get(stream)
    if exchange is not None:
        grow_stream(conn, exchange, now)
    grow_connection(conn, now)
    known = conn._window.rtt != 0.0 or (conn._window.announced_at != 0.0 and bool(conn._h2.unacked))
    if not conn._window.probing and (not known or now - conn._window.probe_sent >= PING_PAUSE):
        probe(conn, now)


def probe(conn: Link, now: float) -> None:
    """Send a PING."""
    conn._window.probing = True
    conn._window.probe_sent = now
    cork(conn)
    try:
        send.probe(conn)
    finally:
        end_call(conn)


def settings_answered(conn: Link) -> None:
    """Use the time until our SETTINGS are acknowledged as the first round-trip time."""
    if conn._h2.unacked:
        if conn._window.announced_at == 0.0:
            conn._window.announced_at = conn.loop.time()
    elif conn._window.announced_at != 0.0:
        conn._window.rtt_guessed = True
        update_rtt(conn, conn._window.announced_at)


def probe_answered(conn: Link) -> None:
    """Use the answer to our PING."""
    conn._window.probing = False
    if conn._window.rtt_guessed:
        conn._window.rtt_guessed = False
        conn._window.rtt = 0.0
    update_rtt(conn, conn._window.probe_sent)


def update_rtt(conn: Link, sent: float) -> None:
    """Update the round-trip time: the answer to a frame sent at `sent` has arrived."""
    now = conn.loop.time()
    rtt = max(now - sent, SHORTEST)
    if conn._window.rtt == 0.0 or rtt < conn._window.rtt:
        conn._window.rtt = rtt
    else:
        # It may have waited behind our own data, or the route has become longer.
        conn._window.rtt += (rtt - conn._window.rtt) / 4
    if conn._life.phase < FLUSHING and conn._state != CLOSED:
        for exchange in list(conn._exchanges.values()):
            grow_stream(conn, exchange, now)
        grow_connection(conn, now)


def grow_stream(conn: Link, exchange: StreamState, now: float) -> None:
    """Widen a stream's window if it is too small for a round trip."""
    buffer = exchange._buffer
    if buffer is None or exchange._complete or exchange._discard:
        return
    stream = conn._streams.get(exchange.stream)
    if stream is None:
        return
    h2 = conn._h2
    window: i64 = h2.acked._initial_window_size + stream.wider
    wanted = size_for(conn, window, buffer.moved(), buffer.marked_at, now)
    # Grown windows may be unread later: together they take at most half of the connection's.
    most: i64 = conn._limits.max_connection_window // 2 - h2.wider
    more = min(wanted, conn._limits.max_stream_window, window + most) - window
    if more > 0:
        buffer.mark(now)
        widen(conn, stream, more, 2 * (h2.acked._initial_window_size + h2.wider + more))
        if not conn._window.probing:
            probe(conn, now)
    elif is_old(conn, buffer.marked_at, now):
        buffer.mark(now)


def grow_connection(conn: Link, now: float) -> None:
    """Widen the connection's window if it is too small for a round trip."""
    moved = conn._window.read_in_all - conn._window.read_before
    wanted = size_for(conn, conn._h2.recv_size, moved, conn._window.marked_at, now)
    wider = (
        min(wanted, conn._limits.max_connection_window + conn._window.extension)
        > conn._h2.recv_size
    )
    if wider:
        widen(conn, None, 0, wanted)
    if wider or is_old(conn, conn._window.marked_at, now):
        conn._window.marked_at = now
        conn._window.read_before = conn._window.read_in_all


def is_old(conn: Link, marked_at: float, now: float) -> bool:
    """Return whether the count since then covers more than one round trip."""
    return marked_at == 0.0 or (conn._window.rtt != 0.0 and now - marked_at > conn._window.rtt)


def size_for(conn: Link, window: i64, moved: i64, since: float, now: float) -> i64:
    """Return the right size of a window of which `moved` bytes were used since then."""
    rtt = conn._window.rtt
    if since == 0.0 or rtt == 0.0:
        return window
    elapsed = max(now - since, 0.000_001)
    used = float(moved) * min(1.0, rtt / elapsed)  # in one round trip
    if used * 2 < float(window):
        return window
    used = min(float(window), float(moved) * rtt / elapsed)  # in all of it, if it goes on so
    return max(2 * window, 4 * i64(used))


def widen(conn: Link, stream: Stream | None, more: i64, size: i64) -> None:
    """Widen a stream's window by `more`, and the connection's to `size`."""
    size = min(size, conn._limits.max_connection_window + conn._window.extension)
    cork(conn)
    try:
        if stream is not None:
            flow.widen(conn, stream, more)
        if size > conn._h2.recv_size:
            flow.widen(conn, None, size - conn._h2.recv_size)
    finally:
        end_call(conn)
