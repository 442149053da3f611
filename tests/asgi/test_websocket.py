"""WebSocket messages of ASGI, over both protocols."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import cno
from cno import websocket
from cno.websocket import WebSocket, WebSocketClosed
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire, until
from tests.asgi.apps import App, Message, Receive, Scope, Send, client_of, serving

CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)

ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close"}


@asynccontextmanager
async def opened(lab: Lab, wire: Wire, app: App, **options: Any) -> AsyncIterator[WebSocket]:
    """A WebSocket to an application."""
    async with client_of(lab, wire, app) as client:
        async with await websocket.connect(client, "/a%20b?q", **options) as socket:
            yield socket


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def test_messages(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with opened(lab, wire, echo) as socket:
            for message in ("text", b"bytes", "", b"", "x" * 100_000):
                await socket.send(message)
                assert await socket.receive() == message

    lab.run(main())


def test_scope(lab: Lab, wire: Wire) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({**ACCEPT, "subprotocol": "b", "headers": [(b"x-more", b"1")]})
        await send(CLOSE)

    async def main() -> None:
        async with opened(lab, wire, app, subprotocols=["a", "b"]) as socket:
            assert socket.subprotocol == "b"
        (scope,) = seen
        assert scope["type"] == "websocket"
        assert scope["http_version"] == ("2" if wire.http2 else "1.1")
        assert scope["scheme"] == ("wss" if wire.tls else "ws")
        assert scope["path"] == "/a b" and scope["query_string"] == b"q"
        assert scope["subprotocols"] == ["a", "b"]
        assert "method" not in scope
        assert scope["headers"][0][0] == b"host"
        assert "websocket.http.response" in scope["extensions"]

    lab.run(main())


@CLEAR
def test_close_by_the_application(lab: Lab, wire: Wire) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({**CLOSE, "code": 4001, "reason": "enough"})

    async def main() -> None:
        async with opened(lab, wire, app) as socket:
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            assert (caught.value.code, caught.value.reason) == (4001, "enough")

    lab.run(main())


@CLEAR
def test_close_by_the_client(lab: Lab, wire: Wire) -> None:
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        told.append(await receive())
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as error:
            told.append(error)
        await send(CLOSE)
        told.append("closed")

    async def main() -> None:
        async with opened(lab, wire, app) as socket:
            await socket.close(4002, "bye")
            await until(lambda: len(told) == 3)
        assert told[0] == {"type": "websocket.disconnect", "code": 4002, "reason": "bye"}

    lab.run(main())


def recording(told: list[Message]) -> App:
    """An application that accepts, and records what it receives next."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        told.append(await receive())

    return app


def test_a_client_that_vanishes(lab: Lab, wire: Wire) -> None:
    told: list[Message] = []
    app = recording(told)

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            await websocket.connect(client)
            client.abort()
            await until(lambda: told)
        assert told[0]["type"] == "websocket.disconnect" and told[0]["code"] == 1006

    lab.run(main())


@CLEAR
def test_a_server_that_stops_closes_with_1012(lab: Lab, wire: Wire) -> None:
    told: list[Message] = []
    app = recording(told)

    async def main() -> None:
        async with serving(lab, wire, app) as url:
            client = await lab.connect(wire, url)
            socket = await websocket.connect(client)
            waiting = asyncio.ensure_future(socket.receive())
            await asyncio.sleep(0.02)
        with pytest.raises(WebSocketClosed) as caught:
            await waiting
        assert caught.value.code == 1012
        assert told[0]["code"] == 1012
        client.close()
        await client.wait_closed()

    lab.run(main())


REFUSAL: list[Message] = [
    {
        "type": "websocket.http.response.start",
        "status": 401,
        "headers": [(b"x-why", b"because")],
    },
    {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
    {"type": "websocket.http.response.body", "body": b" entry"},
]


@CLEAR
@pytest.mark.parametrize(
    ("messages", "status", "content"),
    [
        ([CLOSE], 403, b""),
        (REFUSAL, 401, b"no entry"),
        ([], 500, b""),
        (REFUSAL[:1], 500, b""),  # nothing was written: it can be taken back
    ],
)
def test_refusals(
    lab: Lab,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    messages: list[Message],
    status: int,
    content: bytes,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            with pytest.raises(cno.UpgradeRefused) as caught:
                await websocket.connect(client)
            response = caught.value.response
            assert response.code == status
            assert await response.payload.read() == content

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert len(caplog.records) == (1 if status == 500 else 0)


@CLEAR
def test_the_head_of_a_refusal_comes_before_its_body(lab: Lab, wire: Wire) -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(REFUSAL[0])
        await proceed.wait()
        await send(REFUSAL[2])

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            with pytest.raises(cno.UpgradeRefused) as caught:
                await asyncio.wait_for(websocket.connect(client), 5)
            proceed.set()
            assert await caught.value.response.payload.read() == b" entry"

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("accepted", [True, False])
def test_applications_that_fail(
    lab: Lab, wire: Wire, caplog: pytest.LogCaptureFixture, accepted: bool
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if accepted:
            await send(ACCEPT)
        raise LookupError("of the application")

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            if not accepted:
                with pytest.raises(cno.UpgradeRefused) as refused:
                    await websocket.connect(client)
                assert refused.value.status == 500
                return
            socket = await websocket.connect(client)
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            assert caught.value.code == 1011

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert "LookupError: of the application" in caplog.text


@CLEAR
@pytest.mark.parametrize(
    ("messages", "kind", "text"),
    [
        ([{"type": "websocket.send", "text": "x"}], RuntimeError, "websocket.accept"),
        ([ACCEPT, ACCEPT], RuntimeError, "websocket.send"),
        ([ACCEPT, {"type": "websocket.send"}], ValueError, "neither text nor bytes"),
        ([ACCEPT, {**CLOSE, "code": 1005}], ValueError, "1005"),
        ([ACCEPT, {"type": "websocket.send", "text": b"x"}], TypeError, "text is bytes"),
        ([ACCEPT, {"type": "websocket.send", "bytes": "x"}], TypeError, "bytes is str"),
        ([ACCEPT, CLOSE, {"type": "websocket.accept"}], RuntimeError, "after sending"),
        ([ACCEPT, CLOSE, {"type": "websocket.send", "text": "x"}], RuntimeError, "after sending"),
        ([ACCEPT, CLOSE, CLOSE], RuntimeError, "after sending"),
        ([{**ACCEPT, "headers": [(b"x-a", b"1\r\nx-b: 2")]}], RuntimeError, "websocket.accept"),
        ([{**ACCEPT, "subprotocol": "unasked"}], ValueError, "not offered"),
        ([REFUSAL[0], ACCEPT], RuntimeError, "websocket.http.response.body"),
        ([{"type": "http.response.start", "status": 200}], RuntimeError, "websocket.accept"),
    ],
)
def test_mistakes(
    lab: Lab,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    messages: list[Message],
    kind: type[Exception],
    text: str,
) -> None:
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except Exception as error:
            errors.append(error)
            raise

    async def main() -> None:
        async with client_of(lab, wire, app) as client:
            try:
                async with await websocket.connect(client) as socket:
                    await socket.receive()
            except cno.ConnectionError:
                pass
            await until(lambda: errors)
        assert isinstance(errors[0], kind) and text in str(errors[0])

    with caplog.at_level(logging.ERROR, "cno.asgi"):
        lab.run(main())
    assert len(caplog.records) == 1
