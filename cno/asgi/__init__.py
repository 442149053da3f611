"""ASGI 3 applications, served by `cno.serve`: HTTP, WebSockets and lifespan, in both protocols."""

from cno.asgi.handler import Handler
from cno.asgi.lifespan import Lifespan, LifespanError

__all__ = ["Handler", "Lifespan", "LifespanError"]
