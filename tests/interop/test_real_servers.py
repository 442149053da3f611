"""Pools and the transports of httpx against servers of others, over each protocol that they speak.

nginx, nghttpd and Apache httpd serve files; hypercorn and granian serve an ASGI application that
does so.
"""

import asyncio
import hashlib
import importlib.util
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import cno
import cno.httpx
from tests.peers import free_port, missing, require
from tests.processes import Pair, Running

APPLICATION = """
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    path = Path(__file__).with_name("site") / scope["path"].lstrip("/")
    code, data = (200, path.read_bytes()) if path.is_file() else (404, b"not found")
    headers = [(b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else data
    await send({"type": "http.response.body", "body": body})
"""

NGINX = """
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
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        root {site};
    }}
}}
"""

APACHE = """
ServerRoot {work}
ServerName localhost
PidFile {work}/pid
DefaultRuntimeDir {work}
ErrorLog /dev/stderr
LogLevel error
Mutex file:{work} default
{modules}
Protocols h2 h2c http/1.1
Listen 127.0.0.1:{clear}
Listen 127.0.0.1:{secure}
DocumentRoot {site}
<Directory {site}>
    Require all granted
</Directory>
<VirtualHost 127.0.0.1:{secure}>
    SSLEngine on
    SSLCertificateFile {pair.cert}
    SSLCertificateKeyFile {pair.key}
</VirtualHost>
"""
APACHE_MODULES = "mpm_event authz_core http2 ssl socache_shmcb"
APACHE_FOLDER = Path("/usr/lib/apache2/modules")

#: The protocols of each server: HTTP/1.1 and HTTP/2 in clear text, and both over TLS.
CLEAR1, CLEAR2, TLS1, TLS2 = "http/1.1", "h2c", "http/1.1 over TLS", "h2"
SPEAKS = {
    "nginx": (CLEAR1, TLS1, TLS2),
    "nghttpd": (CLEAR2, TLS2),
    "apache2": (CLEAR1, CLEAR2, TLS1, TLS2),
    "hypercorn": (CLEAR1, CLEAR2, TLS1, TLS2),
    "granian": (CLEAR1, CLEAR2, TLS1, TLS2),
}


def commands(name: str, work: Path, site: Path, pair: Pair, ports: tuple[int, int]) -> list[Any]:
    """How the server is run: one command for both ports, or one for each."""
    values = {"work": work, "site": site, "pair": pair, "clear": ports[0], "secure": ports[1]}
    if name == "nginx":
        (work / "nginx.conf").write_text(NGINX.format(**values))
        return [[require("nginx"), "-p", str(work), "-c", f"{work}/nginx.conf", "-e", "stderr"]]
    if name == "apache2":
        program = require("apache2")
        lines = []
        for each in APACHE_MODULES.split():
            path = APACHE_FOLDER / f"mod_{each}.so"
            lines += [f"LoadModule {each}_module {path}"] * path.exists()
        (work / "apache.conf").write_text(APACHE.format(modules="\n".join(lines), **values))
        return [[program, "-f", f"{work}/apache.conf", "-D", "FOREGROUND"]]
    if name == "nghttpd":
        common = [require("nghttpd"), "-a", "127.0.0.1", "-d", str(site)]
        tls = [str(ports[1]), str(pair.key), str(pair.cert)]
        return [[*common, "--no-tls", str(ports[0])], [*common, *tls]]
    if importlib.util.find_spec(name) is None:
        missing(f"{name} is not installed")
    (work / "application.py").write_text(APPLICATION)
    (work / "site").symlink_to(site)
    if name == "hypercorn":
        common = [sys.executable, "-m", "hypercorn", "application:app", "--bind"]
        tls = ["--certfile", str(pair.cert), "--keyfile", str(pair.key)]
        return [
            [*common, f"127.0.0.1:{ports[0]}"],
            [*common, f"127.0.0.1:{ports[1]}", *tls],
        ]
    common = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--port"]
    tls = ["--ssl-certificate", str(pair.cert), "--ssl-keyfile", str(pair.key)]
    return [
        [*common, str(ports[0]), "application:app"],
        [*common, str(ports[1]), *tls, "application:app"],
    ]


@contextmanager
def started(name: str, work: Path, site: Path, pair: Pair) -> Iterator[tuple[str, str]]:
    ports = free_port(), free_port()
    runs = [Running(each, work) for each in commands(name, work, site, pair, ports)]
    try:
        for running in runs:
            running.__enter__()
        for index, port in enumerate(ports):
            runs[min(index, len(runs) - 1)].wait_listening(port)
        yield f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}"
    finally:
        for running in runs:
            running.__exit__(None, None, None)


@pytest.fixture(scope="module", params=list(SPEAKS))
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    site: Path,
    pair: Pair,
) -> Iterator[tuple[str, str, str]]:
    name: str = request.param
    with started(name, tmp_path_factory.mktemp(name), site, pair) as (clear, secure):
        yield name, clear, secure


def ways(name: str, clear: str, secure: str) -> Iterator[tuple[str, bool]]:
    """The URL of each protocol of a server, and whether it is HTTP/2."""
    for way in SPEAKS[name]:
        yield (clear if way in (CLEAR1, CLEAR2) else secure), way in (CLEAR2, TLS2)


def context_of(pair: Pair, http2: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pair.authority))
    context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
    return context


def test_pools(server: tuple[str, str, str], pair: Pair, site: Path) -> None:
    async def main(url: str, http2: bool) -> None:
        force = http2 and url.startswith("http:")
        async with cno.Pool(context_of(pair, http2), force_http2=force) as pool:
            async with pool.request("GET", f"{url}/hello.txt", timeout=20) as response:
                assert (response.code, await response.read()) == (200, b"hello, world\n")
                assert response.conn.is_http2 == http2
            async with pool.request("HEAD", f"{url}/hello.txt", timeout=20) as response:
                assert (response.header("content-length"), await response.read()) == ("13", b"")
            async with pool.request("GET", f"{url}/none", timeout=20) as response:
                assert response.code == 404
            async with pool.request("GET", f"{url}/large.bin", timeout=30) as response:
                found = hashlib.sha256(await response.read()).digest()
                assert found == hashlib.sha256((site / "large.bin").read_bytes()).digest()
            many = (pool.request("GET", f"{url}/hello.txt", timeout=20) for _ in range(20))
            for response in await asyncio.gather(*many):
                assert await response.read() == b"hello, world\n"

    for url, http2 in ways(*server):
        asyncio.run(main(url, http2))


def options(pair: Pair, url: str, http2: bool) -> dict[str, Any]:
    clear = url.startswith("http:")
    return {"verify": context_of(pair, http2), "http1": not (clear and http2), "http2": http2}


def test_the_asynchronous_transport(server: tuple[str, str, str], pair: Pair) -> None:
    async def main(url: str, http2: bool) -> None:
        transport = cno.httpx.AsyncTransport(**options(pair, url, http2))
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            response = await client.get("/hello.txt")
            assert (response.status_code, response.text) == (200, "hello, world\n")
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            answers = await asyncio.gather(*(client.get("/style.css") for _ in range(10)))
            assert {answer.text for answer in answers} == {"h1 { color: red }\n"}
            assert (await client.get("/none")).status_code == 404

    for url, http2 in ways(*server):
        asyncio.run(main(url, http2))


def test_the_blocking_transport(server: tuple[str, str, str], pair: Pair) -> None:
    for url, http2 in ways(*server):
        transport = cno.httpx.Transport(**options(pair, url, http2))
        with httpx.Client(transport=transport, base_url=url) as client:
            response = client.get("/hello.txt")
            assert (response.status_code, response.text) == (200, "hello, world\n")
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert len(client.get("/large.bin").content) > 5_000_000
