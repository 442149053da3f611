"""`Limits`: the bounds on the resources that a peer can use, with defaults, units and reasons.

A frozen object that a connection takes. `None` switches a bound off. The defaults follow those of
the well-known implementations (nghttp2, hyper, Go, nginx, Node.js, Envoy).
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from cno.const import DEFAULT_WINDOW, MAX_MAX_FRAME_SIZE, MAX_U32, MAX_WINDOW, MIN_MAX_FRAME_SIZE

#: The internal value of `None`: a number that no count reaches.
UNBOUNDED: Final = 1 << 62

#: The types of fields that cannot be None, and the endings of the names of seconds and rates.
_PLAIN: Final = (bool, int, float)
_TIMES: Final = ("_timeout", "_interval", "_rate", "_age")
#: Seconds of the shortest timeout: a shorter one would expire before anything can arrive.
SHORTEST_WAIT: Final = 0.001
#: The range of a field, if that is not 0 to UNBOUNDED: values that the protocol forbids, or with
#: which a connection could not work, are left out.
_RANGES: Final[dict[str, tuple[Any, int]]] = {
    "max_pending_handlers": (1, UNBOUNDED),
    "max_requests_per_connection": (1, UNBOUNDED),
    "max_connection_age": (SHORTEST_WAIT, UNBOUNDED),
    "max_pipelined": (1, UNBOUNDED),
    "read_chunk": (1, UNBOUNDED),
    "read_frames": (1, UNBOUNDED),
    "handshake_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "settings_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "header_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "response_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "body_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "write_stall_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "ping_interval": (SHORTEST_WAIT, UNBOUNDED),
    "ping_timeout": (SHORTEST_WAIT, UNBOUNDED),
    "max_concurrent_streams": (0, MAX_U32),
    "max_header_list_size": (0, MAX_U32),
    "header_table_size": (0, MAX_U32),
    "max_encoder_table_size": (0, MAX_U32),
    "max_frame_size": (MIN_MAX_FRAME_SIZE, MAX_MAX_FRAME_SIZE),
    "initial_window_size": (0, MAX_WINDOW),
    "connection_window": (0, MAX_WINDOW),
}


@dataclass(frozen=True, repr=False)
class Limits:
    """The bounds of one connection. Counts are per connection unless the field says otherwise.

    None switches a bound off. In the fields of `BY_ROLE` it stands for the default, which differs
    between `raw.Connection`, `aio.Server` and `aio.Client`. Raises ValueError for values out of
    range, TypeError for values that are not numbers. `repr` shows the fields that differ from the
    defaults.
    """

    # -- streams ----------------------------------------------------------------------------------
    #: Streams that the peer may have open at once; advertised. Beyond: RST_STREAM(REFUSED_STREAM).
    max_concurrent_streams: int | None = 100
    #: Server: streams beyond `max_concurrent_streams` that are refused without a charge before the
    #: client acknowledges our first SETTINGS, since it cannot know the limit earlier. Beyond:
    #: `max_error_resets` counts them.
    max_early_streams: int | None = 10_000
    #: Server, asyncio: running handlers. Beyond: requests wait until a handler returns. The same
    #: number of handlers may still run for streams that were reset; beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM). The same number may run for pushes; beyond: `push` does nothing.
    #: The default is four times `max_concurrent_streams`, and follows if you raise only that.
    max_pending_handlers: int | None = 400
    #: Server: requests, after which the connection ends gracefully (GOAWAY, or `connection:
    #: close`). Requests that are open may finish, as for `max_connection_age`.
    max_requests_per_connection: int | None = None
    #: asyncio: seconds from when a connection was made, after which it takes no new requests, so
    #: that clients look names up again. Requests that are open may finish, without the
    #: `shutdown_timeout`: a tunnel or a WebSocket keeps the connection as long as it lasts. Server:
    #: at that moment HTTP/2 sends GOAWAY and a PING (to answer it, a client has a second after its
    #: last stream); in HTTP/1.1 the next response head says `connection: close`. Client: the
    #: connection is closed as soon as no request is open; a pool makes another one.
    max_connection_age: float | None = None
    #: HTTP/1.1: requests received and not yet answered. Beyond: reading stops (WOULD_BLOCK).
    max_pipelined: int | None = 16
    #: Client: pushed streams, promised or open. Beyond: RST_STREAM(REFUSED_STREAM). asyncio:
    #: complete pushes count until the application takes them from `Response.pushed`, and those that
    #: it has not taken hold at most a quarter of `connection_window`. Beyond: RST_STREAM(CANCEL).
    max_pushes: int | None = 100
    #: Ids of streams that we reset, kept so that their frames in flight are ignored. Beyond: the
    #: oldest ids are forgotten; frames of any closed stream up to those ids are ignored too, and
    #: `glitch_budget` counts more of them than can have been in flight.
    max_reset_history: int = 128

    # -- header fields ----------------------------------------------------------------------------
    #: Bytes of one header list, 32 added for each field (RFC 9113 6.5.2); advertised. Beyond: a
    #: server answers 431, a client sends RST_STREAM(ENHANCE_YOUR_CALM); four times as much ends the
    #: connection.
    max_header_list_size: int | None = 65_536
    #: Fields of one header list; each part of a split cookie counts (Chromium allows 180 cookies).
    #: Beyond: as for `max_header_list_size`.
    max_header_fields: int | None = 256
    #: HTTP/2: bytes of the header lists of all open streams that the peer opened, counted as in
    #: `max_header_list_size`. A few bytes on the wire can refer to many, and streams can be kept
    #: open. Beyond: a new stream gets RST_STREAM(REFUSED_STREAM), trailers
    #: RST_STREAM(ENHANCE_YOUR_CALM). Raise it together with `max_concurrent_streams`.
    max_header_bytes_per_connection: int | None = 1_048_576
    #: HTTP/2: bytes of one compressed field block. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_header_block_size: int | None = 65_536
    #: CONTINUATION frames of one field block; only one of them may be empty. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    max_continuation_frames: int | None = 8
    #: Bytes of our decoder's dynamic table; advertised. Beyond: GOAWAY(COMPRESSION_ERROR).
    header_table_size: int = 4_096
    #: Bytes of our encoder's dynamic table, even if the peer allows more.
    max_encoder_table_size: int = 4_096
    #: Client: 1xx responses to one request that arrive faster than `informational_rate`. Beyond:
    #: RST_STREAM(ENHANCE_YOUR_CALM), or in HTTP/1.1 the end of the connection. asyncio:
    #: `Response.informational` keeps this many, the first ones.
    max_informational: int | None = 16
    #: Responses a second that are taken off the count of `max_informational`, if there is a clock.
    informational_rate: float = 10.0

    # -- frames and windows -----------------------------------------------------------------------
    #: Bytes of the largest frame payload that we accept; advertised. Beyond:
    #: GOAWAY(FRAME_SIZE_ERROR).
    max_frame_size: int = 16_384
    #: Bytes of body that a stream may send ahead of `consume` or `open_flow`; advertised. Beyond:
    #: RST_STREAM(FLOW_CONTROL_ERROR). By default 65,535; with asyncio, 262,144 for a server and
    #: 1,048,576 for a client.
    initial_window_size: int | None = None
    #: Bytes of body that all streams together may send ahead; at least 65,535. Make it larger than
    #: the window of one stream, or one stream that nobody reads blocks the others. Beyond:
    #: GOAWAY(FLOW_CONTROL_ERROR). By default 65,535; with asyncio, 1,048,576 for a server and
    #: 8,388,608 for a client.
    connection_window: int | None = None
    #: asyncio: bytes to which a stream's window grows while the application reads as fast as the
    #: network delivers (bandwidth times delay, measured by PING). It never shrinks below its first
    #: size. All streams together grow by at most half of `max_connection_window`.
    max_stream_window: int = 16_777_216
    #: asyncio: bytes to which the connection's window grows in the same way.
    max_connection_window: int = 33_554_432
    #: asyncio: bytes by which the connection's window grows further while unread data takes more
    #: than half of its first size, so that other streams continue. New streams then begin with a
    #: 256th of this, at least 16,384. Beyond: all streams wait for the readers. 0: off. By default
    #: 4,194,304 for a server and 16,777,216 for a client.
    max_unread_window: int | None = None
    #: Smallest DATA frame that we send into a small window, in bytes: a peer that opens its window
    #: byte by byte would make us send mostly frame headers. `write_data` accepts nothing instead.
    #: Exceptions: the rest of the body; the whole INITIAL_WINDOW_SIZE of the peer; 16 frames a
    #: stream, and one more for each `min_data_frame` bytes sent, in case the peer needs the data to
    #: go on. 0: off.
    min_data_frame: int = 1_024
    #: Entries of one SETTINGS frame. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_settings_entries: int | None = 32
    #: Empty DATA frames. A DATA frame of at least 16 bytes takes one off the count, a complete
    #: message all. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_empty_frames: int | None = 100
    #: Frames a second that are taken off the count of `max_empty_frames`, if there is a clock.
    empty_frame_rate: float = 10.0
    #: Manual flow control: the sum of 256 minus the size of each smaller DATA frame that is
    #: received and not yet consumed, in bytes, since a small frame takes more memory than its data.
    #: The limit is half of the connection's window if that is larger. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    small_frame_budget: int | None = 1_048_576
    #: Replies (acknowledgements, RST_STREAM) written while the transport is full, between
    #: `pause_writing` and `resume_writing`. asyncio stops reading meanwhile, so that few arrive.
    #: Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_queued_control_frames: int | None = 1_000

    # -- budgets: token buckets, refilled at a rate per second ------------------------------------
    # A rate needs a clock, which `raw.Connection` has only if you pass one. Useful traffic refills
    # the buckets with and without a clock.
    #: Streams that the peer reset before they were answered (rapid reset), and pushes that it
    #: cancelled. With a clock, streams that were open for half a second are not counted, except for
    #: at most 15 in that time. A stream that both sides complete refills one. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    max_stream_resets: int | None = 1_000
    #: Resets a second that refill `max_stream_resets`, if there is a clock.
    stream_reset_rate: float = 33.0
    #: RST_STREAM frames that we sent because of the peer's errors: streams beyond
    #: `max_concurrent_streams`, and header lists beyond their limits that are at least eight times
    #: as large as on the wire, too. A stream that both sides complete refills one. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    max_error_resets: int | None = 128
    #: Resets a second that refill `max_error_resets`, if there is a clock.
    error_reset_rate: float = 8.0
    #: Frames without use: PING, PRIORITY, GOAWAY, unknown types, frames of closed streams,
    #: WINDOW_UPDATE beyond ten for each DATA frame that we sent and two for each stream, requests
    #: that are answered by 413 or 431 or refused for `max_header_bytes_per_connection`. SETTINGS
    #: counts as ten. Frames that can be in flight for a stream that we cancelled are free. A
    #: received message refills eight, a DATA frame in either direction one. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    glitch_budget: int | None = 10_000
    #: Frames a second that refill `glitch_budget`, if there is a clock.
    glitch_rate: float = 330.0

    # -- HTTP/1.1 ---------------------------------------------------------------------------------
    #: Bytes of a request line, status line, field line or chunk-size line. Beyond: 501 (a method),
    #: 414 (a target), 431 (a field) or 400.
    max_line_size: int | None = 16_384
    #: Bytes of the chunk extensions of one body, in addition to as many as its earlier chunks have
    #: data. Beyond: 400.
    max_chunk_ext_size: int | None = 16_384
    #: Bytes of one trailer section. Beyond: 400.
    max_trailer_size: int | None = 16_384
    #: Fields of one trailer section. Beyond: 400.
    max_trailer_fields: int | None = 64
    #: Bytes of one received body, in both protocols: the application's policy. Beyond: 413, or
    #: RST_STREAM(CANCEL).
    max_body_size: int | None = None

    # -- accepted although it must not be sent; all off -------------------------------------------
    #: HTTP/1.1: lines of a head may end with LF alone (RFC 9112 2.2), as scripts and small devices
    #: send them. Lines of a chunked body may not, since another parser could see another end of the
    #: message.
    allow_bare_lf: bool = False
    #: HTTP/1.1: field lines of a head may be folded over several lines (RFC 9112 5.2), as old
    #: servers do; each line break becomes a space. Fields that frame or route the message may not.
    allow_obs_fold: bool = False
    #: HTTP/1.1: several content-length fields may have the same value (RFC 9110 8.6), for instance
    #: where a program and the server in front of it both add one. One is delivered.
    allow_equal_content_lengths: bool = False
    #: HTTP/1.1: chunked bodies may have other transfer codings inside (RFC 9112 7.2: gzip, ...).
    #: The body is delivered encoded, with a transfer-encoding field that names the codings. Off:
    #: 501.
    allow_transfer_codings: bool = False
    #: Request targets may contain bytes above 0x7F (RFC 3986 requires percent-encoding), in both
    #: protocols. The path is delivered as it was sent, decoded like a field value.
    allow_raw_targets: bool = False
    #: Host and `:authority` may have any value on a Unix socket: some clients send the path of the
    #: socket. asyncio: without effect on other sockets. `raw.Connection` cannot see which kind of
    #: socket it serves.
    allow_any_authority: bool = False

    # -- asyncio: buffers -------------------------------------------------------------------------
    #: Bytes of input parsed in one iteration of the event loop, and an eighth more if that is all;
    #: the rest waits for the next one.
    read_chunk: int = 262_144
    #: HTTP/2: frames of input parsed in one iteration of the event loop; the rest waits.
    read_frames: int = 2_000
    #: HTTP/1.1: bytes of body received and not read by the application. Beyond: reading stops.
    read_buffer: int = 262_144
    #: Bytes of an unwanted body that are read and dropped. Beyond: the peer gets no more window; in
    #: HTTP/1.1 the connection ends. It also ends after `linger_timeout`.
    max_drained: int = 262_144
    #: Bytes in the transport above which writers wait (at most 2^30). While the transport accepts
    #: all output at once, one iteration of the event loop writes up to four times as much of queued
    #: bodies (with TLS: as much), and each message of at most 16 KiB as it comes. In HTTP/1.1, a
    #: body given as bytes is passed to the transport whole, up to 16 times this size, if the
    #: transport need not copy it (no TLS; uvloop, or asyncio from Python 3.12 on).
    write_buffer: int = 65_536
    #: HTTP/2: unsent bytes in the socket's buffer above which the transport waits
    #: (TCP_NOTSENT_LOWAT), so that urgent data waits behind no more than that. 0 counts as 1. None:
    #: no limit.
    max_unsent: int | None = 131_072
    #: Bytes of replies written while the transport is full. Beyond: the connection is aborted.
    max_write_backlog: int = 1_048_576

    # -- timeouts in seconds, kept by the asyncio layer (the engine sets no timers) ---------------
    #: Until the peer's preface and first SETTINGS, or its first request. Server: also until the
    #: PROXY header is complete, where one must come. Client: also until the connection is made, TLS
    #: and the proxy included.
    handshake_timeout: float | None = 10.0
    #: Until our SETTINGS are acknowledged. Beyond: GOAWAY(SETTINGS_TIMEOUT).
    settings_timeout: float | None = 10.0
    #: From the first byte of a message head to its last. Beyond: 408, or GOAWAY.
    header_timeout: float | None = 30.0
    #: Client: from the end of the request to the head of the response, or the next 1xx. Beyond:
    #: RST_STREAM(CANCEL), or in HTTP/1.1 the end of the connection. Raise it for servers that hold
    #: responses back.
    response_timeout: float | None = 300.0
    #: Until the next bytes of a body, or the next push, that the application waits for. Beyond:
    #: 408, or RST_STREAM(CANCEL).
    body_timeout: float | None = 30.0
    #: Until the peer takes some of the pending output: by its window or by the transport, on Linux
    #: and macOS by acknowledging it. While it does, no response behind that output is late and the
    #: connection is not idle. Client: also until the server allows a request at all. Beyond:
    #: RST_STREAM(CANCEL), or the end of the connection.
    write_stall_timeout: float | None = 30.0
    #: Between PINGs on a connection that receives nothing. (A client also sends a PING with the
    #: reset of a request after which nothing arrived; a pool uses another connection after 1 s.)
    ping_interval: float | None = None
    #: Until the answer to a PING. Beyond: the connection ends. `ping()` raises TimeoutError.
    ping_timeout: float | None = 20.0
    #: Client: until a 100 (Continue). Beyond: the body is sent without it.
    expect_timeout: float | None = 1.0
    #: Without an open stream; before the first stream at least one second. Beyond: the connection
    #: ends.
    keepalive_timeout: float | None = 60.0
    #: Until open streams have ended, from the beginning of a shutdown. Beyond: the connection ends.
    shutdown_timeout: float | None = 30.0
    #: HTTP/1.1: to answer a client that has closed its sending side, since it may be gone. Output
    #: written by then has `write_stall_timeout`.
    half_closed_timeout: float = 1.0
    #: For a peer that is still sending to read our last message, and again while it takes the
    #: remaining output. A pool that closes: for the application to read on in a response. Beyond:
    #: the connection ends.
    linger_timeout: float = 2.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                if each.type in _PLAIN:
                    raise TypeError(f"{each.name} cannot be switched off")
                continue
            # Compiled code has converted or refused the value already; the sources do it here.
            if each.type is bool and not isinstance(value, bool):
                raise TypeError(f"{each.name} cannot be {value!r}")
            fits = isinstance(value, int)
            if not fits and each.name.endswith(_TIMES):
                fits = isinstance(value, float)
            if not fits:
                raise TypeError(f"{each.name} cannot be {value!r}")
            least, most = allowed(each.name)
            if not least <= value <= most:
                raise ValueError(f"{each.name}={value} is not in {least:,} to {most:,}")
            if each.type is float or each.type is int:
                object.__setattr__(self, each.name, each.type(value))

    def __repr__(self) -> str:
        told = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                told.append(f"{each.name}={value!r}")
        return f"Limits({', '.join(told)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The fields are frozen: `copy` and `pickle` cannot set them one by one.
        return rebuild, ({each.name: getattr(self, each.name) for each in fields(self)},)


def rebuild(values: dict[str, Any]) -> Limits:
    """Return the limits with these values, for `copy` and `pickle`."""
    return Limits(**values)


def allowed(name: str) -> tuple[Any, int]:
    """Return the smallest and the largest value of a field, beside None."""
    return _RANGES.get(name, (0, UNBOUNDED))


def bound(value: int | None) -> int:
    """Return the number to compare with: `UNBOUNDED` for None."""
    return UNBOUNDED if value is None else value


#: Fields whose default depends on who takes the limits; None stands for that.
BY_ROLE: Final = ("initial_window_size", "connection_window", "max_unread_window")

#: What `with_windows` has made, by the ids of its arguments: (limits, usual, what was made). It
#: holds these objects, so that no others can have their ids. Connections mostly share few limits.
_completed: Final[dict[tuple[int, int], tuple[Limits, Limits, Limits]]] = {}
#: The dictionary is cleared when it has this many entries.
_MAX_COMPLETED: Final = 64


def with_windows(limits: Limits, usual: Limits) -> Limits:
    """Return `limits` with the windows of `usual` where it has none."""
    key = (id(limits), id(usual))
    known = _completed.get(key)
    if known is not None:
        return known[2]
    missing = {name: getattr(usual, name) for name in BY_ROLE if getattr(limits, name) is None}
    made = replace(limits, **missing) if missing else limits
    if len(_completed) >= _MAX_COMPLETED:
        _completed.clear()
    _completed[key] = (limits, usual, made)
    return made


def window(value: int | None) -> int:
    """Return a window in bytes: the protocol's first one for None."""
    return DEFAULT_WINDOW if value is None else value
