"""Errors of connections that could not be made: the same for `connect`, `request` and `Pool`.

Knows what the system, TLS and proxies raise. Must never know how a connection is made, or who waits
for it.
"""

import ssl
from typing import Final

from cno.aio.client.urls import Target
from cno.aio.errors import ConnectError, ConnectTimeoutError, name_of, reworded, said, set_retryable
from cno.errors import Reason, explained

CLOSED_BEFORE_USE: Final = "the connection was closed before its first request"
CLOSED_IN_HANDSHAKE: Final = "the peer closed the connection during the TLS handshake"

#: What OpenSSL calls bytes that are not TLS.
NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
NO_TLS_HINT: Final = " (if the server does not use TLS, the URL begins with http:)"


def closed_before_use(why: Reason | None, code: int) -> OSError:
    """Return the cause where the server accepts a connection and closes it.

    `why` is what it sent that this end refused, `code` the error code of its GOAWAY (0: none).
    """
    if why is None:
        says = f": {name_of(code)}" if code != 0 else ""
        return ConnectionAbortedError(CLOSED_BEFORE_USE + says)
    return ConnectionAbortedError(explained(why.text, why.rule, why.limit))


def connect_timeout(patience: float, limit: str = "handshake_timeout") -> ConnectTimeoutError:
    """Return the cause where a time limit of connecting has passed, in seconds."""
    return ConnectTimeoutError(f"no connection within {patience:g} s", limit=limit)


def connect_error(target: Target, cause: OSError) -> ConnectError:
    """Return the error of a connection to `target` that could not be made.

    Make a new one for each waiting call. Its `__cause__` has no traceback, which would refer to all
    objects of the attempt.
    """
    what = said(cause)
    if type(cause) is ConnectionResetError and not cause.args:
        what = CLOSED_IN_HANDSHAKE  # asyncio and uvloop say no more than that
    if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", "") in NOT_TLS:
        what += NO_TLS_HINT
    text = f"cannot connect to {target.authority}: {what}"
    error = ConnectError(text)
    if isinstance(cause, ConnectError):
        error = reworded(cause, text)  # a proxy's, or a timeout
    elif isinstance(cause, TimeoutError):
        error = ConnectTimeoutError(text)
    elif isinstance(cause, ssl.SSLCertVerificationError):
        set_retryable(error, False)  # nothing was sent, but it will be no better the next time
    error.__cause__ = cause.with_traceback(None)
    return error
