"""Which connection a request gets, who waits, when to connect, when to close.

Takes facts as method calls, and gives decisions, which the driver takes by `take` after each of
them. Knows connections by the facts that they tell. Must never know sockets, event loops, threads
or how a request is sent. A driver that has several threads calls it under a lock.
"""

import time
from collections.abc import Callable
from typing import Any

from cno.limits import bound
from cno.pool import decide
from cno.pool.connection import Decision, Dial, Origin, PooledConnection, Waiter
from cno.pool.decide import State


class ConnectionStore:
    """The connections of a pool.

    HTTP/2: one connection for each origin, which all requests share. HTTP/1.1: up to
    `max_per_origin` for each origin, each for one request at a time. `max_connections` bounds those
    that take requests, together with the dials, and `max_idle` those that nobody uses. None: no
    bound. A connection that is idle for
    `keepalive_timeout` seconds is closed (None: never). Waiters are served in their order.
    """

    def __init__(
        self,
        max_connections: int | None,
        max_per_origin: int | None,
        keepalive_timeout: float | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_idle: int | None = None,
    ) -> None:
        self._state = State(
            bound(max_connections), bound(max_per_origin), keepalive_timeout, clock, bound(max_idle)
        )

    @property
    def is_closing(self) -> bool:
        """Whether `close` has been called."""
        return self._state.is_closing

    def take(self) -> list[Decision]:
        """Return the decisions since the last call, in order."""
        decisions = self._state.decisions
        if decisions:
            self._state.decisions = []
        return decisions

    def connections(self) -> list[PooledConnection]:
        """Return all connections, those included that take no more requests."""
        return list(self._state.connections)

    def count(self) -> int:
        """Return how many connections there are."""
        return len(self._state.connections)

    def is_empty(self) -> bool:
        """Return whether there are neither connections nor dials."""
        return not self._state.connections and self._state.dialing == 0

    # -- requests ----------------------------------------------------------------------------------

    def find(self, name: str) -> Origin | None:
        """Return the origin of this name, if there is one."""
        return self._state.origins.get(name)

    def add(self, origin: Origin) -> None:
        """Add an origin, which is forgotten again when it has no connections and no waiters."""
        self._state.origins[origin.name] = origin
        if origin.name in self._state.http1_only:
            self._state.http1_only.move_to_end(origin.name)
            origin.http1_only = True
            origin.http2 = False

    def pick(self, origin: Origin, unused_only: bool = False) -> PooledConnection | None:
        """Return a connection that takes a request now, and reserve a place on it.

        None: the request has to `wait`, as others do already, or for a dial.
        """
        if origin.has_waiter_for_any():
            return None
        shared = origin.shared
        if shared is not None:
            if not shared.is_usable():
                decide.capacity_changed(self._state, shared)
            elif shared.room() > 0:
                shared.reserved += 1
                return shared
        if unused_only and origin.http2 is False:
            return self._pick_unused(origin)
        while origin.idle:
            connection = origin.idle.pop()
            self._state.idle.pop(connection, None)
            if connection.is_usable():
                connection.reserved += 1
                return connection
            decide.capacity_changed(self._state, connection)
        return None

    def _pick_unused(self, origin: Origin) -> PooledConnection | None:
        """As `pick`, of the HTTP/1.1 connections that have had no request."""
        for connection in origin.idle:
            if connection.is_unused() and connection.is_usable():
                origin.idle.remove(connection)
                self._state.idle.pop(connection, None)
                connection.reserved += 1
                return connection
        return None

    def wait(self, waiter: Waiter) -> None:
        """Add a waiter. It is one of the decisions once it has a connection, or has failed."""
        origin = waiter.origin
        self._state.tickets += 1
        waiter.ticket = self._state.tickets
        # `pick` forgets an origin whose last connection it finds closed.
        self._state.origins.setdefault(origin.name, origin)
        origin.waiting[waiter] = None
        if waiter.goes_first:
            origin.waiting.move_to_end(waiter, last=False)
        if waiter.unused_only and origin.http2 is False:
            origin.waiting_for_unused.add(waiter)
            if origin.idle and origin.live >= self._state.max_per_origin:
                decide.drop(self._state, origin.idle[0])  # makes room
        decide.dial_as_needed(self._state, origin)

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter that waits no longer, and give its connection to others."""
        if waiter.connection is not None:
            self.release(waiter.connection)
            return
        origin = waiter.origin
        origin.remove(waiter)
        shared = origin.shared
        if shared is not None and not origin.waiting and shared.is_free():
            decide.capacity_changed(self._state, shared)  # nobody waits for it any more: it is idle
        decide.forget_if_empty(self._state, origin)

    def sent(self, connection: PooledConnection) -> None:
        """A request has been sent over the place that was reserved for it."""
        connection.reserved -= 1

    def release(self, connection: PooledConnection) -> None:
        """No request is going to be sent over a place that was reserved."""
        connection.is_held = False
        connection.reserved -= 1
        decide.capacity_changed(self._state, connection)

    # -- connections -------------------------------------------------------------------------------

    def made(self, dial: Dial, connection: PooledConnection) -> bool:
        """A connection has been made. Return False for HTTP/2 where HTTP/1.1 was asked for: call
        `failed` then, for the requests that wait."""
        origin = dial.origin
        if connection.is_http2 and dial.http1_only:
            return False
        origin.dialing -= 1
        self._state.dialing -= 1
        self._state.connections[connection] = None
        if connection.is_http2 and origin.http1_only:
            decide.drop(self._state, connection)  # its dial began before that was known
            decide.dial_as_needed(self._state, origin)
            return True
        if connection.is_http2:
            origin.http2 = True
        else:
            origin.set_http1()
        if self._state.is_closing or (connection.is_http2 and origin.shared is not None):
            decide.drop(self._state, connection)  # one is enough
            decide.dial_for_blocked(self._state)
            return True
        if connection.is_http2:
            origin.shared = connection
        decide.capacity_changed(self._state, connection)
        decide.dial_as_needed(self._state, origin)
        return True

    def failed(self, dial: Dial, reason: Any) -> None:
        """A connection could not be made. `reason` None: the driver gave the dial up."""
        origin = dial.origin
        origin.dialing -= 1
        self._state.dialing -= 1
        origin.live -= 1
        self._state.live -= 1
        if reason is not None:
            decide.fail_waiters(self._state, origin, reason)
        decide.dial_as_needed(self._state, origin)

    def capacity_changed(self, connection: PooledConnection) -> None:
        """A connection takes more requests than before, or none any more."""
        decide.capacity_changed(self._state, connection)

    def hold(self, connection: PooledConnection) -> None:
        """The driver inspects a connection: nobody else gets it until `inspected` or `release`."""
        connection.is_held = True

    def inspected(self, connection: PooledConnection, is_well: bool) -> None:
        """A connection that was on hold, with one place reserved, is in order, or at its end."""
        connection.is_held = False
        if is_well:
            # Others that came meanwhile may share it.
            decide.capacity_changed(self._state, connection)
            return
        connection.reserved -= 1
        origin = connection.origin
        decide.drop(self._state, connection)
        if connection.is_unused() and origin.is_served():
            decide.pause(self._state, origin)
        decide.dial_as_needed(self._state, origin)

    def retire(self, connection: PooledConnection) -> None:
        """Give a connection no more requests, and close it once those it has are done."""
        decide.retire(self._state, connection)
        if connection.is_free():
            decide.close(self._state, connection)
        decide.dial_as_needed(self._state, connection.origin)

    def refuses(self, connection: PooledConnection, reason: Any) -> None:
        """The server of a connection allows no requests: nor will it on another one."""
        decide.retire(self._state, connection)
        decide.fail_waiters(self._state, connection.origin, reason)
        self.retire(connection)

    def lost(self, connection: PooledConnection) -> None:
        """A connection is closed."""
        decide.retire_unusable(self._state, connection)
        self._state.connections.pop(connection, None)
        decide.dial_as_needed(self._state, connection.origin)

    def require_http1(self, origin: Origin) -> None:
        """The server of an origin requires HTTP/1.1: use nothing else from now on."""
        decide.require_http1(self._state, origin)

    # -- time, and the end -------------------------------------------------------------------------

    def tick(self) -> None:
        """Time has passed: close what has been idle for too long, dial again after a pause."""
        state = self._state
        state.alarm = 0.0
        if state.is_closing:
            return
        now = state.clock()
        while state.paused_origins:
            origin = next(iter(state.paused_origins))
            if state.paused_origins[origin] > now:
                decide.alarm_at(state, state.paused_origins[origin])
                break
            decide.unpause(state, origin)
            decide.dial_as_needed(state, origin)
        timeout = state.keepalive_timeout
        while state.idle and timeout is not None:
            connection = next(iter(state.idle))
            due = state.idle[connection] + timeout
            if now < due:
                decide.alarm_at(state, due)
                break
            if decide.blocks_waiters(connection):
                state.idle[connection] = now
                state.idle.move_to_end(connection)
            elif connection.is_free():
                decide.drop(state, connection)
            else:
                state.idle.pop(connection, None)
        decide.dial_for_blocked(state)

    def close(self, reason: Any) -> None:
        """Fail all waiters for this reason, and give no connection any more requests.

        The driver gives up the dials, and closes the connections when it is time for that.
        """
        self._state.is_closing = True
        for origin in self._state.origins.values():
            for waiter in list(origin.waiting):
                decide.fail_waiter(self._state, waiter, reason)
        for connection in self._state.connections:
            decide.retire(self._state, connection)
        self._state.blocked_origins.clear()
        self._state.paused_origins.clear()
        self._state.origins.clear()
