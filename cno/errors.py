"""The exceptions of the package.

Two separate families. `ConnectionError` and its subclasses are public: methods of a connection
raise them. `ConnectionFault` and `StreamFault` are internal: they say that *the peer* broke a rule.
The driver turns them into frames, events and a `ProtocolError`.

This module stays interpreted (see setup.py), so that applications can subclass the public classes.
"""

import builtins
from typing import Any

from cno.const import (
    CNO_ERRNO_ASSERTION,
    CNO_ERRNO_DISCONNECT,
    CNO_ERRNO_INVALID_STREAM,
    CNO_ERRNO_NO_MEMORY,
    CNO_ERRNO_NOT_IMPLEMENTED,
    CNO_ERRNO_PROTOCOL,
    CNO_ERRNO_WOULD_BLOCK,
)
from cno.strict import check_types


class ConnectionError(builtins.ConnectionError):
    """A call on a connection failed.

    `errno` is one of `CNO_ERRNO_*`, `strerror` the text. `stream` is the stream concerned (0: the
    connection), `code` the HTTP/2 error code or HTTP/1.1 status that was sent (0: none), `rule` the
    section that was broken ('': none), `limit` the field of `Limits` to raise or to switch on to
    accept this ('': none).
    """

    stream: int
    code: int
    rule: str
    limit: str
    #: asyncio: the number of the connection whose stream, or end, this is about; 0: of none.
    _connection: int = 0

    def __init__(
        self,
        errno: int,
        text: str,
        *,
        stream: int = 0,
        code: int = 0,
        rule: str = "",
        limit: str = "",
    ) -> None:
        super().__init__(errno, explained(text, rule, limit))
        self.stream = stream
        self.code = code
        self.rule = rule
        self.limit = limit

    def __str__(self) -> str:
        return self.strerror or ""

    def concerns(self, message: object) -> bool:
        """Return whether this is about the stream or the connection of a message.

        asyncio: `message` is a `cno.Request`, `cno.Response` or `cno.Tunnel`. In a handler that
        uses other connections too, `error.concerns(request)` means that the client has gone.
        """
        about: Any = message
        ours = self._connection != 0 and self._connection == about.conn._number
        return ours and self.stream in (0, about.stream)

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError.__reduce__ would call the class with `args`, which these classes do not accept.
        return rebuild, (type(self), self.args), self.__dict__


def explained(text: str, rule: str, limit: str) -> str:
    """Return what happened, by which rule, and what would let it pass: a field of `Limits`, or a
    time limit of the request, like `timeout.read`."""
    if rule:
        text = f"{text} [{rule}]"
    if limit:
        text += f" ({limit})" if "." in limit else f" (Limits.{limit})"
    return text


def rebuild(cls: type[ConnectionError], args: tuple[Any, ...]) -> ConnectionError:
    """Return an error of this class with these `args`; `copy` and `pickle` add its attributes."""
    error = cls.__new__(cls)
    builtins.ConnectionError.__init__(error, *args)
    return error


class UsageError(ConnectionError):
    """The application made a call that is not allowed now, or passed values that must not be sent.

    Nothing was written, and the connection still works.
    """

    def __init__(self, text: str, *, stream: int = 0, rule: str = "") -> None:
        super().__init__(CNO_ERRNO_ASSERTION, text, stream=stream, rule=rule)


class NoMemoryError(ConnectionError):
    """Kept for programs that look for `CNO_ERRNO_NO_MEMORY`; Python raises MemoryError itself."""

    def __init__(self, text: str) -> None:
        super().__init__(CNO_ERRNO_NO_MEMORY, text)


class UnsupportedError(ConnectionError):
    """The protocol in use does not support this (for example a PING in HTTP/1.1)."""

    def __init__(self, text: str, *, stream: int = 0, rule: str = "") -> None:
        super().__init__(CNO_ERRNO_NOT_IMPLEMENTED, text, stream=stream, rule=rule)


class ProtocolError(ConnectionError):
    """The peer broke the protocol. The error has been answered and `close()` called."""

    def __init__(
        self, text: str, *, stream: int = 0, code: int = 0, rule: str = "", limit: str = ""
    ) -> None:
        super().__init__(CNO_ERRNO_PROTOCOL, text, stream=stream, code=code, rule=rule, limit=limit)


class InvalidStreamError(ConnectionError):
    """There is no such stream. Nothing was written."""

    def __init__(self, text: str, *, stream: int = 0, rule: str = "") -> None:
        super().__init__(CNO_ERRNO_INVALID_STREAM, text, stream=stream, rule=rule)


class WouldBlockError(ConnectionError):
    """Another message must be complete first, or the peer allows no more. Try again later."""

    def __init__(self, text: str, *, stream: int = 0, rule: str = "") -> None:
        super().__init__(CNO_ERRNO_WOULD_BLOCK, text, stream=stream, rule=rule)


class DisconnectError(ConnectionError):
    """The connection is closed, or accepts no new streams."""

    def __init__(self, text: str, *, stream: int = 0) -> None:
        super().__init__(CNO_ERRNO_DISCONNECT, text, stream=stream)


for _each in (
    ConnectionError,
    UsageError,
    NoMemoryError,
    UnsupportedError,
    ProtocolError,
    InvalidStreamError,
    WouldBlockError,
    DisconnectError,
):
    check_types(_each)


class ConnectionFault(Exception):
    """The peer broke a rule in a way that ends the connection.

    `code` is an HTTP/2 error code, or in HTTP/1.1 the status of the response (0: only close).
    `limit` is the field of `Limits` that would accept this ('': none).
    """

    def __init__(self, code: int, text: str, rule: str, limit: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.rule = rule
        self.limit = limit


class StreamFault(Exception):
    """The peer broke a rule in a way that ends one stream (HTTP/2 only)."""

    def __init__(self, stream: int, code: int, text: str, rule: str, limit: str = "") -> None:
        super().__init__(text)
        self.stream = stream
        self.code = code
        self.text = text
        self.rule = rule
        self.limit = limit


class Reason:
    """Why a stream or the connection ends: the content of a fault without its traceback."""

    def __init__(self, text: str, rule: str, limit: str) -> None:
        self.text = text
        self.rule = rule
        self.limit = limit
