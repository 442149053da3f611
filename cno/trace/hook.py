"""What a connection calls with the bytes that it exchanges: the base of traces and of counts.

Must never know what is done with the bytes.
"""

from collections.abc import Iterable


class Tap:
    """Takes the bytes of one connection."""

    #: The number of the connection, from 1, if somebody counts them.
    number = 0

    def sent(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that we pass to the transport."""

    def received(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that the transport has delivered."""

    def closed(self) -> None:
        """Note that the connection is closed."""


class Tracer:
    """Makes a `Tap` for each connection: `cno.serve(..., trace=)`, `cno.Pool(trace=)`.

    Subclasses are `Trace`, `JsonLines`, `Counters` and yours.
    """

    def open(self, server: bool, http2: bool | None = None) -> Tap | None:
        """Return the tap of a new connection, of which we are the server or the client.

        None: leave the connection alone, which then costs nothing. `http2`: whether that was
        negotiated; None: the client's first bytes show it.
        """
        raise NotImplementedError


class Several(Tracer):
    """Several tracers in place of one."""

    def __init__(self, *tracers: Tracer) -> None:
        self._tracers = tracers

    def open(self, server: bool, http2: bool | None = None) -> Tap | None:
        taps = [each.open(server, http2) for each in self._tracers]
        found = [each for each in taps if each is not None]
        if len(found) < 2:
            return found[0] if found else None
        return Taps(found)


class Taps(Tap):
    """Several taps in place of one."""

    def __init__(self, taps: Iterable[Tap]) -> None:
        self.taps = list(taps)

    def sent(self, data: bytes | bytearray | memoryview) -> None:
        for each in self.taps:
            each.sent(data)

    def received(self, data: bytes | bytearray | memoryview) -> None:
        for each in self.taps:
            each.received(data)

    def closed(self) -> None:
        for each in self.taps:
            each.closed()
