"""The timeouts of a connection, and their effects.

The timeouts in these tests are short. The tests check outcomes, not durations.
"""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, until

SHORT = 0.1
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


async def unwanted(request: aio.Request) -> None:
    raise AssertionError("there is no request")


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], b"hello")


# -- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\nx-", b"GET / HTTP/1.1\r\n"]
)
def test_head_that_does_not_end(lab: Lab, start: bytes) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, unwanted, limits=Limits(header_timeout=SHORT)) as url:
            async with await Peer.connect(url) as peer:
                peer.send(start)
                assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
                assert await peer.reader.read() == b""

    lab.run(main())


def test_head_that_comes_octet_by_octet(lab: Lab) -> None:
    """The time is for all of it."""

    async def main() -> None:
        async with lab.serving(HTTP1, unwanted, limits=Limits(header_timeout=SHORT)) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET / HTTP/1.1\r\nx: ")
                head = asyncio.ensure_future(peer.head())
                while not head.done():
                    peer.send(b"x")
                    await asyncio.sleep(0.01)
                assert (await head).startswith(b"HTTP/1.1 408 ")

    lab.run(main())


def test_second_head_that_does_not_end(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, answer, limits=Limits(header_timeout=SHORT)) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert await peer.reader.readexactly(5) == b"hello"
                assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
                assert await peer.reader.read() == b""

    lab.run(main())


def test_head_behind_a_slow_response_has_time(lab: Lab) -> None:
    """What is not looked at yet cannot be late."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(8 * SHORT)
            await request.respond(200, [], b"hello")

        async with lab.serving(HTTP1, handle, limits=Limits(header_timeout=5 * SHORT)) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert await peer.reader.readexactly(5) == b"hello"
                peer.send(b"host: a\r\n\r\n")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")

    lab.run(main())


@pytest.mark.parametrize("part", ["header", "frame", "block"])
def test_frame_or_block_that_does_not_end(lab: Lab, part: str) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, unwanted, limits=Limits(header_timeout=SHORT)) as url:
            async with await Peer.connect_http2(url) as peer:
                if part == "block":
                    peer.send(peer.pen.headers(1, f.REQUEST, end_headers=False))
                else:
                    peer.send(peer.pen.headers(1, f.REQUEST)[: 4 if part == "header" else 20])
                assert (await peer.expect(f.GOAWAY)).code == f.ENHANCE_YOUR_CALM
                assert await peer.rest() == []

    lab.run(main())


def test_block_in_slow_pieces(lab: Lab) -> None:
    """The time is for the whole block, whatever it is cut into."""

    async def main() -> None:
        async with lab.serving(HTTP2, unwanted, limits=Limits(header_timeout=2 * SHORT)) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_headers=False))
                goaway = asyncio.ensure_future(peer.expect(f.GOAWAY))
                for _ in range(8):
                    await asyncio.sleep(SHORT)
                    if goaway.done():
                        break
                    peer.send(f.frame(f.CONTINUATION, 0, 1, b"\x82"))
                assert (await goaway).code == f.ENHANCE_YOUR_CALM

    lab.run(main())


@CLEAR
def test_response_head_that_does_not_end(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            if wire.http2:
                await greet(peer)
                await peer.expect(f.HEADERS)
                peer.send(peer.pen.headers(1, f.RESPONSE)[:-1])
                assert (await peer.expect(f.GOAWAY)).code == f.ENHANCE_YOUR_CALM
            else:
                await peer.head()
                peer.send(b"HTTP/1.1 200 OK\r\nx-")
                assert await peer.reader.read() == b""

        limits = Limits(header_timeout=SHORT)
        async with by_hand(script) as url, await lab.connect(wire, url, limits=limits) as client:
            with pytest.raises(aio.StreamError):
                await client.request("GET", "/")

    lab.run(main())


# -- bodies ---------------------------------------------------------------------------------------


@CLEAR
def test_request_body_that_does_not_go_on(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        errors: list[Exception] = []

        async def handle(request: aio.Request) -> None:
            assert await request.payload.readexactly(5) == b"start"
            try:
                await request.payload.read(100)
            except aio.StreamError as error:
                errors.append(error)
                raise

        async with lab.serving(wire, handle, limits=Limits(body_timeout=SHORT)) as url:
            if wire.http2:
                async with await Peer.connect_http2(url) as peer:
                    peer.send(peer.pen.headers(1, f.POST) + peer.pen.data(1, b"start"))
                    assert (await peer.expect(f.RST_STREAM, 1)).code == f.CANCEL
                    # The others are none the worse.
                    peer.send(peer.pen.ping())
                    await peer.expect(f.PING)
            else:
                async with await Peer.connect(url) as peer:
                    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nstart")
                    assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
                    assert await peer.reader.read() == b""
            await until(lambda: errors)
        assert "in time" in str(errors[0])

    lab.run(main())


@CLEAR
def test_response_body_that_does_not_go_on(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"start"
                await asyncio.sleep(30)

            await request.respond(200, [], pieces())

        limits = Limits(body_timeout=SHORT)
        async with lab.pair(wire, handle, client_limits=limits) as client:
            response = await client.request("GET", "/")
            assert await response.payload.readexactly(5) == b"start"
            with pytest.raises(aio.StreamError, match="in time"):
                await response.payload.read(100)

    lab.run(main())


@CLEAR
def test_body_that_goes_on_slowly_is_read(lab: Lab, wire: Wire) -> None:
    """The time is between two pieces, not for all of them."""

    async def main() -> None:
        async def slow() -> AsyncIterator[bytes]:
            for _ in range(8):
                await asyncio.sleep(SHORT)
                yield b"."

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], await request.payload.read())

        limits = Limits(body_timeout=6 * SHORT)
        async with lab.pair(wire, handle, limits=limits, client_limits=Limits()) as client:
            response = await client.request("POST", "/", [], slow())
            assert await response.payload.read() == b"." * 8

    lab.run(main())


@CLEAR
def test_body_that_nobody_waits_for_has_time(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"start"
            await more.wait()
            yield b" end"

        async def handle(request: aio.Request) -> None:
            await request.payload.readexactly(5)
            await asyncio.sleep(8 * SHORT)
            more.set()
            await request.respond(200, [], await request.payload.read())

        limits = Limits(body_timeout=5 * SHORT)
        async with lab.pair(wire, handle, limits=limits) as client:
            response = await client.request("POST", "/", [], pieces())
            assert await response.payload.read() == b" end"

    lab.run(main())


@CLEAR
def test_tunnels_may_be_silent(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                await tunnel.write(await tunnel.read(100))

        limits = Limits(body_timeout=SHORT, write_stall_timeout=SHORT, header_timeout=SHORT)
        async with lab.pair(wire, handle, limits=limits, client_limits=limits) as client:
            async with await client.tunnel("example.com:1") as tunnel:
                waits = asyncio.ensure_future(tunnel.read(100))
                await asyncio.sleep(3 * SHORT)
                await tunnel.write(b"late")
                assert await waits == b"late"

    lab.run(main())


# -- output ---------------------------------------------------------------------------------------


def test_response_into_a_closed_window(lab: Lab) -> None:
    async def main() -> None:
        errors: list[Exception] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], bytes(100_000))
            except aio.StreamError as error:
                errors.append(error)
                raise

        async with lab.serving(HTTP2, handle, limits=Limits(write_stall_timeout=SHORT)) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                assert (await peer.expect(f.RST_STREAM)).code == f.CANCEL
                await until(lambda: errors)
        assert "does not take" in str(errors[0])

    lab.run(main())


def test_request_into_a_closed_window(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            assert (await peer.expect(f.RST_STREAM)).code == f.CANCEL
            await peer.rest()

        limits = Limits(write_stall_timeout=SHORT)
        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=limits) as client:
            with pytest.raises(aio.StreamError, match="does not take"):
                await client.request("POST", "/", [], bytes(100_000))

    lab.run(main())


def test_request_into_a_closed_window_after_a_goaway(lab: Lab) -> None:
    """The reset of the last stream closes the connection: there is nothing more to be said."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer, {f.INITIAL_WINDOW_SIZE: 0})
            await peer.expect(f.HEADERS)
            peer.send(peer.pen.goaway(1))
            assert (await peer.expect(f.RST_STREAM)).code == f.CANCEL
            await peer.rest()

        limits = Limits(write_stall_timeout=SHORT)
        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=limits) as client:
            await until(lambda: client.remote_settings.initial_window_size == 0, "SETTINGS")
            with pytest.raises(aio.StreamError, match="does not take"):
                await client.request("POST", "/", [], bytes(1_000))
            await client.wait_closed()

    lab.run(main())


def test_window_that_opens_slowly(lab: Lab) -> None:
    """The time is for any progress, not for all of it."""

    async def main() -> None:
        async with lab.serving(
            HTTP2, lambda request: request.respond(200, [], bytes(75_535)),
            limits=Limits(write_stall_timeout=6 * SHORT),
        ) as url:  # fmt: skip
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                for _ in range(8):
                    await asyncio.sleep(SHORT)
                    peer.send(peer.pen.window_update(0, 1250) + peer.pen.window_update(1, 1250))
                got = await peer.expect(f.DATA, 1)
                while not got.flags & f.END_STREAM:
                    got = await peer.expect(f.DATA, 1)

    lab.run(main())


@CLEAR
def test_client_that_takes_nothing(lab: Lab, wire: Wire) -> None:
    """Not even from the transport: the connection ends."""

    async def main() -> None:
        done: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], bytes(30_000_000))
            except BaseException as error:
                done.append(error)
                raise

        async with lab.serving(wire, handle, limits=Limits(write_stall_timeout=2 * SHORT)) as url:
            if wire.http2:
                peer = await Peer.connect_http2(url, {f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW})
                peer.send(peer.pen.window_update(0, f.MAX_WINDOW - 65_535))
                request = peer.pen.headers(1, f.REQUEST, end_stream=True)
            else:
                peer = await Peer.connect(url)
                request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every transport has it
            peer.send(request)
            await until(lambda: done)
            peer.writer.transport.abort()

    lab.run(main())


# -- peers that are silent, or gone ---------------------------------------------------------------


def test_server_pings_a_silent_client(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(ping_interval=SHORT, ping_timeout=5 * SHORT)
        async with lab.serving(HTTP2, answer, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                for _ in range(2):
                    ping = await peer.expect(f.PING)
                    assert not ping.flags & f.ACK
                    peer.send(peer.pen.ping(ping.payload, ack=True))
                await peer.expect(f.PING)
                assert (
                    await peer.rest() == []
                )  # no second one, and no GOAWAY: it is as good as gone

    lab.run(main())


def test_client_pings_a_silent_server(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            ping = await peer.expect(f.PING)
            peer.send(peer.pen.ping(ping.payload, ack=True))
            await peer.expect(f.PING)
            await peer.rest()

        limits = Limits(ping_interval=SHORT, ping_timeout=5 * SHORT)
        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=limits) as client:
            with pytest.raises(aio.ConnectionLostError):
                await client.request("GET", "/")
            await client.wait_closed()

    lab.run(main())


def test_pings_keep_a_connection(lab: Lab) -> None:
    """And nobody who listens for answers to his own is told."""

    async def main() -> None:
        pongs: list[bytes] = []

        class Listening(aio.Client):
            def on_pong(self, data: bytes) -> None:
                pongs.append(data)

        limits = Limits(ping_interval=SHORT / 4, ping_timeout=10)
        async with lab.serving(HTTP2, answer) as url:
            loop = asyncio.get_running_loop()
            port = int(url.rpartition(":")[2])
            _, client = await loop.create_connection(
                lambda: Listening(url[7:], force_http2=True, limits=limits), "127.0.0.1", port
            )
            async with client:
                await asyncio.sleep(2 * SHORT)
                assert (await client.request("GET", "/")).code == 200
                client.write_ping(b"my own..")
                await until(lambda: pongs)
        assert pongs == [b"my own.."]

    lab.run(main())


def test_shutdown_does_not_wait_for_the_answer_of_an_idle_client(lab: Lab) -> None:
    """It would be given 30 s for its open requests, and has none."""

    async def main() -> None:
        async with lab.serving(HTTP2, answer) as url:
            peer = await Peer.connect_http2(url)
            peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
            await peer.expect(f.DATA)
            rest = asyncio.ensure_future(peer.rest())
        got = await asyncio.wait_for(rest, 20)
        assert [(each.type, each.last) for each in got if each.type == f.GOAWAY] == [
            (f.GOAWAY, f.MAX_ID),
            (f.GOAWAY, 1),
        ]
        peer.writer.close()

    lab.run(main())


def test_client_that_is_gone_while_nobody_reads(lab: Lab) -> None:
    """HTTP/1.1: reading is paused, and the handler does not write either."""

    async def main() -> None:
        ended: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            try:
                await asyncio.sleep(30)
            except BaseException as error:
                ended.append(error)
                raise

        async with lab.serving(HTTP1, handle, limits=Limits(body_timeout=SHORT)) as url:
            loop = asyncio.get_running_loop()
            sock = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
            sock.setblocking(False)
            head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n"
            await loop.sock_sendall(sock, head + bytes(1_000_000))
            sock.close()
            await until(lambda: ended)

    lab.run(main())


def test_nothing_is_left_of_a_closed_connection(lab: Lab, wire: Wire) -> None:
    """No timer, no callback: connections are freed as soon as they are closed."""

    async def main() -> None:
        class Canary:
            alive = 0

            def __init__(self) -> None:
                Canary.alive += 1

            def __del__(self) -> None:
                Canary.alive -= 1

        async def handle(request: aio.Request) -> None:
            request.conn.canary = Canary()  # type: ignore[attr-defined]  # it has a __dict__
            await request.respond(200, [], await request.payload.read())

        limits = Limits(linger_timeout=SHORT, ping_interval=3600)
        async with lab.serving(wire, handle, limits=limits) as url:
            for _ in range(3):
                async with await lab.connect(wire, url) as client:
                    client.canary = Canary()  # type: ignore[attr-defined]  # it has a __dict__
                    response = await client.request("POST", "/", [], bytes(300_000))
                    assert len(await response.payload.read()) == 300_000
                del client, response
        await until(lambda: Canary.alive == 0, "the end of connections")

    lab.run(main())
