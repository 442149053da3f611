"""The `Date` field of responses (RFC 9110 6.6.1), made once a second for all connections.

Reads the system's clock. Connections read none: one that sends `Date` is given a `DateSource`. Must
never know a connection.
"""

import time
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64, mypyc_attr

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def http_date(seconds: int) -> str:
    """Return a time since the epoch as an HTTP-date: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    # > When a sender generates a field that contains one or more timestamps defined as HTTP-date,
    # > the sender MUST generate those timestamps in the IMF-fixdate format.   (RFC 9110 5.6.7)
    at = time.gmtime(seconds)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


@mypyc_attr(acyclic=True)
class Stamp:
    """The field as it is during one second."""

    def __init__(self, second: i64) -> None:
        value = http_date(int(second))
        self.second: i64 = second  # since the epoch
        self.pair: object = ("date", value)  # HTTP/2
        self.line = f"date: {value}\r\n".encode()  # HTTP/1.1


@mypyc_attr(acyclic=True)
class DateSource:
    """Gives the field of the present second."""

    def __init__(self) -> None:
        #: Seconds since the epoch. (Kept here: to look `time.time` up each time takes as long again
        #: as to call it.)
        self.clock: Callable[[], float] = time.time
        self._latest = Stamp(0)

    def now(self) -> Stamp:
        """Return the field of the present second."""
        second = i64(self.clock())
        latest = self._latest
        if latest.second != second:
            latest = self._latest = Stamp(second)
        return latest


#: That of all connections of the process.
SYSTEM: Final = DateSource()
