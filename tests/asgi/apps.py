"""How the tests of ASGI run an application, and what they ask it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import cno
from cno.asgi import Handler
from cno.limits import Limits
from cno.websocket.options import DEFAULT, Options
from tests.aio.lab import Lab, Wire

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXTENDED_CONNECT: cno.SettingsDict = {"enable_connect_protocol": 1}


@asynccontextmanager
async def serving(
    lab: Lab,
    wire: Wire,
    app: App,
    *,
    limits: Limits | None = None,
    websocket: Options = DEFAULT,
    **options: Any,
) -> AsyncIterator[str]:
    """Serve an application; gives the URL it is at, without a path."""
    handler = Handler(app, lifespan="off", websocket=websocket, **options)
    async with lab.serving(wire, handler, limits=limits, settings=EXTENDED_CONNECT) as url:
        yield url


@asynccontextmanager
async def client_of(lab: Lab, wire: Wire, app: App, **options: Any) -> AsyncIterator[cno.Client]:
    """Serve an application; gives a client that is connected to it."""
    async with serving(lab, wire, app, **options) as url:
        async with await lab.connect(wire, url) as client:
            yield client


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def read_body(receive: Receive) -> bytes:
    """Receive all of a request."""
    data = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        piece: bytes = message["body"]
        data += piece
        if not message["more_body"]:
            return data
