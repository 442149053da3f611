"""Times of many requests: percentiles, and a histogram in text.

Keeps counts of times in classes, each 1 % wide: any number of times takes the same memory. Must
never know what was timed.
"""

import math
from typing import Final

#: The ratio of the bounds of a class, and the shortest time, in seconds.
RATIO: Final = 1.01
SHORTEST: Final = 1e-6
_SCALE: Final = 1 / math.log(RATIO)
#: Classes: up to about three hours.
CLASSES: Final = 2_320
BARS: Final = " ▏▎▍▌▋▊▉█"


class Times:
    """Times in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * CLASSES
        self.count = 0
        self.total = 0.0
        self.least = math.inf
        self.most = 0.0
        self._squares = 0.0

    def add(self, seconds: float) -> None:
        """Count a time."""
        self.count += 1
        self.total += seconds
        self._squares += seconds * seconds
        if seconds < self.least:
            self.least = seconds
        if seconds > self.most:
            self.most = seconds
        number = int(math.log(seconds / SHORTEST) * _SCALE) if seconds > SHORTEST else 0
        self._counts[min(number, CLASSES - 1)] += 1

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        if not self.count:
            return 0.0
        return math.sqrt(max(0.0, self._squares / self.count - self.mean**2))

    def percentile(self, share: float) -> float:
        """Return the time that this share of all (0 to 100) does not exceed, within 1 %."""
        left = self.count * share / 100
        if not self.count:
            return 0.0
        for number, count in enumerate(self._counts):
            left -= count
            if count and left <= 1e-9:
                upper = SHORTEST * RATIO ** (number + 1)
                return min(self.most, max(self.least, upper))
        return self.most

    def groups(self, most: int) -> list[tuple[float, float, int]]:
        """Return at most so many classes of equal width, as (from, to, count)."""
        if not self.count:
            return []
        low, high = self.least, max(self.percentile(99.9), self.least * RATIO)
        width = (high - low) / most
        found = [0] * (most + 1)
        for number, count in enumerate(self._counts):
            if count:
                middle = SHORTEST * RATIO ** (number + 0.5)
                found[max(0, min(most, int((middle - low) / width)))] += count
        last = found.pop()
        groups = [(low + i * width, low + (i + 1) * width, n) for i, n in enumerate(found)]
        return [*groups, (high, self.most, last)] if last else groups


def time_text(seconds: float) -> str:
    """Return a time for people, with three digits."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f} ms"
    return f"{seconds:.2f} s"


def histogram(times: Times, rows: int, width: int, ascii_only: bool) -> list[str]:
    """Return the lines of a histogram."""
    groups = times.groups(rows)
    most = max((count for _, _, count in groups), default=1) or 1
    lines = []
    for low, high, count in groups:
        length = count / most * width
        if ascii_only:
            bar = "#" * max(round(length), int(count > 0))
        else:
            part = BARS[int((length % 1) * 8)]
            bar = "█" * int(length) + (part if part != " " else "▏" if count and length < 1 else "")
        lines.append(f"  {time_text(low):>8} - {time_text(high):>8} {count:>9,}  {bar}")
    return lines
