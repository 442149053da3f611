"""The output of one iteration of the event loop, which goes to the transport in one write.

Knows the transport. Must never know streams, or what comes in.
"""

import asyncio
from typing import Final

from mypy_extensions import i64

from cno.aio.connection.lifecycle import LINGERING
from cno.aio.connection.state import NO_CHUNKS, NO_LISTENERS, FlushListener, Link

#: Bytes of the largest chunk that is copied, to join it with others.
MOST_COPIED: Final = 65_536


def append(conn: Link, chunks: list[bytes]) -> None:
    """Add output, and have it flushed: after the input that is being parsed, or else soon."""
    buffer = conn._send_buffer
    if buffer.chunks:
        buffer.chunks.extend(chunks)
    else:
        buffer.chunks = chunks[:]
    if not buffer.flush_due and not conn._intake.parsing:
        schedule_flush(conn)


def schedule_flush(conn: Link) -> None:
    """Flush in the next iteration of the event loop."""
    conn._send_buffer.flush_due = True
    conn.loop.call_soon(flush, conn, context=conn._context)


def claim_flush(conn: Link) -> bool:
    """Make the caller responsible for the flush. Return False if one is due anyway."""
    buffer = conn._send_buffer
    if buffer.flush_due or conn._intake.parsing:
        return False
    buffer.flush_due = True
    return True


def collect(conn: Link, later: bool) -> None:
    """Collect the output of tasks that are about to run, and flush it after them: in the next
    iteration of the event loop, or else when the caller does."""
    buffer = conn._send_buffer
    if not buffer.collecting:
        buffer.collecting = True
        conn.cork()
    if not buffer.flush_due:
        if later:
            schedule_flush(conn)
        else:  # pragma: no cover - since Python 3.12
            buffer.flush_due = True


def is_collecting(conn: Link) -> bool:  # pragma: no cover - since Python 3.12
    """Return whether the output of tasks is being collected."""
    return conn._send_buffer.collecting


def call_at_flush(conn: Link, listener: FlushListener) -> None:
    """Call a listener at the next flush, once. There will be one."""
    buffer = conn._send_buffer
    if not buffer.flush_due:
        schedule_flush(conn)
    if buffer.listeners:
        buffer.listeners.append(listener)
    else:
        buffer.listeners = [listener]


def is_empty(conn: Link) -> bool:
    """Return whether there is nothing to flush."""
    return not conn._send_buffer.chunks and not conn._send_buffer.collecting


def clear(conn: Link) -> None:
    """Drop the output that has not been flushed."""
    conn._send_buffer.chunks = NO_CHUNKS


def flush(conn: Link) -> None:
    """Pass the collected output to the transport."""
    buffer = conn._send_buffer
    buffer.unflushed = 0
    if buffer.listeners:
        listeners = buffer.listeners
        buffer.listeners = NO_LISTENERS
        for listener in listeners:
            listener.flushed()
    if buffer.collecting:
        buffer.collecting = False
        buffer.flush_due = True  # keep `append` from scheduling a flush
        conn.uncork()
    buffer.flush_due = False
    chunks = buffer.chunks
    if not chunks:
        return
    buffer.chunks = NO_CHUNKS
    transport = conn.transport
    if conn._life.phase >= LINGERING or transport.is_closing():
        return
    size: i64 = 0
    for chunk in chunks:
        size += len(chunk)
    state = conn._transport_state
    if state.full:
        state.backlog += size
        if state.backlog > state.most_backlog:
            # > An endpoint that doesn't monitor use of these features exposes itself to a risk of
            # > denial of service.   (RFC 9113 10.5)
            conn.abort()
            return
    state.written += size
    if len(chunks) == 1:
        transport.write(chunks[0])
    elif state.gathers:
        transport.writelines(chunks)
    elif state.most_whole != 0 and size > MOST_COPIED:  # pragma: no cover - since Python 3.12
        write_apart(transport, chunks)
    else:
        transport.write(b"".join(chunks))


def write_apart(  # pragma: no cover - since Python 3.12
    transport: asyncio.Transport, chunks: list[bytes]
) -> None:
    """Write large chunks uncopied, and join the small ones between them."""
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) <= MOST_COPIED:
            small.append(chunk)
            continue
        if small:
            transport.write(b"".join(small))
            small = []
        transport.write(chunk)
    if small:
        transport.write(b"".join(small))


def count_copied(conn: Link, size: i64) -> None:
    """Count bytes of a body that went to the socket past the transport (`sendfile`)."""
    conn._send_buffer.body_written += size
    conn._transport_state.written += size
