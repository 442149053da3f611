"""Sends a part of a file as a body; the system copies it to the socket where that is possible.

It is for HTTP/1.1 in clear text with a content-length. Then the bytes of the file are the bytes of
the connection, and `sendfile` saves two copies. Knows whether the transport still has bytes to
write. Must never know a request or a path.
"""

import asyncio
import os
from typing import Final

from mypy_extensions import i64

from cno.aio.connection import send_buffer, send_queue
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.protocol import Connection
from cno.aio.connection.transports import write_buffer
from cno.aio.file_range import PIECE, FileRange
from cno.h1.send import count_data

#: Smallest part of a file for which this pays.
WORTHWHILE: Final = 32_768
#: Bytes that one call of the system copies. After each call, other connections can do their work.
AT_ONCE: Final = 1_048_576
#: Bytes that the transport gets while the socket is full: it reports when it has written them.
PROBE: Final = 16_384
AVAILABLE: Final = hasattr(os, "sendfile")

# The outcomes of an attempt to copy.
BLOCKED: Final = 0  # the socket is full, or the transport keeps something back
COLD: Final = 1  # the file is not in memory: the event loop must not wait for the disk
COPIED: Final = 2


async def send_file(conn: Connection, stream: int, part: FileRange) -> None:
    """Write all of a file as a part of a body; return when the transport has accepted it.

    Raises what writing raises, and EOFError if the file has become shorter.
    """
    transport = conn.transport
    sock = transport.get_extra_info("socket")
    if not AVAILABLE or sock is None or conn._http2 or not conn._transport_state.clear_text:
        await write_pieces(conn, stream, part)
        return
    if part.left < WORTHWHILE or not count_data(conn, stream, part.left, False):
        await write_pieces(conn, stream, part)
        return
    if conn._intake.parsing:  # pragma: no cover - since Python 3.12
        await asyncio.sleep(0)  # the handler runs inside of `data_received`
    send_buffer.flush(conn)
    if transport.get_write_buffer_size() != 0:
        await asyncio.sleep(0)  # uvloop writes at the end of the iteration
    transport.set_write_buffer_limits(high=0)  # it is full while it keeps anything back
    try:
        while part.left > 0:
            outcome = copy(conn, stream, part, sock.fileno())
            if outcome == COPIED:
                if part.left > 0:
                    await asyncio.sleep(0)
                continue
            data = await part.read(PIECE if outcome == COLD else PROBE)
            await write_piece(conn, stream, data)
            send_buffer.flush(conn)
            if transport.get_write_buffer_size() != 0 and not conn._transport_state.full:
                await asyncio.sleep(0)
    finally:
        if not transport.is_closing():
            transport.set_write_buffer_limits(high=write_buffer(conn._limits))


async def write_pieces(conn: Connection, stream: int, part: FileRange) -> None:
    """Read a part of a file piece by piece, and write the pieces."""
    async for data in part:
        await write_piece(conn, stream, data)


async def write_piece(conn: Connection, stream: int, data: bytes) -> None:
    await send_queue.perform(conn, PendingWrite(stream, data, False))
    count_sent(conn, stream, len(data))


def count_sent(conn: Connection, stream: int, size: int) -> None:
    exchange = conn._exchanges.get(stream)
    if exchange is not None:
        exchange._count_sent(size)


def copy(conn: Connection, stream: int, part: FileRange, sock: int) -> int:
    """Copy as much as the socket takes. Return what came of it."""
    if (
        conn._transport_state.full
        or not send_buffer.is_empty(conn)
        or not send_queue.is_empty(conn)
        or conn._life.phase >= FLUSHING
        or sock < 0
        or conn.transport.is_closing()
        or conn.transport.get_write_buffer_size() != 0
    ):
        return BLOCKED
    want: i64 = min(part.left, AT_ONCE)
    if not part.is_in_memory(want):
        return COLD
    if not count_data(conn, stream, want, False):
        return BLOCKED
    try:
        sent: i64 = part.send_to(sock, want)
    except OSError:
        return BLOCKED  # writing to the transport meets the same error, which ends the connection
    count_data(conn, stream, sent, True)
    send_buffer.count_copied(conn, sent)
    count_sent(conn, stream, sent)
    return COPIED if sent == want else BLOCKED  # the socket is full, or the file has become shorter
