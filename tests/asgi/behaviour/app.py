"""The ASGI application of `tests.asgi.behaviour`: a path does one thing, and notes what it gets."""

import asyncio
import json
import os
from typing import Any

from tests.asgi.behaviour.app_websocket import WEBSOCKETS
from tests.asgi.behaviour.notes import NOTES

Scope = dict[str, Any]


async def start(send: Any, status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers, **more})


async def body(send: Any, data: bytes, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % size)


async def reply(send: Any, value: Any) -> None:
    data = json.dumps(value).encode()
    await start(send, 200, length(len(data)))
    await body(send, data)


async def app(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].split("/")[1]
    if name == "notes":
        await reply(send, NOTES.get(scope["query_string"].decode(), ""))
        return
    cases = WEBSOCKETS if scope["type"] == "websocket" else CASES
    try:
        await cases[name](scope, receive, send)
    except Exception as error:
        NOTES.setdefault(name, exception(error))
        raise
    NOTES.setdefault(name, "no error")


def exception(error: Exception) -> str:
    """Return the name of its type, and whether that is an OSError."""
    name = type(error).__name__
    return f"OSError ({name})" if isinstance(error, OSError) and name != "OSError" else name


async def lifespan(scope: Scope, receive: Any, send: Any) -> None:
    kind = os.environ.get("BEHAVIOUR_LIFESPAN")
    await receive()
    if kind == "returns":
        return
    if kind == "raises":
        raise LookupError
    if kind == "refuses":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    scope.get("state", {})["made"] = "by the lifespan"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if kind == "raises-end":
        raise LookupError
    end = "failed" if kind == "refuses-end" else "complete"
    await send({"type": f"lifespan.shutdown.{end}"})


async def show(scope: Scope, receive: Any, send: Any) -> None:
    told: dict[str, Any] = {k: v for k, v in scope.items() if isinstance(v, str)}
    told["raw_path"] = (scope.get("raw_path") or b"").decode()
    told["headers"] = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
    told["spec"] = scope["asgi"].get("spec_version")
    told["extensions"] = sorted(scope.get("extensions") or {})
    told["state"] = scope.get("state", {}).get("made")
    await reply(send, told)


async def wait_gone(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await body(send, b"x", True)
    while (message := await receive())["type"] == "http.request":
        pass
    NOTES["gone"] = message["type"]


async def send_gone(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await body(send, b"x", True)
    while (await receive())["type"] == "http.request":
        pass
    for _ in range(5):
        await asyncio.sleep(0.01)
        await body(send, b"x", True)


async def later(scope: Scope, receive: Any, send: Any) -> None:
    NOTES["later"] = "begun"
    await asyncio.sleep(0.3)
    await plain(scope, receive, send)


async def short(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, length(10))
    await body(send, b"short")


async def long(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, length(2))
    await body(send, b"longer")


async def fails(scope: Scope, receive: Any, send: Any) -> None:
    raise LookupError


async def fails_within(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await body(send, b"x", True)
    raise LookupError


async def nothing(scope: Scope, receive: Any, send: Any) -> None:
    pass


async def half(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await body(send, b"x", True)


async def twice(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await start(send, 200)
    await body(send, b"x")


async def body_first(scope: Scope, receive: Any, send: Any) -> None:
    await body(send, b"x")


async def after_end(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, length(1))
    await body(send, b"x")
    await body(send, b"y")


async def no_content(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 204)
    await body(send, b"hidden")


async def plain(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, length(5))
    await body(send, b"plain")


async def splits(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, (b"x-a", b"1\r\nx-evil: yes"), length(1))
    await body(send, b"x")


async def not_bytes(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, ("x-text", "yes"), length(1))  # type: ignore[arg-type]  # the point
    await body(send, b"x")


async def read_all(scope: Scope, receive: Any, send: Any) -> None:
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await reply(send, size)


async def trailers(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200, (b"trailer", b"x-sum"), trailers=True)
    await body(send, b"x")
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def hints(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await plain(scope, receive, send)


async def path_send(scope: Scope, receive: Any, send: Any) -> None:
    await start(send, 200)
    await send({"type": "http.response.pathsend", "path": __file__})


CASES = {
    "show": show,
    "later": later,
    "gone": wait_gone,
    "sendgone": send_gone,
    "short": short,
    "long": long,
    "fails": fails,
    "failswithin": fails_within,
    "nothing": nothing,
    "half": half,
    "twice": twice,
    "bodyfirst": body_first,
    "afterend": after_end,
    "nocontent": no_content,
    "plain": plain,
    "splits": splits,
    "notbytes": not_bytes,
    "readall": read_all,
    "trailers": trailers,
    "hints": hints,
    "pathsend": path_send,
}
