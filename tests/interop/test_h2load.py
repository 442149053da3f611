"""h2load, nghttp2's load generator, against `cno serve` and a handler: all answers are good."""

import re
from pathlib import Path

import pytest

import cno
from tests.interop.conftest import App
from tests.peers import require
from tests.processes import Served, run


@pytest.mark.parametrize("options", [[], ["--h1"]], ids=["HTTP/2", "HTTP/1.1"])
def test_every_request_is_answered(clear: Served, options: list[str]) -> None:
    if options:
        load = ["-n", "2000", "-c", "10", *options]
    else:
        load = ["-n", "10000", "-c", "10", "-m", "20"]
    all_good(load, clear.url + "hello.txt")


@pytest.mark.parametrize(
    ("options", "share"), [(["-m", "100"], 1), (["--h1"], 2)], ids=["HTTP/2", "HTTP/1.1"]
)
def test_a_handler_under_load(app: App, options: list[str], share: int) -> None:
    """100,000 requests for the compiled build; the sources get what takes about as long."""
    total = (100_000 if cno.COMPILED else 40_000) // share
    all_good(["-n", str(total), "-c", "20", *options], app.clear + "hello")


def test_uploads_side_by_side(app: App, site: Path) -> None:
    load = ["-n", "40", "-c", "4", "-m", "5", "-d", str(site / "large.bin")]
    all_good(load, app.clear + "sink")


def all_good(load: list[str], url: str) -> None:
    """Every single request is answered with 200."""
    total = load[1]
    result = run(require("h2load"), *load, url, timeout=60)
    assert result.status == 0, result.stderr
    assert re.search(
        rf"requests: {total} total, {total} started, {total} done, {total} succeeded, "
        r"0 failed, 0 errored, 0 timeout",
        result.text,
    ), result.text
    assert f"status codes: {total} 2xx, 0 3xx, 0 4xx, 0 5xx" in result.text


def test_large_files_side_by_side(secure: Served) -> None:
    load = ["-n", "40", "-c", "4", "-m", "5"]
    result = run(require("h2load"), *load, secure.url + "large.bin", timeout=60)
    assert "40 succeeded, 0 failed, 0 errored" in result.text, result.text
    assert re.search(r"traffic: .* \(200000680\) data", result.text), result.text
