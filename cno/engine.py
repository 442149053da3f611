"""The verbs of a connection.

`Engine` checks what the application passes and sends each verb to the protocol in force; what comes
in it gives to `drive`. No private methods: in an interpreted subclass each call of one would look
for an override first, which costs as much as an event does. Functions are called directly.
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
from cno.drive import Octets, end_call, finish_now, octets_of, receive
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
    """A connection without a face: `cno.raw.Connection` and the asyncio classes are faces of it."""

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

    # -- what it is -------------------------------------------------------------------------------

    @property
    def is_http2(self) -> bool:
        """Whether HTTP/2 is in force."""
        return self._http2

    @property
    def local_settings(self) -> Settings:
        """Our settings as last configured (a copy)."""
        return self._local.copy()

    @property
    def remote_settings(self) -> Settings:
        """The peer's settings (a copy); the RFC's defaults until it has sent some."""
        return self._remote.copy()

    @property
    def next_stream(self) -> int:
        """The id to send the next request with; of a server, that its next push will have."""
        if self._last_local:
            return self._last_local + 2
        return 2 if self._server else 1

    # -- the life of a connection -----------------------------------------------------------------

    def begin(self, is_http2: bool) -> None:
        """Start, in HTTP/2 or in HTTP/1.1. Raises UsageError the second time."""
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

    def receive(self, data: Octets) -> None:
        """Take octets from the peer, cut anywhere, and fire the events they cause.

        Raises ProtocolError when the peer broke the protocol: it has been answered by then. Raises
        WouldBlockError when too many HTTP/1.1 requests wait for their answers: the data is kept,
        pass b'' to go on. Whatever an event raises comes out as well.
        """
        receive(self, data)

    def end_of_input(self) -> None:
        """The transport is gone: every open stream ends.

        Raises ProtocolError if the peer was in the middle of a message.
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
        """Take no new streams and close when the open ones are done (RFC 9113 6.8)."""
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
        """Collect what follows into one on_writev, until the matching uncork()."""
        self._app_corks += 1
        cork(self)

    def uncork(self) -> None:
        """Write what was collected since cork()."""
        if self._app_corks == 0:
            raise UsageError("uncork() without cork()")
        self._app_corks -= 1
        end_call(self)

    def pause_writing(self) -> None:
        """The transport takes no more for now. From here to `resume_writing`, replies to the peer
        (PING and SETTINGS acknowledgements, RST_STREAM) are counted: more than
        `Limits.max_queued_control_frames` end the connection (CVE-2019-9512). Nothing is held back;
        whoever never calls this has no such bound."""
        self._transport_full = True

    def resume_writing(self) -> None:
        """The transport has drained."""
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
        """Announce new settings of ours; what is not named stays. They bind the peer once it has
        acknowledged them (RFC 9113 6.5.3). Raises UsageError for values the RFC does not allow."""
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

        1xx responses may precede the real one. In HTTP/1.1 a non-empty `method` of a response is
        its reason phrase. `final`: there is no body. Raises WouldBlockError when the peer allows no
        more streams or an earlier pipelined message must go first (a 100 is queued for its turn),
        UsageError for what must not be sent, InvalidStreamError, DisconnectError: also once no
        stream id is left. (RFC 9113 8.1, RFC 9112 2.1)
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
        """Promise to answer a request that the client has not made; its stream is told by the
        events of a request. Nothing happens where the peer can't or won't take it (RFC 9113 8.4).
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

    def write_data(self, stream: int, data: Octets, final: bool) -> int:
        """Send body; returns how many octets were taken. Fewer than given: wait for
        on_flow_increase of the stream or of 0, and give the rest again (RFC 9113 5.2)."""
        _check_open(self)
        _check_id(stream)
        octets = octets_of(data)
        cork(self)
        try:
            if self._http2:
                return h2_send.write_data(self, stream, octets, final)
            return h1_send.write_data(self, stream, octets, final)
        finally:
            end_call(self)

    def write_tail(self, stream: int, trailers: list[tuple[str, str]]) -> None:
        """Send trailers, which end the message. HTTP/1.1: dropped unless the body is chunked."""
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
        """Give a stream up. Stream 0: the connection, by GOAWAY(code); with code 0 as shutdown().
        HTTP/1.1 has no frame for it: the connection closes once it is idle (RFC 9113 6.4, 6.8)."""
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

    def write_ping(self, data: Octets) -> None:
        """Send a PING of exactly 8 octets; on_pong tells of its answer (RFC 9113 6.7)."""
        _check_http2(self, "PING")
        octets = octets_of(data)
        cork(self)
        try:
            h2_send.write_ping(self, octets)
        finally:
            end_call(self)

    def write_frame(self, type: int, flags: int, stream: int, payload: Octets) -> None:
        """Send a frame of a type that RFC 9113 does not define (RFC 9113 5.5)."""
        _check_http2(self, "frames")
        octets = octets_of(payload)
        cork(self)
        try:
            h2_send.write_frame(self, type, flags, stream, octets)
        finally:
            end_call(self)

    # -- flow control -----------------------------------------------------------------------------

    def open_flow(self, stream: int, delta: int) -> None:
        """Let the peer send `delta` more octets on a stream, or on all of them (0), at once.
        With manual_flow_control needed for every chunk. HTTP/1.1: nothing (RFC 9113 6.9)."""
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
        """With manual_flow_control: the application is done with `size` octets of a stream. The
        peer is told once that is half a window, of the stream and of the connection; or earlier
        where it could not go on without. Nothing happens on streams that there are not."""
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
    """Numbers that no stream can have must not reach fixed-width arithmetic."""
    if stream < 0 or stream > MAX_STREAM_ID:
        raise InvalidStreamError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")


def _no_id(core: Engine, stream: int) -> ConnectionError:
    """What is wrong with a message on a stream that cannot be."""
    if not core._server and stream == core.next_stream:
        # > A client that is unable to establish a new stream identifier can establish a new
        # > connection for new streams.   (RFC 9113 5.1.1)
        return DisconnectError("all stream ids have been used", stream=stream)
    return InvalidStreamError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")


def _check_open(core: Core) -> None:
    """Whether anything can be written at all."""
    if core._state == CLOSED:
        raise DisconnectError("the connection is closed")
    if core._state == INIT:
        raise UsageError("the connection has not begun")


def _check_http2(core: Core, what: str) -> None:
    _check_open(core)
    if not core._http2:
        raise UnsupportedError(f"HTTP/1.1 has no {what}")


def _check_setting(core: Core, key: int, value: int) -> None:
    """Whether we may announce this value."""
    rules.check_own(key, value, core._server)
    if key == CNO_SETTINGS_ENABLE_CONNECT_PROTOCOL and value < core._local.get(key) and core._http2:
        raise UsageError("enable_connect_protocol cannot be taken back", rule="RFC 8441 3")
