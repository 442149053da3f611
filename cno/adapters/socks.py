"""SOCKS5 proxies, by the package `socksio` (RFC 1928, RFC 1929).

Knows the handshake. Must never know what is sent through the proxy.
"""

import asyncio
import importlib
import socket
from typing import Any

from cno.aio.client.urls import Target
from cno.aio.errors import ProxyError


class Proxy:
    """A SOCKS5 proxy. `username` None: none is sent."""

    def __init__(self, host: str, port: int, username: bytes | None, password: bytes) -> None:
        self.host = host
        self.port = port
        self.username = username
        self.password = password


def check_installed(extra: str) -> None:
    """Raise ImportError, with what to install, if there is no `socksio`."""
    try:
        importlib.import_module("socksio")
    except ImportError:
        raise ImportError(
            "Using SOCKS proxy, but the 'socksio' package is not installed. "
            f"Make sure to install it using `pip install {extra}[socks]`."
        ) from None


async def open_tunnel(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, target: Target
) -> None:
    """Have the proxy connect a socket to the server. Closes the socket if that fails."""
    done = False
    try:
        await negotiate(loop, sock, proxy, target)
        done = True
    finally:
        if not done:
            sock.close()


async def negotiate(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, target: Target
) -> None:
    """Speak SOCKS5. Raises ProxyError, OSError."""
    socks5: Any = importlib.import_module("socksio.socks5")
    conn: Any = socks5.SOCKS5Connection()
    method: Any = socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED
    if proxy.username is not None:
        method = socks5.SOCKS5AuthMethod.USERNAME_PASSWORD
    conn.send(socks5.SOCKS5AuthMethodsRequest([method]))
    reply: Any = await exchange(loop, sock, conn, 2)
    if reply.method != method:
        raise ProxyError(f"the SOCKS proxy does not accept the authentication {method.name}")
    if proxy.username is not None:
        conn.send(socks5.SOCKS5UsernamePasswordRequest(proxy.username, proxy.password))
        reply = await exchange(loop, sock, conn, 2)
        if not reply.success:
            raise ProxyError("Invalid username/password")
    command: Any = socks5.SOCKS5CommandRequest.from_address(
        socks5.SOCKS5Command.CONNECT, (target.host, target.port)
    )
    conn.send(command)
    reply = await exchange(loop, sock, conn, -1)
    if reply.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
        raise ProxyError(f"Proxy Server could not connect: {reply.reply_code.name}")


async def exchange(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, conn: Any, size: int
) -> Any:
    """Send what there is to send, and return the reply, of `size` bytes (-1: of a command).

    Bytes behind the reply are the server's, and stay in the socket.
    """
    await loop.sock_sendall(sock, conn.data_to_send())
    if size < 0:
        head = await receive(loop, sock, 5)
        # The type of the address, and for a name its length (RFC 1928 6).
        length = {1: 4, 4: 16}.get(head[3], head[4] + 1)
        data = head + await receive(loop, sock, length + 1)
    else:
        data = await receive(loop, sock, size)
    try:
        return conn.receive_data(data)
    except Exception as error:  # socksio has several kinds
        raise ProxyError(f"the SOCKS proxy's answer is malformed: {error}") from None


async def receive(loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
    """Return `size` bytes."""
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise ProxyError("the SOCKS proxy closed the connection")
        data += more
    return data
