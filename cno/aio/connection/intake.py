"""Pending input: received bytes that wait for the event loop, for a response or for a reader.

Knows how much input is parsed in one iteration of the event loop, and when reading is paused.
Must never know the meaning of the input.
"""

import time
from typing import Final

from cno.aio.connection import bugs, timeouts
from cno.aio.connection.lifecycle import (
    FLUSHING,
    HALF_CLOSED,
    LINGER,
    LOST,
    SHUTDOWN,
    TUNNEL_OPENED,
)
from cno.aio.connection.state import NO_INPUT, Link
from cno.core import CLOSED, H1_BLOCKED
from cno.errors import ConnectionError, WouldBlockError

#: The fewest bytes of input parsed in one iteration of the event loop; the most is
#: `Limits.read_chunk`. The size halves after an iteration of more than `LONG` CPU seconds, and
#: doubles after one of less than `SHORT`.
LEAST_CHUNK: Final = 16_384
LONG: Final = 0.001
SHORT: Final = 0.000_25
#: Input that exceeds the size by at most 1/SLACK_DIVISOR of it is parsed at once. asyncio reads
#: 256 KiB from a socket, which TLS may complete to some more: a rest of a few hundred bytes would
#: cost a copy of all, and pause reading.
SLACK_DIVISOR: Final = 8


def adapt(conn: Link, took: float) -> None:
    """Parse less in one iteration if the input is expensive (one-byte chunks), more if not."""
    if took > LONG:
        conn._intake.chunk = min(conn._intake.most_chunk, max(conn._intake.chunk // 2, LEAST_CHUNK))
    elif took < SHORT:
        conn._intake.chunk = min(conn._intake.most_chunk, conn._intake.chunk * 2)


def received(conn: Link, data: bytes) -> None:
    """Parse received bytes, now or in the next iterations of the event loop."""
    if conn._life.phase >= FLUSHING:
        return
    intake = conn._intake
    intake.received += 1
    if len(data) > intake.chunk + intake.chunk // SLACK_DIVISOR or intake.behind:
        add_unparsed(conn, data)
        fall_behind(conn)
    else:
        process(conn, data)


def add_unparsed(conn: Link, data: bytes) -> None:
    """Add received bytes to those that are not parsed."""
    if conn._intake.unparsed:
        conn._intake.unparsed += data
    else:
        conn._intake.unparsed = bytearray(data)


def drop_unparsed(conn: Link) -> None:
    """Drop the received bytes that are not parsed."""
    conn._intake.unparsed = NO_INPUT


def process(conn: Link, data: bytes) -> None:
    """Parse input in this iteration of the event loop."""
    if conn._http2:
        h2 = conn._h2
        h2.pause_at = h2.frames + conn._intake.most_frames
    conn._intake.parsing = True
    costs = len(data) >= LEAST_CHUNK
    began = time.thread_time() if costs else 0.0
    try:
        conn.receive(data)
    except WouldBlockError:
        conn._intake.pipeline_blocked = True
    except ConnectionError as error:
        # The engine has answered it and called close() already.
        conn._on_refusal(error)
        conn._life.close_by(LINGER)
    except Exception as bug:
        bugs.report(conn, bug)
    conn._intake.parsing = False
    if costs:
        adapt(conn, time.thread_time() - began)
    conn._after_input()


def update_reading(conn: Link) -> None:
    """Pause or resume reading from the transport, as the pending input requires."""
    intake = conn._intake
    paused = intake.pipeline_blocked or intake.behind or intake.unread > intake.most_unread
    if paused == intake.reading_paused or conn._life.phase >= LOST:
        return
    if not conn.transport.is_closing():
        intake.reading_paused = paused
        if paused:
            conn.transport.pause_reading()
        else:
            # The transport keeps the context of this call for its callbacks.
            conn._context.copy().run(conn.transport.resume_reading)


def fall_behind(conn: Link) -> None:
    """Parse the pending input in the next iterations of the event loop; pause reading."""
    if not conn._intake.behind and conn._life.phase < FLUSHING:
        conn._intake.behind = True
        update_reading(conn)
        conn.loop.call_soon(catch_up, conn, context=conn._context)


def catch_up(conn: Link) -> None:
    """Parse the next piece of the pending input."""
    if conn._life.phase >= LOST or not conn._intake.behind:
        return
    conn._intake.behind = False
    if conn._life.phase >= FLUSHING:
        drop_unparsed(conn)
        update_reading(conn)
        return
    take_piece(conn)
    if conn._intake.unparsed:
        fall_behind(conn)
    update_reading(conn)


def take_piece(conn: Link) -> None:
    """Parse as much of the pending input as one iteration allows."""
    piece = b""
    if conn._intake.unparsed and not (conn._http2 and conn._h2.frames >= conn._h2.pause_at):
        size = conn._intake.chunk
        if len(conn._intake.unparsed) <= size + size // SLACK_DIVISOR:
            size = len(conn._intake.unparsed)
        piece = bytes(conn._intake.unparsed[:size])
        del conn._intake.unparsed[:size]
        if not conn._intake.unparsed:
            drop_unparsed(conn)
    process(conn, piece)


def has_more(conn: Link) -> bool:
    """Return whether a lost connection has more input to parse."""
    if conn._state == CLOSED:
        return False
    return bool(conn._intake.unparsed) or (conn._http2 and conn._h2.frames >= conn._h2.pause_at)


def resume_input(conn: Link) -> None:
    """HTTP/1.1: parse the input that waited for a response."""
    if conn._intake.pipeline_blocked or conn._state == H1_BLOCKED:
        conn._intake.pipeline_blocked = False
        conn.loop.call_soon(retry, conn, context=conn._context)


def retry(conn: Link) -> None:
    """Let the engine parse the input that it has kept."""
    if conn._life.phase >= LOST:
        return
    conn.data_received(b"")
    update_reading(conn)
    if conn._life.phase == HALF_CLOSED:
        for exchange in list(conn._exchanges.values()):
            if exchange._tunnel:
                # The peer ended its side of the tunnel before the tunnel was open. It waits for
                # the other side, without a time limit.
                conn._life.fire(TUNNEL_OPENED)
                if conn._life.drain_since != 0.0:
                    conn._life.fire(SHUTDOWN)
                timeouts.stop(conn)
                timeouts.arm(conn)
                exchange._completed(None)
