"""A look at a connection: `connection.stats()`.

Reads the parts of a connection, and changes none.
"""

from typing import Any

from cno.aio.connection.lifecycle import PHASES
from cno.aio.connection.state import Link
from cno.budget import Bucket
from cno.const import MAX_STREAM_ID
from cno.engine import Engine
from cno.limits import UNBOUNDED
from cno.stats import ConnectionStats


def stats_of(conn: Link) -> ConnectionStats:
    """Return the state of a connection, and its counts if there are any."""
    h2 = conn._h2 if conn._http2 and hasattr(conn, "transport") else None
    why = conn._life.timed_out or conn._end_reason
    transport: Any = getattr(conn, "transport", None)
    queue = conn._send_queue
    goaway = h2 is not None and h2.goaway_received <= MAX_STREAM_ID
    found = ConnectionStats(
        number=conn._number,
        is_server=conn._server,
        is_http2=conn._http2,
        phase=PHASES[conn._life.phase],
        streams_open=len(conn._exchanges),
        streams_by_peer=(int(conn._last_remote) + 1) // 2,
        streams_by_us=(int(conn._last_local) + 1) // 2,
        round_trip=conn._window.rtt or None,
        send_window=None if h2 is None else int(h2.send_window),
        receive_window=None if h2 is None else int(h2.recv_window),
        written=int(conn._transport_state.written),
        unsent=0 if transport is None else transport.get_write_buffer_size(),
        blocked_streams=0 if queue is None else len(queue.pending),
        goaway_code=int(h2.goaway_code) if goaway and h2 is not None else None,
        limit_hit="" if why is None else why.limit,
        limits_near={} if h2 is None else near(conn),
        **counted(getattr(conn, "tap", None)),
    )
    return found


def counted(tap: Any) -> dict[str, Any]:
    """Return the fields of the stats that a tap counts; none if it does not count."""
    for each in getattr(tap, "taps", [tap]):
        if hasattr(each, "counts_sent"):
            sent, received = each.counts_sent, each.counts_received
            return {
                "octets_sent": sent.octets,
                "octets_received": received.octets,
                "frames_sent": sent.frames_by_type(),
                "frames_received": received.frames_by_type(),
                "resets_sent": sent.resets_by_code(),
                "resets_received": received.resets_by_code(),
            }
    return {}


def near(conn: Engine) -> dict[str, float]:
    """Return the spent share of each budget against abuse."""
    h2 = conn._h2
    found: dict[str, float] = {}
    spend(found, "max_stream_resets", h2.resets)
    spend(found, "max_error_resets", h2.errors)
    spend(found, "glitch_budget", h2.glitches)
    spend(found, "max_empty_frames", h2.empty)
    return found


def spend(found: dict[str, float], name: str, bucket: Bucket) -> None:
    """Add the spent share of a budget, if it has a bound and something is spent."""
    if 0 < bucket.size < UNBOUNDED and bucket.left < bucket.size:
        found[name] = float(bucket.size - bucket.left) / float(bucket.size)
