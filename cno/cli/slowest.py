"""Says in words why the slowest requests of a waterfall were slow.

Knows what passed on a connection while a request waited. Must never know how a waterfall is drawn.
"""

import itertools
from statistics import median
from typing import Final

from cno.cli.timeline import Row
from cno.cli.transfer import MAX_PRINTING, MAX_SAVING
from cno.cli.waterfall import HELD, bytes_text, milliseconds, shortened

#: Requests that are explained.
MAX_SLOW: Final = 3
#: A further one is explained if it took this many times as long as the median, and not much less
#: than the slowest.
FACTOR: Final = 2.0
#: Part of the time of a request below which a phase of it is left out.
SMALL: Final = 0.1
#: Part of a phase that makes something the reason of it.
LARGE: Final = 0.3
#: Part of a phase in which nothing came that makes a gap of it, not the pace of a connection.
GAP: Final = 0.05
LABEL: Final = 60

Span = tuple[float, float]


def slowest(rows: list[Row]) -> list[str]:
    """Return the lines about the slowest request, and about others that are much slower than most.

    The rows are all of the command's: the traffic of the others tells the reason.
    """
    if not rows:
        return []
    middle = median(duration(row) for row in rows)
    order = sorted(rows, key=duration, reverse=True)[:MAX_SLOW]
    usual = bytes_text(int(median(row.size for row in rows)))
    about = f"; the median is {milliseconds(middle)}, {usual}" if len(rows) > 1 else ""
    lines = []
    for row in order:
        least = max(FACTOR * middle, LARGE * duration(order[0]))
        if row is order[0] or duration(row) > least:
            which = "slowest" if row is order[0] else "slow"
            name = shortened(row.label, LABEL)
            time = milliseconds(duration(row))
            lines.append(f"{which}: {name}, {time}, {bytes_text(row.size)}{about}")
            lines += [f"  {line}" for line in phases(row, rows)]
    held = [row.held for row in rows if row.held >= HELD]
    if held:
        most = milliseconds(max(held))
        text = f"held back: {len(held):,} of {len(rows):,} requests, for up to {most}"
        bounds = f"{MAX_SAVING} into files, {MAX_PRINTING} else, 1 with -b FILE or -c"
        lines.append(f"{text}: `cno get` has few at once ({bounds})")
    return lines


def duration(row: Row) -> float:
    """Return the seconds that a request took, without those for which it was held back."""
    return row.end - row.asked


def phases(row: Row, rows: list[Row]) -> list[str]:
    """Return a line for each phase of a request that took a part of its time worth naming."""
    sent = row.sent if row.sent is not None else row.end
    answered = row.answered if row.answered is not None else row.end
    whole = sent
    if row.uploads:
        whole = min(row.uploaded if row.uploaded is not None else row.end, answered)
    found = [
        (sent - row.asked, f"until it was sent: {queued(row, rows)}"),
        (whole - sent, f"until its body was sent: {uploaded(row, whole - sent)}"),
        (answered - whole, f"until the answer began: {waited(row, rows, (whole, answered))}"),
        (row.end - answered, f"until it was complete: {waited(row, rows, (answered, row.end))}"),
    ]
    least = SMALL * duration(row)
    return [
        f"{milliseconds(time):>10} {text}" for time, text in found if time > 0 and time >= least
    ]


def queued(row: Row, rows: list[Row]) -> str:
    """Return why a request was not sent at once."""
    if row.sent is None:
        return "it never was"
    before = [
        other
        for other in rows
        if other is not row
        and other.connection == row.connection
        and other.sent is not None
        and other.sent < row.sent <= other.end + 0.001
    ]
    if row.max_streams is not None and len(before) + 1 >= row.max_streams:
        return f"the server allows {row.max_streams:,} streams at once (SETTINGS)"
    if before and not row.has_frames:
        last = shortened(max(before, key=lambda other: other.end).label, LABEL)
        return f"over HTTP/1.1, a connection has one request at a time; {last} was before it"
    return "connecting (`cno ping` measures the steps), or the work of this client"


def uploaded(row: Row, length: float) -> str:
    """Return what the body of a request waited for."""
    held_up = sum(end - start for start, end in row.held_up)
    size = bytes_text(row.upload_size)
    if held_up >= LARGE * length:
        return (
            f"{size}; for {milliseconds(held_up)} a flow-control window of the server was used up: "
            "the server does not read the body faster, or its window is small for this way"
        )
    return f"{size}, {bytes_text(int(row.upload_size / max(length, 1e-6)))}/s"


def waited(row: Row, rows: list[Row], span: Span) -> str:
    """Return what a request waited for during a time."""
    length = span[1] - span[0]
    if span[0] == row.answered and not row.has_frames:
        return rate_text(row, length)
    held_up = sum(overlap(each, span) for each in row.blocked if each not in row.held_up)
    if held_up >= LARGE * length and held_up > 0:
        far = sum(overlap(each, span) for each in row.far)
        return far_text(row, far) if far * 2 > held_up else blocked_text(row, held_up)
    silence = silent_time(row, rows, span)
    if silence >= LARGE * length:
        return silence_text(row, rows, span, silence)
    others = {
        id(other): sum(size for time, size in other.pieces if span[0] < time <= span[1])
        for other in rows
        if other is not row and other.connection == row.connection
    }
    size = sum(others.values())
    own = sum(size for time, size in row.pieces if span[0] < time <= span[1])
    if size <= own:
        return rate_text(row, length)
    most = max(others, key=lambda key: others[key])
    name = next(shortened(other.label, LABEL) for other in rows if id(other) == most)
    return (
        f"{bytes_text(size)} of other streams came meanwhile, {bytes_text(others[most])} of them "
        f"of {name}; a priority decides who is first (-H 'priority: u=0')"
    )


def windows(row: Row) -> str:
    """Return whose windows held up a stream."""
    return " and ".join(f"the {name}'s" for name in sorted(row.blocked_by)) or "a"


def blocked_text(row: Row, time: float) -> str:
    """Return what a window held up, and what can be done."""
    return (
        f"for {milliseconds(time)} {windows(row)} flow-control window of this client was used up: "
        "what came was not read faster (output, disk, --limit-rate), or the window is too small "
        "(--limit initial_window_size=..., connection_window=...)"
    )


def far_text(row: Row, time: float) -> str:
    """Return what a window held up because the way to the server is long."""
    return (
        f"{bytes_text(row.size)}; for {milliseconds(time)} the server had filled {windows(row)} "
        "flow-control window of this client, and waited for a WINDOW_UPDATE that was on its way: "
        "the window is small for the round trip (see `cno ping`; "
        "--limit initial_window_size=..., connection_window=...)"
    )


def silence_text(row: Row, rows: list[Row], span: Span, time: float) -> str:
    """Return that nothing came, and how many others waited meanwhile."""
    others = sum(
        other is not row
        and other.connection == row.connection
        and other.sent is not None
        and overlap((other.sent, other.end), span) >= time / 2
        for other in rows
    )
    also = f", for which {others:,} others waited, too" if others else ""
    return (
        f"for {milliseconds(time)} the server sent nothing of a response on the connection{also}; "
        "the time is its own, or the network's (see `cno ping`)"
    )


def rate_text(row: Row, length: float) -> str:
    """Return the rate of a body."""
    return f"{bytes_text(row.size)}, {bytes_text(int(row.size / max(length, 1e-6)))}/s"


def silent_time(row: Row, rows: list[Row], span: Span) -> float:
    """Return how long, within `span`, nothing came on the connection of a row: the long gaps."""
    times = [span[0], span[1]]
    for other in rows:
        if other.connection == row.connection:
            known = [time for time, size in other.pieces if size]
            if other.answered is not None:
                known.append(other.answered)
            times += [time for time in known if span[0] < time < span[1]]
    times.sort()
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return sum(gap for gap in gaps if gap >= GAP * (span[1] - span[0]))


def overlap(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
