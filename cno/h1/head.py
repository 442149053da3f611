"""A head while it is parsed, its bounds, and the cache of the previous head's lines.

Data for `parse`, which alone knows the form of lines. A leaf: knows no connection.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

#: `Head.length` without a content-length.
NO_LENGTH: Final = -1

#: Most lines of a head in the cache, and most bytes of each.
MAX_LINES: Final = 32
MAX_LINE: Final = 256
#: Most bytes of a field section that is cached as a whole.
MAX_WHOLE: Final = 2_048


@mypyc_attr(acyclic=True)
class Bounds:
    """Bounds of a field section.

    `line`: bytes of a line without its end. `size`: bytes of all lines, with `overhead` added for
    each line. `fields`: number of lines. `status`: the response to a section that exceeds them.
    """

    def __init__(self, line: i64, size: i64, fields: i64, overhead: i64, status: i64) -> None:
        self.line: i64 = line
        self.size: i64 = size
        self.fields: i64 = fields
        self.overhead: i64 = overhead
        self.status: i64 = status


@mypyc_attr(acyclic=True)
class Head:
    """A start line and fields, as far as they have been parsed."""

    def __init__(self, request: bool, trailers: bool) -> None:
        self.request = request
        self.trailers = trailers
        self.allowances: i64 = 0  # exceptions from the grammar: bits of `parse` and `lenient`
        self.controls = False  # values may have control characters: this belongs to a response
        self.begun = trailers  # the start line has been parsed
        self.complete = False  # the empty line has been parsed
        self.size: i64 = 0
        self.count: i64 = 0
        self.repeated: i64 = 0  # lines that equal those of the previous head
        # The start line.
        self.method = ""  # in a response: the reason phrase
        self.target = ""
        self.origin = False  # the target begins with a slash
        self.code: i64 = 0
        self.minor: i64 = 1
        # The fields to be delivered, as pairs of str.
        self.fields: list[object] = []
        # What fields say about the message and the connection. Values are decoded as latin-1, one
        # character for each byte, so that no non-ASCII character can become an ASCII one.
        self.host: str | None = None
        self.length: i64 = NO_LENGTH
        self.codings: str | None = None
        self.close = False
        self.keep_alive = False
        self.upgrading = False  # Connection lists "upgrade"
        self.upgrade: str | None = None
        self.expects = False  # Expect: 100-continue
        self.named: set[str] | None = None  # other fields that Connection names


@mypyc_attr(acyclic=True)
class HeaderLineCache:
    """The field lines of the previous head on a connection, and what they mean.

    This is for speed only: a request whose lines are those of the one before takes a quarter of the
    instructions (docs/decisions/speed.md; *HTTP/1.1 server* in `benchmarks.instructions`).
    Holds ASCII lines only, so that the delivered text equals the text that the engine checks.
    """

    def __init__(self) -> None:
        self.size: i64 = 0
        self.lines: list[bytes] = []  # with CRLF; b"" for a line that is too long
        self.fields: list[object] = []  # pairs of str
        self.special: list[bool] = []  # the engine interprets this field
        self.whole = b""  # the whole section, with its empty line
        self.head: Head | None = None  # the meaning of `whole`

    def store(self, at: i64, line: bytes, field: object, special: bool) -> None:
        """Store line number `at`."""
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
        """Keep only the lines before number `at`."""
        if at < self.size:
            self.size = at
            del self.lines[at:]
            del self.fields[at:]
            del self.special[at:]

    def store_section(self, head: Head, data: bytes, start: i64, end: i64) -> None:
        """Store a whole field section, data[start:end], if it is small.

        Call this after a head whose lines all equal those of the previous head.
        """
        if end - start <= MAX_WHOLE and head.count != 0:
            self.whole = data[start:end]
            self.head = Head(head.request, False)
            take_over(self.head, head)

    def match_section(self, head: Head, data: bytes, start: i64, end: i64) -> i64:
        """Take a whole section if it equals the stored one.

        Return the position after it, else `start`.
        """
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
    """Copy what the fields of `known` said into `head`. (No caller changes `fields` afterwards.)"""
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
