"""The HTML pages of `cno serve`: what they have in common, and those about errors.

Takes text, escapes it and returns HTML. Must never know a file system, a request or a connection.
"""

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from os import fsencode
from typing import Final, NamedTuple
from urllib.parse import quote

HTML: Final = "text/html; charset=utf-8"
#: Content-Security-Policy of these pages: they load and run nothing, and cannot be framed.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;"
    "margin:3rem auto;padding:0 1rem}a{text-decoration:none;overflow-wrap:anywhere}"
)

_DIGITS: Final = re.compile(r"([0-9]+)")

_ADVICE: Final = {
    400: "No file can have this address.",
    401: "This needs a user name and a password.",
    403: "This may not be read.",
    404: "There is no such file.",
    405: "Only GET, HEAD and OPTIONS are possible here.",
    406: "This file has none of the content codings that the client accepts.",
    412: "The file has changed.",
    416: "The file does not have these bytes.",
    421: (
        "This server answers for localhost, IP addresses and the hosts it was started with. For "
        "another host, start it with <code>cno serve --allow-host NAME</code>."
    ),
    500: "The server failed.",
    503: "The server is busy. Try again later.",
}


class Entry(NamedTuple):
    """A line of a listing. `size`: bytes; None for a folder. `modified`: seconds of the epoch."""

    name: str
    size: int | None
    modified: float = 0.0


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names as people do: `a2` before `a10`, without regard to case."""
    key = [
        (int(part), "") if len(part) < 20 and part.isdecimal() and part.isascii() else (-1, part)
        for part in _DIGITS.split(name.lower())
        if part
    ]
    return [*key, (-2, name)]


def page(title: str, body: str, style: str = "") -> bytes:
    """Return a page of HTML; `title` and `body` are escaped already."""
    text = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}{style}</style>\n{body}\n</html>\n"
    )
    return text.encode("utf-8", "replace")


@cache
def error_page(code: int) -> bytes:
    """Return a page with a status and a sentence about its meaning."""
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = "Error"
    return page(f"{code} {phrase}", f"<h1>{code} {phrase}</h1>\n<p>{_ADVICE.get(code, '')}</p>")


def link(segments: Iterable[str]) -> str:
    """Return an absolute path of percent-encoded segments that does not begin with two slashes.

    Names may contain surrogates for bytes that are not UTF-8, as `os.listdir` returns them.
    """
    return "/" + "/".join(quote(fsencode(segment), safe="") for segment in segments if segment)


def human_size(size: int) -> str:
    """Return a size as `812 B`, `1.2 KiB` or `34 MiB`."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if value < 1024 or unit == "PiB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
