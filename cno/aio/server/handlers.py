"""The handlers of a server's connection: when they start, wait for others, and return.

Must never know how connections are accepted.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final, cast

from cno.aio.connection import send_buffer
from cno.aio.connection.lifecycle import CLOSED, FLUSHING, LOST
from cno.aio.connection.stream_state import StreamState
from cno.aio.log import server_log
from cno.aio.server import outcome, shutdown
from cno.aio.server.request_state import HANDLER_DONE, HANDLER_RUNNING, RequestState
from cno.aio.server.state import ServerLink
from cno.const import CNO_RST_ENHANCE_YOUR_CALM

#: The class of `loop.create_task`. Creating a task directly, with a constant name, takes a quarter
#: less time, a twentieth of a small request.
create_task: Final[Any] = asyncio.Task
#: The name of a handler's task.
TASK_NAME: Final = "cno.Server"


#: From Python 3.12 on, a task can run at once until it first waits. Most handlers never wait.
EAGER: Final = sys.version_info >= (3, 12)


def choose_tasks(conn: ServerLink) -> None:
    """Select how tasks are created: a task factory of the application must create each of them."""
    conn._handlers.plain_tasks = conn.loop.get_task_factory() is None
    conn._handlers.eager = EAGER and conn._handlers.plain_tasks


def throw(error: BaseException) -> None:  # pragma: no cover - after an eager start
    """Raise an error, as a callback of the event loop."""
    raise error


def begin(conn: ServerLink) -> None:
    """Start the handlers of the requests in the input that has just been parsed."""
    handlers = conn._handlers
    if not handlers.new_requests:
        return
    requests = handlers.take_new()
    if conn._life.phase >= LOST:
        return  # the client has gone
    eager = handlers.eager
    # One response of HTTP/1.1 is flushed when it is complete.
    together = conn._http2 or len(requests) > 1
    if eager and conn._life.phase < FLUSHING:  # pragma: no cover - since Python 3.12
        send_buffer.collect(conn, False)
    try:
        for request in requests:
            if not request._ended:  # a stream that was reset with the same input costs no task
                admit(conn, request)
    finally:
        if not eager:
            if together and conn._life.phase < FLUSHING:
                # Now: the flush runs after the first step of those tasks.
                send_buffer.collect(conn, True)
        elif send_buffer.is_collecting(conn):  # pragma: no cover - since Python 3.12
            send_buffer.flush(conn)  # handlers that never wait have returned by now


def start(conn: ServerLink, request: RequestState, eager: bool) -> None:
    """Start the handler of a request in a task; `eager`: before this returns."""
    conn._handlers.running += 1
    if request._is_push:
        conn._handlers.pushes_running += 1
    request._handler_state = HANDLER_RUNNING
    try:
        task = make_task(conn, run(conn, request), eager)
    except (SystemExit, KeyboardInterrupt) as error:  # pragma: no cover - since Python 3.12
        # From an eager start. Raise it in the event loop, and finish this input first.
        conn.loop.call_soon(throw, error, context=conn._context)
        return
    # An eager one may be done; a task factory of the application may be eager, too.
    may_be_done = eager or not conn._handlers.plain_tasks
    if not may_be_done or not task.done():  # pragma: no branch
        request._task = task
        conn._handlers.add_task(task)


def stream_ended(conn: ServerLink, exchange: StreamState, clean: bool) -> None:
    """Cancel the handler of a stream that has ended, unless our message was complete (`clean`)."""
    request = cast(RequestState, exchange)
    if request._handler_state != HANDLER_RUNNING:
        if conn._handlers.waiting:
            conn._handlers.waiting.pop(request.stream, None)
        return
    observer = request._observer
    if observer is not None:
        observer.ended()
    task = request._task
    if clean or task is None or task.done() or task is asyncio.current_task(conn.loop):
        return  # a handler may continue after a complete response; or this is its own call
    if not request._is_push:
        request._reset_while_running = True
        conn._handlers.reset_running += 1
    if observer is None:
        task.cancel()
    if not request._handler_started:
        done(conn, request)
    elif conn._handlers.waiting:
        resume_waiting(conn)


def admit(conn: ServerLink, request: RequestState) -> None:
    """Start the handler of a request, or let the request wait while too many handlers run."""
    handlers = conn._handlers
    if request._is_push:
        conn._start_handler(request, handlers.eager)
    elif handlers.reset_running >= handlers.most:
        # A stream that is reset makes room for a new one at once; its handler does not.
        server_log.debug(
            "too many handlers of streams that were reset still run: closing",
            extra={"connection": conn._number},
        )
        if conn._life.phase < FLUSHING:
            conn.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
    elif not handlers.waiting and handlers.has_room():
        conn._start_handler(request, handlers.eager)
    else:
        handlers.wait(request)


def make_task(conn: ServerLink, work: Coroutine[Any, Any, None], eager: bool) -> asyncio.Task[None]:
    """Return a task that runs a handler, by way of the application's task factory if it has one."""
    if not conn._handlers.plain_tasks:
        return conn.loop.create_task(work, name=TASK_NAME)
    task: asyncio.Task[None]
    if eager:  # pragma: no cover - since Python 3.12
        task = create_task(work, loop=conn.loop, name=TASK_NAME, eager_start=True)
    else:
        task = create_task(work, loop=conn.loop, name=TASK_NAME)
    return task


def resume_waiting(conn: ServerLink) -> None:
    """After a handler has returned, start waiting ones in the next iteration of the event loop,
    and not in the context of the handler."""
    if not conn._handlers.start_due and conn._life.phase < FLUSHING:
        conn._handlers.start_due = True
        conn.loop.call_soon(start_waiting, conn, context=conn._context)


def start_waiting(conn: ServerLink) -> None:
    """Start the handlers that have waited for longest, as far as there is room."""
    handlers = conn._handlers
    handlers.start_due = False
    while handlers.waiting and handlers.has_room() and conn._life.phase < FLUSHING:
        request = handlers.waiting.pop(next(iter(handlers.waiting)))
        conn._start_handler(request, handlers.eager)


async def run(conn: ServerLink, request: RequestState) -> None:
    """Call the handler, and answer for it if it fails or does not answer."""
    request._handler_started = True
    work: Any = request  # unless the handler returns something
    try:
        work = conn._handle(request)
        await work
    except BaseException as error:
        if not outcome.crashed(conn, request, error, work):
            raise
    else:
        outcome.returned(conn, request)
    finally:
        done(conn, request)


def done(conn: ServerLink, request: RequestState) -> None:
    """Update the counts: a handler has returned, or will never start."""
    handlers = conn._handlers
    handlers.running -= 1
    if request._is_push:
        handlers.pushes_running -= 1
    elif request._reset_while_running:
        handlers.reset_running -= 1
    request._handler_state = HANDLER_DONE
    task = request._task
    request._task = None
    if task is not None:
        handlers.discard_task(task)
    if conn._life.phase == CLOSED:
        if handlers.running == 0:
            shutdown.finished(conn)
    elif conn._handlers.waiting:
        resume_waiting(conn)
