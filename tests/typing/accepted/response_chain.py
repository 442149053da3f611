"""A request in one expression."""

from typing import Any

import cno


async def fetch(pool: cno.Pool, url: str) -> dict[str, Any]:
    async with pool.request("GET", url, timeout=10) as response:
        found: dict[str, Any] = await response.raise_for_status().json(limit=1_000_000)
    return found
