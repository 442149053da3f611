"""Header fields as httpx has them (pairs of bytes), and as connections take them (text).

Takes lists of pairs, returns lists of pairs. Must never know requests or connections.
"""

from typing import Any, Final

from cno.aio.fields import Headers

#: Pairs that are stored at most, and the bytes of the longest; secrets never are.
MAX_KNOWN: Final = 1_024
MAX_KNOWN_SIZE: Final = 160
SECRETS: Final = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key")
)

_texts: Final[dict[Any, tuple[str, str]]] = {}
_bytes: Final[dict[tuple[str, str], Any]] = {}


def to_text(raw: list[Any]) -> Headers:
    """Return fields with their names in lower case. Values keep their bytes."""
    fields: Headers = []
    for pair in raw:
        known = _texts.get(pair)
        if known is None:
            name = str(pair[0], "latin-1").lower()
            known = (name, str(pair[1], "utf-8", "surrogateescape"))
            if name not in SECRETS and len(name) + len(pair[1]) <= MAX_KNOWN_SIZE:
                if len(_texts) >= MAX_KNOWN:
                    _texts.clear()
                _texts[pair] = known
        fields.append(known)
    return fields


def to_bytes(fields: Headers) -> list[Any]:
    """Return fields as pairs of bytes."""
    raw: list[Any] = []
    for pair in fields:
        known = _bytes.get(pair)
        if known is None:
            name, value = pair
            known = (name.encode(), value.encode("utf-8", "surrogateescape"))
            if name not in SECRETS and len(name) + len(value) <= MAX_KNOWN_SIZE:
                if len(_bytes) >= MAX_KNOWN:
                    _bytes.clear()
                _bytes[pair] = known
        raw.append(known)
    return raw


def is_ascii(fields: Headers) -> bool:
    """Return whether the values of all fields are ASCII; names always are."""
    for field in fields:
        if not field[1].isascii():
            return False
    return True


def without(fields: Headers, names: frozenset[str]) -> Headers:
    """Return the fields whose names are not among these."""
    return [field for field in fields if field[0] not in names]
