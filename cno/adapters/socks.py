"""SOCKS5 proxies, by the package `socksio` (RFC 1928, RFC 1929).

Knows the handshake. Must never know what is sent through the proxy.
"""

import asyncio
import importlib
import socket
from typing import Any, Final

from cno.aio.client.urls import Target
from cno.aio.errors import ProxyError

# The steps of a negotiation, and the bytes of their replies. A command's reply is longer than its
# head (RFC 1928 3 and 6, RFC 1929 2).
METHOD: Final = 0
AUTHENTICATION: Final = 1
COMMAND: Final = 2
METHOD_SIZE: Final = 2
AUTHENTICATION_SIZE: Final = 2
COMMAND_HEAD: Final = 5


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


class Negotiation:
    """The handshake with a SOCKS5 proxy, without I/O: send `take_output()`, then pass `wanted`
    bytes to `receive`, until it is `done`. Raises ProxyError."""

    def __init__(self, proxy: Proxy, target: Target) -> None:
        self.wanted = METHOD_SIZE
        self.done = False
        self._proxy = proxy
        self._target = target
        self._socks5: Any = importlib.import_module("socksio.socks5")
        self._conn: Any = self._socks5.SOCKS5Connection()
        self._step = METHOD
        self._received = b""
        methods = self._socks5.SOCKS5AuthMethod
        self._method: Any = methods.NO_AUTH_REQUIRED
        if proxy.username is not None:
            self._method = methods.USERNAME_PASSWORD
        self._conn.send(self._socks5.SOCKS5AuthMethodsRequest([self._method]))

    def take_output(self) -> bytes:
        """Return the bytes to send to the proxy."""
        return bytes(self._conn.data_to_send())

    def receive(self, data: bytes) -> None:
        """Process up to `wanted` bytes of the proxy."""
        self._received += data
        self.wanted -= len(data)
        if self.wanted > 0:
            return
        received = self._received
        if self._step == COMMAND and len(received) == COMMAND_HEAD:
            # The type of the address, and for a name its length (RFC 1928 6).
            self.wanted = 1 + {1: 4, 4: 16}.get(received[3], received[4] + 1)
            return
        self._received = b""
        self._process(self._parsed(received))

    def _parsed(self, data: bytes) -> Any:
        try:
            return self._conn.receive_data(data)
        except Exception as error:  # socksio has several kinds
            raise ProxyError(f"the SOCKS proxy's answer is malformed: {error}") from None

    def _process(self, reply: Any) -> None:
        socks5 = self._socks5
        proxy = self._proxy
        if self._step == METHOD:
            if reply.method != self._method:
                name = self._method.name
                raise ProxyError(f"the SOCKS proxy does not accept the authentication {name}")
            if proxy.username is None:
                self._command()
                return
            self._step = AUTHENTICATION
            self.wanted = AUTHENTICATION_SIZE
            self._conn.send(socks5.SOCKS5UsernamePasswordRequest(proxy.username, proxy.password))
        elif self._step == AUTHENTICATION:
            if not reply.success:
                raise ProxyError("Invalid username/password")
            self._command()
        else:
            if reply.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
                raise ProxyError(f"Proxy Server could not connect: {reply.reply_code.name}")
            self.done = True

    def _command(self) -> None:
        socks5 = self._socks5
        self._step = COMMAND
        self.wanted = COMMAND_HEAD
        self._conn.send(
            socks5.SOCKS5CommandRequest.from_address(
                socks5.SOCKS5Command.CONNECT, (self._target.host, self._target.port)
            )
        )


async def open_tunnel(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, target: Target
) -> None:
    """Have the proxy connect a socket to the server. Closes the socket if that fails.

    Bytes behind the reply are the server's, and stay in the socket.
    """
    done = False
    try:
        negotiation = Negotiation(proxy, target)
        while not negotiation.done:
            output = negotiation.take_output()
            if output:
                await loop.sock_sendall(sock, output)
            data = await loop.sock_recv(sock, negotiation.wanted)
            if not data:
                raise ProxyError("the SOCKS proxy closed the connection")
            negotiation.receive(data)
        done = True
    finally:
        if not done:
            sock.close()
