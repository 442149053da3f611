"""The public names of the asyncio layer, whose modules this one loads. `cno` has the same names.

Stays interpreted, because it describes what is compiled to `help()` and `inspect`.
"""

from cno.aio.channel import Channel
from cno.aio.client.connection import Client, Push, Response, UpgradeRefused
from cno.aio.client.pending import Pending
from cno.aio.client.requesting import connect, request
from cno.aio.errors import (
    BodyTooLargeError,
    ConnectError,
    ConnectionLostError,
    ConnectionTimeoutError,
    ConnectTimeoutError,
    ProxyError,
    StatusError,
    StreamError,
    StreamTimeoutError,
)
from cno.aio.fields import Headers
from cno.aio.forwarding import forwardable
from cno.aio.pool import Pool
from cno.aio.running import run
from cno.aio.server.connection import Handler, Request, Server
from cno.aio.server.listener import Listener
from cno.aio.server.response_stream import ResponseStream
from cno.aio.serving import serve
from cno.aio.sources import Body
from cno.aio.stacks import print_stacks
from cno.aio.tunnel import Tunnel
from cno.strict import COMPILED

__all__ = [
    "Body",
    "BodyTooLargeError",
    "Channel",
    "Client",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ConnectionTimeoutError",
    "Handler",
    "Headers",
    "Listener",
    "Pending",
    "Pool",
    "ProxyError",
    "Push",
    "Request",
    "Response",
    "ResponseStream",
    "Server",
    "StatusError",
    "StreamError",
    "StreamTimeoutError",
    "Tunnel",
    "UpgradeRefused",
    "connect",
    "forwardable",
    "print_stacks",
    "request",
    "run",
    "serve",
]

#: Methods that return a coroutine, and are to count as coroutine functions.
_COROUTINES = (Client.request, Pool.request, Request.inform, Request.respond)

if COMPILED:  # pragma: no cover - coverage is that of the sources
    from cno._description import describe

    describe(__name__, {each.__qualname__ for each in _COROUTINES})
else:
    from cno.aio.coroutine_functions import coroutine_function

    for _each in _COROUTINES:
        coroutine_function(_each)
