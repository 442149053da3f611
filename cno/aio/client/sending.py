"""A request from the call of the application to the head of its response.

Knows which way to write a request is the shortest. Must never know what an application gets for its
response.
"""

from collections.abc import Iterable

from cno.aio.arguments import check_loop
from cno.aio.client import request_writer, responses
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.request_spec import RequestSpec, completed
from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink
from cno.aio.fields import Headers, as_list
from cno.aio.sources import Body


def fields_of(client: ClientLink, headers: Iterable[tuple[str, str]]) -> Headers:
    """Return headers with the client's authority and credentials, unless they have some."""
    return completed(as_list(headers), client.authority, client._requests.credentials)


async def send(
    client: ClientLink,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]],
    data: Body,
    trailers: Headers | None,
    observer: RequestObserver | None,
) -> ResponseState:
    """Send a request as `Client.request` describes; return its response with the head."""
    check_loop(client.loop)
    spec = RequestSpec(method, path, fields_of(client, headers), data, trailers, observer)
    response: ResponseState | None = None
    if spec.source is not None:
        response = await request_writer.begin_or_dispose(client, spec)
        request_writer.send_body(client, response, spec)
    elif not client._requests.waiting and not client._transport_state.full:
        response = request_writer.try_whole(client, spec)
    if response is None:
        response = await request_writer.begin(client, spec)
        request_writer.send_body(client, response, spec)
    return await responses.wait(client, response, method)
