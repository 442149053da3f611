"""The record that a trace makes of one frame.

Knows the names of types, flags, settings and error codes. Must never know a connection.
"""

from dataclasses import dataclass, field
from typing import Final

from cno.enums import ErrorCode, FrameType, Setting

#: Bytes of a frame that its record keeps: the frame header and the beginning of the payload.
MAX_OCTETS: Final = 73

# Flags by frame type (RFC 9113 6). A bit without a name there has no meaning.
_END_STREAM: Final = (0x1, "END_STREAM")
_ACK: Final = (0x1, "ACK")
_END_HEADERS: Final = (0x4, "END_HEADERS")
_PADDED: Final = (0x8, "PADDED")
_PRIORITY: Final = (0x20, "PRIORITY")
_FLAGS: Final[dict[int, tuple[tuple[int, str], ...]]] = {
    FrameType.DATA: (_END_STREAM, _PADDED),
    FrameType.HEADERS: (_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY),
    FrameType.SETTINGS: (_ACK,),
    FrameType.PUSH_PROMISE: (_END_HEADERS, _PADDED),
    FrameType.PING: (_ACK,),
    FrameType.CONTINUATION: (_END_HEADERS,),
}


@dataclass(slots=True)
class Record:
    """One frame, sent or received; over HTTP/1.1, the head of a message or a piece of a body.

    A frame is reported when its last byte has passed. `fields` are the decoded fields of a block,
    in the record of the frame that ends it.
    """

    time: float  #: Seconds since the trace began.
    connection: int  #: The number of the connection in the trace, from 1.
    sent: bool
    protocol: str  #: "HTTP/2" or "HTTP/1.1".
    type: str  #: "DATA", "HEADERS", …; of unknown types, "0x2a". HTTP/1.1: "HEAD" or "DATA".
    stream: int  #: 0: the connection. HTTP/1.1: always 0.
    flags: tuple[str, ...]
    length: int  #: Bytes of payload, padding included.
    fields: list[tuple[str, str]] | None = None
    #: What else the frame says: settings, `increment`, `code`, `last_stream`, `padding`, …. Of a
    #: "HEAD": `line`, and the number of lines that end with LF alone (`bare_lf`) or that continue a
    #: field (`obs_fold`), if there are some.
    values: dict[str, int | str] = field(default_factory=dict)
    #: Bytes that may still be sent: DATA: by its sender; WINDOW_UPDATE: by its receiver.
    stream_window: int | None = None
    connection_window: int | None = None
    octets: bytes = b""  #: The first `MAX_OCTETS` bytes, frame header included.
    #: Why the trace could not read the frame; '' if it could.
    problem: str = ""


def type_name(number: int) -> str:
    """Return the name of a frame type."""
    try:
        return FrameType(number).name
    except ValueError:
        return f"{number:#04x}"


def flag_names(type: int, flags: int) -> tuple[str, ...]:
    """Return the names of flags that are set."""
    return tuple(name for bit, name in _FLAGS.get(type, ()) if flags & bit)


def code_name(number: int) -> str:
    """Return the name of an error code (RFC 9113 7)."""
    try:
        return ErrorCode(number).name
    except ValueError:
        return f"{number:#x}"


def setting_name(number: int) -> str:
    """Return the name of a setting (RFC 9113 6.5.2)."""
    try:
        return Setting(number).name
    except ValueError:
        return f"{number:#x}"
