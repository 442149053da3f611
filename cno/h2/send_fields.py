"""Checks and orders the fields of messages to be sent. Knows no connection.

All checks come before the encoder is used, so that a refused list changes nothing.
"""

from typing import Final, cast

from mypy_extensions import i64

from cno.const import MAX_STREAM_ID
from cno.core import UNKNOWN_LENGTH
from cno.errors import UsageError
from cno.headers import (
    CONNECTION_SPECIFIC,
    SECRET_NAMES,
    content_length,
    encode,
    is_authority,
    is_lower_name,
    is_path,
    is_scheme,
    is_token,
    is_value,
    shown,
)
from cno.hpack import Encoder, Field, NeverIndexed
from cno.hpack.fields import DATE, LENGTH, PSEUDO

# The bounds of the stores below.
_MAX_KNOWN: Final = 2_048
_MAX_KNOWN_TEXT: Final = 160

#: Pairs that were checked and are plain: sending them again costs one look-up. Bounded. Secrets and
#: long pairs are never stored.
_known: Final[dict[object, bool]] = {}


#: Authorities that were checked.
_authorities: Final[dict[str, bool]] = {}


def clean(encoder: Encoder, headers: list[tuple[str, str]], trailer: bool) -> list[object]:
    """Return the regular fields with lower-case names, without those that HTTP/2 does not use.

    Each is a pair, or an entry of the encoder, which was checked on this connection before.

    Raises UsageError for names and values that must not be sent, and for pseudo-header fields.
    """
    result: list[object] = []
    known = _known
    for item in cast(list[object], headers):
        field = encoder.recall(item)
        if field is not None and field.kind != PSEUDO and (field.kind != LENGTH or not trailer):
            result.append(field)
        elif type(item) is tuple and item in known and not trailer:
            result.append(item)
        else:
            pair = _check(item, trailer)
            if pair is not None:
                result.append(pair)
    return result


def _check(item: object, trailer: bool) -> object | None:
    """Return a field as it is sent; None if it is left out."""
    name, value = cast(tuple[str, str], item)
    lowered = name.lower()
    if name.startswith(":"):
        raise UsageError(f"{name} is not allowed here", rule="RFC 9113 8.3")
    # Check before lowering: some letters become ASCII ones (for example the Kelvin sign).
    if not name.isascii() or not is_lower_name(lowered):
        raise UsageError(f"invalid field name {name!r}", rule="RFC 9113 8.2.1")
    if not is_value(value):
        raise UsageError(f"{name}: {shown(name, value)} is no field value", rule="RFC 9113 8.2.1")
    # > An intermediary transforming an HTTP/1.x message to HTTP/2 MUST remove connection-specific
    # > header fields.   (RFC 9113 8.2.2)
    if lowered in CONNECTION_SPECIFIC:
        return None
    if lowered == "te" and value.lower() != "trailers":
        return None
    if lowered == "content-length":
        if trailer:
            raise UsageError("content-length must not be in trailers", rule="RFC 9110 6.5.1")
        if content_length(value) < 0:
            raise UsageError(f"invalid content-length {value!r}", rule="RFC 9110 8.6")
    if type(item) is tuple and lowered == name:
        if lowered not in SECRET_NAMES and len(name) + len(value) <= _MAX_KNOWN_TEXT:
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known[item] = True
        return item
    if isinstance(item, NeverIndexed):
        return NeverIndexed((lowered, value))
    return (lowered, value)


def request(
    encoder: Encoder, scheme: str, method: str, path: str, headers: list[tuple[str, str]]
) -> tuple[list[object], str, str]:
    """Return the fields of a request, pseudo-header fields first; its authority; its protocol."""
    protocol = ""
    authority: object | None = None
    host: object | None = None
    scheme_pair: object = (":scheme", scheme)
    regular: list[tuple[str, str]] = []
    for item in cast(list[object], headers):
        field = encoder.recall(item)
        if field is not None and field.kind != PSEUDO:
            cast(list[object], regular).append(item)
            continue
        name, value = cast(tuple[str, str], item)
        if name == ":authority":
            if authority is not None:
                # > The same pseudo-header field name MUST NOT appear more than once in a field
                # > block.   (RFC 9113 8.3)
                raise UsageError("two :authority fields", rule="RFC 9113 8.3")
            authority = item
        elif name == ":scheme":
            scheme_pair = item
        elif name == ":protocol":
            protocol = value
        elif name == "host" or name.lower() == "host":
            if host is not None:
                raise UsageError("two host fields", rule="RFC 9110 7.2")
            host = (":authority", value)
        else:
            cast(list[object], regular).append(item)
    if authority is None:
        authority = host
    result: list[object] = [(":method", method)]
    _check_target(method, protocol, path, scheme_pair)
    if method != "CONNECT" or protocol:
        if path == "":
            path = "*" if method == "OPTIONS" else "/"
        result.append(scheme_pair)
    name = ""
    if authority is not None:
        _, name = cast(tuple[str, str], authority)
        if name not in _authorities:
            _check_authority(name)
        result.append(authority)
    if method == "CONNECT" and name == "":
        rule = "RFC 8441 4" if protocol else "RFC 9113 8.5"
        raise UsageError("CONNECT needs an :authority", rule=rule)
    if method != "CONNECT" or protocol:
        result.append((":path", path))
    if protocol:
        result.append((":protocol", protocol))
    result.extend(clean(encoder, regular, False))
    return result, name, protocol


def _check_authority(name: str) -> None:
    if not is_authority(name):
        raise UsageError(f"invalid :authority {name!r}", rule="RFC 9113 8.3.1")
    if len(name) <= _MAX_KNOWN_TEXT:
        if len(_authorities) >= _MAX_KNOWN:
            _authorities.clear()
        _authorities[name] = True


def _check_target(method: str, protocol: str, path: str, scheme_pair: object) -> None:
    """Raise UsageError unless the pseudo-header fields of a request are valid."""
    if method != "GET" and not is_token(method):
        raise UsageError(f"invalid method {method!r}", rule="RFC 9110 9.1")
    _, scheme = cast(tuple[str, str], scheme_pair)
    if not is_scheme(scheme):
        raise UsageError(f"invalid :scheme {scheme!r}", rule="RFC 9113 8.3.1")
    if protocol:
        if method != "CONNECT":
            raise UsageError(":protocol goes with CONNECT only", rule="RFC 8441 4")
        if not is_token(protocol):
            raise UsageError(f"invalid :protocol {protocol!r}", rule="RFC 8441 4")
    if method == "CONNECT" and not protocol:
        if path != "":
            raise UsageError("CONNECT has no path", rule="RFC 9113 8.5")
    elif path != "" and not is_path(path, method):
        raise UsageError(f"invalid path {path!r}", rule="RFC 9113 8.3.1")


def length_of(fields: list[object]) -> i64:
    """Return the content-length among checked fields; UNKNOWN_LENGTH without one."""
    length: i64 = UNKNOWN_LENGTH
    for item in fields:
        if isinstance(item, Field):
            if item.kind != LENGTH:
                continue
            name, value = cast(tuple[str, str], item.pair)
        else:
            name, value = cast(tuple[str, str], item)
            if name != "content-length":
                continue
        if length != UNKNOWN_LENGTH:
            raise UsageError("two content-length fields", rule="RFC 9110 8.6")
        length = content_length(value)
    return length


def has_date(fields: list[object]) -> bool:
    """Whether checked fields have a Date."""
    for item in fields:
        if isinstance(item, Field):
            if item.kind == DATE:
                return True
        else:
            name, _ = cast(tuple[str, str], item)
            if name == "date":
                return True
    return False


def without_length(fields: list[object]) -> list[object]:
    """Return checked fields without content-length."""
    return [item for item in fields if not _is_length(item)]


def _is_length(item: object) -> bool:
    if isinstance(item, Field):
        return item.kind == LENGTH
    return cast(tuple[str, str], item)[0] == "content-length"


def list_size(encoder: Encoder, fields: list[object]) -> i64:
    """Return the size in bytes that counts against MAX_HEADER_LIST_SIZE (RFC 9113 6.5.2)."""
    size: i64 = 0
    for item in fields:
        if isinstance(item, Field):
            size += encoder.size_of(item)
        else:
            name, value = cast(tuple[str, str], item)
            size += len(encode(name)) + len(encode(value)) + 32
    return size


def check_id(stream: int) -> None:
    """Raise UsageError unless this number can be a stream id."""
    if stream < 0 or stream > MAX_STREAM_ID:
        raise UsageError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")
