"""A place on a connection of a pool: used for a request, or given back.

Must never know which connection a request gets, or when it is sent again.
"""

from cno.aio.client.connect_errors import connect_error
from cno.aio.client.urls import Target
from cno.pool.connection import Origin
from cno.pool.retries import Retries
from cno.sync.connection_io import begin, flush, read_now
from cno.sync.connection_pool import ConnectionPool, Reservation
from cno.sync.messages import Response, opened
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.timeouts import Deadlines


def is_usable_now(connection: PooledLink) -> bool:
    """Return whether a connection is open, after processing its pending input. Called with the
    lock."""
    link = connection.link
    if connection.is_reserved_alone() and link.reader is None:
        read_now(link)  # replies to it are sent with the request
    return connection.is_usable()


def open_reserved(
    pool: ConnectionPool, reservation: Reservation, spec: RequestSpec, deadlines: Deadlines
) -> Response | None:
    """Write a request, if the connection accepts it. Called with the lock."""
    connection = reservation.connection
    if connection is None or not is_usable_now(connection):
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
