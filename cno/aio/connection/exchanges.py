"""The streams of a connection: their data goes to their exchanges, and their end ends these.

Data counts as consumed when it is read. Must never know requests and responses.
"""

from cno.aio.connection import intake, leftover, reasons, send_queue, truncation
from cno.aio.connection.lifecycle import CUT, FLUSHING, HALF_CLOSED, LINGER, LOST, RESET, SHORT
from cno.aio.connection.state import Link
from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers
from cno.const import CNO_LOCAL, CNO_RST_NO_ERROR


def received(conn: Link, stream: int, data: bytes) -> None:
    """Give a piece of a body to its exchange."""
    exchange = conn._exchanges.get(stream)
    if exchange is None:
        conn.consume(stream, len(data))
        return
    if exchange._discard:
        leftover.count_discarded(conn, exchange, len(data))
        return
    if not conn._http2:
        conn._intake.unread += len(data)
        if conn._intake.unread > conn._intake.most_unread and not conn._intake.reading_paused:
            intake.update_reading(conn)
    exchange._get_buffer().feed(data)


def completed(conn: Link, stream: int, trailers: Headers | None) -> None:
    """End the body of an exchange: the peer's message is complete."""
    exchange = conn._exchanges.get(stream)
    if exchange is not None:
        exchange._completed(trailers)


def consumed(conn: Link, stream: int, size: int) -> None:
    """HTTP/1.1: count bytes of a body that the application has read."""
    exchange = conn._exchanges.get(stream)
    if exchange is not None and not exchange._discard:
        conn._intake.unread -= size
        if conn._intake.reading_paused:
            intake.update_reading(conn)


def ended(conn: Link, stream: int, code: int, side: int) -> None:
    """End the exchange of a stream that has ended, and fail its pending write."""
    write = send_queue.remove(conn, stream)
    exchange = conn._exchanges.get(stream)
    if exchange is not None:
        del conn._exchanges[stream]
        if not conn._exchanges:
            conn._exchanges.clear()  # an idle connection needs no room for keys
        exchange._ended = True
        if exchange._drain_timer is not None:
            exchange._drain_timer.cancel()
            exchange._drain_timer = None
        clean = code == CNO_RST_NO_ERROR and (
            side == CNO_LOCAL or (exchange._complete and exchange._sent)
        )
        if not conn._http2:
            failed = exchange._tunnel and code != CNO_RST_NO_ERROR and side == CNO_LOCAL
            if failed or truncation.is_cut(conn, stream):
                conn._life.close_by(RESET)
        buffer = exchange._buffer
        if buffer is not None:
            left = buffer.detach()
            if not conn._http2:
                conn._intake.unread -= left
                if conn._intake.reading_paused and conn._life.phase < FLUSHING:
                    # The application need not read that before the next message.
                    intake.update_reading(conn)
        if not exchange._complete:
            if not conn._http2:
                close_after(conn, exchange)
            exchange._failed(reasons.of_reset(conn, stream, code, side, exchange._progress()))
        if write is not None:
            error = exchange._error
            if error is None:
                error = reasons.of_reset(conn, stream, code, side, exchange._progress())
            send_queue.resolve(conn, write, error)
        conn._on_exchange_end(exchange, clean or exchange._error_delivered)
    if conn._life.phase < LOST:
        freed(conn)


def close_after(conn: Link, exchange: StreamState) -> None:
    """HTTP/1.1: select how the connection closes, since the peer's message is not complete."""
    if exchange._tunnel and not conn._transport_state.clear_text:
        conn._life.close_by(SHORT)  # TLS cannot half-close
    elif conn._server or exchange._tunnel:
        conn._life.close_by(LINGER)  # the peer may still send
    else:
        conn._life.close_by(CUT)  # the client has cancelled the response


def freed(conn: Link) -> None:
    """Continue the work that waited for the end of a stream."""
    if not conn._http2:
        # The next response may be written, and one more request parsed.
        if not send_queue.is_empty(conn):
            conn.on_flow_increase(0)
        intake.resume_input(conn)
        if conn._life.phase == HALF_CLOSED and not conn._exchanges:
            # The end of the response is still in the engine.
            conn.loop.call_soon(conn.close, context=conn._context)
    conn._freed()
