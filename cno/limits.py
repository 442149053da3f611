"""Every bound against what a peer can make us do: its default, its unit, its reason.

One frozen object, passed to a connection. `None` switches a bound off. The figures come from what
the well-known implementations hold (nghttp2, hyper, Go, nginx, Node.js, Envoy).
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from cno.const import MAX_MAX_FRAME_SIZE, MAX_U32, MAX_WINDOW, MIN_MAX_FRAME_SIZE

#: What `None` becomes inside: a number that nothing reaches.
UNBOUNDED: Final = 1 << 62

#: The types of fields that None is no value of, and the names of those that hold seconds or rates.
_PLAIN: Final = (bool, int, float)
_TIMES: Final = ("_timeout", "_interval", "_rate")
#: Seconds of the shortest wait: less is over before anything can come.
SHORTEST_WAIT: Final = 0.001
#: The least and the largest value of a field, where not everything from 0 on makes sense: what the
#: protocol allows, no wait at all for what has to come, or nothing ever received.
_RANGES: Final[dict[str, tuple[Any, int]]] = {
    "max_pending_handlers": (1, UNBOUNDED),
    "max_requests_per_connection": (1, UNBOUNDED),
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
    """Bounds of one connection. All counts are per connection unless said otherwise.

    `cno.aio.Server` and `Client` have larger windows by default than those given here. Raises
    ValueError for values that no bound can have, TypeError for what is no number. `repr` tells the
    bounds that are not as here.
    """

    # -- streams ----------------------------------------------------------------------------------
    #: Streams the peer may have open; advertised. Beyond: RST_STREAM(REFUSED_STREAM).
    max_concurrent_streams: int | None = 100
    #: Server: streams beyond that which are refused at no charge until the client has acknowledged
    #: our first SETTINGS, since it cannot know them sooner. Further ones are charged as below.
    max_early_streams: int | None = 10_000
    #: Server, asyncio: handlers that run. Beyond: requests wait until one returns. So many more may
    #: run of streams that were reset. Beyond: GOAWAY(ENHANCE_YOUR_CALM). And so many of pushes.
    #: Beyond: `push` does nothing. What stands here is four times `max_concurrent_streams`, and
    #: follows where that alone is made larger.
    max_pending_handlers: int | None = 400
    #: Server: requests, after which the connection ends gracefully (GOAWAY, Connection: close).
    max_requests_per_connection: int | None = None
    #: HTTP/1.1 requests received and not yet answered. Beyond: reading stops (WOULD_BLOCK).
    max_pipelined: int | None = 16
    #: Client: pushed streams promised or open. Beyond: RST_STREAM(REFUSED_STREAM).
    #: asyncio: also those that nobody has claimed by `Response.pushed`, even when complete; they
    #: hold a quarter of `connection_window` at most. Beyond: RST_STREAM(CANCEL).
    max_pushes: int | None = 100
    #: Ids of streams we reset, remembered so that frames already under way are ignored. When some
    #: have been forgotten, frames of all closed streams up to those are ignored, whoever closed
    #: them. What comes beyond that which can be under way is charged.
    max_reset_history: int = 128

    # -- header fields ----------------------------------------------------------------------------
    #: Sum of name + value + 32 octets per list (RFC 9113 6.5.2); advertised. Beyond: 431 from a
    #: server, RST_STREAM(ENHANCE_YOUR_CALM) from a client; 4 times beyond ends the connection.
    max_header_list_size: int | None = 65_536
    #: Fields per list, cookie crumbs counted (Chromium allows 180 cookies). Beyond: the same.
    max_header_fields: int | None = 256
    #: HTTP/2: octets of header lists (counted as above) of all open streams that the peer opened:
    #: a few octets can refer to many, and streams can be kept open. Beyond: new streams get
    #: RST_STREAM(REFUSED_STREAM), those whose trailers it is RST_STREAM(ENHANCE_YOUR_CALM). To be
    #: raised with max_concurrent_streams.
    max_header_bytes_per_connection: int | None = 1_048_576
    #: Octets of one compressed field block. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_header_block_size: int | None = 65_536
    #: CONTINUATION frames of one block; a second one without content is too many in any case.
    #: Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_continuation_frames: int | None = 8
    #: Octets of the dynamic table our decoder keeps; advertised. Beyond: GOAWAY(COMPRESSION_ERROR).
    header_table_size: int = 4_096
    #: Octets of the dynamic table our encoder keeps, whatever the peer allows.
    max_encoder_table_size: int = 4_096
    #: Client: 1xx responses before the final one, when they come faster than `informational_rate`.
    #: Beyond: RST_STREAM(ENHANCE_YOUR_CALM); in HTTP/1.1 the connection ends. asyncio: so many are
    #: kept for each response, the first ones.
    max_informational: int | None = 16
    informational_rate: float = 10.0

    # -- frames and windows -----------------------------------------------------------------------
    #: Octets of the largest frame payload we take; advertised. Beyond: GOAWAY(FRAME_SIZE_ERROR).
    max_frame_size: int = 16_384
    #: Octets of body a stream may send ahead of `consume`/`open_flow`; advertised. Beyond:
    #: RST_STREAM(FLOW_CONTROL_ERROR).
    initial_window_size: int = 65_535
    #: The same for all streams together; not below 65,535. Beyond: GOAWAY(FLOW_CONTROL_ERROR).
    #: Should be more than one stream's, or one that nobody reads keeps the others waiting.
    connection_window: int = 65_535
    #: asyncio: what the two may grow to while the application reads as fast as the network sends
    #: (bandwidth times delay, measured by PING). Never smaller than where they begin. All that
    #: streams grow by is at most half of what the connection may grow to.
    max_stream_window: int = 16_777_216
    max_connection_window: int = 33_554_432
    #: asyncio: octets by which the connection's window grows beyond that while octets that nobody
    #: reads take more than half of where it begins, so that other streams go on. From then on
    #: streams begin with a 256th of this, or 16,384. Beyond: all wait for the readers. 0: off.
    max_unread_window: int = 4_194_304
    #: Octets below which a small window makes us write no DATA frame: a peer that widens its window
    #: octet by octet would make us send nothing but headers of frames. `write_data` takes nothing
    #: then; it does if that is the rest of the body, all of the peer's INITIAL_WINDOW_SIZE, or for
    #: 16 frames and one more for each so many octets sent: a peer that means well may need what
    #: completes a message. 0: off.
    min_data_frame: int = 1_024
    #: Entries of one SETTINGS frame. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_settings_entries: int | None = 32
    #: Empty DATA frames. A DATA frame of 16 octets or more gives one back, a complete message all.
    #: Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_empty_frames: int | None = 100
    empty_frame_rate: float = 10.0
    #: With manual flow control: octets short of 256, summed over DATA frames received and not yet
    #: consumed, for these cost more to keep than their octets say; half the connection's window
    #: where that is more. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    small_frame_budget: int | None = 1_048_576
    #: Replies (acknowledgements, RST_STREAM) written while the transport takes no more, as told by
    #: `pause_writing` and `resume_writing`. Beyond: GOAWAY(ENHANCE_YOUR_CALM). asyncio stops
    #: reading in that case, so that few can come.
    max_queued_control_frames: int | None = 1_000

    # -- budgets: a bucket of so many, refilled at so many a second -------------------------------
    # Time needs a clock; without one (`raw.Connection` has none unless given) only useful traffic
    # refills them, which it does with a clock as well.
    #: Streams the peer reset before they were answered (rapid reset), pushes it took back. Where
    #: there is a clock, those that were open for half a second are not charged, but for 15 in that
    #: time at most. A stream that both sides complete gives one back. Beyond:
    #: GOAWAY(ENHANCE_YOUR_CALM).
    max_stream_resets: int | None = 1_000
    stream_reset_rate: float = 33.0
    #: RST_STREAMs that the peer's mistakes made us send, streams beyond `max_concurrent_streams`
    #: included, and header lists with no room that are eight times as large as on the wire. A
    #: stream that both sides complete gives one back. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    max_error_resets: int | None = 128
    error_reset_rate: float = 8.0
    #: Frames that move nothing forward: PING, PRIORITY, GOAWAY, unknown types, frames of streams
    #: that are closed, WINDOW_UPDATE beyond 10 for each DATA frame of ours and 2 for each stream;
    #: requests answered by 413 or 431, or refused for `max_header_bytes_per_connection`; SETTINGS
    #: count as 10. What can be under way for a stream that we gave up is free. A message received
    #: gives 8 back, a DATA frame either way 1. Beyond: GOAWAY(ENHANCE_YOUR_CALM).
    glitch_budget: int | None = 10_000
    glitch_rate: float = 330.0

    # -- HTTP/1.1 ---------------------------------------------------------------------------------
    #: Octets of a request line, status line, field line or chunk-size line. Beyond: 501 (a method),
    #: 414 (a target), 431 (a field) or 400.
    max_line_size: int | None = 16_384
    #: Octets of the chunk extensions of one body, beyond as many as the chunks before have of data.
    #: Beyond: 400.
    max_chunk_ext_size: int | None = 16_384
    #: Octets and fields of one trailer section. Beyond: 400.
    max_trailer_size: int | None = 16_384
    max_trailer_fields: int | None = 64
    #: Octets of one received message body, both protocols: the application's policy. Beyond: 413,
    #: or RST_STREAM(CANCEL).
    max_body_size: int | None = None

    # -- HTTP/1.1: what is let pass though it should not be sent; all off ------------------------
    #: Lines of a head may end with LF alone (RFC 9112 2.2): scripts and small devices write them.
    #: Never lines of a chunked body, where another reader might see another end.
    allow_bare_lf: bool = False
    #: Field lines of a head may go on behind a line break (RFC 9112 5.2), as old servers fold long
    #: ones; each break becomes a space. Never those that frame or route the message.
    allow_obs_fold: bool = False
    #: The same content-length may be there more than once (RFC 9110 8.6), as where both a program
    #: and the server in front of it add one. It is delivered once.
    allow_equal_content_lengths: bool = False
    #: Chunked bodies may have other transfer codings inside (RFC 9112 7.2: gzip, ...). They are
    #: delivered as they are, with a transfer-encoding field that names them; else 501.
    allow_transfer_codings: bool = False

    # -- asyncio: buffers -------------------------------------------------------------------------
    #: Octets, and frames, of input worked off in one turn of the event loop; the rest waits.
    read_chunk: int = 262_144
    read_frames: int = 2_000
    #: HTTP/1.1: octets of body received and not read, above which reading stops.
    read_buffer: int = 262_144
    #: Octets of a body nobody wants that are read and dropped. Beyond: no more is asked for, or in
    #: HTTP/1.1 the connection given up; as it is after `linger_timeout`, whatever has come.
    max_drained: int = 262_144
    #: Octets in the transport above which writers wait (more than 2^30 count as that); without
    #: TLS, and as long as it takes all at once, up to four times as much is written in a turn of
    #: the event loop. HTTP/1.1 hands a body that is given as a whole to the transport as a whole,
    #: up to 16 times as much, where the transport need not copy it (without TLS; uvloop, or asyncio
    #: from Python 3.12 on).
    write_buffer: int = 65_536
    #: HTTP/2: octets in the system's socket that are not on their way yet, above which the
    #: transport waits (TCP_NOTSENT_LOWAT): what is urgent waits behind no more. 0 counts as 1.
    #: None: any.
    max_unsent: int | None = 131_072
    #: Octets of replies written although the transport is full. Beyond: the connection is cut.
    max_write_backlog: int = 1_048_576

    # -- waits, in seconds; kept by the asyncio layer (the engine reads no clock) -----------------
    #: For the peer's preface and first SETTINGS, or first request. Client: also for a connection to
    #: be made, with TLS, through a proxy.
    handshake_timeout: float | None = 10.0
    #: For the acknowledgement of our SETTINGS: GOAWAY(SETTINGS_TIMEOUT).
    settings_timeout: float | None = 10.0
    #: For a whole message head, from its first octet: 408, or GOAWAY.
    header_timeout: float | None = 30.0
    #: Client: for the head of a response, or the next 1xx, once the request has been sent:
    #: RST_STREAM(CANCEL), or in HTTP/1.1 the end of the connection. To be raised for servers that
    #: hold an answer back for longer.
    response_timeout: float | None = 300.0
    #: For the next piece of a body, or the next push, that the application waits for: 408, or
    #: RST_STREAM(CANCEL).
    body_timeout: float | None = 30.0
    #: For the peer to take, by window or transport, any of what waits to be written (on Linux and
    #: macOS: to acknowledge it): RST_STREAM(CANCEL), or the end of the connection. While it does,
    #: no answer that may wait behind that is overdue, nor is the connection idle.
    #: For a server to allow any request at all.
    write_stall_timeout: float | None = 30.0
    #: Between PINGs on a connection from which nothing comes, and for the answer to one: close. (A
    #: client also sends one with the reset of a request after which nothing came; a pool uses
    #: another connection after 1 s.) For that to `ping()`: TimeoutError.
    ping_interval: float | None = None
    ping_timeout: float | None = 20.0
    #: Client: for 100 (Continue), before the body is sent without it.
    expect_timeout: float | None = 1.0
    #: With no stream open; before the first one, a second at least.
    keepalive_timeout: float | None = 60.0
    #: For open streams to finish once a shutdown has begun.
    shutdown_timeout: float | None = 30.0
    #: HTTP/1.1: for the answers to a client that has closed its sending side and may have gone.
    #: What is written by then has as long as `write_stall_timeout` says.
    half_closed_timeout: float = 1.0
    #: In which a peer that is still sending may read why the connection is closed; once more while
    #: it takes what is left to be written. A pool that is closed: for somebody to read any of a
    #: response; it is given up then.
    linger_timeout: float = 2.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                if each.type in _PLAIN:
                    raise TypeError(f"{each.name} cannot be switched off")
                continue
            # Compiled code has made it of this type by now, or refused it.
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
    """The least and the largest value that a field can have, beside None."""
    return _RANGES.get(name, (0, UNBOUNDED))


def bound(value: int | None) -> int:
    """The number to compare with: `UNBOUNDED` for None."""
    return UNBOUNDED if value is None else value
