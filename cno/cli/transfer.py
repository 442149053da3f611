"""The record of one fetch: the requests, the responses, and their times.

Knows the times and sizes that `-w` and HAR files report. Must never know a connection.
"""

from typing import Final

from cno.cli.connecting import Timings
from cno.cli.fetch import Fetch
from cno.cli.values import Values, fresh

Headers = list[tuple[str, str]]

#: Concurrent fetches that print to standard output. Responses that are not printed yet wait unread,
#: and must fit into the connection's window beside the one that is being printed.
MAX_PRINTING: Final = 4
#: Concurrent fetches that write to files.
MAX_SAVING: Final = 16


class Hop(Values):
    """One request and its response. Times are those of the event loop's clock; 0: not reached."""

    fetch: Fetch
    begun: float
    version: str = ""
    connection: Timings | None = None  #: If the connection was made for this request.
    number: int = 0  #: Of the connection in the trace; 0: there is no trace.
    stream: int = 0
    remote: tuple[str, int] = ("", 0)
    local: tuple[str, int] = ("", 0)
    ready: float = 0.0  #: The connection is there.
    sent: float = 0.0  #: The request was written, or had begun to be.
    answered: float = 0.0  #: The head came.
    ended: float = 0.0
    code: int = 0
    reason: str = ""
    headers: Headers = fresh(default_factory=list)
    size: int = 0  #: Bytes of the body, as they came.
    before: int = 0  #: Bytes of the file that earlier responses brought: the body continues it.
    content: bytes | None = None  #: The body, if it is kept for a HAR file.
    wall: float = 0.0  #: Seconds since 1970 at which it began.


class Transfer(Values):
    """The fetch of one URL, with its redirects."""

    number: int
    url: str
    wanted: float  #: The command began.
    begun: float = 0.0  #: It was one of the fetches that a command has at once.
    hops: list[Hop] = fresh(default_factory=list)
    retries: int = 0
    ended: float = 0.0
    status: int = 0
    error: str = ""
    filename: str = ""

    @property
    def last(self) -> Hop | None:
        return self.hops[-1] if self.hops else None
