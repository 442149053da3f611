"""The connections of `cno get`: one to each server, made again when it has ended.

Knows addresses, TLS and protocols. Must never know requests or output.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from cno.aio import tls
from cno.aio.client.connect import dial
from cno.aio.client.connect_errors import CLOSED_AT_ONCE
from cno.aio.client.connection import Client
from cno.aio.client.urls import Target, split_hier_part
from cno.aio.errors import ConnectError, ProxyError, said
from cno.cli.problems import Problem, reason
from cno.limits import Limits

#: Seconds to close all connections.
PATIENCE: Final = 1.0

# What OpenSSL calls bytes that are not TLS.
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_ENDED: Final = (ConnectionResetError, ssl.SSLEOFError)
NO_TLS_HINT: Final = "if the server does not use TLS, the URL begins with http:"
TLS_HINT: Final = "if the server uses TLS, the URL begins with https:"


@dataclass(frozen=True)
class ConnectOptions:
    """How the user wants connections to be made.

    `version`: "1.1" or "2" to insist; "" to let ALPN decide, with HTTP/1.1 in clear text.
    `insecure`: accept any certificate. `cacert`, `cert`, `key`: PEM files. `proxy`: the URL of a
    proxy; "env": the one that the environment names.
    """

    version: str = ""
    insecure: bool = False
    cacert: str | None = None
    limits: Limits | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None


def target_of(url: str) -> Target:
    """Parse a URL. Raises Problem if it is malformed or contains credentials."""
    try:
        if "@" in split_hier_part(url.partition("://")[2])[0]:
            raise Problem(f"{url}: give credentials by -H 'authorization: ...', not in the URL")
        return Target(url)
    except ValueError as error:
        raise Problem(str(error) if url in str(error) else f"{url}: {error}") from None


def client_context(options: ConnectOptions) -> ssl.SSLContext:
    """Return the TLS context for all servers. Raises Problem for files that cannot be used."""
    try:
        context = tls.client_context(options.cacert, verify=not options.insecure)
    except OSError as error:
        raise Problem(f"cannot use the certificates {options.cacert}: {reason(error)}") from None
    if options.cert is not None:
        for path in (options.cert, options.key):
            if path is not None and not os.path.isfile(path):
                raise Problem(f"cannot use the certificate: no such file: {path}")
        try:
            context.load_cert_chain(options.cert, options.key)
        except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
            raise Problem(f"cannot use the certificate {options.cert}: {reason(problem)}") from None
    if options.version:
        context.set_alpn_protocols(["h2" if options.version == "2" else "http/1.1"])
    return context


def proxy_context(options: ConnectOptions) -> ssl.SSLContext:
    """Return the TLS context for `https:` proxies: it trusts what the servers' context trusts."""
    return client_context(replace(options, cert=None, key=None, version="1.1"))


class Origin:
    """The current connection to one server."""

    def __init__(self, dial: Callable[[Target, bool], Awaitable[Client]]) -> None:
        self._dial = dial
        self._connect_lock = asyncio.Lock()
        self.client: Client | None = None
        #: Whether the server requires HTTP/1.1.
        self.http1_only = False
        #: Whether the server has answered a request.
        self.has_answered = False
        #: HTTP/1.1: hold it from a request to the end of its response.
        self.http1_lock = asyncio.Lock()

    async def connect(self, target: Target, instead_of: Client | None = None) -> Client:
        """Return a connection that is not closing, and is not `instead_of`. Raises Problem."""
        async with self._connect_lock:
            client = self.client
            refused = client is instead_of or (self.http1_only and client and client.is_http2)
            if client is None or refused or client.transport.is_closing():
                client = self.client = await self._dial(target, self.http1_only)
            return client


class Origins:
    """The servers of one command. Leaving the context manager closes their connections."""

    def __init__(self, options: ConnectOptions, pushes: bool, note: Callable[[str], None]) -> None:
        self._options = options
        self._pushes = pushes
        self._note = note
        self._context: ssl.SSLContext | None = None
        self._proxy_context: ssl.SSLContext | None = None
        self._origins: dict[tuple[str, str, int, bool, bool], Origin] = {}
        self._clients: list[Client] = []

    def to(self, target: Target, separate: bool = False) -> Origin:
        """Return the `Origin` of a server; `separate`: a second one, with its own connection."""
        key = (target.scheme, target.host, target.port, target.force_http2, separate)
        if key not in self._origins:
            self._origins[key] = Origin(self._connect)
        return self._origins[key]

    async def __aenter__(self) -> "Origins":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        try:
            async with asyncio.timeout(0 if error else PATIENCE):
                for client in self._clients:
                    await client.wait_closed()
        except TimeoutError:
            for client in self._clients:
                client.transport.abort()

    def can_use_http1(self, target: Target) -> bool:
        """Return whether HTTP/1.1 can be spoken where HTTP/2 was chosen by ALPN."""
        return target.scheme == "https" and not target.force_http2 and not self._options.version

    async def _connect(self, target: Target, http1_only: bool) -> Client:
        if target.force_http2 and self._options.version == "1.1":
            raise Problem(f"{target.authority}: h2: and h2c: are HTTP/2, which --http1.1 rules out")
        secure = target.scheme == "https"
        if secure and self._context is None:
            self._context = client_context(self._options)
        if self._options.proxy is not None and self._proxy_context is None:
            self._proxy_context = proxy_context(self._options)
        clear_http2 = self._options.version == "2" and not secure
        try:
            client = await dial(
                None,
                target,
                self._context if secure else None,
                force_http2=clear_http2,
                proxy=self._options.proxy,
                proxy_ssl_ctx=self._proxy_context,
                settings=None if self._pushes else {"enable_push": False},
                limits=self._options.limits,
                http1_only=http1_only,
            )
        except OSError as error:  # ssl.SSLError is one
            text = connect_reason(error, secure)
            if not text.startswith("cannot connect to "):
                text = f"cannot connect to {target.authority}: {text}"
            raise Problem(text) from None
        except ValueError as malformed:  # the target has been checked already
            raise Problem(f"--proxy: {malformed}", 2) from None
        self._clients.append(client)
        self._check(target, client)
        return client

    def _check(self, target: Target, client: Client) -> None:
        secured = client.transport.get_extra_info("ssl_object")
        if secured is None or target.scheme != "https":
            self._note(f"connected to {target.authority}")
            return
        chosen = secured.selected_alpn_protocol()
        self._note(f"connected to {target.authority}, {secured.version()}, ALPN {chosen}")
        if self._options.version == "2" and chosen != "h2":
            raise Problem(f"{target.authority} does not speak HTTP/2 over TLS")


def connect_reason(error: OSError, secure: bool) -> str:
    """Return why a connection could not be made, with the option that may help."""
    cause = error
    while isinstance(cause, ConnectError) and isinstance(cause.__cause__, OSError):
        error, cause = cause, cause.__cause__
    text = reason(cause)
    first = re.search(r"\[Errno (\d+)\]", str(cause))
    if cause.errno is None and first is not None:
        text = os.strerror(int(first[1]))  # of the addresses that were tried, the first one's
    if isinstance(cause, ssl.SSLCertVerificationError):
        text += " (--cacert FILE trusts what FILE signs, -k any certificate)"
    elif isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
        text += f" ({NO_TLS_HINT})"
    elif secure and isinstance(cause, _ENDED) and not isinstance(error, ProxyError):
        text = f"the server ended the connection during the TLS handshake ({NO_TLS_HINT})"
    elif not secure and text.endswith(CLOSED_AT_ONCE):
        text += f" ({TLS_HINT})"
    if isinstance(error, ProxyError) and error is not cause:
        return str(error).replace(said(cause), text)  # it names the proxy
    return text
