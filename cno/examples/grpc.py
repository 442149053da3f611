"""gRPC on cno's handlers and requests: the wire format that gRPC adds to HTTP/2.

    python -m cno.examples.grpc                            an echo service, on port 50051
    python -m cno.examples.grpc h2c://127.0.0.1:50051/echo.Echo/Say hello there

Messages are bytes (protobuf would encode objects to them). A method is an async generator that
takes an iterator of requests and yields replies, which covers all four kinds of calls. Statuses are
sent in trailers. A method is cancelled when its deadline passes, or the caller cancels the call.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import cno

Headers = list[tuple[str, str]]

OK, UNKNOWN, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 2, 3, 4, 8, 12, 13

#: Bytes of the largest message that is accepted.
MAX_MESSAGE = 4 * 1024 * 1024

#: Seconds in each unit of a `grpc-timeout`.
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
TIMEOUT = re.compile("([0-9]{1,8})([HMSmun])")
STATUS = re.compile("[0-9]{1,9}")


class RpcError(Exception):
    """A call that failed: a status other than OK, and its message."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"status {self.code}: {self.message}"


def framed(message: bytes) -> bytes:
    """Return a message with its prefix: a flag (compressed or not) and the length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


async def messages(payload: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the messages of a body. Raises RpcError."""
    while True:
        try:
            prefix = await payload.readexactly(5)
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise RpcError(INTERNAL, "the body ends inside a message") from None
            return
        size = int.from_bytes(prefix[1:], "big")
        if prefix[0] != 0:
            raise RpcError(UNIMPLEMENTED, "compressed messages")
        if size > MAX_MESSAGE:
            raise RpcError(EXHAUSTED, f"a message of {size} bytes")
        try:
            message = await payload.readexactly(size)
        except asyncio.IncompleteReadError:
            raise RpcError(INTERNAL, "the body ends inside a message") from None
        yield message


def status(code: int, message: str) -> Headers:
    """Return the fields of a status."""
    fields = [("grpc-status", str(code))]
    if message:
        fields.append(("grpc-message", quote(message, safe=" !#$&'()*+,/:;=?@[]")))
    return fields


# -- servers ---------------------------------------------------------------------------------------


@dataclass
class Context:
    """The metadata of a call, and the trailing metadata of its response."""

    metadata: dict[str, str]
    trailing: Headers = field(default_factory=list)

    @property
    def timeout(self) -> float | None:
        """Seconds from the beginning of the call to its deadline. Raises RpcError."""
        value = self.metadata.get("grpc-timeout")
        if value is None:
            return None
        match = TIMEOUT.fullmatch(value)
        if match is None:
            raise RpcError(INVALID, "malformed grpc-timeout")
        return int(match[1]) * UNITS[match[2]]


Replies = AsyncGenerator[bytes, None]
Method = Callable[[AsyncIterator[bytes], Context], Replies]


async def advance(replies: Replies, deadline: float | None) -> bytes | None:
    """Return the next reply; None at the end. Raises RpcError once the deadline has passed."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(replies, None)
    except TimeoutError:
        raise RpcError(DEADLINE, "the deadline has passed") from None


class Service:
    """A handler for `cno.serve` that maps paths to methods."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods

    async def __call__(self, request: cno.Request) -> None:
        context = Context(dict(request.headers))
        if not context.metadata.get("content-type", "").startswith("application/grpc"):
            await request.respond(415)
            return
        method = self._methods.get(request.path)
        if method is None:
            await refuse(request, RpcError(UNIMPLEMENTED, f"no such method: {request.path}"))
            return
        now = asyncio.get_running_loop().time()
        try:
            timeout = context.timeout
        except RpcError as error:
            await refuse(request, error)
            return
        deadline = None if timeout is None else now + timeout
        async with aclosing(method(messages(request.payload), context)) as replies:
            try:
                first = await advance(replies, deadline)
            except RpcError as error:
                await refuse(request, error)
                return
            trailers: Headers = []
            body = respond(first, replies, deadline, context, trailers)
            fields = [("content-type", "application/grpc")]
            await request.respond(200, fields, body, trailers=trailers)


async def refuse(request: cno.Request, error: RpcError) -> None:
    """Answer with an error before the first reply: a response without a body."""
    fields = [("content-type", "application/grpc"), *status(error.code, error.message)]
    await request.respond(200, fields)


async def respond(
    reply: bytes | None,
    replies: Replies,
    deadline: float | None,
    context: Context,
    trailers: Headers,
) -> AsyncIterator[bytes]:
    """Yield the body of the response, and fill in its trailers at the end."""
    try:
        while reply is not None:
            yield framed(reply)
            reply = await advance(replies, deadline)
    except RpcError as error:
        trailers += status(error.code, error.message)
    else:
        trailers += [*status(OK, ""), *context.trailing]


# -- clients ---------------------------------------------------------------------------------------


def of_http(code: int) -> int:
    """Return the gRPC status for an HTTP status, where the response has no gRPC status."""
    known = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
    return known.get(code, UNKNOWN)


class Call:
    """A call in progress. Iterate over its replies; raises RpcError if the status is not OK."""

    def __init__(self, response: cno.Response) -> None:
        self.response = response

    async def __aiter__(self) -> Replies:
        if self.response.code != 200:
            raise RpcError(of_http(self.response.code), f"HTTP {self.response.code}")
        async for message in messages(self.response.payload):
            yield message
        # A response without a body has its status in the head.
        trailers = self.response.trailers or self.response.headers
        found = dict(trailers)
        status = found.get("grpc-status", "")
        code = int(status) if STATUS.fullmatch(status) else UNKNOWN
        if code != OK:
            raise RpcError(code, unquote(found.get("grpc-message", "")))


async def call(
    client: cno.Client | cno.Pool,
    path: str,
    requests: AsyncIterable[bytes],
    metadata: Headers | None = None,
    deadline: float | None = None,
) -> Call:
    """Begin a call. `path` is a URL if `client` is a pool. `deadline`: seconds from now, which are
    sent to the server.
    """

    async def body() -> AsyncIterator[bytes]:
        async for message in requests:
            yield framed(message)

    fields = [("content-type", "application/grpc"), ("te", "trailers"), *(metadata or [])]
    if deadline is not None:
        fields.append(("grpc-timeout", f"{int(deadline * 1000)}m"))
    return Call(await client.request("POST", path, fields, body()))


async def each(*items: bytes) -> AsyncIterator[bytes]:
    """Yield the items."""
    for item in items:
        yield item


async def unary(
    client: cno.Client | cno.Pool, path: str, message: bytes, deadline: float | None = None
) -> bytes:
    """Make a call with one request and one reply. Raises RpcError."""
    reply = None
    talk = await call(client, path, each(message), None, deadline)
    async with talk.response, aclosing(aiter(talk)) as replies:
        async for each_reply in replies:
            if reply is not None:
                raise RpcError(UNIMPLEMENTED, "more than one reply")  # there may be no end
            reply = each_reply
    if reply is None:
        raise RpcError(UNIMPLEMENTED, "no reply")
    return reply


# -- programs --------------------------------------------------------------------------------------


async def say(requests: AsyncIterator[bytes], _: Context) -> Replies:
    """Send each request back: the method of the echo service."""
    async for request in requests:
        yield request


async def serve(host: str, port: int) -> None:
    """Run the echo service."""
    async with cno.serve(Service({"/echo.Echo/Say": say}), host, port) as server:
        name = server.sockets[0].getsockname()
        print(f"h2c://{name[0]}:{name[1]}/echo.Echo/Say", flush=True)
        await server.serve_forever()


async def talk(url: str, words: list[str]) -> None:
    """Send each word as a message, and print the replies."""
    async with cno.Pool() as pool:
        async for reply in await call(pool, url, each(*(word.encode() for word in words))):
            print(printable(reply.decode(errors="replace")))


def printable(text: str) -> str:
    """Return a text without characters that control a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cno.examples.grpc")
    parser.add_argument("url", nargs="?", help="h2c: or https: URL of a method; without, serve")
    parser.add_argument("words", nargs="*", help="messages to send there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=50051)
    options = parser.parse_args()
    try:
        if options.url:
            try:
                asyncio.run(talk(options.url, options.words))
            except RpcError as error:
                sys.exit(printable(str(error)))
        else:
            asyncio.run(serve(options.host, options.port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
