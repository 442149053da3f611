"""The common base of server and client connections: an engine that is an `asyncio.Protocol`.

Routes what happens to the functions of the connection's parts. Must never know requests and
responses.
"""

import asyncio

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_loop
from cno.aio.connection import (
    after_input,
    bdp,
    ending,
    exchanges,
    intake,
    opening,
    send_buffer,
    send_queue,
    stream_timeouts,
    timeouts,
)
from cno.aio.connection.lifecycle import LINGER, LOST
from cno.aio.connection.pings import Pings
from cno.aio.connection.state import Link
from cno.aio.connection.stats import stats_of
from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers
from cno.const import CNO_RST_NO_ERROR
from cno.errors import Reason
from cno.stats import ConnectionStats


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(Link):
    """The engine as an `asyncio.Protocol`: the base of `Server` and `Client`.

    `loop` is the event loop, `transport` the transport once there is one.
    """

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        opening.connected(self, transport)

    def data_received(self, data: bytes) -> None:
        intake.received(self, data)

    def eof_received(self) -> bool:
        """Return whether the transport stays open for pending output."""
        return ending.eof_received(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # The transport may call this in the context of the code that closed it.
        self._context.copy().run(ending.lost, self, exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        send_queue.transport_filled(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        send_queue.transport_drained(self)

    # -- events of the engine --------------------------------------------------------------------

    def on_writev(self, chunks: list[bytes]) -> None:
        send_buffer.append(self, chunks)

    def on_flow_increase(self, stream: int) -> None:
        send_queue.window_opened(self, stream)

    def on_message_data(self, stream: int, data: bytes) -> None:
        exchanges.received(self, stream, data)

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        exchanges.completed(self, stream, trailers)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        exchanges.ended(self, stream, code, side)

    def on_pong(self, data: bytes) -> None:
        if self._pings is not None:
            self._pings.answered(data)

    def on_settings(self) -> None:
        self._freed()

    def on_close(self) -> None:
        self.close()

    # -- calls of the application ----------------------------------------------------------------

    def stats(self) -> ConnectionStats:
        """Return a look at the connection: streams, windows, limits, and counts if it is traced."""
        return stats_of(self)

    def attach(self, adapter: object) -> None:
        """Keep something of an adapter's with the connection."""
        self._adapter = adapter

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

    def consume(self, stream: int, size: int) -> None:
        """Count bytes of a stream that the application has read."""
        if self._life.phase >= LOST:
            return
        if self._http2:
            super().consume(stream, size)
            bdp.consumed(self, stream, size)
        else:
            exchanges.consumed(self, stream, size)

    def write_reset(self, stream: int, code: int) -> None:
        if stream == 0 and code != CNO_RST_NO_ERROR:
            self._life.close_by(LINGER)
        super().write_reset(stream, code)

    def shutdown(self) -> None:
        """Close after the open streams, or after `shutdown_timeout`.

        No stream is accepted once the peer has learnt of that.

        A connection that a server has just accepted may still begin: its client may have sent a
        request, and could not know whether it was processed.
        """
        ending.shutdown(self)

    def close(self) -> None:
        """Write the pending output, and close the transport. Open streams end."""
        ending.close(self)

    def abort(self) -> None:
        """Close the transport at once; unsent output is lost."""
        ending.abort(self)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        check_loop(self.loop)
        await ending.wait_closed(self)

    # -- what the parts ask ----------------------------------------------------------------------

    def _after_input(self) -> None:
        after_input.run(self)

    def _overdue(self, exchange: StreamState, now: float) -> Reason | None:
        return stream_timeouts.overdue(self, exchange, now)

    def _retire(self) -> None:
        self._engine_shutdown()
        self._begin_work()  # refuse the requests that wait for this connection

    def _lose(self, why: Reason) -> None:
        ending.end_unresponsive(self, why)

    def _shorten_timer(self) -> None:
        timeouts.shorten(self)

    def _probe_answered(self) -> None:
        bdp.probe_answered(self)
        timeouts.trust(self)
