"""The wire format of HTTP/2 frames (RFC 9113 section 4.1): headers and integers. A leaf.

Integers are written as signed 32-bit numbers; larger ones wrap, as two's complement.
"""

from typing import Final

from librt.strings import BytesWriter, write_i32_be
from mypy_extensions import i32, i64, u8

HEADER_SIZE: Final = 9
#: The largest payload of our frames, even if the peer allows more: other streams share the
#: connection.
MAX_SENT: Final = 262_144


def write_header(out: BytesWriter, length: i64, type: i64, flags: i64, stream: i64) -> None:
    """Append the nine bytes of a frame header."""
    write_u32(out, length << 8 | type)
    out.append(u8(flags))
    write_i32_be(out, i32(stream))


def patch_header(
    out: BytesWriter, at: i64, length: i64, type: i64, flags: i64, stream: i64
) -> None:
    """Overwrite the nine bytes at `at`, reserved for a frame whose length is known now."""
    out[at] = u8((length >> 16) & 0xFF)
    out[at + 1] = u8((length >> 8) & 0xFF)
    out[at + 2] = u8(length & 0xFF)
    out[at + 3] = u8(type)
    out[at + 4] = u8(flags)
    out[at + 5] = u8((stream >> 24) & 0x7F)
    out[at + 6] = u8((stream >> 16) & 0xFF)
    out[at + 7] = u8((stream >> 8) & 0xFF)
    out[at + 8] = u8(stream & 0xFF)


def write_u32(out: BytesWriter, value: i64) -> None:
    """Append four bytes, big-endian; `value` is below 2^32."""
    if value > 0x7FFF_FFFF:
        value -= 0x1_0000_0000
    write_i32_be(out, i32(value))


def read_u16(data: bytes, at: i64) -> i64:
    """Read two bytes, big-endian."""
    high: i64 = data[at]
    low: i64 = data[at + 1]
    return high << 8 | low


def read_u32(data: bytes, at: i64) -> i64:
    """Read four bytes, big-endian."""
    high: i64 = read_u16(data, at)
    low: i64 = read_u16(data, at + 2)
    return high << 16 | low
