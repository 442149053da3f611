"""Applications that the tests serve."""

import asyncio
import json
import os
import signal
import time
from typing import Any

Scope = dict[str, Any]


async def answer(send: Any, data: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(data)), (b"x-of-app", b"yes")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def app(scope: Scope, receive: Any, send: Any) -> None:
    """Answer with the process and the scope; paths have it do other things."""
    kind = scope["type"]
    if kind == "lifespan":
        raise RuntimeError("has no lifespan")
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message.get("text")})
        return
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/slow":
        await asyncio.sleep(0.3)
    elif path == "/hang":
        time.sleep(60)  # noqa: ASYNC251  # that is the point
    elif path == "/forever":
        await asyncio.sleep(60)
    elif path == "/endless":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(60)
    elif path == "/exit":
        os._exit(7)
    elif path == "/grow":
        GROWN.append(b"x" * 100_000_000)
    found: dict[str, Any] = {name: value for name, value in scope.items() if isinstance(value, str)}
    found |= {"pid": os.getpid(), "client": scope["client"], "env": os.environ.get("FROM_FILE")}
    found["loop"] = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    await answer(send, json.dumps(found).encode())


GROWN: list[bytes] = []


def factory() -> Any:
    return app


async def refuses(scope: Scope, receive: Any, send: Any) -> None:
    """Refuse to start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def crashes(scope: Scope, receive: Any, send: Any) -> None:
    """Die as soon as it has started."""
    os.kill(os.getpid(), signal.SIGKILL)


async def lives(scope: Scope, receive: Any, send: Any) -> None:
    """Say when the lifespan begins and ends."""
    if scope["type"] != "lifespan":
        await answer(send, b"lives")
        return
    await receive()
    print("startup", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shutdown", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


def version_2(scope: Scope) -> Any:
    async def run(receive: Any, send: Any) -> None:
        await answer(send, b"two")

    return run


async def kinds(scope: Scope, receive: Any, send: Any) -> None:
    """Fail, before the response or within it, or accept a WebSocket."""
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    if scope["path"] == "/half":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    raise RuntimeError("fails")
