"""`Client.hand_over`: another protocol takes the transport, and no call waits for ever.

Nor does `wait_closed` of a connection that was closed before it had a transport.
"""

import asyncio

import pytest

import cno
from cno import aio
from tests.aio.lab import HTTP1, HTTP1_TLS, Lab, Wire, by_hand, settle, until
from tests.aio.lab import Peer as Script

HTTP1_WIRES = pytest.mark.parametrize("wire", [HTTP1, HTTP1_TLS], ids=str)


class Successor(asyncio.Protocol):
    """The protocol that takes the transport over."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


async def echo(request: aio.Request) -> None:
    async with await request.upgrade() as tunnel:
        while data := await tunnel.read(65536):
            await tunnel.write(data)


@HTTP1_WIRES
def test_waiting_calls_end(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url:
            client = await lab.connect(wire, url)
            closed = asyncio.ensure_future(client.wait_closed())
            tunnel = await client.upgrade("echo")
            reading = asyncio.ensure_future(tunnel.read(1))
            await settle()
            assert not closed.done() and not reading.done()
            transport, early, peer_ended = client.hand_over()
            assert (early, peer_ended) == (b"", False)
            try:
                await asyncio.wait_for(closed, 5)
                with pytest.raises(aio.ConnectionLostError, match="another protocol"):
                    await asyncio.wait_for(reading, 5)
                await asyncio.wait_for(client.wait_closed(), 5)
            finally:
                transport.abort()

    lab.run(main())


@HTTP1_WIRES
def test_output_is_not_lost(lab: Lab, wire: Wire) -> None:
    """What was written to the tunnel in the same iteration goes first."""

    async def main() -> None:
        async with lab.serving(wire, echo) as url:
            client = await lab.connect(wire, url)
            tunnel = await client.upgrade("echo")
            await tunnel.write(b"before ")
            transport, _, _ = client.hand_over()
            successor = Successor()
            transport.set_protocol(successor)
            transport.write(b"after")
            await until(lambda: len(successor.data) >= 12, "the echo")
            assert successor.data == b"before after"
            transport.abort()

    lab.run(main())


def test_blocked_write_fails(lab: Lab) -> None:
    """The task that writes to the tunnel learns that the rest is not sent."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def script(peer: Script) -> None:
            await peer.head()
            peer.send(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            await go_on.wait()

        async with by_hand(script) as url:
            client = await lab.connect(HTTP1, url)
            tunnel = await client.upgrade("x")
            writing = asyncio.ensure_future(tunnel.write(bytes(50_000_000)))
            await settle()
            assert not writing.done()
            transport, _, _ = client.hand_over()
            with pytest.raises(aio.ConnectionLostError):
                await asyncio.wait_for(writing, 5)
            transport.abort()
            go_on.set()

    lab.run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_closed_before_a_transport(lab: Lab, role: str, end: str) -> None:
    """There may never be one, as when the connection cannot be made."""

    async def main() -> None:
        conn = cno.Client(authority="a") if role == "client" else cno.Server(echo)
        early = asyncio.ensure_future(conn.wait_closed())
        await settle()
        assert not early.done()
        getattr(conn, end)()
        await asyncio.wait_for(early, 5)
        await asyncio.wait_for(conn.wait_closed(), 5)

    lab.run(main())
