"""The static table (RFC 7541 appendix A): 61 fields that both ends know from the start."""

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from cno.hpack.fields import ENTRY_OVERHEAD

#: Entries of the static table. The newest entry of the dynamic table has the next index.
STATIC_COUNT: Final = 61

_WITH_VALUES: Final = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
)  # fmt: skip
_NAMES_ONLY: Final = """
    accept-language accept-ranges accept access-control-allow-origin age allow authorization
    cache-control content-disposition content-encoding content-language content-length
    content-location content-range content-type cookie date etag expect expires from host if-match
    if-modified-since if-none-match if-range if-unmodified-since last-modified link location
    max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server
    set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate
"""


def static_pairs() -> list[tuple[str, str]]:
    """Return the fields of the table in order. The first has index 1."""
    return [*_WITH_VALUES, *((name, "") for name in _NAMES_ONLY.split())]


# The decoder's table by index. Index 0 is never used.
STATIC_PAIRS: Final[list[object]] = [("", ""), *static_pairs()]
STATIC_NAMES: Final[list[str]] = ["", *(name for name, _ in static_pairs())]
#: Bytes of the names.
STATIC_NAME_SIZES: Final[vec[i64]] = vec[i64]([len(name) for name in STATIC_NAMES])
#: The sizes of the fields in a list.
STATIC_SIZES: Final[vec[i64]] = vec[i64](
    [0] + [len(name) + len(value) + ENTRY_OVERHEAD for name, value in static_pairs()]
)
