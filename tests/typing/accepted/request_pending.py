"""What a request is before it is awaited."""

from collections.abc import Coroutine
from typing import Any, assert_type

import cno


def later(pool: cno.Pool) -> Coroutine[Any, Any, cno.Response]:
    pending = pool.request("GET", "http://cno.test/")
    assert_type(pending, cno.Pending[cno.Response])
    return pending


async def fetch(pool: cno.Pool) -> int:
    pending: cno.Pending[cno.Response] = pool.request("GET", "http://cno.test/")
    async with pending as response:
        return response.code
