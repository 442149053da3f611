"""Frames of a WebSocket to and from bytes, and the messages in them (RFC 6455 section 5, RFC 7692).

Payloads are unmasked, inflated and decoded as they come, so that what breaks a rule or a limit is
refused before its end. Must never know connections.
"""

import codecs
import os
import zlib
from typing import Any, Final

from librt.strings import BytesWriter
from mypy_extensions import i64

from cno.limits import UNBOUNDED
from cno.websocket import wire
from cno.websocket.options import Options

# Opcodes (RFC 6455 5.2).
CONT: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

#: Bits of the first byte: the last frame of a message, and a compressed message (RFC 7692 6).
FIN: Final = 0x80
RSV1: Final = 0x40
RSV: Final = 0x70

#: What `FrameReader.next` returns besides the opcodes of control frames.
NOTHING: Final = 0  # more bytes are needed
MESSAGE: Final = 1

# Close codes for what a peer must not send (RFC 6455 7.4.1).
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009

#: Bytes of the largest payload of a control frame.
MAX_CONTROL: Final = 125

#: What a sender removes from the end of each compressed message (RFC 7692 7.2.1).
EMPTY_BLOCK: Final = b"\0\0\xff\xff"

#: Bytes of compressed data that are inflated at once: they become at most 1,032 times as many
#: (RFC 1951 3.2.5).
INFLATED_STEP: Final = 4_096

#: Random bytes that are fetched at once for masks, of four each.
MASKS: Final = 4_096


class Violation(Exception):
    """The peer sent what ends the WebSocket: `code` and `reason` go into our close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """Takes bytes by `feed`, and gives messages and control frames by `next`.

    `client` is our role: a client gets frames that are not masked.
    """

    def __init__(self, client: bool, options: Options, deflate: wire.Deflate | None) -> None:
        self._masked = not client
        self._deflate = deflate
        self._apply_mask: Any = wire.library().apply_mask
        most = options.max_message_size
        self._max_size: i64 = UNBOUNDED if most is None else most
        self._max_fragments: i64 = options.max_fragments
        self._data = b""  # has come
        self._at: i64 = 0  # of this, has been parsed
        # -- the frame that is being received ---------------------------------------------------
        self._opcode: i64 = -1  # -1: none
        self._final = False
        self._mask = b""
        self._left: i64 = 0  # bytes of the payload that have not come
        self._control = b""  # what has come of a control frame's payload
        # -- the message that is being received -------------------------------------------------
        self._kind: i64 = -1  # TEXT or BINARY; -1: none
        self._inflater: Any = None  # of a compressed message
        self._fragments: i64 = 0
        self._size: i64 = 0  # bytes, inflated
        self._whole = b""  # all of it, if it came at once
        self._joined: bytearray | None = None  # otherwise
        self._decoder: Any = None  # checks a text that does not come at once
        #: The message, and the payload of the control frame, that `next` has found.
        self.message: str | bytes = b""
        self.payload = b""

    def feed(self, data: bytes) -> None:
        """Add bytes that have come."""
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def next(self) -> i64:
        """Return MESSAGE, CLOSE, PING or PONG if there is one, or NOTHING.

        Raises Violation. The reader must not be used after that, nor after a CLOSE.
        """
        while True:
            if self._opcode < 0 and not self._take_head():
                return NOTHING
            opcode = self._opcode
            if opcode >= CLOSE:
                if not self._take_control():
                    return NOTHING
                self._opcode = -1
                return opcode
            if not self._take_payload():
                return NOTHING
            self._opcode = -1
            if self._final:
                self._finish_message()
                return MESSAGE

    # -- the head of a frame ---------------------------------------------------------------------

    def _take_head(self) -> bool:
        """Take the head of the next frame; return False if it is not there."""
        data = self._data
        at = self._at
        have: i64 = len(data) - at
        if have < 2:
            return False
        first: i64 = data[at]
        second: i64 = data[at + 1]
        size = second & 0x7F
        self._check_head(first, second)
        need: i64 = 2
        if size == 126:
            need = 4
        elif size == 127:
            need = 10
        if self._masked:
            need += 4
        if have < need:
            return False
        at += 2
        if size >= 126:
            end = at + (2 if size == 126 else 8)
            if data[at] >= 0x80 and size == 127:
                # > ... the most significant bit MUST be 0   (RFC 6455 5.2)
                raise Violation(PROTOCOL_ERROR, "the length of a frame is negative")
            size = int.from_bytes(data[at:end], "big")
            at = end
        if self._masked:
            self._mask = data[at : at + 4]
            at += 4
        self._at = at
        self._opcode = first & 0xF
        self._left = size
        self._control = b""
        if self._opcode < CLOSE:
            self._begin_data(first, size)
        return True

    def _check_head(self, first: i64, second: i64) -> None:
        """Raise Violation for a head that cannot be. (RFC 6455 5.2, 5.5)"""
        opcode = first & 0xF
        if (second & 0x80 != 0) != self._masked:
            raise Violation(PROTOCOL_ERROR, "incorrect masking")
        if opcode > PONG or BINARY < opcode < CLOSE:
            raise Violation(PROTOCOL_ERROR, "invalid opcode")
        reserved = first & RSV
        if reserved != 0:
            # > ... an endpoint ... MUST ... if a frame with the "Per-Message Compressed" bit set
            # > is not the first fragment of a data frame   (RFC 7692 6)
            if reserved != RSV1 or self._deflate is None or not CONT < opcode < CLOSE:
                raise Violation(PROTOCOL_ERROR, "reserved bits must be 0")
        if opcode >= CLOSE:
            # > All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
            # > fragmented.   (RFC 6455 5.5)
            if second & 0x7F > MAX_CONTROL:
                raise Violation(PROTOCOL_ERROR, "control frame too long")
            if first & FIN == 0:
                raise Violation(PROTOCOL_ERROR, "fragmented control frame")
        elif opcode == CONT and self._kind < 0:
            raise Violation(PROTOCOL_ERROR, "unexpected continuation frame")
        elif opcode != CONT and self._kind >= 0:
            raise Violation(PROTOCOL_ERROR, "expected a continuation frame")

    def _begin_data(self, first: i64, size: i64) -> None:
        """Begin a data frame, and a message if it is the first one."""
        self._final = first & FIN != 0
        if self._kind < 0:
            self._kind = self._opcode
            self._fragments = 0
            self._size = 0
            self._inflater = None
            if first & RSV1 != 0 and self._deflate is not None:
                self._inflater = self._deflate.inflater()
        self._fragments += 1
        # Empty fragments take memory as well, which the limit of the size does not bound.
        if self._fragments > self._max_fragments:
            raise Violation(TOO_BIG, "too many fragments")
        if self._inflater is None and size > self._max_size - self._size:
            raise Violation(TOO_BIG, "message too big")

    # -- payloads --------------------------------------------------------------------------------

    def _take(self) -> bytes:
        """Take what has come of the frame's payload, without its mask."""
        at = self._at
        size: i64 = min(len(self._data) - at, self._left)
        data = self._data[at : at + size]
        self._at = at + size
        self._left -= size
        if self._masked and size > 0:
            mask = self._mask
            data = self._apply_mask(data, mask)
            turn = size & 3
            if turn != 0 and self._left > 0:
                self._mask = mask[turn:] + mask[:turn]
        return data

    def _take_control(self) -> bool:
        """Take a control frame's payload; return whether that is all of it."""
        piece = self._take()
        self._control = self._control + piece if self._control else piece
        if self._left > 0:
            return False
        self.payload = self._control
        return True

    def _take_payload(self) -> bool:
        """Take a data frame's payload; return whether that is all of it."""
        piece = self._take()
        done = self._left == 0
        if self._inflater is not None:
            self._inflate(piece)
            if done and self._final:
                self._inflate(EMPTY_BLOCK)
        elif piece:
            self._size += len(piece)
            if done and self._final and self._size == len(piece):
                self._whole = piece
            else:
                self._add(piece)
        return done

    def _inflate(self, data: bytes) -> None:
        """Add compressed data to the message."""
        at: i64 = 0
        while at < len(data):
            step = data[at : at + INFLATED_STEP] if len(data) > INFLATED_STEP else data
            at += INFLATED_STEP
            try:
                piece: bytes = self._inflater.decompress(step)
            except zlib.error:
                raise Violation(PROTOCOL_ERROR, "decompression failed") from None
            self._size += len(piece)
            if self._size > self._max_size:
                raise Violation(TOO_BIG, "message too big")
            if piece:
                self._add(piece)

    def _add(self, piece: bytes) -> None:
        """Add a piece to the message; text is checked at once."""
        if self._joined is None:
            self._joined = bytearray()
        self._joined += piece
        if self._kind == BINARY:
            return
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError as error:
            raise Violation(INVALID_DATA, f"invalid UTF-8: {error.reason}") from None

    def _finish_message(self) -> None:
        """The message is complete: set `message`."""
        data = self._whole if self._joined is None else bytes(self._joined)
        is_text = self._kind == TEXT
        self._kind = -1
        self._whole = b""
        self._joined = None
        self._decoder = None
        self.message = decoded(data) if is_text else data


def decoded(data: bytes) -> str:
    """Return the text of a whole message. Raises Violation if it is not UTF-8. (RFC 6455 8.1)"""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as fault:
        raise Violation(INVALID_DATA, f"invalid UTF-8: {fault.reason}") from None


def close_of(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame. Raises Violation. (RFC 6455 5.5.1, 7.4)"""
    if not payload:
        return NO_CODE, ""
    if len(payload) < 2:
        raise Violation(PROTOCOL_ERROR, "close frame too short")
    code = int.from_bytes(payload[:2], "big")
    if not is_code(code):
        raise Violation(PROTOCOL_ERROR, "invalid close code")
    return code, decoded(payload[2:])


def is_code(code: int) -> bool:
    """Return whether a close frame may have this code. (RFC 6455 7.4)"""
    # > Status codes in the range 0-999 are not used. ... 1005 is a reserved value and MUST NOT be
    # > set as a status code in a Close control frame   (7.4.1 and 7.4.2; 1004, 1006, 1015 likewise)
    if 3000 <= code <= 4999:  # of libraries and applications
        return True
    return 1000 <= code <= 1014 and not 1004 <= code <= 1006


class FrameMaker:
    """Makes frames: masked by a client, compressed by what was agreed on."""

    def __init__(self, client: bool, deflate: wire.Deflate | None) -> None:
        self._masking = client
        self._deflate = deflate
        self._apply_mask: Any = wire.library().apply_mask
        self._random = b""
        self._used: i64 = 0  # of these

    def message(self, opcode: i64, data: bytes) -> bytes:
        """Return the frame of a message."""
        if self._deflate is None:
            return self.frame(FIN | opcode, data)
        return self.frame(FIN | RSV1 | opcode, self._deflate.compress(data))

    def close(self, code: int, reason: str) -> bytes:
        payload = b"" if code == NO_CODE else code.to_bytes(2, "big") + reason.encode()
        return self.frame(FIN | CLOSE, payload)

    def frame(self, first: i64, data: bytes) -> bytes:
        """Return a frame whose first byte is this."""
        size: i64 = len(data)
        second: i64 = 0x80 if self._masking else 0
        writer = BytesWriter()
        writer.append(first)
        if size < 126:
            writer.append(second | size)
        elif size < 65_536:
            writer.append(second | 126)
            writer.append(size >> 8)
            writer.append(size & 0xFF)
        else:
            writer.append(second | 127)
            writer.write(int(size).to_bytes(8, "big"))
        if self._masking:
            mask = self._next_mask()
            writer.write(mask)
            data = self._apply_mask(data, mask)
        writer.write(data)
        return writer.getvalue()

    def _next_mask(self) -> bytes:
        # > The masking key needs to be unpredictable; thus, the masking key MUST be derived from a
        # > strong source of entropy   (RFC 6455 5.3)
        if self._used == len(self._random):
            self._random = os.urandom(MASKS)
            self._used = 0
        at = self._used
        self._used = at + 4
        return self._random[at : at + 4]
