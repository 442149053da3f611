"""Runs `cno serve MODULE:NAME`, and asks it."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.processes import ENVIRONMENT, PATIENCE, Running
from tests.tree import ROOT

APP = "tests.serve.apps:app"
CLEAN = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("CNO_") or k == "CNO_EXPECT"}


class Served(NamedTuple):
    """A running server. `url` ends without a slash."""

    url: str
    running: Running

    @property
    def pid(self) -> int:
        return self.running.process.pid

    def ask(self, path: str = "/", **options: Any) -> Any:
        """Return the JSON of a response."""
        return httpx.get(self.url + path, timeout=PATIENCE, **options).json()

    def pids(self) -> set[int]:
        """Return the processes of the workers."""
        return children(self.pid)


def children(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(each) for each in found}


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def eventually(check: Callable[[], object]) -> None:
    """Wait until a check holds."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, "it never holds"
        time.sleep(0.02)


def start(
    *options: str, app: str = APP, environment: dict[str, str] | None = None, cwd: Path = ROOT
) -> Running:
    path = os.pathsep.join([CLEAN["PYTHONPATH"], str(ROOT)])
    variables = {**CLEAN, "PYTHONPATH": path, **(environment or {})}
    return Running([sys.executable, "-m", "cno", "serve", app, *options], cwd, variables)


def wait_for_log(running: Running, pattern: str) -> re.Match[str]:
    """Wait for a line of standard error."""
    found: list[re.Match[str]] = []

    def look() -> bool:
        found.extend(m for line in list(running.err) if (m := re.search(pattern, line)))
        assert found or running.process.poll() is None, (running.out, running.err)
        return bool(found)

    eventually(look)
    return found[0]


@contextmanager
def serving(*options: str, app: str = APP, status: int = 0, **more: Any) -> Iterator[Served]:
    """Serve on a free port; SIGTERM stops it, and `status` must be its exit status."""
    with start("--port", "0", *options, app=app, **more) as running:
        url = wait_for_log(running, r"Listening on (https?://\S+)/ ")[1]
        yield Served(url, running)
        if running.process.poll() is None:
            running.process.terminate()
        assert running.wait() == status, (running.out, running.err)


def lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]
