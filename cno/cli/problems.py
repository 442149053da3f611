"""Errors that the user or the network causes, as one line and an exit status.

Knows the exceptions of the libraries below, and `--limit`, which every command has. Must never know
commands or their other options.
"""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Any, Final

from cno.cli.text import one_line
from cno.errors import ConnectionError

#: Exit status when whoever read our output has read enough: as of a process that SIGPIPE ends.
OUTPUT_CLOSED: Final = 141


#: Errors of a system that has no more descriptors or memory.
SCARCE: Final = (EMFILE, ENFILE, ENOBUFS, ENOMEM)


class Problem(Exception):
    """An error that ends a command: one line for the user ('': none), and the exit `status`."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def reason(error: BaseException) -> str:
    """Return what happened, on one line, without the prefixes of Python and OpenSSL."""
    if isinstance(error, ConnectionError):
        return one_line(with_option(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message or error}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or str(error)).lower().replace("_", " ")
        return f"TLS failed: {words}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    text = error.strerror if isinstance(error, OSError) else str(error)
    return one_line(text or str(error) or type(error).__name__)


def with_option(error: ConnectionError) -> str:
    """Return the text of an error with the option that lets its cause pass, if there is one."""
    text = str(error) or type(error).__name__
    if not error.limit:
        return text
    text = text.removesuffix(f" (Limits.{error.limit})")
    if error.limit.startswith("allow_"):
        return f"{text} (--limit {error.limit}=yes allows it)"
    return f"{text} (--limit {error.limit}=... sets another limit)"


def described(context: dict[str, Any]) -> str:
    """Return an error that the event loop could raise to nobody, as one line."""
    error = context.get("exception")
    words = context.get("message", "something failed")
    detail = f": {reason(error)}" if isinstance(error, BaseException) else ""
    return one_line(f"cno: {str(words).removeprefix('cno: ')}{detail}")


class Reporter:
    """An exception handler of the event loop that passes each error on as one line.

    While descriptors are missing, each attempt to accept a connection fails: the same line comes at
    most once a second.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last = ""
        self._at = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in SCARCE:
            line = f"cno: no connection can be accepted: {reason(error)}"
            if line == self._last and loop.time() < self._at + 1.0:
                return
            self._last, self._at = line, loop.time()
        else:
            line = described(context)
        self._write(line)


def end_line() -> None:
    """After Ctrl-C on a terminal, which shows it as `^C`: begin a new line."""
    if sys.stderr.isatty():
        print(file=sys.stderr)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print an error that the event loop could raise to nobody: its exception handler."""
    print(described(context), file=sys.stderr)
