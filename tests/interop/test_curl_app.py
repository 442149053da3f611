"""curl against handlers of ours: large bodies both ways, expectations, refusals, reuse."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import BIG, LARGE, App
from tests.interop.curl import REUSING, WAYS, Way
from tests.peers import require
from tests.processes import Pair


@pytest.fixture(params=WAYS)
def curl(request: pytest.FixtureRequest, app: App, pair: Pair) -> Way:
    return Way(request.param, app.clear, app.secure, pair)


reusing = pytest.mark.parametrize("curl", REUSING, indirect=True)


def sunk(curl: Way, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What curl says of an upload, and what the handler says of it."""
    about, body = curl.ask("sink", *options)
    assert about["response_code"] == 200
    seen: dict[str, Any] = json.loads(body)
    assert seen["http2"] == (curl.version == "2")
    return about, seen


def test_large_uploads(curl: Way, big: Path, big_sha256: str) -> None:
    for options, method in ((["-T", str(big)], "PUT"), (["--data-binary", f"@{big}"], "POST")):
        about, seen = sunk(curl, *options)
        assert (seen["method"], seen["size"], seen["sha256"]) == (method, BIG, big_sha256)
        assert ["content-length", str(BIG)] in seen["headers"]
        assert about["size_upload"] == BIG


def test_an_upload_of_unknown_length(curl: Way, app: App) -> None:
    """From a pipe: chunked in HTTP/1.1."""
    data = bytes(range(256)) * 20_000
    way = WAYS["HTTP/1.1" if curl.version == "1.1" else "prior knowledge"][0]
    done = subprocess.run(
        [require("curl"), "-sS", *way, "-T", "-", app.clear + "sink"],
        input=data,
        capture_output=True,
        timeout=20,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert (seen["size"], seen["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert not [name for name, _ in seen["headers"] if name == "content-length"]


def test_up_and_down_at_once(curl: Way, big: Path, big_sha256: str, tmp_path: Path) -> None:
    """100 MB there and back again."""
    result = curl("echo", "-T", str(big), "-o", str(tmp_path / "back"))
    assert result.status == 0, result.stderr
    assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == big_sha256


def test_large_downloads(curl: Way) -> None:
    for path, announced in ((f"sized/{BIG}", str(BIG)), (f"stream/{BIG}", None)):
        about, body = curl.ask(path)
        assert (about["response_code"], len(body)) == (200, BIG)
        assert body.count(0) == BIG
        assert about["fields"].get("content-length") == announced
        framing = about["fields"].get("transfer-encoding")
        assert (framing == "chunked") == (announced is None and curl.version == "1.1")


def test_slow_reading(curl: Way) -> None:
    """A client that takes its time gets everything."""
    about, body = curl.ask("stream/2000000", "--limit-rate", "4M")
    assert (about["response_code"], len(body)) == (200, 2_000_000)


def test_expectations(curl: Way, site: Path) -> None:
    """Whether curl waits for the 100, does not wait long enough, or does not ask for one."""
    large = site / "large.bin"
    expected = (LARGE, hashlib.sha256(large.read_bytes()).hexdigest())
    expect = ["-H", "Expect: 100-continue"]
    for options in (
        [*expect, "--expect100-timeout", "30"],
        [*expect, "--expect100-timeout", "0.001"],
        ["-H", "Expect:"],
    ):
        about, seen = sunk(curl, "-T", str(large), *options)
        assert (seen["size"], seen["sha256"]) == expected, options
        assert about["time_total"] < 25
    if curl.version == "1.1":  # over HTTP/2 it sends the body at once
        result = curl("sink", "-T", str(large), *expect, "--expect100-timeout", "30", "-v")
        assert result.stderr.count("< HTTP/1.1 100") == 1


@pytest.mark.parametrize("curl", ["HTTP/1.1", "HTTP/1.1 over TLS"], indirect=True)
def test_an_upload_that_is_refused_costs_nothing(curl: Way, big: Path) -> None:
    """Before any of it was sent. (Over HTTP/2, curl sends the body at once.)"""
    about, body = curl.ask("refuse", "-T", str(big), "--expect100-timeout", "30")
    assert (about["response_code"], about["size_upload"], body) == (413, 0, b"too much\n")


def test_an_upload_that_is_refused_midway(curl: Way, big: Path) -> None:
    """curl 7.88 reads no response of an HTTP/2 stream that is reset while it is sending."""
    for path in ("refuse", "refuse/100000"):
        for _ in range(3):
            about, body = curl.ask(path, "-T", str(big), "-H", "Expect:")
            assert (about["response_code"], body) == (413, b"too much\n")
            assert about["size_upload"] < BIG / 2
            assert about["time_total"] < 10


def test_head(curl: Way) -> None:
    for path, length in (("sized/12345", "12345"), ("stream/99", None), ("trailers", None)):
        about, _ = curl.ask(path, "-I")
        assert (about["response_code"], about["size_download"]) == (200, 0)
        assert about["fields"].get("content-length") == length


def test_trailers(curl: Way) -> None:
    result = curl("trailers", "-D", "-", "-o", "/dev/null")
    assert result.status == 0, result.stderr
    head, _, rest = result.text.partition("\r\n\r\n")
    assert "\r\ntrailer: x-sum, x-end" in head
    assert rest.split() == ["x-sum:", "1", "x-end:", "2"]


def test_hints(curl: Way) -> None:
    result = curl("hints", "-i")
    assert result.status == 0, result.stderr
    early, final, body = result.text.split("\r\n\r\n")
    version = "HTTP/" + curl.version
    assert early.startswith(f"{version} 103")
    assert "\r\nlink: </style.css>; rel=preload; as=style" in early
    assert final.startswith(f"{version} 200")
    assert body == "after hints\n"


def test_failures(curl: Way) -> None:
    """A handler that raises before it answers, and one that raises in the middle."""
    assert curl.ask("fail")[0]["response_code"] == 500
    result = curl("break")
    assert result.status == (92 if curl.version == "2" else 18), result.stderr


@pytest.mark.parametrize("code", [200, 201, 204, 301, 304, 404, 500])
@reusing
def test_statuses(curl: Way, code: int) -> None:
    about, body = curl.ask(f"status/{code}")
    assert about["response_code"] == code
    assert body == (b"" if code in (204, 304) else str(code).encode())


@reusing
def test_uploads_over_one_connection(curl: Way, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(300_000))
    upload = ["--data-binary", f"@{tmp_path / 'data'}"]
    more = [part for _ in range(9) for part in (curl.url + "sink", "-o", "/dev/null")]
    result = curl("sink", "-o", "/dev/null", *upload, *more, "-w", "%{http_code} %{num_connects}\n")
    assert result.status == 0, result.stderr
    lines = result.text.split("\n")[:-1]
    assert [line.split()[0] for line in lines] == ["200"] * 10
    assert sum(int(line.split()[1]) for line in lines) == 1


@reusing
def test_in_parallel(curl: Way, tmp_path: Path) -> None:
    """60 at once: 20 connections of HTTP/1.1, one of HTTP/2."""
    config = "".join(
        f'url = "{curl.url}stream/{100_000 + n}"\noutput = "{tmp_path / str(n)}"\n'
        for n in range(60)
    )
    (tmp_path / "config").write_text(config)
    parallel = ["-Z", "--parallel-max", "60" if curl.version == "2" else "20"]
    result = curl(
        "hello", *parallel, "-K", str(tmp_path / "config"), "-o", "/dev/null",
        "-w", "%{http_code} %{http_version} %{num_connects}\n",
    )  # fmt: skip
    assert result.status == 0, result.stderr
    lines = [line.split() for line in result.text.split("\n") if line]
    assert [line[:2] for line in lines] == [["200", curl.version]] * 61
    assert [(tmp_path / str(n)).stat().st_size for n in range(60)] == list(range(100_000, 100_060))
    if curl.version == "2":
        assert sum(int(line[2]) for line in lines) == 1
