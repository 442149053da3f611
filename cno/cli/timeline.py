"""When each stream was asked for, waited, flowed and ended: the data of a waterfall.

Knows records of a trace, and requests without one (HTTP/1.1). Must never know how it is drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cno.cli.transfer import Hop, Transfer
from cno.priority import DEFAULT_URGENCY, parse
from cno.trace import Record

#: Bytes of a window that block a sender: it waits for more rather than send less.
BLOCKED: Final = 1_024
#: Pieces of a row that are kept: those of a longer transfer are joined.
MAX_PIECES: Final = 2_000


@dataclass
class Row:
    """One stream, or one request over HTTP/1.1. Times are seconds since the first request."""

    label: str
    connection: int = 0
    stream: int = 0
    asked: float = 0.0  #: The command wanted it.
    sent: float | None = None  #: Its head was sent.
    answered: float | None = None  #: The head of the response came.
    ended: float | None = None
    size: int = 0
    status: str = ""
    priority: str = ""
    #: When bytes came: (time, bytes).
    pieces: list[tuple[float, int]] = field(default_factory=list)
    #: When a window of ours held the server up: (from, to).
    blocked: list[tuple[float, float]] = field(default_factory=list)
    #: Whose window that was: "stream", "connection".
    blocked_by: set[str] = field(default_factory=set)
    #: Seconds before `asked` in which the command itself held the request back.
    held: float = 0.0
    #: Streams that the server allows at once; None: it has not said.
    max_streams: int | None = None
    #: The lowest window that it had, in bytes.
    window: int | None = None
    is_push: bool = False
    #: Whether a trace showed its frames: over HTTP/1.1, only its beginning and end are known.
    has_frames: bool = True

    @property
    def end(self) -> float:
        """The last time that is known."""
        last = self.pieces[-1][0] if self.pieces else 0.0
        return max(self.ended or 0.0, last, self.answered or 0.0, self.sent or 0.0, self.asked)


class Timeline:
    """Collects rows from the records of a trace."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], Row] = {}
        self._blocked: dict[tuple[int, int], float] = {}  # since when; stream 0: the connection
        self._max_streams: dict[int, int] = {}  # by connection

    def add(self, record: Record) -> None:
        """Take a record."""
        if record.protocol != "HTTP/2":
            return
        key = (record.connection, record.stream)
        if record.type == "PUSH_PROMISE" and record.fields is not None and not record.sent:
            promised = int(record.values.get("promised_stream", 0))
            row = self._row((record.connection, promised))
            row.label, row.is_push, row.asked = label_of(record.fields), True, record.time
            row.sent = record.time
        elif record.type == "HEADERS" and record.stream:
            self._head(self._row(key), record)
        elif record.type == "DATA" and not record.sent:
            self._data(self._row(key), record)
        elif record.type == "SETTINGS" and not record.sent:
            most = record.values.get("MAX_CONCURRENT_STREAMS")
            if isinstance(most, int):
                self._max_streams[record.connection] = most
        elif record.type == "WINDOW_UPDATE" and record.sent:
            self._unblock(key, record.time)
        elif record.type == "PRIORITY_UPDATE":
            row = self._row((record.connection, int(record.values.get("prioritized_stream", 0))))
            row.priority = priority_text(str(record.values.get("priority", "")))
        elif record.type == "RST_STREAM" and key in self._rows:
            row = self._rows[key]
            row.ended = record.time
            row.status = f"{row.status} {record.values.get('code', '')}".strip()
            self._unblock(key, record.time)
        ends = "END_STREAM" in record.flags and not record.sent
        if ends and key in self._rows:
            self._rows[key].ended = record.time
            self._unblock(key, record.time)

    def _row(self, key: tuple[int, int]) -> Row:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(f"stream {key[1]}", key[0], key[1])
        return row

    def _head(self, row: Row, record: Record) -> None:
        if record.sent:
            row.sent = row.asked = record.time
            if record.fields is not None:
                row.label = label_of(record.fields)
                found = [value for name, value in record.fields if name == "priority"]
                row.priority = priority_text(found[0]) if found else row.priority
        elif row.answered is None:
            row.answered = record.time
            fields = dict(record.fields or [])
            row.status = fields.get(":status", "")

    def _data(self, row: Row, record: Record) -> None:
        row.size += record.length
        row.pieces.append((record.time, record.length))
        if len(row.pieces) > MAX_PIECES:
            joined = row.pieces
            row.pieces = [
                (time, size + joined[number + 1][1])
                for number, (time, size) in enumerate(joined[:-1])
                if number % 2 == 0
            ]
        for stream, window in (
            (record.stream, record.stream_window),
            (0, record.connection_window),
        ):
            if window is None:
                continue
            row.window = window if row.window is None else min(row.window, window)
            if window < BLOCKED and "END_STREAM" not in record.flags:
                self._blocked.setdefault((record.connection, stream), record.time)

    def _unblock(self, key: tuple[int, int], time: float) -> None:
        since = self._blocked.pop(key, None)
        if since is None:
            return
        for row in self._rows.values():
            same = row.connection == key[0] and key[1] in (0, row.stream)
            if same and row.ended is None and row.sent is not None:
                row.blocked.append((max(since, row.sent), time))
                row.blocked_by.add("stream" if key[1] else "connection")

    def rows(self, transfers: Iterable[Transfer], began: float) -> list[Row]:
        """Return the rows in the order of their requests. `began`: when the trace did."""
        found: list[Row] = []
        for transfer in transfers:
            for number, hop in enumerate(transfer.hops):
                row = self._rows.pop((hop.number, hop.stream), None) if hop.stream else None
                if row is None or hop.version != "HTTP/2":
                    row = of_hop(hop, began)
                row.asked = hop.begun - began
                row.held = hop.begun - transfer.wanted if number == 0 else 0.0
                row.label = f"{hop.fetch.method} {hop.fetch.url}"
                row.status = row.status or transfer.error
                found.append(row)
        found += [row for row in self._rows.values() if row.sent is not None]
        first = min((row.asked for row in found), default=0.0)
        for row in found:
            row.max_streams = self._max_streams.get(row.connection)
            shift(row, first)
        return sorted(found, key=lambda row: (row.asked, row.connection, row.stream))


def of_hop(hop: Hop, began: float) -> Row:
    """Return the row of a request over HTTP/1.1, or of one that was not sent."""
    row = Row(f"{hop.fetch.method} {hop.fetch.url}", hop.number, hop.stream, hop.begun - began)
    row.sent = hop.sent - began if hop.sent else None
    row.answered = hop.answered - began if hop.answered else None
    row.ended = hop.ended - began if hop.ended else None
    row.has_frames = False
    row.size, row.status = hop.size, str(hop.code or "")
    if hop.size and row.answered is not None and row.ended is not None:
        row.pieces = [(row.answered, 0), (row.ended, hop.size)]
    return row


def shift(row: Row, first: float) -> None:
    """Make the times of a row relative to another beginning."""
    row.asked -= first
    row.sent = None if row.sent is None else row.sent - first
    row.answered = None if row.answered is None else row.answered - first
    row.ended = None if row.ended is None else row.ended - first
    row.pieces = [(time - first, size) for time, size in row.pieces]
    row.blocked = [(start - first, end - first) for start, end in row.blocked]


def label_of(fields: list[tuple[str, str]]) -> str:
    """Return the method and the URL of a request."""
    known = dict(fields[:8])
    where = f"{known.get(':scheme', '')}://{known.get(':authority', '')}{known.get(':path', '')}"
    return f"{known.get(':method', '')} {where}"


def priority_text(value: str) -> str:
    """Return a priority (RFC 9218) as urgency and `i` for incremental; '' if it says nothing."""
    said = parse(value)
    if said is None:
        return ""
    urgency = said.urgency if said.urgency >= 0 else DEFAULT_URGENCY
    return f"u={urgency}{', i' if said.incremental == 1 else ''}"
