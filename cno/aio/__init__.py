"""asyncio: servers, clients, and what they exchange. `cno` has the same names.

They are loaded when the first of them is used, because a command or a module needs few of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cno.aio.public import (
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

if not TYPE_CHECKING:  # pragma: no branch - nobody runs a type checker's half

    def __getattr__(name: str) -> object:
        """Return a public name (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from cno.aio import public

        globals().update((each, getattr(public, each)) for each in __all__)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
