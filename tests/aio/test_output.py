"""How much is written to the transport at once, and how."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cno import aio
from cno.aio.output import gathers
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import WIRES, Lab, Wire, settle
from tests.aio.test_deaf import Transport

BODY = bytes(range(256)) * 16_384  # 4 MiB
UNIT = 65_536
LIMITS = Limits(write_buffer=UNIT)


class Kept(Transport):
    """Takes everything, and says that it still holds so many octets back."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    def turns(self) -> Iterator[int]:
        """What was written since it was last asked."""
        while True:
            found, self.written = self.written, 0
            yield found


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], BODY)


async def asked(transport: Kept) -> aio.Server:
    """A server's connection, a large response of which can go out as fast as it is taken."""
    server = aio.Server(None, answer, limits=LIMITS)
    server.connection_made(transport)
    pen = f.FrameFactory()
    wide = pen.settings({4: (1 << 31) - 1}) + pen.window_update(0, 1 << 30)
    server.data_received(f.PREFACE + wide + pen.headers(1, f.REQUEST, end_stream=True))
    await asyncio.sleep(0)
    return server


def test_more_goes_out_in_a_turn_while_the_transport_takes_it() -> None:
    async def run() -> None:
        transport = Kept()
        server = await asked(transport)
        seen = []
        for octets in transport.turns():
            seen.append(octets // UNIT)
            await asyncio.sleep(0)
            if len(seen) > 12:
                break
        # It begins with one, and doubles up to four.
        assert max(seen) == 4 and seen[-1] == 4
        assert [n for n in seen if n][:3] == [1, 2, 4]
        transport.held = 1  # the peer is slower than that
        next(transport.turns())
        for _ in range(3):
            await asyncio.sleep(0)
            assert next(transport.turns()) // UNIT == 1
        transport.held = 0
        await asyncio.sleep(0)
        assert next(transport.turns()) // UNIT == 2
        server.connection_lost(None)
        await settle()

    asyncio.run(run())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_pieces_are_joined_unless_the_loop_takes_them_as_they_are(lab: Lab, wire: Wire) -> None:
    """Only uvloop does, and only in clear text; either way everything arrives, in order."""

    async def run() -> None:
        apart: list[bool] = []

        async def handle(request: aio.Request) -> None:
            apart.append(gathers(request.conn.transport))
            await request.respond(200, [], BODY)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == BODY
        on_uvloop = type(asyncio.get_running_loop()).__module__ != "asyncio.unix_events"
        assert apart == [on_uvloop and not wire.tls]

    lab.run(run())
