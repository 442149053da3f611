"""The events of a client's connection: their effect on its requests, and on its observer.

Must never know how a request is written, or what an application gets for its response.
"""

from typing import cast

from cno.aio.client import graceful_close, request_queue, response_timeouts, responses, upload
from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink, is_open
from cno.aio.connection import bdp, stream_timeouts, timeouts
from cno.aio.connection.stream_state import StreamState
from cno.aio.fields import Headers
from cno.aio.waiters import wake_first
from cno.errors import Reason


def head_received(
    client: ClientLink, stream: int, code: int, reason: str, headers: Headers
) -> None:
    """Store the head of a response."""
    exchange = client._exchanges.get(stream)
    if exchange is not None:
        responses.head_received(client, cast(ResponseState, exchange), code, reason, headers)


def response_complete(client: ClientLink, stream: int, trailers: Headers | None) -> None:
    """End the body of a response."""
    exchange = client._exchanges.get(stream)
    if exchange is not None:
        exchange._completed(trailers)
        upload.response_complete(client, cast(ResponseState, exchange))


def freed(client: ClientLink) -> None:
    """Let the next request go: a stream has ended, or the server allows more."""
    if client._requests.waiting and not client._transport_state.full:
        wake_first(client._requests.waiting)
    if client._observer is not None:
        client._observer.freed(client._intake.parsing)


def input_processed(client: ClientLink) -> None:
    """Fail the requests that cannot be sent any more."""
    if client._requests.waiting and not is_open(client):
        request_queue.fail(client, client._life.timed_out)  # there has been a GOAWAY, say
    if client._observer is not None:
        client._observer.input_processed()


def requests_wait(client: ClientLink) -> bool:
    """Return whether requests wait for the server to allow them."""
    elsewhere = client._observer is not None and client._observer.requests_wait()
    return elsewhere or request_queue.is_awaited(client)


def requests_not_allowed(client: ClientLink) -> None:
    """Fail the requests that wait: the server has allowed none for too long."""
    request_queue.fail(client, request_queue.NOT_ALLOWED)
    if client._observer is not None:
        client._observer.requests_not_allowed()


def overdue(client: ClientLink, exchange: StreamState, now: float) -> Reason | None:
    """Return what has not come in time on a stream; None if nothing is late."""
    response = cast(ResponseState, exchange)
    if response._observer is not None and response._observer.times_reads:
        return None
    why = stream_timeouts.overdue(client, exchange, now)
    return response_timeouts.overdue(client, response, now) if why is None else why


def probe_answered(client: ClientLink) -> None:
    """The server has answered a PING."""
    bdp.probe_answered(client)
    timeouts.trust(client)
    if client._observer is not None and not client._timeouts.suspected:
        client._observer.trusted()


def lost(client: ClientLink) -> None:
    """The connection and all its streams have ended."""
    graceful_close.stop(client)
    request_queue.fail(client, client._life.timed_out)
    if client._observer is not None:
        client._observer.lost()
        client._observer = None


def body_failed(client: ClientLink, stream: int, error: Exception) -> None:
    """End the upload whose write has failed."""
    exchange = client._exchanges.get(stream)
    if exchange is not None:
        upload.failed(client, cast(ResponseState, exchange), error)
