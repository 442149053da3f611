"""The start of HTTP/2 on a connection, at once or after HTTP/1.1; and our settings.

Knows the connection preface and the result of `Upgrade: h2c`.
"""

from mypy_extensions import i64

from cno.const import CNO_FRAME_WINDOW_UPDATE, DEFAULT_WINDOW, PREFACE
from cno.core import (
    BODY,
    DONE,
    H2_CONTINUATION,
    H2_PREFACE,
    H2_SETTINGS,
    HEAD,
    Core,
    Stream,
    put,
    waiting,
)
from cno.h2 import frame_writer, recv, recv_fields
from cno.h2.message import Message
from cno.h2.state import Http2
from cno.settings import Settings, encode


def begin(core: Core) -> i64:
    """Send our part of the connection preface. Return the state that waits for the peer's part."""
    # > This sequence MUST be followed by a SETTINGS frame (Section 6.5), which MAY be empty. ...
    # > The server connection preface consists of a potentially empty SETTINGS frame (Section 6.5)
    # > that MUST be the first frame the server sends in the HTTP/2 connection.   (RFC 9113 3.4)
    h2 = Http2(core._limits)
    core._h2 = h2
    core._http2 = True
    known = Settings()
    local = core._local
    if core._server:
        # > A server MUST NOT explicitly set this value to 1.   (RFC 9113 6.5.2) Nor need it say 0.
        known._enable_push = local._enable_push
    else:
        put(core, PREFACE)
    # These bind the peer from its first frame on: it receives them before it can violate them.
    acked = h2.acked
    acked._enable_push = local._enable_push
    acked._max_header_list_size = local._max_header_list_size
    h2.decoder.max_list_size = local._max_header_list_size
    acked._enable_connect_protocol = local._enable_connect_protocol
    core._max_streams = min(core._max_streams, local._max_concurrent_streams)
    announce(core, known)
    if h2.recv_size > DEFAULT_WINDOW:
        more = h2.recv_size - DEFAULT_WINDOW
        h2.recv_window += more
        frame_writer.write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, 0, more)
    return H2_PREFACE if core._server else H2_SETTINGS


def announce(core: Core, known: Settings) -> None:
    """Send SETTINGS with the values that the peer does not know, for it to acknowledge."""
    core._h2.unacked = [*core._h2.unacked, core._local]
    frame_writer.settings(core, encode(core._local, known), False)


def upgraded_server(core: Core) -> i64:
    """Make the request that asked for HTTP/2 stream 1, after our 101."""
    # > The HTTP/1.1 request that is sent prior to upgrade is assigned a stream identifier of 1
    # > ... Stream 1 is implicitly "half-closed" from the client toward the server.  (RFC 7540 3.2)
    h1 = core._h1
    payload = h1.upgrade_settings
    upgraded = h1.upgraded
    begin(core)
    core._state = H2_PREFACE
    recv.apply_settings(core, payload, 0, len(payload))
    if upgraded is not None:  # pragma: no branch - it was kept when the upgrade was asked for
        h1.upgraded = None
        request = Message()
        request.method, request.path, request.headers = upgraded
        core._last_remote = 1
        recv_fields.deliver_request(core, Stream(1, False, BODY, HEAD), request, True)
    return core._state


def upgraded_client(core: Core, follow: i64) -> i64:
    """Send the preface after the peer's 101. Our request becomes stream 1."""
    begin(core)
    # > Explicit acknowledgement of these settings (Section 6.5.3) is not necessary, since a 101
    # > response serves as implicit acknowledgement.   (RFC 7540 3.2.1; of HTTP2-Settings)
    h2 = core._h2
    h2.acked = core._local
    h2.decoder.set_max_table_size(core._local._header_table_size)
    core._last_local = max(core._last_local, 1)
    return follow


def cut_short(core: Core) -> bool:
    """Whether the end of input leaves a message of the peer incomplete."""
    h2 = core._h2
    if waiting(core) or core._state == H2_CONTINUATION or h2.data_left or h2.pad_left:
        return True
    for stream in core._streams.values():
        if stream.read != DONE and not (stream.local and core._server):
            return True
    return False
