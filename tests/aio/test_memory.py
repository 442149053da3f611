"""Unread bodies take bounded memory: one of 100 MB takes the size of its window.

The windows and the transport's buffers are bounded; the rest stays with the sender. The tests
measure the growth of the process's memory, as the system counts it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cno import aio
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire
from tests.aio.test_flow import stops_growing

SIZE = 100_000_000
STREAMS = 4
PIECE = bytes(65_536)

BOTH = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident() -> int:
    """Octets of memory that this process has."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])


async def body(total: list[int]) -> AsyncIterator[bytes]:
    """100 MB that are the same object again and again; `total[0]` is how much was asked for."""
    mine = 0
    while mine < SIZE:
        mine += len(PIECE)
        total[0] += len(PIECE)
        yield PIECE


@BOTH
def test_upload_that_no_handler_reads(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        total = [0]

        async def handle(request: aio.Request) -> None:
            if request.method == "POST":
                await go_on.wait()
            await request.respond(200)

        async with lab.serving(wire, handle) as url:
            clients = [await lab.connect(wire, url) for _ in range(1 if wire.http2 else STREAMS)]
            for client in clients:
                await (await client.request("GET", "/")).payload.read()
            before = resident()
            asked = [
                asyncio.ensure_future(
                    clients[n % len(clients)].request("POST", "/", [], body(total))
                )
                for n in range(STREAMS)
            ]
            assert await stops_growing(total) < STREAMS * SIZE // 2
            # Both ends are in this process: its memory is that of both.
            assert resident() - before < 2_000_000 * STREAMS
            go_on.set()
            await asyncio.gather(*asked, return_exceptions=True)
            for client in clients:
                client.close()
                await client.wait_closed()

    lab.run(main())


@BOTH
def test_download_that_no_client_reads(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        total = [0]

        async def handle(request: aio.Request) -> None:
            data = body(total) if request.path == "/large" else b""
            await request.respond(200, [], data)

        async with lab.serving(wire, handle) as url:
            clients = [await lab.connect(wire, url) for _ in range(1 if wire.http2 else STREAMS)]
            for client in clients:
                await (await client.request("GET", "/")).payload.read()
            before = resident()
            responses = [
                await clients[n % len(clients)].request("GET", "/large") for n in range(STREAMS)
            ]
            assert await stops_growing(total) < STREAMS * SIZE // 2
            assert resident() - before < 2_000_000 * STREAMS
            for response in responses:
                response.cancel()
            for client in clients:
                client.close()
                await client.wait_closed()

    lab.run(main())
