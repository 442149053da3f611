"""gRPC on `cno`, as far as its wire goes: messages are bytes, methods are coroutines.

A service for `cno.serve`, and calls over a `cno.Client`. Knows what the gRPC specification says of
HTTP/2 (PROTOCOL-HTTP2.md); must never know what is in a message.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import cno

Headers = list[tuple[str, str]]

OK, UNKNOWN, INVALID, UNIMPLEMENTED = 0, 2, 3, 12

#: Seconds in each unit of a `grpc-timeout`.
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class RpcError(Exception):
    """A call that did not go well: a status other than OK, and what was said of it."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(f"status {code}: {message}")
        self.code = code
        self.message = message


def framed(message: bytes) -> bytes:
    """Length-Prefixed-Message: a flag (compressed or not), the length, the message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


async def messages(payload: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The messages of a body."""
    while True:
        try:
            prefix = await payload.readexactly(5)
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return
        if prefix[0] != 0:
            raise RpcError(UNIMPLEMENTED, "compressed")
        yield await payload.readexactly(int.from_bytes(prefix[1:], "big"))


def status(code: int, message: str) -> Headers:
    fields = [("grpc-status", str(code))]
    if message:
        fields.append(("grpc-message", quote(message, safe=" !#$&'()*+,/:;=?@[]")))
    return fields


def of_http(code: int) -> int:
    """The status of a response that has none (http-grpc-status-mapping.md)."""
    known = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
    return known.get(code, UNKNOWN)


# -- servers -------------------------------------------------------------------------------------


@dataclass
class Context:
    """What a method knows of its call beside the messages, and what goes back beside them."""

    metadata: dict[str, str]
    trailing: Headers = field(default_factory=list)

    @property
    def timeout(self) -> float | None:
        """Seconds, from the call's beginning, after which the client gives up and says so."""
        value = self.metadata.get("grpc-timeout")
        return None if value is None else int(value[:-1]) * UNITS[value[-1]]


Method = Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]


class Service:
    """Methods by their paths, as a handler for `cno.serve`. Each is an async generator."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods

    async def __call__(self, request: cno.Request) -> None:
        context = Context(dict(request.headers))
        if not context.metadata.get("content-type", "").startswith("application/grpc"):
            await request.respond(415)
            return
        method = self._methods.get(request.path)
        if method is None:
            await self._only_status(request, UNIMPLEMENTED, f"no such method: {request.path}")
            return
        replies = method(messages(request.payload), context)
        # An error before the first message is a response that has nothing but a head.
        try:
            first: bytes | None = await anext(replies)
        except StopAsyncIteration:
            first = None
        except RpcError as error:
            await self._only_status(request, error.code, error.message)
            return
        trailers: Headers = []

        async def body() -> AsyncIterator[bytes]:
            try:
                if first is not None:
                    yield framed(first)
                    async for reply in replies:
                        yield framed(reply)
            except RpcError as error:
                trailers.extend(status(error.code, error.message))
            else:
                trailers.extend([*status(OK, ""), *context.trailing])

        fields = [("content-type", "application/grpc")]
        await request.respond(200, fields, body(), trailers=trailers)

    async def _only_status(self, request: cno.Request, code: int, message: str) -> None:
        fields = [("content-type", "application/grpc"), *status(code, message)]
        await request.respond(200, fields)


# -- clients -------------------------------------------------------------------------------------


class Call:
    """A call under way: iterate over the replies; RpcError unless it ends with OK."""

    def __init__(self, response: cno.Response) -> None:
        self.response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.response.code != 200:
            raise RpcError(of_http(self.response.code), f"HTTP {self.response.code}")
        async for message in messages(self.response.payload):
            yield message
        # In the head if there is nothing else.
        trailers = self.response.trailers or self.response.headers
        found = dict(trailers)
        code = int(found.get("grpc-status", UNKNOWN))
        if code != OK:
            raise RpcError(code, unquote(found.get("grpc-message", "")))


async def call(
    client: cno.Client | cno.Pool,
    path: str,
    requests: AsyncIterable[bytes],
    metadata: Headers | None = None,
    deadline: float | None = None,
) -> Call:
    """Begin a call of any kind; a pool wants a URL as the path. The server is told of the deadline,
    in seconds from now."""

    async def body() -> AsyncIterator[bytes]:
        async for message in requests:
            yield framed(message)

    fields = [("content-type", "application/grpc"), ("te", "trailers"), *(metadata or [])]
    if deadline is not None:
        fields.append(("grpc-timeout", f"{int(deadline * 1000)}m"))
    return Call(await client.request("POST", path, fields, body()))


async def each(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


async def unary(
    client: cno.Client | cno.Pool, path: str, message: bytes, deadline: float | None = None
) -> bytes:
    """A call with one request and one reply."""
    replies = [reply async for reply in await call(client, path, each(message), None, deadline)]
    if len(replies) != 1:
        raise RpcError(UNKNOWN, f"{len(replies)} replies")
    return replies[0]
