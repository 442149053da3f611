"""Parses payloads of frames to names and values (RFC 9113 6, RFC 9218 7.1).

Knows the layout of payloads; a payload that is too short has no values. Must never know state.
"""

from cno.enums import FrameType
from cno.trace.frame_reader import RawFrame
from cno.trace.record import code_name, setting_name

Values = dict[str, int | str]


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def values_of(frame: RawFrame) -> Values:
    """Return what a frame says beside its fields and its content."""
    payload = frame.payload
    if frame.type == FrameType.SETTINGS:
        return settings(payload)
    if frame.type == FrameType.WINDOW_UPDATE and len(payload) >= 4:
        return {"increment": number(payload[:4]) & 0x7FFF_FFFF}
    if frame.type == FrameType.RST_STREAM and len(payload) >= 4:
        return {"code": code_name(number(payload[:4]))}
    if frame.type == FrameType.GOAWAY and len(payload) >= 8:
        said: Values = {
            "last_stream": number(payload[:4]) & 0x7FFF_FFFF,
            "code": code_name(number(payload[4:8])),
        }
        if payload[8:]:
            said["debug"] = payload[8:].decode("utf-8", "backslashreplace")
        return said
    if frame.type == FrameType.PING:
        return {"data": payload[:8].hex()}
    if frame.type == FrameType.PRIORITY:
        return dependency(payload)
    if frame.type == FrameType.PRIORITY_UPDATE and len(payload) >= 4:
        return {
            "prioritized_stream": number(payload[:4]) & 0x7FFF_FFFF,
            "priority": payload[4:].decode("ascii", "backslashreplace"),
        }
    return {}


def settings(payload: bytes) -> Values:
    """Return the settings of a frame, by their names."""
    found: Values = {}
    for at in range(0, len(payload) - 5, 6):
        found[setting_name(number(payload[at : at + 2]))] = number(payload[at + 2 : at + 6])
    return found


def dependency(payload: bytes) -> Values:
    """Return a priority of RFC 7540 (deprecated by RFC 9113 5.3)."""
    if len(payload) < 5:
        return {}
    first = number(payload[:4])
    return {
        "depends_on": first & 0x7FFF_FFFF,
        "weight": payload[4] + 1,
        "exclusive": first >> 31,
    }


def fragment(frame: RawFrame) -> tuple[bytes, Values]:
    """Return the part of a field block that a frame has, and what stands before and after it."""
    payload, said = frame.payload, Values()
    if frame.type == FrameType.CONTINUATION:
        return payload, said
    if frame.flags & 0x8 and payload:
        padding = payload[0]
        said["padding"] = padding
        payload = payload[1 : max(1, len(payload) - padding)]
    if frame.type == FrameType.PUSH_PROMISE and len(payload) >= 4:
        said["promised_stream"] = number(payload[:4]) & 0x7FFF_FFFF
        payload = payload[4:]
    elif frame.flags & 0x20 and frame.type == FrameType.HEADERS:
        said |= dependency(payload)
        payload = payload[5:]
    return payload, said
