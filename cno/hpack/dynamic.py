"""The dynamic table (RFC 7541 2.3.2, 4): a ring of entries, first in, first out.

Nothing is moved or copied when an entry is inserted or evicted; an evicted entry is released at
once. Entries are numbered from 1 in the order of insertion. Must never know what an entry means, or
which end of a connection it serves.
"""

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

_FIRST_SLOTS: Final = 4
#: A note has the entry's size from this bit on, and data of the table's owner below it.
SIZE_SHIFT: Final = 34
#: The part of a note with the verdict on a resolved entry.
_VERDICT: Final = 15


@mypyc_attr(acyclic=True)
class DynamicTable:
    """Entries in order of age. Their size in bytes never exceeds `max_size`."""

    def __init__(self, max_size: i64) -> None:
        #: Bytes, as RFC 7541 4.1 counts them: in use, and at most.
        self.size: i64 = 0
        self.max_size: i64 = max_size
        #: Entries in the table.
        self.count: i64 = 0
        #: Number of entries ever inserted, which is the number of the newest.
        self.newest: i64 = 0
        #: The rings: items, None in empty slots, and notes. The slot of an entry is its number,
        #: masked.
        self.items: list[object] = [None] * _FIRST_SLOTS
        self.notes: vec[i64] = vec[i64]([0] * _FIRST_SLOTS)
        self.mask: i64 = _FIRST_SLOTS - 1

    def holds(self, number: i64) -> bool:
        """Whether the entry with this number is in the table."""
        return number > self.newest - self.count

    def set_entry(self, number: i64, item: object, verdict: i64) -> None:
        """Set the item and the verdict of an entry, if it is still in the table."""
        if self.holds(number):
            at = number & self.mask
            self.items[at] = item
            self.notes[at] = self.notes[at] & ~_VERDICT | verdict

    def insert(self, item: object, note: i64) -> i64:
        """Insert an item, evicting old ones. Return its number.

        An item that is larger than the table empties it. Return 0 then.
        """
        # > Before a new entry is added to the dynamic table, entries are evicted from the end of
        # > the dynamic table until the size of the dynamic table is less than or equal to
        # > (maximum size - new entry size) or until the table is empty.   (RFC 7541 4.4)
        size = note >> SIZE_SHIFT
        self.shrink(self.max_size - size)
        # > It is not an error to attempt to add an entry that is larger than the maximum size; an
        # > attempt to add an entry larger than the maximum size causes the table to be emptied of
        # > all existing entries and results in an empty table.   (RFC 7541 4.4)
        if size > self.max_size:
            return 0
        if self.count > self.mask:
            self._grow()
        self.newest += 1
        at = self.newest & self.mask
        self.items[at] = item
        self.notes[at] = note
        self.count += 1
        self.size += size
        return self.newest

    def shrink(self, size: i64) -> None:
        """Evict entries until at most `size` bytes are in use."""
        while self.size > size and self.count > 0:
            oldest = self.oldest() & self.mask
            self.size -= self.notes[oldest] >> SIZE_SHIFT
            self.items[oldest] = None
            self.count -= 1

    def oldest(self) -> i64:
        """Return the number of the oldest entry. `count` must not be 0."""
        return self.newest - self.count + 1

    def resize(self, max_size: i64) -> None:
        """Change `max_size`."""
        # > Whenever the maximum size for the dynamic table is reduced, entries are evicted from the
        # > end of the dynamic table until the size of the dynamic table is less than or equal to
        # > the maximum size.   (RFC 7541 4.3)
        self.max_size = max_size
        self.shrink(max_size)

    def _grow(self) -> None:
        # Called only when the ring is full.
        items = self.items
        notes = self.notes
        old = self.mask
        mask = old * 2 + 1
        self.items = items * 2
        self.notes = vec[i64]([0] * (mask + 1))
        self.mask = mask
        for number in range(self.newest - old, self.newest + 1):
            self.items[(number + old + 1) & mask] = None
            self.items[number & mask] = items[number & old]
            self.notes[number & mask] = notes[number & old]
