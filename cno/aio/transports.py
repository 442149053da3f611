"""What the transports of the event loops differ in: how much to give them, and in what form.

Knows asyncio's and uvloop's transports, and the sockets below them. Must never know what is
written.
"""

import asyncio
import logging
import socket
import sys
from typing import Final

from cno.const import MAX_WINDOW
from cno.limits import Limits

log: Final = logging.getLogger("cno")

#: asyncio's transports keep what they cannot send yet, since 3.12; before, they copied it.
KEEPS_OBJECTS: Final = sys.version_info >= (3, 12)
#: A body, or a piece of one, that is given as a whole is handed over as a whole in HTTP/1.1, where
#: nothing could overtake it, up to this multiple of `write_buffer`. (To cut it would copy it.)
WHOLE: Final = 16
#: Octets of the largest high-water mark.
MAX_BUFFER: Final = 1 << 30


def most_whole(transport: asyncio.BaseTransport, limits: Limits) -> int:
    """How many octets a transport without TLS may be given at once beyond what it can send: where
    it keeps the object itself, and no copy of it, that costs nothing."""
    if KEEPS_OBJECTS or gathers(transport):
        return write_buffer(limits) * WHOLE
    return 0


def gathers(transport: asyncio.BaseTransport) -> bool:
    """Whether `writelines` gives the system the pieces as they are, uncopied, where there is no
    TLS: uvloop's does. (asyncio's joins them, or does not say when it is full: CVE-2024-12254.)"""
    return type(transport).__module__ == "uvloop.loop"


def write_buffer(limits: Limits) -> int:
    """The transport's high-water mark: what fits a C int, which is how uvloop keeps it."""
    return min(limits.write_buffer, MAX_BUFFER)


def bound_unsent(transport: asyncio.BaseTransport, octets: int | None) -> None:
    """Have the system take no more than this ahead of what it sends: what waits longer can still
    be overtaken by what is more urgent. Nothing happens where there is no such option."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    sock = transport.get_extra_info("socket")
    if option is None or octets is None or sock is None:
        return
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            # (Linux takes 0 for what the system does by default.)
            sock.setsockopt(socket.IPPROTO_TCP, option, min(max(octets, 1), MAX_WINDOW))
        except OSError as error:
            log.debug("TCP_NOTSENT_LOWAT: %s", error)
