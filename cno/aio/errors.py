"""What a user of the asyncio layer catches when a peer, or the network, ends something early.

Knows the engine's errors, whose subclasses these are; must never know how they come about. Each of
them has `retryable`: whether the request may be sent again without harm.
"""

import copy

from cno.const import CNO_ERRNO_DISCONNECT, CNO_ERRNO_INVALID_STREAM
from cno.enums import ErrorCode
from cno.errors import ConnectionError, DisconnectError, Reason, UsageError, explained


class StreamError(ConnectionError):
    """A stream ended before its messages did: the peer reset it, or we did.

    `stream` is its id, `code` the `CNO_RST_*` it ended with (RFC 9113 section 7). `retryable` says
    that the peer promises not to have acted on the request (RFC 9113 section 8.7): it may be sent
    again, whatever its method. Else it may have been acted on.
    """

    retryable: bool

    def __init__(
        self,
        text: str,
        *,
        stream: int,
        code: int,
        retryable: bool = False,
        rule: str = "",
        limit: str = "",
    ) -> None:
        super().__init__(
            CNO_ERRNO_INVALID_STREAM, text, stream=stream, code=code, rule=rule, limit=limit
        )
        self.retryable = retryable


class StreamTimeoutError(StreamError, TimeoutError):
    """The peer let a stream wait for longer than a limit allows, and the stream was given up.

    `limit` is that field of `Limits`.
    """


class ConnectionLostError(DisconnectError):
    """The connection ended, or takes no new requests.

    `stream` is the stream that was cut short (0: none). `retryable` says that nothing of the
    request was sent, or that the peer promises not to have acted on it; or that its method is
    idempotent, and that the connection, over which others had been answered, was ended by the peer
    without a byte of answer (RFC 9110 9.2.2): once more may be tried. Else it may have been acted
    on: a connection that ends without an answer does not tell.
    """

    retryable: bool

    def __init__(self, text: str, *, stream: int = 0, retryable: bool = False) -> None:
        super().__init__(text, stream=stream)
        self.retryable = retryable


class ConnectionTimeoutError(ConnectionLostError, TimeoutError):
    """The peer let the connection wait for longer than a limit allows, and it was closed.

    `limit` is that field of `Limits`.
    """

    def __init__(
        self, text: str, *, stream: int = 0, retryable: bool = False, limit: str = ""
    ) -> None:
        super().__init__(explained(text, "", limit), stream=stream, retryable=retryable)
        self.limit = limit


class ConnectError(ConnectionError):
    """There is no connection to send a request on; `__cause__` has the reason, if another said it.

    `retryable` is True, since nothing of the request was sent, but where the server's certificate
    is not to be trusted: that will be so the next time as well.
    """

    retryable: bool

    def __init__(self, text: str, *, code: int = 0, limit: str = "") -> None:
        super().__init__(CNO_ERRNO_DISCONNECT, text, code=code, limit=limit)
        self.retryable = True


class ConnectTimeoutError(ConnectError, TimeoutError):
    """No connection was made in time. `limit` is the field of `Limits` that sets the time."""


class ProxyError(ConnectError):
    """The proxy made no connection.

    `code` is the status that the proxy answered with (0: none), `reason` its reason phrase,
    `headers` the header fields of that answer, and `content` the first 64 KiB of its content.
    """

    def __init__(
        self,
        text: str,
        *,
        code: int = 0,
        reason: str = "",
        headers: "list[tuple[str, str]] | None" = None,
        content: bytes = b"",
    ) -> None:
        super().__init__(text, code=code)
        self.reason = reason
        self.headers = [] if headers is None else headers
        self.content = content


def end_error(text: str, stream: int, late: Reason | None) -> ConnectionLostError:
    """Return the error of a stream whose connection has ended; `late`: because of a timeout."""
    if late is None:
        return ConnectionLostError(text, stream=stream)
    return ConnectionTimeoutError(text, stream=stream, limit=late.limit)


def fresh(error: Exception) -> Exception:
    """An error that is kept, to be raised: ours as a copy, of which nothing is kept.

    A traceback holds all frames it went through. From an error that a connection holds, it would
    make a cycle, and the connection would live on until the garbage collector comes.
    """
    return copy.copy(error) if isinstance(error, ConnectionError) else error


def reworded(error: ConnectError, text: str) -> ConnectError:
    """Return a copy of an error with another text."""
    same = copy.copy(error)
    same.args = (error.errno, text)
    same.strerror = text
    return same


def claim(error: Exception, connection: int) -> None:
    """Note that this is about the connection of that number, unless it is about another already."""
    if isinstance(error, ConnectionError) and not isinstance(error, UsageError):
        if error._connection == 0:
            error._connection = connection


def said(error: BaseException) -> str:
    """Return the text of an error, or else what it is."""
    return str(error) or type(error).__name__


def name_of(code: int) -> str:
    """The name that RFC 9113 section 7 gives an error code."""
    return ErrorCode(code).name if 0 <= code <= 13 else f"error code {code:#x}"
