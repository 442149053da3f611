"""The README is true: its examples run, and print what they should.

Each code block of the file is run as a separate program.
"""

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import free_port
from tests.tree import PACKAGE, ROOT

TEXT = ROOT.joinpath("README.md").read_text("utf-8")
EXAMPLES = re.findall(r"^## ([^\n]+)\n+```python\n(.+?)^```", TEXT, re.DOTALL | re.MULTILINE)
SOURCES = dict(EXAMPLES)


def source(title: str, port: int = 8000) -> str:
    """Return an example, on another port."""
    return str(SOURCES[title]).replace("8000", str(port))


@contextmanager
def running(
    command: list[str], port: int, folder: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a server example, and wait until it listens."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_a_few_short_examples() -> None:
    titles = [title for title, _ in EXAMPLES]
    assert titles == ["An ASGI application", "A server", "A client"]
    for _, code in EXAMPLES:
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 16, "an example is to be taken in at a glance"


def test_it_is_short() -> None:
    text, _, figures = TEXT.partition("## How fast")
    assert len(text.splitlines()) < 102  # two screens of 1080 pixels, as GitHub shows it
    assert len(figures.splitlines()) < 25


def test_asgi(tmp_path: Path) -> None:
    """The application, by the commands of the page; on another port."""
    port = free_port()
    tmp_path.joinpath("module.py").write_text(source("An ASGI application"), "utf-8")
    serve, get, waterfall = [
        [sys.executable, "-m", "cno", *shlex.split(line.replace("8000", str(port)))[1:]]
        for line in commands()[2].splitlines()
    ]
    with running([*serve, "--port", str(port)], port, tmp_path):
        for command, shown in ((get, "200"), (waterfall, "data")):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.stdout == "Hello from ASGI!\n"
            assert shown in done.stderr


def test_server_and_client() -> None:
    port = free_port()
    with running([sys.executable, "-c", source("A server", port)], port):
        assert run(source("A client", port)) == "200 Hello, Ada!\n\n"


@pytest.mark.parametrize("path", re.findall(r"(?:\]\(|src=\")([\w./-]+)", TEXT))
def test_links(path: str) -> None:
    assert ROOT.joinpath(path).exists()


def test_the_files_that_contributing_names_exist() -> None:
    text = ROOT.joinpath("CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`(cno/[\w/]+\.py)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not PACKAGE.parent.joinpath(path).exists()] == []


def test_the_functions_that_contributing_names_exist() -> None:
    text = ROOT.joinpath("CONTRIBUTING.md").read_text("utf-8")
    found = re.findall(r"`(\w+)`(?: and `(\w+)`)? in `(cno/[\w/]+\.py)`", text)
    assert len(found) >= 7
    for *functions, path in found:
        source = PACKAGE.parent.joinpath(path).read_text("utf-8")
        for name in filter(None, functions):
            assert re.search(rf"^ *def {name}\(", source, re.MULTILINE), (path, name)


def commands() -> list[str]:
    return re.findall(r"^```sh\n(.+?)\n```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_commands_are_those_that_ci_runs() -> None:
    wheel, checkout, application = commands()
    assert wheel.startswith("pip install './cno-")
    assert ".venv/bin/cno serve" in checkout
    assert application.splitlines()[0] == "cno serve module:app --self-signed"
