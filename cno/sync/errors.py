"""The errors of requests whose own timeouts have passed: `cno.sync.Timeout`.

The limits of a connection raise the errors of `cno.aio.errors`. This module stays interpreted (see
setup.py), so that applications can subclass these classes.
"""

from cno.aio.errors import ConnectTimeoutError, StreamTimeoutError


class PoolTimeoutError(ConnectTimeoutError):
    """No connection of the pool was free in time (`Timeout.pool`). Nothing was sent."""


class ReadTimeoutError(StreamTimeoutError):
    """The server sent nothing for `Timeout.read` seconds, or `Timeout.total` has passed."""


class WriteTimeoutError(StreamTimeoutError):
    """The server took nothing for `Timeout.write` seconds, or `Timeout.total` has passed."""
