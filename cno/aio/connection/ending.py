"""The end of a connection: closing its transport, and the work after the transport is lost.

All received input is parsed before the loss is reported; then every waiting call fails. Knows the
transport, and the calls that may wait. Must never know requests and responses.
"""

import asyncio
import socket
from ssl import SSLError, SSLObject
from typing import Final

from cno.aio.connection import (
    bugs,
    intake,
    lifecycle,
    reasons,
    send_buffer,
    send_queue,
    timeouts,
    truncation,
)
from cno.aio.connection.lifecycle import (
    ABORT,
    BARE_END,
    CLOSE,
    CLOSE_TRANSPORT,
    CLOSED_HERE,
    CONNECTING,
    CONNECTION_LOST,
    CUT,
    CUT_OFF,
    EOF_RECEIVED,
    FLUSHING,
    FULL_END,
    HAND_OVER,
    LINGER,
    LINGER_BEGUN,
    LINGERING,
    LOST,
    NO_END,
    ORDERLY,
    SHUTDOWN,
    WAITERS_DONE,
)
from cno.aio.connection.progress import acknowledged, is_sending, is_taking
from cno.aio.connection.state import Link
from cno.aio.errors import name_of, said
from cno.aio.log import connection_log
from cno.aio.tls import received_close_notify, ssl_object_of
from cno.aio.waiters import wake
from cno.core import CLOSED, H1_BLOCKED, H2_CONTINUATION, INIT, waiting
from cno.errors import ConnectionError, Reason
from cno.streams import flush_all

#: Bytes of one read.
PIECE: Final = 65_536
#: Seconds, at least, between two looks at what a closing connection has still to send.
LOOK: Final = 0.05


# -- the peer's end --------------------------------------------------------------------------------


def eof_received(conn: Link) -> bool:
    """Handle the end of the peer's input. Return whether the transport stays open for output."""
    secured = ssl_object_of(conn.transport)
    secure = secured is not None
    whole = secured is None or received_close_notify(secured)
    conn._life.peer_end = FULL_END if whole else BARE_END
    while conn._intake.behind and conn._life.phase < FLUSHING:
        intake.catch_up(conn)
    if not conn._http2 and conn._state == H1_BLOCKED:
        intake.retry(conn)  # it may be scheduled already
    if conn._life.phase < LOST:
        send_buffer.flush(conn)  # now: the transport may be closed before the scheduled flush
    if conn._http2 or conn._life.phase >= FLUSHING or not conn._exchanges:
        return False
    for exchange in list(conn._exchanges.values()):
        if exchange._tunnel:
            if whole:
                exchange._completed(None)
            return not secure
        if secure or not conn._server or not exchange._complete:
            if truncation.cuts(conn):
                conn._context.copy().run(abort_half_closed, conn)
            return False
    half_closed(conn)
    return True


# -- closing the transport -------------------------------------------------------------------------


def shutdown(conn: Link) -> None:
    """Close after the open streams, or after `shutdown_timeout`."""
    if conn._life.drain_since == 0.0 and conn._life.phase != CONNECTING:
        conn._life.drain_since = conn.loop.time()
        if conn._life.fire(SHUTDOWN):  # otherwise another timer runs
            timeouts.stop(conn)
            timeouts.arm(conn)
    if conn._life.phase < FLUSHING and not timeouts.is_fresh(conn):
        conn._engine_shutdown()
    for exchange in list(conn._exchanges.values()):
        exchange._draining()


def close(conn: Link) -> None:
    """Write the pending output, and close the transport. Open streams end."""
    is_connected = conn._life.phase != CONNECTING
    if not conn._life.fire(CLOSE):
        return
    if not is_connected:
        wake(conn._life.closed_waiter)
        return
    if conn._intake.parsing:
        return
    if conn._corked > conn._app_corks and conn._state != CLOSED:
        # Called by an event in the middle of a write: the write is finished first.
        conn.loop.call_soon(close_transport, conn, context=conn._context)
    else:
        close_transport(conn)


def half_close(conn: Link) -> None:
    """HTTP/1.1: end our direction of a tunnel."""
    secure = ssl_object_of(conn.transport) is not None
    if not conn._http2 and conn._life.phase < FLUSHING and not secure:
        send_buffer.flush(conn)
        conn.transport.write_eof()


def close_transport(conn: Link) -> None:
    """Write the pending output, and close the transport, or first our half of it."""
    if conn._life.phase >= LINGERING:
        return
    timeouts.stop(conn)
    if conn._corked != 0:
        flush_all(conn)  # output after cork(), without the uncork()
    send_buffer.flush(conn)
    if conn._life.phase >= LINGERING:
        return  # the flush exceeded `max_write_backlog` and has aborted
    mode = conn._life.close_mode
    if conn._http2 and conn._transport_state.full and mode == LINGER:
        mode = CUT
    if truncation.cuts(conn) or mode == CUT:
        # The rest of a cancelled request is of no use, and a peer that does not read would not
        # receive the reason for the close.
        conn._life.fire(CLOSE_TRANSPORT)
        truncation.cut_off(conn)
        return
    secure = ssl_object_of(conn.transport) is not None
    if mode == LINGER and not (secure and conn._http2):
        # Closing while the peer is sending would make its system discard our last message.
        # > If a server performs an immediate close of a TCP connection, there is a significant
        # > risk that the client will not be able to read the last HTTP response.
        # > (RFC 9112 9.6)
        try:
            # TLS cannot half-close; the last response of HTTP/1.1 announces the close. After a
            # GOAWAY for an error, the peer may wait for the end of the connection.
            if not secure:
                conn.transport.write_eof()
        except (OSError, NotImplementedError, RuntimeError):
            conn._life.fire(CLOSE_TRANSPORT)
            conn.transport.close()
        else:
            conn._life.fire(LINGER_BEGUN)
            give_time(conn, conn._limits.linger_timeout)
            conn._intake.pipeline_blocked = False
            conn._intake.unread = 0
            intake.update_reading(conn)
        return
    conn._life.fire(CLOSE_TRANSPORT)
    # When closed a second time, asyncio's TLS transports lose the size of their write buffer.
    if not conn.transport.is_closing():
        conn.transport.close()
    # > After sending the GOAWAY frame for an error condition, the endpoint MUST close the TCP
    # > connection.   (RFC 9113 5.4.1)
    # Over TLS, close_notify follows the GOAWAY directly. The socket stays open until the peer
    # answers it, sends more, or `linger_timeout` has passed. (Some servers never answer a
    # close_notify, and a client needs no answer; one that blocks answers when it is used next.)
    limits = conn._limits
    patient = conn._server and mode == ORDERLY
    patience = limits.shutdown_timeout if patient else limits.linger_timeout
    if patient and secure:
        if is_sending(conn.transport):
            conn._timeouts.taken_mark = acknowledged(conn)
        await_close_notify(conn, None if patience is None else conn.loop.time() + patience)
    elif patience is not None:
        give_time(conn, patience)


def detach(conn: Link) -> None:
    """Leave the transport to another protocol: this connection ends, and so do all waiting calls.

    Raises ConnectionLostError if the connection ends while its last output is flushed.
    """
    send_buffer.flush(conn)
    if not conn._life.fire(HAND_OVER):
        raise reasons.of_loss(conn, 0)
    timeouts.stop(conn)
    conn._life.cause = "another protocol has taken over the connection"
    if conn._intake.reading_paused:
        conn._context.copy().run(conn.transport.resume_reading)
    for exchange in list(conn._exchanges.values()):
        exchange._failed(reasons.of_loss(conn, exchange.stream))
    fail_waiters(conn)


def give_time(conn: Link, patience: float) -> None:
    """Give the transport `patience` seconds to write the rest, and more while the peer takes it."""
    if conn._life.phase >= LOST:
        return
    if is_sending(conn.transport):
        conn._timeouts.taken_mark = acknowledged(conn)
    timer = conn.loop.call_later(patience, check_closing, conn, patience, context=conn._context)
    conn._timeouts.timer = timer


def await_close_notify(conn: Link, due: float | None) -> None:
    """Give a TLS client until `due` to take the output, then `linger_timeout` for close_notify."""
    if conn._life.phase >= LOST:
        return
    wait = conn._limits.linger_timeout
    taken = not is_sending(conn.transport)
    if not taken:
        wait = max(wait, LOOK)
        if due is not None:
            wait = min(wait, max(due - conn.loop.time(), 0.0))
    timer = conn.loop.call_later(wait, check_close_notify, conn, due, taken, context=conn._context)
    conn._timeouts.timer = timer


def check_close_notify(conn: Link, due: float | None, taken: bool) -> None:
    """Abort the connection if its client had all output at the last look, or at `due`."""
    conn._timeouts.timer = None
    if conn._life.phase >= LOST:
        return
    if taken:
        conn._life.fire(ABORT)
        truncation.cut_off(conn)
    elif due is not None and conn.loop.time() >= due:
        check_closing(conn, conn._limits.shutdown_timeout or 0.0)
    else:
        await_close_notify(conn, due)


def check_closing(conn: Link, patience: float) -> None:
    """Abort the connection, unless the peer still takes output."""
    conn._timeouts.timer = None
    most = conn._limits.shutdown_timeout
    late = conn._life.drain_since != 0.0 and most is not None
    expired = late and conn.loop.time() - conn._life.drain_since >= (most or 0.0)
    if not expired and is_taking(conn):
        timer = conn.loop.call_later(patience, check_closing, conn, patience, context=conn._context)
        conn._timeouts.timer = timer
    else:
        conn._life.fire(ABORT)
        truncation.cut_off(conn)


def half_closed(conn: Link) -> None:
    """Handle a half-close of an HTTP/1.1 client, which may be gone or wait for its responses.

    Keep answering for `half_closed_timeout`; then wait only while it takes the written output.
    """
    conn._life.fire(EOF_RECEIVED)
    timeouts.stop(conn)
    conn._timeouts.output_since = 0.0
    wait = conn._limits.half_closed_timeout
    conn._timeouts.timer = conn.loop.call_later(wait, expire, conn, context=conn._context)


def expire(conn: Link) -> None:
    """Abort the connection of a half-closed client, unless it still takes output."""
    conn._timeouts.timer = None
    is_written = conn.transport.get_write_buffer_size() == 0
    if is_written or timeouts.overdue_output(conn, conn.loop.time()):
        abort_half_closed(conn)
    else:
        wait = conn._limits.half_closed_timeout
        conn._timeouts.timer = conn.loop.call_later(wait, expire, conn, context=conn._context)


def abort(conn: Link) -> None:
    """Close the transport at once; unsent output is lost."""
    send_buffer.clear(conn)
    if conn._life.phase == CONNECTING:
        wake(conn._life.closed_waiter)
    if conn._life.phase < LOST:
        conn._life.fire(ABORT)
        if conn._state != INIT:
            truncation.cut_off(conn)


def abort_half_closed(conn: Link) -> None:
    """Abort the transport, and end the connection: its peer has closed its side before."""
    truncation.cut_off(conn)
    lost(conn, None)


# -- the loss -------------------------------------------------------------------------------------


def lost(conn: Link, exc: Exception | None) -> None:
    """Handle the loss of the transport, which asyncio may report twice (a write in a callback)."""
    before = conn._life.phase
    if not conn._life.fire(CONNECTION_LOST):
        return
    timeouts.stop(conn)
    conn._life.loss = exc
    closed = before >= FLUSHING  # by us: later input is dropped
    if closed or before == CONNECTING:
        conn._intake.behind = False
        intake.drop_unparsed(conn)
    elif conn._life.peer_end == NO_END:
        read_leftover_input(conn)
    if closed:
        conn._life.peer_end = CLOSED_HERE
    elif exc is not None or (conn._transport_state.clear_text and conn._life.peer_end == NO_END):
        # In clear text, the event loop announces a clean end by eof_received(). A loss without it
        # is not clean: asyncio may have dropped the error of a failed write.
        conn._life.peer_end = CUT_OFF
    parse_rest(conn)


def end_of(conn: Link) -> str:
    """Return how a connection ended, and by whom."""
    here = conn._life.peer_end == CLOSED_HERE
    if conn._life.timed_out is not None and here:
        return f"{conn._life.timed_out.text}: the connection was closed here"
    if conn._life.loss is not None:
        return f"the connection was lost: {said(conn._life.loss)}"
    if here:
        return "the connection was closed here"
    if conn._http2 and conn._h2.goaway_code != 0:
        return f"the peer closed the connection: {name_of(conn._h2.goaway_code)}"
    if conn._life.peer_end == CUT_OFF:
        return "the connection was cut off"
    if conn._life.peer_end == FULL_END:
        return "the peer closed the connection"
    return "the peer closed the connection without ending TLS (no close_notify)"


def end_unresponsive(conn: Link, why: Reason) -> None:
    """End the connection: the peer has gone, or does not react any more."""
    if why.limit:
        conn._life.timed_out = why
    lost(conn, ConnectionAbortedError(why.text))
    conn.transport.abort()


def is_quiet(conn: Link) -> bool:
    """Return whether nothing has come that is not a whole message, or a whole frame."""
    if waiting(conn) != 0:
        return False
    if conn._http2:
        return conn._state != H2_CONTINUATION
    return conn._h1.head is None


def parse_rest(conn: Link) -> None:
    """Parse the received input, in several iterations of the event loop if necessary."""
    kept = not conn._http2 and conn._state != INIT and waiting(conn) != 0
    if kept or intake.has_more(conn):
        conn._intake.behind = False
        intake.take_piece(conn)
        if intake.has_more(conn):
            conn.loop.call_soon(parse_rest, conn, context=conn._context)
            return
    report_loss(conn)


def report_loss(conn: Link) -> None:
    """Report the loss to the streams, and to all calls that wait for the peer."""
    conn._life.cause = end_of(conn)
    conn._life.loss = None  # its traceback may refer to the connection
    conn._life.hung_up = conn._life.peer_end != CLOSED_HERE and is_quiet(conn)
    intake.drop_unparsed(conn)
    if conn._life.peer_end != FULL_END:
        # A body that lasts until the connection ends, or a tunnel, is incomplete.
        # > A response that has neither chunked transfer coding nor Content-Length is complete
        # > only if a valid closure alert has been received.   (RFC 9112 9.8)
        for exchange in list(conn._exchanges.values()):
            exchange._failed(reasons.of_loss(conn, exchange.stream, exchange._progress()))
    try:
        conn.end_of_input()
    except ConnectionError as error:
        connection_log.debug("%s", error, extra={"connection": conn._number})
    except Exception as bug:
        bugs.report(conn, bug)
    conn._life.fire(WAITERS_DONE)
    fail_waiters(conn)


def fail_waiters(conn: Link) -> None:
    """Fail or end all calls that still wait on a connection that is CLOSED."""
    send_queue.fail_all(conn)
    conn._after_loss()
    if conn._pings is not None:
        conn._pings.fail(reasons.of_loss(conn, 0))
    wake(conn._life.closed_waiter)


# -- received input that was not read --------------------------------------------------------------


def read_leftover_input(conn: Link) -> None:
    """Read the input that the system or TLS still holds: a failed write ends all reading.

    TLS data in the system's buffer is lost: the event loop's TLS cannot be given it.
    """
    try:
        secured = ssl_object_of(conn.transport)
        if secured is None:
            intake.add_unparsed(conn, from_system(conn.transport))
        else:
            intake.add_unparsed(conn, from_tls(secured))
    except (OSError, ValueError, AttributeError) as error:
        connection_log.debug("nothing more to be read: %s", error)


async def wait_closed(conn: Link) -> None:
    """Wait until the connection is closed, or `close` or `abort` is called before it has begun."""
    life = conn._life
    if life.phase == lifecycle.CLOSED or (life.phase >= FLUSHING and life.connected_at == 0.0):
        return
    if conn._life.closed_waiter is None:
        conn._life.closed_waiter = conn.loop.create_future()
    await asyncio.shield(conn._life.closed_waiter)


def from_system(transport: asyncio.BaseTransport) -> bytes:
    """Return the content of a socket's buffer, at most its size: the peer may go on sending."""
    found = bytearray()
    held = transport.get_extra_info("socket")
    if held is None or held.fileno() < 0:
        return b""
    with socket.fromfd(held.fileno(), held.family, held.type) as sock:
        sock.setblocking(False)
        most = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        try:
            while len(found) < most:
                piece = sock.recv(PIECE)
                if not piece:
                    break
                found += piece
        except OSError as error:
            connection_log.debug("no more than that can be read: %s", error)
    return bytes(found)


def from_tls(secured: SSLObject) -> bytes:
    """Return the TLS data that was received and not decrypted while reading was paused."""
    found = bytearray()
    try:
        while piece := secured.read(PIECE):
            found += piece
    except SSLError:
        pass  # there is no more
    return bytes(found)
