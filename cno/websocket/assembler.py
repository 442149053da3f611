"""Messages from frames: text is decoded, fragments are joined, both within bounds.

Knows the kinds of frames. Must never know connections.
"""

import codecs
from typing import Any, Final

from mypy_extensions import i64

from cno.websocket import wire

# Close codes for what a peer must not send (RFC 6455 7.4.1).
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009


class Violation(Exception):
    """The peer sent what ends the WebSocket: `code` and `reason` go into our close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class MessageAssembler:
    """The message that is being received. `max_fragments` is how many frames it may have."""

    def __init__(self, max_fragments: int) -> None:
        self._library = wire.library()
        self._max_fragments: i64 = max_fragments
        self._count: i64 = 0  # of the frames of a fragmented message
        self._pieces: list[bytes] = []  # of a binary message
        self._texts: list[str] = []  # of a text message
        self._decoder: Any = None  # None: the message is binary

    def take(self, frame: Any) -> str | bytes | None:
        """Take a data frame; return the message if this was the last of it.

        Raises Violation for text that is not UTF-8 (RFC 6455 8.1), and for too many fragments:
        empty ones take memory as well, which the limit of a message's size does not bound.
        """
        library = self._library
        opcode: object = frame.opcode
        if opcode is library.CONT:
            return self._take_fragment(frame)
        if frame.fin:
            return decoded(frame.data) if opcode is library.TEXT else bytes(frame.data)
        self._count = 0
        self._decoder = None
        if opcode is library.TEXT:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        return self._take_fragment(frame)

    def _take_fragment(self, frame: Any) -> str | bytes | None:
        self._count += 1
        if self._count > self._max_fragments:
            raise Violation(TOO_BIG, "too many fragments")
        if self._decoder is None:
            self._pieces.append(bytes(frame.data))
            if not frame.fin:
                return None
            data = b"".join(self._pieces)
            self._pieces = []
            return data
        try:
            # Each fragment at once: text that is not UTF-8 is refused before its end has come.
            self._texts.append(self._decoder.decode(frame.data, bool(frame.fin)))
        except UnicodeDecodeError as error:
            raise Violation(INVALID_DATA, f"invalid UTF-8: {error.reason}") from None
        if not frame.fin:
            return None
        text = "".join(self._texts)
        self._texts = []
        return text


def decoded(data: Any) -> str:
    """Return the text of a whole message. Raises Violation if it is not UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Violation(INVALID_DATA, f"invalid UTF-8: {error.reason}") from None
