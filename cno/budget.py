"""A token bucket: a number of tokens, and a rate of refill. Bounds what is cheap for the peer only.

A leaf. It gets the time from a clock. Without one, only `refund` refills it: useful traffic pays
for useless traffic.
"""

from collections.abc import Callable

from mypy_extensions import i64, mypyc_attr


@mypyc_attr(acyclic=True)
class Bucket:
    """A bucket of `size` tokens that gains `rate` tokens per second, up to `size`."""

    def __init__(self, size: i64, rate: float) -> None:
        self.size: i64 = size
        self.left: i64 = size
        self.rate = rate
        self.stamp = -1.0  # time of the last refill; negative before the first use

    def spend(self, amount: i64, clock: Callable[[], float] | None) -> bool:
        """Take tokens. Return False if there are not enough."""
        if clock is not None:
            self._refill(clock())
        self.left -= amount
        return self.left >= 0

    def refund(self, amount: i64) -> None:
        """Return tokens for useful traffic."""
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
            # Keep the time for a fraction of a token: it counts in the next refill.
            whole = int(gained)
            self.left += whole
            self.stamp += whole / self.rate
