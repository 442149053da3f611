"""HTTP/2's rules about streams: who opens an id, whether it is idle or closed, what faults cost.

The only place where stream errors are answered and charged, and useless frames are charged.
"""

from typing import Final

from mypy_extensions import i64

from cno.const import (
    CNO_LOCAL,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_PROTOCOL_ERROR,
    CNO_RST_STREAM_CLOSED,
)
from cno.core import CLOSED, DONE, Core, Stream
from cno.errors import ConnectionFault, Reason, StreamFault
from cno.h2 import frame_writer
from cno.h2.state import Http2, remember_reset
from cno.streams import end, lookup

#: A stream that is reset after this time, in seconds, is no rapid reset. (After twice the time for
#: some streams: only two points in time are stored.)
LIVED: Final = 0.25
#: Read the clock once for this many ids: for every 16th request, and for each reset.
OBSERVED: Final = 32


def glitch(core: Core, weight: i64) -> None:
    """Charge a frame without use."""
    if not core._h2.glitches.spend(weight, core._clock):
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "too many frames without use",
            "RFC 9113 10.5",
            "glitch_budget",
        )


def late(core: Core) -> None:
    """Charge a frame of a stream that we gave up, beyond those that can be in flight."""
    h2 = core._h2
    if h2.late_left > 0:
        h2.late_left -= 1
    else:
        glitch(core, 1)


def reply(core: Core) -> None:
    """Count a reply to the peer that is written while the transport is full."""
    if core._transport_full:
        core._h2.replies += 1
        if core._h2.replies > core._h2.replies_most:
            raise ConnectionFault(
                CNO_RST_ENHANCE_YOUR_CALM,
                "too many replies that are not read",
                "RFC 9113 10.5",
                "max_queued_control_frames",
            )


def charge_error(core: Core) -> None:
    """Charge a RST_STREAM or a refusal that a fault of the peer causes."""
    reply(core)
    if not core._h2.errors.spend(1, core._clock):
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "too many streams in error",
            "RFC 9113 10.5",
            "max_error_resets",
        )


def charge_reset(core: Core, id: i64) -> None:
    """Charge a request or push that the peer took back before it was answered (rapid reset)."""
    if core._clock is not None and _has_lived(core._h2, id, core._last_remote, core._clock()):
        # Not rapid: a peer that gives up slow requests does so at most `max_concurrent_streams`
        # times in this period.
        return
    if not core._h2.resets.spend(1, core._clock):
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "too many requests reset",
            "RFC 9113 10.5",
            "max_stream_resets",
        )


def observe(h2: Http2, last: i64, now: float) -> None:
    """Record that the peer has opened all its streams up to `last` by now."""
    if now - h2.young_since >= LIVED:
        h2.old_last = h2.young_last
        h2.old_at = h2.young_at
        h2.young_since = now
    h2.young_last = last
    h2.young_at = now


def _has_lived(h2: Http2, id: i64, last: i64, now: float) -> bool:
    """Whether this stream has been open for LIVED seconds, as far as is known."""
    if now - h2.young_at >= LIVED:
        h2.lived_last = h2.young_last
    elif now - h2.old_at >= LIVED:
        h2.lived_last = h2.old_last
    observe(h2, last, now)
    return id <= h2.lived_last


def stream_error(core: Core, fault: StreamFault) -> None:
    """Answer a fault that concerns one stream. There is no other place for this."""
    id = fault.stream
    if is_idle(core, id):
        # > PRIORITY can be received in any state; anything else on an idle stream MUST be treated
        # > as a connection error.   (RFC 9113 5.1)
        raise ConnectionFault(fault.code, fault.text, fault.rule, fault.limit)
    charge_error(core)
    remember_reset(core._h2, id)
    frame_writer.rst_stream(core, id, fault.code)
    stream = lookup(core, id)
    if stream is not None:
        core._end_reason = Reason(fault.text, fault.rule, fault.limit)
        try:
            end(core, stream, fault.code, CNO_LOCAL)
        finally:
            if core._state != CLOSED:
                core._end_reason = None


def is_ours(core: Core, id: i64) -> bool:
    """Whether we open streams with this id."""
    return (id & 1 == 0) == core._server


def is_idle(core: Core, id: i64) -> bool:
    """Whether neither this stream nor a later one of its side has been opened."""
    return id > (core._last_local if is_ours(core, id) else core._last_remote)


def is_reserved(stream: Stream) -> bool:
    """Whether a stream has been promised and its response has not begun."""
    return not stream.counted


def _reserved(what: str) -> ConnectionFault:
    # > reserved (local): Receiving any type of frame other than RST_STREAM, PRIORITY, or
    # > WINDOW_UPDATE on a stream in this state MUST be treated as a connection error of type
    # > PROTOCOL_ERROR. (remote: ... other than HEADERS, RST_STREAM, or PRIORITY.)  (RFC 9113 5.1)
    return ConnectionFault(CNO_RST_PROTOCOL_ERROR, f"{what} on a reserved stream", "RFC 9113 5.1")


def check_reserved(stream: Stream, what: str) -> None:
    """Raise ConnectionFault for a frame that cannot come on a promised stream."""
    if not stream.local and is_reserved(stream):
        raise _reserved(what)


def beyond_goaway(core: Core, id: i64) -> bool:
    """Whether our GOAWAY excludes this stream of the peer."""
    # > After sending a GOAWAY frame, the sender can discard frames for streams initiated by the
    # > receiver with identifiers higher than the identified last stream.   (RFC 9113 6.8)
    sent = core._h2.goaway_sent
    return sent >= 0 and id > sent and not is_ours(core, id)


def was_reset(core: Core, id: i64) -> bool:
    """Whether we have reset a closed stream, or may have.

    If we give up many streams by choice, frames in flight must not count as faults of the peer.
    """
    h2 = core._h2
    return id in h2.reset_ids or id <= h2.forgotten or id <= h2.early_last


def find(core: Core, id: i64, what: str) -> Stream | None:
    """Return the stream of DATA or HEADERS; None if they are to be ignored.

    Raises for streams that are idle, or closed otherwise than by our own RST_STREAM.
    """
    stream = lookup(core, id)
    if stream is not None:
        # > half-closed (remote): If an endpoint receives additional frames, other than
        # > WINDOW_UPDATE, PRIORITY, or RST_STREAM, for a stream that is in this state, it MUST
        # > respond with a stream error (Section 5.4.2) of type STREAM_CLOSED.   (RFC 9113 5.1)
        if stream.read == DONE:
            if is_reserved(stream):
                raise _reserved(what)
            raise StreamFault(id, CNO_RST_STREAM_CLOSED, f"{what} after END_STREAM", "RFC 9113 5.1")
        return stream
    if beyond_goaway(core, id):
        glitch(core, 1)
        return None
    if is_idle(core, id):
        raise ConnectionFault(CNO_RST_PROTOCOL_ERROR, f"{what} on an idle stream", "RFC 9113 5.1")
    if was_reset(core, id):
        late(core)
        return None
    if what == "HEADERS":
        # > An endpoint MAY treat receipt of any other type of frame on a closed stream as a
        # > connection error (Section 5.4.1) of type STREAM_CLOSED   (RFC 9113 5.1)
        # No frame in flight looks like this: the peer has ended or reset the stream.
        raise ConnectionFault(
            CNO_RST_STREAM_CLOSED, f"HEADERS on closed stream {id}", "RFC 9113 5.1"
        )
    raise StreamFault(id, CNO_RST_STREAM_CLOSED, f"{what} on a closed stream", "RFC 9113 5.1")
