"""How the blocking transports reach servers: proxies with fields, SOCKS, local addresses.

Knows which events of httpcore stand for which step. Must never know requests.
"""

from ssl import SSLContext
from typing import Any

from cno.adapters import socks
from cno.adapters.trace import SyncTracer
from cno.aio.client.happy_eyeballs import SocketOptions
from cno.aio.client.urls import Target
from cno.aio.errors import ProxyError
from cno.aio.fields import Headers
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.sync import dial
from cno.sync.dial import Dialing
from cno.sync.route import Route
from cno.sync.state import Guard, Link
from cno.sync.transport import Transport


class SyncTransportRoute(Route):
    """The way to servers. With `http1_only`, it offers no HTTP/2."""

    def __init__(
        self,
        ssl_ctx: SSLContext,
        unix: str | None,
        proxy: str | None,
        proxy_ssl_ctx: SSLContext | None,
        proxy_fields: Headers,
        socks_proxy: socks.Proxy | None,
        options: SocketOptions,
        http1_only: bool,
    ) -> None:
        super().__init__(
            ssl_ctx, None, proxy, unix, proxy_ssl_ctx, False, options, list(proxy_fields)
        )
        self._socks = socks_proxy
        self._http1_only = http1_only

    def connect(
        self,
        target: Target,
        dialing: Dialing,
        guard: Guard,
        force_http2: bool,
        settings: SettingsDict | None,
        limits: Limits,
        http1_only: bool = False,
    ) -> Link:
        only = http1_only or self._http1_only
        return super().connect(target, dialing, guard, force_http2, settings, limits, only)

    def _open(self, dialing: Dialing, target: Target) -> Transport:
        """Return a transport to a server, without TLS."""
        unix = self._unix_path
        step = "connection.connect_tcp" if unix is None else "connection.connect_unix_socket"
        info: dict[str, Any] = {"path": unix}
        if unix is None:
            local = None if self._options is None else self._options.local_address
            info = {"host": target.host, "port": target.port, "local_address": local}
        tracer = tracer_of(dialing)
        if tracer is None:
            return self._open_socket(dialing, target)
        tracer.put(f"{step}.started", info)
        try:
            transport = self._open_socket(dialing, target)
        except Exception as error:
            tracer.put(f"{step}.failed", {"exception": error})
            raise
        tracer.put(f"{step}.complete", {"return_value": None})
        return transport

    def _open_socket(self, dialing: Dialing, target: Target) -> Transport:
        proxy = self._socks
        if proxy is None:
            return super()._open(dialing, target)
        transport = dial.connected(dialing, proxy.host, proxy.port, self._options)
        done = False
        try:
            negotiate(dialing, transport, socks.Negotiation(proxy, target))
            done = True
        finally:
            if not done:
                transport.close()
        return transport

    def _secure(
        self, dialing: Dialing, transport: Transport, context: SSLContext, name: str | None
    ) -> None:
        tracer = tracer_of(dialing)
        if tracer is None:
            super()._secure(dialing, transport, context, name)
            return
        step = "connection.start_tls"
        tracer.put(f"{step}.started", {"ssl_context": context, "server_hostname": name})
        try:
            super()._secure(dialing, transport, context, name)
        except Exception as error:
            tracer.put(f"{step}.failed", {"exception": error})
            raise
        tracer.put(f"{step}.complete", {"return_value": None})


def tracer_of(dialing: Dialing) -> SyncTracer | None:
    """Return the tracer of the request for which a connection is made."""
    tracer: SyncTracer | None = getattr(dialing.deadlines, "tracer", None)
    return tracer


def negotiate(dialing: Dialing, transport: Transport, negotiation: socks.Negotiation) -> None:
    """Have a SOCKS proxy connect a transport to the server. Raises ProxyError, OSError.

    Bytes behind the reply are the server's, and stay in the socket.
    """
    while not negotiation.done:
        output = negotiation.take_output()
        if output:
            dial.send_all(dialing, transport, [output])
        data = dial.receive_up_to(dialing, transport, negotiation.wanted)
        if not data:
            raise ProxyError("the SOCKS proxy closed the connection")
        negotiation.receive(data)
