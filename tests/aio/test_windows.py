"""Windows that grow: where a round trip is long, what is read gets more room; nothing else does.

The peer is played by hand: it sends all that its windows allow, and answers PING after a while.
"""

import asyncio

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP2, Lab, Peer, by_hand, greet, settle, until

#: Seconds of a round trip: long against what this machine takes to read a window.
TRIP = 0.15
START = Limits(
    initial_window_size=65_535,
    connection_window=131_070,
    max_stream_window=1_000_000,
    max_connection_window=2_000_000,
)


class FarPeer(Peer):
    """Keeps books of the windows it has; what it sends and gets takes a round trip."""

    window: dict[int, int]
    pings: list[bytes]

    async def listen(self) -> None:
        """Take frames until the end. What they say reaches the peer later."""
        loop = asyncio.get_running_loop()
        self.pings = []
        try:
            while True:
                got = await self.frame()
                if got.type == f.WINDOW_UPDATE:
                    loop.call_later(TRIP, self.widen, got.stream, got.increment)
                elif got.type == f.PING and not got.flags & f.ACK:
                    self.pings.append(got.payload)
                    loop.call_later(TRIP, self.send, self.pen.ping(got.payload, ack=True))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def widen(self, stream: int, more: int) -> None:
        self.window[stream] = self.window.get(stream, 65_535) + more

    async def transmit(self, stream: int, size: int) -> None:
        """Send so much, as the windows allow."""
        while size > 0:
            piece = min(16_384, size, self.window.get(stream, 65_535), self.window[0])
            if piece <= 0:
                await asyncio.sleep(0.005)
                continue
            self.widen(stream, -piece)
            self.widen(0, -piece)
            self.send(self.pen.data(stream, bytes(piece)))
            size -= piece


async def far_client(url: str) -> FarPeer:
    """A client after the handshake, whose acknowledgement took its time."""
    peer = await FarPeer.connect(url)
    assert isinstance(peer, FarPeer)
    peer.window = {0: 65_535}
    peer.send(f.PREFACE + peer.pen.settings({}))
    await Peer.frame(peer)
    return peer


def granted(peer: Peer, stream: int) -> int:
    """Octets that a window has had room for in all."""
    updates = [each for each in peer.seen if each.type == f.WINDOW_UPDATE]
    return 65_535 + sum(each.increment for each in updates if each.stream == stream)


async def upload(lab: Lab, limits: Limits, size: int, read: bool) -> FarPeer:
    """A client sends a body from far away; the handler reads it, or not."""
    got = 0
    seen = asyncio.Event()

    async def handle(request: aio.Request) -> None:
        nonlocal got
        while read and (data := await request.payload.read(65_536)):
            got += len(data)
            if got == size:
                seen.set()
        await asyncio.sleep(30)

    async with lab.serving(HTTP2, handle, limits=limits) as url:
        peer = await far_client(url)
        listening = asyncio.ensure_future(peer.listen())
        peer.send(peer.pen.headers(1, f.POST))
        sending = asyncio.ensure_future(peer.transmit(1, size))
        if read:
            await asyncio.wait_for(seen.wait(), 20)
            await sending
            await asyncio.sleep(2 * TRIP)  # the last update may be on its way
        else:
            await asyncio.sleep(4 * TRIP)
            sending.cancel()
        peer.writer.transport.abort()
        await listening
    return peer


def test_stream_that_is_read_gets_more_room(lab: Lab) -> None:
    async def main() -> None:
        size = 2_000_000
        peer = await upload(lab, START, size, True)
        assert 500_000 < granted(peer, 1) - size <= 1_000_000
        assert 1_000_000 < granted(peer, 0) - size <= 2_000_000
        assert len(peer.pings) <= 8

    lab.run(main())


def test_stream_that_nobody_reads_gets_none(lab: Lab) -> None:
    async def main() -> None:
        peer = await upload(lab, START, 2_000_000, False)
        assert [each for each in peer.seen if each.type == f.WINDOW_UPDATE and each.stream] == []
        assert peer.pings == []

    lab.run(main())


def test_windows_that_must_not_grow(lab: Lab) -> None:
    async def main() -> None:
        fixed = Limits(
            initial_window_size=65_535,
            connection_window=131_070,
            max_stream_window=0,
            max_connection_window=0,
        )
        peer = await upload(lab, fixed, 300_000, True)
        assert granted(peer, 1) - 300_000 <= 65_535
        assert granted(peer, 0) - 300_000 <= 131_070

    lab.run(main())


def test_small_bodies_cost_no_ping(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            peer.send(peer.pen.settings(ack=True))
            for n in range(50):
                stream = (await peer.expect(f.HEADERS)).stream
                peer.send(peer.pen.headers(stream, f.RESPONSE))
                peer.send(peer.pen.data(stream, b"hello", end_stream=True))
                assert stream == 2 * n + 1
            await peer.rest()
            assert [each for each in peer.seen if each.type == f.PING] == []

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            for _ in range(50):
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"hello"

    lab.run(main())


def test_other_streams_keep_their_windows(lab: Lab) -> None:
    """What grows is one stream's window, not the setting for all."""

    async def main() -> None:
        peer = await upload(lab, START, 2_000_000, True)
        changes = [each for each in peer.seen if each.type == f.SETTINGS and not each.flags & f.ACK]
        assert len(changes) == 1

    lab.run(main())


def test_answers_to_measuring_are_nobodys(lab: Lab) -> None:
    async def main() -> None:
        pongs: list[bytes] = []
        read = asyncio.Event()

        class Listening(aio.Server):
            def on_pong(self, data: bytes) -> None:
                pongs.append(data)

        async def handle(request: aio.Request) -> None:
            await request.payload.readexactly(1_000_000)
            read.set()
            await request.respond(200)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Listening(handle, limits=START), "127.0.0.1", 0)
        peer = await far_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        listening = asyncio.ensure_future(peer.listen())
        peer.send(peer.pen.headers(1, f.POST))
        await peer.transmit(1, 1_000_000)
        await read.wait()
        await until(lambda: peer.pings)
        await asyncio.sleep(2 * TRIP)
        await settle()
        assert pongs == []
        peer.writer.transport.abort()
        await listening
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.02)

    lab.run(main())
