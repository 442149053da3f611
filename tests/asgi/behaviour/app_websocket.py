"""The WebSockets of the application: each path does one thing, and notes what it gets."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.asgi.behaviour.notes import NOTES

Scope = dict[str, Any]
Case = Callable[[Scope, Any, Any], Awaitable[None]]


async def accept(receive: Any, send: Any, **more: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", **more})


async def close(send: Any, **more: Any) -> None:
    await send({"type": "websocket.close", **more})


async def text(send: Any, value: Any = "x") -> None:
    await send({"type": "websocket.send", "text": value})


async def disconnect(receive: Any) -> str:
    """Wait until the client has gone; return what the application is told."""
    while (message := await receive())["type"] == "websocket.receive":
        pass
    reason = message.get("reason")
    return f"{message['type']} {message.get('code')}" + (f" ({reason})" if reason else "")


async def show(scope: Scope, receive: Any, send: Any) -> None:
    found = {"spec": scope["asgi"].get("spec_version")}
    found["extensions"] = ", ".join(sorted(scope.get("extensions") or {})) or "none"
    found["subprotocols"] = ", ".join(scope["subprotocols"])
    NOTES["ws-show"] = found
    await accept(receive, send)
    await close(send)


async def accept_more(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send, subprotocol="b", headers=[(b"x-more", b"1")])
    await close(send)


async def unoffered(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send, subprotocol="z")
    await close(send)


async def splits(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send, headers=[(b"x-a", b"1\r\nx-evil: yes")])
    await close(send)


async def deny(receive: Any, send: Any) -> None:
    await receive()
    fields = [(b"content-length", b"2")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": fields})


async def denial(scope: Scope, receive: Any, send: Any) -> None:
    await deny(receive, send)
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def half_denial(scope: Scope, receive: Any, send: Any) -> None:
    await deny(receive, send)


async def refuse(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    await close(send)


async def return_first(scope: Scope, receive: Any, send: Any) -> None:
    await receive()


async def fail_first(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    raise LookupError


async def send_first(scope: Scope, receive: Any, send: Any) -> None:
    await receive()
    await text(send)


async def twice(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await send({"type": "websocket.accept"})


async def empty(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send"})


async def no_text(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await text(send, b"bytes")


async def return_open(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)


async def fail_open(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    raise LookupError


def closing(*more: dict[str, Any]) -> Case:
    """An application that accepts and closes, as often as it is said how."""

    async def run(scope: Scope, receive: Any, send: Any) -> None:
        await accept(receive, send)
        for each in more:
            await close(send, **each)

    return run


async def send_closed(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await close(send)
    await text(send)


async def keys(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    message = await receive()
    found = ", ".join(f"{k}={v!r}" for k, v in sorted(message.items()) if k != "type")
    NOTES["ws-keys"] = found
    await disconnect(receive)


async def big(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    message = await receive()
    if message["type"] == "websocket.receive":
        await text(send, str(len(message["text"])))
    else:
        NOTES["ws-big"] = f"{message['type']} {message.get('code')}"


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def recording(name: str) -> Case:
    """An application that notes how it is told that the client has gone."""

    async def run(scope: Scope, receive: Any, send: Any) -> None:
        await accept(receive, send)
        NOTES[name] = await disconnect(receive)

    return run


async def receive_gone(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await disconnect(receive)
    NOTES["ws-receivegone"] = await disconnect(receive)


async def send_gone(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await disconnect(receive)
    await text(send)


async def close_gone(scope: Scope, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await disconnect(receive)
    await close(send)


RECORDING = ("ws-close4002", "ws-closenone", "ws-fin", "ws-rst", "ws-utf8", "ws-unmasked")

WEBSOCKETS: dict[str, Case] = {
    "ws-show": show,
    "ws-accept": accept_more,
    "ws-unoffered": unoffered,
    "ws-splits": splits,
    "ws-denial": denial,
    "ws-halfdenial": half_denial,
    "ws-refuse": refuse,
    "ws-return": return_first,
    "ws-fail": fail_first,
    "ws-sendfirst": send_first,
    "ws-twice": twice,
    "ws-empty": empty,
    "ws-notext": no_text,
    "ws-returnopen": return_open,
    "ws-failopen": fail_open,
    "ws-close": closing({"code": 4001, "reason": "enough"}),
    "ws-closeplain": closing({}),
    "ws-badcode": closing({"code": 1005}),
    "ws-closetwice": closing({}, {}),
    "ws-sendclosed": send_closed,
    "ws-keys": keys,
    "ws-big": big,
    "ws-echo": echo,
    "ws-receivegone": receive_gone,
    "ws-sendgone": send_gone,
    "ws-closegone": close_gone,
    **{name: recording(name) for name in RECORDING},
}
