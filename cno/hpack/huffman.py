"""The static Huffman code of HPACK (RFC 7541 5.2 and appendix B), in both directions.

Takes bytes and returns bytes. The code is canonical: codes of one length are consecutive numbers in
the order of their symbols, and each length starts where the previous one ended. So the source has
only the symbols of each length. The tables are made from them at import.
"""

from typing import Final

from librt.strings import (
    BytesWriter,
    read_i32_le,
    read_i64_be,
    read_i64_le,
    write_i32_be,
    write_i64_le,
)
from librt.vecs import vec
from mypy_extensions import i32, i64, u8

from cno.hpack.errors import HPACKError

#: Symbols by the length of their codes in bits. The end-of-string symbol, 256, is the last.
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
#: Bits of one look-up in the decoder: enough for two of the most frequent symbols. (A larger table
#: would not fit into the first-level cache of many processors.)
_WINDOW: Final = 13
_WINDOW_MASK: Final = (1 << _WINDOW) - 1
#: Bits after the first window in a 64-bit number.
_REST: Final = 64 - _WINDOW
#: Look-ups in such a number. They give eight symbols at most, which fit into another one.
_LOOKS: Final = 4


def _codes() -> list[tuple[int, int, int]]:
    """Return (symbol, length in bits, code) in the order of codes."""
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
    """Return eight bytes for each symbol: its code, then six bits of length."""
    entries = [0] * (_EOS + 1)
    for symbol, length, code in rows:
        entries[symbol] = code << 6 | length
    return b"".join([entry.to_bytes(8, "little") for entry in entries])


def _window_table(rows: list[tuple[int, int, int]]) -> vec[i32]:
    """Return, for the next `_WINDOW` bits, the one or two whole codes that they begin with.

    The bytes of an entry, lowest first: bits of these codes; bits of their symbols, 8 or 16; first
    symbol; second symbol, if any. All are 0 if the first code is longer than the window. (Symbols
    of short codes are below 128.)
    """
    table = vec[i32]([i32(0)] * (1 << _WINDOW))
    short = [row for row in rows if row[1] <= _WINDOW]
    for symbol, length, code in short:
        _fill(table, code, length, symbol << 16 | 8 << 8 | length)
        for symbol2, length2, code2 in short:  # pragma: no branch - always left by its break
            both = length + length2
            if both > _WINDOW:
                break
            entry = symbol2 << 24 | symbol << 16 | 16 << 8 | both
            _fill(table, code << length2 | code2, both, entry)
    return table


def _fill(table: vec[i32], code: i64, length: i64, entry: i64) -> None:
    """Store an entry for all windows that begin with this code."""
    room = _WINDOW - length
    for at in range(code << room, (code + 1) << room):
        table[at] = i32(entry)


def _long_table(rows: list[tuple[int, int, int]]) -> tuple[bytes, bytes]:
    """Return a row of four numbers for each length beyond the window, and the symbols.

    The numbers, of four bytes each: the first code beyond those of this length, extended to 30
    bits; the length; its first code; the position of its first symbol. The last row is that of the
    end-of-string symbol.
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
_DECODING: Final[vec[i32]] = _window_table(_ROWS)
_LONG_ROWS: Final[bytes] = _long_table(_ROWS)[0]
_LONG_SYMBOLS: Final[bytes] = _long_table(_ROWS)[1]


def huffman_encode(out: BytesWriter, text: bytes) -> None:
    """Append the Huffman code of `text`, padded to whole bytes."""
    table = _ENCODING
    # The codes that have not been written yet: the low `bits` bits.
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
    """Decode `block[start:end]`, and append the result to `out`.

    Raises HPACKError for the end-of-string symbol and for wrong padding.
    """
    table = _DECODING
    size: i64 = len(out)
    # Bits of `block` before the next code and before the end.
    spent = start * 8
    stop = end * 8
    while spent < stop:
        left = stop - spent
        # The next bits, the first one highest.
        if left >= 64:
            pending = read_i64_be(block, spent >> 3) << (spent & 7)
        else:
            # The last codes: append ones, so that a window is always full.
            pending = read_i64_be(block, end - 8) if end >= 8 else _big_endian(block, end)
            pending = (pending + 1 << 64 - left) - 1
        # Four entries: up to eight bytes, the first one lowest, and the sum of the entries' bits.
        ready: i64 = 0
        sums: i64 = 0
        entry: i64 = 0
        looks: i64 = _LOOKS
        while looks > 0:
            entry = i64(table[pending >> _REST & _WINDOW_MASK])
            ready |= entry >> 16 << (sums >> 8)
            sums += entry & 0xFFFF
            pending <<= entry & 0xFF
            looks -= 1
        spent += sums & 0xFF
        # Write all eight bytes and keep the valid ones: this avoids a mispredicted branch.
        write_i64_le(out, ready)
        size += sums >> 11
        out.truncate(size)
        if entry == 0 and spent <= stop:
            # The code is longer than the window: at least twelve bits, or padding of ones.
            if stop - spent < 8:
                return
            code = _long_code(block, spent, end)
            out.append(u8(code & 0xFF))
            size += 1
            spent += code >> 8
    if spent > stop:
        # > A padding not corresponding to the most significant bits of the code for the EOS symbol
        # > MUST be treated as a decoding error.   (RFC 7541 5.2)
        raise HPACKError("the padding of a Huffman-coded string is not all ones (RFC 7541 5.2)")


def _long_code(block: bytes, spent: i64, end: i64) -> i64:
    """Return length and symbol (low byte) of the code after `spent` bits, which exceeds the window.

    Raises HPACKError for the end-of-string symbol and for an incomplete code.
    """
    # Five bytes contain 30 bits after any bit of the first byte.
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
    """Return the first `end` bytes, fewer than eight, as a number."""
    number: i64 = 0
    for at in range(end):
        number = number << 8 | i64(block[at])
    return number
