"""HTTP/2 connections whose server no longer answers: after a request has timed out, the next one
goes to another connection."""

import asyncio

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP2, Lab, Peer, by_hand, greet, hello, until


class Server:
    """Answers the first request of each connection; of the first connection, no others."""

    def __init__(self, pongs: bool) -> None:
        self.pongs = pongs
        self.connections = 0
        self.requests: list[int] = []  # on which connection each has come
        self.pings: list[int] = []

    async def __call__(self, peer: Peer) -> None:
        await greet(peer)
        self.connections += 1
        number = self.connections
        while True:
            got = await peer.frame()
            if got.type == f.HEADERS:
                self.requests.append(number)
                if number > 1 or got.stream == 1:
                    peer.send(peer.pen.headers(got.stream, f.RESPONSE, end_stream=True))
            elif got.type == f.PING and not got.flags & f.ACK:
                self.pings.append(number)
                if self.pongs or number > 1:
                    peer.send(peer.pen.ping(got.payload, ack=True))


def test_dead_connection_is_not_chosen_again(lab: Lab) -> None:
    async def main() -> None:
        server = Server(False)
        async with by_hand(server) as url, aio.Pool(force_http2=True) as pool:
            assert (await pool.request("GET", url)).code == 200
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await pool.request("GET", url)
            await until(lambda: server.pings, "a PING")
            answers = await asyncio.gather(*(pool.request("GET", url) for _ in range(3)))
            assert [each.code for each in answers] == [200] * 3
            assert server.requests == [1, 1, 2, 2, 2]
            assert pool.connections == 1

    lab.run(main())


def test_connection_that_answers_the_ping_goes_on(lab: Lab) -> None:
    async def main() -> None:
        calls: list[str] = []

        async def handle(request: aio.Request) -> None:
            calls.append(request.path)
            if request.path == "/slow":
                await asyncio.sleep(5)
            await request.respond(200, [], b"")

        async with lab.serving(HTTP2, handle) as url:
            async with aio.Pool(force_http2=True) as pool:
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.15):
                            await pool.request("GET", f"{url}/slow")
                    assert (await pool.request("GET", url)).code == 200
                    assert pool.connections == 1

    lab.run(main())


def test_each_suspicion_has_its_second(lab: Lab) -> None:
    """A PING is given as long for its answer, whenever the one before was sent."""

    async def main() -> None:
        connections = 0
        pings = 0

        async def script(peer: Peer) -> None:
            nonlocal connections, pings
            connections += 1
            await greet(peer)
            while True:
                got = await peer.frame()
                if got.type == f.HEADERS and got.stream == 1:
                    peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
                elif got.type == f.PING and not got.flags & f.ACK:
                    pings += 1
                    pong = peer.pen.ping(got.payload, ack=True)
                    asyncio.get_running_loop().call_later(0.3, peer.send, pong)

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            assert (await pool.request("GET", url)).code == 200
            for pause, patience in ((0.0, 0.4), (0.35, 0.22), (0.0, 0.22), (0.5, 0.22)):
                await asyncio.sleep(pause)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(patience):
                        await pool.request("GET", url)
            assert (connections, pings) == (1, 2)

    lab.run(main())


def test_nothing_is_asked_while_others_are_answered(lab: Lab) -> None:
    """What has come since the request was sent tells that the server is there."""

    async def main() -> None:
        server = Server(True)

        async def script(peer: Peer) -> None:
            await greet(peer)
            while True:
                got = await peer.frame()
                if got.type == f.HEADERS and got.stream != 1:
                    peer.send(peer.pen.headers(got.stream, f.RESPONSE, end_stream=True))
                elif got.type == f.PING and not got.flags & f.ACK:
                    server.pings.append(got.stream)

        async with by_hand(script) as url, aio.Pool(force_http2=True) as pool:
            slow = asyncio.create_task(pool.request("GET", url))
            await asyncio.sleep(0.15)
            assert (await pool.request("GET", url)).code == 200
            slow.cancel()
            await asyncio.wait([slow])
            assert (await pool.request("GET", url)).code == 200
            assert server.pings == []

    lab.run(main())


def test_client_learns_that_its_server_is_gone(lab: Lab) -> None:
    """It has no other connection to turn to: this one ends when the PING is not answered."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.rest()

        limits = Limits(ping_timeout=0.2)
        async with by_hand(script) as url:
            async with await lab.connect(HTTP2, url, limits=limits) as client:
                await asyncio.sleep(0.1)  # all that has to be said at first has been
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await client.request("GET", "/")
                await asyncio.wait_for(client.wait_closed(), 5)
                with pytest.raises(aio.ConnectionLostError):
                    await client.request("GET", "/")

    lab.run(main())


def test_client_goes_on_when_the_ping_is_answered(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/slow":
                await asyncio.sleep(5)
            await hello(request)

        limits = Limits(ping_timeout=0.2)
        async with lab.pair(HTTP2, handle, client_limits=limits) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.request("GET", "/slow")
            await asyncio.sleep(0.5)
            assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_timeout_of_ours_asks_as_well(lab: Lab) -> None:
    """In the middle of a body."""

    async def main() -> None:
        pings: list[int] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS)
            peer.send(peer.pen.headers(1, f.RESPONSE) + peer.pen.data(1, b"part"))
            while True:
                got = await peer.frame()
                if got.type == f.PING and not got.flags & f.ACK:
                    pings.append(1)

        limits = Limits(body_timeout=0.2, ping_timeout=0.2)
        async with by_hand(script) as url:
            async with await lab.connect(HTTP2, url, limits=limits) as client:
                response = await client.request("GET", "/")
                with pytest.raises(aio.StreamError):
                    await response.payload.read()
                await asyncio.wait_for(client.wait_closed(), 5)
        assert pings

    lab.run(main())
