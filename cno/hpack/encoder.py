"""Fields to bytes (RFC 7541 5, 6): one object per connection, for what we send.

Decides what the dynamic table holds and what must never be in one. Takes names in lower case that
somebody else has found valid; never validates what a field means.
"""

from collections.abc import Iterable
from typing import Final, cast

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr, u8

from cno.hpack.dynamic import DynamicTable
from cno.hpack.fields import ENTRY_OVERHEAD, Field, NeverIndexed
from cno.hpack.huffman import huffman_encode
from cno.hpack.tables import STATIC_COUNT, static_pairs

#: What both ends take for granted before any SETTINGS (RFC 9113 6.5.2).
_INITIAL_TABLE_SIZE: Final = 4096

# First octets and prefix masks of the representations (RFC 7541 6).
_INDEXED: Final = 0x80
_INDEXED_MASK: Final = 0x7F
_WITH_INDEXING: Final = 0x40
_WITH_INDEXING_MASK: Final = 0x3F
_WITHOUT_INDEXING: Final = 0x00
_NEVER_INDEXED: Final = 0x10
_LITERAL_MASK: Final = 0x0F
_SIZE_UPDATE: Final = 0x20
_SIZE_UPDATE_MASK: Final = 0x1F
_HUFFMAN: Final = 0x80
_LENGTH_MASK: Final = 0x7F

# How the values of a name are sent.
_STABLE: Final = 0
_VOLATILE: Final = 1
_SECRET: Final = 2
_COOKIE: Final = 3

_VOLATILE_NAMES: Final = """
    :path age content-length content-range date etag expires if-match if-modified-since if-none-match
    if-range if-unmodified-since last-modified location range referer
"""
_SECRET_NAMES: Final = "authorization proxy-authorization set-cookie"
_SHORT_COOKIE: Final = 20


@mypyc_attr(acyclic=True)
class _Name:
    """What is known about a name from the start."""

    def __init__(self, index: i64, policy: i64) -> None:
        #: Of its first entry in the static table; 0 if there is none.
        self.index: i64 = index
        self.policy: i64 = policy


def _names() -> dict[str, _Name]:
    names: dict[str, _Name] = {}
    index: i64 = STATIC_COUNT
    for name, _ in reversed(static_pairs()):
        names[name] = _Name(index, _STABLE)
        index -= 1
    for name in _VOLATILE_NAMES.split():
        names.setdefault(name, _Name(0, _VOLATILE)).policy = _VOLATILE
    for name in _SECRET_NAMES.split():
        names.setdefault(name, _Name(0, _SECRET)).policy = _SECRET
    names["cookie"].policy = _COOKIE
    return names


def _static_exact() -> dict[object, Field]:
    """Static entries that have a value; `note` is their index, negative."""
    exact: dict[object, Field] = {}
    index: i64 = 0
    for name, value in static_pairs():
        index += 1
        if value:
            field = Field(name, len(name), len(value))
            field.set_value(value)
            field.note = -index
            exact[field.pair] = field
    return exact


_NAMES: Final[dict[str, _Name]] = _names()
_STATIC_EXACT: Final[dict[object, Field]] = _static_exact()


@mypyc_attr(acyclic=True)
class Encoder:
    """Encodes the header blocks of one direction of one connection, in the order they go out."""

    def __init__(self, max_table_size: int = 4096) -> None:
        """`max_table_size`: octets of table that we use at most, whatever the peer allows."""
        self._cap: i64 = max_table_size
        self._table = DynamicTable(_INITIAL_TABLE_SIZE)
        # The table's size as the peer knows it, and the lowest since the last block.
        self._announced: i64 = _INITIAL_TABLE_SIZE
        self._lowest: i64 = _INITIAL_TABLE_SIZE
        # Entries ever inserted. An entry's `note` is which of them it was, from 1.
        self._inserted: i64 = 0
        # Entries by (name, value), static ones too; the newest by name; the last value of volatile
        # names.
        self._exact: dict[object, Field] = _STATIC_EXACT.copy()
        self._named: dict[str, Field] = {}
        self._last: dict[str, str] = {}
        self.set_max_table_size(_INITIAL_TABLE_SIZE)

    @property
    def table_size(self) -> int:
        """Octets used in the dynamic table (RFC 7541 4.1)."""
        return self._table.size

    def set_max_table_size(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE is `size`; the next block tells what we make of it.
        """
        limit: i64 = size
        if limit > self._cap:
            limit = self._cap
        if limit < self._lowest:
            self._lowest = limit
        self._shrink(limit)
        self._table.max_size = limit

    def encode(self, headers: Iterable[tuple[str, str]]) -> bytes:
        """A whole block. Names are lowered; a `NeverIndexed` goes out as that.

        Raises UnicodeEncodeError, before anything has changed, for text that has no octets.
        """
        pairs: list[object] = []
        for pair in cast("Iterable[object]", headers):
            pairs.append(pair if pair in self._exact else _sendable(pair))
        out = BytesWriter()
        self.begin(out)
        for pair in pairs:
            self.write_pair(out, pair)
        return out.getvalue()

    def begin(self, out: BytesWriter) -> None:
        """Begin a block: size updates, if the peer must be told."""
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

    def write_pair(self, out: BytesWriter, pair: object) -> None:
        """One field, `(name, value)`; its name in lower case, both valid."""
        field = self._exact.get(pair)
        if field is None or type(pair) is NeverIndexed:
            name, value = cast("tuple[str, str]", pair)
            self.write(out, name, value, isinstance(pair, NeverIndexed))
            return
        index = -field.note
        if index < 0:
            index += STATIC_COUNT + 1 + self._inserted
        if index < _INDEXED_MASK:
            out.append(u8(_INDEXED | index))
        else:
            _write_integer(out, _INDEXED, _INDEXED_MASK, index)

    def write(self, out: BytesWriter, name: str, value: str, never: bool) -> None:
        """One field as a literal; `never` to be indexed, or as its name has it."""
        octets = _octets(value)
        index: i64 = 0
        policy: i64 = _STABLE
        name_octets: i64 = 0
        raw_name = b""
        known = _NAMES.get(name)
        if known is not None:
            index = known.index
            policy = known.policy
            name_octets = len(name)
        if index == 0:
            named = self._named.get(name)
            if named is not None:
                index = STATIC_COUNT + 1 + self._inserted - named.note
                name_octets = named.name_octets
            else:
                raw_name = _octets(name)
                name_octets = len(raw_name)
        first: i64 = _WITHOUT_INDEXING
        mask: i64 = _LITERAL_MASK
        if never or policy == _SECRET or (policy == _COOKIE and len(octets) < _SHORT_COOKIE):
            first = _NEVER_INDEXED
        elif name_octets + len(octets) + ENTRY_OVERHEAD <= self._table.max_size * 3 // 4 and (
            policy != _VOLATILE or self._is_repeated(name, value)
        ):
            first = _WITH_INDEXING
            mask = _WITH_INDEXING_MASK
            field = Field(name, name_octets, len(octets))
            field.set_value(value)
            self._insert(field, known is None or known.index == 0)
        _write_integer(out, first, mask, index)
        if index == 0:
            _write_string(out, raw_name)
        _write_string(out, octets)

    def _is_repeated(self, name: str, value: str) -> bool:
        last = self._last
        if last.get(name) == value:
            return True
        last[name] = value
        return False

    def _insert(self, field: Field, by_name: bool) -> None:
        self._shrink(self._table.max_size - field.size)
        self._inserted += 1
        field.note = self._inserted
        self._table.insert(field)
        self._exact[field.pair] = field
        if by_name:
            self._named[field.name] = field

    def _shrink(self, size: i64) -> None:
        table = self._table
        exact = self._exact
        named = self._named
        while table.size > size:
            field = table.oldest()
            table.shrink(table.size - 1)
            if exact.get(field.pair) is field:
                del exact[field.pair]
            if named.get(field.name) is field:
                del named[field.name]


def _sendable(pair: object) -> object:
    """The pair with its name lowered. Raises UnicodeEncodeError if it cannot be sent."""
    name, value = cast("tuple[str, str]", pair)
    lowered = name.lower()
    _octets(lowered)
    _octets(value)
    if lowered == name:
        return pair
    if isinstance(pair, NeverIndexed):
        return NeverIndexed((lowered, value))
    return (lowered, value)


def _octets(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _write_integer(out: BytesWriter, first: i64, mask: i64, value: i64) -> None:
    """An integer behind the bits of `first`, in a prefix that is `mask` wide (RFC 7541 5.1)."""
    if value < mask:
        out.append(u8(first | value))
        return
    out.append(u8(first | mask))
    value -= mask
    while value >= 0x80:
        out.append(u8(value & 0x7F | 0x80))
        value >>= 7
    out.append(u8(value))


def _write_string(out: BytesWriter, octets: bytes) -> None:
    """A string, Huffman-coded if that is shorter (RFC 7541 5.2)."""
    length: i64 = len(octets)
    # Where the coded string's length fits its prefix, as it does but rarely, code first and fill
    # the length in afterwards: that saves a pass to find it out.
    at: i64 = len(out)
    out.append(0)
    huffman_encode(out, octets)
    coded: i64 = len(out) - at - 1
    if coded < length and coded < _LENGTH_MASK:
        out[at] = u8(_HUFFMAN | coded)
        return
    if coded < length:
        tail = BytesWriter()
        huffman_encode(tail, octets)
        out.truncate(at)
        _write_integer(out, _HUFFMAN, _LENGTH_MASK, coded)
        out.write(tail.getvalue())
        return
    out.truncate(at)
    _write_integer(out, 0, _LENGTH_MASK, length)
    out.write(octets)
