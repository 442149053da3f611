"""The static table (RFC 7541 appendix A): 61 fields that both ends know from the start."""

from typing import Final

from cno.hpack.fields import Field

#: Entries of the static table; the dynamic table's newest entry has the next index.
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
    """The table's fields in order; the first has index 1."""
    return [*_WITH_VALUES, *((name, "") for name in _NAMES_ONLY.split())]


def _static_fields() -> list[Field]:
    fields = [Field("", 0, 0)]
    for name, value in static_pairs():
        field = Field(name, len(name), len(value))
        field.set_value(value)
        fields.append(field)
    return fields


#: The decoder's table by index; what is at 0 is never referred to.
STATIC_FIELDS: Final[list[Field]] = _static_fields()
