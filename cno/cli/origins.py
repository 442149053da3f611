"""The connections of `cno get`: to each server one over HTTP/2, and one or several over HTTP/1.1.

Knows which connection a request gets. Must never know how it is made, or requests or output.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final

from cno.aio.client.connection import Client
from cno.aio.client.urls import Target
from cno.cli.connecting import Dialer, Timings
from cno.cli.problems import Problem

#: Seconds to close all connections.
PATIENCE: Final = 1.0
#: Connections to one server over HTTP/1.1, where responses go to files: as many as browsers make.
MAX_HTTP1: Final = 6

Dial = Callable[[Target, bool], Awaitable[tuple[Client, Timings]]]


class Lease:
    """A connection for one request. `timings` are those of making it; None: it was there."""

    def __init__(self, origin: "Origin", target: Target, client: Client) -> None:
        self.client = client
        self.timings = origin.take_timings(client)
        self._origin = origin
        self._target = target

    async def renew(self) -> None:
        """Take another connection, since this one ends. Raises Problem."""
        if self.client.is_http2:
            self.client = await self._origin.connect(self._target, instead_of=self.client)
        else:
            self.client = await self._origin.dial(self._target)
        self.timings = self._origin.take_timings(self.client)


class Origin:
    """The current connections to one server."""

    def __init__(self, dial: Dial, width: int) -> None:
        self._dial = dial
        self._connect_lock = asyncio.Lock()
        self._http1_slots = asyncio.Semaphore(width)
        self._idle: list[Client] = []  # over HTTP/1.1, without a request
        self._timings: dict[Client, Timings] = {}  # of connections without a request so far
        self.client: Client | None = None  # the last one that was made
        #: Whether the server requires HTTP/1.1.
        self.http1_only = False
        #: Whether the server has answered a request.
        self.has_answered = False

    async def connect(self, target: Target, instead_of: Client | None = None) -> Client:
        """Return a connection that is not closing, and is not `instead_of`. Raises Problem.

        (For HTTP/2, or to learn the protocol: a `lease` of HTTP/1.1 is for one request.)
        """
        async with self._connect_lock:
            client = self.client
            if client is not None and not client.is_http2 and instead_of is None:
                return client
            refused = client is instead_of or (self.http1_only and client and client.is_http2)
            if client is None or refused or client.transport.is_closing():
                client = await self.dial(target)
                if not client.is_http2:
                    self._idle.append(client)
            return client

    async def dial(self, target: Target) -> Client:
        """Return a new connection. Raises Problem."""
        client, timings = await self._dial(target, self.http1_only)
        self._timings[client] = timings
        self.client = client
        return client

    def take_timings(self, client: Client) -> Timings | None:
        """Return how long it took to make a connection, the first time."""
        return self._timings.pop(client, None)

    @asynccontextmanager
    async def lease(self, target: Target) -> AsyncIterator[Lease]:
        """Give a connection for one request. Over HTTP/1.1, wait until one is free."""
        client = await self.connect(target)
        if client.is_http2:
            yield Lease(self, target, client)
            return
        async with self._http1_slots:
            lease = Lease(self, target, self._take_idle() or await self.dial(target))
            try:
                yield lease
            finally:
                if not lease.client.transport.is_closing():
                    self._idle.append(lease.client)

    def _take_idle(self) -> Client | None:
        while self._idle:
            client = self._idle.pop()
            if not client.transport.is_closing():
                return client
        return None


class Origins:
    """The servers of one command. Leaving the context manager closes their connections.

    `width`: connections to each over HTTP/1.1.
    """

    def __init__(
        self, dialer: Dialer, pushes: bool, note: Callable[[str], None], width: int
    ) -> None:
        self._dialer = dialer
        self._pushes = pushes
        self._note = note
        self._width = width
        self._origins: dict[tuple[str, str, int, bool, bool], Origin] = {}
        self._clients: list[Client] = []

    def to(self, target: Target, separate: bool = False) -> Origin:
        """Return the `Origin` of a server; `separate`: a second one, with its own connection."""
        key = (target.scheme, target.host, target.port, target.force_http2, separate)
        if key not in self._origins:
            self._origins[key] = Origin(self._connect, self._width)
        return self._origins[key]

    async def __aenter__(self) -> "Origins":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        try:
            async with asyncio.timeout(0 if error else PATIENCE):
                for client in self._clients:
                    await client.wait_closed()
        except TimeoutError:
            for client in self._clients:
                client.transport.abort()

    def can_use_http1(self, target: Target) -> bool:
        """Return whether HTTP/1.1 can be spoken where HTTP/2 was chosen by ALPN."""
        secure = target.scheme == "https" and not target.force_http2
        return secure and not self._dialer.options.version

    async def _connect(self, target: Target, http1_only: bool) -> tuple[Client, Timings]:
        client, timings = await self._dialer.connect(
            target, http1_only=http1_only, pushes=self._pushes
        )
        self._clients.append(client)
        self._check(target, client)
        return client, timings

    def _check(self, target: Target, client: Client) -> None:
        secured = client.transport.get_extra_info("ssl_object")
        if secured is None or target.scheme != "https":
            self._note(f"connected to {target.authority}")
            return
        chosen = secured.selected_alpn_protocol()
        self._note(f"connected to {target.authority}, {secured.version()}, ALPN {chosen}")
        if self._dialer.options.version == "2" and chosen != "h2":
            raise Problem(f"{target.authority} does not speak HTTP/2 over TLS")
