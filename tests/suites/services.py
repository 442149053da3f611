"""Servers of an ASGI application for suites of others: `cno serve`, or uvicorn with our class."""

import sys
from pathlib import Path

from tests.processes import Pair

#: The servers that a suite runs against.
KINDS = ("serve", "uvicorn")


def command(kind: str, app: str, port: int, pair: Pair | None = None) -> list[str]:
    """Return how to start a server of `app` on a port, with TLS if it has a certificate."""
    if kind == "uvicorn":
        found = [sys.executable, "-m", "uvicorn", "--http", "cno.uvicorn:Protocol", app]
        found += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        if pair is not None:
            found += ["--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key)]
        return found
    found = [sys.executable, "-m", "cno", "serve", app, "--port", str(port), "--no-log"]
    if pair is not None:
        found += ["--cert", str(pair.cert), "--key", str(pair.key)]
    return found


def chosen(arguments: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Split arguments into the kinds of server, all by default, and what pytest gets."""
    if arguments and arguments[0] in KINDS:
        return (arguments[0],), arguments[1:]
    return KINDS, arguments


def pytest_command(folder: Path, arguments: list[str]) -> list[str]:
    """Return how to run the tests of a folder."""
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    tests += ["-o", "addopts=", "-o", "asyncio_mode=auto", "--rootdir", str(folder)]
    return tests + (arguments or ["."])
