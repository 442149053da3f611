"""A blocking pool whose requests are traced, and whose connections are tried again.

Knows when a connection is made, and when a request is sent. Must never know httpx.
"""

from typing import Any, cast

from cno.adapters.sync_route import SyncTransportRoute
from cno.adapters.trace import SyncTracer, prefix
from cno.aio.client.urls import Target
from cno.limits import Limits
from cno.sync import retrying
from cno.sync.messages import Response
from cno.sync.pool import Pool
from cno.sync.request_spec import RequestSpec
from cno.sync.timeouts import Deadlines
from cno.sync.tunnel_opening import TunnelOpening, TunnelRequest
from cno.timeouts import Timeout


class TracedDeadlines(Deadlines):
    """The timeouts of one request, and its tracer."""

    def __init__(self, limits: Limits, timeout: Timeout, tracer: SyncTracer | None) -> None:
        super().__init__(limits, timeout)
        self.tracer = tracer

    def begun(self, response: Response) -> None:
        """Tell the tracer that a request is being sent."""
        tracer = self.tracer
        if tracer is None:
            return
        name = prefix(response._link.is_http2)
        number: dict[str, Any] = {"stream_id": response.stream}
        for step in ("send_request_headers", "send_request_body"):
            tracer.put(f"{name}.{step}.started", number)
            tracer.put(f"{name}.{step}.complete", {"return_value": None})
        tracer.put(f"{name}.receive_response_headers.started", number)


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
        self._dialer.route = route
        self._connect_retries = connect_retries

    def send(self, target: Target, spec: RequestSpec, deadlines: TracedDeadlines) -> Response:
        """Send a request; return its response with the head."""
        return retrying.send(self, target, spec, deadlines, None, self._new_retries())

    def open_tunnel(
        self, target: Target, asked: TunnelRequest, deadlines: TracedDeadlines
    ) -> Response:
        """Ask for a byte stream; return the response."""
        return TunnelOpening(self, target, asked, deadlines, self._new_retries()).response()

    def _begun(self, response: Response, spec: RequestSpec) -> None:
        cast(TracedDeadlines, response._deadlines).begun(response)
