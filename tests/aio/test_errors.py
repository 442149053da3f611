"""Errors: handlers that fail, peers that reset or vanish, requests that are cancelled."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HTTP1,
    HTTP2,
    Lab,
    Peer,
    Wire,
    by_hand,
    greet,
    settle,
    skip,
    until,
)


async def endless(chunk: bytes = b"x" * 1000) -> AsyncIterator[bytes]:
    while True:
        yield chunk
        await asyncio.sleep(0)


async def slow() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.01)


# -- handlers that fail ----------------------------------------------------------------------------


def test_handler_that_raises_answers_500(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/bad":
                await request.payload.read()
                raise ValueError("on purpose")
            await request.respond(200, [], b"fine")

        async with lab.pair(wire, handle) as client:
            response = await client.request("POST", "/bad", [], b"data")
            assert (response.code, await response.payload.read()) == (500, b"")
            response = await client.request("GET", "/good")
            assert await response.payload.read() == b"fine"

    lab.run(main(), failures=1)
    assert repr(lab.failures[0]["exception"]) == "ValueError('on purpose')"
    assert "<Request POST '/bad'" in lab.failures[0]["message"]


def test_handler_that_forgets_to_answer(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.payload.read()

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                response = await client.request("POST", "/", [], b"data")
                assert (response.code, await response.payload.read()) == (500, b"")

    lab.run(main(), failures=2)
    message = lab.failures[0]["message"]
    assert message.endswith("returned without a response (was an `await` forgotten?)")


def test_handler_that_raises_after_the_response_began(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"begun"
            raise ValueError("on purpose")

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], broken())

        async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
            response = await client.request("GET", "/")
            assert response.code == 200
            with pytest.raises(CnoConnectionError) as caught:
                await response.payload.read()
            if wire.http2:
                assert isinstance(caught.value, aio.StreamError)
                assert (caught.value.code, caught.value.stream) == (f.INTERNAL_ERROR, 1)
                assert not caught.value.retryable
            else:
                assert isinstance(caught.value, aio.ConnectionLostError)

    lab.run(main(), failures=1)


def test_handler_that_raises_after_its_response(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"all of it")
            raise ValueError("on purpose")

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"all of it"

    lab.run(main(), failures=2)


def test_failing_pipelined_handler_waits_for_its_turn(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/bad":
                raise ValueError("on purpose")
            await asyncio.sleep(0.02)
            await request.respond(200, [], b"good")

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            for path in ("/good", "/bad", "/good"):
                peer.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await peer.head()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert head.endswith(b"\r\ncontent-length: 4\r\n\r\n")
            assert await peer.reader.readexactly(4) == b"good"
            assert (await peer.head()).startswith(b"HTTP/1.1 500 ")
            assert (await peer.head()).startswith(b"HTTP/1.1 200 ")

    lab.run(main(), failures=1)


# -- peers that give up ----------------------------------------------------------------------------


def test_reset_by_the_client_cancels_the_handler(lab: Lab) -> None:
    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                if request.path == "/wait":
                    await asyncio.sleep(60)
                elif request.path == "/read":
                    await request.payload.read()
                else:
                    await request.respond(200, [], endless())
            except asyncio.CancelledError:
                ends.append(request.path)
                raise

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                for stream, path in ((1, "/wait"), (3, "/read"), (5, "/write")):
                    head = [*f.POST[:3], (":path", path)]
                    peer.send(peer.pen.headers(stream, head, end_stream=path != "/read"))
                await peer.expect(f.DATA)
                assert ends == []
                peer.send(peer.pen.rst(1) + peer.pen.rst(3) + peer.pen.rst(5))
                await until(lambda: len(ends) == 3, "cancelling")
                peer.send(peer.pen.headers(7, [*f.REQUEST[:3], (":path", "/write")]))
                await peer.expect(f.DATA, 7)
            await until(lambda: len(ends) == 4, "cancelling")

    lab.run(main())


def test_reset_with_the_request_runs_no_handler(lab: Lab) -> None:
    async def main() -> None:
        ran: list[str] = []

        async def handle(request: aio.Request) -> None:
            ran.append(request.path)
            await request.respond(200)

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            pen = peer.pen
            peer.send(pen.headers(1, f.POST) + pen.rst(1) + pen.headers(3, f.REQUEST))
            await peer.expect(f.HEADERS, 3)
            assert ran == ["/"]

    lab.run(main())


def test_lost_connection_cancels_handlers(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        begun: list[str] = []
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            begun.append(request.path)
            try:
                await asyncio.sleep(60)
            finally:
                ends.append(request.path)

        async with lab.serving(wire, handle) as url:
            client = await lab.connect(wire, url)
            asked = [asyncio.ensure_future(client.request("GET", f"/{n}")) for n in range(3)]
            handled = 3 if wire.http2 else 1
            await until(lambda: len(begun) == handled, "the requests")
            client.close()
            for n, each in enumerate(asked):
                with pytest.raises(aio.ConnectionLostError) as caught:
                    await each
                assert caught.value.retryable == (n >= handled)
            await until(lambda: len(ends) == handled, "cancelling")

    lab.run(main())


def test_handler_learns_that_the_client_has_gone(lab: Lab) -> None:
    """One that ignores its cancelling gets errors, and is not reported for passing them on."""

    async def main() -> None:
        begun: list[aio.Request] = []
        errors: list[Exception] = []

        async def handle(request: aio.Request) -> None:
            begun.append(request)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
            for attempt in (request.inform(103), request.payload.read()):
                with pytest.raises(aio.StreamError) as caught:
                    await attempt
                errors.append(caught.value)
            with pytest.raises(aio.StreamError):
                request.push("GET", "/")
            await request.respond(200)

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            peer.send(peer.pen.headers(1, f.POST))
            await until(lambda: begun, "the request")
            peer.send(peer.pen.rst(1, f.ENHANCE_YOUR_CALM))
            await until(lambda: len(errors) == 2, "the errors")
        for error in errors:
            assert isinstance(error, aio.StreamError)
            assert error.code == f.ENHANCE_YOUR_CALM

    lab.run(main())


def test_connection_reset_by_the_client(lab: Lab, wire: Wire) -> None:
    """RST instead of FIN: nothing is raised into the event loop."""

    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], endless(b"x" * 100_000))
            finally:
                ends.append("end")

        async with lab.serving(wire, handle) as url:
            client = await lab.connect(wire, url)
            response = await client.request("GET", "/")
            await response.payload.read(1)
            sock: socket.socket = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.transport.abort()
            await until(lambda: ends, "the handler's end")
            with pytest.raises(aio.ConnectionLostError):
                await skip(response.payload)

    lab.run(main())


# -- requests that are cancelled -------------------------------------------------------------------


def test_cancelled_request_resets_its_stream(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            reset = await peer.expect(f.RST_STREAM, 1)
            assert reset.code == f.CANCEL
            await peer.expect(f.HEADERS, 3)
            peer.send(peer.pen.headers(3, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.request("GET", "/"), 0.05)
            assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_cancelled_request_cancels_its_handler(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("end")

        async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.request("POST", "/", [], slow()), 0.05)
            await until(lambda: ends, "cancelling")
            if wire.http2:
                return
            # In HTTP/1.1 that was the connection's end.
            with pytest.raises(aio.ConnectionLostError) as caught:
                await client.request("GET", "/")
            assert caught.value.retryable

    lab.run(main())


def test_response_cancel_with_a_code(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.headers(1, f.RESPONSE) + peer.pen.data(1, b"begun"))
            assert (await peer.expect(f.RST_STREAM, 1)).code == f.ENHANCE_YOUR_CALM
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read(5) == b"begun"
            response.cancel(f.ENHANCE_YOUR_CALM)
            with pytest.raises(aio.StreamError) as caught:
                await response.payload.read()
            assert (caught.value.code, caught.value.retryable) == (f.ENHANCE_YOUR_CALM, False)

    lab.run(main())


def test_cancelled_while_waiting_for_its_turn(lab: Lab) -> None:
    """Who leaves the line, even when it was its turn, must not keep the others waiting."""

    async def main() -> None:
        release = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            if request.path == "/hold":
                await release.wait()
            await request.respond(200, [], request.path.encode())

        limits = Limits(max_concurrent_streams=1)
        async with lab.pair(HTTP2, handle, limits=limits) as client:
            assert (await client.request("GET", "/")).code == 200
            waiting: list[asyncio.Future[aio.Response]] = []

            async def hold() -> None:
                assert (await client.request("POST", "/hold")).code == 200
                # Its stream has ended, and the first in line has been told; it has not run yet.
                waiting[0].cancel()

            held = asyncio.ensure_future(hold())
            await settle()
            waiting += [asyncio.ensure_future(client.request("GET", f"/{n}")) for n in range(4)]
            await settle()
            waiting[1].cancel()
            await settle()
            release.set()
            await held
            await settle()
            assert waiting[0].cancelled() and waiting[1].cancelled()
            for n in (2, 3):
                assert await (await waiting[n]).payload.read() == f"/{n}".encode()

    lab.run(main())


# -- what the server says --------------------------------------------------------------------------


def test_refused_requests_can_be_retried(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.rst(1, f.REFUSED_STREAM))
            await peer.expect(f.HEADERS, 3)
            peer.send(peer.pen.rst(3, f.INTERNAL_ERROR))
            await peer.expect(f.HEADERS, 5)
            peer.send(peer.pen.goaway(3))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            for code, retryable in (
                (f.REFUSED_STREAM, True),
                (f.INTERNAL_ERROR, False),
                (f.REFUSED_STREAM, True),
            ):
                with pytest.raises(aio.StreamError) as caught:
                    await client.request("GET", "/")
                assert (caught.value.code, caught.value.retryable) == (code, retryable)
            # After GOAWAY nothing more is sent.
            with pytest.raises(aio.ConnectionLostError) as lost:
                await client.request("GET", "/")
            assert lost.value.retryable

    lab.run(main())


def test_requests_before_a_goaway_are_finished(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.goaway(1) + peer.pen.headers(1, f.RESPONSE))
            await asyncio.sleep(0.02)
            peer.send(peer.pen.data(1, b"all of it", end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"all of it"
            await client.wait_closed()

    lab.run(main())


def test_early_response_that_stops_the_upload(lab: Lab) -> None:
    """RST_STREAM(NO_ERROR) after a complete response takes nothing away from it (RFC 9113 8.1)."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            await peer.expect(f.DATA, 1)
            pen = peer.pen
            peer.send(pen.headers(1, f.RESPONSE) + pen.data(1, b"enough", end_stream=True))
            peer.send(pen.rst(1, f.NO_ERROR))
            await peer.rest()

        closed: list[str] = []

        async def source() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
                    await asyncio.sleep(0)
            finally:
                closed.append("source")

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            response = await client.request("POST", "/", [], source())
            assert await response.payload.read() == b"enough"
            await until(lambda: closed, "the end of the upload")

    lab.run(main())


def test_refusal_stops_the_upload(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(413, [], b"too much")

        channel: aio.Channel[bytes] = aio.Channel(1)

        async def fill() -> None:
            while not channel.closed:
                try:
                    await channel.put(b"x" * 1000)
                except BrokenPipeError:
                    assert channel.closed

        async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
            filling = asyncio.ensure_future(fill())
            response = await client.request("POST", "/", [], channel)
            assert (response.code, await response.payload.read()) == (413, b"too much")
            await filling
            assert channel.closed

    lab.run(main())


def test_server_does_not_want_the_rest_of_a_body(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"enough")

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            peer.send(peer.pen.headers(1, f.POST) + peer.pen.data(1, b"some"))
            data = await peer.expect(f.DATA, 1)
            assert (data.payload, data.flags & f.END_STREAM) == (b"enough", 1)
            assert (await peer.expect(f.RST_STREAM, 1)).code == f.NO_ERROR

    lab.run(main())


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_http1_body_that_nobody_reads(lab: Lab, size: int) -> None:
    """A little of it is read and dropped; for more the connection is closed."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"enough")

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n"
            peer.send(head.encode())
            assert (await peer.head()).startswith(b"HTTP/1.1 200")
            assert await peer.reader.readexactly(6) == b"enough"
            peer.send(b"x" * size)
            peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            if size == 1000:
                assert (await peer.head()).startswith(b"HTTP/1.1 200")
            else:
                assert await peer.reader.read() == b""

    lab.run(main())


# -- peers that break the rules --------------------------------------------------------------------


def test_servers_survive_nonsense(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        async with lab.serving(HTTP1, handle) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"nonsense\r\n\r\n")
                assert (await peer.reader.read()).startswith(b"HTTP/1.1 400 ")
            async with await Peer.connect_http2(url) as peer:
                peer.send(f.frame(f.DATA, 0, 1, b"idle"))
                last = (await peer.rest())[-1]
                assert (last.type, last.code) == (f.GOAWAY, f.PROTOCOL_ERROR)
            async with await Peer.connect(url) as peer:
                pass

    lab.run(main())


def test_error_response_reaches_a_client_that_is_still_sending(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            peer.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: zero\r\n\r\n")
            for _ in range(20):
                peer.send(b"x" * 10_000)
                await asyncio.sleep(0.001)
            assert (await peer.head()).startswith(b"HTTP/1.1 400 ")

    lab.run(main())


def test_server_that_speaks_nonsense(lab: Lab, wire: Wire) -> None:
    if wire.tls:
        return

    async def main() -> None:
        async def script(peer: Peer) -> None:
            peer.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            await peer.reader.read()

        async def ask(url: str) -> None:
            async with await lab.connect(wire, url) as client:
                await settle()
                await client.request("GET", "/")

        async with by_hand(script) as url:
            # It comes before the first request, most often before there is a connection.
            with pytest.raises(aio.ConnectError, match="RFC 911"):
                await ask(url)

    lab.run(main())


def test_server_that_goes_away_in_the_middle(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")

        async with by_hand(script) as url, await lab.connect(HTTP1, url) as client:
            response = await client.request("GET", "/")
            assert await response.payload.readexactly(4) == b"half"
            with pytest.raises(aio.ConnectionLostError) as caught:
                await response.payload.read()
            assert not caught.value.retryable
            assert caught.value.stream == 1

    lab.run(main())


def test_body_until_the_connection_ends(lab: Lab) -> None:
    """Ended by FIN it is complete; by RST it is not."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            head = await peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            if b"/reset" in head:
                await peer.writer.drain()
                await asyncio.sleep(0.02)
                sock = peer.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.writer.transport.abort()

        async with by_hand(script) as url:
            response = await aio.request("GET", url)
            assert await response.payload.read() == b"all of it"
            response = await aio.request("GET", url + "/reset")
            with pytest.raises(aio.ConnectionLostError):
                await response.payload.read()

    lab.run(main())


# -- bodies that fail ------------------------------------------------------------------------------


def test_upload_that_raises(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/early":
                await request.respond(200, [], endless())
            await request.payload.read()

        async def broken() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.sleep(0.05)
            raise ValueError("on purpose")

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                with pytest.raises(ValueError, match="on purpose"):
                    await client.request("POST", "/", [], broken())
            async with await lab.connect(wire, url) as client:
                response = await client.request("POST", "/early", [], broken())
                assert response.code == 200
                with pytest.raises(ValueError, match="on purpose"):
                    await skip(response.payload)

    lab.run(main())


def test_upload_that_raises_when_nobody_listens(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)
            await request.payload.read()

        async def broken() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.sleep(0.05)
            raise ValueError("on purpose")

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("POST", "/", [], broken())
            assert await response.payload.read() == b""
            await until(lambda: lab.failures, "the report")

    lab.run(main(), failures=1)


def test_producers_learn_that_nobody_reads(lab: Lab) -> None:
    """A channel is closed, and a generator left, when the client does not want the response."""

    async def main() -> None:
        left: list[str] = []

        async def generator() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 10_000
            finally:
                left.append("generator")

        async def fill(channel: aio.Channel[bytes]) -> None:
            try:
                while True:
                    await channel.put(b"x" * 10_000)
            except BrokenPipeError:
                left.append("channel")

        async def handle(request: aio.Request) -> None:
            if request.path == "/generator":
                await request.respond(200, [], generator())
            channel: aio.Channel[bytes] = aio.Channel(1)
            filling = asyncio.ensure_future(fill(channel))
            try:
                await request.respond(200, [], channel)
            finally:
                await filling

        async with lab.pair(HTTP2, handle) as client:
            for path in ("/generator", "/channel"):
                response = await client.request("GET", path)
                await response.payload.read(1)
                response.cancel()
            await until(lambda: len(left) == 2, "leaving")

    lab.run(main())


# -- the classes -----------------------------------------------------------------------------------


def test_errors_are_what_programs_catch() -> None:
    lost = aio.ConnectionLostError("gone", stream=3, retryable=True)
    reset = aio.StreamError("reset", stream=3, code=8)
    for error in (lost, reset):
        assert isinstance(error, CnoConnectionError)
        assert isinstance(error, ConnectionError)
        assert error.stream == 3
    assert (lost.retryable, lost.code, lost.errno) == (True, 0, 9)
    assert (reset.retryable, reset.code, reset.errno) == (False, 8, 6)


def test_closed_client_takes_no_requests(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        async with lab.serving(wire, handle) as url:
            client = await lab.connect(wire, url)
            client.close()
            for _ in range(2):
                with pytest.raises(aio.ConnectionLostError) as caught:
                    await client.request("GET", "/")
                assert caught.value.retryable
                await client.wait_closed()
            client.close()

    lab.run(main())


def test_client_that_closes_says_so(lab: Lab) -> None:
    async def main() -> None:
        seen: list[f.Frame] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            seen.extend(await peer.rest())

        async with by_hand(script) as url:
            async with await lab.connect(HTTP2, url):
                await asyncio.sleep(0.02)
            await until(lambda: seen, "the end")
        assert (seen[-1].type, seen[-1].code) == (f.GOAWAY, f.NO_ERROR)

    lab.run(main())


def test_responding_twice_is_wrong_use(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"one")
            with pytest.raises(UsageError):
                await request.respond(200, [], b"two")

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"one"

    lab.run(main())


# -- what must not get mixed up --------------------------------------------------------------------


def test_respond_can_be_tried_again_if_nothing_was_written(lab: Lab) -> None:
    """A pipelined response that waited for its turn too long leaves room for another."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            if request.path == "/first":
                await go_on.wait()
                await request.respond(200, [], b"first")
                return
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(request.respond(200, [], b"second"), 0.02)
            go_on.set()
            await request.respond(503, [], b"sorry")

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            for path in ("/first", "/second"):
                peer.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
            assert await peer.reader.readexactly(5) == b"first"
            assert (await peer.head()).startswith(b"HTTP/1.1 503 ")
            assert await peer.reader.readexactly(5) == b"sorry"

    lab.run(main())


def test_wrong_length_that_shows_late(lab: Lab) -> None:
    """Bytes that do not fit their content-length, where windows let that show after the head."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.02)
            await request.payload.read()
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            headers = [("content-length", "500000")]
            with pytest.raises(UsageError):
                await client.request("POST", "/", headers, bytes(500_001))

    lab.run(main())


def test_failed_handler_and_a_body_that_goes_on(lab: Lab) -> None:
    """The 500 waits for a window; meanwhile, and only so long, the body is read and dropped."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            raise ValueError("on purpose")

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            peer.send(peer.pen.headers(1, f.POST))
            assert (await peer.expect(f.HEADERS, 1)).flags & f.END_STREAM
            assert (await peer.expect(f.RST_STREAM, 1)).code == f.NO_ERROR

    lab.run(main(), failures=1)


def test_exceptions_stay_in_their_own_tasks(lab: Lab) -> None:
    """While one body is being given up, which takes a while, others know nothing of its error."""

    async def main() -> None:
        contexts: list[BaseException | None] = []
        giving_up = asyncio.Event()
        given_up = asyncio.Event()

        async def broken() -> AsyncIterator[bytes]:
            try:
                yield b"x"
                yield b"too much"
            finally:
                giving_up.set()
                await given_up.wait()

        async def bystander() -> None:
            await giving_up.wait()
            try:
                raise KeyError("bystander")
            except KeyError as error:
                contexts.append(error.__context__)
            given_up.set()

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [("content-length", "1")], broken())

        async with lab.pair(HTTP2, handle) as client:
            standing = asyncio.ensure_future(bystander())
            response = await client.request("GET", "/")
            with pytest.raises(aio.StreamError):
                await response.payload.read()
            await standing
        assert contexts == [None]

    lab.run(main(), failures=1)
