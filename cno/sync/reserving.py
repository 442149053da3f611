"""A place on a connection of a pool: used for a request, or given back.

Must never know which connection a request gets, or when it is sent again.
"""

from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.pool.connection import Origin
from cno.pool.retries import Retries
from cno.sync.connection_io import begin, flush, read_now
from cno.sync.connection_pool import ConnectionPool
from cno.sync.messages import Response, opened
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.timeouts import Deadlines
from cno.sync.waiting import Reservation


def may_have_input(connection: PooledLink) -> bool:
    """Return whether no thread reads from a connection: the server may have closed it."""
    return connection.is_reserved_alone() and connection.link.reader is None


def open_checked(
    pool: ConnectionPool, reservation: Reservation, spec: RequestSpec, deadlines: Deadlines
) -> Response | None:
    """Write a request, if the connection accepts it after its pending input.

    Called without the lock: in a system call under it, this thread would lose the interpreter to
    threads that wait for the lock.
    """
    connection = reservation.connection
    if connection is None:
        return None
    link = connection.link
    has_input = may_have_input(connection) and link.transport.poller.has_input()
    guard = pool._guard
    response: Response | None = None
    guard.check()
    with guard.lock:
        begin(guard)
        try:
            if has_input:
                read_now(link)  # replies to it are sent with the request
            response = open_reserved(pool, reservation, spec, deadlines)
        except Exception:
            guard.inside = False  # an interrupt leaves it set
            raise
        guard.inside = False
    return response


def open_reserved(
    pool: ConnectionPool, reservation: Reservation, spec: RequestSpec, deadlines: Deadlines
) -> Response | None:
    """Write a request, if the connection accepts it. Called with the lock."""
    connection = reservation.connection
    if connection is None or not connection.is_usable():
        return None
    response = opened(connection.link, spec, deadlines)
    if response is not None:
        reservation.response = response
        reservation.is_reserved = False
        pool._store.sent(connection)
    return response


def not_opened(
    pool: ConnectionPool, reservation: Reservation, target: Target, origin: Origin, retries: Retries
) -> None:
    """Process that a connection refused a request: it is closed, or has no stream left."""
    connection = reservation.connection
    if connection is None:
        return
    guard = pool._guard
    guard.check()
    with guard.lock:
        begin(guard)
        is_usable = connection.is_usable()
        # Whether the server required HTTP/1.1 before the first request.
        refused = connection.is_http2 and origin.http1_only
        never_used = connection.is_unused() and not refused and not connection.requires_http1()
        why = connection.why_closed()
        reservation.is_reserved = False
        pool._release(connection)
        fails = never_used and not is_usable and not origin.is_served()
        fails = fails and not pool._is_closing
        guard.inside = False
    flush(connection.link)
    if fails:
        raise connect_error(target, why)
    retries.blocked()


def give_back(pool: ConnectionPool, reservation: Reservation) -> None:
    """Give back a place that was not used."""
    guard = pool._guard
    guard.check()
    with guard.lock:
        begin(guard)
        reservation.is_reserved = False
        if reservation.connection is not None:
            pool._release(reservation.connection)
        guard.inside = False
