"""Requests and responses, server against client, on every wire: each line of the API."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.aio.client import responses
from cno.errors import UsageError
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Peer, Wire, settle, skip, until

Headers = list[tuple[str, str]]


async def pieces(*chunks: bytes, wait: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(wait)
        yield chunk


async def echo(request: aio.Request) -> None:
    """Answer with what was asked."""
    body = await request.payload.read()
    seen = [("x-method", request.method), ("x-path", request.path)]
    await request.respond(200, [*seen, ("x-length", str(len(body)))], body)


def without(headers: Headers, *names: str) -> Headers:
    return [(name, value) for name, value in headers if name not in names]


def test_request_and_response(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        got: list[aio.Request] = []

        async def handle(request: aio.Request) -> None:
            got.append(request)
            assert isinstance(request.conn, aio.Server)
            body = await request.payload.read()
            await request.respond(201, [("X-Upper", "kept"), ("x-two", "a"), ("x-two", "b")], body)

        async with lab.pair(wire, handle) as client:
            sent = [("X-Here", "1"), ("cookie", "a=b")]
            response = await client.request("PUT", "/path?q=1&r=%20", sent, b"\0body\xff")
            assert response.code == 201
            assert isinstance(response.payload, asyncio.StreamReader)
            assert await response.payload.read() == b"\0body\xff"
            assert response.payload.at_eof()
            assert without(response.headers, "content-length", "date") == [
                ("x-upper", "kept"),
                ("x-two", "a"),
                ("x-two", "b"),
            ]
            assert response.trailers is None
            assert response.conn is client
            assert response.stream == 1
            request = got[0]
            assert (request.method, request.path, request.stream) == ("PUT", "/path?q=1&r=%20", 1)
            assert request.headers == [
                (":scheme", wire.scheme),
                (":authority", client.authority),
                ("x-here", "1"),
                ("cookie", "a=b"),
                ("content-length", "6"),
            ]

    lab.run(main())


def test_connection_attributes(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url:
            client = await lab.connect(wire, url)
            assert client.loop is asyncio.get_running_loop()
            assert client.scheme == wire.scheme
            assert client.authority == url.rpartition("/")[2]
            assert client.is_http2 == wire.http2
            port = int(url.rpartition(":")[2])
            assert client.transport.get_extra_info("peername") == (HOST, port)
            client.close()
            await client.wait_closed()
            assert client.transport.is_closing()

    lab.run(main())


def test_many_requests_on_one_connection(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def ask(client: aio.Client, number: int) -> None:
            body = bytes([number]) * number * 100
            response = await client.request("PUT", f"/{number}", [], body)
            assert (response.code, dict(response.headers)["x-path"]) == (200, f"/{number}")
            assert await response.payload.read() == body

        async with lab.pair(wire, echo) as client:
            await asyncio.gather(*(ask(client, n) for n in range(150)))

    lab.run(main())


def test_requests_wait_for_each_other_in_http1(lab: Lab) -> None:
    """Nothing is pipelined; nothing is lost either."""

    async def main() -> None:
        open_now = 0
        most = 0

        async def handle(request: aio.Request) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await request.payload.read()
            await asyncio.sleep(0.002)
            await request.respond(200, [], b"x")
            open_now -= 1

        async with lab.pair(HTTP1, handle) as client:
            asked = [client.request("PUT", "/", [], b"data") for _ in range(10)]
            for response in await asyncio.gather(*asked):
                assert await response.payload.read() == b"x"
            assert most == 1

    lab.run(main())


def test_pipelined_responses_keep_their_order(lab: Lab) -> None:
    async def main() -> None:
        order: list[str] = []

        async def handle(request: aio.Request) -> None:
            # Those asked first answer last, and those in between stream.
            number = int(request.path[1:])
            await asyncio.sleep((9 - number) * 0.002)
            order.append(request.path)
            body = pieces(b"a", b"b") if number % 2 else b"ab"
            await request.respond(200, [("x-path", request.path)], body)

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            for n in range(10):
                peer.send(f"GET /{n} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            for n in range(10):
                assert f"\r\nx-path: /{n}\r\n".encode() in await peer.head()
                body = b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n" if n % 2 else b"ab"
                assert await peer.reader.readexactly(len(body)) == body
        assert order == [f"/{n}" for n in reversed(range(10))]

    lab.run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"some bytes",
        lambda: bytearray(b"some bytes"),
        lambda: memoryview(b"some bytes"),
        lambda: memoryview(b"--some bytes--")[2:-2],
        lambda: memoryview(b"some bytes").cast("B", (2, 5)),
        lambda: pieces(b"some", b"", b" ", b"bytes"),
        lambda: channel_of(b"some", b" bytes"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "matrix", "iterator", "channel"],
)
def test_bodies_of_every_kind(lab: Lab, wire: Wire, make: object) -> None:
    async def main() -> None:
        assert callable(make)

        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b"some bytes"
            await request.respond(200, [], make())

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                response = await client.request("POST", "/", [], make())
                assert await response.payload.read() == b"some bytes"

    lab.run(main())


def channel_of(*items: bytes) -> aio.Channel[bytes]:
    channel: aio.Channel[bytes] = aio.Channel()
    for item in items:
        channel.put_nowait(item)
    channel.close()
    return channel


@pytest.mark.parametrize("empty", [b"", None, "channel", "iterator"])
def test_empty_bodies(lab: Lab, wire: Wire, empty: object) -> None:
    async def main() -> None:
        def made() -> aio.Body:
            if empty == "channel":
                return channel_of()
            return pieces() if empty == "iterator" else empty  # type: ignore[return-value]  # str is gone

        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b""
            await request.respond(200, [], made())

        async with lab.pair(wire, handle) as client:
            response = await client.request("POST", "/", [], made())
            assert (response.code, await response.payload.read()) == (200, b"")

    lab.run(main())


@pytest.mark.parametrize("wrong", ["text", 7, ["list"]])
def test_bodies_of_no_kind_are_refused(lab: Lab, wire: Wire, wrong: object) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(TypeError):
                await request.respond(200, [], wrong)  # type: ignore[arg-type]  # that is the test
            await request.respond(200, [], b"fine")

        async with lab.pair(wire, handle) as client:
            with pytest.raises(TypeError):
                await client.request("POST", "/", [], wrong)  # type: ignore[arg-type]  # the same
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"fine"

    lab.run(main())


def test_head_has_no_body(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        left: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"never wanted"
            finally:
                left.append("body")

        async def handle(request: aio.Request) -> None:
            if request.path == "/bytes":
                await request.respond(200, [("content-length", "5")], b"hello")
            elif request.path == "/counted":
                await request.respond(200, [], b"hello")
            else:
                await request.respond(200, [], body())

        async with lab.pair(wire, handle) as client:
            for path in ("/bytes", "/counted", "/iterator"):
                response = await client.request("HEAD", path)
                assert (response.code, await response.payload.read()) == (200, b"")
                if path == "/bytes" or (path == "/counted" and not wire.http2):
                    assert dict(response.headers)["content-length"] == "5"
            response = await client.request("GET", "/bytes")
            assert await response.payload.read() == b"hello"
        assert left == []

    lab.run(main())


@pytest.mark.parametrize("code", [204, 304])
def test_statuses_without_a_body(lab: Lab, wire: Wire, code: int) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(code, [("etag", '"x"')], pieces(b"no"))

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                response = await client.request("GET", "/")
                assert (response.code, await response.payload.read()) == (code, b"")
                assert ("etag", '"x"') in response.headers

    lab.run(main())


def test_trailers_both_ways(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def counted(total: Headers, *chunks: bytes) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk
            total.append(("X-Total", str(sum(map(len, chunks)))))

        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b"abc"
            assert request.trailers == [("x-total", "3")]
            total: Headers = []
            if request.path == "/iterator":
                await request.respond(200, [], counted(total, b"some", b"thing"), trailers=total)
            elif request.path == "/bytes":
                await request.respond(200, [], b"something", trailers=[("x-total", "9")])
            else:
                await request.respond(200, [], b"", trailers=[("x-total", "0")])

        async with lab.pair(wire, handle) as client:
            for path, length in (("/iterator", 9), ("/bytes", 9), ("/empty", 0)):
                total: Headers = []
                body = counted(total, b"a", b"bc")
                response = await client.request("POST", path, [], body, trailers=total)
                assert len(await response.payload.read()) == length
                assert response.trailers == [("x-total", str(length))]
                response = await client.request(
                    "POST", path, [], b"abc", trailers=[("x-total", "3")]
                )
                assert len(await response.payload.read()) == length

    lab.run(main())


def test_informational_responses_come_apart(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.inform(103, [("link", "</a.css>; rel=preload")])
            await request.inform(102)
            await request.respond(200, [("x-final", "1")], b"body")
            with pytest.raises((UsageError, aio.ConnectionLostError)):
                await request.inform(103)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert response.code == 200
            assert ("x-final", "1") in response.headers
            assert response.informational == [(103, [("link", "</a.css>; rel=preload")]), (102, [])]
            assert await response.payload.read() == b"body"

    lab.run(main())


@pytest.mark.parametrize("code", [200, 404, 101, 99])
def test_inform_is_for_1xx(lab: Lab, code: int) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(UsageError):
                await request.inform(code)
            with pytest.raises(UsageError):
                await request.respond(103)
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_body_that_waits_for_100(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        sent: list[str] = []

        async def body() -> AsyncIterator[bytes]:
            sent.append("body")
            yield b"data"

        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.05)
            assert sent == []
            if request.path == "/no":
                await request.respond(413, [], b"too much")
                return
            assert await request.payload.read() == b"data"
            await request.respond(200, [], b"thanks")

        async with lab.pair(wire, handle) as client:
            expect = [("Expect", "100-Continue")]
            response = await client.request("POST", "/yes", expect, body())
            assert (response.code, await response.payload.read()) == (200, b"thanks")
            assert response.informational == [(100, [])]
            assert sent == ["body"]
            sent.clear()
            response = await client.request("POST", "/no", expect, body())
            assert (response.code, await response.payload.read()) == (413, b"too much")
            assert (sent, response.informational) == ([], [])

    lab.run(main())


def test_100_is_not_sent_for_bytes_that_have_come(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await asyncio.sleep(0.01)
            assert await request.payload.read() == b"data"
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            # By the engine's verbs: a client that does not wait.
            stream = client.next_stream
            head = [(":authority", "cno.test"), ("expect", "100-continue")]
            response = aio.Response(client, stream)
            client._exchanges[stream] = response
            client.write_head(stream, 0, "POST", "/", head, False)
            client.write_data(stream, b"data", True)
            await responses.wait(client, response)
            assert response.code == 200
            assert response.informational == []

    lab.run(main())


def test_response_before_the_request_is_complete(lab: Lab, wire: Wire) -> None:
    """Both bodies flow at once: what is sent next depends on what was received."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def upper() -> AsyncIterator[bytes]:
                async for line in request.payload:
                    yield line.upper()

            await request.respond(200, [], upper())

        async with lab.pair(wire, handle) as client:
            talk: aio.Channel[bytes] = aio.Channel(1)
            response = await client.request("POST", "/", [], talk)
            for word in (b"one\n", b"two\n", b"three\n"):
                await talk.put(word)
                assert await response.payload.readline() == word.upper()
            talk.close()
            assert await response.payload.read() == b""

    lab.run(main())


def test_handler_goes_on_after_respond(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        done: list[str] = []

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"early")
            await asyncio.sleep(0.01)
            done.append(request.path)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/1")
            assert await response.payload.read() == b"early"
            assert done == []
            await until(lambda: done, "the handler's end")
        assert done == ["/1"]

    lab.run(main())


def test_body_can_be_read_after_respond(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def handle(request: aio.Request) -> None:
            await request.respond(202)
            got.append(await request.payload.read())

        async with lab.pair(wire, handle) as client:
            body = pieces(b"a" * 50_000, b"b" * 50_000, wait=0.01)
            response = await client.request("POST", "/", [], body)
            assert (response.code, await response.payload.read()) == (202, b"")
            await until(lambda: got, "the body")
            assert got == [b"a" * 50_000 + b"b" * 50_000]

    lab.run(main())


def test_upload_goes_on_while_the_response_is_read(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            first = await request.payload.readexactly(1)

            async def rest() -> AsyncIterator[bytes]:
                yield first
                while data := await request.payload.read(65536):
                    yield data

            await request.respond(200, [], rest())

        async with lab.pair(HTTP2, handle) as client:
            body = bytes(range(256)) * 40_000  # 10 MB
            response = await client.request("POST", "/", [], body)
            assert await response.payload.read() == body

    lab.run(main())


def test_cno_request_has_a_connection_of_its_own(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url:
            arguments: dict[str, object] = {"force_http2": wire.http2 and not wire.tls}
            if wire.tls:
                arguments["ssl_ctx"] = lab.certs.client()
            loop = asyncio.get_running_loop()
            address = f"{url}/a%20b?c=d&e#fragment"
            first = await aio.request(loop, "POST", address, [], b"data", **arguments)  # type: ignore[call-overload]  # of the mapping's values
            assert dict(first.headers)["x-path"] == "/a%20b?c=d&e"
            assert await first.payload.read() == b"data"
            second = await aio.request("GET", url, **arguments)  # type: ignore[call-overload]  # the same
            assert dict(second.headers)["x-path"] == "/"
            assert second.conn is not first.conn
            assert await second.payload.read() == b""
            for response in (first, second):
                assert isinstance(response.conn, aio.Client)
                assert response.conn.is_http2 == wire.http2
                await response.conn.wait_closed()
            async with await aio.request("GET", url, **arguments) as third:  # type: ignore[call-overload]  # the same
                pass
            assert isinstance(third.conn, aio.Client)
            await third.conn.wait_closed()

    lab.run(main())


def test_protocols_by_themselves(lab: Lab) -> None:
    """As programs for the original do it: protocol objects, with a loop given first."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        served: list[aio.Server] = []

        def serve() -> aio.Server:
            served.append(aio.Server(loop, echo))
            return served[-1]

        server = await loop.create_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        for http2 in (False, True):
            _, client = await loop.create_connection(
                lambda http2=http2: aio.Client(loop, "cno.test", "http", force_http2=http2),  # type: ignore[misc]  # mypy cannot infer it
                HOST,
                port,
            )
            assert (client.authority, client.scheme, client.is_http2) == ("cno.test", "http", http2)
            response = await client.request("GET", "/")
            assert response.code == 200
            client.close()
            await client.wait_closed()
        for each in served:
            await each.wait_closed()
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_loops_can_be_left_out(lab: Lab) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for client in (
            aio.Client(),
            aio.Client(None),
            aio.Client("cno.test", "https"),
            aio.Client(authority="cno.test", scheme="https"),
        ):
            assert client.loop is loop
        assert (client.authority, client.scheme) == ("cno.test", "https")
        assert aio.Server(echo).loop is loop
        assert aio.Server(handle=echo).loop is loop
        assert aio.Server(None, echo).loop is loop
        with pytest.raises(TypeError):
            aio.Server(loop)
        async with lab.serving(HTTP1, echo) as url:
            for client in (
                await aio.connect(url),
                await aio.connect(None, url),
                await aio.connect(url=url),
                await aio.connect(loop, url),
                await aio.connect(loop=loop, url=url),
            ):
                client.close()
                await client.wait_closed()
            for response in (
                await aio.request("GET", url),
                await aio.request(method="GET", url=url, headers=[]),
                await aio.request(loop, "GET", url, [("x", "y")]),
            ):
                assert await response.payload.read() == b""

    lab.run(main())


def test_client_names_its_authority_and_scheme(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            fields = dict(request.headers)
            await request.respond(200, [("x-a", fields[":authority"]), ("x-s", fields[":scheme"])])

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert dict(response.headers)["x-a"] == client.authority
            assert dict(response.headers)["x-s"] == wire.scheme
            for name in (":authority", "host", "Host"):
                response = await client.request("GET", "/", [(name, "other.test")])
                assert dict(response.headers)["x-a"] == "other.test"

    lab.run(main())


def test_headers_can_be_any_iterable(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert ("x-a", "b") in request.headers
            await request.respond(200, (("x-c", "d"),))

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/", iter([("x-a", "b")]))
            assert ("x-c", "d") in response.headers

    lab.run(main())


def test_what_must_not_be_sent_is_refused_and_forgotten(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(UsageError):
                await request.respond(200, [("bad name", "x")], b"one")
            with pytest.raises(UsageError):
                await request.respond(200, [("x", "bad\r\nvalue")], b"one")
            await request.respond(200, [("x", "good")], b"two")
            with pytest.raises(UsageError):
                await request.respond(200, [], b"three")

        async with lab.pair(wire, handle) as client:
            with pytest.raises(UsageError):
                await client.request("GET", "/", [("bad name", "x")])
            with pytest.raises(UsageError):
                await client.request("POST", "/", [("x", "bad\nvalue")], pieces(b"x"))
            response = await client.request("GET", "/")
            assert ("x", "good") in response.headers
            assert await response.payload.read() == b"two"

    lab.run(main())


def test_request_whose_body_is_not_as_long_as_it_says(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url:
            for body in (b"four", pieces(b"fo", b"ur")):
                async with await lab.connect(wire, url) as client:
                    with pytest.raises(UsageError):
                        await client.request("POST", "/", [("content-length", "3")], body)

    lab.run(main())


def test_old_http_1_0_client(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.inform(103)
            await request.respond(200, [], pieces(b"until", b" the end"))

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await peer.reader.read() == b"until the end"

    lab.run(main())


def test_async_with_response_gives_up_the_rest(lab: Lab) -> None:
    async def main() -> None:
        cancelled: list[bool] = []

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)

        async def handle(request: aio.Request) -> None:
            try:
                await request.respond(200, [], endless())
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        async with lab.pair(HTTP2, handle) as client:
            async with await client.request("GET", "/") as response:
                assert await response.payload.readexactly(5000) == b"x" * 5000
            with pytest.raises(aio.StreamError):
                await skip(response.payload)
            await until(lambda: cancelled, "cancelling")
            response.cancel()  # the second time, nothing
            await settle()

    lab.run(main())
