"""A server's connection: it runs the handler in a task for each request.

Knows when a handler starts, when it is cancelled, and the response to a failure. Must never know
how a response is composed, or how connections are accepted.
"""

import asyncio
import inspect
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeAlias, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio import failures, leftover
from cno.aio.arguments import check_handler, check_limits
from cno.aio.connection import lifecycle
from cno.aio.connection.lifecycle import FLUSHING, LOST
from cno.aio.connection.protocol import Connection, current_task
from cno.aio.connection.stream_state import StreamState
from cno.aio.messages import HANDLER_DONE, HANDLER_RUNNING, Request
from cno.aio.output import Headers, Sending, log
from cno.const import (
    CNO_RST_CANCEL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_INTERNAL_ERROR,
)
from cno.core import DONE, H2_SETTINGS, HEAD, use
from cno.date import SYSTEM
from cno.h2.send import final_goaway
from cno.limits import UNBOUNDED, Limits, bound, with_windows
from cno.priority import SHARED, parse_fields, rank
from cno.settings import SettingsDict

#: A handler of requests. The result of the awaitable is ignored.
Handler: TypeAlias = Callable[[Request], Awaitable[object]]

#: Limits of a server, which reads many bodies at once: 256 KiB a stream, 1 MiB in total.
SERVER_LIMITS: Final = Limits(
    initial_window_size=262_144, connection_window=1_048_576, max_unread_window=4_194_304
)

#: From Python 3.12 on, a task can run at once until it first waits. Most handlers never wait.
EAGER: Final = sys.version_info >= (3, 12)
#: The class of `loop.create_task`. Creating a task directly, with a constant name, takes a quarter
#: less time, a twentieth of a small request.
make_task: Final[Any] = asyncio.Task
#: The name of a handler's task.
TASK_NAME: Final = "cno.Server"

#: The default of `max_pending_handlers`.
USUAL_HANDLERS: Final = Limits().max_pending_handlers


def most_handlers(limits: Limits) -> int:
    """Return how many handlers may run: at least four for each stream by default."""
    most = limits.max_pending_handlers
    if most is None or most != USUAL_HANDLERS:
        return bound(most)
    streams = limits.max_concurrent_streams
    return UNBOUNDED if streams is None else max(most, 4 * streams)


def is_unix(transport: asyncio.BaseTransport) -> bool:
    """Return whether a transport writes to a Unix socket."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", -1)


def throw(error: BaseException) -> None:
    """Raise an error, as a callback of the event loop."""
    raise error


@mypyc_attr(allow_interpreted_subclasses=True)
class Keeper:
    """An observer of connections: the listener."""

    def opened(self, server: "Server") -> None:
        """A connection has begun."""

    def finished(self, server: "Server") -> None:
        """A connection has ended, and all its handlers have returned."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Server(Connection):
    """One connection of a server: an `asyncio.Protocol` that gives requests to `handle`.

    `handle` is `async def handle(request: cno.Request) -> None`. It runs in a separate task for
    each request, which is cancelled when the client resets the stream or disconnects. If it raises,
    the client gets a 500, or a reset if the response has begun, and the event loop's exception
    handler is called, unless the exception reports the loss of this client.

    A plain function that returns an awaitable works, too. Raises TypeError for other objects.

    Responses get a `Date` field unless they have one, or `date` is False.

    `loop` may be left out. `settings` is what `configure` takes; `limits` that name no
    windows have 256 KiB per stream and 1 MiB in all.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | Handler | None = None,
        handle: Handler | None = None,
        *,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
        keeper: Keeper | None = None,
        date: bool = True,
    ) -> None:
        if handle is None:
            if loop is None or isinstance(loop, asyncio.AbstractEventLoop):
                raise TypeError("Server() needs a handler")
            handle = loop
            loop = None
        if keeper is None:  # the observer has checked them once for all connections
            check_handler(handle)
            check_limits(limits)
        super().__init__(
            True,
            cast("asyncio.AbstractEventLoop | None", loop),
            SERVER_LIMITS if limits is None else with_windows(limits, SERVER_LIMITS),
            settings,
        )
        if date:
            use(self, dates=SYSTEM)
        self._handle: Handler = handle
        self._keeper = keeper
        self._fresh: list[Request] = []  # requests in the input that is being parsed
        self._plain = False  # the loop has no task factory
        self._eager = False  # handlers start at once, before the loop's next iteration
        self._running: i64 = 0  # handlers that have not returned, also those of closed streams
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None  # for handlers, once shutting down
        self._due = 0.0  # the time of `_deadline` (handles of uvloop may not have it)
        self._reset_handlers: i64 = 0  # running handlers of requests that were reset
        self._push_handlers: i64 = 0  # running handlers of pushes
        self._max_handlers: i64 = most_handlers(self._limits)
        self._waiting: dict[int, Request] = {}  # by stream; they start when other handlers return
        self._start_due = False  # the next iteration of the event loop starts some of them
        self._max_requests: i64 = bound(self._limits.max_requests_per_connection)
        self._prioritizes = False  # the client has sent a priority

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A task factory of the application must create each task.
        self._plain = self.loop.get_task_factory() is None
        self._eager = EAGER and self._plain
        if self._limits.allow_any_authority and not is_unix(transport):
            use(self, limits=replace(self._limits, allow_any_authority=False))
        super().connection_made(transport)
        if self._keeper is not None:
            self._keeper.opened(self)

    # -- events ----------------------------------------------------------------------------------

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        request = Request(self, stream, method, path, headers)
        request._is_push = stream & 1 == 0
        self._exchanges[stream] = request
        if stream >= self._max_requests:
            self._count_requests(stream)
        if self._busy:
            self._fresh.append(request)
        else:
            # A push by the handler of another request: do not use that handler's context.
            self._context.copy().run(self._start_handler, request, False)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        fresh = self._fresh
        if fresh and fresh[-1].stream == stream and self._http2:
            # Reset in the same input (rapid reset): no handler has started, so no one waits for its
            # end, and it is dropped at once.
            fresh.pop()._ended = True
            del self._exchanges[stream]
        else:
            super().on_stream_end(stream, code, side)

    def on_upgrade(self, stream: int) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            cast(Request, exchange)._upgradable = True

    def write_push(self, stream: int, method: str, path: str, headers: Headers) -> None:
        # A push is never necessary, and its handler is not charged to the client.
        if self._push_handlers < self._max_handlers:
            super().write_push(stream, method, path, headers)

    def _count_requests(self, stream: int) -> None:
        """Shut down if this is the last request that the connection may have."""
        most = self._max_requests
        number = (stream + 1) // 2
        if number < most:
            return
        if not self._http2:
            if not self._draining:
                self._engine_shutdown()
        elif self._h2.goaway_ping and -self._h2.requests_left > self._max_streams:
            # The client has got a GOAWAY, has not answered its PING, and sends further requests.
            self._engine_shutdown()

    def _retire(self) -> None:
        if self._http2:
            super()._retire()
            return
        # An unwritten response head will say `connection: close`; if there is none, the next one
        # will. Closing between two requests could lose one that is in flight.
        self._max_requests = 0
        last = self._exchanges.get(int(self._last_remote))
        if last is not None and failures.write_state(cast(Request, last)) == HEAD:
            self._engine_shutdown()

    def _rank_of(self, stream: int) -> i64:
        exchange = self._exchanges.get(stream)
        if exchange is None or not self._http2:
            return SHARED
        request = cast(Request, exchange)
        # > ... the most recently received PRIORITY_UPDATE frame can be considered as the most
        # > up-to-date information that overrides any other signal.   (RFC 9218 7)
        said = self._h2.priorities.get(stream)
        if said is None:
            said = parse_fields(request.headers)
        if not self._prioritizes and (said is not None or self._h2.priority_updates != 0):
            self._prioritizes = True
            self._ranked = -1  # the defaults of the other requests count from now on
        # > When receiving an HTTP request that does not carry these priority parameters, a server
        # > SHOULD act as if their default values were specified.   (RFC 9218 4)
        # On a connection without any priority, all responses share the bandwidth instead.
        response = request._response_headers
        hint = None if response is None else parse_fields(response)
        found = rank(said, hint, self._prioritizes)
        # > ... servers SHOULD allocate some amount of bandwidths to streams acting as tunnels.
        return found | 1 if request._tunnel else found

    # -- handlers --------------------------------------------------------------------------------

    def _begin_work(self) -> None:
        if not self._fresh:
            return
        fresh = self._fresh
        self._fresh = []
        if self._life.phase >= LOST:
            return  # the client has gone
        if self._eager and self._life.phase < FLUSHING:
            self._collect()
        for request in fresh:
            if not request._ended:  # a stream that was reset with the same input costs no task
                self._admit(request)
        if not self._eager and self._life.phase < FLUSHING:
            self._collect()  # now: the flush runs after the first step of those tasks
        elif self._collecting:
            self._flush()  # handlers that never wait have returned by now

    def _admit(self, request: Request) -> None:
        """Start the handler of a request, or let the request wait while too many handlers run."""
        if request._is_push:
            self._start_handler(request, self._eager)
        elif self._reset_handlers >= self._max_handlers:
            # A stream that is reset makes room for a new one at once; its handler does not.
            log.debug("too many handlers of streams that were reset still run: closing")
            if self._life.phase < FLUSHING:
                self.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
        elif not self._waiting and self._has_room():
            self._start_handler(request, self._eager)
        else:
            self._waiting[request.stream] = request

    def _has_room(self) -> bool:
        return self._running - self._reset_handlers - self._push_handlers < self._max_handlers

    def _start_handler(self, request: Request, eager: bool) -> None:
        self._running += 1
        if request._is_push:
            self._push_handlers += 1
        request._handler_state = HANDLER_RUNNING
        try:
            task = self._make_task(self._run(request), eager)
        except (SystemExit, KeyboardInterrupt) as error:
            # From an eager start. Raise it in the event loop, and finish this input first.
            self.loop.call_soon(throw, error, context=self._context)
            return
        if not task.done():  # an eager one may be
            request._task = task
            self._tasks.add(task)

    def _make_task(self, work: Coroutine[Any, Any, None], eager: bool) -> asyncio.Task[None]:
        if not self._plain:
            return self.loop.create_task(work, name=TASK_NAME)
        task: asyncio.Task[None]
        if eager:
            task = make_task(work, loop=self.loop, name=TASK_NAME, eager_start=True)
        else:
            task = make_task(work, loop=self.loop, name=TASK_NAME)
        return task

    def _resume_waiting(self) -> None:
        """After a handler has returned, start waiting ones in the next iteration of the event loop,
        and not in the context of the handler."""
        if not self._start_due and self._life.phase < FLUSHING:
            self._start_due = True
            self.loop.call_soon(self._start_waiting, context=self._context)

    def _start_waiting(self) -> None:
        self._start_due = False
        while self._waiting and self._has_room() and self._life.phase < FLUSHING:
            request = self._waiting.pop(next(iter(self._waiting)))
            self._start_handler(request, self._eager)

    async def _run(self, request: Request) -> None:
        request._handler_started = True
        work: Any = request  # unless the handler returns something
        try:
            work = self._handle(request)
            await work
        except BaseException as error:
            if not self._crashed(request, error, work):
                raise
        else:
            self._returned(request)
        finally:
            self._done(request)

    def _done(self, request: Request) -> None:
        """Update the counts: a handler has returned, or will never start."""
        self._running -= 1
        if request._is_push:
            self._push_handlers -= 1
        elif request._reset_while_running:
            self._reset_handlers -= 1
        request._handler_state = HANDLER_DONE
        task = request._task
        request._task = None
        if task is not None:
            self._tasks.discard(task)
        if self._life.phase == lifecycle.CLOSED:
            if self._running == 0:
                self._finished()
        elif self._waiting:
            self._resume_waiting()

    def _crashed(self, request: Request, error: BaseException, work: object) -> bool:
        """Answer a request whose handler has raised an error. Return False to raise it again."""
        if isinstance(error, asyncio.CancelledError) and self._is_cancelled(request):
            self._abandon(request, CNO_RST_CANCEL)
            return False
        if isinstance(error, GeneratorExit) and self.loop.is_closed():
            return False  # there is no loop to report it to
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            self._apologize(request)  # and the event loop stops
            return False
        if failures.says_gone(error, request):
            log.debug("%r: %s", request, error)
            self._returned(request)
            return True
        told = f"the handler of {request!r} failed"
        if isinstance(error, TypeError) and work is not request and not inspect.isawaitable(work):
            told = f"the handler of {request!r} is not `async def`, and returned no awaitable"
        self._report(told, error)
        self._apologize(request)
        return True

    def _is_cancelled(self, request: Request) -> bool:
        """Return whether the current task was cancelled. Otherwise the handler let the cancellation
        of another object through, which is a failure like any other."""
        task = current_task(self.loop)
        return request._ended or task is None or task.cancelling() > 0

    def _returned(self, request: Request) -> None:
        if request._ended:
            return
        state = failures.write_state(request)
        if request._tunnel:
            self._close_tunnel(request)
        elif state == DONE or request._sent:
            if not request._complete:
                leftover.part(self, request)
        elif state == HEAD and not request._response_begun:
            self._report(f"the handler of {request!r} returned without a response", None)
            self._apologize(request)
        else:
            self._abandon(request, CNO_RST_INTERNAL_ERROR)

    def _apologize(self, request: Request) -> None:
        """Send a 500, or reset the stream: the handler has failed to respond."""
        if request._ended:
            return
        state = failures.write_state(request)
        if state == DONE:
            if not request._complete:
                leftover.part(self, request)
            return
        if state != HEAD or request._response_begun or request.stream in self._stalled:
            self._abandon(request, CNO_RST_INTERNAL_ERROR)
            return
        request._response_begun = True
        request._sent = True
        sorry = Sending(request.stream, b"", True)
        sorry.code = 500
        sorry.headers = [("content-length", "0")]
        self._post(sorry)
        if not request._complete and not request._ended:
            leftover.part(self, request)

    def _unsent(self, stream: int, error: Exception) -> None:
        super()._unsent(stream, error)
        request = self._exchanges.get(stream)
        if request is not None:
            self._abandon(cast(Request, request), CNO_RST_INTERNAL_ERROR)

    def _close_tunnel(self, request: Request) -> None:
        """Close the tunnel that a handler has left open when it returned."""
        if request.stream in self._stalled:
            self._abandon(request, CNO_RST_CANCEL)
            return
        if not request._sent:
            request._sent = True
            self._post(Sending(request.stream, b"", True))
        if not request._ended:
            leftover.part(self, request)

    def _abandon(self, request: Request, code: int) -> None:
        """Reset the stream: the response will never be complete."""
        if not request._ended and self._life.phase < FLUSHING:
            self.write_reset(request.stream, code)

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        request = cast(Request, exchange)
        if request._handler_state != HANDLER_RUNNING:
            if self._waiting:
                self._waiting.pop(request.stream, None)
            return
        observer = request._observer
        if observer is not None:
            observer.ended()
        task = request._task
        if clean or task is None or task.done() or task is current_task(self.loop):
            return  # a handler may continue after a complete response; or this is its own call
        if not request._is_push:
            request._reset_while_running = True
            self._reset_handlers += 1
        if observer is None:
            task.cancel()
        if not request._handler_started:
            self._done(request)
        elif self._waiting:
            self._resume_waiting()

    def _report(self, message: str, error: BaseException | None) -> None:
        # Without the task: Python 3.12 would enter the task's context, which is active already.
        context: dict[str, Any] = {"message": f"cno: {message}", "protocol": self}
        if error is not None:
            context["exception"] = error
        self.loop.call_exception_handler(context)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection after the pending output. Open streams end."""
        if self._http2 and self._state > H2_SETTINGS and self._life.phase < FLUSHING:
            # > An endpoint SHOULD always send a GOAWAY frame before closing a connection
            # > (RFC 9113 6.8)
            if self._h2.goaway_sent < 0:
                self.cork()
                final_goaway(self)
                self.uncork()
        super().close()

    def drain(self, timeout: float | None = None) -> None:
        """Shut down, and abort after `timeout` seconds, or `Limits.shutdown_timeout` if that is
        less."""
        if self._life.phase < FLUSHING:
            self.shutdown()
        patience = self._limits.shutdown_timeout
        if timeout is not None and (patience is None or timeout < patience):
            patience = timeout
        if patience is None:
            return
        due = self.loop.time() + patience
        if self._deadline is not None:
            if self._due <= due:
                return
            self._deadline.cancel()
        self._due = due
        self._deadline = self.loop.call_at(due, self._expire, context=self._context)

    def _expire(self) -> None:
        """Abort at the end of the shutdown's time."""
        self._deadline = None
        if self._life.phase < LOST:
            self.abort()
        self.cancel_handlers()

    def cancel_handlers(self) -> None:
        """Cancel all handlers, also those of streams that ended normally."""
        self._deadline = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            wait = self._limits.linger_timeout
            self._deadline = self.loop.call_later(wait, self._forget, context=self._context)

    def _forget(self) -> None:
        """Stop waiting for handlers that have not ended after they were cancelled."""
        self._deadline = None
        if self._running == 0:
            return
        self._report(f"{self._running} handlers do not end although they were cancelled", None)
        if self._life.phase < LOST:
            self.abort()
        self._running = 0
        self._finished()

    def _is_idle(self) -> bool:
        return self._running == 0

    def _after_loss(self) -> None:
        if self._running == 0:
            self._finished()

    def _finished(self) -> None:
        """Report to the observer: the connection has ended, and no handler is running."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._keeper is not None:
            self._keeper.finished(self)
