"""Requests that are sent again over another connection because the server asks for it.

HTTP_1_1_REQUIRED (RFC 9113 7): over HTTP/1.1. 421 (RFC 9110 15.5.20): over a new connection.
"""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import cno
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GOAWAY, RESET, AT_ONCE = "GOAWAY", "RST_STREAM", "at once"


class Old:
    """A server over TLS whose HTTP/2 says that HTTP/1.1 is required.

    `asked`: the protocol of each connection, and the methods of its requests.
    """

    def __init__(self, how: str, last: int = 0) -> None:
        self.how = how
        self.last = last  # the last stream that its GOAWAY names
        self.asked: list[tuple[str, list[str]]] = []
        self.bodies: list[bytes] = []

    async def http2(self, peer: Peer, mine: list[str]) -> None:
        await greet(peer)
        while self.how != AT_ONCE:
            head = await peer.expect(f.HEADERS)
            mine.append(dict(peer.pen.decode(head.payload))[":method"])
            if self.how == GOAWAY:
                break
            peer.send(peer.pen.rst(head.stream, f.HTTP_1_1_REQUIRED))
        peer.send(peer.pen.goaway(self.last, f.HTTP_1_1_REQUIRED))

    async def http1(self, peer: Peer, mine: list[str]) -> None:
        while True:
            head = await peer.head()
            mine.append(head.partition(b" ")[0].decode())
            if b"transfer-encoding: chunked" in head:
                self.bodies.append(await peer.reader.readuntil(b"0\r\n\r\n"))
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if length:
                self.bodies.append(await peer.reader.readexactly(int(length)))
            peer.send(OK)

    @asynccontextmanager
    async def serving(self, lab: Lab, *protocols: str) -> AsyncIterator[str]:
        running: set[asyncio.Task[Any]] = set()

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            mine: list[str] = []
            self.asked.append((chosen or "none", mine))
            peer = Peer(reader, writer)
            try:
                await (self.http2 if chosen == "h2" else self.http1)(peer, mine)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()
                running.discard(task)

        context = lab.certs.server(*(protocols or ("h2", "http/1.1")))
        server = await asyncio.start_server(play, HOST, 0, ssl=context)
        try:
            yield f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for each in list(running):
                each.cancel()
            await server.wait_closed()
            await until(lambda: not running)


async def read(response: cno.Response) -> bytes:
    async with response:
        assert response.code == 200
        return await response.payload.read()


@pytest.mark.parametrize("how", [RESET, GOAWAY, AT_ONCE])
@pytest.mark.parametrize("offered", [None, ["http/1.1", "h2"]])
def test_a_server_that_requires_http1(lab: Lab, how: str, offered: list[str] | None) -> None:
    async def main() -> None:
        server = Old(how)
        context = lab.certs.client()
        if offered is not None:
            context.set_alpn_protocols(offered)
        async with server.serving(lab) as url, cno.Pool(context) as pool:
            assert await read(await pool.request("POST", url, [], b"data")) == b"ok"
            for _ in range(3):
                assert await read(await pool.request("GET", url)) == b"ok"
            first = [] if how == AT_ONCE else ["POST"]
            assert server.asked == [("h2", first), ("http/1.1", ["POST", "GET", "GET", "GET"])]
            assert server.bodies == [b"data"]
            # What the context offers to others is what it was.
            server.how = RESET
            client = await cno.connect(url, context)
            assert client.is_http2
            client.abort()
            await client.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("how", [RESET, GOAWAY, AT_ONCE])
def test_many_requests_to_a_server_that_requires_http1(lab: Lab, how: str) -> None:
    async def main() -> None:
        server = Old(how)
        async with server.serving(lab) as url:
            async with cno.Pool(lab.certs.client(), max_per_origin=5) as pool:
                asked = [pool.request("POST", url, [], b"data") for _ in range(30)]
                for response in await asyncio.gather(*asked):
                    assert await read(response) == b"ok"
                assert sum(len(each) for name, each in server.asked if name != "h2") == 30
                assert 2 <= len(server.asked) <= 6

    lab.run(main())


def test_it_is_remembered(lab: Lab) -> None:
    """Also once no connection is left, and of so many origins at most."""

    async def main() -> None:
        server = Old(RESET)
        limits = cno.Limits(keepalive_timeout=0.05)
        async with server.serving(lab) as url:
            async with cno.Pool(lab.certs.client(), limits=limits) as pool:
                for _ in range(3):
                    assert await read(await pool.request("GET", url)) == b"ok"
                    await until(lambda: pool.connections == 0)
        assert [name for name, _ in server.asked] == ["h2"] + ["http/1.1"] * 3

    lab.run(main())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_goaway_that_may_have_come_after_it_was_processed(lab: Lab, method: str) -> None:
    """Its last stream is that of the request: only what is idempotent is sent again."""

    async def main() -> None:
        server = Old(GOAWAY, 1)
        async with server.serving(lab) as url, cno.Pool(lab.certs.client()) as pool:
            if method == "GET":
                assert await read(await pool.request(method, url)) == b"ok"
            else:
                with pytest.raises(cno.ConnectionLostError, match="HTTP_1_1_REQUIRED") as caught:
                    await pool.request(method, url, [], b"data")
                assert not caught.value.retryable
                assert [each for _, each in server.asked] == [["POST"]]
                assert await read(await pool.request("GET", url)) == b"ok"
            assert server.asked[-1] == ("http/1.1", ["GET"])

    lab.run(main())


@pytest.mark.parametrize("how", [RESET, GOAWAY])
def test_bodies(lab: Lab, how: str) -> None:
    async def main() -> None:
        server = Old(how)
        async with server.serving(lab) as url, cno.Pool(lab.certs.client()) as pool:
            response = await pool.request("POST", url, [], io.BytesIO(b"a file"))
            assert await read(response) == b"ok"
        assert server.bodies == [b"a file"]

    lab.run(main())


@pytest.mark.parametrize("way", ["h2 only", "forced", "h2: URL", "no retries"])
def test_who_wants_http2_only_gets_the_error(lab: Lab, way: str) -> None:
    async def main() -> None:
        server = Old(RESET)
        context = lab.certs.client()
        if way == "h2 only":
            context.set_alpn_protocols(["h2"])
        async with server.serving(lab) as url:
            if way == "h2: URL":
                url = url.replace("https:", "h2:")
            retries = 0 if way == "no retries" else 5
            async with cno.Pool(context, force_http2=way == "forced", retries=retries) as pool:
                with pytest.raises(cno.StreamError, match="HTTP_1_1_REQUIRED"):
                    await pool.request("GET", url)
        assert server.asked == [("h2", ["GET"])]

    lab.run(main())


@pytest.mark.parametrize("data", [b"", b"data"])
def test_requests_without_a_pool(lab: Lab, data: bytes) -> None:
    async def main() -> None:
        server = Old(RESET)
        async with server.serving(lab) as url:
            response = await cno.request("PUT", url, [], data, ssl_ctx=lab.certs.client())
            assert await read(response) == b"ok"
            assert server.asked == [("h2", ["PUT"]), ("http/1.1", ["PUT"])]
            with pytest.raises(cno.StreamError, match="HTTP_1_1_REQUIRED"):
                await cno.request("PUT", url.replace("https", "h2"), ssl_ctx=lab.certs.client())

    lab.run(main())


@pytest.mark.slow
def test_cno_get(lab: Lab) -> None:
    async def main() -> None:
        server = Old(RESET)
        async with server.serving(lab) as url:
            for options, output, status in (([], b"okok", 0), (["--http2"], b"", 92)):
                command = ["-m", "cno", "get", "-k", *options, f"{url}/a", f"{url}/b"]
                running = await asyncio.create_subprocess_exec(
                    sys.executable, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
                stdout, stderr = await running.communicate()
                assert (stdout, running.returncode) == (output, status), stderr
                assert (b"HTTP_1_1_REQUIRED" in stderr) == (status != 0)
        assert [name for name, _ in server.asked] == ["h2", "http/1.1", "h2"]

    lab.run(main())


# -- 421 -------------------------------------------------------------------------------------------

Answer = Callable[[int, cno.Request], Awaitable[None]]


@asynccontextmanager
async def counting(lab: Lab, wire: Wire, answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """A server whose handler is told the number of the connection; gives what it was asked."""
    connections: list[object] = []
    asked: list[str] = []

    async def handle(request: cno.Request) -> None:
        if request.conn not in connections:
            connections.append(request.conn)
        number = connections.index(request.conn)
        asked.append(f"{number} {request.method}")
        await answer(number, request)

    async with lab.serving(wire, handle) as url:
        yield url, asked


async def wrong_at_first(number: int, request: cno.Request) -> None:
    body = await request.payload.read()
    if number == 0:
        await request.respond(421, [], b"not here" * 100_000)
    else:
        await request.respond(200, [], body)


def options(lab: Lab, wire: Wire) -> dict[str, Any]:
    if not wire.tls:
        return {"force_http2": wire.http2}
    context = lab.certs.client()
    if not wire.http2:
        context.set_alpn_protocols(["http/1.1"])
    return {"ssl_ctx": context}


def test_another_connection_for_a_misdirected_request(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with counting(lab, wire, wrong_at_first) as (url, asked):
            async with cno.Pool(**options(lab, wire)) as pool:
                for _ in range(2):
                    assert await read(await pool.request("POST", url, [], b"data")) == b"data"
                await until(lambda: pool.connections == 1)
        assert asked == ["0 POST", "1 POST", "1 POST"]

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_idle_connections_do_not_count_as_others(lab: Lab, wire: Wire) -> None:
    """They may lead to the same place: a new one is made."""

    async def main() -> None:
        wrong = False

        async def answer(number: int, request: cno.Request) -> None:
            await asyncio.sleep(0.01)
            await request.respond(421 if wrong and number < 3 else 200)

        async with counting(lab, wire, answer) as (url, asked):
            async with cno.Pool(max_per_origin=3, **options(lab, wire)) as pool:
                for response in await asyncio.gather(*[pool.request("GET", url) for _ in range(3)]):
                    assert response.code == 200
                wrong = wire.http2 is False
                response = await pool.request("POST", url)
                assert response.code == 200
        assert asked[-1] == ("3 POST" if wire is HTTP1 else "0 POST")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_once_and_not_twice(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def answer(number: int, request: cno.Request) -> None:
            await request.respond(421, [], b"no")

        async with counting(lab, wire, answer) as (url, asked):
            async with cno.Pool(**options(lab, wire)) as pool:
                async with await pool.request("GET", url) as response:
                    assert response.code == 421
                    assert await response.payload.read() == b"no"
            async with cno.Pool(retries=0, **options(lab, wire)) as pool:
                assert (await pool.request("GET", url)).code == 421
        assert asked == ["0 GET", "1 GET", "2 GET"]

    lab.run(main())


@pytest.mark.parametrize("name", [":authority", "host"])
def test_another_authority_than_the_url_has_no_other_connection(lab: Lab, name: str) -> None:
    async def main() -> None:
        async with counting(lab, HTTP2, wrong_at_first) as (url, asked):
            async with cno.Pool(force_http2=True) as pool:
                response = await pool.request("GET", url, [(name, "other.test")])
                assert response.code == 421
        assert asked == ["0 GET"]

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_bodies_of_misdirected_requests(lab: Lab, wire: Wire) -> None:
    """A file is read again; what has been read of an iterator is gone, and 421 is the answer."""

    async def main() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"some"
            yield b"data"

        async with counting(lab, wire, wrong_at_first) as (url, asked):
            async with cno.Pool(**options(lab, wire)) as pool:
                response = await pool.request("PUT", url, [], pieces())
                assert response.code == 421
                response.cancel()
            async with cno.Pool(**options(lab, wire)) as pool:
                assert (
                    await read(await pool.request("PUT", url, [], io.BytesIO(b"file"))) == b"file"
                )
        assert asked[0] == "0 PUT"

    lab.run(main())


def test_a_goaway_of_another_error_is_named(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await greet(peer)
            await peer.expect(f.HEADERS)
            peer.send(peer.pen.goaway(1, f.ENHANCE_YOUR_CALM))

        async with by_hand(script) as url:
            with pytest.raises(cno.ConnectionLostError, match=r"peer .*: ENHANCE_YOUR_CALM before"):
                await cno.request("POST", url, force_http2=True)

    lab.run(main())
