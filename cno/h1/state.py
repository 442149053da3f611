"""The state of a connection that only HTTP/1.1 has. A leaf: knows no connection.

Streams are named by their ids (1, 3, 5, ... in the order of requests); 0 means none.
"""

from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.const import MAX_CONTENT_LENGTH, MAX_STREAM_ID
from cno.h1.head import Bounds, Head, HeaderLineCache
from cno.h1.lenient import (
    ANY_AUTHORITY,
    BARE_LF,
    CODINGS,
    EQUAL_LENGTHS,
    OBS_FOLD,
    RAW_TARGETS,
)
from cno.h1.sent import SentFields
from cno.limits import UNBOUNDED, Limits, bound

# The next part of a chunked body.
SIZE: Final = 0
DATA: Final = 1
DATA_CR: Final = 2
DATA_LF: Final = 3
TRAILERS: Final = 4

# How the message that is being written is framed.
LENGTH: Final = 0  # by Stream.write_left
CHUNKED: Final = 1
UNTIL_CLOSE: Final = 2
UNDECIDED: Final = 3  # a CONNECT without a response: no data may be written


@mypyc_attr(acyclic=True)
class Http1:
    """Parsing and ordering state of an HTTP/1.1 connection."""

    def __init__(self) -> None:
        # -- bounds, from Limits, when the first octet comes ---------------------------------------
        self.ready = False
        self.bounds: Bounds = NO_BOUNDS
        self.trailer_bounds: Bounds = NO_BOUNDS
        self.max_pipelined: i64 = UNBOUNDED
        self.max_body: i64 = MAX_CONTENT_LENGTH
        self.max_ext_size: i64 = UNBOUNDED
        self.allowances: i64 = 0  # bits of `lenient` and `parse`, for heads

        # -- the message being received ------------------------------------------------------------
        self.head: Head | None = None  # a head or a trailer section, partly received
        self.empty_lines: i64 = 0  # before that head
        self.line_incomplete = False  # a line has been received in part
        self.line_room: i64 = 0  # bytes that may follow before the line is too long
        self.reading_id: i64 = 0  # stream of the body or tunnel that is being received
        self.body_received: i64 = 0  # bytes of that body so far
        self.chunk_phase: i64 = SIZE
        self.chunk_left: i64 = 0  # bytes of the chunk still to come
        self.ext_size: i64 = 0  # bytes of chunk extensions so far, less what data has paid for
        self.expecting_id: i64 = 0  # stream whose client waits for 100 (Continue)

        # -- the order of messages -----------------------------------------------------------------
        self.next_id: i64 = 1  # stream whose response is written (server) or received (client) next
        self.last_id: i64 = 0  # stream of the last response on this connection
        self.no_more_messages = False  # no message may begin
        self.http10_ids: dict[int, bool] = {}  # streams of HTTP/1.0 requests
        # Streams whose message must wait for another. True: on_flow_increase reports the end of the
        # wait.
        self.waiting_ids: dict[int, bool] = {}
        self.queued_continue = b""  # 100 for `expecting_id`, until earlier responses are complete
        self.upgrade_pending: i64 = 0  # stream that asks for an upgrade or a tunnel, undecided
        self.upgrade_fired = False  # on_upgrade has been fired for it
        self.tunnel_id: i64 = 0
        self.deferred_status: i64 = 0  # status for a faulty request, sent after earlier responses

        # -- the message being written -------------------------------------------------------------
        self.framing: i64 = LENGTH
        self.sending_id: i64 = 0  # client: stream of an incomplete request
        self.unsafe_id: i64 = 0  # client: stream of a request after which none may be pipelined
        self.peer_is_http10 = False  # client: the server speaks HTTP/1.0

        # -- h2c: the request that HTTP/2 goes on with ---------------------------------------------
        self.upgraded: tuple[str, str, list[tuple[str, str]]] | None = None
        self.upgrade_settings = b""  # payload of the peer's SETTINGS
        self.offered: list[str] | None = None  # protocols in our Upgrade field, in lower case
        self.offered_h2c = False  # the engine added that field

        # -- what consecutive requests have in common ----------------------------------------------
        self.line_cache: HeaderLineCache | None = None
        self.host: str | None = None  # a valid Host, and the pair it becomes
        self.host_pair: object = None
        self.sent: SentFields | None = None  # of responses
        self.scheme_pair: Any = (":scheme", "")

    def configure(self, limits: Limits) -> None:
        """Copy the bounds from `limits`."""
        line = bound(limits.max_line_size)
        # A line is name ":" SP value. The size of the list counts name + value + 32.
        self.bounds = Bounds(
            line, bound(limits.max_header_list_size), bound(limits.max_header_fields), 30, 431
        )
        self.trailer_bounds = Bounds(
            line, bound(limits.max_trailer_size), bound(limits.max_trailer_fields), 2, 400
        )
        self.max_pipelined = bound(limits.max_pipelined)
        # The id of a stream. None follows MAX_STREAM_ID, which 2^30 requests reach.
        # In i64: multiplying large `int`s runs signal handlers, and compiled code aborts the
        # process if one raises there.
        requests: i64 = min(bound(limits.max_requests_per_connection), MAX_STREAM_ID)
        self.last_allowed: i64 = min(2 * requests - 1, MAX_STREAM_ID)
        size = limits.max_body_size
        self.max_body = MAX_CONTENT_LENGTH if size is None else size
        self.max_ext_size = bound(limits.max_chunk_ext_size)
        self.allowances = (
            (BARE_LF if limits.allow_bare_lf else 0)
            | (OBS_FOLD if limits.allow_obs_fold else 0)
            | (EQUAL_LENGTHS if limits.allow_equal_content_lengths else 0)
            | (CODINGS if limits.allow_transfer_codings else 0)
            | (RAW_TARGETS if limits.allow_raw_targets else 0)
            | (ANY_AUTHORITY if limits.allow_any_authority else 0)
        )
        self.ready = True


NO_BOUNDS: Final = Bounds(UNBOUNDED, UNBOUNDED, UNBOUNDED, 0, 400)
