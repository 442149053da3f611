"""The flow-control windows of a connection, as far as its frames show them (RFC 9113 5.2, 6.9).

Knows what DATA, WINDOW_UPDATE and SETTINGS do to windows. Must never know who is at fault.
"""

from cno.const import DEFAULT_WINDOW


class SenderWindows:
    """What one side may send: on the connection and on each stream, in bytes."""

    def __init__(self) -> None:
        self.connection = DEFAULT_WINDOW
        self.initial = DEFAULT_WINDOW
        self._streams: dict[int, int] = {}  # relative to `initial`

    def open(self, stream: int) -> None:
        """A stream has begun."""
        self._streams.setdefault(stream, 0)

    def close(self, stream: int) -> None:
        """A stream has ended in both directions."""
        self._streams.pop(stream, None)

    def of(self, stream: int) -> int | None:
        """Return the window of a stream; None if it is not open."""
        offset = self._streams.get(stream)
        return None if offset is None else self.initial + offset

    def sent(self, stream: int, size: int) -> None:
        """Count a DATA frame."""
        self.connection -= size
        self._add(stream, -size)

    def widened(self, stream: int, increment: int) -> None:
        """Count a WINDOW_UPDATE of the other side."""
        if stream == 0:
            self.connection += increment
        else:
            self._add(stream, increment)

    def _add(self, stream: int, size: int) -> None:
        if stream in self._streams:
            self._streams[stream] += size
