"""The connections of a pool: drives `cno.pool.store` with threads.

A thread that needs a connection makes it. A thread that waits for an HTTP/2 stream reads from
the connection meanwhile. Must never know what is sent, or what may be sent again.
"""

import time
from typing import cast, final

from mypy_extensions import mypyc_attr

from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    StreamTimeoutError,
    fresh,
    not_sent,
)
from cno.limits import Limits
from cno.pool.connection import Alarm, Decision, Dial, Origin, Waiter
from cno.pool.store import ConnectionStore
from cno.settings import SettingsDict
from cno.stats import ConnectionStats
from cno.sync.connection_io import abort, begin, end, push_out, shut
from cno.sync.dial import DialCancelledError, Dialing
from cno.sync.errors import PoolTimeoutError
from cno.sync.exchange import NO_SLOT
from cno.sync.messages import Response
from cno.sync.parker import Parker
from cno.sync.polling import wait
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.route import Route
from cno.sync.state import Guard, Link, LinkListener
from cno.sync.stats import stats_of
from cno.sync.timeouts import FOREVER, Deadlines


class PoolParker(Parker):
    """A thread whose request waits for a connection."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.waiter: Waiter | None = None
        self.dialing: Dialing | None = None  # the connection that the thread is making
        self.is_void = False  # the pool was reset
        self.dial: Dial | None = None  # the decision to make it
        self._pending: dict[str, list[Dial]] = {}
        self._origin = origin

    def attach(self, pending: dict[str, list[Dial]]) -> None:
        self._pending = pending

    def decided(self) -> bool:
        """Return whether the store has decided about the request."""
        waiter = self.waiter
        if waiter is None or self.is_void:
            return True
        return waiter.connection is not None or waiter.failed

    def done(self) -> bool:
        return self.decided() or self._origin.name in self._pending

    def wake(self) -> None:
        if self.dialing is not None:
            if self.decided():
                self.dialing.cancel()
        else:
            super().unpark()


@final
class Reservation:
    """The connection of one attempt to send a request; `is_reserved` until it is sent."""

    def __init__(self) -> None:
        self.connection: PooledLink | None = None
        self.is_reserved = False
        self.response: Response | None = None

    def take(self, connection: PooledLink) -> None:
        self.connection = connection
        self.is_reserved = True


@final
class PoolClock:
    """How long a request waits for a connection: separately, while other threads make the first
    ones of its origin (`Timeout.connect`), and while all are in use (`Timeout.pool`)."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        # The connection's own limit is that of the thread that makes it.
        self._connect_left = FOREVER if deadlines.by_limits_connect else deadlines.connect
        self._pool_left = deadlines.pool
        self._connecting = False
        self.now = time.monotonic()

    def due(self, origin: Origin) -> float:
        """Return when the wait ends at the latest, as things are now."""
        now = time.monotonic()
        if self._connecting:
            self._connect_left -= now - self.now
        else:
            self._pool_left -= now - self.now
        self.now = now
        self._connecting = origin.dialing > 0 and origin.dialing == origin.live
        left = self._connect_left if self._connecting else self._pool_left
        return min(now + left, self._deadlines.total_at)

    def error(self, origin: Origin) -> Exception:
        """Return the error of a request that has waited for too long."""
        deadlines = self._deadlines
        cause: ConnectTimeoutError
        if self.now >= deadlines.total_at:
            cause = PoolTimeoutError("no connection was free in time")
        elif self._connecting:
            cause = ConnectTimeoutError(f"no connection within {deadlines.connect:.3g} s")
        else:
            cause = PoolTimeoutError(f"no connection was free within {deadlines.pool:g} s")
        return connect_error(cast(Target, origin.peer), cause)


class PoolGuard(Guard):
    """The lock of a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: ConnectionPool | None = None

    def forget_threads(self) -> None:
        if self.pool is not None:
            self.pool._parkers.clear()
            self.pool._dialing.clear()

    def reset(self) -> None:
        if self.pool is not None:
            self.pool._reset()


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionPool(LinkListener):
    """The connections of a pool, and the requests that wait for one of them."""

    def __init__(
        self,
        route: Route,
        force_http2: bool,
        max_connections: int | None,
        max_per_origin: int | None,
        settings: SettingsDict | None,
        limits: Limits,
        max_idle: int | None,
    ) -> None:
        self._route = route
        self._force_http2 = force_http2
        self._settings = settings
        self._limits = limits
        self._max_connections = max_connections
        self._max_per_origin = max_per_origin
        self._max_idle = max_idle
        self._guard = PoolGuard()
        self._guard.pool = self
        self._is_closing = False
        self._alarm = FOREVER
        self._performing = False
        self._dials: dict[str, list[Dial]] = {}  # decided on, not begun, by origin
        self._dialing: dict[Dialing, None] = {}
        self._parkers: dict[PoolParker, None] = {}
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
        self._dials = {}
        for link in self._guard.links:
            link.entry = None
        for parker in list(self._parkers):
            if not parker.decided():
                parker.is_void = True
                parker.unpark()
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

    # -- a connection for a request ----------------------------------------------------------------

    def _origin_of(self, target: Target) -> Origin:
        origin = self._store.find(target.origin)
        if origin is None:
            self._route.proxy_for(target)  # ValueError for a malformed one
            clear_text = target.scheme == "http"
            force = self._force_http2 or target.force_http2
            origin = Origin(target.origin, target, force if clear_text else None)
            self._store.add(origin)
        return origin

    def _tick(self) -> None:
        """Run the store's expired timer. Called with the lock."""
        if time.monotonic() >= self._alarm:
            self._alarm = FOREVER
            self._store.tick()
            self._perform()

    def _pick(self, origin: Origin, unused_only: bool) -> PooledLink | None:
        """Return a connection, with a place on it reserved; None if the request must wait. Called
        with the lock."""
        picked = self._store.pick(origin, unused_only)
        self._perform()
        return None if picked is None else cast(PooledLink, picked)

    def _join(self, origin: Origin, goes_first: bool, unused_only: bool) -> PoolParker:
        """Enter a request that must wait for a connection. Called with the lock."""
        parker = PoolParker(origin)
        parker.attach(self._dials)
        parker.waiter = Waiter(origin, unused_only, goes_first, parker)
        self._parkers[parker] = None
        self._store.wait(parker.waiter)
        self._perform()
        return parker

    def _await(
        self, parker: PoolParker, origin: Origin, deadlines: Deadlines, reservation: Reservation
    ) -> None:
        """Wait until `reservation` has a connection; make it if the store has decided so.

        Raises the error of a failed connection. Called without the lock.
        """
        guard = self._guard
        finished = False
        clock = PoolClock(deadlines)
        try:
            while True:
                dial: Dial | None = None
                link: Link | None = None
                guard.check()
                with guard.lock:
                    begin(guard)
                    parker.reset()
                    parker.attach(self._dials)
                    due = clock.due(origin)
                    now = clock.now
                    is_decided = parker.decided()
                    if is_decided:
                        waiter = parker.waiter
                        if waiter is not None and waiter.connection is not None:
                            reservation.take(cast(PooledLink, waiter.connection))
                            finished = True
                    else:
                        dial = parker.dial = self._next_dial(origin)
                        if dial is None and now < due:
                            shared = origin.shared
                            if shared is not None:
                                link = cast(PooledLink, shared).link
                                link.parked_requests[parker] = None
                            else:
                                parker.prepare()
                    guard.inside = False
                if is_decided:
                    break
                if dial is not None:
                    self._make(dial, parker, deadlines)
                    clock.now = time.monotonic()
                elif now >= due:
                    raise clock.error(origin)
                elif link is not None:
                    self._read_meanwhile(link, parker, due)
                else:
                    parker.park(due - now)
            if not finished:
                raise failure_of(parker)
        finally:
            guard.check()
            with guard.lock:
                begin(guard)
                parker.reset()
                self._parkers.pop(parker, None)
                self._unjoin(parker, finished)
                self._drop_dials(origin)
                guard.inside = False

    def _unjoin(self, parker: PoolParker, finished: bool) -> None:
        """Remove a request that waited. Called with the lock."""
        waiter = parker.waiter
        if parker.is_void or waiter is None:
            return
        if parker.dial is not None:
            self._store.failed(parker.dial, None)  # interrupted before it was made
            parker.dial = None
        if not finished and not waiter.failed:
            self._store.leave(waiter)
        self._perform()

    def _read_meanwhile(self, link: Link, parker: PoolParker, due: float) -> None:
        """Wait for a stream of an HTTP/2 connection, and read from it."""
        try:
            stall = self._limits.write_stall_timeout
            until = due if stall is None else min(due, time.monotonic() + stall)
            in_time = wait(link, parker, until)
            if in_time or time.monotonic() >= due or stall is None:
                return
            with self._guard.lock:
                begin(self._guard)
                if link._count_local == 0 and not link.is_greeting() and not parker.decided():
                    if link.entry is not None:
                        self._store.refuses(link.entry, not_sent(NO_SLOT))
                        self._perform()
                self._guard.inside = False
        finally:
            link.parked_requests.pop(parker, None)

    def _release(self, connection: PooledLink) -> None:
        """Give back a reserved place. Called with the lock."""
        if connection.store is self._store:
            self._store.release(connection)
            self._perform()

    def _retire(self, connection: PooledLink) -> None:
        """Send no more requests on a connection. Called with the lock."""
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

    # -- making connections ------------------------------------------------------------------------

    def _next_dial(self, origin: Origin) -> Dial | None:
        """Return a connection to make that the store has decided on, if there is one."""
        waiting = self._dials.get(origin.name)
        if not waiting:
            return None
        dial = waiting.pop(0)
        if not waiting:
            del self._dials[origin.name]
        return dial

    def _drop_dials(self, origin: Origin) -> None:
        """Give up connections to make that no thread waits for any more."""
        while True:
            waiting = self._dials.get(origin.name)
            if not waiting:
                return
            for parker in self._parkers:
                if parker._origin.name == origin.name and parker.dialing is None:
                    if not parker.decided():
                        parker.unpark()
                        return
            dial = self._next_dial(origin)
            if dial is None:
                return
            self._store.failed(dial, None)
            self._perform()

    def _make(self, dial: Dial, parker: PoolParker, deadlines: Deadlines) -> None:
        """Make a connection. Called without the lock."""
        guard = self._guard
        target = cast(Target, dial.origin.peer)
        force = self._force_http2 or target.force_http2
        dialing = Dialing(deadlines)
        parker.dialing = dialing
        self._dialing[dialing] = None
        link: Link | None = None
        reason: Exception | None = None
        own: ConnectTimeoutError | None = None  # other requests have longer timeouts
        store = self._store
        try:
            link = self._route.connect(
                target, dialing, guard, force, self._settings, self._limits, dial.http1_only
            )
        except DialCancelledError:
            pass
        except ConnectTimeoutError as late:
            if dialing.by_limits:
                reason = late
            else:
                own = late
        except Exception as error:
            reason = error
        finally:
            parker.dialing = None
            self._dialing.pop(dialing, None)
            guard.check()
            with guard.lock:
                begin(guard)
                parker.dial = None
                if store is not self._store:
                    if link is not None:
                        abort(link)  # the pool was reset meanwhile
                elif link is None:
                    self._store.failed(dial, reason)
                else:
                    self._add(dial, link)
                self._perform()
                guard.inside = False
        if own is not None:
            raise connect_error(target, own)

    def _add(self, dial: Dial, link: Link) -> None:
        """Pass a new connection to the store."""
        can_use_http1 = (
            link.scheme == "https" and not link.force_http2 and self._route.can_require_http1()
        )
        entry = PooledLink(self._store, dial.origin, link, can_use_http1)
        link.entry = entry
        link.listener = self
        if not self._store.made(dial, entry):
            link.entry = None
            link.listener = None
            abort(link)
            self._store.failed(
                dial, ConnectError("the server requires HTTP/1.1, and has chosen HTTP/2")
            )

    # -- LinkListener ------------------------------------------------------------------------------

    def changed(self, link: Link) -> None:
        if link.entry is not None:
            self._store.changed(link.entry)
            self._perform()

    def lost(self, link: Link) -> None:
        entry = link.entry
        if entry is not None:
            link.entry = None
            self._store.lost(entry)
            self._perform()

    def silent(self, link: Link) -> None:
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
            self._dials.setdefault(decision.origin.name, []).append(decision)
            for parker in self._parkers:
                if parker._origin.name == decision.origin.name and parker.dialing is None:
                    if not parker.decided():
                        parker.unpark()
                        break
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
            for dialing in list(self._dialing):
                dialing.cancel()
            for link in list(guard.links):
                end(link, at_once)
            guard.inside = False


class PoolResetError(Exception):
    """The pool was reset while a request waited: the request starts again."""


def failure_of(parker: PoolParker) -> Exception:
    """Return why there is no connection for a request that has waited."""
    waiter = parker.waiter
    if waiter is None or parker.is_void:
        return PoolResetError()
    target = cast(Target, waiter.origin.peer)
    return error_for(target, cast("Exception | None", waiter.reason))


def error_for(target: Target, reason: Exception | None) -> Exception:
    """Return the error of one request that waited for a connection; None: the pool was closed."""
    if reason is None:
        return ConnectionLostError("the pool was closed", retryable=True)
    if isinstance(reason, StreamTimeoutError):
        return fresh(reason)  # the server of the connection allows no requests
    if isinstance(reason, OSError):
        return connect_error(target, reason)
    return reason  # an error of the program, or a malformed environment variable
