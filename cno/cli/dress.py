"""JSON as a terminal shows it best: in lines of its own and in colours.

What comes out is bounded while it is made. A text beyond the bound, or that is no JSON, is for the
caller to show as it is. Knows the format. Must never know where a text comes from.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from cno.cli.text import Paint, escaped

#: Characters that JSON may become, with its colours: indentation makes more of it the deeper it is
#: nested.
MAX_DRESSED: Final = 4 << 20

# The tokens of valid JSON. Possessive (`*+`), so that no place of a long string is remembered.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:,]|[^\[\]{}:,"\s]++')


def dressed_json(text: str, paint: Paint) -> str | None:
    """JSON with an element on each line, indented, without what a terminal would obey.

    None: it is not JSON, or would become longer than `MAX_DRESSED`. Nothing is lost: numbers and
    repeated names stay as they are.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    size = 0
    pieces = []
    for piece in formatted(text, paint):
        size += len(piece)
        if size > MAX_DRESSED:
            return None
        pieces.append(piece)
    return "".join(pieces)


def formatted(text: str, paint: Paint) -> Iterator[str]:
    """The pieces of valid JSON, laid out."""
    inside: list[str] = []  # the brackets that are open
    is_key = is_first = False  # what the next token is, in its object, or in its brackets
    for match in _TOKEN.finditer(text):
        token = match[0]
        kind = token[0]
        if kind in "]}":
            inside.pop()
            if not is_first:
                yield line_break(len(inside))
            is_first = is_key = False
            yield token
            continue
        if is_first:
            yield line_break(len(inside))
            is_first = False
        if kind in "[{":
            inside.append(kind)
            is_first, is_key = True, kind == "{"
            yield token
        elif kind == ",":
            is_key = inside[-1] == "{"
            yield "," + line_break(len(inside))
        elif kind == ":":
            is_key = False
            yield ": "
        elif kind == '"':
            yield paint(string(token), "blue" if is_key else "green")
        else:
            yield paint(token, "magenta" if kind in "tfn" else "cyan")
    yield "\n"


def line_break(depth: int) -> str:
    return "\n" + "  " * depth


def string(token: str) -> str:
    """A string of JSON, its escapes undone where what they stand for may be shown."""
    if "\\" in token:
        token = json.dumps(json.loads(token), ensure_ascii=False)
    return escaped(token)
