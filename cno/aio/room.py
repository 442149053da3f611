"""Room for those that are read: what nobody reads takes none of the connection's window for good.

Once unread octets leave less than half of the window that a connection begins with, streams get
smaller windows, and the connection a larger one, up to `Limits.max_unread_window` more. So a peer
can fill no more than the streams may hold then, and the others go on. Must never know why nobody
reads.
"""

from typing import TYPE_CHECKING, Final

from cno.core import CLOSED, cork
from cno.drive import end_call
from cno.h2 import flow

if TYPE_CHECKING:
    from cno.aio.windows import Windows

#: Seconds for which the rest of a window may be small: readers have something else to do as well.
PATIENCE: Final = 0.05
#: Streams that there is room for, ...
STREAMS: Final = 256
#: ... of so many octets each, or more.
LEAST_STREAM: Final = 16_384


def stream_window(most: int) -> int:
    """The INITIAL_WINDOW_SIZE of streams that share `most` octets."""
    return max(LEAST_STREAM, most // STREAMS)


def look(conn: "Windows") -> None:
    """There is less room than there should be: make some, or see in a moment if that is needed."""
    if conn._room_due or conn._lent >= conn._limits.max_unread_window:
        return
    if conn._local._initial_window_size > stream_window(conn._limits.max_unread_window):
        conn._room_due = True
        conn.loop.call_later(PATIENCE, narrow, conn, context=conn._context)
    elif not conn._h2.unacked:
        lend(conn)


def narrow(conn: "Windows") -> None:
    """Give streams smaller windows, for good. Those that are read will grow if the network needs
    that; what else the connection's window lacks is added once the peer has agreed."""
    conn._room_due = False
    if conn._gone or conn._closing or conn._state == CLOSED:
        return
    h2 = conn._h2
    if h2.recv_window + h2.recv_credit < conn._least_room:
        window = stream_window(conn._limits.max_unread_window)
        if conn._local._initial_window_size > window:
            conn.configure(initial_window_size=window)


def lend(conn: "Windows") -> None:
    """Widen the connection's window by what nobody reads."""
    h2 = conn._h2
    lacks = 2 * conn._least_room - h2.recv_window - h2.recv_credit
    more = min(lacks, conn._limits.max_unread_window - conn._lent)
    conn._lent += more
    cork(conn)
    try:
        flow.widen(conn, None, more)
    finally:
        end_call(conn)
