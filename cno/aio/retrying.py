"""Requests over the connections of a pool, sent again where that is safe.

Knows requests and their errors. Must never know which connections there are, or how a request is
written.
"""

import asyncio
from collections.abc import AsyncIterable, Coroutine, Iterable
from typing import Any, Final, cast

from cno.aio.client import request_writer, responses
from cno.aio.client.connect_errors import connect_error
from cno.aio.client.connection import Response
from cno.aio.client.pooled import ClientConnection
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.request_spec import RequestSpec, authority_of, completed
from cno.aio.client.response_state import ResponseState
from cno.aio.client.retry_rules import may_repeat, requires_http1
from cno.aio.client.urls import Target, target_of
from cno.aio.connection_pool import ConnectionPool
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.fields import Headers, as_list
from cno.aio.log import pool_log
from cno.aio.sources import Body, RetryableBody
from cno.errors import UsageError
from cno.pool.retries import Retries

#: The status of a server that does not answer for the origin (RFC 9110 15.5.20).
MISDIRECTED: Final = 421


async def request(
    pool: ConnectionPool,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    data: Body,
    trailers: Headers | None,
    observer: RequestObserver | None,
    retries: Retries,
) -> Response:
    """Send a request as `Pool.request` describes; return its response with the head."""
    pool._bind()
    target = target_of(url)
    fields = completed(as_list(headers), target.authority, target.credentials)
    spec = RequestSpec(method, target.path, fields, data, trailers, observer)
    return await send(pool, target, spec, retries)


def send(
    pool: ConnectionPool, target: Target, spec: RequestSpec, retries: Retries
) -> Coroutine[Any, Any, Response]:
    """Send a request, again if need be, until a server has or may have processed it."""
    if spec.source is None:
        return send_until_processed(pool, target, spec, None, retries)
    return send_stream(pool, target, spec, spec.source, retries)


async def send_stream(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    source: AsyncIterable[bytes],
    retries: Retries,
) -> Response:
    """Do as `send`, with a body that is iterated over."""
    body = RetryableBody(source)
    spec.set_source(body)
    response: Response | None = None
    failure: BaseException | None = None
    try:
        response = await send_until_processed(pool, target, spec, body, retries)
    except BaseException as error:
        failure = error
    # (Not in a `finally`: see `writing.write_body`.)
    await body.release(response is not None)
    if response is None:
        try:
            raise failure or RuntimeError("neither a response nor an error")
        finally:
            failure = None  # else it would hold, by its traceback, what holds it
    return response


async def send_until_processed(
    pool: ConnectionPool,
    target: Target,
    spec: RequestSpec,
    body: RetryableBody | None,
    retries: Retries,
) -> Response:
    """Do as `send`; `body` is the one that is iterated over, if there is one."""
    if pool._store.is_closing:
        raise UsageError("the pool is closed")
    while True:
        if pool._store.is_closing:
            raise ConnectionLostError("the pool was closed", retryable=True)
        if spec.observer is not None:
            spec.observer.check()
        origin = pool._origin_of(target)
        unused_only = retries.needs_unused
        picked = pool._store.pick(origin, unused_only)
        if picked is None:
            connection = await pool._wait(origin, spec, retries.goes_first, unused_only)
        else:
            connection = cast(ClientConnection, picked)
        client = connection.client
        if connection.is_reserved_alone() and (
            not connection.is_usable() or connection.has_input()
        ):
            if not await pool._is_well(connection):
                raise_if_never_usable(pool, target, connection)
                continue
        response: ResponseState | None = None
        try:
            response = request_writer.try_head(client, spec)
            if response is None:
                retries.blocked()
            else:
                pool._store.sent(connection)
                request_writer.send_body(client, response, spec)
                pool._request_sent(response, spec)
                answer = cast(Response, await responses.wait(client, response, spec.method))
                if answer.code != MISDIRECTED or not should_retry_elsewhere(
                    pool, connection, answer, spec, target, body, retries
                ):
                    return answer
        except (StreamError, ConnectionLostError) as error:
            if not should_retry(pool, connection, response, spec, error, retries):
                raise
            if body is not None and not body.again():
                raise
            sent_again(spec, target, error)
        finally:
            if response is None:
                pool._release(connection)
        pause = retries.pause()
        if pause > 0.0:
            await asyncio.sleep(pause)


async def reserve(
    pool: ConnectionPool, target: Target, spec: RequestSpec, retries: Retries
) -> ClientConnection:
    """Return a connection on which a place is reserved for a request.

    Call `_release` if it is not used. `send` does the same for its requests, without a coroutine of
    its own.
    """
    while True:
        if pool._store.is_closing:
            raise ConnectionLostError("the pool was closed", retryable=True)
        origin = pool._origin_of(target)
        picked = pool._store.pick(origin, retries.needs_unused)
        if picked is None:
            connection = await pool._wait(origin, spec, retries.goes_first, retries.needs_unused)
        else:
            connection = cast(ClientConnection, picked)
        if not connection.is_reserved_alone() or (
            connection.is_usable() and not connection.has_input()
        ):
            return connection
        if await pool._is_well(connection):
            return connection
        raise_if_never_usable(pool, target, connection)


def raise_if_never_usable(
    pool: ConnectionPool, target: Target, connection: ClientConnection
) -> None:
    """Raise ConnectError for a connection that ended before its first request.

    Return if another one may do: of the origin's, or by HTTP/1.1, which the server requires.
    """
    origin = connection.origin
    needs_http1 = connection.is_http2 and origin.http1_only  # known before any request was sent
    if connection.is_unused() and not needs_http1 and not origin.is_served():
        if not pool._store.is_closing:
            raise connect_error(target, connection.why_closed())


def should_retry(
    pool: ConnectionPool,
    connection: ClientConnection,
    response: ResponseState | None,
    spec: RequestSpec,
    error: StreamError | ConnectionLostError,
    retries: Retries,
) -> bool:
    """Return whether to send a request again that has failed with this error."""
    # > HTTP_1_1_REQUIRED (0x0d): The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
    # > (RFC 9113 7)
    client = connection.client
    if requires_http1(error) or connection.was_told_http1():
        if not pool._use_http1(connection):
            return False
    lost = isinstance(error, ConnectionLostError)
    return retries.failed(
        retryable=error.retryable,
        passed_over=response is not None and connection.passed_over(response.stream),
        idempotent=lost and may_repeat(client, response, spec.method),
    )


def should_retry_elsewhere(
    pool: ConnectionPool,
    connection: ClientConnection,
    answer: Response,
    spec: RequestSpec,
    target: Target,
    body: RetryableBody | None,
    retries: Retries,
) -> bool:
    """Return whether to send a request again, over another connection, that 421 has answered.

    The origin is the URL's: where the headers name another authority, no connection of this
    pool leads there.
    """
    if authority_of(spec.fields) != target.authority or not retries.misdirected():
        return False
    if body is not None:
        if (answer._is_uploading() and body.begun) or not body.again():
            return False
    answer.cancel()
    pool._retire(connection)
    sent_again(spec, target, "421")
    return True


def sent_again(spec: RequestSpec, target: Target, why: object) -> None:
    """Log that a request is sent again."""
    about = {
        "method": spec.method,
        "path": target.path,
        "authority": target.authority,
        "error": why,
    }
    pool_log.debug("%s: sending %s %s again", why, spec.method, target.path, extra=about)
