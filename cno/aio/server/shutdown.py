"""The end of a server's connection: how long handlers may run, and when they are cancelled.

Must never know requests and responses.
"""

from cno.aio.connection.lifecycle import FLUSHING, LOST
from cno.aio.server import outcome
from cno.aio.server.state import ServerLink
from cno.core import H2_SETTINGS
from cno.h2.send import final_goaway


def say_goaway(conn: ServerLink) -> None:
    """HTTP/2: send a GOAWAY, unless the connection is closing or has sent one."""
    # > An endpoint SHOULD always send a GOAWAY frame before closing a connection   (RFC 9113 6.8)
    if conn._http2 and conn._state > H2_SETTINGS and conn._life.phase < FLUSHING:
        if conn._h2.goaway_sent < 0:
            conn.cork()
            final_goaway(conn)
            conn.uncork()


def expire(conn: ServerLink) -> None:
    """Abort at the end of the shutdown's time."""
    conn._handlers.deadline = None
    if conn._life.phase < LOST:
        conn.abort()
    cancel(conn)


def cancel(conn: ServerLink) -> None:
    """Cancel all handlers, also those of streams that ended normally."""
    conn._handlers.deadline = None
    tasks = conn._handlers.all_tasks()
    for task in tasks:
        task.cancel()
    if tasks:
        wait = conn._limits.linger_timeout
        conn._handlers.deadline = conn.loop.call_later(wait, forget, conn, context=conn._context)


def forget(conn: ServerLink) -> None:
    """Stop waiting for handlers that have not ended after they were cancelled."""
    conn._handlers.deadline = None
    if conn._handlers.running == 0:
        return
    told = f"{conn._handlers.running} handlers do not end although they were cancelled"
    outcome.report(conn, told, None)
    if conn._life.phase < LOST:
        conn.abort()
    conn._handlers.running = 0
    finished(conn)


def lost(conn: ServerLink) -> None:
    """The connection and all its streams have ended."""
    if conn._handlers.running == 0:
        finished(conn)


def finished(conn: ServerLink) -> None:
    """Report to the observer: the connection has ended, and no handler is running."""
    if conn._handlers.deadline is not None:
        conn._handlers.deadline.cancel()
        conn._handlers.deadline = None
    if conn._observer is not None:
        conn._observer.finished(conn)


def drain(conn: ServerLink, timeout: float | None = None) -> None:
    """Shut down, and abort after `timeout` seconds, or `Limits.shutdown_timeout` if that is
    less."""
    if conn._life.phase < FLUSHING:
        conn.shutdown()
    patience = conn._limits.shutdown_timeout
    if timeout is not None and (patience is None or timeout < patience):
        patience = timeout
    if patience is None:
        return
    due = conn.loop.time() + patience
    if conn._handlers.deadline is not None:
        if conn._handlers.deadline_at <= due:
            return
        conn._handlers.deadline.cancel()
    conn._handlers.deadline_at = due
    conn._handlers.deadline = conn.loop.call_at(due, expire, conn, context=conn._context)
