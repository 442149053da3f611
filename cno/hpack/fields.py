"""A header field as the decoder gives it and as the tables hold it.

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
    """A header field. One that a table holds is shared by every block that refers to it."""

    def __init__(
        self, name: str, name_octets: i64, value_octets: i64, never_indexed: bool = False
    ) -> None:
        """A field that has yet to get its value and its pair."""
        #: UTF-8; octets that are not are kept by `surrogateescape`. So is `value`.
        self.name = name
        self.value = ""
        #: `(name, value)` as users get it; a `NeverIndexed` where that is so.
        self.pair: object = None
        self.never_indexed = never_indexed
        #: What the encoder's owner must know about it: REGULAR, LENGTH or PSEUDO.
        self.kind: i16 = REGULAR
        #: Octets of the name, as it is on the wire without Huffman coding.
        self.name_octets: i64 = name_octets
        #: Octets that the field takes in a table or counts in a list.
        self.size: i64 = name_octets + value_octets + ENTRY_OVERHEAD
        #: For the owner's use, 0 at first: what it found out about the field, for the next time.
        self.note: i64 = 0

    def set_value(self, value: str) -> None:
        """Complete the field, whose name is known."""
        self.value = value
        if self.never_indexed:
            self.pair = NeverIndexed((self.name, value))
        else:
            self.pair = (self.name, value)
