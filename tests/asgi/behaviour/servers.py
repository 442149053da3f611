"""The servers that are compared, and answers over HTTP/1.1 as bytes.

Knows how each server is started. Must never know the cases.
"""

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from tests.peers import free_port
from tests.processes import ENVIRONMENT, Running
from tests.tree import ROOT

APP: Final = "tests.asgi.behaviour.app:app"
SERVERS: Final = ("cno", "uvicorn", "hypercorn", "granian")
#: Seconds after which a server that is silent is taken to wait.
PATIENCE: Final = 3.0


def command(name: str, port: int) -> list[str]:
    run = [sys.executable, "-m"]
    if name == "cno":
        return [*run, "cno", "serve", APP, "--port", str(port), "--quiet"]
    if name == "uvicorn":
        return [*run, "uvicorn", APP, "--port", str(port), "--log-level", "critical"]
    if name == "hypercorn":
        return [*run, "hypercorn", APP, "--bind", f"127.0.0.1:{port}", "--log-level", "CRITICAL"]
    return [*run, "granian", "--interface", "asgi", "--port", str(port), "--no-log", APP]


class Server:
    """A server that runs. Requests to it are bytes, and so are its answers."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def ask(self, path: str, *fields: str, method: str = "GET", version: str = "1.1") -> "Answer":
        """Send a request, and receive its response; then another one, if the connection is kept."""
        with self.connect() as sock:
            sock.sendall(request(path, *fields, method=method, version=version))
            return receive(sock, method == "HEAD")

    def note(self, name: str) -> Any:
        """Return what the application has noted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.ask(f"/notes?{name}").value()
            if found:
                return found
            time.sleep(0.02)
        return ""


def request(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: test", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def receive(sock: socket.socket, bodiless: bool = False) -> "Answer":
    """Receive a response, and look whether the connection is kept for another request."""
    answer = Answer(bodiless)
    answer.more(sock)
    if answer.is_whole() and not answer.closed:
        answer.probe(sock)
    return answer


class Answer:
    """Bytes of a response, and whether the connection was closed behind them."""

    def __init__(self, bodiless: bool = False) -> None:
        self.data = b""
        self.closed = False
        self.bodiless = bodiless

    def more(self, sock: socket.socket) -> None:
        """Receive until the response is whole, the connection closed, or the server silent."""
        sock.settimeout(PATIENCE)
        with suppress(TimeoutError):
            while not self.is_whole():
                self._receive(sock)
                if self.closed:
                    break

    def probe(self, sock: socket.socket) -> None:
        """Ask for something else: what comes before its answer belongs to this response."""
        other = request("/plain")
        try:
            sock.sendall(other)
            with suppress(TimeoutError):
                while not self.closed and b"\r\n\r\nplain" not in self.data:
                    self._receive(sock)
        except OSError:
            self.closed = True
        end = re.search(rb"HTTP/1\.1 200 (?:(?!HTTP/1).)*\r\n\r\nplain$", self.data, re.S)
        if end is not None and end.start() > 0:
            self.data = self.data[: end.start()]

    def _receive(self, sock: socket.socket) -> None:
        try:
            piece = sock.recv(65_536)
        except TimeoutError:
            raise
        except OSError:
            piece = b""
        self.data += piece
        self.closed = not piece

    @property
    def interim(self) -> list[str]:
        """The status codes of the responses before the final one."""
        found, data = [], self.data
        while begin := re.match(rb"HTTP/1\.1 (1(?!01)\d\d)", data):
            found.append(begin[1].decode())
            data = data.partition(b"\r\n\r\n")[2]
        return found

    def _final(self) -> bytes:
        return self.data.split(b"\r\n\r\n", len(self.interim))[-1]

    @property
    def head(self) -> bytes:
        head, separator, _ = self._final().partition(b"\r\n\r\n")
        return head if separator else b""

    @property
    def content(self) -> bytes:
        return self._final().partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> str:
        return self.head[9:12].decode() or "nothing"

    def field(self, name: str) -> str | None:
        found = re.search(rb"(?im)^%s: *([^\r]*)" % name.encode(), self.head)
        return found[1].decode("latin-1") if found else None

    def value(self) -> Any:
        start, end = self.content.find(b"{"), self.content.rfind(b"}")
        with suppress(ValueError):
            return json.loads(self.content if start < 0 else self.content[start : end + 1])
        return None

    def is_whole(self) -> bool:
        if not self.head:
            return False
        if self.bodiless or self.status in ("101", "204", "304"):
            return True
        size = self.field("content-length")
        if size is not None:
            return len(self.content) >= int(size)
        if "chunked" in (self.field("transfer-encoding") or ""):
            return re.search(rb"(^|\r\n)0\r\n(.*\r\n)?\r\n$", self.content, re.S) is not None
        return self.closed

    def outcome(self) -> str:
        """Return what a client makes of the response."""
        if not self.head:
            return "connection closed" if self.closed else "no answer"
        if self.bodiless or self.status in ("204", "304"):
            extra = f", {len(self.content)} bytes behind the head" if self.content else ""
            return f"{self.status}{extra}"
        if self.is_whole():
            return f"{self.status}, complete"
        return f"{self.status}, incomplete{', connection closed' if self.closed else ''}"


@contextmanager
def started(name: str, *flags: str, lifespan: str = "") -> Iterator[tuple[Running, int]]:
    """Start a server, whose application has that kind of lifespan; give its process and port."""
    port = free_port()
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(ROOT)])
    environment = {**ENVIRONMENT, "PYTHONPATH": path, "BEHAVIOUR_LIFESPAN": lifespan}
    with Running([*command(name, port), *flags], ROOT, environment) as process:
        yield process, port


@contextmanager
def running(name: str) -> Iterator[Server]:
    with started(name) as (process, port):
        process.wait_listening(port)
        yield Server(port)
