"""Pushes."""

from typing import assert_type

import cno


async def main(client: cno.Client) -> None:
    async with client.request("GET", "/") as response:
        async for push in response.pushed:
            assert_type(push, cno.Push)
            pushed = await push.response
            assert_type(pushed, cno.Response)
            assert_type(await pushed.read(), bytes)
