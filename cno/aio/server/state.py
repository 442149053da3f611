"""The state of a server's connection: its handlers, and the observer of its life.

Functions in other modules of this package are the behaviour. Must never know how connections are
accepted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connection.protocol import Connection
from cno.aio.server.proxy_header import AnnouncedClient
from cno.aio.server.request_state import RequestState
from cno.limits import UNBOUNDED, Limits, bound
from cno.settings import SettingsDict

# Placeholders where there is none, as on most connections most of the time. Not to be modified.
NO_REQUESTS: Final[list[RequestState]] = []
NONE_WAITING: Final[dict[int, RequestState]] = {}
NO_TASKS: Final[set[asyncio.Task[None]]] = set()
#: The default of `max_pending_handlers`.
USUAL_HANDLERS: Final = Limits().max_pending_handlers


def most_handlers(limits: Limits) -> int:
    """Return how many handlers may run: at least four for each stream by default."""
    most = limits.max_pending_handlers
    if most is None or most != USUAL_HANDLERS:
        return bound(most)
    streams = limits.max_concurrent_streams
    return UNBOUNDED if streams is None else max(most, 4 * streams)


@final
class Handlers:
    """The handlers of one connection."""

    def __init__(self, limits: Limits) -> None:
        self.new_requests = NO_REQUESTS  # in the input that is being parsed
        self.plain_tasks = False  # the loop has no task factory
        self.eager = False  # handlers start at once, before the loop's next iteration
        self.running: i64 = 0  # not returned yet, also those of closed streams
        # One of the tasks that run handlers, and the others. Most connections have one at a time.
        self.task: asyncio.Task[None] | None = None
        self.more_tasks = NO_TASKS
        self.most: i64 = most_handlers(limits)
        self.reset_running: i64 = 0  # running, and their request was reset
        self.pushes_running: i64 = 0  # running for pushes
        self.waiting = NONE_WAITING  # by stream, for other handlers to return
        self.start_due = False  # the next iteration of the event loop starts some of them
        self.most_requests: i64 = bound(limits.max_requests_per_connection)
        self.prioritizes = False  # the client has sent a priority
        self.deadline: asyncio.TimerHandle | None = None  # once the server is shutting down
        self.deadline_at = 0.0  # its time (handles of uvloop may not have it)

    def add_new(self, request: RequestState) -> None:
        """Add a request to those whose handlers start after the input that is being parsed."""
        if self.new_requests:
            self.new_requests.append(request)
        else:
            self.new_requests = [request]

    def take_new(self) -> list[RequestState]:
        """Return those requests, and forget them."""
        requests = self.new_requests
        self.new_requests = NO_REQUESTS
        return requests

    def add_task(self, task: asyncio.Task[None]) -> None:
        """Note that a task runs a handler."""
        if self.task is None:
            self.task = task
        elif self.more_tasks:
            self.more_tasks.add(task)
        else:
            self.more_tasks = {task}

    def discard_task(self, task: asyncio.Task[None]) -> None:
        """Note that it has ended."""
        if self.task is task:
            self.task = None
        elif self.more_tasks:
            self.more_tasks.discard(task)
            if not self.more_tasks:
                self.more_tasks = NO_TASKS  # an idle connection needs no room for them

    def all_tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks that run handlers."""
        first = [] if self.task is None else [self.task]
        return [*first, *self.more_tasks]

    def wait(self, request: RequestState) -> None:
        """Have the handler of a request wait for others to return."""
        if not self.waiting:
            self.waiting = {}
        self.waiting[request.stream] = request

    def has_room(self) -> bool:
        """Return whether one more handler may start."""
        return self.running - self.reset_running - self.pushes_running < self.most


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionObserver:
    """An observer of connections: the listener."""

    def opened(self, server: "ServerLink") -> None:
        """A connection has begun."""

    def finished(self, server: "ServerLink") -> None:
        """A connection has ended, and all its handlers have returned."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ServerLink(Connection):
    """A connection with the handlers of its requests."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        handle: Callable[[Any], Awaitable[object]],
        limits: Limits,
        settings: SettingsDict | None,
        observer: ConnectionObserver | None,
    ) -> None:
        super().__init__(True, loop, limits, settings)
        #: Takes a `Request`.
        self._handle: Callable[[Any], Awaitable[object]] = handle
        self._observer = observer
        self._handlers = Handlers(limits)
        self._announced_peer: AnnouncedClient | None = None  # from a PROXY header

    def _start_handler(self, request: RequestState, eager: bool) -> None:
        """Start the handler of a request."""

    def drain(self, timeout: float | None = None) -> None:
        """Shut down, and abort after a time."""

    def cancel_handlers(self) -> None:
        """Cancel all handlers."""


def peer_of(conn: ServerLink) -> tuple[str, int] | None:
    """Return the peer's host and port: those that a PROXY header announced, or the transport's.

    None on a Unix socket.
    """
    if conn._announced_peer is not None:
        return conn._announced_peer.address
    name = conn.transport.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return None
    return str(name[0]), int(name[1])
