"""The timeouts of streams: bodies that are not received, or not taken, in time.

The connection's timer calls `check` at its ticks. Must never know requests and responses.
"""

from typing import Final

from cno.aio.connection import send_queue
from cno.aio.connection.durations import past
from cno.aio.connection.lifecycle import FLUSHING, LINGER
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.state import Link
from cno.aio.connection.stream_state import StreamState
from cno.aio.errors import StreamTimeoutError
from cno.const import CNO_RST_CANCEL
from cno.core import CLOSED, cork
from cno.drive import end_call, fail
from cno.errors import ConnectionFault, Reason
from cno.h1.pipelining import continue_queued
from cno.h2 import flow

NO_BODY: Final = Reason("no more of the body came in time", "", "body_timeout")
STALLED: Final = Reason("the peer does not take what is to be sent", "", "write_stall_timeout")


def check(conn: Link, now: float) -> None:
    """Reset the streams on which the peer has sent, or taken, nothing for too long."""
    if conn._http2 and conn._streams:
        send_small_updates(conn)
    for exchange in list(conn._exchanges.values()):
        why = conn._overdue(exchange, now)
        if why is not None and conn._life.phase < FLUSHING:
            too_late(conn, exchange, why)
    wait = conn._limits.write_stall_timeout
    written = conn._send_buffer.body_written
    moving = written != conn._timeouts.written_mark
    conn._timeouts.written_mark = written
    if wait is not None:
        for write in send_queue.all_pending(conn):
            if overdue_write(conn, write, now, moving) and conn._life.phase < FLUSHING:
                error = late(write.stream, STALLED)
                send_queue.remove(conn, write.stream)
                stuck = conn._exchanges.get(write.stream)
                if stuck is not None:
                    stuck._error_delivered = True
                send_queue.resolve(conn, write, error)
                if conn._state != CLOSED:  # as the last stream's end makes it after a GOAWAY
                    conn.write_reset(write.stream, CNO_RST_CANCEL)


def send_small_updates(conn: Link) -> None:
    """Send window updates for small amounts that were read.

    Otherwise the peer's own timeout could end the stream.
    """
    if conn._state != CLOSED:
        cork(conn)
        try:
            flow.remind(conn)
        finally:
            end_call(conn)


def overdue_body(conn: Link, exchange: StreamState, now: float) -> bool:
    """Return whether a reader has waited too long without data."""
    buffer = exchange._buffer
    # A client need not send while its 100 waits behind earlier responses.
    queued = not conn._http2 and continue_queued(conn, exchange.stream)
    if buffer is None or exchange._tunnel or exchange._complete or not buffer.waits() or queued:
        if buffer is not None:
            buffer.waiting_since = 0.0
        return False
    if buffer.waiting_since == 0.0 or buffer._fed != buffer.fed_seen:
        buffer.waiting_since = now
        buffer.fed_seen = buffer._fed
    return past(now, buffer.waiting_since, conn._limits.body_timeout)


def overdue(conn: Link, exchange: StreamState, now: float) -> Reason | None:
    """Return what has not come in time on a stream; None if nothing is late."""
    return NO_BODY if overdue_body(conn, exchange, now) else None


def too_late(conn: Link, exchange: StreamState, why: Reason) -> None:
    """Fail the reader of a message, and reset its stream."""
    exchange._error_delivered = True
    exchange._failed(late(exchange.stream, why))
    if conn._http2:
        conn.write_reset(exchange.stream, CNO_RST_CANCEL)
    else:
        conn._life.close_by(LINGER)
        fail(conn, ConnectionFault(408, why.text, "RFC 9110 15.5.9"))


def overdue_write(conn: Link, write: PendingWrite, now: float, moving: bool) -> bool:
    """Return whether this write has made no progress for `write_stall_timeout` (HTTP/2)."""
    if conn._transport_state.full or not conn._http2:
        # `timeouts.overdue_output` checks the transport; HTTP/1.1 has no other timeout of output.
        write.seen_at = 0.0
        return False
    stream = conn._streams.get(write.stream)
    if stream is None:
        return False
    window = conn._remote._initial_window_size + stream.send_window
    if write.headers is None and moving and window >= conn._limits.min_data_frame:
        # Other streams are written first, which is not the peer's fault.
        write.seen_at = 0.0
        return False
    # A window that grows is progress, even if it is still too small to use. (The connection's
    # window counts only while nothing is sent, since all output changes it.)
    room = conn._h2.send_window
    wider = window > write.seen_window or (room > write.seen_connection_window and not moving)
    write.seen_window = window
    write.seen_connection_window = room
    if write.seen_at == 0.0 or wider or write.written != write.seen_written:
        write.seen_at = now
        write.seen_written = write.written
    return past(now, write.seen_at, conn._limits.write_stall_timeout)


def late(stream: int, why: Reason) -> StreamTimeoutError:
    """Return the error of a stream that is reset by a timeout."""
    return StreamTimeoutError(why.text, stream=stream, code=CNO_RST_CANCEL, limit=why.limit)
