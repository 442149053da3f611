"""ASGI 3 applications, served by `cno.serve`: HTTP, WebSockets and lifespan, in both protocols."""

from cno.asgi.errors import LifespanError
from cno.asgi.handler import Handler
from cno.asgi.lifespan import Lifespan

__all__ = ["Handler", "Lifespan", "LifespanError"]
