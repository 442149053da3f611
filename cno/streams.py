"""Streams of either protocol: open, find, end by read, end by write, end all of them.

Knows counts and events; never what a frame or a line looks like.
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
    """The open stream with this id.

    A stream is mostly the one of the call before: that costs a comparison, where the dictionary
    takes some 250 instructions, number objects and all (a tenth of a small request in all).
    """
    current = core._current
    if current.id == id:
        return current
    stream = core._streams.get(id)
    if stream is not None:
        core._current = stream
    return stream


def start(core: Core, stream: Stream, counted: bool = True) -> None:
    """Keep a stream, and tell. One reserved by a push counts only from its response on."""
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
    """The peer's message is complete."""
    stream.read = DONE
    if stream.write == DONE:
        _reward(core)
        end(core, stream, CNO_RST_NO_ERROR, CNO_REMOTE)


def end_write(core: Core, stream: Stream) -> None:
    """Our message is complete."""
    stream.write = DONE
    if stream.read == DONE:
        _reward(core)
        end(core, stream, CNO_RST_NO_ERROR, CNO_LOCAL)


def _reward(core: Core) -> None:
    """A request has been answered, and all of it came and went: that pays for one that failed.

    Without a clock nothing else would, and every connection would have an end.
    """
    if core._http2:
        core._h2.resets.refund(1)
        core._h2.errors.refund(1)


def interim(core: Core, stream: Stream) -> bool:
    """Count a 1xx response; False if there are too many, and they come too fast."""
    stream.interim += 1
    most = core._limits.max_informational
    if most is None:
        return True
    # All draw on it, and who goes beyond the number for one response needs something to be left: a
    # response may take hours, and tell of its progress, as many may begin at once.
    if core._interim is None:
        core._interim = Bucket(most, core._limits.informational_rate)
    left = core._interim.spend(1, core._clock)
    if not left:
        core._interim.refund(1)
    return left or stream.interim <= most


def end(core: Core, stream: Stream, code: i64, side: i64) -> None:
    """Forget a stream, and tell; the connection ends with its last one if it is draining."""
    if stream.ended:
        return
    stream.ended = True
    if len(core._streams) == 1:
        core._streams.clear()  # its table too: an idle connection is 160 octets smaller for it
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
        # What nobody will read any more must not keep the other streams from being read.
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
    """End these streams, all of them: what on_stream_end raises first comes out afterwards."""
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
    """The connection is over: nothing is read or written from here on; on_close, once."""
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
    """Write what was collected even though more might follow: the transport is to be closed."""
    corked = core._corked
    core._corked = 0
    try:
        flush(core)
    finally:
        core._corked = corked
