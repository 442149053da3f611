"""The numbers of the wire and of the API: plain `Final[int]`s for code, `IntEnum`s for people.

Knows nothing but numbers. The engine compares with the plain constants (they are inlined when
compiled); the enums exist for reading logs, debuggers and `match` statements.
"""

from enum import IntEnum, IntFlag
from typing import Final

# Who caused a thing: `side` of on_stream_end.
CNO_REMOTE: Final = 0
CNO_LOCAL: Final = 1

# What a connection is.
CNO_SERVER: Final = 0
CNO_CLIENT: Final = 1

CNO_HTTP1: Final = 0
CNO_HTTP2: Final = 1

# `ConnectionError.errno`.
CNO_OK: Final = 0
CNO_ERRNO_ASSERTION: Final = 1
CNO_ERRNO_NO_MEMORY: Final = 2
CNO_ERRNO_NOT_IMPLEMENTED: Final = 3
CNO_ERRNO_PROTOCOL: Final = 4
CNO_ERRNO_INVALID_STREAM: Final = 6
CNO_ERRNO_WOULD_BLOCK: Final = 7
CNO_ERRNO_DISCONNECT: Final = 9

# RFC 9113 section 6: frame types.
CNO_FRAME_DATA: Final = 0
CNO_FRAME_HEADERS: Final = 1
CNO_FRAME_PRIORITY: Final = 2
CNO_FRAME_RST_STREAM: Final = 3
CNO_FRAME_SETTINGS: Final = 4
CNO_FRAME_PUSH_PROMISE: Final = 5
CNO_FRAME_PING: Final = 6
CNO_FRAME_GOAWAY: Final = 7
CNO_FRAME_WINDOW_UPDATE: Final = 8
CNO_FRAME_CONTINUATION: Final = 9
CNO_FRAME_UNKNOWN: Final = 10
CNO_FRAME_PRIORITY_UPDATE: Final = 0x10  # RFC 9218 section 7.1

# RFC 9113 section 6: frame flags.
CNO_FLAG_ACK: Final = 0x1
CNO_FLAG_END_STREAM: Final = 0x1
CNO_FLAG_END_HEADERS: Final = 0x4
CNO_FLAG_PADDED: Final = 0x8
CNO_FLAG_PRIORITY: Final = 0x20

# RFC 9113 section 7: error codes of RST_STREAM and GOAWAY.
CNO_RST_NO_ERROR: Final = 0
CNO_RST_PROTOCOL_ERROR: Final = 1
CNO_RST_INTERNAL_ERROR: Final = 2
CNO_RST_FLOW_CONTROL_ERROR: Final = 3
CNO_RST_SETTINGS_TIMEOUT: Final = 4
CNO_RST_STREAM_CLOSED: Final = 5
CNO_RST_FRAME_SIZE_ERROR: Final = 6
CNO_RST_REFUSED_STREAM: Final = 7
CNO_RST_CANCEL: Final = 8
CNO_RST_COMPRESSION_ERROR: Final = 9
CNO_RST_CONNECT_ERROR: Final = 10
CNO_RST_ENHANCE_YOUR_CALM: Final = 11
CNO_RST_INADEQUATE_SECURITY: Final = 12
CNO_RST_HTTP_1_1_REQUIRED: Final = 13

# RFC 9113 section 6.5.2 and RFC 8441 section 3: settings.
CNO_SETTINGS_HEADER_TABLE_SIZE: Final = 1
CNO_SETTINGS_ENABLE_PUSH: Final = 2
CNO_SETTINGS_MAX_CONCURRENT_STREAMS: Final = 3
CNO_SETTINGS_INITIAL_WINDOW_SIZE: Final = 4
CNO_SETTINGS_MAX_FRAME_SIZE: Final = 5
CNO_SETTINGS_MAX_HEADER_LIST_SIZE: Final = 6
CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL: Final = 8
CNO_SETTINGS_NO_RFC7540_PRIORITIES: Final = 9  # RFC 9218 section 2.1

# Bounds that the RFC itself sets.
MAX_WINDOW: Final = 0x7FFF_FFFF  # RFC 9113 6.9.1, octets
MAX_STREAM_ID: Final = 0x7FFF_FFFF  # RFC 9113 5.1.1
DEFAULT_WINDOW: Final = 65_535  # RFC 9113 6.9.2, octets
MIN_MAX_FRAME_SIZE: Final = 16_384  # RFC 9113 6.5.2, octets
MAX_MAX_FRAME_SIZE: Final = 16_777_215  # RFC 9113 6.5.2, octets
DEFAULT_HEADER_TABLE_SIZE: Final = 4_096  # RFC 9113 6.5.2, octets
MAX_U32: Final = 0xFFFF_FFFF
MAX_CONTENT_LENGTH: Final = 0x7FFF_FFFF_FFFF_FFFF  # what an i64 holds

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 3.4


class Side(IntEnum):
    """Whose doing it was: the `side` of `on_stream_end`."""

    REMOTE = 0
    LOCAL = 1


class Role(IntEnum):
    """What a connection is."""

    SERVER = 0
    CLIENT = 1


class Version(IntEnum):
    """The protocol a connection speaks."""

    HTTP1 = 0
    HTTP2 = 1


class Errno(IntEnum):
    """`ConnectionError.errno`: what kind of failure it was."""

    OK = 0
    ASSERTION = 1
    NO_MEMORY = 2
    NOT_IMPLEMENTED = 3
    PROTOCOL = 4
    INVALID_STREAM = 6
    WOULD_BLOCK = 7
    DISCONNECT = 9


class FrameType(IntEnum):
    """RFC 9113 section 6, RFC 9218 section 7.1."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    PRIORITY_UPDATE = 0x10


class Flag(IntFlag):
    """RFC 9113 section 6. ACK and END_STREAM share a bit: they are of different frames."""

    NONE = 0
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8
    NO_RFC7540_PRIORITIES = 9
