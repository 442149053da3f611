"""A server's connection: it runs the handler in a task for each request.

Knows when a handler starts, when it is cancelled, and the response to a failure. Must never know
how a response is composed, or how connections are accepted.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio.arguments import check_handler, check_limits
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers
from cno.aio.messages import Request
from cno.aio.server import handlers, outcome, ranks, retirement, shutdown
from cno.aio.server.request_state import RequestState
from cno.aio.server.state import ConnectionObserver, ServerLink
from cno.const import CNO_RST_INTERNAL_ERROR
from cno.core import H2_SETTINGS, use
from cno.date import SYSTEM
from cno.h2.send import final_goaway
from cno.limits import Limits, with_windows
from cno.settings import SettingsDict

#: A handler of requests. The result of the awaitable is ignored.
Handler: TypeAlias = Callable[[Request], Awaitable[object]]

#: Limits of a server, which reads many bodies at once: 256 KiB a stream, 1 MiB in total.
SERVER_LIMITS: Final = Limits(
    initial_window_size=262_144, connection_window=1_048_576, max_unread_window=4_194_304
)

#: From Python 3.12 on, a task can run at once until it first waits. Most handlers never wait.
EAGER: Final = sys.version_info >= (3, 12)


def is_unix(transport: asyncio.BaseTransport) -> bool:
    """Return whether a transport writes to a Unix socket."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", -1)


@mypyc_attr(allow_interpreted_subclasses=True)
class Server(ServerLink):
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
        observer: ConnectionObserver | None = None,
        date: bool = True,
    ) -> None:
        if handle is None:
            if loop is None or isinstance(loop, asyncio.AbstractEventLoop):
                raise TypeError("Server() needs a handler")
            handle = loop
            loop = None
        if observer is None:  # the observer has checked them once for all connections
            check_handler(handle)
            check_limits(limits)
        super().__init__(
            cast("asyncio.AbstractEventLoop | None", loop),
            handle,
            SERVER_LIMITS if limits is None else with_windows(limits, SERVER_LIMITS),
            settings,
            observer,
        )
        if date:
            use(self, dates=SYSTEM)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A task factory of the application must create each task.
        self._handlers.plain_tasks = self.loop.get_task_factory() is None
        self._handlers.eager = EAGER and self._handlers.plain_tasks
        if self._limits.allow_any_authority and not is_unix(transport):
            use(self, limits=replace(self._limits, allow_any_authority=False))
        super().connection_made(transport)
        if self._observer is not None:
            self._observer.opened(self)

    # -- events ----------------------------------------------------------------------------------

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        request = Request(self, stream, method, path, headers)
        request._is_push = stream & 1 == 0
        self._exchanges[stream] = request
        if stream >= self._handlers.most_requests:
            retirement.count(self, stream)
        if self._intake.parsing:
            self._handlers.new_requests.append(request)
        else:
            # A push by the handler of another request: do not use that handler's context.
            self._context.copy().run(self._start_handler, request, False)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        fresh = self._handlers.new_requests
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
        if self._handlers.pushes_running < self._handlers.most:
            super().write_push(stream, method, path, headers)

    # -- handlers --------------------------------------------------------------------------------

    def _unsent(self, stream: int, error: Exception) -> None:
        super()._unsent(stream, error)
        request = self._exchanges.get(stream)
        if request is not None:
            outcome.abandon(self, cast(Request, request), CNO_RST_INTERNAL_ERROR)

    def _start_handler(self, request: RequestState, eager: bool) -> None:
        handlers.start(self, request, eager)

    def _begin_work(self) -> None:
        handlers.begin(self)

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        handlers.stream_ended(self, exchange, clean)

    def _rank_of(self, stream: int) -> i64:
        return ranks.of_stream(self, stream)

    def _retire(self) -> None:
        if self._http2:
            super()._retire()
        else:
            retirement.announce(self)

    def cancel_handlers(self) -> None:
        """Cancel all handlers, also those of streams that ended normally."""
        shutdown.cancel(self)

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
        shutdown.drain(self, timeout)

    def _is_idle(self) -> bool:
        return self._handlers.running == 0

    def _after_loss(self) -> None:
        if self._handlers.running == 0:
            shutdown.finished(self)
