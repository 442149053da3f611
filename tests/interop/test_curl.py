"""curl against `cno serve`: both protocols, in clear text and over TLS."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.interop.curl import REUSING, WAYS, Way
from tests.peers import require
from tests.processes import Pair, Served, run, serving


@pytest.fixture(params=WAYS)
def curl(request: pytest.FixtureRequest, clear: Served, secure: Served, pair: Pair) -> Way:
    return Way(request.param, clear.url, secure.url, pair)


def test_a_file(curl: Way) -> None:
    about, body = curl.ask("hello.txt")
    assert (about["response_code"], body) == (200, b"hello, world\n")
    assert about["fields"]["content-type"] == "text/plain; charset=utf-8"
    assert about["fields"]["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_large_file_is_whole(curl: Way, site: Path) -> None:
    _, body = curl.ask("large.bin")
    expected = (site / "large.bin").read_bytes()
    assert hashlib.sha256(body).digest() == hashlib.sha256(expected).digest()


def test_ranges(curl: Way, site: Path) -> None:
    large = (site / "large.bin").read_bytes()
    about, body = curl.ask("large.bin", "-r", "1000000-1299999")
    assert (about["response_code"], body) == (206, large[1_000_000:1_300_000])
    assert about["fields"]["content-range"] == f"bytes 1000000-1299999/{len(large)}"
    assert curl.ask("hello.txt", "-r", "-6")[1] == b"world\n"
    about, body = curl.ask("large.bin", "-r", "0-1,-1")
    assert about["response_code"] == 206
    assert about["content_type"].startswith("multipart/byteranges; boundary=")
    assert body.count(b"\r\ncontent-range: ") == 2
    about, _ = curl.ask("hello.txt", "-r", "100-")
    assert (about["response_code"], about["fields"]["content-range"]) == (416, "bytes */13")


def test_resumption(curl: Way, site: Path, tmp_path: Path) -> None:
    large = (site / "large.bin").read_bytes()
    (tmp_path / "part").write_bytes(large[:4_000_000])
    result = curl("large.bin", "-C", "-", "-o", str(tmp_path / "part"))
    assert result.status == 0, result.stderr
    assert (tmp_path / "part").read_bytes() == large


def test_conditions(curl: Way, tmp_path: Path) -> None:
    etag = tmp_path / "etag"
    assert curl.ask("hello.txt", "--etag-save", str(etag))[0]["response_code"] == 200
    about, body = curl.ask("hello.txt", "--etag-compare", str(etag))
    assert (about["response_code"], body) == (304, b"")
    since = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert curl.ask("hello.txt", "-z", since)[0]["response_code"] == 304
    for condition, code in ((since, 200), ("Sun, 06 Nov 1994 08:49:36 GMT", 412)):
        about, _ = curl.ask("hello.txt", "-H", f"If-Unmodified-Since: {condition}")
        assert about["response_code"] == code
    about, _ = curl.ask("hello.txt", "-H", 'If-Match: "other"')
    assert about["response_code"] == 412


def test_head(curl: Way, site: Path) -> None:
    about, _ = curl.ask("large.bin", "-I")
    assert about["response_code"] == 200
    assert about["fields"]["content-length"] == str((site / "large.bin").stat().st_size)
    assert about["size_download"] == 0


def test_an_upload_is_refused(curl: Way, site: Path) -> None:
    uploads = [["-d", "x=1"], ["--data-binary", f"@{site / 'large.bin'}"]]
    for upload in uploads:
        about, _ = curl.ask("hello.txt", *upload)
        assert about["response_code"] == 405
        assert about["fields"]["allow"] == "GET, HEAD, OPTIONS"
    about, _ = curl.ask("hello.txt", "-X", "OPTIONS")
    assert about["response_code"] == 204


def test_folders(curl: Way) -> None:
    about, _ = curl.ask("sub")
    assert (about["response_code"], about["redirect_url"]) == (308, curl.url + "sub/")
    about, body = curl.ask("sub/")
    assert about["response_code"] == 200
    assert re.findall(rb'<td><a [^>]*href="([^"?]*)"', body) == [b"../", b"./page.html"]


def test_what_is_not_there(curl: Way) -> None:
    for path, code in (
        ("none", 404),
        ("../hello.txt", 400),
        ("%2e%2e/hello.txt", 400),
        ("/hello.txt", 404),
        ("hello.txt%00", 400),
    ):
        assert curl.ask(path)[0]["response_code"] == code, path


reusing = pytest.mark.parametrize("curl", REUSING, indirect=True)


@reusing
def test_a_redirect_is_followed(curl: Way) -> None:
    about, body = curl.ask("sub", "-L")
    assert (about["response_code"], about["num_connects"]) == (200, 1)
    assert b"page.html" in body


@reusing
def test_many_over_one_connection(curl: Way, site: Path) -> None:
    url = curl.url
    names = ["hello.txt", "large.bin", "none", "style.css"] * 5
    options = [part for name in names[1:] for part in (url + name, "-o", "/dev/null")]
    result = curl(
        names[0], "-o", "/dev/null", *options, "-w", "%{http_code} %{num_connects} %{exitcode}\n"
    )
    assert result.status == 0, result.stderr
    lines = result.text.split("\n")
    codes = [int(line.split()[0]) for line in lines if line]
    assert sorted(codes) == sorted(404 if name == "none" else 200 for name in names)
    assert sum(int(line.split()[1]) for line in lines if line) == 1


def test_self_signed(site: Path) -> None:
    curl = require("curl")
    with serving(site, "--self-signed") as served:
        for host in ("127.0.0.1", "localhost"):
            url = f"https://{host}:{served.port}/hello.txt"
            result = run(curl, "-sS", "-4", "-k", "-w", "%{stderr}%{http_version}", url)
            assert (result.stdout, result.stderr) == (b"hello, world\n", "2")
        assert run(curl, "-sS", served.url).status == 60  # and it is trusted by nobody
