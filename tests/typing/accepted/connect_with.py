"""A connection, by `async with` and by `await`."""

import ssl
from typing import assert_type

import cno


async def main() -> None:
    async with cno.connect("http://cno.test/", force_http2=True) as client:
        assert_type(client, cno.Client)
        async with client.request("GET", "/") as response:
            assert_type(response, cno.Response)
    context = ssl.create_default_context()
    client = await cno.connect(None, "https://cno.test/", context, "cno.test", unix="/run/socket")
    client.close()
    await client.wait_closed()
