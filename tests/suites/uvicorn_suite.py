"""uvicorn's own tests of protocols, middleware and lifespan, with `cno.uvicorn:Protocol`.

`python -m tests.suites uvicorn [pytest's arguments]`: those of its three newest minor versions,
each with that uvicorn; `uvicorn==VERSION` for one.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.processes import ENVIRONMENT
from tests.suites.fetch import sources

FILES: Final = (
    "tests/protocols/test_http.py",
    "tests/protocols/test_websocket.py",
    "tests/middleware",
    "tests/test_lifespan.py",
)
#: Minor versions that are tested, the newest first.
MINORS: Final = 3


def run(arguments: list[str], version: str = "") -> int:
    """Run the tests of a version of uvicorn, or of the newest ones; pytest's first code not 0."""
    requirement = f"uvicorn=={version}" if version else "uvicorn"
    codes = []
    for _ in range(1 if version else MINORS):
        with tempfile.TemporaryDirectory(prefix="suite.") as name:
            folder = sources(requirement, Path(name))
            print(f"the tests of {folder.name}", flush=True)
            codes.append(run_in(folder, arguments))
            found = re.search(r"-(\d+\.\d+)", folder.name)
        assert found is not None, folder
        requirement = f"uvicorn<{found[1]}"
    return next((code for code in codes if code), 0)


def run_in(folder: Path, arguments: list[str]) -> int:
    """Run the tests of these sources, which are the uvicorn under test as well."""
    # Theirs would be taken for our fixtures: ours replace them at the end of their file.
    with (folder / "tests/conftest.py").open("a") as conftest:
        conftest.write("\n\nfrom suite_plugin import *  # noqa\n")
    plugin = Path(__file__).with_name("uvicorn_plugin.py")
    (folder / "suite_plugin.py").write_bytes(plugin.read_bytes())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=", "-W", "ignore", *(arguments or FILES)]
    path = os.pathsep.join([str(folder), ENVIRONMENT["PYTHONPATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode
