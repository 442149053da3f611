"""ASGI 3 applications, served by `cno.serve`: HTTP, WebSockets and lifespan, in both protocols."""

from typing import TYPE_CHECKING

from cno._description import DEBUG
from cno.asgi.errors import LifespanError
from cno.asgi.handler import Handler
from cno.asgi.lifespan import Lifespan
from cno.strict import COMPILED

if TYPE_CHECKING:
    from cno.asgi.server.run import run

if DEBUG and COMPILED:
    from cno._description import warn_unawaited
    from cno.asgi.http import HttpCycle
    from cno.asgi.websocket import WebSocketCycle

    warn_unawaited(HttpCycle)
    warn_unawaited(WebSocketCycle)

__all__ = ["Handler", "Lifespan", "LifespanError", "run"]


def __getattr__(name: str) -> object:
    if name == "run":  # not at once: an import of this package is cheap
        from cno.asgi.server.run import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
