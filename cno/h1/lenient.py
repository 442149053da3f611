"""Lines of heads that `Limits` allows although RFC 9112 does not: LF alone, and folded fields.

Used only where one of the two is switched on. Rewrites such a line into its correct form for the
strict parser, so that only one grammar exists. Chunked bodies never get here.
"""

from typing import Final

from mypy_extensions import i64

from cno.h1 import parse
from cno.h1.parse import Bounds, Head

BARE_LF: Final = 1
OBS_FOLD: Final = 2
#: These are for `parse` and `recv_head`.
EQUAL_LENGTHS: Final = parse.EQUAL_LENGTHS
CODINGS: Final = parse.CODINGS
RAW_TARGETS: Final = parse.RAW_TARGETS
ANY_AUTHORITY: Final = parse.ANY_AUTHORITY
#: The bits that concern lines.
LINES: Final = 3

#: Most lines of a folded field. Each new line makes the parser look at all of them again.
MAX_FOLDS: Final = 64

_BLANKS: Final = b" \t"


def start_line(head: Head, data: bytes, start: i64, end: i64, bounds: Bounds) -> i64:
    """Take a request line or status line. Return the position after it, or INCOMPLETE."""
    lf: i64 = data.find(b"\n", start, end)
    if lf < 0 or head.allowances & BARE_LF == 0:
        return _strict(head, data, start, end, bounds)
    line = _ended(head, data, start, lf) + b"\r\n"
    _strict(head, line, 0, len(line), bounds)
    return lf + 1


def _strict(head: Head, data: bytes, start: i64, end: i64, bounds: Bounds) -> i64:
    if head.request:
        return parse.request_line(head, data, start, end, bounds)
    return parse.status_line(head, data, start, end, bounds)


def _ended(head: Head, data: bytes, start: i64, lf: i64) -> bytes:
    """Return the line up to its LF, without its end."""
    # > Although the line terminator for the start-line and fields is the sequence CRLF, a recipient
    # > MAY recognize a single LF as a line terminator and ignore any preceding CR.   (RFC 9112 2.2)
    if lf > start and data[lf - 1] == parse.CR:
        return data[start : lf - 1]
    if head.allowances & BARE_LF:
        return data[start:lf]
    raise parse.malformed("a line ends with LF alone", "RFC 9112 2.2", "allow_bare_lf")


def field_lines(head: Head, data: bytes, pos: i64, end: i64, bounds: Bounds) -> i64:
    """Take whole field lines, like `parse.field_lines`."""
    at = pos
    while at < end and not head.complete:
        lf: i64 = data.find(b"\n", at, end)
        if lf < 0:
            return parse.field_lines(head, data, at, end, bounds, None)
        line = _ended(head, data, at, lf)
        if line == b"":
            head.complete = True
            return lf + 1
        if head.allowances & OBS_FOLD:
            line, lf = _unfolded(head, data, lf, end, line, bounds)
            if lf < 0:
                return at
        line += b"\r\n"
        parse.field_lines(head, line, 0, len(line), bounds, None)
        at = lf + 1
    return at


def _unfolded(
    head: Head, data: bytes, lf: i64, end: i64, line: bytes, bounds: Bounds
) -> tuple[bytes, i64]:
    """Return a line joined with its continuations, and where its last LF is (-1: incomplete)."""
    # > replace each received obs-fold with one or more SP octets prior to interpreting the field
    # > value   (RFC 9112 5.2)
    pieces = [line]
    size: i64 = len(line)
    while size <= bounds.line:
        if lf + 1 == end:
            return line, -1
        if data[lf + 1] != parse.SP and data[lf + 1] != parse.HTAB:
            break
        start = lf + 1
        lf = data.find(b"\n", start, end)
        if lf < 0:
            if end - start + size > bounds.line:
                break
            return line, -1
        piece = _ended(head, data, start, lf).strip(_BLANKS)
        if piece == b"" or line[:1] in _BLANKS or _is_special(line):
            # Some parsers take a blank line for the end. Fields that frame or route must not be
            # folded.
            raise parse.malformed("a field line begins with a blank", "RFC 9112 5.2")
        pieces.append(piece)
        size += 1 + len(piece)
        if len(pieces) > MAX_FOLDS:
            raise parse.line_too_long(bounds)
    if size > bounds.line or lf < 0:
        raise parse.line_too_long(bounds)
    if len(pieces) > 1:
        pieces[0] = line.rstrip(_BLANKS)
    return b" ".join(pieces), lf


def _is_special(line: bytes) -> bool:
    name = line.partition(b":")[0]
    return name.decode("latin-1").lower() in parse.SPECIAL
