"""The arguments of the transports, for httpx and httpx2 alike.

Stays interpreted: classes that derive from it derive from httpx's too.
"""

from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, ClassVar, Protocol

from cno.adapters.configuration import Configuration
from cno.adapters.package import Package
from cno.adapters.sync_transport import Carrier
from cno.adapters.transport import AsyncCarrier
from cno.limits import Limits

#: What `verify` and `cert` may be, as for httpx.
Verify = SSLContext | str | bool
Cert = str | tuple[str, str] | tuple[str, str, str]
SocketOption = tuple[int, int, int] | tuple[int, int, bytes]


class LimitsLike(Protocol):
    """An `httpx.Limits`."""

    max_connections: int | None
    max_keepalive_connections: int | None
    keepalive_expiry: float | None


class UrlLike(Protocol):
    """An `httpx.URL`."""

    @property
    def raw_scheme(self) -> bytes: ...


class ProxyLike(Protocol):
    """An `httpx.Proxy`."""

    @property
    def raw_auth(self) -> tuple[bytes, bytes] | None: ...


class Arguments:
    """The arguments of a transport."""

    _cno_package: ClassVar[Package]
    _cno_streams: ClassVar[tuple[Any, Any]]

    def __init__(
        self,
        verify: Verify = True,
        cert: Cert | None = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = True,
        limits: LimitsLike | None = None,
        proxy: str | UrlLike | ProxyLike | None = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[SocketOption] | None = None,
        *,
        protocol_limits: Limits | None = None,
    ) -> None:
        configuration = Configuration(
            self._cno_package,
            verify,
            cert,
            trust_env,
            http1,
            http2,
            limits,
            proxy,
            uds,
            local_address,
            retries,
            socket_options,
            protocol_limits,
        )
        self._cno_begin(configuration)

    def _cno_begin(self, configuration: Configuration) -> None:
        raise NotImplementedError


class AsyncArguments(Arguments, AsyncCarrier):
    """An asynchronous transport; the class for each package adds the package's own base."""

    def _cno_begin(self, configuration: Configuration) -> None:
        AsyncCarrier.__init__(self, self._cno_package, configuration, *self._cno_streams)


class SyncArguments(Arguments, Carrier):
    """A blocking transport; the class for each package adds the package's own base."""

    def _cno_begin(self, configuration: Configuration) -> None:
        Carrier.__init__(self, self._cno_package, configuration, *self._cno_streams)
