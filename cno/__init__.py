"""HTTP/2 and HTTP/1.1: `cno` for asyncio, `cno.raw` without I/O, `cno.hpack` for field blocks.

First chooses the compiled build or its sources, then imports the public names; nothing else. Stays
interpreted. Must stay cheap to import: no large module but asyncio and ssl.
"""

from typing import Final

from cno import _build

_build.choose()

# The public names. (E402: these imports must follow the choice.)
from cno import hpack, raw
from cno.aio import (
    Body,
    BodyTooLargeError,
    Channel,
    Client,
    ConnectError,
    ConnectionLostError,
    ConnectionTimeoutError,
    ConnectTimeoutError,
    Handler,
    Headers,
    Listener,
    Pending,
    Pool,
    ProxyError,
    Push,
    Request,
    Response,
    ResponseStream,
    Server,
    StatusError,
    StreamError,
    StreamTimeoutError,
    Tunnel,
    UpgradeRefused,
    connect,
    forwardable,
    print_stacks,
    request,
    run,
    serve,
)
from cno.errors import ConnectionError
from cno.limits import Limits
from cno.settings import SettingsDict
from cno.stats import ConnectionStats
from cno.timeouts import Timeout

COMPILED: Final[bool] = _build.is_compiled()
__version__: Final = _build.VERSION

__all__ = [
    "COMPILED",
    "Body",
    "BodyTooLargeError",
    "Channel",
    "Client",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionError",
    "ConnectionLostError",
    "ConnectionStats",
    "ConnectionTimeoutError",
    "Handler",
    "Headers",
    "Limits",
    "Listener",
    "Pending",
    "Pool",
    "ProxyError",
    "Push",
    "Request",
    "Response",
    "ResponseStream",
    "Server",
    "SettingsDict",
    "StatusError",
    "StreamError",
    "StreamTimeoutError",
    "Timeout",
    "Tunnel",
    "UpgradeRefused",
    "__version__",
    "connect",
    "forwardable",
    "hpack",
    "print_stacks",
    "raw",
    "request",
    "run",
    "serve",
]

if COMPILED:
    from cno import _sources

    _sources.describe(
        [globals()[name] for name in __all__]
        + [getattr(raw, name) for name in raw.__all__]
        + [getattr(hpack, name) for name in hpack.__all__],
        type(Pool.aclose),
        {"Client.request", "Pool.request", "Request.inform", "Request.respond"},  # as below
    )
else:
    from cno.aio.coroutine_functions import coroutine_function

    coroutine_function(Client.request)
    coroutine_function(Pool.request)
    coroutine_function(Request.inform)
    coroutine_function(Request.respond)
