"""A client and a pool of ours against nginx: large bodies, many requests, connections it ends."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cno
from tests.interop.conftest import BIG, LARGE
from tests.peers import free_port, require
from tests.processes import Pair, Running

CONFIG = """
daemon off;
master_process off;
pid {work}/pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {work}/a;
    proxy_temp_path {work}/b;
    fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d;
    scgi_temp_path {work}/e;
    client_max_body_size 0;
    keepalive_requests {requests};
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        root {site};
        location /big.bin {{ root {big.parent}; }}
        location /put/ {{ root {work}; dav_methods PUT; create_full_put_path on; }}
        location /small/ {{ client_max_body_size 1k; root {work}; dav_methods PUT; }}
        location /connection {{ return 200 "$connection $connection_requests"; }}
    }}
}}
"""

#: After so many requests nginx ends a connection.
REQUESTS = 50


class Nginx(NamedTuple):
    clear: str
    secure: str
    authority: str
    work: Path


@pytest.fixture(scope="module")
def nginx(
    tmp_path_factory: pytest.TempPathFactory, site: Path, big: Path, pair: Pair
) -> Iterator[Nginx]:
    work = tmp_path_factory.mktemp("nginx")
    clear, secure = free_port(), free_port()
    text = CONFIG.format(
        work=work, clear=clear, secure=secure, pair=pair, site=site, big=big, requests=REQUESTS
    )
    (work / "nginx.conf").write_text(text)
    args = [require("nginx"), "-p", str(work), "-c", str(work / "nginx.conf"), "-e", "stderr"]
    with Running(args) as running:
        running.wait_listening(clear)
        authority = str(pair.authority)
        yield Nginx(f"http://127.0.0.1:{clear}", f"https://127.0.0.1:{secure}", authority, work)


class Ways:
    """The server, over HTTP/1.1 in clear text or HTTP/2 over TLS, to a client or a pool."""

    def __init__(self, nginx: Nginx, http2: bool) -> None:
        self.http2 = http2
        self.url = nginx.secure if http2 else nginx.clear
        self.work = nginx.work
        self._authority = nginx.authority

    def client(self, script: Callable[[cno.Client], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            context = cno.aio.tls.client_context(self._authority) if self.http2 else None
            async with asyncio.timeout(60), await cno.connect(self.url, context) as client:
                assert client.is_http2 == self.http2
                await script(client)

        run(main())

    def pool(self, script: Callable[[cno.Pool], Coroutine[Any, Any, None]], **options: Any) -> None:
        async def main() -> None:
            context = cno.aio.tls.client_context(self._authority)
            async with asyncio.timeout(60), cno.Pool(context, **options) as pool:
                await script(pool)

        run(main())


def run(coro: Coroutine[Any, Any, None]) -> None:
    """To its end; nothing may fail behind its back, and no task be left."""
    failures: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: failures.append(c))
        await coro
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert failures == []


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def ways(request: pytest.FixtureRequest, nginx: Nginx) -> Ways:
    return Ways(nginx, request.param == "HTTP/2")


async def text_of(response: cno.Response) -> str:
    assert response.code == 200
    return (await response.payload.read()).decode()


def test_a_large_download(ways: Ways, big_sha256: str) -> None:
    async def script(client: cno.Client) -> None:
        response = await client.request("GET", "/big.bin")
        assert (response.code, dict(response.headers)["content-length"]) == (200, str(BIG))
        digest = hashlib.sha256()
        while data := await response.payload.read(1_000_000):
            digest.update(data)
        assert digest.hexdigest() == big_sha256

    ways.client(script)


def test_large_uploads(ways: Ways, big: Path, big_sha256: str) -> None:
    """As bytes, and piece by piece, of unknown length."""
    data = big.read_bytes()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 300_000):
            yield data[start : start + 300_000]

    async def script(client: cno.Client) -> None:
        for name, body in (("bytes", data), ("pieces", pieces())):
            path = f"/put/{int(ways.http2)}{name}"
            response = await client.request("PUT", path, [], body)
            assert response.code == 201
            await response.payload.read()
            put = ways.work / path[1:]
            assert hashlib.sha256(put.read_bytes()).hexdigest() == big_sha256
            put.unlink()

    ways.client(script)


def test_an_upload_that_is_refused(ways: Ways, big: Path) -> None:
    """The response comes before the body is sent, and is not lost because of it."""
    data = big.read_bytes()

    async def script(client: cno.Client) -> None:
        response = await client.request("PUT", "/small/x", [], data)
        assert response.code == 413
        assert b"413 Request Entity Too Large" in await response.payload.read()
        if ways.http2:
            assert len(await text_of(await client.request("GET", "/hello.txt"))) == 13

    ways.client(script)


def test_one_after_another(ways: Ways) -> None:
    """The connection is kept."""

    async def script(client: cno.Client) -> None:
        seen = []
        for _ in range(REQUESTS - 5):
            seen.append((await text_of(await client.request("GET", "/connection"))).split())
        assert len({connection for connection, _ in seen}) == 1
        assert [int(count) for _, count in seen] == list(range(1, len(seen) + 1))

    ways.client(script)


def test_many_at_once(ways: Ways) -> None:
    async def ask(client: cno.Client, number: int) -> None:
        response = await client.request("GET", "/large.bin", [("range", f"bytes={number}-9999")])
        assert response.code == 206
        assert len(await response.payload.read()) == 10_000 - number

    async def script(client: cno.Client) -> None:
        await asyncio.gather(*(ask(client, number) for number in range(REQUESTS - 5)))

    ways.client(script)


def test_what_has_no_body(ways: Ways) -> None:
    async def script(client: cno.Client) -> None:
        response = await client.request("HEAD", "/large.bin")
        fields = dict(response.headers)
        assert (response.code, fields["content-length"]) == (200, str(LARGE))
        assert await response.payload.read() == b""
        response = await client.request("GET", "/large.bin", [("if-none-match", fields["etag"])])
        assert response.code == 304
        assert await response.payload.read() == b""
        assert len(await text_of(await client.request("GET", "/hello.txt"))) == 13

    ways.client(script)


def test_a_response_left_alone(ways: Ways) -> None:
    """Who leaves a response midway gives it up; with HTTP/2 the connection goes on."""

    async def script(client: cno.Client) -> None:
        for _ in range(5 if ways.http2 else 1):
            async with await client.request("GET", "/big.bin") as response:
                assert len(await response.payload.readexactly(100_000)) == 100_000
        if ways.http2:
            assert len(await text_of(await client.request("GET", "/hello.txt"))) == 13

    ways.client(script)


def test_a_connection_that_ends(ways: Ways) -> None:
    """After its number of requests: what comes too late is known not to have been processed."""

    async def script(client: cno.Client) -> None:
        for _ in range(REQUESTS):
            await text_of(await client.request("GET", "/connection"))
        with pytest.raises(cno.ConnectionLostError) as caught:
            await client.request("GET", "/connection")
        assert caught.value.retryable

    ways.client(script)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_pool_does_not_mind(ways: Ways, method: str) -> None:
    """Over 20 connections that nginx ends, every request gets its answer."""
    connections: Counter[str] = Counter()
    total = 20 * REQUESTS

    async def ask(pool: cno.Pool, number: int) -> None:
        if method == "GET":
            text = await text_of(await pool.request("GET", f"{ways.url}/connection"))
            connections[text.split()[0]] += 1
            return
        url = f"{ways.url}/put/{int(ways.http2)}-{number}"
        response = await pool.request("PUT", url, [], b"%d" % number)
        await response.payload.read()
        assert response.code == 201  # created: by this request, for the first time

    async def script(pool: cno.Pool) -> None:
        await asyncio.gather(*(ask(pool, number) for number in range(total)))

    ways.pool(script, max_per_origin=10)
    if method == "GET":
        assert connections.total() == total
        assert max(connections.values()) <= REQUESTS
        assert len(connections) <= 30
    else:
        for number in range(total):
            path = ways.work / f"put/{int(ways.http2)}-{number}"
            assert path.read_bytes() == b"%d" % number


def test_different_origins(nginx: Nginx) -> None:
    """A pool that talks to both at once, each in its own protocol."""

    async def ask(pool: cno.Pool, url: str) -> None:
        response = await pool.request("GET", f"{url}/hello.txt")
        assert response.conn.is_http2 == (url == nginx.secure)
        assert await text_of(response) == "hello, world\n"

    async def script(pool: cno.Pool) -> None:
        await asyncio.gather(*(ask(pool, url) for url in [nginx.clear, nginx.secure] * 30))

    Ways(nginx, True).pool(script)
