"""`--limit-rate`: keeps the bodies of one direction together below a rate.

Knows bytes and time. Must never know what the bodies are.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable

Body = bytes | Iterable[bytes] | AsyncIterable[bytes]

#: Bytes of the smallest piece.
LEAST: int = 1_024


class RateLimit:
    """A rate in bytes a second. `step`: bytes of the largest piece, an eighth of a second's."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.step = max(LEAST, rate // 8)
        self._free_at = 0.0

    async def passed(self, size: int) -> None:
        """Wait until these bytes are due."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


async def limited(body: Body, rate: RateLimit) -> AsyncIterator[bytes]:
    """Yield a body in pieces, each once those before it have taken their time."""
    async for chunk in chunks_of(body):
        for at in range(0, len(chunk), rate.step):
            piece = chunk[at : at + rate.step]
            yield piece
            await rate.passed(len(piece))


async def chunks_of(body: Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, AsyncIterable):
        async for chunk in body:
            yield chunk
    else:
        for chunk in body:
            yield chunk
