"""Plots of claims, as SVG by matplotlib: how many times faster, and how cost grows.

Knows rows, not their meaning. Without matplotlib, the report has no plots.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import lab
from benchmarks.lab import Claim, Row

BETTER, WORSE = "#b5301f", "#9a9a9a"
#: The plot that README shows; the repository holds no other.
HEADLINE: Final = "headline.svg"
TICKS: Final = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100)

Shown = Sequence[tuple[str, str, tuple[str, ...]]]


def library() -> Any:
    """pyplot, without a display; text stays text, and the bytes of a file stay the same."""
    lab.peer("matplotlib").use("svg")
    pyplot = lab.peer("matplotlib.pyplot")
    pyplot.rcParams["svg.fonttype"] = "none"
    pyplot.rcParams["svg.hashsalt"] = "cno"
    pyplot.rcParams["font.size"] = 9
    return pyplot


def canvas(rows: int) -> tuple[Any, Any]:
    """Return a figure for this number of bars."""
    figure, axes = library().subplots(figsize=(8, 0.8 + 0.34 * rows), layout="constrained")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> str:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    lab.peer("matplotlib.pyplot").close(figure)
    return path.name


def label(what: str, other: str) -> str:
    """On two lines where one would take too much of the picture."""
    return f"{what}\nagainst {other}" if len(what) > 44 else f"{what}, against {other}"


def ratios(title: str, bars: list[tuple[str, str, float]], path: Path) -> str:
    """Bars of (what, peer, how many times faster we are), on a scale of powers."""
    figure, axes = canvas(len(bars))
    labels = [label(what, other) for what, other, _ in bars]
    where = list(range(len(bars)))[::-1]
    colours = [BETTER if ratio >= 1 else WORSE for _, _, ratio in bars]
    axes.barh(where, [ratio - 1 for _, _, ratio in bars], left=1, color=colours, height=0.7)
    axes.set_xscale("log")
    axes.set_yticks(where, labels)
    axes.axvline(1, color="black", linewidth=0.8)
    most = max(ratio for _, _, ratio in bars)
    least = min(1.0, *(ratio for _, _, ratio in bars))
    axes.set_xlim(least * 0.7, most * 1.8)
    ticks = [tick for tick in TICKS if least * 0.7 <= tick <= most * 1.5]
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    for at, (_, _, ratio) in zip(where, bars, strict=True):
        axes.text(max(ratio, 1) * 1.04, at, lab.verdict(ratio, None), va="center")
    axes.set_title(title, loc="left")
    axes.tick_params(axis="y", length=0)
    return save(figure, path)


def bars_of(rows: list[Row]) -> list[tuple[str, str, float]]:
    found = []
    for row in rows:
        for other in row.samples:
            if other != row.ours and row.samples.get(row.ours) and row.samples[other]:
                found.append((row.case, other, lab.middle(row.ratios(other))))
    return found


def headline_bars(claims: list[Claim], wanted: Shown) -> list[tuple[str, str, float]]:
    found = []
    for name, case, peers in wanted:
        for claim in claims:
            row = next((row for row in claim.rows if row.case == case), None)
            if claim.name == name and row is not None:
                what = f"{name}: {case}"
                known = [bar for bar in bars_of([row]) if bar[1] in peers]
                found += [(what, other, ratio) for _, other, ratio in known]
    return found


def number(case: str) -> int:
    """The size that a case of `scale` names."""
    digits = [part.replace(",", "") for part in case.split() if part[:1].isdigit()]
    return int(digits[-1])


def lines(axes: Any, rows: list[Row], title: str, label: str) -> None:
    """Of each implementation, cost over size."""
    for name in dict.fromkeys(name for row in rows for name in row.samples):
        points = [
            (max(number(row.case), 1), lab.middle(row.samples[name]))
            for row in rows
            if row.samples.get(name)
        ]
        colour = BETTER if name == "cno" else None
        axes.plot(*zip(*points, strict=True), marker="o", label=name, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)


def growth(claim: Claim, path: Path) -> str | None:
    """How a request's cost grows with its connection's age, a field's with their number."""
    parts = (
        ("server, a thousand", "server, µs per request", "requests before"),
        ("client, a thousand", "client, µs per request", "requests before"),
        ("request of", "ns per field", "fields of a request"),
    )
    found = [
        ([row for row in claim.rows if row.case.startswith(start)], title, label)
        for start, title, label in parts
    ]
    found = [part for part in found if part[0]]
    if not found:
        return None
    figure, axes = library().subplots(
        1, len(found), figsize=(4 * len(found), 3.2), layout="constrained", squeeze=False
    )
    for place, (rows, title, label) in zip(axes[0], found, strict=True):
        lines(place, rows, title, label)
    return save(figure, path)


def draw(claims: list[Claim], wanted: Shown, folder: Path) -> list[str]:
    """All plots; their names. Raises Missing without matplotlib."""
    names = []
    bars = headline_bars(claims, wanted)
    if bars:
        names.append(ratios("cno is so many times faster", bars, folder / HEADLINE))
    for claim in claims:
        if claim.name == "scale" and (drawn := growth(claim, folder / "scale.svg")):
            names.append(drawn)
        if not claim.rows or claim.name in ("scale", "syscalls"):
            continue
        unit = claim.rows[0].unit
        bars = bars_of([row for row in claim.rows if row.unit == unit])
        if bars:
            names.append(ratios(f"{claim.title}: {unit}", bars, folder / f"{claim.name}.svg"))
    return names
