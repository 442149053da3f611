"""The state of a connection that only HTTP/2 has. A leaf: knows no connection."""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.budget import Bucket
from cno.const import DEFAULT_WINDOW, MAX_STREAM_ID
from cno.h2.field_rules import rules
from cno.hpack import Decoder, Encoder
from cno.limits import UNBOUNDED, Limits, bound, window
from cno.priority import Priority
from cno.settings import Settings

#: Most runs of skipped stream ids that are stored.
MAX_SKIPPED: Final = 32
#: DATA frames that a small window cuts are paid for by bytes sent, `Limits.min_data_frame` each.
#: Some are paid in advance, in bytes: an honest peer may need the bytes that end a message.
SMALL_SENT: Final = 16_384
#: DATA frames that a window cuts below this size, in bytes, pay for no WINDOW_UPDATE.
SMALL_WINDOW: Final = 64
#: Smallest usual size, in bytes, of DATA frames that arrive for a stream we have given up.
LATE_FRAME: Final = 4_096
#: Most late frames to expect. A peer cannot abuse them: each costs it a stream.
MAX_LATE: Final = 1_000_000


# Placeholders for empty containers, which many connections never need. Not to be modified.
NO_BYTES: Final = bytearray()
NO_IDS: Final[dict[int, bool]] = {}
NO_RUNS: Final[list[tuple[int, int]]] = []
NO_PRIORITIES: Final[dict[int, Priority]] = {}
NO_SETTINGS: Final[list[Settings]] = []


@mypyc_attr(acyclic=True)
class Budgets:
    """Budgets and counts of the peer, and their bounds."""

    def __init__(self, limits: Limits) -> None:
        # -- what useful traffic, and time, pay back ----------------------------------------------
        self.resets = Bucket(bound(limits.max_stream_resets), limits.stream_reset_rate)
        self.errors = Bucket(bound(limits.max_error_resets), limits.error_reset_rate)
        self.glitches = Bucket(bound(limits.glitch_budget), limits.glitch_rate)
        self.empty = Bucket(bound(limits.max_empty_frames), limits.empty_frame_rate)
        self.free_updates: i64 = 16  # WINDOW_UPDATEs that cost nothing
        self.requests_left: i64 = bound(limits.max_requests_per_connection)

        # -- what is no abuse: the peer cannot know better yet ------------------------------------
        # Streams beyond our limit that may be refused without charge; 0 after the peer has
        # acknowledged our first SETTINGS. And the highest id among them.
        self.early_left: i64 = bound(limits.max_early_streams)
        self.early_last: i64 = 0
        self.late_left: i64 = 0  # frames that may still arrive for streams that we gave up
        # All streams up to `lived_last` have been open for LIVED seconds. Those up to `young_last`
        # were open at `young_at`, those up to `old_last` at `old_at`. Streams between these two
        # have been observed since `young_since`.
        self.lived_last: i64 = 0
        self.old_last: i64 = 0
        self.old_at = -1.0
        self.young_last: i64 = 0
        self.young_at = -1.0
        self.young_since = -1.0

        # -- of one field block -------------------------------------------------------------------
        self.block_frames_most: i64 = bound(limits.max_continuation_frames)
        self.block_most: i64 = bound(limits.max_header_block_size)

        # -- what is held, until it is read or ends -----------------------------------------------
        self.small_used: i64 = 0  # of small DATA frames with unread bytes
        self.small_most: i64 = bound(limits.small_frame_budget)
        self.header_bytes: i64 = 0  # of the header lists of streams that the peer opened
        self.header_most: i64 = bound(limits.max_header_bytes_per_connection)
        self.replies: i64 = 0  # replies written while the transport is full
        self.replies_most: i64 = bound(limits.max_queued_control_frames)

        # -- DATA frames of ours that a small window would cut ------------------------------------
        self.min_sent: i64 = limits.min_data_frame
        self.small_sent_left: i64 = SMALL_SENT


@mypyc_attr(acyclic=True)
class Http2(Budgets):
    """Frame, window and settings state of an HTTP/2 connection."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.decoder = Decoder(
            max_list_size=limits.max_header_list_size,
            max_fields=limits.max_header_fields,
            examiner=rules(limits),
        )
        self.encoder = Encoder(limits.max_encoder_table_size)
        self.preface: i64 = 0  # bytes of the connection preface received

        # -- our settings: announced, and in force once the peer has acknowledged them ------------
        self.acked = Settings()
        self.unacked = NO_SETTINGS

        # -- the connection's windows, bytes ------------------------------------------------------
        self.send_window: i64 = DEFAULT_WINDOW
        self.recv_window: i64 = DEFAULT_WINDOW
        self.recv_credit: i64 = 0  # bytes returned, not yet announced to the peer
        self.recv_size: i64 = max(DEFAULT_WINDOW, window(limits.connection_window))
        self.wider: i64 = 0  # bytes by which `widen` has enlarged the windows of all open streams
        #: Not below any stream's relative send window: most SETTINGS are checked in O(1) with it.
        self.send_window_top: i64 = 0

        # -- a DATA frame that has begun ----------------------------------------------------------
        self.data_stream: i64 = 0
        self.data_left: i64 = 0  # bytes of content still to come
        self.pad_left: i64 = 0
        self.data_flags: i64 = 0
        self.data_seen = NO_BYTES  # payload so far, for on_frame

        # -- frames begun (DATA) or received whole (others); at which count to stop for a while ---
        self.frames: i64 = 0
        self.pause_at: i64 = UNBOUNDED

        # -- a field block that has begun ---------------------------------------------------------
        self.block = NO_BYTES
        self.block_stream: i64 = 0
        self.block_flags: i64 = 0
        self.block_promised: i64 = 0  # PUSH_PROMISE: the promised id
        self.block_frames: i64 = 0  # CONTINUATION frames so far
        self.block_empty: i64 = 0  # fragments without content

        # -- streams of the past ------------------------------------------------------------------
        self.reset_ids = NO_IDS  # streams that we reset, oldest first
        self.forgotten: i64 = 0  # highest id that was removed from these
        self.skipped = NO_RUNS  # runs of ids never opened: first, last
        self.max_reset_ids: i64 = limits.max_reset_history

        # -- priorities (RFC 9218) ----------------------------------------------------------------
        self.priorities = NO_PRIORITIES  # by PRIORITY_UPDATE, also of future streams
        self.priority_updates: i64 = 0

        # -- GOAWAY -------------------------------------------------------------------------------
        self.goaway_sent: i64 = -1  # last id in our GOAWAY; -1: none sent
        self.goaway_received: i64 = MAX_STREAM_ID + 1  # last id in the peer's GOAWAY
        self.goaway_code: i64 = 0  # error code of the peer's GOAWAY; 0: no error, or no GOAWAY
        self.delivered: i64 = 0  # highest id of the peer that the application has seen
        self.goaway_ping = False  # a PING of our graceful shutdown is unanswered
        self.pings: i64 = 0  # PINGs of the application without a response
        self.probing = False  # a PING of `probe` is unanswered


def remember_reset(h2: Http2, stream: i64) -> None:
    """Store the id of a stream that we reset, so that frames in flight are ignored."""
    # > An endpoint that sends a RST_STREAM frame on a stream that is in the "open" or "half-closed
    # > (local)" state could receive any type of frame. ... An endpoint MUST minimally process and
    # > then discard any frames it receives in this state.   (RFC 9113 5.1)
    if len(h2.reset_ids) >= h2.max_reset_ids:
        for oldest in h2.reset_ids:
            h2.forgotten = max(h2.forgotten, oldest)
            del h2.reset_ids[oldest]
            break
    if h2.reset_ids is NO_IDS:
        h2.reset_ids = {}
    h2.reset_ids[stream] = True


def expect_late(h2: Http2, window: i64) -> None:
    """Expect frames in flight for a stream that we gave up, with at most `window` bytes of data."""
    h2.late_left += 2 + max(window, 0) // LATE_FRAME
    if h2.late_left > MAX_LATE:
        h2.late_left = MAX_LATE


def remember_skipped(h2: Http2, last: i64, opened: i64) -> None:
    """Store the ids between the last stream and the one just opened, which were never used."""
    if opened > last + 2:
        if not h2.skipped:
            h2.skipped = []
        elif len(h2.skipped) >= MAX_SKIPPED:
            del h2.skipped[0]
        h2.skipped.append((last + 1, opened - 1))


def was_skipped(h2: Http2, stream: i64) -> bool:
    """Whether a stream id below the highest was never opened, as far as is known."""
    for first, last in h2.skipped:
        if first <= stream <= last:
            return True
    return False
