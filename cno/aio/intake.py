"""What has come in and has to wait: for a turn of the event loop, for an answer, for a reader.

Knows how much input one turn takes, and when the transport's reading is paused. Must never know
what the input means.
"""

from typing import TYPE_CHECKING, Final

from cno.aio.lifecycle import FLUSHING, HALF_CLOSED, LOST, SHUTDOWN, TUNNEL_OPENED
from cno.core import CLOSED, H1_BLOCKED

if TYPE_CHECKING:
    from cno.aio.connection import Connection

#: Bytes of input for one turn of the event loop, at first and at least; at most it is
#: `Limits.read_chunk`. It halves after a turn longer than `LONG` CPU seconds, and doubles after one
#: shorter than `SHORT`.
FIRST_CHUNK: Final = 16_384
LEAST_CHUNK: Final = 16_384
LONG: Final = 0.001
SHORT: Final = 0.000_25


def adapt(conn: "Connection", took: float) -> None:
    """Take in less at once of what costs much (chunks of one byte), more of what does not."""
    if took > LONG:
        conn._chunk = min(conn._most_chunk, max(conn._chunk // 2, LEAST_CHUNK))
    elif took < SHORT:
        conn._chunk = min(conn._most_chunk, conn._chunk * 2)


def listen(conn: "Connection") -> None:
    """Pause or resume reading from the transport, as is right now."""
    deaf = conn._kept_back or conn._behind or conn._unread > conn._most_unread
    if deaf != conn._deaf and conn._phase < LOST and not conn.transport.is_closing():
        conn._deaf = deaf
        if deaf:
            conn.transport.pause_reading()
        else:
            # The transport reads on in the context that this is called in.
            conn._context.copy().run(conn.transport.resume_reading)


def fall_behind(conn: "Connection") -> None:
    """Work off what is here in the turns to come; nothing is read meanwhile."""
    if not conn._behind and conn._phase < FLUSHING:
        conn._behind = True
        listen(conn)
        conn.loop.call_soon(catch_up, conn, context=conn._context)


def catch_up(conn: "Connection") -> None:
    """Parse the next piece of what waits."""
    if conn._phase >= LOST or not conn._behind:
        return
    conn._behind = False
    if conn._phase >= FLUSHING:
        conn._later = bytearray()
        listen(conn)
        return
    take_piece(conn)
    if conn._later:
        fall_behind(conn)
    listen(conn)


def take_piece(conn: "Connection") -> None:
    """Parse as much of what waits as one turn may be spent on."""
    piece = b""
    if conn._later and not (conn._http2 and conn._h2.frames >= conn._h2.pause_at):
        piece = bytes(conn._later[: conn._chunk])
        del conn._later[: conn._chunk]
    conn._take_in(piece)


def has_more(conn: "Connection") -> bool:
    """Whether there is more that can be parsed, once the connection is lost."""
    if conn._state == CLOSED:
        return False
    return bool(conn._later) or (conn._http2 and conn._h2.frames >= conn._h2.pause_at)


def resume_input(conn: "Connection") -> None:
    """HTTP/1.1: what had to wait for an answer need not wait any more."""
    if conn._kept_back or conn._state == H1_BLOCKED:
        conn._kept_back = False
        conn.loop.call_soon(retry, conn, context=conn._context)


def retry(conn: "Connection") -> None:
    """Give the engine's parser another chance with what it had to keep."""
    if conn._phase >= LOST:
        return
    conn.data_received(b"")
    listen(conn)
    if conn._phase == HALF_CLOSED:
        for exchange in list(conn._exchanges.values()):
            if exchange._tunnel:
                # The peer had sent all it has for the tunnel before that was open: it waits for
                # what comes the other way, however long that takes.
                conn._fire(TUNNEL_OPENED)
                if conn._drain_since != 0.0:
                    conn._fire(SHUTDOWN)
                conn._stop_timer()
                conn._arm()
                exchange._completed(None)
