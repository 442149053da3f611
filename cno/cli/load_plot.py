"""Draws the times of a load by percentile, as SVG, for light and dark pages.

Knows shapes and colours. Must never know how times were measured.
"""

import math
from html import escape
from typing import Final

from cno.cli.histogram import Times, time_text
from cno.cli.load import Report
from cno.cli.text import one_line

WIDTH: Final = 720
HEIGHT: Final = 320
LEFT: Final = 70
RIGHT: Final = 40
BOTTOM: Final = 40
TOP: Final = 40
#: The percentiles of the axis; each step has a tenth of what is left.
TICKS: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)

STYLE: Final = """
svg { background: #ffffff; font: 12px ui-sans-serif, system-ui, sans-serif; }
text { fill: #1f2328; } .dim { fill: #59636e; } .grid { stroke: #d1d9e0; }
.line { stroke: #0969da; fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #f0f6fc; } .dim { fill: #9198a1; }
.grid { stroke: #3d444d; } .line { stroke: #4493f8; }
}
"""


def place(share: float) -> float:
    """Return where a percentile is on the axis: in steps of a tenth of what is left."""
    return -math.log10(max(1e-5, 1 - share / 100))


def svg(report: Report) -> str:
    """Return the drawing."""
    times = report.times
    most = max(times.most, 1e-6)
    lowest = math.log10(max(1e-6, min(times.least, most)) * 0.8)
    highest = max(math.log10(most * 1.2), lowest + 0.1)
    right = place(TICKS[-1])

    def x(share: float) -> float:
        return LEFT + place(share) / right * (WIDTH - LEFT - RIGHT)

    def y(seconds: float) -> float:
        part = (math.log10(max(seconds, 1e-6)) - lowest) / (highest - lowest)
        return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)

    text = f"{report.url}: {report.rate:,.0f} requests/s over {report.protocol}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="Times by percentile">',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="20">{escape(one_line(text))}</text>',
    ]
    for share in TICKS:
        at = x(share)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="dim" x="{at:.1f}" y="{HEIGHT - 20}" text-anchor="middle">{share:g} %'
            "</text>"
        )
    for seconds in rungs(lowest, highest):
        at = y(seconds)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="dim" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
            f"{time_text(seconds)}</text>"
        )
    line = " ".join(f"{x(share):.1f},{y(value):.1f}" for share, value in curve(times))
    return "\n".join([*parts, f'<polyline class="line" points="{line}"/>', "</svg>", ""])


def curve(times: Times) -> list[tuple[float, float]]:
    """Return percentiles, closer together the higher they are, and their times."""
    if not times.count:
        return []
    last = min(TICKS[-1], 100 * (1 - 0.5 / times.count))
    count = 80
    shares = [100 * (1 - 10 ** (-place(last) * number / count)) for number in range(count + 1)]
    return [(share, times.percentile(share)) for share in shares]


def rungs(lowest: float, highest: float) -> list[float]:
    """Return round times between two powers of ten."""
    found = []
    for power in range(math.floor(lowest), math.ceil(highest) + 1):
        found += [factor * 10.0**power for factor in (1, 2, 5)]
    return [seconds for seconds in found if lowest <= math.log10(seconds) <= highest]
