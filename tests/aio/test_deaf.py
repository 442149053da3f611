"""HTTP/1.1: a paused transport resumes reading at the end of the message."""

import asyncio

from cno import aio
from tests.aio.lab import Transport, settle

LENGTH = 1 << 20


def test_a_large_response_that_came_at_once_leaves_the_connection_reading() -> None:
    async def run() -> None:
        client = aio.Client(None, "example.com", "http")
        transport = Transport()
        client.connection_made(transport)
        for _ in range(2):
            asked = asyncio.create_task(client.request("GET", "/"))
            await asyncio.sleep(0)
            client.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LENGTH)
            response = await asked
            client.data_received(bytes(LENGTH - 1))
            await settle()
            before = transport.paused
            client.data_received(b"x")
            await settle()
            # Nobody has read any of it; but what comes next belongs to others.
            assert (before, transport.paused) == (True, False)
            assert len(await response.payload.read()) == LENGTH
        client.connection_lost(None)

    asyncio.run(run())
