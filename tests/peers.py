"""Programs and ports that tests need from outside Python.

A test that needs a program which is not here skips on a developer's machine, and fails under CI,
where `.ci/run` has installed it, so that no skip goes unnoticed.
"""

import os
import shutil
import socket
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Servers are in sbin, which is often not on a user's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])


def find(program: str) -> str | None:
    """Return the path of a program; None if it is not installed."""
    return shutil.which(program, path=_PATH)


def require(program: str) -> str:
    """Return the path of a program; if there is none, skip the test, or fail in CI."""
    path = find(program)
    if path is None:
        missing(f"{program} is not installed")
    return path


def missing(what: str) -> NoReturn:
    """Skip the test or module that cannot run here; in CI, fail."""
    if IN_CI:
        pytest.fail(f"{what}, and CI skips nothing", pytrace=False)
    pytest.skip(what, allow_module_level=True)


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago.

    Only for programs that cannot choose a free port (0) and print it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
