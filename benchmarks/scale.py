"""How cost grows: `python -m benchmarks.scale`.

Memory of idle connections and of open streams, the cost of a request as a connection gets older and
of a header field as there are more of them, and what importing takes (`weigh.py` has the parts).
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks import callgrind, lab, servers, weigh, wire
from benchmarks.lab import HERE, Claim, Missing, Options, Row

#: Requests after which one more is weighed, from the first ones to the hundred thousandth.
AGES: Final = (0, 100, 1_000, 10_000, 100_000)
WIDTHS: Final = (10, 30, 100, 300, 1000)
HTTP2: Final = ("cno", "h2", "zttp")


def apart(part: str, name: str, count: int) -> float:
    """Run one part in a separate process. Raises Missing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.weigh", part, name, str(count)],
        cwd=HERE.parent,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["?"]
        raise Missing(f"{name}, {part} {count}: {said[-1]}")
    return float(json.loads(done.stdout))


class Scale:
    """One run: options, and the claim that its rows go to."""

    def __init__(self, opts: Options, claim: Claim) -> None:
        self.opts = opts
        self.claim = claim
        self.quick = opts.quick

    def add(self, row: Row) -> None:
        if row.samples:
            self.claim.rows.append(row)

    def samples(self, part: str, names: tuple[str, ...], count: int, rounds: int) -> lab.Samples:
        """One after the other; a server that fails is left out, and the claim says why."""
        found: lab.Samples = {}
        able = list(names)
        for _ in range(rounds):
            for name in list(able):
                try:
                    found.setdefault(name, []).append(apart(part, name, count))
                except Missing as reason:
                    self.claim.miss(str(reason))
                    able.remove(name)
                    found.pop(name, None)
        return found

    def memory(self) -> None:
        count = 500 if self.quick else 10_000
        case = "idle connection after one request"
        idle = self.samples("idle", HTTP2, count, 1)
        self.add(Row(case, "KiB", idle, at_most=4))
        case += ", by tracemalloc"
        self.add(Row(case, "KiB", self.samples("traced", HTTP2, 200, 1), note=TRACED))
        busy = self.samples("busy", HTTP2, 100 if self.quick else 500, 1)
        streams = {
            name: [(found[0] - idle[name][0]) * 1024 / 100]
            for name, found in busy.items()
            if name in idle
        }
        self.add(Row("open stream", "octets", streams, at_most=300))

    def servers(self) -> None:
        self.add(idle_servers(self.opts, self.claim))

    def age(self) -> None:
        rounds = min(self.opts.rounds, 3)
        for part, role in (("age", "server"), ("age_client", "client")):
            for count in AGES[1:3] if self.quick else AGES:
                # zttp's server gives up at 10,000, and its client takes minutes.
                names = HTTP2 if count <= 1000 else HTTP2[:2] if count <= 10_000 else HTTP2[:1]
                case = f"{role}, a thousand requests after {count:,}"
                found = self.samples(part, names, count, rounds)
                self.add(Row(case, "µs per request", found))

    def instructions(self) -> None:
        """By callgrind, which is not disturbed by anything."""
        ages = (100, 1000) if self.quick else (100, 1_000, 100_000)
        for role in ("server2", "client2"):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    args = ["counted", role, *map(str, ages)]
                    found = callgrind.count("benchmarks.weigh", args, Path(folder))
                except Missing as reason:
                    self.claim.miss(str(reason))
                    return
            for at, (total, _) in zip(ages, found, strict=True):
                figure = total / weigh.COUNTED
                first = found[0][0] / weigh.COUNTED
                self.add(
                    Row(
                        f"{role[:-1]}, request {at:,}",
                        "instructions",
                        {"cno": [figure]},
                        at_most=round(first * 1.05),
                    )
                )

    def width(self) -> None:
        for count in WIDTHS[1:3] if self.quick else WIDTHS:
            found = self.samples("width", ("cno", "h2"), count, min(self.opts.rounds, 3))
            self.add(Row(f"request of {count} fields", "ns per field", found))

    def imports(self) -> None:
        rounds = 3 if self.quick else 15
        here = [what for what in IMPORTS if find_spec(what.partition(".")[0])]
        runs = {what.partition(".")[0]: partial(importing, what) for what in here}
        samples = lab.alternate(runs, rounds)
        self.add(Row("import, over asyncio and ssl", "ms", samples, at_most=30))


IMPORTS: Final = ("cno", "h2.connection", "httpx", "aiohttp")

TRACED: Final = "what zttp allocates for itself is not seen by it."


def importing(what: str) -> float:
    """Milliseconds of processor time that it takes where asyncio and ssl are there already."""
    code = (
        "import asyncio, ssl, time; began = time.process_time(); "
        f"import {what}; print((time.process_time() - began) * 1e3)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=HERE.parent, capture_output=True, text=True
    )
    return float(ran.stdout)


# -- idle connections of whole servers -------------------------------------------------------------


def ended(got: bytes) -> bool:
    """Whether a whole frame is there that ends a stream."""
    at = 0
    while at + 9 <= len(got):
        length = int.from_bytes(got[at : at + 3], "big")
        if at + 9 + length > len(got):
            return False
        if got[at + 3] in (wire.DATA, wire.HEADERS) and got[at + 4] & wire.END_STREAM:
            return True
        at += 9 + length
    return False


#: Seconds for an answer, that takes less than a millisecond.
PATIENCE: Final = 5


async def hold(port: int, count: int, server: servers.Running) -> int:
    """The server's memory with this number of connections, each of which has been answered once."""
    request = wire.CLIENT_PREFACE + wire.small([], 1)[0]
    kept = []
    for number in range(count):
        reader, writer = await asyncio.open_connection(servers.HOST, port)
        kept.append(writer)
        writer.write(request)
        got = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while not ended(got):
                    piece = await reader.read(65536)
                    if not piece:
                        raise Missing(f"connection {number} was closed")
                    got += piece
        except TimeoutError:
            raise Missing(f"connection {number} was not answered") from None
    await asyncio.sleep(0.3)
    memory = server.memory()
    for writer in kept:
        writer.close()
    await asyncio.sleep(0.3)
    return memory


def idle_servers(opts: Options, claim: Claim) -> Row:
    """The processes that serve HTTP/2 in clear text, all told, per connection."""
    samples: lab.Samples = {}
    # (granian takes 1,024 at once.)
    few, many = (100, 400) if opts.quick else (200, 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))
    core, _ = lab.cores()
    names = [name for name, (_, ways) in servers.SERVERS.items() if servers.H2C in ways]
    with tempfile.TemporaryDirectory() as folder:
        site = servers.Site.make(Path(folder))
        with servers.all_started(names, site, core, claim) as running:
            for name, server in running.items():
                first = servers.Running(name, server.ports, server.processes[:1])
                port = server.ports[servers.H2C]
                try:
                    before = asyncio.run(hold(port, few, first))
                    time.sleep(0.2)
                    after = asyncio.run(hold(port, many, first))
                except (Missing, OSError) as reason:
                    claim.miss(f"{name}, idle connections: {reason}")
                    continue
                samples[name] = [(after - before) / (many - few) / 1024]
    return Row("idle connection of a server, all told", "KiB", samples, at_most=8)


def measure(opts: Options) -> Claim:
    claim = Claim(
        "scale",
        "Scale",
        "What one more costs. In brackets: what ours should not exceed. **How many times more a "
        "peer takes.**",
        notes=[
            "Memory is resident memory with many, less that with a few, divided by their number; "
            "interpreted subclasses with the attributes of the benchmark's application included.",
            "Almost half of an idle connection is what a request of 10 fields and its response "
            "have left in the two HPACK tables: before them it has 2.0 KiB, by tracemalloc.",
        ],
    )
    scale = Scale(opts, claim)
    for part in ("memory", "servers", "age", "instructions", "width", "imports"):
        if opts.wants(part):
            getattr(scale, part)()
    peers = ("h2", "zttp", "hypercorn", "granian", "uvicorn", "nginx", "nghttpd", "valgrind")
    claim.versions = {name: lab.version(name) for name in peers}
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
