"""Priorities of responses (RFC 9218): the value of a `priority` field, and how values combine.

A leaf: takes text, returns two small numbers. Knows the grammar of dictionaries (RFC 8941 section
3.2). Must never know streams, or the order of responses.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

#: The default (RFC 9218 4.1).
DEFAULT_URGENCY: Final = 3

#: Longest priority, in bytes, that is parsed. A useful one has six bytes.
MAX_PRIORITY: Final = 256

ABSENT: Final = -1

#: The rank without any signal: responses of this urgency share the connection.
SHARED: Final = DEFAULT_URGENCY * 2 + 1

_KEY_START: Final = "abcdefghijklmnopqrstuvwxyz*"
_KEY: Final = "abcdefghijklmnopqrstuvwxyz0123456789_-.*"
_DIGITS: Final = "0123456789"
_ALPHA: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = _ALPHA + _DIGITS + "!#$%&'*+-.^_`|~:/"
_BASE64: Final = _ALPHA + _DIGITS + "+/="


@mypyc_attr(acyclic=True)
class Priority:
    """A priority signal: `urgency` 0 (first) to 7, `incremental` 0 or 1; ABSENT if missing."""

    def __init__(self, urgency: i64, incremental: i64) -> None:
        self.urgency: i64 = urgency
        self.incremental: i64 = incremental


def parse(text: str) -> Priority | None:
    """Parse a field value. Return None if it is no dictionary, which is no signal."""
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
            return None  # nothing follows the comma
    return said


# The result for a value: the value itself if it is an integer from 0 to 7, else one of these.
_WRONG: Final = -1
_OTHER: Final = -2
_TRUE: Final = -3
_FALSE: Final = -4


class _Reader:
    """The rest of a field value. Each method consumes what it parses, and returns its meaning."""

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
        """Skip these characters. Return how many there were."""
        start = self.at
        while self.at < self.size and self.text[self.at] in chars:
            self.at += 1
        return self.at - start

    def key(self) -> str:
        """Return a key, or '' if there is none."""
        start = self.at
        if self.peek() == "" or self.peek() not in _KEY_START:
            return ""
        self.skip(_KEY)
        return self.text[start : self.at]

    def parameters(self) -> bool:
        """Skip the parameters of an item or list, which have no meaning here.

        Return False if malformed.
        """
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
        """Return the meaning of a bare item."""
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
    """Return twice the urgency, plus 1 if responses of this urgency share the connection.

    Smaller ranks go first.

    `client` is the signal of the request or of the last PRIORITY_UPDATE, `server` that of the
    response. `expected`: the client sends a signal wherever it differs from the defaults.
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
    """Return the signal of all `priority` fields together; None if there is no valid one."""
    found: str | None = None
    for name, value in headers:
        if name.lower() == "priority":
            found = value if found is None else f"{found}, {value}"
    return None if found is None else parse(found)
