"""Through an HTTP proxy: CONNECT, then TLS inside if that is meant, then the client's connection.

Knows how a transport passes from one protocol to another. Must never know who wants the connection,
or what is going to be said on it. (RFC 9110 9.3.6)
"""

import asyncio
from ssl import SSLContext

from cno.aio.client import Client, UpgradeRefused
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    StreamTimeoutError,
    said,
)
from cno.aio.output import Headers
from cno.aio.racing import open_connection
from cno.aio.urls import Target
from cno.limits import Limits


def proxy_of(url: str | None) -> Target | None:
    """The proxy that a URL names. Raises ValueError unless it is spoken to in clear text."""
    if url is None:
        return None
    proxy = Target(url)
    if proxy.scheme != "http" or proxy.force_http2:
        raise ValueError("a proxy's URL must begin with http://: TLS comes inside of its tunnels")
    return proxy


async def connect_through(
    loop: asyncio.AbstractEventLoop,
    proxy: Target,
    target: Target,
    client: Client,
    context: SSLContext | None,
    hostname: str | None,
) -> None:
    """Connect `client` to what `target` names, over TLS if there is a context.

    Raises ProxyError if the proxy refuses or is gone, OSError if it cannot be reached, and
    ssl.SSLError.
    """
    transport, early, ended = await open_tunnel(loop, proxy, target, client._limits)
    if context is None:
        # Nothing can have come in between: whoever awaited this runs on at once.
        transport.set_protocol(client)
        client.connection_made(transport)
        if early:
            client.data_received(early)
        if ended and not client.eof_received():
            transport.close()
        return
    if early or ended:
        transport.abort()
        what = "says something" if early else "ends the connection"
        raise ProxyError(f"the proxy {what} before TLS has begun")
    antechamber = Antechamber()
    secured = await loop.start_tls(transport, antechamber, context, server_hostname=hostname)
    if secured is None:
        raise ConnectionLostError("the connection ended during the handshake", retryable=True)
    antechamber.pass_on(secured, client)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop, proxy: Target, target: Target, limits: Limits
) -> tuple[asyncio.Transport, bytes, bool]:
    """A transport that leads to `target`, what came on it right behind the proxy's answer, and
    whether that is all."""
    asker = Client(loop, proxy.authority, "http", limits=limits)
    await open_connection(loop, lambda: asker, proxy.host, proxy.port)
    fields: Headers = []
    if proxy.credentials is not None:
        fields.append(("proxy-authorization", proxy.credentials))
    problem: ConnectError
    done = False
    try:
        await asker.tunnel(target.address, fields)
        found = asker.hand_over()
        done = True
        return found
    except UpgradeRefused as refusal:
        code = refusal.response.code
        problem = ProxyError(f"the proxy answers {code} for {target.address}", code=code)
    except ConnectionLostError as lost:
        problem = ProxyError(f"the proxy is gone: {said(lost)}")
    except StreamTimeoutError as late:
        problem = ConnectTimeoutError(f"the proxy does not answer: {late.strerror}")
    finally:
        if not done:
            asker.abort()
    raise problem


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
