"""Text that is safe on a terminal: control characters replaced, colours added.

Knows the characters that control a terminal or the order of text. Must never know where a text
comes from. Apply it last: after decoding, parsing and formatting.
"""

import os
import re
from typing import Final, TextIO

# Control characters (C0) to the Unicode pictures of them.
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    0x7F: 0x2421,
}
# Controls (C1), surrogates, line separators, characters that override the direction of text, and
# invisible ones. Not ZWNJ, ZWJ, LRM, RLM and ALM, which some scripts need.
_OTHERS: Final = (
    "\x80-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2060-\u206f\u200b\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
# Patterns as text: `re` compiles them when they are used first, and keeps them.
_OTHER: Final = f"[{_OTHERS}]"
_UNSAFE: Final = f"[\x00-\x08\x0b-\x1f\x7f{_OTHERS}]"
_NO_COLOUR: Final = "\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]"

# Select Graphic Rendition parameters (ECMA-48 8.3.117).
STYLES: Final = {
    "bold": "1",
    "dim": "2",
    "blue": "34",
    "cyan": "36",
    "green": "32",
    "magenta": "35",
    "red": "1;31",
    "yellow": "33",
}
#: Colours of statuses, by their first digit.
STATUS: Final = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}


def harmless(text: str) -> str:
    """Return a text with all control characters replaced, except line feeds and tabs."""
    return re.sub(_OTHER, "\ufffd", text.replace("\r\n", "\n").translate(_PICTURES))


def coloured_only(text: str) -> str:
    """Return a coloured text with all control characters replaced, except those of colours."""
    coloured = re.sub(_NO_COLOUR, lambda match: match[0].translate(_PICTURES), text)
    return re.sub(_OTHER, "\ufffd", coloured)


def one_line(text: str) -> str:
    """Return a text on one line: each character that is not printable is replaced."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def escaped(text: str) -> str:
    r"""Return the text of a JSON string with `\uXXXX` in place of control characters."""
    return re.sub(_UNSAFE, lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def has_colours(file: TextIO) -> bool:
    """Return whether a terminal has colours, and the user has not switched them off."""
    if os.name != "posix":
        from rich.console import Console  # an extra: it knows the consoles of Windows

        console = Console(file=file)
        return console.color_system is not None and not console.legacy_windows
    terminal = os.environ.get("TERM", "").lower()
    return not os.environ.get("NO_COLOR") and terminal not in ("", "dumb", "unknown")


class Paint:
    """Adds colours if `file` is a terminal that has them and NO_COLOR is not set."""

    def __init__(self, file: TextIO) -> None:
        self.enabled = file.isatty() and has_colours(file)

    def __call__(self, text: str, style: str) -> str:
        """Return a harmless text in a style of STYLES."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.enabled and text else text


def lines_were(count: int) -> str:
    """Return a number of lines and its verb, for what was done to them."""
    return f"{count:,} line{'s' * (count != 1)} {'was' if count == 1 else 'were'}"
