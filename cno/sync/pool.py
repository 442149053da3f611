"""Requests to any number of servers, sent again where that is safe.

Knows requests and their errors. Must never know which connections exist, or how a request is
written.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_configuration
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.client.request_spec import authority_of, completed
from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.urls import Target, target_of
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.fields import Headers, as_list
from cno.aio.log import log
from cno.errors import UsageError
from cno.limits import Limits, with_windows
from cno.pool.retries import Retries
from cno.settings import SettingsDict
from cno.sync.connection_io import begin
from cno.sync.connection_pool import ConnectionPool, PoolParker, PoolResetError, Reservation
from cno.sync.exchange import OnInformational, is_repeatable
from cno.sync.messages import Response, answered
from cno.sync.pooled import PooledLink
from cno.sync.request_spec import RequestSpec
from cno.sync.reserving import give_back, may_have_input, not_opened, open_checked, open_reserved
from cno.sync.route import Route
from cno.sync.sources import Body
from cno.sync.timeouts import Deadlines
from cno.timeouts import Timeout, as_timeout
from cno.trace.hook import Tracer

if TYPE_CHECKING:
    from cno.sync.websocket.socket import WebSocket
    from cno.websocket.options import Options

#: The status of a server that does not answer for the origin (RFC 9110 15.5.20).
MISDIRECTED: Final = 421


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool(ConnectionPool):
    """Sends requests to any number of servers, and keeps connections for later requests.

    Any number of threads may use a pool at the same time. HTTP/2: all requests to one origin share
    one connection. HTTP/1.1: an origin has up to `max_per_origin` connections, each for one request
    at a time. The arguments, and when a request is sent again, are as for `cno.Pool`; `max_idle`
    bounds the connections that nobody uses.

    A pool has no background thread: connections that were idle for too long are closed by the next
    request. The child of a fork makes its own connections. `trace` takes the bytes of connections
    (`cno.trace`): it is called with the pool's lock, so it must not use the pool.
    """

    def __init__(
        self,
        ssl_ctx: SSLContext | None = None,
        *,
        ssl_hostname: str | None = None,
        force_http2: bool = False,
        proxy: str | None = None,
        proxy_ssl_ctx: SSLContext | None = None,
        proxy_tunnel: bool = False,
        unix: str | None = None,
        max_connections: int | None = 500,
        max_per_origin: int | None = 100,
        max_idle: int | None = None,
        retries: int = 5,
        retry_idempotent: bool = True,
        pushes: bool = False,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
        timeout: "Timeout | float | None" = None,
        trace: Tracer | None = None,
    ) -> None:
        check_configuration(settings, limits, False)
        chosen = CLIENT_LIMITS if limits is None else limits
        super().__init__(
            Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel, tracer=trace),
            force_http2,
            max_connections,
            max_per_origin,
            settings,
            with_windows(chosen if pushes else replace(chosen, max_pushes=0), CLIENT_LIMITS),
            max_idle,
        )
        self._retries = retries
        self._retry_idempotent = retry_idempotent
        self._timeout = as_timeout(timeout)
        self._no_deadlines = Deadlines(self._limits, None)

    def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
        timeout: "Timeout | float | None" = None,
        on_informational: OnInformational | None = None,
    ) -> Response:
        """Send a request. Return its response once the head has been received.

        The arguments are those of `Client.request`, with a URL in place of the path. Read the body
        to its end, or use `with`: until then, the response occupies its stream, or in HTTP/1.1 its
        connection.

        Raises ConnectError, StreamError and ConnectionLostError, all of which have `retryable`;
        ValueError for a malformed URL; UsageError for an invalid request, and if the pool is
        closed; TypeError or ValueError for an invalid body; and all errors of reading `data`.
        """
        target = target_of(url)
        fields = completed(as_list(headers), target.authority, target.credentials)
        spec = RequestSpec(method, target.path, fields, data, trailers)
        return self._send(target, spec, self._deadlines(timeout), on_informational)

    def websocket(
        self,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        subprotocols: Iterable[str] = (),
        options: "Options | None" = None,
        timeout: "Timeout | float | None" = None,
    ) -> "WebSocket":
        """Open a WebSocket: `with pool.websocket(url) as socket:`.

        The arguments and errors are those of `cno.Pool.websocket`. `timeout` is for the opening.
        """
        from cno.sync.websocket.opening import open_websocket  # `websockets` may be missing

        deadlines = self._deadlines(timeout)
        retries = Retries(self._retries, self._retry_idempotent)
        return open_websocket(self, url, headers, subprotocols, options, deadlines, retries)

    def close(self) -> None:
        """Refuse new requests, and close each connection when its exchanges have ended.

        Does not wait: a connection with open responses closes when they have been read.
        """
        self._close(False)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool. After an exception, open responses are cancelled."""
        self._close(error is not None)

    # -- requests --------------------------------------------------------------------------------

    def _deadlines(self, timeout: "Timeout | float | None") -> Deadlines:
        found = self._timeout if timeout is None else as_timeout(timeout)
        return self._no_deadlines if found is None else Deadlines(self._limits, found)

    def _send(
        self,
        target: Target,
        spec: RequestSpec,
        deadlines: Deadlines,
        on_informational: OnInformational | None,
    ) -> Response:
        """Send a request, repeatedly if a server has certainly not processed it."""
        response: Response | None = None
        try:
            if self._is_closing:
                raise UsageError("the pool is closed")
            response = self._carry(target, spec, deadlines, on_informational)
            return response
        finally:
            if response is None:
                spec.dispose()

    def _carry(
        self,
        target: Target,
        spec: RequestSpec,
        deadlines: Deadlines,
        on_informational: OnInformational | None,
    ) -> Response:
        retries = Retries(self._retries, self._retry_idempotent)
        while True:
            response = self._try(target, spec, deadlines, on_informational, retries)
            if response is not None:
                return response

    def _try(
        self,
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
            response = self._start(target, spec, deadlines, retries, reservation)
            if response is None:
                return None
            self._begun(response, spec)
            answered(response, spec, on_informational)
            if response.code != MISDIRECTED or not self._can_redirect(
                reservation.connection, response, spec, target, retries
            ):
                done = True
                return response
        except PoolResetError:
            return None
        except (StreamError, ConnectionLostError) as error:
            if reservation.connection is None or not self._can_repeat(
                reservation.connection, reservation.response, spec, error, retries
            ):
                raise
            if spec.source is not None and not spec.source.again():
                raise
            log.debug("%s: sending %s %s again", error, spec.method, target.path)
        finally:
            if reservation.is_reserved:
                give_back(self, reservation)
            if not done and reservation.response is not None:
                reservation.response.cancel()
        pause = retries.pause()
        if pause > 0.0:
            time.sleep(min(pause, max(0.0, deadlines.total_at - time.monotonic())))
        return None

    def _start(
        self,
        target: Target,
        spec: RequestSpec,
        deadlines: Deadlines,
        retries: Retries,
        reservation: Reservation,
    ) -> Response | None:
        """Write a request on a connection; return None if the connection refused it."""
        guard = self._guard
        parker: PoolParker | None = None
        response: Response | None = None
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                if self._is_closing:
                    raise ConnectionLostError("the pool was closed", retryable=True)
                self._tick()
                origin = self._origin_of(target)
                picked = self._pick(origin, retries.needs_unused)
                if picked is None:
                    parker = self._join(origin, retries.goes_first, retries.needs_unused)
                else:
                    reservation.take(picked)
                    if not may_have_input(picked):
                        response = open_reserved(self, reservation, spec, deadlines)
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        if parker is not None:
            self._await(parker, origin, deadlines, reservation)
        if response is None:
            response = open_checked(self, reservation, spec, deadlines)
        if response is None:
            not_opened(self, reservation, target, origin, retries)
        return response

    def _can_repeat(
        self,
        connection: PooledLink,
        response: Response | None,
        spec: RequestSpec,
        error: StreamError | ConnectionLostError,
        retries: Retries,
    ) -> bool:
        """Return whether to repeat a request that failed with this error."""
        # > HTTP_1_1_REQUIRED (0x0d): The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
        # > (RFC 9113 7)
        guard = self._guard
        with guard.lock:
            begin(guard)
            if requires_http1(error) or connection.was_told_http1():
                if not self._use_http1(connection):
                    guard.inside = False
                    return False
            guard.inside = False
        lost = isinstance(error, ConnectionLostError)
        return retries.failed(
            retryable=error.retryable,
            passed_over=response is not None and connection.link.passed_over(response.stream),
            idempotent=lost and response is not None and is_repeatable(response, spec.method),
        )

    def _can_redirect(
        self,
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
        guard = self._guard
        with guard.lock:
            begin(guard)
            self._retire(connection)
            guard.inside = False
        log.debug("421: sending %s %s again", spec.method, target.path)
        return True
