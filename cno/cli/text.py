"""What may reach a terminal: text without anything that it would obey, in colours of our own.

Knows characters, and which of them act on a terminal or on the order of the text. Must never know
where a text comes from. It is applied last: after decoding, parsing and formatting.
"""

import re
from typing import Final, TextIO

# Control characters as pictures of themselves: a terminal obeys the real ones.
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    0x7F: 0x2421,
}
# Controls (C1); surrogates; separators of lines; what overrides the direction of text or is
# invisible. Not the marks that writing in some scripts needs: ZWNJ, ZWJ, LRM, RLM, ALM.
_OTHERS: Final = (
    "\x80-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2060-\u206f\u200b\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_OTHER: Final = re.compile(f"[{_OTHERS}]")
_UNSAFE: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f{_OTHERS}]")
_NO_COLOUR: Final = re.compile("\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")

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
    """The text without what a terminal would obey; line feeds and tabs stay."""
    return _OTHER.sub("\ufffd", text.replace("\r\n", "\n").translate(_PICTURES))


def coloured_only(text: str) -> str:
    """Text that we have coloured, without anything else that a terminal would obey."""
    return _OTHER.sub("\ufffd", _NO_COLOUR.sub(lambda match: match[0].translate(_PICTURES), text))


def one_line(text: str) -> str:
    """The same, and on one line: each character that is not printable is replaced."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def escaped(text: str) -> str:
    r"""The same for the text of a JSON string: `\uXXXX` in the place of what is not harmless."""
    return _UNSAFE.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


class Paint:
    """Colours where a file is a terminal that has some, and the user wants them (NO_COLOR)."""

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console  # an extra: those who paint nothing need it not

        console = Console(file=file)
        colours = console.color_system is not None and not console.no_color
        self.enabled = colours and file.isatty() and not console.legacy_windows

    def __call__(self, text: str, style: str) -> str:
        """A text that is harmless, in a style of STYLES."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.enabled and text else text
