"""The errors of the asyncio layer: streams and connections that end early, or are never made.

They are subclasses of the engine's errors. Each has `retryable`: whether the request may be sent
again without harm. Must never know how an error is caused.
"""

import copy
from typing import Final

from cno.const import CNO_ERRNO_DISCONNECT, CNO_ERRNO_INVALID_STREAM
from cno.enums import ErrorCode
from cno.errors import ConnectionError, DisconnectError, Reason, UsageError, explained

#: What follows CANCEL in the error of a stream that was reset at this end.
LEFT: Final = " (it was left, or its connection closed, before its end)"


class StreamError(ConnectionError):
    """A stream was reset, by the peer or by us, before its messages were complete.

    `stream` is its id, `code` the `CNO_RST_*` of the reset (RFC 9113 section 7). `retryable`: the
    peer has not acted on the request (RFC 9113 section 8.7), which may be sent again with any
    method. Otherwise the peer may have acted on it.
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
    """A stream was reset because it waited longer for the peer than a limit allows.

    `limit` is the field of `Limits`, or for a time limit of the request `timeout.total`,
    `timeout.pool`, `timeout.write` or `timeout.read`.
    """


class ConnectionLostError(DisconnectError):
    """The connection ended, or takes no new requests.

    `stream` is the stream that was interrupted (0: none). `retryable`: nothing of the request was
    sent; or the peer has not acted on it; or its method is idempotent, and the peer closed a reused
    connection without a byte of response, in which case the request may be sent again once (RFC
    9110 9.2.2). Otherwise the peer may have acted on the request.
    """

    retryable: bool

    def __init__(self, text: str, *, stream: int = 0, retryable: bool = False) -> None:
        super().__init__(text, stream=stream)
        self.retryable = retryable


class ConnectionTimeoutError(ConnectionLostError, TimeoutError):
    """The connection was closed because it waited longer for the peer than a limit allows.

    `limit` is the field of `Limits`.
    """

    def __init__(
        self, text: str, *, stream: int = 0, retryable: bool = False, limit: str = ""
    ) -> None:
        super().__init__(explained(text, "", limit), stream=stream, retryable=retryable)
        self.limit = limit


class ConnectError(ConnectionError):
    """No connection could be made. `__cause__` is the error of the system, TLS or proxy, if any.

    `retryable` is True, since nothing of the request was sent, unless the server's certificate is
    not trusted, which will not change.
    """

    retryable: bool

    def __init__(self, text: str, *, code: int = 0, limit: str = "") -> None:
        super().__init__(CNO_ERRNO_DISCONNECT, text, code=code, limit=limit)
        self.retryable = True


class ConnectTimeoutError(ConnectError, TimeoutError):
    """No connection was made in time.

    `limit` is the field of `Limits` that sets the time, or for a time limit of the request
    `timeout.connect` or `timeout.total`.
    """


class ProxyError(ConnectError):
    """The proxy made no connection.

    `code` is the status of the proxy's response (0: none), `reason` its reason phrase, `headers`
    its header fields, and `content` the first 64 KiB of its content.
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


class StatusError(Exception):
    """The server answered with an error: `Response.raise_for_status`.

    `code` is the status, `reason` the reason phrase ('' in HTTP/2), `headers` the fields of the
    response. Not a `cno.ConnectionError`: the exchange of messages went well.
    """

    code: int
    reason: str
    headers: "list[tuple[str, str]]"

    def __init__(
        self, code: int, reason: str = "", headers: "list[tuple[str, str]] | None" = None
    ) -> None:
        super().__init__(code, reason, headers)
        self.code = code
        self.reason = reason
        self.headers = [] if headers is None else headers

    def __str__(self) -> str:
        return f"the server answered with {self.code} {self.reason}".rstrip()


class RequestRefusedError(Exception):
    """A handler refuses its request: the server responds with `code` and `headers`, and reports no
    failure. It has no effect once a response has begun."""

    def __init__(self, text: str, code: int, headers: "list[tuple[str, str]]") -> None:
        super().__init__(text, code, headers)
        self.code = code
        self.headers = headers

    def __str__(self) -> str:
        return str(self.args[0])


class BodyTooLargeError(ValueError):
    """A body is larger than the `limit`, in bytes, that `read`, `text` or `json` was given."""

    limit: int

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the body has more than {self.limit} bytes"


def end_error(text: str, stream: int, late: Reason | None) -> ConnectionLostError:
    """Return the error of a stream whose connection has ended; `late`: because of a timeout."""
    if late is None:
        return ConnectionLostError(text, stream=stream)
    return ConnectionTimeoutError(text, stream=stream, limit=late.limit)


def not_sent(why: Reason) -> StreamTimeoutError:
    """Return the error of a request that waited for too long to be sent."""
    return StreamTimeoutError(why.text, stream=0, code=0, retryable=True, limit=why.limit)


def fresh(error: Exception) -> Exception:
    """Return a copy of a stored error, to be raised; errors of other packages are not copied.

    Raising an error adds a traceback, which refers to all its frames. On an error that a connection
    stores, that would be a reference cycle, which only the garbage collector frees.
    """
    return copy.copy(error) if isinstance(error, ConnectionError) else error


def reworded(error: ConnectError, text: str) -> ConnectError:
    """Return a copy of an error with another text."""
    same = copy.copy(error)
    same.args = (error.errno, text)
    same.strerror = text
    return same


def set_retryable(error: StreamError | ConnectionLostError | ConnectError, value: bool) -> None:
    """Set whether a request may be sent again after an error that was made for another call."""
    error.retryable = value


def copy_reason(error: ConnectionError, cause: ConnectionError) -> None:
    """Set the rule and the limit of an error to those of its cause, which its text contains."""
    error.rule = cause.rule
    error.limit = cause.limit


def claim(error: Exception, connection: int) -> None:
    """Set the number of the connection that an error is about, unless it has one."""
    if isinstance(error, ConnectionError) and not isinstance(error, UsageError):
        if error._connection == 0:
            error._connection = connection


def said(error: BaseException) -> str:
    """Return the text of an error, or the name of its class if it has none."""
    return str(error) or type(error).__name__


def name_of(code: int) -> str:
    """Return the name of an error code (RFC 9113 section 7)."""
    return ErrorCode(code).name if 0 <= code <= 13 else f"error code {code:#x}"
