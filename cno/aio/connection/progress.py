"""Progress of output: the bytes that the peer has not acknowledged, as the system counts them.

A transport notices only when the system accepts bytes, which can be once in megabytes: by that
alone, a slow peer looks like one that has stopped. Timers look here before they give a connection
up. Must never know what the bytes mean.
"""

import asyncio
import socket
import sys
from typing import Final

from mypy_extensions import i64

if sys.platform == "linux":  # pragma: no branch - others below
    import fcntl
    import termios

from cno.aio.connection.state import Link

#: macOS: bytes in a socket's send buffer, as an option of it (`SO_NWRITE`).
SO_NWRITE: Final = 0x1024


def unacknowledged(transport: asyncio.BaseTransport) -> i64:
    """Return the bytes that the system has and the peer has not acknowledged; 0 where unknown.

    Of a Unix socket: memory that the peer has not read.
    """
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        return 0
    try:
        if sys.platform == "linux":
            # SIOCOUTQ of tcp(7) and unix(7) has the number of TIOCOUTQ.
            answer: bytes = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4))
            return int.from_bytes(answer, sys.byteorder)
        elif sys.platform == "darwin":  # pragma: no cover - macOS
            size: int = sock.getsockopt(socket.SOL_SOCKET, SO_NWRITE)
            return size
    except OSError:  # pragma: no cover - not a socket that knows
        pass
    return 0  # pragma: no cover - other systems, and as above


def acknowledged(conn: Link) -> i64:
    """Return a count that grows as the peer acknowledges output. With TLS, its start is unknown."""
    waiting: i64 = conn.transport.get_write_buffer_size()
    return conn._transport_state.written - waiting - unacknowledged(conn.transport)


def is_sending(transport: asyncio.Transport) -> bool:
    """Return whether output is buffered or unacknowledged. Its timeouts are elsewhere."""
    return transport.get_write_buffer_size() != 0 or unacknowledged(transport) != 0


def is_taking(conn: Link) -> bool:
    """Return whether output is pending and the peer has acknowledged some since the last call.

    The first call returns True if output is pending.
    """
    waiting: i64 = conn.transport.get_write_buffer_size()
    queued = unacknowledged(conn.transport)
    if waiting == 0 and queued == 0:
        return False
    taken = conn._transport_state.written - waiting - queued
    if taken == conn._timeouts.taken_mark:
        return False
    conn._timeouts.taken_mark = taken
    return True
