"""Clients over loopback, all against the same server: `python -m benchmarks.client`.

nghttpd answers HTTP/2 in clear text, nginx HTTP/1.1, on one core. The client runs on another core,
in a new process for each run (`clients.py`): 1, 10 and 100 requests at a time, then a large one.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks import lab
from benchmarks.lab import Claim, Options, Row
from benchmarks.servers import H1, H2C, Running, Site, all_started

HTTP2: Final = ("cno", "cno.Pool", "httpx", "niquests")
HTTP1: Final = ("cno, HTTP/1.1", "cno.Pool, HTTP/1.1", "aiohttp")
UNITS: Final = {
    "requests/s": "rate",
    "µs of processor per request": "cpu",
    "ms, p50": "median",
    "ms, p99": "slow",
}

#: Requests at a time -> least ratios of the rates.
GOALS: Final[dict[int, dict[str, float]]] = {
    1: {"httpx": 5, "aiohttp": 2},
    10: {"aiohttp": 2},
    100: {"httpx": 20, "aiohttp": 2},
}


def turn(
    name: str,
    url: str,
    count: int,
    seconds: float,
    core: set[int],
    module: str = "benchmarks.clients",
) -> dict[str, Any]:
    """Run a client process. Return its measurements."""
    command = [sys.executable, "-m", module, name, url, str(count), str(seconds)]
    try:
        done = lab.run_pinned(command, core, 60 + 10 * seconds)
    except subprocess.TimeoutExpired:
        return {"missing": f"{name}: was not done in time"}
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        return {"missing": f"{name}: {said or f'exit status {done.returncode}'}"}
    return dict(json.loads(done.stdout))


def rows(
    case: str,
    names: tuple[str, ...],
    url: str,
    count: int,
    core: set[int],
    opts: Options,
    claim: Claim,
) -> list[Row]:
    """All of one case; a client that fails is left out from then on."""
    seconds = 0.3 if opts.quick else 2.0
    samples: dict[str, lab.Samples] = {unit: {} for unit in UNITS}
    able = list(names)
    for _ in range(opts.rounds):
        for name in list(able):
            seen = turn(name, url, count, seconds, core)
            if "missing" in seen:
                claim.miss(seen["missing"])
                able.remove(name)
                continue
            for unit, key in UNITS.items():
                samples[unit].setdefault(name, []).append(seen[key])
    large = url.endswith("large")
    found = []
    for unit, each in samples.items():
        if names[0] not in each:
            continue
        goals = {}
        if unit == "requests/s":
            goals = {"niquests": 1.5} if large else GOALS.get(count, {})
        kept = {name: goal for name, goal in goals.items() if name in each}
        found.append(Row(case, unit, each, unit == "requests/s", kept, ours=names[0]))
    return found


def targets(running: dict[str, Running]) -> dict[str, str]:
    """Where HTTP/2 and HTTP/1.1 are asked for: in want of the others, of ours."""
    both = running.get("cno (asyncio)")
    found = {}
    for way, server in ((H2C, running.get("nghttpd", both)), (H1, running.get("nginx", both))):
        if server is not None:
            found[way] = server.url(way, "")
    return found


def measure(opts: Options) -> Claim:
    claim = Claim(
        "client",
        "Clients over loopback",
        "Median (least-most) of the rounds; **how many times better `cno` is (goal)**. One core "
        "for the server and another for the client.",
    )
    server_core, core = lab.cores()
    with tempfile.TemporaryDirectory() as folder:
        site = Site.make(Path(folder))
        servers = ["nghttpd", "nginx"]
        with all_started(servers, site, server_core, claim) as running:
            if len(running) < len(servers):
                with all_started(["cno (asyncio)"], site, server_core, claim) as own:
                    measure_all({**own, **running}, core, opts, claim)
            else:
                measure_all(running, core, opts, claim)
    peers = ("httpx", "h2", "aiohttp", "niquests", "uvloop", "nghttpd", "nginx")
    claim.versions = {name: lab.version(name) for name in peers}
    return claim


def measure_all(running: dict[str, Running], core: set[int], opts: Options, claim: Claim) -> None:
    urls = targets(running)
    for way, names, label in ((H2C, HTTP2, "HTTP/2"), (H1, HTTP1, "HTTP/1.1")):
        if way not in urls:
            continue
        for count in (1, 10, 100):
            case = f"{label}, {count} at a time"
            if opts.wants(case):
                claim.rows += rows(case, names, urls[way] + "/", count, core, opts, claim)
        case = f"{label}, 32 MiB"
        if opts.wants(case):
            claim.rows += rows(case, names, urls[way] + "/large", 1, core, opts, claim)


if __name__ == "__main__":
    lab.main(__doc__, measure)
