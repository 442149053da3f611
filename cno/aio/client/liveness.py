"""Connections in doubt: the server has not answered a request, and may be gone.

The system retransmits on a dead connection for a quarter of an hour, during which the connection
accepts requests. So the client sends a PING together with the reset of such a request. Knows
clients and responses. Must never know what happens to a connection in doubt.
"""

from typing import TYPE_CHECKING, Final

from cno.aio.messages import Response

if TYPE_CHECKING:
    from cno.aio.client.connection import Client

#: Seconds. A request that is reset before these, or before two round-trip times, puts the
#: connection in doubt only if it is the second one in a row.
QUICK: Final = 0.1


def sent(client: "Client", response: Response) -> None:
    """Note that a request has been written."""
    response._sent_at = client.loop.time()
    response._sent_mark = client._intake.received


def given_up(client: "Client", response: Response) -> None:
    """HTTP/2: after the reset of a request, send a PING if the connection has received nothing
    since the request was sent, or if the reset was due to a timeout."""
    if not response._error_delivered:
        if response.code != 0 or response._sent_at == 0.0:
            return
        if client._intake.received != response._sent_mark:
            return
        waited = client.loop.time() - response._sent_at
        if (
            waited < max(QUICK, 2 * client._window.rtt)
            and client._vain_mark != client._intake.received
        ):
            client._vain_mark = client._intake.received
            return
    client._suspect()
