"""Connect to the server that a URL names; send one request over a new connection.

Knows when TLS, a proxy or a Unix socket is used. Must never know what a connection does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cno.aio import tls
from cno.aio.client import sending
from cno.aio.client.connect_errors import connect_error, connect_timeout
from cno.aio.client.connection import Client, Response
from cno.aio.client.happy_eyeballs import SocketOptions, open_connection
from cno.aio.client.proxy import ProxyRoute
from cno.aio.client.request_watch import InformationalHook, RequestWatch, watched
from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.state import is_open, why_unused
from cno.aio.client.unread_input import has_input, let_transport_read, socket_number
from cno.aio.client.urls import Target
from cno.aio.errors import StreamError
from cno.aio.fields import Headers, as_list
from cno.aio.hosts import tls_name
from cno.aio.sources import Body
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.timeouts import Timeout

if TYPE_CHECKING:
    from cno.trace.hook import Tracer

#: Connects a client to the server of a target; the bool: offer HTTP/1.1 alone (`Route.connect`).
Connector: TypeAlias = Callable[
    [asyncio.AbstractEventLoop, Target, Client, bool], Coroutine[Any, Any, None]
]


def traced_class() -> type[Client]:
    """Return the class of clients that have a trace."""
    from cno.aio.client.traced import TracedClient  # slow to import

    return TracedClient


class Route:
    """How to reach servers: the TLS context, and a proxy or a Unix socket if there is one."""

    def __init__(
        self,
        ssl_ctx: SSLContext | None,
        ssl_hostname: str | None,
        proxy: str | None,
        unix: str | None,
        proxy_ssl_ctx: SSLContext | None = None,
        proxy_tunnel: bool = False,
        options: SocketOptions | None = None,
    ) -> None:
        if proxy is not None and unix is not None:
            raise ValueError("either a proxy or a Unix socket, not both")
        self._context = ssl_ctx
        self._own = ssl_ctx
        self._http1_context: SSLContext | None = None
        self._alpn_checked = ssl_ctx is None  # the context offers protocols by ALPN
        self._hostname = None if ssl_hostname is None else tls_name(ssl_hostname)
        self._proxies = None if proxy is None else ProxyRoute(proxy, proxy_ssl_ctx, proxy_tunnel)
        self._unix_path = unix
        self._options = options
        self._connector: Connector | None = None

    def connect_by(self, connector: Connector) -> None:
        """Have a function make the connections, in place of sockets, TLS and proxies."""
        self._connector = connector

    def can_require_http1(self) -> bool:
        """Return whether a connection over TLS can offer HTTP/1.1 alone."""
        return self._own is None or tls.HTTP1 in tls.offered_protocols(self._tls())

    def _http1_tls(self) -> SSLContext:
        """Return the context of connections that offer HTTP/1.1 alone."""
        if self._http1_context is None:
            own = self._own
            self._http1_context = tls.http1_context() if own is None else tls.Http1Context.of(own)
        return self._http1_context

    def _tls(self) -> SSLContext:
        """Return the TLS context, the same for all connections."""
        if self._context is None:
            self._context = tls.default_context()
        elif not self._alpn_checked:
            tls.offer_protocols(self._context)
            self._alpn_checked = True
        return self._context

    def _secured(self, target: Target, http1_only: bool) -> tuple[SSLContext | None, str | None]:
        """Return the TLS context and the server's name for it; None for clear text."""
        if target.scheme != "https":
            return None, None
        context = self._http1_tls() if http1_only else self._tls()
        return context, self._hostname or target.server_name

    def check(self, target: Target) -> None:
        """Raise ValueError if the environment names a malformed proxy for requests to `target`."""
        if self._proxies is not None:
            self._proxies.proxy_for(target)

    def uses_proxy(self, target: Target) -> bool:
        """Return whether requests to `target` go by a proxy."""
        return self._proxies is not None and self._proxies.proxy_for(target) is not None

    async def connect(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Target,
        client: Client,
        http1_only: bool = False,
    ) -> None:
        """Connect `client` to the server that `target` names.

        `http1_only`: offer HTTP/1.1 alone over TLS (see `can_require_http1`).
        """
        if self._connector is not None:
            await self._connector(loop, target, client, http1_only)
            return
        context, hostname = self._secured(target, http1_only)
        proxies = self._proxies
        proxy = None if proxies is None else proxies.proxy_for(target)
        if proxies is not None and proxy is not None:
            await proxies.connect(loop, proxy, target, client, context, hostname)
        elif self._unix_path is not None:
            await loop.create_unix_connection(
                lambda: client, self._unix_path, ssl=context, server_hostname=hostname
            )
        else:
            await open_connection(
                loop, lambda: client, target.host, target.port, context, hostname, self._options
            )


async def dial(
    loop: asyncio.AbstractEventLoop | None,
    target: Target,
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
    trace: "Tracer | None" = None,
    http1_only: bool = False,
    client_class: type[Client] = Client,
    connector: Connector | None = None,
    within: tuple[float, str] | None = None,
) -> Client:
    """Connect as `cno.connect` does, to a target that has been parsed already.

    `http1_only`: offer HTTP/1.1 alone, over TLS. `connector` takes the place of `Route.connect`.
    `within`: a time limit in seconds, and its name. `trace` takes the place of `client_class`.
    """
    if loop is None:
        loop = asyncio.get_running_loop()
    route = Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel)
    if trace is not None:
        client_class = traced_class()
    client = client_class(
        loop,
        target.authority,
        target.scheme,
        force_http2=force_http2 or target.force_http2,
        settings=settings,
        limits=limits,
    )
    if trace is not None:
        cast(Any, client).trace_by(trace)
    client._requests.credentials = target.credentials
    patience = client._limits.handshake_timeout
    name = "handshake_timeout"
    if within is not None and (patience is None or within[0] < patience):
        patience, name = within
    problem: OSError | None = None
    connecting = route.connect if connector is None else connector
    try:
        work = connecting(loop, target, client, http1_only)
        await connect_within(patience, name, loop, work, client)
    except OSError as error:
        problem = error
    if problem is None and await was_closed(client):
        problem = why_unused(client)
    if problem is not None:
        try:
            raise connect_error(target, problem)
        finally:
            problem = None  # else this frame and the traceback of the error keep each other alive
    return client


async def was_closed(client: Client) -> bool:
    """Return whether the server has ended a connection before its first request."""
    if has_input(socket_number(client.transport)):
        try:
            await let_transport_read()
        except asyncio.CancelledError:
            client.abort()
            raise
    if is_open(client):
        return False
    client.abort()
    return True


async def connect_within(
    patience: float | None,
    limit: str,
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, None],
    client: Client,
) -> None:
    """Await `work`, which connects `client`; raise ConnectTimeoutError after `patience` seconds."""
    if patience is None:
        await work
        return
    task: asyncio.Task[None] | None = loop.create_task(work)
    assert task is not None
    try:
        await asyncio.wait((task,), timeout=patience)
    except asyncio.CancelledError:
        abandon(task, client)
        raise
    if not task.done():
        abandon(task, client)
        raise connect_timeout(patience, limit)
    problem = task.exception()
    task = None
    if problem is not None:
        try:
            raise problem
        finally:
            problem = None  # else this frame and the traceback of the error keep each other alive


def abandon(task: "asyncio.Task[None]", client: Client) -> None:
    """Cancel a connection attempt, and abort the connection if there is one already."""
    task.add_done_callback(retrieve_exception)
    task.cancel()
    client.abort()


def retrieve_exception(task: "asyncio.Task[None]") -> None:
    """Retrieve the exception of a task, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()


async def request_once(
    loop: asyncio.AbstractEventLoop | None,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    timeout: float | Timeout | None = None,  # noqa: ASYNC109  # of the API
    on_informational: InformationalHook | None = None,
    **connect_args: Any,
) -> Response:
    """Send one request over a new connection. (`cno.request` describes the arguments.)"""
    target = Target(url)
    fields = as_list(headers)
    if timeout is None and on_informational is None:
        return await carry(loop, method, target, fields, data, trailers, None, connect_args)
    watch = RequestWatch(timeout, on_informational)
    work = carry(loop, method, target, fields, data, trailers, watch, connect_args)
    return await watched(watch, work)


async def carry(
    loop: asyncio.AbstractEventLoop | None,
    method: str,
    target: Target,
    fields: Headers,
    data: Body,
    trailers: Headers | None,
    watch: RequestWatch | None,
    options: dict[str, Any],
) -> Response:
    """Connect, with these keyword arguments of `connect`, and send the request; if the server
    requires that, connect again for HTTP/1.1."""
    within = None if watch is None else watch.for_connecting()
    client = await dial(loop, target, within=within, **options)
    try:
        return await only_request(client, method, target, fields, data, trailers, watch)
    except StreamError as error:
        if not (isinstance(data, bytes) and requires_http1(error)):
            raise
        if not can_use_http1(target, **options):
            raise
    within = None if watch is None else watch.for_connecting()
    client = await dial(loop, target, http1_only=True, within=within, **options)
    return await only_request(client, method, target, fields, data, trailers, watch)


async def only_request(
    client: Client,
    method: str,
    target: Target,
    fields: Headers,
    data: Body,
    trailers: Headers | None,
    watch: RequestWatch | None,
) -> Response:
    """Send the only request of a connection, which closes after the response."""
    try:
        if watch is not None:
            watch.check()
        response = await sending.send(client, method, target.path, fields, data, trailers, watch)
    except BaseException:
        client.close()
        raise
    client.close_after()
    return cast(Response, response)


def can_use_http1(
    target: Target, ssl_ctx: SSLContext | None = None, force_http2: bool = False, **_: Any
) -> bool:
    """Return whether these arguments of `connect` let a connection offer HTTP/1.1 alone."""
    if target.scheme != "https" or target.force_http2 or force_http2:
        return False
    return ssl_ctx is None or tls.HTTP1 in tls.offered_protocols(ssl_ctx)
