"""Flow control (RFC 9113 section 5.2, 6.9): what may be received and sent, and WINDOW_UPDATE.

Windows of streams are relative to INITIAL_WINDOW_SIZE, so that a change of it costs nothing per
stream. Consumed bytes become credit. Credit is announced when it is half a window, or earlier if
unread bytes fill most of the rest.
"""

from typing import Final

from mypy_extensions import i64

from cno.const import (
    CNO_FRAME_WINDOW_UPDATE,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_FLOW_CONTROL_ERROR,
    CNO_RST_PROTOCOL_ERROR,
    MAX_WINDOW,
)
from cno.core import DONE, ON_FLOW_INCREASE, Core, Stream
from cno.errors import ConnectionFault, StreamFault, UsageError
from cno.h2.frame_writer import write_u32_frame
from cno.streams import lookup

_RULE = "RFC 9113 6.9.1"
#: DATA frames with fewer bytes cost the receiver more than their content.
SMALL_FRAME: Final = 256
#: Senders like ours do not use a smaller window, in bytes (`Limits.min_data_frame`).
LEAST_WINDOW: Final = 1_024


def charge_connection(core: Core, size: i64) -> None:
    """Charge a DATA frame of `size` bytes, padding included, to the connection's window."""
    # > The entire DATA frame payload is included in flow control, including the Pad Length and
    # > Padding fields if present.   (RFC 9113 6.1)
    h2 = core._h2
    if size > h2.recv_window:
        raise ConnectionFault(
            CNO_RST_FLOW_CONTROL_ERROR, "DATA exceeds the connection's window", _RULE
        )
    h2.recv_window -= size


def charge_stream(core: Core, stream: Stream, size: i64) -> None:
    """Charge a DATA frame to the window of its stream."""
    if size > core._h2.acked._initial_window_size + stream.recv_window:
        raise StreamFault(
            stream.id, CNO_RST_FLOW_CONTROL_ERROR, "DATA exceeds the stream's window", _RULE
        )
    stream.recv_window -= size


def discard(core: Core, size: i64) -> None:
    """Return bytes that nobody will read to the connection's window."""
    core._h2.recv_credit += size


def charge_small(core: Core, stream: Stream, size: i64) -> None:
    """Charge a small DATA frame of `size` bytes, which will wait for its reader."""
    h2 = core._h2
    short = SMALL_FRAME - size
    stream.small += short
    h2.small_used += short
    # The window pays for small frames up to half of it.
    if h2.small_used > h2.small_most and h2.small_used * 2 > h2.recv_size:
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "too many small DATA frames unread",
            "RFC 9113 10.5",
            "small_frame_budget",
        )


def read(core: Core, stream: Stream, size: i64) -> None:
    """Record that the application has read `size` unread bytes of a stream."""
    unread = stream.unread
    stream.unread = unread - size
    if stream.small != 0:
        # Spread the cost of the frames over their bytes.
        paid = stream.small if size == unread else stream.small * size // unread
        stream.small -= paid
        core._h2.small_used -= paid


def forget(core: Core, id: i64, size: i64) -> None:
    """Return unread bytes to the connection's window, not to the stream's."""
    stream = lookup(core, id)
    if stream is None:
        return
    returned = min(size, stream.unread)
    if returned > 0:
        read(core, stream, returned)
        core._h2.recv_credit += returned


def consume(core: Core, stream: Stream, size: i64) -> None:
    """Return `size` bytes, which the application has processed, to both windows."""
    core._h2.recv_credit += size
    if stream.read == DONE:
        return
    stream.credit += size
    announce(core, stream)


def _is_due(credit: i64, window: i64, size: i64, least: i64) -> bool:
    """Whether a peer needs this credit to continue.

    `window` is what it may send without the credit, `size` the whole window. Half a window is
    always enough. If unread bytes fill the rest, there may never be half a window. Then credit is
    due as soon as it is not less than `window` while that is below an eighth of `size`; or as soon
    as `window` is too small for a sender, and both together have `least` bytes.
    """
    if credit * 2 >= size:
        return True
    if window < LEAST_WINDOW:
        return credit + window >= least
    return window * 8 < size and credit >= window


def announce(core: Core, stream: Stream) -> None:
    """Announce a stream's credit, if it is due."""
    size = core._h2.acked._initial_window_size + stream.wider
    window = core._h2.acked._initial_window_size + stream.recv_window
    # A slow reader frees credit in pieces of at least a 16th, so that the peer sends no smaller.
    if _is_due(stream.credit, window, size, max(LEAST_WINDOW, size >> 4)):
        _update(core, stream)


def _update(core: Core, stream: Stream) -> None:
    """Announce a stream's credit."""
    # Our latest settings reach the peer before this frame. (The credit is limited because
    # `open_flow` may have widened the window while unread bytes were still to be returned.)
    room = MAX_WINDOW - core._local._initial_window_size - stream.recv_window
    credit = min(stream.credit, room)
    if credit > 0:
        stream.credit -= credit
        stream.recv_window += credit
        write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, stream.id, credit)


def remind(core: Core) -> None:
    """Announce all credit of windows that are half used, as a sign of life to the peer."""
    h2 = core._h2
    size = h2.acked._initial_window_size
    for stream in core._streams.values():
        if stream.credit != 0 and stream.read != DONE:
            if (size + stream.recv_window) * 2 < size + stream.wider:
                _update(core, stream)
    if h2.recv_credit != 0 and h2.recv_window * 2 < h2.recv_size:
        _update_connection(core)


def lowered(core: Core) -> None:
    """Announce credit that a lower INITIAL_WINDOW_SIZE of ours has made due."""
    # > When the value of SETTINGS_INITIAL_WINDOW_SIZE changes, a receiver MUST adjust the size of
    # > all stream flow-control windows that it maintains by the difference. ... A change can cause
    # > the available space in a flow-control window to become negative.   (RFC 9113 6.9.2)
    for stream in core._streams.values():
        if stream.credit != 0 and stream.read != DONE:
            announce(core, stream)


def check_own_window(core: Core, size: i64) -> None:
    """Raise UsageError if this INITIAL_WINDOW_SIZE of ours would overflow a window."""
    for stream in core._streams.values():
        if size + stream.recv_window + stream.credit > MAX_WINDOW:
            raise UsageError("stream window above 2^31-1", stream=int(stream.id), rule=_RULE)


def flush_credit(core: Core) -> None:
    """Announce the connection's credit, if it is due."""
    h2 = core._h2
    credit = h2.recv_credit
    if credit != 0 and _is_due(credit, h2.recv_window, h2.recv_size, LEAST_WINDOW):
        _update_connection(core)


def _update_connection(core: Core) -> None:
    """Announce the connection's credit."""
    h2 = core._h2
    credit = min(h2.recv_credit, MAX_WINDOW - h2.recv_window)
    if credit > 0:
        h2.recv_credit -= credit
        h2.recv_window += credit
        write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, 0, credit)


def grant(core: Core, stream: Stream | None, size: i64) -> None:
    """Widen a stream's window at once; the connection's if `stream` is None."""
    h2 = core._h2
    if stream is None:
        if h2.recv_window + h2.recv_credit + size > MAX_WINDOW:
            raise UsageError("connection window above 2^31-1", rule=_RULE)
        h2.recv_window += size
        h2.recv_size = max(h2.recv_size, h2.recv_window)
        write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, 0, size)
        return
    window = core._local._initial_window_size + stream.recv_window + stream.credit
    if window + size > MAX_WINDOW:
        raise UsageError("stream window above 2^31-1", stream=int(stream.id), rule=_RULE)
    returned = min(size, stream.unread)
    if returned > 0:
        read(core, stream, returned)
    h2.recv_credit += returned
    if stream.read != DONE:
        stream.recv_window += size
        write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, stream.id, size)


def widen(core: Core, stream: Stream | None, size: i64) -> None:
    """Widen a stream's window by `size` bytes for good; the connection's if `stream` is None.

    This is no setting: other streams, open and future, keep their windows.
    """
    h2 = core._h2
    if stream is None:
        size = min(size, MAX_WINDOW - h2.recv_window - h2.recv_credit)
        if size > 0:
            h2.recv_size += size
            h2.recv_window += size
            write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, 0, size)
    elif stream.read != DONE:
        window = core._local._initial_window_size + stream.recv_window + stream.credit
        size = min(size, MAX_WINDOW - window)
        if size > 0:
            stream.wider += size
            h2.wider += size
            stream.recv_window += size
            write_u32_frame(core, CNO_FRAME_WINDOW_UPDATE, stream.id, size)


def sendable(core: Core, stream: Stream, size: i64) -> i64:
    """Return how many of `size` bytes may be sent on this stream now."""
    window = core._remote._initial_window_size + stream.send_window
    if window < size:
        size = window
    if core._h2.send_window < size:
        size = core._h2.send_window
    return size if size > 0 else 0


def worth_sending(core: Core, size: i64) -> i64:
    """Return `size`, the bytes of a larger piece that fit a small window, or 0 to wait for more.

    A peer that widens its window byte by byte does not get a frame for each byte (CVE-2019-9511).
    It gets some small frames, about one for each large one, since it may need just these bytes to
    continue.
    """
    h2 = core._h2
    if size == 0 or size >= core._remote._initial_window_size:
        return size  # the window cannot become larger
    if h2.small_sent_left < h2.min_sent:
        return 0
    h2.small_sent_left -= h2.min_sent
    return size


def window_update(core: Core, id: i64, stream: Stream | None, increment: i64) -> None:
    """Handle a WINDOW_UPDATE of the peer, for the connection (id 0) or for an open stream."""
    h2 = core._h2
    # > A receiver MUST treat the receipt of a WINDOW_UPDATE frame with a flow-control window
    # > increment of 0 as a stream error (Section 5.4.2) of type PROTOCOL_ERROR; errors on the
    # > connection flow-control window MUST be treated as a connection error.   (RFC 9113 6.9)
    # > A sender MUST NOT allow a flow-control window to exceed 2^31-1 octets. ... it MUST terminate
    # > either the stream or the connection, as appropriate.   (RFC 9113 6.9.1)
    if id == 0:
        if increment == 0:
            raise ConnectionFault(CNO_RST_PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 6.9")
        if h2.send_window + increment > MAX_WINDOW:
            raise ConnectionFault(
                CNO_RST_FLOW_CONTROL_ERROR, "connection window above 2^31-1", _RULE
            )
        h2.send_window += increment
    else:
        if increment == 0:
            raise StreamFault(id, CNO_RST_PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 6.9")
        if stream is None:
            return
        window = core._remote._initial_window_size + stream.send_window
        if window + increment > MAX_WINDOW:
            raise StreamFault(id, CNO_RST_FLOW_CONTROL_ERROR, "stream window above 2^31-1", _RULE)
        stream.send_window += increment
        if stream.send_window > h2.send_window_top:
            h2.send_window_top = stream.send_window
        if stream.write == DONE:
            return
    if core._wants & ON_FLOW_INCREASE:
        core.on_flow_increase(id)


def check_initial_window(core: Core, size: i64) -> None:
    """Raise ConnectionFault if this INITIAL_WINDOW_SIZE of the peer would overflow a window."""
    # > An endpoint MUST treat a change to SETTINGS_INITIAL_WINDOW_SIZE that causes any flow-control
    # > window to exceed the maximum size as a connection error (Section 5.4.1) of type
    # > FLOW_CONTROL_ERROR.   (RFC 9113 6.9.2)
    h2 = core._h2
    if size + h2.send_window_top <= MAX_WINDOW:
        return
    top: i64 = 0
    for stream in core._streams.values():
        top = max(top, stream.send_window)
    h2.send_window_top = top
    if size + top > MAX_WINDOW:
        raise ConnectionFault(
            CNO_RST_FLOW_CONTROL_ERROR,
            "INITIAL_WINDOW_SIZE pushes a stream's window above 2^31-1",
            "RFC 9113 6.9.2",
        )
