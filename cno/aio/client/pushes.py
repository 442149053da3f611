"""Promised pushes at a client: kept for `Response.pushed` within limits, or cancelled.

Must never know how a request is written.
"""

from typing import cast

from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.fields import Headers
from cno.const import CNO_RST_CANCEL


def promised(
    conn: ClientLink, stream: int, parent: int, method: str, path: str, headers: Headers
) -> None:
    """Add a promised push to its response, or cancel it if there is no room."""
    exchange = conn._exchanges.get(parent)
    unclaimed = conn._requests.unclaimed
    if unclaimed is None:
        unclaimed = conn._requests.unclaimed = Unclaimed(conn._limits)
    if exchange is None or not unclaimed.promised(stream, headers):
        conn.write_reset(stream, CNO_RST_CANCEL)
        return
    pushed = conn._new_response(stream)
    conn._exchanges[stream] = pushed
    push = conn._new_push(pushed, method, path, headers)
    cast(ResponseState, exchange)._get_pushes().add(push)


def may_receive(conn: ClientLink, stream: int, size: int) -> bool:
    """Count bytes of a body. Return False if they are of an unclaimed push, without room."""
    unclaimed = conn._requests.unclaimed
    return unclaimed is None or unclaimed.received(stream, size)
