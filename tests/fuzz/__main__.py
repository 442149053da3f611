"""Run the fuzzers: `python -m tests.fuzz TARGET --minutes N`, `--list` for the targets.

Exits with 1 if something was found, stores it in `.fuzz/`, and prints the command that reproduces
it. `TARGET FILE...` replays files. The file of a fixed finding moves to `regressions/TARGET/`,
where `test_fuzz.py` replays it.
"""

import argparse
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.targets import CORPUS, KEPT, ROOT


def explore(name: str, seconds: int, seed: int) -> list[Path]:
    """Coverage-guided, in a process where the sources run instrumented."""
    found = KEPT / name
    grown = KEPT / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    before = set(found.glob("*"))
    command = [sys.executable, "-m", "tests.fuzz.explore", name, str(seconds), str(seed)]
    run = subprocess.run(
        [*command, str(found), str(grown), str(CORPUS / name)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    kept = sorted(set(found.glob("*")) - before)
    last = [line for line in run.stdout.splitlines() if re.match(r"#\d+\s", line)][-1:]
    print(*last)
    if run.returncode and not kept:
        print(run.stdout[-4000:])
        raise SystemExit(2)
    for path in kept:
        print(run.stdout[run.stdout.find("==") :][:3000])
        print(f"kept {path}")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="one of --list, or `octets`: all of its kind")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to replay, instead of a search")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list or args.target is None:
        for name, target in targets.ALL.items():
            print(f"{name:16} {target.about}")
        return
    names = targets.named(args.target)
    if args.files:
        for path in args.files:
            targets.ALL[names[0]].replay(path)
            print(f"{path}: nothing wrong")
        return
    seed = args.seed or random.randrange(1, 1 << 30)
    print(f"seed {seed}, {args.minutes:g} minutes, {', '.join(names)}", flush=True)
    status = 0
    for name in names:
        seconds = max(1, int(args.minutes * 60 / len(names)))
        began = time.monotonic()
        target = targets.ALL[name]
        kept = explore(name, seconds, seed) if target.octets else target.search(seconds, seed)
        print(f"{name}: {time.monotonic() - began:.0f} s, {len(kept)} found", flush=True)
        for path in kept:
            print(f"again: python -m tests.fuzz {name} {path}", flush=True)
            status = 1
    raise SystemExit(status)


if __name__ == "__main__":
    main()
