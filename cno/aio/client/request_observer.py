"""What follows one request of a client through its connections.

Must never know what is observed for: `request_watch` does.
"""

import asyncio

from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers


class RequestObserver:
    """Follows one request of a client. Each method says what happens to the request.

    `times_reads`: it limits the waits for the server, in place of the connection's limits.
    """

    def __init__(self) -> None:
        self.times_reads = False

    def waits(self, waiter: asyncio.Future[None], origin: object) -> None:
        """Note that the request waits on `waiter`, before it is sent; `origin`: for a connection.

        The observer may end the wait by an exception.
        """

    def check(self) -> None:
        """Raise an exception if the request must not go on."""

    def begin(self, response: StreamState) -> None:
        """Note that the request is being sent, and `response` awaited."""

    def informational(self, code: int, headers: Headers) -> None:
        """Note that an interim (1xx) response has been received."""

    def ended(self, response: StreamState) -> None:
        """Note that the stream of a response has ended."""
