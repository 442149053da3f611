"""Count the writes of servers: `python -m benchmarks.syscalls`.

Runs servers under strace and h2load, and counts the writes to each connection between two waits for
events. Ours should write at most once to each.
"""

import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import lab, servers
from benchmarks.lab import Claim, Missing, Options, Row
from benchmarks.load import Load, h2load
from benchmarks.servers import H2C

NAMES: Final = ("cno", "cno (asyncio)", "hypercorn", "granian", "uvicorn (zttp)", "nginx")
WAITS: Final = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
WRITES: Final = {"sendto", "sendmsg", "sendmmsg", "write", "writev"}
LOADS: Final = {"10 x 10": Load(10, 10), "1 x 100": Load(1, 100), "100 x 1": Load(100, 1)}
CALL: Final = re.compile(r"^(\d+) +(\w+)\((\d+)")


@dataclass
class Count:
    """The measurements of one server."""

    turns: int = 0
    reads: int = 0
    writes: int = 0
    most: int = 0  # writes to one connection in one turn


def count(lines: Iterable[str], sockets: set[int] | None = None) -> Count:
    """System calls as strace writes them down, per thread: `PID name(fd, ...`."""
    found = Count()
    turn: Counter[tuple[str, str]] = Counter()
    for line in lines:
        said = CALL.match(line)
        if said is None:
            continue
        thread, name, fd = said.groups()
        if name in WAITS:
            found.turns += 1
            turn = Counter({key: seen for key, seen in turn.items() if key[0] != thread})
        elif name in WRITES:
            if sockets is not None and int(fd) not in sockets:
                continue
            found.writes += 1
            turn[thread, fd] += 1
            found.most = max(found.most, turn[thread, fd])
        else:
            found.reads += 1
    return found


def traced(server: servers.Running, load: Load, requests: int, core: set[int], log: Path) -> Count:
    """Load a server under strace."""
    calls = ",".join((*WAITS, *WRITES, "recvfrom", "recvmsg", "read", "readv"))
    command = [lab.program("strace"), "-f", "-q", "-s", "0", "-o", str(log), "-e", f"trace={calls}"]
    for pid in server.tree():
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        if tracer.poll() is not None:
            raise Missing("strace may not attach to processes here")
        h2load(server.url(H2C), load, requests, core)
    finally:
        tracer.terminate()
        tracer.wait()
    return count(log.read_text(errors="replace").splitlines())


def measure(opts: Options) -> Claim:
    claim = Claim(
        "syscalls",
        "System calls",
        "Small responses over h2c, under strace: how often a server writes and reads, and how "
        "often at most to one connection between two waits for events.",
        versions={name: lab.version(name) for name in ("strace", "h2load")},
    )
    server_core, core = lab.cores()
    requests = 500 if opts.quick else 5_000
    with tempfile.TemporaryDirectory() as folder:
        site = servers.Site.make(Path(folder))
        log = Path(folder) / "strace"
        with servers.all_started(list(NAMES), site, server_core, claim) as running:
            for label, load in LOADS.items():
                if not opts.wants(label):
                    continue
                seen: dict[str, Count] = {}
                for name, server in running.items():
                    try:
                        seen[name] = traced(server, load, requests, core, log)
                    except (Missing, RuntimeError) as reason:
                        claim.miss(f"{name}: {reason}")
                claim.rows += rows(label, seen, requests) if seen else []
    return claim


def rows(label: str, seen: dict[str, Count], requests: int) -> list[Row]:
    writes = {name: [found.writes / requests] for name, found in seen.items()}
    reads = {name: [found.reads / requests] for name, found in seen.items()}
    most = {name: [float(found.most)] for name, found in seen.items()}
    return [
        Row(label, "writes per request", writes),
        Row(label, "reads per request", reads),
        Row(label, "writes to a connection in a turn, at most", most, at_most=1),
    ]


if __name__ == "__main__":
    lab.main(__doc__, measure)
