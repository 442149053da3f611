"""The state of a WebSocket: what has come, what is to be sent, and how it ends.

Its methods are called with the lock of the connection, and do not wait. Must never know how threads
wait, or how frames are made.
"""

import time
from typing import Final

from mypy_extensions import i64

from cno.aio.errors import claim
from cno.const import CNO_RST_CANCEL
from cno.sync.errors import ReadTimeoutError, WriteTimeoutError
from cno.sync.exchange import drop_pieces, has_sent, is_running, reset, resume_input
from cno.sync.messages import Response
from cno.sync.parker import Parker
from cno.sync.state import StreamListener
from cno.sync.timeouts import FOREVER
from cno.sync.websocket.output import FrameOutput
from cno.sync.websocket.pings import Pings
from cno.websocket import wire
from cno.websocket.errors import WebSocketClosed
from cno.websocket.frames import (
    MESSAGE,
    NO_CODE,
    NOTHING,
    PING,
    PONG,
    FrameReader,
    Violation,
    close_of,
)
from cno.websocket.inbox import MessageQueue
from cno.websocket.options import Options
from cno.websocket.socket import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, check_close

NO_CLOSE_FRAME: Final = "the stream ended without a close frame"

# What a thread waits for, besides the end of the WebSocket.
INPUT: Final = 0  # a message
TURN: Final = 1  # no other thread sends a message
WRITTEN: Final = 2  # the stream has accepted a message
ANSWER: Final = 3  # a pong
CLOSED: Final = 4  # nothing else
STREAM_END: Final = 5  # the end of the stream
SENT: Final = 6  # the socket has accepted a message


class SocketParker(Parker):
    """A thread that waits for a WebSocket.

    `mark` belongs to WRITTEN and SENT, `payload` to ANSWER.
    """

    def __init__(
        self, state: "SocketState", needs: i64, mark: i64 = 0, payload: bytes = b""
    ) -> None:
        super().__init__()
        self._state = state
        self.needs = needs
        self.mark = mark
        self.payload = payload
        self.expiry = FOREVER  # of the WebSocket, when the wait began
        self.met = False

    def done(self) -> bool:
        """Return whether the wait is over: also if it is to be shorter (`met` is False then)."""
        self.met = self._state.is_met(self)
        return self.met or self._state.expiry() < self.expiry


class SocketState(StreamListener):
    """The state of a WebSocket, over the stream of a response."""

    def __init__(self, response: Response, deflate: wire.Deflate | None, options: Options) -> None:
        self.response = response
        self.link = response._link
        self.options = options
        self.output = FrameOutput(response)
        self.pings = Pings(options, time.monotonic())
        self.sender: SocketParker | None = None  # the thread that sends a message
        self.parked_senders: dict[SocketParker, None] = {}  # those that wait for their turn
        self.close_code: int | None = None
        self.close_reason = ""
        self.close_sent = False  # our close frame was added to the output
        self.close_due = FOREVER  # when the peer's time to answer it is over
        self._our_code = NO_CODE  # its code, and its reason
        self._our_reason = ""
        self._reader = FrameReader(True, options, deflate)
        self._queue = MessageQueue(options)
        self._violation: Violation | None = None  # of the peer, behind messages
        self._lost: Exception | None = None  # why the stream ended early
        response._listener = self

    def is_open(self) -> bool:
        """Return whether messages can be sent."""
        return self._is_unclosed() and is_running(self.response)

    def _is_unclosed(self) -> bool:
        """Return whether no side has closed it, even if its stream has ended."""
        return self.close_code is None and not self.close_sent

    def is_met(self, parker: SocketParker) -> bool:
        """Process input and output; return whether a wait is over."""
        self.advance()
        output = self.output
        needs = parker.needs
        if needs == ANSWER or needs == CLOSED:
            self._fail()
        if needs == SENT or not output.is_empty():
            self.link.parked_writers[parker] = None  # it writes when there is room
        if needs == STREAM_END:
            return self.response._ended
        if self.close_code is not None:
            return True
        if needs != INPUT and not is_running(self.response):
            return True  # messages that were not taken are before the end
        if needs == INPUT:
            return not self._queue.is_empty() or self._violation is not None
        if needs == TURN:
            return self.sender is None or self.close_sent
        if needs == SENT:
            return has_sent(self.link, parker.mark)
        if needs == WRITTEN:
            return output.written >= parker.mark
        return needs == ANSWER and self.pings.answer_of(parker.payload) != 0.0

    # -- input -----------------------------------------------------------------------------------

    def take(self) -> str | bytes | None:
        """Return a message that has come; None if there is none, or no more (`close_code`)."""
        self.advance()
        if self._queue.is_empty():
            self._fail()
            return None
        was_full = self._queue.is_full()
        message = self._queue.take()
        if was_full:
            self.advance()
            self.response._wake()  # a pong, or a close frame, was behind the message
        return message

    def advance(self) -> None:
        """Process what has come, and write what the stream accepts."""
        if self._is_parsing():
            self._parse()
            if self._is_parsing() and self._is_at_end():
                self._lost = self.response._error
                self.ended(ABNORMAL, NO_CLOSE_FRAME)
        elif self.response._ended:
            self._fail()
        self.output.write()

    def _is_parsing(self) -> bool:
        return self.close_code is None and self._violation is None

    def _has_room(self) -> bool:
        """Return whether there is room for another message, or they are dropped by now."""
        return self.close_sent or not self._queue.is_full()

    def _is_at_end(self) -> bool:
        """Return whether the stream brings no more, and all of it is parsed."""
        response = self.response
        if response._pieces or not self._has_room():
            return False
        return response._complete or response._ended or response._error is not None

    def _parse(self) -> None:
        """Parse what has come, as long as there is room for messages."""
        reader = self._reader
        try:
            while self.close_code is None and self._has_room():
                found = reader.next()
                if found == MESSAGE:
                    if not self.close_sent:  # otherwise nobody waits for messages any more
                        self._queue.put(reader.message)
                elif found == NOTHING:
                    if not self._feed():
                        break
                elif found == PING:
                    if not self.close_sent:
                        self.output.pong(reader.payload)
                elif found == PONG:
                    self.pings.answered(reader.payload, time.monotonic())
                else:
                    code, reason = close_of(reader.payload)
                    if not self.close_sent:
                        self.output.close_connection()
                    self._write_close(code, reason)
                    self.ended(code, reason)
        except Violation as violation:
            self._violation = violation
            if self._queue.is_empty() or self.close_sent:
                self._fail()
            # Otherwise, the application takes the messages before it, and may answer them.

    def _feed(self) -> bool:
        """Pass a piece of input to the reader, and let the server send as much; return False if
        there is none."""
        response, link = self.response, self.link
        if not response._pieces:
            return False
        piece = response._pieces.popleft()
        response._size -= len(piece)
        resume_input(response)
        self._reader.feed(piece)
        if is_running(response):
            link.consume(response.stream, len(piece))
        return True

    def _fail(self) -> None:
        """End it if the peer broke a rule. (RFC 6455 7.1.7)"""
        violation = self._violation
        self._violation = None
        if violation is not None and self.close_code is None:
            self._write_close(violation.code, violation.reason)
            self.ended(violation.code, violation.reason)

    # -- the end ---------------------------------------------------------------------------------

    def expiry(self) -> float:
        """Return when to call `tick`."""
        if self.close_code is not None:
            return FOREVER
        return self.close_due if self.close_sent else self.pings.due

    def tick(self, now: float) -> None:
        """Enforce the timeouts of the WebSocket, and send pings."""
        pings = self.pings
        if self.close_code is not None or now < self.expiry():
            return
        if self.close_sent:
            self.ended(ABNORMAL, "the peer did not answer in time")
            reset(self.response, CNO_RST_CANCEL)
        elif not self.output.is_empty():
            pings.retry(now)  # it would wait behind a message
        elif not pings.is_missed():
            self.output.ping(pings.begin_automatic(now))
            self.output.write()
        elif not self._has_room() or self._violation is not None:
            pings.retry(now)  # the answer may be among what the application has no room for
        else:
            self._write_close(INTERNAL_ERROR, "no answer to a ping")
            self.ended(ABNORMAL, "no answer to a ping")

    def draining(self) -> None:
        """Close it, because the pool closes; one that has ended already leaves the connection."""
        if self.close_code is None:
            self.start_close(GOING_AWAY, "")
        else:
            reset(self.response, CNO_RST_CANCEL)

    def start_close(self, code: int, reason: str) -> None:
        """Send our close frame, if none has been sent. Raises ValueError."""
        if not self._is_unclosed():
            return
        check_close(code, reason)
        self.close_due = time.monotonic() + self.options.close_timeout
        self._write_close(code, reason)
        self._queue.clear()
        self._fail()
        self.advance()  # the peer's close frame may be behind messages
        self.response._wake()

    def _write_close(self, code: int, reason: str) -> None:
        if not self.close_sent:
            self.close_sent = True
            self._our_code = code
            self._our_reason = reason
            self.output.close(code, reason)

    def begin_ping(self) -> bytes:
        """Send a ping of the application; return its payload, b"" if no more can be sent."""
        if not self.is_open():
            return b""
        payload = self.pings.begin()
        self.output.ping(payload)
        self.output.write()
        return payload

    def end_turn(self, turn: SocketParker, is_whole: bool) -> None:
        """Let another thread send. End the WebSocket if a message was not sent whole."""
        if self.sender is turn:
            self.sender = None
        if not is_whole and self._is_unclosed():
            self.output.drop()
            self.ended(ABNORMAL, "a message was not sent whole")
            reset(self.response, CNO_RST_CANCEL)
        for parker in list(self.parked_senders):
            parker.unpark()

    def ended(self, code: int, reason: str) -> None:
        """There are no more messages; wake everybody who waits."""
        if self.close_code is not None:
            return
        self.close_code = code
        self.close_reason = reason
        response, link = self.response, self.link
        response._discard = True
        size = len(drop_pieces(response))
        resume_input(response)
        if size > 0 and is_running(response):
            link.consume(response.stream, size)
        self.output.end()
        self.output.write()
        response._wake()

    # -- errors ----------------------------------------------------------------------------------

    def error(self) -> WebSocketClosed:
        """Return what there is to raise, now that it is closed or closing."""
        code, reason = self.close_code, self.close_reason
        if code is None:
            if self.close_sent:
                code, reason = self._our_code, self._our_reason
            else:
                code, reason = ABNORMAL, NO_CLOSE_FRAME
        error = WebSocketClosed(
            code, reason, stream=self.response.stream, connection=self.link.number
        )
        error.__cause__ = self._lost
        return error

    def late(self, text: str) -> ReadTimeoutError:
        """Return the error of a read that takes too long."""
        error = ReadTimeoutError(text, stream=self.response.stream, code=0)
        claim(error, self.link.number)
        return error

    def not_accepted(self, timeout: float | None) -> WriteTimeoutError:
        """Return the error of a write that takes too long."""
        text = f"nothing was accepted within {timeout} s"
        error = WriteTimeoutError(text, stream=self.response.stream, code=CNO_RST_CANCEL)
        claim(error, self.link.number)
        return error
