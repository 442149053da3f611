"""Requests of all kinds through a pool while everything breaks, every outcome checked.

    python -m tests.stress --requests 100000 --seed 7 --peer ours,nginx,nghttpd --loop uvloop

Pools send requests to our server, nginx and nghttpd, over HTTP/1.1 and HTTP/2, in clear text and
TLS, directly and through a relay that cuts, stalls and truncates connections. Clients cancel, read
slowly and fail to produce their bodies; servers crash, reset, restart and are killed. These must
hold nevertheless: no body is wrong, no truncated body counts as complete, no request that is not
idempotent is processed twice, a request reported as not processed was not, no request fails without
a cause, hangs, or runs in the context of another, and in the end no task, timer, descriptor,
connection or context is left on either side. Exits with 1 and describes each violation otherwise.
The seed and the number of a request determine it: `--first N --requests 1` repeats one.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.processes import certificate
from tests.stress.load import Load, Options
from tests.stress.peers import Relays, make_peers
from tests.stress.plan import INGREDIENTS, PEERS, WIRES, Mix
from tests.stress.server import loop_factory


def run(mix: Mix, options: Options, loop: str, server: str = "tests.stress.server") -> Load:
    """Start everything, put the load on it, and stop everything. `server`: the module of ours."""
    with tempfile.TemporaryDirectory(prefix="stress.") as name:
        folder = Path(name)
        pair = certificate(folder)
        program = [server, "--seed", str(mix.seed), "--loop", loop]
        if mix.has("restarts"):
            program.append("--recycle")
        peers = make_peers(mix.peers, folder, pair, program)
        started = []
        try:
            for peer in peers:
                peer.start()
                started.append(peer)
            relays = Relays(peers, mix.seed, loop, options.patience)
            load = Load(mix, options, peers, pair)
            try:
                with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                    runner.run(load.run())
            finally:
                for problem in relays.stop():
                    load.findings.add(*problem)
        finally:
            for peer in started:
                peer.kill()
    return load


def report(load: Load, say: Callable[[str], None]) -> None:
    """Tell what was done and what was found."""
    for title, counts in (
        ("what became of them", load.findings.outcomes),
        ("failures, all of them excused unless named below", load.findings.failures),
    ):
        say(f"\n{title}:")
        for name, count in sorted(counts.items(), key=lambda each: -each[1])[:60]:
            say(f"{count:10,}  {name}")
    for peer in load.peers.values():
        say(
            f"\n{peer.name}: "
            + (", ".join(f"{k} {v}" for k, v in peer.done.items()) or "left alone")
        )
    say(f"\npools replaced: {load.closed_pools}\n")
    for line in load.findings.lines():
        say(line)
    total = sum(load.findings.counts.values())
    say(f"{load.done:,} requests, {total:,} violations")


def names(known: list[str]) -> Callable[[str], list[str]]:
    """Return what parses a list of these, separated by commas."""

    def parse(text: str) -> list[str]:
        found = [each for each in text.split(",") if each]
        if unknown := set(found) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return found

    return parse


def parsed() -> argparse.Namespace:
    listed = "\n".join(f"  {name:9} {text}" for name, text in INGREDIENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress",
        description=__doc__,
        epilog=f"ingredients:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1, help="the number of the first request")
    parser.add_argument("--peer", type=names(list(PEERS)), default=list(PEERS))
    parser.add_argument("--wire", type=names(list(WIRES)), default=list(WIRES))
    parser.add_argument("--without", type=names(list(INGREDIENTS)), default=[])
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--workers", type=int, default=40, help="requests at once")
    parser.add_argument("--deadline", type=float, default=60, help="seconds: later, it hangs")
    parser.add_argument("--patience", type=float, default=2, help="seconds that the relay stalls")
    parser.add_argument("--every", type=float, default=5, help="seconds between two lines")
    parser.add_argument("--disturb-every", type=int, default=500, help="requests")
    parser.add_argument("--cycle", type=int, default=10_000, help="requests, half of them calm")
    return parser.parse_args()


def main() -> int:
    args = parsed()

    def say(line: str) -> None:
        print(line, flush=True)

    options = Options(
        requests=args.requests,
        first=args.first,
        workers=args.workers,
        deadline=args.deadline,
        patience=args.patience,
        every=args.every,
        cycle=args.cycle,
        disturb_every=args.disturb_every,
        say=say,
    )
    load = run(Mix(args.seed, args.peer, args.wire, args.without), options, args.loop)
    report(load, say)
    return int(bool(load.findings.violations))


if __name__ == "__main__":
    sys.exit(main())
