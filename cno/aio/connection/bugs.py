"""Bugs, of this package or of a subclass, in the event of a connection.

Must never know requests and responses.
"""

from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.state import Link


def report(conn: Link, error: Exception) -> None:
    """Report a bug to the event loop's exception handler, and abort the connection."""
    conn.loop.call_exception_handler(
        {
            "message": "cno: an event of a connection failed",
            "exception": error,
            "protocol": conn,
        }
    )
    if conn._life.phase < LOST:
        conn.abort()
