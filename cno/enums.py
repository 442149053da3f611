"""The numbers of `cno.const` as enumerations, for logs, debuggers and `match` statements.

Knows nothing but numbers. The engine does not need it. Stays interpreted: mypyc drops the
docstrings of such classes.
"""

from enum import IntEnum, IntFlag


class Side(IntEnum):
    """Who ended a stream: the `side` of `on_stream_end`."""

    REMOTE = 0
    LOCAL = 1


class Role(IntEnum):
    """The role of a connection."""

    SERVER = 0
    CLIENT = 1


class Version(IntEnum):
    """The protocol a connection speaks."""

    HTTP1 = 0
    HTTP2 = 1


class Errno(IntEnum):
    """`ConnectionError.errno`: the kind of the failure."""

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
    """RFC 9113 section 6. ACK and END_STREAM share a bit: they belong to different frames."""

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
