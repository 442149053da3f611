"""A client's connection: it queues requests, sends them, and returns their responses.

Knows how a request and its body are sent, and which request a response or push belongs to.
Must never know addresses, or who made the transport.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Final, cast

from mypy_extensions import i64, mypyc_attr

from cno.aio.arguments import check_limits, check_loop
from cno.aio.channel import Channel
from cno.aio.client import pushes
from cno.aio.client.forward_proxy import ForwardProxy
from cno.aio.client.liveness import given_up, sent
from cno.aio.client.pending import Pending
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.request_spec import RequestSpec, completed, tunnel_request
from cno.aio.client.request_watch import InformationalHook, RequestWatch, watched
from cno.aio.client.response_timeouts import NO_TURN, interim, overdue, refuse
from cno.aio.client.retry_rules import is_repeatable
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.client.upgrade_refused import UpgradeRefused as UpgradeRefused
from cno.aio.connection import ending, intake, reasons, send_buffer, send_queue
from cno.aio.connection.lifecycle import FLUSHING, LOST, NO_END
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.progress import is_sending
from cno.aio.connection.protocol import Connection, current_task
from cno.aio.connection.stream_state import StreamState
from cno.aio.connection.timeouts import is_greeting
from cno.aio.connection.writing import write_body
from cno.aio.errors import ConnectionLostError, StreamError, fresh
from cno.aio.fields import Headers, as_list
from cno.aio.messages import Response
from cno.aio.sources import Body, SingleChunkBody, dispose
from cno.aio.tunnel import Tunnel
from cno.aio.waiters import wake_first
from cno.const import CNO_RST_CANCEL, MAX_STREAM_ID
from cno.core import CLOSED, DONE
from cno.errors import ConnectionError, DisconnectError, InvalidStreamError, Reason, WouldBlockError
from cno.limits import Limits, with_windows
from cno.settings import SettingsDict
from cno.timeouts import Timeout

#: A client reads from one server: windows of 1 MiB per stream, 8 MiB in all.
CLIENT_LIMITS: Final = Limits(
    initial_window_size=1_048_576, connection_window=8_388_608, max_unread_window=16_777_216
)

#: Statuses that open a tunnel, in answer to CONNECT and to an upgrade.
SUCCESSFUL: Final = range(200, 300)
SWITCHING: Final = range(101, 102)

#: Requests before the server has said how many it takes: 100 at least, it should (RFC 9113 6.5.2).
MAX_BLIND: Final = 100


@mypyc_attr(allow_interpreted_subclasses=True)
class Client(Connection):
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
            False,
            loop,
            CLIENT_LIMITS if limits is None else with_windows(limits, CLIENT_LIMITS),
            settings,
        )
        self.authority = authority
        if scheme is not None:
            self.scheme = scheme
        self._force_http2 = force_http2
        self._credentials: str | None = None  # for all requests that bring none of their own
        self._forward_proxy: ForwardProxy | None = None  # if a proxy forwards the requests
        self._single = False  # made for one request
        self._unclaimed: Unclaimed | None = None  # pushes, once there were any
        self._answered_before = False  # a response has come
        self._vain_mark: i64 = -1  # how often something had come when a request was given up soon
        self._line: deque[asyncio.Future[None]] = deque()  # requests that cannot be sent yet

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
        sent while the response is read, until the server does not want it any more. `trailers` are
        looked at when the body has ended. `timeout` is in seconds, to the end of the response, or a
        `cno.Timeout`. `on_informational(code, headers)` is called for each interim (1xx) response
        when it is received; it must not block. Cancelling resets the stream.

        Waits while the server allows no more requests at once; HTTP/1.1 has one at a time. Raises
        ConnectionLostError and StreamError (`retryable` where the server promises not to have
        acted on the request, or the method allows to send it again), UsageError for what must not
        be sent, TypeError or ValueError for what is no body, EOFError for a file that has become
        shorter, StreamTimeoutError, and whatever reading `data` raises.
        """
        if timeout is None and on_informational is None:
            return Pending(self._request(method, path, headers, data, trailers, None))
        watch = RequestWatch(timeout, on_informational)
        return Pending(watched(watch, self._request(method, path, headers, data, trailers, watch)))

    async def _request(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        data: Body,
        trailers: Headers | None,
        observer: RequestObserver | None,
    ) -> Response:
        check_loop(self.loop)
        spec = RequestSpec(method, path, self._fields(headers), data, trailers, observer)
        response: Response | None = None
        if spec.source is not None:
            response = await self._open_or_dispose(spec)
            self._send(response, spec)
        elif not self._line and not self._transport_state.full:
            response = self._open_now(spec)
        if response is None:
            response = await self._open(spec)
            self._send(response, spec)
        return await self._answer(response, method)

    async def upgrade(
        self, protocol: str, path: str = "/", headers: Iterable[tuple[str, str]] = ()
    ) -> Tunnel:
        """Ask for another protocol, and get a byte stream to speak it.

        HTTP/1.1: GET with `Upgrade` (RFC 9110 7.8); HTTP/2: extended CONNECT (RFC 8441), for which
        the server must have announced that it takes it. Raises UpgradeRefused for any other answer
        than 101, or 2xx, and what `request` raises.
        """
        check_loop(self.loop)
        fields = self._fields(headers)
        if self._http2:
            await self._settings_known()
            fields = [(":protocol", protocol), *fields]
            response = await self._open(tunnel_request("CONNECT", path, fields))
            return await self._tunnel(response, SUCCESSFUL)
        fields = [*fields, ("connection", "upgrade"), ("upgrade", protocol)]
        response = await self._open(RequestSpec("GET", path, fields, b"", None))
        return await self._tunnel(response, SWITCHING)

    async def tunnel(self, authority: str, headers: Iterable[tuple[str, str]] = ()) -> Tunnel:
        """Ask a proxy for a byte stream to `authority` (host and port), by CONNECT.

        Raises UpgradeRefused for any other answer than 2xx, and what `request` raises. Over
        HTTP/1.1 the connection ends with such an answer. (RFC 9110 9.3.6, RFC 9931)
        """
        check_loop(self.loop)
        fields = [(":authority", authority), *as_list(headers)]
        response = await self._open(tunnel_request("CONNECT", "", fields))
        return await self._tunnel(response, SUCCESSFUL)

    def close(self) -> None:
        """Close the connection, after what is being written. Requests that are open fail."""
        if self._state > CLOSED and self._life.phase < FLUSHING and not self._draining:
            # > An endpoint SHOULD always send a GOAWAY frame before closing a connection
            # > (RFC 9113 6.8)
            self.shutdown()
        super().close()
        self._refuse_line()

    def shutdown(self) -> None:
        super().shutdown()
        self._refuse_line()

    def write_reset(self, stream: int, code: int) -> None:
        exchange = self._exchanges.get(stream) if self._http2 else None
        super().write_reset(stream, code)
        if exchange is not None:
            given_up(self, cast(Response, exchange))

    def close_after(self) -> None:
        """Close the connection as soon as no request is open."""
        self._single = True
        if not self._exchanges:
            self.close()

    def hand_over(self) -> tuple[asyncio.Transport, bytes, bool]:
        """Leave the transport to another protocol, at the beginning of a tunnel.

        Return the transport, the bytes that the tunnel has delivered already, and whether the peer
        sends no more. The client must not be used afterwards. Raises ConnectionLostError.
        """
        while self._intake.behind and self._life.phase < FLUSHING:
            intake.catch_up(self)
        if self._life.phase >= FLUSHING:
            raise reasons.of_loss(self, 0)
        early = b""
        for exchange in self._exchanges.values():
            buffer = exchange._get_buffer()
            early += buffer._take(buffer._size)
        ending.detach(self)
        return self.transport, early, self._life.peer_end != NO_END

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
        exchange = self._exchanges.get(stream)
        if exchange is None:
            return
        response = cast(Response, exchange)
        if code < 200 and code != 101:
            interim(response, code, headers)
        else:
            self._answered_before = True
            response._answer(code, method, headers)

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is None:
            return
        exchange._completed(trailers)
        response = cast(Response, exchange)
        if response._proceed is not None:
            response._wake()
        if response.code >= 300 or response._body_withheld:
            self._end_upload(response)

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        pushes.promise(self, stream, parent, method, path, headers)

    def on_message_data(self, stream: int, data: bytes) -> None:
        if self._unclaimed is None or self._unclaimed.received(stream, len(data)):
            super().on_message_data(stream, data)
        else:
            self.write_reset(stream, CNO_RST_CANCEL)  # it would keep room from what is wanted

    # -- what the connection asks ----------------------------------------------------------------

    def _clear_http2(self) -> bool:
        return self._force_http2

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        response = cast(Response, exchange)
        response._wake()
        upload = response._upload
        if upload is not None and upload is not current_task(self.loop):
            upload.cancel()
        if response._channel is not None:
            response._channel.close()
        if response._pushes is not None:
            response._pushes.end()
        if response._observer is not None:
            response._observer.ended(response)
        if self._single and not self._exchanges:
            self.close()

    def _freed(self) -> None:
        """Let the next request in line try."""
        if not self._transport_state.full:
            wake_first(self._line)

    def _requests_wait(self) -> bool:
        return any(not waiter.done() for waiter in self._line)

    def _no_turn(self) -> None:
        refuse(self._line, NO_TURN)

    def _overdue(self, exchange: StreamState, now: float) -> Reason | None:
        response = cast(Response, exchange)
        if response._observer is not None and response._observer.times_reads:
            return None
        why = super()._overdue(exchange, now)
        if why is None:
            unsent = response._upload is not None or send_queue.is_pending(self, response.stream)
            why = overdue(response, unsent, now, self._limits)
            if why is not None and is_sending(self.transport):
                response._late_since = now  # it has not all of the request yet
                return None
        return why

    def _goaway_code(self) -> int:
        """Return the error code of the server's GOAWAY; 0: it sent none, or has no error."""
        return int(self._h2.goaway_code) if self._http2 else 0

    def _is_open(self) -> bool:
        """Whether requests can be sent at all, now or later."""
        if self._life.phase >= FLUSHING or self._draining or self._last_local >= MAX_STREAM_ID - 1:
            return False
        if self._http2:
            return self._h2.goaway_received > MAX_STREAM_ID
        return not self._h1.no_more_messages

    def _begin_work(self) -> None:
        if self._line and not self._is_open():
            self._refuse_line()  # there has been a GOAWAY, say

    def _after_loss(self) -> None:
        self._refuse_line()

    def _refuse_line(self) -> None:
        """Fail the queued requests: the connection takes no more, and `_wait_turn` adds none."""
        refuse(self._line, self._life.timed_out)

    # -- requests --------------------------------------------------------------------------------

    def _fields(self, headers: Iterable[tuple[str, str]]) -> Headers:
        """The headers with our authority and credentials, unless they have some."""
        return completed(as_list(headers), self.authority, self._credentials)

    async def _open_or_dispose(self, spec: RequestSpec) -> Response:
        """Do as `_open`, and dispose of the body if that fails. (`write_body` does so too.)"""
        failure: BaseException | None
        try:
            return await self._open(spec)
        except BaseException as error:
            failure = error
        await dispose(spec.source)
        try:
            raise failure
        finally:
            failure = None  # else it would hold, by its traceback, what holds it

    def _open_now(self, spec: RequestSpec) -> Response | None:
        """Write a request, and its body if that is here; None if it has to wait.

        This is for speed only: `_open` does the same (docs/decisions/speed.md; *asyncio client,
        HTTP/1.1* in `benchmarks.instructions`).
        """
        # No other HTTP/1.1 request could share the write, so do not wait for the next turn of the
        # event loop.
        at_once = not self._http2 and send_buffer.hold(self)
        try:
            response = self._try_open(spec)
            if response is not None:
                self._send(response, spec)
        finally:
            if at_once:
                send_buffer.flush(self)
        return response

    async def _open(self, spec: RequestSpec) -> Response:
        """Write a request's head as soon as that is possible."""
        try:
            if self._line or self._transport_state.full:
                await self._wait_turn(False, spec.observer)
            while True:
                response = self._try_open(spec)
                if response is not None:
                    return response
                await self._wait_turn(True, spec.observer)
        finally:
            self._freed()  # the next request may go: this one has gone, or was given up

    def _try_open(self, spec: RequestSpec) -> Response | None:
        """Write a request's head; None if it has to wait."""
        if self._life.phase >= FLUSHING:
            raise ConnectionLostError("the connection is closed", retryable=True)
        if not self._http2 and self._exchanges:
            # HTTP/1.1 allows more, but then giving up one request takes those behind it along, and
            # a slow response keeps them waiting. A second connection serves better.
            return None
        if len(self._exchanges) >= MAX_BLIND and is_greeting(self):
            return None
        if spec.observer is not None:
            spec.observer.check()
        path, fields = spec.path, spec.fields
        if self._forward_proxy is not None:
            path, fields = self._forward_proxy.target(spec), self._forward_proxy.fields(spec)
        stream = self.next_stream
        response = Response(self, stream, spec.observer)
        response._reused = self._answered_before
        if self._http2:
            sent(self, response)
        self._exchanges[stream] = response
        opened = False
        try:
            self.write_head(stream, 0, spec.method, path, fields, spec.empty)
            opened = True
        except WouldBlockError:
            return None
        except DisconnectError as error:
            raise ConnectionLostError(error.strerror or "", stream=stream, retryable=True) from None
        finally:
            if not opened:
                self._exchanges.pop(stream, None)
        if spec.observer is not None:
            spec.observer.begin(response)
        return response

    def _send(self, response: Response, spec: RequestSpec) -> None:
        """Send the body, if there is one, or begin to."""
        if spec.empty:
            return
        if spec.source is not None or spec.patient:
            source = SingleChunkBody(spec.body) if spec.source is None else spec.source
            self._start_upload(response, source, spec.trailers, spec.patient)
            return
        write = PendingWrite(response.stream, spec.body, True, trailers=spec.trailers)
        try:
            send_queue.post(self, write)
        except ConnectionError:
            response.cancel()
            raise

    async def _wait_turn(self, front: bool, observer: RequestObserver | None) -> None:
        """Wait in the queue; at its `front` if the request has waited before."""
        if not self._is_open():
            raise ConnectionLostError("the connection takes no more requests", retryable=True)
        waiter = self.loop.create_future()
        if front:
            self._line.appendleft(waiter)
        else:
            self._line.append(waiter)
        self._shorten_timer()
        if observer is not None:
            observer.waits(waiter, None)
        await waiter

    async def _answer(self, response: Response, method: str = "") -> Response:
        """Wait for the head of the response. Cancelling that resets the stream."""
        if response.code == 0 and not response._ended:
            response._head = self.loop.create_future()
            self._shorten_timer()
            try:
                await response._head
            except asyncio.CancelledError:
                response.cancel()
                raise
        if response.code == 0:
            raise self._unanswered(response, method)
        return response

    def _unanswered(self, response: Response, method: str) -> Exception:
        """Why there is no response."""
        error = fresh(response._error or reasons.of_loss(self, response.stream))
        if isinstance(error, ConnectionLostError) and is_repeatable(self, response, method):
            error.retryable = True
        return error

    async def _tunnel(self, response: Response, status: range) -> Tunnel:
        """Wait for an answer with one of these statuses, and take it for a byte stream."""
        await self._answer(response)
        if response.code not in status:
            raise UpgradeRefused(response)
        return Tunnel(response)

    async def _settings_known(self) -> None:
        """Wait for the server's first SETTINGS: they say whether it takes extended CONNECT."""
        try:
            while is_greeting(self):
                await self._wait_turn(False, None)
        finally:
            self._freed()

    # -- bodies ----------------------------------------------------------------------------------

    def _start_upload(
        self,
        response: Response,
        source: AsyncIterable[bytes],
        trailers: Headers | None,
        patient: bool,
    ) -> None:
        if isinstance(source, Channel):
            response._channel = source
        if patient:
            response._proceed = self.loop.create_future()
        upload = self.loop.create_task(self._send_body(response, source, trailers))
        if not upload.done():  # as it may be if the loop's task factory is an eager one
            response._upload = upload

    async def _send_body(
        self, response: Response, source: AsyncIterable[bytes], trailers: Headers | None
    ) -> None:
        """The task that sends a body while the response is waited for, and read."""
        try:
            if response._proceed is not None and not await self._bid(response, source):
                return
            await write_body(self, response.stream, source, trailers)
        except (StreamError, DisconnectError, InvalidStreamError) as error:
            # If the stream is at its end, whoever reads the response learns of it. If not, the
            # error is of another connection, whose message was to be the body.
            if not response._ended and self._life.phase < LOST:
                self._upload_failed(response, error)
        except Exception as failure:
            self._upload_failed(response, failure)
        finally:
            response._upload = None

    async def _bid(self, response: Response, source: AsyncIterable[bytes]) -> bool:
        """Wait until a body may be sent; dispose of it if it must not be sent at all."""
        failure: BaseException | None = None
        try:
            if await self._permitted(response):
                return True
        except BaseException as error:
            failure = error
        await dispose(source)  # (not in a `finally`: see `write_body`)
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # else it would hold, by its traceback, what holds it
        return False

    async def _permitted(self, response: Response) -> bool:
        """Wait until the body may be sent; whether it is wanted."""
        # > A client that sends a 100-continue expectation is not required to wait for any specific
        # > length of time ... SHOULD NOT wait for an indefinite period   (RFC 9110 10.1.1)
        patience = self._limits.expect_timeout
        await asyncio.wait((cast("asyncio.Future[None]", response._proceed),), timeout=patience)
        if response.code == 0 or response._got_100:
            return not response._ended
        # An answer without a 100: it was given without the body. Only if it is a good one that
        # goes on and on, the body may be what it waits for.
        if response.code < 300 and goes_on(response):
            response._proceed = self.loop.create_future()
            await asyncio.wait((response._proceed,), timeout=patience)
            if goes_on(response):
                return True
        response._body_withheld = True
        if response._complete:
            self._end_upload(response)
        return False

    def _end_upload(self, response: Response) -> None:
        """The response is complete, and the server does not want the rest of the request.

        (After a 2xx it may well go on reading; if not, it says so by a reset: RFC 9113 8.1.)
        """
        stream = self._streams.get(response.stream)
        if stream is not None and stream.write != DONE and not response._tunnel:
            self.write_reset(response.stream, CNO_RST_CANCEL)

    def _unsent(self, stream: int, error: Exception) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            self._upload_failed(cast(Response, exchange), error)

    def _upload_failed(self, response: Response, error: Exception) -> None:
        """The application's body, or what it gave as one, is at fault."""
        if response._complete or response._ended:
            self.loop.call_exception_handler(
                {"message": "cno: sending a body failed", "exception": error, "protocol": self}
            )
        response._failed(error)
        if not response._ended:
            self.write_reset(response.stream, CNO_RST_CANCEL)


def goes_on(response: Response) -> bool:
    """Whether more of a response is to come."""
    return not response._complete and not response._ended
