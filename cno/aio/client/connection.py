"""A client's connection, and the responses and pushes that it returns.

Has the methods that applications call, and passes each event of a connection to the function that
handles it. Must never know addresses, or how the transport was made.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, cast

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_limits, check_loop
from cno.aio.client import events, liveness, pushes, request_queue, responses, sending, tunnels
from cno.aio.client.pending import Pending
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.request_watch import InformationalHook, watch_for, watched
from cno.aio.client.response_state import PushQueue, PushState, ResponseState
from cno.aio.client.state import ClientLink
from cno.aio.client.upgrade_refused import UpgradeRefused as UpgradeRefused
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.stream_state import StreamState
from cno.aio.errors import StatusError
from cno.aio.fields import Headers
from cno.aio.sources import Body
from cno.aio.tunnel import Tunnel
from cno.const import CNO_RST_CANCEL
from cno.core import CLOSED
from cno.errors import Reason
from cno.limits import Limits, with_windows
from cno.priority import DEFAULT_URGENCY
from cno.settings import SettingsDict
from cno.timeouts import Timeout

#: A client reads from one server: windows of 1 MiB per stream, 8 MiB in all.
CLIENT_LIMITS: Final = Limits(
    initial_window_size=1_048_576, connection_window=8_388_608, max_unread_window=16_777_216
)


class Response(ResponseState):
    """The response to a request.

    `code` is the status, `headers` are the fields, `payload` is the body, an
    `asyncio.StreamReader`. `conn` is the connection, `stream` the id of the stream. `reason` is the
    reason phrase in HTTP/1.1; in HTTP/2, which has none, it is '' (RFC 9113 8.3.2).

    `informational` has the first `Limits.max_informational` interim (1xx) responses, as (code,
    headers). `trailers` is None until the body is complete, and if it has none. `pushed` iterates
    over the pushes of the server. Leaving `async with` cancels the rest of the response.
    """

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
        return cast(Pushes, self._pushes)

    def reprioritize(self, urgency: int = DEFAULT_URGENCY, incremental: bool = False) -> None:
        """Change the priority of this response. `urgency` is 0 (most urgent) to 7.

        `incremental` means that parts of the body are useful by themselves. A request can state its
        priority from the start by a field: `("priority", "u=1, i")`.

        Does nothing over HTTP/1.1, if the server has not announced that it supports this, and after
        the response is complete. Raises UsageError for another urgency. (RFC 9218 7.1, 2.1.1)
        """
        responses.reprioritize(self, urgency, incremental)

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

    def _get_pushes(self) -> PushQueue:
        return self.pushed


class Push(PushState):
    """A push: a request that the server promises to answer, and its response.

    `method`, `path` and `headers` are those of the promised request.
    """

    @property
    def response(self) -> Coroutine[Any, Any, Response]:
        """An awaitable that returns the response. It raises what `Client.request` raises."""
        return cast("Coroutine[Any, Any, Response]", responses.wait_for_push(self._response))


class Pushes(PushQueue):
    """An asynchronous iterator over the pushes of a response.

    Pushes that are not taken from it are cancelled with the iterator or the response.
    """

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
        push._release()
        return cast(Push, push)


@mypyc_attr(allow_interpreted_subclasses=True)
class Client(ClientLink):
    """One connection of a client: an `asyncio.Protocol`, usually made by `cno.connect`.

    `authority` and `scheme` are those of all requests that do not name others in their headers.
    `force_http2` begins with HTTP/2 where nothing was negotiated. `loop` may be left out.
    `settings` is what `configure` takes; `limits` that name no windows have 1 MiB per stream and
    8 MiB in all. `async with` closes the connection at its end. A client
    belongs to its event loop: in others, its methods raise RuntimeError.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | str | None = None,
        authority: str | None = None,
        scheme: str | None = None,
        *,
        force_http2: bool = False,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
    ) -> None:
        if isinstance(loop, str):
            scheme = authority if scheme is None else scheme
            authority = loop
            loop = None
        check_limits(limits)
        super().__init__(
            loop,
            authority,
            force_http2,
            CLIENT_LIMITS if limits is None else with_windows(limits, CLIENT_LIMITS),
            settings,
        )
        if scheme is not None:
            self.scheme = scheme

    def request(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
        timeout: float | Timeout | None = None,
        on_informational: InformationalHook | None = None,
    ) -> Pending[Response]:
        """Send a request: `async with client.request("GET", "/") as response:`. Awaiting it returns
        the response too, once its head has been received.

        `path` has the query. `data` is bytes-like, a binary file (read in a thread, from its
        position on, and not closed; its size is sent as content-length), an `asyncio.StreamReader`
        (read in pieces), a `Channel`, or any other iterable of bytes, asynchronous or not. It is
        sent while the response is read, until the server stops it. `trailers` are read after the
        end of the body. `timeout` is in seconds, to the end of the response, or a `cno.Timeout`.
        `on_informational(code, headers)` is called for each interim (1xx) response when it is
        received; it must not block. Cancelling resets the stream.

        Waits while the server allows no more requests at once; HTTP/1.1 has one at a time. Raises
        ConnectionLostError and StreamError (`retryable` where the server promises not to have
        acted on the request, or the method allows to send it again), UsageError for an invalid
        request, TypeError or ValueError for an invalid body, EOFError for a file that has become
        shorter, StreamTimeoutError, and all errors of reading `data`.
        """
        watch = watch_for(timeout, on_informational)
        answer = sending.send(self, method, path, headers, data, trailers, watch)
        return Pending(watched(watch, cast("Coroutine[Any, Any, Response]", answer)))

    async def upgrade(
        self, protocol: str, path: str = "/", headers: Iterable[tuple[str, str]] = ()
    ) -> Tunnel:
        """Ask for another protocol, and get a byte stream to speak it.

        HTTP/1.1: GET with `Upgrade` (RFC 9110 7.8); HTTP/2: extended CONNECT (RFC 8441), for which
        the server must have announced that it takes it. Raises UpgradeRefused for any other answer
        than 101, or 2xx, and what `request` raises.
        """
        response, accepted = await tunnels.upgrade(self, protocol, path, headers)
        return tunnel_of(response, accepted)

    async def tunnel(self, authority: str, headers: Iterable[tuple[str, str]] = ()) -> Tunnel:
        """Ask a proxy for a byte stream to `authority` (host and port), by CONNECT.

        Raises UpgradeRefused for any other answer than 2xx, and what `request` raises. Over
        HTTP/1.1 the connection ends with such an answer. (RFC 9110 9.3.6, RFC 9931)
        """
        response, accepted = await tunnels.connect(self, authority, headers)
        return tunnel_of(response, accepted)

    def close(self) -> None:
        """Close the connection, after what is being written. Requests that are open fail."""
        if self._state > CLOSED and self._life.phase < FLUSHING and not self._draining:
            # > An endpoint SHOULD always send a GOAWAY frame before closing a connection
            # > (RFC 9113 6.8)
            self.shutdown()
        super().close()
        request_queue.fail(self, self._life.timed_out)

    def shutdown(self) -> None:
        super().shutdown()
        request_queue.fail(self, self._life.timed_out)

    def write_reset(self, stream: int, code: int) -> None:
        exchange = self._exchanges.get(stream) if self._http2 else None
        super().write_reset(stream, code)
        if exchange is not None:
            liveness.request_reset(self, cast(ResponseState, exchange))

    def close_after(self) -> None:
        """Close the connection as soon as no request is open."""
        self._requests.only_one = True
        if not self._exchanges:
            self.close()

    def hand_over(self) -> tuple[asyncio.Transport, bytes, bool]:
        """Leave the transport to another protocol, at the beginning of a tunnel.

        Return the transport, the bytes that the tunnel has delivered already, and whether the peer
        sends no more. The client must not be used afterwards. Raises ConnectionLostError.
        """
        early, peer_ended = tunnels.hand_over(self)
        return self.transport, early, peer_ended

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        check_loop(self.loop)
        self.close()
        await self.wait_closed()

    # -- events ----------------------------------------------------------------------------------

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        events.head_received(self, stream, code, method, headers)

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        events.response_complete(self, stream, trailers)

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        pushes.promised(self, stream, parent, method, path, headers)

    def on_message_data(self, stream: int, data: bytes) -> None:
        if self._requests.unclaimed is None or pushes.may_receive(self, stream, len(data)):
            super().on_message_data(stream, data)
        else:
            self.write_reset(stream, CNO_RST_CANCEL)  # it would keep room from what is wanted

    # -- what the connection asks ----------------------------------------------------------------

    def _clear_http2(self) -> bool:
        return self._force_http2

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        responses.stream_ended(self, cast(ResponseState, exchange))

    def _freed(self) -> None:
        events.freed(self)

    def _requests_wait(self) -> bool:
        return events.requests_wait(self)

    def _requests_not_allowed(self) -> None:
        events.requests_not_allowed(self)

    def _overdue(self, exchange: StreamState, now: float) -> Reason | None:
        return events.overdue(self, exchange, now)

    def _begin_work(self) -> None:
        events.input_processed(self)

    def _probe_answered(self) -> None:
        events.probe_answered(self)

    def _after_loss(self) -> None:
        events.lost(self)

    def _unsent(self, stream: int, error: Exception) -> None:
        events.body_failed(self, stream, error)

    def _new_response(self, stream: int, observer: RequestObserver | None = None) -> Response:
        return Response(self, stream, observer)

    def _new_push(self, response: ResponseState, method: str, path: str, headers: Headers) -> Push:
        return Push(response, method, path, headers, self._requests.unclaimed)


def tunnel_of(response: ResponseState, accepted: bool) -> Tunnel:
    """Return the tunnel of a response, which may refuse it."""
    if not accepted:
        raise UpgradeRefused(cast(Response, response))
    return Tunnel(response)
