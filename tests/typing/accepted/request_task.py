"""Requests as tasks."""

import asyncio
from typing import assert_type

import cno


async def main(pool: cno.Pool) -> None:
    task = asyncio.create_task(pool.request("GET", "http://cno.test/"))
    assert_type(task, asyncio.Task[cno.Response])
    first, second = await asyncio.gather(
        pool.request("GET", "http://cno.test/1"), pool.request("GET", "http://cno.test/2")
    )
    assert_type(first, cno.Response)
    assert_type(second.code, int)
    assert_type(await asyncio.wait_for(pool.request("GET", "http://cno.test/"), 5), cno.Response)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(pool.request("GET", "/")), asyncio.Task[cno.Response])
