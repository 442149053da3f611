"""The errors of `network_stream`, which are those of the package that httpx is built on."""

import importlib
from typing import Any

from cno.adapters.package import Package


def no_tunnel(package: Package) -> Exception:
    """Return the error for reading or writing beside a response that is no tunnel."""
    core: Any = importlib.import_module(package.core)
    error: Exception = core.LocalProtocolError("only a tunnel can be read and written")
    return error


def core_write_error(package: Package, error: Exception) -> Exception:
    """Return the error for a write."""
    failure = package.core_error(error)
    core: Any = importlib.import_module(package.core)
    if type(failure) is core.ReadError:
        failure = core.WriteError(str(error))
        failure.__cause__ = error
    return failure
