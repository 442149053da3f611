"""How servers behave towards an ASGI application, case by case: docs/asgi_behaviour.md.

`python -m tests.asgi.behaviour` runs cno, uvicorn, hypercorn and granian over HTTP/1.1 and writes
the table. A test compares the column of cno with what it does.
"""

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tests.pages import with_part
from tests.peers import free_port
from tests.processes import Running
from tests.tree import ROOT

APP: Final = "tests.asgi.behaviour_app:app"
PAGE: Final = ROOT / "docs" / "asgi_behaviour.md"
SERVERS: Final = ("cno", "uvicorn", "hypercorn", "granian")
#: Seconds after which a server that says nothing is taken to wait.
PATIENCE: Final = 1.0


def command(name: str, port: int) -> list[str]:
    run = [sys.executable, "-m"]
    if name == "cno":
        return [*run, "cno", "serve", APP, "--port", str(port), "--no-log"]
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
        """Send a request, and take all that comes within the patience."""
        lines = [f"{method} {path} HTTP/{version}", "host: test", *fields]
        with self.connect() as sock:
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            return Answer(*received(sock), method == "HEAD")

    def note(self, name: str) -> Any:
        """Return what the application has noted."""
        for _ in range(30):
            found = self.ask(f"/notes?{name}").value()
            if found:
                return found
            time.sleep(0.02)
        return ""


def received(sock: socket.socket) -> tuple[bytes, bool]:
    """Return what comes, and whether the server has closed the connection."""
    data = b""
    sock.settimeout(0.4)
    try:
        while piece := sock.recv(65_536):
            data += piece
            sock.settimeout(0.15)
    except TimeoutError:
        return data, False
    except OSError:
        pass
    return data, True


class Answer:
    """Bytes of a response, and whether the connection was closed behind them."""

    def __init__(self, data: bytes, closed: bool, bodiless: bool = False) -> None:
        self.closed = closed
        self.interim = re.findall(rb"^HTTP/1\.1 (1\d\d)", data)
        while re.match(rb"HTTP/1\.1 1\d\d", data):
            data = data.partition(b"\r\n\r\n")[2]
        self.head, _, self.content = data.partition(b"\r\n\r\n")
        self.bodiless = bodiless

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

    def outcome(self) -> str:
        """Return what a client makes of the response."""
        if not self.head:
            return "connection closed" if self.closed else "no answer"
        size = self.field("content-length")
        if size is not None:
            whole = len(self.content) >= int(size)
        elif "chunked" in (self.field("transfer-encoding") or ""):
            whole = re.search(rb"(^|\r\n)0\r\n(.*\r\n)?\r\n$", self.content) is not None
        else:
            whole = self.closed
        if self.bodiless or self.status in ("204", "304"):
            extra = f", {len(self.content)} bytes behind the head" if self.content else ""
            return f"{self.status}{extra}"
        if whole:
            return f"{self.status}, complete"
        return f"{self.status}, incomplete{', connection closed' if self.closed else ''}"


# -- cases -----------------------------------------------------------------------------------------


def show(key: str) -> Callable[[Server], str]:
    def run(server: Server) -> str:
        found = server.ask("/show/a%2Fb%20c?q=1", "cookie: a=1", "cookie: b=2", "X-Up: 1").value()
        value = found[key] if found else None
        if isinstance(value, list):
            return ", ".join(each.removeprefix("http.response.") for each in value) or "none"
        return str(value)

    return run


def cookies(server: Server) -> str:
    found = server.ask("/show", "cookie: a=1", "cookie: b=2").value()["headers"]
    return " and ".join(f"`{value}`" for name, value in found if name == "cookie")


def http10(server: Server) -> str:
    answer = server.ask("/show", version="1.0")
    return f"{answer.value()['http_version']}, {'closed' if answer.closed else 'kept'}"


def case(name: str, method: str = "GET") -> Callable[[Server], str]:
    """What becomes of a response; and of the application, if it gets an exception."""

    def run(server: Server) -> str:
        outcome = server.ask(f"/{name}", method=method).outcome()
        noted = server.note(name) if name in RAISING else ""
        return f"{outcome}; {noted or 'no error'}" if name in RAISING else outcome

    return run


#: Cases in which the application may get an exception.
RAISING: Final = ("short", "long", "twice", "bodyfirst", "afterend", "splits", "notbytes")


def gone(name: str) -> Callable[[Server], str]:
    """The client goes in the middle of the response."""

    def run(server: Server) -> str:
        with server.connect() as sock:
            sock.sendall(f"GET /{name} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
            sock.recv(1_000)
        return str(server.note(name) or "waits on")

    return run


def unread(server: Server) -> str:
    """A body that the application does not read."""
    with server.connect() as sock:
        head = "POST /plain HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n"
        sock.sendall(head.encode() + bytes(100_000))
        answer = Answer(*received(sock))
    return f"{answer.outcome()}, {'closed' if answer.closed else 'kept'}"


def expect(path: str) -> Callable[[Server], str]:
    """When the client is told to send its body."""

    def run(server: Server) -> str:
        fields = ("expect: 100-continue", "content-length: 5")
        answer = server.ask(path, *fields, method="POST")
        first = f"{answer.interim[0].decode()}, then " if answer.interim else ""
        return first + answer.status if answer.head or first else "no answer"

    return run


def trailers(server: Server) -> str:
    return "sent" if b"x-sum: 1" in server.ask("/trailers", "te: trailers").content else "not sent"


def hints(server: Server) -> str:
    answer = server.ask("/hints")
    return "103" if b"103" in answer.interim else f"none; {answer.outcome()}"


def splits(server: Server) -> str:
    answer = server.ask("/splits")
    if answer.field("x-evil"):
        return "**injected**"
    return f"{answer.outcome()}; {server.note('splits') or 'no error'}"


CASES: Final[dict[str, Callable[[Server], str]]] = {
    "Version of the specification": show("spec"),
    "Extensions of HTTP": show("extensions"),
    "`path` of `/show/a%2Fb%20c`": show("path"),
    "`raw_path` of it": show("raw_path"),
    "Two `cookie` fields": cookies,
    "`state` of the lifespan": show("state"),
    "HTTP/1.0: `http_version`, connection": http10,
    "The client goes: `receive` returns": gone("gone"),
    "`send` after that raises": gone("sendgone"),
    "Body shorter than the content-length": case("short"),
    "Body longer than the content-length": case("long"),
    "Exception before the response": case("fails"),
    "Exception in the middle of the body": case("failswithin"),
    "Return without a response": case("nothing"),
    "Return in the middle of the body": case("half"),
    "Two `http.response.start`": case("twice"),
    "Body before the start": case("bodyfirst"),
    "Body after the end": case("afterend"),
    "204 with a body": case("nocontent"),
    "HEAD, answered with a body": case("plain", "HEAD"),
    "CR LF in the value of a field": splits,
    "A field of `str`": case("notbytes"),
    "Request body that is not read": unread,
    "`Expect`, body read": expect("/readall"),
    "`Expect`, body not read": expect("/plain"),
    "Trailers": trailers,
    "Early hints": hints,
    "`pathsend`": case("pathsend"),
}


@contextmanager
def running(name: str) -> Iterator[Server]:
    port = free_port()
    with Running(command(name, port), ROOT) as process:
        process.wait_listening(port)
        yield Server(port)


def column(name: str) -> dict[str, str]:
    """Return what a server does in each case."""
    with running(name) as server:
        found = {}
        for title, run in CASES.items():
            try:
                found[title] = run(server)
            except (OSError, TypeError, KeyError, AttributeError) as error:
                found[title] = f"no answer ({type(error).__name__})"
        return found


def table() -> str:
    columns = {name: column(name) for name in SERVERS}
    named = [f"{n} {metadata.version(n)}" if n != "cno" else n for n in SERVERS]
    lines = [f"| case | {' | '.join(named)} |", "|---" * (len(SERVERS) + 1) + "|"]
    for title in CASES:
        cells = [columns[name][title].replace("|", "\\|") for name in SERVERS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def kept() -> dict[str, str]:
    """Return the column of cno on the page."""
    rows = [line.split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    found = {row[0].removeprefix("| "): row[1] for row in rows if row[0].startswith("| ")}
    return {title: cell for title, cell in found.items() if title in CASES}


def main() -> None:
    text = PAGE.read_text("utf-8")
    Path(PAGE).write_text(with_part(text, "behaviour", table()), "utf-8")


if __name__ == "__main__":
    main()
