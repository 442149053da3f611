"""Tunnels of a client."""

from typing import assert_type

import cno


async def main(client: cno.Client) -> None:
    tunnel = await client.tunnel("cno.test:22")
    assert_type(tunnel, cno.Tunnel)
    assert_type(await client.upgrade("websocket", "/chat"), cno.Tunnel)
    try:
        await client.upgrade("chat")
    except cno.UpgradeRefused as error:
        assert_type(error.response, cno.Response)
