"""The priorities of responses, by what the client and the handlers say (RFC 9218)."""

from typing import cast

from mypy_extensions import i64

from cno.aio.connection import send_queue
from cno.aio.server.request_state import RequestState
from cno.aio.server.state import ServerLink
from cno.priority import SHARED, parse_fields, rank


def of_stream(conn: ServerLink, stream: int) -> i64:
    """Return the priority of a response: see `cno.priority.rank`."""
    exchange = conn._exchanges.get(stream)
    if exchange is None or not conn._http2:
        return SHARED
    request = cast(RequestState, exchange)
    # > ... the most recently received PRIORITY_UPDATE frame can be considered as the most
    # > up-to-date information that overrides any other signal.   (RFC 9218 7)
    said = conn._h2.priorities.get(stream)
    if said is None:
        said = parse_fields(request.headers)
    if not conn._handlers.prioritizes and (said is not None or conn._h2.priority_updates != 0):
        conn._handlers.prioritizes = True
        send_queue.rank_again(conn)  # the defaults of the other requests count from now on
    # > When receiving an HTTP request that does not carry these priority parameters, a server
    # > SHOULD act as if their default values were specified.   (RFC 9218 4)
    # On a connection without any priority, all responses share the bandwidth instead.
    response = request._response_headers
    hint = None if response is None else parse_fields(response)
    found = rank(said, hint, conn._handlers.prioritizes)
    # > ... servers SHOULD allocate some amount of bandwidths to streams acting as tunnels.
    return found | 1 if request._tunnel else found
