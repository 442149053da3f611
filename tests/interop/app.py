"""A server on `cno` for other people's clients: each path shows one thing a handler can do.

A program: it serves in clear text and, with a certificate, over TLS, says where, and writes a line
for each thing a test may want to wait for.
"""

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cno
from cno.aio.server.connection import SERVER_LIMITS
from cno.examples.websocket import echo as echo_websocket

HELLO = b"hello, world\n"
BLOCK = 65_536

Headers = list[tuple[str, str]]

#: The style sheet has been asked for.
preloaded = asyncio.Event()


def say(line: str) -> None:
    """Tell the test."""
    print(line, flush=True)


async def chunks(request: cno.Request) -> AsyncIterator[bytes]:
    """The body of a request, as it comes."""
    while data := await request.payload.read(BLOCK):
        yield data


async def zeros(total: int) -> AsyncIterator[bytes]:
    block = bytes(BLOCK)
    for left in range(total, 0, -BLOCK):
        yield block if left >= BLOCK else block[:left]


async def hello(request: cno.Request, _: str) -> None:
    await request.respond(200, [("content-type", "text/plain")], HELLO)


async def echo(request: cno.Request, _: str) -> None:
    """The body comes back while it is still being sent, then the trailers."""
    trailers: Headers = []

    async def body() -> AsyncIterator[bytes]:
        async for data in chunks(request):
            yield data
        trailers.extend(request.trailers or [])

    await request.respond(200, [], body(), trailers=trailers)


async def sink(request: cno.Request, _: str) -> None:
    """What came, in JSON."""
    size, digest = 0, hashlib.sha256()
    async for data in chunks(request):
        size += len(data)
        digest.update(data)
    about = {
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "size": size,
        "sha256": digest.hexdigest(),
        "trailers": request.trailers,
        "http2": request.conn.is_http2,
        "peer": request.conn.transport.get_extra_info("peername")[1],
    }
    fields = [("content-type", "application/json")]
    await request.respond(200, fields, json.dumps(about).encode())


async def sized(request: cno.Request, argument: str) -> None:
    """So many zeros, announced."""
    fields = [("content-length", argument), ("content-type", "application/octet-stream")]
    await request.respond(200, fields, zeros(int(argument)))


async def stream(request: cno.Request, argument: str) -> None:
    """So many zeros, not announced."""
    await request.respond(200, [], zeros(int(argument)))


async def trailers(request: cno.Request, _: str) -> None:
    fields = [("trailer", "x-sum, x-end")]
    await request.respond(200, fields, zeros(100_000), trailers=[("x-sum", "1"), ("x-end", "2")])


async def refuse(request: cno.Request, argument: str) -> None:
    """An answer before the body has been read, or (with an argument) after so much of it."""
    if argument:
        await request.payload.readexactly(int(argument))
    await request.respond(413, [("content-type", "text/plain")], b"too much\n")


async def status(request: cno.Request, argument: str) -> None:
    await request.respond(int(argument), [], argument.encode())


async def fail(request: cno.Request, _: str) -> None:
    raise RuntimeError("on purpose")


async def breaks(request: cno.Request, _: str) -> None:
    """A response that is never complete."""

    async def body() -> AsyncIterator[bytes]:
        yield bytes(1000)
        raise RuntimeError("on purpose")

    await request.respond(200, [("content-length", "2000")], body())


async def hints(request: cno.Request, _: str) -> None:
    await request.inform(103, [("link", "</style.css>; rel=preload; as=style")])
    await request.respond(200, [], b"after hints\n")


async def pushing(request: cno.Request, _: str) -> None:
    for path in ("/style.css", "/script.js"):
        request.push("GET", path, [("x-pushed", "1")])
    await request.respond(200, [], HELLO)


async def hang(request: cno.Request, argument: str) -> None:
    """No answer; says what becomes of it."""
    say(f"hangs {argument}")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        say(f"cancelled {argument}")
        raise


async def style(request: cno.Request, _: str) -> None:
    """What pages want: says that it is asked for, once for each that is kept."""
    preloaded.set()
    fields = [("content-type", "text/css"), ("cache-control", "max-age=60")]
    await request.respond(200, fields, b"body { color: black }")


async def page(request: cno.Request, argument: str) -> None:
    """For a browser. With an argument it waits a while until what it hints at is asked for."""
    if argument:
        preloaded.clear()
        await request.inform(103, [("link", "</style.css>; rel=preload; as=style")])
        try:
            async with asyncio.timeout(8):
                await preloaded.wait()
        except TimeoutError:
            say(f"not preloaded {argument}")
        else:
            say(f"preloaded {argument}")
    html = Path(__file__).with_name("page.html").read_bytes()
    await request.respond(200, [("content-type", "text/html; charset=utf-8")], html)


async def ticks(request: cno.Request, argument: str) -> None:
    """Without end."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.05)

    try:
        await request.respond(200, [("content-type", "text/plain")], body())
    except asyncio.CancelledError:
        say(f"ticked {argument}")
        raise


async def websocket(request: cno.Request, _: str) -> None:
    say(f"websocket {request.method}")
    await echo_websocket(request)


async def report(request: cno.Request, _: str) -> None:
    """What a page has to say: one line of JSON, passed on."""
    text = (await request.payload.read()).decode()
    say(f"report {json.dumps(json.loads(text))}")
    await request.respond(204)


ROUTES = {
    "hello": hello,
    "style.css": style,
    "script.js": hello,
    "echo": echo,
    "sink": sink,
    "sized": sized,
    "stream": stream,
    "trailers": trailers,
    "refuse": refuse,
    "status": status,
    "fail": fail,
    "break": breaks,
    "hints": hints,
    "push": pushing,
    "hang": hang,
    "page": page,
    "ticks": ticks,
    "websocket": websocket,
    "report": report,
}


async def handle(request: cno.Request) -> None:
    _, _, path = request.path.partition("?")[0].partition("/")
    name, _, argument = path.partition("/")
    route = ROUTES.get(name)
    if route is None:
        await request.respond(404, [], b"no such path\n")
    else:
        await route(request, argument)


def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    say(f"failed: {context['message']}: {context.get('exception')!r}")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--requests", type=int, help="after which a connection ends")
    options = parser.parse_args()
    limits = replace(SERVER_LIMITS, max_requests_per_connection=options.requests)
    asyncio.get_running_loop().set_exception_handler(failed)
    serve = partial(
        cno.serve, handle, "127.0.0.1", 0, settings={"enable_connect_protocol": 1}, limits=limits
    )
    async with serve() as clear:
        say(f"at http://127.0.0.1:{clear.sockets[0].getsockname()[1]}/")
        if options.cert is None:
            await clear.serve_forever()
        async with serve(certfile=options.cert, keyfile=options.key) as secure:
            say(f"at https://127.0.0.1:{secure.sockets[0].getsockname()[1]}/")
            await secure.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
