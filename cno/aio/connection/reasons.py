"""Why a stream or its connection has ended, as the error that waiting calls raise.

Must never know requests and responses.
"""

from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.state import Link
from cno.aio.errors import (
    LEFT,
    ConnectionLostError,
    StreamError,
    StreamTimeoutError,
    end_error,
    name_of,
)
from cno.const import (
    CNO_LOCAL,
    CNO_RST_CANCEL,
    CNO_RST_HTTP_1_1_REQUIRED,
    CNO_RST_REFUSED_STREAM,
)


def of_reset(conn: Link, stream: int, code: int, side: int, where: str) -> Exception:
    """Return the error of a stream that was reset; `where`: how much the peer had sent."""
    late = conn._life.timed_out
    if late is not None and side == CNO_LOCAL:
        return StreamTimeoutError(late.text, stream=stream, code=code, limit=late.limit)
    why = conn._end_reason
    if why is not None and side == CNO_LOCAL:
        return StreamError(why.text, stream=stream, code=code, rule=why.rule, limit=why.limit)
    if conn._life.phase >= LOST:
        return of_loss(conn, stream, where)
    who = "here" if side == CNO_LOCAL else "by the peer"
    # > A REFUSED_STREAM error ... any request that was sent on the reset stream can be safely
    # > retried.   (RFC 9113 8.7)
    # A server that requires HTTP/1.1 has not acted on a request of HTTP/2 either. (RFC 9113 7)
    refused = code == CNO_RST_REFUSED_STREAM or code == CNO_RST_HTTP_1_1_REQUIRED
    again = side != CNO_LOCAL and refused
    text = f"stream {stream} was reset {who}: {name_of(code)}"
    if side == CNO_LOCAL and code == CNO_RST_CANCEL:
        text += LEFT
    return StreamError(text, stream=stream, code=code, retryable=again)


def of_loss(conn: Link, stream: int, where: str = "") -> ConnectionLostError:
    """Return the error for calls that wait on a connection that has ended."""
    lost = end_error(conn._life.cause + where, stream, conn._life.timed_out)
    lost._connection = conn._number
    return lost
