"""Bytes to fields (RFC 7541 3, 5, 6): one object per connection, for what the peer sends.

Keeps the table that the peer's encoder steers, and the bounds on what one block may cost. Never
knows what a field means: names and values of any octets pass.
"""

from typing import Final, cast

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from cno.hpack.dynamic import DynamicTable
from cno.hpack.errors import HeaderListTooLarge, HPACKError
from cno.hpack.fields import ENTRY_OVERHEAD, Field
from cno.hpack.huffman import huffman_decode
from cno.hpack.tables import STATIC_COUNT, STATIC_FIELDS

#: No limit is ever reached there.
_UNBOUNDED: Final = 1 << 62
#: Octets after an integer's prefix: five hold 35 bits, more than any number here may need.
_MAX_CONTINUATION: Final = 5
#: The greatest integer: table sizes are settings of 32 bits, and nothing else can be larger.
_MAX_INTEGER: Final = (1 << 32) - 1
#: Octets of a block: places in its text must fit half a note. Who reads from a peer has bounds of
#: its own that are far lower.
_MAX_BLOCK: Final = 1 << 30
_NONE_DUE: Final = -1
#: Octets that are appended one by one faster than sliced first.
_SHORT: Final = 32
#: In a note, in place of where the name begins: the name is known.
_NAMED: Final = -1 << 32
_HIGH_HALF: Final = -1 << 32
_LOW_HALF: Final = (1 << 32) - 1
#: The pair of a field that will never have its text.
_DROPPED: Final = ("", "")


@mypyc_attr(acyclic=True)
class Decoder:
    """Decodes the header blocks of one direction of one connection, in the order they came in."""

    def __init__(
        self,
        max_table_size: int = 4096,
        *,
        max_list_size: int | None = 65536,
        max_fields: int | None = 256,
    ) -> None:
        """`max_table_size`: octets of table that the peer may use, as it knows already.

        `max_list_size` (octets of names and values, and 32 for each field) and `max_fields` bound
        one list; None is no bound.
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
        # The octets of the block's literals; their text is decoded all at once, in the end. Until
        # then the fields that are to get it have no pair, and their `note` is where their name
        # (high half) and value begin. None in blocks without literals, and between blocks.
        self._out: BytesWriter | None = None
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

        Raises HPACKError where it breaks RFC 7541, HeaderListTooLarge where the list is beyond the
        limits.
        """
        fields = self.decode_fields(block, 0, len(block))
        if self.too_large:
            raise HeaderListTooLarge(
                f"a list of {self.field_count} fields, {self.list_size} octets, is beyond the limit"
                " (RFC 9113 10.5.1)"
            )
        # In place: another list would cost more than what is done with it here.
        found = cast("list[object]", fields)
        at: i64 = 0
        for field in fields:
            found[at] = field.pair
            at += 1
        return cast("list[tuple[str, str]]", found)

    def decode_fields(self, block: bytes, start: i64, end: i64) -> list[Field]:
        """The fields of the block that is `block[start:end]`.

        Sets `list_size`, `field_count`, `too_large`. A list beyond the limits is cut there; the
        rest of the block is still decoded, as the table depends on it. Raises HPACKError.
        """
        if self._broken:
            raise HPACKError("an earlier block was broken, the table is not what the peer has")
        self._broken = True
        if end - start > _MAX_BLOCK:  # pragma: no cover - takes a gibibyte
            raise HPACKError(f"a block of {end - start} octets (RFC 7541 7.4)")
        fields: list[Field] = []
        static = STATIC_FIELDS
        table = self._table
        room = self.max_list_size
        places = self._max_fields
        self.too_large = False
        size: i64 = 0
        count: i64 = 0
        pos = self._size_updates(block, start, end)
        while pos < end:
            octet: i64 = block[pos]
            index = octet & 0x7F
            if octet < 0x80:
                left = room - size
                if count >= places:
                    left = 0
                field = self._literal(block, pos, end, left)
                pos = self._pos
            elif 0 < index <= STATIC_COUNT:
                field = static[index]
                pos += 1
            elif 0 < index <= STATIC_COUNT + table.count and index != 0x7F:
                field = table.get(index - STATIC_COUNT - 1)
                pos += 1
            else:
                pos += 1
                if index == 0x7F:
                    index = self._integer(block, pos, end, 0x7F)
                    pos = self._pos
                field = self._entry(index)
            size += field.size
            count += 1
            # > An endpoint can use the SETTINGS_MAX_HEADER_LIST_SIZE to advise peers of limits that
            # > might apply on the size of uncompressed field blocks.   (RFC 9113 10.5.1)
            if size <= room and count <= places:
                fields.append(field)
            else:
                self.too_large = True
                room = 0
        self.list_size = size
        self.field_count = count
        out = self._out
        if out is not None:
            self._out = None
            text = out.getvalue()
            _settle(text, fields + self._table.entries() if self.too_large else fields)
        self._broken = False
        return fields

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

    def _entry(self, index: i64) -> Field:
        """What an index of either table refers to."""
        # > The index value of 0 is not used. It MUST be treated as a decoding error if found in an
        # > indexed header field representation.   (RFC 7541 6.1)
        if index == 0:
            raise HPACKError("index 0 is not used (RFC 7541 6.1)")
        if index <= STATIC_COUNT:
            return STATIC_FIELDS[index]
        # > Indices strictly greater than the sum of the lengths of both tables MUST be treated as a
        # > decoding error.   (RFC 7541 2.3.3)
        table = self._table
        age = index - (STATIC_COUNT + 1)
        if age >= table.count:
            raise HPACKError(
                f"index {index} is beyond the tables' {STATIC_COUNT + table.count} entries"
                " (RFC 7541 2.3.3)"
            )
        return table.get(age)

    def _literal(self, block: bytes, pos: i64, end: i64, room: i64) -> Field:
        """The literal at `pos`, entered in the table if it is to be. Sets `_pos`.

        One larger than `room` that the table cannot hold either is read but not kept: it comes back
        with its size and will never have its text.
        """
        octet: i64 = block[pos]
        mask: i64 = 0x0F
        indexing = octet & 0x40 != 0
        if indexing:
            mask = 0x3F
            if self._table.max_size > room:
                room = self._table.max_size
        elif octet & 0x20 != 0:
            # Size updates come first in a block; see _size_updates().
            raise HPACKError("size update after a field (RFC 7541 4.2)")
        index = octet & mask
        self._pos = pos + 1
        if index == mask:
            index = self._integer(block, pos + 1, end, mask)
        out = self._out
        if out is None:
            out = self._out = BytesWriter()
        start: i64 = len(out)
        name = ""
        note: i64 = start << 32
        if index == 0:
            self._string(out, block, end)
            name_octets = len(out) - start
        else:
            named = self._entry(index)
            name = named.name
            name_octets = named.name_octets
            if named.pair is None:
                note = named.note & _HIGH_HALF
            else:
                note = _NAMED
        value_at: i64 = len(out)
        self._string(out, block, end)
        field = Field(name, name_octets, len(out) - value_at, octet & 0xF0 == 0x10)
        if field.size <= room:
            field.note = note | value_at
        else:
            field.pair = _DROPPED
            out.truncate(start)
        if indexing:
            self._table.insert(field)
        return field

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


def _settle(octets: bytes, fields: list[Field]) -> None:
    """Give the literals of the block their text."""
    ascii = True
    text = ""
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError:
        ascii = False
    for field in fields:
        if field.pair is not None:
            continue
        at = field.note & _LOW_HALF
        end = at + field.size - field.name_octets - ENTRY_OVERHEAD
        value = text[at:end] if ascii else _text(octets[at:end])
        if field.note >= 0:
            at = field.note >> 32
            end = at + field.name_octets
            field.name = text[at:end] if ascii else _text(octets[at:end])
        field.note = 0
        field.set_value(value)


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("utf-8", "surrogateescape")
