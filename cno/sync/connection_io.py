"""Input and output of a connection: passes bytes between its socket and its engine.

`flush` sends the engine's output without the lock, in one thread at a time. `take` passes input of
the socket to the engine. Must never know requests, or what threads wait for.
"""

import ssl
import time
from typing import Any, Final

from mypy_extensions import i64

from cno.aio.errors import name_of, said
from cno.aio.log import log
from cno.aio.tls import is_adequate
from cno.const import (
    CNO_RST_CANCEL,
    CNO_RST_INADEQUATE_SECURITY,
    CNO_RST_NO_ERROR,
    MAX_STREAM_ID,
)
from cno.core import CLOSED, H2_CONTINUATION, INIT, waiting
from cno.errors import ConnectionError, Reason, WouldBlockError
from cno.sync.state import Guard, Link, StreamState
from cno.sync.transport import BARE_END, FULL_END, NO_END, rest_of
from cno.trace.hook import Tracer

#: Bytes that are encrypted at once.
TLS_PIECE: Final = 65_536
INTERRUPTED: Final = "a thread was interrupted while it used the connection"
BROKEN: Final = Reason(INTERRUPTED, "", "")
#: Reads of one `read_now`: no server keeps a thread from sending its request.
MAX_READS: Final = 16


# -- the lock --------------------------------------------------------------------------------------


def begin(guard: Guard) -> None:
    """Note that the state is being changed. If another thread was interrupted while it changed the
    state, give up the connections, which may be inconsistent. Called with the lock."""
    if guard.inside:
        guard.reset()
        for link in list(guard.links):
            lose(link, BROKEN)
    guard.inside = True


def start(link: Link, http2: bool, tracer: Tracer | None = None) -> None:
    """Begin HTTP over a connected transport. Called with the lock."""
    session = link.transport.session
    if tracer is not None:
        link.transport.tap = tracer.open(False, None if session is None else http2)
    link.guard.links[link] = None
    if session is not None:
        link.scheme = "https"
        link.disallow_h2_prior_knowledge = True
    link.begin(http2)
    if session is not None and session.selected_alpn_protocol() == "h2":
        if not is_adequate(session):
            link.write_reset(0, CNO_RST_INADEQUATE_SECURITY)


# -- output ----------------------------------------------------------------------------------------


def flush(link: Link) -> None:
    """Send the output until the socket's buffer is full. Called without the lock."""
    while send_once(link):
        pass


def send_once(link: Link) -> bool:
    """Send once; return whether there is more to do."""
    guard = link.guard
    guard.check()
    pieces: list[bytes] | None = None
    done = False
    is_sender = False
    try:
        with guard.lock:
            begin(guard)
            is_sender = not link.send_buffer.sending
            pieces = to_send(link)
            is_sender = pieces is not None
            guard.inside = False
        if pieces is None:
            done = True
            return False
        sent = 0
        problem: OSError | None = None
        try:
            sent = link.transport.send(pieces)
        except OSError as error:
            problem = error
        with guard.lock:
            begin(guard)
            was_sent(link, pieces, sent, problem)
            done = True
            buffer = link.send_buffer
            has_more = not buffer.is_empty() or link.is_closing or buffer.ends
            has_more = has_more and not buffer.blocked and not link.is_lost
            guard.inside = False
        return has_more
    finally:
        if not done and is_sender:
            interrupted(link)


def interrupted(link: Link) -> None:
    """Give up a connection: the thread that was sending cannot tell how much it has sent."""
    link.broken = True
    link.send_buffer.sending = False
    guard = link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        if link.is_lost:
            release(link)
        else:
            lose(link, BROKEN)
        guard.inside = False


def to_send(link: Link) -> list[bytes] | None:
    """Return the output that this thread has to send; None if there is none, or another thread
    sends."""
    buffer = link.send_buffer
    if buffer.sending or buffer.blocked or link.is_lost:
        return None
    pieces = buffer.encrypted
    if not pieces:
        if not buffer.plain:
            if link.is_closing:
                close_here(link)
            elif buffer.ends:
                buffer.ends = False
                link.transport.end_output()
            return None
        if link.transport.layers:
            pieces = encrypted(link)
        else:
            pieces = buffer.plain
            buffer.plain = []
    else:
        buffer.encrypted = []
    buffer.sending = True
    return pieces


def encrypted(link: Link) -> list[bytes]:
    """Encrypt a part of the output."""
    buffer = link.send_buffer
    plain: list[bytes] = []
    size: i64 = 0
    at: i64 = 0
    while at < len(buffer.plain) and size < TLS_PIECE:
        piece = buffer.plain[at]
        room = TLS_PIECE - size
        if len(piece) > room:
            plain.append(piece[:room])
            buffer.plain[at] = piece[room:]
            size += room
            break
        plain.append(piece)
        size += len(piece)
        at += 1
    del buffer.plain[:at]
    buffer.size -= size
    return link.transport.encrypted(plain)


def was_sent(link: Link, pieces: list[bytes], sent: i64, problem: OSError | None) -> None:
    """Note the result of a send."""
    buffer = link.send_buffer
    buffer.sending = False
    if link.is_lost:
        release(link)
        return
    if problem is not None:
        # The socket's buffer may still hold input, such as a final response.
        buffer.clear()
        read_leftover_input(link)
        lost(link, problem)
        return
    if sent > 0:
        link.times.sent_at = time.monotonic()
    rest = rest_of(pieces, sent)
    if link.transport.layers:
        buffer.encrypted = rest
    else:
        buffer.size -= sent
        buffer.plain = rest + buffer.plain if rest else buffer.plain
    if rest:
        buffer.blocked = True
        if link.reader is not None:
            link.reader.unpark()  # it must poll for output, too
    elif buffer.size <= link._limits.write_buffer:
        buffer.room_mark += 1
        for parker in list(link.parked_writers):
            parker.unpark()


# -- input -----------------------------------------------------------------------------------------


def take(link: Link, data: bytes) -> None:
    """Pass input of the socket, or b"" at its end, to the engine. Called with the lock."""
    if link.is_lost:
        return
    link.received += 1
    link.times.received_at = time.monotonic()
    transport = link.transport
    problem: OSError | None = None
    pieces: list[bytes] = []
    try:
        pieces = transport.decrypted(data)
        if transport.layers:
            link.send_buffer.encrypted += transport.encrypted([])
    except ssl.SSLError as error:
        problem = error
    for piece in pieces:
        receive(link, piece)
    if problem is not None:
        lost(link, problem)
    elif transport.end != NO_END:
        lost(link, None)
    notify(link)


def take_clear(link: Link, data: bytes) -> None:
    """Pass the first bytes of a proxy's tunnel, which came with its response, to the engine."""
    link.received += 1
    receive(link, data)
    notify(link)


def receive(link: Link, data: bytes) -> None:
    """Pass decrypted bytes to the engine."""
    if link.transport.tap is not None:
        link.transport.tap.received(data)
    if link.is_closing and link._state == CLOSED:
        return
    try:
        link.receive(data)
    except WouldBlockError:
        pass  # only servers pause their input
    except ConnectionError as error:
        # The engine has written its GOAWAY and called close().
        log.debug("%s", error)
        link.is_closing = True


def notify(link: Link) -> None:
    """Notify the listener of changes, and the requests that can be sent now."""
    if link.changed_due:
        link.changed_due = False
        if link.listener is not None:
            link.listener.capacity_changed(link)
        for parker in list(link.parked_requests):
            if parker.done():
                parker.unpark()


def begin_tunnel(state: StreamState) -> None:
    """Make a stream a byte stream in both directions. Called without the lock."""
    guard = state._link.guard
    guard.check()
    with guard.lock:
        begin(guard)
        if not state._tunnel:
            state._begin_tunnel()
            notify(state._link)
        guard.inside = False


def read_now(link: Link) -> None:
    """Process the pending input of a connection on which no thread waits. Called with the lock."""
    for _ in range(MAX_READS):
        if link.is_lost or link.reader is not None or not link.transport.poller.has_input():
            return
        try:
            data = link.transport.receive()
        except OSError as error:
            lost(link, error)
            return
        if data is None:
            return
        take(link, data)


def read_leftover_input(link: Link) -> None:
    """Process the input that the socket's buffer still holds after a failed send."""
    if link.reader is not None:
        return
    try:
        data = link.transport.receive()
        while data:
            for piece in link.transport.decrypted(data):
                receive(link, piece)
            data = link.transport.receive()
    except OSError as error:
        log.debug("the rest of the input is lost: %s", error)


# -- the end ---------------------------------------------------------------------------------------


def close_here(link: Link) -> None:
    """Close the connection: all output has been sent."""
    link.ending.closed_here = True
    lost(link, None)


def lose(link: Link, why: Reason) -> None:
    """End the connection because of a timeout or an interrupt."""
    if why.limit:
        link.ending.timed_out = why
    link.ending.closed_here = not why.limit and why.text == INTERRUPTED
    lost(link, ConnectionAbortedError(why.text))


def lost(link: Link, problem: OSError | None) -> None:
    """Fail all requests of the connection, and close its socket. Called with the lock."""
    if link.is_lost:
        if link.exchanges or link.parked or link.parked_requests:
            finish(link)  # a thread was interrupted in here
        return
    ending = link.ending
    ending.cause = end_of(link, problem)
    ending.hung_up = not ending.closed_here and is_quiet(link)
    link.is_lost = True
    if link.transport.end != FULL_END or ending.closed_here:
        # > A response that has neither chunked transfer coding nor Content-Length is complete
        # > only if a valid closure alert has been received.   (RFC 9112 9.8)
        for state in list(link.exchanges.values()):
            state._failed(link.lost_error(state.stream, state._progress()))
    try:
        link.end_of_input()
    except ConnectionError as error:
        log.debug("%s", error)
    finish(link)


def finish(link: Link) -> None:
    """Fail what is left of a lost connection, and wake all that wait. Called with the lock."""
    for state in list(link.exchanges.values()):
        state._failed(link.lost_error(state.stream, state._progress()))
        state._ended = True
        state._wake()
    link.exchanges.clear()
    link.send_buffer.clear()
    for parker in list(link.parked):
        parker.unpark()
    if link.reader is not None:
        link.reader.unpark()
    for parker in list(link.parked_requests):
        parker.unpark()
    release(link)
    if link.transport.tap is not None:
        link.transport.tap.closed()
    if link.listener is not None:
        link.listener.lost(link)


def release(link: Link) -> None:
    """Close the socket of a lost connection, unless a thread still uses it."""
    if link.send_buffer.sending or (link.reader is not None and link.reader.waker is not None):
        return
    link.guard.links.pop(link, None)
    if link.ending.closed_here and not link.broken:
        link.transport.goodbye()
    link.transport.close()


def end_of(link: Link, problem: OSError | None) -> str:
    """Return how a connection ended, and by whom."""
    timed_out = link.ending.timed_out
    if timed_out is not None:
        return f"{timed_out.text}: the connection was closed here"
    if problem is not None:
        return f"the connection was lost: {said(problem)}"
    if link.ending.closed_here:
        return "the connection was closed here"
    if link.goaway_code() != CNO_RST_NO_ERROR:
        return f"the peer closed the connection: {name_of(link.goaway_code())}"
    if link.transport.end == BARE_END:
        return "the peer closed the connection without ending TLS (no close_notify)"
    return "the peer closed the connection"


def is_quiet(link: Link) -> bool:
    """Return whether the input ended at the end of a message, or of a frame."""
    if link._state == INIT or waiting(link) != 0:
        return False
    if link._http2:
        return link._state != H2_CONTINUATION
    return link._h1.head is None


def drain(link: Link) -> None:
    """Begin to close the WebSockets of a connection. Called with the lock."""
    for state in list(link.exchanges.values()):
        if state._listener is not None:
            state._listener.draining()


def end(link: Link, at_once: bool) -> None:
    """Close a connection: now, or once its exchanges have ended. Called with the lock."""
    if at_once:
        if not link.is_lost:
            for stream in list(link.exchanges):
                link.write_reset(stream, CNO_RST_CANCEL)
    else:
        drain(link)
    shut(link)
    push_out(link)
    if at_once:
        abort(link)


def shut(link: Link) -> None:
    """Refuse new requests, and close once all exchanges have ended. Called with the lock."""
    if link.is_lost:
        return
    if link._state > CLOSED and not link._draining:
        link.shutdown()
    if not link.exchanges:
        link.is_closing = True


def push_out(link: Link) -> None:
    """Send output without waiting; close if that was all. Called with the lock."""
    while not link.is_lost:
        pieces = to_send(link)
        if pieces is None:
            break
        try:
            sent = link.transport.send(pieces)
        except OSError as error:
            was_sent(link, pieces, 0, error)
            break
        was_sent(link, pieces, sent, None)
    if link.is_closing and link.send_buffer.blocked and link.reader is None and not link.is_lost:
        abort(link)  # the server does not read, and no thread waits for it


def abort(link: Link) -> None:
    """Close the connection at once. Called with the lock."""
    link.ending.closed_here = True
    link.is_closing = True
    link.send_buffer.clear()
    lost(link, None)


def last_id(link: Link) -> i64:
    """Return the last stream that the server's GOAWAY names; more than any if there is none."""
    return link._h2.goaway_received if link._http2 else MAX_STREAM_ID + 1


def session_of(link: Link) -> Any:
    """Return the TLS session; None in clear text."""
    return link.transport.session
