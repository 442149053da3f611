"""HTTP/1.1 and HTTP/2 for uvicorn: `uvicorn --http cno.uvicorn:Protocol module:app`.

Knows what uvicorn gives a protocol class, and what it expects of one; uvicorn itself is not
imported. Its own tests pass, of its three newest minor versions (`python -m tests.suites uvicorn`).
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, cast
from urllib.parse import quote, unquote

from mypy_extensions import mypyc_attr

from cno.aio.connection import ending
from cno.aio.server.connection import SERVER_LIMITS, Request, Server
from cno.aio.server.request_state import RequestState
from cno.aio.server.state import peer_of
from cno.asgi.application import SORRY, Application
from cno.asgi.fields import to_text
from cno.asgi.http import HttpCycle
from cno.asgi.scope import ConnectionScope, version_of, websocket_scope
from cno.core import use
from cno.errors import ConnectionError
from cno.limits import Limits
from cno.websocket.handshake import is_websocket
from cno.websocket.options import Options

log: Final = logging.getLogger("uvicorn.error")
access: Final = logging.getLogger("uvicorn.access")

#: What uvicorn's own protocols say that they speak.
SPEC_VERSION: Final = "2.3"

#: Bytes of a request's body that wait for the application before reading is paused.
READ_BUFFER: Final = 65_536

#: uvicorn's level for what its own protocols trace.
TRACE: Final = 5

REFUSED: Final = b"Invalid HTTP request received."

NO_LIBRARY: Final = (
    "No supported WebSocket library detected. Please use \"pip install 'uvicorn[standard]'\", "
    "or install 'websockets' or 'wsproto' manually."
)


@mypyc_attr(allow_interpreted_subclasses=True)
class Protocol(Server):
    """A connection of uvicorn's server, in either protocol. uvicorn makes it, by keywords."""

    alpn_protocols: ClassVar[list[str]] = ["h2", "http/1.1"]

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config: Any = config
        self.server_state: Any = server_state
        self.app_state = app_state
        self.ws_protocol_class: Any = config.ws_protocol_class
        self._application = UvicornApplication(config, server_state, app_state)
        self._handed_over: Request | None = None  # asks for a WebSocket over HTTP/1.1
        super().__init__(
            _loop,
            self._application,
            limits=limits_of(config),
            settings={"enable_connect_protocol": int(self.ws_protocol_class is not None)},
            date=False,  # it is among uvicorn's default headers
        )
        use(self, error_content=REFUSED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.server_state.connections.add(self)
        super().connection_made(transport)
        trace(self, "made")

    def shutdown(self) -> None:
        super().shutdown()
        if not self._exchanges and not self._http2:
            self.close()

    def on_upgrade(self, stream: int) -> None:
        super().on_upgrade(stream)
        made_by = self.ws_protocol_class
        request = cast(Request, self._exchanges[stream])
        if made_by is not None and is_websocket(request):
            self._handed_over = request
            return
        log.warning("Unsupported upgrade request.")
        if made_by is None:
            log.warning(NO_LIBRARY)

    def _start_handler(self, request: RequestState, eager: bool) -> None:
        if request is self._handed_over:
            self._handed_over = None
            hand_over(self, request)
        else:
            super()._start_handler(request, eager)
            count(self.server_state, request)

    def _on_refusal(self, error: ConnectionError) -> None:
        log.warning("Invalid HTTP request received: %s", error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        trace(self, "lost")
        super().connection_lost(exc)


def hand_over(conn: Protocol, request: Request) -> None:
    """HTTP/1.1: leave the transport to the class that `--ws` names."""
    state = conn.server_state
    scope = websocket_scope(conn._application.shared_scope(conn), request)
    lines = [f"{request.method} {request.path} HTTP/1.1\r\n".encode()]
    lines += [name + b": " + value + b"\r\n" for name, value in scope["headers"]]
    lines.append(b"connection: upgrade\r\n\r\n")
    protocol = conn.ws_protocol_class(
        config=conn.config, server_state=state, app_state=conn.app_state
    )
    state.connections.discard(conn)
    ending.detach(conn)
    protocol.connection_made(conn.transport)
    protocol.data_received(b"".join(lines))
    conn.transport.set_protocol(protocol)


def trace(conn: Protocol, event: str) -> None:
    """Log the beginning or the end of a connection, as uvicorn does at its level TRACE."""
    if log.isEnabledFor(TRACE):
        peer = peer_of(conn)
        prefix = f"{peer[0]}:{peer[1]} - " if peer else ""
        log.log(TRACE, f"{prefix}HTTP connection {event}")


def count(server_state: Any, request: RequestState) -> None:
    """Count a request once it is done, and have uvicorn wait for its task, if it still runs."""
    task = request._task
    if task is None:
        server_state.total_requests += 1
    else:
        if request._handler_started:
            server_state.tasks.add(task)  # else in its first step, after those before it
        task.add_done_callback(partial(counted, server_state))


def counted(server_state: Any, task: asyncio.Task[None]) -> None:
    server_state.tasks.discard(task)
    server_state.total_requests += 1


def limits_of(config: Any) -> Limits:
    """Return the limits that a configuration of uvicorn asks for."""
    limits = replace(
        SERVER_LIMITS, keepalive_timeout=float(config.timeout_keep_alive), read_buffer=READ_BUFFER
    )
    head = config.h11_max_incomplete_event_size
    if head is not None:
        limits = replace(limits, max_line_size=head, max_header_list_size=head)
    return limits


class UvicornApplication(Application):
    """Calls the application that uvicorn has loaded, and counts and logs as uvicorn does."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any]) -> None:
        super().__init__(
            config.loaded_app,
            root_path=config.root_path,
            state=app_state,
            headers=[],
            websocket=None
            if config.ws_protocol_class is None
            else Options(
                max_message_size=config.ws_max_size,
                max_queue=config.ws_max_queue,
                ping_interval=config.ws_ping_interval,
                ping_timeout=config.ws_ping_timeout,
                compression=config.ws_per_message_deflate,
            ),
            version=config.asgi_version,
            spec_version=SPEC_VERSION,
            silent=True,
            log=log,
            on_start=log_access if config.access_log and access.hasHandlers() else None,
        )
        self._limit: int | None = config.limit_concurrency
        self._server_state = server_state
        self._raw_headers: object = None  # uvicorn's default headers, as they were last

    def __call__(self, request: Request) -> Coroutine[Any, Any, None]:
        state = self._server_state
        if self._raw_headers is not state.default_headers:
            # uvicorn makes a new list each second.
            self._raw_headers = state.default_headers
            self.headers = to_text(state.default_headers, True)
        limit = self._limit
        if limit is not None and (len(state.connections) >= limit or len(state.tasks) >= limit):
            log.warning("Exceeded concurrency limit.")
            return self._refuse(request, 503, b"Service Unavailable")
        if request._task is not None:
            state.tasks.add(request._task)
        return super().__call__(request)

    def websocket_options(self, request: Request) -> Options | None:
        return self._options if request.conn.is_http2 else None

    def takes_back(self, cycle: HttpCycle) -> bool:
        return cycle.status == 0  # as in uvicorn, it is too late once the response has begun

    async def apologize(self, cycle: HttpCycle) -> None:
        await self._refuse(cycle.request, 500, SORRY)

    def failed(self, cycle: HttpCycle) -> None:
        super().failed(cycle)
        if not cycle.request.conn.is_http2:
            cycle.request.conn.close()

    async def _refuse(self, request: Request, status: int, text: bytes) -> None:
        fields = [*self.headers, ("content-type", "text/plain; charset=utf-8")]
        fields.append(("content-length", str(len(text))))
        if not request.conn.is_http2:
            fields.append(("connection", "close"))
        await request.respond(status, fields, text)


def log_access(cycle: HttpCycle, status: int) -> None:
    """Write the line of uvicorn's access log for a response that begins."""
    request = cycle.request
    shared = request.conn._adapter
    client = shared.common["client"] if isinstance(shared, ConnectionScope) else None
    path, mark, query = request.path.partition("?")
    access.info(
        '%s - "%s %s HTTP/%s" %d',
        f"{client[0]}:{client[1]}" if client else "",
        request.method,
        quote(unquote(path)) + mark + query,
        version_of(request),
        status,
    )
