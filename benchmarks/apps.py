"""The application of every server under load: a greeting, a large page, uploads, JSON, echoes.

`app` is for ASGI servers; `python -m benchmarks.apps PORT` serves the same with `cno`. Knows
nothing of the load.
"""

import argparse
import asyncio
from typing import Any, Final

BODY: Final = b"Hello, World!"
BIG: Final = bytes(1 << 20)
LARGE: Final = bytes(32 << 20)
SMALL_HEAD: Final = [
    ("content-type", "text/plain"),
    ("content-length", str(len(BODY))),
    ("server", "bench"),
]
BIG_HEAD: Final = [("content-type", "application/octet-stream"), ("content-length", str(len(BIG)))]
LARGE_HEAD: Final = [("content-type", "text/plain"), ("content-length", str(len(LARGE)))]

SMALL_RAW: Final = [(name.encode(), value.encode()) for name, value in SMALL_HEAD]
BIG_RAW: Final = [(name.encode(), value.encode()) for name, value in BIG_HEAD]


def starlette_app() -> Any:
    """An application of Starlette with an endpoint that answers with JSON; None without it."""
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError:
        return None

    async def endpoint(request: Any) -> Any:
        return JSONResponse({"message": "Hello, World!", "path": request.url.path})

    return Starlette(routes=[Route("/json", endpoint)])


starlette: Final = starlette_app()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/json":
        await starlette(scope, receive, send)
        return
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    big = scope["path"] == "/big"
    headers = BIG_RAW if big else SMALL_RAW
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BIG if big else BODY})


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def handle_websocket(request: Any) -> None:
    """The same, for `cno.serve`."""
    async with await request.accept_websocket() as websocket:
        async for message in websocket:
            await websocket.send(message)


async def handle(request: Any) -> None:
    """The same, for `cno.serve`."""
    if request.path == "/echo":
        await handle_websocket(request)
        return
    if request.method == "POST":
        while await request.payload.read(262_144):
            pass
    if request.path == "/big":
        await request.respond(200, BIG_HEAD, BIG)
    elif request.path == "/large":
        await request.respond(200, LARGE_HEAD, LARGE)
    else:
        await request.respond(200, SMALL_HEAD, BODY)


async def serve(port: int, cert: str | None, key: str | None, asgi: bool) -> None:
    import cno
    from cno.asgi import Handler

    served: Any = Handler(app) if asgi else handle
    async with cno.serve(served, "127.0.0.1", port, certfile=cert, keyfile=key) as server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--asgi", action="store_true", help="the ASGI application")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    args = parser.parse_args()
    factory = None
    if args.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(args.port, args.cert, args.key, args.asgi))


if __name__ == "__main__":
    main()
