"""The rules of a store of connections: when to dial, who gets a connection, which one is closed.

Functions over the state of a store, to which they add their decisions. This module must never know
sockets, event loops, threads or how a request is sent.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import i64

from cno.pool.connection import Alarm, Decision, Dial, Origin, PooledConnection, Waiter

#: Seconds without another dial to an origin with HTTP/1.1 connections, after one has failed.
DIAL_PAUSE: Final = 0.2
#: How many origins are remembered whose servers require HTTP/1.1.
MAX_HTTP1_ONLY: Final = 1_000


class State:
    """The state of a store."""

    def __init__(
        self,
        max_live: i64,
        max_per_origin: i64,
        keepalive_timeout: float | None,
        clock: Callable[[], float],
        max_idle: i64,
    ) -> None:
        if max_live < 1 or max_per_origin < 1:
            raise ValueError("a pool needs room for a connection")
        self.max_live = max_live
        self.max_per_origin = max_per_origin
        self.keepalive_timeout = keepalive_timeout
        self.clock = clock
        self.max_idle = max_idle
        self.origins: dict[str, Origin] = {}
        self.connections: dict[PooledConnection, None] = {}  # that are made and not lost
        self.live: i64 = 0  # connections that take requests, and dials
        self.dialing: i64 = 0
        self.idle: OrderedDict[PooledConnection, float] = OrderedDict()  # since when
        self.blocked_origins: OrderedDict[Origin, None] = OrderedDict()  # in need of a dial
        self.paused_origins: OrderedDict[Origin, float] = OrderedDict()  # until when
        #: Origins whose servers require HTTP/1.1; the first was used the longest ago.
        self.http1_only: OrderedDict[str, None] = OrderedDict()
        self.tickets: i64 = 0
        self.alarm = 0.0  # when `tick` is to be called; 0: not at all
        self.decisions: list[Decision] = []
        self.is_closing = False


def dial_as_needed(state: State, origin: Origin) -> None:
    """Decide on the dials that the waiters of an origin need."""
    while not state.is_closing and needs_dial(state, origin):
        if state.live >= state.max_live and not evict(state):
            state.blocked_origins[origin] = None
            return
        dial(state, origin)
    state.blocked_origins.pop(origin, None)
    forget_if_empty(state, origin)
    dial_for_blocked(state)


def needs_dial(state: State, origin: Origin) -> bool:
    waiting: i64 = len(origin.waiting)
    if waiting == 0:
        return False
    if origin.http2 is False:
        if origin.is_paused and origin.is_served():
            return False
        return waiting > origin.dialing and origin.live < state.max_per_origin
    # One is enough for all; if it turns out not to be, more follow.
    return origin.shared is None and origin.dialing == 0


def dial(state: State, origin: Origin) -> None:
    origin.live += 1
    origin.dialing += 1
    state.live += 1
    state.dialing += 1
    state.decisions.append(Dial(origin))


def dial_for_blocked(state: State) -> None:
    """Decide on dials for the origins that have been blocked the longest, if there is room."""
    while state.blocked_origins and (state.live < state.max_live or state.idle):
        origin, _ = state.blocked_origins.popitem(last=False)
        if not needs_dial(state, origin):
            continue
        if state.live >= state.max_live and not evict(state):
            state.blocked_origins[origin] = None
            state.blocked_origins.move_to_end(origin, last=False)
            return
        dial(state, origin)
        if needs_dial(state, origin):
            state.blocked_origins[origin] = None


def is_outranked(state: State, connection: PooledConnection) -> bool:
    """Return whether a blocked waiter came before all who wait for this connection."""
    if not state.blocked_origins or not connection.is_free() or state.live < state.max_live:
        return False
    origin = connection.origin
    if not origin.waiting:
        return False  # it will be idle, and can be closed
    return next(iter(state.blocked_origins)).first_ticket() < origin.first_ticket()


def evict(state: State) -> bool:
    """Make room: close the connection that has been idle the longest. Return whether there was
    one."""
    for connection in list(state.idle):
        if not connection.is_free():
            state.idle.pop(connection, None)
        elif not blocks_waiters(connection):
            drop(state, connection)
            return True
    return False


def blocks_waiters(connection: PooledConnection) -> bool:
    """Return whether requests wait until the server allows more of them on this connection."""
    return connection.is_http2 and bool(connection.origin.waiting)


def set_idle(state: State, connection: PooledConnection) -> None:
    """Keep a connection that nobody uses, unless a waiter needs its place."""
    origin = connection.origin
    full = origin.live >= state.max_per_origin
    if origin.waiting_for_unused and full and not connection.is_http2:
        drop(state, connection)
        dial_as_needed(state, origin)
        return
    if connection.is_http2:
        state.idle.pop(connection, None)
    elif connection in state.idle:
        return
    else:
        origin.idle.append(connection)
    now = state.clock()
    state.idle[connection] = now
    if len(state.idle) > state.max_idle:
        evict(state)
    if state.alarm == 0.0 and state.keepalive_timeout is not None:
        alarm_at(state, now + state.keepalive_timeout)
    dial_for_blocked(state)


def drop(state: State, connection: PooledConnection) -> None:
    """Close a connection that nobody uses."""
    retire(state, connection)
    close(state, connection)
    forget_if_empty(state, connection.origin)


def close(state: State, connection: PooledConnection) -> None:
    if not connection.is_closed:
        connection.is_closed = True
        state.decisions.append(connection)


def retire_unusable(state: State, connection: PooledConnection) -> None:
    """Note that a connection takes no more requests. If it never took one, fail the waiters:
    another one would probably do no better."""
    if connection.requires_http1():
        retire(state, connection)
        require_http1(state, connection.origin)
    if not connection.is_retired and connection.is_unused() and connection.reserved == 0:
        retire(state, connection)
        fail_waiters(state, connection.origin, connection.why_closed())
    retire(state, connection)


def retire(state: State, connection: PooledConnection) -> None:
    if connection.is_retired:
        return
    connection.is_retired = True
    origin = connection.origin
    origin.live -= 1
    state.live -= 1
    if origin.shared is connection:
        origin.shared = None
    was_idle = state.idle.pop(connection, None) is not None
    if was_idle and not connection.is_http2 and connection in origin.idle:
        origin.idle.remove(connection)


def fail_waiters(state: State, origin: Origin, reason: Any) -> None:
    """Fail the waiters of a connection that was not made, unless they can wait for others.

    Over HTTP/1.1, each connection is for one request: fail only the first waiter.
    """
    if origin.is_served():
        pause(state, origin)
        serve_from_idle(state, origin)
        return
    only_first = origin.http2 is False
    for waiter in list(origin.waiting):
        fail_waiter(state, waiter, reason)
        if only_first:
            return


def fail_waiter(state: State, waiter: Waiter, reason: Any) -> None:
    waiter.origin.remove(waiter)
    waiter.failed = True
    waiter.reason = reason
    state.decisions.append(waiter)


def serve_from_idle(state: State, origin: Origin) -> None:
    """No connection will be added for now: used ones have to do for all."""
    origin.waiting_for_unused.clear()
    for connection in list(origin.idle):
        if origin.waiting and connection in state.idle:
            origin.idle.remove(connection)
            del state.idle[connection]
            capacity_changed(state, connection)


def pause(state: State, origin: Origin) -> None:
    """Decide on no more dials to an origin for a while."""
    if not origin.is_paused and not state.is_closing:
        origin.is_paused = True
        until = state.clock() + DIAL_PAUSE
        state.paused_origins[origin] = until
        alarm_at(state, until)


def unpause(state: State, origin: Origin) -> None:
    origin.is_paused = False
    state.paused_origins.pop(origin, None)


def alarm_at(state: State, at: float) -> None:
    if state.alarm == 0.0 or at < state.alarm:
        state.alarm = at
        state.decisions.append(Alarm(at))


def forget_if_empty(state: State, origin: Origin) -> None:
    """Forget an origin that has neither connections nor waiters."""
    if origin.waiting:
        return
    state.blocked_origins.pop(origin, None)
    if origin.live == 0:
        unpause(state, origin)
        if state.origins.get(origin.name) is origin:
            del state.origins[origin.name]


def capacity_changed(state: State, connection: PooledConnection) -> None:
    """A connection takes more requests than before, or none any more."""
    origin = connection.origin
    if not connection.is_usable():
        retire_unusable(state, connection)
        if connection.is_free():
            close(state, connection)
        dial_as_needed(state, origin)
        return
    if not connection.is_http2 and is_outranked(state, connection):
        drop(state, connection)
        dial_for_blocked(state)
        dial_as_needed(state, origin)
        return
    while origin.waiting and connection.room() > 0:
        waiter = origin.next_for(connection)
        if waiter is None:
            break
        connection.reserved += 1
        waiter.connection = connection
        state.decisions.append(waiter)
    if connection.is_free():
        set_idle(state, connection)


def require_http1(state: State, origin: Origin) -> None:
    """The server of an origin requires HTTP/1.1: use nothing else from now on."""
    if origin.http1_only:
        return
    origin.http1_only = True
    origin.set_http1()
    state.http1_only[origin.name] = None
    if len(state.http1_only) > MAX_HTTP1_ONLY:
        state.http1_only.popitem(last=False)
    shared = origin.shared
    if shared is not None:
        retire(state, shared)
        if shared.is_free():
            close(state, shared)
