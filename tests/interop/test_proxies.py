"""nginx and HAProxy in front of a `cno` server: HTTP/1.1 and HTTP/2 to us, either from the client.

curl and h2load are the clients; the handlers report the requests that arrive.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cno
from cno.websocket import connect as websocket_to
from tests.interop.conftest import BIG, LARGE, App, running_app
from tests.peers import free_port, require
from tests.processes import Pair, Result, Running, run

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
    client_max_body_size 0;
    upstream app {{ server {app}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 200
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    http-reuse always
    option abortonclose
frontend clear
    bind 127.0.0.1:{clear}
    default_backend app
frontend secure
    bind 127.0.0.1:{secure} ssl crt {work}/both.pem alpn h2,http/1.1
    default_backend app
backend app
    server app {app} {options}
"""


class Proxy(NamedTuple):
    """A proxy, running: where clients go, and what it is."""

    clear: str
    secure: str
    authority: str
    http2: bool  # between it and us
    duplex: bool  # it passes a body on while the answer to it comes


def start(kind: str, work: Path, app: str, pair: Pair) -> tuple[Running, int, int]:
    clear, secure = free_port(), free_port()
    port = {"app": app.split("/")[2], "work": work, "clear": clear, "secure": secure, "pair": pair}
    config = work / "config"
    if kind == "nginx":
        config.write_text(NGINX.format(**port))
        args = [require("nginx"), "-p", str(work), "-c", str(config), "-e", "stderr"]
    else:
        (work / "both.pem").write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
        options = "proto h2" if kind.endswith("HTTP/2") else ""
        if app.startswith("https:"):
            options = f"ssl verify required ca-file {pair.authority} alpn h2"
        config.write_text(HAPROXY.format(options=options, **port))
        args = [require("haproxy"), "-db", "-f", str(config)]
    return Running(args), clear, secure


KINDS = ["nginx", "HAProxy HTTP/1.1", "HAProxy HTTP/2"]


@pytest.fixture(scope="module", params=KINDS)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, app: App, pair: Pair
) -> Iterator[Proxy]:
    kind: str = request.param
    running, clear, secure = start(kind, tmp_path_factory.mktemp("proxy"), app.clear, pair)
    with running:
        running.wait_listening(clear)
        yield Proxy(
            f"http://127.0.0.1:{clear}/",
            f"https://127.0.0.1:{secure}/",
            str(pair.authority),
            kind.endswith("HTTP/2"),
            kind != "nginx",  # 1.22 sometimes waits forever, whatever server is behind it
        )
        # Nothing was amiss with what we said, but where that was meant.
        assert [line for line in running.err if "GET /break " not in line] == []


class Client:
    """curl, by way of a proxy."""

    def __init__(self, proxy: Proxy, over: str) -> None:
        self.url = proxy.secure if over == "https HTTP/2" else proxy.clear
        self._args = ["-sS", "--max-time", "50", "--cacert", proxy.authority]
        self._args.append("--http2" if over == "https HTTP/2" else "--http1.1")
        self.version = "2" if over == "https HTTP/2" else "1.1"

    def __call__(self, path: str, *options: str) -> Result:
        return run(require("curl"), *self._args, *options, self.url + path, timeout=60)

    def ask(self, path: str, *options: str) -> tuple[int, bytes]:
        """The status, and the body."""
        result = self(path, *options, "-w", "%{stderr}%{http_code} %{http_version}")
        assert result.status == 0, result.stderr
        code, version = result.stderr.split()
        assert version == self.version
        return int(code), result.stdout


@pytest.fixture(params=["http HTTP/1.1", "https HTTP/2"])
def client(request: pytest.FixtureRequest, proxy: Proxy) -> Client:
    return Client(proxy, request.param)


def test_bodies(client: Client, proxy: Proxy, big: Path, big_sha256: str) -> None:
    """100 MB up, announced; as much down; some more that is not announced."""
    code, body = client.ask("sink", "-T", str(big))
    seen = json.loads(body)
    assert (code, seen["size"], seen["sha256"]) == (200, BIG, big_sha256)
    assert seen["http2"] == proxy.http2
    assert ["content-length", str(BIG)] in seen["headers"]
    for path, size in (("sized", BIG), ("stream", LARGE)):
        result = client(f"{path}/{size}", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")
        assert (result.status, result.text) == (0, f"200 {size}"), result.stderr


def test_chunked_uploads(client: Client, proxy: Proxy, site: Path) -> None:
    """Of unknown length: in HTTP/1.1 chunked, whichever side speaks it."""
    large = site / "large.bin"
    unknown = ["-H", "Transfer-Encoding: chunked"] if client.version == "1.1" else []
    unknown += ["-H", "Content-Length:"]
    code, body = client.ask("sink", "-T", str(large), *unknown)
    seen = json.loads(body)
    assert (code, seen["size"]) == (200, large.stat().st_size)
    assert not [name for name, _ in seen["headers"] if name == "content-length"]
    if proxy.duplex:
        # (The response begins before the body is read: nobody waits for a 100.)
        code, body = client.ask("echo", "-T", str(large), *unknown, "-H", "Expect:")
        assert (code, body) == (200, large.read_bytes())


def test_head(client: Client) -> None:
    for path, length in (("sized/12345", "12345"), ("stream/99", None)):
        result = client(path, "-I")
        assert result.status == 0, result.stderr
        assert re.match(rf"HTTP/{client.version} 200", result.text)
        found = re.search(r"^content-length: (\d+)\r$", result.text, re.M | re.I)
        assert (found and found[1]) == length


@pytest.mark.parametrize("code", [201, 204, 301, 304, 404, 416, 500, 503])
def test_statuses(client: Client, code: int) -> None:
    expected = b"" if code in (204, 304) else str(code).encode()
    assert client.ask(f"status/{code}") == (code, expected)


def test_fields(client: Client) -> None:
    """Many, long ones, several of one name."""
    fields = [part for n in range(50) for part in ("-H", f"x-{n}: {'v' * 100}")]
    several = ["-H", "x-twice: 1", "-H", "x-twice: 2", "-b", "a=1; b=2"]
    _, body = client.ask("sink", *fields, *several)
    headers = json.loads(body)["headers"]
    assert sum(value == "v" * 100 for _, value in headers) == 50
    assert [value for name, value in headers if name == "x-twice"] == ["1", "2"]
    assert [value for name, value in headers if name == "cookie"] == ["a=1; b=2"]


def test_failures(client: Client) -> None:
    """A handler that raises; a response that ends too early must not look complete."""
    assert client.ask("fail")[0] == 500
    for _ in range(3):
        assert client("break").status in (18, 92)
    assert client.ask("hello") == (200, b"hello, world\n")


def test_an_upload_that_is_refused(proxy: Proxy, big: Path) -> None:
    """By an answer that comes early, and the next request is none the worse."""
    client = Client(proxy, "http HTTP/1.1")
    for path in ("refuse", "refuse/100000"):
        for _ in range(3):
            code, body = client.ask(path, "-T", str(big))
            assert (code, body) == (413, b"too much\n")
        assert client.ask("hello") == (200, b"hello, world\n")


def test_many_requests(proxy: Proxy) -> None:
    """Over connections that are kept, many at once."""
    load(proxy.secure)


def load(url: str) -> None:
    options = ["-n", "3000", "-c", "10", "-m", "20"]
    result = run(require("h2load"), *options, url + "hello", timeout=60)
    assert "3000 succeeded, 0 failed, 0 errored" in result.text, result.text
    assert "status codes: 3000 2xx" in result.text


def test_tls_on_both_sides(tmp_path: Path, app: App, pair: Pair, site: Path) -> None:
    """HTTP/2 to the proxy and, agreed by ALPN, to us."""
    running, _, secure = start("HAProxy", tmp_path, app.secure, pair)
    with running:
        running.wait_listening(secure)
        url = f"https://127.0.0.1:{secure}/"
        load(url)
        args = ["-sS", "--cacert", str(pair.authority), "-T", str(site / "large.bin")]
        seen = json.loads(run(require("curl"), *args, url + "sink").stdout)
        assert (seen["size"], seen["http2"]) == (LARGE, True)


def test_connections_that_we_end(tmp_path: Path, pair: Pair) -> None:
    """After 50 requests each: no request is lost."""
    with running_app(pair, "--requests", "50") as brief:
        for kind in KINDS:
            work = tmp_path / re.sub(r"\W", "", kind)
            work.mkdir()
            running, _, secure = start(kind, work, brief.clear, pair)
            with running:
                running.wait_listening(secure)
                load(f"https://127.0.0.1:{secure}/")
                assert running.err == []


def test_a_client_of_ours(proxy: Proxy) -> None:
    """Both ends are ours: requests one after another, in HTTP/1.1, and many at once in HTTP/2."""

    async def ask(client: cno.Client, count: int) -> None:
        for _ in range(count):
            response = await client.request("POST", "/echo", data=b"x" * 1000)
            assert response.code == 200
            assert await response.payload.read() == b"x" * 1000

    async def main() -> None:
        context = cno.aio.tls.client_context(proxy.authority)
        for url, tasks, count in ((proxy.clear, 1, 300), (proxy.secure, 20, 30)):
            async with asyncio.timeout(60), await cno.connect(url, context) as client:
                assert client.is_http2 == (url == proxy.secure)
                await asyncio.gather(*(ask(client, count) for _ in range(tasks)))

    asyncio.run(main())


def test_websockets(proxy: Proxy, app: App) -> None:
    """Through HAProxy each side may be HTTP/1.1 (Upgrade) or HTTP/2 (extended CONNECT)."""
    if not proxy.duplex:
        return  # nginx knows them in HTTP/1.1 only, and has to be told

    async def main() -> None:
        context = cno.aio.tls.client_context(proxy.authority)
        for url in (proxy.clear, proxy.secure):
            async with asyncio.timeout(60), await cno.connect(url, context) as client:
                async with await websocket_to(client, "/websocket") as socket:
                    for size in (0, 5, 70_000, 500_000):
                        await socket.send(bytes(size))
                        assert await socket.receive() == bytes(size)

    method = "CONNECT" if proxy.http2 else "GET"
    before = app.said(f"^websocket {method}$")
    asyncio.run(main())
    assert app.said(f"^websocket {method}$") == before + 2


def test_connections_are_kept(proxy: Proxy) -> None:
    """Between the proxy and us, whatever becomes of its clients'."""
    client = Client(proxy, "http HTTP/1.1")
    result = client("sink", *[client.url + "sink"] * 499)
    peers = re.findall(r'"peer": (\d+)', result.text)
    assert len(peers) == 500
    # As many as there were requests at once in the test before: they take turns.
    assert len(set(peers)) <= 250


def test_a_client_that_goes_away(proxy: Proxy, app: App) -> None:
    """Its handler is cancelled, through either kind of proxy."""
    name = f"proxied{proxy.clear.rpartition(':')[2].rstrip('/')}"
    result = run(require("curl"), "-sS", "--max-time", "0.3", f"{proxy.clear}hang/{name}")
    assert result.status == 28
    app.running.wait_for(f"cancelled {name}")
