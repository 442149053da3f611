"""Detect whether the engine has become slower: `python -m benchmarks.instructions [--update]`.

Counts instructions of fixed scripts (`scripts.py`) by callgrind, which varies by less than 0.1 %,
and compares them with `instructions.json`: fails where there are 3 % more. The figures hold for one
version of Python, compiler and C library, and are not compared across. Takes about a minute.

    python -m benchmarks.instructions --only "server, 10" --profile    where they go, by function
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import cno
from benchmarks import callgrind, scripts
from benchmarks.lab import HERE, Missing, table

KEPT: Final = HERE / "instructions.json"

#: More than this is a failure.
WORSE: Final = 0.03

# Exit statuses.
SLOWER: Final = 1
INCOMPARABLE: Final = 2


def measure(names: list[str], profile: bool = False) -> dict[str, float]:
    """Instructions per unit of the scripts of these names; on request, prints profiles."""
    chosen = [script for script in scripts.all_scripts() if script.name in names]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        counted = callgrind.count("benchmarks.scripts", names, Path(folder))
        assert len(counted) == len(chosen), "each script has two marks"
        for script, (count, path) in zip(chosen, counted, strict=True):
            found[script.name] = round(count / script.units, 1)
            if profile:
                print(f"\n==== {script.name}: {found[script.name]:,.0f} per unit")
                print(callgrind.describe(path, script.units))
    return found


def compare(found: dict[str, float], kept: dict[str, float]) -> tuple[str, list[str]]:
    """A table, and the names of those that take more than they may."""
    lines, worse = [], []
    for name, now in found.items():
        before = kept.get(name)
        if before is None:
            lines.append((name, "-", f"{now:,.0f}", "new"))
            continue
        change = now / before - 1
        lines.append((name, f"{before:,.0f}", f"{now:,.0f}", f"{change:+.1%}"))
        if change > WORSE:
            worse.append(name)
    return table(("instructions per unit", "kept", "now", "change"), lines), worse


def check(found: dict[str, float], kept: dict[str, Any]) -> int:
    text, worse = compare(found, kept["instructions"])
    print(text)
    if worse:
        print(f"\nmore than {WORSE:.0%} slower: {'; '.join(worse)}")
        print("if that is worth it: --update, and say so in the commit message")
        return SLOWER
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="keep what is counted now")
    parser.add_argument("--profile", action="store_true", help="print where they go")
    parser.add_argument("--only", default="", help="scripts, by parts of their names: a;b")
    args = parser.parse_args(argv)
    if not cno.COMPILED:
        print("cno is not compiled here: build it first (python setup.py build_ext --inplace)")
        return INCOMPARABLE
    parts = [part for part in args.only.split(";") if part]
    names = [
        script.name
        for script in scripts.all_scripts()
        if not parts or any(part in script.name for part in parts)
    ]
    tools = callgrind.toolchain()
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if not (args.update or args.profile) and kept.get("toolchain") != tools:
        print(f"not comparable: kept with {kept.get('toolchain')}, here is {tools}")
        return INCOMPARABLE
    try:
        found = measure(names, args.profile)
    except Missing as reason:
        print(reason)
        return INCOMPARABLE
    if args.update:
        same = kept.get("instructions", {}) if kept.get("toolchain") == tools else {}
        everything = [script.name for script in scripts.all_scripts()]
        merged = {**same, **found}
        kept = {
            "toolchain": tools,
            "instructions": {n: merged[n] for n in everything if n in merged},
        }
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    return 0 if args.profile else check(found, kept)


if __name__ == "__main__":
    sys.exit(main())
