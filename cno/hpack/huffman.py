"""The static Huffman code of HPACK (RFC 7541 5.2 and appendix B), both ways.

Takes octets and gives octets. The code is canonical: codes of one length are consecutive numbers in
the order of their symbols, and each length starts where the one before it ended. So the symbols of
each length are all there is to write down; the tables are made from them at import.
"""

from typing import Final

from librt.strings import (
    BytesWriter,
    read_i32_le,
    read_i64_be,
    read_i64_le,
    write_i32_be,
    write_i32_le,
)
from mypy_extensions import i32, i64, u8

from cno.hpack.errors import HPACKError

#: Symbols by the length of their codes in bits; the end-of-string symbol, 256, is the last one.
_SYMBOLS: Final[dict[int, str]] = {
    5: "012aceiost",
    6: " %-./3456789=A_bdfghlmnpru",
    7: ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: "&*,;XZ",
    10: '!"()?',
    11: "'+|",
    12: "#>",
    13: "\x00$@[]~",
    14: "^}",
    15: "<`{",
    19: "\\\xc3\xd0",
    20: "\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: "\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: "\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4"
    "\xc6\xe4\xe8\xe9",
    23: "\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4"
    "\xb6\xb7\xbc\xbf\xc5\xe7\xef",
    24: "\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: "\xc7\xcf\xea\xeb",
    26: "\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: "\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: "\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b"
    "\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    30: "\x0a\x0d\x16\u0100",
}
_EOS: Final = 256
#: Bits of the longest code.
_LONGEST: Final = 30
_ALL_ONES: Final = (1 << _LONGEST) - 1
#: Bits looked up at once when decoding: enough for two of the commonest symbols.
_WINDOW: Final = 12
_WINDOW_MASK: Final = (1 << _WINDOW) - 1
#: Bits from where a window begins to where it would end if it were four times as wide.
_MARGIN: Final = _WINDOW + 2
_MARGIN_MASK: Final = (1 << _MARGIN) - 1


def _codes() -> list[tuple[int, int, int]]:
    """(symbol, length in bits, code), in the order of codes."""
    rows = []
    code = 0
    last = 0
    for length, symbols in _SYMBOLS.items():
        code <<= length - last
        last = length
        for symbol in symbols:
            rows.append((ord(symbol), length, code))
            code += 1
    return rows


def _encoding_table(rows: list[tuple[int, int, int]]) -> bytes:
    """By symbol, eight octets each: the code, then six bits of length."""
    entries = [0] * (_EOS + 1)
    for symbol, length, code in rows:
        entries[symbol] = code << 6 | length
    return b"".join([entry.to_bytes(8, "little") for entry in entries])


def _window_table(rows: list[tuple[int, int, int]]) -> bytes:
    """By the next `_WINDOW` bits, four octets each: the whole codes that they begin with.

    The octets: first symbol; second, if any; bits of these one or two octets; bits of their codes.
    All are 0 where even the first code is longer than the window.
    """
    table = [0] * (1 << _WINDOW)
    short = [row for row in rows if row[1] <= _WINDOW]
    for symbol, length, code in short:
        room = _WINDOW - length
        entry = length << 24 | 8 << 16 | symbol
        table[code << room : (code + 1) << room] = [entry] * (1 << room)
        for symbol2, length2, code2 in short:  # pragma: no branch - always left by its break
            room = _WINDOW - length - length2
            if room < 0:
                break
            both = code << length2 | code2
            entry = (length + length2) << 24 | 16 << 16 | symbol2 << 8 | symbol
            table[both << room : (both + 1) << room] = [entry] * (1 << room)
    return b"".join([entry.to_bytes(4, "little") for entry in table])


def _long_table(rows: list[tuple[int, int, int]]) -> tuple[bytes, bytes]:
    """For codes longer than the window: a row of four numbers per length, and their symbols.

    The numbers, of four octets each: the first code beyond those of this length, filled up to 30
    bits; the length; its first code; where its first symbol is among the symbols. The last row is
    that of the end-of-string symbol.
    """
    numbers: list[int] = []
    symbols: list[int] = []
    for wanted in _SYMBOLS:
        if wanted > _WINDOW:
            group = [row for row in rows if row[1] == wanted]
            beyond = (group[-1][2] + 1) << (_LONGEST - wanted)
            numbers += [beyond, wanted, group[0][2], len(symbols)]
            symbols += [symbol & 0xFF for symbol, _, _ in group]
    return b"".join([number.to_bytes(4, "little") for number in numbers]), bytes(symbols)


_ROWS: Final = _codes()
_ENCODING: Final[bytes] = _encoding_table(_ROWS)
_DECODING: Final[bytes] = _window_table(_ROWS)
_LONG_ROWS: Final[bytes] = _long_table(_ROWS)[0]
_LONG_SYMBOLS: Final[bytes] = _long_table(_ROWS)[1]


def huffman_encode(out: BytesWriter, text: bytes) -> None:
    """Append the Huffman coding of `text`, padded to whole octets."""
    table = _ENCODING
    # The codes of the symbols so far, less what is written already: the low `bits` bits.
    pending: i64 = 0
    bits: i64 = 0
    i: i64 = 0
    end: i64 = len(text)
    while i < end:
        symbol: i64 = text[i]
        entry = read_i64_le(table, symbol * 8)
        length = entry & 63
        pending = pending << length | entry >> 6
        bits += length
        if bits >= 32:
            bits -= 32
            # write_i32_be() takes a signed number.
            word = (pending >> bits) & 0xFFFFFFFF
            write_i32_be(out, i32((word ^ 0x80000000) - 0x80000000))
            pending &= (1 << bits) - 1
        i += 1
    # > As the Huffman-encoded data doesn't always end at an octet boundary, some padding is
    # > inserted after it, up to the next octet boundary. [...] the most significant bits of the
    # > code corresponding to the EOS (end-of-string) symbol are used.   (RFC 7541 5.2)
    pending = pending << 7 | 127
    bits += 7
    while bits >= 8:
        bits -= 8
        out.append(u8((pending >> bits) & 0xFF))


def huffman_decode(out: BytesWriter, block: bytes, start: i64, end: i64) -> None:
    """Append what `block[start:end]` is the code of to `out`.

    Raises HPACKError where there is the end-of-string symbol or wrong padding.
    """
    table = _DECODING
    # Decoded octets that are yet to be written, the first one lowest, and their bits.
    ready: i64 = 0
    bits: i64 = 0
    # Bits of `block` before the next code and before the end.
    spent = start * 8
    stop = end * 8
    while True:
        # Eight octets to take codes from: those that begin with the next code, or the last ones.
        # `limit` is how many bits may be spent before the next ones are needed.
        base = spent >> 3
        if base > end - 8:
            base = end - 8
        pending = read_i64_be(block, base) if base >= 0 else _big_endian(block, end)
        if stop - spent <= 64 - _MARGIN:
            # The last codes: let ones follow, so that a window is always full.
            pending = pending << _MARGIN | _MARGIN_MASK
            limit = stop
        else:
            limit = base * 8 + 64 - _MARGIN
        spare = limit - spent
        while spare >= 0:
            # The window, times the four octets of an entry.
            entry = i64(read_i32_le(table, pending >> spare & _WINDOW_MASK * 4))
            if entry == 0:
                break
            ready |= (entry & 0xFFFF) << bits
            bits += entry >> 16 & 0x1F
            spare -= entry >> 24
            if bits >= 32:
                # Four at once. write_i32_le() takes a signed number.
                write_i32_le(out, i32((ready & 0xFFFFFFFF ^ 0x80000000) - 0x80000000))
                ready >>= 32
                bits -= 32
        spent = limit - spare
        if spare >= 0:
            # No code of the window's size: only ones, as padding is, or a longer one.
            while bits > 0:
                out.append(u8(ready & 0xFF))
                ready >>= 8
                bits -= 8
            if stop - spent < 8 and _is_padding(block, spent, end):
                return
            code = _long_code(block, spent, end)
            out.append(u8(code & 0xFF))
            spent += code >> 8
        elif limit == stop:
            # > A padding not corresponding to the most significant bits of the code for the EOS
            # > symbol MUST be treated as a decoding error.   (RFC 7541 5.2)
            raise HPACKError("the padding of a Huffman-coded string is not all ones (RFC 7541 5.2)")


def _is_padding(block: bytes, spent: i64, end: i64) -> bool:
    """Whether the bits behind `spent`, all in the last octet, are ones."""
    if spent == end * 8:
        return True
    ones: i64 = 0xFF >> (spent & 7)
    return i64(block[end - 1]) & ones == ones


def _long_code(block: bytes, spent: i64, end: i64) -> i64:
    """Length and symbol (low octet) of the code behind `spent` bits, longer than the window.

    Raises HPACKError where it is the end-of-string symbol's or not whole.
    """
    # Five octets have 30 bits from any bit of the first octet on.
    pos = spent >> 3
    pending: i64 = 0
    for at in range(pos, pos + 5):
        pending = pending << 8 | (i64(block[at]) if at < end else 0xFF)
    top = (pending >> (40 - _LONGEST - (spent & 7))) & _ALL_ONES
    left = end * 8 - spent
    # > A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding
    # > error.   (RFC 7541 5.2)
    if top == _ALL_ONES and left >= _LONGEST:
        raise HPACKError("the end-of-string symbol in a Huffman-coded string (RFC 7541 5.2)")
    rows = _LONG_ROWS
    row: i64 = 0
    while top >= i64(read_i32_le(rows, row)):
        row += 16
    length = i64(read_i32_le(rows, row + 4))
    # > A padding strictly longer than 7 bits MUST be treated as a decoding error.   (RFC 7541 5.2)
    if length > left:
        raise HPACKError("more than 7 bits of padding in a Huffman-coded string (RFC 7541 5.2)")
    number = (top >> (_LONGEST - length)) - i64(read_i32_le(rows, row + 8))
    return length << 8 | i64(_LONG_SYMBOLS[i64(read_i32_le(rows, row + 12)) + number])


def _big_endian(block: bytes, end: i64) -> i64:
    """The first `end` octets, fewer than eight, as a number."""
    number: i64 = 0
    for at in range(end):
        number = number << 8 | i64(block[at])
    return number
