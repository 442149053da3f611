"""How long a client waits for a response to begin, or for a push; and 1xx responses meanwhile.

Knows no connection.
"""

from mypy_extensions import i64

from cno.aio.errors import StreamTimeoutError
from cno.aio.messages import Response
from cno.aio.output import Headers
from cno.aio.timers import past
from cno.aio.waiters import wake
from cno.limits import Limits


def interim(response: Response, code: int, headers: Headers) -> None:
    """A 1xx response has come. A bounded number is kept: slow ones may come for ever."""
    response._interim += 1
    most = response._conn._limits.max_informational
    if most is None or len(response.informational) < most:
        response.informational.append((code, headers))
    if code == 100 and response._proceed is not None:
        response._bidden = True
        wake(response._proceed)


def overdue(response: Response, unsent: bool, now: float, limits: Limits) -> str:
    """Return what a server has not sent in time on this stream; '' if nothing is late.

    `unsent`: the request is not complete, so that its response cannot be late.
    """
    mark: i64 = 0
    waiting = False
    pushes = response._pushes
    if response.code == 0:
        head = response._head
        waiting = head is not None and not head.done() and not unsent
        mark = response._interim
    elif pushes is not None and not response._complete:
        waiting = pushes._waiter is not None
        mark = pushes._count + (0 if response._inflow is None else response._inflow._fed)
    if not waiting:
        response._late_since = 0.0
        return ""
    if response._late_since == 0.0 or response._late_mark != mark:
        response._late_since = now
        response._late_mark = mark
    if response.code == 0:
        late = past(now, response._late_since, limits.response_timeout)
        return "no response came in time" if late else ""
    return "no push came in time" if past(now, response._late_since, limits.body_timeout) else ""


def no_turn() -> StreamTimeoutError:
    """What a request gets that waited for a server that allows none. It has not been sent."""
    return StreamTimeoutError("the server allows no requests", stream=0, code=0, retryable=True)
