"""The README is true: its examples run, and print what they should.

Each code block of the file is run as a separate program.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
def running(code: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run a server example, and wait until it listens."""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
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
    titles = ["A request", "A server", "An ASGI application"]
    titles += ["A client", "A pool", "Bounds", "The engine alone"]
    assert [title for title, _ in EXAMPLES] == titles
    for _, code in EXAMPLES:
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 16, "an example is to be taken in at a glance"


def test_asgi() -> None:
    port = free_port()
    with running(source("An ASGI application", port), port):
        assert run(source("A request", port)) == "200 Hello from ASGI!\n\n"


def test_server_and_client() -> None:
    port = free_port()
    with running(source("A server", port), port):
        assert run(source("A request", port)) == "200 Hello, World!\n\n"
        assert run(source("A client", port)).splitlines() == [
            "200 b'Hello, Ada!\\n'",
            "200 b'Hello, Grace!\\n'",
        ]
        assert run(source("A pool", port)) == "200 b'Hello, Ada!\\n'\n"


def test_bounds() -> None:
    assert run(source("Bounds") + "print(PATIENT)") == (
        "Limits(response_timeout=None, body_timeout=None)\n"
    )


def test_engine() -> None:
    printed = run(source("The engine alone"))
    answer = eval(printed)  # a bytes literal
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 3" in head
    assert body == b"hi\n"


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./]+)\)", TEXT))
def test_links(path: str) -> None:
    assert ROOT.joinpath(path).exists()


def test_the_files_that_contributing_names_exist() -> None:
    text = ROOT.joinpath("CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`(cno/[\w/]+\.py)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not PACKAGE.parent.joinpath(path).exists()] == []


def test_the_commands_are_those_that_ci_runs() -> None:
    commands = re.findall(r"^```sh\n(.+?)\n```", TEXT, re.DOTALL | re.MULTILINE)
    assert len(commands) == 3
    assert commands[2].splitlines()[1] == "cno serve module:app --self-signed"
    assert commands[1] == ".ci/run"
    assert ".venv/bin/cno serve" in commands[0]
