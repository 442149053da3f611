"""How `cno get`, `ping` and `load` reach a server: addresses, TLS contexts, proxies, and timings.

Knows addresses, TLS and protocols. Must never know requests or output.
"""

import asyncio
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from cno.aio import tls
from cno.aio.client.connect import Route, dial
from cno.aio.client.connect_errors import CLOSED_BEFORE_USE
from cno.aio.client.connection import Client
from cno.aio.client.happy_eyeballs import alternating, first_to_answer
from cno.aio.client.urls import Target, split_hier_part
from cno.aio.errors import ConnectError, ProxyError, said
from cno.aio.hosts import is_address
from cno.cli import exit_codes
from cno.cli.problems import Problem, reason
from cno.cli.values import Values
from cno.limits import Limits

if TYPE_CHECKING:
    from cno.trace import Trace

# What OpenSSL calls bytes that are not TLS.
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_ENDED: Final = (ConnectionResetError, ssl.SSLEOFError)
#: Bytes that asyncio reads from a TLS object at once.
READ: Final = 262_144
NO_TLS_HINT: Final = "if the server does not use TLS, the URL begins with http:"
TLS_HINT: Final = "if the server uses TLS, the URL begins with https:"

#: (host, port) -> (host, port); '' and 0 stand for any.
Redirection = tuple[str, int, str, int]


class ConnectOptions(Values):
    """How the user wants connections to be made.

    `version`: "1.1" or "2" to insist; "" to let ALPN decide, with HTTP/1.1 in clear text.
    `insecure`: accept any certificate. `cacert`, `cert`, `key`: PEM files. `proxy`: the URL of a
    proxy; "env": the one that the environment names. `unix`: the path of a Unix socket. `family`:
    4 or 6 to insist. `resolve`: addresses by host and port ('*': any host). `connect_to`: where to
    connect to in the place of a host and port. `timeout`: seconds for a connection.
    """

    version: str = ""
    insecure: bool = False
    cacert: str | None = None
    limits: Limits | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None
    unix: str | None = None
    family: int = 0
    resolve: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    connect_to: tuple[Redirection, ...] = ()
    timeout: float | None = None


class Timings(Values):
    """When the steps of a connection were done, by the clock of the event loop; 0: not taken."""

    begun: float = 0.0
    resolved: float = 0.0
    connected: float = 0.0
    secured: float = 0.0
    ended: float = 0.0


def target_of(url: str) -> Target:
    """Parse a URL. Raises Problem if it is malformed or contains credentials."""
    try:
        if "@" in split_hier_part(url.partition("://")[2])[0]:
            raise Problem(
                f"{url}: give credentials by -u, not in the URL", exit_codes.MALFORMED_URL
            )
        return Target(url)
    except ValueError as error:
        scheme = url.partition(":")[0].lower()
        known = scheme in ("http", "https", "h2", "h2c")
        status = exit_codes.MALFORMED_URL if known else exit_codes.UNSUPPORTED
        text = str(error)
        raise Problem(text if url in text else f"{url}: {text}", status) from None


class BatchObject(ssl.SSLObject):
    """A TLS object that reads all records that are here, into a buffer that it keeps.

    For each record of 16 KiB, asyncio's call makes Python allocate the 256 KiB that it asks for,
    and raises and joins the pieces later: that takes longer than to decrypt them.
    """

    _room: memoryview | None = None
    #: What ended the last read, after data.
    _error: ssl.SSLError | None = None

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        if buffer is not None:
            return super().read(len, buffer)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        room = self._room
        if room is None:
            room = self._room = memoryview(bytearray(READ))
        read: Any = super().read
        size, most = 0, min(len, READ)
        try:
            while size < most and (got := read(most - size, room[size:])):
                size += got
        except ssl.SSLError as error:
            if size == 0:
                raise
            if not isinstance(error, ssl.SSLWantReadError):
                self._error = error
        return bytes(room[:size])


def client_context(options: ConnectOptions) -> ssl.SSLContext:
    """Return the TLS context for all servers. Raises Problem for files that cannot be used."""
    try:
        context = tls.client_context(options.cacert, verify=not options.insecure)
        context.sslobject_class = BatchObject
    except OSError as error:
        text = f"cannot use the certificates {options.cacert}: {reason(error)}"
        raise Problem(text, exit_codes.AUTHORITIES) from None
    if options.cert is not None:
        for path in (options.cert, options.key):
            if path is not None and not os.path.isfile(path):
                text = f"cannot use the certificate: no such file: {path}"
                raise Problem(text, exit_codes.OWN_CERTIFICATE)
        try:
            context.load_cert_chain(options.cert, options.key)
        except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
            text = f"cannot use the certificate {options.cert}: {reason(problem)}"
            raise Problem(text, exit_codes.OWN_CERTIFICATE) from None
    if options.version:
        context.set_alpn_protocols(["h2" if options.version == "2" else "http/1.1"])
    return context


class Dialer:
    """Makes connections as the options say. `trace`: of all of them."""

    def __init__(self, options: ConnectOptions, trace: "Trace | None" = None) -> None:
        self.options = options
        self.trace = trace
        self._context: ssl.SSLContext | None = None
        self._http1_context: ssl.SSLContext | None = None
        self._route: Route | None = None

    async def connect(
        self, target: Target, *, http1_only: bool = False, pushes: bool = False
    ) -> tuple[Client, Timings]:
        """Return a new connection, and how long its steps took. Raises Problem."""
        options = self.options
        if target.force_http2 and options.version == "1.1":
            raise Problem(f"{target.authority}: h2: and h2c: are HTTP/2, which --http1.1 rules out")
        self.prepare(target, http1_only=http1_only)
        timings = Timings(begun=asyncio.get_running_loop().time())

        async def reach(
            loop: asyncio.AbstractEventLoop, target: Target, client: Client, http1_only: bool
        ) -> None:
            if self.trace is not None:
                client.trace = self.trace  # type: ignore[attr-defined]  # a TracedClient
            await self._reach(loop, target, client, http1_only, timings)

        secure = target.scheme == "https"
        try:
            async with asyncio.timeout(options.timeout):
                client = await dial(
                    None,
                    target,
                    force_http2=options.version == "2" and not secure,
                    settings=None if pushes else {"enable_push": False},
                    limits=options.limits,
                    http1_only=http1_only,
                    client_class=self._client_class(),
                    connector=reach,
                )
        except TimeoutError as late:
            if isinstance(late, ConnectError):
                raise self._problem(target, late, secure) from None
            text = f"cannot connect to {target.authority}: timed out after {options.timeout:g} s"
            raise Problem(text, exit_codes.TIMED_OUT) from None
        except OSError as error:  # ssl.SSLError is one
            raise self._problem(target, error, secure) from error
        except ValueError as malformed:  # the target has been checked already
            raise Problem(f"--proxy: {malformed}", 2) from None
        timings.ended = asyncio.get_running_loop().time()
        return client, timings

    def prepare(self, target: Target, *, http1_only: bool = False) -> None:
        """Make the TLS context for a server, so that this is no part of the times of a connection.

        To load the system's certificates may take 0.1 s. Raises Problem.
        """
        if target.scheme == "https":
            self._tls(http1_only)

    def _client_class(self) -> type[Client]:
        if self.trace is None:
            return Client
        from cno.aio.client.traced import TracedClient

        return TracedClient

    def _problem(self, target: Target, error: OSError, secure: bool) -> Problem:
        text = connect_reason(error, secure)
        if not text.startswith("cannot connect to "):
            text = f"cannot connect to {target.authority}: {text}"
        return Problem(text, exit_codes.of_connecting(error))

    def _tls(self, http1_only: bool) -> ssl.SSLContext:
        if http1_only:
            if self._http1_context is None:
                self._http1_context = client_context(self.options.changed(version="1.1"))
            return self._http1_context
        if self._context is None:
            self._context = client_context(self.options)
        return self._context

    async def _reach(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Target,
        client: Client,
        http1_only: bool,
        timings: Timings,
    ) -> None:
        """Connect a client, directly or by a proxy or a Unix socket."""
        options = self.options
        secure = target.scheme == "https"
        context = self._tls(http1_only) if secure else None
        if options.proxy is not None or options.unix is not None:
            # An `https:` proxy is trusted as servers are, and shown no client certificate.
            own = options.changed(cert=None, key=None, version="1.1")
            proxied = client_context(own) if options.proxy is not None else None
            route = Route(context, None, options.proxy, options.unix, proxied)
            await route.connect(loop, target, client)
            timings.connected = timings.secured = loop.time()
            return
        host, port = redirected(target.host, target.port, options.connect_to)
        infos = await addresses(loop, host, port, options)
        timings.resolved = loop.time()
        sock = await first_to_answer(loop, alternating(infos))
        timings.connected = loop.time()
        await loop.create_connection(
            lambda: client,
            sock=sock,
            ssl=context,
            server_hostname=target.server_name if secure else None,
        )
        timings.secured = loop.time()


def redirected(host: str, port: int, rules: tuple[Redirection, ...]) -> tuple[str, int]:
    """Return where to connect to, by --connect-to."""
    for from_host, from_port, to_host, to_port in rules:
        if from_host in ("", host) and from_port in (0, port):
            return to_host or host, to_port or port
    return host, port


async def addresses(
    loop: asyncio.AbstractEventLoop, host: str, port: int, options: ConnectOptions
) -> list[Any]:
    """Return the addresses of a host, by --resolve or by the system. Raises OSError."""
    family = {4: socket.AF_INET, 6: socket.AF_INET6}.get(options.family, socket.AF_UNSPEC)
    for known, known_port, given in options.resolve:
        if known in ("*", host) and known_port == port:
            found: list[Any] = []
            for each in given:
                found += numeric(each, port, family)
            return found
    if is_address(host):
        return numeric(host, port, family)
    return await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


def numeric(host: str, port: int, family: int) -> list[Any]:
    """Return the entry of an address. Raises socket.gaierror for a name."""
    flags = socket.AI_NUMERICHOST
    name = host.encode() if host.isascii() else host  # a str would import the IDNA codec
    return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, flags=flags)


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
    elif not secure and text.endswith(CLOSED_BEFORE_USE):
        text += f" ({TLS_HINT})"
    if isinstance(error, ProxyError) and error is not cause:
        return str(error).replace(said(cause), text)  # it names the proxy
    return text
