"""Writes frames to a connection's output, one function per type, and shows them to on_frame_send.

Knows bytes and their order. The callers decide whether a frame may be sent now.
"""

from librt.strings import BytesWriter
from mypy_extensions import i64

from cno.const import (
    CNO_FLAG_ACK,
    CNO_FLAG_END_HEADERS,
    CNO_FRAME_CONTINUATION,
    CNO_FRAME_DATA,
    CNO_FRAME_GOAWAY,
    CNO_FRAME_PING,
    CNO_FRAME_RST_STREAM,
    CNO_FRAME_SETTINGS,
    CNO_RST_NO_ERROR,
)
from cno.core import COPY_BELOW, ON_FRAME_SEND, UNKNOWN_LENGTH, Core, Frame, put
from cno.date import Stamp
from cno.h2.frames import HEADER_SIZE, MAX_SENT, patch_header, write_header, write_u32
from cno.hpack import Field


def _show(core: Core, type: i64, flags: i64, stream: i64, payload: bytes) -> None:
    if not core._frames_to_show:
        core._frames_to_show = []
    core._frames_to_show.append(Frame(type, flags, stream, payload))


def write_frame(core: Core, type: i64, flags: i64, stream: i64, payload: bytes) -> None:
    """Write a frame of any type."""
    if core._wants & ON_FRAME_SEND:
        _show(core, type, flags, stream, payload)
    write_header(core._writer, len(payload), type, flags, stream)
    put(core, payload)


def write_u32_frame(core: Core, type: i64, stream: i64, value: i64) -> None:
    """Write a frame with four bytes of payload: WINDOW_UPDATE or RST_STREAM."""
    if core._wants & ON_FRAME_SEND:
        _show(core, type, 0, stream, int(value).to_bytes(4, "big"))
    write_header(core._writer, 4, type, 0, stream)
    write_u32(core._writer, value)


def rst_stream(core: Core, stream: i64, code: i64) -> None:
    """Write RST_STREAM (RFC 9113 6.4)."""
    write_u32_frame(core, CNO_FRAME_RST_STREAM, stream, code)


def goaway(core: Core, last: i64, code: i64, text: str) -> None:
    """Write GOAWAY (RFC 9113 6.8), with a text as debug data."""
    debug = text.encode("ascii", "replace")[:256] if code != CNO_RST_NO_ERROR else b""
    head = int(last).to_bytes(4, "big") + int(code).to_bytes(4, "big")
    write_frame(core, CNO_FRAME_GOAWAY, 0, 0, head + debug)


def ping(core: Core, data: bytes, ack: bool) -> None:
    """Write PING (RFC 9113 6.7) with eight bytes."""
    write_frame(core, CNO_FRAME_PING, CNO_FLAG_ACK if ack else 0, 0, data)


def settings(core: Core, payload: bytes, ack: bool) -> None:
    """Write SETTINGS (RFC 9113 6.5)."""
    write_frame(core, CNO_FRAME_SETTINGS, CNO_FLAG_ACK if ack else 0, 0, payload)


def largest_frame(core: Core) -> i64:
    """Return the most bytes of payload for a frame of ours."""
    most = core._remote._max_frame_size
    return most if most < MAX_SENT else i64(MAX_SENT)


def data(core: Core, stream: i64, payload: bytes, start: i64, end: i64, flags: i64) -> None:
    """Write payload[start:end] as DATA frames. The last one has these `flags`."""
    most = largest_frame(core)
    while True:
        stop = min(end, start + most)
        last = stop == end
        piece = payload if start == 0 and stop == len(payload) else payload[start:stop]
        sent = flags if last else 0
        if core._wants & ON_FRAME_SEND:
            _show(core, CNO_FRAME_DATA, sent, stream, piece)
        write_header(core._writer, len(piece), CNO_FRAME_DATA, sent, stream)
        if len(piece) < COPY_BELOW:
            core._writer.write(piece)
        else:
            put(core, piece)
        if last:
            return
        start = stop


def field_block(
    core: Core,
    type: i64,
    flags: i64,
    stream: i64,
    prefix: bytes,
    status: i64,
    fields: list[object],
    date: Stamp | None = None,
    content_length: i64 = UNKNOWN_LENGTH,
) -> None:
    """Write HEADERS or PUSH_PROMISE (`prefix`: its promised id), with CONTINUATION if necessary.

    `status` goes first, unless it is 0, then `date` and `content_length`, if present. `fields` are
    the result of `send_fields.clean`.

    The block is encoded in place, after room for the frame header, which is filled in later.
    """
    shown = (core._wants & ON_FRAME_SEND) != 0
    out = BytesWriter() if shown else core._writer
    encoder = core._h2.encoder
    at: i64 = len(out)
    write_header(out, 0, type, flags | CNO_FLAG_END_HEADERS, stream)
    if prefix:
        out.write(prefix)
    encoder.begin(out)
    if status != 0:
        encoder.write_status(out, status)
    if date is not None:
        encoder.write_date(out, date.pair)
    if content_length != UNKNOWN_LENGTH:
        encoder.write_length(out, content_length)
    for field in fields:
        if isinstance(field, Field):
            encoder.write_field(out, field)
        else:
            encoder.write_pair(out, field)
    length: i64 = len(out) - at - HEADER_SIZE
    most = largest_frame(core)
    if length <= most and not shown:
        patch_header(out, at, length, type, flags | CNO_FLAG_END_HEADERS, stream)
        return
    block = out.getvalue()[at + HEADER_SIZE :]
    out.truncate(at)
    _split_block(core, type, flags, stream, block, most)


def _split_block(core: Core, type: i64, flags: i64, stream: i64, block: bytes, most: i64) -> None:
    start: i64 = 0
    size: i64 = len(block)
    while True:
        end = min(size, start + most)
        if end == size:
            flags |= CNO_FLAG_END_HEADERS
        write_frame(core, type, flags, stream, block[start:end])
        if end == size:
            return
        start = end
        type = CNO_FRAME_CONTINUATION
        flags = 0
