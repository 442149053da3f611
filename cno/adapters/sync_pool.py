"""A blocking pool whose requests are traced, and whose connections are tried again.

Knows when a connection is made, and when a request is sent. Must never know httpx.
"""

import time
from typing import Any, Final, cast

from cno.adapters.prepared import http1_target
from cno.adapters.sync_route import SyncTransportRoute
from cno.adapters.trace import SyncTracer, prefix
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError, ConnectionLostError
from cno.errors import UsageError
from cno.limits import Limits
from cno.pool.retries import Retries
from cno.sync.client import SettingsParker
from cno.sync.connection_io import begin
from cno.sync.connection_pool import Reservation
from cno.sync.errors import PoolTimeoutError
from cno.sync.messages import Response, answered
from cno.sync.polling import wait
from cno.sync.pool import Pool
from cno.sync.request_spec import RequestSpec
from cno.sync.state import Link
from cno.sync.timeouts import Deadlines
from cno.timeouts import Timeout

#: Seconds before the second retry of a connection; they double with each further one.
RETRY_DELAY: Final = 0.5


class TracedDeadlines(Deadlines):
    """The timeouts of one request, and its tracer."""

    def __init__(self, limits: Limits, timeout: Timeout, tracer: SyncTracer | None) -> None:
        super().__init__(limits, timeout)
        self.tracer = tracer


class SyncTransportPool(Pool):
    """The pool of a blocking transport. `connect_retries` is how often a connection is tried
    again."""

    def __init__(
        self,
        route: SyncTransportRoute,
        force_http2: bool,
        max_connections: int | None,
        max_idle: int | None,
        connect_retries: int,
        limits: Limits,
    ) -> None:
        super().__init__(
            force_http2=force_http2,
            max_connections=max_connections,
            max_per_origin=None,
            max_idle=max_idle,
            limits=limits,
        )
        self._route = route
        self._connect_retries = connect_retries

    def open_tunnel(
        self, target: Target, http1: RequestSpec, http2: RequestSpec, deadlines: Deadlines
    ) -> Response:
        """Send CONNECT, or ask for an upgrade: `http1` or `http2`, as the connection speaks.

        If the server's HTTP/2 has no extended CONNECT, the request goes over HTTP/1.1.
        """
        if self._is_closing:
            raise UsageError("the pool is closed")
        reservation = Reservation()
        response: Response | None = None
        done = False
        try:
            self._reserve(target, deadlines, reservation)
            connection = reservation.connection
            assert connection is not None
            link = connection.link
            spec = http1
            if link.is_http2:
                spec = http2
                if http1 is not http2 and not extends_connect(link, deadlines):
                    return self._over_http1(target, http1, deadlines)
            guard = self._guard
            guard.check()
            with guard.lock:
                begin(guard)
                try:
                    response = self._open(reservation, spec, deadlines)
                except Exception:
                    guard.inside = False  # an interrupt leaves it set
                    raise
                guard.inside = False
            if response is None:
                raise ConnectionLostError("the connection takes no more requests", retryable=True)
            self._begun(response, spec)
            answered(response, spec, None)
            done = True
            return response
        finally:
            if reservation.is_reserved:
                self._give_back(reservation)
            if not done and response is not None:
                response.cancel()

    def _over_http1(self, target: Target, spec: RequestSpec, deadlines: Deadlines) -> Response:
        same = http1_target(target)
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            self._store.require_http1(self._origin_of(same))
            self._perform()
            guard.inside = False
        return self.open_tunnel(same, spec, spec, deadlines)

    def _reserve(self, target: Target, deadlines: Deadlines, reservation: Reservation) -> None:
        """Reserve a place on a connection."""
        guard = self._guard
        parker = None
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                self._tick()
                origin = self._origin_of(target)
                picked = self._pick(origin, False)
                if picked is None:
                    parker = self._join(origin, False, False)
                else:
                    reservation.take(picked)
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        if parker is not None:
            self._await(parker, origin, deadlines, reservation)

    def _start(
        self,
        target: Target,
        spec: RequestSpec,
        deadlines: Deadlines,
        retries: Retries,
        reservation: Reservation,
    ) -> Response | None:
        """Write a request on a connection, which is tried again if it cannot be made."""
        left = self._connect_retries
        delay = 0.0
        while True:
            try:
                return super()._start(target, spec, deadlines, retries, reservation)
            except ConnectError as error:
                if left <= 0 or not error.retryable or isinstance(error, PoolTimeoutError):
                    raise
            left -= 1
            if delay > 0.0:
                time.sleep(delay)
            delay = delay * 2.0 if delay > 0.0 else RETRY_DELAY

    def _begun(self, response: Response, spec: RequestSpec) -> None:
        tracer = cast(TracedDeadlines, response._deadlines).tracer
        if tracer is None:
            return
        name = prefix(response._link.is_http2)
        number: dict[str, Any] = {"stream_id": response.stream}
        for step in ("send_request_headers", "send_request_body"):
            tracer.put(f"{name}.{step}.started", number)
            tracer.put(f"{name}.{step}.complete", {"return_value": None})
        tracer.put(f"{name}.receive_response_headers.started", number)


def extends_connect(link: Link, deadlines: Deadlines) -> bool:
    """Return whether a server takes extended CONNECT; wait for its first SETTINGS."""
    if link.is_greeting():
        wait(link, SettingsParker(link), deadlines.after(deadlines.head))
    return bool(link._remote._enable_connect_protocol)
