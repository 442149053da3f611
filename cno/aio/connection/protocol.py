"""The common part of server and client connections: input, and the end of the connection.

Data of a stream goes to its exchange, and counts as consumed when it is read. Must never know
requests and responses.
"""

import asyncio
from ssl import SSLObject
from typing import Any, cast

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_loop
from cno.aio.connection import (
    bdp,
    ending,
    intake,
    leftover,
    lifecycle,
    reasons,
    room,
    send_buffer,
    send_queue,
    stream_timeouts,
    timeouts,
    truncation,
)
from cno.aio.connection.lifecycle import (
    BARE_END,
    CLOSE,
    CLOSING,
    CONNECTING,
    CONNECTION_MADE,
    CUT,
    DRAINING,
    FLUSHING,
    FULL_END,
    HALF_CLOSED,
    LINGER,
    LOST,
    RESET,
    SHORT,
    SHUTDOWN,
)
from cno.aio.connection.pings import Pings
from cno.aio.connection.state import Link
from cno.aio.connection.stream_state import StreamState
from cno.aio.connection.transports import gathers, most_whole, write_buffer
from cno.aio.fields import Headers
from cno.aio.tls import is_adequate, received_close_notify, ssl_object_of
from cno.const import (
    CNO_LOCAL,
    CNO_RST_INADEQUATE_SECURITY,
    CNO_RST_NO_ERROR,
)
from cno.core import CLOSED, H1_BLOCKED
from cno.errors import Reason
from cno.limits import Limits
from cno.settings import SettingsDict


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(Link):
    """The engine as an `asyncio.Protocol`: the base of `Server` and `Client`.

    `loop` is the event loop, `transport` the transport once there is one.
    """

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=write_buffer(self._limits))
        self._life.connected_at = self._timeouts.heard_at = self.loop.time()
        if self._limits.max_connection_age is not None:
            self._timeouts.retire_at = self._life.connected_at + self._limits.max_connection_age
        if not self._life.fire(CONNECTION_MADE) or self._life.phase == CLOSING:
            self.transport.abort()
            return
        secured = cast("SSLObject | None", transport.get_extra_info("ssl_object"))
        if secured is None:
            self._transport_state.clear_text = True
            self._transport_state.gathers = gathers(transport)
            self._transport_state.most_whole = most_whole(transport, self._limits)
            self.begin(self._clear_http2())
        else:
            self.scheme = "https"
            # > Implementations of HTTP/2 over TLS MUST use TLS ... with ALPN.   (RFC 9113 3.2)
            http2 = secured.selected_alpn_protocol() == "h2"
            self.disallow_h2_prior_knowledge = True
            self.begin(http2 or self._clear_http2())
            if http2 and not is_adequate(secured):
                self.write_reset(0, CNO_RST_INADEQUATE_SECURITY)
        if self._http2:
            self._window.announced_at = self._life.connected_at
        timeouts.arm(self)

    def data_received(self, data: bytes) -> None:
        if self._life.phase >= FLUSHING:
            return
        self._intake.received += 1
        if len(data) > self._intake.chunk or self._intake.behind:
            self._intake.unparsed += data
            intake.fall_behind(self)
        else:
            intake.process(self, data)

    def eof_received(self) -> bool:
        """Return whether the transport stays open for pending output."""
        secured = ssl_object_of(self.transport)
        secure = secured is not None
        whole = secured is None or received_close_notify(secured)
        self._life.peer_end = FULL_END if whole else BARE_END
        while self._intake.behind and self._life.phase < FLUSHING:
            intake.catch_up(self)
        if not self._http2 and self._state == H1_BLOCKED:
            intake.retry(self)  # it may be scheduled already
        if self._life.phase < LOST:
            send_buffer.flush(self)  # now: the transport may be closed before the scheduled flush
        if self._http2 or self._life.phase >= FLUSHING or not self._exchanges:
            return False
        for exchange in list(self._exchanges.values()):
            if exchange._tunnel:
                if whole:
                    exchange._completed(None)
                return not secure
            if secure or not self._server or not exchange._complete:
                if truncation.cuts(self):
                    self._context.copy().run(ending.give_up, self)
                return False
        ending.half_closed(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        # The transport may call this in the context of the code that closed it.
        self._context.copy().run(ending.lost, self, exc)

    # -- the round trip --------------------------------------------------------------------------

    async def ping(self) -> float:
        """Send a PING and wait for its answer. Return the round-trip time in seconds.

        Raises TimeoutError after `Limits.ping_timeout`, UnsupportedError over HTTP/1.1,
        ConnectionLostError, DisconnectError. (RFC 9113 6.7)
        """
        check_loop(self.loop)
        if self._pings is None:
            self._pings = Pings(self.loop)
        data = self._pings.next()
        self.write_ping(data)
        return await self._pings.answer(data, self._limits.ping_timeout)

    def on_pong(self, data: bytes) -> None:
        if self._pings is not None:
            self._pings.answered(data)

    def attach(self, adapter: object) -> None:
        """Keep something of an adapter's with the connection."""
        self._adapter = adapter

    def _overdue(self, exchange: StreamState, now: float) -> Reason | None:
        """Return what has not come in time on a stream; None if nothing is late."""
        return stream_timeouts.overdue(self, exchange, now)

    # -- output ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._transport_state.full = True
        self._transport_state.backlog = 0
        self._shorten_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._transport_state.full = False
        send_queue.transport_drained(self)

    def on_writev(self, chunks: list[bytes]) -> None:
        send_buffer.append(self, chunks)

    def on_flow_increase(self, stream: int) -> None:
        send_queue.window_opened(self, stream)

    # -- events ----------------------------------------------------------------------------------

    def on_message_data(self, stream: int, data: bytes) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is None:
            self.consume(stream, len(data))
            return
        if exchange._discard:
            leftover.count_discarded(self, exchange, len(data))
            return
        if not self._http2:
            self._intake.unread += len(data)
            if self._intake.unread > self._intake.most_unread and not self._intake.reading_paused:
                intake.listen(self)
        exchange._get_buffer().feed(data)

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            exchange._completed(trailers)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        write = send_queue.remove(self, stream)
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            del self._exchanges[stream]
            exchange._ended = True
            if exchange._drain_timer is not None:
                exchange._drain_timer.cancel()
                exchange._drain_timer = None
            clean = code == CNO_RST_NO_ERROR and (
                side == CNO_LOCAL or (exchange._complete and exchange._sent)
            )
            if not self._http2:
                failed = exchange._tunnel and code != CNO_RST_NO_ERROR and side == CNO_LOCAL
                if failed or truncation.is_cut(self, stream):
                    self._life.close_by(RESET)
            buffer = exchange._buffer
            if buffer is not None:
                left = buffer.detach()
                if not self._http2:
                    self._intake.unread -= left
                    if self._intake.reading_paused and self._life.phase < FLUSHING:
                        # The application need not read that before the next message.
                        intake.listen(self)
            if not exchange._complete:
                if not self._http2:
                    if exchange._tunnel and not self._transport_state.clear_text:
                        self._life.close_by(SHORT)  # TLS cannot half-close
                    elif self._server or exchange._tunnel:
                        self._life.close_by(LINGER)  # the peer may still send
                    else:
                        self._life.close_by(CUT)  # the client has cancelled the response
                exchange._failed(reasons.of_reset(self, stream, code, side, exchange._progress()))
            if write is not None:
                error = exchange._error
                if error is None:
                    error = reasons.of_reset(self, stream, code, side, exchange._progress())
                send_queue.resolve(self, write, error)
            self._on_exchange_end(exchange, clean or exchange._error_delivered)
        if self._life.phase < LOST:
            self._stream_freed()

    def on_settings(self) -> None:
        self._freed()

    def on_close(self) -> None:
        self.close()

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Write the pending output, and close the transport. Open streams end."""
        is_connected = self._life.phase != CONNECTING
        if not self._life.fire(CLOSE):
            return
        if self._intake.parsing or not is_connected:
            return
        if self._corked > self._app_corks and self._state != CLOSED:
            # Called by an event in the middle of a write: the write is finished first.
            self.loop.call_soon(ending.close_transport, self, context=self._context)
        else:
            ending.close_transport(self)

    def abort(self) -> None:
        """Close the transport at once; unsent output is lost."""
        ending.abort(self)

    def write_reset(self, stream: int, code: int) -> None:
        if stream == 0 and code != CNO_RST_NO_ERROR:
            self._life.close_by(LINGER)
        super().write_reset(stream, code)

    def shutdown(self) -> None:
        """Accept no new streams, and close after the open ones, or after `shutdown_timeout`.

        A connection that a server has just accepted may still begin: its client may have sent a
        request, and could not know whether it was processed.
        """
        if self._life.drain_since == 0.0 and self._life.phase != CONNECTING:
            self._life.drain_since = self.loop.time()
            if self._life.fire(SHUTDOWN):  # otherwise another timer runs
                timeouts.stop(self)
                timeouts.arm(self)
        if self._life.phase < FLUSHING and not timeouts.is_fresh(self):
            super().shutdown()
        for exchange in list(self._exchanges.values()):
            exchange._draining()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        check_loop(self.loop)
        if self._life.phase == lifecycle.CLOSED:
            return
        if self._life.closed_waiter is None:
            self._life.closed_waiter = self.loop.create_future()
        await asyncio.shield(self._life.closed_waiter)

    def _retire(self) -> None:
        """Accept no more requests; open ones may finish."""
        self._engine_shutdown()
        self._begin_work()  # refuse the requests that wait for this connection

    def _lose(self, why: Reason) -> None:
        """End the connection after its received input: the peer has gone."""
        ending.vanished(self, why)

    def _half_close(self) -> None:
        """HTTP/1.1: end our direction of a tunnel."""
        secure = ssl_object_of(self.transport) is not None
        if not self._http2 and self._life.phase < FLUSHING and not secure:
            send_buffer.flush(self)
            self.transport.write_eof()

    def _stream_freed(self) -> None:
        """Continue the work that waited for the end of a stream."""
        if not self._http2:
            # The next response may be written, and one more request parsed.
            if not send_queue.is_empty(self):
                self.on_flow_increase(0)
            intake.resume_input(self)
            if self._life.phase == HALF_CLOSED and not self._exchanges:
                # The end of the response is still in the engine.
                self.loop.call_soon(self.close, context=self._context)
        self._freed()

    def _suspect(self) -> None:
        timeouts.suspect(self)

    def _probe_answered(self) -> None:
        bdp.probe_answered(self)
        if self._timeouts.in_doubt:
            self._timeouts.in_doubt = False
            self._freed()

    def _shorten_timer(self) -> None:
        timeouts.shorten(self)

    # -- input -----------------------------------------------------------------------------------

    def consume(self, stream: int, size: int) -> None:
        """Count bytes of a stream that the application has read."""
        if self._life.phase >= LOST:
            return
        if self._http2:
            super().consume(stream, size)
            bdp.consumed(self, stream, size)
            return
        exchange = self._exchanges.get(stream)
        if exchange is not None and not exchange._discard:
            self._intake.unread -= size
            if self._intake.reading_paused:
                intake.listen(self)

    def _after_input(self) -> None:
        """After each batch of input: start handlers, resume writers, flush, close if done."""
        if self._http2:
            h2 = self._h2
            if self._window.rtt == 0.0:
                bdp.settings_answered(self)
            if self._window.probing and not h2.probing:
                self._probe_answered()
            if h2.frames >= h2.pause_at:
                intake.fall_behind(self)
            if (
                h2.recv_window + h2.recv_credit < self._window.least_room
                and self._life.phase < FLUSHING
            ):
                room.look(self)
        send_queue.run_after_input(self)
        if self._life.phase == DRAINING:
            timeouts.begin_drain(self)
        if self._life.phase >= FLUSHING:
            self._begin_work()
            if self._life.phase < LOST:
                ending.close_transport(self)
            return
        self._begin_work()
        if not self._send_buffer.collecting and self._send_buffer.chunks:
            send_buffer.flush(self)
        if self._intake.pipeline_blocked and not self._intake.reading_paused:
            intake.listen(self)


def current_task(loop: asyncio.AbstractEventLoop) -> "asyncio.Task[Any] | None":
    """Return the running task; None in a callback, and while the loop does not run."""
    try:
        return asyncio.current_task(loop)
    except RuntimeError:
        return None
