"""How long a client waits for a response to begin, and for a push."""

from typing import Final

from mypy_extensions import i64

from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink
from cno.aio.connection import send_queue
from cno.aio.connection.durations import past
from cno.aio.connection.progress import is_sending
from cno.errors import Reason

NO_RESPONSE: Final = Reason("no response came in time", "", "response_timeout")
NO_PUSH: Final = Reason("no push came in time", "", "body_timeout")


def overdue(conn: ClientLink, response: ResponseState, now: float) -> Reason | None:
    """Return what a server has not sent in time on this stream; None if nothing is late."""
    why = not_received(conn, response, now)
    if why is not None and is_sending(conn.transport):
        response._late_since = now  # the server has not received the whole request yet
        return None
    return why


def not_received(conn: ClientLink, response: ResponseState, now: float) -> Reason | None:
    mark: i64 = 0
    waiting = False
    pushes = response._pushes
    if response.code == 0:
        head = response._head_waiter
        waiting = head is not None and not head.done() and not is_sent_partly(conn, response)
        mark = response._interim_count
    elif pushes is not None and not response._complete:
        waiting = pushes._waiter is not None
        mark = pushes._count + (0 if response._buffer is None else response._buffer._fed)
    if not waiting:
        response._late_since = 0.0
        return None
    if response._late_since == 0.0 or response._late_mark != mark:
        response._late_since = now
        response._late_mark = mark
    if response.code == 0:
        late = past(now, response._late_since, conn._limits.response_timeout)
        return NO_RESPONSE if late else None
    return NO_PUSH if past(now, response._late_since, conn._limits.body_timeout) else None


def is_sent_partly(conn: ClientLink, response: ResponseState) -> bool:
    """Return whether the request is not complete, so that its response cannot be late."""
    return response._is_uploading() or send_queue.is_pending(conn, response.stream)
