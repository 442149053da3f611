"""Numbers of the protocols and of the API.

Knows nothing but numbers. Compiled code inlines them; `cno.enums` has them as enumerations, for
logs, debuggers and `match` statements.
"""

from typing import Final

# The side that caused an event: `side` of on_stream_end.
CNO_REMOTE: Final = 0
CNO_LOCAL: Final = 1

# The role of a connection.
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

# Bounds that the RFC sets.
MAX_WINDOW: Final = 0x7FFF_FFFF  # RFC 9113 6.9.1, bytes
MAX_STREAM_ID: Final = 0x7FFF_FFFF  # RFC 9113 5.1.1
DEFAULT_WINDOW: Final = 65_535  # RFC 9113 6.9.2, bytes
MIN_MAX_FRAME_SIZE: Final = 16_384  # RFC 9113 6.5.2, bytes
MAX_MAX_FRAME_SIZE: Final = 16_777_215  # RFC 9113 6.5.2, bytes
DEFAULT_HEADER_TABLE_SIZE: Final = 4_096  # RFC 9113 6.5.2, bytes
MAX_U32: Final = 0xFFFF_FFFF
MAX_CONTENT_LENGTH: Final = 0x7FFF_FFFF_FFFF_FFFF  # the largest i64

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 3.4
