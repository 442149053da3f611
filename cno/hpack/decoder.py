"""Bytes to fields (RFC 7541 3, 5, 6): one object per connection, for what the peer sends.

Keeps the table that the peer's encoder steers, and the bounds on what one block may cost. Never
knows what a field means: names and values of any octets pass.
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

#: No limit is ever reached there.
_UNBOUNDED: Final = (1 << 62) - 1
#: Octets after an integer's prefix: five hold 35 bits, more than any number here may need.
_MAX_CONTINUATION: Final = 5
#: The greatest integer: table sizes are settings of 32 bits, and nothing else can be larger.
_MAX_INTEGER: Final = (1 << 32) - 1
#: Octets of a block: what is counted here in octets must fit a note. Who reads from a peer has
#: bounds of its own that are far lower.
_MAX_BLOCK: Final = 1 << 27
_NONE_DUE: Final = -1
#: Octets that are appended one by one faster than sliced first.
_SHORT: Final = 32

# An entry's note: its size, octets of its name, a verdict. What has no text yet has none.
_NAME_SHIFT: Final = 4
_NAME_OCTETS: Final = (1 << (SIZE_SHIFT - _NAME_SHIFT)) - 1
_VERDICT: Final = 15
_UNRESOLVED: Final = 15
#: The verdict of an examiner that wants to see the value again, without the blanks at its ends. The
#: list and the table then hold that value. The sizes stay those of what was sent.
UNTRIMMED: Final = 14
_BLANKS: Final = " \t"
# A record: where a literal begins in the block's text, where its value does, and flags.
_BEGIN_SHIFT: Final = 32
_VALUE_SHIFT: Final = 2
_VALUE_MASK: Final = (1 << (_BEGIN_SHIFT - _VALUE_SHIFT)) - 1
_ENTERED: Final = 2
_NEVER_INDEXED: Final = 1
_FIRST_RECORDS: Final = 8

_NO_NUMBERS: Final = vec[i64]()
#: Stands where there is none. Never to be written to.
_NO_TEXT: Final = BytesWriter()


#: A block, decoded: `(name, value)` of each field, those never to be indexed as `NeverIndexed`; and
#: of each the examiner's verdict, an octet, if there is an examiner.
Block: TypeAlias = tuple[list[tuple[str, str]], BytesWriter]


@mypyc_attr(allow_interpreted_subclasses=True)
class Examiner:
    """Judges each field once, when its text has come; the tables keep the verdict.

    This one has none on anything.
    """

    def __init__(self) -> None:
        verdicts = vec[i64]([0])
        for name, value in static_pairs():
            verdicts = append(verdicts, _checked(self.examine(name, value)))
        #: Those on the fields of the static table, by index.
        self.static: vec[i64] = verdicts

    def examine(self, name: str, value: str) -> i64:
        """Return a verdict on a field: 0 to 13, or UNTRIMMED."""
        return 0


@mypyc_attr(acyclic=True)
class Decoder:
    """Decodes the header blocks of one direction of one connection, in the order they came in."""

    def __init__(
        self,
        max_table_size: int = 4096,
        *,
        max_list_size: int | None = 65536,
        max_fields: int | None = 256,
        examiner: Examiner | None = None,
    ) -> None:
        """`max_table_size`: octets of table that the peer may use, as it knows already.

        `max_list_size` (octets of names and values, and 32 for each field) and `max_fields` bound
        one list; None is no bound. `examiner` is asked about each field.
        """
        #: Of the last block, all of it: octets as `max_list_size` counts them, fields, whether it
        #: was beyond the limits.
        self.list_size: i64 = 0
        self.field_count: i64 = 0
        self.too_large = False
        #: Octets one list may have; may be changed between blocks.
        self.max_list_size: i64 = _UNBOUNDED if max_list_size is None else max_list_size
        self._max_fields: i64 = _UNBOUNDED if max_fields is None else max_fields
        self._table = DynamicTable(max_table_size)
        # What our acknowledged settings allow the table, and the lowest that they did since the
        # last block, if the peer must answer to that with an update.
        self._limit: i64 = max_table_size
        self._update_due: i64 = _NONE_DUE
        # Where the piece read last ended.
        self._pos: i64 = 0
        self._examiner = examiner
        # The text of a block's literals is decoded all at once, in the end. Until then each has a
        # record, and in its place among the fields stands its name, if that is known; None; or -1
        # less the place of the field whose name it has. Their entries hold these places, and so do
        # fields that refer to them. There are none between blocks.
        self._records: vec[i64] = _NO_NUMBERS
        self._first: i64 = 0  # the number of the first entry that the block makes
        self._broken = False

    @property
    def table_size(self) -> int:
        """Octets used in the dynamic table (RFC 7541 4.1)."""
        return self._table.size

    def set_max_table_size(self, size: int) -> None:
        """Our SETTINGS_HEADER_TABLE_SIZE is `size`, and the peer has acknowledged that.

        If the table is larger than that, the next block must begin with an update.
        """
        self._limit = size
        lowest = self._update_due
        if lowest == _NONE_DUE:
            lowest = self._table.max_size
        if self._limit < lowest:
            self._update_due = self._limit

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        """The fields of a whole block, in order; those never to be indexed as `NeverIndexed`.

        Names and values are UTF-8; octets that are not are kept by `surrogateescape`.
        Raises HPACKError where it breaks RFC 7541, HeaderListTooLarge where the list is beyond the
        limits.
        """
        pairs: list[tuple[str, str]] = []
        self._decode(block, 0, len(block), cast("list[object]", pairs))
        if self.too_large:
            raise HeaderListTooLarge(
                f"a list of {self.field_count} fields, {self.list_size} octets, is beyond the limit"
                " (RFC 9113 10.5.1)"
            )
        return pairs

    def decode_fields(self, block: bytes, start: i64, end: i64) -> Block:
        """The fields of the block that is `block[start:end]`, and what the examiner says of each.

        Sets `list_size`, `field_count`, `too_large`. A list beyond the limits is cut there; the
        rest of the block is still decoded, as the table depends on it. Raises HPACKError.
        """
        pairs: list[tuple[str, str]] = []
        verdicts = self._decode(block, start, end, cast("list[object]", pairs))
        return pairs, BytesWriter() if self._examiner is None else verdicts

    def _decode(self, block: bytes, start: i64, end: i64, found: list[object]) -> BytesWriter:
        """Decode a block into `found`; what is said of its fields, if anybody is asked."""
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
            octet: i64 = block[pos]
            index = octet & 0x7F
            if octet < 0x80:
                if text is _NO_TEXT:
                    text = self._begin_text()
                self._pos = pos + 1
                size += self._literal(text, block, octet, end, room - size, found)
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
        """Where the fields of a block begin."""
        if self._broken:
            raise HPACKError("an earlier block was broken, the table is not what the peer has")
        self._broken = True
        if end - start > _MAX_BLOCK:  # pragma: no cover - takes 128 mebibytes
            raise HPACKError(f"a block of {end - start} octets (RFC 7541 7.4)")
        self._first = self._table.newest + 1
        return self._size_updates(block, start, end)

    def _begin_text(self) -> BytesWriter:
        self._records = vec[i64](capacity=_FIRST_RECORDS)
        return BytesWriter()

    def _size_updates(self, block: bytes, pos: i64, end: i64) -> i64:
        """Obey the size updates that begin a block; where its fields begin."""
        updates: i64 = 0
        while pos < end and block[pos] & 0xE0 == 0x20:
            # > This dynamic table size update MUST occur at the beginning of the first header block
            # > following the change to the dynamic table size. [...] resulting in at most two
            # > dynamic table size updates.   (RFC 7541 4.2)
            updates += 1
            if updates > 2:
                raise HPACKError("more than two size updates in a block (RFC 7541 4.2)")
            octet: i64 = block[pos]
            size = octet & 0x1F
            pos += 1
            if size == 0x1F:
                size = self._integer(block, pos, end, 0x1F)
                pos = self._pos
            # > The new maximum size MUST be lower than or equal to the limit determined by the
            # > protocol using HPACK. A value that exceeds this limit MUST be treated as a decoding
            # > error.   (RFC 7541 6.3)
            if size > self._limit:
                raise HPACKError(
                    f"size update to {size} octets, {self._limit} are allowed (RFC 7541 6.3)"
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
                f"no size update, one to {self._update_due} octets was due (RFC 7541 4.2)"
            )
        return pos

    def _no_entry(self, index: i64) -> HPACKError:
        """Why an index is wrong."""
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
        self, out: BytesWriter, block: bytes, octet: i64, end: i64, room: i64, found: list[object]
    ) -> i64:
        """Read the literal that `octet` began, enter it in the table if it is to be; its size.

        It gets a place in `found` and a record, and its octets go to `out`, unless it is larger
        than `room` and the table does not hold it either. Moves `_pos` behind it.
        """
        mask: i64 = 0x0F
        indexing = octet & 0x40 != 0
        if indexing:
            mask = 0x3F
        elif octet & 0x20 != 0:
            # Size updates come first in a block; see _size_updates().
            raise HPACKError("size update after a field (RFC 7541 4.2)")
        index = octet & mask
        if index == mask:
            index = self._integer(block, self._pos, end, mask)
        table = self._table
        begin: i64 = len(out)
        name: object = None
        name_octets: i64 = 0
        if index == 0:
            self._string(out, block, end)
            name_octets = len(out) - begin
        elif index <= STATIC_COUNT:
            name = STATIC_NAMES[index]
            name_octets = STATIC_NAME_SIZES[index]
        else:
            age = index - (STATIC_COUNT + 1)
            if age >= table.count:
                raise self._no_entry(index)
            slot = (table.newest - age) & table.mask
            note = table.notes[slot]
            name = table.items[slot]
            name_octets = note >> _NAME_SHIFT & _NAME_OCTETS
            if note & _VERDICT == _UNRESOLVED:
                name = -1 - cast(int, name)
            else:
                name = cast("tuple[str, ...]", name)[0]
        value_at: i64 = len(out)
        self._string(out, block, end)
        size = name_octets + len(out) - value_at + ENTRY_OVERHEAD
        record = begin << _BEGIN_SHIFT | value_at << _VALUE_SHIFT
        if octet & 0xF0 == 0x10:
            record |= _NEVER_INDEXED
        if indexing and table.insert(
            len(found), size << SIZE_SHIFT | name_octets << _NAME_SHIFT | _UNRESOLVED
        ):
            record |= _ENTERED
        elif size > room:
            out.truncate(begin)
            return size
        self._records = append(self._records, record)
        found.append(name)
        return size

    def _resolve_literals(
        self, octets: bytes, found: list[object], listed: i64, verdicts: BytesWriter
    ) -> None:
        """Give the literals of the block their text; `listed` is where the list will be cut."""
        records = self._records
        self._records = _NO_NUMBERS
        examiner = self._examiner
        text = _ascii(octets)
        ascii = len(text) == len(octets)
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
            end: i64 = len(octets)
            if at < len(records):
                record = records[at]
                end = record >> _BEGIN_SHIFT
            if item is None:
                name = text[begin:value_at] if ascii else _text(octets, begin, value_at)
            elif isinstance(item, str):
                name = item
            else:
                source = found[-1 - cast(int, item)]
                name = source if isinstance(source, str) else cast("tuple[str, ...]", source)[0]
            if flags & _ENTERED != 0:
                number += 1
            held = flags & _ENTERED != 0 and self._table.holds(number)
            if place >= listed and not held:
                # Neither listed nor in the table any more: nobody but another may want its name. To
                # make and examine more of it would cost thousands of times what it cost the peer.
                found[place] = name
                continue
            value = text[value_at:end] if ascii else _text(octets, value_at, end)
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
        """Append the octets of the string at `_pos` to `out`; move that on."""
        pos = self._pos
        if pos >= end:
            raise HPACKError("the block ends before a string (RFC 7541 5.2)")
        octet: i64 = block[pos]
        length = octet & 0x7F
        pos += 1
        if length == 0x7F:
            length = self._integer(block, pos, end, 0x7F)
            pos = self._pos
        stop = pos + length
        if stop > end:
            raise HPACKError(
                f"a string of {length} octets where {end - pos} are left (RFC 7541 5.2)"
            )
        if octet >= 0x80:
            huffman_decode(out, block, pos, stop)
        elif length > _SHORT:
            out.write(block[pos:stop])
        else:
            while pos < stop:
                out.append(block[pos])
                pos += 1
        self._pos = stop

    def _integer(self, block: bytes, pos: i64, end: i64, value: i64) -> i64:
        """An integer whose prefix was all ones, `value`, and that goes on at `pos`. Sets `_pos`."""
        # > Integer encodings that exceed implementation limits -- in value or octet length -- MUST
        # > be treated as decoding errors.   (RFC 7541 5.1)
        shift: i64 = 0
        while pos < end:
            octet: i64 = block[pos]
            pos += 1
            value += (octet & 0x7F) << shift
            if octet < 0x80:
                if value > _MAX_INTEGER:
                    break
                self._pos = pos
                return value
            shift += 7
            if shift == 7 * _MAX_CONTINUATION:
                break
        else:
            raise HPACKError("the block ends within an integer (RFC 7541 5.1)")
        raise HPACKError("an integer above 32 bits or of too many octets (RFC 7541 5.1)")


def _checked(verdict: i64) -> i64:
    if verdict < 0 or verdict >= _UNRESOLVED:
        raise ValueError(f"{verdict} is no verdict")
    return verdict


def _ascii(octets: bytes) -> str:
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        return ""


def _text(octets: bytes, start: i64, end: i64) -> str:
    try:
        return octets[start:end].decode()
    except UnicodeDecodeError:
        return octets[start:end].decode("utf-8", "surrogateescape")
