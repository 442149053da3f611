"""`Request`, `Response` and `Push`: the objects that applications work with.

Knows how a connection writes a message, and which parts HTTP requires of it. Must never know when
a handler runs, or who made the connection.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from mypy_extensions import i64

from cno.aio.channel import Channel
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.protocol import Connection
from cno.aio.connection.timeouts import is_greeting
from cno.aio.errors import StatusError, fresh
from cno.aio.fields import Headers
from cno.aio.fields import value_of as value_of
from cno.aio.incoming import IncomingMessage
from cno.aio.sources import Body as Body
from cno.aio.tunnel import Tunnel as Tunnel
from cno.aio.waiters import wake
from cno.const import CNO_FRAME_PRIORITY_UPDATE, CNO_RST_CANCEL
from cno.errors import UsageError
from cno.priority import DEFAULT_URGENCY

if TYPE_CHECKING:
    from cno.aio.client.connection import Client


class Response(IncomingMessage):
    """The response to a request.

    `code` is the status, `headers` are the fields, `payload` is the body, an
    `asyncio.StreamReader`. `conn` is the connection, `stream` the id of the stream. `reason` is the
    reason phrase in HTTP/1.1; in HTTP/2, which has none, it is '' (RFC 9113 8.3.2).

    `informational` has the first `Limits.max_informational` interim (1xx) responses, as (code,
    headers). `trailers` is None until the body is complete, and if it has none. `pushed` iterates
    over the pushes of the server. Leaving `async with` cancels the rest of the response.
    """

    def __init__(
        self, conn: Connection, stream: int, observer: RequestObserver | None = None
    ) -> None:
        super().__init__(conn, stream, [])
        self.code = 0
        self.reason = ""
        self.informational: list[tuple[int, Headers]] = []
        self._interim_count: i64 = 0  # interim responses received, kept or not
        self._sent_at = 0.0  # when the request was sent, by the loop's clock; HTTP/2 only
        self._sent_mark: i64 = 0  # the connection's count of inputs by then
        self._reused = False  # the connection had delivered a response before the request was sent
        self._head: asyncio.Future[None] | None = None
        self._proceed: asyncio.Future[None] | None = None  # an upload waits for 100 (Continue)
        self._got_100 = False  # a 100 has been received
        self._body_withheld = False  # the body of the request is never sent
        self._upload: asyncio.Task[None] | None = None
        self._channel: Channel[bytes] | None = None  # the body of the request
        self._pushes: Pushes | None = None
        self._late_since = 0.0  # since when the head or a push is awaited; 0: it is not
        self._late_mark: i64 = 0  # the connection's count of inputs by then
        self._observer = observer

    def __repr__(self) -> str:
        return f"<Response {self.code} stream={self.stream}>"

    @property
    def conn(self) -> "Client":
        """The connection that receives the response."""
        return cast("Client", self._conn)

    @property
    def pushed(self) -> "Pushes":
        """The pushes of this response, until its stream ends.

        Of the pushes that you do not take from here, only a part is received.
        """
        if self._pushes is None:
            self._pushes = Pushes(self._conn, self._ended)
        return self._pushes

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream unless it has ended. In HTTP/1.1, this closes the connection."""
        if not self._ended and self._conn._life.phase < LOST:
            self._conn.write_reset(self.stream, code)
        if self._pushes is not None:
            self._pushes.cancel()

    def reprioritize(self, urgency: int = DEFAULT_URGENCY, incremental: bool = False) -> None:
        """Change the priority of this response. `urgency` is 0 (most urgent) to 7.

        `incremental` means that parts of the body are useful by themselves. A request can state its
        priority from the start by a field: `("priority", "u=1, i")`.

        Does nothing over HTTP/1.1, if the server has not announced that it supports this, and after
        the response is complete. Raises UsageError for another urgency. (RFC 9218 7.1, 2.1.1)
        """
        if urgency < 0 or urgency > 7:
            raise UsageError(
                f"urgency {urgency} is not 0 to 7", stream=self.stream, rule="RFC 9218 4.1"
            )
        conn = self._conn
        if self._ended or self._complete or not conn._http2:
            return
        # > ... if the client receives SETTINGS_NO_RFC7540_PRIORITIES with a value of 0 or if the
        # > settings parameter was absent, it SHOULD stop sending PRIORITY_UPDATE frames
        if conn._remote._no_rfc7540_priorities or is_greeting(conn):
            value = f"u={urgency}, i" if incremental else f"u={urgency}"
            payload = self.stream.to_bytes(4, "big") + value.encode()
            conn.write_frame(CNO_FRAME_PRIORITY_UPDATE, 0, 0, payload)

    def raise_for_status(self) -> "Response":
        """Raise StatusError if the status is 400 or more; otherwise return this response."""
        if self.code >= 400:
            raise StatusError(self.code, self.reason, self.headers)
        return self

    async def __aenter__(self) -> "Response":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    # -- the connection's side -------------------------------------------------------------------

    def _progress(self) -> str:
        if self._tunnel:
            return super()._progress()
        return " in the middle of the response" if self.code != 0 else " before the response"

    def _answer(self, code: int, reason: str, headers: Headers) -> None:
        """Store the head, and wake the tasks that wait for it."""
        self.code = code
        self.reason = reason
        self.headers = headers
        self._wake()
        self._head = None

    def _wake(self) -> None:
        wake(self._head)
        wake(self._proceed)

    async def _arrived(self) -> "Response":
        """Wait for the head."""
        if self.code == 0 and self._error is None:
            waiter = self._head
            if waiter is None:
                waiter = self._head = self._conn.loop.create_future()
            self._conn._shorten_timer()
            # Several tasks can wait for the response to a push: cancelling one affects no other.
            await asyncio.shield(waiter)
        if self.code == 0 and self._error is not None:
            raise fresh(self._error)
        return self


class Push:
    """A push: a request that the server promises to answer, and its response.

    `method`, `path` and `headers` are those of the promised request.
    """

    def __init__(
        self, answer: Response, method: str, path: str, headers: Headers, unclaimed: Unclaimed
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self._answer = answer
        self._unclaimed = unclaimed

    def __repr__(self) -> str:
        return f"<Push {self.method} {self.path!r} stream={self._answer.stream}>"

    @property
    def response(self) -> Coroutine[Any, Any, Response]:
        """An awaitable that returns the response. It raises what `Client.request` raises."""
        return self._answer._arrived()

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream of the push."""
        self._unclaimed.release(self._answer.stream)
        self._answer.cancel(code)


class Pushes:
    """An asynchronous iterator over the pushes of a response.

    Pushes that are not taken from it are cancelled with the iterator or the response.
    """

    def __init__(self, conn: Connection, ended: bool) -> None:
        self._conn = conn
        self._waiting: deque[Push] = deque()
        self._count: i64 = 0  # pushes received
        self._ended = ended
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Pushes":
        return self

    async def __anext__(self) -> Push:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is None:
                self._waiter = self._conn.loop.create_future()
                self._conn._shorten_timer()
            await asyncio.shield(self._waiter)
        push = self._waiting.popleft()
        push._unclaimed.release(push._answer.stream)
        return push

    def add(self, push: Push) -> None:
        self._waiting.append(push)
        self._count += 1
        self._wake()

    def end(self) -> None:
        """Note that the response has ended, and end the iteration."""
        self._ended = True
        self._wake()

    def cancel(self) -> None:
        """Cancel the pushes that were not taken."""
        while self._waiting:
            self._waiting.popleft().cancel()

    def __del__(self) -> None:
        if self._waiting and self._conn._life.phase < LOST:
            try:
                conn = self._conn
                conn.loop.call_soon_threadsafe(cancel_all, self._waiting, context=conn._context)
            except RuntimeError:
                pass  # the loop is closed, and so are its connections

    def _wake(self) -> None:
        wake(self._waiter)
        self._waiter = None


def cancel_all(pushes: deque[Push]) -> None:
    while pushes:
        pushes.popleft().cancel()
