"""Calls an ASGI application for each request, and answers for it where it fails.

Knows which of its kinds a request is. Must never know the messages of either.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from cno.aio.fields import Headers
from cno.aio.server import failures
from cno.aio.server.connection import Request
from cno.aio.server.response_writer import held_heads
from cno.aio.server.state import ServerLink
from cno.asgi.http import COMPLETE, NOTHING_SENT, HttpCycle, OnEnd, OnStart
from cno.asgi.lifespan import App, Receive, Send
from cno.asgi.scope import (
    SPEC_VERSION,
    ConnectionScope,
    Scope,
    http_scope,
    version_of,
    websocket_scope,
)
from cno.asgi.websocket import WebSocketCycle, refuse
from cno.const import CNO_RST_INTERNAL_ERROR
from cno.websocket.errors import HandshakeError
from cno.websocket.handshake import Handshake, is_websocket
from cno.websocket.options import DEFAULT, Options

SORRY: Final = b"Internal Server Error"
#: What follows an error that most often has this cause, of which compiled coroutines do not warn.
FORGOTTEN: Final = "(Was an `await` of `send` forgotten?)"


class Application:
    """A handler that calls an ASGI 3 application.

    `root_path` is where it is mounted, `state` what its lifespan has left, `headers` are added to
    each response, `websocket` are the options of WebSockets (None: requests for them are like
    others). With `silent`, nothing is raised for what is sent to a client that has gone, as in
    version 2.3 of the specification. `on_start` is called with the status of each response as it
    begins, `on_end` with each one that has ended, complete or not.
    """

    def __init__(
        self,
        app: App,
        *,
        root_path: str,
        state: dict[str, object],
        headers: Headers,
        websocket: Options | None = DEFAULT,
        version: str = "3.0",
        spec_version: str = SPEC_VERSION,
        silent: bool = False,
        log: logging.Logger,
        on_start: OnStart | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        self.headers = headers
        self._app: Callable[[Scope, Receive, Send], Awaitable[object]] = app
        self._root_path = root_path
        self._state = state
        self._options = websocket
        self._versions = {"version": version, "spec_version": spec_version}
        self._silent = silent
        self._log = log
        self._on_start = on_start
        self._on_end = on_end

    def __call__(self, request: Request) -> Coroutine[Any, Any, None]:
        """Run the application for one request."""
        shared = self.shared_scope(request.conn)
        if request.method == "GET" or request.method == "CONNECT":
            options = self.websocket_options(request)
            if options is not None and is_websocket(request):
                return self._run_websocket(shared, request, options)
            if request.method == "CONNECT":
                return request.respond(501, [("content-length", "0")])  # ASGI has no tunnels
        return self._run_http(shared, request)

    def websocket_options(self, request: Request) -> Options | None:
        """Return the options of a WebSocket that this request may ask for; None: there is none."""
        return self._options

    def shared_scope(self, conn: ServerLink) -> ConnectionScope:
        """Return what the scopes of all requests of a connection share."""
        found = conn._adapter
        if isinstance(found, ConnectionScope):
            return found
        made = ConnectionScope(conn, self._root_path, self._state, self._versions)
        if not made.http2:
            made.held = held_heads(conn.loop)
        conn.attach(made)
        return made

    async def _run_http(self, shared: ConnectionScope, request: Request) -> None:
        cycle = HttpCycle(request, self.headers, self._on_start, self._silent, self._on_end)
        if self._on_end is not None:
            cycle.begun = request.conn.loop.time()
            cycle.version = version_of(request)
        request.observe(cycle)
        cycle.held = shared.held
        if shared.http2:
            cycle.waits()  # it may wait: a flush is scheduled already, for all streams
        problem: Exception | None = None
        try:
            work: Any = self._app(http_scope(shared, request), cycle.receive, cycle.send)
            if work is None:
                raise TypeError("an ASGI application must be awaitable, and this one returned None")
            result = await work
            if result is not None:
                self._log.error("ASGI callable should return None, but returned '%s'.", result)
                self.failed(cycle)
                return
        except Exception as error:
            problem = error
        finally:
            request.observe(None)
        if problem is not None:
            if failures.says_gone(problem, request):
                self._log.debug("%r: %s", request, problem)
                return
            self._log.error("Exception in ASGI application\n", exc_info=problem)
            problem = None
        elif cycle._state == COMPLETE or request._ended:
            return
        else:
            what = "starting" if cycle._state == NOTHING_SENT else "completing"
            self._log.error(f"ASGI callable returned without {what} response. {FORGOTTEN}")
        if not request._ended and self.takes_back(cycle):
            await self.apologize(cycle)
        else:
            self.failed(cycle)

    def takes_back(self, cycle: HttpCycle) -> bool:
        """Take back what the application has sent; return False if it is too late for a 500."""
        return cycle.take_back()

    async def apologize(self, cycle: HttpCycle) -> None:
        """Send the client a 500: nothing has been written yet."""
        text = [("content-type", "text/plain; charset=utf-8")]
        cycle.status = 500
        cycle.sent = len(SORRY)
        cycle.ended()
        await cycle.request.respond(500, [*self.headers, *text], SORRY)

    def failed(self, cycle: HttpCycle) -> None:
        """Have the client see that the response is not complete."""
        request = cycle.request
        if cycle._state != COMPLETE and not request._ended:
            request.conn.write_reset(request.stream, CNO_RST_INTERNAL_ERROR)
            cycle.ended()

    # -- WebSockets ------------------------------------------------------------------------------

    async def _run_websocket(
        self, shared: ConnectionScope, request: Request, options: Options
    ) -> None:
        try:
            handshake = Handshake(request)
        except HandshakeError as error:
            await refuse(request, error)
            return
        cycle = WebSocketCycle(handshake, self.headers, options)
        request.observe(cycle)
        problem: BaseException | None = None
        try:
            await self._app(websocket_scope(shared, request), cycle.receive, cycle.send)
        except BaseException as failure:
            problem = failure
        request.observe(None)
        if problem is None:
            complaint = cycle.returned()
            if complaint:
                self._log.error(f"{complaint} {FORGOTTEN}")
        elif not isinstance(problem, Exception):
            cycle.give_up()
            try:
                raise problem
            finally:
                problem = None
        elif failures.says_gone(problem, request):
            self._log.debug("%r: %s", request, problem)
        else:
            self._log.error("Exception in ASGI application\n", exc_info=problem)
            cycle.give_up()
        problem = None
        if cycle.is_unanswered() and not request._ended:
            await request.respond(500, [("content-length", "0")])
        await cycle.wait_closed()
        self.websocket_ended(cycle)

    def websocket_ended(self, cycle: WebSocketCycle) -> None:
        """Note that a WebSocket is closed, or was refused."""
