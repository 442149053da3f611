"""JSON laid out for a terminal: indented, in colours, and bounded in size.

The caller shows a text as it is if this module returns None for it. Knows the format. Must never
know where a text comes from.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from cno.cli.text import Paint, escaped

#: Characters of the result, colours included. Indentation of deeply nested JSON can multiply its
#: size.
MAX_PRETTY_JSON: Final = 4 << 20

# The tokens of valid JSON. Possessive (`*+`), so that a long string takes no memory to match.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:,]|[^\[\]{}:,"\s]++')


def pretty_json(text: str, paint: Paint) -> str | None:
    """Return JSON with one element a line, indented, without characters that control a terminal.

    Returns None if the text is not JSON, or would become longer than `MAX_PRETTY_JSON`. Numbers and
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
        if size > MAX_PRETTY_JSON:
            return None
        pieces.append(piece)
    return "".join(pieces)


def formatted(text: str, paint: Paint) -> Iterator[str]:
    """Yield the pieces of valid JSON, laid out."""
    inside: list[str] = []  # the open brackets
    is_key = is_first = False  # whether the next token is a key, or the first in its brackets
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
    """Return a line break and the indentation at this depth."""
    return "\n" + "  " * depth


def string(token: str) -> str:
    """Return a JSON string; escapes of characters that are safe to show are decoded."""
    if "\\" in token:
        token = json.dumps(json.loads(token), ensure_ascii=False)
    return escaped(token)
