"""Servers behind proxies that announce their clients by a PROXY header.

Knows sockets, and which addresses must send a header. Must never know what follows the header.

The header is read from the socket before a transport or TLS exists, and not one byte beyond it:
event loops offer no way to pass bytes that have been read already to TLS.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any, Final, cast

from cno.aio.errors import said
from cno.aio.hosts import ip_address
from cno.aio.log import server_log
from cno.aio.server.proxy_header import MAX_HEADER, AnnouncedClient, ProxyHeader, parse
from cno.limits import Limits

#: Makes the protocol of a connection, given the client that a header announced, if one did.
Factory = Callable[[AnnouncedClient | None], asyncio.Protocol]

#: The entry for all peers that connect by a Unix socket.
UNIX_ENTRY: Final = "unix:"
#: Seconds for headers and TLS handshakes to complete once a server closes.
GRACE: Final = 1.0


class TrustedProxies:
    """The addresses of proxies, which must send a PROXY header.

    Each entry is an address or a network of IPv4 or IPv6 (`10.0.0.0/8`, `::1`), or `unix:` for all
    peers that connect by a Unix socket. Raises ValueError for a malformed entry.
    """

    def __init__(self, entries: Iterable[object]) -> None:
        import ipaddress

        self._unix_sockets = False
        self._networks: list[Any] = []
        for entry in [entries] if isinstance(entries, str) else entries:
            if entry == UNIX_ENTRY:
                self._unix_sockets = True
            else:
                self._networks.append(ipaddress.ip_network(str(entry)))

    def includes(self, family: int, name: object) -> bool:
        """Return whether a peer with this socket address must send a header."""
        if not isinstance(name, tuple):
            return self._unix_sockets and family == getattr(socket, "AF_UNIX", None)
        address = ip_address(str(name[0]))
        return any(address in network for network in self._networks)


class PendingConnections:
    """The connections of a server whose PROXY header or TLS handshake is incomplete."""

    def __init__(
        self, trusted: TrustedProxies, factory: Factory, ssl: SSLContext | None, limits: Limits
    ) -> None:
        self._trusted = trusted
        self._factory = factory
        self._ssl = ssl
        self._patience = limits.handshake_timeout
        self._tasks: set[asyncio.Task[None]] = set()

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol that an accepted connection begins with."""
        return AcceptedProtocol(self)

    def accepted(self, transport: asyncio.Transport) -> None:
        """Begin a connection that the event loop has accepted."""
        sock = transport.get_extra_info("socket")
        trusted = self._trusted.includes(sock.family, transport.get_extra_info("peername"))
        if not trusted and self._ssl is None:
            protocol = self._factory(None)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return
        try:
            # The transport has read nothing yet. To abort it does not close the connection, which
            # a second descriptor keeps open.
            own = socket.fromfd(sock.fileno(), sock.family, socket.SOCK_STREAM)
            own.setblocking(False)
        except OSError as error:
            server_log.debug("cannot take a connection: %s", said(error), extra={"error": error})
            return
        finally:
            transport.abort()
        task = asyncio.get_running_loop().create_task(self._receive(own, trusted))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _receive(self, sock: socket.socket, trusted: bool) -> None:
        """Read the header, then give the socket to a new transport."""
        loop = asyncio.get_running_loop()
        passed_on = False
        try:
            announced = None
            if trusted:
                announced = (await read_header(loop, sock, self._patience)).announced
            protocol = self._factory(announced)
            passed_on = True  # the transport closes the socket from here on
            await loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self._ssl,
                ssl_handshake_timeout=None if self._ssl is None else self._patience,
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            server_log.debug("a connection is refused: %s", said(error), extra={"error": error})
        finally:
            if not passed_on:
                sock.close()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            task.get_loop().call_exception_handler(
                {"message": "cno: a connection could not begin", "exception": task.exception()}
            )

    async def close(self, most: float | None) -> None:
        """Wait up to `GRACE` seconds, or `most` if that is less, then close what is left."""
        patience = GRACE if most is None else min(most, GRACE)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=patience)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))


class AcceptedProtocol(asyncio.Protocol):
    """The protocol of a connection that has just been accepted."""

    def __init__(self, pending: PendingConnections) -> None:
        self._pending = pending

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pending.accepted(cast("asyncio.Transport", transport))


async def read_header(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, patience: float | None
) -> ProxyHeader:
    """Read the header from a socket, and no byte that follows it.

    Raises ValueError for a malformed header, OSError, and TimeoutError after `patience` seconds.
    """
    reader = HeaderReader(loop, sock)
    timer = None if patience is None else loop.call_later(patience, reader.expire)
    loop.add_reader(sock, reader.readable)
    try:
        header: ProxyHeader = await reader.result
        return header
    finally:
        loop.remove_reader(sock)
        if timer is not None:
            timer.cancel()


class HeaderReader:
    """Reads a header from a non-blocking socket; `result` is the future for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.result: asyncio.Future[ProxyHeader] = loop.create_future()
        self._sock = sock
        self._data = b""

    def readable(self) -> None:
        """Read the bytes of the header that have come, and no others."""
        if self.result.done():
            return
        try:
            seen = self._sock.recv(MAX_HEADER, socket.MSG_PEEK)
            if not seen:
                raise ConnectionResetError("the connection ends before its PROXY header")
            header = parse(self._data + seen)
            size = len(seen) if header is None else header.size - len(self._data)
            self._data += self._sock.recv(size)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self.result.set_exception(error)
            return
        if header is not None:
            self.result.set_result(header)

    def expire(self) -> None:
        """Fail because the header is late."""
        if not self.result.done():
            self.result.set_exception(TimeoutError("no PROXY header comes"))
