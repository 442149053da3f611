"""The rest of a body that no one reads or gets: dropped, and bounded in size and time.

Knows flow control and timers. Must never know what a request or a response is.
"""

from typing import Any

from cno.aio.channel import Channel
from cno.aio.connection import intake, send_queue
from cno.aio.connection.lifecycle import FLUSHING, LINGER, LOST
from cno.aio.connection.state import Link
from cno.aio.connection.stream_state import StreamState
from cno.aio.errors import StreamError
from cno.const import CNO_RST_CANCEL, CNO_RST_NO_ERROR
from cno.h2 import flow


def discard(conn: Link, exchange: StreamState) -> None:
    """Drop the rest of a message: the application will not read it."""
    exchange._discard = True
    exchange._failed(StreamError("it was given up", stream=exchange.stream, code=0))
    buffer = exchange._buffer
    if buffer is not None:
        left = buffer.detach()
        buffer.drop()
        if not conn._http2:
            conn._intake.unread -= left
            intake.update_reading(conn)
        elif not exchange._ended and left > 0:
            conn.consume(exchange.stream, left)


def count_discarded(conn: Link, exchange: StreamState, size: int) -> None:
    """Count data that is dropped. Beyond `max_drained` bytes, the peer may not send more."""
    exchange._drained += size
    if exchange._drained <= conn._limits.max_drained:
        conn.consume(exchange.stream, size)
    elif conn._http2:
        # The peer has a window's worth more to send, then it has to wait; the other streams
        # have not. A reset at once would reach some clients before they read the response.
        conn.cork()
        try:
            flow.forget(conn, exchange.stream, size)
        finally:
            conn.uncork()
    else:
        drain_expired(conn, exchange)


async def drop_channel(conn: Link, channel: Channel[Any]) -> None:
    """Drop what the application puts into a channel, whose body is not sent (in response to HEAD,
    say). Close it after `max_drained` bytes or `linger_timeout`, so that an endless producer stops.
    """
    left = conn._limits.max_drained
    wait = conn._limits.linger_timeout
    timer = conn.loop.call_later(wait, channel.close, context=conn._context)
    try:
        async for chunk in channel:
            left -= len(chunk)
            if left < 0:
                break
    finally:
        timer.cancel()
        channel.close()


def drain_stream(conn: Link, exchange: StreamState) -> None:
    """Drop the rest of the peer's message, and reset the stream if that is large or takes long.

    Our message is complete.
    """
    discard(conn, exchange)
    if exchange._drain_timer is None and not exchange._ended and conn._life.phase < LOST:
        exchange._drain_timer = conn.loop.call_later(
            conn._limits.linger_timeout, drain_expired, conn, exchange, context=conn._context
        )


def drain_expired(conn: Link, exchange: StreamState) -> None:
    """End the stream: the rest of the peer's message was too large, or not complete in time."""
    if exchange._drain_timer is not None:
        exchange._drain_timer.cancel()
        exchange._drain_timer = None
    if exchange._ended or conn._life.phase >= FLUSHING:
        return
    if send_queue.is_pending(conn, exchange.stream):
        drain_stream(conn, exchange)  # ours is not complete either
        return
    # > ... a server MAY request that the client abort transmission of a request without error
    # > by sending a RST_STREAM with an error code of NO_ERROR after sending a complete
    # > response.   (RFC 9113 8.1)
    # > If a server ... does not read the entire request content ... it closes the connection
    # > (RFC 9112 9.3)
    if not conn._http2:
        conn._life.close_by(LINGER)
    conn.write_reset(exchange.stream, CNO_RST_NO_ERROR if conn._server else CNO_RST_CANCEL)
