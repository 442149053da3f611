"""The formats of access logs that other tools read: common and combined (Apache, nginx).

Knows the format of a line. Must never know how a response is chosen.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from cno.cli.accesslog import MAX_PATH, client, version
from cno.cli.conditions import combined
from cno.cli.files import FileRequest
from cno.cli.site import credentials

_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Entry(NamedTuple):
    """One response to log. `at`: seconds since the epoch; `size`: bytes of the body."""

    at: float
    client: str
    user: str
    request: str
    code: int
    size: int
    agent: tuple[str, str] | None


class CommonLog:
    """An access log in the common format. Pass `add` as `Files(log=…)`.

    `combined`: with Referer and User-Agent. `write` takes a function that returns a line.
    """

    def __init__(self, write: Callable[[Callable[[], str]], None], combined: bool) -> None:
        self._write = write
        self._combined = combined

    def add(self, request: FileRequest, code: int, size: int, seconds: float) -> None:
        """Log a response that was sent."""
        line = f"{request.method[:MAX_PATH]} {request.path[:MAX_PATH]} {version(request)}"
        agent = None
        if self._combined:
            agent = (field(request, "referer"), field(request, "user-agent"))
        user = "" if code == 401 else user_of(request)
        entry = Entry(time.time(), client(request), user, line, code, size, agent)
        self._write(partial(formatted, entry))


def formatted(entry: Entry) -> str:
    """Return the line for an entry."""
    at = time.localtime(entry.at)
    clock = time.strftime(f"%d/{_MONTHS[at.tm_mon - 1]}/%Y:%H:%M:%S %z", at)
    line = (
        f"{quoted(entry.client)} - {quoted(entry.user).replace(' ', '_') or '-'} [{clock}] "
        f'"{quoted(entry.request)}" {entry.code} {entry.size or "-"}'
    )
    if entry.agent is None:
        return line
    return f"{line} " + " ".join(f'"{quoted(text) or "-"}"' for text in entry.agent)


def quoted(text: str) -> str:
    """Return a text that cannot end a quoted part or a line: `\\"`, `\\x0a`."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(map(escaped, text))


def escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    data = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in data)


def field(request: FileRequest, name: str) -> str:
    return (combined(request.headers, name) or "")[:MAX_PATH]


def user_of(request: FileRequest) -> str:
    """Return the user name that a request gives; '' for none."""
    given = combined(request.headers, "authorization")
    if given is None:
        return ""
    return credentials(given).partition(b":")[0].decode("utf-8", "replace")[:MAX_PATH]
