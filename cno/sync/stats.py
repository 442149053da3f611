"""A look at a connection: `client.stats()`, `pool.stats()`.

Reads the parts of a connection, and changes none.
"""

from cno.aio.connection.stats import counted, near
from cno.const import MAX_STREAM_ID
from cno.stats import ConnectionStats
from cno.sync.connection_io import begin
from cno.sync.state import Guard, Link


def stats_of(guard: Guard) -> list[ConnectionStats]:
    """Return the state of each open connection. Called without the lock."""
    guard.check()
    with guard.lock:
        begin(guard)
        found = [link_stats(link) for link in guard.links]
        guard.inside = False
    return found


def link_stats(link: Link) -> ConnectionStats:
    """Return the state of a connection, and its counts if there are any. Called with the lock."""
    h2 = link._h2 if link._http2 else None
    why = link.ending.timed_out or link._end_reason
    unsent = link.send_buffer.size
    for piece in link.send_buffer.encrypted:
        unsent += len(piece)
    goaway = h2 is not None and h2.goaway_received <= MAX_STREAM_ID
    return ConnectionStats(
        number=link.number,
        is_server=False,
        is_http2=link._http2,
        phase=phase_of(link),
        streams_open=len(link.exchanges),
        streams_by_peer=int(link._last_remote) // 2,
        streams_by_us=(int(link._last_local) + 1) // 2,
        round_trip=link.transport.round_trip or None,
        send_window=None if h2 is None else int(h2.send_window),
        receive_window=None if h2 is None else int(h2.recv_window),
        written=int(link.transport.written),
        unsent=int(unsent),
        blocked_streams=len(link.parked_writers),
        goaway_code=int(h2.goaway_code) if goaway and h2 is not None else None,
        limit_hit="" if why is None else why.limit,
        limits_near={} if h2 is None else near(link),
        **counted(link.transport.tap),
    )


def phase_of(link: Link) -> str:
    """Return the phase of a connection's life (docs/lifecycle.md)."""
    if link.is_lost:
        return "CLOSED"
    if link.is_closing:
        return "FLUSHING"
    told = link._http2 and link._h2.goaway_received <= MAX_STREAM_ID
    return "DRAINING" if told or link._draining else "OPEN"
