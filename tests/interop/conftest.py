"""Shared servers: `cno serve` for a folder, and `app.py`, in clear text and over TLS.

They run once for all tests. A large file is made once, too.
"""

import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import PATIENCE, Pair, Running, Served, certificate, serving

LARGE = 5_000_017
BIG = 100_000_000
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


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 100 MB in which no two parts are alike."""
    path = tmp_path_factory.mktemp("big") / "big.bin"
    path.write_bytes(random.Random(1).randbytes(BIG))
    return path


@pytest.fixture(scope="session")
def big_sha256(big: Path) -> str:
    return hashlib.sha256(big.read_bytes()).hexdigest()


class App(NamedTuple):
    """`app.py`, running. Its URLs end in a slash."""

    clear: str
    secure: str
    running: Running

    def said(self, pattern: str) -> int:
        """How many lines it has written so far that match this."""
        return len(self._matches(pattern))

    def wait_for(self, pattern: str, count: int) -> re.Match[str]:
        """The match of the line that is the so-manieth to match this."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self._matches(pattern)
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in {self.running.out[-30:]}")

    def _matches(self, pattern: str) -> list[re.Match[str]]:
        tried = [re.search(pattern, line) for line in list(self.running.out)]
        return [match for match in tried if match is not None]


@pytest.fixture(scope="session")
def app(pair: Pair) -> Iterator[App]:
    with running_app(pair) as app:
        yield app


@contextmanager
def running_app(pair: Pair, *options: str) -> Iterator[App]:
    program = Path(__file__).with_name("app.py")
    args: list[str | Path] = [sys.executable, program, "--cert", pair.cert, "--key", pair.key]
    args += options
    with Running(args) as running:
        clear = running.wait_for(r"at (http://.*)")[1]
        secure = running.wait_for(r"at (https://.*)")[1]
        yield App(clear, secure, running)
        assert running.stop() == 0, running.err
        assert running.err == []
        # What fails there was meant to.
        assert all("on purpose" in line for line in running.out if line.startswith("failed:"))
