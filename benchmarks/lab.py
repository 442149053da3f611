"""Tools of all benchmarks: alternating rounds, rows of samples, ratios, tables, peers.

Knows how samples become a table, and the machine. Must never know the subject of a measurement, nor
import `cno` or a peer when it is imported.
"""

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results"

#: Servers live in sbin, which is often not on a user's PATH.
PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])

#: The version of what is not installed.
MISSING: Final = "missing"

Samples = dict[str, list[float]]


class Missing(Exception):
    """A peer that is not here, or can't do what is asked; the text says which."""


def peer(name: str) -> Any:
    """A module of others, without types: none of them is needed to run the rest."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(f"{name.partition('.')[0]} is not installed") from None


def program(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise Missing(f"{name} is not installed")
    return path


def version(name: str) -> str:
    """The version of a distribution, or of a program that says it itself."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    flag = "-v" if name in ("nginx", "wrk") else "--version"
    try:
        done = subprocess.run([program(name), flag], capture_output=True, text=True, check=False)
    except Missing:
        return MISSING
    found = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
    return found[0] if found else "unknown"


# -- what is measured ------------------------------------------------------------------------------


@dataclass
class Row:
    """One case: samples of each implementation, one a round, in the order they were taken."""

    case: str
    unit: str
    samples: Samples
    #: Whether more is better (requests per second), or less (microseconds).
    more: bool = False
    #: The least that the ratio to a peer should be, by its name.
    goals: dict[str, float] = field(default_factory=dict)
    #: The figure that our own should not exceed, where it is not compared with another's.
    at_most: float | None = None
    #: The samples that the ratio compares.
    ours: str = "cno"
    note: str = ""

    def ratios(self, other: str) -> list[float]:
        """How many times better we were, in each round."""
        pairs = zip(self.samples[self.ours], self.samples[other], strict=False)
        if self.more:
            return [mine / theirs for mine, theirs in pairs if theirs]
        return [theirs / mine for mine, theirs in pairs if mine]


@dataclass
class Claim:
    """All rows of one benchmark, and what it took to get them."""

    name: str
    title: str
    about: str
    rows: list[Row] = field(default_factory=list)
    #: What could not be measured, and why.
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)

    def miss(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rounded(asdict(self)), indent=1)
        (folder / f"{self.name}.json").write_text(compact(text) + "\n")


def load(path: Path) -> Claim:
    """A claim as it was saved."""
    found = json.loads(path.read_text())
    found["rows"] = [Row(**row) for row in found["rows"]]
    return Claim(**found)


def rounded(value: Any) -> Any:
    """Figures to five digits: the rest is noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def compact(text: str) -> str:
    """Lists of numbers on one line each."""
    return re.sub(r"\[\s+([-\d.,e+\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


def timed(run: Callable[[], object]) -> float:
    """Seconds of processor time of this process: other processes then disturb less."""
    started = time.process_time()
    run()
    return time.process_time() - started


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int) -> Samples:
    """A B C A B C ...: a sample of each per round, so that all meet the same weather."""
    samples: Samples = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            gc.collect()
            samples[name].append(run())
    return samples


# -- where it is measured --------------------------------------------------------------------------


def cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def machine() -> dict[str, str]:
    """What one has to know to compare: no names of hosts, users or folders."""
    import cno

    return {
        "cno": f"{cno.__version__} ({'compiled' if cno.COMPILED else 'NOT compiled'})",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "processor": f"{cpu_model()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def cores() -> tuple[set[int], set[int]]:
    """The cores of the server and of the load: one each, the same one where there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}


def pinned(command: Sequence[str], core: set[int], **how: Any) -> "subprocess.Popen[Any]":
    """Start a program on one core, before it has had the time to start others."""
    process = subprocess.Popen(command, **how)
    os.sched_setaffinity(process.pid, core)
    return process


def run_pinned(
    command: Sequence[str], core: set[int], seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end on one core, from where the benchmarks can be imported. Raises
    TimeoutExpired."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    pipe = subprocess.PIPE
    with pinned(
        command, core, cwd=HERE.parent, env=env, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


# -- tables ----------------------------------------------------------------------------------------


def short(value: float) -> str:
    """Three digits that count, and thousands as such."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: Callable[[float], str] = short) -> str:
    """Median, and the least and the most of all rounds."""
    middle = form(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form(min(values))}-{form(max(values))})"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for those who read it as text."""
    lines = [list(head), *map(list, body)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, rule)
    rows = (
        " | ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    return "\n".join(f"| {row} |" for row in rows)


def verdict(ratio: float, goal: float | None) -> str:
    """The ratio, and where there is a goal how it compares."""
    digits = 2 if ratio < 2 else 1 if ratio < 100 else 0
    text = f"{ratio:.{digits}f}x"
    if goal is None:
        return text
    return f"{text} ({'' if ratio >= goal else 'short of '}{goal:g})"


def row_cells(row: Row, names: Sequence[str]) -> list[str]:
    cells = [row.case]
    for name in names:
        values = row.samples.get(name)
        if not values:
            cells.append("-")
            continue
        text = spread(values)
        if name == row.ours and row.at_most is not None:
            good = statistics.median(values) <= row.at_most
            text += f" [{'' if good else 'more than '}{row.at_most:g}]"
        if name != row.ours and row.samples.get(row.ours):
            ratios = row.ratios(name)  # none where a short run has taken no time that is counted
            if ratios:
                text += f" **{verdict(statistics.median(ratios), row.goals.get(name))}**"
        cells.append(text)
    return cells


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """One for each unit and kind of ours, with those who were measured in it."""
    for unit, ours in dict.fromkeys((row.unit, row.ours) for row in rows):
        some = [row for row in rows if (row.unit, row.ours) == (unit, ours)]
        names = list(dict.fromkeys(name for row in some for name in row.samples))
        yield table([unit, *names], (row_cells(row, names) for row in some))


def markdown(claim: Claim) -> str:
    """The claim's tables with all that has to be said about them."""
    where = "; ".join(f"{name} {value}" for name, value in claim.machine.items())
    here = {name: value for name, value in claim.versions.items() if value != MISSING}
    peers = ", ".join(f"{name} {value}" for name, value in here.items())
    parts = [f"## {claim.title}", claim.about, f"{where}. Peers: {peers or 'none'}."]
    parts += tables(claim.rows)
    said = [*claim.notes, *(f"{row.case}: {row.note}" for row in claim.rows if row.note)]
    said += [f"Not measured: {what}." for what in claim.missing]
    if said:
        parts.append("\n".join(f"- {line}" for line in said))
    return "\n\n".join(parts) + "\n"


# -- command lines ---------------------------------------------------------------------------------


@dataclass
class Options:
    """The options of every benchmark: rounds, duration, cases."""

    rounds: int = 7
    quick: bool = False
    only: list[str] = field(default_factory=list)

    def wants(self, case: str) -> bool:
        """Whether a case is asked for: all are, unless some are named by a part of their name."""
        return not self.only or any(part in case for part in self.only)


def arguments(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, help="how often each is measured (default: 7)")
    parser.add_argument("--quick", action="store_true", help="small and short: to see it work")
    parser.add_argument("--only", default="", help="cases, by parts of their names: a;b;c")
    parser.add_argument("--out", type=Path, help="where results go (--quick: a temporary folder)")
    return parser


def options(args: argparse.Namespace) -> Options:
    rounds = args.rounds or (1 if args.quick else 7)
    return Options(rounds, args.quick, [part for part in args.only.split(";") if part])


def folder(args: argparse.Namespace) -> Path:
    """The folder of results: a quick or partial run never overwrites what is kept."""
    if args.out:
        return Path(args.out)
    return temporary() if args.quick or args.only else RESULTS


def temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="cno-benchmarks-"))


def main(about: str | None, measure: Callable[[Options], Claim]) -> None:
    """The command line of one benchmark: measure, print, save."""
    args = arguments((about or "").partition("\n")[0]).parse_args()
    claim = measured(measure, options(args))
    print(markdown(claim))
    where = folder(args)
    claim.save(where)
    print(f"saved in {where}", file=sys.stderr)


def measured(measure: Callable[[Options], Claim], opts: Options) -> Claim:
    """Run a benchmark, and write down where."""
    claim = measure(opts)
    claim.machine = machine() | {"rounds": str(opts.rounds)}
    return claim
