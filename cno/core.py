"""The state of one connection, and its events.

`Core` holds every field, in groups. Behaviour is in modules of functions over it: `streams` (both
protocols), `h1.recv` and `h1.send`, `h2.recv` and `h2.send`, `engine` (the verbs) and `drive` (the
loop). No object refers back to its connection, so a connection is freed with its last reference.
"""

from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from librt.strings import BytesWriter
from mypy_extensions import i64, mypyc_attr

from cno.budget import Bucket
from cno.date import DateSource
from cno.errors import Reason
from cno.h1.state import Http1
from cno.h2.state import NO_BYTES, Http2
from cno.limits import Limits, bound, window, with_windows
from cno.settings import Settings
from cno.strict import typed

# -- the states of a connection: where the next byte of input belongs ------------------------------
# A handler returns the next state; only the driver loop assigns it. HTTP/1.1 changes to HTTP/2 by
# returning a state. WAIT is no state: more input is needed.
WAIT: Final = -1
INIT: Final = 0  # before begin()
CLOSED: Final = 1  # after a fatal error or the end: input is ignored
H1_DETECT: Final = 2  # server: the start of an HTTP/2 preface or of a request
H1_HEAD: Final = 3  # leading CRLF, request or status line, and fields
H1_BODY: Final = 4  # a body of known length, or until the connection ends
H1_CHUNKED: Final = 5  # chunk size, chunk data, trailers
H1_BLOCKED: Final = 6  # the next message waits for a response, or for a decision about an upgrade
H1_TUNNEL: Final = 7  # after 101 or CONNECT: bytes without framing
H1_IGNORE: Final = 8  # after the last message ("Connection: close"): input is dropped
H2_PREFACE: Final = 9  # server: the rest of the connection preface
H2_SETTINGS: Final = 10  # the peer's first frame
H2_FRAME: Final = 11  # the start of a frame
H2_DATA: Final = 12  # inside a DATA frame
H2_CONTINUATION: Final = 13  # inside a field block: only CONTINUATION may follow

# -- reading and writing one message of a stream --------------------------------------------------
DONE: Final = 0  # complete, reset, or never allowed
HEAD: Final = 1  # the head, or another 1xx, comes next
BODY: Final = 2  # data, trailers, or the end come next
TUNNEL: Final = 3  # bytes without message framing (CONNECT, 101)

UNKNOWN_LENGTH: Final = -1

# -- which events somebody listens to -------------------------------------------------------------
ON_WRITEV: Final = 1 << 0
ON_CLOSE: Final = 1 << 1
ON_STREAM_START: Final = 1 << 2
ON_STREAM_END: Final = 1 << 3
ON_FLOW_INCREASE: Final = 1 << 4
ON_MESSAGE_HEAD: Final = 1 << 5
ON_MESSAGE_DATA: Final = 1 << 6
ON_MESSAGE_TAIL: Final = 1 << 7
ON_MESSAGE_PUSH: Final = 1 << 8
ON_FRAME: Final = 1 << 9
ON_FRAME_SEND: Final = 1 << 10
ON_PONG: Final = 1 << 11
ON_SETTINGS: Final = 1 << 12
ON_UPGRADE: Final = 1 << 13

#: For connections without limits of their own.
_LIMITS: Final = Limits(
    initial_window_size=65_535, connection_window=65_535, max_unread_window=4_194_304
)
#: Shorter output, in bytes, is copied together. Longer payloads are passed on without a copy.
COPY_BELOW: Final = 4_096


class Frame:
    """An HTTP/2 frame, without padding, as `on_frame` and `on_frame_send` get it."""

    def __init__(self, type: int, flags: int, stream: int, payload: bytes) -> None:
        self.type = type
        self.flags = flags
        self.stream = stream
        self.payload = payload

    def __repr__(self) -> str:
        return (
            f"Frame(type={self.type}, flags={self.flags:#x}, stream={self.stream}, "
            f"payload={len(self.payload)} bytes)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Frame, (self.type, self.flags, self.stream, self.payload)


typed(Frame)


@mypyc_attr(acyclic=True)
class Stream:
    """One request and its response, in either protocol."""

    def __init__(self, id: i64, local: bool, read: i64, write: i64) -> None:
        self.id: i64 = id
        self.local = local  # opened by us
        self.ended = False  # set at the end: cheaper than a look-up in the connection
        # What may be received, what may be sent: DONE, HEAD, BODY or TUNNEL.
        self.read: i64 = read
        self.write: i64 = write
        # Bytes of body still to be received or sent, by content-length; UNKNOWN_LENGTH without one.
        self.read_left: i64 = UNKNOWN_LENGTH
        self.write_left: i64 = UNKNOWN_LENGTH
        self.received: i64 = 0  # bytes of body so far, counted where `max_body_size` is set
        # The method of the request decides how the response is framed.
        self.head = False  # HEAD: the response has no body
        self.connect = False  # CONNECT: a 2xx response opens a tunnel
        self.body_suppressed = False  # our response has no body: data is accepted and not sent
        self.counted = False  # in a number of concurrent streams
        self.interim: i64 = 0  # 1xx responses received
        self.authority = ""  # client: :authority of the request and of its pushes
        # HTTP/2 windows in bytes, relative to the INITIAL_WINDOW_SIZE in force: a change of that
        # setting costs nothing per stream (RFC 9113 6.9.2).
        self.send_window: i64 = 0
        self.recv_window: i64 = 0
        self.unread: i64 = 0  # bytes received and not yet consumed
        self.credit: i64 = 0  # bytes consumed and not yet announced to the peer
        self.wider: i64 = 0  # bytes by which its window exceeds the initial one
        # Its share of the connection's bounds, until it ends.
        self.small: i64 = 0  # of `Limits.small_frame_budget`, for unread bytes
        self.header_size: i64 = 0  # of `Limits.max_header_bytes_per_connection`


#: The peer's settings until its first SETTINGS.
DEFAULTS: Final = Settings()
#: Placeholder where there is no stream.
NO_STREAM: Final = Stream(-1, False, DONE, DONE)
# Placeholders for empty lists, which most connections have most of the time. Not to be modified.
NO_CHUNKS: Final[list[bytes]] = []
NO_FRAMES: Final[list[Frame]] = []
#: The last result of local_settings() for a client and for a server. Most connections have the
#: limits of the previous one.
_made: Final[list[tuple[Limits, Settings] | None]] = [None, None]


@mypyc_attr(allow_interpreted_subclasses=True)
class Core:
    """The state of a connection. Users know it as `cno.raw.Connection`."""

    def __init__(
        self, server: bool, limits: Limits | None, clock: Callable[[], float] | None
    ) -> None:
        self._limits: Limits = _LIMITS if limits is None else with_windows(limits, _LIMITS)
        self._clock: Callable[[], float] | None = clock
        self._wants: i64 = wanted(type(self))

        # -- what this is, and what comes next ----------------------------------------------------
        self._server = server
        self._http2 = False
        self._state: i64 = INIT
        #: The `:scheme` of an HTTP/1.1 request.
        self.scheme = "http"
        self.manual_flow_control = False
        self.disallow_h2_upgrade = True
        self.disallow_h2_prior_knowledge = False

        # -- input --------------------------------------------------------------------------------
        self._in: bytes = b""  # input that is being parsed
        self._pos: i64 = 0  # position of the first byte of it not yet taken
        self._pending_input = NO_BYTES  # received after `_in`, not yet parsed
        self._bytes_needed: i64 = 0  # bytes that must be available before parsing can continue
        self._receiving = False  # inside receive(): output is collected until it returns

        # -- output -------------------------------------------------------------------------------
        self._out = NO_CHUNKS
        self._writer = BytesWriter()  # small pieces, copied together; they follow `_out`
        self._corked: i64 = 0
        self._app_corks: i64 = 0  # calls of cork() by the application without uncork()
        self._dates: DateSource | None = None  # server: source of the `Date` of responses
        self._error_content = b""  # HTTP/1.1 server: of responses to malformed requests
        # Size in bytes of the body that is written with the next head, for its content-length. The
        # head resets it to UNKNOWN_LENGTH.
        self._body_size: i64 = UNKNOWN_LENGTH
        self._frames_to_show = NO_FRAMES  # frames in the output, for on_frame_send
        self._frames_shown: i64 = 0  # number of calls of on_frame_send for these

        # -- streams ------------------------------------------------------------------------------
        self._streams: dict[int, Stream] = {}
        self._current: Stream = NO_STREAM  # the stream looked up last, unless it has ended
        self._last_local: i64 = 0  # highest id opened by us
        self._last_remote: i64 = 0  # highest id opened by the peer
        self._count_local: i64 = 0  # open streams that count against the peer's limit
        self._count_remote: i64 = 0  # open streams that count against our limit
        self._max_streams: i64 = bound(self._limits.max_concurrent_streams)
        # Shutting down: no new streams; on_close follows the end of the open ones.
        self._draining = False
        self._close_fired = False
        self._end_reason: Reason | None = None  # of the streams that events are reporting as ended
        self._interim: Bucket | None = None  # budget of 1xx responses
        self._transport_full = False  # between pause_writing() and resume_writing()

        # -- settings -----------------------------------------------------------------------------
        # Our settings as last announced. Not modified after that.
        self._local = local_settings(self._limits, server)
        self._remote = DEFAULTS

        # -- one protocol's own -------------------------------------------------------------------
        self._h1: Http1  # if the connection begins with HTTP/1.1
        self._h2: Http2  # from the start of HTTP/2

    # -- events: override what you care about -----------------------------------------------------

    def on_writev(self, chunks: list[bytes]) -> None:
        """Send these pieces of output, in order."""

    def on_close(self) -> None:
        """Close the transport: no more output follows."""

    def on_stream_start(self, stream: int) -> None:
        """A stream has been opened. Fired once for each stream."""

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        """A stream has ended. `code` is one of `CNO_RST_*`, `side` the side that caused it."""

    def on_flow_increase(self, stream: int) -> None:
        """More data can be written on this stream; if it is 0, on all streams."""

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        """A head has been received: of a request (`code` 0), or of a response, including 1xx.

        For a response `path` is '' and `method` the reason phrase (HTTP/1.1; '' in HTTP/2).
        """

    def on_message_data(self, stream: int, data: bytes) -> None:
        """A piece of a body has been received."""

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        """A message is complete."""

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        """The server promises to answer this request on `stream`."""

    def on_frame(self, frame: Frame) -> None:
        """An HTTP/2 frame has been received, perhaps an extension frame."""

    def on_frame_send(self, frame: Frame) -> None:
        """An HTTP/2 frame is going to be sent."""

    def on_pong(self, data: bytes) -> None:
        """The peer answered a `write_ping`."""

    def on_settings(self) -> None:
        """The peer has changed its settings."""

    def on_upgrade(self, stream: int) -> None:
        """A request asks for another protocol: write a 101 now to get a tunnel."""

    def close(self) -> None:
        """Close the transport after a fatal error. The default does nothing."""


typed(
    Core,
    scheme=str,
    manual_flow_control=bool,
    disallow_h2_upgrade=bool,
    disallow_h2_prior_knowledge=bool,
)

EVENTS: Final = (
    "on_writev",
    "on_close",
    "on_stream_start",
    "on_stream_end",
    "on_flow_increase",
    "on_message_head",
    "on_message_data",
    "on_message_tail",
    "on_message_push",
    "on_frame",
    "on_frame_send",
    "on_pong",
    "on_settings",
    "on_upgrade",
)

_wanted: Final[WeakKeyDictionary[type, int]] = WeakKeyDictionary()


def wanted(cls: type) -> int:
    """Return which events this class overrides, as a set of ON_* bits.

    The result is cached: a call of an event without an override would cost as much as one with it.
    """
    mask = _wanted.get(cls)
    if mask is None:
        mask = 0
        for bit, name in enumerate(EVENTS):
            if getattr(cls, name) is not getattr(Core, name):
                mask |= 1 << bit
        _wanted[cls] = mask
    return mask


def local_settings(limits: Limits, server: bool) -> Settings:
    """Return our settings according to the limits.

    The object is shared: copy it before a change.
    """
    made = _made[server]
    if made is not None and made[0] is limits:
        return made[1]
    settings = Settings()
    settings._header_table_size = limits.header_table_size
    settings._enable_push = 0
    # We neither send nor evaluate the priorities of RFC 7540; we support those of RFC 9218.
    settings._no_rfc7540_priorities = 1
    settings._initial_window_size = window(limits.initial_window_size)
    settings._max_frame_size = limits.max_frame_size
    if limits.max_header_list_size is not None:
        settings._max_header_list_size = limits.max_header_list_size
    if server and limits.max_concurrent_streams is not None:
        settings._max_concurrent_streams = limits.max_concurrent_streams
    _made[server] = (limits, settings)
    return settings


def waiting(core: Core) -> i64:
    """Return the number of bytes received and not yet taken."""
    return len(core._in) - core._pos + len(core._pending_input)


# -- output: collected while something is going on, written as one at its end ---------------------


def announce_size(core: Core, size: i64) -> None:
    """Have the next head announce the size of its body in bytes; UNKNOWN_LENGTH: it does not."""
    core._body_size = size


def use(
    core: Core,
    *,
    limits: Limits | None = None,
    dates: DateSource | None = None,
    error_content: bytes | None = None,
) -> None:
    """Replace the limits, the source of `Date`, or the content of responses to malformed requests:
    for layers above, before the connection begins."""
    if limits is not None:
        core._limits = limits
    if dates is not None:
        core._dates = dates
    if error_content is not None:
        core._error_content = error_content


def put(core: Core, data: bytes) -> None:
    """Append bytes to the output. Short ones are copied together, long ones are not copied."""
    if len(data) < COPY_BELOW:
        core._writer.write(data)
        return
    if not core._out:
        core._out = []
    if len(core._writer) != 0:
        core._out.append(core._writer.getvalue())
        core._writer.truncate(0)
    core._out.append(data)


def cork(core: Core) -> None:
    """Collect output until the matching `drive.end_call`."""
    core._corked += 1


def flush(core: Core) -> None:
    """Pass the collected output to on_writev in one call, unless it is corked."""
    if core._corked != 0:
        return
    try:
        if core._frames_to_show:
            _announce(core)
    finally:
        _hand_out(core)


def _announce(core: Core) -> None:
    """Fire on_frame_send for frames in the output.

    Called only where all frames are complete and all state is consistent. Output of the event comes
    after these frames; its exceptions do not affect them.
    """
    core._corked += 1
    try:
        while core._frames_shown < len(core._frames_to_show):
            # Not a local list: if the event closes the connection, the others are shown before
            # that.
            frame = core._frames_to_show[core._frames_shown]
            core._frames_shown += 1
            core.on_frame_send(frame)
        core._frames_to_show = NO_FRAMES
        core._frames_shown = 0
    finally:
        core._corked -= 1


def _hand_out(core: Core) -> None:
    small = core._writer
    chunks = core._out
    if chunks:
        core._out = NO_CHUNKS
        if len(small) != 0:
            chunks.append(small.getvalue())
            small.truncate(0)
    elif len(small) != 0:
        chunks = [small.getvalue()]
        small.truncate(0)
    else:
        return
    if core._wants & ON_WRITEV:
        core.on_writev(chunks)
