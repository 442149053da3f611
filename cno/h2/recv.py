"""Handles frames of the peer, one function per frame type (RFC 9113 section 6).

Gets whole frames (DATA piece by piece) from `reader`. Changes state, fires events, and raises
ConnectionFault or StreamFault for faults of the peer. `recv_fields` handles whole field blocks.
"""

from typing import Final

from mypy_extensions import i64

from cno import settings as rules
from cno.const import (
    CNO_FLAG_ACK,
    CNO_FLAG_END_HEADERS,
    CNO_FLAG_END_STREAM,
    CNO_FLAG_PADDED,
    CNO_FLAG_PRIORITY,
    CNO_FRAME_CONTINUATION,
    CNO_FRAME_GOAWAY,
    CNO_FRAME_HEADERS,
    CNO_FRAME_PING,
    CNO_FRAME_PRIORITY,
    CNO_FRAME_PRIORITY_UPDATE,
    CNO_FRAME_PUSH_PROMISE,
    CNO_FRAME_RST_STREAM,
    CNO_FRAME_SETTINGS,
    CNO_FRAME_WINDOW_UPDATE,
    CNO_REMOTE,
    CNO_RST_CANCEL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_FRAME_SIZE_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    CNO_RST_REFUSED_STREAM,
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
    CNO_SETTINGS_ENABLE_PUSH,
    CNO_SETTINGS_HEADER_TABLE_SIZE,
    CNO_SETTINGS_INITIAL_WINDOW_SIZE,
)
from cno.core import (
    CLOSED,
    DEFAULTS,
    DONE,
    H2_CONTINUATION,
    H2_FRAME,
    HEAD,
    ON_FLOW_INCREASE,
    ON_FRAME,
    ON_MESSAGE_DATA,
    ON_PONG,
    ON_SETTINGS,
    UNKNOWN_LENGTH,
    Core,
    Frame,
    Stream,
)
from cno.errors import ConnectionFault, Reason, StreamFault
from cno.h2 import flow, frame_writer, priority_update, recv_fields, send
from cno.h2.frames import read_u16, read_u32
from cno.h2.state import NO_BYTES, NO_SETTINGS
from cno.h2.stream_rules import (
    beyond_goaway,
    charge_reset,
    check_reserved,
    find,
    glitch,
    is_idle,
    is_ours,
    late,
    reply,
    was_reset,
)
from cno.streams import end, end_each, lookup

#: A DATA frame with this many bytes pays for an empty one.
PAYING: Final = 16


def block_state(flags: i64) -> i64:
    """Return the state after a frame with a piece of a field block."""
    return H2_FRAME if flags & CNO_FLAG_END_HEADERS else H2_CONTINUATION


def frame(
    core: Core, type: i64, flags: i64, stream: i64, data: bytes, start: i64, end: i64
) -> None:
    """Handle a whole frame with the payload data[start:end]."""
    if type == CNO_FRAME_HEADERS:
        _headers(core, flags, stream, data, start, end)
        return
    if type == CNO_FRAME_PUSH_PROMISE:
        _push_promise(core, flags, stream, data, start, end)
        return
    # Even if on_frame raises, handle the frame: HPACK, windows and settings are shared state.
    try:
        _show(core, type, flags, stream, data, start, end)
    finally:
        if core._state != CLOSED:
            _handle(core, type, flags, stream, data, start, end)


def _show(
    core: Core, type: i64, flags: i64, stream: i64, data: bytes, start: i64, end: i64
) -> None:
    if core._wants & ON_FRAME:
        core.on_frame(Frame(type, flags, stream, data[start:end]))


def _handle(
    core: Core, type: i64, flags: i64, stream: i64, data: bytes, start: i64, end: i64
) -> None:
    if type == CNO_FRAME_WINDOW_UPDATE:
        _window_update(core, stream, data, start, end)
    elif type == CNO_FRAME_RST_STREAM:
        _rst_stream(core, stream, data, start, end)
    elif type == CNO_FRAME_SETTINGS:
        _settings(core, flags, stream, data, start, end)
    elif type == CNO_FRAME_PING:
        _ping(core, flags, stream, data[start:end])
    elif type == CNO_FRAME_CONTINUATION:
        _continuation(core, flags, data, start, end)
    elif type == CNO_FRAME_GOAWAY:
        _goaway(core, stream, data, start, end)
    elif type == CNO_FRAME_PRIORITY:
        _priority(core, stream, data, start, end)
    elif type == CNO_FRAME_PRIORITY_UPDATE:
        priority_update.update(core, stream, data, start, end)
    else:
        # > Implementations MUST ignore and discard frames of unknown types.   (RFC 9113 4.1)
        glitch(core, 1)


# -- errors ---------------------------------------------------------------------------------------


def _protocol_error(text: str, rule: str) -> ConnectionFault:
    return ConnectionFault(CNO_RST_PROTOCOL_ERROR, text, rule)


def _wrong_size(text: str, rule: str) -> ConnectionFault:
    return ConnectionFault(CNO_RST_FRAME_SIZE_ERROR, text, rule)


# -- DATA (6.1) -----------------------------------------------------------------------------------


def begin_data(core: Core, id: i64, length: i64, content: i64) -> None:
    """Handle a DATA frame's header: `length` bytes for flow control, `content` bytes of body."""
    if id == 0:
        raise _protocol_error("DATA on stream 0", "RFC 9113 6.1")
    flow.charge_connection(core, length)
    if length != content:
        flow.discard(core, length - content)
    h2 = core._h2
    h2.data_stream = 0  # discard the content, unless the checks succeed
    stream = find(core, id, "DATA")
    if stream is None:
        return
    if stream.read == HEAD:
        check_reserved(stream, "DATA")
        raise StreamFault(id, CNO_RST_PROTOCOL_ERROR, "DATA before HEADERS", "RFC 9113 8.1")
    flow.charge_stream(core, stream, length)
    if content < flow.SMALL_FRAME and not h2.data_flags & CNO_FLAG_END_STREAM:
        _small_data(core, stream, content)
    if content != 0:
        h2.glitches.refund(1)
        if content >= PAYING:
            h2.empty.refund(1)
    if stream.read_left != UNKNOWN_LENGTH:
        if content > stream.read_left:
            raise StreamFault(
                id,
                CNO_RST_PROTOCOL_ERROR,
                "more DATA than content-length says",
                "RFC 9113 8.1.1",
            )
        stream.read_left -= content
    most = core._limits.max_body_size
    if most is not None:
        stream.received += content
        if stream.received > most:
            # A policy of ours, which the peer cannot know: not its fault.
            glitch(core, 1)
            reply(core)
            why = Reason("body too large", "RFC 9110 15.5.14", "max_body_size")
            send.refuse_rest(core, stream, CNO_RST_CANCEL, why)
            return
    h2.data_stream = id
    if length != content:
        # Nobody reads padding: return it to the stream at once.
        h2.recv_credit -= length - content
        flow.consume(core, stream, length - content)


def _small_data(core: Core, stream: Stream, content: i64) -> None:
    """Charge a DATA frame with little or no content that does not end a stream."""
    if content == 0:
        if not core._h2.empty.spend(1, core._clock):
            raise ConnectionFault(
                CNO_RST_ENHANCE_YOUR_CALM,
                "too many empty DATA frames",
                "RFC 9113 10.5",
                "max_empty_frames",
            )
    elif core.manual_flow_control:
        flow.charge_small(core, stream, content)


def data(core: Core, id: i64, piece: bytes) -> None:
    """Deliver a piece of a DATA frame's content."""
    size: i64 = len(piece)
    stream = lookup(core, id) if id != 0 else None
    if stream is None or stream.read == DONE:
        flow.discard(core, size)
        return
    manual = core.manual_flow_control
    if manual:
        stream.unread += size
        if stream.credit != 0:
            flow.announce(core, stream)  # these bytes may be the rest of the window
    try:
        if core._wants & ON_MESSAGE_DATA:
            core.on_message_data(id, piece)
    finally:
        if not manual:
            if core._h2.data_left == 0 and core._h2.data_flags & CNO_FLAG_END_STREAM:
                flow.discard(core, size)
            else:
                flow.consume(core, stream, size)


def end_data(core: Core, id: i64) -> None:
    """Handle END_STREAM on a DATA frame."""
    stream = lookup(core, id) if id != 0 else None
    if stream is not None and stream.read != DONE:
        recv_fields.complete(core, stream, None)


# -- HEADERS (6.2), PUSH_PROMISE (6.6), CONTINUATION (6.10) ---------------------------------------


def _unpad(flags: i64, data: bytes, start: i64, end: i64, fixed: i64, rule: str) -> i64:
    """Return the end of a frame's content; it begins one byte later if PADDED is set.

    `fixed` bytes of the content precede the field block fragment.
    """
    pad: i64 = 0
    if flags & CNO_FLAG_PADDED:
        if start < end:
            pad = data[start]
        start += 1
    if start + fixed > end:
        raise _wrong_size("frame too short for what its flags announce", "RFC 9113 4.2")
    # > Padding that exceeds the size remaining for the field block fragment MUST be treated as a
    # > connection error (Section 5.4.1) of type PROTOCOL_ERROR.   (RFC 9113 6.2, 6.6)
    if start + fixed + pad > end:
        raise _protocol_error("padding longer than its frame", rule)
    return end - pad


def _headers(core: Core, flags: i64, id: i64, data: bytes, start: i64, end: i64) -> None:
    if id == 0:
        raise _protocol_error("HEADERS on stream 0", "RFC 9113 6.2")
    fixed: i64 = 5 if flags & CNO_FLAG_PRIORITY else 0
    end = _unpad(flags, data, start, end, fixed, "RFC 9113 6.2")
    if flags & CNO_FLAG_PADDED:
        start += 1
    try:
        _show(core, CNO_FRAME_HEADERS, flags, id, data, start, end)
    finally:
        # The priorities of RFC 7540 are deprecated and ignored (RFC 9113 5.3.2), except one error.
        if fixed != 0 and read_u32(data, start) & 0x7FFF_FFFF == id:
            flags |= recv_fields.DEPENDS_ON_ITSELF
        if core._state != CLOSED:
            _fragment(core, flags, id, 0, data, start + fixed, end)


def _push_promise(core: Core, flags: i64, id: i64, data: bytes, start: i64, end: i64) -> None:
    # > A client cannot push. Thus, servers MUST treat the receipt of a PUSH_PROMISE frame as a
    # > connection error (Section 5.4.1) of type PROTOCOL_ERROR.   (RFC 9113 8.4)
    if core._server or core._h2.acked._enable_push == 0:
        raise _protocol_error("PUSH_PROMISE where push is off", "RFC 9113 6.6")
    if id == 0:
        raise _protocol_error("PUSH_PROMISE on stream 0", "RFC 9113 6.6")
    end = _unpad(flags, data, start, end, 4, "RFC 9113 6.6")
    if flags & CNO_FLAG_PADDED:
        start += 1
    try:
        _show(core, CNO_FRAME_PUSH_PROMISE, flags, id, data, start, end)
    finally:
        if core._state != CLOSED:
            _reserve(core, flags, id, data, start, end)


def _reserve(core: Core, flags: i64, id: i64, data: bytes, start: i64, end: i64) -> None:
    """Reserve the stream that a PUSH_PROMISE promises, and handle its field block."""
    promised = read_u32(data, start) & 0x7FFF_FFFF
    # > A receiver MUST treat the receipt of a PUSH_PROMISE that promises an illegal stream
    # > identifier (Section 5.1.1) as a connection error of type PROTOCOL_ERROR.   (RFC 9113 6.6)
    if promised == 0 or promised & 1 or promised <= core._last_remote:
        raise _protocol_error(f"PUSH_PROMISE of stream {promised}", "RFC 9113 6.6")
    if id & 1 == 0 or is_idle(core, id):
        raise _protocol_error("PUSH_PROMISE on a stream that is not ours", "RFC 9113 6.6")
    core._last_remote = promised
    _fragment(core, flags, id, promised, data, start + 4, end)


def _fragment(
    core: Core, flags: i64, id: i64, promised: i64, data: bytes, start: i64, end: i64
) -> None:
    """Handle the first piece of a field block, or keep it until the rest has arrived."""
    h2 = core._h2
    if end - start > h2.block_most:
        raise _too_long(core, 0)
    if flags & CNO_FLAG_END_HEADERS:
        recv_fields.block(core, flags, id, promised, data, start, end)
        return
    h2.block_stream = id
    h2.block_flags = flags
    h2.block_promised = promised
    h2.block_frames = 0
    h2.block_empty = 1 if start == end else 0
    h2.block = bytearray(data[start:end])


def _too_long(core: Core, frames: i64) -> ConnectionFault:
    limit = "max_header_block_size"
    if frames > core._h2.block_frames_most or core._h2.block_empty > 1:
        limit = "max_continuation_frames"
    return ConnectionFault(
        CNO_RST_ENHANCE_YOUR_CALM,
        "field block in too many or too large pieces",
        "RFC 9113 10.5.1",
        limit,
    )


def _continuation(core: Core, flags: i64, data: bytes, start: i64, end: i64) -> None:
    h2 = core._h2
    h2.block_frames += 1
    if start == end and not flags & CNO_FLAG_END_HEADERS:
        h2.block_empty += 1
    if (
        h2.block_frames > h2.block_frames_most
        or len(h2.block) + (end - start) > h2.block_most
        or h2.block_empty > 1
    ):
        raise _too_long(core, h2.block_frames)
    h2.block += data[start:end]
    if flags & CNO_FLAG_END_HEADERS:
        block = bytes(h2.block)
        h2.block = NO_BYTES
        recv_fields.block(
            core, h2.block_flags, h2.block_stream, h2.block_promised, block, 0, len(block)
        )


# -- PRIORITY (6.3), RST_STREAM (6.4) -------------------------------------------------------------


def _priority(core: Core, id: i64, data: bytes, start: i64, stop: i64) -> None:
    if id == 0:
        raise _protocol_error("PRIORITY on stream 0", "RFC 9113 6.3")
    # > A PRIORITY frame with a length other than 5 octets MUST be treated as a stream error
    # > (Section 5.4.2) of type FRAME_SIZE_ERROR.   (RFC 9113 6.3)
    if stop - start != 5:
        raise StreamFault(id, CNO_RST_FRAME_SIZE_ERROR, "PRIORITY of wrong length", "RFC 9113 6.3")
    if read_u32(data, start) & 0x7FFF_FFFF == id and (is_idle(core, id) or lookup(core, id)):
        raise recv_fields.depends_on_itself(id)
    glitch(core, 1)


def _rst_stream(core: Core, id: i64, data: bytes, start: i64, stop: i64) -> None:
    # > A RST_STREAM frame with a length other than 4 octets MUST be treated as a connection error
    # > (Section 5.4.1) of type FRAME_SIZE_ERROR.   (RFC 9113 6.4)
    if stop - start != 4:
        raise _wrong_size("RST_STREAM of wrong length", "RFC 9113 6.4")
    if id == 0:
        raise _protocol_error("RST_STREAM on stream 0", "RFC 9113 6.4")
    stream = lookup(core, id)
    if stream is None:
        if beyond_goaway(core, id):
            glitch(core, 1)
            return
        # > RST_STREAM frames MUST NOT be sent for a stream in the "idle" state.   (6.4)
        if is_idle(core, id):
            raise _protocol_error("RST_STREAM on an idle stream", "RFC 9113 6.4")
        _closed(core, id)
        return
    unanswered = stream.write != DONE if core._server else stream.read != DONE
    if unanswered and not stream.local:
        charge_reset(core, id)  # a request or push has been taken back
    end(core, stream, read_u32(data, start), CNO_REMOTE)


def _closed(core: Core, id: i64) -> None:
    """Handle RST_STREAM or WINDOW_UPDATE on a closed stream."""
    if was_reset(core, id):
        late(core)
    else:
        glitch(core, 1)


# -- SETTINGS (6.5) -------------------------------------------------------------------------------


def _settings(core: Core, flags: i64, id: i64, data: bytes, start: i64, end: i64) -> None:
    if id != 0:
        raise _protocol_error("SETTINGS on a stream", "RFC 9113 6.5")
    size = end - start
    if flags & CNO_FLAG_ACK:
        # > Receipt of a SETTINGS frame with the ACK flag set and a length field value other than 0
        # > MUST be treated as a connection error of type FRAME_SIZE_ERROR.   (RFC 9113 6.5)
        if size != 0:
            raise _wrong_size("SETTINGS ACK with a payload", "RFC 9113 6.5")
        _settings_ack(core)
        return
    if size % 6 != 0:
        raise _wrong_size("SETTINGS of wrong length", "RFC 9113 6.5")
    most = core._limits.max_settings_entries
    if most is not None and size // 6 > most:
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "too many entries in SETTINGS",
            "RFC 9113 10.5",
            "max_settings_entries",
        )
    glitch(core, 10)
    reply(core)
    before = core._remote._initial_window_size
    apply_settings(core, data, start, end)
    # > Once all values have been processed, the recipient MUST immediately emit a SETTINGS frame
    # > with the ACK flag set.   (RFC 9113 6.5.3)
    frame_writer.settings(core, b"", True)
    wider = core._remote._initial_window_size > before
    try:
        if core._wants & ON_SETTINGS:
            core.on_settings()
    finally:
        if wider and core._wants & ON_FLOW_INCREASE and core._state != CLOSED:
            core.on_flow_increase(0)


def apply_settings(core: Core, data: bytes, start: i64, end: i64) -> None:
    """Check and store the peer's values in their order."""
    if core._remote is DEFAULTS:
        core._remote = DEFAULTS.copy()
    remote = core._remote
    while start < end:
        key = read_u16(data, start)
        value = read_u32(data, start + 2)
        start += 6
        rules.check(key, value)
        if key == CNO_SETTINGS_INITIAL_WINDOW_SIZE:
            flow.check_initial_window(core, value)
        elif key == CNO_SETTINGS_HEADER_TABLE_SIZE:
            core._h2.encoder.set_max_table_size(value)
        elif key == CNO_SETTINGS_ENABLE_PUSH and value == 1 and not core._server:
            # > A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1
            # > as a connection error (Section 5.4.1) of type PROTOCOL_ERROR.   (RFC 9113 6.5.2)
            raise _protocol_error("ENABLE_PUSH from a server", "RFC 9113 6.5.2")
        elif key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL:
            # > A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value
            # > of 0 after previously sending a value of 1.   (RFC 8441 3)
            if value < remote._enable_connect_protocol:
                raise _protocol_error("ENABLE_CONNECT_PROTOCOL taken back", "RFC 8441 3")
        remote.set(key, value)


def _settings_ack(core: Core) -> None:
    """Put our oldest unacknowledged settings into force: the peer has applied them."""
    h2 = core._h2
    if not h2.unacked:
        glitch(core, 10)
        return
    settings = h2.unacked[0]
    h2.unacked = h2.unacked[1:] if len(h2.unacked) > 1 else NO_SETTINGS
    h2.early_left = 0
    if settings._header_table_size != h2.acked._header_table_size:
        h2.decoder.set_max_table_size(settings._header_table_size)
    smaller = settings._initial_window_size < h2.acked._initial_window_size
    h2.acked = settings
    if smaller:
        flow.lowered(core)
    core._max_streams = settings._max_concurrent_streams
    h2.decoder.max_list_size = settings._max_header_list_size


# -- PING (6.7), GOAWAY (6.8), WINDOW_UPDATE (6.9) ------------------------------------------------


def _ping(core: Core, flags: i64, id: i64, data: bytes) -> None:
    if id != 0:
        raise _protocol_error("PING on a stream", "RFC 9113 6.7")
    if len(data) != 8:
        raise _wrong_size("PING of wrong length", "RFC 9113 6.7")
    if not flags & CNO_FLAG_ACK:
        glitch(core, 1)
        reply(core)
        frame_writer.ping(core, data, True)
    elif core._h2.goaway_ping and data == send.SHUTDOWN_PING:
        send.final_goaway(core)
    elif core._h2.probing and data == send.PROBE_PING:
        core._h2.probing = False
    else:
        if core._h2.pings == 0:
            glitch(core, 1)
        else:
            core._h2.pings -= 1
        if core._wants & ON_PONG:
            core.on_pong(data)


def _goaway(core: Core, id: i64, data: bytes, start: i64, stop: i64) -> None:
    if id != 0:
        raise _protocol_error("GOAWAY on a stream", "RFC 9113 6.8")
    if stop - start < 8:
        raise _wrong_size("GOAWAY of wrong length", "RFC 9113 4.2")
    glitch(core, 1)
    last = read_u32(data, start) & 0x7FFF_FFFF
    h2 = core._h2
    if read_u32(data, start + 4) != 0:
        h2.goaway_code = read_u32(data, start + 4)
    # > Endpoints MUST NOT increase the value they send in the last stream identifier.   (6.8)
    if last >= h2.goaway_received:
        return
    h2.goaway_received = last
    if last >= core._last_local:
        return  # GOAWAY without effect must not cost a look at every stream
    # > Any streams that the sender might have acted upon ... activity on streams numbered lower or
    # > equal to the last stream identifier might still complete successfully.   (RFC 9113 6.8)
    refused = [id for id in sorted(core._streams) if id > last and is_ours(core, id)]
    end_each(core, refused, CNO_RST_REFUSED_STREAM, CNO_REMOTE)


def _window_update(core: Core, id: i64, data: bytes, start: i64, stop: i64) -> None:
    # > A WINDOW_UPDATE frame with a length other than 4 octets MUST be treated as a connection
    # > error (Section 5.4.1) of type FRAME_SIZE_ERROR.   (RFC 9113 6.9)
    if stop - start != 4:
        raise _wrong_size("WINDOW_UPDATE of wrong length", "RFC 9113 6.9")
    increment = read_u32(data, start) & 0x7FFF_FFFF
    h2 = core._h2
    h2.free_updates -= 1
    if h2.free_updates < 0:
        h2.free_updates = 0
        glitch(core, 1)
    stream: Stream | None = None
    if id != 0:
        stream = lookup(core, id)
        if stream is None:
            if beyond_goaway(core, id):
                glitch(core, 1)
                return
            if is_idle(core, id):
                raise _protocol_error("WINDOW_UPDATE on an idle stream", "RFC 9113 5.1")
            # > Endpoints MUST ignore WINDOW_UPDATE or RST_STREAM frames received in this
            # > [closed] state.   (RFC 9113 5.1, of a short time after the end)
            _closed(core, id)
            return
        check_reserved(stream, "WINDOW_UPDATE")
    flow.window_update(core, id, stream, increment)
