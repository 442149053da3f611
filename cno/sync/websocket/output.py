"""The frames of a WebSocket that wait for their stream.

Knows how a stream takes bytes. Must never know messages, or what threads wait for.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64

from cno.core import CLOSED
from cno.errors import DisconnectError, InvalidStreamError
from cno.sync.state import StreamState
from cno.websocket.frames import FIN, PING, PONG, FrameMaker

#: Bytes that are passed to the engine at once.
CHUNK: Final = 262_144


class FrameOutput:
    """The sending side of the stream. All methods are called with the lock.

    One message at a time is added. Of pongs, the last one is kept that waits for the end of a
    message, so that a peer that reads nothing cannot make the output grow:

    > If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to
    > previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most recently
    > processed Ping frame.   (RFC 6455 5.5.3)
    """

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._maker = FrameMaker(True, None)  # of control frames
        self._frames: deque[bytes] = deque()
        self._at: i64 = 0  # bytes of the first of these that are written
        self._pong: bytes | None = None  # the payload of one that waits
        self._ends = False  # the stream is to end after the frames
        self._closes = False  # so is a connection of HTTP/1.1
        #: Bytes that were added, and of these, bytes that the stream has accepted.
        self.added: i64 = 0
        self.written: i64 = 0

    def is_empty(self) -> bool:
        """Return whether all is written."""
        return not self._frames and self._pong is None

    def add(self, frame: bytes) -> i64:
        """Add a frame; return what `written` will be when the stream has accepted it."""
        self._frames.append(frame)
        self.added += len(frame)
        return self.added

    def ping(self, payload: bytes) -> None:
        self.add(self._maker.frame(FIN | PING, payload))

    def pong(self, payload: bytes) -> None:
        self._pong = payload

    def close(self, code: int, reason: str) -> None:
        self._pong = None
        self.add(self._maker.close(code, reason))

    def end(self) -> None:
        """End our side of the stream once all is written."""
        self._ends = True

    def close_connection(self) -> None:
        """Close a connection of HTTP/1.1, too, once all is sent.

        The server closes it as well when it has our answer to its close frame (RFC 6455 7.1.1);
        but no thread here may look for that, and until then the socket would stay open.
        """
        self._closes = True

    def drop(self) -> None:
        """Drop what is not written: the stream accepts no more."""
        self._frames.clear()
        self._pong = None
        self._at = 0
        self.written = self.added

    def write(self) -> None:
        """Write as much as the stream accepts."""
        state = self._state
        link = state._link
        while True:
            if not self._frames:
                if self._pong is None:
                    break
                self.add(self._maker.frame(FIN | PONG, self._pong))
                self._pong = None
            if state._ended or link.is_lost or link._state == CLOSED:
                self.drop()
                return
            if link.send_buffer.size > link._limits.write_buffer:
                return
            accepted = self._write_some(self._frames[0])
            if accepted == 0:
                return
        if self._ends:
            self._ends = False
            self._end_stream()

    def _write_some(self, frame: bytes) -> i64:
        """Write a part of the first frame; return how many bytes."""
        state = self._state
        at = self._at
        size: i64 = len(frame)
        piece = frame if at == 0 and size <= CHUNK else frame[at : at + CHUNK]
        accepted: i64 = 0
        try:
            accepted = state._link.write_data(state.stream, piece, False)
        except (DisconnectError, InvalidStreamError):
            self.drop()
            return 0
        self.written += accepted
        if at + accepted == size:
            self._frames.popleft()
            self._at = 0
        else:
            self._at = at + accepted
        return accepted

    def _end_stream(self) -> None:
        """End our side of the stream."""
        state = self._state
        link = state._link
        if state._ended or link.is_lost or link._state == CLOSED:
            return
        if not link._http2:
            link.is_closing = self._closes or link.is_closing
            return
        try:
            link.write_data(state.stream, b"", True)
        except (DisconnectError, InvalidStreamError):
            pass  # it has ended meanwhile
