"""What follows when a handler returns or raises: a 500, a reset, or the rest of the request.

Must never know when a handler starts.
"""

import asyncio
import inspect
from typing import Any, Final, cast

from cno.aio.connection import leftover, send_queue
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.errors import RequestRefusedError
from cno.aio.fields import Headers
from cno.aio.log import server_log
from cno.aio.server import failures
from cno.aio.server.request_state import RequestState
from cno.aio.server.state import ServerLink
from cno.const import CNO_RST_CANCEL, CNO_RST_INTERNAL_ERROR
from cno.core import DONE, HEAD

#: The most frequent cause, of which compiled coroutines do not warn.
HINT: Final = "(was an `await` forgotten?)"


def crashed(conn: ServerLink, request: RequestState, error: BaseException, work: object) -> bool:
    """Answer a request whose handler has raised an error. Return False to raise it again."""
    if isinstance(error, asyncio.CancelledError) and is_cancelled(conn, request):
        abandon(conn, request, CNO_RST_CANCEL)
        return False
    if isinstance(error, GeneratorExit) and conn.loop.is_closed():
        return False  # there is no loop to report it to
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        send_500(conn, request)  # and the event loop stops
        return False
    if failures.says_gone(error, request):
        server_log.debug("%r: %s", request, error, extra=about(request, error))
        returned(conn, request)
        return True
    if isinstance(error, RequestRefusedError) and error.code and not request._response_begun:
        server_log.debug("%r: %s", request, error, extra=about(request, error))
        respond_empty(conn, request, error.code, error.headers)
        return True
    told = f"the handler of {request!r} failed"
    if isinstance(error, TypeError) and work is not request and not inspect.isawaitable(work):
        told = f"the handler of {request!r} is not `async def`, and returned no awaitable"
    report(conn, told, error)
    send_500(conn, request)
    return True


def body_failed(conn: ServerLink, stream: int) -> None:
    """Reset a stream of which a write has failed that no task waits for."""
    request = conn._exchanges.get(stream)
    if request is not None:
        abandon(conn, cast(RequestState, request), CNO_RST_INTERNAL_ERROR)


def is_cancelled(conn: ServerLink, request: RequestState) -> bool:
    """Return whether the current task was cancelled. Otherwise the handler let the cancellation
    of another object through, which is a failure like any other."""
    task = asyncio.current_task(conn.loop)
    return request._ended or task is None or task.cancelling() > 0


def returned(conn: ServerLink, request: RequestState) -> None:
    """Complete the response of a handler that has returned, if it has left that undone."""
    if request._ended:
        return
    state = failures.write_state(request)
    if request._tunnel:
        close_tunnel(conn, request)
    elif state == DONE or request._sent:
        if not request._complete:
            leftover.drain_stream(conn, request)
    elif state == HEAD and not request._response_begun:
        report(conn, f"the handler of {request!r} returned without a response {HINT}", None)
        send_500(conn, request)
    else:
        abandon(conn, request, CNO_RST_INTERNAL_ERROR)


def send_500(conn: ServerLink, request: RequestState) -> None:
    """Send a 500, or reset the stream: the handler has failed to respond."""
    respond_empty(conn, request, 500, [])


def respond_empty(conn: ServerLink, request: RequestState, code: int, headers: Headers) -> None:
    """Send a response without content, or reset the stream if another response has begun."""
    if request._ended or is_abandoned(request, True):
        return
    state = failures.write_state(request)
    if state == DONE:
        if not request._complete:
            leftover.drain_stream(conn, request)
        return
    if state != HEAD or request._response_begun or send_queue.is_pending(conn, request.stream):
        abandon(conn, request, CNO_RST_INTERNAL_ERROR)
        return
    request._response_begun = True
    request._end_output()
    fields = [*headers, ("content-length", "0")]
    send_queue.post(conn, PendingWrite(request.stream, b"", True, fields, code))
    if not request._complete and not request._ended:
        leftover.drain_stream(conn, request)


def close_tunnel(conn: ServerLink, request: RequestState) -> None:
    """Close the tunnel that a handler has left open when it returned."""
    if is_abandoned(request, False):
        return
    if send_queue.is_pending(conn, request.stream):
        abandon(conn, request, CNO_RST_CANCEL)
        return
    if request._end_output():
        send_queue.post(conn, PendingWrite(request.stream, b"", True))
    elif not conn._http2 and conn._life.phase < FLUSHING:
        conn.write_data(request.stream, b"", True)  # after write_eof(): closes the connection
    if not request._ended:
        leftover.drain_stream(conn, request)


def is_abandoned(request: RequestState, failed: bool) -> bool:
    """Leave a tunnel to what speaks over it, a WebSocket say; return whether that closes it."""
    buffer = request._buffer
    return request._tunnel and buffer is not None and buffer.abandoned(failed)


def abandon(conn: ServerLink, request: RequestState, code: int) -> None:
    """Reset the stream: the response will never be complete."""
    if not request._ended and conn._life.phase < FLUSHING:
        conn.write_reset(request.stream, code)


def report(conn: ServerLink, message: str, error: BaseException | None) -> None:
    """Report a failure of the application to the event loop's exception handler."""
    # Without the task: Python 3.12 would enter the task's context, which is active already.
    context: dict[str, Any] = {"message": f"cno: {message}", "protocol": conn}
    if error is not None:
        context["exception"] = error
    conn.loop.call_exception_handler(context)


def about(request: RequestState, error: BaseException) -> dict[str, object]:
    """Return the fields of a record in the log."""
    return {
        "connection": request._conn._number,
        "stream": request.stream,
        "method": request.method,
        "path": request.path,
        "error": error,
    }
