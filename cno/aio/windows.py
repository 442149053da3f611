"""Windows that grow as far as the network needs it, and no further.

What comes in while a PING goes round is bandwidth times delay. A stream that takes in, and whose
reader reads, half its window or more in that time is held back by the window: it gets a larger one,
and the connection with it. What nobody reads never grows. Must never know what is in a stream.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.exchange import Exchange
from cno.aio.output import Output
from cno.core import CLOSED, cork
from cno.drive import end_call
from cno.h2 import flow, send
from cno.limits import Limits

#: A round trip is not worth measuring before this part of a window has been read.
PART: Final = 8
#: Seconds between two PINGs, at least; and when measuring changed nothing, doubled up to the most.
SHORTEST_REST: Final = 0.02
LONGEST_REST: Final = 10.0
#: Seconds of round trip that are never taken for queues which our own data has filled.
UNSUSPECTED: Final = 0.02


@mypyc_attr(allow_interpreted_subclasses=True)
class Windows(Output):
    """The half of a connection's flow control that looks at the clock."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: Mapping[str, int | None] | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._exchanges: dict[int, Exchange] = {}
        self._pace: i64 = 0  # octets still to be read before a look at the clock
        self._probing = False  # our PING is out; the engine knows whether it still is
        self._probe_sent = 0.0
        self._probe_next = 0.0  # not before that
        self._rest_time = SHORTEST_REST
        self._shortest_trip = 0.0  # 0: none has been measured

    def _consumed(self, stream: int, size: i64) -> None:
        """HTTP/2: so much of a stream's data has been read."""
        self._pace -= size
        if self._pace < 0:
            self._look(stream)

    def _look(self, stream: int) -> None:
        """A good part of a window has been read: perhaps the window is what holds the peer back."""
        window: i64 = self._h2.acked._initial_window_size
        self._pace = window // PART
        if self._probing or self._state == CLOSED:
            return
        now = self.loop.time()
        if now < self._probe_next:
            # Not again so soon; unless this is a stream of which nothing is known yet.
            if now < self._probe_sent + SHORTEST_REST:
                return
            exchange = self._exchanges.get(stream)
            inflow = None if exchange is None else exchange._inflow
            if inflow is None or inflow.measured or inflow._returned * 4 < window:
                return
        self._probe(now)

    def _probe(self, now: float) -> None:
        """Send a PING, and remember where everything is."""
        for exchange in self._exchanges.values():
            inflow = exchange._inflow
            if inflow is not None:
                inflow.fed_before = inflow._fed
                inflow.returned_before = inflow._returned
        self._probing = True
        self._probe_sent = now
        cork(self)
        try:
            send.probe(self)
        finally:
            end_call(self)

    def _measured(self) -> None:
        """The PING has come back: widen the windows that were too small for its round trip."""
        self._probing = False
        now = self.loop.time()
        trip = now - self._probe_sent
        if self._shortest_trip == 0.0 or trip < self._shortest_trip:
            self._shortest_trip = trip
        if self._closing or self._gone or self._state == CLOSED:
            return
        # What took longer than a round trip can be was waiting behind our own data.
        usual = max(2 * self._shortest_trip, UNSUSPECTED)
        scale = 1.0 if trip <= usual else usual / trip
        cork(self)
        try:
            grown = self._widen_all(scale)
        finally:
            end_call(self)
        if grown:
            self._rest_time = SHORTEST_REST
            self._probe_next = 0.0
            self._pace = 0
        else:
            self._rest_time = min(2 * self._rest_time, LONGEST_REST)
            self._probe_next = now + self._rest_time

    def _widen_all(self, scale: float) -> bool:
        h2 = self._h2
        limits = self._limits
        total: i64 = 0
        largest: i64 = 0
        grown = False
        for exchange in list(self._exchanges.values()):
            inflow = exchange._inflow
            if inflow is None:
                continue
            moved = inflow.moved()
            total += moved
            window: i64 = h2.acked._initial_window_size + inflow.wider
            inflow.measured = True
            wanted = wider(window, scaled(moved, scale), limits.max_stream_window)
            # Unread octets do not count as moved, but those of a moment ago may.
            if wanted > window and (inflow._fed - inflow._returned) * 2 <= window:
                stream = self._streams.get(exchange.stream)
                if stream is not None and not exchange._complete and not exchange._discard:
                    flow.widen(self, stream, wanted - window)
                    inflow.wider += wanted - window
                    window = wanted
                    grown = True
            largest = max(largest, window)
        size = h2.recv_size
        wanted = wider(size, scaled(total, scale), limits.max_connection_window)
        if grown:
            # One stream that is not read must not hold up the others.
            wanted = max(wanted, min(2 * largest, limits.max_connection_window))
        if wanted > size:
            flow.widen(self, None, wanted - size)
            grown = True
        return grown


def scaled(size: i64, scale: float) -> i64:
    """So much of a size; exact if that is all."""
    return size if scale >= 1.0 else i64(float(size) * scale)


def wider(window: i64, moved: i64, most: i64) -> i64:
    """What a window should be of which so much was used in one round trip."""
    if moved * 2 < window or window >= most:
        return window
    return min(most, max(2 * window, 4 * moved))
