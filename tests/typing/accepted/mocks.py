"""An application's tests with mocks."""

from unittest import mock

import cno


async def code_of(pool: cno.Pool) -> int:
    async with pool.request("GET", "http://cno.test/") as response:
        return response.code


async def test_code_of() -> None:
    pool = mock.MagicMock(spec=cno.Pool)
    pool.request = mock.MagicMock()
    pool.request.return_value.__aenter__.return_value.code = 200
    assert await code_of(pool) == 200
