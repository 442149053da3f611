"""How the transports reach servers: proxies with fields, SOCKS, local addresses.

Knows which events of httpcore stand for which step. Must never know requests.
"""

import asyncio
import socket
from ssl import SSLContext
from typing import Any

from cno.adapters import socks
from cno.adapters.trace import Tracer
from cno.aio.client.connect import Route
from cno.aio.client.connection import Client
from cno.aio.client.happy_eyeballs import SocketOptions, alternating, first_to_answer
from cno.aio.client.proxy import ProxyRoute
from cno.aio.client.urls import Target
from cno.aio.fields import Headers


class TransportRoute(Route):
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
        super().__init__(ssl_ctx, None, proxy, unix, proxy_ssl_ctx, False, options)
        if proxy is not None:
            self._proxies = ProxyRoute(proxy, proxy_ssl_ctx, False, proxy_fields)
        self._socks = socks_proxy
        self._http1_only = http1_only
        self._listeners: dict[str, list[Tracer]] = {}

    def listen(self, origin: str, tracer: Tracer) -> None:
        """Tell a tracer of the connections that are made to an origin."""
        self._listeners.setdefault(origin, []).append(tracer)

    def stop_listening(self, origin: str, tracer: Tracer) -> None:
        listeners = self._listeners.get(origin, [])
        if tracer in listeners:
            listeners.remove(tracer)
        if not listeners:
            self._listeners.pop(origin, None)

    async def connect(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Target,
        client: Client,
        http1_only: bool = False,
    ) -> None:
        """Connect `client` to the server that `target` names, and tell the tracers."""
        http1_only = http1_only or self._http1_only
        unix = self._unix_path
        step = "connection.connect_tcp" if unix is None else "connection.connect_unix_socket"
        info: dict[str, Any] = {"path": unix}
        if unix is None:
            local = None if self._options is None else self._options.local_address
            info = {"host": target.host, "port": target.port, "local_address": local}
        self._tell(target, f"{step}.started", info)
        try:
            if self._socks is None and (unix is not None or self._proxies is not None):
                await Route.connect(self, loop, target, client, http1_only)
                self._tell(target, f"{step}.complete", {"return_value": None})
                return
            sock = await self._open_socket(loop, target)
            self._tell(target, f"{step}.complete", {"return_value": None})
            context, hostname = self._secured(target, http1_only)
            if context is not None:
                step = "connection.start_tls"
                tls: dict[str, Any] = {"ssl_context": context, "server_hostname": hostname}
                self._tell(target, f"{step}.started", tls)
            # From here on the transport owns the socket, and closes it if TLS fails.
            await loop.create_connection(
                lambda: client, sock=sock, ssl=context, server_hostname=hostname
            )
            if context is not None:
                self._tell(target, f"{step}.complete", {"return_value": None})
        except Exception as error:
            self._tell(target, f"{step}.failed", {"exception": error})
            raise

    async def _open_socket(self, loop: asyncio.AbstractEventLoop, target: Target) -> socket.socket:
        proxy = self._socks
        host, port = target.host, target.port
        if proxy is not None:
            host, port = proxy.host, proxy.port
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await first_to_answer(loop, alternating(infos), self._options)
        if proxy is not None:
            await socks.open_tunnel(loop, sock, proxy, target)
        return sock

    def _tell(self, target: Target, name: str, info: dict[str, Any]) -> None:
        listeners = self._listeners.get(target.origin)
        if listeners is not None:
            for tracer in listeners:
                tracer.put(name, info)
