"""When a worker that died is started again: at once, or later if workers die one after the other.

Knows times and counts. Must never know processes.
"""

from typing import Final

#: Seconds after which a worker that dies counts as one that had worked.
LONG_ENOUGH: Final = 10.0
#: Seconds before the second start in a row, which double with each further one.
FIRST_DELAY: Final = 0.5
#: Seconds of the longest delay.
LONGEST_DELAY: Final = 30.0


class Backoff:
    """Counts deaths that follow one another. `due` is the time of the next start."""

    def __init__(self) -> None:
        self.failures = 0
        self.due = 0.0

    def died(self, now: float, age: float) -> float:
        """Note that a worker has died at `age` seconds; return the delay before the next start."""
        if age >= LONG_ENOUGH:
            self.failures = 0
        self.failures += 1
        delay = 0.0
        if self.failures > 1:
            delay = min(FIRST_DELAY * 2.0 ** min(self.failures - 2, 16), LONGEST_DELAY)
        self.due = max(self.due, now + delay)
        return delay

    def reset(self) -> None:
        """Forget what was: the user asks for new workers."""
        self.failures = 0
        self.due = 0.0
