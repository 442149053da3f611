"""asyncio: servers, clients, and what they exchange. `cno` has the same names."""

from cno.aio.body import Channel
from cno.aio.client import Client, UpgradeRefused
from cno.aio.connect import connect, request
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.listen import Listener, serve
from cno.aio.messages import Push, Request, Response, Tunnel
from cno.aio.server import Server

__all__ = [
    "Channel",
    "Client",
    "ConnectionLostError",
    "Listener",
    "Push",
    "Request",
    "Response",
    "Server",
    "StreamError",
    "Tunnel",
    "UpgradeRefused",
    "connect",
    "request",
    "serve",
]
