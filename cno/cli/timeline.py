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
#: Bytes that a server may leave of a window that it fills.
NEAR: Final = 64
#: WINDOW_UPDATE frames of one window that may still be on their way to the server.
MAX_EDGES: Final = 64


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
    #: When the server had filled a window of ours, and our WINDOW_UPDATE was on its way: part of
    #: `blocked`.
    far: list[tuple[float, float]] = field(default_factory=list)
    #: When a window of the server held up what the request sends: part of `blocked`.
    held_up: list[tuple[float, float]] = field(default_factory=list)
    #: When bytes were sent: (time, bytes).
    uploads: list[tuple[float, int]] = field(default_factory=list)
    uploaded: float | None = None  #: All of the request was sent.
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
    def upload_size(self) -> int:
        """The bytes of the request's body that were sent."""
        return sum(size for _, size in self.uploads)

    @property
    def end(self) -> float:
        """The last time that is known."""
        last = self.pieces[-1][0] if self.pieces else 0.0
        sent = self.uploads[-1][0] if self.uploads else self.sent or 0.0
        return max(self.ended or 0.0, last, self.answered or 0.0, sent, self.asked)


class Timeline:
    """Collects rows from the records of a trace."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], Row] = {}
        self._blocked: dict[tuple[int, int], float] = {}  # since when; stream 0: the connection
        self._max_streams: dict[int, int] = {}  # by connection
        # Windows of the server that are used up: since when.
        self._held_up: dict[tuple[int, int], float] = {}
        # Bytes up to which the server was allowed to send before each WINDOW_UPDATE; the bytes that
        # came; since when the server seems to wait for a WINDOW_UPDATE.
        self._edges: dict[tuple[int, int], list[int]] = {}
        self._came: dict[tuple[int, int], int] = {}
        self._far: dict[tuple[int, int], float] = {}

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
        elif record.type == "DATA":
            self._upload(self._row(key), record)
        elif record.type == "SETTINGS" and not record.sent:
            most = record.values.get("MAX_CONCURRENT_STREAMS")
            if isinstance(most, int):
                self._max_streams[record.connection] = most
        elif record.type == "WINDOW_UPDATE" and record.sent:
            self._widened(key, record)
            self._unblock(key, record.time)
        elif record.type == "WINDOW_UPDATE":
            self._let_go(key, record.time)
        elif record.type == "PRIORITY_UPDATE":
            row = self._row((record.connection, int(record.values.get("prioritized_stream", 0))))
            row.priority = priority_text(str(record.values.get("priority", "")))
        elif record.type == "RST_STREAM" and key in self._rows:
            row = self._rows[key]
            self._let_go(key, record.time)
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
            status = dict(record.fields or []).get(":status", "")
            if not status.startswith("1"):  # an interim response (RFC 9110 15.2) is no answer
                row.answered, row.status = record.time, status

    def _upload(self, row: Row, record: Record) -> None:
        """Take DATA of ours: the window that it leaves may hold up the rest."""
        row.uploads.append((record.time, record.length))
        row.uploads = joined(row.uploads)
        if "END_STREAM" in record.flags:
            row.uploaded = record.time
            return
        for stream, window in (
            (record.stream, record.stream_window),
            (0, record.connection_window),
        ):
            if window is not None and window < BLOCKED:
                self._held_up.setdefault((record.connection, stream), record.time)

    def _let_go(self, key: tuple[int, int], time: float) -> None:
        """A window of the server has been opened: what waited for it goes on."""
        since = self._held_up.pop(key, None)
        if since is None:
            return
        for row in self._rows.values():
            if row.connection == key[0] and key[1] in (0, row.stream) and row.uploads:
                last = row.uploads[-1][0]
                if row.uploaded is None and row.ended is None:
                    row.held_up.append((max(since, last), time))
                    row.blocked.append((max(since, last), time))

    def _end_upload(self, row: Row, time: float) -> None:
        """A request has ended, maybe while its body was being sent."""
        if row.uploads and row.uploaded is None and row.ended is None:
            for stream in (row.stream, 0):
                self._let_go((row.connection, stream), time)
            row.ended = time

    def _widened(self, key: tuple[int, int], record: Record) -> None:
        """Note up to where the server could send before this WINDOW_UPDATE reached it."""
        window = record.stream_window if record.stream else record.connection_window
        increment = record.values.get("increment")
        if window is not None and isinstance(increment, int):
            edges = self._edges.setdefault(key, [])
            edges.append(self._came.get(key, 0) + window - increment)
            del edges[:-MAX_EDGES]

    def _far_windows(self, record: Record) -> None:
        """Note when the server has filled a window of ours that a WINDOW_UPDATE has widened since.

        It waits for that for up to a round trip, though the window has room by our count.
        """
        for stream in (record.stream, 0):
            key = (record.connection, stream)
            since = self._far.pop(key, None)
            if since is not None and record.time > since:
                self._was_far(key, since, record.time)
            came = self._came[key] = self._came.get(key, 0) + record.length
            if record.length and any(0 <= e - came < NEAR for e in self._edges.get(key, ())):
                self._far[key] = record.time

    def _was_far(self, key: tuple[int, int], since: float, time: float) -> None:
        """Note that the server waited for a WINDOW_UPDATE; a round trip is no longer than the
        quickest response.
        """
        rows = [row for row in self._rows.values() if row.connection == key[0]]
        waits = [row.answered - row.sent for row in rows if row.answered and row.sent is not None]
        last = min(time, since + 2 * min(waits, default=time))
        for row in rows:
            open_then = row.ended is None and row.sent is not None and row.sent <= since
            if open_then and key[1] in (0, row.stream):
                row.far.append((since, last))
                row.blocked.append((since, last))
                row.blocked_by.add("stream" if key[1] else "connection")

    def _data(self, row: Row, record: Record) -> None:
        self._far_windows(record)
        row.size += record.length
        row.pieces.append((record.time, record.length))
        row.pieces = joined(row.pieces)
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
                if hop.ended and (hop.number, hop.stream) in self._rows:
                    self._end_upload(self._rows[hop.number, hop.stream], hop.ended - began)
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


def joined(pieces: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return pieces, two joined to one if there are too many."""
    if len(pieces) <= MAX_PIECES:
        return pieces
    rest = [pieces[-1]] if len(pieces) % 2 else []
    pairs = zip(pieces[::2], pieces[1::2], strict=False)
    return [(time, size + more) for (_, size), (time, more) in pairs] + rest


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
    row.uploads = [(time - first, size) for time, size in row.uploads]
    row.uploaded = None if row.uploaded is None else row.uploaded - first
    for spans in (row.blocked, row.far, row.held_up):
        spans[:] = [(start - first, end - first) for start, end in spans]


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
