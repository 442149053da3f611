"""Widen the connection's window by unread data, so that other streams continue.

When unread bytes leave less than half of the connection's first window, new streams get smaller
windows, and the connection a larger one, up to `Limits.max_unread_window` more. Must never know why
data is unread.
"""

from typing import Final

from mypy_extensions import i64

from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.state import Link
from cno.core import CLOSED, cork
from cno.drive import end_call
from cno.h2 import flow

#: Seconds that readers have before new streams get smaller windows.
READER_DELAY: Final = 0.05
#: Iterations of the event loop in which readers may take new data.
MAX_ITERATIONS: Final = 3
#: Streams for which there is room.
STREAMS: Final = 256
#: The smallest window of each, in bytes.
LEAST_STREAM: Final = 16_384


def max_extension(conn: Link) -> int:
    """Return by how many bytes the connection's window may be widened."""
    return conn._limits.max_unread_window or 0


def stream_window(most: int) -> int:
    """Return the INITIAL_WINDOW_SIZE of streams that share `most` bytes."""
    return max(LEAST_STREAM, most // STREAMS)


def schedule_check(conn: Link) -> None:
    """Schedule a check: there is less room than there should be."""
    if conn._window.room_due or conn._window.extension >= max_extension(conn):
        return
    if is_wide(conn):
        conn._window.room_due = True
        conn.loop.call_later(
            READER_DELAY, widen_if_needed, conn, MAX_ITERATIONS, context=conn._context
        )
    elif not conn._h2.unacked:
        conn._window.room_due = True
        conn.loop.call_soon(widen_if_needed, conn, MAX_ITERATIONS, context=conn._context)


def is_wide(conn: Link) -> bool:
    """Return whether new streams still get the window of a connection with enough room."""
    return conn._local._initial_window_size > stream_window(max_extension(conn))


def widen_if_needed(conn: Link, iterations: int) -> None:
    """Make room, unless readers have made some meanwhile.

    First, new streams get smaller windows, permanently; windows of streams that are read grow. Once
    the peer has acknowledged that, the unread data widens the connection's window.
    """
    h2 = conn._h2
    missing = 2 * conn._window.least_room - h2.recv_window - h2.recv_credit
    gone = conn._life.phase >= FLUSHING or conn._state == CLOSED
    if iterations > 0 and not gone and missing > conn._window.least_room:
        conn.loop.call_soon(widen_if_needed, conn, iterations - 1, context=conn._context)
        return
    conn._window.room_due = False
    if gone or missing <= conn._window.least_room:
        return
    if is_wide(conn):
        conn.configure(initial_window_size=stream_window(max_extension(conn)))
    elif not h2.unacked:
        extend_window(conn, min(missing, max_extension(conn) - conn._window.extension))


def extend_window(conn: Link, more: i64) -> None:
    """Widen the connection's window."""
    conn._window.extension += more
    cork(conn)
    try:
        flow.widen(conn, None, more)
    finally:
        end_call(conn)
