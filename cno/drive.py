"""The driver loop: takes input, runs the state handlers, answers faults, writes output.

One of two modules that know both protocols (`engine` is the other). Here HTTP/1.1 changes to
HTTP/2. A handler returns the next state; only this loop assigns it, and a handler that is about to
fire an event.
"""

from mypy_extensions import i64

from cno.const import CNO_LOCAL, CNO_RST_PROTOCOL_ERROR, PREFACE
from cno.core import (
    CLOSED,
    H1_BLOCKED,
    H1_CHUNKED,
    H1_DETECT,
    H1_HEAD,
    H2_PREFACE,
    H2_SETTINGS,
    INIT,
    WAIT,
    Core,
    cork,
    flush,
)
from cno.errors import ConnectionFault, ProtocolError, Reason, UsageError
from cno.h1 import recv as h1_recv
from cno.h1 import send as h1_send
from cno.h2 import flow as h2_flow
from cno.h2 import frame_writer as h2_frame_writer
from cno.h2 import reader as h2_reader
from cno.h2 import send as h2_send
from cno.h2 import start as h2_start
from cno.h2.state import NO_BYTES
from cno.streams import end_all, finish, flush_all

BytesLike = bytes | bytearray | memoryview


def as_bytes(data: BytesLike) -> bytes:
    """Return the data as bytes. Raises TypeError for other types (bytes(5) would be five zeros)."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def receive(core: Core, given: BytesLike) -> None:
    """Take input from the peer and fire the events that it causes; see `Engine.receive`."""
    data = as_bytes(given)
    if core._state == CLOSED:
        return
    if core._state == INIT:
        raise UsageError("data before the connection has begun")
    if core._receiving:
        _buffer_input(core, data)
        return
    if not _take(core, data):
        return
    core._receiving = True
    cork(core)
    try:
        _drive(core)
    except ConnectionFault as fault:
        raise fail(core, fault) from None
    finally:
        core._receiving = False
        _keep_rest(core)
        end_call(core)


def _take(core: Core, data: bytes) -> bool:
    """Append input to what is pending. Return False if it does not complete anything.

    Incomplete input is parsed again only when new input can make a difference: a message that
    arrives byte by byte costs no more than one that arrives whole.
    """
    left: i64 = len(core._in) - core._pos
    if left == 0 and not core._pending_input:
        core._in = data
        core._pos = 0
    elif data:
        state = core._state
        if state == H1_HEAD or state == H1_CHUNKED or state == H1_BLOCKED:
            if not h1_recv.should_reparse(core, data):
                _buffer_input(core, data)
                return False
        elif left + len(core._pending_input) + len(data) < core._bytes_needed:
            _buffer_input(core, data)
            return False
        _buffer_input(core, data)
        # Requests that must wait stay where they are: they may be many.
        if left == 0 or (state != H1_HEAD and state != H1_BLOCKED):
            _join(core)
    core._bytes_needed = (
        0  # known anew when all of it has been looked at: an event may raise before
    )
    return True


def _buffer_input(core: Core, data: bytes) -> None:
    """Append input to the pending input."""
    if core._pending_input is NO_BYTES:
        core._pending_input = bytearray()
    core._pending_input += data


def _join(core: Core) -> None:
    """Join the current and the pending input."""
    core._in = core._in[core._pos :] + bytes(core._pending_input)
    core._pos = 0
    core._pending_input = NO_BYTES


def _keep_rest(core: Core) -> None:
    """Keep the input that could not be parsed yet, and drop what has been taken."""
    left: i64 = len(core._in) - core._pos
    if core._state == CLOSED or left == 0:
        core._in = b""
        core._pos = 0
        if core._state == CLOSED:
            core._pending_input = NO_BYTES
    elif left * 2 < len(core._in):
        core._in = core._in[core._pos :]
        core._pos = 0


def _drive(core: Core) -> None:
    """Run state handlers until they need more input."""
    while True:
        state = core._state
        if state >= H2_PREFACE:
            follow = h2_reader.step(core, state)
        elif state == H1_DETECT:
            follow = _detect(core)
        else:
            follow = h1_recv.step(core, state)
            if follow >= H2_PREFACE and core._state != CLOSED:
                follow = _hand_over(core, follow)
        if core._state == CLOSED:
            return
        if follow != WAIT:
            core._state = follow
        elif core._pending_input:
            _join(core)
        else:
            return


def _detect(core: Core) -> i64:
    """Distinguish an HTTP/2 preface from an HTTP/1.1 request."""
    # > A client that knows that a server supports HTTP/2 can establish a TCP connection and
    # > send the connection preface followed by HTTP/2 frames.   (RFC 9113 3.3)
    if core.disallow_h2_prior_knowledge:
        return H1_HEAD
    start = core._in[core._pos : core._pos + len(PREFACE)]
    if start == PREFACE:
        core._pos += len(PREFACE)
        h2_start.begin(core)
        return H2_SETTINGS
    if PREFACE.startswith(start):
        core._bytes_needed = 0
        return WAIT
    return H1_HEAD


def _hand_over(core: Core, follow: i64) -> i64:
    """Change to HTTP/2 after `Upgrade: h2c`."""
    if core._server:
        return h2_start.upgraded_server(core)
    return h2_start.upgraded_client(core, follow)


def fail(core: Core, fault: ConnectionFault) -> ProtocolError:
    """Handle a fatal error, the only way there is: answer, end all streams, close."""
    if core._http2:
        h2_frame_writer.goaway(core, core._h2.delivered, fault.code, fault.text)
        code: i64 = fault.code
    else:
        h1_send.error_response(core, fault.code, fault.text)
        code = CNO_RST_PROTOCOL_ERROR
    core._end_reason = Reason(fault.text, fault.rule, fault.limit)
    try:
        finish_now(core, code)
    finally:
        core.close()
    return ProtocolError(fault.text, code=int(fault.code), rule=fault.rule, limit=fault.limit)


def finish_now(core: Core, code: i64) -> None:
    """End the connection now. All steps are done, even if an event raises."""
    core._state = CLOSED
    try:
        flush_all(core)
    finally:
        try:
            end_all(core, code, CNO_LOCAL)
        finally:
            finish(core)


def end_call(core: Core) -> None:
    """Finish a verb or receive(): announce credit, write output, close if all is done."""
    core._corked -= 1
    if core._corked != 0 or core._state == CLOSED:
        flush(core)
        return
    if not core._http2:
        flush(core)
        return
    h2_flow.flush_credit(core)
    try:
        flush(core)
    finally:
        if h2_send.drained(core):
            finish(core)
