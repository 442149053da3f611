"""Splits input into frames: the preface, frame headers, DATA piece by piece, other frames whole.

Knows where a frame begins and ends; `recv` knows what it means.
"""

from mypy_extensions import i64

from cno.const import (
    CNO_FLAG_ACK,
    CNO_FLAG_END_STREAM,
    CNO_FLAG_PADDED,
    CNO_FRAME_CONTINUATION,
    CNO_FRAME_DATA,
    CNO_FRAME_HEADERS,
    CNO_FRAME_PUSH_PROMISE,
    CNO_FRAME_SETTINGS,
    CNO_RST_FRAME_SIZE_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    PREFACE,
)
from cno.core import (
    CLOSED,
    H2_CONTINUATION,
    H2_DATA,
    H2_FRAME,
    H2_PREFACE,
    H2_SETTINGS,
    ON_FRAME,
    WAIT,
    Core,
    Frame,
)
from cno.errors import ConnectionFault, StreamFault
from cno.h2 import recv, send
from cno.h2.frames import HEADER_SIZE, read_u32
from cno.h2.stream_rules import stream_error


def step(core: Core, state: i64) -> i64:
    """Handle the input of one state. Return the next state, or WAIT."""
    if state == H2_DATA:
        return _data(core)
    if state == H2_PREFACE:
        return _preface(core)
    return _frames(core, state)


def _preface(core: Core) -> i64:
    """Check the connection preface of a client (RFC 9113 3.4)."""
    # > Clients and servers MUST treat an invalid connection preface as a connection error
    # > (Section 5.4.1) of type PROTOCOL_ERROR.
    h2 = core._h2
    end: i64 = len(core._in)
    while core._pos < end:
        if core._in[core._pos] != PREFACE[h2.preface]:
            raise ConnectionFault(CNO_RST_PROTOCOL_ERROR, "invalid preface", "RFC 9113 3.4")
        core._pos += 1
        h2.preface += 1
        if h2.preface == len(PREFACE):
            return H2_SETTINGS
    core._bytes_needed = 0
    return WAIT


def _frames(core: Core, state: i64) -> i64:
    """Handle complete frames until the state changes or a frame is incomplete."""
    h2 = core._h2
    follow: i64 = H2_FRAME
    while True:
        if h2.frames >= h2.pause_at:
            core._bytes_needed = 0  # another call is needed, not more bytes
            return WAIT
        if not core._streams and send.drained(core):
            # This call ends with on_close: ignore the input, as if it came later.
            return WAIT
        data = core._in
        pos = core._pos
        left: i64 = len(data) - pos
        if left < HEADER_SIZE:
            core._bytes_needed = HEADER_SIZE
            return WAIT
        high: i64 = read_u32(data, pos)
        length: i64 = high >> 8
        type: i64 = high & 0xFF
        flags: i64 = data[pos + 4]
        # > Reserved: A reserved 1-bit field. The semantics of this bit are undefined, and the bit
        # > MUST remain unset when sending and MUST be ignored when receiving.   (RFC 9113 4.1)
        stream: i64 = read_u32(data, pos + 5) & 0x7FFF_FFFF
        _check_header(core, state, length, type, flags, stream)
        if type == CNO_FRAME_DATA:
            if (flags & CNO_FLAG_PADDED) != 0 and length > 0 and left == HEADER_SIZE:
                core._bytes_needed = HEADER_SIZE + 1
                return WAIT
            _begin_data(core, length, flags, stream)
            # In most cases the whole frame is here: save a round of the driver.
            follow = _data(core)
            if follow != H2_FRAME:
                return follow
            continue
        if left < HEADER_SIZE + length:
            core._bytes_needed = HEADER_SIZE + length
            return WAIT
        h2.frames += 1
        start = pos + HEADER_SIZE
        core._pos = start + length
        follow = H2_FRAME
        if type == CNO_FRAME_HEADERS or type == CNO_FRAME_PUSH_PROMISE:
            follow = recv.block_state(flags)
        elif type == CNO_FRAME_CONTINUATION:
            follow = recv.block_state(flags)
        # The frame is complete, whatever its events do: if one raises, the next byte begins the
        # next frame.
        core._state = follow
        try:
            recv.frame(core, type, flags, stream, data, start, start + length)
        except StreamFault as fault:
            stream_error(core, fault)
        if core._state != state:
            return core._state


def _check_header(core: Core, state: i64, length: i64, type: i64, flags: i64, stream: i64) -> None:
    """Check what the first nine bytes of a frame say."""
    # > An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined
    # > in SETTINGS_MAX_FRAME_SIZE.   (RFC 9113 4.2)
    if length > core._h2.acked._max_frame_size:
        raise ConnectionFault(
            CNO_RST_FRAME_SIZE_ERROR, f"frame of {length} bytes", "RFC 9113 4.2", "max_frame_size"
        )
    if state == H2_CONTINUATION:
        # > The header field block ... Each frame in the sequence MUST be a contiguous sequence of
        # > frames, with no interleaved frames of any other type or from any other stream.  (4.3)
        if type != CNO_FRAME_CONTINUATION or stream != core._h2.block_stream:
            raise ConnectionFault(
                CNO_RST_PROTOCOL_ERROR, "frame inside a field block", "RFC 9113 4.3"
            )
    elif state == H2_SETTINGS:
        # > The server connection preface consists of a potentially empty SETTINGS frame that MUST
        # > be the first frame the server sends.   (RFC 9113 3.4; for clients as well)
        if type != CNO_FRAME_SETTINGS or flags & CNO_FLAG_ACK:
            raise ConnectionFault(
                CNO_RST_PROTOCOL_ERROR, "the first frame is not SETTINGS", "RFC 9113 3.4"
            )
    elif type == CNO_FRAME_CONTINUATION:
        raise ConnectionFault(
            CNO_RST_PROTOCOL_ERROR, "CONTINUATION without a field block", "RFC 9113 6.10"
        )


def _begin_data(core: Core, length: i64, flags: i64, stream: i64) -> None:
    """Take a DATA frame's header and pad length. Its content is delivered as it arrives."""
    h2 = core._h2
    pad: i64 = 0
    content = length
    h2.frames += 1
    core._pos += HEADER_SIZE
    if flags & CNO_FLAG_PADDED:
        if length == 0:
            raise ConnectionFault(
                CNO_RST_FRAME_SIZE_ERROR, "PADDED frame without a pad length", "RFC 9113 4.2"
            )
        pad = core._in[core._pos]
        core._pos += 1
        # > If the length of the padding is the length of the frame payload or greater, the
        # > recipient MUST treat this as a connection error (Section 5.4.1) of type
        # > PROTOCOL_ERROR.   (RFC 9113 6.1)
        if pad >= length:
            raise ConnectionFault(
                CNO_RST_PROTOCOL_ERROR, "padding longer than its frame", "RFC 9113 6.1"
            )
        content = length - 1 - pad
    h2.data_left = content
    h2.pad_left = pad
    h2.data_flags = flags & CNO_FLAG_END_STREAM
    h2.data_stream = stream
    if core._wants & ON_FRAME:
        h2.data_seen = bytearray()
    # From here on bytes belong to this frame, even if its stream does not accept them.
    core._state = H2_DATA
    try:
        recv.begin_data(core, stream, length, content)
    except StreamFault as fault:
        stream_error(core, fault)


def _data(core: Core) -> i64:
    """Deliver the received part of a DATA frame. Go on with the next frame at its end."""
    h2 = core._h2
    data = core._in
    pos = core._pos
    size = min(len(data) - pos, h2.data_left)
    if size == 0:
        return _data_end(core)
    piece = data if pos == 0 and size == len(data) else data[pos : pos + size]
    core._pos += size
    h2.data_left -= size
    if core._wants & ON_FRAME:
        h2.data_seen += piece
    try:
        recv.data(core, h2.data_stream, piece)
    finally:
        # Even if the event raises: the end of a message is reported.
        follow = _data_end(core)
    return follow


def _data_end(core: Core) -> i64:
    """Handle the end of a DATA frame, if it has arrived: padding, and END_STREAM."""
    h2 = core._h2
    if core._state == CLOSED:
        return CLOSED
    if h2.data_left > 0:
        core._bytes_needed = 0
        return WAIT
    skipped = min(len(core._in) - core._pos, h2.pad_left)
    core._pos += skipped
    h2.pad_left -= skipped
    if h2.pad_left > 0:
        core._bytes_needed = 0
        return WAIT
    core._state = H2_FRAME
    stream = h2.data_stream
    try:
        if core._wants & ON_FRAME:
            core.on_frame(Frame(CNO_FRAME_DATA, h2.data_flags, stream, bytes(h2.data_seen)))
    finally:
        if h2.data_flags & CNO_FLAG_END_STREAM and core._state != CLOSED:
            _message_end(core, stream)
    return core._state


def _message_end(core: Core, stream: i64) -> None:
    try:
        recv.end_data(core, stream)
    except StreamFault as fault:
        stream_error(core, fault)
