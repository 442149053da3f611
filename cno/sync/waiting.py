"""Waits for a connection of a pool, and makes it where the pool's store has decided so.

A thread that needs a connection makes it. A thread that waits for an HTTP/2 stream reads from the
connection meanwhile. Must never know what is sent, or what may be sent again.
"""

import time
from typing import cast, final

from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError, ConnectTimeoutError, not_sent
from cno.pool.connection import Dial, Origin, Waiter
from cno.sync.connection_io import abort, begin
from cno.sync.connection_pool import ConnectionPool
from cno.sync.dial import DialCancelledError, Dialing
from cno.sync.exchange import NO_SLOT
from cno.sync.messages import Response
from cno.sync.polling import wait
from cno.sync.pool_parker import PoolClock, PoolParker, failure_of
from cno.sync.pooled import PooledLink
from cno.sync.state import Link
from cno.sync.timeouts import Deadlines


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


def join(pool: ConnectionPool, origin: Origin, goes_first: bool, unused_only: bool) -> PoolParker:
    """Enter a request that must wait for a connection. Called with the lock."""
    parker = PoolParker(origin)
    parker.attach(pool._dialer.pending)
    parker.waiter = Waiter(origin, unused_only, goes_first, parker)
    pool._dialer.parkers[parker] = None
    pool._store.wait(parker.waiter)
    pool._perform()
    return parker


def wait_for_connection(
    pool: ConnectionPool,
    parker: PoolParker,
    origin: Origin,
    deadlines: Deadlines,
    reservation: Reservation,
) -> None:
    """Wait until `reservation` has a connection; make it if the store has decided so.

    Raises the error of a failed connection. Called without the lock.
    """
    guard, dialer = pool._guard, pool._dialer
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
                parker.attach(dialer.pending)
                due = clock.due(origin)
                now = clock.now
                is_decided = parker.decided()
                if is_decided:
                    finished = take_connection(parker, reservation)
                else:
                    dial = parker.dial = dialer.next(origin)
                    if dial is None and now < due:
                        link = prepare_to_wait(parker, origin)
                guard.inside = False
            if is_decided:
                break
            if dial is not None:
                make(pool, dial, parker, deadlines)
                clock.now = time.monotonic()
            elif now >= due:
                raise clock.error(origin)
            elif link is not None:
                read_meanwhile(pool, link, parker, due)
            else:
                parker.park(due - now)
        if not finished:
            raise failure_of(parker)
    finally:
        guard.check()
        with guard.lock:
            begin(guard)
            leave(pool, parker, finished)
            drop_dials(pool, origin)
            guard.inside = False


def take_connection(parker: PoolParker, reservation: Reservation) -> bool:
    """Take the connection that the store has given to a request; return whether there is one.
    Called with the lock."""
    waiter = parker.waiter
    if waiter is None or waiter.connection is None:
        return False
    reservation.take(cast(PooledLink, waiter.connection))
    return True


def prepare_to_wait(parker: PoolParker, origin: Origin) -> Link | None:
    """Return the connection to read from meanwhile; None if the thread will be parked. Called with
    the lock."""
    shared = origin.shared
    if shared is None:
        parker.prepare()
        return None
    link = cast(PooledLink, shared).link
    link.parked_requests[parker] = None
    return link


def leave(pool: ConnectionPool, parker: PoolParker, finished: bool) -> None:
    """Remove a request that waited; `finished`: it has got a connection. Called with the lock."""
    parker.reset()
    pool._dialer.parkers.pop(parker, None)
    waiter = parker.waiter
    if parker.is_void or waiter is None:
        return
    if parker.dial is not None:
        pool._store.failed(parker.dial, None)  # interrupted before it was made
        parker.dial = None
    if not finished and not waiter.failed:
        pool._store.leave(waiter)
    pool._perform()


def drop_dials(pool: ConnectionPool, origin: Origin) -> None:
    """Give up connections to make that no thread waits for any more. Called with the lock."""
    dialer = pool._dialer
    while origin.name in dialer.pending and not dialer.unpark_one(origin):
        dial = dialer.next(origin)
        if dial is None:
            return
        pool._store.failed(dial, None)
        pool._perform()


def read_meanwhile(pool: ConnectionPool, link: Link, parker: PoolParker, due: float) -> None:
    """Wait for a stream of an HTTP/2 connection, and read from it."""
    guard = pool._guard
    try:
        stall = pool._limits.write_stall_timeout
        until = due if stall is None else min(due, time.monotonic() + stall)
        in_time = wait(link, parker, until)
        if in_time or time.monotonic() >= due or stall is None:
            return
        with guard.lock:
            begin(guard)
            if link._count_local == 0 and not link.is_greeting() and not parker.decided():
                if link.entry is not None:
                    pool._store.refuses(link.entry, not_sent(NO_SLOT))
                    pool._perform()
            guard.inside = False
    finally:
        link.parked_requests.pop(parker, None)


# -- making a connection ---------------------------------------------------------------------------


def make(pool: ConnectionPool, dial: Dial, parker: PoolParker, deadlines: Deadlines) -> None:
    """Make a connection. Called without the lock."""
    guard, dialer = pool._guard, pool._dialer
    dialing = Dialing(deadlines)
    parker.dialing = dialing
    dialer.attempts[dialing] = None
    link: Link | None = None
    reason: Exception | None = None
    own: ConnectTimeoutError | None = None  # other requests have longer timeouts
    store = pool._store
    try:
        link = dialer.connect(dial, dialing, guard)
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
        dialer.attempts.pop(dialing, None)
        guard.check()
        with guard.lock:
            begin(guard)
            parker.dial = None
            if store is not pool._store:
                if link is not None:
                    abort(link)  # the pool was reset meanwhile
            elif link is None:
                pool._store.failed(dial, reason)
            else:
                add(pool, dial, link)
            pool._perform()
            guard.inside = False
    if own is not None:
        raise connect_error(cast(Target, dial.origin.peer), own)


def add(pool: ConnectionPool, dial: Dial, link: Link) -> None:
    """Pass a new connection to the store. Called with the lock."""
    entry = PooledLink(pool._store, dial.origin, link, pool._dialer.can_use_http1(link))
    link.entry = entry
    link.listener = pool
    if not pool._store.made(dial, entry):
        link.entry = None
        link.listener = None
        abort(link)
        pool._store.failed(
            dial, ConnectError("the server requires HTTP/1.1, and has chosen HTTP/2")
        )
