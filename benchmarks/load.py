"""Run h2load and wrk on one core, and parse their reports.

Knows their flags and output. Must never know which server they load.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.lab import program, run_pinned

UPLOAD: Final = """
wrk.method = "POST"
local file = io.open("{path}", "rb")
wrk.body = file:read("*a")
"""

#: Seconds after which a load is given up.
PATIENCE: Final = 40


class Failed(RuntimeError):
    """The load did not go well: requests failed, or there were none."""


@dataclass
class Load:
    """The load on a server: connections, and concurrent requests on each."""

    connections: int
    streams: int = 1
    post: Path | None = None


@dataclass
class Report:
    """`requests` were answered, at `rate` a second; latencies in milliseconds."""

    requests: int
    rate: float
    median: float = 0.0
    slow: float = 0.0  # the 99th percentile


def run(command: list[str], core: set[int]) -> str:
    try:
        done = run_pinned(command, core, PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{Path(command[0]).name} was not done after {PATIENCE} seconds") from None
    if done.returncode:
        raise Failed(f"{Path(command[0]).name}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def h2load(url: str, load: Load, count: int, core: set[int], log: Path | None = None) -> Report:
    """Send `count` requests; with a `log`, measure latencies. (`--duration` hangs now and then.)"""
    count = max(count, load.connections * load.streams)
    command = [program("h2load"), "-t1", f"-n{count}", f"-c{load.connections}"]
    command += [f"-m{load.streams}", "--window-bits=24", "--connection-window-bits=28"]
    if load.post is not None:
        command += ["-d", str(load.post)]
    if log is not None:
        log.unlink(missing_ok=True)
        command.append(f"--log-file={log}")
    text = run([*command, url], core)
    said = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", text)
    if said is None or rate is None:
        raise Failed(f"h2load said nothing known: {text!r}")
    succeeded, failed, errored = map(int, said.groups())
    if not succeeded or failed or errored:
        raise Failed(f"h2load: {said[0]}")
    report = Report(succeeded, float(rate[1]))
    if log is not None:
        times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        report.median = times[len(times) // 2] / 1000
        report.slow = times[len(times) * 99 // 100] / 1000
    return report


def wrk(url: str, load: Load, seconds: float, core: set[int]) -> Report:
    """The same over HTTP/1.1, in whole seconds."""
    command = [program("wrk"), "-t1", f"-c{load.connections}", f"-d{max(round(seconds), 1)}s"]
    if load.post is not None:
        script = load.post.with_suffix(".lua")
        script.write_text(UPLOAD.format(path=load.post))
        command += ["-s", str(script)]
    text = run([*command, "--latency", url], core)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    if rate is None or count is None or not int(count[1]):
        raise Failed(f"wrk said nothing known: {text!r}")
    errors = re.search(r"(Non-2xx.*|Socket errors.*)", text)
    if errors:
        raise Failed(f"wrk: {errors[0].strip()}")
    return Report(
        int(count[1]), float(rate[1]), milliseconds(text, "50%"), milliseconds(text, "99%")
    )


def milliseconds(text: str, which: str) -> float:
    found = re.search(rf"^\s+{which}\s+([\d.]+)(us|ms|s)", text, re.M)
    if found is None:
        return 0.0
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
