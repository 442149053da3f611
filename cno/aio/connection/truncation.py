"""HTTP/1.1: what ends with the connection must not seem complete when it has been cut off.

A response to HTTP/1.0 without a length, and each direction of a tunnel, end where the transport
does. If it ends before them, the peer must see a reset (RST; TLS without close_notify), no end.
"""

import asyncio
import socket
import struct
from typing import Final

from cno.aio.connection import send_queue
from cno.aio.connection.lifecycle import RESET
from cno.aio.connection.state import Link
from cno.aio.log import log
from cno.core import TUNNEL
from cno.h1.state import UNTIL_CLOSE

#: On, for 0 seconds: the system drops what is unsent, and sends RST instead of FIN.
NO_LINGER: Final = struct.pack("ii", 1, 0)


def is_cut(conn: Link, stream: int) -> bool:
    """Whether a response on this stream, which is ending, was to last until the connection's end
    and is not complete."""
    return conn._server and conn._h1.framing == UNTIL_CLOSE and conn._h1.next_id == stream


def cuts(conn: Link) -> bool:
    """Whether closing the transport now would make half a message seem complete."""
    if conn._life.close_mode == RESET:
        return True
    if conn._http2 or not conn._streams:
        return False
    if not send_queue.is_empty(conn) and carries_tunnel(conn):
        return True  # of which a part is still to be written
    return is_cut(conn, int(conn._h1.next_id)) and conn._h1.next_id in conn._streams


def carries_tunnel(conn: Link) -> bool:
    """Whether the connection has become a tunnel."""
    if conn._http2:
        return False
    for stream in conn._streams.values():
        if stream.write == TUNNEL:
            return True
    return False


def reset_at_close(transport: asyncio.BaseTransport) -> None:
    """Have the system reset the connection when its socket is closed. (A Unix socket has no such
    thing: there, and where there is no socket, the end looks as any other.)"""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    except OSError as error:  # pragma: no cover - macOS: the peer has gone
        log.debug("SO_LINGER: %s", error)


def cut_off(conn: Link) -> None:
    """Close the transport at once; by a reset, if its end would seem to be that of a message."""
    if cuts(conn) or carries_tunnel(conn):
        reset_at_close(conn.transport)
    conn.transport.abort()
