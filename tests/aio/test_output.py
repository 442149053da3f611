"""How much is written to the transport at once, and how."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cno import aio
from cno.aio.connection.transports import gathers
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, WIRES, Lab, Peer, Transport, Wire, settle

BODY = bytes(range(256)) * 16_384  # 4 MiB
UNIT = 65_536
LIMITS = Limits(write_buffer=UNIT)
WIDE = (1 << 31) - 1


class Secured:
    """As much of an `ssl.SSLObject` as is looked at."""

    def selected_alpn_protocol(self) -> str:
        return "h2"

    def version(self) -> str:
        return "TLSv1.3"


class Kept(Transport):
    """Takes everything, and says that it still holds so many octets back."""

    def __init__(self, secured: bool = False) -> None:
        super().__init__()
        self.secured = secured
        self.held = 0
        self.written = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return Secured() if name == "ssl_object" and self.secured else default

    def write(self, data: Any) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    async def turn(self) -> float:
        """What is written in the next turn of the loop, in units."""
        self.written = 0
        await asyncio.sleep(0)
        return self.written / UNIT


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(10_000):
        yield bytes(100)


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], pieces() if request.path == "/pieces" else BODY)


class Asker:
    """The client of a server's connection, in this process."""

    def __init__(self, transport: Kept, window: int = WIDE) -> None:
        self.server = aio.Server(None, answer, limits=LIMITS)
        self.server.connection_made(transport)
        self.pen = f.FrameFactory()
        wide = self.pen.settings({4: window}) + self.pen.window_update(0, 1 << 30)
        self.server.data_received(f.PREFACE + wide + self.pen.settings(ack=True))

    def ask(self, stream: int, path: str = "/") -> None:
        fields = [*f.REQUEST[:3], (":path", path)]
        self.server.data_received(self.pen.headers(stream, fields, end_stream=True))

    async def close(self) -> None:
        self.server.connection_lost(None)
        await settle()


async def grown(transport: Kept, asker: Asker, stream: int) -> list[float]:
    """What the turns bring of a large response, those that bring something."""
    asker.ask(stream)
    turns = [await transport.turn() for _ in range(20)]
    return [units for units in turns if units >= 0.5]


def test_more_goes_out_in_a_turn_while_the_transport_takes_it() -> None:
    async def run() -> None:
        transport = Kept()
        asker = Asker(transport)
        asker.ask(1)
        # (The first is written at once where tasks start at once.)
        turns = [transport.written / UNIT, *[await transport.turn() for _ in range(9)]]
        # It begins with one, and doubles up to four.
        assert [round(units) for units in turns if units >= 0.5][:4] == [1, 2, 4, 4]
        transport.held = 1  # the peer is slower than that
        for _ in range(3):
            assert round(await transport.turn()) == 1
        transport.held = 0
        assert round(await transport.turn()) == 2
        await asker.close()

    asyncio.run(run())


def test_not_with_tls_which_hides_what_waits_below_it() -> None:
    async def run() -> None:
        transport = Kept(secured=True)
        asker = Asker(transport)
        turns = await grown(transport, asker, 1)
        assert len(turns) > 10
        assert {round(units) for units in turns} == {1}
        await asker.close()

    asyncio.run(run())


def test_small_windows_do_not_show_that_a_transport_is_fast() -> None:
    async def run() -> None:
        transport = Kept()
        asker = Asker(transport, window=0)
        asker.ask(1)
        await settle()
        for _ in range(10):
            asker.server.data_received(asker.pen.window_update(1, 2_000))
            assert await transport.turn() < 0.5
        transport.written = 0
        asker.server.data_received(asker.pen.window_update(1, 1 << 30))
        assert round(transport.written / UNIT) == 1
        await asker.close()

    asyncio.run(run())


def test_small_pieces_of_one_body_do_not_keep_the_loop() -> None:
    """They go out as fast as they come, but not more than one unit of them in a turn."""

    async def run() -> None:
        transport = Kept()
        asker = Asker(transport)
        assert round(max(await grown(transport, asker, 1))) == 4
        asker.ask(3, "/pieces")
        turns = [await transport.turn() for _ in range(60)]
        assert sum(turns) * UNIT > 1_000_000
        assert max(turns) < 1.2
        await asker.close()

    asyncio.run(run())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_pieces_are_joined_unless_the_loop_takes_them_as_they_are(lab: Lab, wire: Wire) -> None:
    """Only uvloop does, without TLS; either way everything arrives, in order."""

    async def run() -> None:
        async def handle(request: aio.Request) -> None:
            on_uvloop = type(asyncio.get_running_loop()).__module__.startswith("uvloop")
            assert wire.tls or gathers(request.conn.transport) == on_uvloop
            await request.respond(200, [], BODY)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == BODY

    lab.run(run())


# -- HTTP/1.1: bodies that are given whole ---------------------------------------------------------

WHOLE = bytes(16 * UNIT)
ASKED = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Objects(Kept):
    """Keeps what it is given."""

    def __init__(self, secured: bool = False) -> None:
        super().__init__(secured)
        self.given: list[bytes] = []

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object" and self.secured:
            return SecuredHttp1()
        return default

    def write(self, data: Any) -> None:
        self.given.append(data)


class SecuredHttp1(Secured):
    def selected_alpn_protocol(self) -> str:
        return "http/1.1"


def first_writes(body: bytes, limits: Limits, secured: bool = False) -> list[bytes]:
    """What a transport has been given of a response a few turns later, while it takes nothing."""

    async def handle(request: aio.Request) -> None:
        await request.respond(200, [], body)

    async def run() -> list[bytes]:
        server = aio.Server(None, handle, limits=limits)
        transport = Objects(secured)
        server.connection_made(transport)
        server.data_received(ASKED)
        for _ in range(2):
            await asyncio.sleep(0)
        found = list(transport.given)
        server.connection_lost(None)
        await settle()
        return found

    return asyncio.run(run())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio's transports copied until then")
def test_a_body_is_handed_over_as_it_is() -> None:
    given = first_writes(WHOLE, LIMITS)
    assert any(each is WHOLE for each in given)
    assert given[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert sum(map(len, given)) == len(WHOLE) + len(given[0])


@pytest.mark.parametrize("secured", [False, True])
def test_a_body_that_is_too_large_for_that_is_cut(secured: bool) -> None:
    """As are all where the transport would copy them."""
    body = WHOLE if secured or sys.version_info < (3, 12) else bytes(16 * UNIT + 1)
    given = first_writes(body, LIMITS, secured)
    assert 0 < max(map(len, given)) <= 4 * UNIT + 200


def test_uvloop_is_given_bodies_as_they_are(lab: Lab) -> None:
    """Its transport holds all of it at once, and the handler waits for nothing but that."""

    async def main() -> None:
        if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
            return
        sizes: list[int] = []
        done = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], WHOLE * 8)
            sizes.append(request.conn.transport.get_write_buffer_size())
            done.set()

        limits = Limits(write_buffer=8 * UNIT)
        async with (
            lab.serving(HTTP1, handle, limits=limits) as url,
            await Peer.connect(url) as peer,
        ):
            peer.send(ASKED)
            await done.wait()
            assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert len(await peer.reader.readexactly(len(WHOLE) * 8)) == len(WHOLE) * 8
        assert sizes[0] > 16 * UNIT

    lab.run(main())
