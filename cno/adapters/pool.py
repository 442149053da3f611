"""A pool whose requests have time limits by phase, and are traced.

Knows when a request waits for a connection, and when it is sent. Must never know httpx.
"""

import asyncio
from collections.abc import Coroutine
from ssl import SSLContext
from typing import Any, Final, cast

from cno.adapters.deadline import FOREVER, Deadline, DeadlineQueues, TimedRequest
from cno.adapters.errors import CONNECT, POOL, PhaseTimeoutError
from cno.adapters.prepared import http1_target
from cno.adapters.route import TransportRoute
from cno.aio import retrying
from cno.aio.client.connection import Response
from cno.aio.client.pooled import ClientConnection
from cno.aio.client.request_spec import RequestSpec
from cno.aio.client.response_state import ResponseState
from cno.aio.client.urls import Target
from cno.aio.connection_pool import connection_of
from cno.aio.errors import ConnectError
from cno.aio.pool import Pool
from cno.errors import UsageError
from cno.limits import Limits
from cno.pool.connection import Origin, Waiter
from cno.pool.store import ConnectionStore

#: Seconds before the second retry of a connection; they double with each further one.
RETRY_DELAY: Final = 0.5


class TransportPool(Pool):
    """The pool of a transport.

    `max_idle` bounds the connections that nobody uses, `connect_retries` how often a connection is
    tried again.
    """

    def __init__(
        self,
        route: TransportRoute,
        ssl_ctx: SSLContext,
        force_http2: bool,
        max_connections: int | None,
        max_idle: int | None,
        connect_retries: int,
        limits: Limits,
    ) -> None:
        super().__init__(
            ssl_ctx,
            force_http2=force_http2,
            max_connections=max_connections,
            max_per_origin=None,
            limits=limits,
        )
        self._dialer.route = route
        self._transport_route = route
        self._store = ConnectionStore(
            max_connections, None, limits.keepalive_timeout, max_idle=max_idle
        )
        self._connect_retries = connect_retries
        self.deadlines = DeadlineQueues(asyncio.get_running_loop(), self._dialer.context)

    def send(self, target: Target, spec: TimedRequest) -> Coroutine[Any, Any, Response]:
        """Send a request, in the pool's event loop; return its response with the head."""
        return retrying.send(self, target, spec, self._new_retries())

    async def connection(self, target: Target, spec: TimedRequest) -> ClientConnection:
        """Return a connection on which a place is reserved: call `_release` after its use."""
        self._bind()
        if self._store.is_closing:
            raise UsageError("the pool is closed")
        return await retrying.reserve(self, target, spec, self._new_retries())

    def http1_target(self, target: Target) -> Target:
        """Return the target of other connections to the same server, which speak HTTP/1.1."""
        same = http1_target(target)
        self._store.require_http1(self._origin_of(same))
        return same

    def _request_sent(self, response: ResponseState, spec: RequestSpec) -> None:
        cast(TimedRequest, spec).sent(response)

    async def _wait(
        self, origin: Origin, spec: RequestSpec, goes_first: bool, unused_only: bool
    ) -> ClientConnection:
        return await wait(self, origin, cast(TimedRequest, spec), goes_first, unused_only)


async def wait(
    pool: TransportPool, origin: Origin, spec: TimedRequest, goes_first: bool, unused_only: bool
) -> ClientConnection:
    """Wait for a connection for a request, within its limits; have its tracer see the attempts."""
    if spec.tracer is None:
        return await wait_and_retry(pool, origin, spec.deadline, goes_first, unused_only)
    route = pool._transport_route
    route.listen(origin.name, spec.tracer)
    try:
        return await wait_and_retry(pool, origin, spec.deadline, goes_first, unused_only)
    finally:
        route.stop_listening(origin.name, spec.tracer)


async def wait_and_retry(
    pool: TransportPool, origin: Origin, deadline: Deadline, goes_first: bool, unused_only: bool
) -> ClientConnection:
    """Wait for a connection, and try again to connect where that may succeed."""
    retries = pool._connect_retries
    delay = 0.0
    while True:
        try:
            return await wait_once(pool, origin, deadline, goes_first, unused_only)
        except (ConnectError, PhaseTimeoutError) as error:
            if retries <= 0 or not may_retry(error):
                raise
        retries -= 1
        if delay > 0.0:
            await asyncio.sleep(delay)
        delay = delay * 2.0 if delay > 0.0 else RETRY_DELAY


async def wait_once(
    pool: TransportPool, origin: Origin, deadline: Deadline, goes_first: bool, unused_only: bool
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    waiter = pool._join(origin, goes_first, unused_only)
    patience = Patience(pool, loop, waiter, deadline)
    patience.check()
    try:
        await waiter.key
    except (asyncio.CancelledError, PhaseTimeoutError):
        pool._leave(waiter)
        if not origin.waiting:
            pool._dialer.cancel_attempts(origin)  # nobody waits for these connections
        raise
    finally:
        patience.close()
    return connection_of(waiter)


def may_retry(error: Exception) -> bool:
    """Return whether connecting may succeed the next time."""
    if isinstance(error, PhaseTimeoutError):
        return error.phase == CONNECT
    return isinstance(error, ConnectError) and error.retryable


class Patience:
    """The timer of a request that waits for a connection."""

    def __init__(
        self,
        pool: TransportPool,
        loop: asyncio.AbstractEventLoop,
        waiter: Waiter,
        deadline: Deadline,
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._waiter = waiter
        self._deadline = deadline
        self._interval = min(deadline.connect, deadline.pool)
        self._connecting = waiter.origin.dialing > 0
        self._since = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def check(self) -> None:
        """Fail the wait if it has been too long, or look again later."""
        self._timer = None
        key: Any = self._waiter.key
        if self._interval == FOREVER or key.done():
            return
        now = self._loop.time()
        origin = self._waiter.origin
        connecting = origin.dialing > 0
        if connecting != self._connecting:
            self._connecting = connecting
            self._since = self._pool._dialer.begun_at(origin, now) if connecting else now
        phase = CONNECT if connecting else POOL
        limit = self._deadline.connect if connecting else self._deadline.pool
        due = self._since + limit
        if due <= now:
            key.set_exception(PhaseTimeoutError(phase, limit))
            return
        self._timer = self._loop.call_at(min(due, now + self._interval), self.check)
