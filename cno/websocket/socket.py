"""An open WebSocket: messages over a stream of either protocol.

Knows how a stream's bytes come in. Must never know the handshake, or how frames are made.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from mypy_extensions import i64

from cno.aio.body import BodyBuffer
from cno.aio.exchange import Exchange
from cno.aio.waiters import wake
from cno.const import CNO_RST_CANCEL
from cno.limits import UNBOUNDED
from cno.websocket import wire
from cno.websocket.assembler import MessageAssembler, Violation
from cno.websocket.errors import WebSocketClosed
from cno.websocket.inbox import Inbox
from cno.websocket.options import Options
from cno.websocket.pings import Pings
from cno.websocket.writer import FrameWriter

#: Bytes of compressed data that are parsed at once, before it is seen whether there is room for
#: more: they become at most 1,032 times as many (RFC 1951 3.2.5).
INFLATED_STEP: Final = 4_096

#: Bytes that are buffered for sending before `send` waits.
WRITE_BUFFER: Final = 65_536

# Close codes (RFC 6455 7.4.1).
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_CODE: Final = 1005
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
        protocol: Any,
        subprotocol: str | None,
        client: bool,
        options: Options,
    ) -> None:
        self.subprotocol = subprotocol
        self.close_code: int | None = None
        self.close_reason = ""
        self._library = wire.library()
        self._exchange = exchange
        self._protocol = protocol
        self._client = client
        self._options = options
        self._loop = exchange._conn.loop

        self._assembler = MessageAssembler(options.max_fragments)
        self._inbox = Inbox(self._loop, options)
        self._lost: Exception | None = None  # why the stream ended early
        self._writer = FrameWriter(exchange, self._on_loss)
        self._unparsed: deque[bytes] = deque()  # received, while too many messages wait
        self._step: i64 = INFLATED_STEP if protocol.extensions else UNBOUNDED
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
            await self._inbox.wait()
        message = self._inbox.take()
        if self._unparsed:
            self._parse()
        if not self._unparsed and self._has_room():
            self._buffer.release()
        return message

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message; wait while the peer takes no more.

        Raises WebSocketClosed once it is closed or closing, TypeError for what is no message.
        """
        self._check_open()
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        elif isinstance(message, (bytes, bytearray, memoryview)):
            self._protocol.send_binary(bytes(message))
        else:
            raise TypeError(f"a message is str or bytes-like, not {type(message).__name__}")
        self._write_frames()
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
        step = self._step
        if len(data) <= step:
            self._unparsed.append(data)
        else:
            for at in range(0, len(data), int(step)):
                self._unparsed.append(data[at : at + step])
        self._parse()
        return not self._unparsed and self._has_room()

    def _has_room(self) -> bool:
        """Return whether there is room for another message, or they are dropped by now."""
        return self._closing or not self._inbox.is_full()

    def _parse(self) -> None:
        """Parse what has come, as long as there is room for messages."""
        protocol = self._protocol
        while self._unparsed and self._has_room():
            protocol.receive_data(self._unparsed.popleft())
            try:
                for frame in protocol.events_received():
                    self._take_frame(frame)
            except Violation as violation:
                protocol.fail(violation.code, violation.reason)
            if self.close_code is None:
                self._look_for_end()
            self._write_frames()
            if self.close_code is not None:
                self._unparsed.clear()
        if self._at_end and not self._unparsed:
            self._finish_input()

    def _take_frame(self, frame: Any) -> None:
        library = self._library
        opcode: object = frame.opcode
        if opcode is library.TEXT or opcode is library.BINARY or opcode is library.CONT:
            message = self._assembler.take(frame)
            if message is None or self._closing or self.close_code is not None:
                return  # once we are closing, nobody waits for messages
            self._inbox.put(message)
        elif opcode is library.PONG:
            self._pings.answered(bytes(frame.data))

    def _look_for_end(self) -> None:
        """End it if a close frame has come, or ours has gone because the peer broke a rule."""
        protocol = self._protocol
        received: Any = protocol.close_rcvd
        if received is not None:
            self._ended(int(received.code), str(received.reason))
            if self._client:
                # > In abnormal cases (such as not having received a TCP Close from the server
                # > after a reasonable amount of time) a client MAY initiate the TCP Close.
                # > (RFC 6455 7.1.1)
                self._arm(self._reset)
        elif protocol.close_sent is not None and not self._closing:
            self._ended(int(protocol.close_sent.code), str(protocol.close_sent.reason))
            if self._client:
                self._arm(self._reset)

    def _input_ended(self, error: Exception | None) -> None:
        """The stream brings no more."""
        self._lost = error
        self._at_end = True
        if error is not None:
            self._writer.abandon()
        if not self._unparsed:
            self._finish_input()

    def _finish_input(self) -> None:
        """The peer has sent all, and it has been parsed."""
        self._at_end = False
        self._stop_timer()
        self._protocol.receive_eof()
        self._look_for_end()
        self._ended(ABNORMAL, "the stream ended without a close frame")
        self._write_frames()
        self._writer.finish()

    # -- output ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.close_code is not None or self._protocol.close_sent is not None:
            raise self._error()

    def _error(self) -> WebSocketClosed:
        """Return what there is to raise, now that it is closed or closing."""
        code, reason = self.close_code, self.close_reason
        if code is None:
            sent: Any = self._protocol.close_sent
            code, reason = int(sent.code), str(sent.reason)
        exchange = self._exchange
        error = WebSocketClosed(
            code, reason, stream=exchange.stream, connection=exchange._conn._number
        )
        error.__cause__ = self._lost
        return error

    def _write_frames(self) -> None:
        """Write what the protocol has to send."""
        pieces: list[bytes] = self._protocol.data_to_send()
        for data in pieces:
            if data:
                self._writer.write(data)
            else:
                self._writer.finish()  # websockets.protocol.SEND_EOF

    def _on_loss(self, error: Exception | None) -> None:
        self._lost = self._lost or error
        self._ended(ABNORMAL, "the stream ended without a close frame")

    # -- the end ---------------------------------------------------------------------------------

    def start_close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send our close frame, if none has been sent, and give the peer `close_timeout` to answer.

        Raises ValueError for a code, or a reason, that must not be sent.
        """
        if self.close_code is not None or self._protocol.close_sent is not None:
            return
        check_close(code, reason)
        self._closing = True
        self._protocol.send_close(code, reason)
        self._write_frames()
        if self.close_code is None:
            self._arm(self._give_up)
            if self._unparsed:
                self._parse()  # the peer's close frame may be behind messages
            self._buffer.release()

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
        self._protocol.send_ping(payload)
        self._write_frames()

    def _pong_missed(self) -> None:
        if self._unparsed:
            self._pings.retry()  # it may be among what the application has no room for
            return
        self._protocol.fail(INTERNAL_ERROR, "no answer to a ping")
        self._ended(ABNORMAL, "no answer to a ping")
        self._write_frames()
        self._reset()


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
    if code < NORMAL or code > 4999 or code in (1004, NO_CODE, ABNORMAL, 1015):
        raise ValueError(f"{code} must not be sent in a close frame [RFC 6455 7.4]")
    if len(reason.encode()) > MAX_REASON:
        raise ValueError(f"the reason is longer than {MAX_REASON} bytes [RFC 6455 5.5]")
