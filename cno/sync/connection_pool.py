"""The connections of a pool: drives `cno.pool.store` with threads.

Carries out what the store decides, and reports to it what happens to connections. Must never know
how a thread waits, what is sent, or what may be sent again.
"""

import time
from typing import cast

from mypy_extensions import mypyc_attr

from cno.aio.client.urls import Target
from cno.limits import Limits
from cno.pool.connection import Alarm, Decision, Dial, Origin, Waiter
from cno.pool.store import ConnectionStore
from cno.stats import ConnectionStats
from cno.sync.connection_io import begin, end, push_out, shut
from cno.sync.dialing import Dialer
from cno.sync.messages import Response
from cno.sync.pool_parker import PoolParker
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.state import Guard, Link, LinkListener
from cno.sync.stats import stats_of
from cno.sync.timeouts import FOREVER


class PoolGuard(Guard):
    """The lock of a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: ConnectionPool | None = None

    def forget_threads(self) -> None:
        if self.pool is not None:
            self.pool._dialer.forget_threads()

    def reset(self) -> None:
        if self.pool is not None:
            self.pool._reset()


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionPool(LinkListener):
    """The connections of a pool, and the requests that wait for one of them.

    `_connect_retries` is how often a request tries again to make a connection.
    """

    def __init__(
        self,
        dialer: Dialer,
        limits: Limits,
        max_connections: int | None,
        max_per_origin: int | None,
        max_idle: int | None,
    ) -> None:
        self._dialer = dialer
        self._limits = limits
        self._max_connections = max_connections
        self._max_per_origin = max_per_origin
        self._max_idle = max_idle
        self._connect_retries = 0
        self._guard = PoolGuard()
        self._guard.pool = self
        self._is_closing = False
        self._alarm = FOREVER
        self._performing = False
        self._store = self._new_store()

    def _new_store(self) -> ConnectionStore:
        return ConnectionStore(
            self._max_connections,
            self._max_per_origin,
            self._limits.keepalive_timeout,
            max_idle=self._max_idle,
        )

    def _reset(self) -> None:
        """Forget all connections, after an interrupted decision, or in the child of a fork.
        Requests that wait start again."""
        self._store = self._new_store()
        self._performing = False
        self._alarm = FOREVER
        for link in self._guard.links:
            link.entry = None
        self._dialer.reset()
        if self._is_closing:
            self._store.close(None)

    @property
    def connections(self) -> int:
        """The number of connections, including those that accept no more requests."""
        return self._store.count()

    def stats(self) -> list[ConnectionStats]:
        """Return a look at each connection that is open."""
        return stats_of(self._guard)

    def _begun(self, response: Response, spec: RequestSpec) -> None:
        """Called when a request is being sent; for subclasses."""

    # -- a connection for a request; called with the lock ------------------------------------------

    def _origin_of(self, target: Target) -> Origin:
        origin = self._store.find(target.origin)
        if origin is None:
            self._dialer.route.proxy_for(target)  # ValueError for a malformed one
            force = self._dialer.forces_http2(target)
            origin = Origin(target.origin, target, force if target.scheme == "http" else None)
            self._store.add(origin)
        return origin

    def _tick(self) -> None:
        """Run the store's expired timer."""
        if time.monotonic() >= self._alarm:
            self._alarm = FOREVER
            self._store.tick()
            self._perform()

    def _pick(self, origin: Origin, unused_only: bool) -> PooledLink | None:
        """Return a connection, with a place on it reserved; None if the request must wait."""
        picked = self._store.pick(origin, unused_only)
        self._perform()
        return None if picked is None else cast(PooledLink, picked)

    def _release(self, connection: PooledLink) -> None:
        """Give back a reserved place."""
        if connection.store is self._store:
            self._store.release(connection)
            self._perform()

    def _retire(self, connection: PooledLink) -> None:
        """Send no more requests on a connection."""
        if connection.store is self._store:
            self._store.retire(connection)
            self._perform()

    def _use_http1(self, connection: PooledLink) -> bool:
        """Use HTTP/1.1 alone for an origin from now on. Return False if that is not possible."""
        if not connection.can_use_http1 or connection.store is not self._store:
            return False
        self._store.require_http1(connection.origin)
        self._perform()
        return True

    # -- LinkListener ------------------------------------------------------------------------------

    def capacity_changed(self, link: Link) -> None:
        if link.entry is not None:
            self._store.capacity_changed(link.entry)
            self._perform()

    def lost(self, link: Link) -> None:
        entry = link.entry
        if entry is not None:
            link.entry = None
            self._store.lost(entry)
            self._perform()

    def unresponsive(self, link: Link) -> None:
        if link.entry is not None:
            self._store.retire(link.entry)
            self._perform()

    # -- the store's decisions ---------------------------------------------------------------------

    def _perform(self) -> None:
        """Carry out the store's decisions, and those that they lead to. Called with the lock."""
        if self._performing:
            return
        self._performing = True
        try:
            while True:
                decisions = self._store.take()
                if not decisions:
                    break
                for decision in decisions:
                    self._carry_out(decision)
        finally:
            self._performing = False

    def _carry_out(self, decision: Decision) -> None:
        if isinstance(decision, Waiter):
            cast(PoolParker, decision.key).unpark()
        elif isinstance(decision, Dial):
            self._dialer.add(decision)
        elif isinstance(decision, Alarm):
            self._alarm = decision.at
        else:
            link = cast(PooledLink, decision).link
            shut(link)
            push_out(link)

    # -- the end -----------------------------------------------------------------------------------

    def _close(self, at_once: bool) -> None:
        """Close the connections: now, or once their requests are done."""
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            self._is_closing = True
            self._store.close(None)
            self._perform()
            self._dialer.cancel()
            for link in list(guard.links):
                end(link, at_once)
            guard.inside = False
