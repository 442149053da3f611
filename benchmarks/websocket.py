"""Echoes of WebSocket messages over HTTP/1.1: `python -m benchmarks.websocket`.

The same ASGI application on several servers, all on uvloop, and a native handler of `cno`. One
client sends to all of them; the servers' processor time per message is what is compared. Nothing is
compressed.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import lab
from benchmarks.lab import Claim, Options, Row
from benchmarks.load import Failed
from benchmarks.server import saturated
from benchmarks.servers import H1, Running, Site, all_started

RATE, CPU = "messages/s", "µs of processor per message"
OURS: Final = "cno ASGI"
NAMES: Final = [
    OURS,
    "cno",
    "uvicorn (websockets)",
    "uvicorn (websockets-sansio)",
    "granian (ws)",
    "hypercorn",
]
PATIENCE: Final = 60.0
CONNECTIONS: Final = 10
GOALS: Final[dict[str, float]] = {"uvicorn (websockets)": 1, "uvicorn (websockets-sansio)": 1}


@dataclass
class Case:
    name: str
    size: int
    binary: bool
    #: Messages in a turn.
    count: int


CASES: Final = (
    Case("text of 64 bytes", 64, False, 10_000),
    Case("text of 64 KiB", 65_536, False, 2_000),
    Case("64 KiB", 65_536, True, 2_000),
)


def turn(case: Case, count: int, server: Running, core: set[int]) -> dict[str, float]:
    """Load a server once. Return the measurements by their names."""
    command = [sys.executable, "-m", "benchmarks.websocket_client", str(server.ports[H1])]
    command += ["--size", str(case.size), "--count", str(count), "--connections", str(CONNECTIONS)]
    before = server.cpu()
    try:
        done = lab.run_pinned([*command, *(["--binary"] if case.binary else [])], core, PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {PATIENCE:.0f} seconds") from None
    if done.returncode:
        raise Failed(done.stderr.strip())
    messages, seconds = (float(each) for each in done.stdout.split())
    return {RATE: messages / seconds, CPU: (server.cpu() - before) / messages * 1e6}


def rows(
    case: Case, opts: Options, running: dict[str, Running], core: set[int], claim: Claim
) -> list[Row]:
    samples: dict[str, lab.Samples] = {RATE: {}, CPU: {}}
    count = case.count // 20 if opts.quick else case.count
    for _ in range(opts.rounds):
        for name, server in running.items():
            try:
                seen = turn(case, count, server, core)
            except Failed as reason:
                claim.miss(f"{name}, {case.name}: {reason}")
                continue
            for unit, value in seen.items():
                samples[unit].setdefault(name, []).append(value)
    return [
        Row(case.name, CPU, samples[CPU], goals=GOALS, ours=OURS),
        Row(case.name, RATE, samples[RATE], more=True, ours=OURS),
    ]


def measure(opts: Options) -> Claim:
    claim = Claim(
        "websocket",
        "WebSocket echoes over loopback",
        f"Median (least-most) of the rounds; **how many times better `{OURS}` is (goal)**. `cno` "
        f"has a native handler. {CONNECTIONS} connections, one message under way on each. One core "
        "for the server and another for the load.",
    )
    server_core, load_core = lab.cores()
    with tempfile.TemporaryDirectory() as folder:
        site = Site.make(Path(folder))
        with all_started(NAMES, site, server_core, claim) as running:
            for case in CASES:
                if opts.wants(case.name):
                    claim.rows += rows(case, opts, running, load_core, claim)
    programs = ("uvloop", "uvicorn", "websockets", "granian", "hypercorn", "wsproto")
    claim.versions = {name: lab.version(name) for name in programs}
    claim.notes += saturated(claim, RATE, CPU)
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
