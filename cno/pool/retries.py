"""Whether one request may be sent again, over which connection, and after what pause.

Knows what the server has promised. Must never know connections, or how a request is written.
"""

from typing import Final

from mypy_extensions import i64

#: Seconds before a request is sent for the third time; they double with each further time.
FIRST_PAUSE: Final = 0.02


class Retries:
    """The history of one request.

    `limit` is how often it is sent again at most. `retry_idempotent`: send a request with an
    idempotent method again although the server may have acted on it (RFC 9110 9.2.2).
    """

    def __init__(self, limit: int, retry_idempotent: bool) -> None:
        self._limit: i64 = limit
        self._retry_idempotent = retry_idempotent
        self._count: i64 = 0  # retries that the limit counts
        self._passed_over = False  # by the last server, which answered requests before this one
        self._repeated = False  # it may have been processed, and is sent once more
        self._misdirected = False  # a server has answered 421

    @property
    def goes_first(self) -> bool:
        """Whether the request waits in front of those that have not been sent yet.

        Otherwise a server that ends connections again and again could refuse the same one each
        time.
        """
        return self._count > 0 or self._passed_over

    @property
    def needs_unused(self) -> bool:
        """Whether only a connection will do that has had no request."""
        return self._repeated or self._misdirected

    def failed(self, *, retryable: bool, passed_over: bool, idempotent: bool) -> bool:
        """Return whether to send the request again after it failed.

        `retryable`: the error says so. `passed_over`: the server answered requests of the same
        connection before this one, and announced its end by GOAWAY. That happens no more often than
        there are other requests, so it needs neither a limit nor a pause. `idempotent`: only the
        method allows it, for the server may have acted on the request.
        """
        self._passed_over = passed_over
        if not retryable or (self._count >= self._limit and not passed_over):
            return False
        if idempotent:
            # > A client SHOULD NOT automatically retry a failed automatic retry.
            # > (RFC 9110 9.2.2)
            if self._repeated or not self._retry_idempotent:
                return False
            self._repeated = True
        return True

    def blocked(self) -> None:
        """Note that the connection did not take the request after all."""
        self._passed_over = False

    def misdirected(self) -> bool:
        """Return whether to send the request again after a 421 (Misdirected Request)."""
        # > A client that receives a 421 (Misdirected Request) response MAY retry the request,
        # > whether or not the request method is idempotent, over a different connection, such as a
        # > fresh connection specific to the target resource's origin   (RFC 9110 15.5.20)
        if self._misdirected or self._count >= self._limit:
            return False
        self._misdirected = True
        self._passed_over = False
        return True

    def pause(self) -> float:
        """Count a retry, and return the seconds to wait before it."""
        if self._passed_over:
            return 0.0
        self._count += 1
        if self._count < 2:
            return 0.0
        return FIRST_PAUSE * float(1 << min(self._count - 2, 6))
