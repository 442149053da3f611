"""What received messages tell: fields by name, the query, the body as bytes, text and JSON."""

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest

import cno
from cno import aio
from cno.errors import UsageError
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, WIRES, Lab, Wire

both = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


@both
def test_fields_by_name(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen: list[Any] = []

        async def handle(request: aio.Request) -> None:
            seen.append(request.header("X-One"))
            seen.append(request.header("x-none"))
            seen.append(request.header("x-none", "default"))
            seen.append(request.header_values("x-TWO"))
            seen.append(request.header_values("x-none"))
            host = request.header("Host")
            seen.append(host is not None and host == request.header(":authority"))
            seen.append(len(request.header_values("host")))
            await request.respond(200, [("x-a", "1"), ("x-a", "2, 3")])

        async with lab.pair(wire, handle) as client:
            headers = [("x-one", "1"), ("x-two", "a"), ("X-Two", "b"), ("x-one", "2")]
            response = await client.request("GET", "/", headers)
            assert response.header("X-A") == "1"
            assert response.header_values("x-A") == ["1", "2, 3"]
            assert response.header("host") is None
        assert seen == ["1", None, "default", ["a", "b"], [], True, 1]

    lab.run(main())


@both
def test_query(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen: list[Any] = []

        async def handle(request: aio.Request) -> None:
            seen.append(request.query)
            await request.respond(200)

        async with lab.pair(wire, handle) as client:
            for path in ("/", "/?", "/?a=1&b=%C3%A9+x&a=&c", "/?%ff=a?b", "*"):
                await client.request("OPTIONS", path)
        assert seen == [
            [],
            [],
            [("a", "1"), ("b", "é x"), ("a", ""), ("c", "")],
            [("\udcff", "a?b")],
            [],
        ]

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_tls_and_peer(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert (request.tls is not None) == wire.tls
            if request.tls is not None:
                assert request.tls.version() == "TLSv1.3"
            assert request.peer is not None
            assert request.peer[0] == "127.0.0.1"
            await request.respond(200)

        async with lab.pair(wire, handle) as client:
            assert (await client.request("GET", "/")).code == 200

    lab.run(main())


async def pieces() -> AsyncIterator[bytes]:
    yield b"12"
    await asyncio.sleep(0)
    yield b"345"


@both
def test_code_and_sent(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        requests: list[aio.Request] = []

        async def handle(request: aio.Request) -> None:
            requests.append(request)
            assert (request.code, request.sent) == (0, 0)
            await request.inform(103)
            assert request.code == 0
            if request.path == "/pieces":
                await request.respond(201, [], pieces())
            elif request.path == "/stream":
                async with request.start(202) as out:
                    await out.write(b"12")
                    assert (request.code, request.sent) == (202, 2)
            elif request.path == "/bad":
                with pytest.raises(cno.ConnectionError):
                    await request.respond(200, [("bad name", "")])
                assert request.code == 0
                await request.respond(500)
            else:
                await request.respond(200, [], b"hello")

        async with lab.pair(wire, handle) as client:
            for path in ("/", "/pieces", "/stream", "/bad"):
                await (await client.request("GET", path)).read()
            await (await client.request("HEAD", "/")).read()
        found = [(request.code, request.sent) for request in requests]
        assert found == [(200, 5), (201, 5), (202, 2), (500, 0), (200, 0)]

    lab.run(main())


@both
def test_read_returns_the_same_again(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.read() == await request.read(10) == b'{"a": 1}'
            assert await request.json() == {"a": 1}
            assert await request.text() == '{"a": 1}'
            with pytest.raises(cno.BodyTooLargeError):
                await request.read(7)
            await request.respond(200, [], await request.read())

        async with lab.pair(wire, handle) as client:
            response = await client.request("POST", "/", [], b'{"a": 1}')
            assert await response.json(8) == {"a": 1}

    lab.run(main())


@both
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("size", "limit", "fits"), [(5, 5, True), (5, 4, False), (0, 0, True)])
def test_limit(lab: Lab, wire: Wire, announced: bool, size: int, limit: int, fits: bool) -> None:
    async def main() -> None:
        async def source() -> AsyncIterator[bytes]:
            for _ in range(size):
                yield b"x"

        async def handle(request: aio.Request) -> None:
            try:
                assert await request.read(limit) == b"x" * size
            except cno.BodyTooLargeError as error:
                assert error.limit == limit
                assert not fits
                await request.respond(413)
            else:
                assert fits
                await request.respond(200)

        async with lab.pair(wire, handle) as client:
            body: cno.Body = b"x" * size if announced else source()
            assert (await client.request("POST", "/", [], body)).code == (200 if fits else 413)

    lab.run(main())


def test_an_announced_length_is_refused_before_the_body_comes(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(cno.BodyTooLargeError):
                await request.read(99)
            await request.respond(413)

        async def never() -> AsyncIterator[bytes]:
            await asyncio.get_running_loop().create_future()
            yield b""

        async with lab.pair(HTTP2, handle) as client:
            fields = [("content-length", "100")]
            async with await client.request("POST", "/", fields, never()) as response:
                assert response.code == 413

    lab.run(main())


def test_a_read_that_is_cancelled_can_be_repeated(lab: Lab) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            async with request.start(200) as out:
                await out.write(b"12")
                await go.wait()
                await out.write(b"34")

        async with lab.pair(HTTP2_TLS, handle) as client:
            response = await client.request("GET", "/")
            reading = asyncio.ensure_future(response.read(100))
            await asyncio.sleep(0.02)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            go.set()
            assert await response.read(100) == b"1234"

    lab.run(main())


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("text/plain", "é".encode(), "é"),
        ("text/plain; charset=iso-8859-1", b"\xe9", "é"),
        ('text/plain; a=b; Charset="windows-1252"', b"\x80", "€"),
        ("text/plain; charset=utf-16", "é".encode("utf-16"), "é"),
        ("text/plain; charset=nothing", b"\xc3\xa9", "é"),
        ("text/plain; charset=", b"\xc3\xa9", "é"),
        ("text/plain; charset=hex", b"\xc3\xa9", "é"),
        ("text/plain; charset=idna", b"xn--a", "xn--a"),
        ("text/plain; charset=unicode_escape", b"\\x41", "\\x41"),
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=a\udcff", b"a", "a"),
        ("text/plain", b"a\xff", "a\ufffd"),
    ],
)
def test_charsets(lab: Lab, kind: str, data: bytes, text: str) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.text() == text
            await request.respond(200, [("content-type", kind)], data)

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("POST", "/", [("content-type", kind)], data)
            assert await response.text() == text

    lab.run(main())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 200_000, b"9" * 5_000])
def test_what_is_no_json(lab: Lab, data: bytes) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(ValueError, match=r"."):
                await request.json()
            await request.respond(200)

        async with lab.pair(HTTP1, handle) as client:
            assert (await client.request("POST", "/", [], data)).code == 200

    lab.run(main())


@both
def test_raise_for_status(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(int(request.path[1:]), [("retry-after", "5")])

        async with lab.pair(wire, handle) as client:
            for code in (200, 302, 399):
                response = await client.request("GET", f"/{code}")
                assert response.raise_for_status() is response
            for code in (400, 404, 503):
                response = await client.request("GET", f"/{code}")
                with pytest.raises(cno.StatusError) as caught:
                    response.raise_for_status()
                error = caught.value
                for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
                    assert same.code == code
                    assert same.reason == response.reason
                    assert ("retry-after", "5") in same.headers
                    assert str(same).startswith(f"the server answered with {code}")

    lab.run(main())


@both
def test_a_negative_limit(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with pytest.raises(ValueError, match="negative"):
                await request.read(-1)
            await request.respond(200, [], await request.read(3))

        async with lab.pair(wire, handle) as client:
            async with client.request("POST", "/", [], b"abc") as response:
                with pytest.raises(ValueError, match="negative"):
                    await response.text(-1)
                assert await response.text(3) == "abc"

    lab.run(main())


@both
def test_messages_are_recognizable_in_a_debugger(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        seen = []

        async def handle(request: aio.Request) -> None:
            seen.append(repr(request))
            await request.respond(204)

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/a")
            seen.append(repr(response))
        assert seen[0].startswith("<Request GET '/a")
        assert seen[1] == f"<Response 204 stream={response.stream}>"

    lab.run(main())


@both
def test_iteration_and_read(lab: Lab, wire: Wire) -> None:
    """A body that was read can be iterated; the rest of an iteration is not returned as a whole."""
    body = bytes(range(250)) * 1200  # three pieces

    async def read_errors(message: Any) -> None:
        for call in (message.read, message.text, message.json):
            with pytest.raises(UsageError, match=r"an iteration has returned a part.*payload"):
                await call()

    async def read_then_iterate(message: Any) -> None:
        assert await message.read() == body
        for _ in range(2):
            pieces = [piece async for piece in message]
            assert b"".join(pieces) == body
            assert max(map(len, pieces)) <= 131_072
        async for _ in message:
            break
        assert await message.read() == body

    async def iterate_then_read(message: Any) -> None:
        first = await anext(message)
        await read_errors(message)
        assert first + await message.payload.read() == body
        await read_errors(message)

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            check = read_then_iterate if request.path == "/read" else iterate_then_read
            if request.path != "/empty":
                await check(request)
            await request.respond(200, [], b"" if request.path == "/empty" else body)

        async with lab.pair(wire, handle) as client:
            await read_then_iterate(await client.request("POST", "/read", [], body))
            await iterate_then_read(await client.request("POST", "/iterate", [], body))
            response = await client.request("GET", "/empty")
            assert [piece async for piece in response] == []
            assert await response.read() == b""
            assert [piece async for piece in response] == []

    lab.run(main())


def test_forwarding_what_was_read(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], await request.read() or b"first")

        async with lab.pair(HTTP2, handle) as client:
            first = await client.request("GET", "/")
            assert await first.read() == b"first"
            second = await client.request("POST", "/", [], first)
            assert await second.read() == b"first"

    lab.run(main())
