"""Opens a byte stream over a connection of a pool: by an upgrade, or by CONNECT.

Knows which connections can carry one, and when the request is sent again. Must never know what the
byte stream is for.
"""

import time

from mypy_extensions import mypyc_attr

from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.urls import Target, same_server
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.log import log
from cno.errors import UnsupportedError, UsageError
from cno.pool.connection import Origin
from cno.pool.retries import Retries
from cno.sync.client import SettingsParker
from cno.sync.connection_io import begin
from cno.sync.connection_pool import ConnectionPool
from cno.sync.errors import ReadTimeoutError
from cno.sync.exchange import NO_RESPONSE, is_repeatable
from cno.sync.messages import Response, answered
from cno.sync.polling import wait
from cno.sync.pool_parker import PoolParker, PoolResetError
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.reserving import give_back, not_opened, open_checked
from cno.sync.state import Link
from cno.sync.timeouts import Deadlines
from cno.sync.waiting import Reservation, join, wait_for_connection


@mypyc_attr(allow_interpreted_subclasses=True)
class TunnelRequest:
    """A request that opens a byte stream.

    `is_upgrade`: over HTTP/2, it needs extended CONNECT (RFC 8441).
    """

    def __init__(self, is_upgrade: bool) -> None:
        self.is_upgrade = is_upgrade

    def spec(self, http2: bool) -> RequestSpec:
        """Return the request, as the protocol of the connection has it."""
        raise NotImplementedError


class TunnelOpening:
    """Asks for a byte stream until a server has, or may have, processed that."""

    def __init__(
        self,
        pool: ConnectionPool,
        target: Target,
        asked: TunnelRequest,
        deadlines: Deadlines,
        retries: Retries,
    ) -> None:
        self._pool = pool
        self._target = target
        self._asked = asked
        self._deadlines = deadlines
        self._retries = retries

    def response(self) -> Response:
        """Send the request; return its response."""
        while True:
            response = self._try()
            if response is not None:
                return response

    def _try(self) -> Response | None:
        """Send the request once; return None if it must be sent again."""
        pool = self._pool
        if pool._is_closing:
            raise UsageError("the pool is closed")
        reservation = Reservation()
        spec: RequestSpec | None = None
        done = False
        try:
            origin = self._reserve(reservation)
            connection = reservation.connection
            assert connection is not None
            link = connection.link
            if link.is_http2 and self._asked.is_upgrade:
                if not extends_connect(link, self._deadlines):
                    self._use_http1(connection)
                    return None
            spec = self._asked.spec(link.is_http2)
            response = open_checked(pool, reservation, spec, self._deadlines)
            if response is None:
                not_opened(pool, reservation, self._target, origin, self._retries)
            else:
                pool._begun(response, spec)
                answered(response, spec, None)
                done = True
                return response
        except PoolResetError:
            return None
        except (StreamError, ConnectionLostError) as error:
            connection = reservation.connection
            if connection is None or spec is None:
                raise
            if requires_http1(error) or connection.was_told_http1():
                self._use_http1(connection)
                return None
            if not self._should_retry(connection, reservation.response, spec, error):
                raise
            log.debug("%s: asking for a byte stream again", error)
        finally:
            if reservation.is_reserved:
                give_back(pool, reservation)
            if not done and reservation.response is not None:
                reservation.response.cancel()
        pause = self._retries.pause()
        if pause > 0.0:
            time.sleep(min(pause, max(0.0, self._deadlines.total_at - time.monotonic())))
        return None

    def _reserve(self, reservation: Reservation) -> Origin:
        """Reserve a place on a connection; return its origin."""
        pool, retries = self._pool, self._retries
        guard = pool._guard
        parker: PoolParker | None = None
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                pool._tick()
                origin = pool._origin_of(self._target)
                picked = pool._pick(origin, retries.needs_unused)
                if picked is None:
                    parker = join(pool, origin, retries.goes_first, retries.needs_unused)
                else:
                    reservation.take(picked)
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        if parker is not None:
            wait_for_connection(pool, parker, origin, self._deadlines, reservation)
        return origin

    def _use_http1(self, connection: PooledLink) -> None:
        """Open the byte stream over another connection, of HTTP/1.1, to the same server. Raises
        UnsupportedError if there are none."""
        pool = self._pool
        if not connection.can_use_http1:
            raise UnsupportedError("the server takes no WebSockets over HTTP/2", rule="RFC 8441 3")
        self._target = same_server(self._target, "http/1.1")
        guard = pool._guard
        guard.check()
        with guard.lock:
            begin(guard)
            pool._store.require_http1(pool._origin_of(self._target))
            pool._perform()
            guard.inside = False

    def _should_retry(
        self,
        connection: PooledLink,
        response: Response | None,
        spec: RequestSpec,
        error: StreamError | ConnectionLostError,
    ) -> bool:
        """Return whether to send a request again that has failed with this error."""
        lost = isinstance(error, ConnectionLostError)
        return self._retries.failed(
            retryable=error.retryable,
            passed_over=response is not None and connection.link.passed_over(response.stream),
            idempotent=lost and response is not None and is_repeatable(response, spec.method),
        )


def extends_connect(link: Link, deadlines: Deadlines) -> bool:
    """Return whether a server takes extended CONNECT; wait for its first SETTINGS."""
    if link.is_greeting():
        wait(link, SettingsParker(link), deadlines.after(deadlines.head))
        if link.is_lost:
            raise link.lost_error(0)
        if link.is_greeting():
            raise ReadTimeoutError(NO_RESPONSE.text, stream=0, code=0)
    return bool(link._remote._enable_connect_protocol)
