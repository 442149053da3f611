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
PATIENCE: Final = 0.05
#: Iterations of the event loop in which readers may take new data.
TURNS: Final = 3
#: Streams for which there is room.
STREAMS: Final = 256
#: The smallest window of each, in bytes.
LEAST_STREAM: Final = 16_384


def most_lent(conn: Link) -> int:
    """Return by how many bytes the connection's window may be widened."""
    return conn._limits.max_unread_window or 0


def stream_window(most: int) -> int:
    """Return the INITIAL_WINDOW_SIZE of streams that share `most` bytes."""
    return max(LEAST_STREAM, most // STREAMS)


def look(conn: Link) -> None:
    """Schedule a check: there is less room than there should be."""
    if conn._window.room_due or conn._window.lent >= most_lent(conn):
        return
    if is_wide(conn):
        conn._window.room_due = True
        conn.loop.call_later(PATIENCE, make, conn, TURNS, context=conn._context)
    elif not conn._h2.unacked:
        conn._window.room_due = True
        conn.loop.call_soon(make, conn, TURNS, context=conn._context)


def is_wide(conn: Link) -> bool:
    """Return whether new streams still get the window of a connection with enough room."""
    return conn._local._initial_window_size > stream_window(most_lent(conn))


def make(conn: Link, turns: int) -> None:
    """Make room, unless readers have made some meanwhile.

    First, new streams get smaller windows, permanently; windows of streams that are read grow. Once
    the peer has acknowledged that, the unread data widens the connection's window.
    """
    h2 = conn._h2
    lacks = 2 * conn._window.least_room - h2.recv_window - h2.recv_credit
    gone = conn._life.phase >= FLUSHING or conn._state == CLOSED
    if turns > 0 and not gone and lacks > conn._window.least_room:
        conn.loop.call_soon(make, conn, turns - 1, context=conn._context)
        return
    conn._window.room_due = False
    if gone or lacks <= conn._window.least_room:
        return
    if is_wide(conn):
        conn.configure(initial_window_size=stream_window(most_lent(conn)))
    elif not h2.unacked:
        lend(conn, min(lacks, most_lent(conn) - conn._window.lent))


def lend(conn: Link, more: i64) -> None:
    """Widen the connection's window."""
    conn._window.lent += more
    cork(conn)
    try:
        flow.widen(conn, None, more)
    finally:
        end_call(conn)
