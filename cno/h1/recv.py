"""HTTP/1.1, input: bodies, tunnels, the end (RFC 9112 sections 6 to 9). `recv_head` has heads.

One function for each state of the connection. Each takes its input and sets the next state before
it fires an event: an event may write, reset, close, or raise, and finds a consistent state.
"""

from typing import Final, cast

from mypy_extensions import i64

from cno import streams
from cno.const import CNO_LOCAL, CNO_RST_PROTOCOL_ERROR
from cno.core import (
    BODY,
    CLOSED,
    DONE,
    H1_BLOCKED,
    H1_BODY,
    H1_CHUNKED,
    H1_DETECT,
    H1_HEAD,
    H1_IGNORE,
    H1_TUNNEL,
    ON_MESSAGE_DATA,
    ON_MESSAGE_TAIL,
    ON_UPGRADE,
    TUNNEL,
    UNKNOWN_LENGTH,
    WAIT,
    Core,
    Stream,
    waiting,
)
from cno.errors import ConnectionFault, WouldBlockError
from cno.h1 import body, parse, pipelining, recv_head
from cno.h1.parse import Head
from cno.h1.state import DATA, DATA_CR, DATA_LF, SIZE, TRAILERS, Http1
from cno.headers import delivered_trailers

#: Most bytes of input that wait for the decision about an upgrade. Beyond: WouldBlockError.
_MAX_BLOCKED: Final = 65_536


def step(core: Core, state: i64) -> i64:
    """Handle one state. Return the next state, or WAIT.

    Raises ConnectionFault for faults of the peer (with the status of the response, 0 at a client),
    unless earlier responses must be sent first. Raises WouldBlockError if too many requests wait.
    """
    core._h1.line_incomplete = False
    try:
        if state == H1_HEAD:
            return recv_head.head(core)
        if state == H1_BODY:
            return _body(core)
        if state == H1_CHUNKED:
            return _chunked(core)
        if state == H1_BLOCKED:
            return _blocked(core)
        if state == H1_TUNNEL:
            return _tunnel(core)
        core._pos = len(core._in)
        return WAIT
    except ConnectionFault as fault:
        if not core._server:
            raise ConnectionFault(0, fault.text, fault.rule, fault.limit) from None
        if not _defer(core, fault):
            raise
        return core._state


def _defer(core: Core, fault: ConnectionFault) -> bool:
    """Keep a fault until earlier requests have been answered. Return False if there are none."""
    h1 = core._h1
    first = streams.lookup(core, h1.next_id)
    if first is None or h1.next_id == h1.reading_id:
        return False
    h1.deferred_status = fault.code
    h1.no_more_messages = True
    h1.head = None
    core._state = H1_IGNORE
    stream = streams.lookup(core, h1.reading_id)
    if stream is not None:
        streams.end(core, stream, CNO_RST_PROTOCOL_ERROR, CNO_LOCAL)
    return True


def should_reparse(core: Core, data: bytes) -> bool:
    """Whether parsing can make progress, now that `data` follows the pending input.

    Looks at every byte once: a line that arrives byte by byte is parsed when its end has arrived,
    or when it has become too long.
    """
    h1 = core._h1
    if core._state == H1_BLOCKED:
        return h1.upgrade_pending == 0 or waiting(core) + len(data) > _MAX_BLOCKED
    if not h1.line_incomplete or b"\n" in data:
        return True
    h1.line_room -= len(data)
    return h1.line_room < 0


# -- bodies ---------------------------------------------------------------------------------------


def _body(core: Core) -> i64:
    """Receive a body of known length, or one that lasts until the end of input."""
    h1 = core._h1
    stream = streams.lookup(core, h1.reading_id)
    if stream is None or stream.read == DONE:
        return H1_IGNORE
    left = stream.read_left
    if left == 0:
        return _complete(core, stream, None)
    n: i64 = len(core._in) - core._pos
    if n == 0:
        return WAIT
    if left != UNKNOWN_LENGTH:
        if n > left:
            n = left
        stream.read_left = left - n
    else:
        if n > h1.max_body - h1.body_received:
            n = h1.max_body - h1.body_received
            if n == 0:
                raise recv_head.too_large()
        h1.body_received += n
    _deliver(core, stream, n, n)
    return core._state


def _deliver(core: Core, stream: Stream, n: i64, taken: i64) -> None:
    """Deliver the next `n` bytes. Take `taken` bytes of the input before that."""
    data = core._in
    start = core._pos
    core._pos = start + taken
    if core._h1.expecting_id != 0:
        core._h1.expecting_id = 0
    if core._wants & ON_MESSAGE_DATA:
        # A large body fills most reads. Deliver such a read without a copy: this saves a tenth of
        # the instructions of an upload.
        whole = n == len(data)
        core.on_message_data(stream.id, data if whole else data[start : start + n])


def _chunked(core: Core) -> i64:
    h1 = core._h1
    stream = streams.lookup(core, h1.reading_id)
    if stream is None or stream.read == DONE:
        return H1_IGNORE
    phase = h1.chunk_phase
    if phase == TRAILERS:
        return _trailers(core, h1, stream)
    n: i64 = len(core._in) - core._pos
    if n == 0:
        return WAIT
    if phase == SIZE:
        return _chunk_size(core, h1, stream)
    if phase == DATA:
        return _chunk_data(core, h1, stream, n)
    # > chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF   (RFC 9112 7.1)
    if core._in[core._pos] != (parse.CR if phase == DATA_CR else parse.LF):
        raise parse.malformed("chunk data does not end with CRLF", "RFC 9112 7.1")
    core._pos += 1
    h1.chunk_phase = DATA_LF if phase == DATA_CR else SIZE
    return H1_CHUNKED


def _chunk_data(core: Core, h1: Http1, stream: Stream, n: i64) -> i64:
    """Deliver the received part of a chunk: `n` bytes, at least one."""
    data = core._in
    left = h1.chunk_left
    taken = n
    if n >= left:
        n = left
        taken = left
        behind = core._pos + left
        h1.chunk_phase = DATA_CR
        if behind + 1 < len(data) and data[behind] == parse.CR and data[behind + 1] == parse.LF:
            # The CRLF has arrived as well, in most cases: take it and save two rounds of the
            # driver.
            taken = left + 2
            h1.chunk_phase = SIZE
    h1.chunk_left = left - n
    _deliver(core, stream, n, taken)
    return core._state


def _chunk_size(core: Core, h1: Http1, stream: Stream) -> i64:
    data = core._in
    start = core._pos
    end: i64 = len(data)
    # In most cases the line is digits and CRLF, found here for less than the cost of find().
    # (One digit more than allowed, to recognize a size that is too long.)
    count = body.digits(data, start, min(end, start + body.MAX_SIZE_DIGITS + 1))
    lf: i64 = start + count + 1
    if lf >= end or data[lf] != parse.LF:
        lf = data.find(b"\n", start)
    # Digits, extensions, CR: within the bounds of a line and of the extensions of a body.
    limit = h1.bounds.line
    if h1.max_ext_size - h1.ext_size + body.MAX_SIZE_DIGITS < limit:
        limit = h1.max_ext_size - h1.ext_size + body.MAX_SIZE_DIGITS
    size = (end if lf < 0 else lf) - start - 1
    if size > limit:
        limit_name = "max_line_size" if limit == h1.bounds.line else "max_chunk_ext_size"
        raise ConnectionFault(400, "chunk-size line too long", "RFC 9112 7.1.1", limit_name)
    if lf < 0:
        h1.line_incomplete = True
        h1.line_room = limit - size
        return WAIT
    left = body.size_line(data, start, count, lf)
    h1.ext_size += size - count
    if h1.ext_size > h1.max_ext_size:
        # > A server ought to limit the total length of chunk extensions received in a request to an
        # > amount reasonable for the services provided   (RFC 9112 7.1.1)
        raise ConnectionFault(
            400, "chunk extensions too long", "RFC 9112 7.1.1", "max_chunk_ext_size"
        )
    if h1.ext_size != 0:
        # Data pays for extensions: a long body may sign or name each chunk.
        h1.ext_size = h1.ext_size - left if left < h1.ext_size else 0
    core._pos = lf + 1
    if left == 0:
        h1.chunk_phase = TRAILERS
        return H1_CHUNKED
    recv_head.check_size(h1, left)
    h1.body_received += left
    h1.chunk_left = left
    h1.chunk_phase = DATA
    if lf + 1 == end:
        return H1_CHUNKED
    return _chunk_data(core, h1, stream, end - lf - 1)


def _trailers(core: Core, h1: Http1, stream: Stream) -> i64:
    head = h1.head
    if head is None:
        data = core._in
        pos = core._pos
        if pos + 1 < len(data) and data[pos] == parse.CR and data[pos + 1] == parse.LF:
            core._pos = pos + 2
            return _complete(core, stream, None)
        head = Head(False, True)
        head.controls = not core._server
        h1.head = head
    if not recv_head.take_fields(core, h1, head, h1.trailer_bounds, None):
        return WAIT
    h1.head = None
    if not head.fields:
        return _complete(core, stream, None)
    trailers = delivered_trailers(cast("list[tuple[str, str]]", head.fields))
    return _complete(core, stream, trailers or None)


def _complete(core: Core, stream: Stream, trailers: list[tuple[str, str]] | None) -> i64:
    """End the peer's message."""
    h1 = core._h1
    h1.reading_id = 0
    h1.body_received = 0
    if core._server:
        h1.expecting_id = 0  # a chunked body may end without any data
        core._state = (
            H1_BLOCKED
            if h1.upgrade_pending == stream.id
            else H1_IGNORE
            if h1.no_more_messages
            else H1_HEAD
        )
    else:
        h1.next_id = stream.id + 2
        if h1.unsafe_id == stream.id:
            h1.unsafe_id = 0
        core._state = H1_IGNORE if h1.last_id == stream.id else H1_HEAD
    stream.read = DONE
    # If our message is complete, this ends the stream; else our message will, perhaps in the event.
    ends = stream.write == DONE
    try:
        if core._wants & ON_MESSAGE_TAIL:
            core.on_message_tail(stream.id, trailers)
    finally:
        if ends or h1.last_id == stream.id:
            pipelining.read(core, stream)
    return core._state


# -- other protocols ------------------------------------------------------------------------------


def _blocked(core: Core) -> i64:
    """Wait for the application's decision about an upgrade or a tunnel."""
    h1 = core._h1
    if h1.upgrade_pending != 0 and not h1.upgrade_fired:
        # > (the body belongs to HTTP/1.1: this is fired behind its end)
        h1.upgrade_fired = True
        stream = streams.lookup(core, h1.upgrade_pending)
        if stream is not None and not stream.connect and core._wants & ON_UPGRADE:
            core.on_upgrade(stream.id)
            if core._state == CLOSED:
                return CLOSED
    if h1.upgrade_pending != 0:
        if len(core._in) - core._pos > _MAX_BLOCKED:
            raise WouldBlockError("no decision on an upgrade yet", stream=h1.upgrade_pending)
        return WAIT
    if h1.tunnel_id != 0:
        return H1_TUNNEL
    return H1_IGNORE if h1.no_more_messages else H1_HEAD


def _tunnel(core: Core) -> i64:
    stream = streams.lookup(core, core._h1.tunnel_id)
    if stream is None or stream.read == DONE:  # pragma: no cover - a tunnel ends the connection
        return H1_IGNORE
    n: i64 = len(core._in) - core._pos
    if n != 0:
        _deliver(core, stream, n, n)
        if core._state == CLOSED:
            return CLOSED
    return WAIT


def end_of_input(core: Core) -> None:
    """End what the end of input ends properly. Raise ConnectionFault if a message is incomplete."""
    h1 = core._h1
    stream = streams.lookup(core, h1.reading_id)
    if stream is not None and (
        stream.read == TUNNEL
        or (stream.read == BODY and core._state == H1_BODY and stream.read_left == UNKNOWN_LENGTH)
    ):
        # > A response that has neither chunked transfer coding nor Content-Length is terminated by
        # > closure of the connection and, if the header section was received intact, is considered
        # > complete   (RFC 9112 8)
        core._state = H1_IGNORE
        stream.read = DONE
        try:
            if core._wants & ON_MESSAGE_TAIL:
                core.on_message_tail(stream.id, None)
        finally:
            streams.end_read(core, stream)
    if _cut_short(core):
        raise ConnectionFault(0, "connection lost in the middle of a message", "RFC 9112 8")


def _cut_short(core: Core) -> bool:
    """Whether the end of input cuts off a message."""
    h1 = core._h1
    if not core._server:
        return any(s.read != DONE for s in core._streams.values())
    if h1.no_more_messages and core._state == H1_HEAD:
        return False
    if core._state == H1_HEAD or core._state == H1_DETECT:
        return h1.head is not None or (waiting(core) != 0 and len(core._streams) < h1.max_pipelined)
    if core._state == H1_CHUNKED or core._state == H1_BODY:
        stream = streams.lookup(core, h1.reading_id)
        return stream is not None and stream.read == BODY and stream.read_left != 0
    return False
