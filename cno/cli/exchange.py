"""Sends one request of `cno get` over a connection of its server, and returns the response.

Knows connections, protocols and retries that are safe. Must never know what becomes of a response.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from cno.aio.client.connection import Response
from cno.aio.client.retry_rules import requires_http1
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectionLostError, StreamError
from cno.cli import exit_codes
from cno.cli.connecting import TLS_HINT, target_of
from cno.cli.fetch import Fetch
from cno.cli.origins import Lease, Origin, Origins
from cno.cli.output import CommandOutput
from cno.cli.problems import Problem, reason
from cno.cli.rate_limit import RateLimit, limited
from cno.cli.transfer import Hop


class Http1RequiredError(Exception):
    """The server requires HTTP/1.1 (RFC 9113 7)."""


class Exchanges:
    """The requests of one command."""

    def __init__(
        self, origins: Origins, output: CommandOutput, rate: RateLimit | None = None
    ) -> None:
        self._origins = origins
        self._output = output
        self._rate = rate  # of the bodies that are sent

    @asynccontextmanager
    async def open(
        self, fetch: Fetch, hop: Hop, turn: Callable[[], Awaitable[None]], separate: bool
    ) -> AsyncIterator[Response]:
        """Send a request, and give the response once its head has come. Raises Problem.

        `turn` is awaited before a connection of HTTP/1.1 is taken, so that no request holds one
        while it waits. `separate`: use a connection that no other fetch uses.
        """
        target = target_of(fetch.url)
        origin = self._origins.to(target, separate)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                try:
                    response = await self._over(origin, target, fetch, hop, turn, stack)
                except Http1RequiredError:
                    continue
                yield response
                return
        text = f"{fetch.url}: the server requires HTTP/1.1, and has chosen HTTP/2"
        raise Problem(text, exit_codes.HTTP2)

    async def _over(
        self,
        origin: Origin,
        target: Target,
        fetch: Fetch,
        hop: Hop,
        turn: Callable[[], Awaitable[None]],
        stack: contextlib.AsyncExitStack,
    ) -> Response:
        """Do the same over a connection to this server.

        Raises Http1RequiredError if its server wants the request over HTTP/1.1.
        """
        client = await origin.connect(target)  # to learn the protocol; others may use it meanwhile
        if not client.is_http2:
            await turn()
        lease = await stack.enter_async_context(origin.lease(target))
        response = await self._request(origin, lease, target, fetch, hop)
        return await stack.enter_async_context(response)

    async def _request(
        self, origin: Origin, lease: Lease, target: Target, fetch: Fetch, hop: Hop
    ) -> Response:
        """Send a request; again over a new connection if the old one was about to end."""
        is_first = True
        while True:
            describe(hop, lease)
            self._output.request_head(fetch.method, target.path, hop.version, fetch.headers)
            try:
                body = fetch.content.make()
                if self._rate is not None and fetch.content.size != 0:
                    body = limited(body, self._rate)
                response = await lease.client.request(
                    fetch.method, target.path, fetch.headers, body
                )
            except (ConnectionLostError, StreamError) as error:
                hop.stream = error.stream
                if requires_http1(error):
                    if not self._origins.can_use_http1(target):
                        raise
                    origin.http1_only = True
                    raise Http1RequiredError from None
                if not (error.retryable and is_first and fetch.content.again):
                    if target.scheme == "http" and may_be_tls(origin, error):
                        text = f"{fetch.url}: {reason(error)} ({TLS_HINT})"
                        raise Problem(text, status_of(error, hop)) from error
                    raise
            else:
                origin.has_answered = True
                hop.stream = response.stream
                return response
            is_first = False
            await lease.renew()


def status_of(error: BaseException, hop: Hop) -> int:
    """Return the exit status for a request that got no response."""
    return exit_codes.of_exchange(error, hop.version == "HTTP/2", False)


def describe(hop: Hop, lease: Lease) -> None:
    """Note the connection of a request, and that it is going to be sent."""
    client = lease.client
    hop.version = version_of(client.is_http2)
    if lease.timings is not None:
        hop.connection, lease.timings = lease.timings, None
    tap = getattr(client, "tap", None)  # of a TracedClient
    hop.number = 0 if tap is None else tap.number
    hop.remote = address(client.transport.get_extra_info("peername"))
    hop.local = address(client.transport.get_extra_info("sockname"))
    hop.ready = hop.sent = asyncio.get_running_loop().time()
    hop.wall = hop.wall or time.time()


def address(name: object) -> tuple[str, int]:
    """Return the host and port of a socket's name; of a Unix socket, its path."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return str(name or ""), 0


def may_be_tls(origin: Origin, error: ConnectionLostError | StreamError) -> bool:
    """Return whether a request in clear text may have failed because the server expects TLS.

    Such a server closes the connection, or sends a TLS alert, which is no status line.
    """
    if origin.has_answered:
        return False
    return isinstance(error, ConnectionLostError) or error.rule == "RFC 9112 4"


def version_of(is_http2: bool) -> str:
    return "HTTP/2" if is_http2 else "HTTP/1.1"
