"""Encodes header blocks (RFC 7541 5, 6): one object per connection, for its output.

Decides what the dynamic table holds and what must not be in one. Takes valid fields with lower-case
names; must never know what a field means.
"""

from collections.abc import Iterable
from typing import Final, cast

from librt.strings import BytesWriter
from mypy_extensions import i16, i32, i64, mypyc_attr, u8

from cno.hpack.dynamic import SIZE_SHIFT, DynamicTable
from cno.hpack.fields import (
    DATE,
    ENTRY_OVERHEAD,
    LENGTH,
    PSEUDO,
    REGULAR,
    Field,
    NeverIndexed,
)
from cno.hpack.huffman import huffman_encode
from cno.hpack.tables import STATIC_COUNT, static_pairs

#: Both ends assume this before any SETTINGS (RFC 9113 6.5.2).
_INITIAL_TABLE_SIZE: Final = 4096

# First bytes and prefix masks of the representations (RFC 7541 6).
_INDEXED: Final = 0x80
_INDEXED_MASK: Final = 0x7F
_WITH_INDEXING: Final = 0x40
_WITH_INDEXING_MASK: Final = 0x3F
_WITHOUT_INDEXING: Final = 0x00
_NEVER_INDEXED: Final = 0x10
_LITERAL_MASK: Final = 0x0F
_SIZE_UPDATE: Final = 0x20
_SIZE_UPDATE_MASK: Final = 0x1F
_STATUS_200: Final = 0x88
_HUFFMAN: Final = 0x80
_LENGTH_MASK: Final = 0x7F

# How the values of a name are encoded, measured with the stories of `hpack-test-case`:
# - Most values are inserted in the table at once, and cost one byte from then on.
# - Volatile values, which mostly belong to one resource, are inserted when they come twice in a
#   row. A value that always changes costs no entry and evicts nothing; a stable one (the path of an
#   RPC, the length of a fixed response) is indexed. This saves 2 % of the bytes and 60 % of the
#   entries. `date` and `referer` are not volatile: they stay the same for a burst of messages.
# - Secrets are never indexed, so that an attacker cannot test guesses against the table, here or at
#   the next hop (RFC 7541 7.1.3). `set-cookie` is a secret too; this costs 0.5 %. Cookies are long
#   enough not to be guessed, or short.
_STABLE: Final = 0
_VOLATILE: Final = 1
_SECRET: Final = 2
_COOKIE: Final = 3

_VOLATILE_NAMES: Final = """
    :path age content-length content-range etag expires if-match if-modified-since if-none-match
    if-range if-unmodified-since last-modified location range
"""
_SECRET_NAMES: Final = "authorization proxy-authorization set-cookie"
#: A cookie with this many bytes cannot be guessed.
_LONG_COOKIE: Final = 20
#: Most entries, less one, that recall() compares. For more, a dictionary would cost less.
_LOOKS: Final = 15


@mypyc_attr(acyclic=True)
class _Name:
    """The encoder's knowledge about a field name."""

    def __init__(self, name_size: i32, index: i16, policy: u8, values: dict[str, Field]) -> None:
        #: Length on the wire without Huffman coding.
        self.name_size: i32 = name_size
        #: Index of its first entry in the static table; 0 if there is none.
        self.index: i16 = index
        self.policy: u8 = policy
        #: Whether all encoders share `values`.
        self.shared = True
        #: A dynamic entry of this name. Most names have only one: a dictionary would take 184 bytes
        #: more for each name.
        self.entry: Field | None = None
        #: Other entries by their values. All encoders share this until one of them has a second
        #: dynamic entry.
        self.values = values
        #: The `note` of the newest dynamic entry; 0 if there is none.
        self.newest: i64 = 0
        #: The value sent last, if the name is volatile.
        self.last = ""


def _names() -> dict[str, _Name]:
    """Return what all encoders know at the start. The `note` of an entry is minus its index."""
    names: dict[str, _Name] = {}
    index: i16 = 0
    for name, value in static_pairs():
        index += 1
        if name not in names:
            names[name] = _Name(len(name), index, _STABLE, {})
        names[name].values[value] = Field((name, value), REGULAR, -i64(index))
    for policy, some in ((_VOLATILE, _VOLATILE_NAMES), (_SECRET, _SECRET_NAMES)):
        for name in some.split():
            names.setdefault(name, _Name(len(name), 0, _STABLE, {})).policy = policy
    names["cookie"].policy = _COOKIE
    return names


_NAMES: Final[dict[str, _Name]] = _names()


@mypyc_attr(acyclic=True)
class _Entries(DynamicTable):
    """The dynamic table of the peer's decoder, as fields."""

    def __init__(self, max_size: i64) -> None:
        super().__init__(max_size)
        self._recalled: i64 = 0

    def recall(self, pair: object) -> Field | None:
        """Return the entry with this very `pair`, if it is near the one recalled last.

        Applications that send the same objects again mostly send them in the same order, so that
        the first comparison finds the entry.
        """
        items = self.items
        mask = self.mask
        at = self._recalled
        looks: i64 = _LOOKS
        if mask < looks:
            looks = mask
        while looks >= 0:
            at = (at + 1) & mask
            item = items[at]
            if item is not None:
                field = cast(Field, item)
                if field.pair is pair:
                    self._recalled = at
                    return field
            looks -= 1
        return None


@mypyc_attr(acyclic=True)
class Encoder:
    """Encodes the header blocks of one direction of one connection, in their order."""

    def __init__(self, max_table_size: int = 4096) -> None:
        """`max_table_size`: most bytes of table that we use, even if the peer allows more."""
        self._cap: i64 = max_table_size
        self._table = _Entries(_INITIAL_TABLE_SIZE)
        # The table's size as the peer knows it, and the lowest since the last block.
        self._announced: i64 = _INITIAL_TABLE_SIZE
        self._lowest: i64 = _INITIAL_TABLE_SIZE
        # Used names of those that all encoders know, and names of entries.
        self._names: dict[str, _Name] = {}
        # Entries of the last fields of write_date() and write_length().
        self._date: Field | None = None
        self._length: Field | None = None
        self._length_value: i64 = -1
        self.set_max_table_size(_INITIAL_TABLE_SIZE)

    @property
    def table_size(self) -> int:
        """Bytes used in the dynamic table (RFC 7541 4.1)."""
        return self._table.size

    def set_max_table_size(self, size: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE. The next block announces our size."""
        limit: i64 = size
        if limit > self._cap:
            limit = self._cap
        if limit < self._lowest:
            self._lowest = limit
        self._shrink(limit)
        self._table.max_size = limit

    def encode(self, headers: Iterable[tuple[str, str]]) -> bytes:
        """Encode a whole block. Names are lowered; a `NeverIndexed` is encoded as such.

        Raises UnicodeEncodeError, before anything has changed, for text that cannot be encoded.
        """
        # First the steps that may fail, then those that change the table. The table may evict an
        # entry before its field is written.
        found: list[object] = []
        for pair in cast("Iterable[object]", headers):
            found.append(self._find(pair))
        out = BytesWriter()
        self.begin(out)
        for one in found:
            if isinstance(one, Field):
                self.write_field(out, one)
            else:
                self.write_pair(out, one)
        return out.getvalue()

    def begin(self, out: BytesWriter) -> None:
        """Begin a block with the size updates that are due."""
        size = self._table.max_size
        # > In the case that this size is changed more than once in this interval, the smallest
        # > maximum table size that occurs in that interval MUST be signaled in a dynamic table size
        # > update. The final maximum size is always signaled   (RFC 7541 4.2)
        if self._lowest < self._announced and self._lowest < size:
            _write_integer(out, _SIZE_UPDATE, _SIZE_UPDATE_MASK, self._lowest)
            self._announced = self._lowest
        if self._announced != size:
            _write_integer(out, _SIZE_UPDATE, _SIZE_UPDATE_MASK, size)
            self._announced = size
        self._lowest = size

    def recall(self, pair: object) -> Field | None:
        """Return the entry made of this very object, if it is easy to find.

        Applications send the same constants again and again. Recognizing one by its identity costs
        a tenth of a check and a look-up (2,000 of 17,000 instructions for a response). A pair
        cannot change, and the entry refers to it, so its address is not used for another object.
        """
        return self._table.recall(pair)

    def size_of(self, field: Field) -> i64:
        """Return the size in bytes of a field that recall() has just found (RFC 7541 4.1)."""
        table = self._table
        return table.notes[field.note & table.mask] >> SIZE_SHIFT

    def write_field(self, out: BytesWriter, field: Field) -> None:
        """Write a field that recall() has found. Its entry may have been evicted since."""
        note = field.note
        if self._table.holds(note) or note < 0:
            _write_integer(out, _INDEXED, _INDEXED_MASK, self._index(note))
        else:
            self.write_pair(out, field.pair)

    def write_pair(self, out: BytesWriter, pair: object) -> None:
        """Write a valid field, `(name, value)` with a lower-case name; see write()."""
        name, value = cast("tuple[str, str]", pair)
        if type(pair) is tuple:
            self.write(out, name, value, False, pair)
        else:
            self.write(out, name, value, isinstance(pair, NeverIndexed))

    def write_status(self, out: BytesWriter, code: i64) -> None:
        """Write `:status`, 100 to 999."""
        if code == 200:
            out.append(_STATUS_200)
        else:
            self.write(out, ":status", str(int(code)), False)

    def write_date(self, out: BytesWriter, pair: object) -> None:
        """Write `date`.

        Responses of one second have the same `pair`, which one comparison finds.
        """
        field = self._date
        if field is None or field.pair is not pair or not self._table.holds(field.note):
            self.write_pair(out, pair)
            name, value = cast("tuple[str, str]", pair)
            self._date = self._entry_of(name, value)
        else:
            _write_integer(out, _INDEXED, _INDEXED_MASK, self._index(field.note))

    def write_length(self, out: BytesWriter, length: i64) -> None:
        """Write `content-length`. The same length as last time is found without a look-up."""
        field = self._length
        if field is None or self._length_value != length or not self._table.holds(field.note):
            value = str(int(length))
            self.write(out, "content-length", value, False)
            self._length = self._entry_of("content-length", value)
            self._length_value = length
        else:
            _write_integer(out, _INDEXED, _INDEXED_MASK, self._index(field.note))

    def _entry_of(self, name: str, value: str) -> Field | None:
        """Return the dynamic table's entry of this field; None if there is none."""
        known = self._names.get(name)
        field = None if known is None else _entry(known, value)
        return field if field is not None and field.note > 0 else None

    def write(
        self, out: BytesWriter, name: str, value: str, never: bool, pair: object = None
    ) -> None:
        """Write a field, `never` to be indexed. Its entry stores `pair`, if given.

        Raises UnicodeEncodeError, before anything has changed, for text that cannot be encoded.
        """
        known = self._names.get(name)
        if known is None:
            known = self._learn(name)
        if not never:
            field = _entry(known, value)
            if field is not None:
                if pair is not None and field.note > 0:
                    field.pair = pair
                _write_integer(out, _INDEXED, _INDEXED_MASK, self._index(field.note))
                return
        data = _encode(value)
        index = i64(known.index)
        if index == 0 and known.newest != 0:
            index = self._index(known.newest)
        policy = known.policy
        first: i64 = _WITHOUT_INDEXING
        mask: i64 = _LITERAL_MASK
        if never or policy == _SECRET or (policy == _COOKIE and len(data) < _LONG_COOKIE):
            # > Refusing to generate an indexed representation for a header field is only effective
            # > if compression is avoided on all hops. The never-indexed literal can be used to
            # > signal to intermediaries that a particular value was intentionally sent as a
            # > literal.   (RFC 7541 7.1.3)
            first = _NEVER_INDEXED
        elif policy == _VOLATILE and known.last != value:
            known.last = value
        elif self._insert(known, name, value, len(data), pair):
            first = _WITH_INDEXING
            mask = _WITH_INDEXING_MASK
        _write_integer(out, first, mask, index)
        if index == 0:
            _write_string(out, _encode(name))
        _write_string(out, data)

    def _index(self, note: i64) -> i64:
        """Return the index of the entry with this note."""
        if note < 0:
            return -note
        return STATIC_COUNT + 1 + self._table.newest - note

    def _learn(self, name: str) -> _Name:
        known = _NAMES.get(name)
        if known is None:
            # Stored only with an entry, so that the number of names stays bounded.
            return _Name(len(_encode(name)), 0, _STABLE, {})
        known = _Name(known.name_size, known.index, known.policy, known.values)
        self._names[name] = known
        return known

    def _insert(self, known: _Name, name: str, value: str, value_size: i64, pair: object) -> bool:
        """Insert a field in the table, unless it would evict more than half of it."""
        size = i64(known.name_size) + value_size + ENTRY_OVERHEAD
        table = self._table
        if size > table.max_size >> 1:
            return False
        kind: i16 = REGULAR
        if name.startswith(":"):
            kind = PSEUDO
        elif name == "content-length":
            kind = LENGTH
        elif name == "date":
            kind = DATE
        if pair is None:
            pair = (name, value)
        field = Field(pair, kind, 0)
        self._shrink(table.max_size - size)
        field.note = table.insert(field, size << SIZE_SHIFT)
        known.newest = field.note
        if known.entry is None:
            known.entry = field
        else:
            if known.shared:
                known.shared = False
                known.values = known.values.copy()
            known.values[value] = field
        self._names[name] = known
        return True

    def _shrink(self, size: i64) -> None:
        table = self._table
        while table.size > size:
            field = cast(Field, table.items[table.oldest() & table.mask])
            table.shrink(table.size - 1)
            name, value = cast("tuple[str, str]", field.pair)
            known = self._names[name]
            if known.entry is field:
                known.entry = None
            else:
                del known.values[value]
            if known.newest == field.note:
                known.newest = 0
                if name not in _NAMES:
                    del self._names[name]

    def _find(self, pair: object) -> object:
        """Return the entry for a pair, else the pair with a lower-case name.

        Raises UnicodeEncodeError if the text cannot be encoded.
        """
        name, value = cast("tuple[str, str]", pair)
        never = type(pair) is not tuple and isinstance(pair, NeverIndexed)
        known = self._names.get(name)
        if known is not None:
            field = _entry(known, value)
            if field is not None and not never:
                return field
        else:
            lowered = name.lower()
            _encode(lowered)
            # Not one expression: compiled, it would lose the class NeverIndexed.
            if never:
                pair = NeverIndexed((lowered, value))
            elif lowered != name:
                pair = (lowered, value)
        _encode(value)
        return pair


def _entry(known: _Name, value: str) -> Field | None:
    """Return the entry with this name and value; None if there is none."""
    entry = known.entry
    if entry is not None and cast("tuple[str, ...]", entry.pair)[1] == value:
        return entry
    return known.values.get(value)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _write_integer(out: BytesWriter, first: i64, mask: i64, value: i64) -> None:
    """Write an integer after the bits of `first`, with a prefix of `mask` (RFC 7541 5.1)."""
    if value < mask:
        out.append(u8(first | value))
        return
    out.append(u8(first | mask))
    value -= mask
    while value >= 0x80:
        out.append(u8(value & 0x7F | 0x80))
        value >>= 7
    out.append(u8(value))


def _write_string(out: BytesWriter, data: bytes) -> None:
    """Write a string, Huffman-coded if that is shorter (RFC 7541 5.2)."""
    length: i64 = len(data)
    # Encode first and set the length afterwards: this saves a pass, if the length fits its prefix,
    # as in nearly all cases.
    at: i64 = len(out)
    out.append(0)
    huffman_encode(out, data)
    coded: i64 = len(out) - at - 1
    if coded < length and coded < _LENGTH_MASK:
        out[at] = u8(_HUFFMAN | coded)
        return
    if coded < length:
        tail = BytesWriter()
        huffman_encode(tail, data)
        out.truncate(at)
        _write_integer(out, _HUFFMAN, _LENGTH_MASK, coded)
        out.write(tail.getvalue())
        return
    out.truncate(at)
    _write_integer(out, 0, _LENGTH_MASK, length)
    out.write(data)
