"""The errors of WebSockets.

This module stays interpreted (see setup.py), so that applications can subclass them.
"""

from cno.aio.errors import ConnectionLostError
from cno.aio.fields import Headers


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


class HandshakeError(Exception):
    """The request is none for a WebSocket; `code` and `headers` are what to answer it with."""

    def __init__(self, text: str, code: int, headers: Headers) -> None:
        super().__init__(text)
        self.code = code
        self.headers = headers
