"""Header fields as the decoder returns them, and as the encoder's table holds them.

Knows the size of a field. Must never know whether its name or value is valid.
"""

from typing import Final

from mypy_extensions import i16, i64, mypyc_attr

#: Size of an entry beside its name and value, in bytes.
# > The size of an entry is the sum of its name's length in octets (as defined in Section 5.2), its
# > value's length in octets, and 32.   (RFC 7541 4.1)
ENTRY_OVERHEAD: Final = 32

REGULAR: Final = 0
LENGTH: Final = 1  # content-length
PSEUDO: Final = 2  # its name begins with a colon
DATE: Final = 3  # date


@mypyc_attr(native_class=False)
class NeverIndexed(tuple[str, str]):
    """A `(name, value)` that no table may hold, here or at a later hop (RFC 7541 6.2.3).

    Otherwise an ordinary pair. The decoder returns it for a never-indexed literal, and the encoder
    sends it as one: a forwarded list keeps the mark.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"NeverIndexed({tuple(self)!r})"


@mypyc_attr(acyclic=True)
class Field:
    """A header field in the encoder's table."""

    def __init__(self, pair: object, kind: i16, note: i64) -> None:
        #: The `(name, value)` that it was made of, or that was sent last.
        self.pair: object = pair
        #: REGULAR, LENGTH, PSEUDO or DATE, for the encoder's owner.
        self.kind: i16 = kind
        #: Its number in the dynamic table; minus its index in the static table.
        self.note: i64 = note
