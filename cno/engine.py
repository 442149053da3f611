"""The verbs of a connection.

`Engine` checks arguments and passes each verb to the protocol in use; `drive` gets the input. It
has no private methods: an interpreted subclass would look for an override before each call, which
costs as much as an event. Functions are called directly.
"""

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from cno import settings as rules
from cno.const import (
    CNO_LOCAL,
    CNO_RST_CANCEL,
    CNO_RST_NO_ERROR,
    CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL,
    MAX_STREAM_ID,
    MAX_U32,
    MAX_WINDOW,
)
from cno.core import (
    CLOSED,
    H1_DETECT,
    H1_HEAD,
    INIT,
    NO_CHUNKS,
    NO_FRAMES,
    ON_MESSAGE_PUSH,
    Core,
    cork,
)
from cno.drive import BytesLike, as_bytes, end_call, finish_now, receive
from cno.errors import (
    ConnectionError,
    ConnectionFault,
    DisconnectError,
    InvalidStreamError,
    ProtocolError,
    UnsupportedError,
    UsageError,
)
from cno.h1 import recv as h1_recv
from cno.h1 import send as h1_send
from cno.h1.state import Http1
from cno.h2 import flow as h2_flow
from cno.h2 import frame_writer as h2_frame_writer
from cno.h2 import send as h2_send
from cno.h2 import start as h2_start
from cno.h2.state import NO_BYTES
from cno.limits import Limits
from cno.settings import Settings
from cno.streams import end_all, lookup
from cno.strict import typed


@mypyc_attr(allow_interpreted_subclasses=True)
class Engine(Core):
    """All of a connection but its public class: `cno.raw.Connection`, or those for asyncio."""

    def __init__(
        self,
        server: bool,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(server, limits, clock)
        if not server and self._wants & ON_MESSAGE_PUSH and self._limits.max_pushes != 0:
            self._local = self._local.copy()
            self._local._enable_push = 1

    # -- properties -------------------------------------------------------------------------------

    @property
    def is_http2(self) -> bool:
        """Whether the connection speaks HTTP/2."""
        return self._http2

    @property
    def local_settings(self) -> Settings:
        """Our settings as last configured, as a copy."""
        return self._local.copy()

    @property
    def remote_settings(self) -> Settings:
        """The peer's settings, as a copy; the defaults of the RFC until its first SETTINGS."""
        return self._remote.copy()

    @property
    def next_stream(self) -> int:
        """The stream id of the next request; on a server, of the next push."""
        if self._last_local:
            return self._last_local + 2
        return 2 if self._server else 1

    # -- the life of a connection -----------------------------------------------------------------

    def begin(self, is_http2: bool) -> None:
        """Start in HTTP/2 or in HTTP/1.1. Raises UsageError if the connection has begun."""
        if self._state != INIT:
            raise UsageError("the connection has begun already")
        cork(self)
        try:
            if is_http2:
                self._state = h2_start.begin(self)
            else:
                self._h1 = Http1()
                self._state = H1_DETECT if self._server else H1_HEAD
        finally:
            end_call(self)

    def receive(self, data: BytesLike) -> None:
        """Take bytes from the peer, cut anywhere, and fire the events that they cause.

        Raises ProtocolError if the peer broke the protocol; the error has been answered by then.
        Raises WouldBlockError if too many HTTP/1.1 requests wait for responses: the data is kept,
        pass b'' to continue. Exceptions of events are passed on.
        """
        receive(self, data)

    def end_of_input(self) -> None:
        """End all open streams, because the transport is closed.

        Raises ProtocolError if the peer's message was incomplete.
        """
        if self._state == CLOSED or self._state == INIT:
            self._state = CLOSED
            return
        text = ""
        if self._http2:
            if h2_start.cut_short(self):
                text = "connection lost in the middle of a message"
        else:
            try:
                h1_recv.end_of_input(self)
            except ConnectionFault as fault:
                text = fault.text
        self._state = CLOSED
        self._in = b""
        self._pending_input = NO_BYTES
        self._out = NO_CHUNKS
        self._writer.truncate(0)
        self._frames_to_show = NO_FRAMES
        self._frames_shown = 0
        end_all(self, CNO_RST_CANCEL, CNO_LOCAL)
        if text:
            raise ProtocolError(text, rule="" if self._http2 else "RFC 9112 8")

    def shutdown(self) -> None:
        """Announce the end: close after the open streams, and those that the peer opens before it
        learns of that (RFC 9113 6.8)."""
        _check_open(self)
        cork(self)
        try:
            if self._http2:
                h2_send.shutdown(self)
            else:
                h1_send.shutdown(self)
        finally:
            end_call(self)

    def cork(self) -> None:
        """Collect output until the matching uncork(), for one on_writev."""
        self._app_corks += 1
        cork(self)

    def uncork(self) -> None:
        """Write the output collected since cork()."""
        if self._app_corks == 0:
            raise UsageError("uncork() without cork()")
        self._app_corks -= 1
        end_call(self)

    def pause_writing(self) -> None:
        """Report that the transport accepts no more output. Until `resume_writing`, replies to the
        peer (PING and SETTINGS acknowledgements, RST_STREAM) are counted: more than
        `Limits.max_queued_control_frames` end the connection (CVE-2019-9512). No output is held
        back. Without these calls there is no such bound."""
        self._transport_full = True

    def resume_writing(self) -> None:
        """Report that the transport accepts output again."""
        self._transport_full = False
        if self._http2:
            self._h2.replies = 0

    # -- settings ---------------------------------------------------------------------------------

    def configure(
        self,
        *,
        header_table_size: int | None = None,
        enable_push: int | None = None,
        max_concurrent_streams: int | None = None,
        initial_window_size: int | None = None,
        max_frame_size: int | None = None,
        max_header_list_size: int | None = None,
        enable_connect_protocol: int | None = None,
    ) -> None:
        """Announce new settings; those left out keep their values. They bind the peer after its
        acknowledgement (RFC 9113 6.5.3). Raises UsageError for values that the RFC forbids."""
        values = (
            header_table_size,
            enable_push,
            max_concurrent_streams,
            initial_window_size,
            max_frame_size,
            max_header_list_size,
            enable_connect_protocol,
        )
        wanted = self._local.copy()
        for key, value in zip(rules.IDS, values, strict=True):
            if value is not None:
                _check_setting(self, key, value)
                wanted.set(key, int(value))
        if self._state == CLOSED:
            raise DisconnectError("the connection is closed")
        if self._http2:
            h2_flow.check_own_window(self, wanted._initial_window_size)
        known = self._local
        self._local = wanted
        if not self._http2:
            self._max_streams = wanted._max_concurrent_streams
            return
        cork(self)
        try:
            h2_start.announce(self, known)
        finally:
            end_call(self)

    # -- writing ----------------------------------------------------------------------------------

    def write_head(
        self,
        stream: int,
        code: int,
        method: str,
        path: str,
        headers: list[tuple[str, str]],
        final: bool,
    ) -> None:
        """Send a request (client, `code` 0) or a response (server, `method` and `path` '').

        1xx responses may precede the final one. In HTTP/1.1 a non-empty `method` of a response is
        its reason phrase. `final`: there is no body. Raises WouldBlockError if the peer allows no
        more streams, or if an earlier pipelined message is incomplete (a 100 is queued instead);
        UsageError for what must not be sent; InvalidStreamError; DisconnectError, also if all
        stream ids have been used. (RFC 9113 8.1, RFC 9112 2.1)
        """
        _check_open(self)
        if stream < 0 or stream > MAX_STREAM_ID:
            raise _no_id(self, stream)
        cork(self)
        try:
            if self._http2:
                h2_send.write_head(self, stream, code, method, path, headers, final)
            else:
                h1_send.write_head(self, stream, code, method, path, headers, final)
        finally:
            end_call(self)

    def write_push(
        self, stream: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        """Promise to answer a request that the client has not made. The events of a request report
        its stream. Does nothing if the peer does not accept pushes (RFC 9113 8.4).
        """
        _check_open(self)
        _check_id(stream)
        if not self._server:
            raise UsageError("only servers push", stream=stream, rule="RFC 9113 8.4")
        if not self._http2:
            return
        cork(self)
        try:
            h2_send.write_push(self, stream, method, path, headers)
        finally:
            end_call(self)

    def write_data(self, stream: int, data: BytesLike, final: bool) -> int:
        """Send a part of a body. Returns the number of bytes accepted. If there are more, wait for
        on_flow_increase of the stream or of 0, then pass the rest again (RFC 9113 5.2)."""
        _check_open(self)
        _check_id(stream)
        payload_bytes = as_bytes(data)
        cork(self)
        try:
            if self._http2:
                return h2_send.write_data(self, stream, payload_bytes, final)
            return h1_send.write_data(self, stream, payload_bytes, final)
        finally:
            end_call(self)

    def write_tail(self, stream: int, trailers: list[tuple[str, str]]) -> None:
        """Send trailers, which end the message. HTTP/1.1 drops them unless the body is chunked."""
        _check_open(self)
        _check_id(stream)
        cork(self)
        try:
            if self._http2:
                h2_send.write_tail(self, stream, trailers)
            else:
                h1_send.write_tail(self, stream, trailers)
        finally:
            end_call(self)

    def write_reset(self, stream: int, code: int) -> None:
        """Reset a stream; stream 0: end the connection with GOAWAY(code), or like shutdown() if the
        code is 0. HTTP/1.1: the connection closes as soon as it is idle (RFC 9113 6.4, 6.8)."""
        _check_open(self)
        _check_id(stream)
        if code < 0 or code > MAX_U32:
            raise UsageError(f"{code} is no error code", stream=stream, rule="RFC 9113 7")
        if stream == 0:
            if code == CNO_RST_NO_ERROR:
                self.shutdown()
                return
            if self._http2:
                h2_frame_writer.goaway(self, self._h2.delivered, code, "")
            finish_now(self, code)
            return
        cork(self)
        try:
            if self._http2:
                h2_send.write_reset(self, stream, code)
            else:
                h1_send.write_reset(self, stream, code)
        finally:
            end_call(self)

    def write_ping(self, data: BytesLike) -> None:
        """Send a PING with exactly 8 bytes; on_pong reports the response (RFC 9113 6.7)."""
        _check_http2(self, "PING")
        payload_bytes = as_bytes(data)
        cork(self)
        try:
            h2_send.write_ping(self, payload_bytes)
        finally:
            end_call(self)

    def write_frame(self, type: int, flags: int, stream: int, payload: BytesLike) -> None:
        """Send a frame of a type that RFC 9113 does not define (RFC 9113 5.5)."""
        _check_http2(self, "frames")
        payload_bytes = as_bytes(payload)
        cork(self)
        try:
            h2_send.write_frame(self, type, flags, stream, payload_bytes)
        finally:
            end_call(self)

    # -- flow control -----------------------------------------------------------------------------

    def open_flow(self, stream: int, delta: int) -> None:
        """Allow the peer to send `delta` more bytes on a stream, or on all of them (0), at once.
        With manual_flow_control all data needs this. HTTP/1.1: does nothing (RFC 9113 6.9)."""
        _check_open(self)
        _check_id(stream)
        if not self._http2:
            return
        found = lookup(self, stream)
        if stream != 0 and found is None:
            if stream > max(self._last_local, self._last_remote):
                raise InvalidStreamError(f"stream {stream} has not been opened", stream=stream)
            return
        if delta < 1 or delta > MAX_WINDOW:
            # > The legal range for the increment to the flow-control window is 1 to 2^31-1.   (6.9)
            raise UsageError(f"a window cannot grow by {delta}", rule="RFC 9113 6.9")
        cork(self)
        try:
            h2_flow.grant(self, found, delta)
        finally:
            end_call(self)

    def consume(self, stream: int, size: int) -> None:
        """Report, with manual_flow_control, that `size` bytes of a stream have been processed. The
        peer gets credit for half a window at a time, of the stream and of the connection, or
        earlier if it could not go on otherwise. Does nothing for unknown streams."""
        if self._state == CLOSED or not self._http2 or stream < 0 or stream > MAX_STREAM_ID:
            return
        found = lookup(self, stream)
        if found is None:
            return
        returned = min(size, int(found.unread))
        if returned <= 0:
            return
        cork(self)
        try:
            h2_flow.read(self, found, returned)
            h2_flow.consume(self, found, returned)
        finally:
            end_call(self)


typed(Engine)


def _check_id(stream: int) -> None:
    """Raise InvalidStreamError for numbers that are no stream ids: i64 arithmetic would wrap."""
    if stream < 0 or stream > MAX_STREAM_ID:
        raise InvalidStreamError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")


def _no_id(core: Engine, stream: int) -> ConnectionError:
    """Return the error for a message on a stream that cannot exist."""
    if not core._server and stream == core.next_stream:
        # > A client that is unable to establish a new stream identifier can establish a new
        # > connection for new streams.   (RFC 9113 5.1.1)
        return DisconnectError("all stream ids have been used", stream=stream)
    return InvalidStreamError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")


def _check_open(core: Core) -> None:
    """Raise unless the connection is open."""
    if core._state == CLOSED:
        raise DisconnectError("the connection is closed")
    if core._state == INIT:
        raise UsageError("the connection has not begun")


def _check_http2(core: Core, what: str) -> None:
    _check_open(core)
    if not core._http2:
        raise UnsupportedError(f"HTTP/1.1 has no {what}")


def _check_setting(core: Core, key: int, value: int) -> None:
    """Raise UsageError unless we may announce this value."""
    rules.check_own(key, value, core._server)
    if key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL and value < core._local.get(key) and core._http2:
        raise UsageError("enable_connect_protocol cannot be taken back", rule="RFC 8441 3")
