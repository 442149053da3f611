"""What only HTTP/1.1 has to remember about a connection. A leaf: knows no connection.

Streams are named by their ids (1, 3, 5, ... in order of requests); 0 stands for none.
"""

from typing import Final

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
from cno.limits import UNBOUNDED, Limits, bound

# What comes next in a chunked body.
SIZE: Final = 0
DATA: Final = 1
DATA_CR: Final = 2
DATA_LF: Final = 3
TRAILERS: Final = 4

# How the message being written is framed.
LENGTH: Final = 0  # by Stream.write_left
CHUNKED: Final = 1
UNTIL_CLOSE: Final = 2
UNDECIDED: Final = 3  # a CONNECT that has not been answered: nothing may be written


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
        self.allowances: i64 = 0  # what heads are let pass, of `lenient`

        # -- the message being received ------------------------------------------------------------
        self.head: Head | None = None  # begun: a head, or a trailer section
        self.empty_lines: i64 = 0  # empty lines before it
        self.line_incomplete = False  # a line was cut short ...
        self.line_room: i64 = 0  # ... and may have so many more octets
        self.reading_id: i64 = 0  # whose body is being received, or whose tunnel this is
        self.body_received: i64 = 0  # octets of that body so far
        self.chunk_phase: i64 = SIZE
        self.chunk_left: i64 = 0  # octets of the chunk still to come
        self.ext_size: i64 = 0  # octets of chunk extensions so far
        self.expecting_id: i64 = 0  # waits for 100 (Continue) before it sends its body

        # -- the order of messages -----------------------------------------------------------------
        self.next_id: i64 = 1  # whose response is written (server) or received (client) next
        self.last_id: i64 = 0  # whose response is the last of this connection
        self.no_more_messages = False  # no message is begun any more
        self.http10_ids: dict[int, bool] = {}  # requests of HTTP/1.0 peers
        # Streams whose turn something waits for; True: the application was told to wait.
        self.waiting_ids: dict[int, bool] = {}
        self.queued_continue = b""  # the 100 for `expecting`, until it is that stream's turn
        self.upgrade_pending: i64 = 0  # asks for an upgrade or a tunnel, undecided
        self.upgrade_fired = False  # on_upgrade has been fired for it
        self.tunnel_id: i64 = 0
        self.deferred_status: i64 = 0  # status that answers a faulty request when its turn has come

        # -- the message being written -------------------------------------------------------------
        self.framing: i64 = LENGTH
        self.sending_id: i64 = 0  # client: whose request is not complete
        self.unsafe_id: i64 = 0  # client: outstanding, and nothing may be pipelined behind it
        self.peer_is_http10 = False  # client: the server speaks HTTP/1.0

        # -- h2c: the request that HTTP/2 goes on with ---------------------------------------------
        self.upgraded: tuple[str, str, list[tuple[str, str]]] | None = None
        self.upgrade_settings = b""  # payload of the peer's SETTINGS
        self.offered: list[str] | None = None  # protocols named in Upgrade, lower-case
        self.offered_h2c = False  # ... and that was our doing

        # -- what consecutive requests have in common ----------------------------------------------
        self.line_cache: HeaderLineCache | None = None
        self.host: str | None = None  # a valid Host, and the pair it becomes
        self.host_pair: object = None
        self.scheme = ""
        self.scheme_pair: object = None

    def configure(self, limits: Limits) -> None:
        """Take the bounds from `limits`."""
        line = bound(limits.max_line_size)
        # A line is name ":" SP value; the list counts name + value + 32.
        self.bounds = Bounds(
            line, bound(limits.max_header_list_size), bound(limits.max_header_fields), 30, 431
        )
        self.trailer_bounds = Bounds(
            line, bound(limits.max_trailer_size), bound(limits.max_trailer_fields), 2, 400
        )
        self.max_pipelined = bound(limits.max_pipelined)
        # A stream's id: there are no more after MAX_STREAM_ID, which 2^30 requests reach.
        self.last_allowed: i64 = min(
            2 * bound(limits.max_requests_per_connection) - 1, MAX_STREAM_ID
        )
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
