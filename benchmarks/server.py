"""Servers over loopback: `python -m benchmarks.server`.

The server has one core, the load another one. All servers have the same greeting, page of 1 MiB and
upload of 1 MiB; those in Python run the same application (`apps.py`), on uvloop unless the row says
otherwise. All run from the beginning, and are loaded one after the other: HTTP/2 by h2load,
HTTP/1.1 by wrk.
"""

import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import lab
from benchmarks.lab import Claim, Missing, Options, Row
from benchmarks.load import Failed, Load, h2load, wrk
from benchmarks.servers import H1, H2, H2C, SERVERS, Running, Site, all_started

RATE, CPU, MEDIAN, SLOW = "requests/s", "µs of processor per request", "ms, p50", "ms, p99"
#: Those of other benchmarks are left out.
NAMES: Final = [
    name
    for name in SERVERS
    if name not in ("cno ASGI", "uvicorn (cno)", "granian (ws)", "floor")
    and "websockets" not in name
]


@dataclass
class Case:
    name: str
    way: str
    path: str
    load: Load
    goals: dict[str, float] = field(default_factory=dict)
    #: Of the processor time per request, where that is what is compared.
    cpu_goals: dict[str, float] = field(default_factory=dict)
    #: Servers that have no such page.
    without: tuple[str, ...] = ()


def cases(upload: Path) -> list[Case]:
    small = {"hypercorn": 40, "granian": 2.5, "nginx": 1.5}
    cpu = {"nghttpd": 0.4}
    return [
        Case("small, h2c, 10 connections x 10 streams", H2C, "/", Load(10, 10), small, cpu),
        Case("small, h2c, 1 x 100", H2C, "/", Load(1, 100), small, cpu),
        Case("small, h2c, 100 x 1", H2C, "/", Load(100, 1), {"granian": 1}),
        Case("small, h2 over TLS, 10 x 10", H2, "/", Load(10, 10), {"granian": 2}),
        Case("small, HTTP/1.1, 10 x 1", H1, "/", Load(10), {"uvicorn (httptools)": 1.5}),
        Case("small, HTTP/1.1, 100 x 1", H1, "/", Load(100)),
        Case("1 MiB down, h2c, 4 x 4", H2C, "/big", Load(4, 4), {"nghttpd": 0.8}),
        Case("1 MiB up, h2c, 4 x 4", H2C, "/", Load(4, 4, upload), {"nginx": 0.8}),
        Case("1 MiB down, HTTP/1.1, 4 x 1", H1, "/big", Load(4)),
        Case("1 MiB up, HTTP/1.1, 4 x 1", H1, "/", Load(4, 1, upload)),
    ]


@dataclass
class Bench:
    """One run over all cases."""

    running: dict[str, Running]
    core: set[int]
    seconds: float
    log: Path
    claim: Claim
    #: Requests per second of each, from warming up: so a turn takes about as long for all.
    rates: dict[str, float] = field(default_factory=dict)

    def turn(self, case: Case, server: Running) -> dict[str, float]:
        """Load a server once. Return the measurements by their names."""
        url = server.url(case.way, case.path)
        before = server.cpu()
        if case.way == H1:
            report = wrk(url, case.load, self.seconds, self.core)
        else:
            count = round(self.rates[server.name] * self.seconds)
            report = h2load(url, case.load, count, self.core)
        seen = {RATE: report.rate, CPU: (server.cpu() - before) / report.requests * 1e6}
        if case.way != H1:
            # Writing a line per request costs h2load time: a separate run.
            count = round(self.rates[server.name] * self.seconds / 3)
            report = h2load(url, case.load, count, self.core, self.log)
        seen |= {MEDIAN: report.median, SLOW: report.slow}
        return seen

    def rows(self, case: Case, rounds: int) -> list[Row]:
        samples: dict[str, lab.Samples] = {unit: {} for unit in (RATE, CPU, MEDIAN, SLOW)}
        able = {
            name: server
            for name, server in self.running.items()
            if case.way in server.ports and name not in case.without
        }
        for name, server in list(able.items()):
            try:
                self.warm(case, server)
            except Failed as reason:
                self.claim.miss(f"{name}, {case.name}: {reason}")
                del able[name]
        for _ in range(rounds):
            for name, server in able.items():
                try:
                    seen = self.turn(case, server)
                except Failed as reason:
                    self.claim.miss(f"{name}, {case.name}: {reason}")
                    continue
                for unit, value in seen.items():
                    samples[unit].setdefault(name, []).append(value)
        return [
            Row(case.name, RATE, samples[RATE], more=True, goals=case.goals),
            Row(case.name, CPU, samples[CPU], goals=case.cpu_goals),
            Row(case.name, MEDIAN, samples[MEDIAN]),
            Row(case.name, SLOW, samples[SLOW]),
        ]

    def warm(self, case: Case, server: Running) -> None:
        if case.way == H1:
            return
        url = server.url(case.way, case.path)
        first = h2load(url, case.load, 4 * case.load.connections * case.load.streams, self.core)
        count = round(first.rate * min(self.seconds / 4, 0.3))
        self.rates[server.name] = h2load(url, case.load, count, self.core).rate


def memory(running: dict[str, Running]) -> Row:
    """Of the first process of each, which has served HTTP/2 in clear text, if the server can."""
    samples = {}
    for name, server in running.items():
        first = Running(name, server.ports, server.processes[:1])
        samples[name] = [first.memory() / 2**20]
    return Row("resident after all of it", "MiB", samples)


def measure(opts: Options) -> Claim:
    claim = Claim(
        "server",
        "Servers over loopback",
        "Median (least-most) of the rounds; **how many times better `cno` (on uvloop) is "
        "(goal)**. One core for the server and another for the load.",
    )
    for tool in ("h2load", "wrk"):
        try:
            lab.program(tool)
        except Missing as reason:
            claim.miss(str(reason))
            return claim
    server_core, load_core = lab.cores()
    if server_core == load_core:
        claim.notes.append("There is one core only: server and load share it.")
    with tempfile.TemporaryDirectory() as folder:
        site = Site.make(Path(folder))
        with all_started(NAMES, site, server_core, claim) as running:
            seconds = 0.3 if opts.quick else 2.0
            bench = Bench(running, load_core, seconds, Path(folder) / "times", claim)
            chosen = [case for case in cases(site.work / "big") if opts.wants(case.name)]
            if opts.quick and not opts.only:
                chosen = [case for case in chosen if case.way != H1 or "10 x 1" in case.name]
            for case in chosen:
                claim.rows += bench.rows(case, opts.rounds)
            claim.rows.append(memory(running))
    programs = ("uvloop", "hypercorn", "granian", "uvicorn", "httptools", "zttp")
    tools = ("nginx", "nghttpd", "h2load", "wrk")
    claim.versions = {name: lab.version(name) for name in (*programs, *tools)}
    claim.notes += saturated(claim)
    return claim


def saturated(claim: Claim, rate: str = RATE, cpu: str = CPU) -> list[str]:
    """Where the load's core, not the server's, was the limit, the rate understates a server."""
    found = []
    rates = {row.case: row.samples for row in claim.rows if row.unit == rate}
    for row in claim.rows:
        if row.unit != cpu:
            continue
        busy = {
            name: statistics.median(map(product, values, rates[row.case][name]))
            for name, values in row.samples.items()
        }
        idle = ", ".join(f"{name} {share:.0%}" for name, share in busy.items() if share < 0.9)
        if idle:
            found.append(f"{row.case}: not busy all of the time, but {idle}.")
    return found


def product(cpu: float, rate: float) -> float:
    return cpu * rate / 1e6


if __name__ == "__main__":
    lab.main(__doc__, measure)
