"""From a URL to a connection, or right to a response.

Knows URLs, addresses and when TLS is meant. Must never know what a connection does.
"""

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, Final, overload
from urllib.parse import SplitResult, quote, urlsplit

from cno.aio import tls
from cno.aio.client import Client
from cno.aio.messages import Body, Response
from cno.aio.output import Headers
from cno.limits import Limits

# Scheme of a URL -> scheme of its requests, port, whether HTTP/2 needs no agreement.
SCHEMES: Final = {
    "http": ("http", 80, False),
    "https": ("https", 443, False),
    "h2c": ("http", 80, True),
    "h2": ("https", 443, True),
}

#: What a request target may have beside letters and digits; the rest is percent-encoded.
SAFE: Final = "%/?:@!$&'()*+,;=-._~"


class Target:
    """What a URL says about where to connect, and what to ask for there.

    Raises ValueError for URLs without a host, and for schemes that are not HTTP's.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        known = SCHEMES.get(parts.scheme)
        if known is None:
            raise ValueError(f"{url!r}: the scheme must be one of {', '.join(SCHEMES)}")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        self.scheme, default, self.force_http2 = known
        self.host = ascii_host(parts.hostname)
        self.port = default if parts.port is None else parts.port
        named = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = named if self.port == default else f"{named}:{self.port}"
        self.path = path_of(parts)


def ascii_host(host: str) -> str:
    """A host as DNS knows it."""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def path_of(parts: SplitResult) -> str:
    """The request target in origin-form: path and query, never the fragment (RFC 9112 3.2.1)."""
    path = quote(parts.path, safe=SAFE) or "/"
    return f"{path}?{quote(parts.query, safe=SAFE)}" if parts.query else path


def with_loop(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments with a loop in front, if there is none: it may be left out."""
    if "loop" in kwargs:
        return (kwargs.pop("loop"), *args)
    if args and (args[0] is None or isinstance(args[0], asyncio.AbstractEventLoop)):
        return args
    return (None, *args)


@overload
async def connect(
    loop: asyncio.AbstractEventLoop | None,
    url: str,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    *,
    force_http2: bool = False,
    settings: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Client: ...


@overload
async def connect(
    url: str,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    *,
    force_http2: bool = False,
    settings: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Client: ...


async def connect(*args: Any, **kwargs: Any) -> Client:
    """Connect to the server that a URL names.

    `http:` is clear text, `https:` TLS with ALPN `h2` and `http/1.1`; `h2c:` and `h2:` are the
    same with HTTP/2 in any case, as is `force_http2`. `ssl_ctx` (by default one that trusts the
    system's certificates) is told to offer these protocols; `ssl_hostname` is whom the
    certificate must name, by default the URL's host. `settings` and `limits` are as for
    `cno.Client`.

    Raises ValueError for a URL that cannot be used, OSError and ssl.SSLError.
    """
    return await _connect(*with_loop(args, kwargs), **kwargs)


async def _connect(
    loop: asyncio.AbstractEventLoop | None,
    url: str,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    *,
    force_http2: bool = False,
    settings: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Client:
    if loop is None:
        loop = asyncio.get_running_loop()
    target = Target(url)
    client = Client(
        loop,
        target.authority,
        target.scheme,
        force_http2=force_http2 or target.force_http2,
        settings=settings,
        limits=limits,
    )
    if target.scheme == "https":
        if ssl_ctx is None:
            ssl_ctx = tls.client_context()
        else:
            ssl_ctx.set_alpn_protocols(list(tls.PROTOCOLS))
        await loop.create_connection(
            lambda: client,
            target.host,
            target.port,
            ssl=ssl_ctx,
            server_hostname=ssl_hostname or target.host,
        )
    else:
        await loop.create_connection(lambda: client, target.host, target.port)
    return client


@overload
async def request(
    loop: asyncio.AbstractEventLoop | None,
    method: str,
    url: str,
    headers: Headers = ...,
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    force_http2: bool = False,
    settings: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Response: ...


@overload
async def request(
    method: str,
    url: str,
    headers: Headers = ...,
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    ssl_ctx: SSLContext | None = None,
    ssl_hostname: str | None = None,
    force_http2: bool = False,
    settings: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Response: ...


async def request(*args: Any, **kwargs: Any) -> Response:
    """Send one request over a connection of its own, which closes after the response.

    Takes what `Client.request` takes, with a URL in place of the path, and what `connect` takes by
    name; raises what they raise. Read the payload to its end, or use `async with`.
    """
    return await _request(*with_loop(args, kwargs), **kwargs)


async def _request(
    loop: asyncio.AbstractEventLoop | None,
    method: str,
    url: str,
    headers: Headers | None = None,
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    **connect_args: Any,
) -> Response:
    client = await _connect(loop, url, **connect_args)
    try:
        response = await client.request(
            method, Target(url).path, headers or (), data, trailers=trailers
        )
    except BaseException:
        client.close()
        raise
    client.close_after()
    return response
