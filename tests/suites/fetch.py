"""Fetches the sources of a package, tests included, by the package client."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path


def sources(requirement: str, folder: Path) -> Path:
    """Download the source distribution of `requirement` into `folder`; return where its files are.

    Raises subprocess.CalledProcessError where there is none.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    name = re.split("[=<]", requirement)[0]
    command += ["--no-binary", name, "--dest", str(folder), requirement]
    subprocess.run(command, check=True)
    archives = sorted(folder.glob("*.tar.gz"))
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(folder, filter="data")
    archives[-1].unlink()
    return next(path for path in sorted(folder.iterdir()) if path.is_dir())
