"""Draws a waterfall in text: one line for each stream, one column for each span of time.

Knows characters and columns. Must never know where the rows come from.
"""

from typing import Final

from cno.cli.text import Paint, one_line
from cno.cli.timeline import Row

LABEL: Final = 28
#: Columns of the bars.
MIN_BAR: Final = 20
MAX_BAR: Final = 100
#: Seconds for which a request was held back that are worth a remark.
HELD: Final = 0.02

#: What a column shows, the most important last: (name, character, ASCII, style).
MARKS: Final = (
    ("queued", "·", ".", "dim"),
    ("waiting", "─", "-", "yellow"),
    ("sending", "▲", "^", "cyan"),
    ("receiving", "░", ":", "green"),
    ("blocked by a window", "▒", "x", "red"),
    ("data", "█", "#", "green"),
)


def milliseconds(seconds: float) -> str:
    """Return a time for people."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"


def bytes_text(size: int) -> str:
    """Return a size for people."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def columns(row: Row, total: float, width: int) -> list[int]:
    """Return the mark of each column; -1: none."""
    found = [-1] * width

    def place(time: float) -> int:
        return min(width - 1, max(0, int(time / total * width))) if total > 0 else 0

    def mark(start: float | None, end: float | None, kind: int) -> None:
        if start is None or end is None:
            return
        for at in range(place(start), place(end) + 1):
            found[at] = max(found[at], kind)

    last = row.end
    mark(row.asked, row.sent if row.sent is not None else last, 0)
    if row.sent is not None:
        mark(row.sent, row.answered if row.answered is not None else last, 1)
    for time, size in row.uploads:
        if size:
            mark(time, time, 2)
    if row.answered is not None:
        mark(row.answered, last, 3)
    for start, end in row.blocked:
        mark(start, end, 4)
    for time, size in row.pieces:
        if size:
            mark(time, time, 5)
    for at, share in blocked_shares(row, total, width).items():
        if share > 0.5:
            found[at] = 4
    return found


def blocked_shares(row: Row, total: float, width: int) -> dict[int, float]:
    """Return, by column, the share of its time in which a window held the server up."""
    found: dict[int, float] = {}
    if total > 0:
        for start, end in row.blocked:
            first, last = start / total * width, end / total * width
            for at in range(max(0, int(first)), min(width - 1, int(last)) + 1):
                inside = min(last, at + 1) - max(first, at)
                found[at] = found.get(at, 0.0) + max(0.0, inside)
    return found


def shortened(label: str, most: int) -> str:
    """Return a label of at most `most` characters: its beginning and its end."""
    method, _, url = label.partition(" ")
    _, mark, rest = url.partition("://")
    path = rest[rest.find("/") :] if "/" in rest else rest
    text = one_line(f"{method} {path}" if mark else label)
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[: most - 3 - half]}...{text[-half:]}"


def waterfall(rows: list[Row], paint: Paint, width: int, ascii_only: bool) -> list[str]:
    """Return the lines of a waterfall."""
    if not rows:
        return ["no requests"]
    total = max(row.end for row in rows)
    bar = min(MAX_BAR, max(MIN_BAR, width - LABEL - 44))
    head = f"{'':<{LABEL}}  0{milliseconds(total):>{bar - 1}}  {'first':>9} {'last':>9} {'size':>9}"
    lines = [f"{head}  priority"]
    for row in rows:
        marks = columns(row, total, bar)
        text = drawn(marks, paint, ascii_only)
        first = milliseconds(row.answered - row.asked) if row.answered is not None else "-"
        last = milliseconds(row.end - row.asked)
        label = shortened(row.label, LABEL)
        more = " ".join(word for word in (row.priority, status_text(row)) if word)
        lines.append(
            f"{label:<{LABEL}}  {text}  {first:>9} {last:>9} {bytes_text(row.size):>9}  {more}"
        )
    used = [
        f"{paint(ascii_mark if ascii_only else mark, style)} {name}"
        for name, mark, ascii_mark, style in MARKS
    ]
    return [*lines, "  ".join(used)]


def status_text(row: Row) -> str:
    """Return the status, if there is something about it."""
    text = one_line(row.status)[:40]
    words = [] if text == "200" else [text]
    if row.upload_size:
        words.append(f"sent {bytes_text(row.upload_size)}")
    if row.is_push:
        words.append("pushed")
    if row.held >= HELD:
        words.append(f"held back {milliseconds(row.held)}")
    if row.blocked:
        words.append(f"blocked {milliseconds(sum(end - start for start, end in row.blocked))}")
    return " ".join(words)


def drawn(marks: list[int], paint: Paint, ascii_only: bool) -> str:
    """Return the bar of a row; columns of one kind are painted together."""
    text, at = "", 0
    while at < len(marks):
        end = at
        while end < len(marks) and marks[end] == marks[at]:
            end += 1
        if marks[at] < 0:
            text += " " * (end - at)
        else:
            _, mark, ascii_mark, style = MARKS[marks[at]]
            text += paint((ascii_mark if ascii_only else mark) * (end - at), style)
        at = end
    return text
