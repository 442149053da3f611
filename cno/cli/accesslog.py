"""The access log: one line for each request.

Knows the format of a line. Must never know how a response is chosen.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from cno.cli.files import FileRequest
from cno.cli.text import STATUS, Paint, one_line

#: Characters of a path or method that are logged; the rest is cut off.
MAX_PATH: Final = 1_000


class Entry(NamedTuple):
    """One response to log. `at`: seconds since the epoch; `size`: bytes of the body."""

    at: float
    client: str
    method: str
    path: str
    version: str
    code: int
    size: int
    seconds: float


class AccessLog:
    """The access log, in colours on a terminal. Pass `add` as `Files(log=…)`.

    `write` takes a function that returns a line. It must not block.
    """

    def __init__(self, write: Callable[[Callable[[], str]], None], paint: Paint) -> None:
        self._write = write
        self._paint = paint

    def add(self, request: FileRequest, code: int, size: int, seconds: float) -> None:
        """Log a response that was sent."""
        path = request.path
        if len(path) > MAX_PATH:
            path = path[:MAX_PATH] + "…"
        about = (client(request), request.method[:MAX_PATH], path, version(request))
        entry = Entry(time.time(), *about, code, size, seconds)
        self._write(partial(formatted, entry, self._paint))


def formatted(entry: Entry, paint: Paint) -> str:
    """Return the line for an entry."""
    clock = time.strftime("%H:%M:%S", time.localtime(entry.at))
    head = one_line(f"{clock} {entry.client} {entry.method} {entry.path} {entry.version}")
    code = paint(str(entry.code), STATUS.get(entry.code // 100, "bold"))
    tail = paint(f"{entry.size} {entry.seconds * 1000:.1f}ms", "dim")
    return f"{head} {code} {tail}"


def client(request: FileRequest) -> str:
    """Return the client's address; `-` if it has none."""
    peer = getattr(request, "peer", None)
    return str(peer[0]) if isinstance(peer, tuple) else "-"


def version(request: FileRequest) -> str:
    """Return the protocol of the request's connection."""
    return "HTTP/2" if getattr(getattr(request, "conn", None), "is_http2", False) else "HTTP/1.1"
