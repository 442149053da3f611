"""Connections through an HTTP proxy, which forwards requests or opens a tunnel by CONNECT.

Knows how a transport passes from one protocol to another. Must never know which requests are sent
over the connection. (RFC 9110 9.3.6, RFC 9112 3.2.2)
"""

import asyncio
from ssl import SSLCertVerificationError, SSLContext
from typing import Final

from cno.aio import tls
from cno.aio.client.connect_errors import CLOSED_IN_HANDSHAKE
from cno.aio.client.connection import Client, Response, UpgradeRefused
from cno.aio.client.forward_proxy import ForwardProxy
from cno.aio.client.happy_eyeballs import open_connection
from cno.aio.client.proxy_environment import ProxyEnvironment, parse_proxy
from cno.aio.client.request_spec import has
from cno.aio.client.urls import Target
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    StreamError,
    StreamTimeoutError,
    copy_reason,
    said,
    set_retryable,
)
from cno.aio.fields import Headers
from cno.limits import Limits

#: Bytes of the content of a proxy's refusal that its error keeps.
MAX_REFUSAL_CONTENT: Final = 65_536


class ProxyRoute:
    """The choice of a proxy for each server, and of tunnel or forwarding.

    `url` is a proxy's URL, or "env": environment variables name the proxy (see `ProxyEnvironment`).
    `context` is for TLS to a proxy (`https:`). `tunnels`: ask for a tunnel even where the proxy
    could forward the requests. `fields` are sent to the proxy with each request that it forwards,
    and with each CONNECT. Raises ValueError if the URL names no proxy.
    """

    def __init__(
        self, url: str, context: SSLContext | None, tunnels: bool, fields: Headers | None = None
    ) -> None:
        self._environment = ProxyEnvironment() if url == "env" else None
        self._proxy = None if url == "env" else parse_proxy(url)
        self._context = context
        self._alpn_checked = context is None
        self._tunnels = tunnels
        self._fields: Headers = [] if fields is None else fields

    def proxy_for(self, target: Target) -> Target | None:
        """Return the proxy for requests to `target`; None: connect directly.

        Raises ValueError if the variable that names the proxy is malformed.
        """
        if self._environment is None:
            return self._proxy
        return self._environment.proxy_for(target)

    def _tls(self) -> SSLContext:
        """Return the context for TLS to a proxy, which offers HTTP/1.1 alone if it can."""
        if self._context is None:
            self._context = tls.http1_context()
        elif not self._alpn_checked and tls.HTTP1 in tls.offered_protocols(self._context):
            self._context = tls.Http1Context.of(self._context)
        self._alpn_checked = True
        return self._context

    async def connect(
        self,
        loop: asyncio.AbstractEventLoop,
        proxy: Target,
        target: Target,
        client: Client,
        context: SSLContext | None,
        hostname: str | None,
    ) -> None:
        """Connect `client` to the server of `target`, over TLS if `context` is not None.

        Raises ProxyError if the proxy cannot be reached, refuses or closes the connection. Raises
        OSError and ssl.SSLError if the TLS handshake with the server fails.
        """
        outer = self._tls() if proxy.scheme == "https" else None
        if context is not None or client._force_http2 or self._tunnels or target.needs_tunnel:
            await connect_through(
                loop, proxy, outer, target, client, context, hostname, self._fields
            )
            return
        client._requests.forward_proxy = ForwardProxy(proxy.credentials, self._fields)
        await connect_to_proxy(loop, proxy, outer, client)
        client.scheme = target.scheme  # TLS ends at the proxy


async def connect_to_proxy(
    loop: asyncio.AbstractEventLoop, proxy: Target, context: SSLContext | None, client: Client
) -> None:
    """Connect `client` to the proxy itself, to speak HTTP/1.1. Raises ProxyError."""
    name = proxy.server_name if context is not None else None
    try:
        await open_connection(loop, lambda: client, proxy.host, proxy.port, context, name)
    except OSError as error:
        raise proxy_connect_error(proxy, error) from error.with_traceback(None)
    if client.is_http2:
        client.abort()
        raise ProxyError("the proxy chose HTTP/2: proxy_ssl_ctx must offer http/1.1 by ALPN")


def proxy_connect_error(proxy: Target, error: OSError) -> ProxyError:
    """Return the error for a proxy that cannot be connected to."""
    what = said(error)
    if type(error) is ConnectionResetError and not error.args:
        what = CLOSED_IN_HANDSHAKE  # the text of asyncio and uvloop is empty
    failure = ProxyError(f"cannot connect to the proxy {proxy.authority}: {what}")
    set_retryable(failure, not isinstance(error, SSLCertVerificationError))
    # Not by `raise ... from`, which mypyc does not compile.
    failure.__cause__ = error.with_traceback(None)
    return failure


async def connect_through(
    loop: asyncio.AbstractEventLoop,
    proxy: Target,
    outer: SSLContext | None,
    target: Target,
    client: Client,
    context: SSLContext | None,
    hostname: str | None,
    fields: Headers,
) -> None:
    """Connect `client` through a tunnel.

    `outer` is the context for TLS to the proxy, `context` that for TLS inside the tunnel.
    """
    transport, early, at_eof = await open_tunnel(loop, proxy, outer, target, client._limits, fields)
    if context is None:
        # No input can have come since: a coroutine continues its caller without a loop iteration.
        transport.set_protocol(client)
        client.connection_made(transport)
        client.scheme = target.scheme  # TLS ends at the proxy
        if early:
            client.data_received(early)
        if at_eof and not client.eof_received():
            transport.close()
        return
    if early or at_eof:
        transport.abort()
        what = "sent data" if early else "ended the connection"
        raise ProxyError(f"the proxy {what} before the TLS handshake")
    if outer is not None:
        tls.prepare_for_tls_inside(transport)
    buffering = BufferingProtocol()
    secured = await loop.start_tls(transport, buffering, context, server_hostname=hostname)
    if secured is None:
        raise ConnectionLostError("the connection ended during the handshake", retryable=True)
    buffering.hand_over(secured, client)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    proxy: Target,
    outer: SSLContext | None,
    target: Target,
    limits: Limits,
    more: Headers,
) -> tuple[asyncio.Transport, bytes, bool]:
    """Return a transport to `target`, the bytes that followed the proxy's response, and whether
    end of file came after them."""
    proxy_client = Client(loop, proxy.authority, "http", limits=limits)
    await connect_to_proxy(loop, proxy, outer, proxy_client)
    fields = list(more)
    if proxy.credentials is not None and not has(fields, "proxy-authorization"):
        fields.append(("proxy-authorization", proxy.credentials))
    done = False
    try:
        problem = await request_tunnel(proxy_client, target, fields)
        if problem is None:
            found = proxy_client.hand_over()
            done = True
            return found
    except ConnectionLostError as lost:
        problem = ProxyError(f"the proxy is gone: {said(lost)}")
    finally:
        if not done:
            proxy_client.abort()
    try:
        raise problem
    finally:
        problem = None  # else this frame and the traceback of the error keep each other alive


async def request_tunnel(
    proxy_client: Client, target: Target, fields: Headers
) -> ConnectError | None:
    """Send CONNECT to the proxy; return the error if it refuses, None if the tunnel is open.

    Raises ConnectionLostError.
    """
    try:
        await proxy_client.tunnel(target.address, fields)
        return None
    except UpgradeRefused as refusal:
        response = refusal.response
    except StreamTimeoutError as late:
        too_late = ConnectTimeoutError(f"the proxy does not answer: {late.strerror}")
        copy_reason(too_late, late)
        return too_late
    except StreamError as fault:
        malformed = ProxyError(f"the proxy's answer is not accepted: {fault.strerror}")
        copy_reason(malformed, fault)
        set_retryable(malformed, False)
        return malformed
    return await refusal_error(proxy_client, response, target)


async def refusal_error(proxy_client: Client, response: Response, target: Target) -> ProxyError:
    """Return the error for a proxy that responded with another status than 2xx.

    Reads the content of the response for `Limits.linger_timeout` at most.
    """
    content = bytearray()
    timer = proxy_client.loop.call_later(proxy_client._limits.linger_timeout, proxy_client.abort)
    try:
        while len(content) < MAX_REFUSAL_CONTENT:
            piece = await response.payload.read(MAX_REFUSAL_CONTENT - len(content))
            if not piece:
                break
            content += piece
    except OSError:
        pass  # the error keeps the part that has come
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


class BufferingProtocol(asyncio.Protocol):
    """Buffers the events of a transport until another protocol takes it over."""

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

    def hand_over(self, transport: asyncio.Transport, client: Client) -> None:
        """Make `client` the transport's protocol, and replay the buffered events to it."""
        transport.set_protocol(client)
        client.connection_made(transport)
        for data in self._data:
            client.data_received(data)
        if self._eof:
            client.eof_received()
        if self._lost:
            client.connection_lost(self._error)
