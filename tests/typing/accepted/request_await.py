"""One request, by `await`, with a loop and without one."""

import asyncio
from typing import assert_type

import cno


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert_type(await cno.request(loop, "GET", "http://cno.test/"), cno.Response)
    assert_type(await cno.request(None, "GET", "http://cno.test/"), cno.Response)
    async with await cno.request("GET", "http://cno.test/") as response:
        assert_type(await response.read(), bytes)
