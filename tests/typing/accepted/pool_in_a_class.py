"""A service that owns a pool."""

from types import TracebackType
from typing import Self

import cno


class Api:
    def __init__(self, base: str) -> None:
        self._base = base
        self._pool = cno.Pool()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.aclose()

    async def name(self, number: int) -> str:
        url = f"{self._base}/users/{number}"
        async with self._pool.request("GET", url, timeout=5.0) as response:
            return str((await response.json())["name"])
