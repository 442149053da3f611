"""Whether a server is still there that has left a request unanswered.

A connection that has died in silence takes requests for a quarter of an hour: the system goes on
trying. So a PING goes out with the reset of such a request. Knows clients and responses. Must never
know what is done about a connection that is in doubt.
"""

from typing import TYPE_CHECKING, Final

from cno.aio.messages import Response

if TYPE_CHECKING:
    from cno.aio.client import Client

#: Seconds. A request that is reset before these, or before two round-trip times, puts the
#: connection in doubt only if it is the second one in a row.
QUICK: Final = 0.1


def sent(client: "Client", response: Response) -> None:
    """A request has been written."""
    response._sent_at = client.loop.time()
    response._sent_mark = client._received


def given_up(client: "Client", response: Response) -> None:
    """HTTP/2: we have reset a request. If nothing at all has come since it was sent, or if it was
    a timeout of ours, ask the server by a PING whether it is still there."""
    if not response._error_delivered:
        if response.code != 0 or response._sent_at == 0.0:
            return
        if client._received != response._sent_mark:
            return
        waited = client.loop.time() - response._sent_at
        if waited < max(QUICK, 2 * client._trip) and client._vain_mark != client._received:
            client._vain_mark = client._received
            return
    client._suspect()
