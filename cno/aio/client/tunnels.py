"""Requests whose streams become tunnels: upgrades and CONNECT.

Knows which statuses accept them. Must never know what is sent through a tunnel.
"""

from collections.abc import Iterable
from typing import Final

from cno.aio.arguments import check_loop
from cno.aio.client import request_queue, request_writer, responses
from cno.aio.client.request_spec import RequestSpec, tunnel_request
from cno.aio.client.response_state import ResponseState
from cno.aio.client.sending import fields_of
from cno.aio.client.state import ClientLink
from cno.aio.connection import ending, intake, reasons
from cno.aio.connection.lifecycle import FLUSHING, NO_END
from cno.aio.fields import as_list

#: Statuses that open a tunnel, in answer to CONNECT and to an upgrade.
SUCCESSFUL: Final = range(200, 300)
SWITCHING: Final = range(101, 102)


async def upgrade(
    client: ClientLink, protocol: str, path: str, headers: Iterable[tuple[str, str]]
) -> tuple[ResponseState, bool]:
    """Ask for another protocol; return the response, and whether it accepts."""
    check_loop(client.loop)
    fields = fields_of(client, headers)
    if client._http2:
        await request_queue.wait_for_settings(client)
        fields = [(":protocol", protocol), *fields]
        return await ask(client, tunnel_request("CONNECT", path, fields), SUCCESSFUL)
    fields = [*fields, ("connection", "upgrade"), ("upgrade", protocol)]
    return await ask(client, RequestSpec("GET", path, fields, b"", None), SWITCHING)


async def connect(
    client: ClientLink, authority: str, headers: Iterable[tuple[str, str]]
) -> tuple[ResponseState, bool]:
    """Ask for a tunnel to an authority; return the response, and whether it accepts."""
    check_loop(client.loop)
    fields = [(":authority", authority), *as_list(headers)]
    return await ask(client, tunnel_request("CONNECT", "", fields), SUCCESSFUL)


async def ask(client: ClientLink, spec: RequestSpec, status: range) -> tuple[ResponseState, bool]:
    """Send a request; return the response, and whether it has one of these statuses."""
    response = await request_writer.begin(client, spec)
    await responses.wait(client, response)
    return response, response.code in status


def hand_over(client: ClientLink) -> tuple[bytes, bool]:
    """Detach the transport, at the beginning of a tunnel, as `Client.hand_over` describes.

    Return the bytes that the tunnel has delivered already, and whether the peer sends no more.
    """
    while client._intake.behind and client._life.phase < FLUSHING:
        intake.catch_up(client)
    if client._life.phase >= FLUSHING:
        raise reasons.of_loss(client, 0)
    early = b""
    for exchange in client._exchanges.values():
        buffer = exchange._get_buffer()
        early += buffer._take(buffer._size)
    ending.detach(client)
    return early, client._life.peer_end != NO_END
