"""A package (httpx or httpx2), and our transports for it."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.aio.lab import HOST, Lab, Wire


class Kit:
    def __init__(self, module: Any, ours: Any, core: str) -> None:
        self.httpx = module
        self.ours = ours
        self.core: Any = importlib.import_module(core)

    def __str__(self) -> str:
        return str(self.httpx.__name__)

    def transport(self, lab: Lab, wire: Wire, **arguments: Any) -> Any:
        """A transport that talks this way."""
        return self.ours.AsyncTransport(**arguments_for(lab, wire, arguments))

    def sync_transport(self, lab: Lab, wire: Wire, **arguments: Any) -> Any:
        """A blocking transport that talks this way."""
        return self.ours.Transport(**arguments_for(lab, wire, arguments))

    @asynccontextmanager
    async def client(
        self, lab: Lab, wire: Wire, *, options: dict[str, Any] | None = None, **arguments: Any
    ) -> AsyncIterator[Any]:
        """An `AsyncClient`. `arguments` are the transport's."""
        transport = self.transport(lab, wire, **arguments)
        async with self.httpx.AsyncClient(transport=transport, **(options or {})) as client:
            yield client


def arguments_for(lab: Lab, wire: Wire, arguments: dict[str, Any]) -> dict[str, Any]:
    """Add the arguments for a wire."""
    if wire.tls:
        arguments.setdefault("verify", lab.certs.client())
    elif wire.http2:
        arguments.setdefault("http1", False)
    return arguments


def closed_port() -> str:
    """The URL of a port that refuses."""
    import socket

    with socket.create_server((HOST, 0)) as sock:
        return f"http://{HOST}:{sock.getsockname()[1]}"
