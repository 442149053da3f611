"""The connections of `cno get`: one to each server, made as the user wishes, and again if it ends.

Knows addresses, TLS and versions. Must never know what is asked, or shown.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from cno.aio import tls
from cno.aio.client import Client
from cno.aio.racing import open_connection
from cno.aio.urls import Target
from cno.cli.problems import Problem, reason
from cno.limits import Limits

#: Seconds that the end of a connection may take.
PATIENCE: Final = 1.0


@dataclass(frozen=True)
class Wishes:
    """`version`: "1.1" or "2" to insist; "" to let ALPN decide, and clear text be HTTP/1.1."""

    version: str = ""
    insecure: bool = False
    cacert: str | None = None
    limits: Limits | None = None


def target_of(url: str) -> Target:
    """What a URL says. Raises Problem if it is none, or has credentials in it."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise Problem(f"{url}: give credentials by -H 'authorization: ...', not in the URL")
        return Target(url)
    except ValueError as error:
        raise Problem(str(error) if url in str(error) else f"{url}: {error}") from None


def client_context(wishes: Wishes) -> ssl.SSLContext:
    """Raises Problem."""
    try:
        context = tls.client_context(wishes.cacert, verify=not wishes.insecure)
    except OSError as error:
        raise Problem(f"cannot use the certificates {wishes.cacert}: {reason(error)}") from None
    if wishes.version:
        context.set_alpn_protocols(["h2" if wishes.version == "2" else "http/1.1"])
    return context


class Origin:
    """The connection to one server."""

    def __init__(self, dial: Callable[[Target], Awaitable[Client]]) -> None:
        self._dial = dial
        self._making = asyncio.Lock()
        self.client: Client | None = None
        #: To be held while HTTP/1.1 is spoken, from a request to the end of its response.
        self.alone = asyncio.Lock()

    async def connect(self, target: Target, instead_of: Client | None = None) -> Client:
        """A connection that seems to take requests. Raises Problem."""
        async with self._making:
            client = self.client
            if client is None or client is instead_of or client.transport.is_closing():
                client = self.client = await self._dial(target)
            return client


class Origins:
    """All servers that are talked to. Leaving `async with` closes the connections."""

    def __init__(self, wishes: Wishes, pushes: bool, note: Callable[[str], None]) -> None:
        self._wishes = wishes
        self._pushes = pushes
        self._note = note
        self._context: ssl.SSLContext | None = None
        self._origins: dict[tuple[str, str, int, bool, bool], Origin] = {}
        self._clients: list[Client] = []

    def to(self, target: Target, apart: bool = False) -> Origin:
        """The one place for connections to this server; `apart`: the other one."""
        key = (target.scheme, target.host, target.port, target.force_http2, apart)
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

    async def _connect(self, target: Target) -> Client:
        if target.force_http2 and self._wishes.version == "1.1":
            raise Problem(f"{target.authority}: h2: and h2c: are HTTP/2, which --http1.1 rules out")
        secure = target.scheme == "https"
        if secure and self._context is None:
            self._context = client_context(self._wishes)
        clear_http2 = self._wishes.version == "2" and not secure
        client = Client(
            target.authority,
            target.scheme,
            force_http2=target.force_http2 or clear_http2,
            settings=None if self._pushes else {"enable_push": False},
            limits=self._wishes.limits,
        )
        try:
            await open_connection(
                asyncio.get_running_loop(),
                lambda: client,
                target.host,
                target.port,
                self._context if secure else None,
                target.server_name if secure else None,
            )
        except OSError as error:  # ssl.SSLError is one
            raise Problem(f"cannot connect to {target.authority}: {why(error)}") from None
        self._clients.append(client)
        self._check(target, client)
        return client

    def _check(self, target: Target, client: Client) -> None:
        secured = client.transport.get_extra_info("ssl_object")
        if secured is None:
            self._note(f"connected to {target.authority}")
            return
        chosen = secured.selected_alpn_protocol()
        self._note(f"connected to {target.authority}, {secured.version()}, ALPN {chosen}")
        if self._wishes.version == "2" and chosen != "h2":
            raise Problem(f"{target.authority} does not speak HTTP/2 over TLS")


def why(error: OSError) -> str:
    """Where several addresses were tried, asyncio tells of all; the first will do."""
    first = re.search(r"\[Errno (\d+)\]", str(error))
    if error.errno is None and first is not None:
        return os.strerror(int(first[1]))
    return reason(error)
