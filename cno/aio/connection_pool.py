"""The connections of a pool: drives `cno.pool.store` with asyncio.

Makes and closes the connections that the store decides on, wakes the requests that wait, and keeps
its timer. Must never know what is sent, or what may be sent again.
"""

import asyncio
import time
from typing import cast

from mypy_extensions import mypyc_attr

from cno.aio.client import graceful_close
from cno.aio.client.connect import Route
from cno.aio.client.connect_errors import connect_error
from cno.aio.client.connection import Client
from cno.aio.client.dialing import Dialer
from cno.aio.client.pooled import ClientConnection, PoolListener, PoolObserver
from cno.aio.client.request_queue import NOT_ALLOWED
from cno.aio.client.request_spec import RequestSpec
from cno.aio.client.response_state import ResponseState
from cno.aio.client.unread_input import let_transport_read
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError, ConnectionLostError, StreamTimeoutError, fresh, not_sent
from cno.aio.log import pool_log
from cno.aio.waiters import wake
from cno.limits import Limits
from cno.pool.connection import Alarm, Decision, Dial, Origin, Waiter
from cno.pool.store import ConnectionStore
from cno.settings import SettingsDict
from cno.stats import ConnectionStats
from cno.trace.hook import Tracer


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionPool(PoolListener):
    """The connections of a pool, and the requests that wait for one of them."""

    def __init__(
        self,
        route: Route,
        force_http2: bool,
        max_connections: int | None,
        max_per_origin: int | None,
        settings: SettingsDict | None,
        limits: Limits,
        tracer: Tracer | None = None,
    ) -> None:
        self._dialer = Dialer(route, force_http2, settings, limits, tracer)
        self._store = ConnectionStore(max_connections, max_per_origin, limits.keepalive_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None  # to tell the store that time has passed
        self._performing = False  # the store's decisions are being carried out
        self._closed: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many connections there are, those included that take no more requests."""
        return self._store.count()

    def stats(self) -> list[ConnectionStats]:
        """Return what `Client.stats` returns of each connection."""
        connections = self._store.connections()
        return [cast(ClientConnection, each).client.stats() for each in connections]

    def _bind(self) -> None:
        """Belong to the running event loop. Raises RuntimeError in any other one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("the pool belongs to another event loop: each loop needs its own")

    async def wait_closed(self) -> None:
        """Wait until all connections are closed."""
        self._bind()
        while not self._store.is_empty():
            if self._closed is None:
                self._closed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._closed)

    # -- a connection for a request ----------------------------------------------------------------

    def _origin_of(self, target: Target) -> Origin:
        origin = self._store.find(target.origin)
        if origin is None:
            self._dialer.route.check(target)
            clear_text = target.scheme == "http"
            force = self._dialer.force_http2 or target.force_http2
            origin = Origin(target.origin, target, force if clear_text else None)
            self._store.add(origin)
        return origin

    async def _wait(
        self, origin: Origin, spec: RequestSpec, goes_first: bool, unused_only: bool
    ) -> ClientConnection:
        """Wait for a connection for a request; a place on it is reserved."""
        waiter = self._join(origin, goes_first, unused_only)
        try:
            if spec.observer is not None:
                spec.observer.waits(waiter.key, origin)
            await waiter.key
        except (asyncio.CancelledError, TimeoutError):
            self._leave(waiter)
            raise
        return connection_of(waiter)

    def _join(self, origin: Origin, goes_first: bool, unused_only: bool) -> Waiter:
        """Return a new waiter. Its `key` is a future that is done when the store has decided."""
        waiter = Waiter(origin, unused_only, goes_first, asyncio.get_running_loop().create_future())
        self._store.wait(waiter)
        self._perform()
        if origin.shared is not None:
            cast(ClientConnection, origin.shared).client._shorten_timer()
        return waiter

    def _leave(self, waiter: Waiter) -> None:
        """Give up waiting."""
        self._store.leave(waiter)
        self._perform()

    async def _is_well(self, connection: ClientConnection) -> bool:
        """Read what has come on a connection that nobody uses; return whether that was not its end.

        Until that is known, nobody else is given it. If it is not well, it is closed.
        """
        self._store.hold(connection)
        try:
            await let_transport_read()
        except BaseException:
            self._release(connection)
            raise
        is_well = connection.is_usable() and not connection.has_input()
        self._store.inspected(connection, is_well)
        self._perform()
        return is_well

    def _request_sent(self, response: ResponseState, spec: RequestSpec) -> None:
        """A request is being sent. (For subclasses that watch it.)"""

    def _release(self, connection: ClientConnection) -> None:
        """Give back a place that was reserved."""
        self._store.release(connection)
        self._perform()

    def _retire(self, connection: ClientConnection) -> None:
        """Give a connection no more requests."""
        self._store.retire(connection)
        self._perform()

    def _use_http1(self, connection: ClientConnection) -> bool:
        """Use HTTP/1.1 alone for an origin from now on. Return False if that is not possible."""
        if not self.can_use_http1(connection.client):
            return False
        self._store.require_http1(connection.origin)
        self._perform()
        return True

    # -- PoolListener ------------------------------------------------------------------------------

    def capacity_changed(self, connection: ClientConnection) -> None:
        self._store.capacity_changed(connection)
        self._perform()

    def lost(self, connection: ClientConnection) -> None:
        self._store.lost(connection)
        self._perform()

    def ping_unanswered(self, connection: ClientConnection) -> None:
        client = connection.client
        about = {"connection": client._number, "authority": client.authority}
        pool_log.debug("%s does not answer a PING", client.authority, extra=about)
        self._store.retire(connection)
        self._perform()

    def refuses(self, connection: ClientConnection) -> None:
        self._store.refuses(connection, not_sent(NOT_ALLOWED))
        self._perform()

    def can_use_http1(self, client: Client) -> bool:
        if client.scheme != "https" or client._force_http2:
            return False
        return self._dialer.route.can_require_http1()

    # -- the store's decisions ---------------------------------------------------------------------

    def _perform(self) -> None:
        """Carry out the store's decisions, and those that follow from that."""
        if self._performing:
            return
        self._performing = True
        try:
            while decisions := self._store.take():
                for decision in decisions:
                    self._perform_one(decision)
        finally:
            self._performing = False
        if self._closed is not None and self._store.is_empty():
            wake(self._closed)
            self._closed = None

    def _perform_one(self, decision: Decision) -> None:
        if isinstance(decision, Waiter):
            wake(decision.key)
        elif isinstance(decision, Dial):
            self._dialer.begin(decision, self)
        elif isinstance(decision, Alarm):
            self._set_timer(decision.at)
        else:
            cast(ClientConnection, decision).client.close()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        call_later = asyncio.get_running_loop().call_later
        wait = max(0.0, at - time.monotonic())
        self._timer = call_later(wait, self._tick, context=self._dialer.context)

    def _tick(self) -> None:
        self._timer = None
        self._store.tick()
        self._perform()

    def dialed(self, dial: Dial, client: Client) -> None:
        connection = ClientConnection(dial.origin, client, self)
        client._observe(PoolObserver(connection, self))
        if self._store.made(dial, connection):
            self._perform()
            if dial.origin.waiting:
                client._shorten_timer()
            return
        client._observe(None)
        client.abort()
        error = ConnectError("the server requires HTTP/1.1, and has chosen HTTP/2")
        self.dial_failed(dial, error)

    def dial_failed(self, dial: Dial, error: BaseException) -> None:
        self._store.failed(dial, error if isinstance(error, Exception) else None)
        self._perform()

    # -- the end -----------------------------------------------------------------------------------

    def _close(self, at_once: bool) -> None:
        """Close the connections: now, or once their requests are done."""
        self._store.close(None)
        self._perform()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dialer.cancel_attempts()
        for connection in self._store.connections():
            client = cast(ClientConnection, connection).client
            if at_once or not connection.is_busy():
                client.close()
            else:
                graceful_close.begin(client)
        self._perform()


def connection_of(waiter: Waiter) -> ClientConnection:
    """Return the connection that the store has given to a waiter, or raise why there is none."""
    if waiter.connection is None:
        target = cast(Target, waiter.origin.peer)
        raise error_for(target, cast("Exception | None", waiter.reason))
    return cast(ClientConnection, waiter.connection)


def error_for(target: Target, reason: Exception | None) -> Exception:
    """Return the error of one request that waited for a connection; None: the pool was closed."""
    if reason is None:
        return ConnectionLostError("the pool was closed", retryable=True)
    if isinstance(reason, StreamTimeoutError):
        return fresh(reason)  # there is a connection, whose server allows no requests
    if isinstance(reason, OSError):
        return connect_error(target, reason)
    return reason  # a mistake in the program, or in the environment's variables
