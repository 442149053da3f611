"""`cno get` from nghttpd, nghttp2's server: HTTP/2 in clear text, and what it pushes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import free_port, require
from tests.processes import Running, cno


@pytest.fixture(scope="module")
def nghttpd(site: Path) -> Iterator[str]:
    port = free_port()
    args = [require("nghttpd"), "--no-tls", "-a", "127.0.0.1", "-d", str(site)]
    with Running([*args, "--push", "/hello.txt=/style.css,/none", str(port)]) as running:
        running.wait_listening(port)
        yield f"http://127.0.0.1:{port}"


def test_prior_knowledge(nghttpd: str, site: Path) -> None:
    result = cno("get", "--http2", f"{nghttpd}/large.bin", f"{nghttpd}/style.css")
    assert result.status == 0, result.stderr
    expected = (site / "large.bin").read_bytes() + (site / "style.css").read_bytes()
    assert result.stdout == expected
    assert cno("get", nghttpd.replace("http:", "h2c:") + "/style.css").status == 0


def test_pushes_are_shown(nghttpd: str, site: Path) -> None:
    result = cno("get", "--http2", "-i", f"{nghttpd}/hello.txt")
    assert result.status == 0
    assert result.text.startswith("HTTP/2 200\r\n")
    assert result.text.endswith("\r\n\r\nhello, world\n")
    lines = result.stderr.splitlines()
    size = (site / "style.css").stat().st_size
    assert "* promised GET /style.css" in lines
    assert any(
        line.startswith("* pushed GET /style.css: 200, ") and line.endswith(f", {size} bytes")
        for line in lines
    )
    assert any(line.startswith("* pushed GET /none: 404, ") for line in lines)
    assert len(lines) == 4


def test_pushes_nobody_would_see_are_not_taken(nghttpd: str) -> None:
    result = cno("get", "--http2", f"{nghttpd}/hello.txt")
    assert (result.status, result.stdout, result.stderr) == (0, b"hello, world\n", "")


def test_not_http2(nghttpd: str) -> None:
    """HTTP/1.1 to a server that speaks none: an error in a line."""
    result = cno("get", f"{nghttpd}/hello.txt")
    assert result.status in (1, 7)  # nghttpd may speak first
    assert len(result.stderr.splitlines()) == 1, result.stderr
