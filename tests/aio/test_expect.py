"""Expect: 100-continue at the client: when it sends the body, and when it does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, settle, until

EXPECT = [("Expect", "100-Continue")]
PATIENT = Limits(expect_timeout=20)
HASTY = Limits(expect_timeout=0.05)


class Body:
    """A body that tells what became of it."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.asked = 0
        self.left = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)

    async def aclose(self) -> None:
        self.left = True


async def http1_request(peer: Peer) -> bytes:
    head = await peer.head()
    assert b"\r\nexpect: 100-Continue\r\n" in head
    return head


async def nothing_comes(peer: Peer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await peer.reader.readexactly(1)


async def no_data_comes(peer: Peer) -> None:
    """What the client has written by now comes before its answer to a PING."""
    await asyncio.sleep(0.03)
    peer.send(peer.pen.ping(b"so far?!"))
    while (await peer.expect(f.PING)).payload != b"so far?!":
        pass
    assert not any(got.type == f.DATA for got in peer.seen)


@pytest.mark.parametrize("whole", [False, True])
def test_http1_body_waits_for_100(lab: Lab, whole: bool) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await http1_request(peer)
            await nothing_comes(peer)
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if whole:
                assert await peer.reader.readexactly(4) == b"data"
            else:
                assert await peer.reader.readuntil(b"0\r\n\r\n") == b"4\r\ndata\r\n0\r\n\r\n"
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await peer.reader.read()

        async with by_hand(script) as url, await lab.connect(HTTP1, url, limits=PATIENT) as client:
            body = b"data" if whole else Body(b"data")
            response = await client.request("POST", "/", EXPECT, body)
            assert (response.code, response.informational) == (200, [(100, [])])
            assert await response.payload.read() == b"ok"

    lab.run(main())


@pytest.mark.parametrize("whole", [False, True])
def test_http2_body_waits_for_100(lab: Lab, whole: bool) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            await no_data_comes(peer)
            peer.send(peer.pen.headers(1, [(":status", "100")]))
            assert (await peer.expect(f.DATA, 1)).payload == b"data"
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=PATIENT) as client:
            body = b"data" if whole else Body(b"data")
            response = await client.request("POST", "/", EXPECT, body)
            assert (response.code, response.informational) == (200, [(100, [])])

    lab.run(main())


def test_wait_is_bounded(lab: Lab) -> None:
    """A server may know nothing of Expect."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await http1_request(peer)
            assert await peer.reader.readexactly(4) == b"data"
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await peer.reader.read()

        async with by_hand(script) as url, await lab.connect(HTTP1, url, limits=HASTY) as client:
            assert (await client.request("POST", "/", EXPECT, b"data")).code == 200

    lab.run(main())


@pytest.mark.parametrize("code", [200, 417, 500])
def test_http1_final_answer_instead(lab: Lab, code: int) -> None:
    """The body is not sent; there is no other way to say so than the end of the connection."""

    async def main() -> None:
        rest: list[bytes] = []

        async def script(peer: Peer) -> None:
            await http1_request(peer)
            peer.send(f"HTTP/1.1 {code} x\r\ncontent-length: 4\r\n\r\n".encode())
            await asyncio.sleep(0.02)
            peer.send(b"none")
            rest.append(await peer.reader.read())

        async with by_hand(script) as url, await lab.connect(HTTP1, url, limits=PATIENT) as client:
            body = Body(b"data")
            response = await client.request("POST", "/", EXPECT, body)
            assert response.code == code
            assert await response.payload.read() == b"none"
            await client.wait_closed()
            assert (body.asked, body.left) == (0, True)
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/")
            assert caught.value.retryable
            await until(lambda: rest, "the end")
        assert rest == [b""]

    lab.run(main())


@pytest.mark.parametrize("code", ["200", "417", "500"])
def test_http2_final_answer_instead(lab: Lab, code: str) -> None:
    """The stream is reset once the answer is complete, and the connection goes on."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.headers(1, [(":status", code)]))
            await asyncio.sleep(0.02)
            peer.send(peer.pen.data(1, b"none", end_stream=True))
            assert (await peer.expect(f.RST_STREAM, 1)).code == f.CANCEL
            assert not any(got.type == f.DATA for got in peer.seen)
            await peer.expect(f.HEADERS, 3)
            peer.send(peer.pen.headers(3, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url, limits=PATIENT) as client:
            body = Body(b"data")
            response = await client.request("POST", "/", EXPECT, body)
            assert response.code == int(code)
            assert await response.payload.read() == b"none"
            await until(lambda: body.left, "the end of the body")
            assert body.asked == 0
            assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_good_answer_that_waits_for_the_body(lab: Lab, wire: Wire) -> None:
    """A server that answers while it reads, and has forgotten its 100: it must not hang."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def answer() -> AsyncIterator[bytes]:
                yield b"got "
                yield await request.payload.read()

            await request.respond(200, [], answer())

        async with lab.pair(wire, handle, client_limits=HASTY) as client:
            response = await client.request("POST", "/", EXPECT, Body(b"da", b"ta"))
            assert await response.payload.read() == b"got data"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_no_body_expects_nothing(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b""
            assert "expect" not in dict(request.headers)
            await request.respond(200)

        async with lab.pair(wire, handle, client_limits=PATIENT) as client:
            for _ in range(2):
                assert (await client.request("POST", "/", EXPECT, b"")).code == 200

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_cancelled_while_it_waits(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(60)

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url, limits=PATIENT) as client:
                body = Body(b"data")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.03):
                        await client.request("POST", "/", EXPECT, body)
                await settle()
                assert (body.asked, body.left) == (0, True)

    lab.run(main())


def test_connection_lost_while_it_waits(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await http1_request(peer)

        async with by_hand(script) as url, await lab.connect(HTTP1, url, limits=PATIENT) as client:
            body = Body(b"data")
            with pytest.raises(aio.ConnectionLostError):
                await client.request("POST", "/", EXPECT, body)
            await until(lambda: body.left, "the end of the body")
            assert body.asked == 0

    lab.run(main())


def test_through_a_pool(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/no":
                await request.respond(413, [], b"too much")
            else:
                await request.respond(200, [], await request.payload.read())

        context = lab.certs.client() if wire.tls else None
        if context is not None and not wire.http2:
            context.set_alpn_protocols(["http/1.1"])
        force = wire.http2 and not wire.tls
        async with lab.serving(wire, handle) as url:
            async with aio.Pool(context, force_http2=force, limits=PATIENT) as pool:
                for _ in range(2):
                    body = Body(b"da", b"ta")
                    response = await pool.request("POST", url + "/yes", EXPECT, body)
                    assert await response.payload.read() == b"data"
                    body = Body(b"da", b"ta")
                    response = await pool.request("POST", url + "/no", EXPECT, body)
                    assert (response.code, await response.payload.read()) == (413, b"too much")
                    await until(lambda b=body: b.left, "the end")  # type: ignore[misc]  # a default
                    assert body.asked == 0

    lab.run(main())


# -- at a server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [None, 0.1])
def test_a_100_behind_a_slow_response(lab: Lab, patience: float | None) -> None:
    """A pipelined upload waits for its 100 until the response before it has gone; that is no time
    that the client takes."""
    bodies: list[bytes] = []

    async def handle(request: aio.Request) -> None:
        if request.path == "/slow":
            await asyncio.sleep(0.5 if patience else 0.05)
        bodies.append(await request.payload.read())
        await request.respond(200, [], bodies[-1])

    async def main() -> None:
        limits = Limits(body_timeout=patience) if patience else None
        async with lab.serving(HTTP1, handle, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
                peer.send(
                    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    b"Content-Length: 3\r\n\r\n"
                )
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert (await peer.head()).startswith(b"HTTP/1.1 100 ")
                peer.send(b"abc")
                assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                assert await peer.reader.readexactly(3) == b"abc"

    lab.run(main())
    assert bodies == [b"", b"abc"]
