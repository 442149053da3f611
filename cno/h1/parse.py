"""The parser of start lines and field lines: one pass, line by line (RFC 9112 sections 2 to 6).

    request-line = method SP request-target SP HTTP-version CRLF
    status-line  = HTTP-version SP status-code SP [ reason-phrase ] CRLF
    field-line   = field-name ":" OWS field-value OWS CRLF

A leaf: takes bytes, returns a `Head`, raises `ConnectionFault` with the status of the response.
Knows nothing of connections, and of fields only what they say about framing and persistence.

A fault is found when its line is complete or too long, never earlier: the result does not depend on
how the input was cut. Lines end with CRLF; a bare CR or LF is a fault.
"""

from typing import Final, cast

from librt.strings import read_i64_be
from mypy_extensions import i64

from cno.errors import ConnectionFault
from cno.h1.head import NO_LENGTH as NO_LENGTH
from cno.h1.head import Bounds as Bounds
from cno.h1.head import Head as Head
from cno.h1.head import HeaderLineCache as HeaderLineCache
from cno.headers import (
    FIELD_VALUE,
    RAW_TARGET,
    RESPONSE_VALUE,
    TARGET,
    TOKEN,
    content_length,
    is_token,
    only,
    plain,
)

SP: Final = 0x20
HTAB: Final = 0x09
CR: Final = 0x0D
LF: Final = 0x0A
COLON: Final = 0x3A
DEL: Final = 0x7F
ZERO: Final = 0x30
NINE: Final = 0x39

#: Returned by a line parser for a line without an end.
INCOMPLETE: Final = -1
#: Fields that the engine interprets.
SPECIAL: Final = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    )
)

#: Longest list, in characters, to which another line is appended. Appending copies the list.
MAX_JOINED: Final = 1_024

#: Bits of `Head.allowances` (`Limits.allow_*`) for this module. `lenient` has those of lines.
EQUAL_LENGTHS: Final = 4
CODINGS: Final = 8
RAW_TARGETS: Final = 16
ANY_AUTHORITY: Final = 32

_VERSION_1: Final = 0x20485454502F312E  # " HTTP/1."
_STATUS_1: Final = 0x485454502F312E  # "HTTP/1."


def _known(names: str) -> dict[str, str]:
    known = {}
    for name in names.split():
        known[name] = name
        known["-".join(word.capitalize() for word in name.split("-"))] = name
    known.update({"DNT": "dnt", "ETag": "etag", "TE": "te", "WWW-Authenticate": "www-authenticate"})
    return known


#: Field names as received, and as delivered.
KNOWN: Final = _known(
    """accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
    cache-control connection content-disposition content-encoding content-language content-length
    content-security-policy content-type cookie date dnt etag expect expires forwarded from host
    if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified
    link location origin pragma priority range referer referrer-policy retry-after sec-ch-ua
    sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user
    server set-cookie strict-transport-security te traceparent tracestate trailer transfer-encoding
    upgrade upgrade-insecure-requests user-agent vary via www-authenticate x-api-key
    x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-proto x-frame-options
    x-powered-by x-real-ip x-request-id x-requested-with"""
)


def malformed(text: str, rule: str, limit: str = "") -> ConnectionFault:
    """Return the fault of input that breaks the grammar; `limit` is the switch that allows it."""
    # > the server SHOULD respond with a 400 (Bad Request) response and close the connection.
    # > (RFC 9112 2.2)
    return ConnectionFault(400, text, rule, limit)


def _unfinished(head: Head, data: bytes, start: i64, end: i64, bounds: Bounds) -> i64:
    """Return INCOMPLETE if the line at `start` has no end yet, else raise its fault."""
    lf: i64 = data.find(b"\n", start, end)
    # The byte before LF should be CR, which does not count.
    size: i64 = (end if lf < 0 else lf) - start - 1
    if size > bounds.line:
        raise line_too_long(bounds) if head.begun else _too_long(data, start, bounds)
    if head.begun and size + bounds.overhead > bounds.size - head.size:
        if size > 0 or lf >= 0 or data[start] != CR:
            raise section_too_large(head, bounds)
    if lf < 0:
        return INCOMPLETE
    if lf == start or data[lf - 1] != CR:
        # > a recipient MAY recognize a single LF as a line terminator   (RFC 9112 2.2; we don't)
        raise malformed("a line ends with LF alone", "RFC 9112 2.2", "allow_bare_lf")
    if not head.begun:
        raise _bad_start(head, data[start : lf - 1])
    raise _bad_field(data, start, lf)


def _too_long(data: bytes, start: i64, bounds: Bounds) -> ConnectionFault:
    """Return the fault of a start line that is too long."""
    blank: i64 = data.find(b" ", start, start + bounds.line)
    if blank < 0:
        # > A server that receives a method longer than any that it implements SHOULD respond with a
        # > 501 (Not Implemented) status code.   (RFC 9112 3)
        return ConnectionFault(501, "method too long", "RFC 9112 3", "max_line_size")
    # > A server that receives a request-target longer than any URI it wishes to parse MUST respond
    # > with a 414 (URI Too Long) status code.   (RFC 9112 3)
    return ConnectionFault(414, "start line too long", "RFC 9112 3", "max_line_size")


def _bad_start(head: Head, line: bytes) -> ConnectionFault:
    """Return the fault of a start line."""
    words = line.split(b" ")
    if head.request and len(words) == 3 and words[1] != b"" and only(RAW_TARGET, words[1]):
        if not words[1].isascii():
            return malformed("byte above 0x7F in the target", "RFC 9112 3.2", "allow_raw_targets")
    return malformed("malformed start line", "RFC 9112 3" if head.request else "RFC 9112 4")


def line_too_long(bounds: Bounds) -> ConnectionFault:
    """Return the fault of a field line that is too long."""
    return _too_large("field line too long", bounds, "max_line_size")


def section_too_large(head: Head, bounds: Bounds) -> ConnectionFault:
    """Return the fault of a section whose lines are too large together."""
    limit = "max_trailer_size" if head.trailers else "max_header_list_size"
    return _too_large("fields too large", bounds, limit)


def _too_many(head: Head, bounds: Bounds) -> ConnectionFault:
    limit = "max_trailer_fields" if head.trailers else "max_header_fields"
    return _too_large("too many fields", bounds, limit)


def _too_large(text: str, bounds: Bounds, limit: str) -> ConnectionFault:
    # > A server that receives a request header field line, field value, or set of fields larger
    # > than it wishes to process MUST respond with an appropriate 4xx (Client Error) status code.
    # > (RFC 9110 5.4)
    return ConnectionFault(bounds.status, text, "RFC 9110 5.4", limit)


def _bad_field(data: bytes, start: i64, lf: i64) -> ConnectionFault:
    """Return the fault of a field line."""
    first = data[start]
    if first == SP or first == HTAB:
        # > A server that receives an obs-fold in a request message that is not within a
        # > "message/http" container MUST either reject the message by sending a 400 (Bad Request)
        # > ... or replace each received obs-fold   (RFC 9112 5.2)
        return malformed("a field line begins with a blank", "RFC 9112 5.2", "allow_obs_fold")
    name, colon, _ = data[start:lf].partition(b":")
    if colon and name.rstrip(b" \t") != name:
        # > No whitespace is allowed between the field name and colon. ... A server MUST reject,
        # > with a response status code of 400 (Bad Request), any received request message that
        # > contains whitespace between a header field name and colon.   (RFC 9112 5.1)
        return malformed("blank between field name and colon", "RFC 9112 5.1")
    return malformed("malformed field line", "RFC 9112 5")


def room(head: Head, bounds: Bounds, taken: i64) -> i64:
    """Return how many bytes may follow the first `taken` bytes of a line before it is too long."""
    limit = bounds.line
    if head.begun and bounds.size - head.size - bounds.overhead < limit:
        limit = bounds.size - head.size - bounds.overhead
    return limit + 1 - taken


# -- start lines ----------------------------------------------------------------------------------


def request_line(head: Head, data: bytes, start: i64, end: i64, bounds: Bounds) -> i64:
    """Take a request line. Return the position after it, or INCOMPLETE."""
    token = TOKEN
    if token[data[start]] == 0:
        # This is not HTTP/1.1 (but TLS, for example): do not wait for the end of the line.
        raise malformed("malformed start line", "RFC 9112 3")
    i = start + 1
    while i < end and token[data[i]] != 0:
        i += 1
    if i == end or data[i] != SP:
        return _unfinished(head, data, start, end, bounds)
    blank = i
    i += 1
    raw = head.allowances & RAW_TARGETS != 0
    target = RAW_TARGET if raw else TARGET
    while i < end and target[data[i]] != 0:
        i += 1
    # Expect " HTTP/1.1" and CRLF.
    if end - i < 11 or i == blank + 1 or data[i] != SP or data[i + 9] != CR or data[i + 10] != LF:
        return _unfinished(head, data, start, end, bounds)
    if i + 9 - start > bounds.line:
        raise _too_long(data, start, bounds)
    minor: i64 = data[i + 8]
    if read_i64_be(data, i) != _VERSION_1 or minor < ZERO or minor > NINE:
        raise _bad_version(data[i + 1 : i + 9])
    if (
        blank == start + 3
        and data[start] == 0x47
        and data[start + 1] == 0x45
        and data[start + 2] == 0x54
    ):
        head.method = "GET"
    else:
        head.method = data[start:blank].decode("latin-1")
    if raw:
        head.target = data[blank + 1 : i].decode("utf-8", "surrogateescape")
    else:
        head.target = data[blank + 1 : i].decode("latin-1")
    head.origin = data[blank + 1] == 0x2F
    head.minor = minor - ZERO
    return i + 11


def _bad_version(version: bytes) -> ConnectionFault:
    digits = version[5:6] + version[7:8]
    if version.startswith(b"HTTP/") and version[6:7] == b"." and digits.isdigit():
        # > A server can send a 505 (HTTP Version Not Supported) response if it wishes, for any
        # > reason, to refuse service of the client's major protocol version.   (RFC 9110 2.5)
        return ConnectionFault(505, "HTTP version not supported", "RFC 9110 2.5")
    return malformed("malformed HTTP version", "RFC 9112 2.3")


def status_line(head: Head, data: bytes, start: i64, end: i64, bounds: Bounds) -> i64:
    """Take a status line. Return the position after it, or INCOMPLETE."""
    if data[start] != 0x48:  # "H"
        raise malformed("malformed start line", "RFC 9112 4")
    i = start + 12
    while i < end and (data[i] >= SP or data[i] == HTAB) and data[i] != DEL:
        i += 1
    if i + 1 >= end or data[i] != CR or data[i + 1] != LF:
        return _unfinished(head, data, start, end, bounds)
    if i - start > bounds.line:
        raise _too_long(data, start, bounds)
    minor: i64 = data[start + 7]
    if (
        read_i64_be(data, start) >> 8 != _STATUS_1
        or minor < ZERO
        or minor > NINE
        or data[start + 8] != SP
        or (i > start + 12 and data[start + 12] != SP)
    ):
        raise malformed("malformed start line", "RFC 9112 4")
    code: i64 = 0
    for k in range(start + 9, start + 12):
        digit: i64 = data[k]
        if digit < ZERO or digit > NINE:
            raise malformed("malformed status code", "RFC 9112 4")
        code = code * 10 + digit - ZERO
    if code < 100:
        raise malformed("malformed status code", "RFC 9110 15")
    head.code = code
    head.minor = minor - ZERO
    if i > start + 13:
        head.method = _reason(data, start + 13, i)
    return i + 2


def _reason(data: bytes, start: i64, end: i64) -> str:
    """Return the reason phrase of a status line (RFC 9112 4)."""
    if end - start == 2 and data[start] == 0x4F and data[start + 1] == 0x4B:
        return "OK"
    return data[start:end].decode("utf-8", "surrogateescape")


# -- field lines ----------------------------------------------------------------------------------


def field_lines(
    head: Head, data: bytes, pos: i64, end: i64, bounds: Bounds, cache: HeaderLineCache | None
) -> i64:
    """Take whole field lines from `pos` on, until the empty line (`head.complete`) or `end`.

    `cache` holds the lines of the previous head. Return the position after the last line taken.
    """
    text = ""
    base: i64 = -1  # position of the first character of `text`, which is latin-1
    ascii = True
    i = pos
    while i < end:
        if data[i] == CR and i + 1 < end and data[i + 1] == LF:
            head.complete = True
            return i + 2
        if cache is not None and head.count < cache.size:
            follow = _take_cached_line(head, data, i, end, bounds, cache)
            if follow != i:
                i = follow
                continue
        start = i
        if base < 0:
            base = start
            text = data[start:end].decode("latin-1")
            ascii = text.isascii()
            if cache is not None and not ascii:
                cache.truncate(head.count)
        while i < end and data[i] != COLON:
            i += 1
        colon = i
        name = _name(data, start, colon, end, text[start - base : colon - base])
        if name is None:
            _unfinished(head, data, start, end, bounds)
            return start
        i += 1
        while i < end and (data[i] == SP or data[i] == HTAB):
            i += 1
        first = i
        i = _value_end(data, i, end)
        if i + 1 >= end or data[i] != CR or data[i + 1] != LF:
            i = _behind_controls(head, name, data, start, i, end, bounds)
            if i < 0:
                return start
        last = i
        while last > first and (data[last - 1] == SP or data[last - 1] == HTAB):
            last -= 1
        i += 2
        at = head.count
        _account(head, i - start - 2, bounds)
        value = text[first - base : last - base]
        special = name in SPECIAL and not head.trailers
        delivered = not special or not _noted(head, name, value)
        if not ascii:
            value = data[first:last].decode("utf-8", "surrogateescape")
        field: object = (name, value)
        if delivered:
            head.fields.append(field)
        if cache is not None and ascii:
            cache.store(at, data[start:i], field, special)
    return i


def _take_cached_line(
    head: Head, data: bytes, start: i64, end: i64, bounds: Bounds, cache: HeaderLineCache
) -> i64:
    """Take a line that equals that of the previous head.

    Return the position after it, else `start`.
    """
    at = head.count
    line = cache.lines[at]
    size: i64 = len(line)
    if size == 0 or start + size > end or data[start : start + size] != line:
        return start
    _account(head, size - 2, bounds)
    head.repeated += 1
    field = cache.fields[at]
    if not cache.special[at] or not _note_cached(head, field):
        head.fields.append(field)
    return start + size


def _name(data: bytes, start: i64, colon: i64, end: i64, wire: str) -> str | None:
    """Return a field name in lower case; None if it is not a token."""
    # One look-up checks and lowers a usual name.
    name = KNOWN.get(wire)
    if name is not None:
        return name
    if colon == start or colon == end or not _is_token(data, start, colon):
        return None
    return wire.lower()


def _is_token(data: bytes, start: i64, end: i64) -> bool:
    table = TOKEN
    i = start
    while i < end:
        if table[data[i]] == 0:
            return False
        i += 1
    return True


def _value_end(data: bytes, start: i64, end: i64) -> i64:
    """Return the position of the first byte that no field value may have: CR in a valid line."""
    i = start
    while i + 8 <= end and plain(read_i64_be(data, i)):
        i += 8
    table = FIELD_VALUE
    while i < end and table[data[i]] != 0:
        i += 1
    return i


def _behind_controls(
    head: Head, name: str, data: bytes, start: i64, i: i64, end: i64, bounds: Bounds
) -> i64:
    """Return the end of a value on the line at `start` that has a control character at `i`.

    INCOMPLETE if the line has no end yet. Raises if this value must not have control characters.
    """
    # Not in fields that frame or route: other parsers trim some control characters as blanks.
    if head.controls and (name not in SPECIAL or head.trailers):
        table = RESPONSE_VALUE
        while i < end and table[data[i]] != 0:
            i += 1
        if i + 1 < end and data[i] == CR and data[i + 1] == LF:
            return i
    return _unfinished(head, data, start, end, bounds)


def _account(head: Head, size: i64, bounds: Bounds) -> None:
    """Count a line of `size` bytes against the bounds."""
    if size > bounds.line:
        raise line_too_long(bounds)
    head.size += size + bounds.overhead
    head.count += 1
    if head.size > bounds.size:
        raise section_too_large(head, bounds)
    if head.count > bounds.fields:
        raise _too_many(head, bounds)


def _noted(head: Head, name: str, value: str) -> bool:
    """Record what a field says about framing and persistence.

    Return True if it is not delivered.
    """
    if name == "host":
        if head.request:
            _note_host(head, value)
        return head.request
    if name == "connection":
        _note_options(head, value)
        return True
    if name == "content-length":
        return _note_length(head, value)
    if name == "transfer-encoding":
        head.codings = _joined(head.codings, value)
        return True
    if name == "upgrade":
        head.upgrade = _joined(head.upgrade, value)
    elif name == "expect" and value.lower() == "100-continue":
        head.expects = True
    return name == "keep-alive" or name == "proxy-connection"


def _joined(before: str | None, value: str) -> str:
    """Return the value of a list field with another line appended."""
    if before is None:
        return value
    if len(before) > MAX_JOINED:
        raise malformed("a list of too many lines", "RFC 9110 5.4")
    return f"{before},{value}"


def _note_cached(head: Head, field: object) -> bool:
    name, value = cast("tuple[str, str]", field)
    return _noted(head, name, value)


def _note_host(head: Head, value: str) -> None:
    # > A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
    # > that lacks a Host header field and to any request message that contains more than one Host
    # > header field line or a Host header field with an invalid field value.   (RFC 9112 3.2)
    if head.host is not None:
        raise malformed("more than one Host", "RFC 9112 3.2")
    head.host = value


def _note_length(head: Head, value: str) -> bool:
    """Record a content-length. Return True if the field must not be delivered (again)."""
    # > If a message is received without Transfer-Encoding and with an invalid Content-Length header
    # > field, then the message framing is invalid and the recipient MUST treat it as an
    # > unrecoverable error, unless the field value can be successfully parsed as a comma-separated
    # > list, all values in the list are valid, and all values in the list are the same (RFC 9112
    # > 6.3; only where that is switched on)
    length = content_length(value)
    if length >= 0 and head.length == NO_LENGTH:
        head.length = length
        return False
    if head.allowances & EQUAL_LENGTHS == 0:
        limit = "allow_equal_content_lengths" if length >= 0 and length == head.length else ""
        raise malformed("malformed or repeated content-length", "RFC 9112 6.3", limit)
    for one in value.split(","):
        length = content_length(one.strip(" \t"))
        if length < 0 or (head.length != NO_LENGTH and head.length != length):
            raise malformed("content-lengths that differ", "RFC 9112 6.3")
        if head.length == NO_LENGTH:
            head.length = length
            head.fields.append(("content-length", one.strip(" \t")))
    return True


def _note_options(head: Head, value: str) -> None:
    """Record the options of a Connection field (RFC 9110 7.6.1)."""
    options = value.lower()
    if options == "keep-alive":
        head.keep_alive = True
        return
    for option in options.split(","):
        option = option.strip(" \t")
        if option == "close":
            head.close = True
        elif option == "keep-alive":
            head.keep_alive = True
        elif option == "upgrade":
            head.upgrading = True
        elif option != "" and not option.startswith(":"):
            if head.named is None:
                head.named = set()
            head.named.add(option)


def asks_upgrade(head: Head) -> bool:
    """Whether a message asks for the protocols in its Upgrade field."""
    # > A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that
    # > Upgrade field. ... A sender of Upgrade MUST also send an "Upgrade" connection option in the
    # > Connection header field   (RFC 9110 7.8)
    return head.upgrade is not None and head.upgrading and head.minor > 0


def protocols(upgrade: str) -> list[str]:
    """Return the protocols that an Upgrade field lists, in lower case."""
    listed = [p.strip(" \t").lower() for p in upgrade.split(",")]
    return [p for p in listed if p != ""]


def end_to_end(head: Head) -> list[object]:
    """Return the fields to be delivered, as a new list, without those that concern one hop only.

    content-length stays, since it frames the message whatever Connection says. `te: trailers`
    stays, and `upgrade` where the message asks for an upgrade.
    """
    keeps_upgrade = head.upgrade is None or asks_upgrade(head)
    if keeps_upgrade and head.named is None:
        return head.fields.copy()
    named = head.named or set()
    result: list[object] = []
    for field in head.fields:
        if isinstance(field, tuple):
            name = field[0]
            if name == "upgrade":
                if not keeps_upgrade:
                    continue
            elif name in named and name != "content-length":
                if name != "te" or field[1].lower() != "trailers":
                    continue
        result.append(field)
    return result


def is_chunked(head: Head) -> bool:
    """Whether the transfer codings of a message (at least one) end in chunked, and are known."""
    codings = head.codings or ""
    if codings == "chunked":
        return True
    listed = [c.strip(" \t").lower() for c in codings.split(",")]
    if "" in listed:
        # Lists may have empty elements (RFC 9110 5.6.1). Here they are an attempt to hide the
        # coding from another parser.
        raise malformed("malformed transfer-encoding", "RFC 9112 6.1")
    if listed[-1] != "chunked":
        return False
    if len(listed) > 1:
        if "chunked" in listed[:-1]:
            # > A sender MUST NOT apply the chunked transfer coding more than once   (RFC 9112 6.1)
            raise malformed("chunked twice", "RFC 9112 6.1")
        if head.allowances & CODINGS == 0 or not all(is_token(c) for c in listed):
            # > A server that receives a request message with a transfer coding it does not
            # > understand SHOULD respond with 501 (Not Implemented).   (RFC 9112 6.1)
            limit = "allow_transfer_codings" if head.allowances & CODINGS == 0 else ""
            raise ConnectionFault(501, "unknown transfer coding", "RFC 9112 6.1", limit)
    return True


def inner_codings(head: Head) -> str:
    """Return the transfer codings that the application must undo; "" if there are none."""
    if head.allowances & CODINGS == 0 or head.codings is None:
        return ""
    listed = [c.strip(" \t").lower() for c in head.codings.split(",")]
    return ", ".join(c for c in listed if c != "" and c != "chunked")
