"""`cno.raw`: HTTP/2 and HTTP/1.1 without a socket, one `Connection` object per connection.

Bytes go in by `data_received` and come out by `on_writev`. Other `on_*` methods report what the
input means: subclass `Connection` and override those you need.

    class Server(cno.raw.Connection):
        def on_writev(self, chunks):
            transport.writelines(chunks)

        def on_message_head(self, stream, code, method, path, headers):
            self.write_head(stream, 200, "", "", [("content-length", "2")], False)
            self.write_data(stream, b"hi", True)

Text is `str` (UTF-8; other bytes become surrogate escapes), header names are lower-case, a header
list is a `list[tuple[str, str]]` in wire order. An event may call any write method. The call that
fired an event raises the exceptions of that event.
"""

from mypy_extensions import mypyc_attr

from cno.const import (
    CNO_CLIENT,
    CNO_ERRNO_ASSERTION,
    CNO_ERRNO_DISCONNECT,
    CNO_ERRNO_INVALID_STREAM,
    CNO_ERRNO_NO_MEMORY,
    CNO_ERRNO_NOT_IMPLEMENTED,
    CNO_ERRNO_PROTOCOL,
    CNO_ERRNO_WOULD_BLOCK,
    CNO_FLAG_ACK,
    CNO_FLAG_END_HEADERS,
    CNO_FLAG_END_STREAM,
    CNO_FLAG_PADDED,
    CNO_FLAG_PRIORITY,
    CNO_FRAME_CONTINUATION,
    CNO_FRAME_DATA,
    CNO_FRAME_GOAWAY,
    CNO_FRAME_HEADERS,
    CNO_FRAME_PING,
    CNO_FRAME_PRIORITY,
    CNO_FRAME_PRIORITY_UPDATE,
    CNO_FRAME_PUSH_PROMISE,
    CNO_FRAME_RST_STREAM,
    CNO_FRAME_SETTINGS,
    CNO_FRAME_UNKNOWN,
    CNO_FRAME_WINDOW_UPDATE,
    CNO_HTTP1,
    CNO_HTTP2,
    CNO_LOCAL,
    CNO_OK,
    CNO_REMOTE,
    CNO_RST_CANCEL,
    CNO_RST_COMPRESSION_ERROR,
    CNO_RST_CONNECT_ERROR,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_FLOW_CONTROL_ERROR,
    CNO_RST_FRAME_SIZE_ERROR,
    CNO_RST_HTTP_1_1_REQUIRED,
    CNO_RST_INADEQUATE_SECURITY,
    CNO_RST_INTERNAL_ERROR,
    CNO_RST_NO_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    CNO_RST_REFUSED_STREAM,
    CNO_RST_SETTINGS_TIMEOUT,
    CNO_RST_STREAM_CLOSED,
    CNO_SERVER,
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
    CNO_SETTINGS_ENABLE_PUSH,
    CNO_SETTINGS_HEADER_TABLE_SIZE,
    CNO_SETTINGS_INITIAL_WINDOW_SIZE,
    CNO_SETTINGS_MAX_CONCURRENT_STREAMS,
    CNO_SETTINGS_MAX_FRAME_SIZE,
    CNO_SETTINGS_MAX_HEADER_LIST_SIZE,
    CNO_SETTINGS_NO_RFC7540_PRIORITIES,
)
from cno.core import Frame
from cno.drive import BytesLike, receive
from cno.engine import Engine
from cno.enums import (
    Errno,
    ErrorCode,
    Flag,
    FrameType,
    Role,
    Setting,
    Side,
    Version,
)
from cno.errors import (
    ConnectionError,
    DisconnectError,
    InvalidStreamError,
    NoMemoryError,
    ProtocolError,
    UnsupportedError,
    UsageError,
    WouldBlockError,
)
from cno.limits import Limits
from cno.settings import Settings
from cno.strict import COMPILED, typed


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(Engine):
    """One connection, as server (`Connection(True)`) or client (`Connection(False)`).

    `limits` bounds what the peer can cause (`cno.Limits`). `clock`, a callable that returns
    seconds, lets budgets refill with time; without it only useful traffic refills them. Call
    `pause_writing` and `resume_writing` as the transport fills and drains, to bound the replies
    that a peer can provoke.
    """

    def connection_made(self, is_http2: bool) -> None:
        """Begin in HTTP/2 or HTTP/1.1 mode. A server in HTTP/1.1 mode changes to HTTP/2 if it reads
        the HTTP/2 preface first, unless `disallow_h2_prior_knowledge` is set."""
        self.begin(is_http2)

    def data_received(self, data: BytesLike) -> None:
        """Take bytes from the transport, cut anywhere, and fire the events that they cause.

        Raises ProtocolError if the peer broke the protocol; by then the error has been answered and
        `close()` called. Raises WouldBlockError in HTTP/1.1 mode if too many pipelined requests
        wait for responses: the data is kept, pass `b''` to try again.
        """
        receive(self, data)

    def connection_lost(self, exc: BaseException | None = None) -> None:
        """End all open streams: no input follows. Raises ProtocolError if a message is cut off."""
        self.end_of_input()


typed(Connection)

__all__ = [
    "CNO_CLIENT",
    "CNO_ERRNO_ASSERTION",
    "CNO_ERRNO_DISCONNECT",
    "CNO_ERRNO_INVALID_STREAM",
    "CNO_ERRNO_NOT_IMPLEMENTED",
    "CNO_ERRNO_NO_MEMORY",
    "CNO_ERRNO_PROTOCOL",
    "CNO_ERRNO_WOULD_BLOCK",
    "CNO_FLAG_ACK",
    "CNO_FLAG_END_HEADERS",
    "CNO_FLAG_END_STREAM",
    "CNO_FLAG_PADDED",
    "CNO_FLAG_PRIORITY",
    "CNO_FRAME_CONTINUATION",
    "CNO_FRAME_DATA",
    "CNO_FRAME_GOAWAY",
    "CNO_FRAME_HEADERS",
    "CNO_FRAME_PING",
    "CNO_FRAME_PRIORITY",
    "CNO_FRAME_PRIORITY_UPDATE",
    "CNO_FRAME_PUSH_PROMISE",
    "CNO_FRAME_RST_STREAM",
    "CNO_FRAME_SETTINGS",
    "CNO_FRAME_UNKNOWN",
    "CNO_FRAME_WINDOW_UPDATE",
    "CNO_HTTP1",
    "CNO_HTTP2",
    "CNO_LOCAL",
    "CNO_OK",
    "CNO_REMOTE",
    "CNO_RST_CANCEL",
    "CNO_RST_COMPRESSION_ERROR",
    "CNO_RST_CONNECT_ERROR",
    "CNO_RST_ENHANCE_YOUR_CALM",
    "CNO_RST_FLOW_CONTROL_ERROR",
    "CNO_RST_FRAME_SIZE_ERROR",
    "CNO_RST_HTTP_1_1_REQUIRED",
    "CNO_RST_INADEQUATE_SECURITY",
    "CNO_RST_INTERNAL_ERROR",
    "CNO_RST_NO_ERROR",
    "CNO_RST_PROTOCOL_ERROR",
    "CNO_RST_REFUSED_STREAM",
    "CNO_RST_SETTINGS_TIMEOUT",
    "CNO_RST_STREAM_CLOSED",
    "CNO_SERVER",
    "CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL",
    "CNO_SETTINGS_ENABLE_PUSH",
    "CNO_SETTINGS_HEADER_TABLE_SIZE",
    "CNO_SETTINGS_INITIAL_WINDOW_SIZE",
    "CNO_SETTINGS_MAX_CONCURRENT_STREAMS",
    "CNO_SETTINGS_MAX_FRAME_SIZE",
    "CNO_SETTINGS_MAX_HEADER_LIST_SIZE",
    "CNO_SETTINGS_NO_RFC7540_PRIORITIES",
    "Connection",
    "ConnectionError",
    "DisconnectError",
    "Errno",
    "ErrorCode",
    "Flag",
    "Frame",
    "FrameType",
    "InvalidStreamError",
    "Limits",
    "NoMemoryError",
    "ProtocolError",
    "Role",
    "Setting",
    "Settings",
    "Side",
    "UnsupportedError",
    "UsageError",
    "Version",
    "WouldBlockError",
]

if COMPILED:
    from cno._description import describe

    describe(__name__)
