"""The arguments of a transport, and the pools that it makes by them.

Knows the arguments of httpx. Must never know a request.
"""

from collections.abc import Iterable
from dataclasses import replace
from ssl import SSLContext
from typing import Any, Final

from cno.adapters import socks
from cno.adapters.fields import to_text
from cno.adapters.package import Package
from cno.adapters.pool import TransportPool
from cno.adapters.route import TransportRoute
from cno.adapters.sync_pool import SyncTransportPool
from cno.adapters.sync_route import SyncTransportRoute
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.client.happy_eyeballs import SocketOptions
from cno.aio.fields import Headers
from cno.aio.hosts import bracketed
from cno.aio.tls import PROTOCOLS
from cno.limits import Limits, with_windows

#: httpx's own defaults.
MAX_CONNECTIONS: Final = 100
MAX_KEEPALIVE: Final = 20
KEEPALIVE_EXPIRY: Final = 5.0


class Configuration:
    """The arguments of a transport (see `cno.httpx.Transport`)."""

    def __init__(
        self,
        package: Package,
        verify: Any,
        cert: Any,
        trust_env: bool,
        http1: bool,
        http2: bool,
        limits: Any,
        proxy: Any,
        uds: str | None,
        local_address: str | None,
        retries: int,
        socket_options: Iterable[Any] | None,
        protocol_limits: Limits | None,
    ) -> None:
        if not http1 and not http2:
            raise ValueError("either http1 or http2, or both")
        self._http1 = http1
        self._http2 = http2
        self._uds = uds
        self._retries = retries
        self._options = SocketOptions(
            local_address, () if socket_options is None else socket_options
        )
        self._context = context_of(package, verify, cert, trust_env)
        self._context.set_alpn_protocols(["h2"] if not http1 else list(PROTOCOLS))
        self._max_connections: int | None = MAX_CONNECTIONS
        self._max_keepalive: int | None = MAX_KEEPALIVE
        expiry: float | None = KEEPALIVE_EXPIRY
        if limits is not None:
            self._max_connections = limits.max_connections
            self._max_keepalive = limits.max_keepalive_connections
            expiry = limits.keepalive_expiry
        base = (
            CLIENT_LIMITS
            if protocol_limits is None
            else with_windows(protocol_limits, CLIENT_LIMITS)
        )
        # The timeouts of httpx take the place of these, request by request.
        self._limits = replace(
            base,
            keepalive_timeout=expiry,
            handshake_timeout=None,
            response_timeout=None,
            body_timeout=None,
            write_stall_timeout=None,
            max_pushes=0,
        )
        self._proxy: str | None = None
        self._proxy_context: SSLContext | None = None
        self._proxy_fields: Headers = []
        self._socks: socks.Proxy | None = None
        if proxy is not None:
            self._set_proxy(package, proxy)

    def _set_proxy(self, package: Package, proxy: Any) -> None:
        """Take a proxy: a URL, as text or as httpx has it, or an `httpx.Proxy`."""
        if not hasattr(proxy, "raw_auth"):
            proxy = package.module.Proxy(proxy)
        url = proxy.url
        host: str = str(url.raw_host, "ascii")
        auth: Any = proxy.raw_auth
        if url.scheme in ("socks5", "socks5h"):
            socks.check_installed(package.module.__name__)
            user, password = (None, b"") if auth is None else auth
            self._socks = socks.Proxy(host, url.port or 1080, user, password)
            return
        if url.scheme not in ("http", "https"):
            raise ValueError(
                "Proxy protocol must be either 'http', 'https', 'socks5', or 'socks5h', "
                f"but got {url.scheme!r}."
            )
        port = "" if url.port is None else f":{url.port}"
        self._proxy = f"{url.scheme}://{bracketed(host)}{port}"
        self._proxy_context = proxy.ssl_context
        self._proxy_fields = to_text(proxy.headers.raw)
        if auth is not None:
            self._proxy_fields.append(("proxy-authorization", basic(auth)))

    def new_pool(self) -> TransportPool:
        """Return a new pool, for one event loop."""
        route = TransportRoute(
            self._context,
            self._uds,
            self._proxy,
            self._proxy_context,
            self._proxy_fields,
            self._socks,
            self._options,
            not self._http2,
        )
        return TransportPool(
            route,
            self._context,
            not self._http1,
            self._max_connections,
            self._max_keepalive,
            self._retries,
            self._limits,
        )

    def new_sync_pool(self) -> SyncTransportPool:
        """Return a new pool, for threads."""
        route = SyncTransportRoute(
            self._context,
            self._uds,
            self._proxy,
            self._proxy_context,
            self._proxy_fields,
            self._socks,
            self._options,
            not self._http2,
        )
        return SyncTransportPool(
            route,
            not self._http1,
            self._max_connections,
            self._max_keepalive,
            self._retries,
            self._limits,
        )


def context_of(package: Package, verify: Any, cert: Any, trust_env: bool) -> SSLContext:
    """Return the TLS context that httpx makes of these arguments."""
    context: SSLContext = package.module.create_ssl_context(
        verify=verify, cert=cert, trust_env=trust_env
    )
    return context


def basic(auth: tuple[bytes, bytes]) -> str:
    """Return credentials of the Basic scheme (RFC 7617)."""
    from base64 import b64encode

    return "Basic " + b64encode(auth[0] + b":" + auth[1]).decode("ascii")
