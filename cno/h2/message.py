"""From decoded fields to a message, by the rules of RFC 9113 section 8. Knows no connection.

Each field is examined once and the verdict kept in `Field.note`: one that a table holds costs a
comparison the next time it is referred to.
"""

from typing import Final, cast

from mypy_extensions import i64, mypyc_attr

from cno.core import UNKNOWN_LENGTH
from cno.headers import (
    CONNECTION_SPECIFIC,
    content_length,
    is_authority,
    is_lower_name,
    is_path,
    is_scheme,
    is_target,
    is_token,
    is_value,
)
from cno.hpack import Field, NeverIndexed

# Verdicts on a field, `Field.note`. 0: not examined yet. Pseudo-header fields come last.
_PLAIN: Final = 1
_MALFORMED: Final = 2
_HOST: Final = 3
_CONTENT_LENGTH: Final = 4
_COOKIE: Final = 5
_TE: Final = 6
_METHOD: Final = 8
_SCHEME: Final = 9
_AUTHORITY: Final = 10
_PATH: Final = 11
_STATUS: Final = 12
_PROTOCOL: Final = 13
_FIRST_PSEUDO: Final = _METHOD

_KINDS: Final[dict[str, int]] = {
    ":method": _METHOD,
    ":scheme": _SCHEME,
    ":authority": _AUTHORITY,
    ":path": _PATH,
    ":status": _STATUS,
    ":protocol": _PROTOCOL,
    "host": _HOST,
    "content-length": _CONTENT_LENGTH,
    "cookie": _COOKIE,
    "te": _TE,
    # Names met often, so that their octets need no look.
    "accept": _PLAIN,
    "accept-encoding": _PLAIN,
    "accept-language": _PLAIN,
    "authorization": _PLAIN,
    "cache-control": _PLAIN,
    "content-type": _PLAIN,
    "date": _PLAIN,
    "etag": _PLAIN,
    "if-modified-since": _PLAIN,
    "if-none-match": _PLAIN,
    "last-modified": _PLAIN,
    "location": _PLAIN,
    "priority": _PLAIN,
    "range": _PLAIN,
    "referer": _PLAIN,
    "server": _PLAIN,
    "set-cookie": _PLAIN,
    "user-agent": _PLAIN,
    "vary": _PLAIN,
}


class Malformed(Exception):
    """A message that breaks a rule of section 8: `text` says which field and why."""

    def __init__(self, text: str, rule: str = "RFC 9113 8.1.1") -> None:
        super().__init__(text)
        self.text = text
        self.rule = rule


@mypyc_attr(acyclic=True)
class Message:
    """The head of a request (code 0) or response, checked."""

    def __init__(self) -> None:
        self.code: i64 = 0
        self.method = ""
        self.path = ""
        self.authority = ""
        self.protocol = False  # extended CONNECT
        self.headers: list[tuple[str, str]] = []
        self.length: i64 = UNKNOWN_LENGTH  # of the body, by content-length
        # -- while it is put together -------------------------------------------------------------
        self.host: Field | None = None
        self.cookie: Field | None = None  # the first crumb, which is at `cookie_at` of `headers`
        self.cookie_at: i64 = 0
        self.crumbs: list[Field] | None = None  # all of them, if there are more


def _examine(field: Field) -> i64:
    """What kind of field this is, and whether it may exist at all."""
    name = field.name
    value = field.value
    found = _KINDS.get(name)
    kind: i64 = _PLAIN
    if found is not None:
        kind = found
    elif not is_lower_name(name):
        # > A request or response containing uppercase or otherwise invalid field names MUST be
        # > treated as malformed; "Endpoints MUST NOT generate pseudo-header fields other than
        # > those defined in this document."   (RFC 9113 8.2.1, 8.3)
        kind = _MALFORMED
    elif name in CONNECTION_SPECIFIC:
        # > An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header
        # > fields. ... Any message containing connection-specific header fields MUST be treated
        # > as malformed.   (RFC 9113 8.2.2)
        kind = _MALFORMED
    if kind != _MALFORMED and not (is_value(value) and _fits(kind, value)):
        kind = _MALFORMED
    field.note = kind
    return kind


def _fits(kind: i64, value: str) -> bool:
    """Whether this value, of legal octets, is one that this kind of field may have."""
    if kind == _PLAIN or kind == _COOKIE:
        return True
    if kind == _METHOD or kind == _PROTOCOL:
        return is_token(value)
    if kind == _SCHEME:
        return is_scheme(value)
    if kind == _AUTHORITY or kind == _HOST:
        return is_authority(value)
    if kind == _PATH:
        return is_target(value)
    if kind == _STATUS:
        return len(value) == 3 and value.isascii() and value.isdigit() and value[0] != "0"
    if kind == _CONTENT_LENGTH:
        return content_length(value) >= 0
    # > The only exception to this is the TE header field, which MAY be present in an HTTP/2
    # > request; when it is, it MUST NOT contain any value other than "trailers".   (8.2.2)
    return value.lower() == "trailers"


def _explain(field: Field) -> Malformed:
    """Why a field was refused."""
    name = field.name
    if name in CONNECTION_SPECIFIC:
        return Malformed(f"connection-specific field {name!r}", "RFC 9113 8.2.2")
    if name.startswith(":") and name not in _KINDS:
        return Malformed(f"unknown pseudo-header field {name!r}", "RFC 9113 8.3")
    if name not in _KINDS and not is_lower_name(name):
        return Malformed(f"invalid field name {name!r}", "RFC 9113 8.2.1")
    return Malformed(f"invalid value of {name!r}", "RFC 9113 8.2.1")


def _take_special(message: Message, field: Field, kind: i64) -> None:
    """Take a regular field that is not plain."""
    pairs = cast(list[object], message.headers)
    if kind == _MALFORMED:
        raise _explain(field)
    if kind == _CONTENT_LENGTH:
        # > a recipient ... MAY replace the duplicated field values with a single valid
        # > Content-Length; different ones are an error.   (RFC 9110 8.6)
        length = content_length(field.value)
        if message.length != UNKNOWN_LENGTH:
            if message.length != length:
                raise Malformed("different content-lengths", "RFC 9110 8.6")
            return
        message.length = length
        pairs.append(field.pair)
    elif kind == _HOST:
        if message.host is not None:
            raise Malformed("more than one host field", "RFC 9110 7.2")
        message.host = field
    elif kind == _COOKIE:
        if message.cookie is None:
            message.cookie = field
            message.cookie_at = len(pairs)
            pairs.append(field.pair)
        elif message.crumbs is None:
            message.crumbs = [message.cookie, field]
        else:
            message.crumbs.append(field)
    else:
        pairs.append(field.pair)


def _join_cookies(message: Message, crumbs: list[Field]) -> None:
    """Put the crumbs of `cookie` together."""
    # > If there are multiple Cookie header fields after decompression, these MUST be concatenated
    # > into a single octet string using the two-octet delimiter of 0x3b, 0x20 (the ASCII string
    # > "; ") before being passed into a non-HTTP/2 context ... or a generic HTTP server
    # > application.   (RFC 9113 8.2.3)
    pair: tuple[str, str] = ("cookie", "; ".join([crumb.value for crumb in crumbs]))
    secret = False
    for crumb in crumbs:
        secret = secret or crumb.never_indexed
    pairs = cast(list[object], message.headers)
    # No conditional expression: compiled, it would be a mere pair in either case.
    if secret:
        pairs[message.cookie_at] = NeverIndexed(pair)
    else:
        pairs[message.cookie_at] = pair


def request(fields: list[Field]) -> Message:
    """Check and assemble a request's head; raises Malformed."""
    method: Field | None = None
    scheme: Field | None = None
    authority: Field | None = None
    path: Field | None = None
    protocol: Field | None = None
    at: i64 = 0
    count: i64 = len(fields)
    # > All pseudo-header fields MUST appear in a field block before all regular field lines.
    while at < count:
        field = fields[at]
        kind = field.note
        if kind == 0:
            kind = _examine(field)
        if kind < _FIRST_PSEUDO:
            break
        before: Field | None = None
        if kind == _METHOD:
            before, method = method, field
        elif kind == _SCHEME:
            before, scheme = scheme, field
        elif kind == _AUTHORITY:
            before, authority = authority, field
        elif kind == _PATH:
            before, path = path, field
        elif kind == _PROTOCOL:
            before, protocol = protocol, field
        else:
            raise Malformed("response pseudo-header field :status in a request", "RFC 9113 8.3")
        if before is not None:
            raise Malformed(f"second {field.name}", "RFC 9113 8.3")
        at += 1
    message = Message()
    pairs = cast(list[object], message.headers)
    if scheme is not None:
        pairs.append(scheme.pair)
    if authority is not None:
        pairs.append(authority.pair)
    if protocol is not None:
        message.protocol = True
        pairs.append(protocol.pair)
    _take_regular(message, fields, at)
    _check_request(message, method, scheme, authority, path)
    return message


def _take_regular(message: Message, fields: list[Field], at: i64) -> None:
    """Gather the fields from `at` on."""
    pairs = cast(list[object], message.headers)
    count: i64 = len(fields)
    while at < count:
        field = fields[at]
        kind = field.note
        if kind == 0:
            kind = _examine(field)
        if kind == _PLAIN:
            pairs.append(field.pair)
        elif kind >= _FIRST_PSEUDO:
            raise Malformed(f"{field.name} after a regular field", "RFC 9113 8.3")
        else:
            _take_special(message, field, kind)
        at += 1
    if message.crumbs is not None:
        _join_cookies(message, message.crumbs)


def _check_request(
    message: Message,
    method: Field | None,
    scheme: Field | None,
    authority: Field | None,
    path: Field | None,
) -> None:
    """The rules that look at several fields of a request at once."""
    if method is None:
        raise Malformed("no :method", "RFC 9113 8.3.1")
    message.method = method.value
    if message.protocol and message.method != "CONNECT":
        raise Malformed(":protocol without CONNECT", "RFC 8441 4")
    if message.method == "CONNECT" and not message.protocol:
        # > The ":scheme" and ":path" pseudo-header fields MUST be omitted. The ":authority"
        # > pseudo-header field contains the host and port to connect to.   (RFC 9113 8.5)
        if scheme is not None or path is not None:
            raise Malformed("CONNECT with :scheme or :path", "RFC 9113 8.5")
        if authority is None or authority.value == "":
            raise Malformed("CONNECT without :authority", "RFC 9113 8.5")
    else:
        # > All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme",
        # > and ":path" pseudo-header fields, unless they are CONNECT requests.   (8.3.1)
        if scheme is None or path is None:
            raise Malformed("no :scheme or no :path", "RFC 9113 8.3.1")
        if not path.value.startswith("/") and not is_path(path.value, message.method):
            raise Malformed("invalid :path", "RFC 9113 8.3.1")
        if message.protocol and (authority is None or authority.value == ""):
            raise Malformed("extended CONNECT without :authority", "RFC 8441 4")
        message.path = path.value
    _settle_authority(message, authority, 0 if scheme is None else 1)


def _settle_authority(message: Message, authority: Field | None, at: i64) -> None:
    """One authority for the application: `:authority`, from Host where that alone is there."""
    host = message.host
    if authority is not None:
        message.authority = authority.value
        # > A server SHOULD treat a request as malformed if it contains a Host header field that
        # > identifies an entity that differs from the entity in the ":authority" pseudo-header
        # > field.   (RFC 9113 8.3.1)
        if host is not None and host.value.lower() != authority.value.lower():
            raise Malformed("host differs from :authority", "RFC 9113 8.3.1")
    elif host is not None:
        message.authority = host.value
        message.headers.insert(int(at), (":authority", host.value))


def response(fields: list[Field]) -> Message:
    """Check and assemble a response's head, a 1xx included; raises Malformed."""
    if not fields:
        raise Malformed("no :status", "RFC 9113 8.3.2")
    status = fields[0]
    kind = status.note
    if kind == 0:
        kind = _examine(status)
    if kind == _MALFORMED:
        raise _explain(status)
    if kind != _STATUS:
        raise Malformed("a response does not begin with :status", "RFC 9113 8.3.2")
    message = Message()
    _take_regular(message, fields, 1)
    if message.host is not None:
        cast(list[object], message.headers).append(message.host.pair)
    message.code = 200 if status.value == "200" else int(status.value)
    # > HTTP/2 does not support the 101 (Switching Protocols) informational status code.   (8.6)
    if message.code == 101:
        raise Malformed("status 101", "RFC 9113 8.6")
    return message


def trailers(fields: list[Field]) -> list[tuple[str, str]]:
    """Check a trailer section; raises Malformed."""
    # > Pseudo-header fields MUST NOT appear in trailer sections.   (RFC 9113 8.1)
    message = Message()
    _take_regular(message, fields, 0)
    if message.length != UNKNOWN_LENGTH or message.host is not None:
        # > a sender MUST NOT generate trailer fields unless the sender knows the corresponding
        # > header field name's definition permits it.   (RFC 9110 6.5.1; framing, routing: no)
        raise Malformed("content-length or host among trailers", "RFC 9110 6.5.1")
    return message.headers
