"""A long way: through a relay that delays and limits, transfers come near to what the line carries.

Ratios of what was measured in the same run, with room for machines that have other things to do;
`python -m benchmarks.relay` measures properly.
"""

import asyncio
import time

import pytest

from cno import aio
from tests.aio.lab import HOST, Certificates, Lab, skip
from tests.relay import relaying

RATE = 10e6  # octets a second
DELAY = 0.05  # seconds each way
SIZE = 8_000_000
STREAMS = 10


async def handle(request: aio.Request) -> None:
    if request.method == "POST":
        await request.respond(200, [], str(await skip(request.payload)).encode())
    else:
        await request.respond(200, [], bytes(int(request.path[1:])))


async def fetch(client: aio.Client, size: int) -> float:
    """Download; when that was done."""
    response = await client.request("GET", f"/{size}")
    assert await skip(response.payload) == size
    return time.monotonic()


async def serve_plain() -> asyncio.Server:
    """All that is sent after a client has said one octet, and as much back from it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(bytes(SIZE))
        await writer.drain()
        await skip(reader)
        writer.close()

    return await asyncio.start_server(talk, HOST, 0)


async def plain_seconds() -> float:
    """How long TCP alone takes to download."""
    server = await serve_plain()
    with relaying(server.sockets[0].getsockname()[1], DELAY, RATE) as port:
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"?")
        await reader.readexactly(SIZE)
        seconds = time.monotonic() - begun
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return seconds


@pytest.fixture
def lab(certificates: Certificates) -> Lab:
    """One kind of event loop: what is measured is the windows, and the way."""
    return Lab(None, certificates)


@pytest.mark.slow
def test_transfers_come_near_to_what_tcp_reaches(lab: Lab) -> None:
    async def main() -> None:
        best = await plain_seconds()
        async with aio.serve(handle, HOST, 0) as listener:
            with relaying(listener.sockets[0].getsockname()[1], DELAY, RATE) as port:
                async with await aio.connect(f"h2c://{HOST}:{port}/") as client:
                    begun = time.monotonic()
                    down = await fetch(client, SIZE) - begun
                    begun = time.monotonic()
                    response = await client.request("POST", "/", [], bytes(SIZE))
                    assert int(await response.payload.read()) == SIZE
                    up = time.monotonic() - begun
        # With the windows that it begins with, an upload would take 3.2 s, where TCP takes 0.9 s.
        assert down < 2 * best
        assert up < 2.5 * best

    lab.run(main())


def test_streams_share_and_small_requests_pass(lab: Lab) -> None:
    async def main() -> None:
        async with aio.serve(handle, HOST, 0) as listener:
            with relaying(listener.sockets[0].getsockname()[1], DELAY, RATE) as port:
                async with await aio.connect(f"h2c://{HOST}:{port}/") as client:
                    begun = time.monotonic()
                    large = [
                        asyncio.ensure_future(fetch(client, SIZE // STREAMS))
                        for _ in range(STREAMS)
                    ]
                    await asyncio.sleep(0.3)
                    asked = time.monotonic()
                    small = await fetch(client, 100) - asked
                    waiting = [each for each in large if not each.done()]
                    ends = [await each - begun for each in large]
        assert len(waiting) == STREAMS  # the small one went before all of them
        assert min(ends) > 0.6 * max(ends)
        # Behind what they have queued it would take as long as they do.
        assert small < 0.5 * max(ends)

    lab.run(main())
