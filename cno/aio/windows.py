"""Windows that grow as far as the network needs it, and no further.

SETTINGS at first, a PING later tell how long a round trip takes. A stream of which half a window or
more comes in, and is read, in less than that is held back by the window: it gets a larger one, and
the connection with it. What nobody reads never grows. Must never know what is in a stream.
"""

import asyncio
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.exchange import Exchange
from cno.aio.lifecycle import FLUSHING
from cno.aio.output import Output
from cno.const import DEFAULT_WINDOW
from cno.core import CLOSED, Stream, cork
from cno.drive import end_call
from cno.h2 import flow, send
from cno.limits import Limits, window
from cno.settings import SettingsDict

#: So small a part of a window is no reason to look at the clock.
PART: Final = 8
#: Seconds between two PINGs while nothing changes.
REST: Final = 10.0
#: Seconds that a round trip takes at least, by our reckoning: event loops have their turns.
SHORTEST: Final = 0.005


@mypyc_attr(allow_interpreted_subclasses=True)
class Windows(Output):
    """The half of a connection's flow control that looks at the clock."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._exchanges: dict[int, Exchange] = {}
        self._pace: i64 = 0  # octets still to be read before a look at the clock
        self._probing = False  # our PING is out; the engine knows whether it still is
        self._probe_sent = 0.0
        self._trip = 0.0  # seconds; 0: unknown
        self._guessed = False  # no PING has been answered yet
        self._announced_at = 0.0  # when our SETTINGS went out
        first = max(DEFAULT_WINDOW, window(limits.connection_window))
        self._least_room: i64 = first // 2  # see `room`
        self._lent: i64 = 0  # the connection's window is larger by that for what nobody reads
        self._room_due = False  # whether more is needed will be looked at
        self._read_in_all: i64 = 0  # octets
        self._read_before: i64 = 0  # of these, when ...
        self._marked_at = 0.0

    def _consumed(self, stream: int, size: i64) -> None:
        """HTTP/2: so much of a stream's data has been read."""
        self._pace -= size
        if self._pace < 0:
            self._look(stream)

    def _look(self, stream: int) -> None:
        """A good part of a window has been read: perhaps the window is what holds the peer back."""
        part: i64 = self._h2.acked._initial_window_size // PART
        self._read_in_all += part - self._pace
        self._pace = part
        if self._state == CLOSED or self._phase >= FLUSHING:
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
        """Take the time that our SETTINGS take to be acknowledged for a first round trip."""
        if self._h2.unacked:
            if self._announced_at == 0.0:
                self._announced_at = self.loop.time()
        elif self._announced_at != 0.0:
            self._guessed = True
            self._learn(self._announced_at)

    def _measured(self) -> None:
        """The PING has come back."""
        self._probing = False
        if self._guessed:
            self._guessed = False
            self._trip = 0.0
        self._learn(self._probe_sent)

    def _learn(self, sent: float) -> None:
        """What was sent then has come back."""
        now = self.loop.time()
        trip = max(now - sent, SHORTEST)
        if self._trip == 0.0 or trip < self._trip:
            self._trip = trip
        else:
            # It may have waited behind our own data; or the way is longer than it was.
            self._trip += (trip - self._trip) / 4
        if self._phase < FLUSHING and self._state != CLOSED:
            for exchange in list(self._exchanges.values()):
                self._judge(exchange, now)
            self._judge_all(now)

    def _judge(self, exchange: Exchange, now: float) -> None:
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
        # What has grown may not be read any more one day: all that takes half of the connection's.
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
        """The same for all streams together."""
        moved = self._read_in_all - self._read_before
        wanted = self._ideal(self._h2.recv_size, moved, self._marked_at, now)
        wider = min(wanted, self._limits.max_connection_window + self._lent) > self._h2.recv_size
        if wider:
            self._widen(None, 0, wanted)
        if wider or self._is_old(self._marked_at, now):
            self._marked_at = now
            self._read_before = self._read_in_all

    def _is_old(self, marked_at: float, now: float) -> bool:
        """Whether what has been counted since then is more than one round trip's."""
        return marked_at == 0.0 or (self._trip != 0.0 and now - marked_at > self._trip)

    def _ideal(self, window: i64, moved: i64, since: float, now: float) -> i64:
        """How large a window should be of which so much was used since then."""
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
        """Let a stream have `more`, and all together `size`."""
        size = min(size, self._limits.max_connection_window + self._lent)
        cork(self)
        try:
            if stream is not None:
                flow.widen(self, stream, more)
            if size > self._h2.recv_size:
                flow.widen(self, None, size - self._h2.recv_size)
        finally:
            end_call(self)
