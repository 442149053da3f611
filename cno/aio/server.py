"""A server's connection: requests become tasks that run the handler.

Knows when a handler starts, what becomes of it when its stream ends, and what the client gets when
it fails. Must never know how a response is put together, or how connections are accepted.
"""

import asyncio
import inspect
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeAlias, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio import failures, leftover, lifecycle
from cno.aio.arguments import check_handler, check_limits
from cno.aio.connection import Connection, Exchange, current_task
from cno.aio.lifecycle import FLUSHING, LOST
from cno.aio.messages import HANDLER_DONE, HANDLER_RUNNING, Request
from cno.aio.output import Headers, Sending, log
from cno.const import (
    CNO_RST_CANCEL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_INTERNAL_ERROR,
)
from cno.core import DONE, H2_SETTINGS, HEAD
from cno.date import SYSTEM
from cno.h2.send import final_goaway
from cno.limits import UNBOUNDED, Limits, bound, with_windows
from cno.priority import SHARED, parse_fields, rank
from cno.settings import SettingsDict

#: What answers a request. The result of what it returns is dropped.
Handler: TypeAlias = Callable[[Request], Awaitable[object]]

#: A server reads bodies from many at once: windows of 256 KiB per stream, 1 MiB in all.
SERVER_LIMITS: Final = Limits(
    initial_window_size=262_144, connection_window=1_048_576, max_unread_window=4_194_304
)

#: From Python 3.12 on, tasks can run at once until they have to wait: most handlers never have to.
EAGER: Final = sys.version_info >= (3, 12)
#: What `loop.create_task` makes. Made here, and without a number of its own in its name, a task
#: takes a quarter less: that is a twentieth of a small request.
make_task: Final[Any] = asyncio.Task
#: The name of a handler's task.
TASK_NAME: Final = "cno.Server"

#: What `max_pending_handlers` is unless told.
USUAL_HANDLERS: Final = Limits().max_pending_handlers


def most_handlers(limits: Limits) -> int:
    """How many may run: never fewer than streams may be open, unless that was asked for."""
    most = limits.max_pending_handlers
    if most is None or most != USUAL_HANDLERS:
        return bound(most)
    streams = limits.max_concurrent_streams
    return UNBOUNDED if streams is None else max(most, 4 * streams)


def is_unix(transport: asyncio.BaseTransport) -> bool:
    """Whether a transport writes to a Unix socket."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", -1)


def throw(error: BaseException) -> None:
    raise error


@mypyc_attr(allow_interpreted_subclasses=True)
class Keeper:
    """Who wants to know which connections there are."""

    def opened(self, server: "Server") -> None:
        """A connection has begun."""

    def finished(self, server: "Server") -> None:
        """A connection is gone, and all its handlers have returned."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Server(Connection):
    """One connection of a server: an `asyncio.Protocol` that gives requests to `handle`.

    `handle` is `async def handle(request: cno.Request) -> None`, run in a task of its own for each
    request. It is cancelled when the client resets the stream or is gone. When it raises, the
    client gets a 500, or a reset if a response had begun, and the event loop's exception handler is
    called, unless the exception says that this client has gone.

    A plain function that returns an awaitable will do; TypeError is raised where it cannot be one.

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
        if keeper is None:  # else it has seen to that, once for all connections
            check_handler(handle)
            check_limits(limits)
        super().__init__(
            True,
            cast("asyncio.AbstractEventLoop | None", loop),
            SERVER_LIMITS if limits is None else with_windows(limits, SERVER_LIMITS),
            settings,
        )
        if date:
            self._dates = SYSTEM
        self._handle: Handler = handle
        self._keeper = keeper
        self._fresh: list[Request] = []  # came with the input that is being read
        self._plain = False  # the loop has no task factory
        self._eager = False  # handlers start at once, and cost a turn of the loop if they wait
        self._running: i64 = 0  # handlers that have not returned, of streams that are gone as well
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None  # for handlers, once shutting down
        self._due = 0.0  # when that is: a handle of uvloop's need not know
        self._reset_handlers: i64 = 0  # of these, handlers of requests that were reset
        self._push_handlers: i64 = 0  # of these, handlers of pushes
        self._max_handlers: i64 = most_handlers(self._limits)
        self._waiting: dict[int, Request] = {}  # held back until another handler returns, by stream
        self._start_due = False  # they will be looked at in the next turn of the event loop
        self._max_requests: i64 = bound(self._limits.max_requests_per_connection)
        self._prioritizes = False  # the client tells how urgent a response is, if not as usual

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Other factories than that of the loop itself may have to see each task.
        self._plain = self.loop.get_task_factory() is None
        self._eager = EAGER and self._plain
        if self._limits.allow_any_authority and not is_unix(transport):
            self._limits = replace(self._limits, allow_any_authority=False)
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
            # A push, made by the handler of another request: its context is not for this one.
            self._context.copy().run(self._start_handler, request, False)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        fresh = self._fresh
        if fresh and fresh[-1].stream == stream and self._http2:
            # Reset by the input that it came with (rapid reset): nobody has seen it, so nobody has
            # to be told why it ended, nor need it wait until all of the input has been read.
            fresh.pop()._ended = True
            del self._exchanges[stream]
        else:
            super().on_stream_end(stream, code, side)

    def on_upgrade(self, stream: int) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            cast(Request, exchange)._upgradable = True

    def write_push(self, stream: int, method: str, path: str, headers: Headers) -> None:
        # A push is never necessary, and its handler is not the client's doing.
        if self._push_handlers < self._max_handlers:
            super().write_push(stream, method, path, headers)

    def _count_requests(self, stream: int) -> None:
        """This may be the last request for this connection."""
        most = self._max_requests
        number = (stream + 1) // 2
        if number < most:
            return
        if not self._http2:
            if not self._draining:
                self._engine_shutdown()
        elif self._h2.goaway_ping and -self._h2.requests_left > self._max_streams:
            # It has been told, has not answered the PING that went with that, and asks on.
            self._engine_shutdown()

    def _retire(self) -> None:
        if self._http2:
            super()._retire()
            return
        # A response whose head has not been written says `connection: close`. Else that of the
        # next request does: to close between two of them could lose one that is under way.
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
            self._ranked = -1  # who said nothing meant something by that
        # > When receiving an HTTP request that does not carry these priority parameters, a server
        # > SHOULD act as if their default values were specified.   (RFC 9218 4)
        # Not on connections where nobody ever says anything: there, responses share what there is.
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
        if self._phase >= LOST:
            return  # nobody is there to be answered
        if self._eager and self._phase < FLUSHING:
            self._collect()
        for request in fresh:
            if not request._ended:  # a stream that was reset with the same input costs no task
                self._admit(request)
        if not self._eager and self._phase < FLUSHING:
            self._collect()  # not before: it goes out once those tasks have had their first turn
        elif self._collecting:
            self._flush()  # those that had nothing to wait for have run by now

    def _admit(self, request: Request) -> None:
        """Start the handler of a request, or hold the request back while too many handlers run."""
        if request._is_push:
            self._start_handler(request, self._eager)
        elif self._reset_handlers >= self._max_handlers:
            # Streams that are reset make room for new ones at once; their handlers do not.
            log.debug("too many handlers of streams that were reset still run: closing")
            if self._phase < FLUSHING:
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
            # It was started at once. What stops the loop must not stop the work on this input.
            self.loop.call_soon(throw, error, context=self._context)
            return
        if not task.done():  # as it may be by now, if it was started eagerly
            request._task = task
            self._tasks.add(task)

    def _make_task(self, work: Coroutine[Any, Any, None], eager: bool) -> asyncio.Task[None]:
        if not self._plain:
            return self.loop.create_task(work)
        task: asyncio.Task[None]
        if eager:
            task = make_task(work, loop=self.loop, name=TASK_NAME, eager_start=True)
        else:
            task = make_task(work, loop=self.loop, name=TASK_NAME)
        return task

    def _resume_waiting(self) -> None:
        """A handler has returned: start those of requests that were held back, in the next turn of
        the event loop, and not in the context of the one that returned."""
        if not self._start_due and self._phase < FLUSHING:
            self._start_due = True
            self.loop.call_soon(self._start_waiting, context=self._context)

    def _start_waiting(self) -> None:
        self._start_due = False
        while self._waiting and self._has_room() and self._phase < FLUSHING:
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
        """A handler has returned, or will never start."""
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
        if self._phase == lifecycle.CLOSED:
            if self._running == 0:
                self._finished()
        elif self._waiting:
            self._resume_waiting()

    def _crashed(self, request: Request, error: BaseException, work: object) -> bool:
        """See to a request whose handler has raised this; False if the task is to raise it too."""
        if isinstance(error, asyncio.CancelledError) and self._is_cancelled(request):
            self._abandon(request, CNO_RST_CANCEL)
            return False
        if isinstance(error, GeneratorExit) and self.loop.is_closed():
            return False  # nobody is left to be told
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
        """Whether somebody has cancelled the task that runs; else its handler let the cancellation
        of something else through, which is a failure like others."""
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
        """The client gets no response from the handler: say so."""
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
        """A handler has left its byte stream open: nobody will read or write there any more."""
        if request.stream in self._stalled:
            self._abandon(request, CNO_RST_CANCEL)
            return
        if not request._sent:
            request._sent = True
            self._post(Sending(request.stream, b"", True))
        if not request._ended:
            leftover.part(self, request)

    def _abandon(self, request: Request, code: int) -> None:
        """The response will never be complete."""
        if not request._ended and self._phase < FLUSHING:
            self.write_reset(request.stream, code)

    def _over(self, exchange: Exchange, clean: bool) -> None:
        request = cast(Request, exchange)
        if request._handler_state != HANDLER_RUNNING:
            if self._waiting:
                self._waiting.pop(request.stream, None)
            return
        task = request._task
        if clean or task is None or task.done() or task is current_task(self.loop):
            return  # what is left of its work is for nobody to end; or it has done this to itself
        if not request._is_push:
            request._reset_while_running = True
            self._reset_handlers += 1
        task.cancel()
        if not request._handler_started:
            self._done(request)
        elif self._waiting:
            self._resume_waiting()

    def _report(self, message: str, error: BaseException | None) -> None:
        # Not its task as well: Python 3.12 would enter the context of that, in which this runs.
        context: dict[str, Any] = {"message": f"cno: {message}", "protocol": self}
        if error is not None:
            context["exception"] = error
        self.loop.call_exception_handler(context)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection, after what is being written. Streams that are open end."""
        if self._http2 and self._state > H2_SETTINGS and self._phase < FLUSHING:
            # > An endpoint SHOULD always send a GOAWAY frame before closing a connection
            # > (RFC 9113 6.8)
            if self._h2.goaway_sent < 0:
                self.cork()
                final_goaway(self)
                self.uncork()
        super().close()

    def drain(self, timeout: float | None = None) -> None:
        """Shut down, if that has not happened yet; end what is not done in time: `timeout` seconds,
        or `Limits.shutdown_timeout` if that is less."""
        if self._phase < FLUSHING:
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
        """Time is up."""
        self._deadline = None
        if self._phase < LOST:
            self.abort()
        self.cancel_handlers()

    def cancel_handlers(self) -> None:
        """Cancel all handlers, those of streams that ended well included."""
        self._deadline = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            wait = self._limits.linger_timeout
            self._deadline = self.loop.call_later(wait, self._forget, context=self._context)

    def _forget(self) -> None:
        """Some handlers do not even end when they are cancelled: nobody can wait for them."""
        self._deadline = None
        if self._running == 0:
            return
        self._report(f"{self._running} handlers do not end although they were cancelled", None)
        if self._phase < LOST:
            self.abort()
        self._running = 0
        self._finished()

    def _is_idle(self) -> bool:
        return self._running == 0

    def _after_loss(self) -> None:
        if self._running == 0:
            self._finished()

    def _finished(self) -> None:
        """The connection is gone, and no handler is left."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._keeper is not None:
            self._keeper.finished(self)
