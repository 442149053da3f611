"""The README of a folder, as HTML that cannot do anything.

Markdown is rendered by markdown-it-py, if it is installed; it escapes HTML, and drops links to
scripts. All else is shown as text. Knows file names and text. Must never know a request.
"""

import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from cno.cli.bodies import read_all
from cno.cli.paths import Folder, Refused

#: Names of READMEs in lower case, the best one first.
NAMES: Final = ("readme.md", "readme.markdown", "readme.txt", "readme.rst", "readme")
#: Bytes that are shown, and bytes of Markdown that are rendered: some texts take a second for
#: each 10,000 of them.
MAX_SHOWN: Final = 65_536
MAX_RENDERED: Final = 32_768


def find_readme(names: Iterable[str]) -> str | None:
    """Return the name of the README among the names of files."""
    found = {name.lower(): name for name in names if len(name) < 16}
    return next((found[name] for name in NAMES if name in found), None)


def read_readme(folder: Folder, segments: Sequence[str]) -> str:
    """Return the README at `segments` as HTML; '' if it is no text that can be read."""
    try:
        opened = folder.open(segments)
    except (OSError, Refused):
        return ""
    if opened.fd < 0:
        return ""
    try:
        data = b"" if opened.is_folder else read_all(opened.fd, 0, MAX_SHOWN)
    except OSError:
        return ""
    finally:
        os.close(opened.fd)
    more = opened.info.st_size > MAX_SHOWN
    return render(segments[-1], data.decode("utf-8", "replace"), more)


def render(name: str, text: str, more: bool = False) -> str:
    """Return a text as HTML. `more`: it is only the beginning."""
    if not text.strip() or "\0" in text:
        return ""
    html = None
    if name.lower().endswith((".md", ".markdown")) and len(text) <= MAX_RENDERED and not more:
        html = markdown(text)
    return html or f"<pre>{escape(text)}{'…' if more else ''}</pre>"


def markdown(text: str) -> str | None:
    """Return Markdown as HTML; None if the library is not installed."""
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError:
        return None
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return str(parser.render(text))
