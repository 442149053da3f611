"""Whether a connection has input that its transport has not read yet: its end, perhaps.

Knows sockets and the event loop. Must never know a connection.
"""

import asyncio
import select
import sys
from typing import Any, Final

CAN_POLL: Final = sys.platform != "win32"


def socket_number(transport: asyncio.BaseTransport) -> int:
    """Return the descriptor of a transport's socket; -1 if there is none."""
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())


def poller_of(number: int) -> Any:
    """Return an object whose `poll(0)` is true if a socket has input; None without poll()."""
    if not CAN_POLL:  # pragma: no cover - Windows
        return None
    poller = select.poll()
    poller.register(number, select.POLLIN)
    return poller


def has_input(number: int) -> bool:
    """Return whether a socket has input, or is at its end."""
    if number < 0:
        return False
    if not CAN_POLL:  # pragma: no cover - Windows
        return bool(select.select([number], [], [], 0)[0])
    return bool(poller_of(number).poll(0))


async def let_transport_read() -> None:
    """Wait until the transport has read its input: the event loop needs one iteration to find it,
    and one to read it."""
    for _ in range(3):
        await asyncio.sleep(0)
