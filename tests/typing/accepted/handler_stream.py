"""A response that is written piece by piece."""

from typing import assert_type

import cno


async def handle(request: cno.Request) -> None:
    trailers: cno.Headers = []
    async with request.start(200, [("trailer", "sum")], trailers=trailers) as out:
        assert_type(out, cno.ResponseStream)
        await out.write(b"one")
        await out.write(memoryview(b"two"))
        trailers.append(("sum", "6"))
