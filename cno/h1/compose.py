"""Field lines of messages to be sent: checked, lowered, and written (RFC 9112 section 5).

Writes to the given BytesWriter, and records in an `Outgoing` what the fields say about framing and
persistence. Raises UsageError for what must not be sent; the caller then removes what was written.
Knows no connection.
"""

from typing import Final, cast

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from cno.date import DateSource
from cno.errors import UsageError
from cno.h1.body import NOT_IN_TRAILERS
from cno.h1.sent import MAX_LINES, SentFields
from cno.headers import (
    content_length,
    encode,
    is_authority,
    is_scheme,
    is_token,
    is_value_bytes,
    shown,
)

UNKNOWN: Final = -1
NOWHERE: Final = -1

_CRLF: Final = b"\r\n"

PHRASES: Final = {
    100: "Continue",
    101: "Switching Protocols",
    102: "Processing",
    103: "Early Hints",
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    511: "Network Authentication Required",
}

_STATUS_LINES: Final = {
    code: f"HTTP/1.1 {code} {phrase}\r\n".encode() for code, phrase in PHRASES.items()
}

#: Common names without meaning for the engine, and the start of their field lines.
_USUAL: Final = {
    name: f"{name}: ".encode()
    for name in (
        "accept",
        "accept-encoding",
        "accept-language",
        "accept-ranges",
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "age",
        "allow",
        "alt-svc",
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "cookie",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-modified",
        "link",
        "location",
        "origin",
        "permissions-policy",
        "pragma",
        "priority",
        "range",
        "referer",
        "referrer-policy",
        "retry-after",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "server",
        "server-timing",
        "set-cookie",
        "strict-transport-security",
        "traceparent",
        "trailer",
        "user-agent",
        "vary",
        "via",
        "www-authenticate",
        "x-content-type-options",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-frame-options",
        "x-request-id",
    )
}

#: The same, with the names that applications have sent: each name is checked and lowered once. (For
#: a request with 20 uncommon fields this halves the number of instructions.) All connections share
#: it. It holds names only, never values.
_prefixes: Final[dict[str, bytes]] = dict(_USUAL)
#: The table is emptied when it has this many entries. Longer prefixes, in bytes, are not stored.
_MAX_PREFIXES: Final = 1_024
_MAX_PREFIX: Final = 64

#: Fields that Connection must not name.
_END_TO_END: Final = frozenset(("content-length", "host", "transfer-encoding"))


@mypyc_attr(acyclic=True)
class Outgoing:
    """Framing and connection of a message to be sent, as its fields describe them."""

    def __init__(self, request: bool, frameless: bool) -> None:
        self.request = request
        self.frameless = frameless  # no content-length and no transfer-encoding may be sent
        self.length: i64 = UNKNOWN
        self.codings: list[str] | None = None  # of Transfer-Encoding
        self.options: list[str] | None = None  # of Connection, except close and keep-alive
        self.at: i64 = NOWHERE  # position of the application's Connection field
        self.close = False
        self.has_date = False
        self.upgrade: str | None = None


# -- lines ----------------------------------------------------------------------------------------


def status_line(writer: BytesWriter, code: int, reason: str) -> None:
    """Write a status line. An empty `reason` stands for the reason phrase of the RFC."""
    if reason == "":
        line = _STATUS_LINES.get(code)
        if line is not None:
            writer.write(line)
        else:
            # > A server MUST send the space that separates the status-code from the reason-phrase
            # > even when the reason-phrase is absent   (RFC 9112 4)
            writer.write(f"HTTP/1.1 {code} \r\n".encode())
        return
    # > reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )   (RFC 9112 4)
    phrase = _encode(reason)
    if not is_value_bytes(phrase):
        raise UsageError(f"{reason!r} is no reason phrase", rule="RFC 9112 4")
    writer.write(f"HTTP/1.1 {code} ".encode())
    writer.write(phrase)
    writer.write(_CRLF)


def field_lines(writer: BytesWriter, headers: list[tuple[str, str]], out: Outgoing) -> None:
    """Write all fields except those that depend on the framing or on the connection."""
    prefixes = _prefixes
    for name, value in headers:
        prefix = prefixes.get(name)
        if prefix is None:
            prefix = _prefix(out, name, value, len(writer))
            if prefix == b"":
                continue
        try:
            text = value.encode()
        except UnicodeEncodeError:
            text = _encode(value)
        if not is_value_bytes(text):
            _check_value(name, text)
        writer.write(prefix)
        writer.write(text)
        writer.write(_CRLF)


def response_lines(
    writer: BytesWriter, headers: list[tuple[str, str]], out: Outgoing, sent: SentFields
) -> None:
    """Do as `field_lines`; if the fields are those of the previous response, by what it wrote."""
    if out.frameless:
        field_lines(writer, headers, out)  # without some that others have
        return
    sent.note(cast("list[object]", headers))
    if sent.lines:
        writer.write(sent.lines)
        out.length = sent.length
        out.has_date = sent.has_date
        return
    begin = len(writer)
    field_lines(writer, headers, out)
    if sent.repeated and len(writer) - begin <= MAX_LINES and is_plain(out):
        sent.lines = _tail(writer, begin)
        sent.length = out.length
        sent.has_date = out.has_date


def is_plain(out: Outgoing) -> bool:
    """Return whether the fields say nothing of the connection, or of transfer codings."""
    return (
        not out.close
        and out.at == NOWHERE
        and out.options is None
        and out.codings is None
        and out.upgrade is None
    )


def trailer_lines(writer: BytesWriter, trailers: list[tuple[str, str]]) -> None:
    """Write the fields of a trailer section."""
    for name, value in trailers:
        lowered = _lowered(name)
        if lowered in NOT_IN_TRAILERS:
            raise UsageError(f"{lowered} must not be in trailers", rule="RFC 9110 6.5.1")
        text = _encode(value)
        _check_value(name, text)
        writer.write(lowered.encode())
        writer.write(b": ")
        writer.write(text)
        writer.write(_CRLF)


def _encode(text: str) -> bytes:
    try:
        return encode(text)
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} cannot be encoded", rule="RFC 9110 5.5") from None


def _check_value(name: str, text: bytes) -> None:
    if not is_value_bytes(text):
        value = shown(name, text.decode("utf-8", "surrogateescape"))
        raise UsageError(f"{name}: {value} is no field value", rule="RFC 9110 5.5")


def _lowered(name: str) -> str:
    if not is_token(name):
        raise UsageError(f"{name!r} is no field name", rule="RFC 9110 5.1")
    return name.lower()


def _prefix(out: Outgoing, name: str, value: str, at: i64) -> bytes:
    """Return the start of a field line, or b'' for a field that is written later or not at all.

    `at` is the position of the line in the output.
    """
    if name == "content-length":
        return _content_length(out, value)
    if name == "date":
        return _date(out)
    if out.request and (name == ":authority" or (name == ":scheme" and is_scheme(value))):
        return b""
    if name.startswith(":"):
        raise UsageError(f"{name}: {value!r} cannot be sent in HTTP/1.1", rule="RFC 9112 5")
    given, name = name, _lowered(name)
    if name == "content-length":
        return _content_length(out, value)
    if name == "date":
        return _date(out)
    if name == "transfer-encoding":
        out.codings = (out.codings or []) + _tokens(name, value)
        return b""
    if name == "connection":
        _options(out, value)
        if out.at == NOWHERE:
            out.at = at
        return b""
    if name == "proxy-connection" or (name == "host" and out.request):
        _check_value(name, _encode(value))  # report errors in dropped fields too
        return b""
    if name == "upgrade":
        out.upgrade = value if out.upgrade is None else f"{out.upgrade},{value}"
        add_option(out, "upgrade")
    elif name == "te":
        # > A sender of TE MUST also send a "TE" connection option within the Connection header
        # > field   (RFC 9110 10.1.4)
        add_option(out, "te")
    elif name != "host":
        return _remembered(given, name.encode() + b": ")
    return name.encode() + b": "


def _remembered(name: str, prefix: bytes) -> bytes:
    """Store the start of a field line for the next use of its name, and return it."""
    if len(prefix) <= _MAX_PREFIX:
        if len(_prefixes) >= _MAX_PREFIXES:
            _prefixes.clear()
            _prefixes.update(_USUAL)
        # Store a plain str: `name` may be an instance of a subclass.
        _prefixes[name.encode().decode()] = prefix
    return prefix


def _content_length(out: Outgoing, value: str) -> bytes:
    length = content_length(value)
    if length < 0:
        raise UsageError(f"{value!r} is no content-length", rule="RFC 9110 8.6")
    if out.length != UNKNOWN:
        raise UsageError("more than one content-length", rule="RFC 9110 8.6")
    out.length = length
    # > A server MUST NOT send a Content-Length header field in any response with a status code of
    # > 1xx (Informational) or 204 (No Content). A server MUST NOT send a Content-Length header
    # > field in any 2xx (Successful) response to a CONNECT request   (RFC 9110 8.6)
    return b"" if out.frameless else b"content-length: "


def _date(out: Outgoing) -> bytes:
    out.has_date = True
    return b"date: "


def _tokens(name: str, value: str) -> list[str]:
    tokens = [token.strip(" \t") for token in value.split(",")]
    for token in tokens:
        if not is_token(token):
            raise UsageError(f"{name}: {value!r} is no list of tokens", rule="RFC 9110 5.6.2")
    return [token.lower() for token in tokens]


def _options(out: Outgoing, value: str) -> None:
    for option in _tokens("connection", value):
        if option in _END_TO_END:
            # > A sender MUST NOT send a connection option corresponding to a field that is intended
            # > for all recipients of the content.   (RFC 9110 7.6.1; the next one would drop what
            # > frames or routes the message)
            raise UsageError(f"{option} is no connection option", rule="RFC 9110 7.6.1")
        if option == "close":
            out.close = True
        elif option != "keep-alive":
            add_option(out, option)


def add_option(out: Outgoing, option: str) -> None:
    """Add an option to the Connection field."""
    if out.options is None:
        out.options = []
    if option not in out.options:
        out.options.append(option)


# -- what depends on framing and connection -------------------------------------------------------


def inner_codings(out: Outgoing) -> str:
    """Return the transfer codings that the application applied, each followed by a comma."""
    codings = list(out.codings or [])
    if codings and codings[-1] == "chunked":
        codings.pop()
    if "chunked" in codings:
        # > A sender MUST NOT apply the chunked transfer coding more than once   (RFC 9112 6.1)
        raise UsageError("chunked can only be the last transfer coding", rule="RFC 9112 6.1")
    return "".join(coding + ", " for coding in codings)


def date(writer: BytesWriter, dates: DateSource | None, out: Outgoing) -> None:
    """Write the Date field of a final response, unless it has one."""
    # > An origin server with a clock MUST generate a Date header field in all 2xx (Successful), 3xx
    # > (Redirection), and 4xx (Client Error) responses   (RFC 9110 6.6.1)
    if dates is not None and not out.has_date:
        writer.write(dates.now().line)


def length(writer: BytesWriter, size: i64) -> None:
    """Write the Content-Length field."""
    writer.write(b"content-length: ")
    unit: i64 = 1
    while size // unit >= 10:
        unit *= 10
    while unit != 0:
        writer.append(0x30 + size // unit % 10)
        unit //= 10
    writer.write(_CRLF)


def transfer_encoding(writer: BytesWriter, out: Outgoing) -> None:
    """Write Transfer-Encoding for a chunked body."""
    if out.codings is None:
        writer.write(b"transfer-encoding: chunked\r\n")
    else:
        writer.write(f"transfer-encoding: {inner_codings(out)}chunked\r\n".encode())


def connection(writer: BytesWriter, out: Outgoing, last: bool, keep_alive: bool) -> None:
    """Write the Connection field, unless it would be empty."""
    # > A sender SHOULD send a Connection header field containing the "close" connection option when
    # > it intends to close a connection.   (RFC 9112 9.6)
    if out.options is None and out.at == NOWHERE:
        if last:
            writer.write(b"connection: close\r\n")
        elif keep_alive:
            writer.write(b"connection: keep-alive\r\n")
        return
    options = list(out.options or [])
    if last:
        options.append("close")
    elif keep_alive:
        options.append("keep-alive")
    if not options:
        return
    line = f"connection: {', '.join(options)}\r\n".encode()
    if out.at != NOWHERE:
        behind = _tail(writer, out.at)
        writer.truncate(out.at)
        writer.write(line)
        writer.write(behind)
    else:
        writer.write(line)


def _tail(writer: BytesWriter, at: i64) -> bytes:
    """Return the output from `at` on, without copying what precedes it."""
    copy = BytesWriter()
    for i in range(at, len(writer)):
        copy.append(writer[i])
    return copy.getvalue()


def authority(headers: list[tuple[str, str]], known: str | None) -> str:
    """Return the authority of a request, from `:authority` or `host`.

    `known` is a valid authority.
    """
    # > A client MUST send a Host header field in all HTTP/1.1 request messages.   (RFC 9112 3.2)
    found: str | None = None
    pseudo = False
    for name, value in headers:
        if name == ":authority":
            if pseudo:
                raise UsageError("more than one :authority", rule="RFC 9112 3.2")
            pseudo = True
        elif len(name) != 4 or name.lower() != "host":
            continue
        if found is not None and found != value:
            raise UsageError("two different authorities", rule="RFC 9112 3.2")
        found = value
    if found is None:
        raise UsageError("a request needs :authority", rule="RFC 9112 3.2")
    if found != known and not is_authority(found):
        raise UsageError(f"{found!r} is no authority", rule="RFC 3986 3.2")
    return found


def chunk_size(writer: BytesWriter, size: i64) -> None:
    """Write a chunk-size line."""
    shift: i64 = 0
    while size >> shift >= 16:
        shift += 4
    while shift >= 0:
        digit = (size >> shift) & 15
        writer.append(digit + (0x30 if digit < 10 else 0x57))
        shift -= 4
    writer.write(_CRLF)
