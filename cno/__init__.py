"""HTTP/2 and HTTP/1.1: `cno` for asyncio, `cno.raw` without I/O, `cno.hpack` for field blocks.

Chooses the compiled build or its sources; nothing else. The public names are loaded when the first
of them is used, and with them asyncio. Stays interpreted. Must stay cheap to import.
"""

from typing import TYPE_CHECKING, Final

from cno import _build

_build.choose()

if TYPE_CHECKING:
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

if not TYPE_CHECKING:
    #: Where the public names are that need no asyncio.
    _HOMES = {
        "ConnectionError": "cno.raw",
        "ConnectionStats": "cno.stats",
        "Limits": "cno.raw",
        "SettingsDict": "cno.settings",
        "Timeout": "cno.timeouts",
    }
    #: Modules that are attributes, too, before they are imported.
    _MODULES = ("aio", "errors", "hpack", "limits", "raw", "settings", "timeouts", "trace")

    def __getattr__(name: str) -> object:
        """Return a public name (PEP 562)."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"cno.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_HOMES.get(name, "cno.aio")), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_MODULES})
