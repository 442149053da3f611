"""A server's connection, and its requests: what handlers get, and what runs these.

A request names its connection, which makes it: so both are here. Routes what happens, and what
applications call, to the functions of this package. Must never know how connections are accepted.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import replace
from ssl import SSLObject
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio.arguments import check_handler, check_limits
from cno.aio.connection.body import BodyBuffer
from cno.aio.connection.exchange import EndObserver
from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers, as_list, value_of
from cno.aio.server import handlers, outcome, ranks, respond, retirement, shutdown
from cno.aio.server.request_state import RequestState
from cno.aio.server.response_stream import ResponseStream
from cno.aio.server.state import ConnectionObserver, ServerLink, peer_of
from cno.aio.sources import Body
from cno.aio.tls import ssl_object_of
from cno.aio.tunnel import Tunnel
from cno.core import use
from cno.date import SYSTEM
from cno.limits import Limits, with_windows
from cno.settings import SettingsDict

if TYPE_CHECKING:
    from cno.websocket.options import Options
    from cno.websocket.socket import WebSocket

#: Limits of a server, which reads many bodies at once: 256 KiB a stream, 1 MiB in total.
SERVER_LIMITS: Final = Limits(
    initial_window_size=262_144, connection_window=1_048_576, max_unread_window=4_194_304
)


def is_unix(transport: asyncio.BaseTransport) -> bool:
    """Return whether a transport writes to a Unix socket."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.family == getattr(socket, "AF_UNIX", -1)


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
        respond.check_unanswered(self, code)
        return ResponseStream(self, code, as_list(headers), trailers)

    def respond(
        self,
        code: int,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
    ) -> Coroutine[Any, Any, None]:
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
        return respond.respond(self, code, headers, data, trailers)

    def observe(self, observer: EndObserver | None) -> None:
        """Have an observer learn of the end of the stream, in place of the handler's task."""
        self._observer = observer

    def inform(
        self, code: int, headers: Iterable[tuple[str, str]] = ()
    ) -> Coroutine[Any, Any, None]:
        """Send an interim (1xx) response, for instance 103 Early Hints (RFC 8297).

        Does nothing for a client of HTTP/1.0 (RFC 9110 15.2). Raises UsageError for other codes and
        for 101, and after the response has begun; otherwise as `respond`.
        """
        return respond.inform(self, code, headers)

    def push(self, method: str, path: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Promise the client the response to a request that it has not made.

        The handler is called with the promised request, as with any other. `:scheme` and
        `:authority` are those of this request unless `headers` contain others. Does nothing in
        HTTP/1.1, and if the client does not accept pushes. (RFC 9113 8.4)

        Raises UsageError for a request that must not be promised, StreamError or
        ConnectionLostError if the client has gone.
        """
        respond.push(self, method, path, headers)

    async def upgrade(self, headers: Iterable[tuple[str, str]] = ()) -> Tunnel:
        """Accept the upgrade that the client asks for, and turn the stream into a byte stream.

        Sends 101 for an HTTP/1.1 `Upgrade`, with the fields `connection` and `upgrade` unless
        `headers` contain them; sends 200 for CONNECT and extended CONNECT. Raises UsageError if the
        client asked for none of these. (RFC 9110 7.8, RFC 8441)
        """
        await respond.upgrade(self, headers)
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


#: A handler of requests. The result of the awaitable is ignored.
Handler: TypeAlias = Callable[[Request], Awaitable[object]]


@mypyc_attr(allow_interpreted_subclasses=True)
class Server(ServerLink):
    """One connection of a server: an `asyncio.Protocol` that gives requests to `handle`.

    `handle` is `async def handle(request: cno.Request) -> None`. It runs in a separate task for
    each request, which is cancelled when the client resets the stream or disconnects. If it raises,
    the client gets a 500, or a reset if the response has begun, and the event loop's exception
    handler is called, unless the exception reports the loss of this client.

    A plain function that returns an awaitable works, too. Raises TypeError for other objects.

    Responses get a `Date` field unless they have one, or `date` is False.

    `loop` may be left out. `settings` is what `configure` takes; `limits` that name no
    windows have 256 KiB per stream and 1 MiB in all.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | Handler | None = None,
        handle: Handler | None = None,
        *,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
        observer: ConnectionObserver | None = None,
        date: bool = True,
    ) -> None:
        if handle is None:
            if loop is None or isinstance(loop, asyncio.AbstractEventLoop):
                raise TypeError("Server() needs a handler")
            handle = loop
            loop = None
        if observer is None:  # the observer has checked them once for all connections
            check_handler(handle)
            check_limits(limits)
        super().__init__(
            cast("asyncio.AbstractEventLoop | None", loop),
            handle,
            SERVER_LIMITS if limits is None else with_windows(limits, SERVER_LIMITS),
            settings,
            observer,
        )
        if date:
            use(self, dates=SYSTEM)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        handlers.choose_tasks(self)
        if self._limits.allow_any_authority and not is_unix(transport):
            use(self, limits=replace(self._limits, allow_any_authority=False))
        super().connection_made(transport)
        if self._observer is not None:
            self._observer.opened(self)

    # -- events ----------------------------------------------------------------------------------

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        request = Request(self, stream, method, path, headers)
        request._is_push = stream & 1 == 0
        self._exchanges[stream] = request
        if stream >= self._handlers.most_requests:
            retirement.count(self, stream)
        if self._intake.parsing:
            self._handlers.add_new(request)
        else:
            # A push by the handler of another request: do not use that handler's context.
            self._context.copy().run(self._start_handler, request, False)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        fresh = self._handlers.new_requests
        if fresh and fresh[-1].stream == stream and self._http2:
            # Reset in the same input (rapid reset): no handler has started, so no one waits for its
            # end, and it is dropped at once.
            fresh.pop()._ended = True
            del self._exchanges[stream]
        else:
            super().on_stream_end(stream, code, side)

    def on_upgrade(self, stream: int) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            cast(Request, exchange)._upgradable = True

    def write_push(self, stream: int, method: str, path: str, headers: Headers) -> None:
        # A push is never necessary, and its handler is not charged to the client.
        if self._handlers.pushes_running < self._handlers.most:
            super().write_push(stream, method, path, headers)

    # -- handlers --------------------------------------------------------------------------------

    def _unsent(self, stream: int, error: Exception) -> None:
        super()._unsent(stream, error)
        outcome.body_failed(self, stream)

    def _start_handler(self, request: RequestState, eager: bool) -> None:
        handlers.start(self, request, eager)

    def _begin_work(self) -> None:
        handlers.begin(self)

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        handlers.stream_ended(self, exchange, clean)

    def _rank_of(self, stream: int) -> i64:
        return ranks.of_stream(self, stream)

    def _retire(self) -> None:
        if self._http2:
            super()._retire()
        else:
            retirement.announce(self)

    def cancel_handlers(self) -> None:
        """Cancel all handlers, also those of streams that ended normally."""
        shutdown.cancel(self)

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection after the pending output. Open streams end."""
        shutdown.say_goaway(self)
        super().close()

    def drain(self, timeout: float | None = None) -> None:
        """Shut down, and abort after `timeout` seconds, or `Limits.shutdown_timeout` if that is
        less."""
        shutdown.drain(self, timeout)

    def _is_idle(self) -> bool:
        return self._handlers.running == 0

    def _after_loss(self) -> None:
        shutdown.lost(self)
