"""How much of a processor this process uses, and how long it waits for one.

A command that measures a server needs both: where other programs take the processor, it is what is
slow long before it has used all of one. A leaf: knows the clocks of the system.
"""

import time
from typing import Final

#: Nanoseconds that the current thread has run, and has waited for a processor (Linux).
SCHEDULED: Final = "/proc/thread-self/schedstat"


class ProcessorShare:
    """The shares of the time since it was made. Use it in one thread."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._used = time.process_time()
        self._waited = waited()

    def seconds(self) -> float:
        """Return the seconds of processor time, of all threads."""
        return time.process_time() - self._used

    def used(self) -> float:
        """Return the share of one processor that the process used."""
        return self.seconds() / self._passed()

    def waited(self) -> float:
        """Return the share of the time for which this thread waited for a processor.

        0.0 if the system does not tell.
        """
        return (waited() - self._waited) / self._passed()

    def _passed(self) -> float:
        return max(time.perf_counter() - self._begun, 1e-9)


def waited() -> float:
    """Return the seconds for which this thread has waited for a processor; 0.0 if unknown."""
    try:
        with open(SCHEDULED, encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
