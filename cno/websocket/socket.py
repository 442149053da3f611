"""An open WebSocket: messages over a stream of either protocol.

Knows how a stream's bytes come in. Must never know the handshake, or how frames are made.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final

from cno.aio.connection.body import BodyBuffer
from cno.aio.connection.exchange import Exchange
from cno.aio.waiters import wake
from cno.const import CNO_RST_CANCEL
from cno.websocket import wire
from cno.websocket.errors import WebSocketClosed
from cno.websocket.frames import (
    BINARY,
    FIN,
    MESSAGE,
    NO_CODE,
    NOTHING,
    PING,
    PONG,
    TEXT,
    FrameMaker,
    FrameReader,
    Violation,
    close_of,
    is_code,
)
from cno.websocket.inbox import Inbox
from cno.websocket.options import Options
from cno.websocket.pings import Pings
from cno.websocket.writer import FrameWriter

#: Bytes that are buffered for sending before `send` waits.
WRITE_BUFFER: Final = 65_536

# Close codes (RFC 6455 7.4.1).
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
ABNORMAL: Final = 1006
INTERNAL_ERROR: Final = 1011

#: Bytes of the longest reason: a control frame has 125, the code takes two (RFC 6455 5.5).
MAX_REASON: Final = 123


class FrameBuffer(BodyBuffer):
    """The input of the stream of a WebSocket: it is parsed at once, and not buffered."""

    def __init__(self, exchange: Exchange, socket: "WebSocket") -> None:
        super().__init__(exchange._conn, exchange.stream, exchange._conn.loop)
        self._socket: WebSocket | None = socket  # until the input ends
        self._dropping = False  # nobody waits for messages any more

    def feed(self, data: bytes) -> None:
        if self._ended or self._error is not None:
            return
        self._fed += len(data)
        self._taken = self._fed
        socket = self._socket
        if self._dropping or socket is None or socket._received(data):
            self._give_back(0)

    def end(self) -> None:
        if self._error is None and not self._ended:
            self._ended = True
            self._disconnect(None)

    def fail(self, error: Exception) -> None:
        if not self._ended and self._error is None:
            self._error = error
            self._disconnect(error)

    def _disconnect(self, error: Exception | None) -> None:
        socket = self._socket
        self._socket = None
        if socket is not None:
            socket._input_ended(error)

    def release(self) -> None:
        """Let the peer send more: messages have been taken."""
        self._give_back(0)

    def draining(self) -> None:
        if self._socket is not None:
            self._socket.start_close(GOING_AWAY)

    def abandoned(self, failed: bool) -> bool:
        if self._socket is not None:
            self._socket.start_close(INTERNAL_ERROR if failed else NORMAL)
        return True

    def drop(self) -> None:
        self._dropping = True
        self._give_back(0)


class WebSocket:
    """Messages in both directions, `str` (text) or `bytes` (binary).

    `async for message in socket` ends when the peer closes with 1000 or 1001. `subprotocol` is the
    one agreed on. `close_code` and `close_reason` are None and '' while it is open. Leaving
    `async with` closes it.
    """

    def __init__(
        self,
        exchange: Exchange,
        deflate: wire.Deflate | None,
        subprotocol: str | None,
        client: bool,
        options: Options,
    ) -> None:
        self.subprotocol = subprotocol
        self.close_code: int | None = None
        self.close_reason = ""
        self._exchange = exchange
        self._client = client
        self._options = options
        self._loop = exchange._conn.loop

        self._reader = FrameReader(client, options, deflate)
        self._maker = FrameMaker(client, deflate)
        self._inbox = Inbox(self._loop, options)
        self._lost: Exception | None = None  # why the stream ended early
        self._writer = FrameWriter(exchange, self._on_loss)
        self._unparsed: deque[bytes] = deque()  # received, while too many messages wait
        self._violation: Violation | None = None  # of the peer, behind messages
        self._close_sent = False  # our close frame has been written
        self._our_code = NO_CODE  # its code, and its reason
        self._our_reason = ""
        self._at_end = False  # the stream brings no more
        self._closing = False  # `start_close` has been called
        self._closed: asyncio.Future[None] | None = None  # `close` waits for the end
        self._timer: asyncio.TimerHandle | None = None
        self._pings = Pings(
            self._loop, exchange._conn._context, options, self._send_ping, self._pong_missed
        )
        self._buffer = FrameBuffer(exchange, self)
        take_over(self, exchange)

    # -- for applications ------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """Wait for the next message. Raises WebSocketClosed when there are no more."""
        while self._inbox.is_empty():
            if self.close_code is not None:
                raise self._error()
            if self._violation is not None:
                self._fail()
                continue
            await self._inbox.wait()
        was_full = self._inbox.is_full()
        message = self._inbox.take()
        if was_full or self._at_end:
            self._parse()
            if not self._unparsed and self._has_room():
                self._buffer.release()
        return message

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message; wait while the peer takes no more.

        Raises WebSocketClosed once it is closed or closing, TypeError for what is no message.
        """
        self._check_open()
        self._writer.write(frame_of(self._maker, message))
        if self._writer.size > WRITE_BUFFER:
            await self._writer.drain(WRITE_BUFFER)

    async def ping(self) -> float:
        """Send a ping, and wait for its answer; the seconds that took. Raises WebSocketClosed."""
        self._check_open()
        return await self._pings.ping()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close it; wait until the peer agrees, `close_timeout` at most. Messages that come in
        meanwhile are dropped. Raises ValueError for a code that must not be sent."""
        self.start_close(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the peer has closed it too, or until it is given up."""
        if self.close_code is None:
            if self._closed is None:
                self._closed = self._loop.create_future()
            await asyncio.shield(self._closed)

    def __aiter__(self) -> "WebSocket":
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.code not in (NORMAL, GOING_AWAY):
                raise
        raise StopAsyncIteration

    async def __aenter__(self) -> "WebSocket":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(NORMAL if error is None else INTERNAL_ERROR)

    # -- input -----------------------------------------------------------------------------------

    def _received(self, data: bytes) -> bool:
        """Take bytes of the peer's frames; return whether the peer may send more."""
        if self.close_code is None and self._violation is None:
            self._unparsed.append(data)
            self._parse()
        return not self._unparsed and self._has_room()

    def _has_room(self) -> bool:
        """Return whether there is room for another message, or they are dropped by now."""
        return self._closing or not self._inbox.is_full()

    def _parse(self) -> None:
        """Parse what has come, as long as there is room for messages."""
        reader = self._reader
        try:
            while self.close_code is None and self._violation is None and self._has_room():
                found = reader.next()
                if found == MESSAGE:
                    if not self._closing:  # otherwise nobody waits for messages any more
                        self._inbox.put(reader.message)
                elif found == NOTHING:
                    if not self._unparsed:
                        break
                    reader.feed(self._unparsed.popleft())
                elif found == PING:
                    if not self._close_sent:
                        self._writer.write_pong(self._maker.frame(FIN | PONG, reader.payload))
                elif found == PONG:
                    self._pings.answered(reader.payload)
                else:
                    self._take_close(reader.payload)
        except Violation as violation:
            self._violation = violation
            if self._inbox.is_empty() or self._closing:
                self._fail()
            else:
                # The application takes the messages before it, and may answer them.
                self._arm(self._fail)
        if self.close_code is not None:
            self._unparsed.clear()
        if self._at_end and not self._unparsed and self._violation is None and self._has_room():
            self._finish_input()

    def _take_close(self, payload: bytes) -> None:
        """The peer closes the WebSocket: answer that, unless it is an answer itself."""
        code, reason = close_of(payload)
        if not self._close_sent:
            self._write_close(code, reason)
        self._end_after_close(code, reason)

    def _fail(self) -> None:
        """End it because the peer broke a rule. (RFC 6455 7.1.7)"""
        violation = self._violation
        self._violation = None
        if violation is None or self.close_code is not None:
            return
        if not self._close_sent:
            self._write_close(violation.code, violation.reason)
        self._end_after_close(violation.code, violation.reason)
        if self._at_end:
            self._finish_input()

    def _end_after_close(self, code: int, reason: str) -> None:
        self._ended(code, reason)
        if not self._client:
            self._writer.finish()
            return
        # > In abnormal cases (such as not having received a TCP Close from the server after a
        # > reasonable amount of time) a client MAY initiate the TCP Close.   (RFC 6455 7.1.1)
        self._arm(self._reset)

    def _input_ended(self, error: Exception | None) -> None:
        """The stream brings no more."""
        self._lost = error
        self._at_end = True
        if error is not None:
            self._writer.abandon()
        self._parse()

    def _finish_input(self) -> None:
        """The peer has sent all, and it has been parsed."""
        self._at_end = False
        self._stop_timer()
        self._ended(ABNORMAL, "the stream ended without a close frame")
        self._writer.finish()

    # -- output ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.close_code is not None or self._close_sent:
            raise self._error()

    def _error(self) -> WebSocketClosed:
        """Return what there is to raise, now that it is closed or closing."""
        code, reason = self.close_code, self.close_reason
        if code is None:
            code, reason = self._our_code, self._our_reason
        exchange = self._exchange
        error = WebSocketClosed(
            code, reason, stream=exchange.stream, connection=exchange._conn._number
        )
        error.__cause__ = self._lost
        return error

    def _on_loss(self, error: Exception | None) -> None:
        self._lost = self._lost or error
        self._ended(ABNORMAL, "the stream ended without a close frame")

    # -- the end ---------------------------------------------------------------------------------

    def start_close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send our close frame, if none has been sent, and give the peer `close_timeout` to answer.

        Raises ValueError for a code, or a reason, that must not be sent.
        """
        if self.close_code is not None or self._close_sent:
            return
        check_close(code, reason)
        self._closing = True
        self._write_close(code, reason)
        if self._violation is not None:
            self._fail()
        if self.close_code is None:
            self._arm(self._give_up)
            self._parse()  # the peer's close frame may be behind messages
            self._buffer.release()

    def _write_close(self, code: int, reason: str) -> None:
        self._close_sent = True
        self._our_code = code
        self._our_reason = reason
        self._writer.write(self._maker.close(code, reason))

    def _arm(self, callback: Callable[[], None]) -> None:
        """Have the peer's time for its close frame, or the end of the stream, run out."""
        self._stop_timer()
        wait = self._options.close_timeout
        self._timer = self._loop.call_later(wait, callback, context=self._exchange._conn._context)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give_up(self) -> None:
        """The peer does not answer: end it without."""
        self._timer = None
        self._ended(ABNORMAL, "the peer did not answer in time")
        self._reset()

    def _reset(self) -> None:
        exchange = self._exchange
        self._timer = None
        self._writer.abandon()
        if not exchange._ended:
            exchange._conn.write_reset(exchange.stream, CNO_RST_CANCEL)

    def _ended(self, code: int, reason: str) -> None:
        """There are no more messages; tell everybody who waits."""
        if self.close_code is not None:
            return
        self.close_code = code
        self.close_reason = reason
        self._stop_timer()
        self._buffer.drop()
        self._inbox.wake()
        wake(self._closed)
        self._closed = None
        self._pings.stop(self._error())

    # -- pings -----------------------------------------------------------------------------------

    def _send_ping(self, payload: bytes) -> None:
        if not self._close_sent:
            self._writer.write(self._maker.frame(FIN | PING, payload))

    def _pong_missed(self) -> None:
        if not self._has_room() or self._violation is not None:
            self._pings.retry()  # it may be among what the application has no room for
            return
        if not self._close_sent:
            self._write_close(INTERNAL_ERROR, "no answer to a ping")
        self._ended(ABNORMAL, "no answer to a ping")
        # A reset at once could destroy the close frame before a slow peer has read it.
        self._writer.finish()
        self._arm(self._reset)


def frame_of(maker: FrameMaker, message: str | bytes | bytearray | memoryview) -> bytes:
    """Return the frame of a message. Raises TypeError for what is none."""
    if isinstance(message, str):
        return maker.message(TEXT, message.encode())
    return maker.message(BINARY, payload_of(message)[1])


def payload_of(message: str | bytes | bytearray | memoryview) -> tuple[int, bytes]:
    """Return the opcode of a message, and its bytes. Raises TypeError for what is none."""
    if isinstance(message, str):
        return TEXT, message.encode()
    if isinstance(message, (bytes, bytearray, memoryview)):
        return BINARY, bytes(message)
    raise TypeError(f"a message is str or bytes-like, not {type(message).__name__}")


def take_over(socket: WebSocket, exchange: Exchange) -> None:
    """Take what has come already on a stream, and all that comes from now on."""
    buffer = socket._buffer
    before = exchange._replace_buffer(buffer)
    if before is not None:
        data = before._take(before._size) if before._size else b""
        if data:
            # The old buffer has accounted for them.
            socket._received(data)
        if before._error is not None:
            buffer.fail(before._error)
        elif before._ended:
            buffer.end()
    if exchange._error is not None:
        buffer.fail(exchange._error)
    elif exchange._complete or exchange._ended:
        buffer.end()


def check_close(code: int, reason: str) -> None:
    """Raise ValueError for what must not be in a close frame. (RFC 6455 5.5, 7.4)"""
    # > Status codes in the range 0-999 are not used. ... 1005 ... MUST NOT be set as a status code
    # > in a Close control frame   (RFC 6455 7.4; 1004, 1006 and 1015 likewise)
    if not is_code(code):
        raise ValueError(f"{code} must not be sent in a close frame [RFC 6455 7.4]")
    if len(reason.encode()) > MAX_REASON:
        raise ValueError(f"the reason is longer than {MAX_REASON} bytes [RFC 6455 5.5]")
