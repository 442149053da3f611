"""Fields that a server adds to responses: `Date`, and the length of a body given as bytes.

RFC 9110 6.6.1 and 8.6, in both protocols; also in the responses that the connection itself makes.
"""

import asyncio
import time
from email.utils import parsedate_to_datetime
from functools import partial

import pytest

from cno import aio
from cno.date import SYSTEM
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, Headers, Lab, Peer, Wire, hello

CLEAR = pytest.mark.parametrize("clear", [HTTP1, HTTP2], ids=str)
OWN = "Sun, 06 Nov 1994 08:49:37 GMT"


def dates(headers: Headers) -> list[str]:
    return [value for name, value in headers if name == "date"]


def lengths(headers: Headers) -> list[str]:
    return [value for name, value in headers if name == "content-length"]


def is_now(headers: Headers) -> bool:
    """Whether there is one Date, in the preferred format, and it is that of now."""
    (value,) = dates(headers)
    at = parsedate_to_datetime(value)
    assert value == at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return abs(at.timestamp() - time.time()) < 10


async def by_path(request: aio.Request) -> None:
    """Answer with the status that the path says."""
    if request.path == "/fails":
        raise ValueError("on purpose")
    if request.path == "/nothing":
        return
    if request.path == "/pieces":
        await request.respond(200, [], iter([b"a", b"b"]))
        return
    await request.respond(int(request.path[1:]), [], b"ok")


# -- Date -----------------------------------------------------------------------------------------


def test_all_final_responses_have_one(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, by_path) as client:
            for path in ("200", "204", "206", "304", "404", "503", "pieces", "fails", "nothing"):
                for method in ("GET", "HEAD"):
                    response = await client.request(method, f"/{path}")
                    await response.payload.read()
                    assert is_now(response.headers), (method, path)

    lab.run(main(), failures=4)


@CLEAR
@pytest.mark.parametrize("name", ["date", "Date", "DATE"])
def test_that_of_the_application_is_kept(lab: Lab, clear: Wire, name: str) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            fields = [("x-a", "b"), (name, OWN)]
            if request.path == "/":
                await request.respond(200, fields, b"ok")
            else:
                await request.respond(200, fields, iter([b"o", b"k"]))

        async with lab.pair(clear, handle) as client:
            for path in ("/", "/", "/pieces"):
                response = await client.request("GET", path)
                assert await response.payload.read() == b"ok"
                assert dates(response.headers) == [OWN]

    lab.run(main())


@CLEAR
def test_it_can_be_switched_off(lab: Lab, clear: Wire) -> None:
    async def main() -> None:
        async with aio.serve(by_path, HOST, 0, date=False) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
            async with await lab.connect(clear, url) as client:
                for path in ("/200", "/404", "/fails"):
                    assert dates((await client.request("GET", path)).headers) == []
        async with aio.serve(by_path, HOST, 0, date=False) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
            async with await Peer.connect(url) as peer:
                peer.send(b"GET /\r\n\r\n")
                assert b"date" not in await peer.head()

    lab.run(main(), failures=1)


def test_servers_by_hand_have_the_switch_as_well(lab: Lab) -> None:
    class Mine(aio.Server):
        """An interpreted subclass."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for date in (True, False):
            made = partial(Mine, hello, date=date)
            server = await loop.create_server(made, HOST, 0)
            url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
            async with await aio.connect(url) as client:
                assert len(dates((await client.request("GET", "/")).headers)) == date
            server.close()
            await server.wait_closed()

    lab.run(main())


def test_informational_responses_have_none(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.inform(103, [("link", "</a>")])
            await request.respond(200)

        for wire in (HTTP1, HTTP2):
            async with lab.pair(wire, handle) as client:
                response = await client.request("GET", "/")
                assert response.informational == [(103, [("link", "</a>")])]
                assert is_now(response.headers)

    lab.run(main())


def test_tunnels(lab: Lab) -> None:
    """A 2xx that opens a tunnel is a final response; a 101 is not."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async with await request.upgrade() as tunnel:
                await tunnel.write(await tunnel.read(1))

        async with lab.serving(HTTP1, handle) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nx")
                assert b"\r\ndate: " in await peer.head()
            async with await Peer.connect(url) as peer:
                peer.send(GET + b"connection: upgrade\r\nupgrade: b\r\n\r\nx")
                head = await peer.head()
                assert head.startswith(b"HTTP/1.1 101 ")
                assert b"date" not in head

    lab.run(main())


def test_pushed_responses(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            if request.path == "/":
                request.push("GET", "/pushed")
            await request.respond(200, [], b"four")

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            async for push in response.pushed:
                answer = await push.response
                assert is_now(answer.headers)
                assert lengths(answer.headers) == ["4"]

    lab.run(main())


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
FAULTS: dict[str, tuple[bytes, int]] = {
    "a head": (b"GET /\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "another version": (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", 505),
    "a long method": (b"G" * 20_000 + b" / HTTP/1.1\r\n", 501),
    "a long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n", 414),
    "a long field": (GET + b"a: " + b"b" * 20_000 + b"\r\n\r\n", 431),
    "many fields": (GET + b"a: b\r\n" * 300 + b"\r\n", 431),
    "a coding": (GET + b"transfer-encoding: gzip, chunked\r\n\r\n", 501),
    "a large body": (GET + b"content-length: 2000\r\n\r\n", 413),
    "too late": (GET, 408),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_http1_connections_say_by_themselves(lab: Lab, kind: str) -> None:
    sent, status = FAULTS[kind]
    limits = Limits(header_timeout=0.2 if status == 408 else 30.0, max_body_size=1_000)

    async def main() -> None:
        async with lab.serving(HTTP1, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(sent)
                head = (await peer.head()).decode().lower()
                assert head.startswith(f"http/1.1 {status} ")
                assert head.count("\r\ndate: ") == 1
                assert head.endswith("\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    lab.run(main())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("a", "b" * 2_000)], "431"),
        ([("content-length", "2000")], "413"),
    ],
)
def test_what_http2_connections_say_by_themselves(
    lab: Lab, fields: list[tuple[str, str]], status: str
) -> None:
    limits = Limits(max_header_list_size=1_000, max_body_size=1_000)

    async def main() -> None:
        async with lab.serving(HTTP2, hello, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, [*f.POST, *fields], end_stream=status == "431"))
                got = peer.pen.decode((await peer.expect(f.HEADERS)).payload)
                assert got[0] == (":status", status)
                assert is_now(got)

    lab.run(main())


class Clock:
    """The system's clock, as a test sets it."""

    def __init__(self) -> None:
        self.now = 784_111_777.9  # Sun, 06 Nov 1994 08:49:37 GMT, nearly a second later

    def __call__(self) -> float:
        return self.now


@CLEAR
def test_it_changes_with_the_second(lab: Lab, clear: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(SYSTEM, "clock", clock)

    async def main() -> None:
        async with lab.pair(clear, hello) as client:
            for at, expected in (
                (784_111_777.9, OWN),
                (784_111_778.0, "Sun, 06 Nov 1994 08:49:38 GMT"),
                (784_111_777.0, OWN),  # a clock that is set back
                (0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
                (1_709_164_800.0, "Thu, 29 Feb 2024 00:00:00 GMT"),
                (4_102_444_799.0, "Thu, 31 Dec 2099 23:59:59 GMT"),
            ):
                clock.now = at
                for _ in range(2):
                    assert dates((await client.request("GET", "/")).headers) == [expected]

    lab.run(main())


def test_hpack_indexes_it_once_a_second(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first response of a second carries the text, the others an index: a byte each for the
    status, the date and the length."""
    clock = Clock()
    monkeypatch.setattr(SYSTEM, "clock", clock)

    async def main() -> None:
        async with lab.serving(HTTP2, hello) as url, await Peer.connect_http2(url) as peer:
            sizes = []
            for number in range(60):
                if number % 6 == 0:
                    clock.now += 1
                peer.send(peer.pen.headers(2 * number + 1, f.REQUEST, end_stream=True))
                block = (await peer.expect(f.HEADERS)).payload
                fields = peer.pen.decode(block)
                assert [name for name, _ in fields] == [":status", "date", "content-length"]
                assert parsedate_to_datetime(fields[1][1]).timestamp() == int(clock.now)
                sizes.append(len(block))
            assert all(size <= 3 for at, size in enumerate(sizes) if at > 6 and at % 6)
            assert all(size > 20 for size in sizes[::6])

    lab.run(main())


# -- the length of a body that is given as bytes ---------------------------------------------------

LENGTHS: list[tuple[str, int, Headers, bytes, list[str]]] = [
    ("GET", 200, [], b"four", ["4"]),
    ("GET", 200, [], b"x" * 100_000, ["100000"]),
    ("GET", 200, [], b"", ["0"]),
    ("GET", 404, [], b"four", ["4"]),
    ("GET", 200, [("content-length", "4")], b"four", ["4"]),
    ("GET", 200, [("Content-Length", "4")], b"four", ["4"]),
    ("GET", 204, [], b"", []),
    ("GET", 204, [], b"four", []),
    ("GET", 304, [], b"", []),
    ("GET", 304, [], b"four", []),
    ("GET", 304, [("content-length", "4")], b"", ["4"]),
    ("HEAD", 200, [], b"four", ["4"]),
    ("HEAD", 200, [], b"", []),  # what a GET would get is not known
    ("HEAD", 200, [("content-length", "4")], b"", ["4"]),
    ("HEAD", 204, [], b"four", []),
    ("HEAD", 304, [], b"four", []),
    ("POST", 201, [], b"0123456789", ["10"]),
]


def test_its_length_is_told(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            _, code, headers, data, _ = LENGTHS[int(request.path[1:])]
            await request.respond(code, headers, data)

        async with lab.pair(wire, handle) as client:
            for at, (method, code, _, data, expected) in enumerate(LENGTHS):
                response = await client.request(method, f"/{at}")
                assert lengths(response.headers) == expected, LENGTHS[at][:3]
                body = await response.payload.read()
                assert body == (b"" if method == "HEAD" or code in (204, 304) else data)

    lab.run(main())


def test_a_tunnel_has_no_length(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"some")

        async with lab.serving(HTTP1, handle) as url:
            async with await Peer.connect(url) as peer:
                peer.send(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
                assert b"content-length" not in await peer.head()
                assert await peer.reader.readexactly(4) == b"some"
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, [(":method", "CONNECT"), (":authority", "a:1")]))
                got = peer.pen.decode((await peer.expect(f.HEADERS)).payload)
                assert lengths(got) == []
                assert (await peer.expect(f.DATA)).payload == b"some"

    lab.run(main())


@CLEAR
def test_trailers(lab: Lab, clear: Wire) -> None:
    """In HTTP/1.1 they need a body in chunks, which has no length."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"four", trailers=[("x-end", "1")])

        async with lab.pair(clear, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"four"
            assert response.trailers == [("x-end", "1")]
            assert lengths(response.headers) == (["4"] if clear.http2 else [])

    lab.run(main())


def test_a_response_that_waits_for_its_turn(lab: Lab) -> None:
    """The length goes with the head, whenever that is written."""

    async def main() -> None:
        go = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            if request.path == "/first":
                await go.wait()
            await request.respond(200, [], request.path.encode())
            go.set()

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            for path in ("/first", "/second", "/3"):
                peer.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await asyncio.sleep(0.05)
            go.set()
            for body in (b"/first", b"/second", b"/3"):
                head = await peer.head()
                assert head.endswith(b"\r\ncontent-length: %d\r\n\r\n" % len(body))
                assert await peer.reader.readexactly(len(body)) == body

    lab.run(main())


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("POST", [], ["0"]),
        ("PUT", [], ["0"]),
        ("PATCH", [], ["0"]),
        ("POST", [("content-length", "0")], ["0"]),
        ("GET", [], []),
        ("DELETE", [], []),
        ("HEAD", [], []),
        ("OPTIONS", [], []),
        ("QUERY", [], []),
    ],
)
def test_a_request_without_content_says_so(
    lab: Lab, wire: Wire, method: str, headers: Headers, expected: list[str]
) -> None:
    async def main() -> None:
        seen: list[Headers] = []

        async def handle(request: aio.Request) -> None:
            seen.append(request.headers)
            await request.respond(200)

        async with lab.pair(wire, handle) as client:
            for data in (b"", bytearray()):
                await client.request(method, "/", headers, data)
        assert [lengths(each) for each in seen] == [expected, expected]

    lab.run(main())
