"""`Request`, `Response` and `Push`: the objects that applications work with.

Knows how a connection writes a message, and which parts HTTP requires of it. Must never know when
a handler runs, or who made the connection.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Collection, Coroutine, Iterable
from ssl import SSLObject
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from mypy_extensions import i64

from cno.aio.channel import Channel
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.connection import leftover, send_queue
from cno.aio.connection.body import BodyBuffer
from cno.aio.connection.exchange import EndObserver
from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.protocol import Connection
from cno.aio.connection.timeouts import is_greeting
from cno.aio.connection.writing import write_body
from cno.aio.errors import StatusError, fresh
from cno.aio.fields import Headers, as_list, with_length
from cno.aio.fields import value_of as value_of
from cno.aio.incoming import IncomingMessage
from cno.aio.server.request_state import RequestState
from cno.aio.server.response_stream import ResponseStream
from cno.aio.server.state import peer_of
from cno.aio.sources import Body as Body
from cno.aio.sources import dispose, size_of, source_of, whole_body
from cno.aio.tls import ssl_object_of
from cno.aio.tunnel import Tunnel as Tunnel
from cno.aio.waiters import wake
from cno.const import CNO_FRAME_PRIORITY_UPDATE, CNO_RST_CANCEL
from cno.core import UNKNOWN_LENGTH
from cno.errors import ConnectionError, UsageError
from cno.priority import DEFAULT_URGENCY

if TYPE_CHECKING:
    from cno.aio.client.connection import Client
    from cno.aio.server.connection import Server
    from cno.websocket.options import Options
    from cno.websocket.socket import WebSocket


class Request(RequestState):
    """A request that a server's handler is to answer.

    `method`, `path` (with its query) and `headers` are as received. `headers` is a list of (name,
    value) with names in lower case, like all lists of fields here; it begins with `:scheme` and
    `:authority` (and `:protocol`, RFC 8441). `conn` is the connection, `stream` the id of the
    stream. `payload` is the body, an `asyncio.StreamReader`. `trailers` is None until the body is
    complete, and if it has none.
    """

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's host and port; None on a Unix socket.

        They are those that a trusted proxy announced (`serve(..., proxy_protocol=)`), or else those
        of the transport.
        """
        return peer_of(self.conn)

    @property
    def conn(self) -> "Server":
        """The connection that received the request."""
        return cast("Server", self._conn)

    @property
    def query(self) -> list[tuple[str, str]]:
        """The names and values of the path's query, decoded (`application/x-www-form-urlencoded`).

        Bytes that are not UTF-8 become surrogate escapes.
        """
        from urllib.parse import parse_qsl  # takes a tenth of the time of `import cno`

        query = self.path.partition("?")[2]
        return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")

    @property
    def tls(self) -> SSLObject | None:
        """The TLS session, for its `getpeercert()`, `version()`, `cipher()`; None in clear text."""
        return ssl_object_of(self._conn.transport)

    @property
    def code(self) -> int:
        """The status of the response; 0 while there is none."""
        return self._code if self._response_begun else 0

    @property
    def sent(self) -> int:
        """The number of bytes of the response's body that the transport has accepted."""
        return self._body_sent

    def start(
        self,
        code: int,
        headers: Iterable[tuple[str, str]] = (),
        *,
        trailers: Headers | None = None,
    ) -> ResponseStream:
        """Begin a response whose body you write: `async with request.start(200) as out:`.

        `await out.write(data)` sends a piece, and waits while the client or the transport takes no
        more. Leaving the block ends the body and sends `trailers`, as they are by then; after an
        exception the body stays incomplete, and the client gets an error. Raises as `respond`.
        """
        self._check_unanswered(code)
        return ResponseStream(self, code, as_list(headers), trailers)

    async def respond(
        self,
        code: int,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
    ) -> None:
        """Send the response; wait until the transport has accepted all of it.

        `data` is bytes-like, a binary file (sent from its position on; its size is sent as
        content-length; over HTTP/1.1 without TLS, the system copies a file of the disk to the
        socket), an `asyncio.StreamReader` (read in pieces), a `Channel`, or any
        other iterable of bytes, asynchronous or not. `trailers` are read after the end of the body,
        so you can fill the list meanwhile. The body is not sent in response to HEAD, and with 204
        and 304.

        Raises UsageError for a second response and for a message that must not be sent, TypeError
        or ValueError if `data` is no body, EOFError if a file has become shorter, StreamError or
        ConnectionLostError if the client has gone. (RFC 9110 6.4, RFC 9113 8.1)
        """
        source = None if isinstance(data, bytes) else source_of(data)
        if source is not None:
            await self._respond_in_pieces(code, headers, source, trailers)
            return
        self._check_unanswered(code)
        fields = as_list(headers)
        bodiless = code == 204 or code == 304 or self.method == "HEAD"
        body = data if isinstance(data, bytes) else whole_body(data)
        chunked = trailers and not self._conn._http2  # in HTTP/1.1, trailers need that framing
        whole = PendingWrite(
            self.stream,
            b"" if bodiless else body,
            True,
            fields,
            code,
            length=UNKNOWN_LENGTH if chunked else len(body),
            trailers=None if bodiless else trailers,
        )
        if not self._begin(whole):
            await self._finish(whole)
        if not bodiless:
            self._body_sent = len(body)
        self._sent = True

    async def _respond_in_pieces(
        self,
        code: int,
        headers: Iterable[tuple[str, str]],
        source: AsyncIterable[bytes],
        trailers: Headers | None,
    ) -> None:
        if isinstance(source, Channel):
            self._channel = source
        bodiless = code == 204 or code == 304 or self.method == "HEAD"
        failure: BaseException | None = None
        try:
            self._check_unanswered(code)
            fields = as_list(headers)
            size = size_of(source)
            if size >= 0 and not trailers and code != 204 and code != 304:
                fields = with_length(fields, size)
            await self._send_head(PendingWrite(self.stream, b"", bodiless, fields, code))
        except BaseException as error:
            failure = error
        if failure is not None:
            # Close the source, so that its producer stops. (Not in a `finally`: see `write_body`.)
            await dispose(source)
            try:
                raise failure
            finally:
                failure = None
        if not bodiless:
            await write_body(self._conn, self.stream, source, trailers)
            self._sent = True
            return
        self._sent = True
        if isinstance(source, Channel):
            await leftover.drop_channel(self._conn, source)
        else:
            await dispose(source)

    def observe(self, observer: EndObserver | None) -> None:
        """Have an observer learn of the end of the stream, in place of the handler's task."""
        self._observer = observer

    async def inform(self, code: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send an interim (1xx) response, for instance 103 Early Hints (RFC 8297).

        Does nothing for a client of HTTP/1.0 (RFC 9110 15.2). Raises UsageError for other codes and
        for 101, and after the response has begun; otherwise as `respond`.
        """
        if code < 100 or code > 199 or code == 101:
            raise UsageError(
                f"{code} is not an interim status", stream=self.stream, rule="RFC 9110 15.2"
            )
        self._check_open()
        if self._response_begun:
            raise UsageError("the response has begun", stream=self.stream, rule="RFC 9110 15.2")
        if code == 100 and self._buffer is not None:
            self._buffer.awaited = False
        head = PendingWrite(self.stream, b"", False, as_list(headers), code)
        await send_queue.perform(self._conn, head)

    def push(self, method: str, path: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Promise the client the response to a request that it has not made.

        The handler is called with the promised request, as with any other. `:scheme` and
        `:authority` are those of this request unless `headers` contain others. Does nothing in
        HTTP/1.1, and if the client does not accept pushes. (RFC 9113 8.4)

        Raises UsageError for a request that must not be promised, StreamError or
        ConnectionLostError if the client has gone.
        """
        fields = as_list(headers)
        own = []
        for name in (":scheme", ":authority"):
            value = value_of(self.headers, name)
            if value is not None and value_of(fields, name) is None:
                own.append((name, value))
        self._check_open()
        self._conn.write_push(self.stream, method, path, own + fields)

    async def upgrade(self, headers: Iterable[tuple[str, str]] = ()) -> Tunnel:
        """Accept the upgrade that the client asks for, and turn the stream into a byte stream.

        Sends 101 for an HTTP/1.1 `Upgrade`, with the fields `connection` and `upgrade` unless
        `headers` contain them; sends 200 for CONNECT and extended CONNECT. Raises UsageError if the
        client asked for none of these. (RFC 9110 7.8, RFC 8441)
        """
        fields = as_list(headers)
        if self.method == "CONNECT":
            code = 200
        elif self._upgradable:
            code = 101
            if not any(name.lower() == "upgrade" for name, _ in fields):
                asked = value_of(self.headers, "upgrade") or ""
                fields = [*fields, ("upgrade", asked.partition(",")[0].strip())]
            if not any(name.lower() == "connection" for name, _ in fields):
                fields = [*fields, ("connection", "upgrade")]
        else:
            raise UsageError(
                "the client did not ask for an upgrade", stream=self.stream, rule="RFC 9110 7.8"
            )
        self._check_unanswered(200)
        head = PendingWrite(self.stream, b"", False, fields, code)
        if code == 101:
            await self._switch(head)
        else:
            await self._send_head(head)
        return Tunnel(self)

    async def accept_websocket(
        self,
        headers: Iterable[tuple[str, str]] = (),
        *,
        subprotocols: Iterable[str] = (),
        origins: Collection[str] | None = None,
        options: "Options | None" = None,
    ) -> "WebSocket":
        """Accept the WebSocket that the client asks for. (RFC 6455; over HTTP/2 RFC 8441)

        Of `subprotocols`, the first is agreed on that the client offers. `origins`: refuse pages
        of other origins than these, such as `https://example.com` (403). When the handler returns,
        the WebSocket is closed. Raises `cno.websocket.HandshakeError` for any other request, which
        is answered by 426 (Upgrade Required) or another status if you do not catch the error.
        Raises ImportError without the extra `ws`; otherwise as `upgrade`.
        """
        from cno.websocket.handshake import Handshake  # needs a package that servers may lack

        handshake = Handshake(self)
        handshake.check_origin(origins)
        return await handshake.accept(handshake.choose(subprotocols), headers, options)

    def _get_buffer(self) -> BodyBuffer:
        buffer = self._buffer
        if buffer is None:
            buffer = super()._get_buffer()
            if not self._complete and not self._response_begun:
                # > A server that receives an Expect field value containing a member other than
                # > 100-continue MAY respond with a 417 (Expectation Failed)   (RFC 9110 10.1.1)
                expected = value_of(self.headers, "expect")
                buffer.awaited = expected is not None and expected.lower() == "100-continue"
        return buffer

    async def _switch(self, head: PendingWrite) -> None:
        """Send a 101. The bytes that follow the request are not its body."""
        buffer, reader = self._buffer, self._reader
        self._buffer = None
        self._reader = None
        self._complete = False
        try:
            await self._send_head(head)
        except ConnectionError:
            self._buffer, self._reader = buffer, reader
            self._complete = True
            raise

    async def _send_head(self, head: PendingWrite) -> None:
        """Send the head of the response, and its body if that is in `head`."""
        if not self._begin(head):
            await self._finish(head)

    def _begin(self, head: PendingWrite) -> bool:
        """Send as much as possible without waiting; return whether that was all of it."""
        self._response_begun = True
        self._code = head.code
        self._response_headers = head.headers
        if self._buffer is not None:
            self._buffer.awaited = False
        try:
            return send_queue.start(self._conn, head)
        except BaseException:
            # If the head has not been written, the handler can send another response.
            self._response_begun = head.headers is None
            raise

    async def _finish(self, head: PendingWrite) -> None:
        try:
            await send_queue.finish(self._conn, head)
        except BaseException:
            self._response_begun = head.headers is None
            raise

    def _check_open(self) -> None:
        if self._ended:
            raise self._end_error("the stream has ended")

    def _check_unanswered(self, code: int) -> None:
        if self._response_begun:
            raise UsageError("the request has been answered", stream=self.stream)
        if code < 200:
            raise UsageError(
                f"{code} is not a final status: use inform() or upgrade()", stream=self.stream
            )
        self._check_open()


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
