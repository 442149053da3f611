"""An ASGI application as a server process runs it: counted, refused when there are too many
requests, and recorded for the access log.

Knows requests and how many there are. Must never know sockets, processes, or a line of a log.
"""

import time
from collections.abc import Callable
from typing import Final

from cno.aio.fields import Headers
from cno.aio.server.connection import Request
from cno.aio.server.state import peer_of
from cno.asgi.handler import Handler
from cno.asgi.http import HttpCycle
from cno.asgi.lifespan import App
from cno.asgi.scope import version_of
from cno.asgi.websocket import WebSocketCycle
from cno.websocket.options import DEFAULT, Options

BUSY: Final = b"Service Unavailable"


class Record:
    """One response for the access log. `at`: seconds since the epoch, at its end; `seconds` since
    the request; `size`: bytes of its body; `status` is 0 if there was none."""

    def __init__(
        self,
        request: Request,
        version: str,
        status: int,
        size: int,
        seconds: float,
        fields: Headers,
    ) -> None:
        self.at = time.time()
        self.client = peer_of(request.conn)
        self.method = request.method
        self.target = request.path
        self.scheme = request.conn.scheme
        self.headers = request.headers
        self.version = version
        self.status = status
        self.size = size
        self.seconds = seconds
        self.fields = fields


OnRecord = Callable[[Record], None]


class HostedHandler(Handler):
    """A handler that records each response, if there is an `on_record`."""

    def __init__(
        self,
        app: App,
        *,
        root_path: str = "",
        lifespan: str = "auto",
        headers: Headers | None = None,
        websocket: Options | None = DEFAULT,
        on_record: OnRecord | None = None,
    ) -> None:
        self._on_record = on_record
        recorded = on_record is not None
        super().__init__(
            app,
            root_path=root_path,
            lifespan=lifespan,
            headers=headers,
            websocket=websocket,
            on_end=self._record if recorded else None,
        )

    def _record(self, cycle: HttpCycle) -> None:
        if self._on_record is not None:
            request = cycle.request
            seconds = request.conn.loop.time() - cycle.begun
            self._on_record(
                Record(request, cycle.version, cycle.status, cycle.sent, seconds, cycle.fields)
            )

    def websocket_ended(self, cycle: WebSocketCycle) -> None:
        if self._on_record is not None:
            request = cycle.request
            seconds = request.conn.loop.time() - cycle.begun
            version = "2" if request.conn.is_http2 else "1.1"
            self._on_record(Record(request, version, cycle.status(), 0, seconds, []))


class CountingHandler(HostedHandler):
    """A handler that counts requests.

    It answers 503 while there are more than `limit` connections (`count_connections` returns their
    number), or `limit` requests run. It calls `on_full` after `max_requests` requests.
    """

    def __init__(
        self,
        app: App,
        *,
        root_path: str = "",
        lifespan: str = "auto",
        headers: Headers | None = None,
        websocket: Options | None = DEFAULT,
        on_record: OnRecord | None = None,
        limit: int | None = None,
        count_connections: Callable[[], int],
        max_requests: int | None = None,
        on_full: Callable[[], None],
    ) -> None:
        super().__init__(
            app,
            root_path=root_path,
            lifespan=lifespan,
            headers=headers,
            websocket=websocket,
            on_record=on_record,
        )
        self.running = 0
        self.total = 0
        self._limit = limit
        self._count_connections = count_connections
        self._max_requests = max_requests
        self._on_full = on_full

    async def __call__(self, request: Request) -> None:
        self.total += 1
        if self.total == self._max_requests:
            self._on_full()
        limit = self._limit
        if limit is not None and (self.running >= limit or self._count_connections() > limit):
            await self._refuse(request)
            return
        self.running += 1
        try:
            await super().__call__(request)
        finally:
            self.running -= 1

    async def _refuse(self, request: Request) -> None:
        fields: Headers = [
            *self.headers,
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(BUSY))),
        ]
        if not request.conn.is_http2:
            fields.append(("connection", "close"))
        if self._on_record is not None:
            version = version_of(request)
            self._on_record(Record(request, version, 503, len(BUSY), 0.0, fields))
        await request.respond(503, fields, BUSY)
