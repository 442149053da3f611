"""The dynamic table (RFC 7541 2.3.2, 4): a ring of fields, first in, first out.

Takes fields, gives fields. Nothing is moved or copied when one enters or leaves; an entry that has
left is let go of at once. Never knows which end of a connection it serves.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.hpack.fields import Field

#: Fills the slots that hold no entry.
_NOTHING: Final = Field("", 0, 0)
_FIRST_SLOTS: Final = 8
#: Entries, less one, that recall() compares: more would cost what a dictionary does.
_LOOKS: Final = 15


@mypyc_attr(acyclic=True)
class DynamicTable:
    """Fields in order of age, and their size in octets, which never exceeds `max_size`."""

    def __init__(self, max_size: i64) -> None:
        #: Octets, as RFC 7541 4.1 counts them: in use, and at most.
        self.size: i64 = 0
        self.max_size: i64 = max_size
        #: Entries held.
        self.count: i64 = 0
        # The ring: a power of two of slots; `_next` is the slot of the entry to come.
        self._slots: list[Field] = [_NOTHING] * _FIRST_SLOTS
        self._mask: i64 = _FIRST_SLOTS - 1
        self._recalled: i64 = 0
        self._next: i64 = 0

    def get(self, age: i64) -> Field:
        """The entry that `age` others have followed: 0 is the newest. `0 <= age < count`."""
        return self._slots[(self._next - 1 - age) & self._mask]

    def recall(self, pair: object) -> Field | None:
        """The entry whose `pair` is this very object, if it is soon behind the one recalled last.

        Who sends the same objects again sends them in the same order: mostly the first look is it.
        """
        slots = self._slots
        mask = self._mask
        at = self._recalled
        looks: i64 = _LOOKS
        if mask < looks:
            looks = mask
        while looks >= 0:
            at = (at + 1) & mask
            field = slots[at]
            if field.pair is pair:
                self._recalled = at
                return field
            looks -= 1
        return None

    def insert(self, field: Field) -> None:
        """Enter a field, at the cost of the oldest ones; one larger than the table empties it."""
        # > Before a new entry is added to the dynamic table, entries are evicted from the end of
        # > the dynamic table until the size of the dynamic table is less than or equal to
        # > (maximum size - new entry size) or until the table is empty.   (RFC 7541 4.4)
        size = field.size
        self.shrink(self.max_size - size)
        # > It is not an error to attempt to add an entry that is larger than the maximum size; an
        # > attempt to add an entry larger than the maximum size causes the table to be emptied of
        # > all existing entries and results in an empty table.   (RFC 7541 4.4)
        if size > self.max_size:
            return
        if self.count > self._mask:
            self._grow()
        self._slots[self._next] = field
        self._next = (self._next + 1) & self._mask
        self.count += 1
        self.size += size

    def shrink(self, size: i64) -> None:
        """Let the oldest entries go until no more than `size` octets are used."""
        while self.size > size and self.count > 0:
            oldest = (self._next - self.count) & self._mask
            self.size -= self._slots[oldest].size
            self._slots[oldest] = _NOTHING
            self.count -= 1

    def oldest(self) -> Field:
        """The entry that will leave next. `count` must not be 0."""
        return self._slots[(self._next - self.count) & self._mask]

    def entries(self) -> list[Field]:
        """All entries, from the newest on."""
        return [self.get(age) for age in range(self.count)]

    def resize(self, max_size: i64) -> None:
        """Change `max_size`."""
        # > Whenever the maximum size for the dynamic table is reduced, entries are evicted from the
        # > end of the dynamic table until the size of the dynamic table is less than or equal to
        # > the maximum size.   (RFC 7541 4.3)
        self.max_size = max_size
        self.shrink(max_size)

    def _grow(self) -> None:
        # Only ever called when the ring is full: `_next` is then the oldest entry's slot as well.
        slots = self._slots
        start = self._next
        self._slots = slots[start:] + slots[:start] + [_NOTHING] * len(slots)
        self._next = len(slots)
        self._mask = self._mask * 2 + 1
