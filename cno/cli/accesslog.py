"""A line for each request.

Knows how a line looks. Must never know what is answered, or why.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from cno.cli.files import Asked
from cno.cli.text import STATUS, Paint, one_line

#: Characters of a path that are logged.
MAX_PATH: Final = 1_000


class Entry(NamedTuple):
    """What is logged of an answer. `at`: seconds since the epoch; `size`: bytes of the body."""

    at: float
    client: str
    method: str
    path: str
    version: str
    code: int
    size: int
    seconds: float


class AccessLog:
    """Colours on a terminal, plain text elsewhere. `add` is what `Files(log=…)` takes.

    `write` takes a function that returns a line, and must not block.
    """

    def __init__(self, write: Callable[[Callable[[], str]], None], paint: Paint) -> None:
        self._write = write
        self._paint = paint

    def add(self, request: Asked, code: int, size: int, seconds: float) -> None:
        """Note an answer."""
        path = request.path
        if len(path) > MAX_PATH:
            path = path[:MAX_PATH] + "…"
        about = (client(request), request.method[:MAX_PATH], path, version(request))
        entry = Entry(time.time(), *about, code, size, seconds)
        self._write(partial(formatted, entry, self._paint))


def formatted(entry: Entry, paint: Paint) -> str:
    """A line."""
    clock = time.strftime("%H:%M:%S", time.localtime(entry.at))
    head = one_line(f"{clock} {entry.client} {entry.method} {entry.path} {entry.version}")
    code = paint(str(entry.code), STATUS.get(entry.code // 100, "bold"))
    tail = paint(f"{entry.size} {entry.seconds * 1000:.1f}ms", "dim")
    return f"{head} {code} {tail}"


def client(request: Asked) -> str:
    """The client's address; `-` where there is none."""
    transport = getattr(getattr(request, "conn", None), "transport", None)
    name = None if transport is None else transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else "-"


def version(request: Asked) -> str:
    return "HTTP/2" if getattr(getattr(request, "conn", None), "is_http2", False) else "HTTP/1.1"
