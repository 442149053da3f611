"""What becomes of responses that nobody reads when a pool is left.

Leaving a pool waits for requests that are under way. A body of which nobody reads anything for
`Limits.linger_timeout` is none of these: most often its response has been dropped. Knows responses
and their readers. Must never know why a connection ends.
"""

from typing import TYPE_CHECKING, cast

from mypy_extensions import i64

from cno.aio.connection import send_queue
from cno.aio.connection.lifecycle import FLUSHING, LOST
from cno.aio.messages import Response

if TYPE_CHECKING:
    from cno.aio.client.pooled import PooledClient


def leave(client: "PooledClient") -> None:
    """Take no more requests on this connection, and close it once those it has are done."""
    if client._life.phase < FLUSHING and not client._draining:
        client.shutdown()
    if client._leaving is None and client._life.phase < LOST:
        look_later(client, positions(client))


def look_later(client: "PooledClient", seen: dict[int, int]) -> None:
    wait = client._limits.linger_timeout
    client._leaving = client.loop.call_later(wait, look, client, seen, context=client._context)


def look(client: "PooledClient", seen: dict[int, int]) -> None:
    """Give up the bodies that have not moved since; look again while there are others."""
    client._leaving = None
    now = positions(client)
    for stream, taken in now.items():
        exchange = client._exchanges.get(stream)
        if exchange is not None and seen.get(stream) == taken:
            cast(Response, exchange).cancel()
    if client._exchanges and client._life.phase < LOST:
        look_later(client, now)


def positions(client: "PooledClient") -> dict[int, int]:
    """How much has been read of each response that nobody waits for at the moment, by stream.

    While the request is still being sent, its response is not looked at: the server wants that.
    """
    found: dict[int, int] = {}
    for exchange in client._exchanges.values():
        response = cast(Response, exchange)
        head, buffer = response._head, response._buffer
        sending = response._upload is not None or send_queue.is_pending(client, response.stream)
        awaited = (head is not None and not head.done()) or (buffer is not None and buffer.waits())
        if not sending and not awaited and not response._tunnel and not response._complete:
            taken: i64 = 0 if buffer is None else buffer._taken
            found[response.stream] = taken
    return found
