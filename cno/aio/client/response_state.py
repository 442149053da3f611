"""The state of a response at a client, of the upload of its request, and of its pushes.

The bases of `Response`, `Push` and `Pushes`, which add what applications call. Must never know how
a request is written.
"""

import asyncio
from collections import deque
from typing import final

from mypy_extensions import i64

from cno.aio.channel import Channel
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.protocol import Connection
from cno.aio.fields import Headers
from cno.aio.incoming import IncomingMessage
from cno.aio.waiters import wake
from cno.const import CNO_RST_CANCEL


@final
class Upload:
    """The upload of a body that comes in pieces, or waits for a 100 (Continue)."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None  # until the body is sent
        self.channel: Channel[bytes] | None = None  # the body, if it is a channel
        self.continue_waiter: asyncio.Future[None] | None = None  # waits for a 100
        self.got_100 = False  # a 100 has been received
        self.body_withheld = False  # the body is never sent


class ResponseState(IncomingMessage):
    """One response at a client."""

    def __init__(
        self, conn: Connection, stream: int, observer: RequestObserver | None = None
    ) -> None:
        super().__init__(conn, stream, [])
        self._observer = observer
        self.code = 0
        self.reason = ""
        self.informational: list[tuple[int, Headers]] = []
        self._interim_count: i64 = 0  # interim responses received, kept or not
        self._sent_at = 0.0  # when the request was sent, by the loop's clock; HTTP/2 only
        self._sent_mark: i64 = 0  # `Intake.received` at that time
        self._reused = False  # the connection had delivered a response before the request was sent
        self._head_waiter: asyncio.Future[None] | None = None
        self._upload: Upload | None = None
        self._pushes: PushQueue | None = None
        self._late_since = 0.0  # since when the head or a push is awaited; 0: it is not
        self._late_mark: i64 = 0  # the count at that time: see `response_timeouts`

    def __repr__(self) -> str:
        return f"<Response {self.code} stream={self.stream}>"

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream unless it has ended. In HTTP/1.1, this closes the connection."""
        if not self._ended and self._conn._life.phase < LOST:
            self._conn.write_reset(self.stream, code)
        if self._pushes is not None:
            self._pushes.cancel()

    def _get_pushes(self) -> "PushQueue":
        """Return the queue of its pushes; make it if there is none."""
        raise NotImplementedError

    def _is_uploading(self) -> bool:
        """Return whether a task sends the body of the request."""
        return self._upload is not None and self._upload.task is not None

    def _is_receiving(self) -> bool:
        """Return whether more of the response is to come."""
        return not self._complete and not self._ended

    def _is_awaited(self) -> bool:
        """Return whether a task waits for the head, or for data."""
        head, buffer = self._head_waiter, self._buffer
        return (head is not None and not head.done()) or (buffer is not None and buffer.waits())

    def _set_head(self, code: int, reason: str, headers: Headers) -> None:
        """Store the head, and wake the tasks that wait for it."""
        self.code = code
        self.reason = reason
        self.headers = headers
        self._wake()
        self._head_waiter = None

    def _wake(self) -> None:
        """Wake the tasks that wait for the head."""
        wake(self._head_waiter)
        if self._upload is not None:
            wake(self._upload.continue_waiter)

    def _progress(self) -> str:
        if self._tunnel:
            return super()._progress()
        return " in the middle of the response" if self.code != 0 else " before the response"


class PushState:
    """A request that the server promises to answer, and its response."""

    def __init__(
        self,
        response: ResponseState,
        method: str,
        path: str,
        headers: Headers,
        unclaimed: Unclaimed | None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self._response = response
        self._unclaimed = unclaimed

    def __repr__(self) -> str:
        return f"<Push {self.method} {self.path!r} stream={self._response.stream}>"

    def cancel(self, code: int = CNO_RST_CANCEL) -> None:
        """Reset the stream of the push."""
        self._release()
        self._response.cancel(code)

    def _release(self) -> None:
        """Stop counting it as unclaimed."""
        if self._unclaimed is not None:
            self._unclaimed.release(self._response.stream)


class PushQueue:
    """The pushes of a response that the application has not taken.

    They are cancelled with the response, or when nothing refers to the queue.
    """

    def __init__(self, conn: Connection, ended: bool) -> None:
        self._conn = conn
        self._waiting: deque[PushState] = deque()
        self._count: i64 = 0  # pushes received
        self._ended = ended
        self._waiter: asyncio.Future[None] | None = None

    def add(self, push: PushState) -> None:
        self._waiting.append(push)
        self._count += 1
        self._wake()

    def end(self) -> None:
        """Note that the response has ended, and end the iteration."""
        self._ended = True
        self._wake()

    def cancel(self) -> None:
        """Cancel the pushes that were not taken."""
        cancel_all(self._waiting)

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


def cancel_all(pushes: deque[PushState]) -> None:
    while pushes:
        pushes.popleft().cancel()
