"""Messages with values that no honest peer writes, given to servers and clients of the asyncio
layer: nothing but the documented errors comes of them, and the loop's exception handler hears of
none. What each is like: `tests.fuzz.extremes`."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

import cno
from cno import aio
from tests.aio.lab import Lab, Transport, settle
from tests.fuzz import extremes

#: Messages tried of each kind.
COUNT = 150


class Ending(Transport):
    """Tells its protocol of the end, as transports do, and takes no more then."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.over = False

    def is_closing(self) -> bool:
        return self.over

    def close(self) -> None:
        if not self.over:
            self.over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def cases(kind: str) -> list[bytes]:
    case = extremes.cases(len(kind))
    found: list[bytes] = []
    while len(found) < COUNT:
        one, _, text = case()
        if one == kind:
            found.append(text.encode("latin-1"))
    return found


async def play(protocol: asyncio.Protocol, transport: Ending, data: bytes) -> None:
    """Give it in two pieces, then hang up."""
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        if not transport.over:
            protocol.data_received(piece)
        await settle()
    transport.close()
    await settle()


@pytest.mark.parametrize("kind", ["h1-server", "h2-server"])
def test_servers(lab: Lab, kind: str) -> None:
    async def handle(request: aio.Request) -> None:
        if request.method == "CONNECT" and len(request.headers) % 2:
            with suppress(cno.ConnectionError):
                await (await request.upgrade()).close()
            return
        await request.respond(200, [], await request.payload.read())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for data in cases(kind):
            server = aio.Server(loop, handle)
            transport = Ending(server)
            server.connection_made(transport)
            await play(server, transport, data)

    lab.run(main())


@pytest.mark.parametrize("kind", ["h1-client", "h2-client"])
def test_clients(lab: Lab, kind: str) -> None:
    async def ask(client: aio.Client, method: str) -> None:
        with suppress(cno.ConnectionError):
            response = await client.request(method, "/")
            await response.payload.read()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for data in cases(kind):
            client = aio.Client(loop, "a", "http", force_http2=kind.startswith("h2"))
            transport = Ending(client)
            client.connection_made(transport)
            asking = [asyncio.ensure_future(ask(client, m)) for m in ("GET", "POST", "HEAD")]
            await settle()
            await play(client, transport, data)
            await asyncio.gather(*asking)

    lab.run(main())
