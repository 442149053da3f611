"""Through an HTTP proxy: it forwards requests, or opens a tunnel by CONNECT, with TLS inside.

Knows how a transport passes from one protocol to another. Must never know who wants the connection,
or what is going to be said on it. (RFC 9110 9.3.6, RFC 9112 3.2.2)
"""

import asyncio
from ssl import SSLCertVerificationError, SSLContext
from typing import Final

from cno.aio import tls
from cno.aio.client import Client, UpgradeRefused
from cno.aio.environment import Environment, parse_proxy
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    StreamError,
    StreamTimeoutError,
    said,
)
from cno.aio.forward import ForwardProxy
from cno.aio.messages import Response
from cno.aio.output import Headers
from cno.aio.racing import open_connection
from cno.aio.urls import Target
from cno.limits import Limits

#: Bytes of the content of a proxy's refusal that its error keeps.
MAX_REFUSAL: Final = 65_536


class ProxyRoute:
    """Which proxy a request goes through, and how.

    `url` is a proxy's URL, or "env": the environment's variables name it (see `Environment`).
    `context` is for TLS to a proxy (`https:`). `tunnels`: ask for a tunnel even where the proxy
    could forward the requests. Raises ValueError for what is no URL of a proxy.
    """

    def __init__(self, url: str, context: SSLContext | None, tunnels: bool) -> None:
        self._environment = Environment() if url == "env" else None
        self._proxy = None if url == "env" else parse_proxy(url)
        self._context = context
        self._tunnels = tunnels

    def proxy_for(self, target: Target) -> Target | None:
        """Return the proxy for requests to `target`; None: connect directly.

        Raises ValueError if the environment names what is no proxy.
        """
        if self._environment is None:
            return self._proxy
        return self._environment.proxy_for(target)

    async def connect(
        self,
        loop: asyncio.AbstractEventLoop,
        proxy: Target,
        target: Target,
        client: Client,
        context: SSLContext | None,
        hostname: str | None,
    ) -> None:
        """Connect `client` to what `target` names, over TLS if there is a context.

        Raises ProxyError if the proxy refuses, is gone or cannot be reached, OSError and
        ssl.SSLError for what the server does.
        """
        outer: SSLContext | None = None
        if proxy.scheme == "https":
            outer = tls.http1_context() if self._context is None else self._context
        if context is not None or client._force_http2 or self._tunnels:
            await connect_through(loop, proxy, outer, target, client, context, hostname)
            return
        client._forward = ForwardProxy(proxy.credentials)
        await reach(loop, proxy, outer, client)
        client.scheme = target.scheme  # the TLS is the proxy's


async def reach(
    loop: asyncio.AbstractEventLoop, proxy: Target, context: SSLContext | None, client: Client
) -> None:
    """Connect `client` to the proxy itself, by HTTP/1.1. Raises ProxyError."""
    name = proxy.server_name if context is not None else None
    try:
        await open_connection(loop, lambda: client, proxy.host, proxy.port, context, name)
    except OSError as error:
        raise unreachable(proxy, error) from error.with_traceback(None)
    if client.is_http2:
        client.abort()
        raise ProxyError("the proxy chose HTTP/2: proxy_ssl_ctx must offer http/1.1 alone by ALPN")


def unreachable(proxy: Target, error: OSError) -> ProxyError:
    """Return what is raised where no connection to the proxy itself can be made."""
    failure = ProxyError(f"cannot connect to the proxy {proxy.authority}: {said(error)}")
    failure.retryable = not isinstance(error, SSLCertVerificationError)
    return failure


async def connect_through(
    loop: asyncio.AbstractEventLoop,
    proxy: Target,
    outer: SSLContext | None,
    target: Target,
    client: Client,
    context: SSLContext | None,
    hostname: str | None,
) -> None:
    """Connect `client` by a tunnel. `outer` is for TLS to the proxy, `context` for TLS inside."""
    transport, early, ended = await open_tunnel(loop, proxy, outer, target, client._limits)
    if context is None:
        # Nothing can have come in between: whoever awaited this runs on at once.
        transport.set_protocol(client)
        client.connection_made(transport)
        client.scheme = target.scheme  # whatever is between the proxy and here
        if early:
            client.data_received(early)
        if ended and not client.eof_received():
            transport.close()
        return
    if early or ended:
        transport.abort()
        what = "says something" if early else "ends the connection"
        raise ProxyError(f"the proxy {what} before TLS has begun")
    if outer is not None:
        tls.prepare_for_tls_inside(transport)
    antechamber = Antechamber()
    secured = await loop.start_tls(transport, antechamber, context, server_hostname=hostname)
    if secured is None:
        raise ConnectionLostError("the connection ended during the handshake", retryable=True)
    antechamber.pass_on(secured, client)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    proxy: Target,
    outer: SSLContext | None,
    target: Target,
    limits: Limits,
) -> tuple[asyncio.Transport, bytes, bool]:
    """A transport that leads to `target`, what came on it right behind the proxy's answer, and
    whether that is all."""
    asker = Client(loop, proxy.authority, "http", limits=limits)
    await reach(loop, proxy, outer, asker)
    fields: Headers = []
    if proxy.credentials is not None:
        fields.append(("proxy-authorization", proxy.credentials))
    done = False
    try:
        problem = await ask(asker, target, fields)
        if problem is None:
            found = asker.hand_over()
            done = True
            return found
    except ConnectionLostError as lost:
        problem = ProxyError(f"the proxy is gone: {said(lost)}")
    finally:
        if not done:
            asker.abort()
    try:
        raise problem
    finally:
        problem = None  # else it would hold, by its traceback, what holds it


async def ask(asker: Client, target: Target, fields: Headers) -> ConnectError | None:
    """Ask the proxy for a tunnel; return why there is none, None if there is one.

    Raises ConnectionLostError.
    """
    try:
        await asker.tunnel(target.address, fields)
        return None
    except UpgradeRefused as refusal:
        response = refusal.response
    except StreamTimeoutError as late:
        return ConnectTimeoutError(f"the proxy does not answer: {late.strerror}")
    except StreamError as fault:
        malformed = ProxyError(f"the proxy's answer is not accepted: {fault.strerror}")
        malformed.rule = fault.rule
        malformed.limit = fault.limit
        malformed.retryable = False
        return malformed
    return await refused(asker, response, target)


async def refused(asker: Client, response: Response, target: Target) -> ProxyError:
    """Return the error for a proxy that answered with another status than 2xx.

    Waits `Limits.linger_timeout` at most for the content of the answer.
    """
    content = bytearray()
    timer = asker.loop.call_later(asker._limits.linger_timeout, asker.abort)
    try:
        while len(content) < MAX_REFUSAL:
            piece = await response.payload.read(MAX_REFUSAL - len(content))
            if not piece:
                break
            content += piece
    except OSError:
        pass  # what there is of it will do
    finally:
        timer.cancel()
    reason = f" {response.reason}" if response.reason else ""
    return ProxyError(
        f"the proxy answers {response.code}{reason} for {target.address}",
        code=response.code,
        reason=response.reason,
        headers=response.headers,
        content=bytes(content),
    )


class Antechamber(asyncio.Protocol):
    """Keeps what comes over TLS until the one whom it is for is told of the connection."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._eof = False
        self._lost = False
        self._error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._error = exc

    def pass_on(self, transport: asyncio.Transport, client: Client) -> None:
        """Give the connection to `client`, with all that has happened to it so far."""
        transport.set_protocol(client)
        client.connection_made(transport)
        for data in self._data:
            client.data_received(data)
        if self._eof:
            client.eof_received()
        if self._lost:
            client.connection_lost(self._error)
