"""A response whose body the handler writes, piece by piece: `Request.start`.

Knows when a body ends. Must never know how a piece is sent.
"""

from types import TracebackType

from cno.aio.fields import Headers
from cno.aio.server import respond
from cno.aio.server.request_state import RequestState
from cno.aio.server.response_writer import ResponseWriter
from cno.aio.sources import to_bytes
from cno.core import UNKNOWN_LENGTH
from cno.errors import UsageError


class ResponseStream:
    """A response whose body you write.

    Use it as an async context manager, which sends the head, and ends the body. `trailers` are
    sent after the body; you can fill the list until then.
    """

    def __init__(
        self, request: RequestState, code: int, headers: Headers, trailers: Headers | None
    ) -> None:
        self.trailers: Headers = [] if trailers is None else trailers
        self._request = request
        self._code = code
        self._headers = headers
        self._writer = ResponseWriter(request)
        self._started = False
        self._ended = False
        self._bodiless = code == 204 or code == 304 or request.method == "HEAD"

    async def __aenter__(self) -> "ResponseStream":
        if self._started:
            raise UsageError("the response has been started", stream=self._request.stream)
        respond.check_unanswered(self._request, self._code)
        self._started = True
        self._writer.start(self._code, self._headers, at_once=not self._bodiless)
        if self._bodiless:
            await self._send(b"", True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the body; after an exception, leave it incomplete."""
        if error is None:
            await self.close()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body; wait until the client's window and the transport have taken it.

        Writes nothing if the response has no body (HEAD, 204, 304). Raises UsageError outside of
        the `async with` block, and otherwise as `Request.respond`.
        """
        if not self._started or (self._ended and not self._bodiless):
            raise UsageError("write inside of `async with`", stream=self._request.stream)
        piece = data if isinstance(data, bytes) else to_bytes(data)
        if piece and not self._bodiless:
            await self._send(piece, False)

    async def close(self) -> None:
        """End the body, and send the trailers. Leaving the block does this."""
        if self._started and not self._ended:
            await self._send(b"", True)

    async def _send(self, data: bytes, final: bool) -> None:
        self._ended = final
        trailers = self.trailers if final and self.trailers and not self._bodiless else None
        pending = self._writer.start_write(data, final, UNKNOWN_LENGTH, trailers)
        if pending is not None:
            await self._writer.finish_write(pending)
