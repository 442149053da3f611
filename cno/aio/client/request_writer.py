"""Writes requests: their heads, and bodies that are complete.

Knows when a request can be written. Must never know what its response is.
"""

from cno.aio.client import liveness, request_queue, upload
from cno.aio.client.request_spec import RequestSpec
from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import MAX_BEFORE_SETTINGS, ClientLink
from cno.aio.connection import send_buffer, send_queue
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.timeouts import is_greeting
from cno.aio.errors import ConnectionLostError
from cno.aio.sources import SingleChunkBody, dispose
from cno.errors import ConnectionError, DisconnectError, WouldBlockError


def try_whole(conn: ClientLink, spec: RequestSpec) -> ResponseState | None:
    """Write a request, and its body if that is complete; None if it has to wait.

    This is for speed only: `begin` does the same (docs/decisions/speed.md; *asyncio client,
    HTTP/1.1* in `benchmarks.instructions`).
    """
    # No other HTTP/1.1 request could share the write, so do not wait for the next iteration of the
    # event loop.
    at_once = not conn._http2 and send_buffer.claim_flush(conn)
    try:
        response = try_head(conn, spec)
        if response is not None:
            send_body(conn, response, spec)
    finally:
        if at_once:
            send_buffer.flush(conn)
    return response


async def begin(conn: ClientLink, spec: RequestSpec) -> ResponseState:
    """Write a request's head as soon as that is possible."""
    try:
        if conn._requests.waiting or conn._transport_state.full:
            await request_queue.wait(conn, False, spec.observer)
        while True:
            response = try_head(conn, spec)
            if response is not None:
                return response
            await request_queue.wait(conn, True, spec.observer)
    finally:
        conn._freed()  # the next request may go: this one is written, or was given up


async def begin_or_dispose(conn: ClientLink, spec: RequestSpec) -> ResponseState:
    """Do as `begin`, and dispose of the body if that fails. (`write_body` does so too.)"""
    failure: BaseException | None
    try:
        return await begin(conn, spec)
    except BaseException as error:
        failure = error
    await dispose(spec.source)
    try:
        raise failure
    finally:
        failure = None  # else it would hold, by its traceback, what holds it


def try_head(conn: ClientLink, spec: RequestSpec) -> ResponseState | None:
    """Write a request's head; None if it has to wait.

    Raises ConnectionLostError if the connection is closed, UsageError for an invalid request.
    """
    if conn._life.phase >= FLUSHING:
        raise ConnectionLostError("the connection is closed", retryable=True)
    if not conn._http2 and conn._exchanges:
        # HTTP/1.1 allows more, but the reset of one request would end those after it, and a slow
        # response would delay them. A second connection serves better.
        return None
    if len(conn._exchanges) >= MAX_BEFORE_SETTINGS and is_greeting(conn):
        return None
    observer = spec.observer
    if observer is not None:
        observer.check()
    path, fields = spec.path, spec.fields
    proxy = conn._requests.forward_proxy
    if proxy is not None:
        path, fields = proxy.target(spec.method, path, fields), proxy.fields(fields)
    stream = conn.next_stream
    response = conn._new_response(stream, observer)
    response._reused = conn._requests.answered
    if conn._http2:
        liveness.request_sent(conn, response)
    conn._exchanges[stream] = response
    opened = False
    try:
        conn.write_head(stream, 0, spec.method, path, fields, spec.empty)
        opened = True
    except WouldBlockError:
        return None
    except DisconnectError as error:
        raise ConnectionLostError(error.strerror or "", stream=stream, retryable=True) from None
    finally:
        if not opened:
            conn._exchanges.pop(stream, None)
    if observer is not None:
        observer.begin(response)
    return response


def send_body(conn: ClientLink, response: ResponseState, spec: RequestSpec) -> None:
    """Send the body of a request whose head is written; one that comes in pieces, by a task."""
    if spec.empty:
        return
    if spec.source is not None or spec.awaits_continue:
        source = SingleChunkBody(spec.body) if spec.source is None else spec.source
        upload.start(conn, response, source, spec.trailers, spec.awaits_continue)
        return
    write = PendingWrite(response.stream, spec.body, True, trailers=spec.trailers)
    try:
        send_queue.post(conn, write)
    except ConnectionError:
        response.cancel()
        raise
