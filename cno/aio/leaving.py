"""What becomes of responses that nobody reads when a pool is left.

Leaving a pool waits for requests that are under way. A body of which nobody reads anything for
`Limits.linger_timeout` is none of these: most often its response has been dropped. Knows responses
and their readers. Must never know why a connection ends.
"""

from typing import TYPE_CHECKING, cast

from mypy_extensions import i64

from cno.aio.lifecycle import FLUSHING, LOST
from cno.aio.messages import Response

if TYPE_CHECKING:
    from cno.aio.member import Member


def leave(member: "Member") -> None:
    """Take no more requests on this connection, and close it once those it has are done."""
    if member._phase < FLUSHING and not member._draining:
        member.shutdown()
    if member._leaving is None and member._phase < LOST:
        look_later(member, positions(member))


def look_later(member: "Member", seen: dict[int, int]) -> None:
    wait = member._limits.linger_timeout
    member._leaving = member.loop.call_later(wait, look, member, seen, context=member._context)


def look(member: "Member", seen: dict[int, int]) -> None:
    """Give up the bodies that have not moved since; look again while there are others."""
    member._leaving = None
    now = positions(member)
    for stream, taken in now.items():
        exchange = member._exchanges.get(stream)
        if exchange is not None and seen.get(stream) == taken:
            cast(Response, exchange).cancel()
    if member._exchanges and member._phase < LOST:
        look_later(member, now)


def positions(member: "Member") -> dict[int, int]:
    """How much has been read of each response that nobody waits for at the moment, by stream.

    While the request is still being sent, its response is not looked at: the server wants that.
    """
    found: dict[int, int] = {}
    for exchange in member._exchanges.values():
        response = cast(Response, exchange)
        head, buffer = response._head, response._buffer
        sending = response._upload is not None or response.stream in member._stalled
        awaited = (head is not None and not head.done()) or (buffer is not None and buffer.waits())
        if not sending and not awaited and not response._tunnel and not response._complete:
            taken: i64 = 0 if buffer is None else buffer._taken
            found[response.stream] = taken
    return found
