"""A folder to serve, and `cno serve` for it in clear text and over TLS, once for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Pair, Served, certificate, serving

LARGE = 5_000_017
OLD = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as a site has them, a few of them odd."""
    root = tmp_path_factory.mktemp("site")
    (root / "sub").mkdir()
    contents = {
        "hello.txt": b"hello, world\n",
        "large.bin": os.urandom(LARGE),
        "style.css": b"h1 { color: red }\n",
        "sub/page.html": b"<!doctype html><title>page</title>\n",
        "protocol.html": (
            b"<!doctype html><meta charset=utf-8><link rel=stylesheet href=style.css><p id=p>?</p>"
            b"<script>const e = performance.getEntriesByType('navigation')[0];"
            b"document.getElementById('p').textContent = 'over ' + e.nextHopProtocol;</script>\n"
        ),
    }
    for name, data in contents.items():
        (root / name).write_bytes(data)
        os.utime(root / name, (OLD, OLD))
    return root


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def clear(site: Path) -> Iterator[Served]:
    with serving(site) as served:
        yield served


@pytest.fixture(scope="session")
def secure(site: Path, pair: Pair) -> Iterator[Served]:
    with serving(site, "--cert", str(pair.cert), "--key", str(pair.key)) as served:
        yield served
