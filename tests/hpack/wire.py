"""Header blocks written by hand, octet by octet, to be decoded or compared."""

from pathlib import Path
from typing import Final

import hpack

from cno.hpack import Decoder, Encoder
from tests.tree import ROOT

Pairs = list[tuple[str, str]]

#: The folder of stories that several HPACK implementations encoded (`http2jp/hpack-test-case`).
STORIES: Final[Path] = ROOT.parent / "shared" / "vectors" / "hpack-test-case"

INDEXED = 0x80, 7
WITH_INDEXING = 0x40, 6
SIZE_UPDATE = 0x20, 5
NEVER_INDEXED = 0x10, 4
WITHOUT_INDEXING = 0x00, 4


def integer(first: int, bits: int, value: int) -> bytes:
    """RFC 7541 5.1, from its pseudocode."""
    full = (1 << bits) - 1
    if value < full:
        return bytes([first | value])
    octets = [first | full]
    value -= full
    while value >= 128:
        octets.append(value % 128 + 128)
        value //= 128
    return bytes([*octets, value])


def string(text: bytes, length: int | None = None) -> bytes:
    """A string as it is; its length may be given wrong."""
    return integer(0, 7, len(text) if length is None else length) + text


def huffman(coded: bytes) -> bytes:
    """A string whose Huffman coding is given."""
    return integer(0x80, 7, len(coded)) + coded


def indexed(index: int) -> bytes:
    return integer(*INDEXED, index)


def size_update(size: int) -> bytes:
    return integer(*SIZE_UPDATE, size)


def literal(name: bytes | int, value: bytes, form: tuple[int, int] = WITH_INDEXING) -> bytes:
    """A literal; its name by index if that is a number."""
    if isinstance(name, int):
        return integer(*form, name) + string(value)
    return integer(*form, 0) + string(name) + string(value)


def bits(text: str) -> bytes:
    """Octets written as zeros and ones, blanks ignored."""
    digits = text.replace(" ", "")
    assert len(digits) % 8 == 0
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def peer_decoder(table_size: int = 4096) -> hpack.Decoder:
    """A decoder of somebody else's, without its bound on lists."""
    decoder = hpack.Decoder(max_header_list_size=1 << 30)
    decoder.max_allowed_table_size = table_size
    return decoder


def text_of(decoder: hpack.Decoder, block: bytes) -> Pairs:
    """What somebody else's decoder makes of a block, as we would have it."""
    fields = decoder.decode(block, raw=True)
    return [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in fields
    ]


def forms(block: bytes) -> list[str]:
    """The representations of a block, by name."""
    names = []
    pos = 0
    while pos < len(block):
        first = block[pos]
        if first & 0x80:
            names.append("indexed")
            pos = _after_integer(block, pos, 7)
            continue
        if first & 0xE0 == 0x20:
            names.append(f"size {_value(block, pos, 5)}")
            pos = _after_integer(block, pos, 5)
            continue
        width = 6 if first & 0x40 else 4
        names.append("with" if first & 0x40 else "never" if first & 0x10 else "without")
        has_name = first & ((1 << width) - 1) == 0
        pos = _after_integer(block, pos, width)
        for _ in range(2 if has_name else 1):
            length = _value(block, pos, 7)
            pos = _after_integer(block, pos, 7) + length
    return names


def _after_integer(block: bytes, pos: int, bits: int) -> int:
    full = (1 << bits) - 1
    if block[pos] & full < full:
        return pos + 1
    pos += 1
    while block[pos] & 0x80:
        pos += 1
    return pos + 1


def _value(block: bytes, pos: int, bits: int) -> int:
    value = full = (1 << bits) - 1
    if block[pos] & full < full:
        return block[pos] & full
    shift = 0
    for octet in block[pos + 1 : _after_integer(block, pos, bits)]:
        value += (octet & 0x7F) << shift
        shift += 7
    return value


def in_step(encoder: Encoder, decoder: Decoder, pairs: Pairs) -> None:
    """What one encodes the other decodes, and their tables are as large."""
    assert decoder.decode(encoder.encode(pairs)) == pairs
    assert decoder.table_size == encoder.table_size
