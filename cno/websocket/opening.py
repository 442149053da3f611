"""Opens a WebSocket over a connection of a pool: one of HTTP/2 if that will do, or of HTTP/1.1.

Knows which connections can carry a WebSocket, and when the request is sent again. Must never know
frames.
"""

import asyncio
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Final, cast

from cno.aio.client import request_queue, request_writer, responses
from cno.aio.client.connection import Client, Response
from cno.aio.client.pooled import ClientConnection
from cno.aio.client.request_spec import RequestSpec, completed, tunnel_request
from cno.aio.client.response_state import ResponseState
from cno.aio.client.retry_rules import may_repeat, requires_http1
from cno.aio.client.tunnels import SUCCESSFUL, SWITCHING
from cno.aio.client.upgrade_refused import UpgradeRefused
from cno.aio.client.urls import Target, same_server, target_of, without_password
from cno.aio.connection_pool import ConnectionPool
from cno.aio.errors import BodyTooLargeError, ConnectionLostError, StreamError
from cno.aio.log import log
from cno.aio.retrying import reserve
from cno.errors import ConnectionError, UnsupportedError, UsageError
from cno.pool.retries import Retries
from cno.websocket.client import Offer
from cno.websocket.options import Options
from cno.websocket.socket import WebSocket

#: The schemes of RFC 6455 section 3, and those of the requests that they mean.
SCHEMES: Final = {"ws": "http", "wss": "https"}
#: These are taken as well.
OF_HTTP: Final = ("http", "https", "h2c", "h2")

#: Bytes of a refusal's content that are kept for the application.
MAX_REFUSAL: Final = 65_536


class Opening:
    """A WebSocket that is to be opened, when this is awaited or entered by `async with`."""

    def __init__(
        self,
        pool: ConnectionPool,
        url: str,
        headers: Iterable[tuple[str, str]],
        subprotocols: Iterable[str],
        options: Options | None,
        retries: Retries,
    ) -> None:
        self._pool = pool
        self._target = websocket_target(url)
        self._offer = Offer(headers, subprotocols, options)
        self._retries = retries
        self._socket: WebSocket | None = None

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._open().__await__()

    async def __aenter__(self) -> WebSocket:
        self._socket = socket = await self._open()
        return socket

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        socket = self._socket
        self._socket = None
        if socket is not None:
            await socket.__aexit__(kind, error, traceback)

    async def _open(self) -> WebSocket:
        self._pool._bind()
        response = await send(self._pool, self._target, self._offer, self._retries)
        accepts = SUCCESSFUL if response._conn._http2 else SWITCHING
        if response.code not in accepts:
            await keep_content(response)
            raise UpgradeRefused(response)
        return self._offer.accepted(response)


def websocket_target(url: str) -> Target:
    """Return the parsed URL of a WebSocket. Raises ValueError for one that is malformed."""
    name, mark, rest = url.partition("://")
    scheme = SCHEMES.get(name.lower())
    if scheme is not None:
        return target_of(f"{scheme}://{rest}")
    if mark and name.lower() in OF_HTTP:
        return target_of(url)
    raise ValueError(f"{without_password(url)!r}: the scheme must be ws or wss")


async def keep_content(response: Response) -> None:
    """Read the content of a refusal, so that it can be read later, and the connection is free."""
    try:
        await response.read(MAX_REFUSAL)
    except BodyTooLargeError:
        response.cancel()
    except ConnectionError:
        pass  # what is left of it has the same error
    except asyncio.CancelledError:
        response.cancel()
        raise


# -- the request -----------------------------------------------------------------------------------


async def send(pool: ConnectionPool, target: Target, offer: Offer, retries: Retries) -> Response:
    """Ask for a WebSocket until a server has, or may have, processed that; return its response."""
    if pool._store.is_closing:
        raise UsageError("the pool is closed")
    target = unforwarded(pool, target)
    spec = RequestSpec("GET", target.path, [], b"", None)  # until there is a connection
    while True:
        connection = await reserve(pool, target, spec, retries)
        client = connection.client
        response: ResponseState | None = None
        use_http1 = False
        try:
            if client._http2:
                await request_queue.wait_for_settings(client)
                use_http1 = not client._remote._enable_connect_protocol
            if not use_http1:
                spec = spec_of(client, target, offer)
                response = request_writer.try_head(client, spec)
                if response is None:
                    retries.blocked()
                else:
                    pool._store.sent(connection)
                    return cast(Response, await responses.wait(client, response, spec.method))
        except (StreamError, ConnectionLostError) as error:
            use_http1 = requires_http1(error) or connection.was_told_http1()
            if not use_http1 and not should_retry(connection, response, error, retries):
                raise
            log.debug("%s: asking for a WebSocket again", error)
        finally:
            if response is None:
                pool._release(connection)
        if use_http1:
            target = http1_target(pool, target, client)
        else:
            pause = retries.pause()
            if pause > 0.0:
                await asyncio.sleep(pause)


def spec_of(client: Client, target: Target, offer: Offer) -> RequestSpec:
    """Return the request as the protocol of a connection has it."""
    fields = completed(offer.fields(client._http2), target.authority, target.credentials)
    if client._http2:
        return tunnel_request("CONNECT", target.path, [(":protocol", "websocket"), *fields])
    fields = [*fields, ("connection", "upgrade"), ("upgrade", "websocket")]
    return RequestSpec("GET", target.path, fields, b"", None)


def should_retry(
    connection: ClientConnection,
    response: ResponseState | None,
    error: StreamError | ConnectionLostError,
    retries: Retries,
) -> bool:
    """Return whether to send a request again that has failed with this error."""
    method = "CONNECT" if connection.is_http2 else "GET"
    lost = isinstance(error, ConnectionLostError)
    return retries.failed(
        retryable=error.retryable,
        passed_over=response is not None and connection.passed_over(response.stream),
        idempotent=lost and may_repeat(connection.client, response, method),
    )


# -- other connections to the same server ----------------------------------------------------------


def unforwarded(pool: ConnectionPool, target: Target) -> Target:
    """Return the target of connections that lead to the server itself, by a tunnel if need be."""
    if target.scheme != "http" or not pool._dialer.route.uses_proxy(target):
        return target
    # > If the user configured the UA to use a proxy when using the WebSocket Protocol ... the
    # > client SHOULD connect to that proxy and ask it to open a TCP connection
    # > (RFC 6455 4.1)
    return same_server(target, "tunnel", needs_tunnel=True)


def http1_target(pool: ConnectionPool, target: Target, client: Client) -> Target:
    """Return the target of connections of HTTP/1.1. Raises UnsupportedError if there are none."""
    if not pool.can_use_http1(client):
        raise UnsupportedError("the server takes no WebSockets over HTTP/2", rule="RFC 8441 3")
    same = same_server(target, "http/1.1")
    pool._store.require_http1(pool._origin_of(same))
    return same
