"""Priorities of responses (RFC 9218): what a `priority` field says, and what several of them mean.

A leaf: text in, two small numbers out. Knows the grammar of dictionaries (RFC 8941 section 3.2);
must never know streams, or who goes first.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

#: Where nothing is said (RFC 9218 4.1).
DEFAULT_URGENCY: Final = 3

#: Octets of a priority that is looked at. What it can say takes six; what is longer says nothing.
MAX_PRIORITY: Final = 256

ABSENT: Final = -1

#: The rank of what nobody has said anything of: in turns with others of its urgency.
SHARED: Final = DEFAULT_URGENCY * 2 + 1

_KEY_START: Final = "abcdefghijklmnopqrstuvwxyz*"
_KEY: Final = "abcdefghijklmnopqrstuvwxyz0123456789_-.*"
_DIGITS: Final = "0123456789"
_ALPHA: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = _ALPHA + _DIGITS + "!#$%&'*+-.^_`|~:/"
_BASE64: Final = _ALPHA + _DIGITS + "+/="


@mypyc_attr(acyclic=True)
class Priority:
    """What one signal says: `urgency` 0 (first) to 7, `incremental` 0 or 1, each ABSENT if not."""

    def __init__(self, urgency: i64, incremental: i64) -> None:
        self.urgency: i64 = urgency
        self.incremental: i64 = incremental


def parse(text: str) -> Priority | None:
    """What this field value says; None if it is no dictionary, and thus says nothing."""
    if len(text) > MAX_PRIORITY:
        return None
    said = Priority(ABSENT, ABSENT)
    reader = _Reader(text.strip(" "))
    while reader.at < reader.size:
        key = reader.key()
        if not key:
            return None
        kind = _TRUE
        if reader.take("="):
            kind = reader.inner_list() if reader.peek() == "(" else reader.item()
        if kind == _WRONG or not reader.parameters():
            return None
        # > ... unknown priority parameters, priority parameters with out-of-range values, or values
        # > of unexpected types MUST be ignored.   (RFC 9218 4; of two of a name the last counts)
        if key == "u":
            said.urgency = kind if 0 <= kind <= 7 else ABSENT
        elif key == "i":
            said.incremental = 1 if kind == _TRUE else 0 if kind == _FALSE else ABSENT
        reader.skip(" \t")
        if reader.at == reader.size:
            break
        if not reader.take(","):
            return None
        reader.skip(" \t")
        if reader.at == reader.size:
            return None  # nothing after a comma
    return said


# What a value is: itself if it is an integer that an urgency can be, else one of these.
_WRONG: Final = -1
_OTHER: Final = -2
_TRUE: Final = -3
_FALSE: Final = -4


class _Reader:
    """The rest of a field value. Each method takes what it reads, and says what that was."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.size = len(text)

    def peek(self) -> str:
        return self.text[self.at] if self.at < self.size else ""

    def take(self, char: str) -> bool:
        if self.peek() != char:
            return False
        self.at += 1
        return True

    def skip(self, chars: str) -> int:
        """Pass over these; how many there were."""
        start = self.at
        while self.at < self.size and self.text[self.at] in chars:
            self.at += 1
        return self.at - start

    def key(self) -> str:
        """A key, or '' if there is none."""
        start = self.at
        if self.peek() == "" or self.peek() not in _KEY_START:
            return ""
        self.skip(_KEY)
        return self.text[start : self.at]

    def parameters(self) -> bool:
        """Those of an item or list, which say nothing here; whether they are well-formed."""
        while self.take(";"):
            self.skip(" ")
            if not self.key():
                return False
            if self.take("=") and self.item() == _WRONG:
                return False
        return True

    def inner_list(self) -> int:
        self.at += 1
        while True:
            blanks = self.skip(" ")
            if self.take(")"):
                return _OTHER
            if self.text[self.at - 1] != "(" and blanks == 0:
                return _WRONG
            if self.item() == _WRONG or not self.parameters():
                return _WRONG

    def item(self) -> int:
        """A bare item."""
        char = self.peek()
        if char == "":
            return _WRONG
        if char in _DIGITS or char == "-":
            return self._number()
        if char == "?":
            self.at += 1
            value = self.peek()
            self.at += 1
            return _TRUE if value == "1" else _FALSE if value == "0" else _WRONG
        if char == '"':
            return self._string()
        if char == ":":
            self.at += 1
            self.skip(_BASE64)
            return _OTHER if self.take(":") else _WRONG
        if char in _ALPHA or char == "*":
            self.skip(_TOKEN)
            return _OTHER
        return _WRONG

    def _number(self) -> int:
        negative = self.take("-")
        start = self.at
        digits = self.skip(_DIGITS)
        if digits == 0:
            return _WRONG
        if self.take("."):
            fraction = self.skip(_DIGITS)
            return _OTHER if digits <= 12 and 1 <= fraction <= 3 else _WRONG
        if digits > 15:
            return _WRONG
        value = int(self.text[start : self.at])
        return value if value <= 7 and not (negative and value) else _OTHER

    def _string(self) -> int:
        self.at += 1
        while self.at < self.size:
            char = self.text[self.at]
            self.at += 1
            if char == '"':
                return _OTHER
            if char == "\\":
                if self.peek() not in ('"', "\\"):
                    return _WRONG
                self.at += 1
            elif char < " " or char > "~":
                return _WRONG
        return _WRONG


def rank(client: Priority | None, server: Priority | None, expected: bool) -> i64:
    """Twice the urgency; odd if it takes turns with others of this urgency. Smaller goes first.

    `client` is what the request, or the last PRIORITY_UPDATE, says; `server` what the response
    does. `expected`: the client says something wherever it differs from the defaults.
    """
    urgency: i64 = DEFAULT_URGENCY
    incremental: i64 = 0 if expected else 1
    if client is not None:
        # > Omitting a priority parameter is a signal to use its default value.   (RFC 9218 7)
        urgency = client.urgency if client.urgency != ABSENT else DEFAULT_URGENCY
        incremental = 1 if client.incremental == 1 else 0
    if server is not None:
        # > The absence of a priority parameter in an HTTP response indicates the server's
        # > disinterest in changing the client-provided value.   (RFC 9218 8)
        if server.urgency != ABSENT:
            urgency = server.urgency
        if server.incremental != ABSENT:
            incremental = server.incremental
    return urgency * 2 + incremental


def parse_fields(headers: list[tuple[str, str]]) -> Priority | None:
    """What the `priority` fields among these say together; None: nothing, or nothing sound."""
    found: str | None = None
    for name, value in headers:
        if name.lower() == "priority":
            found = value if found is None else f"{found}, {value}"
    return None if found is None else parse(found)
