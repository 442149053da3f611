"""The same ASGI application on several servers: `python -m benchmarks.asgi`.

Our own server beside others, all on uvloop, and beside `cno` with a native handler: that shows the
cost of ASGI, and is no ratio between servers. `floor` is what no server of Python coroutines on
uvloop could do without (`floor.py`). Loads and cores as in `benchmarks.server`, each for
one second: some minutes for three rounds (`--rounds 3`).
"""

import tempfile
from pathlib import Path
from typing import Final

from benchmarks import lab
from benchmarks.apps import starlette
from benchmarks.lab import Claim, Missing, Options, Row
from benchmarks.load import Load
from benchmarks.server import CPU, RATE, Bench, Case, saturated
from benchmarks.servers import H1, H2, H2C, Site, all_started

OURS: Final = "cno ASGI"
INSIDE: Final = "uvicorn (cno)"
#: No server, but the least that one could do: see `floor.py`.
FLOOR: Final = "floor"
NAMES: Final = [
    OURS,
    INSIDE,
    "cno",
    "granian",
    "uvicorn (httptools)",
    "uvicorn (zttp)",
    "hypercorn",
    FLOOR,
]


HTTPTOOLS: Final = "uvicorn (httptools)"
#: What `INSIDE` should be, of uvicorn with httptools.
INSIDE_GOAL: Final = 1.4


def cases(upload: Path) -> list[Case]:
    http2 = {"granian": 1.25, "uvicorn (zttp)": 3}
    http1 = {HTTPTOOLS: 1.5, "granian": 1.3}

    def case(name: str, way: str, path: str, load: Load, *without: str) -> Case:
        goals: dict[str, float] = {H2C: http2, H1: http1}.get(way, {})
        return Case(name, way, path, load, goals, goals, without)

    found = [
        case("hello, h2c, 10 connections x 10 streams", H2C, "/", Load(10, 10)),
        case("hello, h2 over TLS, 10 x 10", H2, "/", Load(10, 10)),
        case("hello, HTTP/1.1, 10 x 1", H1, "/", Load(10)),
        case("hello, HTTP/1.1, 100 x 1", H1, "/", Load(100)),
        case("1 MiB down, h2c, 4 x 4", H2C, "/big", Load(4, 4)),
        case("1 MiB up, h2c, 4 x 4", H2C, "/", Load(4, 4, upload)),
        case("1 MiB down, HTTP/1.1, 4 x 1", H1, "/big", Load(4)),
        case("1 MiB up, HTTP/1.1, 4 x 1", H1, "/", Load(4, 1, upload)),
    ]
    if starlette is not None:
        found += [
            case("JSON by Starlette, h2c, 10 x 10", H2C, "/json", Load(10, 10), "cno"),
            case("JSON by Starlette, HTTP/1.1, 10 x 1", H1, "/json", Load(10), "cno"),
        ]
    return found


def inside(row: Row) -> list[Row]:
    """The same row, for who stays with uvicorn: our class and its own there."""
    names: list[str] = [name for name in (INSIDE, HTTPTOOLS) if name in row.samples]
    samples = {name: row.samples[name] for name in names}
    if len(samples) < 2 or row.unit not in (RATE, CPU):
        return []
    case = f"{row.case}, in uvicorn"
    return [Row(case, row.unit, samples, row.more, {HTTPTOOLS: INSIDE_GOAL}, ours=INSIDE)]


def measure(opts: Options) -> Claim:
    claim = Claim(
        "asgi",
        "ASGI servers over loopback",
        f"Median (least-most) of the rounds; **how many times better `{OURS}` is (goal)**. "
        f"`{INSIDE}` is uvicorn with `--http cno.uvicorn:Protocol`; `cno` has a native handler; "
        "`floor` is no server, but what none of Python coroutines could do without. "
        "One core for the server and another for the load.",
    )
    for tool in ("h2load", "wrk"):
        try:
            lab.program(tool)
        except Missing as reason:
            claim.miss(str(reason))
            return claim
    server_core, load_core = lab.cores()
    with tempfile.TemporaryDirectory() as folder:
        site = Site.make(Path(folder))
        with all_started(NAMES, site, server_core, claim) as running:
            seconds = 0.3 if opts.quick else 1.0
            bench = Bench(running, load_core, seconds, Path(folder) / "times", claim)
            for case in cases(site.work / "big"):
                if opts.wants(case.name) and not (opts.quick and case.way == H2):
                    claim.rows += bench.rows(case, opts.rounds)
    for row in claim.rows:
        row.ours = OURS
    claim.rows += [found for row in claim.rows for found in inside(row)]
    programs = ("uvloop", "hypercorn", "granian", "uvicorn", "httptools", "zttp", "starlette")
    claim.versions = {name: lab.version(name) for name in (*programs, "h2load", "wrk")}
    if starlette is None:
        claim.miss("starlette")
    claim.notes += saturated(claim)
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
