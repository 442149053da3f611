"""X-Forwarded-For and X-Forwarded-Proto of trusted proxies, put into the scope.

Knows addresses and these two fields. Must never know a connection.
"""

import ipaddress
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final

from cno.asgi.lifespan import App

#: Schemes that a proxy may announce.
SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
#: Bytes of the shorter one of the names.
SHORTEST: Final = len("x-forwarded-for")
#: The entry for all clients of Unix sockets.
UNIX: Final = "unix:"


class TrustedHosts:
    """Addresses, networks and literals, in a text with commas between them; `*` stands for all."""

    def __init__(self, text: str) -> None:
        entries = [each.strip() for each in text.split(",") if each.strip()]
        self.all = "*" in entries
        self._literals: set[str] = set()
        self._networks: list[Any] = []
        for each in entries:
            try:
                self._networks.append(ipaddress.ip_network(each))
            except ValueError:
                self._literals.add(each)
        #: Return whether a host is trusted.
        self.includes: Any = lru_cache(1024)(self._includes)

    def networks(self) -> list[str]:
        """Return the addresses that connections may come from; `unix:` is one of them if all
        clients of Unix sockets are trusted."""
        if self.all:
            return ["0.0.0.0/0", "::/0", UNIX]
        unix = [UNIX] if UNIX in self._literals else []
        return [str(each) for each in self._networks] + unix

    def _includes(self, host: str | None) -> bool:
        if self.all:
            return True
        if host is None:
            return UNIX in self._literals
        if host in self._literals:
            return True
        try:
            address: Any = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        for network in self._networks:
            if address in network:
                return True
        return False

    def client(self, text: str) -> tuple[str, int] | None:
        """Return the last address in X-Forwarded-For that is no trusted proxy; if all are, the
        first one; None if there is none."""
        found = [host_and_port(each.strip()) for each in text.split(",") if each.strip()]
        if not found:
            return None
        if self.all:
            return found[0]
        for each in reversed(found):
            if not self.includes(each[0]):
                return each
        return found[0]


def host_and_port(text: str) -> tuple[str, int]:
    """Split `host`, `host:port` or `[host]:port`; the port is 0 if it is missing."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return text, 0
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        return text, 0
    if not port:
        return host, 0
    return (host, int(port)) if port.isdecimal() and len(port) <= 5 else (text, 0)


class ProxyHeaders:
    """An application with the client and the scheme that a trusted proxy announces."""

    def __init__(self, app: App, trusted: TrustedHosts) -> None:
        self._app: Any = app
        self._trusted = trusted

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            client: Any = scope.get("client")
            if self._trusted.includes(client[0] if client else None):
                self._forward(scope)
        result: Awaitable[None] = self._app(scope, receive, send)
        return result

    def _forward(self, scope: dict[str, Any]) -> None:
        addresses: list[str] = []
        fields: list[tuple[bytes, bytes]] = scope["headers"]
        for name, value in fields:
            if len(name) < SHORTEST:
                continue
            if name == b"x-forwarded-for":
                addresses.append(value.decode("latin-1"))
            elif name == b"x-forwarded-proto":
                scheme = value.decode("latin-1").strip().lower()
                if scheme in SCHEMES:
                    socket = scope["type"] == "websocket"
                    plain = "https" if scheme in ("https", "wss") else "http"
                    scope["scheme"] = SCHEMES[scheme] if socket else plain
        if addresses:
            client = self._trusted.client(",".join(addresses))
            if client is not None:
                scope["client"] = client
