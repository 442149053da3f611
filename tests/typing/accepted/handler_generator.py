"""A response from a generator."""

import asyncio
from collections.abc import AsyncIterator

import cno


async def ticks() -> AsyncIterator[bytes]:
    while True:
        yield b"data: tick\n\n"
        await asyncio.sleep(1)


async def handle(request: cno.Request) -> None:
    await request.respond(200, [("content-type", "text/event-stream")], ticks())
