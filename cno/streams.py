"""Streams of both protocols: open, look up, end one direction, end all.

Knows counts and events. Must never know the form of a frame or a line.
"""

from mypy_extensions import i64

from cno.budget import Bucket
from cno.const import CNO_LOCAL, CNO_REMOTE, CNO_RST_NO_ERROR
from cno.core import (
    CLOSED,
    DONE,
    NO_STREAM,
    ON_CLOSE,
    ON_STREAM_END,
    ON_STREAM_START,
    Core,
    Stream,
    flush,
)
from cno.h2.state import NO_BYTES


def lookup(core: Core, id: i64) -> Stream | None:
    """Return the open stream with this id.

    In most cases it is the stream of the previous call: a comparison finds it, while the dictionary
    costs some 250 instructions, number objects included (a tenth of a small request).
    """
    current = core._current
    if current.id == id:
        return current
    stream = core._streams.get(id)
    if stream is not None:
        core._current = stream
    return stream


def start(core: Core, stream: Stream, counted: bool = True) -> None:
    """Register a stream and fire on_stream_start. A pushed stream counts from its response on."""
    core._streams[stream.id] = stream
    core._current = stream
    if counted:
        count(core, stream)
    if core._wants & ON_STREAM_START:
        core.on_stream_start(stream.id)


def count(core: Core, stream: Stream) -> None:
    """Count an open stream against the limit of the side that opened it."""
    stream.counted = True
    if stream.local:
        core._count_local += 1
    else:
        core._count_remote += 1


def end_read(core: Core, stream: Stream) -> None:
    """End the peer's message."""
    stream.read = DONE
    if stream.write == DONE:
        _reward(core)
        end(core, stream, CNO_RST_NO_ERROR, CNO_REMOTE)


def end_write(core: Core, stream: Stream) -> None:
    """End our message."""
    stream.write = DONE
    if stream.read == DONE:
        _reward(core)
        end(core, stream, CNO_RST_NO_ERROR, CNO_LOCAL)


def _reward(core: Core) -> None:
    """Credit the error budget for a request and response that completed normally.

    Without a clock there is no other credit, and every long connection would fail in the end.
    """
    if core._http2:
        core._h2.resets.refund(1)
        core._h2.errors.refund(1)


def interim(core: Core, stream: Stream) -> bool:
    """Count a 1xx response. Return False if there are too many in too short a time."""
    stream.interim += 1
    most = core._limits.max_informational
    if most is None:
        return True
    # All responses share this bucket. A response beyond its own number needs a token: it may take
    # hours and report its progress, and many responses may begin at once.
    if core._interim is None:
        core._interim = Bucket(most, core._limits.informational_rate)
    left = core._interim.spend(1, core._clock)
    if not left:
        core._interim.refund(1)
    return left or stream.interim <= most


def end(core: Core, stream: Stream, code: i64, side: i64) -> None:
    """Remove a stream and fire on_stream_end. A draining connection ends with its last stream."""
    if stream.ended:
        return
    stream.ended = True
    if len(core._streams) == 1:
        core._streams.clear()  # free the table: an idle connection is 160 bytes smaller
    else:
        del core._streams[stream.id]
    if core._current is stream:
        core._current = NO_STREAM
    stream.read = DONE
    stream.write = DONE
    if stream.counted:
        stream.counted = False
        if stream.local:
            core._count_local -= 1
        else:
            core._count_remote -= 1
    if stream.header_size != 0:
        core._h2.header_bytes -= stream.header_size
    if stream.small != 0:
        core._h2.small_used -= stream.small
    if stream.wider != 0:
        core._h2.wider -= stream.wider
    if stream.unread != 0:
        # Credit data that nobody will read, so that other streams can go on.
        core._h2.recv_credit += stream.unread
        stream.unread = 0
    if core._http2 and core._h2.priorities:
        core._h2.priorities.pop(stream.id, None)
    if core._wants & ON_STREAM_END:
        core.on_stream_end(stream.id, code, side)


def end_all(core: Core, code: i64, side: i64) -> None:
    """End every stream, oldest first."""
    end_each(core, sorted(core._streams), code, side)


def end_each(core: Core, ids: list[int], code: i64, side: i64) -> None:
    """End these streams. The first exception of on_stream_end is raised after the last one."""
    raised: BaseException | None = None
    for id in ids:
        stream = lookup(core, id)
        if stream is None:
            continue
        try:
            end(core, stream, code, side)
        except BaseException as error:
            if raised is None:
                raised = error
    if raised is not None:
        raise raised


def finish(core: Core) -> None:
    """End the connection: no more input or output. Fire on_close once."""
    core._state = CLOSED
    core._in = b""
    core._pos = 0
    core._pending_input = NO_BYTES
    if core._http2:
        core._h2.block = NO_BYTES
        core._h2.data_seen = NO_BYTES
    try:
        flush_all(core)
    finally:
        if not core._close_fired:
            core._close_fired = True
            if core._wants & ON_CLOSE:
                core.on_close()


def flush_all(core: Core) -> None:
    """Write the collected output even if it is corked, before the transport closes."""
    corked = core._corked
    core._corked = 0
    try:
        flush(core)
    finally:
        core._corked = corked
