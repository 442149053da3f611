"""PRIORITY_UPDATE (RFC 9218 section 7.1): which frames are valid, and what is stored of them.

Knows streams and their ids. The writers of responses decide about the order.
"""

from typing import Final

from mypy_extensions import i64

from cno.const import CNO_RST_FRAME_SIZE_ERROR, CNO_RST_PROTOCOL_ERROR
from cno.core import DONE, Core
from cno.errors import ConnectionFault
from cno.h2.frames import read_u32
from cno.h2.state import NO_PRIORITIES
from cno.h2.stream_rules import beyond_goaway, glitch, is_idle, is_ours
from cno.priority import MAX_PRIORITY, parse

#: Most future streams whose priority is stored, if their number has no limit.
MAX_IDLE: Final = 100

_RULE: Final = "RFC 9218 7.1"


def update(core: Core, id: i64, data: bytes, start: i64, end: i64) -> None:
    """Handle a frame on stream `id` with the payload data[start:end]."""
    if not core._server:
        # > Servers MUST NOT send PRIORITY_UPDATE frames. If a client receives a PRIORITY_UPDATE
        # > frame, it MUST respond with a connection error of type PROTOCOL_ERROR.
        raise _fault("PRIORITY_UPDATE from a server")
    if id != 0:
        # > The Stream Identifier field ... MUST be zero (0x0). Receiving a PRIORITY_UPDATE frame
        # > with a field of any other value MUST be treated as a connection error of type
        # > PROTOCOL_ERROR.
        raise _fault("PRIORITY_UPDATE on a stream")
    if end - start < 4:
        # > An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame ... is too small to
        # > contain mandatory frame data.   (RFC 9113 4.2)
        raise ConnectionFault(
            CNO_RST_FRAME_SIZE_ERROR, "PRIORITY_UPDATE of wrong length", "RFC 9113 4.2"
        )
    target = read_u32(data, start) & 0x7FFF_FFFF
    if target == 0:
        # > If a PRIORITY_UPDATE frame is received with a prioritized stream ID of 0x0, the
        # > recipient MUST respond with a connection error of type PROTOCOL_ERROR.
        raise _fault("PRIORITY_UPDATE of stream 0")
    glitch(core, 1)
    if _is_wanted(core, target) and end - start - 4 <= MAX_PRIORITY:
        # > Failure to parse the Priority Field Value MAY be treated as a connection error.  (7)
        # Not an error here: it only loses a wish of the client.
        said = parse(data[start + 4 : end].decode("latin-1"))
        if said is not None:
            if core._h2.priorities is NO_PRIORITIES:
                core._h2.priorities = {}
            core._h2.priorities[target] = said
            core._h2.priority_updates += 1


def _fault(text: str) -> ConnectionFault:
    return ConnectionFault(CNO_RST_PROTOCOL_ERROR, text, _RULE)


def _is_wanted(core: Core, id: i64) -> bool:
    """Whether a response on this stream is or may become possible."""
    if beyond_goaway(core, id):
        return False
    if is_idle(core, id):
        if is_ours(core, id):
            # > Servers that receive a PRIORITY_UPDATE for a push stream in the "idle" state MUST
            # > respond with a connection error of type PROTOCOL_ERROR.
            raise _fault("PRIORITY_UPDATE of a push that has not been promised")
        return id in core._h2.priorities or _has_room(core)
    stream = core._streams.get(id)
    return stream is not None and stream.write != DONE


def _has_room(core: Core) -> bool:
    """Whether the priority of another future stream may be stored."""
    kept = core._h2.priorities
    most = core._max_streams
    if len(kept) + core._count_remote < min(most, MAX_IDLE):
        return True
    # They include those of skipped streams, which will never be opened.
    for id in list(kept):
        if id not in core._streams and not is_idle(core, id):
            del kept[id]
    idle: i64 = 0
    for id in kept:
        if is_idle(core, id):
            idle += 1
    if idle + 1 + core._count_remote > most and core._h2.early_left == 0:
        # > The number of streams that have been prioritized but remain in the "idle" state plus the
        # > number of active streams ... MUST NOT exceed the value of the
        # > SETTINGS_MAX_CONCURRENT_STREAMS parameter. Servers that receive such a PRIORITY_UPDATE
        # > MUST respond with a connection error of type PROTOCOL_ERROR.
        raise _fault("PRIORITY_UPDATE of more streams than may be open")
    return idle < MAX_IDLE
