"""One HTTP request of an ASGI application: its messages in both directions.

Knows the HTTP messages of ASGI and how a response is written. Must never know how the application
is called, or what becomes of it when it fails.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from mypy_extensions import i64

from cno.aio.connection.exchange import EndObserver
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.fields import Headers, value_of
from cno.aio.file_range import FileRange
from cno.aio.server.connection import Request
from cno.aio.server.response_writer import HeldHeads, ResponseWriter
from cno.aio.sources import to_bytes
from cno.aio.waiters import wake
from cno.asgi.fields import decoded, response_fields, to_text
from cno.asgi.files import open_path, range_of
from cno.core import UNKNOWN_LENGTH
from cno.errors import ConnectionError, UsageError

Message: TypeAlias = dict[str, Any]

#: Bytes of a request's body that one message holds at most.
PIECE: Final = 262_144

#: Placeholder where there is none. Not to be modified.
NO_FIELDS: Final[Headers] = []

# Which message of the application comes next.
NOTHING_SENT: Final = 0  # the start of the response
BODY: Final = 1
TRAILERS: Final = 2
COMPLETE: Final = 3  # none

#: Called with the status of each response as it begins.
OnStart: TypeAlias = Callable[["HttpCycle", int], None]
#: Called once with each response that is complete, or whose client has gone.
OnEnd: TypeAlias = Callable[["HttpCycle"], None]


class HttpCycle(EndObserver):
    """The `receive` and the `send` of one request.

    With `silent`, what is sent after the client has gone is dropped without an error, as up to
    version 2.3 of the specification.
    """

    def __init__(
        self,
        request: Request,
        headers: Headers,
        on_start: OnStart | None = None,
        silent: bool = False,
        on_end: OnEnd | None = None,
    ) -> None:
        self.request = request
        self._defaults = headers  # fields that each response gets
        self._on_start = on_start
        self._on_end = on_end
        # If there is an `on_end`: the loop time, and the version of HTTP that the request came in.
        self.begun = 0.0
        self.version = ""
        self.status: i64 = 0  # of the response; 0: it has not begun
        self.sent: i64 = 0  # bytes of its body
        self.fields = NO_FIELDS  # its header fields
        self._silent = silent
        self._continue = silent and value_of(request.headers, "expect") == "100-continue"
        self._state: i64 = NOTHING_SENT
        self._writer = ResponseWriter(request)
        self._announced = False  # trailers
        self._chunked = False  # the application asks for chunks, whatever it sends
        self._trailers = NO_FIELDS
        self._bodiless = False  # the response has no body, whatever is sent as one
        self._left: i64 = -1  # bytes of the body that the content-length leaves; -1: there is none
        self._may_wait = False  # a head is flushed in the next turn of the event loop, body or not
        #: HTTP/1.1: the heads that are flushed once their applications wait. None: it is not there,
        #: and will not be.
        self.held: HeldHeads | None = None
        self._body_received = False  # the application has got all of the request
        self._waiter: asyncio.Future[None] | None = None  # of a `receive` that waits for the end

    # -- receive ---------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return the next message for the application: a piece of the body, or the end.

        `http.disconnect` comes once the client has gone or the response is complete.
        """
        request = self.request
        if self._continue:
            # Servers of version 2.3 send a 100 even if the client did not wait for it.
            self._continue = False
            if self._state == NOTHING_SENT and not request._ended:
                await request.inform(100)
        if self._state != COMPLETE and not self._body_received:
            if request._complete and request._buffer is None:
                self._body_received = True
                return {"type": "http.request", "body": b"", "more_body": False}
            buffer = request._get_buffer()
            data: bytes | None
            try:
                data = await buffer.read(PIECE)
            except ConnectionError:
                data = None
            if data is not None and self._state != COMPLETE:
                self._body_received = buffer.at_end()
                return {
                    "type": "http.request",
                    "body": data,
                    "more_body": not self._body_received,
                }
        if self._state != COMPLETE and not request._ended:
            if self._waiter is None:
                self._waiter = request.conn.loop.create_future()
            await asyncio.shield(self._waiter)
        return {"type": "http.disconnect"}

    def ended(self) -> None:
        wake(self._waiter)
        self._waiter = None
        on_end = self._on_end
        if on_end is not None:
            self._on_end = None
            on_end(self)

    # -- send ------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message from the application; wait until the client can take more.

        Raises OSError when the client has gone, RuntimeError for a message that must not come now,
        TypeError, ValueError and KeyError for one that is malformed.
        """
        kind: str = message["type"]
        state = self._state
        if self._silent and self.request._ended and state != COMPLETE:
            return
        if kind == "http.response.body" and state == BODY:
            body: object = message.get("body", b"")
            data = body if isinstance(body, bytes) else to_bytes(body)
            final = not message.get("more_body", False)
            part = self._start_piece(data, final)
            if part is not None:
                await self._finish(part)
            if final:
                self._advance()
        elif kind == "http.response.start" and state == NOTHING_SENT:
            self._begin(message)
        else:
            await self._send_other(kind, message)

    async def _send_other(self, kind: str, message: Message) -> None:
        """The messages of extensions, and those that are wrong."""
        state = self._state
        if kind == "http.response.trailers" and state == TRAILERS:
            await self._send_trailers(message)
        elif kind == "http.response.pathsend" and state == BODY:
            await self._send_path(message)
        elif kind == "http.response.zerocopysend" and state == BODY:
            await self._send_file(message)
        elif kind == "http.response.early_hint" and state == NOTHING_SENT:
            links = [("link", decoded(to_bytes(each))) for each in message["links"]]
            await self.request.inform(103, links)
        elif kind == "http.response.push" and state < TRAILERS and self.request.conn.is_http2:
            self.request.push("GET", message["path"], to_text(message.get("headers", ()), True))
        elif kind == "http.response.debug":
            pass  # it is for test clients
        else:
            raise RuntimeError(self._refusal(kind))

    def _refusal(self, kind: str) -> str:
        if self._state == COMPLETE:
            return f"Unexpected ASGI message '{kind}' sent, after response already completed."
        expected = "http.response.body"
        if self._state == NOTHING_SENT:
            expected = "http.response.start"
        elif self._state == TRAILERS:
            expected = "http.response.trailers"
        return f"Expected ASGI message '{expected}', but got '{kind}'."

    def _begin(self, message: Message) -> None:
        request = self.request
        if request._ended:
            raise request._end_error("the client has gone")
        status: int = message["status"]
        if not 200 <= status <= 999:
            raise ValueError(f"http.response.start: {status!r} is no status of a response")
        given: Any = message.get("headers", ())
        raw: list[Any] = given if isinstance(given, list) else list(given)
        converted = response_fields(raw, request.conn.is_http2)
        headers = converted.pairs
        self._left = converted.length
        if len(headers) != len(raw) and not request.conn.is_http2:
            # It is a transfer-encoding that is missing: the application asks for chunks.
            # > A sender MUST NOT send a Content-Length header field in any message that contains a
            # > Transfer-Encoding header field.   (RFC 9112 6.2)
            self._chunked = True
            self._left = -1
            headers = [pair for pair in headers if pair[0] != "content-length"]
        self._announced = bool(message.get("trailers", False))
        self._bodiless = status == 204 or status == 304 or request.method == "HEAD"
        self._state = BODY
        fields = self._defaults + headers if self._defaults else headers
        self._writer.start(status, fields, at_once=self._may_wait and not self._bodiless)
        if self.held is not None and not self._bodiless:
            self.held.add(self._writer)
        self.status = status
        if self._on_end is not None:
            self.fields = fields
        if self._on_start is not None:
            self._on_start(self, status)

    def waits(self) -> None:
        """Note that the application may wait for something: a head must not wait for it."""
        self._may_wait = True
        if not self._bodiless:
            self._writer.write_soon()

    def _start_piece(self, data: bytes, final: bool) -> PendingWrite | None:
        """Write a piece of the body as far as possible; return what there is to wait for.

        (Most responses wait for nothing, and cost one coroutine less that way.)
        """
        last = final and not self._announced
        length: i64 = UNKNOWN_LENGTH
        if self._bodiless:
            if not self._writer.is_head_held():
                return None
            return self._start(b"", True, length, None)
        self.sent += len(data)
        self._count(len(data), final)
        if last and self._left < 0 and not self._chunked:
            length = len(data)
        if not data and not last and not self._writer.is_head_held():
            return None
        return self._start(data, last, length, None)

    def _count(self, size: i64, final: bool) -> None:
        """Raise RuntimeError for more, or less, than the content-length announces."""
        if self._left < 0:
            return
        if size > self._left:
            raise RuntimeError("http.response.body: longer than the content-length")
        if final and size < self._left:
            raise RuntimeError("http.response.body: shorter than the content-length")
        self._left -= size

    def _start(
        self, data: bytes, final: bool, length: i64, trailers: Headers | None
    ) -> PendingWrite | None:
        if self.held is not None:
            self.held.discard(self._writer)
            self.held = None
        try:
            return self._writer.start_write(data, final, length, trailers)
        except UsageError as error:
            raise RuntimeError(f"http.response: {error}") from error
        except ConnectionError:
            if self._silent:
                return None
            raise

    async def _finish(self, part: PendingWrite) -> None:
        try:
            await self._writer.finish_write(part)
        except ConnectionError:
            if not self._silent:
                raise

    def _advance(self) -> None:
        """All of the body, or of the trailers, is written."""
        if self._announced:
            self._state = TRAILERS
            return
        self._state = COMPLETE
        self._writer.leave()  # nobody will read the rest of the request
        self.ended()

    def take_back(self) -> bool:
        """Take back what has been sent, if it has not been written; return whether that is so."""
        return self._state == NOTHING_SENT or (self._state == BODY and self._writer.take_back())

    # -- extensions ------------------------------------------------------------------------------

    async def _send_trailers(self, message: Message) -> None:
        request = self.request
        trailers = to_text(message.get("headers", ()), request.conn.is_http2)
        self._trailers = self._trailers + trailers
        if message.get("more_trailers", False):
            return
        if not self._bodiless:
            part = self._start(b"", True, UNKNOWN_LENGTH, self._trailers)
            if part is not None:
                await self._finish(part)
        self._announced = False
        self._advance()

    async def _send_file(self, message: Message) -> None:
        """Send a part of a file that the application has open."""
        part = range_of(message["file"], message.get("offset"), message.get("count"))
        await self._send_range(part, not message.get("more_body", False))

    async def _send_path(self, message: Message) -> None:
        """Send a whole file as the body."""
        await self._send_range(await open_path(message["path"]), True)

    async def _send_range(self, source: FileRange, final: bool) -> None:
        """Write all of a file as a piece of the body, and close it."""
        try:
            whole = final and not self._announced and self._left < 0 and not self._chunked
            if whole and not self._bodiless and self._writer.is_head_held():
                head = self._start(b"", False, source.size, None)
                if head is not None:
                    await self._finish(head)
            if not self._bodiless:
                async for data in source:
                    await self._send_piece(data, False)
            await self._send_piece(b"", final)
        finally:
            source.close()
        if final:
            self._advance()

    async def _send_piece(self, data: bytes, final: bool) -> None:
        part = self._start_piece(data, final)
        if part is not None:
            await self._finish(part)
