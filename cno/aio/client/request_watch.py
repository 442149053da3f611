"""The arguments `timeout` and `on_informational` of a request: its time limits and their timers.

Knows what a request waits for. Must never know how it is sent.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar, cast

from mypy_extensions import i64

from cno.aio.client.connect_errors import connect_error, connect_timeout
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.response_state import ResponseState
from cno.aio.client.urls import Target
from cno.aio.connection import send_queue
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.stream_state import StreamState
from cno.aio.errors import StreamTimeoutError, fresh
from cno.aio.fields import Headers
from cno.const import CNO_RST_CANCEL
from cno.pool.connection import Origin
from cno.timeouts import Timeout, as_timeout

FOREVER: Final = float("inf")
#: Looks at a response in each of its limits: it is late by a quarter at most.
LOOKS: Final = 4

R = TypeVar("R", bound=ResponseState)

#: Called with the status and the fields of each interim (1xx) response.
InformationalHook: TypeAlias = Callable[[int, Headers], object]


class RequestWatch(RequestObserver):
    """Ends one request after its time limits, and calls a hook for its 1xx responses."""

    def __init__(self, timeout: float | Timeout | None, hook: InformationalHook | None) -> None:
        super().__init__()
        limits = as_timeout(timeout) or Timeout()
        self._hook = hook
        self._context = None if hook is None else contextvars.copy_context()
        self._total = seconds(limits.total)
        self._connect = seconds(limits.connect)
        self._pool = seconds(limits.pool)
        self._write = seconds(limits.write)
        self._read = seconds(limits.read)
        self.times_reads = limits.read is not None
        self._due = FOREVER  # when `total` will have passed, by the loop's clock
        self._end: asyncio.TimerHandle | None = None  # of the limit `total`
        self._error: Exception | None = None  # once `total` has passed
        self._delivered = False  # the caller has the response
        self._ticker: asyncio.TimerHandle | None = None  # of the other limits
        # -- before the request is sent ----------------------------------------------------------
        self._waiter: asyncio.Future[None] | None = None
        self._origin: Origin | None = None
        self._connecting = False  # a connection is being made
        self._since = 0.0  # since when that is so, or not so
        # -- while it is sent, and its response received -----------------------------------------
        self._response: ResponseState | None = None
        self._sending: PendingWrite | None = None  # the pending write when we last looked
        self._sent: i64 = 0  # bytes of it that were written
        self._taken_at = 0.0  # when the server last took something; 0: nothing is pending
        self._mark: i64 = 0  # counts what the server has sent
        self._silent_since = 0.0  # since when it sends nothing that is awaited; 0: nothing is

    # -- the request's side ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count the time."""
        self._loop = asyncio.get_running_loop()
        if self._total != FOREVER:
            self._due = self._loop.time() + self._total
            self._end = self._loop.call_at(self._due, self._expire)

    def for_connecting(self) -> tuple[float, str]:
        """Return the seconds in which a connection must be made, and the name of their limit."""
        left = max(self._due - self._loop.time(), 0.0)
        return (
            (self._connect, "timeout.connect") if self._connect <= left else (left, "timeout.total")
        )

    def waits(self, waiter: asyncio.Future[None], origin: object) -> None:
        self.check()
        self._waiter = waiter
        self._origin = place = cast("Origin | None", origin)
        self._connecting = place is not None and place.dialing > 0
        self._since = self._loop.time()
        self._check_wait()

    def check(self) -> None:
        if self._error is not None:
            raise fresh(self._error)

    def begin(self, response: StreamState) -> None:
        self._waiter = None
        if response._ended:
            return
        self._response = cast(ResponseState, response)
        self._sending = None
        self._taken_at = self._silent_since = 0.0
        self._tick()

    def informational(self, code: int, headers: Headers) -> None:
        hook = self._hook
        if hook is None or self._context is None:
            return
        try:
            self._context.run(hook, code, list(headers))
        except Exception as bug:
            context = {"message": "cno: on_informational failed", "exception": bug}
            self._loop.call_exception_handler(context)

    def ended(self, response: StreamState) -> None:
        if response is self._response:
            self._response = None
            self._stop_ticker()
            if self._delivered:
                self._stop_end()

    def returned(self, delivered: bool) -> None:
        """Note that the request has returned its response, or raised an error."""
        self._delivered = True
        self._waiter = None
        if not delivered or self._response is None:
            self._response = None
            self._stop_ticker()
            self._stop_end()

    # -- timers ----------------------------------------------------------------------------------

    def _stop_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def _stop_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _expire(self) -> None:
        """The limit `total` has passed."""
        self._end = None
        response = self._response
        if response is not None:
            if not response._complete:
                what = "the response is not complete" if response.code else "no response"
                self._error = self._late(what, self._total, "total", response)
                self._fail(response, self._error)
            return
        self._error = self._not_sent(self._total, "total")
        self._wake(self._error)

    def _check_wait(self) -> None:
        """End a wait before the request is sent if it has been too long, or look again later."""
        self._stop_ticker()
        interval = min(self._connect, self._pool)
        if interval == FOREVER or self._waiter is None or self._waiter.done():
            return
        now = self._loop.time()
        connecting = self._origin is not None and self._origin.dialing > 0
        if connecting != self._connecting:
            self._connecting = connecting
            self._since = now
        limit = self._connect if connecting else self._pool
        if self._since + limit <= now:
            self._wake(self._not_sent(limit, "connect" if connecting else "pool"))
            return
        due = min(self._since + limit, now + interval)
        self._ticker = self._loop.call_at(due, self._check_wait)

    def _wake(self, error: Exception) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # if its task is cancelled now, nobody else will ask

    def _tick(self) -> None:
        """Fail a response that is late, or look again later."""
        self._stop_ticker()
        response = self._response
        interval = min(self._read, self._write)
        if interval == FOREVER or response is None:
            return
        now = self._loop.time()
        if self._is_stuck(response, now):
            text = "the server took nothing"
            self._fail(response, self._late(text, self._write, "write", response))
        elif self._is_silent(response, now):
            text = "the server sent nothing"
            self._fail(response, self._late(text, self._read, "read", response))
        else:
            self._ticker = self._loop.call_later(interval / LOOKS, self._tick)

    def _is_stuck(self, response: ResponseState, now: float) -> bool:
        """Return whether the server has taken nothing of the body for too long."""
        sending = send_queue.pending(response._conn, response.stream)
        if sending is None:
            self._sending = None
            return False
        if sending is not self._sending or sending.written != self._sent:
            self._sending = sending
            self._sent = sending.written
            self._taken_at = now
        return now - self._taken_at >= self._write

    def _is_silent(self, response: ResponseState, now: float) -> bool:
        """Return whether the server has sent nothing that is awaited for too long."""
        mark = response._interim_count
        if response.code == 0:
            awaited = self._sending is None and not response._is_uploading()
        else:
            buffer = response._buffer
            awaited = buffer is not None and not response._complete and buffer.waits()
            if buffer is not None:
                mark += buffer._fed
        if not awaited:
            self._silent_since = 0.0
            return False
        if self._silent_since == 0.0 or mark != self._mark:
            self._silent_since = now
            self._mark = mark
        return now - self._silent_since >= self._read

    def _fail(self, response: ResponseState, error: Exception) -> None:
        response._error_delivered = True
        response._failed(error)
        response.cancel()

    # -- errors ----------------------------------------------------------------------------------

    def _not_sent(self, wait: float, limit: str) -> Exception:
        """Return the error of a request that waited for too long to be sent."""
        origin = self._origin
        if origin is not None and origin.dialing > 0:
            cause = connect_timeout(wait, f"timeout.{limit}")
            return connect_error(cast(Target, origin.peer), cause)
        text = f"the request was not sent within {wait:g} s"
        return StreamTimeoutError(text, stream=0, code=0, retryable=True, limit=f"timeout.{limit}")

    def _late(
        self, what: str, wait: float, limit: str, response: ResponseState
    ) -> StreamTimeoutError:
        """Return the error of a request that was sent."""
        return StreamTimeoutError(
            f"{what} within {wait:g} s",
            stream=response.stream,
            code=CNO_RST_CANCEL,
            limit=f"timeout.{limit}",
        )


def watch_for(
    timeout: float | Timeout | None, on_informational: InformationalHook | None
) -> RequestWatch | None:
    """Return the watch of a request; None: it has no time limit and no hook."""
    if timeout is None and on_informational is None:
        return None
    return RequestWatch(timeout, on_informational)


def watched(watch: RequestWatch | None, work: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
    """Return an awaitable for a request that is watched; None: as it is."""
    return work if watch is None else watched_by(watch, work)


async def watched_by(watch: RequestWatch, work: Coroutine[Any, Any, R]) -> R:
    watch.start()
    delivered = False
    try:
        response = await work
        delivered = True
        return response
    finally:
        watch.returned(delivered)


def seconds(limit: float | None) -> float:
    return FOREVER if limit is None else float(limit)
