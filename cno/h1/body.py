"""The framing of the chunked transfer coding (RFC 9112 section 7.1).

    chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    chunk-ext      = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )

A leaf: takes bytes, returns sizes, raises `ConnectionFault`; chunk data never gets here.
"""

from typing import Final

from mypy_extensions import i64, u8

from cno.errors import ConnectionFault
from cno.headers import FIELD_VALUE, TOKEN

#: Most hexadecimal digits of a chunk size: 2^63-1 has 16.
MAX_SIZE_DIGITS: Final = 16

_CR: Final = 0x0D
_SEMICOLON: Final = 0x3B
_EQUALS: Final = 0x3D
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C

#: Fields that are never sent as trailers. (Received trailers: see `headers.DROPPED_TRAILERS`.)
# > A sender MUST NOT generate a trailer field unless the sender knows the corresponding header
# > field name's definition permits sending in trailers. ... Many fields cannot be processed outside
# > the header section because their evaluation is necessary prior to receiving the content, such as
# > those that describe message framing, routing, authentication, request modifiers, response
# > controls, or content format.   (RFC 9110 6.5.1)
NOT_IN_TRAILERS: Final = frozenset(
    (
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def _fault(text: str, rule: str = "RFC 9112 7.1") -> ConnectionFault:
    return ConnectionFault(400, text, rule)


def digits(data: bytes, start: i64, end: i64) -> i64:
    """Return the number of hexadecimal digits at `start`."""
    i = start
    while i < end and _digit(data[i]) >= 0:
        i += 1
    return i - start


def _digit(c: u8) -> i64:
    if 0x30 <= c <= 0x39:
        return i64(c) - 0x30
    lower: i64 = i64(c) | 0x20
    if 0x61 <= lower <= 0x66:
        return lower - 0x57
    return -1


def size_line(data: bytes, start: i64, count: i64, lf: i64) -> i64:
    """Return the chunk size on the line from `start` to its LF; it has `count` digits.

    Check chunk extensions and ignore them. Ignore blanks after the size and after an extension.
    """
    # > recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors
    # > due to integer conversion overflows or precision loss   (RFC 9112 7.1)
    end = lf - 1
    if end <= start or data[end] != _CR:
        raise _fault("a chunk-size line does not end with CRLF")
    if (
        count == 0
        or count > MAX_SIZE_DIGITS
        or (count == MAX_SIZE_DIGITS and _digit(data[start]) > 7)
    ):
        raise _fault("malformed chunk size")
    size: i64 = 0
    for i in range(start, start + count):
        size = size * 16 + _digit(data[i])
    if start + count != end:
        _extensions(data, start + count, end)
    return size


def _extensions(data: bytes, start: i64, end: i64) -> None:
    """Raise ConnectionFault unless data[start:end] is a list of chunk extensions."""
    # > A recipient MUST ignore unrecognized chunk extensions.   (RFC 9112 7.1.1)
    i = start
    while i < end:
        i = _blanks(data, i, end)
        if i == end:
            return  # no parser takes blanks before the line end for data
        if data[i] != _SEMICOLON:
            raise _fault("malformed chunk extension", "RFC 9112 7.1.1")
        i = _token(data, _blanks(data, i + 1, end), end)
        k = _blanks(data, i, end)
        if k < end and data[k] == _EQUALS:
            k = _blanks(data, k + 1, end)
            if k < end and data[k] == _QUOTE:
                i = _quoted(data, k, end)
            else:
                i = _token(data, k, end)


def _blanks(data: bytes, i: i64, end: i64) -> i64:
    while i < end and (data[i] == 0x20 or data[i] == 0x09):
        i += 1
    return i


def _token(data: bytes, start: i64, end: i64) -> i64:
    table = TOKEN
    i = start
    while i < end and table[data[i]] != 0:
        i += 1
    if i == start:
        raise _fault("malformed chunk extension", "RFC 9112 7.1.1")
    return i


def _quoted(data: bytes, start: i64, end: i64) -> i64:
    """Return the position after a quoted-string (RFC 9110 5.6.4)."""
    table = FIELD_VALUE
    i = start + 1
    while i < end and table[data[i]] != 0:
        c: u8 = data[i]
        if c == _QUOTE:
            return i + 1
        if c == _BACKSLASH:
            i += 1
            if i == end or table[data[i]] == 0:
                break
        i += 1
    raise _fault("malformed chunk extension", "RFC 9112 7.1.1")
