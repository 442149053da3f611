"""`cno.testing`: connections in memory, and handlers called with one request."""

import asyncio
import gc

import pytest

import cno
from cno import testing

both = pytest.mark.parametrize("http2", [True, False])
BODY = bytes(range(256)) * 4_096  # 1 MiB


async def echo(request: cno.Request) -> None:
    if request.path == "/raises":
        raise KeyError("on purpose")
    await request.inform(103, [("link", "</a>")])
    assert request.peer == ("127.0.0.1", 50_000)
    assert request.tls is None
    data = await request.read()
    trailers = [("x-size", str(len(data)))]
    headers = [("content-type", "application/json"), ("x-host", request.header("host", ""))]
    await request.respond(200, headers, data, trailers=trailers)


@both
def test_one_request(http2: bool) -> None:
    async def main() -> None:
        answer = await testing.answer(echo, "POST", "/?a=1", [("x-a", "1")], b'["a"]', http2=http2)
        assert answer.code == 200
        assert answer.header("X-Host") == "testserver"
        assert answer.header("x-none") is None
        assert answer.body == b'["a"]'
        assert answer.text() == '["a"]'
        assert answer.json() == ["a"]
        assert answer.trailers == [("x-size", "5")]
        assert answer.informational == [(103, [("link", "</a>")])]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main(), debug=True)


@both
def test_the_exception_of_a_handler(http2: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def late(request: cno.Request) -> None:
        async with request.start(200) as out:
            await out.write(b"1")
            raise KeyError("on purpose")

    async def main() -> None:
        for handler in (echo, late):
            with pytest.raises(KeyError):
                await testing.answer(handler, "GET", "/raises", http2=http2)

    asyncio.run(main())
    assert not caplog.records


@both
@pytest.mark.parametrize("small", [True, False])
def test_a_large_body_obeys_windows_and_buffers(http2: bool, small: bool) -> None:
    limits = cno.Limits(write_buffer=1_000) if small else None

    async def main() -> None:
        async with testing.connected(
            echo, http2=http2, limits=limits, client_limits=limits
        ) as client:
            assert client.is_http2 == http2
            for _ in range(2):
                response = await client.request("PUT", "/", [], BODY)
                assert await response.read() == BODY

    asyncio.run(main())


def test_many_requests_at_once() -> None:
    async def main() -> None:
        async with testing.connected(echo) as client:

            async def one(number: int) -> None:
                body = str(number).encode()
                assert await (await client.request("POST", "/", [], body)).read() == body

            await asyncio.gather(*map(one, range(200)))

    asyncio.run(main())


@both
def test_a_writer_waits_for_a_reader_that_has_paused(http2: bool) -> None:
    written = 0

    async def endless(request: cno.Request) -> None:
        nonlocal written
        async with request.start(200) as out:
            while True:
                await out.write(bytes(10_000))
                written += 10_000

    async def main() -> None:
        async with testing.connected(endless, http2=http2) as client:
            async with await client.request("GET", "/") as response:
                for _ in range(2_000):
                    await asyncio.sleep(0)
                before = written
                for _ in range(100):
                    await asyncio.sleep(0)
                assert written == before
                assert await response.payload.readexactly(3_000_000) == bytes(3_000_000)

    asyncio.run(main())


@both
def test_leaving_cancels_handlers(http2: bool) -> None:
    ended: list[str] = []

    async def wait(request: cno.Request) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append(request.path)
            raise

    async def main() -> None:
        async with testing.connected(wait, http2=http2) as client:
            request = asyncio.ensure_future(client.request("GET", "/"))
            await asyncio.sleep(0.01)
        with pytest.raises(cno.ConnectionLostError):
            await request
        await asyncio.sleep(0.01)
        assert ended == ["/"]

    asyncio.run(main())
    gc.collect()


@pytest.mark.parametrize("server", [True, False])
@both
def test_an_aborted_connection(http2: bool, server: bool) -> None:
    async def abort(request: cno.Request) -> None:
        if server:
            request.conn.abort()
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with testing.connected(abort, http2=http2) as client:
            request = asyncio.ensure_future(client.request("GET", "/"))
            if not server:
                await asyncio.sleep(0.01)
                client.abort()
            with pytest.raises(cno.ConnectionLostError):
                await request

    asyncio.run(main())


# -- pools -----------------------------------------------------------------------------------------


@both
def test_a_pool_of_several_servers(http2: bool) -> None:
    async def other(request: cno.Request) -> None:
        assert request.conn.is_http2 is http2
        await request.respond(200, [], (request.header("host") or "").encode())

    async def main() -> None:
        handlers = {"http://echo": echo, "https://other:8443": other}
        async with testing.pool(handlers, http2=http2) as pool:
            async with pool.request("POST", "http://echo/x", data=BODY) as response:
                assert await response.read() == BODY
            for _ in range(2):
                async with pool.request("GET", "https://other:8443/") as response:
                    assert await response.read() == b"other:8443"
            assert pool.connections == 2
            with pytest.raises(cno.ConnectError, match="no handler for http://none:81"):
                await pool.request("GET", "http://none:81/")
            with pytest.raises(cno.ConnectError):
                await pool.request("GET", "http://other:8443/")
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main(), debug=True)


@both
def test_a_pool_has_timeouts_and_retries(http2: bool) -> None:
    calls: list[str] = []

    async def handle(request: cno.Request) -> None:
        calls.append(request.path)
        if request.path == "/late":
            await asyncio.sleep(60)
        if calls.count("/lost") == 1:
            request.conn.abort()
        await request.respond(200, [], b"ok")

    async def main() -> None:
        async with testing.pool({"http://test": handle}, http2=http2) as pool:
            for path in ("/", "/lost"):  # the second one loses a reused connection
                async with pool.request("GET", f"http://test{path}") as response:
                    assert await response.read() == b"ok"
            assert calls == ["/", "/lost", "/lost"]
            with pytest.raises(TimeoutError) as caught:
                await pool.request("GET", "http://test/late", timeout=0.02)
            assert getattr(caught.value, "limit", "") == "timeout.total"

    asyncio.run(main(), debug=True)


def test_leaving_a_pool_ends_its_handlers() -> None:
    ended = False

    async def stuck(request: cno.Request) -> None:
        nonlocal ended
        try:
            async with request.start(200) as out:
                await out.write(b"1")
                await asyncio.sleep(60)
        finally:
            ended = True

    async def main() -> None:
        async with testing.pool({"http://stuck": stuck}) as pool:
            response = await pool.request("GET", "http://stuck/")
            response.cancel()
        assert ended

    asyncio.run(main(), debug=True)
