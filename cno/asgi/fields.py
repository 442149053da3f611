"""Header fields in two forms: pairs of `str` for the engine, pairs of `bytes` for ASGI.

HPACK gives the same pair each time a field recurs, and applications send few different fields:
two bounded tables, shared by all connections, keep the results of both conversions. Must never know
a connection.
"""

from typing import Any, Final, TypeAlias

from mypy_extensions import i64

from cno.aio.fields import Headers
from cno.headers import CONNECTION_SPECIFIC, SECRET_NAMES, content_length, encode

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

#: Entries of each table. A full table is emptied.
MAX_ENTRIES: Final = 4_096
#: Bytes of the longest value that is kept.
MAX_VALUE: Final = 256

#: Fields of a request that a connection keeps, and of a response that the process keeps.
MAX_CACHED: Final = 64

#: Digits of the longest content-length.
MAX_DIGITS: Final = 18

#: Stands for a field that is left out.
OMITTED: Final[Any] = object()

#: The field of a response that the server writes itself, whatever the application sends.
FRAMING: Final = "transfer-encoding"

# Pairs are objects here, not tuples of two types: compiled code would take such tuples apart, and
# put them together again.
_encoded: Final[dict[Any, Any]] = {}
_decoded: Final[dict[Any, Any]] = {}


def to_bytes(headers: Headers) -> RawHeaders:
    """Return the fields of a request as ASGI has them: `:authority` first, as `host`; no other
    pseudo-header field."""
    found: list[Any] = []
    pairs: Any = headers
    for pair in pairs:
        raw = _encoded.get(pair)
        if raw is None:
            raw = _encode(pair, found)
        if raw is not OMITTED:
            found.append(raw)
    return found


class FieldCache:
    """The fields of the previous request on a connection in both forms.

    The engine gives the same pairs again, of HTTP/1.1 too, and telling that costs less than a look
    into the table.
    """

    def __init__(self) -> None:
        self._pairs: list[Any] = []
        self._raw: list[Any] = []  # of these

    def to_bytes(self, headers: Headers) -> RawHeaders:
        """Do as `to_bytes`."""
        pairs: Any = headers
        before = self._pairs
        raw = self._raw
        size: i64 = len(before)
        at: i64 = 0
        found: list[Any] = []
        for pair in pairs:
            if at < size and pair is before[at]:
                each = raw[at]
            else:
                each = _encoded.get(pair)
                if each is None:
                    each = _encode(pair, found)
                # What `host` becomes depends on the fields before it.
                kept = None if pair[0] == "host" else pair
                if at < size:
                    before[at] = kept
                    raw[at] = each
                elif at < MAX_CACHED:
                    before.append(kept)
                    raw.append(each)
                    size += 1
            at += 1
            if each is not OMITTED:
                found.append(each)
        return found


def _encode(pair: Any, found: list[Any]) -> Any:
    name: str = pair[0]
    value: str = pair[1]
    if name == "host":
        # > if `:authority` is present its value must ... replace any existing host header
        return OMITTED if found and found[0][0] == b"host" else (b"host", encode(value))
    raw = OMITTED
    if not name.startswith(":"):
        raw = (encode(name), encode(value))
    elif name == ":authority":
        raw = (b"host", encode(value))
    if len(value) <= MAX_VALUE and len(name) <= MAX_VALUE and name not in SECRET_NAMES:
        if len(_encoded) >= MAX_ENTRIES:
            _encoded.clear()
        _encoded[pair] = raw
    return raw


def to_text(headers: Any, http2: bool) -> Headers:
    """Return the fields of a response, pairs of bytes, as the engine takes them, without those of
    framing.

    Raises TypeError for names and values that are not bytes, ValueError for what is no pair.
    """
    found: list[Any] = []
    _add_text(found, headers, http2)
    return found


def _add_text(found: list[Any], headers: Any, http2: bool) -> bool:
    """Do as `to_text`, into a list. Return whether the table had all of the fields."""
    known = True
    for each in headers:
        raw: Any = each
        if not isinstance(each, tuple):
            raw = tuple(each)
            known = False
        pair = _decoded.get(raw)
        if pair is None:
            pair = _decode(raw, http2)
            known = False
        if pair is not OMITTED:
            found.append(pair)
    return known


class ResponseFields:
    """The fields of a response as the engine takes them, not to be modified, and the content-length
    among them; -1: there is none."""

    def __init__(self, raw: list[Any], pairs: Headers, length: i64) -> None:
        self.raw = raw  # as the application gave them
        self.pairs = pairs
        self.length: i64 = length


class LatestFields:
    """The fields of the latest response of all applications, if they are the same objects as in a
    response before it.

    Many applications send one list of constants over and over, and telling that costs less than a
    look into the table for each field.
    """

    def __init__(self) -> None:
        self.fields = ResponseFields([], [], -1)
        self.first: object = None  # the first field of the latest response


_latest: Final = LatestFields()


def response_fields(raw: list[Any], http2: bool) -> ResponseFields:
    """Return the fields of a response. Raises as `to_text`, and ValueError if the content-length is
    no number. (RFC 9110 8.6)"""
    latest = _latest.fields
    before = latest.raw
    size: i64 = len(raw)
    if size == len(before):
        at: i64 = 0
        while at < size and raw[at] is before[at]:
            at += 1
        if at == size:
            return latest
    pairs: list[Any] = []
    known = _add_text(pairs, raw, http2)
    made = ResponseFields(raw, pairs, length_of(pairs))
    if known and 0 < size <= MAX_CACHED:
        # What the table has is the same in either protocol, and no secret.
        if _latest.first is raw[0]:
            made.raw = raw.copy()
            _latest.fields = made
        _latest.first = raw[0]
    return made


def length_of(headers: Headers) -> i64:
    """Return the content-length among these fields; -1 if there is none. Raises ValueError."""
    for name, value in headers:
        if name == "content-length":
            length = content_length(value)
            if length < 0 or len(value) > MAX_DIGITS:
                raise ValueError(f"http.response.start: content-length {value!r} is no length")
            return length
    return -1


def _decode(raw: Any, http2: bool) -> Any:
    if len(raw) != 2:
        raise ValueError(f"a header is a name and a value, not {raw!r}")
    if not isinstance(raw[0], bytes) or not isinstance(raw[1], bytes):
        raise TypeError(f"the name and the value of a header are bytes, not {raw!r}")
    name = decoded(raw[0]).lower()
    pair: Any = (name, decoded(raw[1]))
    # > An intermediary transforming an HTTP/1.x message to HTTP/2 MUST remove connection-specific
    # > header fields   (RFC 9113 8.2.2)
    if name == FRAMING or (http2 and name in CONNECTION_SPECIFIC):
        return OMITTED
    if name in CONNECTION_SPECIFIC:
        return pair  # whether it is left out depends on the protocol
    if len(raw[1]) <= MAX_VALUE and len(raw[0]) <= MAX_VALUE and name not in SECRET_NAMES:
        if len(_decoded) >= MAX_ENTRIES:
            _decoded.clear()
        _decoded[raw] = pair
    return pair


def decoded(data: bytes) -> str:
    """Return bytes as text that the engine sends unchanged."""
    return data.decode("utf-8", "surrogateescape")
