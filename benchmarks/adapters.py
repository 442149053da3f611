"""httpx and requests on `cno`, and the blocking client: `python -m benchmarks.adapters`.

As `benchmarks.client`: nghttpd answers HTTP/2 in clear text, nginx HTTP/1.1, on one core; the
client runs on another one, in a new process for each run. The rows are the processor's time per
request, which a busy machine disturbs less than rates. Takes about five minutes.
"""

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import client, lab
from benchmarks.lab import Claim, Options, Row
from benchmarks.servers import H1, H2C, Running, Site, all_started


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
#: httpx with a transport that does nothing: no transport makes httpx faster than that.
NOTHING: Final = "httpx on nothing"
ON_CNO: Final = ("httpx on cno", "httpx", NOTHING)
HTTP2: Final = ("cno.sync", "httpx on cno", "httpx")
HTTP1: Final = ("cno.sync, HTTP/1.1", "requests on cno", "requests", "urllib3")

CASES: Final = (
    Case("httpx, asyncio, 1 at a time", ASYNC, H2C, 1, ON_CNO, {"httpx": 2}),
    Case("httpx, asyncio, 100 at a time", ASYNC, H2C, 100, ON_CNO, {"httpx": 4}),
    Case("blocking, HTTP/2, 1 thread", BLOCKING, H2C, 1, (*HTTP2, NOTHING), {"httpx": 5}),
    Case("blocking, HTTP/2, 50 threads", BLOCKING, H2C, 50, HTTP2, {"httpx": 5}),
    Case("blocking, HTTP/1.1, 1 thread", BLOCKING, H1, 1, HTTP1, {"requests": 3}),
    Case("blocking, HTTP/1.1, 50 threads", BLOCKING, H1, 50, HTTP1, {"requests": 3}),
)


class Variant(NamedTuple):
    """A client, by the name of its samples, and how many requests it makes at a time."""

    name: str
    client: str
    at_once: int


class ThreadsCase(NamedTuple):
    """50 threads of a blocking client beside one thread."""

    name: str
    way: str
    client: str
    goals: dict[str, float]

    def variants(self) -> list[Variant]:
        return [Variant("50 threads", self.client, 50), Variant("1 thread", self.client, 1)]


THREADS: Final = (
    ThreadsCase("cno.sync, HTTP/2, threads", H2C, "cno.sync", {"1 thread": 1}),
    ThreadsCase("cno.sync, HTTP/1.1, threads", H1, "cno.sync, HTTP/1.1", {"1 thread": 1}),
    ThreadsCase("urllib3, HTTP/1.1, threads", H1, "urllib3", {}),
)


def measured(
    variants: list[Variant], module: str, url: str, core: set[int], opts: Options, claim: Claim
) -> lab.Samples:
    """Measure clients in alternating turns. One that fails is left out from then on."""
    seconds = 0.3 if opts.quick else 0.8
    samples: lab.Samples = {}
    for _ in range(opts.rounds):
        for variant in list(variants):
            seen = client.turn(variant.client, url, variant.at_once, seconds, core, module)
            if "missing" in seen:
                claim.miss(seen["missing"])
                variants.remove(variant)
                continue
            samples.setdefault(variant.name, []).append(seen["cpu"])
    return samples


def add_row(
    claim: Claim, case: str, samples: lab.Samples, goals: dict[str, float], ours: str
) -> None:
    if ours in samples:
        kept = {name: goal for name, goal in goals.items() if name in samples}
        claim.rows.append(Row(case, UNIT, samples, False, kept, ours=ours))


def measure_all(running: dict[str, Running], core: set[int], opts: Options, claim: Claim) -> None:
    urls = client.targets(running)
    for case in CASES:
        if case.way in urls and opts.wants(case.name):
            variants = [Variant(name, name, case.at_once) for name in case.clients]
            url = urls[case.way] + "/"
            samples = measured(variants, case.module, url, core, opts, claim)
            add_row(claim, case.name, samples, case.goals, case.clients[0])
    for threads in THREADS:
        if threads.way in urls and opts.wants(threads.name):
            url = urls[threads.way] + "/"
            samples = measured(threads.variants(), BLOCKING, url, core, opts, claim)
            add_row(claim, threads.name, samples, threads.goals, "50 threads")


def measure(opts: Options) -> Claim:
    claim = Claim(
        "adapters",
        "httpx and requests on cno, and the blocking client",
        "Median (least-most) of the rounds; **how many times better the first one is (goal)**. One "
        "core for the server and another for the client. `httpx on nothing` is the time of httpx "
        "itself: its transport returns a ready response.",
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
    peers = ("httpx", "h2", "requests", "urllib3", "uvloop", "nghttpd", "nginx")
    claim.versions = {name: lab.version(name) for name in peers}
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
