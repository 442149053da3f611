"""The dynamic table (RFC 7541 2.3.2, 4): a ring of entries, first in, first out.

Nothing is moved or copied when an entry enters or leaves; one that has left is let go of at once.
Entries have numbers, from 1 in the order they came, and are known by these. Never knows what an
entry means, nor which end of a connection it serves.
"""

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

_FIRST_SLOTS: Final = 4
#: A note: the entry's size from this bit on, and below whatever its owner wants to know of it.
SIZE_SHIFT: Final = 34
#: Of a note: what is said of an entry that is settled.
_VERDICT: Final = 15


@mypyc_attr(acyclic=True)
class DynamicTable:
    """Entries in order of age, and their size in octets, which never exceeds `max_size`."""

    def __init__(self, max_size: i64) -> None:
        #: Octets, as RFC 7541 4.1 counts them: in use, and at most.
        self.size: i64 = 0
        self.max_size: i64 = max_size
        #: Entries held.
        self.count: i64 = 0
        #: Entries ever inserted: the number of the newest.
        self.newest: i64 = 0
        #: The rings: what was entered, None in slots that hold nothing, and notes. An entry is in
        #: the slot that is its number, masked.
        self.items: list[object] = [None] * _FIRST_SLOTS
        self.notes: vec[i64] = vec[i64]([0] * _FIRST_SLOTS)
        self.mask: i64 = _FIRST_SLOTS - 1

    def holds(self, number: i64) -> bool:
        """Whether the entry of this number is still there."""
        return number > self.newest - self.count

    def set_entry(self, number: i64, item: object, verdict: i64) -> None:
        """What was entered turns out to be `item`, if it has not left yet."""
        if self.holds(number):
            at = number & self.mask
            self.items[at] = item
            self.notes[at] = self.notes[at] & ~_VERDICT | verdict

    def insert(self, item: object, note: i64) -> i64:
        """Enter something, at the cost of the oldest; its number.

        What is larger than the table empties it: 0.
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
        """Let the oldest entries go until no more than `size` octets are used."""
        while self.size > size and self.count > 0:
            oldest = self.oldest() & self.mask
            self.size -= self.notes[oldest] >> SIZE_SHIFT
            self.items[oldest] = None
            self.count -= 1

    def oldest(self) -> i64:
        """The number of the entry that will leave next. `count` must not be 0."""
        return self.newest - self.count + 1

    def resize(self, max_size: i64) -> None:
        """Change `max_size`."""
        # > Whenever the maximum size for the dynamic table is reduced, entries are evicted from the
        # > end of the dynamic table until the size of the dynamic table is less than or equal to
        # > the maximum size.   (RFC 7541 4.3)
        self.max_size = max_size
        self.shrink(max_size)

    def _grow(self) -> None:
        # Only ever called when the ring is full.
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
