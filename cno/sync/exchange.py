"""One request and its response, over a connection that has been chosen.

A thread that sends a body waits for flow control and for the response at the same time. Must never
know how a connection is chosen.
"""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from mypy_extensions import i64

from cno.aio.errors import ConnectionLostError, StreamTimeoutError, claim
from cno.aio.fields import Headers
from cno.const import CNO_RST_CANCEL, CNO_RST_HTTP_1_1_REQUIRED, MAX_STREAM_ID
from cno.core import CLOSED
from cno.errors import (
    ConnectionError,
    DisconnectError,
    InvalidStreamError,
    Reason,
    WouldBlockError,
)
from cno.headers import IDEMPOTENT
from cno.sync.connection_io import abort, begin, flush
from cno.sync.errors import ReadTimeoutError, WriteTimeoutError
from cno.sync.parker import Parker
from cno.sync.polling import wait
from cno.sync.request_spec import RequestSpec
from cno.sync.state import MAX_BLIND, MAX_UNREAD, Link, StreamState, error_of
from cno.sync.timeouts import FOREVER, Deadlines
from cno.sync.upload import Upload

NO_RESPONSE: Final = Reason("no response came in time", "", "response_timeout")
NO_BODY: Final = Reason("no more of the body came in time", "", "body_timeout")
NO_PUSH: Final = Reason("no push came in time", "", "body_timeout")
STALLED: Final = Reason("the peer does not take what is to be sent", "", "write_stall_timeout")
NO_SLOT: Final = Reason("the server allows no requests", "", "write_stall_timeout")

#: Called with the code and the fields of each interim (1xx) response.
OnInformational: TypeAlias = Callable[[int, Headers], object]

# The conditions of a wait, as bits.
HEAD: Final = 1
DATA: Final = 2
ROOM: Final = 4
INTERIM: Final = 8
CONTINUE: Final = 16
PUSH: Final = 32
WHOLE: Final = 64


class StreamParker(Parker):
    """A thread that waits for one stream. `room_mark` is the connection's at the last write."""

    def __init__(self, state: StreamState, needs: i64, room_mark: i64) -> None:
        super().__init__()
        self._state = state
        self._needs = needs
        self._interim_seen = state._interim_count
        self._room_mark = room_mark

    def done(self) -> bool:
        state, needs = self._state, self._needs
        if state._ended or state._error is not None:
            return True
        if needs & HEAD and state.code != 0:
            return True
        if needs & DATA and (state._size != 0 or state._complete):
            return True
        if needs & WHOLE and (state._complete or state._size >= MAX_UNREAD):
            return True
        if needs & ROOM and state._link.send_buffer.room_mark != self._room_mark:
            return True
        if needs & INTERIM and state._interim_count != self._interim_seen:
            return True
        if needs & PUSH and (state._complete or bool(state._pushes)):
            return True
        return needs & CONTINUE != 0 and state._got_100


def wait_for(state: StreamState, needs: i64, due: float, room_mark: i64 = 0) -> bool:
    """Wait until one of the conditions `needs` is met; return False if the time `due` passes."""
    link = state._link
    parker = StreamParker(state, needs, room_mark)
    waiting = state._waiting
    if waiting is None:
        state._parker = parker
    else:
        waiting[parker] = None
    if needs & ROOM:
        link.parked_writers[parker] = None
    try:
        return wait(link, parker, due)
    finally:
        if waiting is None:
            state._parker = None
        else:
            waiting.pop(parker, None)
        if needs & ROOM:
            link.parked_writers.pop(parker, None)


# -- sending ---------------------------------------------------------------------------------------


def try_open(link: Link, state: StreamState, spec: RequestSpec) -> bool:
    """Write a request's head; return False if it has to wait. Called with the lock.

    Raises ConnectionLostError if the connection takes no requests, UsageError.
    """
    if link.is_lost or link.is_closing or link.broken:
        raise ConnectionLostError("the connection is closed", retryable=True)
    if not link._http2 and link.exchanges:
        return False  # requests are not pipelined: the pool makes a second connection
    if len(link.exchanges) >= MAX_BLIND and link.is_greeting():
        return False
    path, fields = spec.path, spec.fields
    proxy = link.forward_proxy
    if proxy is not None:
        path, fields = proxy.target(spec.method, path, fields), proxy.fields(fields)
    stream = link.next_stream
    state.stream = stream
    state._reused = link.answered_before
    state._received_mark = link.received
    link.exchanges[stream] = state
    opened = False
    try:
        link.write_head(stream, 0, spec.method, path, fields, spec.empty)
        opened = True
    except WouldBlockError:
        return False
    except DisconnectError as error:
        raise ConnectionLostError(error.strerror or "", stream=stream, retryable=True) from None
    finally:
        if not opened:
            link.exchanges.pop(stream, None)
    return True


def upload_of(spec: RequestSpec) -> Upload | None:
    """Return the body that is to be sent; None if there is none."""
    if spec.empty or (spec.source is None and not spec.body and not spec.trailers):
        return None
    return Upload(spec)


def write_some(link: Link, state: StreamState, upload: Upload) -> bool:
    """Write a part of a body; return False if a window or the buffer is full. Called with the
    lock."""
    if state._ended or link.is_lost or link._state == CLOSED:
        upload.finish()
        return True
    if link.send_buffer.size > link._limits.write_buffer:
        return False
    try:
        return upload.write(link, state.stream)
    except (DisconnectError, InvalidStreamError):
        upload.finish()
        return True


def send_body(
    state: StreamState, upload: Upload, deadlines: Deadlines, returns_early: bool
) -> None:
    """Send a body until its end, or until the server has refused it.

    `returns_early`: return when the response begins.
    """
    link = state._link
    guard = link.guard
    while not upload.finished:
        if state.code >= 300 or (returns_early and state.code != 0):
            return
        upload.fetch()
        guard.check()
        with guard.lock:
            begin(guard)
            has_room = write_some(link, state, upload)
            last_sent_at = link.times.sent_at
            upload.room_mark = link.send_buffer.room_mark
            guard.inside = False
        flush(link)
        if not has_room:
            due = deadlines.after(deadlines.write)
            needs = ROOM | HEAD if returns_early else ROOM
            if (
                not wait_for(state, needs, due, upload.room_mark)
                and link.times.sent_at == last_sent_at
            ):
                raise timed_out(state, STALLED, deadlines, deadlines.write)


def has_sent(link: Link, mark: i64) -> bool:
    """Return whether the socket has accepted the first `mark` bytes of the output."""
    buffer, transport = link.send_buffer, link.transport
    if transport.written - buffer.size < mark:
        return False
    # These are encrypted, but not sent, perhaps.
    return not transport.layers or not (buffer.encrypted or buffer.sending)


def await_continue(state: StreamState, upload: Upload) -> None:
    """Wait for a 100 (Continue), for up to `Limits.expect_timeout` (RFC 9110 10.1.1)."""
    patience = state._link._limits.expect_timeout
    due = FOREVER if patience is None else time.monotonic() + patience
    wait_for(state, CONTINUE | HEAD, due)
    if state.code == 0 or state._got_100:
        return
    # The server responded without the body. If a successful response does not end, the server may
    # wait for the body all the same.
    if state.code < 300 and not state._complete:
        due = FOREVER if patience is None else time.monotonic() + patience
        wait_for(state, CONTINUE | WHOLE, due)
        if is_incomplete(state):
            return
    upload.dispose()
    if state._complete:
        end_upload(state)


def is_incomplete(state: StreamState) -> bool:
    """Return whether a response is incomplete."""
    return not state._complete and not state._ended


def end_upload(state: StreamState) -> None:
    """Reset a stream whose response is complete: the server discards the rest of the request."""
    if not state._ended:
        cancel(state, CNO_RST_CANCEL)


# -- receiving -------------------------------------------------------------------------------------


def await_head(
    state: StreamState, deadlines: Deadlines, on_informational: OnInformational | None
) -> None:
    """Wait for the head of a response, and pass on interim responses."""
    told: i64 = 0
    needs = HEAD | INTERIM
    while state.code == 0:
        seen = state._interim_count
        told = pass_on(state, on_informational, told)
        if state._ended or state._error is not None:
            break
        if state._interim_count == seen:
            in_time = wait_for(state, needs, deadlines.after(deadlines.head))
            if not in_time and state.code == 0 and state._interim_count == seen:
                raise timed_out(state, NO_RESPONSE, deadlines, deadlines.head)
    pass_on(state, on_informational, told)


def pass_on(state: StreamState, on_informational: OnInformational | None, told: i64) -> i64:
    """Pass interim responses from the given one on to the application; return their count."""
    if on_informational is not None:
        while told < len(state.informational):
            code, fields = state.informational[told]
            told += 1
            on_informational(code, fields)
    return told


def unanswered(state: StreamState, method: str) -> Exception:
    """Return why there is no response."""
    error = error_of(state)
    if isinstance(error, ConnectionLostError) and is_repeatable(state, method):
        error.retryable = True
    return error


def is_repeatable(state: StreamState, method: str) -> bool:
    """Return whether a request without a response may be sent once more (RFC 9110 9.2.2): see
    `cno.aio.client.retry_rules`."""
    link = state._link
    if state.code != 0 or state.informational:
        return False
    if not link.ending.hung_up or method not in IDEMPOTENT:
        return False
    if link.goaway_code() == CNO_RST_HTTP_1_1_REQUIRED:
        return True
    return state._reused and not (link._http2 and link._h2.goaway_received <= MAX_STREAM_ID)


def read_piece(state: StreamState, most: i64, deadlines: Deadlines, upload: Upload | None) -> bytes:
    """Return up to this many bytes of the body; b"" at its end. Sends the request's body on."""
    link = state._link
    while state._size == 0:
        if state._complete:
            if upload is not None and not upload.finished:
                finish_upload(state, upload, deadlines)
            return b""
        if state._error is not None or state._ended:
            raise error_of(state)
        needs = DATA
        room_mark = link.send_buffer.room_mark
        if upload is not None and not upload.finished and state.code < 300:
            if advance(state, upload):
                continue
            room_mark = upload.room_mark
            if not upload.finished:
                needs |= ROOM
        if not wait_for(state, needs, deadlines.after(deadlines.body), room_mark):
            if lacks_data(state):
                raise timed_out(state, NO_BODY, deadlines, deadlines.body)
    return take_data(state, most)


def take_data(state: StreamState, most: i64) -> bytes:
    """Remove up to this many bytes from the buffer, let the server send as many, and return
    them."""
    if state._ended:
        return take_pieces(state, most)
    link = state._link
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        data = take_pieces(state, most)
        if link.transport.is_paused:
            resume_input(state)
        if not link.is_lost:
            link.consume(state.stream, len(data))
        has_output = bool(link.send_buffer.plain)
        guard.inside = False
    if has_output:
        flush(link)
    return data


def resume_input(state: StreamState) -> None:
    """Make the reading thread read again, if there is room now. Called with the lock."""
    link = state._link
    if link.transport.is_paused and state._size < MAX_UNREAD:
        link.transport.is_paused = False
        if link.reader is not None:
            link.reader.unpark()


def lacks_data(state: StreamState) -> bool:
    """Return whether a read has to wait."""
    return state._size == 0 and not state._complete and state._error is None


def advance(state: StreamState, upload: Upload) -> bool:
    """Write more of a body while its response is read; return whether there was room."""
    link = state._link
    guard = link.guard
    upload.fetch()
    guard.check()
    with guard.lock:
        begin(guard)
        has_room = write_some(link, state, upload)
        upload.room_mark = link.send_buffer.room_mark
        guard.inside = False
    flush(link)
    return has_room


def finish_upload(state: StreamState, upload: Upload, deadlines: Deadlines) -> None:
    """The response is complete: send the rest of the request, unless it is refused."""
    if state.code < 300:
        send_body(state, upload, deadlines, False)
    if not upload.finished:
        upload.dispose()
        end_upload(state)


def take_pieces(state: StreamState, most: i64) -> bytes:
    """Remove up to this many bytes from the buffer, and return them."""
    pieces = state._pieces
    first = pieces[0]
    if len(first) >= most:
        if len(first) == most:
            pieces.popleft()
        else:
            pieces[0] = first[most:]
            first = first[:most]
        state._size -= most
        return first
    if len(pieces) == 1:
        pieces.popleft()
        state._size -= len(first)
        return first
    found: list[bytes] = []
    size: i64 = 0
    while pieces and size < most:
        piece = pieces.popleft()
        room = most - size
        if len(piece) > room:
            pieces.appendleft(piece[room:])
            piece = piece[:room]
        found.append(piece)
        size += len(piece)
    state._size -= size
    return b"".join(found)


def drop_pieces(state: StreamState) -> bytes:
    """Remove all bytes from the buffer, and return them."""
    data = b"".join(state._pieces)
    state._pieces.clear()
    state._size = 0
    return data


# -- the end ---------------------------------------------------------------------------------------


def timed_out(state: StreamState, why: Reason, deadlines: Deadlines, limit: float) -> Exception:
    """Reset a stream after a timeout, and return the error."""
    writing = why is STALLED
    by_limits = deadlines.by_limits_write if writing else deadlines.by_limits_read
    total = time.monotonic() >= deadlines.total_at
    error: StreamTimeoutError
    if by_limits and not total:
        error = StreamTimeoutError(
            why.text, stream=state.stream, code=CNO_RST_CANCEL, limit=why.limit
        )
    else:
        text = f"{why.text}: {deadlines.total if total else limit:g} s"
        kind = WriteTimeoutError if writing else ReadTimeoutError
        name = "timeout.total" if total else "timeout.write" if writing else "timeout.read"
        error = kind(text, stream=state.stream, code=CNO_RST_CANCEL, limit=name)
    claim(error, state._link.number)
    link = state._link
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        state._failed(error)
        if link.received == state._received_mark and link.listener is not None:
            link.listener.unresponsive(link)
        guard.inside = False
    cancel(state, CNO_RST_CANCEL)
    return error


def is_running(state: StreamState) -> bool:
    """Return whether a stream can still be reset."""
    link = state._link
    return not state._ended and not link.is_lost and link._state != CLOSED


def cancel(state: StreamState, code: int) -> None:
    """Reset a stream unless it has ended. In HTTP/1.1, this closes the connection."""
    if not is_running(state):
        return
    link = state._link
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        reset(state, code)
        guard.inside = False
    flush(link)


def reset(state: StreamState, code: int) -> None:
    """Reset a stream unless it has ended. Called with the lock."""
    if not is_running(state):
        return
    link = state._link
    try:
        link.write_reset(state.stream, code)
    except ConnectionError:
        pass  # it has ended
    if not link._http2:
        abort(link)  # HTTP/1.1 cannot reset a single exchange
    if link.changed_due and link.listener is not None:
        link.changed_due = False
        link.listener.capacity_changed(link)
