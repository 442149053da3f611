"""What goes wrong for reasons of the user's or the network's, as one line and an exit status.

Knows the exceptions of the libraries below and their words. Must never know commands or options.
"""

import asyncio
import os
import socket
import ssl
import sys
from typing import Any, Final

from cno.cli.text import one_line
from cno.errors import ConnectionError

#: Exit status when whoever read our output has read enough: as of a process that SIGPIPE ends.
OUTPUT_CLOSED: Final = 141


class Problem(Exception):
    """One line for the user, or none; `status` is what the process exits with."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def reason(error: BaseException) -> str:
    """What happened, in the words that name it best, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message or error}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or str(error)).lower().replace("_", " ")
        return f"TLS failed: {words}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    text = error.strerror if isinstance(error, OSError) else str(error)
    return one_line(text or str(error) or type(error).__name__)


def described(context: dict[str, Any]) -> str:
    """What an event loop cannot raise to anybody, as one line."""
    error = context.get("exception")
    words = context.get("message", "something failed")
    detail = f": {reason(error)}" if isinstance(error, BaseException) else ""
    return one_line(f"cno: {str(words).removeprefix('cno: ')}{detail}")


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for event loops."""
    print(described(context), file=sys.stderr)
