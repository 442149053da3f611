"""`cno get` from nginx: HTTP/1.1 in clear text, HTTP/2 over TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.conftest import LARGE
from tests.peers import free_port, require
from tests.processes import Pair, Running, cno

CONFIG = """
daemon off;
master_process off;
pid {work}/pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {work}/a;
    proxy_temp_path {work}/b;
    fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d;
    scgi_temp_path {work}/e;
    types {{ text/plain txt; text/css css; }}
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        root {site};
        location /moved {{ return 302 /hello.txt; }}
        location /away {{ return 302 http://localhost:{clear}/echo; }}
        location /round {{ return 301 /round; }}
        location /echo {{ return 200 "$request_method $http_authorization $http_x_mine.\\n"; }}
        location /post {{ return 303 /echo; }}
        location /closing {{ keepalive_timeout 0; return 200 "closing\n"; }}
        location /keep {{ return 307 /echo; }}
        location /ftp {{ return 302 ftp://127.0.0.1/; }}
        location = /escape {{ return 200 "a\\x1b[31mb\\n"; }}
    }}
}}
"""


class Nginx(NamedTuple):
    clear: str
    secure: str
    authority: str


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, site: Path, pair: Pair) -> Iterator[Nginx]:
    program = require("nginx")
    work = tmp_path_factory.mktemp("nginx")
    clear, secure = free_port(), free_port()
    text = CONFIG.format(work=work, clear=clear, secure=secure, pair=pair, site=site)
    (work / "nginx.conf").write_text(text)
    args = [program, "-p", str(work), "-c", str(work / "nginx.conf"), "-e", "stderr"]
    with Running(args) as running:
        running.wait_listening(clear)
        yield Nginx(f"http://127.0.0.1:{clear}", f"https://127.0.0.1:{secure}", str(pair.authority))


def test_clear_text_is_http1(nginx: Nginx) -> None:
    result = cno("get", "-i", f"{nginx.clear}/hello.txt")
    assert (result.status, result.stderr) == (0, "")
    head, _, body = result.text.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\ncontent-length: 13\r\n" in head
    assert body == "hello, world\n"


def test_tls_is_http2(nginx: Nginx) -> None:
    result = cno("get", "-v", "--cacert", nginx.authority, f"{nginx.secure}/hello.txt")
    assert (result.status, result.stdout) == (0, b"hello, world\n")
    assert "ALPN h2" in result.stderr
    assert "< HTTP/2 200\n" in result.stderr


def test_versions_can_be_insisted_on(nginx: Nginx) -> None:
    url = f"{nginx.secure}/hello.txt"
    result = cno("get", "-v", "--http1.1", "-k", url)
    assert (result.status, result.stdout) == (0, b"hello, world\n")
    assert "< HTTP/1.1 200 OK\n" in result.stderr
    assert "< HTTP/2 200\n" in cno("get", "-v", "--http2", "-k", url).stderr


def test_trust(nginx: Nginx) -> None:
    result = cno("get", f"{nginx.secure}/hello.txt")
    assert (result.status, result.stdout) == (60, b"")
    assert result.stderr.startswith("cno: cannot connect to 127.0.0.1:")
    assert "certificate is not trusted" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("scheme", ["clear", "secure"])
def test_several_in_the_order_given(nginx: Nginx, site: Path, scheme: str) -> None:
    url = getattr(nginx, scheme)
    names = ["hello.txt", "large.bin", "style.css", "large.bin", "large.bin", "large.bin"]
    names += ["hello.txt"] * 10
    result = cno("get", "-v", "-k", *(f"{url}/{name}" for name in names))
    assert result.status == 0
    assert result.stdout == b"".join((site / name).read_bytes() for name in names)
    assert result.stderr.count("* connected to") == 1


@pytest.mark.parametrize("scheme", ["clear", "secure"])
def test_a_connection_that_ends_is_made_again(nginx: Nginx, scheme: str) -> None:
    url = getattr(nginx, scheme)
    result = cno("get", "-k", *[f"{url}/closing"] * 5)
    assert (result.status, result.text) == (0, "closing\n" * 5), result.stderr


def test_saving_several(nginx: Nginx, site: Path, tmp_path: Path) -> None:
    names = ["large.bin", "hello.txt", "style.css", "sub/page.html", "hello.txt"]
    result = cno("get", "-k", "-O", *(f"{nginx.secure}/{name}" for name in names), cwd=tmp_path)
    assert (result.status, result.stdout, result.stderr) == (0, b"", "")
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {
        **{Path(name).name: (site / name).read_bytes() for name in names},
        "hello.txt.1": (site / "hello.txt").read_bytes(),
    }


def test_output(nginx: Nginx, site: Path, tmp_path: Path) -> None:
    result = cno("get", "-o", "x", f"{nginx.clear}/large.bin", cwd=tmp_path)
    assert (result.status, result.stdout, result.stderr) == (0, b"", "")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == (site / "large.bin").read_bytes()


@pytest.mark.parametrize("scheme", ["clear", "secure"])
def test_head(nginx: Nginx, scheme: str) -> None:
    result = cno("get", "-I", "-k", getattr(nginx, scheme) + "/large.bin")
    assert result.status == 0
    assert f"\r\ncontent-length: {LARGE}\r\n" in result.text
    assert result.text.endswith("\r\n\r\n")


def test_status_is_no_failure_unless_asked(nginx: Nginx) -> None:
    url = f"{nginx.clear}/none"
    assert cno("get", url).status == 0
    result = cno("get", "-f", url)
    assert (result.status, result.stdout) == (22, b"")
    assert result.stderr == f"cno: {url}: status 404\n"


@pytest.mark.parametrize("scheme", ["clear", "secure"])
def test_redirects(nginx: Nginx, scheme: str) -> None:
    url = getattr(nginx, scheme)
    version = "HTTP/2 302" if scheme == "secure" else "HTTP/1.1 302 "
    assert cno("get", "-k", "-i", f"{url}/moved").text.splitlines()[0].startswith(version)
    several = [f"{url}/{name}" for name in ("moved", "moved", "hello.txt", "moved")]
    result = cno("get", "-k", "-L", *several)
    assert (result.status, result.stdout) == (0, b"hello, world\n" * 4)
    result = cno("get", "-k", "-L", f"{url}/round")
    assert (result.status, result.stdout) == (47, b"")
    assert result.stderr == f"cno: {url}/round: more than 50 redirects\n"
    result = cno("get", "-k", "-L", f"{url}/ftp")
    assert result.status == 1 and "neither http: nor https:" in result.stderr


def test_redirects_and_methods(nginx: Nginx) -> None:
    mine = ["-H", "Authorization: s3cret", "-H", "X-Mine: yes"]
    assert cno("get", *mine, f"{nginx.clear}/echo").text == "GET s3cret yes.\n"
    assert cno("get", *mine, "-d", "x", f"{nginx.clear}/echo").text == "POST s3cret yes.\n"
    assert cno("get", *mine, "-L", "-d", "x", f"{nginx.clear}/post").text == "GET s3cret yes.\n"
    assert cno("get", *mine, "-L", "-d", "x", f"{nginx.clear}/keep").text == "POST s3cret yes.\n"
    # To another host (another name of the same one will do) no credentials go along.
    assert cno("get", *mine, "-L", f"{nginx.clear}/away").text == "GET  yes.\n"


def test_methods_and_data(nginx: Nginx, tmp_path: Path) -> None:
    assert cno("get", "-X", "DELETE", f"{nginx.clear}/echo").text == "DELETE  .\n"
    (tmp_path / "data").write_bytes(bytes(300_000))
    result = cno("get", "-k", "-d", f"@{tmp_path / 'data'}", f"{nginx.secure}/echo")
    assert (result.status, result.text) == (0, "POST  .\n")
