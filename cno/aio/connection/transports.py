"""Differences between transports: how much data they take, and in which form.

Knows asyncio's and uvloop's transports, and the sockets below them. Must never know the data.
"""

import asyncio
import logging
import socket
import sys
from typing import Final

from cno.const import MAX_WINDOW
from cno.limits import Limits

log: Final = logging.getLogger("cno")

#: Since 3.12, asyncio's transports keep the unsent object; before, they copied it.
KEEPS_OBJECTS: Final = sys.version_info >= (3, 12)
#: HTTP/1.1 passes a body, or a piece of one, to the transport whole, up to this multiple of
#: `write_buffer`: no other data could overtake it, and cutting would copy it.
WHOLE: Final = 16
#: Bytes of the largest high-water mark.
MAX_BUFFER: Final = 1 << 30


def most_whole(transport: asyncio.BaseTransport, limits: Limits) -> int:
    """Return how many bytes beyond its high-water mark a transport without TLS takes at once: it
    costs nothing if the transport keeps the object instead of a copy."""
    if KEEPS_OBJECTS or gathers(transport):
        return write_buffer(limits) * WHOLE
    return 0


def gathers(transport: asyncio.BaseTransport) -> bool:
    """Return whether `writelines` without TLS passes the pieces to the system uncopied, as uvloop's
    does. (asyncio's joins them, or does not report when it is full: CVE-2024-12254.)"""
    return type(transport).__module__ == "uvloop.loop"


def write_buffer(limits: Limits) -> int:
    """Return the transport's high-water mark; uvloop stores it in a C int."""
    return min(limits.write_buffer, MAX_BUFFER)


def bound_unsent(transport: asyncio.BaseTransport, octets: int | None) -> None:
    """Limit the unsent bytes in the socket's buffer, so that more urgent data can overtake the
    rest. Does nothing if the system has no such option."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    sock = transport.get_extra_info("socket")
    if option is None or octets is None or sock is None:
        return
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            # Linux takes 0 as the system's default.
            sock.setsockopt(socket.IPPROTO_TCP, option, min(max(octets, 1), MAX_WINDOW))
        except OSError as error:  # pragma: no cover - macOS: the peer has gone
            log.debug("TCP_NOTSENT_LOWAT: %s", error)
