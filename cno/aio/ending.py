"""The end of a connection: how its transport is closed, and what becomes of it once that is lost.

All that had been received is parsed before anybody is told of the loss; then everybody who waits is
told. Knows the transport, and who may wait. Must never know what a request or a response is.
"""

import asyncio
import socket
from ssl import SSLError, SSLObject
from typing import TYPE_CHECKING, Final

from cno.aio import intake
from cno.aio.output import log
from cno.aio.tls import secured_by
from cno.aio.waiters import wake
from cno.core import waiting
from cno.errors import ConnectionError

if TYPE_CHECKING:
    from cno.aio.connection import Connection

#: Bytes to be read at once.
PIECE: Final = 65_536


# -- closing the transport -------------------------------------------------------------------------


def close_transport(conn: "Connection") -> None:
    """Write what is waiting to be written, and close the transport, or at first our half of it."""
    if conn._gone:
        return
    conn._stop_timer()
    conn._flush()
    conn._mute = True
    if conn._given_up or (conn._linger and conn._http2 and conn._full):
        # What is left of a request that was given up helps nobody; nor does it help to tell a
        # peer that does not read why it is cut off.
        conn.transport.abort()
        return
    secure = secured_by(conn.transport) is not None
    if conn._linger and not (secure and conn._was_tunnel):
        # Closing while the peer is sending would make its system throw away what we said.
        # > If a server performs an immediate close of a TCP connection, there is a significant
        # > risk that the client will not be able to read the last HTTP response.
        # > (RFC 9112 9.6)
        try:
            # TLS has no half of an end: the peer learns from what was said. (From a tunnel,
            # which says no such thing, by the whole end.)
            if not secure:
                conn.transport.write_eof()
        except (OSError, NotImplementedError, RuntimeError):
            conn.transport.close()
        else:
            wait = conn._limits.linger_timeout
            conn._timer = conn.loop.call_later(wait, cut_off, conn, context=conn._context)
            conn._kept_back = False
            conn._unread = 0
            intake.listen(conn)
        return
    conn.transport.close()
    # A client has all it wants by now, and some servers never answer that TLS is closed.
    limits = conn._limits
    patience = limits.shutdown_timeout if conn._server else limits.linger_timeout
    if patience is not None:
        conn._set_timer(patience, conn.transport.abort)


def cut_off(conn: "Connection") -> None:
    conn._timer = None
    if not conn._gone:
        conn.transport.abort()


# -- the loss -------------------------------------------------------------------------------------


def lost(conn: "Connection", exc: Exception | None) -> None:
    """The transport is gone. (asyncio may say so twice, if a write failed inside a callback.)"""
    if conn._gone:
        return
    closed = conn._closing  # by us: what comes after that is dropped
    conn._gone = True
    conn._closing = True
    conn._stop_timer()
    conn._loss = exc
    # Clear text has an end that the event loop announces. A loss without it is none, whatever the
    # event loop says: asyncio may have forgotten why a write failed.
    conn._abrupt = exc is not None or (conn._clear_text and not closed and not conn._input_ended)
    if conn._abrupt or closed:
        conn._cut_off = True
    if closed or conn._born == 0.0:
        conn._behind = False
        conn._later = bytearray()
    elif not conn._input_ended:
        rescue(conn)
    work_off(conn)


def vanished(conn: "Connection") -> None:
    """The peer has gone, and nothing was being read at that time."""
    lost(conn, None)
    conn.transport.abort()


def work_off(conn: "Connection") -> None:
    """Parse what had been received, in as many turns of the event loop as that takes."""
    kept = not conn._http2 and conn._born != 0.0 and waiting(conn) != 0
    if kept or intake.has_more(conn):
        conn._behind = False
        intake.take_piece(conn)
        if intake.has_more(conn):
            conn.loop.call_soon(work_off, conn, context=conn._context)
            return
    tell(conn)


def tell(conn: "Connection") -> None:
    """Tell everybody who waits for something of the peer that it will never come."""
    exc = conn._loss
    conn._loss = None  # its traceback may hold the connection
    conn._later = bytearray()
    if conn._cut_off:
        # A body that lasts until the connection ends has not ended well.
        # > A response that has neither chunked transfer coding nor Content-Length is complete
        # > only if a valid closure alert has been received.   (RFC 9112 9.8)
        for exchange in list(conn._exchanges.values()):
            if conn._abrupt or not exchange._tunnel:
                exchange._failed(conn._lost(exchange.stream, exc))
    try:
        conn.end_of_input()
    except ConnectionError as error:
        log.debug("%s", error)
    except Exception as bug:
        conn._broken(bug)
    # Those whose stream had ended before they got in line: no event will tell them.
    for sending in list(conn._stalled.values()):
        conn._resolve(sending, conn._lost(sending.stream, exc))
    conn._stalled.clear()
    conn._loss_told = True
    conn._after_loss()
    if conn._pings is not None:
        conn._pings.fail(conn._lost(0, exc))
    wake(conn._closed)


# -- what had been received, and not been read -----------------------------------------------------


def rescue(conn: "Connection") -> None:
    """Take what the system, or TLS, holds for us: a write that fails ends all reading.

    (What the system holds of TLS is lost: there is no way to give it to the event loop's TLS.)
    """
    try:
        secured = secured_by(conn.transport)
        if secured is None:
            conn._later += from_system(conn.transport)
        else:
            conn._later += from_tls(secured)
    except (OSError, ValueError, AttributeError) as error:
        log.debug("nothing more to be read: %s", error)


def from_system(transport: asyncio.BaseTransport) -> bytes:
    """What a socket's buffer holds: no more than fits it, though the peer may go on sending."""
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
            log.debug("no more than that can be read: %s", error)
    return bytes(found)


def from_tls(secured: SSLObject) -> bytes:
    """What has been received of TLS, and not been decrypted while reading was paused."""
    found = bytearray()
    try:
        while piece := secured.read(PIECE):
            found += piece
    except SSLError:
        pass  # there is no more
    return bytes(found)
