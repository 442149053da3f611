"""All benchmarks, or some, into one report: `python -m benchmarks [--only engine,hpack] [--quick]`.

Each claim's figures are written as JSON. `report.md` and the plots beside it are made of the JSON
files in the folder, so one claim can be measured again. The repository holds `report.md` and
`headline.svg` only; git ignores the rest. This module knows the claims by name only.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks import lab, plots
from benchmarks.lab import Claim, Missing, Row

CLAIMS: Final = (
    *("engine", "hpack", "server", "asgi", "websocket", "files", "syscalls", "client"),
    *("adapters", "download", "scale"),
)

#: The rows of the README: claim, case, unit, peers.
HEADLINE: Final = (
    ("engine", "server, 10 fields", ("h2", "zttp")),
    ("engine", "client, 10 fields", ("h2", "zttp")),
    ("engine", "HTTP/1.1 server, 10 fields", ("h11", "zttp")),
    ("hpack", "decode nghttp2-change-table-size", ("hpack",)),
    ("server", "small, h2c, 10 connections x 10 streams", ("hypercorn", "granian", "nginx")),
    ("server", "small, h2 over TLS, 10 x 10", ("hypercorn", "granian", "nginx")),
    ("server", "small, HTTP/1.1, 100 x 1", ("uvicorn (httptools)", "granian", "nginx")),
    ("websocket", "text of 64 bytes", ("uvicorn (websockets-sansio)", "granian (ws)")),
    ("client", "HTTP/2, 100 at a time", ("httpx", "niquests")),
    ("client", "HTTP/1.1, 100 at a time", ("aiohttp",)),
)


def find(claims: list[Claim], name: str, case: str) -> Row | None:
    """Return the first row of the case."""
    for claim in claims:
        for row in claim.rows:
            if claim.name == name and row.case == case:
                return row
    return None


def headline(claims: list[Claim]) -> str:
    """Some rows, as how many times faster we are."""
    lines = []
    for name, case, peers in HEADLINE:
        row = find(claims, name, case)
        if row is None or not row.samples.get(row.ours):
            continue
        against = []
        for other in peers:
            if row.samples.get(other):
                ratio = lab.middle(row.ratios(other))
                against.append(f"{lab.verdict(ratio, None)} {other}")
        figure = f"{lab.short(lab.middle(row.samples[row.ours]))} {row.unit}"
        lines.append((f"{name}: {case}", figure, ", ".join(against) or "-"))
    return lab.table(("", "cno", "that is"), lines)


def text(claims: list[Claim], drawn: list[str]) -> str:
    """Return the whole report. Only the plot that the repository keeps is shown in it."""
    parts = ["# Benchmarks", INTRO, headline(claims)]
    if plots.HEADLINE in drawn:
        parts.append(f"![How many times faster]({plots.HEADLINE})")
    parts += [lab.markdown(claim) for claim in claims]
    return "\n\n".join(parts) + "\n"


INTRO: Final = (
    "Made by `python -m benchmarks`. Implementations take turns within one run, round by round: a "
    "figure is the median of the rounds, with the least and the most behind it, and a ratio is the "
    "median of the ratios of each round. `2.0x` means that cno is twice as good; a goal stands in "
    "brackets behind it, with `short of` where it was not reached. All checks of what the peer "
    "sends, and all limits, are on."
)


def write(folder: Path) -> Path:
    """The report and the plots, of what was measured so far."""
    claims = [
        lab.load(folder / f"{name}.json") for name in CLAIMS if (folder / f"{name}.json").exists()
    ]
    try:
        drawn = plots.draw(claims, HEADLINE, folder)
    except Missing as reason:
        drawn = []
        print(f"no plots: {reason}", file=sys.stderr)
    path = folder / "report.md"
    path.write_text(text(claims, drawn), "utf-8")
    return path


def parser() -> argparse.ArgumentParser:
    found = lab.arguments((__doc__ or "").partition("\n")[0])
    found.add_argument("--again", action="store_true", help="measure nothing, write the report")
    return found


def main() -> None:
    args = parser().parse_args()
    wanted = [part for part in args.only.split(",") if part] or list(CLAIMS)
    unknown = set(wanted) - set(CLAIMS)
    if unknown:
        raise SystemExit(f"no such claim: {', '.join(unknown)}; there are {', '.join(CLAIMS)}")
    folder = args.out or (lab.temporary() if args.quick else lab.RESULTS)
    args.only = ""
    for name in [] if args.again else wanted:
        began = time.monotonic()
        print(f"{name} ...", end="", flush=True, file=sys.stderr)
        claim = lab.measured(import_module(f"benchmarks.{name}").measure, lab.options(args))
        claim.save(folder)
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
    path = write(folder)
    print(path.read_text("utf-8"))
    print(f"written to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
