"""HTTP/1.1: a transport that was told to pause reads on when the message is over."""

import asyncio
from typing import Any

from cno import aio
from tests.aio.lab import settle

LENGTH = 1 << 20


class Transport(asyncio.Transport):
    """Knows whether it is paused, and drops what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def write(self, data: Any) -> None: ...

    def writelines(self, list_of_data: Any) -> None: ...

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None: ...

    def abort(self) -> None: ...


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
