"""Promised pushes at a client: kept for `Response.pushed` within limits, or cancelled.

Must never know how a request is sent.
"""

from typing import TYPE_CHECKING, cast

from cno.aio.client.unclaimed import Unclaimed
from cno.aio.fields import Headers
from cno.aio.messages import Push, Response
from cno.const import CNO_RST_CANCEL

if TYPE_CHECKING:
    from cno.aio.client.connection import Client


def promise(
    conn: "Client", stream: int, parent: int, method: str, path: str, headers: Headers
) -> None:
    """Add a promised push to its response, or cancel it if there is no room."""
    exchange = conn._exchanges.get(parent)
    if conn._unclaimed is None:
        conn._unclaimed = Unclaimed(conn._limits)
    if exchange is None or not conn._unclaimed.promised(stream, headers):
        conn.write_reset(stream, CNO_RST_CANCEL)
        return
    answer = Response(conn, stream)
    conn._exchanges[stream] = answer
    push = Push(answer, method, path, headers, conn._unclaimed)
    cast(Response, exchange).pushed.add(push)
