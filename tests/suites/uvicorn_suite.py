"""uvicorn's own tests of its protocols, middleware and lifespan, with `cno.uvicorn:Protocol`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.processes import ENVIRONMENT
from tests.suites.fetch import sources

FILES = (
    "tests/protocols/test_http.py",
    "tests/protocols/test_websocket.py",
    "tests/middleware",
    "tests/test_lifespan.py",
)


def run(arguments: list[str], version: str = "") -> int:
    """Run the tests of a version of uvicorn (the newest, if none is named); pytest's exit code."""
    requirement = f"uvicorn=={version}" if version else "uvicorn"
    with tempfile.TemporaryDirectory(prefix="suite.") as name:
        folder = sources(requirement, Path(name))
        # Theirs would be taken for our fixtures: ours replace them at the end of their file.
        with (folder / "tests/conftest.py").open("a") as conftest:
            conftest.write("\n\nfrom suite_plugin import *  # noqa\n")
        plugin = Path(__file__).with_name("uvicorn_plugin.py")
        (folder / "suite_plugin.py").write_bytes(plugin.read_bytes())
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-o", "addopts=", "-W", "ignore", *(arguments or FILES)]
        path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(folder)])
        environment = {**ENVIRONMENT, "PYTHONPATH": path}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode
