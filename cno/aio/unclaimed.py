"""Pushes that nobody has asked for yet: how many a client keeps, and how much of them.

A server may push whatever it likes, and `Response.pushed` may never be looked at. A leaf: knows
numbers of streams, and no connection.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from cno.const import DEFAULT_WINDOW
from cno.limits import Limits, bound, window

if TYPE_CHECKING:
    from cno.aio.output import Headers

#: The part of a connection's window that such pushes may take.
PART: Final = 4
#: Bytes that a field takes beyond its name and value (RFC 9113 6.5.2).
OVERHEAD: Final = 32


class Unclaimed:
    """The bytes of promises and bodies that a connection holds for pushes which may never be
    claimed, complete ones included."""

    def __init__(self, limits: Limits) -> None:
        self._sizes: dict[int, int] = {}  # by stream
        self._size: i64 = 0
        self._most: i64 = max(DEFAULT_WINDOW, window(limits.connection_window)) // PART
        self._most_pushes: i64 = bound(limits.max_pushes)

    def promised(self, stream: int, headers: "Headers") -> bool:
        """A server promises a push; whether there is room for it."""
        size: i64 = 0
        for name, value in headers:
            size += len(name) + len(value) + OVERHEAD
        if len(self._sizes) >= self._most_pushes or self._size + size > self._most:
            return False
        self._sizes[stream] = int(size)
        self._size += size
        return True

    def received(self, stream: int, size: int) -> bool:
        """So much of a body has come; whether there is room for it, or somebody wants it."""
        known = self._sizes.get(stream)
        if known is None:
            return True
        if self._size + size > self._most:
            return False
        self._sizes[stream] = known + size
        self._size += size
        return True

    def release(self, stream: int) -> None:
        """Somebody has asked for this push, or it has been cancelled."""
        known = self._sizes.pop(stream, None)
        if known is not None:
            self._size -= known
