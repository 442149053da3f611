"""One WebSocket of an ASGI application: its messages in both directions.

Knows the WebSocket messages of ASGI. Must never know frames, or how the application is called.
"""

import asyncio
from typing import Any, Final, TypeAlias, cast

from mypy_extensions import i64

from cno.aio.connection.exchange import EndObserver
from cno.aio.errors import ConnectionLostError
from cno.aio.fields import Headers
from cno.aio.server.connection import Request
from cno.aio.waiters import wake
from cno.asgi.fields import to_text
from cno.asgi.http import HttpCycle
from cno.const import CNO_RST_INTERNAL_ERROR
from cno.errors import UsageError
from cno.websocket.errors import HandshakeError, WebSocketClosed
from cno.websocket.handshake import Handshake
from cno.websocket.options import Options
from cno.websocket.socket import ABNORMAL, INTERNAL_ERROR, NORMAL, WebSocket

Message: TypeAlias = dict[str, Any]

# How far it is.
NEW: Final = 0  # `websocket.connect` has not been received
HANDSHAKE: Final = 1  # the application has not answered it
OPEN: Final = 2
REFUSING: Final = 3  # the application sends an HTTP response instead
CLOSED: Final = 4  # by the application, or refused
GONE: Final = 5  # the client has closed it, or vanished

#: Close code for a server that is about to stop (RFC 6455 7.4.1, IANA's registry).
SERVICE_RESTART: Final = 1012

FORBIDDEN: Final = 403


class WebSocketCycle(EndObserver):
    """The `receive` and the `send` of one request for a WebSocket."""

    def __init__(self, handshake: Handshake, headers: Headers, options: Options) -> None:
        self.request = cast(Request, handshake.request)
        self._handshake = handshake
        self._defaults = headers
        self._options = options
        self._state: i64 = NEW
        self._socket: WebSocket | None = None
        self._refusal: HttpCycle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.begun = self.request.conn.loop.time()

    # -- receive ---------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return the next message for the application."""
        if self._state == NEW:
            self._state = HANDSHAKE
            return {"type": "websocket.connect"}
        while self._socket is None:
            if self.request._ended or self._state >= CLOSED:
                return {"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""}
            if self._waiter is None:
                self._waiter = self.request.conn.loop.create_future()
            await asyncio.shield(self._waiter)
        try:
            message = await self._socket.receive()
        except WebSocketClosed as closed:
            if self._state == OPEN:
                self._state = GONE
            return {
                "type": "websocket.disconnect",
                "code": closed.code,
                "reason": closed.reason,
            }
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    def ended(self) -> None:
        self._wake()

    def draining(self) -> None:
        if self._socket is not None:
            self._socket.start_close(SERVICE_RESTART, "")

    def _wake(self) -> None:
        waiter = self._waiter
        self._waiter = None
        wake(waiter)

    # -- send ------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message from the application; wait until the client can take more.

        Raises OSError when the client has gone, RuntimeError for a message that must not come now,
        TypeError, ValueError and KeyError for one that is malformed.
        """
        kind: str = message["type"]
        state = self._state
        if kind == "websocket.send" and state == OPEN:
            await self._send(message)
        elif kind == "websocket.close" and state == OPEN:
            await self._close(message)
        elif state <= HANDSHAKE and kind == "websocket.accept":
            await self._accept(message)
        elif state <= HANDSHAKE and kind == "websocket.close":
            self._state = CLOSED
            await self.request.respond(FORBIDDEN, [*self._defaults, ("content-length", "0")])
            self._wake()
        elif state <= HANDSHAKE and kind == "websocket.http.response.start":
            self._refusal = HttpCycle(self.request, self._defaults)
            self._refusal.waits()  # it may, before the body
            self._state = REFUSING
            await self._refusal.send({**message, "type": "http.response.start"})
        elif state == REFUSING and kind == "websocket.http.response.body":
            if self._refusal is not None:
                await self._refusal.send({**message, "type": "http.response.body"})
                if not message.get("more_body", False):
                    self._state = CLOSED
                    self._wake()
        elif state == GONE and kind == "websocket.send":
            raise self._gone()
        elif state == GONE and kind == "websocket.close":
            pass  # the application cannot know yet, or need not care
        else:
            raise RuntimeError(self._complaint(kind))

    def _complaint(self, kind: str) -> str:
        state = self._state
        if state >= CLOSED:
            return f"Unexpected ASGI message '{kind}', after sending 'websocket.close' or response."
        expected = "'websocket.send' or 'websocket.close'"
        if state <= HANDSHAKE:
            expected = "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'"
        elif state == REFUSING:
            expected = "'websocket.http.response.body'"
        return f"Expected ASGI message {expected}, but got '{kind}'."

    def _gone(self) -> OSError:
        return ConnectionLostError("the WebSocket is closed", stream=self.request.stream)

    async def _accept(self, message: Message) -> None:
        http2 = self.request.conn.is_http2
        headers = self._defaults + to_text(message.get("headers") or (), http2)
        refusal: HandshakeError | None = None
        try:
            self._socket = await self._handshake.accept(
                message.get("subprotocol"), headers, self._options
            )
        except HandshakeError as error:
            refusal = error
        except UsageError as mistake:
            # Not as OSError: applications take that for a client that has gone.
            raise RuntimeError(f"websocket.accept: {mistake}") from mistake
        if refusal is not None:
            self._state = GONE
            await refuse(self.request, refusal)
            raise self._gone()
        self._state = OPEN
        self._wake()

    async def _send(self, message: Message) -> None:
        socket = self._socket
        assert socket is not None
        text: object = message.get("text")
        data: object = message.get("bytes")
        if text is None and data is None:
            raise ValueError("websocket.send: neither text nor bytes")
        try:
            if isinstance(text, str):
                await socket.send(text)
            elif text is not None:
                raise TypeError(f"websocket.send: text is {type(text).__name__}, not str")
            elif isinstance(data, (bytes, bytearray, memoryview)):
                await socket.send(data)
            else:
                raise TypeError(f"websocket.send: bytes is {type(data).__name__}, not bytes")
        except WebSocketClosed:
            self._state = GONE
            raise self._gone() from None

    async def _close(self, message: Message) -> None:
        self._state = CLOSED
        if self._socket is not None:
            self._socket.start_close(message.get("code", NORMAL), message.get("reason") or "")

    # -- the application has returned, or failed --------------------------------------------------

    def returned(self) -> str:
        """Close what the application has left open; return what it has left out ('': nothing)."""
        if self._socket is not None:
            self._socket.start_close()
        elif self._state <= HANDSHAKE and not self.request._ended:
            return "ASGI callable returned without completing handshake."
        elif self._state == REFUSING and not self.request._ended:
            self._stop_refusal()
            return "ASGI callable returned without completing response."
        return ""

    def give_up(self) -> None:
        """Tell the client that the application has failed."""
        if self._socket is not None:
            self._socket.start_close(INTERNAL_ERROR)
        elif self._state == REFUSING and not self.request._ended:
            self._stop_refusal()

    def _stop_refusal(self) -> None:
        """Take back the response that is not complete, or have the client see that it is not."""
        if self._refusal is not None and self._refusal.take_back():
            self._refusal = None
            self._state = HANDSHAKE
        else:
            self.request.conn.write_reset(self.request.stream, CNO_RST_INTERNAL_ERROR)

    def is_unanswered(self) -> bool:
        """Whether the application has neither accepted nor refused."""
        return self._state <= HANDSHAKE

    def status(self) -> int:
        """Return the status of the response to the handshake; 0: there is none."""
        if self._socket is not None:
            return 200 if self.request.conn.is_http2 else 101
        if self._refusal is not None:
            return int(self._refusal.status)
        return 0 if self.is_unanswered() else FORBIDDEN

    async def wait_closed(self) -> None:
        """Wait until the client has closed its side too."""
        if self._socket is not None:
            await self._socket.wait_closed()


async def refuse(request: Request, error: HandshakeError) -> None:
    """Answer a request for a WebSocket that is malformed."""
    await request.respond(error.code, [*error.headers, ("content-length", "0")])
