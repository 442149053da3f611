"""Header fields as the decoder gives them, and as the encoder's table holds them.

Knows what a field costs; never whether its name or value make sense.
"""

from typing import Final

from mypy_extensions import i16, i64, mypyc_attr

#: What an entry costs beside its octets.
# > The size of an entry is the sum of its name's length in octets (as defined in Section 5.2), its
# > value's length in octets, and 32.   (RFC 7541 4.1)
ENTRY_OVERHEAD: Final = 32

REGULAR: Final = 0
LENGTH: Final = 1  # content-length
PSEUDO: Final = 2  # its name begins with a colon
DATE: Final = 3  # date


@mypyc_attr(native_class=False)
class NeverIndexed(tuple[str, str]):
    """A `(name, value)` that no table may hold, here or at any next hop (RFC 7541 6.2.3).

    An ordinary pair otherwise. The decoder makes them of never-indexed literals, the encoder sends
    them as such: a list received and forwarded keeps the mark.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"NeverIndexed({tuple(self)!r})"


@mypyc_attr(acyclic=True)
class Field:
    """A header field that the encoder's table holds."""

    def __init__(self, pair: object, kind: i16, note: i64) -> None:
        #: `(name, value)`, the object that it was made of or was met as last.
        self.pair: object = pair
        #: What the encoder's owner must know about it: REGULAR, LENGTH, PSEUDO or DATE.
        self.kind: i16 = kind
        #: Its number in the table; in the static table its index, negative.
        self.note: i64 = note
