"""An open WebSocket of the blocking client: messages over a stream of either protocol.

Threads wait as for any stream: one of them reads for all (see `polling.py`). Who waits here parses
what has come, and writes what the stream accepts. Must never know frames.
"""

import time
from types import TracebackType

from mypy_extensions import i64

from cno.const import CNO_RST_CANCEL
from cno.sync.connection_io import begin, begin_tunnel, flush, read_now
from cno.sync.exchange import cancel, is_running
from cno.sync.messages import Response
from cno.sync.polling import wait
from cno.sync.timeouts import FOREVER
from cno.sync.websocket.state import (
    ANSWER,
    CLOSED,
    INPUT,
    SENT,
    STREAM_END,
    TURN,
    WRITTEN,
    SocketParker,
    SocketState,
)
from cno.websocket import wire
from cno.websocket.errors import WebSocketClosed
from cno.websocket.frames import FrameMaker
from cno.websocket.options import Options
from cno.websocket.socket import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL, payload_of


class WebSocket:
    """Messages in both directions, `str` (text) or `bytes` (binary).

    Any number of threads may send and receive. `for message in socket` ends when the server closes
    with 1000 or 1001. `subprotocol` is the one agreed on. Leaving `with` closes it.

    It is read while a thread waits for it: pings are answered then, and sent.
    """

    def __init__(
        self,
        response: Response,
        deflate: wire.Deflate | None,
        subprotocol: str | None,
        options: Options,
    ) -> None:
        self.subprotocol = subprotocol
        self._response = response
        self._link = response._link
        self._guard = response._link.guard
        begin_tunnel(response)
        self._state = SocketState(response, deflate, options)
        self._maker = FrameMaker(True, deflate)  # for the thread whose turn it is to send

    @property
    def close_code(self) -> int | None:
        """The code of its end, as of WebSocketClosed; None while it is open."""
        return self._state.close_code

    @property
    def close_reason(self) -> str:
        """The reason of its end."""
        return self._state.close_reason

    # -- for applications ------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message. Raises WebSocketClosed when there are no more, and
        ReadTimeoutError after `timeout` seconds: the WebSocket stays open."""
        due = due_after(timeout)
        at_once = timeout is not None and timeout <= 0.0
        while True:
            message = self._take(at_once)
            if message is not None:
                return message
            if not self._wait(SocketParker(self._state, INPUT), due):
                raise self._state.late(f"no message came within {timeout} s")

    def send(
        self, message: str | bytes | bytearray | memoryview, timeout: float | None = None
    ) -> None:
        """Send a message; wait until the server's window and the socket have accepted it.

        Raises WebSocketClosed once it is closed or closing, TypeError for what is no message, and
        WriteTimeoutError if nothing is accepted for `timeout` seconds. That, or an interrupt, in
        the middle of a message ends the WebSocket.
        """
        opcode, data = payload_of(message)
        state = self._state
        turn = SocketParker(state, TURN)
        is_whole = False
        try:
            self._take_turn(turn, timeout)
            mark = self._send_frame(self._maker.message(opcode, data))
            if state.output.written < mark:
                self._await_accepted(SocketParker(state, WRITTEN, mark), timeout)
            link = self._link
            if link.send_buffer.blocked:
                sent = SocketParker(state, SENT, link.transport.written)
                self._await_accepted(sent, timeout)
            is_whole = True
        finally:
            if state.sender is turn:
                left = False
                try:
                    self._leave_turn(turn, is_whole)
                    left = True
                finally:
                    if not left:  # an interrupt came meanwhile
                        self._leave_turn(turn, is_whole)

    def ping(self, timeout: float | None = None) -> float:
        """Send a ping, and wait for its answer; return the seconds that took.

        Raises WebSocketClosed, and ReadTimeoutError after `timeout` seconds.
        """
        state = self._state
        sent = time.monotonic()
        due = due_after(timeout)
        payload = self._send_ping()
        try:
            in_time = self._wait(SocketParker(state, ANSWER, 0, payload), due)
            answered_at = state.pings.answer_of(payload)
        finally:
            state.pings.forget(payload)
        if answered_at != 0.0:
            return answered_at - sent
        if not in_time:
            raise state.late(f"a ping was not answered within {timeout} s")
        raise state.error()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close it; wait until the server agrees and ends the stream, `close_timeout` at most.
        Messages that come in meanwhile are dropped. Raises ValueError for a code that must not be
        sent."""
        self.start_close(code, reason)
        self.wait_closed()

    def start_close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send our close frame, if none has been sent, and give the server `close_timeout` to
        answer. Does not wait. Raises ValueError for a code, or a reason, that must not be sent."""
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                self._state.start_close(code, reason)
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        flush(self._link)

    def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the server has closed it too and ended the stream, or until it is given up.
        Raises ReadTimeoutError after `timeout` seconds."""
        state = self._state
        due = due_after(timeout)
        if state.close_code is None:
            if not self._wait(SocketParker(state, CLOSED), due):
                raise state.late(f"it was not closed within {timeout} s")
        if self._response._ended:
            return
        patience = 0.0 if state.close_code == ABNORMAL else state.options.close_timeout
        until = time.monotonic() + patience
        if not self._wait(SocketParker(state, STREAM_END), min(due, until)) and until <= due:
            cancel(self._response, CNO_RST_CANCEL)

    def __iter__(self) -> "WebSocket":
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.receive()
        except WebSocketClosed as closed:
            if closed.code not in (NORMAL, GOING_AWAY):
                raise
        raise StopIteration

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it: with 1011 after an error. After an interrupt, do not wait for the server."""
        if error is None or isinstance(error, Exception):
            self.close(NORMAL if error is None else INTERNAL_ERROR)
        else:
            self.start_close(GOING_AWAY)
            cancel(self._response, CNO_RST_CANCEL)

    # -- waits -----------------------------------------------------------------------------------

    def _wait(self, parker: SocketParker, due: float) -> bool:
        """Wait, and send pings meanwhile; return False if the time `due` passes before."""
        link, state = self._link, self._state
        waiting = self._response._waiting
        assert waiting is not None
        if not waiting:
            state.pings.resumed(time.monotonic())
        waiting[parker] = None
        try:
            while True:
                parker.expiry = expiry = state.expiry()
                if wait(link, parker, min(due, expiry)):
                    if parker.met:
                        return True
                    continue  # the WebSocket has an earlier timeout now, as that of its close
                now = time.monotonic()
                if now >= expiry:
                    self._tick(now)
                    if now < due:
                        continue
                if now >= due or link.is_lost:
                    return False
        finally:
            waiting.pop(parker, None)
            if not waiting:
                state.pings.paused(time.monotonic())
            link.parked_writers.pop(parker, None)

    def _tick(self, now: float) -> None:
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            self._state.tick(now)
            guard.inside = False
        flush(self._link)

    def _take(self, at_once: bool) -> str | bytes | None:
        """Return a message that has come; None if there is none yet. Raises WebSocketClosed.

        `at_once`: read from the socket before.
        """
        link, state, guard = self._link, self._state, self._guard
        message: str | bytes | None = None
        is_closed = False
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                message = state.take()
                if message is None and at_once:
                    read_now(link)
                    message = state.take()
                is_closed = message is None and state.close_code is not None
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        if link.send_buffer.plain or link.is_closing:
            flush(link)
        if is_closed:
            raise state.error()
        return message

    # -- sending ---------------------------------------------------------------------------------

    def _take_turn(self, turn: SocketParker, timeout: float | None) -> None:
        """Wait until no other thread sends a message. Raises WebSocketClosed."""
        state, guard = self._state, self._guard
        due = due_after(timeout)
        try:
            while True:
                guard.check()
                with guard.lock:
                    begin(guard)
                    try:
                        state.advance()
                        is_open = state.is_open()
                        if is_open and state.sender is None:
                            state.sender = turn
                        else:
                            state.parked_senders[turn] = None
                    except Exception:
                        guard.inside = False  # an interrupt leaves it set
                        raise
                    guard.inside = False
                if not is_open:
                    raise state.error()
                if state.sender is turn:
                    return
                if not self._wait(turn, due):
                    raise state.not_accepted(timeout)
        finally:
            state.parked_senders.pop(turn, None)

    def _leave_turn(self, turn: SocketParker, is_whole: bool) -> None:
        """Let another thread send. A message that is not whole ends the WebSocket."""
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            self._state.end_turn(turn, is_whole)
            guard.inside = False
        if not is_whole:
            flush(self._link)

    def _send_frame(self, frame: bytes) -> i64:
        """Add a frame to the output; return its mark. Raises WebSocketClosed."""
        state, guard = self._state, self._guard
        mark: i64 = 0
        guard.check()
        with guard.lock:
            begin(guard)
            try:
                is_open = state.is_open()
                if is_open:
                    mark = state.output.add(frame)
                    state.output.write()
            except Exception:
                guard.inside = False  # an interrupt leaves it set
                raise
            guard.inside = False
        if not is_open:
            raise state.error()
        flush(self._link)
        return mark

    def _await_accepted(self, parker: SocketParker, timeout: float | None) -> None:
        """Wait until the stream, or the socket, has accepted a message. Raises WebSocketClosed."""
        state, link = self._state, self._link
        while True:
            written, sent_at = state.output.written, link.times.sent_at
            if self._wait(parker, due_after(timeout)):
                break
            if state.output.written == written and link.times.sent_at == sent_at:
                raise state.not_accepted(timeout)
        if state.close_code is not None or not is_running(self._response):
            raise state.error()

    def _send_ping(self) -> bytes:
        """Send a ping of the application; return its payload. Raises WebSocketClosed."""
        guard = self._guard
        guard.check()
        with guard.lock:
            begin(guard)
            payload = self._state.begin_ping()
            guard.inside = False
        if not payload:
            raise self._state.error()
        flush(self._link)
        return payload


def due_after(timeout: float | None) -> float:
    """Return when a timeout of a call passes."""
    return FOREVER if timeout is None else time.monotonic() + timeout
