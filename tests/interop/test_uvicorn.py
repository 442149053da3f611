"""A real uvicorn with `cno.uvicorn:Protocol`: curl, the websockets package and our own client."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import cno
from cno import websocket
from tests.peers import free_port, require
from tests.processes import PATIENCE, Pair, Running, certificate

APPLICATION = """
import asyncio, json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        return
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    told = {"version": scope["http_version"], "scheme": scope["scheme"], "size": size}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""


@contextmanager
def uvicorn(folder: Path, *options: str) -> Iterator[tuple[int, Running]]:
    pytest.importorskip("uvicorn")
    (folder / "application.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--http", "cno.uvicorn:Protocol"]
    command += ["--app-dir", str(folder), "--port", str(port), *options, "application:app"]
    with Running(command, folder) as running:
        running.wait_listening(port)
        yield port, running


def curl(url: str, *options: str) -> Any:
    command = [require("curl"), "-fsS", "--max-time", str(PATIENCE), *options, url]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return certificate(tmp_path_factory.mktemp("certificates"))


def tls(pair: Pair) -> list[str]:
    return ["--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key)]


def test_both_protocols_in_clear_text(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    upload = ["--data-binary", f"@{tmp_path / 'large'}"]
    with uvicorn(tmp_path) as (port, running):
        url = f"http://127.0.0.1:{port}/"
        for version, option in (("1.1", "--http1.1"), ("2", "--http2-prior-knowledge")):
            told = {"version": version, "scheme": "http", "size": 0}
            assert curl(url, option) == told
            assert curl(url, option, *upload) == {**told, "size": 3_000_000}
        assert running.stop() == 0
    assert any('"GET / HTTP/2" 200' in line for line in running.out), running.out
    assert any('"POST / HTTP/1.1" 200' in line for line in running.out)
    assert not any("ERROR" in line for line in running.err), running.err


def test_tls_chooses_the_protocol(tmp_path: Path, pair: Pair) -> None:
    with uvicorn(tmp_path, *tls(pair)) as (port, _):
        url = f"https://127.0.0.1:{port}/"
        authority = ["--cacert", str(pair.authority)]
        assert curl(url, *authority)["version"] == "2"
        assert curl(url, "--http1.1", *authority)["version"] == "1.1"


def test_requests_that_run_are_answered_before_the_end(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as (port, running):

        async def main() -> None:
            for http2 in (True, False):
                client = await cno.connect(f"http://127.0.0.1:{port}", force_http2=http2)
                slow.append(asyncio.ensure_future(client.request("GET", "/slow")))
            await asyncio.sleep(0.2)
            running.process.send_signal(signal.SIGTERM)
            for request in slow:
                response = await request
                assert response.code == 200
                assert json.loads(await response.payload.read())["size"] == 0

        slow: list[asyncio.Future[cno.Response]] = []
        asyncio.run(main())
        running.wait()


def test_requests_up_to_the_limit_are_answered(tmp_path: Path) -> None:
    """Those that come at once are counted one after the other."""

    async def main(port: int) -> list[int]:
        client = await cno.connect(f"http://127.0.0.1:{port}", force_http2=True)
        async with client:
            asked = [client.request("GET", "/slow") for _ in range(6)]
            return [response.code for response in await asyncio.gather(*asked)]

    with uvicorn(tmp_path, "--limit-concurrency", "4") as (port, _):
        assert asyncio.run(main(port)) == [200] * 4 + [503] * 2


@pytest.mark.parametrize("kind", ["websockets", "wsproto", "websockets-sansio"])
def test_websockets_over_http1_are_those_that_uvicorn_chooses(tmp_path: Path, kind: str) -> None:
    client: Any = pytest.importorskip("websockets.asyncio.client")

    async def main(port: int) -> None:
        async with client.connect(f"ws://127.0.0.1:{port}/") as socket:
            for message in ("text", b"bytes", "x" * 100_000):
                await socket.send(message)
                assert await socket.recv() == message

    with uvicorn(tmp_path, "--ws", kind) as (port, _):
        asyncio.run(main(port))


def test_websockets_over_http2(tmp_path: Path, pair: Pair) -> None:
    async def main(port: int) -> None:
        context = ssl.create_default_context(cafile=str(pair.authority))
        async with await cno.connect(f"https://127.0.0.1:{port}", context) as client:
            assert client.is_http2
            async with await websocket.connect(client) as socket:
                for message in ("text", b"bytes", "x" * 100_000):
                    await socket.send(message)
                    assert await socket.receive() == message
            response = await client.request("GET", "/")
            assert response.code == 200

    with uvicorn(tmp_path, *tls(pair)) as (port, _):
        asyncio.run(main(port))
