"""Receive windows that grow with the bandwidth-delay product of the network.

The acknowledgement of SETTINGS gives the first round-trip time, PINGs the later ones. A stream of
which half a window or more is received and read within one round trip is limited by its window: the
window grows, and the connection's window with it. Unread streams do not grow. Must never know the
content of a stream.
"""

import asyncio
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.stream_state import StreamState
from cno.aio.output import Output
from cno.const import DEFAULT_WINDOW
from cno.core import CLOSED, Stream, cork
from cno.drive import end_call
from cno.h2 import flow, send
from cno.limits import Limits, window
from cno.settings import SettingsDict

#: Look at the clock once for each PARTth of a window that is read.
PART: Final = 8
#: Seconds between two PINGs while nothing changes.
REST: Final = 10.0
#: The smallest round-trip time in seconds that is assumed: event loops add delays.
SHORTEST: Final = 0.005


@mypyc_attr(allow_interpreted_subclasses=True)
class Windows(Output):
    """The part of a connection that measures round trips and widens receive windows."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._pace: i64 = 0  # bytes to read before the next look at the clock
        self._probing = False  # our PING is not answered yet
        self._probe_sent = 0.0
        self._trip = 0.0  # seconds; 0: unknown
        self._guessed = False  # no PING has been answered yet
        self._announced_at = 0.0  # when our SETTINGS went out
        first = max(DEFAULT_WINDOW, window(limits.connection_window))
        self._least_room: i64 = first // 2  # see `room`
        self._lent: i64 = 0  # bytes by which unread data has widened the connection's window
        self._room_due = False  # `room` will check whether more is needed
        self._read_in_all: i64 = 0  # bytes read in total
        self._read_before: i64 = 0  # `_read_in_all` at `_marked_at`
        self._marked_at = 0.0

    def _consumed(self, stream: int, size: i64) -> None:
        """HTTP/2: count bytes of a stream that the application has read."""
        self._pace -= size
        if self._pace < 0:
            self._look(stream)

    def _look(self, stream: int) -> None:
        """Check, after a part of a window has been read, whether the window limits the peer."""
        part: i64 = self._h2.acked._initial_window_size // PART
        self._read_in_all += part - self._pace
        self._pace = part
        if self._state == CLOSED or self._life.phase >= FLUSHING:
            return
        now = self.loop.time()
        exchange = self._exchanges.get(stream)
        if exchange is not None:
            self._judge(exchange, now)
        self._judge_all(now)
        known = self._trip != 0.0 or (self._announced_at != 0.0 and bool(self._h2.unacked))
        if not self._probing and (not known or now - self._probe_sent >= REST):
            self._probe(now)

    def _probe(self, now: float) -> None:
        """Send a PING."""
        self._probing = True
        self._probe_sent = now
        cork(self)
        try:
            send.probe(self)
        finally:
            end_call(self)

    def _greeted(self) -> None:
        """Use the time until our SETTINGS are acknowledged as the first round-trip time."""
        if self._h2.unacked:
            if self._announced_at == 0.0:
                self._announced_at = self.loop.time()
        elif self._announced_at != 0.0:
            self._guessed = True
            self._learn(self._announced_at)

    def _measured(self) -> None:
        """Use the answer to our PING."""
        self._probing = False
        if self._guessed:
            self._guessed = False
            self._trip = 0.0
        self._learn(self._probe_sent)

    def _learn(self, sent: float) -> None:
        """Update the round-trip time: the answer to a frame sent at `sent` has arrived."""
        now = self.loop.time()
        trip = max(now - sent, SHORTEST)
        if self._trip == 0.0 or trip < self._trip:
            self._trip = trip
        else:
            # It may have waited behind our own data, or the route has become longer.
            self._trip += (trip - self._trip) / 4
        if self._life.phase < FLUSHING and self._state != CLOSED:
            for exchange in list(self._exchanges.values()):
                self._judge(exchange, now)
            self._judge_all(now)

    def _judge(self, exchange: StreamState, now: float) -> None:
        """Widen a stream's window if it is too small for a round trip."""
        buffer = exchange._buffer
        if buffer is None or exchange._complete or exchange._discard:
            return
        stream = self._streams.get(exchange.stream)
        if stream is None:
            return
        h2 = self._h2
        window: i64 = h2.acked._initial_window_size + stream.wider
        wanted = self._ideal(window, buffer.moved(), buffer.marked_at, now)
        # Grown windows may be unread later: together they take at most half of the connection's.
        most: i64 = self._limits.max_connection_window // 2 - h2.wider
        more = min(wanted, self._limits.max_stream_window, window + most) - window
        if more > 0:
            buffer.mark(now)
            self._widen(stream, more, 2 * (h2.acked._initial_window_size + h2.wider + more))
            if not self._probing:
                self._probe(now)
        elif self._is_old(buffer.marked_at, now):
            buffer.mark(now)

    def _judge_all(self, now: float) -> None:
        """Widen the connection's window if it is too small for a round trip."""
        moved = self._read_in_all - self._read_before
        wanted = self._ideal(self._h2.recv_size, moved, self._marked_at, now)
        wider = min(wanted, self._limits.max_connection_window + self._lent) > self._h2.recv_size
        if wider:
            self._widen(None, 0, wanted)
        if wider or self._is_old(self._marked_at, now):
            self._marked_at = now
            self._read_before = self._read_in_all

    def _is_old(self, marked_at: float, now: float) -> bool:
        """Return whether the count since then covers more than one round trip."""
        return marked_at == 0.0 or (self._trip != 0.0 and now - marked_at > self._trip)

    def _ideal(self, window: i64, moved: i64, since: float, now: float) -> i64:
        """Return the right size of a window of which `moved` bytes were used since then."""
        trip = self._trip
        if since == 0.0 or trip == 0.0:
            return window
        elapsed = max(now - since, 0.000_001)
        used = float(moved) * min(1.0, trip / elapsed)  # in one round trip
        if used * 2 < float(window):
            return window
        used = min(float(window), float(moved) * trip / elapsed)  # in all of it, if it goes on so
        return max(2 * window, 4 * i64(used))

    def _widen(self, stream: Stream | None, more: i64, size: i64) -> None:
        """Widen a stream's window by `more`, and the connection's to `size`."""
        size = min(size, self._limits.max_connection_window + self._lent)
        cork(self)
        try:
            if stream is not None:
                flow.widen(self, stream, more)
            if size > self._h2.recv_size:
                flow.widen(self, None, size - self._h2.recv_size)
        finally:
            end_call(self)
