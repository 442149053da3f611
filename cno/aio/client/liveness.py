"""Whether the server still answers: a PING after a request that was reset without a response.

The system retransmits on a dead connection for a quarter of an hour, during which the connection
accepts requests. So the client sends a PING together with the reset of such a request; until its
answer, the connection is suspected. Must never know what happens to a suspected connection.
"""

from typing import Final

from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink
from cno.aio.connection import timeouts

#: Seconds. A request that is reset before these, or before two round-trip times, makes the
#: connection suspected only if it is the second one in a row.
EARLY: Final = 0.1


def request_sent(conn: ClientLink, response: ResponseState) -> None:
    """Note that a request has been written."""
    response._sent_at = conn.loop.time()
    response._sent_mark = conn._intake.received


def request_reset(conn: ClientLink, response: ResponseState) -> None:
    """HTTP/2: after the reset of a request, send a PING if the connection has received nothing
    since the request was sent, or if the reset was due to a timeout."""
    if not response._error_delivered:
        if response.code != 0 or response._sent_at == 0.0:
            return
        received = conn._intake.received
        if received != response._sent_mark:
            return
        waited = conn.loop.time() - response._sent_at
        is_early = waited < max(EARLY, 2 * conn._window.rtt)
        if is_early and conn._requests.early_reset_mark != received:
            conn._requests.early_reset_mark = received
            return
    suspect(conn)


def suspect(conn: ClientLink) -> None:
    """Ask the server for an answer by a PING."""
    timeouts.suspect(conn)
    if conn._observer is not None and conn._timeouts.suspected:
        conn._observer.suspected()
