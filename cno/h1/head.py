"""A head while it is being parsed, its bounds, and what is remembered of it for the next one.

Data for `parse`, which alone knows what lines look like. A leaf: knows no connection.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

#: `Head.length` without a content-length.
NO_LENGTH: Final = -1

#: How much of a head is remembered: lines, and octets of each.
MAX_LINES: Final = 32
MAX_LINE: Final = 256
#: How large all of its field lines may be to be remembered as one.
MAX_WHOLE: Final = 2_048


@mypyc_attr(acyclic=True)
class Bounds:
    """How much a section of lines may hold.

    `line`: octets of one line without its end. `size`: octets of all lines, each counted with
    `overhead` more. `fields`: their number. `status`: what answers a section that is too large.
    """

    def __init__(self, line: i64, size: i64, fields: i64, overhead: i64, status: i64) -> None:
        self.line: i64 = line
        self.size: i64 = size
        self.fields: i64 = fields
        self.overhead: i64 = overhead
        self.status: i64 = status


@mypyc_attr(acyclic=True)
class Head:
    """A start line and fields, as far as they have come."""

    def __init__(self, request: bool, trailers: bool) -> None:
        self.request = request
        self.trailers = trailers
        self.allowances: i64 = 0  # what is let pass
        self.controls = False  # of a response: values may have control characters
        self.begun = trailers  # the start line has been taken
        self.complete = False  # and so has the empty line
        self.size: i64 = 0
        self.count: i64 = 0
        self.repeated: i64 = 0  # of these lines, as the head before had them
        # The start line.
        self.method = ""  # of a response: the reason phrase
        self.target = ""
        self.origin = False  # which begins with a slash
        self.code: i64 = 0
        self.minor: i64 = 1
        # The fields to deliver, pairs of str.
        self.fields: list[object] = []
        # What fields say about the message and the connection. Values as latin-1: one character
        # for each octet, so that no other character can turn into an ASCII one.
        self.host: str | None = None
        self.length: i64 = NO_LENGTH
        self.codings: str | None = None
        self.close = False
        self.keep_alive = False
        self.upgrading = False  # Connection lists "upgrade"
        self.upgrade: str | None = None
        self.expects = False  # 100-continue
        self.named: set[str] | None = None  # other fields that Connection lists


@mypyc_attr(acyclic=True)
class HeaderLineCache:
    """The field lines of the head before, and what they say: for the next one on a connection.

    Only ASCII lines, so that what is delivered is what the engine looks at.
    """

    def __init__(self) -> None:
        self.size: i64 = 0
        self.lines: list[bytes] = []  # with their CRLF; b"" for one that is too long
        self.fields: list[object] = []  # pairs of str
        self.special: list[bool] = []  # the engine looks at it
        self.whole = b""  # all of them, with the empty line ...
        self.head: Head | None = None  # ... and what they say

    def store(self, at: i64, line: bytes, field: object, special: bool) -> None:
        """Remember the line number `at`."""
        if len(line) > MAX_LINE:
            line, field = b"", None
        if at < self.size:
            self.lines[at] = line
            self.fields[at] = field
            self.special[at] = special
        elif at == self.size and at < MAX_LINES:
            self.lines.append(line)
            self.fields.append(field)
            self.special.append(special)
            self.size += 1

    def truncate(self, at: i64) -> None:
        """Remember only the lines before that number."""
        if at < self.size:
            self.size = at
            del self.lines[at:]
            del self.fields[at:]
            del self.special[at:]

    def store_section(self, head: Head, data: bytes, start: i64, end: i64) -> None:
        """Remember all fields of a head as one, if they are few: `data[start:end]`.

        Asked for once a head has had nothing but lines of the one before.
        """
        if end - start <= MAX_WHOLE and head.count != 0:
            self.whole = data[start:end]
            self.head = Head(head.request, False)
            take_over(self.head, head)

    def match_section(self, head: Head, data: bytes, start: i64, end: i64) -> i64:
        """Take all fields at once, if they are those remembered. Returns the position behind."""
        known = self.head
        if known is None:
            return start
        size: i64 = len(self.whole)
        if start + size > end or data[start : start + size] != self.whole:
            self.head = None
            self.whole = b""
            return start
        take_over(head, known)
        return start + size


def take_over(head: Head, known: Head) -> None:
    """Let a head have what the fields of another said. (Nobody changes `fields` any more.)"""
    head.complete = True
    head.size = known.size
    head.count = known.count
    head.fields = known.fields
    head.host = known.host
    head.length = known.length
    head.codings = known.codings
    head.close = known.close
    head.keep_alive = known.keep_alive
    head.upgrading = known.upgrading
    head.upgrade = known.upgrade
    head.expects = known.expects
    head.named = known.named
