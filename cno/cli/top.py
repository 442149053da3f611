"""A look at a server, once a second: connections, streams, windows, rates, limits that are near.

Takes what connections say of themselves, and draws a table or a line of text. Must never know a
connection or a request.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TextIO

from cno.cli.listing_page import count
from cno.cli.pages import human_size
from cno.cli.text import one_line

#: The spent share of a limit from which it is shown.
NEAR: Final = 0.5
#: Rows of the table when the height of the terminal is not known.
ROWS: Final = 20


class Stats(Protocol):
    """The attributes that are shown of a connection. `cno.stats.ConnectionStats` has them."""

    @property
    def number(self) -> int: ...
    @property
    def is_http2(self) -> bool: ...
    @property
    def phase(self) -> str: ...
    @property
    def streams_open(self) -> int: ...
    @property
    def streams_by_peer(self) -> int: ...
    @property
    def round_trip(self) -> float | None: ...
    @property
    def send_window(self) -> int | None: ...
    @property
    def receive_window(self) -> int | None: ...
    @property
    def written(self) -> int: ...
    @property
    def unsent(self) -> int: ...
    @property
    def blocked_streams(self) -> int: ...
    @property
    def limits_near(self) -> Mapping[str, float]: ...


class Meter:
    """Counts responses: pass `add` as `Files(log=…)`."""

    def __init__(self) -> None:
        self.responses = 0
        self.errors = 0  # statuses from 400 on
        self.body_bytes = 0

    def add(self, request: object, code: int, size: int, seconds: float) -> None:
        """Count a response."""
        self.responses += 1
        self.errors += code >= 400
        self.body_bytes += size


class Row(NamedTuple):
    """A connection, and the bytes that it has written since the last look, for each second."""

    stats: Stats
    rate: float


class Snapshot(NamedTuple):
    """One look at a server. Rates are for each second; `descriptors`: open and possible ones."""

    at: float
    rows: Sequence[Row]
    responses: float
    errors: float
    rate: float
    descriptors: tuple[int, int] | None

    @property
    def streams(self) -> int:
        return sum(row.stats.streams_open for row in self.rows)

    @property
    def http2(self) -> int:
        return sum(row.stats.is_http2 for row in self.rows)


class Observer:
    """Turns counts into rates, from one look to the next."""

    def __init__(self, meter: Meter, now: float) -> None:
        self._meter = meter
        self._at = now
        self._counts = (0, 0, 0)
        self._written: dict[int, int] = {}

    def look(self, found: Sequence[Stats], now: float) -> Snapshot:
        """Return what has happened since the last look. The busiest connections come first."""
        span = max(now - self._at, 1e-3)
        meter = self._meter
        counts = (meter.responses, meter.errors, meter.body_bytes)
        responses, errors, rate = (
            (new - old) / span for new, old in zip(counts, self._counts, strict=True)
        )
        rows = [
            Row(each, max(each.written - self._written.get(each.number, 0), 0) / span)
            for each in found
        ]
        rows.sort(key=lambda row: (-row.rate, -row.stats.streams_open, row.stats.number))
        self._at, self._counts = now, counts
        self._written = {each.number: each.written for each in found}
        return Snapshot(time.time(), rows, responses, errors, rate, descriptors())


def descriptors() -> tuple[int, int] | None:
    """Return how many descriptors this process has open, and may have; None if unknown."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return len(os.listdir("/proc/self/fd")), limit
    except (ImportError, OSError):
        return None


def near(row: Row) -> str:
    """Return the limits that a connection has spent most of, the nearest first."""
    shares = sorted(row.stats.limits_near.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= NEAR)


def summary(shot: Snapshot) -> str:
    """Return a snapshot on one line, without colours."""
    clock = time.strftime("%H:%M:%S", time.localtime(shot.at))
    parts = [
        f"{count(len(shot.rows), 'connection')} ({shot.http2} HTTP/2)",
        count(shot.streams, "stream"),
        f"{shot.responses:.0f} responses/s ({shot.errors:.0f} errors)",
        f"{human_size(int(shot.rate))}/s",
    ]
    if shot.descriptors is not None:
        parts.append(f"{shot.descriptors[0]} of {shot.descriptors[1]} descriptors")
    tight = [f"#{row.stats.number}: {text}" for row in shot.rows if (text := near(row))]
    if tight:
        parts.append(f"near: {'; '.join(tight[:5])}")
    return one_line(f"{clock} {', '.join(parts)}")


class Screen:
    """Draws snapshots for a terminal, by rich. `title`: what is served."""

    def __init__(self, file: TextIO, title: str) -> None:
        from rich.console import Console  # an extra: imported only where it is wanted

        self._console = Console(file=file, highlight=False, markup=False, emoji=False)
        self._title = one_line(title)

    def draw(self, shot: Snapshot) -> str:
        """Return the text that fills the screen: it begins at the top and clears the rest."""
        height = self._console.height or ROWS
        with self._console.capture() as capture:
            self._console.print(self._title, style="bold", no_wrap=True, overflow="ellipsis")
            self._console.print(summary(shot), style="cyan")
            room = max(height - 9, 1)
            self._console.print(table(shot.rows[:room], self._console.width))
            hidden = len(shot.rows) - room
            if hidden > 0:
                self._console.print(f"and {hidden} more", style="dim")
        lines = capture.get().splitlines()[: max(height - 1, 1)]
        return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


#: Switches to a screen that is removed again, without a cursor; and back.
ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[H"
LEAVE: Final = "\x1b[?25h\x1b[?1049l"


#: The columns, with the width of the terminal from which they are shown.
COLUMNS: Final = {
    "#": 0,
    "HTTP": 0,
    "phase": 0,
    "open": 0,
    "requests": 0,
    "out/s": 0,
    "unsent": 100,
    "send win": 0,
    "recv win": 100,
    "wait": 0,
    "RTT": 80,
    "near a limit": 0,
}


def table(rows: Sequence[Row], width: int) -> Any:
    """Return the table of connections."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    shown = [title for title, least in COLUMNS.items() if width >= least]
    for title in shown:
        left = title in ("phase", "near a limit")
        made.add_column(title, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        cells = cells_of(row)
        made.add_row(*(cells[title] for title in shown))
    return made


def cells_of(row: Row) -> dict[str, Any]:
    """Return the cells of a row by the titles of their columns."""
    from rich.text import Text

    stats = row.stats
    # A window without room, and output that waits, are what makes a stream slow.
    closed = stats.send_window is not None and stats.send_window <= 0
    return {
        "#": str(stats.number),
        "HTTP": "2" if stats.is_http2 else "1.1",
        "phase": Text(one_line(stats.phase.lower())),
        "open": str(stats.streams_open),
        "requests": f"{stats.streams_by_peer:,}",
        "out/s": human_size(int(row.rate)),
        "unsent": human_size(stats.unsent),
        "send win": Text(window(stats.send_window), style="red" if closed else ""),
        "recv win": window(stats.receive_window),
        "wait": Text(str(stats.blocked_streams or ""), style="yellow"),
        "RTT": "" if stats.round_trip is None else f"{stats.round_trip * 1000:.1f} ms",
        "near a limit": Text(one_line(near(row)), style="red"),
    }


def window(size: int | None) -> str:
    """Return a window's size; '' if the protocol has none."""
    if size is None:
        return ""
    return f"-{human_size(-size)}" if size < 0 else human_size(size)
