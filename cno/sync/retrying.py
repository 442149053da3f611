"""Requests over the connections of a pool, sent again where that is safe.

Knows requests and their errors. Must never know which connections exist, or how a request is
written.
"""

import time
from typing import Final

from cno.aio.client.request_spec import authority_of
from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError, ConnectionLostError, StreamError
from cno.aio.log import log
from cno.errors import UsageError
from cno.pool.retries import Retries
from cno.sync.connection_io import begin
from cno.sync.connection_pool import ConnectionPool
from cno.sync.errors import PoolTimeoutError
from cno.sync.exchange import OnInformational, is_repeatable
from cno.sync.messages import Response, answered
from cno.sync.pool_parker import PoolParker, PoolResetError
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.reserving import give_back, may_have_input, not_opened, open_checked, open_reserved
from cno.sync.timeouts import Deadlines
from cno.sync.waiting import Reservation, join, wait_for_connection

#: The status of a server that does not answer for the origin (RFC 9110 15.5.20).
MISDIRECTED: Final = 421
#: Seconds before the second retry of a connection; they double with each further one.
RETRY_DELAY: Final = 0.5


def send(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    deadlines: Deadlines,
    on_informational: OnInformational | None,
    retries: Retries,
) -> Response:
    """Send a request, repeatedly if a server has certainly not processed it."""
    response: Response | None = None
    try:
        if pool._is_closing:
            raise UsageError("the pool is closed")
        while response is None:
            response = try_once(pool, target, spec, deadlines, on_informational, retries)
        return response
    finally:
        if response is None:
            spec.dispose()


def try_once(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    deadlines: Deadlines,
    on_informational: OnInformational | None,
    retries: Retries,
) -> Response | None:
    """Send a request once; return None if it must be sent again."""
    reservation = Reservation()
    done = False
    try:
        response = start(pool, target, spec, deadlines, retries, reservation)
        if response is None:
            return None
        pool._begun(response, spec)
        answered(response, spec, on_informational)
        if response.code != MISDIRECTED or not can_redirect(
            pool, reservation.connection, response, spec, target, retries
        ):
            done = True
            return response
    except PoolResetError:
        return None
    except (StreamError, ConnectionLostError) as error:
        if reservation.connection is None or not can_repeat(
            pool, reservation.connection, reservation.response, spec, error, retries
        ):
            raise
        if spec.source is not None and not spec.source.again():
            raise
        log.debug("%s: sending %s %s again", error, spec.method, target.path)
    finally:
        if reservation.is_reserved:
            give_back(pool, reservation)
        if not done and reservation.response is not None:
            reservation.response.cancel()
    pause = retries.pause()
    if pause > 0.0:
        time.sleep(min(pause, max(0.0, deadlines.total_at - time.monotonic())))
    return None


# -- a connection ----------------------------------------------------------------------------------


def start(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    deadlines: Deadlines,
    retries: Retries,
    reservation: Reservation,
) -> Response | None:
    """Write a request on a connection, which is tried again if it cannot be made; return None if
    the connection refused the request."""
    left = pool._connect_retries
    delay = 0.0
    while True:
        try:
            return start_once(pool, target, spec, deadlines, retries, reservation)
        except ConnectError as error:
            if left <= 0 or not error.retryable or isinstance(error, PoolTimeoutError):
                raise
        left -= 1
        if delay > 0.0:
            time.sleep(delay)
        delay = delay * 2.0 if delay > 0.0 else RETRY_DELAY


def start_once(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    deadlines: Deadlines,
    retries: Retries,
    reservation: Reservation,
) -> Response | None:
    """Do as `start`; fail if the connection cannot be made."""
    guard = pool._guard
    parker: PoolParker | None = None
    response: Response | None = None
    guard.check()
    with guard.lock:
        begin(guard)
        try:
            if pool._is_closing:
                raise ConnectionLostError("the pool was closed", retryable=True)
            pool._tick()
            origin = pool._origin_of(target)
            picked = pool._pick(origin, retries.needs_unused)
            if picked is None:
                parker = join(pool, origin, retries.goes_first, retries.needs_unused)
            else:
                reservation.take(picked)
                if not may_have_input(picked):
                    response = open_reserved(pool, reservation, spec, deadlines)
        except Exception:
            guard.inside = False  # an interrupt leaves it set
            raise
        guard.inside = False
    if parker is not None:
        wait_for_connection(pool, parker, origin, deadlines, reservation)
    if response is None:
        response = open_checked(pool, reservation, spec, deadlines)
    if response is None:
        not_opened(pool, reservation, target, origin, retries)
    return response


# -- whether to send again -------------------------------------------------------------------------


def can_repeat(
    pool: ConnectionPool,
    connection: PooledLink,
    response: Response | None,
    spec: RequestSpec,
    error: StreamError | ConnectionLostError,
    retries: Retries,
) -> bool:
    """Return whether to repeat a request that failed with this error."""
    # > HTTP_1_1_REQUIRED (0x0d): The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
    # > (RFC 9113 7)
    guard = pool._guard
    with guard.lock:
        begin(guard)
        if requires_http1(error) or connection.was_told_http1():
            if not pool._use_http1(connection):
                guard.inside = False
                return False
        guard.inside = False
    lost = isinstance(error, ConnectionLostError)
    return retries.failed(
        retryable=error.retryable,
        passed_over=response is not None and connection.link.passed_over(response.stream),
        idempotent=lost and response is not None and is_repeatable(response, spec.method),
    )


def can_redirect(
    pool: ConnectionPool,
    connection: PooledLink | None,
    response: Response,
    spec: RequestSpec,
    target: Target,
    retries: Retries,
) -> bool:
    """Return whether to repeat a request that was answered by 421 on another connection.

    The origin is the URL's: where the headers name another authority, no connection of this
    pool leads there.
    """
    if connection is None or authority_of(spec.fields) != target.authority:
        return False
    if not retries.misdirected():
        return False
    if spec.source is not None and not spec.source.again():
        return False
    response.cancel()
    guard = pool._guard
    with guard.lock:
        begin(guard)
        pool._retire(connection)
        guard.inside = False
    log.debug("421: sending %s %s again", spec.method, target.path)
    return True
