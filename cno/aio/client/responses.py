"""Responses as they arrive: their heads, and the tasks that wait for these.

Knows the errors of requests that get no response. Must never know how a request is written.
"""

import asyncio

from cno.aio.client import upload
from cno.aio.client.response_state import ResponseState
from cno.aio.client.retry_rules import may_repeat
from cno.aio.client.state import ClientLink
from cno.aio.connection import reasons
from cno.aio.connection.timeouts import is_greeting
from cno.aio.errors import ConnectionLostError, fresh, set_retryable
from cno.aio.fields import Headers
from cno.aio.waiters import wake
from cno.const import CNO_FRAME_PRIORITY_UPDATE
from cno.errors import UsageError


async def wait(conn: ClientLink, response: ResponseState, method: str = "") -> ResponseState:
    """Wait for the head of the response to a request, and return the response.

    Cancelling this resets the stream.
    """
    if response.code == 0 and not response._ended:
        waiter = response._head_waiter = conn.loop.create_future()
        conn._shorten_timer()
        try:
            await waiter
        except asyncio.CancelledError:
            response.cancel()
            raise
    if response.code == 0:
        raise error_of(conn, response, method)
    return response


async def wait_for_push(response: ResponseState) -> ResponseState:
    """Wait for the head of the response to a push, and return it."""
    if response.code == 0 and response._error is None:
        waiter = response._head_waiter
        if waiter is None:
            waiter = response._head_waiter = response._conn.loop.create_future()
        response._conn._shorten_timer()
        # Several tasks can wait for the response to a push: cancelling one affects no other.
        await asyncio.shield(waiter)
    if response.code == 0 and response._error is not None:
        raise fresh(response._error)
    return response


def error_of(conn: ClientLink, response: ResponseState, method: str) -> Exception:
    """Return why there is no response."""
    error = fresh(response._error or reasons.of_loss(conn, response.stream))
    if isinstance(error, ConnectionLostError) and may_repeat(conn, response, method):
        set_retryable(error, True)
    return error


def head_received(
    conn: ClientLink, response: ResponseState, code: int, reason: str, headers: Headers
) -> None:
    """Store a head, and wake the tasks that wait for it."""
    if code < 200 and code != 101:
        interim(response, code, headers)
        return
    conn._requests.answered = True
    response._set_head(code, reason, headers)


def interim(response: ResponseState, code: int, headers: Headers) -> None:
    """Store a 1xx response, within a limit: a server can send any number of them."""
    response._interim_count += 1
    most = response._conn._limits.max_informational
    if most is None or len(response.informational) < most:
        response.informational.append((code, headers))
    if response._observer is not None:
        response._observer.informational(code, headers)
    body = response._upload
    if code == 100 and body is not None and body.continue_waiter is not None:
        body.got_100 = True
        wake(body.continue_waiter)


def stream_ended(conn: ClientLink, response: ResponseState) -> None:
    """Wake the tasks that wait for more of a response, and end its upload."""
    response._wake()
    if response._upload is not None:
        upload.stream_ended(conn, response._upload)
    if response._pushes is not None:
        response._pushes.end()
    if response._observer is not None:
        response._observer.ended(response)
    if conn._requests.only_one and not conn._exchanges:
        conn.close()


def reprioritize(response: ResponseState, urgency: int, incremental: bool) -> None:
    """Send a PRIORITY_UPDATE for a response, as `Response.reprioritize` describes."""
    if urgency < 0 or urgency > 7:
        raise UsageError(
            f"urgency {urgency} is not 0 to 7", stream=response.stream, rule="RFC 9218 4.1"
        )
    conn = response._conn
    if response._ended or response._complete or not conn._http2:
        return
    # > ... if the client receives SETTINGS_NO_RFC7540_PRIORITIES with a value of 0 or if the
    # > settings parameter was absent, it SHOULD stop sending PRIORITY_UPDATE frames
    if conn._remote._no_rfc7540_priorities or is_greeting(conn):
        value = f"u={urgency}, i" if incremental else f"u={urgency}"
        payload = response.stream.to_bytes(4, "big") + value.encode()
        conn.write_frame(CNO_FRAME_PRIORITY_UPDATE, 0, 0, payload)
