"""Other Python libraries: httpx and aiohttp as clients of ours, aiohttp as a server to ours."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from io import BytesIO
from typing import Any

import httpx
import pytest

import cno
from cno.websocket import connect as websocket_to
from tests.interop.conftest import App
from tests.interop.test_client_nginx import run
from tests.peers import missing
from tests.processes import Pair

try:
    import aiohttp
    from aiohttp import web
except ImportError:
    missing("aiohttp is not installed")

DATA = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(DATA).hexdigest()


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(DATA), 100_000):
        yield DATA[start : start + 100_000]


# -- clients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_httpx(app: App, pair: Pair, http2: bool) -> None:
    async def main() -> None:
        context = ssl.create_default_context(cafile=str(pair.authority))
        async with httpx.AsyncClient(
            http2=http2, http1=not http2, verify=context, base_url=app.secure, timeout=20
        ) as client:
            version = "HTTP/2" if http2 else "HTTP/1.1"
            response = await client.get("hello")
            assert (response.text, response.http_version) == ("hello, world\n", version)
            for content in (DATA, pieces()):
                seen = (await client.post("sink", content=content)).json()
                assert (seen["size"], seen["sha256"]) == (len(DATA), SHA256)
            async with client.stream("POST", "echo", content=DATA) as response:
                assert await response.aread() == DATA
            response = await client.head("sized/12345")
            assert (response.headers["content-length"], response.content) == ("12345", b"")
            answers = await asyncio.gather(*(client.get(f"stream/{n}") for n in range(200)))
            assert [len(answer.content) for answer in answers] == list(range(200))
            assert (await client.get("hints")).text == "after hints\n"
            assert (await client.get("trailers")).num_bytes_downloaded == 100_000
            assert (await client.get("fail")).status_code == 500
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("break")
            with pytest.raises(httpx.ReadTimeout):
                await client.get("hang/httpx", timeout=0.2)
            assert (await client.get("hello")).text == "hello, world\n"

    run(main())


def test_aiohttp(app: App) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(app.clear) as session:
            async with session.post("/sink", data=pieces(), expect100=True) as response:
                assert (await response.json())["sha256"] == SHA256
            async with session.post("/echo", data=BytesIO(DATA)) as response:
                assert await response.read() == DATA
            async with session.get("/trailers") as response:
                assert len(await response.read()) == 100_000
            async with session.post("/refuse", data=BytesIO(DATA), expect100=True) as response:
                assert (response.status, await response.text()) == (413, "too much\n")
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.get("/break") as response:
                    await response.read()
            async with session.ws_connect("/websocket") as socket:
                for size in (0, 5, 70_000, 500_000):
                    await socket.send_bytes(bytes(size))
                    assert await socket.receive_bytes() == bytes(size)
                await socket.ping()
                await socket.send_str("über")
                assert await socket.receive_str() == "über"
            assert socket.close_code == 1000

    run(main())


# -- servers -------------------------------------------------------------------------------------


async def sink(request: web.Request) -> web.Response:
    return web.Response(text=hashlib.sha256(await request.read()).hexdigest())


async def echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    async for data in request.content.iter_any():
        await response.write(data)
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


def against_aiohttp(script: Callable[[cno.Client], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/sink", sink)
        app.router.add_post("/echo", echo)
        app.router.add_get("/websocket", websocket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with (
                asyncio.timeout(60),
                await cno.connect(f"http://127.0.0.1:{port}/") as client,
            ):
                await script(client)
        finally:
            await runner.cleanup()

    run(main())


def test_bodies_to_aiohttp() -> None:
    async def script(client: cno.Client) -> None:
        expect = [("expect", "100-continue")]
        for headers in ([], expect):
            for body in (DATA, pieces()):
                response = await client.request("POST", "/sink", headers, body)
                assert (await response.payload.read()).decode() == SHA256
                assert [code for code, _ in response.informational] == [100] * len(headers)
        response = await client.request("POST", "/echo", [], pieces())
        assert await response.payload.read() == DATA
        for _ in range(100):
            response = await client.request("GET", "/none")
            assert (response.code, await response.payload.read()) == (404, b"404: Not Found")

    against_aiohttp(script)


def test_websocket_to_aiohttp() -> None:
    async def script(client: cno.Client) -> None:
        async with await websocket_to(client, "/websocket") as socket:
            for size in (0, 5, 70_000, 500_000):
                await socket.send(bytes(size))
                assert await socket.receive() == bytes(size)

    against_aiohttp(script)
