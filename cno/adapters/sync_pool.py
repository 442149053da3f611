"""A blocking pool whose requests are traced, and whose connections are tried again.

Knows when a connection is made, and when a request is sent. Must never know httpx.
"""

import time
from typing import Any, Final, cast

from cno.adapters.sync_route import SyncTransportRoute
from cno.adapters.trace import SyncTracer, prefix
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError
from cno.limits import Limits
from cno.pool.retries import Retries
from cno.sync.connection_pool import Reservation
from cno.sync.errors import PoolTimeoutError
from cno.sync.messages import Response
from cno.sync.pool import Pool
from cno.sync.request_spec import RequestSpec
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

    def new_retries(self) -> Retries:
        """Return how often a request for a tunnel may be sent again."""
        return Retries(self._retries, self._retry_idempotent)

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
