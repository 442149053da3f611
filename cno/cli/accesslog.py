"""A line for each request, written in batches: an answer never waits for a terminal.

Knows how a line looks. Must never know what is answered, or why.
"""

import asyncio
import sys
import time
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from cno.cli.files import Asked
from cno.cli.problems import one_line

#: Seconds that a line waits for others at most, and how many may wait.
DELAY: Final = 0.1
MAX_WAITING: Final = 1_000

_STYLES: Final = {2: "green", 3: "cyan", 4: "yellow", 5: "bold red"}

Line = tuple[float, str, str, str, str, int, int, float]


class AccessLog:
    """Colours on a terminal, plain text elsewhere. `add` is what `Files(log=…)` takes."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = sys.stdout if file is None else file
        self._console = Console(file=self._file) if self._file.isatty() else None
        self._lines: list[Line] = []

    def add(self, request: Asked, code: int, size: int, seconds: float) -> None:
        """Note an answer; written soon."""
        if not self._lines:
            asyncio.get_running_loop().call_later(DELAY, self.flush)
        line = (time.time(), client(request), request.method, request.path, version(request))
        self._lines.append((*line, code, size, seconds))
        if len(self._lines) >= MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what has been noted."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            if self._console is None:
                self._file.write("".join(f"{head(li)} {li[5]} {tail(li)}\n" for li in lines))
                self._file.flush()
            else:
                self._console.print(Text("\n").join(styled(line) for line in lines), soft_wrap=True)
        except OSError:
            pass  # whoever read this has gone; the answers go on


def head(line: Line) -> str:
    at, who, method, path, version = line[:5]
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    return one_line(f"{clock} {who} {method} {path} {version}")


def tail(line: Line) -> str:
    return f"{line[6]} {line[7] * 1000:.1f}ms"


def styled(line: Line) -> Text:
    style = _STYLES.get(line[5] // 100, "")
    return Text.assemble(head(line), " ", (str(line[5]), style), " ", (tail(line), "dim"))


def client(request: Asked) -> str:
    """The client's address; `-` where there is none."""
    transport = getattr(getattr(request, "conn", None), "transport", None)
    name = None if transport is None else transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else "-"


def version(request: Asked) -> str:
    return "HTTP/2" if getattr(getattr(request, "conn", None), "is_http2", False) else "HTTP/1.1"
