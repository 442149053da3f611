"""Connect to the first of a host's addresses that accepts ("Happy Eyeballs", RFC 8305).

Knows addresses and sockets, on asyncio's event loops and uvloop's. Must never know what is sent
over a connection.

`loop.create_connection` does not do this on every loop: uvloop tries one address after the other,
and asyncio of Python 3.12.1 and 3.13.0 fails with eager tasks (cpython#124309).
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from errno import EINPROGRESS, EWOULDBLOCK
from ssl import SSLContext
from typing import Any, Final, TypeAlias

from cno.aio.errors import said
from cno.aio.hosts import bracketed, is_address
from cno.aio.waiters import wake

#: Seconds after which the next address is tried as well (RFC 8305 5: "Connection Attempt Delay").
ATTEMPT_DELAY: Final = 0.25

#: An entry of `getaddrinfo`: family, type, protocol, canonical name, address.
Info: TypeAlias = tuple[Any, Any, int, str, Any]


class SocketOptions:
    """What to set on a socket before it connects.

    `local_address` is the host to connect from, None for the system's choice; `options` are the
    arguments of calls of `setsockopt`.
    """

    def __init__(self, local_address: str | None, options: Iterable[Any]) -> None:
        self.local_address = local_address
        self.options: list[Any] = list(options)

    def apply(self, sock: socket.socket) -> None:
        """Prepare a socket. Raises OSError."""
        for option in self.options:
            sock.setsockopt(*option)
        if self.local_address is not None:
            sock.bind((self.local_address, 0))


async def open_connection(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    context: SSLContext | None = None,
    server_name: str | None = None,
    options: SocketOptions | None = None,
) -> None:
    """Connect a protocol to a host (see `hosts.Host.address`), over TLS if there is a context.

    Raises OSError, whose text names every address that failed, and ssl.SSLError.
    """
    if options is None and is_address(host):
        await loop.create_connection(factory, host, port, ssl=context, server_hostname=server_name)
        return
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await first_to_answer(loop, alternating(infos), options)
    # From here on the transport owns the socket, and closes it if TLS fails.
    await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=server_name)


def alternating(infos: list[Info]) -> deque[Info]:
    """Return the addresses in order, with the families alternating."""
    # > ... the client SHOULD modify the ordered list to interleave address families. Whichever
    # > address family is first in the list should be followed by an endpoint of the other address
    # > family   (RFC 8305 4)
    families: dict[int, deque[Info]] = {}
    for info in infos:
        families.setdefault(info[0], deque()).append(info)
    ordered: deque[Info] = deque()
    while families:
        for family in list(families):
            ordered.append(families[family].popleft())
            if not families[family]:
                del families[family]
    return ordered


async def first_to_answer(
    loop: asyncio.AbstractEventLoop, infos: deque[Info], options: SocketOptions | None = None
) -> socket.socket:
    """Return a socket that is connected to the first address that accepts.

    Starts the next attempt when one fails, or after `ATTEMPT_DELAY`. Raises OSError if all fail.
    """
    problems: list[tuple[str, OSError]] = []
    attempts: dict[asyncio.Task[socket.socket], str] = {}
    try:
        while infos or attempts:
            if infos:
                info = infos.popleft()
                attempts[loop.create_task(attempt(loop, info, options))] = address_text(info[4])
            done, _ = await asyncio.wait(
                list(attempts),
                timeout=ATTEMPT_DELAY if infos else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    attempts.pop(task)
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                problems.append((attempts.pop(task), error))
    finally:
        for task in attempts:
            cancel_attempt(task)
    raise merged(problems)


async def attempt(
    loop: asyncio.AbstractEventLoop, info: Info, options: SocketOptions | None
) -> socket.socket:
    """Return a socket that is connected to one address. Raises OSError."""
    sock = socket.socket(info[0], info[1], info[2])
    connected = False
    try:
        sock.setblocking(False)
        if options is not None:
            options.apply(sock)
        await connect(loop, sock, info[4])
        connected = True
    finally:
        if not connected:
            sock.close()
    return sock


async def connect(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: Any) -> None:
    """Connect a socket. (`loop.sock_connect` of uvloop resolves the address again.)"""
    proactor = not isinstance(loop, asyncio.SelectorEventLoop)
    if os.name == "nt" and proactor:  # pragma: no cover - Windows
        await loop.sock_connect(sock, address)  # a proactor has no add_writer
        return
    code = sock.connect_ex(address)
    if code == EINPROGRESS or code == EWOULDBLOCK:
        connected = loop.create_future()
        loop.add_writer(sock, wake, connected)
        try:
            await connected
        finally:
            loop.remove_writer(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code != 0:
        raise OSError(code, os.strerror(code))


def cancel_attempt(task: "asyncio.Task[socket.socket]") -> None:
    """Cancel an attempt; close its socket if it has connected already."""
    if task.cancel():
        task.add_done_callback(close_socket)
    else:
        close_socket(task)


def close_socket(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def address_text(address: Any) -> str:
    """Return an address of `getaddrinfo` as text."""
    host, port = address[0], address[1]
    return f"{bracketed(host)}:{port}"


def merged(problems: list[tuple[str, OSError]]) -> OSError:
    """Return one error for several; it has their errno if that is the same for all."""
    if not problems:
        return OSError("the name has no addresses")
    first = problems[0][1].errno
    if all(error.errno == first for _, error in problems):
        places = ", ".join([where for where, _ in problems])
        return OSError(first, f"{problems[0][1].strerror} ({places})")
    return OSError(", ".join([f"{where}: {said(error)}" for where, error in problems]))
