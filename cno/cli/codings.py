"""Content codings (RFC 9110 8.4.1 and 12.5.3): which of them a request accepts, which types they
are worth it for.

Takes the text of a field, names of codings and content types. Must never know a file, a request or
a connection.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

IDENTITY: Final = ""
#: Codings with the endings of the files that hold them, the best one first.
ENDINGS: Final = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

#: Characters of an Accept-Encoding field, and elements, beyond which the field is ignored.
MAX_FIELD: Final = 1_024
MAX_ELEMENTS: Final = 32

# > For compatibility with previous implementations of HTTP, applications SHOULD consider "x-gzip"
# > [...] to be equivalent to "gzip"   (RFC 9110 8.4.1.3)
_ALIASES: Final = {"x-gzip": "gzip", "identity": IDENTITY}

# Types beside text/*, *+json and *+xml whose content is not yet compressed.
_COMPRESSIBLE: Final = frozenset(
    "application/json application/jsonl application/wasm application/yaml application/toml "
    "application/sql application/rtf application/xml application/vnd.apple.mpegurl "
    "application/vnd.ms-fontobject font/ttf font/otf font/collection image/bmp "
    "image/vnd.microsoft.icon model/obj model/stl audio/midi".split()
)


def is_compressible(kind: str) -> bool:
    """Return whether compressing content of this type pays: it is text, or as good as text."""
    name = kind.partition(";")[0].rstrip(" ")
    return name.startswith("text/") or name.endswith(("+json", "+xml")) or name in _COMPRESSIBLE


def choose(field: str | None, available: Sequence[str]) -> str | None:
    """Return the coding to send, of `available` (the best one first); '' is the content as it is.

    `field` is Accept-Encoding; None if the request has none. Returns None if the client refuses
    all of them, the content as it is too.
    """
    # > If no Accept-Encoding header field is in the request, any content coding is considered
    # > acceptable by the user agent.   (12.5.3)  Clients that send none decode none.
    if field is None or len(field) > MAX_FIELD:
        return IDENTITY
    weights = parse_weights(field)
    others = weights.get("*")
    # > If the representation has no content coding, then it is acceptable by default unless
    # > specifically excluded by the Accept-Encoding header field stating either "identity;q=0" or
    # > "*;q=0" without a more specific entry for "identity".
    plain = weights.get(IDENTITY, 0.001 if others is None else others)
    best, most = (IDENTITY, plain) if plain > 0 else (None, 0.0)
    for coding in reversed(available):
        weight = weights.get(coding, others or 0.0)
        if weight > 0 and weight >= most:
            best, most = coding, weight
    return best


@lru_cache(maxsize=128)
def parse_weights(field: str) -> dict[str, float]:
    """Return the weights of the codings in a field, by their names in lower case.

    Elements that are malformed are left out.
    """
    weights: dict[str, float] = {}
    for element in field.split(",", MAX_ELEMENTS)[:MAX_ELEMENTS]:
        name, *parameters = (part.strip(" \t").lower() for part in element.split(";"))
        weight = parse_weight(parameters[0] if parameters else "q=1")
        if name and weight is not None:
            weights.setdefault(_ALIASES.get(name, name), weight)
    return weights


def parse_weight(text: str) -> float | None:
    """Return the number of `q=0.5`; None if it is malformed."""
    # > qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )   (12.4.2)
    name, _, number = text.partition("=")
    whole, _, rest = number.strip(" \t").partition(".")
    if name.strip(" \t") != "q" or whole not in ("0", "1") or len(rest) > 3:
        return None
    if rest and not (rest.isascii() and rest.isdigit()):
        return None
    weight = float(f"{whole}.{rest or 0}")
    return weight if weight <= 1 else None
