"""Decodes header blocks (RFC 7541 3, 5, 6): one object per connection, for its input.

Holds the dynamic table that the peer's encoder controls, and the bounds on the cost of a block.
Must never know what a field means: names and values may have any bytes.
"""

from typing import Final, TypeAlias, cast

from librt.strings import BytesWriter
from librt.vecs import append, vec
from mypy_extensions import i64, mypyc_attr, u8

from cno.hpack.dynamic import SIZE_SHIFT, DynamicTable
from cno.hpack.errors import HeaderListTooLarge, HPACKError
from cno.hpack.fields import ENTRY_OVERHEAD, NeverIndexed
from cno.hpack.huffman import huffman_decode
from cno.hpack.tables import (
    STATIC_COUNT,
    STATIC_NAME_SIZES,
    STATIC_NAMES,
    STATIC_PAIRS,
    STATIC_SIZES,
    static_pairs,
)

#: No limit reaches this number.
_UNBOUNDED: Final = (1 << 62) - 1
#: Most bytes after an integer's prefix: five hold 35 bits, more than any integer here has.
_MAX_CONTINUATION: Final = 5
#: Largest integer: table sizes are 32-bit settings, and no other number is larger.
_MAX_INTEGER: Final = (1 << 32) - 1
#: Largest block, in bytes, so that its sizes fit into notes and records. Connections have much
#: lower bounds.
_MAX_BLOCK: Final = 1 << 27
_NONE_DUE: Final = -1
#: Up to this length, in bytes, appending byte by byte is faster than slicing.
_SHORT: Final = 32

# A note on a table entry: its size, the length of its name, a verdict. An entry whose literal has
# not been decoded has the verdict _UNRESOLVED.
_NAME_SHIFT: Final = 4
_NAME_SIZE: Final = (1 << (SIZE_SHIFT - _NAME_SHIFT)) - 1
_VERDICT: Final = 15
_UNRESOLVED: Final = 15
#: The verdict of an examiner that wants to examine the value again, without blanks at its ends. The
#: list and the table then hold the trimmed value. The sizes stay those of the value as it was sent.
UNTRIMMED: Final = 14
_BLANKS: Final = " \t"
# A record of a literal: where it begins in the block's text, where its value begins, and flags.
_BEGIN_SHIFT: Final = 32
_VALUE_SHIFT: Final = 2
_VALUE_MASK: Final = (1 << (_BEGIN_SHIFT - _VALUE_SHIFT)) - 1
_ENTERED: Final = 2
_NEVER_INDEXED: Final = 1
_FIRST_RECORDS: Final = 8

_NO_NUMBERS: Final = vec[i64]()
#: Placeholder. Nothing may be written to it.
_NO_TEXT: Final = BytesWriter()


#: A decoded block: the `(name, value)` of each field, as `NeverIndexed` where the peer asked for
#: it; and, if there is an examiner, its verdict on each field, one byte each.
Block: TypeAlias = tuple[list[tuple[str, str]], BytesWriter]


@mypyc_attr(allow_interpreted_subclasses=True)
class Examiner:
    """Examines each field once, when it is decoded. The tables keep the verdict.

    This class has the verdict 0 on every field.
    """

    def __init__(self) -> None:
        verdicts = vec[i64]([0])
        for name, value in static_pairs():
            verdicts = append(verdicts, _checked(self.examine(name, value)))
        #: The verdicts on the fields of the static table, by index.
        self.static: vec[i64] = verdicts

    def examine(self, name: str, value: str) -> i64:
        """Return a verdict on a field: 0 to 13, or UNTRIMMED."""
        return 0


@mypyc_attr(acyclic=True)
class Decoder:
    """Decodes the header blocks of one direction of one connection, in their order."""

    def __init__(
        self,
        max_table_size: int = 4096,
        *,
        max_list_size: int | None = 65536,
        max_fields: int | None = 256,
        examiner: Examiner | None = None,
    ) -> None:
        """`max_table_size`: bytes of table that the peer may use, as it already knows.

        `max_list_size` (bytes of names and values, and 32 for each field) and `max_fields` bound
        one list; None means no bound. `examiner` examines each field.
        """
        #: Of the whole last block: its size, as `max_list_size` counts it, its number of fields,
        #: and whether it exceeds the limits.
        self.list_size: i64 = 0
        self.field_count: i64 = 0
        self.too_large = False
        #: Most bytes of a list. May be changed between blocks.
        self.max_list_size: i64 = _UNBOUNDED if max_list_size is None else max_list_size
        self._max_fields: i64 = _UNBOUNDED if max_fields is None else max_fields
        self._table = DynamicTable(max_table_size)
        # The size of the table that our acknowledged settings allow. And the lowest since the last
        # block, if the peer must respond to it with a size update.
        self._limit: i64 = max_table_size
        self._update_due: i64 = _NONE_DUE
        # The position after the piece read last.
        self._pos: i64 = 0
        self._examiner = examiner
        # The text of a block's literals is decoded at once, at the end. Until then each has a
        # record, and its place among the fields holds one of these: its name, if known; None; or,
        # for the name of another field at place n, -1 - n. Their table entries hold these places,
        # and so do fields that refer to the entries. Between blocks there are no records.
        self._records: vec[i64] = _NO_NUMBERS
        self._first: i64 = 0  # number of the first table entry of this block
        self._broken = False

    @property
    def table_size(self) -> int:
        """Bytes used in the dynamic table (RFC 7541 4.1)."""
        return self._table.size

    def set_max_table_size(self, size: int) -> None:
        """Apply our SETTINGS_HEADER_TABLE_SIZE, which the peer has acknowledged.

        If the table is larger, the next block must begin with a size update.
        """
        self._limit = size
        lowest = self._update_due
        if lowest == _NONE_DUE:
            lowest = self._table.max_size
        if self._limit < lowest:
            self._update_due = self._limit

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """Return the fields of a whole block in order, as `NeverIndexed` where the peer wants it.

        Names and values are UTF-8, with surrogate escapes for other bytes. Raises HPACKError if the
        block breaks RFC 7541, HeaderListTooLarge if the list exceeds the limits.
        """
        pairs: list[tuple[str, str]] = []
        self._decode(block, 0, len(block), cast("list[object]", pairs))
        if self.too_large:
            raise HeaderListTooLarge(
                f"a list of {self.field_count} fields, {self.list_size} bytes, is beyond the limit"
                " (RFC 9113 10.5.1)"
            )
        return pairs

    def decode_fields(self, block: bytes, start: i64, end: i64) -> Block:
        """Return the fields of the block `block[start:end]`, and the examiner's verdicts on them.

        Sets `list_size`, `field_count`, `too_large`. A list is cut at the limits. The rest of the
        block is decoded all the same, for the table. Raises HPACKError.
        """
        pairs: list[tuple[str, str]] = []
        verdicts = self._decode(block, start, end, cast("list[object]", pairs))
        return pairs, BytesWriter() if self._examiner is None else verdicts

    def _decode(self, block: bytes, start: i64, end: i64, found: list[object]) -> BytesWriter:
        """Decode a block into `found`. Return the examiner's verdicts, if there is one."""
        pos = self._begin(block, start, end)
        examiner = self._examiner
        verdicts = _NO_TEXT if examiner is None else BytesWriter()
        text = _NO_TEXT
        table = self._table
        room = self.max_list_size
        listed: i64 = _UNBOUNDED
        size: i64 = 0
        count: i64 = 0
        verdict: i64 = 0
        while pos < end:
            # > An endpoint can use the SETTINGS_MAX_HEADER_LIST_SIZE to advise peers of limits that
            # > might apply on the size of uncompressed field blocks.   (RFC 9113 10.5.1)
            if count == self._max_fields:
                room = 0
            byte: i64 = block[pos]
            index = byte & 0x7F
            if byte < 0x80:
                if text is _NO_TEXT:
                    text = self._begin_text()
                self._pos = pos + 1
                size += self._literal(text, block, byte, end, room - size, found)
                pos = self._pos
            else:
                pos += 1
                if index == 0x7F:
                    index = self._integer(block, pos, end, 0x7F)
                    pos = self._pos
                if 0 < index <= STATIC_COUNT:
                    size += STATIC_SIZES[index]
                    item: object = STATIC_PAIRS[index]
                    if examiner is not None:
                        verdict = examiner.static[index]
                else:
                    age = index - (STATIC_COUNT + 1)
                    if age < 0 or age >= table.count:
                        raise self._no_entry(index)
                    slot = (table.newest - age) & table.mask
                    note = table.notes[slot]
                    verdict = note & _VERDICT
                    size += note >> SIZE_SHIFT
                    item = table.items[slot]
                if size <= room:
                    found.append(item)
            if size > room:
                room = 0
                listed = min(listed, count)
            elif examiner is not None:
                verdicts.append(u8(verdict))
            count += 1
        self.list_size, self.field_count = size, count
        self.too_large = listed < count
        if text is not _NO_TEXT:
            self._resolve_literals(text.getvalue(), found, listed, verdicts)
        if self.too_large:
            del found[listed:]
        self._broken = False
        return verdicts

    def _begin(self, block: bytes, start: i64, end: i64) -> i64:
        """Start a block. Return the position of its first field."""
        if self._broken:
            raise HPACKError("an earlier block was broken, the table is not what the peer has")
        self._broken = True
        if end - start > _MAX_BLOCK:  # pragma: no cover - takes 128 MiB
            raise HPACKError(f"a block of {end - start} bytes (RFC 7541 7.4)")
        self._first = self._table.newest + 1
        return self._size_updates(block, start, end)

    def _begin_text(self) -> BytesWriter:
        self._records = vec[i64](capacity=_FIRST_RECORDS)
        return BytesWriter()

    def _size_updates(self, block: bytes, pos: i64, end: i64) -> i64:
        """Handle the size updates that begin a block. Return the position of its first field."""
        updates: i64 = 0
        while pos < end and block[pos] & 0xE0 == 0x20:
            # > This dynamic table size update MUST occur at the beginning of the first header block
            # > following the change to the dynamic table size. [...] resulting in at most two
            # > dynamic table size updates.   (RFC 7541 4.2)
            updates += 1
            if updates > 2:
                raise HPACKError("more than two size updates in a block (RFC 7541 4.2)")
            byte: i64 = block[pos]
            size = byte & 0x1F
            pos += 1
            if size == 0x1F:
                size = self._integer(block, pos, end, 0x1F)
                pos = self._pos
            # > The new maximum size MUST be lower than or equal to the limit determined by the
            # > protocol using HPACK. A value that exceeds this limit MUST be treated as a decoding
            # > error.   (RFC 7541 6.3)
            if size > self._limit:
                raise HPACKError(
                    f"size update to {size} bytes, {self._limit} are allowed (RFC 7541 6.3)"
                )
            # > In the case that this size is changed more than once in this interval, the smallest
            # > maximum table size that occurs in that interval MUST be signaled   (RFC 7541 4.2)
            if self._update_due != _NONE_DUE:
                if size > self._update_due:
                    due = self._update_due
                    raise HPACKError(f"size update to {size}, {due} was due (RFC 7541 4.2)")
                self._update_due = _NONE_DUE
            self._table.resize(size)
        if self._update_due != _NONE_DUE:
            raise HPACKError(
                f"no size update, one to {self._update_due} bytes was due (RFC 7541 4.2)"
            )
        return pos

    def _no_entry(self, index: i64) -> HPACKError:
        """Return the error for an index without an entry."""
        # > The index value of 0 is not used. It MUST be treated as a decoding error if found in an
        # > indexed header field representation.   (RFC 7541 6.1)
        if index == 0:
            return HPACKError("index 0 is not used (RFC 7541 6.1)")
        # > Indices strictly greater than the sum of the lengths of both tables MUST be treated as a
        # > decoding error.   (RFC 7541 2.3.3)
        return HPACKError(
            f"index {index} is beyond the tables' {STATIC_COUNT + self._table.count} entries"
            " (RFC 7541 2.3.3)"
        )

    def _literal(
        self, out: BytesWriter, block: bytes, byte: i64, end: i64, room: i64, found: list[object]
    ) -> i64:
        """Read the literal that begins with `byte`, insert it if due, return its size.

        It gets a place in `found` and a record, and its text goes to `out`, unless it is larger
        than `room` and not in the table either. Moves `_pos` to its end.
        """
        mask: i64 = 0x0F
        indexing = byte & 0x40 != 0
        if indexing:
            mask = 0x3F
        elif byte & 0x20 != 0:
            # Size updates are allowed at the start of a block only; see _size_updates().
            raise HPACKError("size update after a field (RFC 7541 4.2)")
        index = byte & mask
        if index == mask:
            index = self._integer(block, self._pos, end, mask)
        table = self._table
        begin: i64 = len(out)
        name: object = None
        name_size: i64 = 0
        if index == 0:
            self._string(out, block, end)
            name_size = len(out) - begin
        elif index <= STATIC_COUNT:
            name = STATIC_NAMES[index]
            name_size = STATIC_NAME_SIZES[index]
        else:
            age = index - (STATIC_COUNT + 1)
            if age >= table.count:
                raise self._no_entry(index)
            slot = (table.newest - age) & table.mask
            note = table.notes[slot]
            name = table.items[slot]
            name_size = note >> _NAME_SHIFT & _NAME_SIZE
            if note & _VERDICT == _UNRESOLVED:
                name = -1 - cast(int, name)
            else:
                name = cast("tuple[str, ...]", name)[0]
        value_at: i64 = len(out)
        self._string(out, block, end)
        size = name_size + len(out) - value_at + ENTRY_OVERHEAD
        record = begin << _BEGIN_SHIFT | value_at << _VALUE_SHIFT
        if byte & 0xF0 == 0x10:
            record |= _NEVER_INDEXED
        if indexing and table.insert(
            len(found), size << SIZE_SHIFT | name_size << _NAME_SHIFT | _UNRESOLVED
        ):
            record |= _ENTERED
        elif size > room:
            out.truncate(begin)
            return size
        self._records = append(self._records, record)
        found.append(name)
        return size

    def _resolve_literals(
        self, data: bytes, found: list[object], listed: i64, verdicts: BytesWriter
    ) -> None:
        """Decode the text of the block's literals. `listed` is where the list will be cut."""
        records = self._records
        self._records = _NO_NUMBERS
        examiner = self._examiner
        text = _ascii(data)
        ascii = len(text) == len(data)
        verdict: i64 = 0
        number = self._first - 1
        at: i64 = 0
        place: i64 = -1
        record: i64 = records[0] if len(records) > 0 else 0
        for item in found:
            place += 1
            if isinstance(item, tuple):
                continue
            if isinstance(item, int) and item >= 0:
                found[place] = found[item]
                if examiner is not None:
                    verdicts[place] = verdicts[item]
                continue
            begin = record >> _BEGIN_SHIFT
            value_at = record >> _VALUE_SHIFT & _VALUE_MASK
            flags = record
            at += 1
            end: i64 = len(data)
            if at < len(records):
                record = records[at]
                end = record >> _BEGIN_SHIFT
            if item is None:
                name = text[begin:value_at] if ascii else _text(data, begin, value_at)
            elif isinstance(item, str):
                name = item
            else:
                source = found[-1 - cast(int, item)]
                name = source if isinstance(source, str) else cast("tuple[str, ...]", source)[0]
            if flags & _ENTERED != 0:
                number += 1
            held = flags & _ENTERED != 0 and self._table.holds(number)
            if place >= listed and not held:
                # It is not in the list, and not in the table: at most its name is still needed. All
                # else would cost thousands of times what it cost the peer.
                found[place] = name
                continue
            value = text[value_at:end] if ascii else _text(data, value_at, end)
            if examiner is not None:
                verdict = _checked(examiner.examine(name, value))
                if verdict == UNTRIMMED:
                    value = value.strip(_BLANKS)
                    verdict = _checked(examiner.examine(name, value))
                if place < listed:
                    verdicts[place] = u8(verdict)
            pair: object = (name, value)
            if flags & _NEVER_INDEXED != 0:
                pair = NeverIndexed((name, value))
            found[place] = pair
            if held:
                self._table.set_entry(number, pair, verdict)

    def _string(self, out: BytesWriter, block: bytes, end: i64) -> None:
        """Append the string at `_pos` to `out`, decoded. Move `_pos` to its end."""
        pos = self._pos
        if pos >= end:
            raise HPACKError("the block ends before a string (RFC 7541 5.2)")
        byte: i64 = block[pos]
        length = byte & 0x7F
        pos += 1
        if length == 0x7F:
            length = self._integer(block, pos, end, 0x7F)
            pos = self._pos
        stop = pos + length
        if stop > end:
            raise HPACKError(
                f"a string of {length} bytes where {end - pos} are left (RFC 7541 5.2)"
            )
        if byte >= 0x80:
            huffman_decode(out, block, pos, stop)
        elif length > _SHORT:
            out.write(block[pos:stop])
        else:
            while pos < stop:
                out.append(block[pos])
                pos += 1
        self._pos = stop

    def _integer(self, block: bytes, pos: i64, end: i64, value: i64) -> i64:
        """Return the integer with the full prefix `value` that continues at `pos`. Set `_pos`."""
        # > Integer encodings that exceed implementation limits -- in value or octet length -- MUST
        # > be treated as decoding errors.   (RFC 7541 5.1)
        shift: i64 = 0
        while pos < end:
            byte: i64 = block[pos]
            pos += 1
            value += (byte & 0x7F) << shift
            if byte < 0x80:
                if value > _MAX_INTEGER:
                    break
                self._pos = pos
                return value
            shift += 7
            if shift == 7 * _MAX_CONTINUATION:
                break
        else:
            raise HPACKError("the block ends within an integer (RFC 7541 5.1)")
        raise HPACKError("an integer above 32 bits or of too many bytes (RFC 7541 5.1)")


def _checked(verdict: i64) -> i64:
    if verdict < 0 or verdict >= _UNRESOLVED:
        raise ValueError(f"{verdict} is no verdict")
    return verdict


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        return ""


def _text(data: bytes, start: i64, end: i64) -> str:
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        return data[start:end].decode("utf-8", "surrogateescape")
