"""Processes of tests: our command line, other servers; their start, output and end.

Every wait is bounded, and no process is left running.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import trustme

from tests.tree import PACKAGE

#: The default timeout in seconds.
PATIENCE = 40.0

# The package under test, from any folder, and no settings of the user.
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
    "PYTHONPATH": str(PACKAGE.parent),
    "COLUMNS": "100",
}


class Result(NamedTuple):
    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()


def run(
    program: str | Path, *args: str, cwd: Path | None = None, timeout: float = PATIENCE
) -> Result:
    """Run a program to its end."""
    done = subprocess.run(
        [program, *args],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def cno(*args: str, cwd: Path | None = None, timeout: float = PATIENCE) -> Result:
    """Run our command line to its end."""
    return run(sys.executable, "-m", "cno", *args, cwd=cwd, timeout=timeout)


def collect(pipe: IO[str], lines: list[str]) -> None:
    """Collect lines, each as soon as it is there."""
    for line in pipe:
        lines.append(line)


class Running:
    """A program that runs until it is stopped; its standard output and error, as lines.

    Leaving `with` kills it, if it still runs.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        cwd: Path | None = None,
        environment: dict[str, str] = ENVIRONMENT,
    ) -> None:
        self.process = subprocess.Popen(
            args,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        assert self.process.stdout is not None and self.process.stderr is not None
        self._pipes = [self.process.stdout, self.process.stderr]
        self._threads = [
            threading.Thread(target=collect, args=(pipe, lines), daemon=True)
            for lines, pipe in zip((self.out, self.err), self._pipes, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line of standard output that matches. Return the match."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in list(self.out):
                if match := re.search(pattern, line):
                    return match
            assert self.process.poll() is None, f"it ended: {self.out} {self.err}"
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} in {self.out}, {self.err}")

    def wait_listening(self, port: int) -> None:
        """Wait until a port of the loopback interface can be connected to."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"it ended: {self.out} {self.err}"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"nothing listens on {port}: {self.err}")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end. Return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end and all output. Return the exit status."""
        self.process.wait(timeout)
        self._clean_up()
        return self.process.returncode

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._clean_up()

    def _clean_up(self) -> None:
        self.process.wait(PATIENCE)
        # Children keep the pipes open: workers whose master was killed.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join(5)
        for pipe in self._pipes:
            pipe.close()


class Served(NamedTuple):
    """A running `cno serve`. `url` ends in a slash."""

    url: str
    port: int
    running: Running


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Served]:
    """Run `python -m cno serve` on a free port. SIGINT stops it, and its status must be 0."""
    args = [sys.executable, "-m", "cno", "serve", str(folder), "--port", "0", *options]
    with Running(args, cwd=folder) as running:
        match = running.wait_for(r"(https?://[^/]+:(\d+)/) ")
        yield Served(match[1], int(match[2]), running)
        assert running.stop() == 0, running.err
        assert running.err == []


class Pair(NamedTuple):
    """PEM files: a certificate for the loopback interface, its key, and its authority."""

    cert: Path
    key: Path
    authority: Path


def certificate(folder: Path) -> Pair:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", "::1")
    pair = Pair(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    pair.key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(pair.authority))
    return pair
