"""A pool whose requests have time limits by phase, and are traced.

Knows when a request waits for a connection, and when it is sent. Must never know httpx.
"""

import asyncio
from ssl import SSLContext
from typing import Any, Final, cast

from cno.adapters.deadline import FOREVER, Deadline, TimedRequest
from cno.adapters.errors import CONNECT, POOL, PhaseTimeoutError
from cno.adapters.prepared import http1_target
from cno.adapters.route import TransportRoute
from cno.adapters.trace import prefix
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
from cno.pool.connection import Dial, Origin, Waiter
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
        self._route = route
        self._transport_route = route
        self._store = ConnectionStore(
            max_connections, None, limits.keepalive_timeout, max_idle=max_idle
        )
        self._connect_retries = connect_retries
        self._dialed: dict[str, float] = {}  # when the last connection to an origin was begun

    async def send(self, target: Target, spec: TimedRequest) -> Response:
        """Send a request; return its response once the head has been received."""
        self._bind()
        if spec.source is None:
            return await self._send(target, spec, None)
        return await self._send_stream(target, spec, spec.source)

    async def connection(self, target: Target, spec: TimedRequest) -> ClientConnection:
        """Return a connection on which a place is reserved: call `_release` after its use."""
        self._bind()
        if self._store.is_closing:
            raise UsageError("the pool is closed")
        while True:
            origin = self._origin_of(target)
            picked = self._store.pick(origin, False)
            if picked is not None:
                connection = cast(ClientConnection, picked)
            else:
                connection = await self._wait(origin, spec, False, False)
            alone = connection.is_reserved_alone()
            if not alone or (connection.is_usable() and not connection.has_input()):
                return connection
            if await self._is_well(connection):
                return connection

    def http1_target(self, target: Target) -> Target:
        """Return the target of other connections to the same server, which speak HTTP/1.1."""
        same = http1_target(target)
        self._store.require_http1(self._origin_of(same))
        return same

    def _request_sent(self, response: ResponseState, spec: RequestSpec) -> None:
        timed = cast(TimedRequest, spec)
        timed.deadline.begin(response)
        if timed.tracer is not None:
            name = prefix(response._conn._http2)
            for step in ("send_request_headers", "send_request_body"):
                timed.tracer.put(f"{name}.{step}.started", {"stream_id": response.stream})
                timed.tracer.put(f"{name}.{step}.complete", {"return_value": None})
            timed.tracer.put(
                f"{name}.receive_response_headers.started", {"stream_id": response.stream}
            )

    async def _wait(
        self, origin: Origin, spec: RequestSpec, goes_first: bool, unused_only: bool
    ) -> ClientConnection:
        """Wait for a connection for a request, within its limits; try again to connect."""
        timed = cast(TimedRequest, spec)
        retries = self._connect_retries
        delay = 0.0
        route = self._transport_route
        if timed.tracer is not None:
            route.listen(origin.name, timed.tracer)
        try:
            while True:
                try:
                    return await self._wait_once(origin, timed.deadline, goes_first, unused_only)
                except (ConnectError, PhaseTimeoutError) as error:
                    if retries <= 0 or not may_retry(error):
                        raise
                retries -= 1
                if delay > 0.0:
                    await asyncio.sleep(delay)
                delay = delay * 2.0 if delay > 0.0 else RETRY_DELAY
        finally:
            if timed.tracer is not None:
                route.stop_listening(origin.name, timed.tracer)

    async def _wait_once(
        self, origin: Origin, deadline: Deadline, goes_first: bool, unused_only: bool
    ) -> ClientConnection:
        loop = asyncio.get_running_loop()
        waiter = self._join(origin, goes_first, unused_only)
        patience = Patience(self, loop, waiter, deadline)
        patience.check()
        try:
            await waiter.key
        except (asyncio.CancelledError, PhaseTimeoutError):
            self._leave(waiter)
            self._give_up_dials(origin)
            raise
        finally:
            patience.close()
        return connection_of(waiter)

    def _begin(self, dial: Dial) -> None:
        self._dialed[dial.origin.name] = asyncio.get_running_loop().time()
        super()._begin(dial)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        origin = self._attempts[task].dial.origin
        super()._finished(task)
        if origin.dialing == 0:
            self._dialed.pop(origin.name, None)

    def _give_up_dials(self, origin: Origin) -> None:
        """Stop making connections that nobody waits for."""
        if not origin.waiting:
            for task, attempt in list(self._attempts.items()):
                if attempt.dial.origin is origin:
                    task.cancel()


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
            self._since = self._pool._dialed.get(origin.name, now) if connecting else now
        phase = CONNECT if connecting else POOL
        limit = self._deadline.connect if connecting else self._deadline.pool
        due = self._since + limit
        if due <= now:
            key.set_exception(PhaseTimeoutError(phase, limit))
            return
        self._timer = self._loop.call_at(min(due, now + self._interval), self.check)
