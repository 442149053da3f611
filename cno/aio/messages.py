"""`Response` and `Push`: the objects that applications work with.

Knows what applications call. Must never know how a request is sent, or who made the connection.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from cno.aio.client import responses
from cno.aio.client.response_state import PushQueue, PushState, ResponseState
from cno.aio.errors import StatusError
from cno.aio.fields import value_of as value_of
from cno.aio.sources import Body as Body
from cno.aio.tunnel import Tunnel as Tunnel
from cno.priority import DEFAULT_URGENCY

if TYPE_CHECKING:
    from cno.aio.client.connection import Client


class Response(ResponseState):
    """The response to a request.

    `code` is the status, `headers` are the fields, `payload` is the body, an
    `asyncio.StreamReader`. `conn` is the connection, `stream` the id of the stream. `reason` is the
    reason phrase in HTTP/1.1; in HTTP/2, which has none, it is '' (RFC 9113 8.3.2).

    `informational` has the first `Limits.max_informational` interim (1xx) responses, as (code,
    headers). `trailers` is None until the body is complete, and if it has none. `pushed` iterates
    over the pushes of the server. Leaving `async with` cancels the rest of the response.
    """

    @property
    def conn(self) -> "Client":
        """The connection that receives the response."""
        return cast("Client", self._conn)

    @property
    def pushed(self) -> "Pushes":
        """The pushes of this response, until its stream ends.

        Of the pushes that you do not take from here, only a part is received.
        """
        if self._pushes is None:
            self._pushes = Pushes(self._conn, self._ended)
        return cast(Pushes, self._pushes)

    def reprioritize(self, urgency: int = DEFAULT_URGENCY, incremental: bool = False) -> None:
        """Change the priority of this response. `urgency` is 0 (most urgent) to 7.

        `incremental` means that parts of the body are useful by themselves. A request can state its
        priority from the start by a field: `("priority", "u=1, i")`.

        Does nothing over HTTP/1.1, if the server has not announced that it supports this, and after
        the response is complete. Raises UsageError for another urgency. (RFC 9218 7.1, 2.1.1)
        """
        responses.reprioritize(self, urgency, incremental)

    def raise_for_status(self) -> "Response":
        """Raise StatusError if the status is 400 or more; otherwise return this response."""
        if self.code >= 400:
            raise StatusError(self.code, self.reason, self.headers)
        return self

    async def __aenter__(self) -> "Response":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def _get_pushes(self) -> PushQueue:
        return self.pushed


class Push(PushState):
    """A push: a request that the server promises to answer, and its response.

    `method`, `path` and `headers` are those of the promised request.
    """

    @property
    def response(self) -> Coroutine[Any, Any, Response]:
        """An awaitable that returns the response. It raises what `Client.request` raises."""
        return cast("Coroutine[Any, Any, Response]", responses.wait_for_push(self._response))


class Pushes(PushQueue):
    """An asynchronous iterator over the pushes of a response.

    Pushes that are not taken from it are cancelled with the iterator or the response.
    """

    def __aiter__(self) -> "Pushes":
        return self

    async def __anext__(self) -> Push:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is None:
                self._waiter = self._conn.loop.create_future()
                self._conn._shorten_timer()
            await asyncio.shield(self._waiter)
        push = self._waiting.popleft()
        push._release()
        return cast(Push, push)
