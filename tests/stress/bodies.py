"""Bodies that both sides know without sending them, and what checks them byte by byte.

Each request's body is a part of the same random bytes, at a place that its number and direction
decide: a byte lost, doubled, swapped or taken from another request shows.
"""

import contextvars
import random
import weakref
from typing import ClassVar

#: The largest body, in bytes.
LARGEST = 2_097_152
#: Bodies begin anywhere in that many bytes.
_PLACES = 1_000_003
BASE = random.Random(20).randbytes(_PLACES + LARGEST)

UP, DOWN = 0, 1


class WrongBody(Exception):
    """A body that is not as it was sent."""


class Mark:
    """What a request sets the context variable to; `Mark.alive` has those somebody still holds."""

    alive: ClassVar["weakref.WeakSet[Mark]"] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        Mark.alive.add(self)


#: Set by each request, in the process that sends it and in the one that answers.
MARK: contextvars.ContextVar[Mark | None] = contextvars.ContextVar("MARK", default=None)


def place(number: int, direction: int) -> int:
    """Return where in BASE the body of this request or response begins."""
    return (number * 2 + direction) * 7_919 % _PLACES


def body(number: int, direction: int, size: int) -> bytes:
    start = place(number, direction)
    return BASE[start : start + size]


class Check:
    """Compares a body with what it has to be, as it comes."""

    def __init__(self, expected: bytes, start: int, size: int) -> None:
        self._expected = memoryview(expected)[start : start + size]
        self.size = size
        self.seen = 0

    @classmethod
    def of(cls, number: int, direction: int, size: int) -> "Check":
        return cls(BASE, place(number, direction), size)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises WrongBody."""
        end = self.seen + len(data)
        if end > self.size:
            raise WrongBody(f"{end:,} bytes or more instead of {self.size:,}")
        if data != self._expected[self.seen : end]:
            pairs = zip(data, self._expected[self.seen : end], strict=True)
            first = next(index for index, (a, b) in enumerate(pairs) if a != b)
            raise WrongBody(f"wrong from byte {self.seen + first:,} of {self.size:,} on")
        self.seen = end

    def end(self) -> None:
        """The body is said to be complete. Raises WrongBody if it is not."""
        if self.seen != self.size:
            raise WrongBody(f"{self.seen:,} of {self.size:,} bytes were taken for all")
