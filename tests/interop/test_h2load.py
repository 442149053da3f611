"""h2load, nghttp2's load generator, against `cno serve`: every answer is good under load."""

import re

import pytest

from tests.peers import require
from tests.processes import Served, run


@pytest.mark.parametrize("options", [[], ["--h1"]], ids=["HTTP/2", "HTTP/1.1"])
def test_every_request_is_answered(clear: Served, options: list[str]) -> None:
    if options:
        load = ["-n", "2000", "-c", "10", *options]
    else:
        load = ["-n", "10000", "-c", "10", "-m", "20"]
    total = load[1]
    result = run(require("h2load"), *load, clear.url + "hello.txt", timeout=50)
    assert result.status == 0, result.stderr
    assert re.search(
        rf"requests: {total} total, {total} started, {total} done, {total} succeeded, "
        r"0 failed, 0 errored, 0 timeout",
        result.text,
    ), result.text
    assert f"status codes: {total} 2xx, 0 3xx, 0 4xx, 0 5xx" in result.text


def test_large_files_side_by_side(secure: Served) -> None:
    load = ["-n", "40", "-c", "4", "-m", "5"]
    result = run(require("h2load"), *load, secure.url + "large.bin", timeout=50)
    assert "40 succeeded, 0 failed, 0 errored" in result.text, result.text
    assert re.search(r"traffic: .* \(200000680\) data", result.text), result.text
