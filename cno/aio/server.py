"""A server's connection: requests become tasks that run the handler.

Knows when a handler starts, what becomes of it when its stream ends, and what the client gets when
it fails. Must never know how a response is put together, or how connections are accepted.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio import leftover
from cno.aio.arguments import check_handler, check_limits
from cno.aio.connection import Connection, Exchange, current_task
from cno.aio.messages import WORKED, WORKS, Request
from cno.aio.output import Headers, Sending, log
from cno.aio.shared import TASK_NAME, Shared
from cno.const import (
    CNO_RST_CANCEL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_INTERNAL_ERROR,
)
from cno.errors import ConnectionError
from cno.limits import UNBOUNDED, Limits, bound
from cno.priority import SHARED, parse_fields, rank
from cno.settings import SettingsDict

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, None]]

#: A server reads bodies from many at once: windows of 256 KiB per stream, 1 MiB in all.
SERVER_LIMITS: Final = Limits(initial_window_size=262_144, connection_window=1_048_576)

#: From Python 3.12 on, tasks can run at once until they have to wait: most handlers never have to.
EAGER: Final = sys.version_info >= (3, 12)
#: What `loop.create_task` makes. Made here, and without a number of its own in its name, a task
#: takes a quarter less: that is a twentieth of a small request.
make_task: Final[Any] = asyncio.Task


#: What `max_pending_handlers` is unless told.
USUAL_HANDLERS: Final = Limits().max_pending_handlers


def most_handlers(limits: Limits) -> int:
    """How many may run or wait: never fewer than streams may be open, unless that was asked for."""
    most = limits.max_pending_handlers
    if most is None or most != USUAL_HANDLERS:
        return bound(most)
    streams = limits.max_concurrent_streams
    return UNBOUNDED if streams is None else max(most, 4 * streams)


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

    `handle` is `async def handle(request: cno.Request) -> None`, run in a task for each request;
    those that never wait, and leave their task as it was, may have run in the same one.
    It is cancelled when the client resets the stream or is gone; when it raises, the client gets
    a 500, or a reset if a response had begun, and the loop's exception handler is told.

    A plain function that returns an awaitable will do; TypeError is raised where it cannot be one.

    `loop` may be left out. `settings` is what `configure` takes; `limits` are by default those of
    `cno.Limits` with windows of 256 KiB per stream and 1 MiB in all.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | Handler | None = None,
        handle: Handler | None = None,
        *,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
        keeper: Keeper | None = None,
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
            SERVER_LIMITS if limits is None else limits,
            settings,
        )
        self._handle: Handler = handle
        self._keeper = keeper
        self._fresh: list[Request] = []  # came with the input that is being read
        self._plain = False  # the loop has no task factory
        self._eager = False  # handlers start at once, and cost a turn of the loop if they wait
        self._running: i64 = 0  # handlers that have not returned, of streams that are gone as well
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline: asyncio.TimerHandle | None = None  # for handlers, once shutting down
        self._due = 0.0  # when that is: a handle of uvloop's need not know
        self._slots: i64 = 0  # requests whose stream is open, or whose handler runs
        self._max_slots: i64 = most_handlers(self._limits)
        self._max_requests: i64 = bound(self._limits.max_requests_per_connection)
        self._prioritizes = False  # the client tells how urgent a response is, if not as usual

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Other factories than that of the loop itself may have to see each task.
        self._plain = self.loop.get_task_factory() is None
        self._eager = EAGER and self._plain
        super().connection_made(transport)
        if self._keeper is not None:
            self._keeper.opened(self)

    # -- events ----------------------------------------------------------------------------------

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        request = Request(self, stream, method, path, headers)
        self._exchanges[stream] = request
        if stream >= self._max_requests:
            self._count_requests(stream)
        if self._busy:
            self._fresh.append(request)
        else:
            # A push, made by the handler of another request: its context is not for this one.
            self._context.copy().run(self._spawn, request, False)

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
        if not self._prioritizes and (said is not None or self._h2.priorities_told != 0):
            self._prioritizes = True
            self._ranked = -1  # who said nothing meant something by that
        # > When receiving an HTTP request that does not carry these priority parameters, a server
        # > SHOULD act as if their default values were specified.   (RFC 9218 4)
        # Not on connections where nobody ever says anything: there, responses share what there is.
        hint = None if request._reply is None else parse_fields(request._reply)
        found = rank(said, hint, self._prioritizes)
        # > ... servers SHOULD allocate some amount of bandwidths to streams acting as tunnels.
        return found | 1 if request._tunnel else found

    # -- handlers --------------------------------------------------------------------------------

    def _begin_work(self) -> None:
        if not self._fresh:
            return
        fresh = self._fresh
        self._fresh = []
        if self._gone:
            return  # nobody is there to be answered
        if self._eager and not self._closing:
            self._collect()
        count = len(fresh)
        if count > 1 and self._plain and self._slots + count <= self._max_slots:
            self._spawn_all(fresh)
        else:
            for request in fresh:
                # A stream that was reset with the same input never costs a task.
                if not request._ended:
                    self._spawn(request, self._eager)
        if not self._eager and not self._closing:
            self._collect()  # not before: it goes out once those tasks have had their first turn
        elif self._collecting:
            self._flush()  # those that had nothing to wait for have run by now

    def _spawn(self, request: Request, eager: bool) -> None:
        if self._admit(request):
            self._start_alone(request, eager)

    def _spawn_all(self, requests: list[Request]) -> None:
        """Start what came with one input: in one task, as far as that goes."""
        batch = [each for each in requests if not each._ended and self._admit(each)]
        if not batch:
            return
        batch.reverse()  # to be popped
        self._make_task(self._run_in_turn(batch), self._eager)
        if self._eager:
            self._start_rest(batch)
        else:
            self.loop.call_soon(self._start_rest, batch, context=self._context)

    def _start_rest(self, batch: list[Request]) -> None:
        """One of them waits, or has left a trace: each of the others has a task of its own."""
        while batch:
            request = batch.pop()
            if request._work == WORKS:
                self._start_alone(request, self._eager)

    def _admit(self, request: Request) -> bool:
        """Count a handler that is to run, unless there are too many."""
        if self._slots >= self._max_slots:
            # Streams that are reset make room for new ones at once; their handlers do not.
            log.debug("too many handlers of streams that are gone still run: closing")
            if not self._closing:
                self.write_reset(0, CNO_RST_ENHANCE_YOUR_CALM)
            return False
        self._slots += 1
        self._running += 1
        request._work = WORKS
        return True

    def _start_alone(self, request: Request, eager: bool) -> None:
        task = self._make_task(self._run(request), eager)
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

    async def _run_in_turn(self, batch: list[Request]) -> None:
        """Run handlers one after the other, the last of the list first, while none of them waits:
        who does will find the list empty. (See `cno.aio.shared`.)"""
        shared = Shared(current_task(self.loop))
        shared.mark()
        try:
            while batch:
                request = batch.pop()
                if request._work != WORKS:
                    continue  # its stream has ended meanwhile
                request._task = shared.task
                self._tasks.add(shared.task)
                await self._run(request)
                if batch and not shared.untouched():
                    return
        finally:
            shared.task = None  # else the traceback of a task that was cancelled would hold it

    async def _run(self, request: Request) -> None:
        request._begun = True
        work: Any = request  # unless the handler returns something
        try:
            work = self._handle(request)
            await work
        except asyncio.CancelledError:
            self._abandon(request, CNO_RST_CANCEL)
            raise
        except Exception as error:
            self._crashed(request, error, work)
        else:
            self._returned(request)
        finally:
            self._done(request)

    def _done(self, request: Request) -> None:
        """A handler has returned, or will never start."""
        self._running -= 1
        request._work = WORKED
        if request._ended:
            self._slots -= 1
        task = request._task
        request._task = None
        if task is not None:
            self._tasks.discard(task)
        if self._loss_told and self._running == 0:
            self._finished()

    def _crashed(self, request: Request, error: Exception, work: object) -> None:
        if request._ended and isinstance(error, ConnectionError):
            log.debug("%r: %s", request, error)  # it was told that the client has gone
            return
        told = f"the handler of {request!r} failed"
        if isinstance(error, TypeError) and work is not request and not inspect.isawaitable(work):
            told = f"the handler of {request!r} is not `async def`, and returned no awaitable"
        self._report(told, error)
        self._apologize(request)

    def _returned(self, request: Request) -> None:
        if request._ended:
            return
        if not request._answered:
            self._report(f"the handler of {request!r} returned without a response", None)
            self._apologize(request)
        elif request._tunnel:
            self._close_tunnel(request)
        elif not request._sent:
            self._abandon(request, CNO_RST_INTERNAL_ERROR)
        elif not request._complete:
            leftover.part(self, request)

    def _apologize(self, request: Request) -> None:
        """The client gets no response from the handler: say so."""
        if request._ended:
            return
        if request._answered:
            self._abandon(request, CNO_RST_INTERNAL_ERROR)
            return
        request._answered = True
        request._sent = True
        sorry = Sending(request.stream, b"", True)
        sorry.code = 500
        sorry.headers = [("content-length", "0")]
        self._post(sorry)
        if not request._complete:
            leftover.part(self, request)

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
        if not request._ended and not self._closing:
            self.write_reset(request.stream, code)

    def _over(self, exchange: Exchange, clean: bool) -> None:
        request = cast(Request, exchange)
        if request._work == WORKED:
            self._slots -= 1
        if clean:
            return
        task = request._task
        if task is None or task.done():
            if request._work == WORKS and not request._begun:
                self._done(request)  # its turn has not come, and never will
            return
        if task is current_task(self.loop):
            return  # it has done this to itself
        task.cancel()
        if not request._begun:
            self._done(request)

    def _report(self, message: str, error: Exception | None) -> None:
        # Not its task as well: Python 3.12 would enter the context of that, in which this runs.
        context: dict[str, Any] = {"message": f"cno: {message}", "protocol": self}
        if error is not None:
            context["exception"] = error
        self.loop.call_exception_handler(context)

    # -- the end ---------------------------------------------------------------------------------

    def drain(self, timeout: float | None = None) -> None:
        """Shut down, if that has not happened yet; end what is not done in time: `timeout` seconds,
        or `Limits.shutdown_timeout` if that is less."""
        if not self._closing:
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
        if not self._gone:
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
        if not self._gone:
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
