"""The graceful close of a pool's connections: the end of responses that nobody reads.

The close of a pool waits for the requests that are under way. A body of which nobody reads anything
for `Limits.linger_timeout` is none of these: most often its response has been dropped. Must never
know why a connection ends.
"""

from typing import cast

from mypy_extensions import i64

from cno.aio.client.response_state import ResponseState
from cno.aio.client.response_timeouts import is_sent_partly
from cno.aio.client.state import ClientLink
from cno.aio.connection.lifecycle import FLUSHING, LOST


def begin(client: ClientLink) -> None:
    """Take no more requests on this connection, and close it once those it has are done."""
    if client._life.phase < FLUSHING and not client._draining:
        client.shutdown()
    if client._requests.reader_check is None and client._life.phase < LOST:
        check_later(client, bytes_read(client))


def stop(client: ClientLink) -> None:
    """Stop the timer: the connection has ended."""
    timer = client._requests.reader_check
    if timer is not None:
        timer.cancel()
        client._requests.reader_check = None


def check_later(client: ClientLink, before: dict[int, int]) -> None:
    client._requests.reader_check = client.loop.call_later(
        client._limits.linger_timeout, check, client, before, context=client._context
    )


def check(client: ClientLink, before: dict[int, int]) -> None:
    """Cancel the responses of which nothing was read since; check again while there are others."""
    client._requests.reader_check = None
    now = bytes_read(client)
    for stream, count in now.items():
        exchange = client._exchanges.get(stream)
        if exchange is not None and before.get(stream) == count:
            cast(ResponseState, exchange).cancel()
    if client._exchanges and client._life.phase < LOST:
        check_later(client, now)


def bytes_read(client: ClientLink) -> dict[int, int]:
    """Return how much has been read of each response for which no task waits now, by stream.

    A response whose request is still being sent is left out: the server is reading that.
    """
    found: dict[int, int] = {}
    for exchange in client._exchanges.values():
        response = cast(ResponseState, exchange)
        if response._is_awaited() or response._tunnel or response._complete:
            continue
        if not is_sent_partly(client, response):
            count: i64 = 0 if response._buffer is None else response._buffer._taken
            found[response.stream] = count
    return found
