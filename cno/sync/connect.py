"""`cno.sync.connect` and `cno.sync.request`: connections without a pool.

Must never know what a connection does.
"""

from collections.abc import Iterable
from ssl import SSLContext

from cno.aio.arguments import check_configuration
from cno.aio.client.connect import can_use_http1
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.client.request_spec import completed
from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.urls import Target
from cno.aio.errors import StreamError
from cno.aio.fields import Headers, as_list
from cno.limits import Limits, with_windows
from cno.settings import SettingsDict
from cno.sync.client import Client
from cno.sync.connection_io import begin, push_out, shut
from cno.sync.exchange import OnInformational
from cno.sync.messages import Response, send
from cno.sync.request_spec import RequestSpec
from cno.sync.route import Route, dialed
from cno.sync.sources import Body
from cno.sync.state import Guard, Link
from cno.sync.timeouts import Deadlines
from cno.timeouts import Timeout, as_timeout
from cno.trace.hook import Tracer


def connect(
    url: str,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    *,
    force_http2: bool = False,
    proxy: str | None = None,
    proxy_ssl_ctx: SSLContext | None = None,
    proxy_tunnel: bool = False,
    unix: str | None = None,
    settings: SettingsDict | None = None,
    limits: Limits | None = None,
    timeout: "Timeout | float | None" = None,
    trace: Tracer | None = None,
) -> Client:
    """Connect to the server that a URL names; the arguments and errors are those of `cno.connect`.

    `timeout` is seconds, or a `Timeout`; by default, `Limits.handshake_timeout` applies.
    """
    check_configuration(settings, limits, False)
    route = Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel, tracer=trace)
    chosen = CLIENT_LIMITS if limits is None else with_windows(limits, CLIENT_LIMITS)
    deadlines = Deadlines(chosen, as_timeout(timeout))
    return Client(connected(route, Target(url), force_http2, settings, chosen, deadlines, False))


def connected(
    route: Route,
    target: Target,
    force_http2: bool,
    settings: SettingsDict | None,
    limits: Limits,
    deadlines: Deadlines,
    http1_only: bool,
) -> Link:
    """Return a connection with a separate lock."""
    return dialed(
        route,
        target,
        Guard(),
        force_http2 or target.force_http2,
        settings,
        limits,
        deadlines,
        http1_only,
    )


def request(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    force_http2: bool = False,
    proxy: str | None = None,
    proxy_ssl_ctx: SSLContext | None = None,
    proxy_tunnel: bool = False,
    unix: str | None = None,
    settings: SettingsDict | None = None,
    limits: Limits | None = None,
    timeout: "Timeout | float | None" = None,
    on_informational: OnInformational | None = None,
    trace: Tracer | None = None,
) -> Response:
    """Send one request over a new connection, which closes after the response.

    Takes the arguments of `Client.request`, with a URL in place of the path, and the keyword
    arguments of `connect`; raises what these raise. Read the body to its end, or use `with`.
    """
    check_configuration(settings, limits, False)
    target = Target(url)
    fields = as_list(headers)
    route = Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel, tracer=trace)
    chosen = CLIENT_LIMITS if limits is None else with_windows(limits, CLIENT_LIMITS)
    deadlines = Deadlines(chosen, as_timeout(timeout))
    fields = completed(fields, target.authority, target.credentials)
    spec = RequestSpec(method, target.path, fields, data, trailers)
    link = connected(route, target, force_http2, settings, chosen, deadlines, False)
    try:
        return only_request(link, spec, deadlines, on_informational)
    except StreamError as error:
        if not (isinstance(data, bytes) and requires_http1(error)):
            raise
        if not can_use_http1(target, ssl_ctx, force_http2):
            raise
    link = connected(route, target, force_http2, settings, chosen, deadlines, True)
    return only_request(link, spec, deadlines, on_informational)


def only_request(
    link: Link,
    spec: RequestSpec,
    deadlines: Deadlines,
    on_informational: OnInformational | None,
) -> Response:
    """Send the only request of a connection, which closes after the response."""
    response: Response | None = None
    try:
        link.single = True
        response = send(link, spec, deadlines, on_informational)
        return response
    finally:
        guard = link.guard
        guard.check()
        with guard.lock:
            begin(guard)
            if response is None:
                shut(link)
                push_out(link)
            elif response._ended and not link.is_lost:
                shut(link)
                push_out(link)
            guard.inside = False
