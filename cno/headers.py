"""The grammar of fields: names, values, targets, authorities, lengths (RFC 9110 section 5).

Takes text, returns verdicts. Used by both protocols in both directions. Knows no connection.
"""

import logging
from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from cno.const import MAX_CONTENT_LENGTH

log: Final = logging.getLogger("cno")

#: Characters of a value that the text of an error shows.
MOST_SHOWN: Final = 60


def _table(allowed: bytes) -> bytes:
    return bytes(1 if byte in allowed else 0 for byte in range(256))


_ALPHA: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGIT: Final = b"0123456789"

# > tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" /
# > "~" / DIGIT / ALPHA   (RFC 9110 5.6.2)
_TCHAR: Final = b"!#$%&'*+-.^_`|~" + _DIGIT + _ALPHA + _ALPHA.lower()
#: 1 for bytes of a token.
TOKEN: Final[bytes] = _table(_TCHAR)
#: 1 for bytes of a lower-case field name.
LOWER_TOKEN: Final[bytes] = _table(_TCHAR.translate(None, _ALPHA))
#: 1 for bytes of a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 5.5).
FIELD_VALUE: Final[bytes] = _table(bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)]))
#: 1 for bytes of a request target: VCHAR except "#", which begins a fragment.
TARGET: Final[bytes] = _table(bytes(o for o in range(0x21, 0x7F) if o != 0x23))
#: The same with `Limits.allow_raw_targets`.
RAW_TARGET: Final[bytes] = TARGET[:0x80] + b"\1" * 0x80
#: 1 for bytes of a field value in a response: all except NUL, CR, LF.
RESPONSE_VALUE: Final[bytes] = _table(bytes(o for o in range(0x100) if o not in b"\0\r\n"))
#: 1 for bytes of an authority: RFC 3986 3.2 without userinfo's "@".
AUTHORITY: Final[bytes] = _table(b"-._~!$&'()*+,;=:[]%" + _DIGIT + _ALPHA + _ALPHA.lower())

#: Most digits of a content-length: 2^63-1 has 19. Parsers differ in longer numbers.
MAX_LENGTH_DIGITS: Final = 19

#: Fields whose values no table keeps, and no error shows.
SECRET_NAMES: Final = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))

_BLANKS: Final = 0x2020202020202020
_ONES: Final = 0x0101010101010101
_TENTH: Final = MAX_CONTENT_LENGTH // 10  # the last digit of MAX_CONTENT_LENGTH is 7

HEXDIG: Final[bytes] = _table(b"0123456789abcdefABCDEF")
#: 1 for bytes of an IPv6 address without a zone.
IPV6: Final[bytes] = _table(b"0123456789abcdefABCDEF:.")


def encode(text: str) -> bytes:
    """Return header text as it is sent: UTF-8, with surrogate escapes for other bytes.

    Raises UnicodeEncodeError for surrogates that stand for no byte.
    """
    return text.encode() if text.isascii() else text.encode("utf-8", "surrogateescape")


def shown(name: str, value: str) -> str:
    """Return a field's value for the text of an error: escaped, its beginning, and no secret."""
    if name.lower() in SECRET_NAMES:
        return "the value (not shown)"
    return repr(value) if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]!r}..."


def only(table: bytes, text: bytes) -> bool:
    """Whether all bytes of `text` are in `table`."""
    i: i64 = 0
    end: i64 = len(text)
    while i < end:
        if table[text[i]] == 0:
            return False
        i += 1
    return True


def is_token(text: str) -> bool:
    """Whether this is a token, such as a method or a field name in HTTP/1.1."""
    return text != "" and text.isascii() and only(TOKEN, text.encode())


def is_lower_name(name: str) -> bool:
    """Whether this is a field name for HTTP/2: a token without upper case."""
    # > A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff
    # > (all inclusive).   (RFC 9113 8.2.1; a token is narrower still)
    return name != "" and name.isascii() and only(LOWER_TOKEN, name.encode())


def is_value(value: str) -> bool:
    """Whether this is a field value: no control characters except HTAB, no blanks at the ends."""
    # > A field value MUST NOT start or end with an ASCII whitespace character (ASCII SP or HTAB,
    # > 0x20 or 0x09).   (RFC 9113 8.2.1)
    try:
        text = encode(value)
    except UnicodeEncodeError:
        return False
    return is_value_bytes(text)


def is_value_bytes(text: bytes) -> bool:
    """Whether these bytes are a field value; see `is_value`."""
    n: i64 = len(text)
    if n == 0:
        return True
    if text[0] <= 0x20 or text[n - 1] <= 0x20:
        return False
    i: i64 = 0
    while i + 8 <= n and plain(read_i64_be(text, i)):
        i += 8
    table = FIELD_VALUE
    while i < n:
        if table[text[i]] == 0:
            return False
        i += 1
    return True


def is_response_value(value: str) -> bool:
    """Whether a response may have this field value, apart from blanks at its ends."""
    # > Field values containing other CTL characters [than CR, LF, NUL] are also invalid; however,
    # > recipients MAY retain such characters for the sake of robustness when they appear within a
    # > safe context   (RFC 9110 5.5)
    return "\0" not in value and "\r" not in value and "\n" not in value


def plain(eight: i64) -> bool:
    """Whether eight bytes, read as one number, are all in 0x20..0x7E.

    A byte below 0x20 sets its top bit when 0x20 is subtracted, 0x7F sets it when 1 is added, and
    larger bytes have it. No byte below the lowest such byte borrows or carries, so the test is
    exact.
    """
    return ((eight - _BLANKS | eight + _ONES | eight) >> 2) & _BLANKS == 0


def is_target(target: str) -> bool:
    """Whether this is a request target: visible ASCII without a fragment."""
    return target != "" and target.isascii() and only(TARGET, target.encode())


def is_raw_target(target: str) -> bool:
    """Whether this is a request target where `Limits.allow_raw_targets` is on."""
    return target != "" and only(RAW_TARGET, encode(target))


def is_path(path: str, method: str) -> bool:
    """Whether this is a valid :path for a request with this method."""
    # > This pseudo-header field MUST NOT be empty for "http" or "https" URIs; "http" or "https"
    # > URIs that do not contain a path component MUST include a value of '/'. The exception to
    # > this rule is an OPTIONS request for an "http" or "https" URI that does not include a path
    # > component; these MUST include a ":path" pseudo-header field with a value of '*'.
    # > (RFC 9113 8.3.1)
    if path.startswith("/"):
        return is_target(path)
    return path == "*" and method == "OPTIONS"


def is_authority(text: str) -> bool:
    """Whether this is a valid Host or :authority: host [":" port] without userinfo, or empty."""
    # > ":authority" MUST NOT include the deprecated userinfo subcomponent for "http" or "https"
    # > schemed URIs.   (RFC 9113 8.3.1)
    if text == "":
        return True
    if not text.isascii() or not only(AUTHORITY, text.encode()) or not _is_encoded(text):
        return False
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in host or not only(IPV6, host.encode()):
            return False
        return port == "" or (port.startswith(":") and _is_port(port[1:]))
    if "[" in text or "]" in text:
        return False
    host, _, port = text.partition(":")
    return host != "" and _is_port(port)


def _is_encoded(text: str) -> bool:
    # > pct-encoded = "%" HEXDIG HEXDIG   (RFC 3986 2.1)
    at = text.find("%")
    while at >= 0:
        if len(text) < at + 3 or not only(HEXDIG, text[at + 1 : at + 3].encode()):
            return False
        at = text.find("%", at + 3)
    return True


def _is_port(text: str) -> bool:
    # > port = *DIGIT   (RFC 3986 3.2.3)
    return text == "" or (text.isdigit() and text.isascii() and len(text) <= 5)


def is_scheme(text: str) -> bool:
    """Whether this is a URI scheme (RFC 3986 3.1)."""
    if text == "https" or text == "http":
        return True
    if text == "" or not text.isascii() or not text[0].isalpha():
        return False
    return text.replace("+", "").replace("-", "").replace(".", "").isalnum()


def content_length(value: str) -> i64:
    """Return the length in a content-length field; -1 unless it is 1*DIGIT below 2^63."""
    # > Content-Length = 1*DIGIT ... a recipient MUST anticipate potentially large decimal numerals
    # > and prevent parsing errors due to integer conversion overflows.   (RFC 9110 8.6)
    # Not int(), which accepts signs, blanks, underscores and digits of other scripts.
    try:
        text = value.encode()
    except UnicodeEncodeError:
        return -1
    n: i64 = len(text)
    if n == 0 or n > MAX_LENGTH_DIGITS:
        return -1
    number: i64 = 0
    for i in range(n):
        digit: i64 = text[i]
        digit -= 0x30
        if digit < 0 or digit > 9 or number > _TENTH or (number == _TENTH and digit > 7):
            return -1
        number = number * 10 + digit
    return number


#: Fields that concern one hop only. HTTP/2 does not use them.
CONNECTION_SPECIFIC: Final = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)

#: Fields that are not delivered as trailers: they frame, route or authenticate a message, which
#: happens before its body is read.
# > Many fields cannot be processed outside the header section because their evaluation is necessary
# > prior to receiving the content, such as those that describe message framing, routing,
# > authentication, request modifiers, response controls, or content format.   (RFC 9110 6.5.1)
DROPPED_TRAILERS: Final = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def delivered_trailers(trailers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the trailers that the application gets; log the names of the others."""
    for name, _ in trailers:
        if name in DROPPED_TRAILERS:
            return _without_dropped(trailers)
    return trailers


def _without_dropped(trailers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = []
    for field in trailers:
        if field[0] in DROPPED_TRAILERS:
            log.debug("dropped %s from the trailers of a message [RFC 9110 6.5.1]", field[0])
        else:
            kept.append(field)
    return kept


#: Methods that are safe (RFC 9110 9.2.1) or idempotent (9.2.2).
IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"))
#: Methods that define a meaning for content: a request without content says so (RFC 9110 8.6).
EXPECT_CONTENT: Final = frozenset(("POST", "PUT", "PATCH"))
