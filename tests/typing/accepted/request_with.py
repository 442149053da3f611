"""One request, by `async with`."""

from typing import assert_type

import cno


async def main() -> None:
    async with cno.request("GET", "http://cno.test/") as response:
        assert_type(response, cno.Response)
        assert_type(response.code, int)
