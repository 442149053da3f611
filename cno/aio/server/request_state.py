"""The state of a request at a server: its handler, and how far its response is.

The base of `Request`, which adds what applications call. Must never know when a handler starts.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from mypy_extensions import i64

from cno.aio.channel import Channel
from cno.aio.connection.exchange import EndObserver
from cno.aio.connection.protocol import Connection
from cno.aio.fields import Headers
from cno.aio.incoming import IncomingMessage
from cno.aio.tunnel import Tunnel

# The state of a request's handler.
HANDLER_PENDING: Final = 0  # it has not been called
HANDLER_RUNNING: Final = 1
HANDLER_DONE: Final = 2  # it has returned


class RequestState(IncomingMessage):
    """One request at a server."""

    def __init__(
        self, conn: Connection, stream: int, method: str, path: str, headers: Headers
    ) -> None:
        super().__init__(conn, stream, headers)
        self.method = method
        self.path = path
        self._handler_started = False  # the handler has been called
        self._handler_state: i64 = HANDLER_PENDING
        self._is_push = False  # the server itself made the request, by a push
        self._reset_while_running = False  # the stream was reset while the handler ran
        self._channel: Channel[bytes] | None = None  # the body of the response
        self._response_headers: Headers | None = None  # the headers of the response
        self._response_begun = False  # the response has begun
        self._code: i64 = 0  # the status of the response
        self._upgradable = False  # HTTP/1.1: the client asks for another protocol
        self._task: asyncio.Task[None] | None = None
        self._observer: EndObserver | None = None  # if set, the task is not cancelled

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path!r} stream={self.stream}>"

    def _draining(self) -> None:
        if self._observer is not None:
            self._observer.draining()
        else:
            super()._draining()

    async def upgrade(self, headers: Iterable[tuple[str, str]] = ()) -> Tunnel:
        """Turn the stream into a byte stream: see `Request.upgrade`."""
        raise NotImplementedError
