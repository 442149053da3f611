"""`cno.serve`: its arguments, their types and their defaults.

Knows which arguments name the address. Must never know how sockets are made. Stays interpreted, so
that `inspect` finds its annotations.
"""

import socket
from collections.abc import Iterable, Sequence
from ssl import SSLContext
from typing import TypedDict, Unpack, overload

from cno.aio import tls
from cno.aio.arguments import check_handler
from cno.aio.server.connection import Handler
from cno.aio.server.listener import Address, Listener
from cno.aio.server.proxy_protocol import TrustedProxies
from cno.aio.server.response_hook import HookedHandler, ResponseHook
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.trace.hook import Tracer


class Options(TypedDict, total=False):
    """The arguments of `serve` that do not depend on the kind of address."""

    ssl: SSLContext | None
    certfile: tls.Path | None
    keyfile: tls.Path | None
    backlog: int
    reuse_port: bool | None
    settings: SettingsDict | None
    limits: Limits | None
    date: bool
    proxy_protocol: Iterable[object] | None
    on_response: ResponseHook | None
    trace: Tracer | None


@overload
def serve(
    handler: Handler, host: str | Sequence[str] | None, port: int, **options: Unpack[Options]
) -> Listener: ...


@overload
def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    *,
    port: int,
    **options: Unpack[Options],
) -> Listener: ...


@overload
def serve(handler: Handler, *, sock: socket.socket, **options: Unpack[Options]) -> Listener: ...


@overload
def serve(
    handler: Handler, *, path: str, mode: int | None = None, **options: Unpack[Options]
) -> Listener: ...


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: SSLContext | None = None,
    certfile: tls.Path | None = None,
    keyfile: tls.Path | None = None,
    sock: socket.socket | None = None,
    path: str | None = None,
    mode: int | None = None,
    backlog: int = 1024,
    reuse_port: bool | None = None,
    settings: SettingsDict | None = None,
    limits: Limits | None = None,
    date: bool = True,
    proxy_protocol: Iterable[object] | None = None,
    on_response: ResponseHook | None = None,
    trace: Tracer | None = None,
) -> Listener:
    """Serve HTTP/2 and HTTP/1.1: `async with cno.serve(handler, host, port):`.

    `await serve(...)` starts the server too, and returns the `Listener`. `handler` is as for
    `cno.Server`. The address is one of three: `host`, which may be a list of hosts (None: all
    interfaces), and `port` (0: a port that is free on all of them); `sock`, a bound socket; or
    `path`, the path of a Unix socket, whose file has the permissions `mode` (for instance 0o660)
    before a client can connect.

    With `certfile` and `keyfile` (PEM), or with the context `ssl`, the server uses TLS and offers
    `h2` and `http/1.1` by ALPN; it sets the protocols of your context. Without TLS, clients use
    HTTP/2 by prior knowledge. Responses without a `Date` field get one (RFC 9110 6.6.1), unless
    `date` is False.

    `proxy_protocol` lists the addresses of trusted proxies (`["10.0.0.0/8", "::1"]`; `unix:` is
    every client of a Unix socket). Their connections must begin with a PROXY header, version 1 or
    2, before TLS; `Request.peer` is the client that it announces. A header that is malformed, or
    not complete after `Limits.handshake_timeout`, ends the connection. Connections from other
    addresses have no header.

    `on_response(request, code, size, seconds)` is called when a handler has returned, for an access
    log: with the status of the response (0: the client had gone before), the sent bytes of the body
    and the time since the request. It must not block. `trace` takes all bytes (`cno.trace`).

    Raises ValueError for an address or TLS that is missing or given twice, TypeError and UsageError
    for a handler, settings or limits that cannot work, OSError.
    """
    if certfile is not None:
        if ssl is not None:
            raise ValueError("either certfile or ssl, not both")
        ssl = tls.server_context(certfile, keyfile)
    elif keyfile is not None:
        raise ValueError("keyfile needs a certfile")
    elif ssl is not None:
        ssl.set_alpn_protocols(list(tls.PROTOCOLS))
    if on_response is not None:
        check_handler(handler)
        handler = HookedHandler(handler, on_response)
    address = Address(host, port, sock, path, mode, backlog, reuse_port)
    proxies = None if proxy_protocol is None else TrustedProxies(proxy_protocol)
    return Listener(handler, address, ssl, settings, limits, date, proxies, trace)
