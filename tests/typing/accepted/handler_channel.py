"""A response through a channel."""

import asyncio
from typing import assert_type

import cno


async def produce(channel: cno.Channel[bytes]) -> None:
    await channel.put(b"piece")
    channel.close()


async def handle(request: cno.Request) -> None:
    channel = cno.Channel[bytes](maxsize=4)
    task = asyncio.create_task(produce(channel))
    await request.respond(200, [], channel)
    await task
    numbers: cno.Channel[int] = cno.Channel()
    async for number in numbers:
        assert_type(number, int)
