"""httpx or httpx2, as values: the transports import neither.

Knows which error of theirs stands for which of ours. Must never know a connection.
"""

import importlib
from typing import Any, Final

from cno.adapters.errors import PhaseTimeoutError
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    StreamError,
)
from cno.errors import ConnectionError, ProtocolError, UsageError
from cno.sync.errors import PoolTimeoutError, WriteTimeoutError

#: Schemes of URLs -> the scheme to connect by.
SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

#: The timeout's name -> the name of the error.
TIMEOUTS: Final = {
    "connect": "ConnectTimeout",
    "read": "ReadTimeout",
    "write": "WriteTimeout",
    "pool": "PoolTimeout",
    "write_stall_timeout": "WriteTimeout",
    "handshake_timeout": "ConnectTimeout",
}

#: How the text of an error begins if the system ended the connection, and not the server's FIN.
LOST: Final = "the connection was lost:"


class Package:
    """httpx or httpx2. `module` is the package; `core` the name of the one that it is built on.

    `response` is the class of responses, `headers` that of their headers; None for httpx's own.
    """

    def __init__(self, module: Any, response: Any, headers: Any) -> None:
        self.module = module
        self.core = "httpcore2" if module.__name__ == "httpx2" else "httpcore"
        self.response: Any = response
        self.headers: Any = headers
        self.no_headers: Any = module.Headers()
        self.byte_stream: Any = module.ByteStream

    def error(self, name: str, text: str, cause: BaseException | None) -> Exception:
        """Return an error of the package, with a cause."""
        error: Exception = getattr(self.module, name)(text)
        # Not by `raise ... from`, which mypyc does not compile.
        error.__cause__ = cause
        return error

    def translated(self, error: Exception) -> Exception:
        """Return the error of the package for one of ours; any other error is returned itself."""
        name = name_for(error)
        return error if name == "" else self.error(name, str(error), error)

    def core_error(self, error: Exception) -> Exception:
        """Return the error for a network stream: one of the core's, as its own streams raise."""
        name = name_for(error)
        if name == "":
            return error
        if name == "RemoteProtocolError" or name == "LocalProtocolError":
            name = "ReadError"
        core: Any = importlib.import_module(self.core)
        other: Exception = getattr(core, name)(str(error))
        other.__cause__ = error
        return other

    def unsupported(self, scheme: str) -> Exception:
        if scheme == "":
            text = "Request URL is missing an 'http://' or 'https://' protocol."
        else:
            text = f"Request URL has an unsupported protocol '{scheme}://'."
        return self.error("UnsupportedProtocol", text, None)


def name_for(error: Exception) -> str:
    """Return the name of the class that stands for an error of ours; '' for other errors."""
    if not isinstance(error, ConnectionError):
        return ""
    if isinstance(error, PhaseTimeoutError):
        return TIMEOUTS[error.phase]
    if isinstance(error, PoolTimeoutError):
        return "PoolTimeout"
    if isinstance(error, ConnectTimeoutError):
        return "ConnectTimeout"
    if isinstance(error, WriteTimeoutError):
        return "WriteTimeout"
    if isinstance(error, TimeoutError):
        return TIMEOUTS.get(error.limit, "ReadTimeout")
    if isinstance(error, ProxyError):
        # As httpcore: a proxy that cannot be reached is a server that cannot be reached.
        unreachable = error.code == 0 and isinstance(error.__cause__, OSError)
        return "ConnectError" if unreachable and not is_of_proxy(error) else "ProxyError"
    if isinstance(error, ConnectError):
        return "ConnectError"
    if isinstance(error, UsageError):
        return "LocalProtocolError"
    if isinstance(error, ConnectionLostError):
        if isinstance(error.__cause__, BrokenPipeError):
            return "WriteError"
        reset = isinstance(error.__cause__, OSError) or str(error).startswith(LOST)
        return "ReadError" if reset else "RemoteProtocolError"
    if isinstance(error, (StreamError, ProtocolError)):
        return "RemoteProtocolError"
    return "ReadError"


def is_of_proxy(error: BaseException) -> bool:
    """Return whether the cause of an error is that a proxy refused."""
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, ProxyError) and cause.__cause__ is None:
            return True
        cause = cause.__cause__
    return False
