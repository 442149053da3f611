"""When a server's connection accepts no more requests: by their number, or by its age.

Knows what the protocols need before a connection may close. Must never know handlers.
"""

from typing import cast

from cno.aio.server import failures
from cno.aio.server.request_state import RequestState
from cno.aio.server.state import ServerLink
from cno.core import HEAD


def announce(conn: ServerLink) -> None:
    """HTTP/1.1: have the next response say that it is the last one."""
    # An unwritten response head will say `connection: close`; if there is none, the next one
    # will. Closing between two requests could lose one that is in flight.
    conn._handlers.most_requests = 0
    last = conn._exchanges.get(int(conn._last_remote))
    if last is not None and failures.write_state(cast(RequestState, last)) == HEAD:
        conn._engine_shutdown()


def count(conn: ServerLink, stream: int) -> None:
    """Shut down if this is the last request that the connection may have."""
    most = conn._handlers.most_requests
    number = (stream + 1) // 2
    if number < most:
        return
    if not conn._http2:
        if not conn._draining:
            conn._engine_shutdown()
    elif conn._h2.goaway_ping and -conn._h2.requests_left > conn._max_streams:
        # The client has got a GOAWAY, has not answered its PING, and sends further requests.
        conn._engine_shutdown()
