"""Limits on unclaimed pushes: those that the application has not taken from `Response.pushed`.

A server may push anything, and the application may never read `Response.pushed`. A leaf: knows the
ids of streams, and no connection.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from cno.const import DEFAULT_WINDOW
from cno.limits import Limits, bound, window

if TYPE_CHECKING:
    from cno.aio.fields import Headers

#: Unclaimed pushes may take 1/PART of the connection's window.
PART: Final = 4
#: Bytes that a field takes beyond its name and value (RFC 9113 6.5.2).
OVERHEAD: Final = 32


class Unclaimed:
    """The bytes of promises and bodies of a connection's unclaimed pushes, complete ones too."""

    def __init__(self, limits: Limits) -> None:
        self._sizes: dict[int, int] = {}  # by stream
        self._size: i64 = 0
        self._most: i64 = max(DEFAULT_WINDOW, window(limits.connection_window)) // PART
        self._most_pushes: i64 = bound(limits.max_pushes)

    def promised(self, stream: int, headers: "Headers") -> bool:
        """Count a promised push. Return False, and count nothing, if there is no room."""
        size: i64 = 0
        for name, value in headers:
            size += len(name) + len(value) + OVERHEAD
        if len(self._sizes) >= self._most_pushes or self._size + size > self._most:
            return False
        self._sizes[stream] = int(size)
        self._size += size
        return True

    def received(self, stream: int, size: int) -> bool:
        """Count bytes of a push's body. Return False if it is unclaimed and there is no room."""
        known = self._sizes.get(stream)
        if known is None:
            return True
        if self._size + size > self._most:
            return False
        self._sizes[stream] = known + size
        self._size += size
        return True

    def release(self, stream: int) -> None:
        """Stop counting a push that has been claimed or cancelled."""
        known = self._sizes.pop(stream, None)
        if known is not None:
            self._size -= known
