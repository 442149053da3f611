"""The time limits of one request, by its phases, and what enforces them.

Knows how a connection shows that it is sending. Must never know httpx.
"""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from mypy_extensions import i64

from cno.adapters.errors import READ, WRITE, PhaseTimeoutError
from cno.adapters.trace import Tracer, prefix
from cno.aio.client.request_spec import RequestSpec
from cno.aio.client.response_state import ResponseState
from cno.aio.connection import send_queue
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.fields import Headers

FOREVER: Final = float("inf")
#: Queues that are kept although no request waits in them.
MAX_EMPTY_QUEUES: Final = 64


class DeadlineQueues:
    """The running deadlines of an event loop, by their intervals."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self.loop = loop
        self._context = context
        self._queues: dict[float, DeadlineQueue] = {}

    def find(self, interval: float) -> "DeadlineQueue":
        """Return the queue of an interval, in seconds; make it if there is none."""
        queue = self._queues.get(interval)
        if queue is None:
            if len(self._queues) >= MAX_EMPTY_QUEUES:
                self._queues = {at: each for at, each in self._queues.items() if each.is_used()}
            queue = self._queues[interval] = DeadlineQueue(self.loop, self._context, interval)
        return queue

    def close(self) -> None:
        """Stop all timers. Deadlines that run, or begin later, start them again."""
        for queue in self._queues.values():
            queue.stop()


class DeadlineQueue:
    """The running deadlines of one interval, in the order in which they are due.

    They share one timer of the event loop, since almost all end before they are due: to start and
    to stop a timer for each request would take longer than the rest of its deadline.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: contextvars.Context, interval: float
    ) -> None:
        self._loop = loop
        self._context = context
        self._interval = interval
        self._due: OrderedDict[Deadline, float] = OrderedDict()  # when, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: "Deadline", now: float) -> None:
        """Call `due` of a deadline after the interval, unless it is removed before."""
        self._due[deadline] = now + self._interval
        if self._timer is None:
            self._start()

    def remove(self, deadline: "Deadline") -> None:
        self._due.pop(deadline, None)

    def is_used(self) -> bool:
        """Return whether deadlines run. If not, stop the timer."""
        if not self._due:
            self.stop()
            return False
        return True

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        """Start the timer for the first deadline, if there is one."""
        for at in self._due.values():
            self._timer = self._loop.call_at(at, self._tick, context=self._context)
            return

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            while self._due:
                deadline = next(iter(self._due))
                if self._due[deadline] > now:
                    break
                self._due.pop(deadline)
                deadline.due()
        finally:
            if self._timer is None:
                self._start()


class Deadline:
    """The time limits of one request, in seconds, and the timer for its response.

    `connect` limits how long a connection is being made, `pool` how long none is being made and all
    are in use, `read` how long the server sends nothing while somebody waits for it, `write` how
    long it takes nothing.
    """

    def __init__(
        self, queues: DeadlineQueues, connect: float, read: float, write: float, pool: float
    ) -> None:
        self.connect = connect
        self.read = read
        self.write = write
        self.pool = pool
        self.source: Source | None = None
        self._loop = queues.loop
        self._interval = min(read, write)
        self._queue = None if self._interval == FOREVER else queues.find(self._interval)
        self._response: ResponseState | None = None
        self._queued = False  # the queue calls `due`, after the first interval
        self._timer: asyncio.TimerHandle | None = None  # calls `due`, later
        self._waiting = False
        self._since = 0.0  # since when somebody waits for the server
        self._interim: i64 = 0  # 1xx responses that had come by then
        self._sending: PendingWrite | None = None  # the pending write at the last tick
        self._sent: i64 = 0  # bytes of it that are written
        self._moved_at = 0.0  # when it last made progress

    def begin(self, response: ResponseState) -> None:
        """Note that the request is being sent, and its response awaited."""
        self._response = response
        self._interim = 0
        self._sending = None
        self.wait()

    def wait(self) -> None:
        """Note that somebody begins to wait for the server."""
        queue = self._queue
        if queue is None:
            return
        now = self._loop.time()
        self._since = self._moved_at = now
        self._waiting = True
        if not self._queued and self._timer is None:
            self._queued = True
            queue.add(self, now)

    def arrived(self) -> None:
        """Note that something has come from the server."""
        self._waiting = False

    def close(self) -> None:
        """Stop the timer."""
        self._waiting = False
        self._response = None
        if self._queued:
            self._queued = False
            if self._queue is not None:
                self._queue.remove(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def due(self) -> None:
        """Fail the response if its limit is exceeded; otherwise look again when it will be."""
        self._queued = False
        self._timer = None
        response = self._response
        if response is None or not self._waiting:
            return
        now = self._loop.time()
        write_due = self._write_due(response, now)
        read_due = self._read_due(response)
        if min(write_due, read_due) > now:
            due = min(write_due, read_due, now + self._interval)
            self._timer = self._loop.call_at(due, self.due)
        elif write_due <= now:
            self._expire(response, WRITE, self.write)
        else:
            self._expire(response, READ, self.read)

    def _write_due(self, response: ResponseState, now: float) -> float:
        """Return when the server will have taken nothing for too long."""
        sending = send_queue.pending(response._conn, response.stream)
        if sending is None:
            self._sending = None
            return FOREVER
        if sending is not self._sending or sending.written != self._sent:
            if self._sending is not None or sending.written != 0:
                self._moved_at = now
            elif self.source is not None:
                self._moved_at = max(self._moved_at, self.source.given_at)
            self._sending = sending
            self._sent = sending.written
        return self._moved_at + self.write

    def _read_due(self, response: ResponseState) -> float:
        """Return when the server will have sent nothing for too long."""
        if response.code == 0:
            if self._sending is not None or response._is_uploading():
                return FOREVER
            if response._interim_count != self._interim:
                self._interim = response._interim_count
                self._since = self._loop.time()
            if self.source is not None:
                self._since = max(self._since, self.source.given_at)
        return self._since + self.read

    def _expire(self, response: ResponseState, phase: str, seconds: float) -> None:
        self.close()
        response._failed(PhaseTimeoutError(phase, seconds, response.stream))
        response.cancel()


class Source:
    """A body that comes piece by piece: notes when the last piece, or the end, was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: Any) -> None:
        self._loop = loop
        self._stream = stream
        self._pieces: Any = None
        self.given_at = 0.0  # when the last piece was given, or the end

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._pieces is None:
            self._pieces = self._stream.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        try:
            piece: bytes = await self._pieces.__anext__()
        except StopAsyncIteration:
            self.given_at = self._loop.time()
            raise
        self.given_at = self._loop.time()
        return piece

    async def aclose(self) -> None:
        """Close the generator that the pieces come from."""
        pieces = self._pieces
        if pieces is not None and hasattr(pieces, "aclose"):
            await pieces.aclose()


class TimedRequest(RequestSpec):
    """A request with time limits, and with somebody who traces it."""

    def __init__(
        self,
        method: str,
        path: str,
        fields: Headers,
        data: bytes | AsyncIterable[bytes],
        trailers: Headers | None,
        deadline: Deadline,
        tracer: Tracer | None,
    ) -> None:
        super().__init__(method, path, fields, data, trailers)
        self.deadline = deadline
        self.tracer = tracer

    def sent(self, response: ResponseState) -> None:
        """Note that the request is being sent, and its response awaited."""
        self.deadline.begin(response)
        if self.tracer is not None:
            name = prefix(response._conn._http2)
            for step in ("send_request_headers", "send_request_body"):
                self.tracer.put(f"{name}.{step}.started", {"stream_id": response.stream})
                self.tracer.put(f"{name}.{step}.complete", {"return_value": None})
            self.tracer.put(
                f"{name}.receive_response_headers.started", {"stream_id": response.stream}
            )
