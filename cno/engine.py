"""The verbs of a connection, and the loop that drives it.

`Engine` checks what the application passes, sends each verb to the protocol in force, and turns the
peer's mistakes into answers, events and a ProtocolError. It is the only place that knows both
protocols, and where HTTP/1.1 hands over to HTTP/2.
"""

from collections.abc import Callable

from mypy_extensions import i64, mypyc_attr

from cno import settings as rules
from cno.const import (
    CNO_LOCAL,
    CNO_RST_CANCEL,
    CNO_RST_NO_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    MAX_STREAM_ID,
    MAX_U32,
    MAX_WINDOW,
    PREFACE,
)
from cno.core import (
    CLOSED,
    H1_CHUNKED,
    H1_DETECT,
    H1_HEAD,
    H2_PREFACE,
    H2_SETTINGS,
    INIT,
    ON_MESSAGE_PUSH,
    WAIT,
    Core,
    cork,
    flush,
)
from cno.errors import (
    ConnectionFault,
    DisconnectError,
    InvalidStreamError,
    ProtocolError,
    UnsupportedError,
    UsageError,
)
from cno.h1 import recv as h1_recv
from cno.h1 import send as h1_send
from cno.h2 import flow as h2_flow
from cno.h2 import output as h2_output
from cno.h2 import reader as h2_reader
from cno.h2 import send as h2_send
from cno.h2 import start as h2_start
from cno.limits import Limits
from cno.settings import Settings
from cno.streams import end_all, finish, flush_all

Octets = bytes | bytearray | memoryview


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
                self._state = H1_DETECT if self._server else H1_HEAD
        finally:
            self._end_call()

    def receive(self, data: Octets) -> None:
        """Take octets from the peer, cut anywhere, and fire the events they cause.

        Raises ProtocolError when the peer broke the protocol: it has been answered by then. Raises
        WouldBlockError when too many HTTP/1.1 requests wait for their answers: the data is kept,
        pass b'' to go on. Whatever an event raises comes out as well.
        """
        if self._state == CLOSED:
            return
        if self._state == INIT:
            raise UsageError("data before the connection has begun")
        octets = _octets(data)
        if self._receiving:
            self._kept += octets
            return
        if not self._take(octets):
            return
        self._receiving = True
        cork(self)
        try:
            self._drive()
        except ConnectionFault as fault:
            raise self._fail(fault) from None
        finally:
            self._receiving = False
            self._keep()
            self._end_call()

    def _take(self, data: bytes) -> bool:
        """Make new octets the input, behind what was kept; False if they complete nothing."""
        kept = self._kept
        if not kept:
            self._in = data
            self._pos = 0
            self._need = 0
            return True
        if data:
            # What was cut short is looked at again only when more of it makes a difference: a
            # message that comes octet by octet costs no more than one that comes whole.
            if self._state == H1_HEAD or self._state == H1_CHUNKED:
                if not h1_recv.worth(self, data):
                    kept += data
                    return False
            elif len(kept) + len(data) < self._need:
                kept += data
                return False
        kept += data
        self._in = bytes(kept)
        self._pos = 0
        self._kept = bytearray()
        self._need = 0  # known anew when all of it has been looked at: an event may raise before
        return True

    def _keep(self) -> None:
        """Put aside what could not be parsed yet."""
        if self._state == CLOSED:
            self._in = b""
            self._kept = bytearray()
            return
        if self._pos < len(self._in):
            self._kept[0:0] = self._in[self._pos :]
        self._in = b""
        self._pos = 0

    def _drive(self) -> None:
        """State by state, until the input is used up."""
        while True:
            state = self._state
            if state >= H2_PREFACE:
                follow = h2_reader.step(self, state)
            elif state == CLOSED:
                return
            elif state == H1_DETECT:
                follow = self._detect()
            else:
                follow = h1_recv.step(self, state)
                if follow >= H2_PREFACE and self._state != CLOSED:
                    follow = self._hand_over(follow)
            if self._state == CLOSED:
                return
            if follow == WAIT:
                if not self._kept:
                    return
                # An event passed data on while we were in here.
                self._in = self._in[self._pos :] + bytes(self._kept)
                self._pos = 0
                self._kept = bytearray()
            else:
                self._state = follow

    def _detect(self) -> i64:
        """Tell a client with prior knowledge of HTTP/2 from one that sends a request."""
        # > A client that knows that a server supports HTTP/2 can establish a TCP connection and
        # > send the connection preface followed by HTTP/2 frames.   (RFC 9113 3.3)
        if self.disallow_h2_prior_knowledge:
            return H1_HEAD
        start = self._in[self._pos : self._pos + len(PREFACE)]
        if start == PREFACE:
            self._pos += len(PREFACE)
            h2_start.begin(self)
            return H2_SETTINGS
        if PREFACE.startswith(start):
            self._need = 0
            return WAIT
        return H1_HEAD

    def _hand_over(self, follow: i64) -> i64:
        """HTTP/1.1 has agreed on `Upgrade: h2c`: go on in HTTP/2."""
        if self._server:
            return h2_start.upgraded_server(self)
        return h2_start.upgraded_client(self, follow)

    def _fail(self, fault: ConnectionFault) -> ProtocolError:
        """The one fatal path: answer, end everything, close."""
        if self._http2:
            h2_output.goaway(self, self._h2.delivered, fault.code, fault.text)
            code = int(fault.code)
        else:
            h1_send.error_response(self, fault.code, fault.text)
            code = CNO_RST_PROTOCOL_ERROR
        try:
            self._finish(code)
        finally:
            self.close()
        return ProtocolError(fault.text, code=int(fault.code), rule=fault.rule)

    def _finish(self, code: int) -> None:
        """Nothing more is read or written. Whatever an event raises, all of it happens."""
        self._state = CLOSED
        try:
            flush_all(self)
        finally:
            try:
                end_all(self, code, CNO_LOCAL)
            finally:
                finish(self)

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
        self._kept = bytearray()
        self._out = []
        self._writer.truncate(0)
        self._announced.clear()
        end_all(self, CNO_RST_CANCEL, CNO_LOCAL)
        if text:
            raise ProtocolError(text, rule="" if self._http2 else "RFC 9112 8")

    def shutdown(self) -> None:
        """Take no new streams and close when the open ones are done (RFC 9113 6.8)."""
        self._writing()
        cork(self)
        try:
            if self._http2:
                h2_send.shutdown(self)
            else:
                h1_send.shutdown(self)
        finally:
            self._end_call()

    def _end_call(self) -> None:
        """The end of a verb or of receive(): credit goes back, output out; close if all is done."""
        self._corked -= 1
        if self._corked != 0 or self._state == CLOSED:
            flush(self)
            return
        if self._http2:
            h2_flow.settle(self)
            try:
                flush(self)
            finally:
                if h2_send.drained(self):
                    finish(self)
        else:
            flush(self)

    def cork(self) -> None:
        """Collect what follows into one on_writev, until the matching uncork()."""
        self._held += 1
        cork(self)

    def uncork(self) -> None:
        """Write what was collected since cork()."""
        if self._held == 0:
            raise UsageError("uncork() without cork()")
        self._held -= 1
        self._end_call()

    # -- settings ---------------------------------------------------------------------------------

    def configure(
        self,
        *,
        header_table_size: int | None = None,
        enable_push: bool | None = None,
        max_concurrent_streams: int | None = None,
        initial_window_size: int | None = None,
        max_frame_size: int | None = None,
        max_header_list_size: int | None = None,
        enable_connect_protocol: bool | None = None,
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
                self._check_setting(key, int(value))
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
            self._end_call()

    def _check_setting(self, key: int, value: int) -> None:
        """Whether we may announce this value."""
        name = rules.NAMES[key]
        if value < 0 or value > MAX_U32:
            raise UsageError(f"{name}={value} does not fit a setting", rule="RFC 9113 6.5.1")
        try:
            rules.check(key, value)
        except ConnectionFault as fault:
            raise UsageError(fault.text, rule=fault.rule) from None
        if name == "enable_push" and self._server and value:
            # > A server MUST NOT explicitly set this value to 1.   (RFC 9113 6.5.2)
            raise UsageError("a server cannot take pushes", rule="RFC 9113 6.5.2")
        if name == "enable_connect_protocol" and value < self._local.get(key) and self._http2:
            raise UsageError("enable_connect_protocol cannot be taken back", rule="RFC 8441 3")

    # -- writing ----------------------------------------------------------------------------------

    def _writing(self) -> None:
        """Whether anything can be written at all."""
        if self._state == CLOSED:
            raise DisconnectError("the connection is closed")
        if self._state == INIT:
            raise UsageError("the connection has not begun")

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
        more streams or an earlier pipelined message must go first, UsageError for what must not be
        sent, InvalidStreamError, DisconnectError. (RFC 9113 8.1, RFC 9112 2.1)
        """
        self._writing()
        _check_id(stream)
        cork(self)
        try:
            if self._http2:
                h2_send.write_head(self, stream, code, method, path, headers, final)
            else:
                h1_send.write_head(self, stream, code, method, path, headers, final)
        finally:
            self._end_call()

    def write_push(
        self, stream: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        """Promise to answer a request that the client has not made; its stream is told by the
        events of a request. Nothing happens where the peer can't or won't take it (RFC 9113 8.4).
        """
        self._writing()
        _check_id(stream)
        if not self._server:
            raise UsageError("only servers push", stream=stream, rule="RFC 9113 8.4")
        if not self._http2:
            return
        cork(self)
        try:
            h2_send.write_push(self, stream, method, path, headers)
        finally:
            self._end_call()

    def write_data(self, stream: int, data: Octets, final: bool) -> int:
        """Send body; returns how many octets were taken. Fewer than given: wait for
        on_flow_increase of the stream or of 0, and give the rest again (RFC 9113 5.2)."""
        self._writing()
        _check_id(stream)
        octets = _octets(data)
        cork(self)
        try:
            if self._http2:
                return h2_send.write_data(self, stream, octets, final)
            return h1_send.write_data(self, stream, octets, final)
        finally:
            self._end_call()

    def write_tail(self, stream: int, trailers: list[tuple[str, str]]) -> None:
        """Send trailers, which end the message. HTTP/1.1: dropped unless the body is chunked."""
        self._writing()
        _check_id(stream)
        cork(self)
        try:
            if self._http2:
                h2_send.write_tail(self, stream, trailers)
            else:
                h1_send.write_tail(self, stream, trailers)
        finally:
            self._end_call()

    def write_reset(self, stream: int, code: int) -> None:
        """Give a stream up. Stream 0: the connection, by GOAWAY(code); with code 0 as shutdown().
        HTTP/1.1 has no frame for it: the connection closes once it is idle (RFC 9113 6.4, 6.8)."""
        self._writing()
        _check_id(stream)
        if code < 0 or code > MAX_U32:
            raise UsageError(f"{code} is no error code", stream=stream, rule="RFC 9113 7")
        if stream == 0:
            if code == CNO_RST_NO_ERROR:
                self.shutdown()
                return
            if self._http2:
                h2_output.goaway(self, self._h2.delivered, code, "")
            self._finish(code)
            return
        cork(self)
        try:
            if self._http2:
                h2_send.write_reset(self, stream, code)
            else:
                h1_send.write_reset(self, stream, code)
        finally:
            self._end_call()

    def write_ping(self, data: Octets) -> None:
        """Send a PING of exactly 8 octets; on_pong tells of its answer (RFC 9113 6.7)."""
        self._http2_only("PING")
        octets = _octets(data)
        cork(self)
        try:
            h2_send.write_ping(self, octets)
        finally:
            self._end_call()

    def write_frame(self, type: int, flags: int, stream: int, payload: Octets) -> None:
        """Send a frame of a type that RFC 9113 does not define (RFC 9113 5.5)."""
        self._http2_only("frames")
        octets = _octets(payload)
        cork(self)
        try:
            h2_send.write_frame(self, type, flags, stream, octets)
        finally:
            self._end_call()

    def _http2_only(self, what: str) -> None:
        self._writing()
        if not self._http2:
            raise UnsupportedError(f"HTTP/1.1 has no {what}")

    # -- flow control -----------------------------------------------------------------------------

    def open_flow(self, stream: int, delta: int) -> None:
        """Let the peer send `delta` more octets on a stream, or on all of them (0), at once.
        With manual_flow_control needed for every chunk. HTTP/1.1: nothing (RFC 9113 6.9)."""
        self._writing()
        _check_id(stream)
        if not self._http2:
            return
        found = self._streams.get(stream)
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
            self._end_call()

    def consume(self, stream: int, size: int) -> None:
        """With manual_flow_control: the application is done with `size` octets of a stream. The
        peer is told once that is half a window, of the stream and of the connection."""
        found = self._streams.get(stream)
        if self._state == CLOSED or not self._http2 or found is None:
            return
        returned = min(size, int(found.unread))
        if returned <= 0:
            return
        cork(self)
        try:
            found.unread -= returned
            h2_flow.consume(self, found, returned)
        finally:
            self._end_call()


def _octets(data: Octets) -> bytes:
    """As bytes; TypeError for what is no octets (bytes() would make zeros of a number)."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _check_id(stream: int) -> None:
    """Numbers that no stream can have must not reach fixed-width arithmetic."""
    if stream < 0 or stream > MAX_STREAM_ID:
        raise InvalidStreamError(f"{stream} is no stream id", rule="RFC 9113 5.1.1")
