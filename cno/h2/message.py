"""Makes messages from decoded fields, by the rules of RFC 9113 section 8. Knows no connection."""

from typing import Final, cast

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from cno.core import UNKNOWN_LENGTH
from cno.h2.field_rules import (
    AUTHORITY,
    CONTENT_LENGTH,
    CONTROLS,
    COOKIE,
    FIRST_PSEUDO,
    HOST,
    KINDS,
    MALFORMED,
    METHOD,
    PATH,
    PLAIN,
    PROTOCOL,
    SCHEME,
    STATUS,
    VALUE_RULES,
)
from cno.headers import (
    CONNECTION_SPECIFIC,
    content_length,
    delivered_trailers,
    is_lower_name,
    is_path,
    is_value,
)
from cno.hpack import Block, NeverIndexed

#: The position of a field that a message does not have.
_NONE: Final = -1


class Malformed(Exception):
    """A message breaks a rule of section 8: `text` says which field, and why."""

    def __init__(self, text: str, rule: str = "RFC 9113 8.1.1") -> None:
        super().__init__(text)
        self.text = text
        self.rule = rule


@mypyc_attr(acyclic=True)
class Message:
    """The checked head of a request (code 0) or response."""

    def __init__(self, of_response: bool = False) -> None:
        self.of_response = of_response
        self.code: i64 = 0
        self.method = ""
        self.path = ""
        self.authority = ""
        self.protocol = False  # extended CONNECT
        self.headers: list[tuple[str, str]] = []
        self.length: i64 = UNKNOWN_LENGTH  # of the body, by content-length
        # -- while it is put together -------------------------------------------------------------
        self.host: object | None = None
        self.cookie_at: i64 = _NONE  # position of the first cookie field in `headers`
        self.crumbs: list[object] | None = None  # all cookie fields, if there are several


def _explain(pair: object) -> Malformed:
    """Return why a field was refused."""
    name, value = cast(tuple[str, str], pair)
    if name in CONNECTION_SPECIFIC:
        return Malformed(f"connection-specific field {name!r}", "RFC 9113 8.2.2")
    if name.startswith(":") and name not in KINDS:
        return Malformed(f"unknown pseudo-header field {name!r}", "RFC 9113 8.3")
    if name not in KINDS and not is_lower_name(name):
        return Malformed(f"invalid field name {name!r}", "RFC 9113 8.2.1")
    rule = VALUE_RULES.get(name, "") if is_value(value) else ""
    return Malformed(f"invalid value of {name!r}", rule or "RFC 9113 8.2.1")


def _value(pair: object) -> str:
    return cast(str, cast("tuple[object, ...]", pair)[1])


def _take_special(message: Message, pair: object, kind: i64) -> None:
    """Take a regular field that is not plain."""
    pairs = cast(list[object], message.headers)
    if kind == MALFORMED or (kind == CONTROLS and not message.of_response):
        raise _explain(pair)
    if kind == CONTENT_LENGTH:
        # > a recipient ... MAY replace the duplicated field values with a single valid
        # > Content-Length; different ones are an error.   (RFC 9110 8.6)
        length = content_length(_value(pair))
        if message.length != UNKNOWN_LENGTH:
            if message.length != length:
                raise Malformed("different content-lengths", "RFC 9110 8.6")
            return
        message.length = length
        pairs.append(pair)
    elif kind == HOST:
        if message.host is not None:
            raise Malformed("more than one host field", "RFC 9110 7.2")
        message.host = pair
    elif kind == COOKIE:
        if message.cookie_at == _NONE:
            message.cookie_at = len(pairs)
            pairs.append(pair)
        elif message.crumbs is None:
            message.crumbs = [pairs[message.cookie_at], pair]
        else:
            message.crumbs.append(pair)
    else:
        pairs.append(pair)


def _join_cookies(message: Message, crumbs: list[object]) -> None:
    """Join the values of several `cookie` fields."""
    # > If there are multiple Cookie header fields after decompression, these MUST be concatenated
    # > into a single octet string using the two-octet delimiter of 0x3b, 0x20 (the ASCII string
    # > "; ") before being passed into a non-HTTP/2 context ... or a generic HTTP server
    # > application.   (RFC 9113 8.2.3)
    pair: tuple[str, str] = ("cookie", "; ".join([_value(crumb) for crumb in crumbs]))
    secret = False
    for crumb in crumbs:
        secret = secret or isinstance(crumb, NeverIndexed)
    pairs = cast(list[object], message.headers)
    # Not a conditional expression: compiled, it would lose the class NeverIndexed.
    if secret:
        pairs[message.cookie_at] = NeverIndexed(pair)
    else:
        pairs[message.cookie_at] = pair


def request(block: Block) -> Message:
    """Check the fields of a request, and return its head. Raises Malformed."""
    pairs, verdicts = block
    fields = cast(list[object], pairs)
    method: object | None = None
    scheme: object | None = None
    authority: object | None = None
    path: object | None = None
    protocol: object | None = None
    at: i64 = 0
    count: i64 = len(fields)
    # > All pseudo-header fields MUST appear in a field block before all regular field lines.
    while at < count:
        kind = i64(verdicts[at])
        if kind < FIRST_PSEUDO:
            break
        field = fields[at]
        before: object | None = None
        if kind == METHOD:
            before, method = method, field
        elif kind == SCHEME:
            before, scheme = scheme, field
        elif kind == AUTHORITY:
            before, authority = authority, field
        elif kind == PATH:
            before, path = path, field
        elif kind == PROTOCOL:
            before, protocol = protocol, field
        else:
            raise Malformed("response pseudo-header field :status in a request", "RFC 9113 8.3")
        if before is not None:
            name, _ = cast(tuple[str, str], field)
            raise Malformed(f"second {name}", "RFC 9113 8.3")
        at += 1
    message = Message()
    headers = cast(list[object], message.headers)
    if scheme is not None:
        headers.append(scheme)
    if authority is not None:
        headers.append(authority)
    if protocol is not None:
        message.protocol = True
        headers.append(protocol)
    _take_regular(message, fields, verdicts, at)
    _check_request(message, method, scheme, authority, path)
    return message


def _take_regular(message: Message, fields: list[object], verdicts: BytesWriter, at: i64) -> None:
    """Take the regular fields from position `at` on."""
    pairs = cast(list[object], message.headers)
    count: i64 = len(fields)
    while at < count:
        field = fields[at]
        kind = i64(verdicts[at])
        if kind == PLAIN:
            pairs.append(field)
        elif kind >= FIRST_PSEUDO:
            name, _ = cast(tuple[str, str], field)
            raise Malformed(f"{name} after a regular field", "RFC 9113 8.3")
        else:
            _take_special(message, field, kind)
        at += 1
    if message.crumbs is not None:
        _join_cookies(message, message.crumbs)


def _check_request(
    message: Message,
    method: object | None,
    scheme: object | None,
    authority: object | None,
    path: object | None,
) -> None:
    """Check the rules about several fields of a request. Raises Malformed."""
    if method is None:
        raise Malformed("no :method", "RFC 9113 8.3.1")
    message.method = _value(method)
    if message.protocol and message.method != "CONNECT":
        raise Malformed(":protocol without CONNECT", "RFC 8441 4")
    if message.method == "CONNECT" and not message.protocol:
        # > The ":scheme" and ":path" pseudo-header fields MUST be omitted. The ":authority"
        # > pseudo-header field contains the host and port to connect to.   (RFC 9113 8.5)
        if scheme is not None or path is not None:
            raise Malformed("CONNECT with :scheme or :path", "RFC 9113 8.5")
        if authority is None or _value(authority) == "":
            raise Malformed("CONNECT without :authority", "RFC 9113 8.5")
    else:
        # > All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme",
        # > and ":path" pseudo-header fields, unless they are CONNECT requests.   (8.3.1)
        if scheme is None or path is None:
            raise Malformed("no :scheme or no :path", "RFC 9113 8.3.1")
        message.path = _value(path)
        if not message.path.startswith("/") and not is_path(message.path, message.method):
            raise Malformed("invalid :path", "RFC 9113 8.3.1")
        if message.protocol and (authority is None or _value(authority) == ""):
            raise Malformed("extended CONNECT without :authority", "RFC 8441 4")
    _choose_authority(message, authority, 0 if scheme is None else 1)


def _choose_authority(message: Message, authority: object | None, at: i64) -> None:
    """Set the authority of a request: `:authority`, or Host if that is missing."""
    host = message.host
    if authority is not None:
        message.authority = _value(authority)
        # > A server SHOULD treat a request as malformed if it contains a Host header field that
        # > identifies an entity that differs from the entity in the ":authority" pseudo-header
        # > field.   (RFC 9113 8.3.1)
        if host is not None and _value(host).lower() != message.authority.lower():
            raise Malformed("host differs from :authority", "RFC 9113 8.3.1")
    elif host is not None:
        message.authority = _value(host)
        message.headers.insert(int(at), (":authority", message.authority))


def response(block: Block) -> Message:
    """Check the fields of a response, perhaps a 1xx, and return its head. Raises Malformed."""
    pairs, verdicts = block
    fields = cast(list[object], pairs)
    if not fields:
        raise Malformed("no :status", "RFC 9113 8.3.2")
    kind = i64(verdicts[0])
    if kind == MALFORMED:
        raise _explain(fields[0])
    if kind != STATUS:
        raise Malformed("a response does not begin with :status", "RFC 9113 8.3.2")
    message = Message(True)
    _take_regular(message, fields, verdicts, 1)
    if message.host is not None:
        cast(list[object], message.headers).append(message.host)
    status = _value(fields[0])
    message.code = 200 if status == "200" else int(status)
    # > HTTP/2 does not support the 101 (Switching Protocols) informational status code.   (8.6)
    if message.code == 101:
        raise Malformed("status 101", "RFC 9113 8.6")
    return message


def trailers(block: Block, of_response: bool) -> list[tuple[str, str]]:
    """Check the fields of a trailer section, and return those to be delivered. Raises Malformed."""
    # > Pseudo-header fields MUST NOT appear in trailer sections.   (RFC 9113 8.1)
    pairs, verdicts = block
    at: i64 = 0
    for pair in cast(list[object], pairs):
        kind = i64(verdicts[at])
        at += 1
        if kind >= FIRST_PSEUDO:
            name, _ = cast(tuple[str, str], pair)
            raise Malformed(f"{name} among trailers", "RFC 9113 8.1")
        if kind == MALFORMED or (kind == CONTROLS and not of_response):
            _check_dropped(pair)
    return delivered_trailers(pairs)


def _check_dropped(pair: object) -> None:
    """Raise Malformed, unless the field is dropped anyway and only its meaning is wrong."""
    name, value = cast(tuple[str, str], pair)
    if (name != "content-length" and name != "host") or not is_value(value):
        raise _explain(pair)
