"""Draws a waterfall as SVG, for light and dark pages. Below it are the lines of `slowest`.

Knows shapes and colours. Must never know where the rows come from.
"""

from html import escape
from textwrap import wrap
from typing import Final

from cno.cli.slowest import slowest
from cno.cli.text import one_line
from cno.cli.timeline import Row
from cno.cli.waterfall import bytes_text, milliseconds, shortened, status_text

WIDTH: Final = 960
LABEL: Final = 250
RIGHT: Final = 250
ROW: Final = 22
TOP: Final = 44
#: Rows that are drawn.
MAX_ROWS: Final = 2_000
#: Lines for pieces of data in one row.
MAX_PIECES: Final = 300
#: Height of the legend with the space around it.
LEGEND: Final = 34
#: Height of a line of the explanation.
LINE: Final = 18
#: Characters of such a line, which fit into the width in all usual fonts.
MAX_LINE: Final = 128

STYLE: Final = """
svg { background: #ffffff; font: 12px ui-sans-serif, system-ui, sans-serif; }
text { fill: #1f2328; } .dim { fill: #59636e; } .name { font-weight: 600; }
.grid { stroke: #d1d9e0; }
.queued { fill: #d1d9e0; } .waiting { fill: #d4a72c; } .receiving { fill: #aceebb; }
.data { stroke: #1a7f37; } .upload { stroke: #0969da; }
.blocked { fill: #cf222e; } .odd { fill: #f6f8fa; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #f0f6fc; } .dim { fill: #9198a1; }
.grid { stroke: #3d444d; } .queued { fill: #3d444d; } .waiting { fill: #9e6a03; }
.receiving { fill: #12522a; } .data { stroke: #3fb950; } .upload { stroke: #58a6ff; }
.blocked { fill: #f85149; }
.odd { fill: #151b23; }
}
"""


def nice_step(total: float) -> float:
    """Return the distance of the grid's lines: 1, 2 or 5 of a power of ten."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if total / (step * factor) <= 8:
                return step * factor
        step *= 10


def svg(rows: list[Row]) -> str:
    """Return the drawing."""
    shown = rows[:MAX_ROWS]
    total = max((row.end for row in shown), default=0.0) or 1e-3
    scale = (WIDTH - LABEL - RIGHT) / total
    bottom = TOP + ROW * len(shown) + LEGEND
    said = explanation(slowest(rows), bottom)
    height = bottom + LINE * len(said) + (10 if said else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="Waterfall of requests">',
        f"<style>{STYLE}</style>",
        *grid(total, scale, bottom),
        heading(),
    ]
    for number, row in enumerate(shown):
        parts += drawn(row, number, scale)
    parts += legend(bottom - 12)
    parts += said
    return "\n".join([*parts, "</svg>", ""])


def grid(total: float, scale: float, bottom: int) -> list[str]:
    """Return the lines of time."""
    step, parts, at = nice_step(total), [], 0.0
    while at <= total * 1.0001:
        x = LABEL + at * scale
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom - 30}"/>'
            f'<text class="dim" x="{x:.1f}" y="{TOP - 10}" text-anchor="middle">'
            f"{milliseconds(at) if at else 0}</text>"
        )
        at += step
    return parts


def heading() -> str:
    right = WIDTH - 8
    return (
        f'<text class="dim" x="8" y="{TOP - 10}">request</text>'
        f'<text class="dim" x="{right}" y="{TOP - 10}" text-anchor="end">size, priority</text>'
    )


def bar(kind: str, start: float, end: float, y: float, scale: float, height: float) -> str:
    x, width = LABEL + start * scale, max(1.0, (end - start) * scale)
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
        ' rx="1.5"/>'
    )


def drawn(row: Row, number: int, scale: float) -> list[str]:
    """Return one row."""
    y = TOP + number * ROW
    middle, last = y + ROW - 7, row.end
    parts = ["<g>", f"<title>{escape(title(row))}</title>"]
    if number % 2:
        parts.append(f'<rect class="odd" x="0" y="{y}" width="{WIDTH}" height="{ROW}"/>')
    parts.append(f'<text x="8" y="{middle}">{escape(shortened(row.label, 34))}</text>')
    sent = row.sent if row.sent is not None else last
    answered = row.answered if row.answered is not None else last
    if sent > row.asked:
        parts.append(bar("queued", row.asked, sent, y + 7, scale, 8))
    if answered > sent:
        parts.append(bar("waiting", sent, answered, y + 5, scale, 12))
    if row.answered is not None:
        parts.append(bar("receiving", answered, last, y + 5, scale, 12))
    lines = "".join(
        f"M{LABEL + time * scale:.1f} {y + 5}v12" for time, size in row.pieces[:MAX_PIECES] if size
    )
    if lines:
        parts.append(f'<path class="data" d="{lines}" stroke-width="1.5"/>')
    sends = "".join(
        f"M{LABEL + time * scale:.1f} {y + 5}v12" for time, size in row.uploads[:MAX_PIECES] if size
    )
    if sends:
        parts.append(f'<path class="upload" d="{sends}" stroke-width="1.5"/>')
    parts += [bar("blocked", start, end, y + 18, scale, 3) for start, end in row.blocked]
    text = ", ".join(
        word for word in (bytes_text(row.size), row.priority, status_text(row)) if word
    )
    parts.append(
        f'<text class="dim" x="{WIDTH - 8}" y="{middle}" text-anchor="end">'
        f"{escape(one_line(text))}</text></g>"
    )
    return parts


def title(row: Row) -> str:
    """Return what a browser shows when the pointer is on a row."""
    words = [row.label, f"asked for at {milliseconds(row.asked)}"]
    if row.answered is not None:
        words.append(f"answered after {milliseconds(row.answered - row.asked)}")
    words.append(f"ended after {milliseconds(row.end - row.asked)}")
    if row.window is not None:
        words.append(f"lowest window {bytes_text(max(0, row.window))}")
    return one_line(", ".join(words))


def legend(y: int) -> list[str]:
    """Return the meaning of the colours."""
    parts, x = [], 8
    kinds = {
        "queued": "queued",
        "waiting": "waiting for the response",
        "receiving": "receiving",
        "blocked": "blocked by a window",
    }
    for kind, text in kinds.items():
        parts.append(f'<rect class="{kind}" x="{x}" y="{y - 9}" width="12" height="10" rx="1.5"/>')
        parts.append(f'<text class="dim" x="{x + 18}" y="{y}">{text}</text>')
        x += 34 + 7 * len(text)
    parts.append(f'<path class="data" d="M{x} {y - 9}v10" stroke-width="1.5"/>')
    parts.append(f'<text class="dim" x="{x + 8}" y="{y}">data came</text>')
    x += 90
    parts.append(f'<path class="upload" d="M{x} {y - 9}v10" stroke-width="1.5"/>')
    parts.append(f'<text class="dim" x="{x + 8}" y="{y}">data was sent</text>')
    return parts


def explanation(lines: list[str], top: int) -> list[str]:
    """Return the lines that say why the slowest requests were slow, wrapped."""
    parts: list[str] = []
    for line in lines:
        is_detail = line.startswith(" ")
        kind, x = ("dim", 24) if is_detail else ("name", 8)
        for part in wrap(one_line(line.strip()), MAX_LINE):
            y = top + LINE * (len(parts) + 1)
            parts.append(f'<text class="{kind}" x="{x}" y="{y}">{escape(part)}</text>')
            x = 40 if is_detail else x
    return parts
