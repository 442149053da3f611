"""How the transport of a connection is closed, and what the peer may still do meanwhile.

Knows the transport and its timers. Must never know what a stream is.
"""

from typing import TYPE_CHECKING

from cno.aio import intake
from cno.aio.tls import secured_by

if TYPE_CHECKING:
    from cno.aio.connection import Connection


def close_transport(conn: "Connection") -> None:
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
