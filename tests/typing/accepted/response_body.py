"""The body of a response."""

import asyncio
from typing import Any, assert_type

import cno


async def look(response: cno.Response) -> None:
    assert_type(await response.read(), bytes)
    assert_type(await response.read(limit=1_000), bytes)
    assert_type(await response.text(), str)
    assert_type(await response.json(), Any)
    assert_type(response.payload, asyncio.StreamReader)
    async for line in response.payload:
        assert_type(line, bytes)
