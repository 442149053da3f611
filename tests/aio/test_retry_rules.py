"""Requests that a pool sends once more, although the server may have acted on them.

Their methods are idempotent; a connection that had been in use ended without a byte of answer. The
server is a script for each connection, and counts the requests.
"""

import asyncio
import io
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cno import aio
from tests import frames as f
from tests.aio.lab import HOST, Lab, Peer, by_hand, greet, settle, until

IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

End = Callable[[Peer], Any]


def hang_up(peer: Peer) -> None:
    peer.writer.close()


def reset(peer: Peer) -> None:
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()


ENDS = [hang_up, reset]


class Http1:
    """Answers so many requests on each connection; `end` is what comes of the next one."""

    def __init__(self, *good: int, end: End = hang_up) -> None:
        self._good = good  # of the first connection, the second one, ...; the last for all others
        self._end = end
        self.asked: list[list[bytes]] = []
        self.pause = 0.0

    async def __call__(self, peer: Peer) -> None:
        mine: list[bytes] = []
        self.asked.append(mine)
        good = self._good[min(len(self.asked), len(self._good)) - 1]
        while True:
            head = await peer.head()
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await peer.reader.readexactly(int(length or b"0"))
            mine.append(head.partition(b" ")[0] + (b" " + body if body else b""))
            await asyncio.sleep(self.pause)
            if len(mine) > good:
                self._end(peer)
                return
            peer.send(ANSWER if not head.startswith(b"HEAD") else ANSWER[:-2])


async def ask(pool: aio.Pool, url: str, method: str = "GET", data: Any = b"") -> bytes:
    async with await pool.request(method, url, [], data) as response:
        assert response.code == 200
        return await response.payload.read()


@pytest.mark.parametrize("end", ENDS)
def test_every_second_request_finds_its_connection_at_its_end(lab: Lab, end: End) -> None:
    async def main() -> None:
        server = Http1(1, end=end)
        async with by_hand(server) as url, aio.Pool() as pool:
            for _ in range(20):
                assert await ask(pool, url) == b"ok"
        assert [len(each) for each in server.asked] == [2] * 19 + [1]

    lab.run(main())


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_methods_that_are_idempotent(lab: Lab, method: str) -> None:
    async def main() -> None:
        server = Http1(1)
        data = b"data" if method in ("PUT", "QUERY") else b""
        async with by_hand(server) as url:
            async with aio.Pool() as pool:
                await ask(pool, url)
                await ask(pool, url, method, data)
            asked = b"".join([method.encode(), b" " * bool(data), data])
            assert server.asked == [[b"GET", asked], [asked]]
            for options in ({"retry_idempotent": False}, {"retries": 0}):
                async with aio.Pool(**options) as pool:
                    await ask(pool, url)
                    with pytest.raises(aio.ConnectionLostError) as caught:
                        await ask(pool, url, method, data)
                    assert caught.value.retryable
            async with await aio.connect(url) as client:
                await (await client.request("GET", "/")).payload.read()
                with pytest.raises(aio.ConnectionLostError) as caught:
                    await client.request(method, "/", [], data)
                assert caught.value.retryable
        assert len(server.asked) == 5

    lab.run(main())


@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "LOCK"])
def test_methods_that_are_not(lab: Lab, method: str) -> None:
    async def main() -> None:
        server = Http1(1)
        async with by_hand(server) as url, aio.Pool() as pool:
            await ask(pool, url)
            with pytest.raises(aio.ConnectionLostError) as caught:
                await ask(pool, url, method, b"data")
            assert not caught.value.retryable
        assert server.asked == [[b"GET", method.encode() + b" data"]]

    lab.run(main())


def test_first_request_of_a_connection(lab: Lab) -> None:
    """Nothing says that the server ever answers such a request."""

    async def main() -> None:
        server = Http1(0)
        async with by_hand(server) as url, aio.Pool() as pool:
            with pytest.raises(aio.ConnectionLostError) as caught:
                await ask(pool, url)
            assert not caught.value.retryable
        assert server.asked == [[b"GET"]]

    lab.run(main())


def test_once_more_and_not_twice(lab: Lab) -> None:
    async def main() -> None:
        server = Http1(1, 0)
        async with by_hand(server) as url, aio.Pool() as pool:
            await ask(pool, url)
            with pytest.raises(aio.ConnectionLostError) as caught:
                await ask(pool, url)
            assert not caught.value.retryable
        assert server.asked == [[b"GET", b"GET"], [b"GET"]]

    lab.run(main())


@pytest.mark.parametrize(
    "some",
    [b"H", b"\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", ANSWER[:-8], b"?"],
)
def test_any_byte_of_an_answer_is_one(lab: Lab, some: bytes) -> None:
    async def main() -> None:
        def begin(peer: Peer) -> None:
            peer.send(some)
            peer.writer.close()

        server = Http1(1, end=begin)
        async with by_hand(server) as url, aio.Pool() as pool:
            await ask(pool, url)
            with pytest.raises((aio.ConnectionLostError, aio.StreamError)) as caught:
                await ask(pool, url)
            assert isinstance(caught.value, aio.ConnectionLostError | aio.StreamError)
            assert not caught.value.retryable
        assert server.asked == [[b"GET", b"GET"]]

    lab.run(main())


@pytest.mark.parametrize("most", [1, 3, 100])
def test_on_a_new_connection(lab: Lab, most: int) -> None:
    """Not on another one that has been idle, or in use, for as long."""

    async def main() -> None:
        server = Http1(1)
        server.pause = 0.002
        async with by_hand(server) as url, aio.Pool(max_per_origin=most) as pool:
            for _ in range(3):
                got = await asyncio.gather(*(ask(pool, url) for _ in range(10)))
                assert got == [b"ok"] * 10
                assert pool.connections <= most
        for each in server.asked:
            assert len(each) <= 2
        assert sum(map(len, server.asked)) > 30

    lab.run(main())


def test_idle_connections_that_are_older_are_not_used_for_it(lab: Lab) -> None:
    async def main() -> None:
        server = Http1(1, 1, 1, 9)
        async with by_hand(server) as url, aio.Pool(max_per_origin=3) as pool:
            server.pause = 0.02
            await asyncio.gather(*(ask(pool, url) for _ in range(3)))
            server.pause = 0.0
            assert pool.connections == 3
            assert await ask(pool, url) == b"ok"
            assert sorted(map(len, server.asked)) == [1, 1, 1, 2]
            assert await ask(pool, url) == b"ok"  # by that of the last one
            assert sorted(map(len, server.asked)) == [1, 1, 2, 2]

    lab.run(main())


def test_total_is_bounded_meanwhile(lab: Lab) -> None:
    async def main() -> None:
        server = Http1(1)
        server.pause = 0.002
        async with by_hand(server) as one, by_hand(server) as two:
            async with aio.Pool(max_connections=2) as pool:
                for _ in range(3):
                    got = await asyncio.gather(
                        *(ask(pool, url) for url in (one, two) for _ in range(5))
                    )
                    assert got == [b"ok"] * 10

    lab.run(main())


def test_server_that_takes_no_new_connections(lab: Lab) -> None:
    """Those that there are have to do: nobody waits for ever."""

    async def main() -> None:
        gate = asyncio.Event()
        conns = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal conns
            conns += 1
            number = conns
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    if b"/end" in head:
                        break
                    if b"/wait" in head:
                        await gate.wait()
                    writer.write(ANSWER)
            except asyncio.IncompleteReadError:
                pass
            finally:
                assert number
                writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        async with aio.Pool() as pool:
            waiting = asyncio.ensure_future(ask(pool, url + "/wait"))
            await ask(pool, url)
            await until(lambda: conns == 2)
            server.close()
            repeated = asyncio.ensure_future(ask(pool, url + "/end"))
            await asyncio.sleep(0.05)
            gate.set()
            assert await waiting == b"ok"
            with pytest.raises((aio.ConnectError, aio.ConnectionLostError)):
                await asyncio.wait_for(repeated, 5)
            with pytest.raises(aio.ConnectError):
                await ask(pool, url)
        await server.wait_closed()

    lab.run(main())


def test_who_waits_for_it_may_give_up(lab: Lab) -> None:
    async def main() -> None:
        server = Http1(1)
        async with by_hand(server) as url, aio.Pool(max_per_origin=1) as pool:
            for turns in range(12):
                await ask(pool, url)
                repeated = asyncio.ensure_future(ask(pool, url))
                waiting = asyncio.ensure_future(ask(pool, url))
                while len(server.asked[-1]) < 2:  # noqa: ASYNC110  # turns of the loop are counted
                    await asyncio.sleep(0)
                await settle(turns)
                repeated.cancel()
                await asyncio.wait([repeated])
                assert await waiting == b"ok"
                if len(server.asked[-1]) == 1:
                    await ask(pool, url)  # finds it at its end

    lab.run(main())


# -- bodies ----------------------------------------------------------------------------------------


def test_bodies_that_can_be_sent_again(lab: Lab, tmp_path: Path) -> None:
    async def main() -> None:
        server = Http1(1)
        (tmp_path / "file").write_bytes(b"data")
        with open(tmp_path / "file", "rb") as file:  # noqa: ASYNC230  # takes no time
            async with by_hand(server) as url, aio.Pool() as pool:
                await ask(pool, url)
                for data in (
                    b"data",
                    bytearray(b"data"),
                    [b"da", b"ta"],
                    file,
                    io.BytesIO(b"data"),
                ):
                    await ask(pool, url, "PUT", data)
        assert server.asked == [[b"GET", b"PUT data"], *[[b"PUT data"] * 2] * 4, [b"PUT data"]]

    lab.run(main())


def test_bodies_that_cannot(lab: Lab) -> None:
    async def main() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"data"

        server = Http1(1)
        async with by_hand(server) as url, aio.Pool() as pool:
            for data in (pieces(), iter([b"data"])):
                await ask(pool, url)
                with pytest.raises(aio.ConnectionLostError) as caught:
                    async with await pool.request("PUT", url, [("content-length", "4")], data):
                        pass
                assert caught.value.retryable
        assert server.asked == [[b"GET", b"PUT data"]] * 2

    lab.run(main())


# -- HTTP/2 ----------------------------------------------------------------------------------------


class Http2:
    """Answers so many requests on each connection; `end` is what comes of the next one."""

    def __init__(self, good: int, end: Callable[[Peer, int], bytes]) -> None:
        self._good = good
        self._end = end
        self.asked: list[int] = []

    async def __call__(self, peer: Peer) -> None:
        number = len(self.asked)
        self.asked.append(0)
        await greet(peer)
        while True:
            head = await peer.expect(f.HEADERS)
            self.asked[number] += 1
            if self.asked[number] > self._good and number == 0:
                await asyncio.sleep(0.02)  # others come as well
                peer.send(self._end(peer, head.stream))
                await peer.writer.drain()
                peer.writer.close()
                return
            peer.send(peer.pen.headers(head.stream, f.RESPONSE, end_stream=True))


@asynccontextmanager
async def in_use(server: Http2, **options: Any) -> AsyncIterator[tuple[aio.Pool, str]]:
    """A pool with a connection that has been used."""
    async with by_hand(server) as url, aio.Pool(force_http2=True, **options) as pool:
        for _ in range(2):
            async with await pool.request("GET", url):
                pass
        yield pool, url


@pytest.mark.parametrize("count", [1, 30])
def test_http2(lab: Lab, count: int) -> None:
    async def main() -> None:
        server = Http2(2, lambda peer, stream: b"")
        async with in_use(server) as (pool, url):
            got = await asyncio.gather(*(pool.request("GET", url) for _ in range(count)))
            assert [each.code for each in got] == [200] * count
        assert len(server.asked) == 2

    lab.run(main())


@pytest.mark.parametrize(
    ("method", "end", "retryable"),
    [
        ("POST", lambda peer, stream: b"", False),
        ("GET", lambda peer, stream: peer.pen.headers(stream, f.RESPONSE)[:-1], False),
        ("GET", lambda peer, stream: peer.pen.goaway(stream), False),
        ("GET", lambda peer, stream: peer.pen.rst(stream, f.INTERNAL_ERROR), False),
        ("GET", lambda peer, stream: peer.pen.headers(stream, [(":status", "103")]), False),
    ],
    ids=["method", "part of an answer", "goaway", "reset", "103"],
)
def test_http2_that_is_not_repeated(
    lab: Lab, method: str, end: Callable[[Peer, int], bytes], retryable: bool
) -> None:
    async def main() -> None:
        server = Http2(2, end)
        async with in_use(server) as (pool, url):
            with pytest.raises((aio.ConnectionLostError, aio.StreamError)) as caught:
                await pool.request(method, url)
            assert isinstance(caught.value, aio.ConnectionLostError | aio.StreamError)
            assert caught.value.retryable == retryable
        assert len(server.asked) == 1

    lab.run(main())


def test_http2_without_repeating(lab: Lab) -> None:
    async def main() -> None:
        server = Http2(2, lambda peer, stream: b"")
        async with in_use(server, retry_idempotent=False) as (pool, url):
            with pytest.raises(aio.ConnectionLostError) as caught:
                await pool.request("GET", url)
            assert caught.value.retryable
        assert len(server.asked) == 1

    lab.run(main())


def test_requests_that_go_out_together_on_a_new_connection(lab: Lab) -> None:
    """That one of them is answered does not say that the others had better luck elsewhere."""

    async def main() -> None:
        server = Http2(1, lambda peer, stream: b"")
        async with by_hand(server) as url, aio.Pool(force_http2=True) as pool:
            first = asyncio.ensure_future(pool.request("GET", url))
            second = asyncio.ensure_future(pool.request("GET", url))
            assert (await first).code == 200
            with pytest.raises(aio.ConnectionLostError) as caught:
                await second
            assert not caught.value.retryable
        assert server.asked == [2]

    lab.run(main())


def test_ends_of_our_own_are_none(lab: Lab) -> None:
    """Who closes a connection while a request waits has not been hung up on."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(ANSWER)
            await peer.head()
            await peer.reader.read()

        async with by_hand(script) as url:
            client = await aio.connect(url)
            await (await client.request("GET", "/")).payload.read()
            asked = asyncio.ensure_future(client.request("GET", "/"))
            await asyncio.sleep(0.02)
            client.close()
            with pytest.raises(aio.ConnectionLostError) as caught:
                await asked
            assert not caught.value.retryable
            await client.wait_closed()

    lab.run(main())
