"""Counts what connections send and receive: frames by type, bytes, resets by error code.

Must never know who shows the counts: `cno.prometheus` does.
"""

import threading

from cno.const import PREFACE
from cno.counts import Counts, FrameCounter
from cno.trace.hook import Tap, Tracer


class ConnectionCounts(Tap):
    """The counts of one connection, in both directions."""

    def __init__(self, counters: "Counters | None", server: bool, http2: bool | None) -> None:
        self.server = server
        self.counts_sent = Counts()
        self.counts_received = Counts()
        self._counters = counters
        self._http2 = http2
        self._begun = False  # the client has sent something
        self._sending = FrameCounter(self.counts_sent, 0 if server else len(PREFACE))
        self._receiving = FrameCounter(self.counts_received, len(PREFACE) if server else 0)

    def sent(self, data: bytes | bytearray | memoryview) -> None:
        self.counts_sent.octets += len(data)
        self._feed(self._sending, data, not self.server)

    def received(self, data: bytes | bytearray | memoryview) -> None:
        self.counts_received.octets += len(data)
        self._feed(self._receiving, data, self.server)

    def _feed(
        self, counter: FrameCounter, data: bytes | bytearray | memoryview, by_client: bool
    ) -> None:
        if by_client and not self._begun and data:
            self._begun = True
            if not self._http2:  # by prior knowledge?
                self._http2 = bytes(data[:4]) == PREFACE[:4]
        if self._http2:
            counter.feed(bytes(data))

    def closed(self) -> None:
        if self._counters is not None:
            self._counters.closed(self)
            self._counters = None


class Counters(Tracer):
    """Counts all connections of servers and pools: `cno.serve(..., trace=Counters())`.

    Several threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.opened = 0  # connections so far
        self._open: set[ConnectionCounts] = set()
        self._sent = Counts()  # by connections that are closed
        self._received = Counts()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def open(self, server: bool, http2: bool | None = None) -> ConnectionCounts:
        found = ConnectionCounts(self, server, http2)
        with self._lock:
            self.opened += 1
            self._open.add(found)
        return found

    def closed(self, connection: ConnectionCounts) -> None:
        """Note that a connection is closed."""
        with self._lock:
            if connection in self._open:
                self._open.remove(connection)
                self._sent.add(connection.counts_sent)
                self._received.add(connection.counts_received)

    def sent(self) -> Counts:
        """Return what all connections have sent so far."""
        found = Counts()
        with self._lock:
            found.add(self._sent)
            for each in self._open:
                found.add(each.counts_sent)
        return found

    def received(self) -> Counts:
        """Return what all connections have received so far."""
        found = Counts()
        with self._lock:
            found.add(self._received)
            for each in self._open:
                found.add(each.counts_received)
        return found
