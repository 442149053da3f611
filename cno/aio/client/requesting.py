"""`cno.connect` and `cno.request`: their arguments and types.

Must never know how a connection is made. Stays interpreted, so that `inspect` takes the functions
for coroutine functions (see `coroutine_functions`), and finds their annotations.
"""

import asyncio
from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, overload

from cno.aio.client.connect import dial, request_once
from cno.aio.client.connection import Client, Response
from cno.aio.client.pending import Pending
from cno.aio.client.request_watch import InformationalHook
from cno.aio.client.urls import Target
from cno.aio.coroutine_functions import coroutine_function
from cno.aio.fields import Headers
from cno.aio.sources import Body
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.timeouts import Timeout
from cno.trace.hook import Tracer


def with_loop(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return positional arguments that begin with an event loop, or None in its place."""
    if "loop" in kwargs:
        return (kwargs.pop("loop"), *args)
    if args and (args[0] is None or isinstance(args[0], asyncio.AbstractEventLoop)):
        return args
    return (None, *args)


@overload
def connect(
    loop: asyncio.AbstractEventLoop | None,
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
    trace: Tracer | None = None,
) -> Pending[Client]: ...


@overload
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
    trace: Tracer | None = None,
) -> Pending[Client]: ...


@coroutine_function
def connect(*args: Any, **kwargs: Any) -> Pending[Client]:
    """Connect to the server that a URL names: `async with cno.connect(url) as client:`.

    `await connect(...)` returns the client too; close it then yourself.

    `http:` means clear text, `https:` TLS with ALPN `h2` and `http/1.1`. `h2c:` and `h2:` mean the
    same, but always HTTP/2; so does `force_http2`. A `user:password@` in the URL is sent with each
    request, as credentials of the Basic scheme, unless its headers have an `authorization`.

    `ssl_ctx` is the TLS context; by default it trusts the system's certificates. A context that
    offers no protocols by ALPN is changed to offer `h2` and `http/1.1`. To offer HTTP/1.1 alone,
    call `ssl_ctx.set_alpn_protocols(["http/1.1"])` before. `ssl_hostname` is the name that the
    certificate must have, by default the URL's host.

    `proxy` is the URL of an HTTP proxy (`http://[user:password@]host:port`, or `https:` for TLS to
    the proxy, with `proxy_ssl_ctx` or the system's certificates). The proxy forwards the requests
    to an `http:` URL. For `https:`, for HTTP/2 in clear text and with `proxy_tunnel`, it opens a
    tunnel (CONNECT), with TLS to the server inside. Upgrades need a tunnel, since proxies do not
    forward them. `proxy="env"` uses the proxy that the environment variables HTTP_PROXY,
    HTTPS_PROXY and ALL_PROXY name, except for the hosts in NO_PROXY; without it, no environment
    variable is read. `unix` is the path of a Unix socket, which is used instead of the URL's host.
    `settings` and `limits` are as for `cno.Client`. `trace` takes the bytes of the connection
    (`cno.trace`).

    The host is a name, an IPv4 address of four decimals, or an IPv6 address in brackets, which may
    have a zone (`[fe80::1%25eth0]`; the zone is not sent). Names outside ASCII are converted by
    IDNA 2008 and UTS 46 with the extra `cno[idna]`, and without it only where IDNA 2003 agrees.
    Hosts that other parsers could read differently are refused: addresses like `0x7f.1` and
    `127.1`, percent-encoded hosts, backslashes, several `@`, control characters.

    Raises ValueError for a URL that cannot be used. Raises ConnectError if there is no connection:
    its `__cause__` is what the system or `ssl` raised. Subclasses are ProxyError, if the proxy
    refuses or cannot be reached, and ConnectTimeoutError, which is a TimeoutError too, after
    `Limits.handshake_timeout`.
    """
    return Pending(_connect(*with_loop(args, kwargs), **kwargs))


async def _connect(
    loop: asyncio.AbstractEventLoop | None, url: str, *args: Any, **kwargs: Any
) -> Client:
    return await dial(loop, Target(url), *args, **kwargs)


@overload
def request(
    loop: asyncio.AbstractEventLoop | None,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    timeout: float | Timeout | None = None,
    on_informational: InformationalHook | None = None,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    force_http2: bool = False,
    proxy: str | None = None,
    proxy_ssl_ctx: SSLContext | None = None,
    proxy_tunnel: bool = False,
    unix: str | None = None,
    settings: SettingsDict | None = None,
    limits: Limits | None = None,
    trace: Tracer | None = None,
) -> Pending[Response]: ...


@overload
def request(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    timeout: float | Timeout | None = None,
    on_informational: InformationalHook | None = None,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    force_http2: bool = False,
    proxy: str | None = None,
    proxy_ssl_ctx: SSLContext | None = None,
    proxy_tunnel: bool = False,
    unix: str | None = None,
    settings: SettingsDict | None = None,
    limits: Limits | None = None,
    trace: Tracer | None = None,
) -> Pending[Response]: ...


@coroutine_function
def request(*args: Any, **kwargs: Any) -> Pending[Response]:
    """Send one request over a new connection, which closes after the response:
    `async with cno.request("GET", url) as response:`.

    `await request(...)` returns the response too: read its payload to the end then, or use
    `async with`. The arguments are those of `Client.request`, with a URL in place of the path, and
    the keyword arguments of `connect`; the errors are those of both.
    """
    return Pending(_request(*with_loop(args, kwargs), **kwargs))


async def _request(*args: Any, **kwargs: Any) -> Response:
    return await request_once(*args, **kwargs)  # compiled: it would not warn if never awaited
