"""Byte streams in place of messages: Upgrade, CONNECT and extended CONNECT, on every wire."""

import asyncio

import pytest

import cno
from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, settle, until

#: Waits longer than a test may take.
PATIENT = Limits(linger_timeout=60.0)
EXTENDED: cno.SettingsDict = {"enable_connect_protocol": True}


async def shout(request: aio.Request) -> None:
    """Upgrade, and say everything again in upper case."""
    async with await request.upgrade([("x-hello", "client")]) as tunnel:
        while data := await tunnel.read(65536):
            await tunnel.write(data.upper())


async def refuse(request: aio.Request) -> None:
    await request.respond(403, [("x-why", "no")], b"never")


def test_upgrade_is_the_same_everywhere(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, shout, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("shouting", "/chat?x=y", [("x-hello", "server")])
                assert ("x-hello", "client") in tunnel.headers
                if not wire.http2:
                    assert ("upgrade", "shouting") in tunnel.headers
                assert isinstance(tunnel.reader, asyncio.StreamReader)
                await tunnel.write(b"hello\n")
                assert await tunnel.reader.readline() == b"HELLO\n"
                await tunnel.write(memoryview(b"again"))
                assert await tunnel.read(100) == b"AGAIN"
                if not wire.tls or wire.http2:
                    # Over TLS a side cannot be closed alone.
                    await tunnel.write_eof()
                    assert await tunnel.read() == b""
                await tunnel.close()
                with pytest.raises(UsageError):
                    await tunnel.write(b"more")

    lab.run(main())


def test_request_of_an_upgrade(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen: list[aio.Request] = []

        async def handle(request: aio.Request) -> None:
            seen.append(request)
            await (await request.upgrade()).close()

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("websocket", "/chat?x=y")
                assert await tunnel.read() == b""
        request = seen[0]
        fields = dict(request.headers)
        assert request.path == "/chat?x=y"
        if wire.http2:
            assert (request.method, fields[":protocol"]) == ("CONNECT", "websocket")
        else:
            assert (request.method, fields["upgrade"]) == ("GET", "websocket")

    lab.run(main())


def test_large_amounts_both_ways_at_once(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, shout, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("shouting")

                async def talk() -> None:
                    for _ in range(50):
                        await tunnel.write(b"x" * 100_000)

                talking = asyncio.ensure_future(talk())
                assert await tunnel.reader.readexactly(5_000_000) == b"X" * 5_000_000
                await talking
                await tunnel.close()

    lab.run(main())


def test_refused_upgrade(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, refuse, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                for _ in range(2):
                    with pytest.raises(aio.UpgradeRefused) as caught:
                        await client.upgrade("shouting")
                    response = caught.value.response
                    assert response.code == 403
                    assert ("x-why", "no") in response.headers
                    if wire.http2:
                        response.cancel()
                    else:
                        assert await response.payload.read() == b"never"

    lab.run(main())


def test_connect_tunnels(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert request.method == "CONNECT"
            assert dict(request.headers)[":authority"] == "target.test:25"
            await shout(request)

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                async with await client.tunnel("target.test:25", [("x-a", "b")]) as tunnel:
                    await tunnel.write(b"helo")
                    assert await tunnel.reader.readexactly(4) == b"HELO"

    lab.run(main())


def test_refused_connect(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, refuse) as url:
            async with await lab.connect(wire, url) as client:
                with pytest.raises(aio.UpgradeRefused) as caught:
                    await client.tunnel("target.test:25")
                assert caught.value.response.code == 403
                caught.value.response.cancel()

    lab.run(main())


def test_nothing_to_upgrade_to(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(UsageError):
                await request.upgrade()
            await request.respond(200)

        async with lab.pair(wire, handle) as client:
            assert (await client.request("GET", "/")).code == 200
            if wire.http2:
                # It has not said that it takes extended CONNECT.
                with pytest.raises(CnoConnectionError):
                    await client.upgrade("websocket")
                assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_bytes_that_come_with_the_upgrade(lab: Lab) -> None:
    """A client may be so sure that it goes on at once."""

    async def main() -> None:
        async with lab.serving(HTTP1, shout) as url, await Peer.connect(url) as peer:
            peer.send(
                b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: a, b\r\n\r\nearly"
            )
            head = await peer.head()
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert b"\r\nupgrade: a\r\n" in head
            assert b"\r\nconnection: upgrade\r\n" in head
            assert await peer.reader.readexactly(5) == b"EARLY"
            peer.send(b"late")
            assert await peer.reader.readexactly(4) == b"LATE"
            peer.writer.write_eof()
            assert await peer.reader.read() == b""

    lab.run(main())


def test_upgrade_that_is_not_taken_goes_on_in_http1(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], request.path.encode())

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            ask = b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n"
            peer.send(ask + b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
            for path in (b"/1", b"/2"):
                assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
                assert await peer.reader.readexactly(2) == path

    lab.run(main())


def test_handler_that_leaves_its_tunnel_open(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            await tunnel.write(b"bye")

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("x")
                assert await tunnel.reader.readexactly(3) == b"bye"
                assert await tunnel.read() == b""

    lab.run(main())


def test_tunnel_whose_other_side_is_lost(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        errors: list[str] = []

        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            try:
                while await tunnel.read(100):
                    pass
                errors.append("end")
            except (asyncio.CancelledError, CnoConnectionError) as error:
                errors.append(type(error).__name__)
                raise

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            client = await lab.connect(wire, url)
            tunnel = await client.upgrade("x")
            await tunnel.write(b"hello")
            client.abort()
            await settle()
            with pytest.raises(CnoConnectionError):
                await tunnel.write(b"x")
            await until(lambda: errors, "the end of the handler")

    lab.run(main())


def test_end_of_a_tunnel_is_an_end_of_stream(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, shout, settings=EXTENDED) as url:
            async with await Peer.connect_http2(url) as peer:
                head = [
                    (":method", "CONNECT"),
                    (":protocol", "shouting"),
                    (":scheme", "http"),
                    (":authority", "x"),
                    (":path", "/"),
                ]
                peer.send(peer.pen.headers(1, head) + peer.pen.data(1, b"hey", end_stream=True))
                answer = await peer.expect(f.HEADERS, 1)
                fields = [each for each in peer.pen.decode(answer.payload) if each[0] != "date"]
                assert fields == [(":status", "200"), ("x-hello", "client")]
                assert (await peer.expect(f.DATA, 1)).payload == b"HEY"
                end = await peer.expect(f.DATA, 1)
                assert (end.payload, end.flags & f.END_STREAM) == (b"", f.END_STREAM)

    lab.run(main())


def test_two_writers_at_once_are_refused(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                await asyncio.sleep(0.1)
                await tunnel.read()

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("x")
                first = asyncio.ensure_future(tunnel.write(bytes(20_000_000)))
                await asyncio.sleep(0.01)
                assert not first.done()
                with pytest.raises(UsageError):
                    await tunnel.write(b"x")
                first.cancel()
                client.abort()

    lab.run(main())


def test_what_was_written_before_close_arrives(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                got.append(await tunnel.read())

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            async with await lab.connect(wire, url) as client:
                async with await client.upgrade("x") as tunnel:
                    await tunnel.write(b"x" * 150_000)
                await until(lambda: got, "the end")
        assert got == [b"x" * 150_000]

    lab.run(main())


def test_a_handler_that_returns_has_closed_both_sides(lab: Lab, wire: Wire) -> None:
    """Also after `write_eof`: the connection ends when the client has closed its side."""

    async def handle(request: aio.Request) -> None:
        tunnel = await request.upgrade()
        await tunnel.write(b"all")
        await tunnel.write_eof()

    async def main() -> None:
        async with asyncio.timeout(10), lab.serving(wire, handle, limits=PATIENT) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.tunnel("cno.test:1")
                assert await tunnel.read() == b"all"
                await tunnel.close()

    lab.run(main())


@pytest.mark.parametrize("closes", [False, True], ids=["write_eof", "close"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_an_end_while_another_task_writes(lab: Lab, wire: Wire, closes: bool) -> None:
    """Half of what is being written must not seem to be all of it."""
    size = 30_000_000

    async def main() -> None:
        go = asyncio.Event()
        received: list[int] = []

        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            await go.wait()
            taken = 0
            while data := await tunnel.read(65536):
                taken += len(data)
            received.append(taken)

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.tunnel("cno.test:1")
                writing = asyncio.ensure_future(tunnel.write(bytes(size)))
                await asyncio.sleep(0.1)
                assert not writing.done()
                if closes:
                    await tunnel.close()
                    go.set()
                    with pytest.raises(aio.StreamError):
                        await writing
                else:
                    with pytest.raises(UsageError):
                        await tunnel.write_eof()
                    go.set()
                    await writing
                    await tunnel.write_eof()
                    await until(lambda: received)
        assert received == ([] if closes else [size])

    lab.run(main())


def test_a_write_of_nothing_sends_nothing(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer, {f.ENABLE_CONNECT_PROTOCOL: 1})
            await peer.expect(f.HEADERS)
            peer.send(peer.pen.headers(1, f.RESPONSE))
            first = await peer.expect(f.DATA)
            assert first.payload == b"a"
            peer.send(peer.pen.data(1, b"", end_stream=True))
            await peer.reader.read()

        async with by_hand(script) as url:
            async with aio.connect(url, force_http2=True) as client:
                async with await client.upgrade("x") as tunnel:
                    await tunnel.write(b"")
                    await tunnel.write(b"a")
                    assert await tunnel.read() == b""

    lab.run(main())


def test_a_handler_that_returns_while_another_task_writes(lab: Lab, wire: Wire) -> None:
    """A part of the data is missing: the end must not look like that of the whole."""

    async def main() -> None:
        writers: list[asyncio.Task[None]] = []

        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            writers.append(asyncio.create_task(tunnel.write(bytes(50_000_000))))
            await settle()

        async with lab.serving(wire, handle, settings=EXTENDED) as url:
            client = await lab.connect(wire, url)
            tunnel = await client.upgrade("x")
            await until(lambda: writers and writers[0].done(), "the end of the write")
            assert isinstance(writers[0].exception(), CnoConnectionError)
            with pytest.raises(CnoConnectionError):
                await tunnel.read()
            client.abort()
            await client.wait_closed()

    lab.run(main())


def test_a_connection_that_has_ended_is_not_handed_over(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, shout) as url:
            client = await aio.connect(url)
            await client.upgrade("x")
            client.abort()
            with pytest.raises(aio.ConnectionLostError):
                client.hand_over()
            await client.wait_closed()

    lab.run(main())


class Collector(asyncio.Protocol):
    """Collects what comes from the transport that it is given."""

    def __init__(self) -> None:
        self.size = 0

    def data_received(self, data: bytes) -> None:
        self.size += len(data)


def test_a_connection_that_has_stopped_reading_is_handed_over(lab: Lab) -> None:
    """The other protocol gets the rest: the transport reads again."""
    total = 4_000_000

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n" + bytes(total))
            await peer.writer.drain()
            await peer.reader.read()

        async with by_hand(script) as url:
            client = await aio.connect(url)
            await client.upgrade("x")
            await until(lambda: not client.transport.is_reading(), "a full buffer")
            transport, early, ended = client.hand_over()
            other = Collector()
            transport.set_protocol(other)
            assert 0 < len(early) < total
            assert not ended
            await until(lambda: len(early) + other.size == total, "the rest")
            transport.abort()
            await settle()

    lab.run(main())
