"""The API of the asyncio layer, name by name: parameters, their order, and results.

In the order of the API's description. `test_exchange`, `test_push`, `test_errors`, `test_body` and
`test_connect` test the rest.
"""

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator

import pytest

import cno
from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    HTTP2_TLS,
    Lab,
    Peer,
    Wire,
    by_hand,
    greet,
    settle,
    skip,
    until,
)

Headers = list[tuple[str, str]]

#: Parameters: a question mark where they have a default, a star where they go by name only.
SIGNATURES = {
    (aio.Request, "respond"): "code headers? data? *trailers?",
    (aio.Request, "push"): "method path headers?",
    (aio.Request, "inform"): "code headers?",
    (aio.Request, "upgrade"): "headers?",
    (aio.Client, "request"): "method path headers? data? *trailers? *timeout? *on_informational?",
    (aio.Client, "close"): "",
    (aio.Response, "cancel"): "code?",
    (aio.Push, "cancel"): "code?",
    (aio.Channel, "__init__"): "maxsize? *loop?",
    (aio.Channel, "put"): "item",
    (aio.Channel, "close"): "",
}


async def echo(request: aio.Request) -> None:
    """Answer with all that was asked."""
    body = await request.payload.read()
    fields = [field for field in request.headers if field[0].startswith("x-")]
    await request.respond(200, [("x-path", request.path), *fields], body, trailers=request.trailers)


# -- names -----------------------------------------------------------------------------------------


# (What is called by name, and without what may be left out, is below, for both builds.)
@pytest.mark.skipif(cno.COMPILED, reason="compiled coroutines have no signature to look at")
@pytest.mark.parametrize(("kind", "name"), SIGNATURES)
def test_signatures(kind: type, name: str) -> None:
    words = []
    for parameter in list(inspect.signature(getattr(kind, name)).parameters.values())[1:]:
        star = "*" * (parameter.kind is parameter.KEYWORD_ONLY)
        words.append(star + parameter.name + "?" * (parameter.default is not parameter.empty))
    assert " ".join(words) == SIGNATURES[kind, name]


def test_every_public_name_is_there() -> None:
    for name in aio.__all__:
        assert getattr(cno, name) is getattr(aio, name)
        assert name in cno.__all__
    assert issubclass(cno.Server, asyncio.Protocol)
    assert issubclass(cno.Client, asyncio.Protocol)
    assert issubclass(cno.Channel, asyncio.Queue)
    for kind in (cno.StreamError, cno.ConnectionLostError, cno.ConnectError):
        assert issubclass(kind, cno.ConnectionError)
    assert inspect.iscoroutinefunction(cno.connect)
    assert inspect.iscoroutinefunction(cno.request)


# -- Server ----------------------------------------------------------------------------------------


def test_settings_and_limits_of_a_server(lab: Lab) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits(initial_window_size=100_000, connection_window=300_000)
        settings: cno.SettingsDict = {"max_concurrent_streams": 7, "enable_connect_protocol": 1}
        served = cno.Server(loop, echo, settings=settings, limits=limits)
        server = await loop.create_server(lambda: served, HOST, 0)
        async with await Peer.connect(f":{server.sockets[0].getsockname()[1]}") as peer:
            peer.send(f.PREFACE + peer.pen.settings({}))
            said = dict((await peer.expect(f.SETTINGS)).settings)
            assert said[f.MAX_CONCURRENT_STREAMS] == 7
            assert said[f.ENABLE_CONNECT_PROTOCOL] == 1
            assert said[f.INITIAL_WINDOW_SIZE] == 100_000
            assert (await peer.expect(f.WINDOW_UPDATE, 0)).increment == 300_000 - 65_535
        await served.wait_closed()
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_windows_that_both_begin_with(lab: Lab) -> None:
    """256 KiB per stream and 1 MiB in all for a server, 1 MiB and 8 MiB for a client."""

    async def main() -> None:
        said: list[tuple[int, int]] = []

        async def listen(peer: Peer) -> None:
            window = dict((await peer.expect(f.SETTINGS)).settings)[f.INITIAL_WINDOW_SIZE]
            update = await peer.expect(f.WINDOW_UPDATE, 0)
            said.append((window, 65_535 + update.increment))

        async def script(peer: Peer) -> None:
            await peer.reader.readexactly(len(f.PREFACE))
            peer.send(peer.pen.settings({}))
            await listen(peer)

        async with lab.serving(HTTP2, echo) as url, await Peer.connect(url) as peer:
            peer.send(f.PREFACE + peer.pen.settings({}))
            await listen(peer)
        async with by_hand(script) as url, await lab.connect(HTTP2, url):
            await until(lambda: len(said) == 2, "the client's SETTINGS")
        assert said == [(262_144, 1_048_576), (1_048_576, 8_388_608)]

    lab.run(main())


# -- Request ---------------------------------------------------------------------------------------


def test_arguments_by_name(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert isinstance(request.payload, asyncio.StreamReader)
            if request.path == "/pushed":
                await request.respond(code=204)
                return
            body = await request.payload.read()
            assert request.trailers == [("x-sum", "4")]
            await request.inform(code=103, headers=[("link", "</a>")])
            request.push(method="GET", path="/pushed", headers=[("x-push", "1")])
            trailers = [("x-sum", str(len(body)))]
            await request.respond(code=201, headers=[("x-a", "b")], data=body, trailers=trailers)

        async with lab.pair(wire, handle) as client:
            trailers = [("x-sum", "4")]
            response = await client.request(
                method="POST", path="/", headers=[("x-c", "d")], data=b"data", trailers=trailers
            )
            assert (response.code, await response.payload.read()) == (201, b"data")
            assert response.informational == [(103, [("link", "</a>")])]
            assert response.trailers == trailers
            async for push in response.pushed:
                assert push.headers[-1] == ("x-push", "1")
                assert (await push.response).code == 204

    lab.run(main())


def test_arguments_that_can_be_left_out(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b""
            assert request.trailers is None
            if request.path == "/":
                request.push("GET", "/pushed")
            await request.inform(103)
            await request.respond(200)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert (response.code, await response.payload.read()) == (200, b"")
            assert response.informational == [(103, [])]
            assert response.trailers is None
            assert len([push async for push in response.pushed]) == wire.http2

    lab.run(main())


def test_names_are_lowered_and_any_octets_survive(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        values = ["caf\u00e9 \u4e16\u754c \U0001f600", "\udcff\udc80 not UTF-8"]

        async def handle(request: aio.Request) -> None:
            assert [v for name, v in request.headers if name == "x-upper"] == values
            await request.inform(103, [("X-Upper", value) for value in values])
            fields = [("X-Upper", value) for value in values]
            await request.respond(200, fields, b"x", trailers=fields)

        async with lab.pair(wire, handle) as client:
            fields = [("X-UPPER", value) for value in values]
            response = await client.request("GET", "/", fields)
            await response.payload.read()
            lowered = [("x-upper", value) for value in values]
            assert [each for each in response.headers if each[0] == "x-upper"] == lowered
            assert response.informational == [(103, lowered)]
            assert response.trailers == lowered

    lab.run(main())


def test_reason_phrases(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(404 if request.path == "/none" else 200)

        for wire, phrases in ((HTTP1, ["OK", "Not Found"]), (HTTP2, ["", ""])):
            async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
                found = [await client.request("GET", path) for path in ("/", "/none")]
                assert [each.reason for each in found] == phrases

    lab.run(main())


def test_head_on_the_wire(lab: Lab) -> None:
    """Not one octet of a body, whatever is given to `respond`."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            trailers = [("x-sum", "1")] if request.path == "/trailers" else None
            await request.respond(200, [("x", "y")], b"a body", trailers=trailers)

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            for path in ("/", "/trailers"):
                peer.send(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            peer.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await peer.reader.read() == b"a body"
        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            for stream, path in ((1, "/"), (3, "/trailers")):
                fields = [(":method", "HEAD"), *f.REQUEST[1:3], (":path", path)]
                peer.send(peer.pen.headers(stream, fields, end_stream=True))
                assert (await peer.expect(f.HEADERS, stream)).flags & f.END_STREAM

    lab.run(main())


def test_producers_of_bodies_that_are_left_out(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        channels: list[cno.Channel[bytes]] = []

        async def handle(request: aio.Request) -> None:
            channels.append(cno.Channel(1))
            await request.respond(204 if request.path == "/204" else 200, [], channels[-1])

        async with lab.pair(wire, handle) as client:
            for method, path in (("HEAD", "/"), ("GET", "/204")):
                response = await client.request(method, path)
                assert await response.payload.read() == b""
                await until(lambda: channels[-1].closed, "the end of the channel")
                with pytest.raises(BrokenPipeError):
                    await channels[-1].put(b"late")

    lab.run(main())


def test_no_1xx_once_the_response_has_begun(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def body() -> AsyncIterator[bytes]:
                yield b"begun, "
                with pytest.raises(cno.raw.UsageError):
                    await request.inform(103)
                with pytest.raises(cno.raw.UsageError):
                    await request.respond(500)
                yield b"and done"

            await request.respond(200, [], body())

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"begun, and done"
            assert response.informational == []

    lab.run(main())


def test_100_is_for_those_that_ask(lab: Lab, wire: Wire) -> None:
    """A body that comes late is waited for without a word."""

    async def main() -> None:
        async def late() -> AsyncIterator[bytes]:
            await asyncio.sleep(0.02)
            yield b"data"

        async with lab.pair(wire, echo) as client:
            for fields in ([], [("expect", "something else")]):
                response = await client.request("POST", "/", fields, late())
                assert (response.code, response.informational) == (200, [])
                assert await response.payload.read() == b"data"

    lab.run(main())


def test_push_inherits_what_the_request_says(lab: Lab) -> None:
    """Which need not be what the connection is."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                request.push("GET", "/pushed")
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            own = [(":scheme", "https"), (":authority", "other.test")]
            response = await client.request("GET", "/", own)
            (push,) = [push async for push in response.pushed]
            assert push.headers == own

    lab.run(main())


def test_upgrade_to_what_the_handler_chooses(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async with await request.upgrade([("Upgrade", "second"), ("x", "y")]) as tunnel:
                await tunnel.write(b"hello")

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            ask = b"connection: upgrade\r\nupgrade: first, second\r\n\r\n"
            peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n" + ask)
            lines = (await peer.head()).split(b"\r\n")
            assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
            assert sorted(lines[1:-2]) == [b"connection: upgrade", b"upgrade: second", b"x: y"]
            assert await peer.reader.read() == b"hello"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_respond_waits_for_the_transport(lab: Lab, wire: Wire) -> None:
    """However large the windows of a peer that does not read."""

    async def main() -> None:
        done: list[str] = []
        size = 24_000_000

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], bytes(size))
            done.append("responded")

        async with lab.serving(wire, handle) as url:
            if wire.http2:
                peer = await Peer.connect_http2(url, {f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW})
                peer.send(peer.pen.window_update(0, f.MAX_WINDOW - 65_535))
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
            else:
                peer = await Peer.connect(url)
                peer.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            async with peer:
                await asyncio.sleep(0.1)
                assert done == []
                if wire.http2:
                    got = 0
                    while got < size:
                        got += len((await peer.expect(f.DATA, 1)).payload)
                else:
                    await peer.head()
                    assert await skip(peer.reader) == size
                await until(lambda: done, "respond()")

    lab.run(main())


# -- Client ----------------------------------------------------------------------------------------


def test_pushes_within_the_limit(lab: Lab) -> None:
    async def main() -> None:
        codes: list[tuple[int, int]] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            for stream in (2, 4, 6):
                path = (":path", f"/{stream}")
                fields = [*f.REQUEST[:2], (":authority", "cno.test"), path]
                peer.send(peer.pen.push_promise(1, stream, fields))
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            reset = await peer.expect(f.RST_STREAM)
            codes.append((reset.stream, reset.code))
            for stream in (2, 4):
                peer.send(peer.pen.headers(stream, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url:
            limits = Limits(max_pushes=2)
            async with await lab.connect(HTTP2, url, limits=limits) as client:
                client.authority, client.scheme = "cno.test", "https"
                response = await client.request("GET", "/")
                pushes = [push async for push in response.pushed]
                assert [push.path for push in pushes] == ["/2", "/4"]
                for push in pushes:
                    assert (await push.response).code == 200
        assert codes == [(6, f.REFUSED_STREAM)]

    lab.run(main())


@pytest.mark.parametrize("code", [None, f.REFUSED_STREAM])
def test_what_we_cancel_was_perhaps_processed(lab: Lab, code: int | None) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.headers(1, f.RESPONSE))
            assert (await peer.expect(f.RST_STREAM, 1)).code == (code or f.CANCEL)
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            response = await client.request("GET", "/")
            if code is None:
                response.cancel()
            else:
                response.cancel(code)
            with pytest.raises(cno.StreamError) as caught:
                await response.payload.read()
            assert (caught.value.code, caught.value.retryable) == (code or f.CANCEL, False)

    lab.run(main())


def test_connect_and_request_by_place(lab: Lab) -> None:
    """In the order that programs for the original give them."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = lab.certs.client()
        async with lab.serving(HTTP2_TLS, echo) as url:
            port = url.rpartition(":")[2]
            async with await cno.connect(loop, url, context, "cno.test") as client:
                assert client.is_http2
                assert client.authority == f"{HOST}:{port}"
                secured = client.transport.get_extra_info("ssl_object")
                assert secured.server_hostname == "cno.test"
            response = await cno.request(
                loop,
                "PUT",
                f"{url}/a?b=c",
                [("x-y", "z")],
                b"data",
                trailers=[("x-sum", "4")],
                ssl_ctx=context,
            )
            told = [each for each in response.headers if each[0].startswith("x-")]
            assert told == [("x-path", "/a?b=c"), ("x-y", "z")]
            assert await response.payload.read() == b"data"
            assert response.trailers == [("x-sum", "4")]

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_requests_that_wait_keep_their_order(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        order: list[str] = []

        async def handle(request: aio.Request) -> None:
            order.append(request.path)
            await asyncio.sleep(0)
            await request.respond(200)

        async with lab.pair(wire, handle, limits=Limits(max_concurrent_streams=1)) as client:
            assert (await client.request("GET", "/")).code == 200
            asked = [client.request("GET", f"/{n}") for n in range(8)]
            await asyncio.gather(*asked)
        assert order == ["/", *(f"/{n}" for n in range(8))]

    lab.run(main())


@pytest.mark.parametrize("how", ["connect", "request", "pool"])
def test_settings_and_limits_of_a_client(lab: Lab, how: str) -> None:
    async def main() -> None:
        seen: list[f.Frame] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS, 1)
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))
            seen.extend(peer.seen)
            await peer.rest()

        limits = Limits(initial_window_size=100_000, connection_window=300_000)
        settings: cno.SettingsDict = {"max_header_list_size": 12_345}
        async with by_hand(script) as url:
            if how == "connect":
                async with await cno.connect(
                    url, force_http2=True, settings=settings, limits=limits
                ) as client:
                    assert (await client.request("GET", "/")).code == 200
            elif how == "request":
                response = await cno.request(
                    "GET", url, force_http2=True, settings=settings, limits=limits
                )
                assert response.code == 200
            else:
                async with cno.Pool(force_http2=True, settings=settings, limits=limits) as pool:
                    assert (await pool.request("GET", url)).code == 200
        said = dict(next(each for each in seen if each.type == f.SETTINGS).settings)
        assert said[f.MAX_HEADER_LIST_SIZE] == 12_345
        assert said[f.INITIAL_WINDOW_SIZE] == 100_000
        update = next(each for each in seen if each.type == f.WINDOW_UPDATE)
        assert (update.stream, update.increment) == (0, 300_000 - 65_535)

    lab.run(main())


@pytest.mark.parametrize("how", ["refused", "cancelled", "wrong"])
def test_failed_request_closes_its_own_connection(lab: Lab, how: str) -> None:
    async def main() -> None:
        ends: list[f.Frame] = []

        async def script(peer: Peer) -> None:
            await greet(peer)
            if how == "refused":
                await peer.expect(f.HEADERS, 1)
                peer.send(peer.pen.rst(1, f.REFUSED_STREAM))
            ends.append((await peer.rest())[-1])

        async with by_hand(script) as url:
            if how == "refused":
                with pytest.raises(cno.StreamError):
                    await cno.request("GET", url, force_http2=True)
            elif how == "cancelled":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await cno.request("GET", url, force_http2=True)
            else:
                with pytest.raises(cno.raw.UsageError):
                    await cno.request("GET", url, [("bad name", "")], force_http2=True)
            await until(lambda: ends, "the end of the connection")
        assert (ends[0].type, ends[0].code) == (f.GOAWAY, f.NO_ERROR)

    lab.run(main())


def test_ping_counts_the_whole_way(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            ping = await peer.expect(f.PING)
            await asyncio.sleep(0.05)
            peer.send(peer.pen.ping(ping.payload, ack=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            assert await client.ping() >= 0.04

    lab.run(main())


@pytest.mark.parametrize("whole", [True, False])
def test_complete_refusal_stops_the_upload(lab: Lab, whole: bool) -> None:
    """By whom it is refused need not say so twice: nothing more is sent, and its stream ends."""

    async def main() -> None:
        left: list[str] = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 100
                    await asyncio.sleep(0.01)
            finally:
                left.append("body")

        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.DATA, 1)
            peer.send(peer.pen.headers(1, [(":status", "413")], end_stream=True))
            assert (await peer.expect(f.RST_STREAM, 1)).code == f.CANCEL
            await peer.expect(f.HEADERS, 3)
            peer.send(peer.pen.headers(3, f.RESPONSE, end_stream=True))
            await peer.rest()

        async with by_hand(script) as url, await lab.connect(HTTP2, url) as client:
            body = bytes(100_000) if whole else endless()
            response = await client.request("POST", "/", [], body)
            assert (response.code, await response.payload.read()) == (413, b"")
            assert (await client.request("GET", "/")).code == 200
            await until(lambda: whole or left, "the end of the body")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_upload_that_waits_ends_with_its_stream(lab: Lab, wire: Wire) -> None:
    """A body of which nothing ever comes is left all the same."""

    async def main() -> None:
        left: list[str] = []

        async def never() -> AsyncIterator[bytes]:
            try:
                yield b"begun"
                await asyncio.get_running_loop().create_future()
            finally:
                left.append("body")

        async def handle(request: aio.Request) -> None:
            await request.payload.readexactly(5)
            await request.respond(200)
            await request.payload.read()

        async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
            response = await client.request("POST", "/", [], never())
            assert (response.code, left) == (200, [])
            response.cancel()
            await until(lambda: left, "the end of the body")

    lab.run(main())


def test_tunnel_that_is_left_by_an_exception(lab: Lab, wire: Wire) -> None:
    """That is no end of what was said: HTTP/2 resets the stream, HTTP/1.1 ends the connection."""

    async def main() -> None:
        seen: list[str] = []

        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                await tunnel.write(b"hello")
                try:
                    await tunnel.read()
                    seen.append("the end")
                except asyncio.CancelledError:
                    seen.append("reset")
                    raise

        async def half_said(client: aio.Client) -> None:
            async with await client.tunnel("target.test:25") as tunnel:
                assert await tunnel.reader.readexactly(5) == b"hello"
                await tunnel.write(b"half a sen")
                raise ZeroDivisionError

        async with lab.pair(wire, handle) as client:
            with pytest.raises(ZeroDivisionError):
                await half_said(client)
            if wire.http2:
                await until(lambda: seen, "the reset")
                assert seen == ["reset"]
            else:
                await client.wait_closed()

    lab.run(main())


# -- what a bad day looks like ---------------------------------------------------------------------


def test_a_reset_says_which_stream_and_why(lab: Lab) -> None:
    """To a handler that reads, one that is stopped, and one that comes too late."""

    async def main() -> None:
        seen: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.payload.read()
            except BaseException as error:
                seen.append(error)
            try:
                await request.respond(200)
            except BaseException as error:
                seen.append(error)
                raise

        async with lab.serving(HTTP2, handle) as url, await Peer.connect_http2(url) as peer:
            peer.send(peer.pen.headers(1, f.POST))
            await settle()
            await peer.writer.drain()
            await asyncio.sleep(0.03)
            peer.send(peer.pen.rst(1, f.INTERNAL_ERROR))
            await until(lambda: len(seen) == 2, "what the handler is told")
        assert isinstance(seen[0], asyncio.CancelledError)
        gone = seen[1]
        assert isinstance(gone, cno.StreamError)
        assert isinstance(gone, CnoConnectionError)
        assert (gone.stream, gone.code, gone.retryable) == (1, f.INTERNAL_ERROR, False)

    lab.run(main())


def test_names_that_are_loaded_on_demand_are_listed() -> None:
    assert set(aio.__all__) <= set(dir(aio))
    with pytest.raises(AttributeError, match="no attribute 'Sever'"):
        aio.Sever  # type: ignore[attr-defined]  # noqa: B018  # on purpose


def test_a_request_is_a_coroutine(lab: Lab) -> None:
    """What debuggers and older code do with one works as with that of an `async def`."""

    async def main() -> None:
        pool = aio.Pool()
        first = pool.request("GET", "http://127.0.0.1:1/")
        assert asyncio.iscoroutine(first)
        assert not first.cr_running
        await first.__aexit__(None, None, None)  # was never entered
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on
            with pytest.raises(KeyError, match="three arguments"):
                first.throw(KeyError, KeyError("three arguments"), None)
        second = pool.request("GET", "http://127.0.0.1:1/")
        with pytest.raises(KeyError, match="one"):
            second.throw(KeyError("one"))
        await pool.aclose()

    lab.run(main())


def test_requests_that_wait_when_one_of_them_is_cancelled(lab: Lab) -> None:
    """HTTP/1.1 has one request at a time: the others wait, and learn of the end."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.Event().wait()

        async with lab.serving(HTTP1, handle) as url:
            client = await aio.connect(url)
            tasks = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(3)]
            await settle()
            tasks[1].cancel()
            client.close()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in found] == [
                aio.ConnectionLostError,
                asyncio.CancelledError,
                aio.ConnectionLostError,
            ]
            await client.wait_closed()

    lab.run(main())


def test_pings_that_wait_when_one_of_them_is_cancelled(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            for _ in range(2):
                await peer.expect(f.PING)  # and answers none
            asked.set()
            await peer.reader.read()

        asked = asyncio.Event()
        async with by_hand(script) as url:
            client = await aio.connect(url, force_http2=True)
            pings = [asyncio.ensure_future(client.ping()) for _ in range(2)]
            await asked.wait()
            pings[0].cancel()
            client.abort()
            found = await asyncio.gather(*pings, return_exceptions=True)
            assert [type(each) for each in found] == [
                asyncio.CancelledError,
                aio.ConnectionLostError,
            ]
            await client.wait_closed()

    lab.run(main())
