"""Interim responses as they are received."""

from typing import assert_type

import cno


def hint(code: int, headers: cno.Headers) -> None:
    for name, value in headers:
        print(code, name, value)


async def fetch(pool: cno.Pool) -> None:
    hints = list[int]()
    async with pool.request("GET", "http://cno.test/", on_informational=hint) as response:
        assert_type(response.informational, list[tuple[int, cno.Headers]])
    await pool.request("GET", "/", on_informational=lambda code, headers: hints.append(code))
