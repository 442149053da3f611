"""The errors of WebSockets.

This module stays interpreted (see setup.py), so that applications can subclass them.
"""

from cno.aio.errors import ConnectionLostError, RequestRefusedError


class WebSocketClosed(ConnectionLostError):
    """The WebSocket is closed: `code` and `reason` are those of the peer's close frame, or ours
    where that ended it; 1005 stands for no code, 1006 for no close frame (RFC 6455 7.4.1)."""

    reason: str

    def __init__(self, code: int, reason: str, *, stream: int = 0, connection: int = 0) -> None:
        text = f"the WebSocket was closed with {code}{': ' if reason else ''}{reason}"
        super().__init__(text, stream=stream)
        self.code = code
        self.reason = reason
        self._connection = connection


class HandshakeError(RequestRefusedError):
    """At a server: the request asks for no WebSocket, or a malformed one. `code` and `headers` are
    the response to send, which the server does if a handler does not catch the error.

    At a client: the server has accepted what was not offered. `headers` are those of its response.
    `code` is 0.
    """
