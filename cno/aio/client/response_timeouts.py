"""How long a client waits for a response to begin, or for a push; and 1xx responses meanwhile.

Knows no connection.
"""

import asyncio
from collections import deque
from typing import Final

from mypy_extensions import i64

from cno.aio.connection.durations import past
from cno.aio.errors import StreamTimeoutError
from cno.aio.fields import Headers
from cno.aio.messages import Response
from cno.aio.waiters import wake
from cno.errors import Reason
from cno.limits import Limits

NO_RESPONSE: Final = Reason("no response came in time", "", "response_timeout")
NO_TURN: Final = Reason("the server allows no requests", "", "write_stall_timeout")
NO_PUSH: Final = Reason("no push came in time", "", "body_timeout")


def interim(response: Response, code: int, headers: Headers) -> None:
    """A 1xx response has come. A bounded number is kept: slow ones may come for ever."""
    response._interim_count += 1
    most = response._conn._limits.max_informational
    if most is None or len(response.informational) < most:
        response.informational.append((code, headers))
    if response._observer is not None:
        response._observer.informational(code, headers)
    if code == 100 and response._proceed is not None:
        response._got_100 = True
        wake(response._proceed)


def overdue(response: Response, unsent: bool, now: float, limits: Limits) -> Reason | None:
    """Return what a server has not sent in time on this stream; None if nothing is late.

    `unsent`: the request is not complete, so that its response cannot be late.
    """
    mark: i64 = 0
    waiting = False
    pushes = response._pushes
    if response.code == 0:
        head = response._head
        waiting = head is not None and not head.done() and not unsent
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
        late = past(now, response._late_since, limits.response_timeout)
        return NO_RESPONSE if late else None
    return NO_PUSH if past(now, response._late_since, limits.body_timeout) else None


def refuse(line: deque[asyncio.Future[None]], why: Reason | None) -> None:
    """Wake all requests in line, none of which has been sent; `why`: raise a timeout in each."""
    while line:
        waiter = line.popleft()
        if waiter.done():
            continue
        if why is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(not_sent(why))


def not_sent(why: Reason) -> StreamTimeoutError:
    """Return the error of a request that waited for too long to be sent."""
    return StreamTimeoutError(why.text, stream=0, code=0, retryable=True, limit=why.limit)
