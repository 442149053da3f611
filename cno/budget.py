"""A token bucket: so many at once, so many a second. What a peer may do that costs us but not it.

A leaf. It is told the time; without a clock it never refills by itself, only by `refund`: what gets
something done pays for what does not.
"""

from collections.abc import Callable

from mypy_extensions import i64, mypyc_attr


@mypyc_attr(acyclic=True)
class Bucket:
    """Holds `size` tokens and gains `rate` of them a second, up to `size`."""

    def __init__(self, size: i64, rate: float) -> None:
        self.size: i64 = size
        self.left: i64 = size
        self.rate = rate
        self.stamp = -1.0  # when it was last refilled; before the first spending: never

    def spend(self, amount: i64, clock: Callable[[], float] | None) -> bool:
        """Take tokens; False if there are not enough."""
        if clock is not None:
            self._refill(clock())
        self.left -= amount
        return self.left >= 0

    def refund(self, amount: i64) -> None:
        """Give tokens back for traffic that got something done."""
        if self.left < self.size:
            self.left = min(self.size, self.left + amount)

    def _refill(self, now: float) -> None:
        if self.stamp < 0.0 or now < self.stamp:
            self.stamp = now
            return
        gained = (now - self.stamp) * self.rate
        room: int = self.size - self.left
        if gained >= room:
            self.left = self.size
            self.stamp = now
        elif gained >= 1.0:
            # What is less than a whole token is not lost: the time for it still counts.
            whole = int(gained)
            self.left += whole
            self.stamp += whole / self.rate
