"""asyncio: servers, clients, and what they exchange. `cno` has the same names."""

from cno.aio.channel import Channel
from cno.aio.client import Client, UpgradeRefused
from cno.aio.connect import connect, request
from cno.aio.errors import ConnectError, ConnectionLostError, ProxyError, StreamError
from cno.aio.listen import Listener, serve
from cno.aio.messages import Push, Request, Response, Tunnel
from cno.aio.pool import Pool
from cno.aio.server import Server

__all__ = [
    "Channel",
    "Client",
    "ConnectError",
    "ConnectionLostError",
    "Listener",
    "Pool",
    "ProxyError",
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
