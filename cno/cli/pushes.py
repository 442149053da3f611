"""Reports the pushes that come with a response.

Knows promises and their responses. Must never know where the text is shown.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from cno.aio.client.connection import Push, Response
from cno.cli.output import CommandOutput, value_of
from cno.cli.problems import reason

CHUNK: Final = 65_536


@contextlib.asynccontextmanager
async def watching(response: Response, output: CommandOutput) -> AsyncIterator[None]:
    """Report pushes while the response is read; at the end, wait for those under way."""
    task = asyncio.create_task(watch(response, output))
    try:
        yield
        await task
    finally:
        task.cancel()


async def watch(response: Response, output: CommandOutput) -> None:
    async with asyncio.TaskGroup() as group:
        async for push in response.pushed:
            output.pushed(f"promised {push.method} {push.path}")
            await output.drain()
            group.create_task(pushed(push, output))


async def pushed(push: Push, output: CommandOutput) -> None:
    """Read what was pushed, and report it."""
    name = f"{push.method} {push.path}"
    try:
        answer = await push.response
        size = 0
        while chunk := await answer.payload.read(CHUNK):
            size += len(chunk)
    except OSError as error:
        output.pushed(f"push of {name} failed: {reason(error)}")
    else:
        kind = value_of(answer.headers, "content-type") or "no type"
        output.pushed(f"pushed {name}: {answer.code}, {kind}, {size} bytes")
    await output.drain()
