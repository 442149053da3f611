"""Listening sockets of a server, its open connections, and its graceful end.

Knows asyncio's servers and the open connections. Must never know requests.
"""

import asyncio
import os
import socket
import warnings
from collections.abc import Callable, Generator, Sequence
from errno import EADDRINUSE
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, cast

from cno.aio.arguments import check_configuration, check_handler
from cno.aio.server import signals
from cno.aio.server.connection import SERVER_LIMITS, Handler, Server
from cno.aio.server.proxy_header import AnnouncedClient
from cno.aio.server.proxy_protocol import PendingConnections, TrustedProxies
from cno.aio.server.state import ConnectionObserver, ServerLink
from cno.aio.server.traced import TracedServer
from cno.aio.waiters import wake
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.stats import ConnectionStats
from cno.strict import COMPILED
from cno.trace.hook import Tracer

#: Connections that asyncio accepts in one iteration of the event loop. It would accept as many as
#: the system's backlog holds; each costs as much as several requests, which wait meanwhile.
ACCEPTS: Final = 16
#: Attempts to find a port that is free on all addresses.
ATTEMPTS: Final = 10


class Address:
    """Where to listen: a host and port, an existing socket, or the path of a Unix socket."""

    def __init__(
        self,
        host: str | Sequence[str] | None,
        port: int | None,
        sock: socket.socket | None,
        path: str | None,
        mode: int | None,
        backlog: int,
        reuse_port: bool | None,
    ) -> None:
        if mode is not None and path is None:
            raise ValueError("mode is that of a Unix socket, and needs a path")
        if (sock is not None) + (path is not None) + (port is not None) != 1:
            raise ValueError("one of port, sock and path says where to listen")
        self._host = host
        self._port = port
        self._sock = sock
        self._path = path
        self._mode = mode
        self._backlog = backlog
        self._reuse_port = reuse_port
        self._file: tuple[int, int] | None = None  # device and inode of the Unix socket

    async def listen(
        self, factory: Callable[[], asyncio.Protocol], ssl: SSLContext | None, limits: Limits
    ) -> asyncio.Server:
        patience = None if ssl is None else limits.handshake_timeout  # for TLS, None: a minute
        server = await self._create(factory, ssl, min(self._backlog, ACCEPTS), patience)
        for listening in cast("Any", server).sockets:
            self._lengthen(listening)
        return server

    async def _create(
        self,
        factory: Callable[[], asyncio.Protocol],
        ssl: SSLContext | None,
        backlog: int,
        patience: float | None,
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self._path is not None:
            server = await loop.create_unix_server(
                factory,
                self._path,
                ssl=ssl,
                backlog=backlog,
                ssl_handshake_timeout=patience,
                start_serving=False,
            )
            self._file = file_at(self._path)
        elif self._sock is not None:
            unix = self._sock.family == getattr(socket, "AF_UNIX", None)
            create: Any = loop.create_unix_server if unix else loop.create_server
            server = await create(
                factory,
                sock=self._sock,
                ssl=ssl,
                backlog=backlog,
                ssl_handshake_timeout=patience,
                start_serving=False,
            )
        else:
            server = await self._bind(factory, ssl, backlog, patience)
        await self._start(server)
        return server

    async def _start(self, server: asyncio.Server) -> None:
        """Begin to accept connections. Close the server if that fails or is cancelled."""
        started = False
        try:
            if self._path is not None and self._mode is not None:
                os.chmod(self._path, self._mode)  # before any client can connect
            await server.start_serving()
            started = True
        finally:
            if not started:
                server.close()
                self.clean_up()

    async def _bind(
        self,
        factory: Callable[[], asyncio.Protocol],
        ssl: SSLContext | None,
        backlog: int,
        patience: float | None,
    ) -> asyncio.Server:
        """Bind to one port on all addresses."""
        port = self._port or 0
        for _ in range(ATTEMPTS):
            try:
                server = await asyncio.get_running_loop().create_server(
                    factory,
                    self._host,
                    port,
                    ssl=ssl,
                    backlog=backlog,
                    reuse_port=self._reuse_port,
                    ssl_handshake_timeout=patience,
                    start_serving=False,
                )
            except OSError as error:
                if self._port or port == 0 or error.errno != EADDRINUSE:
                    raise
                port = 0  # the port is in use on another address: try another one
                continue
            ports = [sock.getsockname()[1] for sock in cast("Any", server).sockets]
            if ports.count(ports[0]) == len(ports):
                return server
            # The addresses have different ports: try the first one's port on all of them.
            port = ports[0]
            server.close()
            await server.wait_closed()
        raise OSError(EADDRINUSE, "no port is free on all addresses")

    def _lengthen(self, listening: socket.socket) -> None:
        """Set the backlog of a socket to what the application asked for."""
        if self._backlog > ACCEPTS:
            # asyncio exposes read-only sockets; a second object for the same socket has listen().
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(self._backlog)

    def clean_up(self) -> None:
        """Remove the file of the Unix socket, unless another server has replaced it."""
        if self._path is not None and self._file is not None:
            if file_at(self._path) == self._file:
                os.unlink(self._path)
            self._file = None


def file_at(path: str) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if there is none (an abstract socket, say)."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class Listener(ConnectionObserver):
    """The result of `serve`. Await it, or use it as an async context manager, to start.

    Leaving the context closes it, and waits until all connections are closed.
    """

    def __init__(
        self,
        handler: Handler,
        address: Address,
        ssl: SSLContext | None,
        settings: SettingsDict | None,
        limits: Limits | None,
        date: bool = True,
        proxies: TrustedProxies | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._used = True  # no warning if the checks below fail
        check_handler(handler)
        check_configuration(settings, limits, True)
        self._handler = handler
        self._address = address
        self._ssl = ssl
        self._settings = settings
        self._limits = limits
        self._date = date
        self._proxies = proxies
        self._tracer = tracer
        #: Connections whose PROXY header or TLS handshake is incomplete; None without `proxies`.
        self._pending: PendingConnections | None = None
        self._server: asyncio.Server | None = None
        self._sockets: list[socket.socket] = []
        self._servers: set[ServerLink] = set()  # connections that are open or have running handlers
        self._closing = False
        self._timeout: float | None = None
        self._empty: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[None] | None = None  # done after the last accept
        self._forever: list[asyncio.Future[None]] = []  # one for each call of serve_forever()
        self._used = False  # it has been awaited, or closed

    @property
    def sockets(self) -> list[socket.socket]:
        """The listening sockets: `sockets[0].getsockname()[1]` is the port."""
        return list(self._sockets)

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._servers)

    def stats(self) -> list[ConnectionStats]:
        """Return what `Server.stats` returns of each connection."""
        return [server.stats() for server in self._servers]

    def __await__(self) -> Generator[Any, None, "Listener"]:
        return self._begin().__await__()

    async def __aenter__(self) -> "Listener":
        return await self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    def close(self, timeout: float | None = None) -> None:
        """Accept no more connections, and no more requests on those that are open.

        HTTP/2 connections send a GOAWAY, HTTP/1.1 responses `connection: close`; requests that have
        been received are answered. Connections that are still open after `Limits.shutdown_timeout`,
        or after `timeout` seconds if that is less, are aborted. A second call can only shorten it.
        """
        self._used = True
        if not self._closing:
            self._closing = True
            if self._server is not None:
                self._stop(self._server)
                self._address.clean_up()
        for waiter in self._forever:
            wake(waiter)
        self._timeout = timeout
        for server in list(self._servers):
            server.drain(timeout)

    async def wait_closed(self) -> None:
        """Wait until all connections are closed, and their handlers have returned."""
        if self._server is None:
            return
        if self._stopped is not None:
            await asyncio.shield(self._stopped)
        if self._pending is not None:
            await self._pending.close(self._timeout)
        while self._servers:
            if self._empty is None:
                self._empty = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._empty)
        await self._server.wait_closed()

    async def serve_forever(self) -> None:
        """Serve until SIGINT, SIGTERM, cancellation or a call of `close`. Then close, and wait
        until all connections are closed.

        A second signal ends the process at once. Signals that the application handles are left
        alone, and so are all signals outside of the main thread.
        """
        if self._server is None:
            await self._begin()
        stop = signals.watch()
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._forever.append(closed)
        if self._closing:
            wake(closed)
        stopped: BaseException | None = None
        try:
            await asyncio.wait((stop, closed), return_when=asyncio.FIRST_COMPLETED)
        except BaseException as error:
            stopped = error
        self.close()
        try:
            await self.wait_closed()
        finally:
            self._forever.remove(closed)
            signals.unwatch(stop)
        if stopped is not None:
            try:
                raise stopped
            finally:
                stopped = None  # its traceback refers to this frame: break the cycle

    # -- ConnectionObserver ---------------------------------------------------------------------

    def opened(self, server: ServerLink) -> None:
        self._servers.add(server)
        if self._closing:
            server.drain(self._timeout)

    def finished(self, server: ServerLink) -> None:
        self._servers.discard(server)
        waiter = self._empty
        if not self._servers and waiter is not None:
            self._empty = None
            waiter.set_result(None)

    # -- inside ----------------------------------------------------------------------------------

    def _protocol(self, announced: AnnouncedClient | None = None) -> Server:
        if self._tracer is not None:
            server = self._traced(self._tracer)
        else:
            server = Server(
                None,
                self._handler,
                settings=self._settings,
                limits=self._limits,
                observer=self,
                date=self._date,
            )
        server._announced_peer = announced
        return server

    def _traced(self, tracer: Tracer) -> Server:
        # Apart: compiled code calls `Server` directly, but a class of type Any slowly.
        kind: Any = TracedServer
        server = kind(
            None,
            self._handler,
            settings=self._settings,
            limits=self._limits,
            observer=self,
            date=self._date,
        )
        server.trace_by(tracer)
        return cast(Server, server)

    def _stop(self, server: asyncio.Server) -> None:
        """Stop accepting. Sockets that asyncio has accepted in this iteration of the event loop
        become connections in the next two, unless the server is closed by then: close it later."""
        loop = server.get_loop()
        self._stopped = stopped = loop.create_future()
        if isinstance(loop, asyncio.SelectorEventLoop):
            for sock in self._sockets:
                loop.remove_reader(sock.fileno())
        loop.call_soon(self._close_server, server, stopped)

    def _close_server(self, server: asyncio.Server, stopped: asyncio.Future[None]) -> None:
        server.close()
        server.get_loop().call_soon(stopped.set_result, None)

    def __del__(self) -> None:
        if not self._used:
            level = 1 if COMPILED else 2  # compiled code has no frame
            warnings.warn("cno.serve() was never awaited", RuntimeWarning, stacklevel=level)

    async def _begin(self) -> "Listener":
        self._used = True
        if self._server is None:
            limits = SERVER_LIMITS if self._limits is None else self._limits
            factory: Callable[[], asyncio.Protocol] = self._protocol
            ssl = self._ssl
            if self._proxies is not None:
                self._pending = PendingConnections(self._proxies, self._protocol, ssl, limits)
                factory, ssl = self._pending.protocol, None
            self._server = server = await self._address.listen(factory, ssl, limits)
            self._sockets = list(cast("Any", server).sockets)  # a tuple, or in uvloop a list
            if self._closing:  # close() was called meanwhile
                self._stop(server)
                self._address.clean_up()
        return self
