"""httpx and requests on `cno`, and the blocking client: `python -m benchmarks.adapters`.

As `benchmarks.client`: nghttpd answers HTTP/2 in clear text, nginx HTTP/1.1, on one core; the
client runs on another one, in a new process for each run. The rows are the processor's time per
request, which a busy machine disturbs less than rates.
"""

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import client, lab
from benchmarks.lab import Claim, Options, Row
from benchmarks.servers import H1, H2C, Site, all_started


class Case(NamedTuple):
    """Clients that do the same. `goals` are the least ratios of the first one to others."""

    name: str
    module: str
    way: str
    at_once: int
    clients: tuple[str, ...]
    goals: dict[str, float]


UNIT: Final = "µs of processor per request"
ASYNC: Final = "benchmarks.clients"
BLOCKING: Final = "benchmarks.blocking_clients"
ON_CNO: Final = ("httpx on cno", "httpx")
HTTP2: Final = ("cno.sync", "httpx on cno", "httpx")
HTTP1: Final = ("cno.sync, HTTP/1.1", "requests on cno", "requests", "urllib3")

CASES: Final = (
    Case("httpx, asyncio, 1 at a time", ASYNC, H2C, 1, ON_CNO, {"httpx": 2}),
    Case("httpx, asyncio, 100 at a time", ASYNC, H2C, 100, ON_CNO, {"httpx": 4}),
    Case("blocking, HTTP/2, 1 thread", BLOCKING, H2C, 1, HTTP2, {"httpx": 5}),
    Case("blocking, HTTP/2, 50 threads", BLOCKING, H2C, 50, HTTP2, {"httpx": 5}),
    Case("blocking, HTTP/1.1, 1 thread", BLOCKING, H1, 1, HTTP1, {"requests": 3}),
    Case("blocking, HTTP/1.1, 50 threads", BLOCKING, H1, 50, HTTP1, {"requests": 3}),
)


def row(case: Case, url: str, core: set[int], opts: Options, claim: Claim) -> Row | None:
    """Measure one case, in alternating turns."""
    seconds = 0.3 if opts.quick else 2.0
    samples: lab.Samples = {}
    able = list(case.clients)
    for _ in range(opts.rounds):
        for name in list(able):
            seen = client.turn(name, url, case.at_once, seconds, core, case.module)
            if "missing" in seen:
                claim.miss(seen["missing"])
                able.remove(name)
                continue
            samples.setdefault(name, []).append(seen["cpu"])
    if case.clients[0] not in samples:
        return None
    goals = {name: goal for name, goal in case.goals.items() if name in samples}
    return Row(case.name, UNIT, samples, False, goals, ours=case.clients[0])


def threads_row(rows: list[Row]) -> Row | None:
    """Return one thread and 50 of the blocking client beside each other, in the same rounds."""
    found = {each.case: each.samples.get("cno.sync") for each in rows}
    one, many = (found.get(f"blocking, HTTP/2, {text}") for text in ("1 thread", "50 threads"))
    if one is None or many is None:
        return None
    samples = {"50 threads": many, "1 thread": one}
    unit = "µs of processor per request"
    return Row(
        "cno.sync, HTTP/2, threads", unit, samples, False, {"1 thread": 1}, ours="50 threads"
    )


def measure(opts: Options) -> Claim:
    claim = Claim(
        "adapters",
        "httpx and requests on cno, and the blocking client",
        "Median (least-most) of the rounds; **how many times better the first one is (goal)**. One "
        "core for the server and another for the client.",
    )
    server_core, core = lab.cores()
    with tempfile.TemporaryDirectory() as folder:
        site = Site.make(Path(folder))
        with all_started(["nghttpd", "nginx"], site, server_core, claim) as running:
            urls = client.targets(running)
            for case in CASES:
                if case.way in urls and opts.wants(case.name):
                    found = row(case, urls[case.way] + "/", core, opts, claim)
                    if found is not None:
                        claim.rows.append(found)
    threads = threads_row(claim.rows)
    if threads is not None:
        claim.rows.append(threads)
    peers = ("httpx", "h2", "requests", "urllib3", "uvloop", "nghttpd", "nginx")
    claim.versions = {name: lab.version(name) for name in peers}
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
