"""A frame as lines of text, for `-v`: harmless on a terminal, with colours where there are some.

Knows how a record reads. Must never know a connection.
"""

from typing import Final

from cno.cli.text import Paint, one_line
from cno.trace import Record

#: DATA frames of one stream in a row that have a line each; those after them share one.
MAX_IN_A_ROW: Final = 3
#: Characters of a field that are shown.
MAX_FIELD: Final = 2_000

_COLOURS: Final = {
    "DATA": "green",
    "HEADERS": "cyan",
    "CONTINUATION": "cyan",
    "PUSH_PROMISE": "magenta",
    "RST_STREAM": "red",
    "GOAWAY": "red",
    "WINDOW_UPDATE": "dim",
    "SETTINGS": "blue",
    "PING": "yellow",
}


def request_line(fields: list[tuple[str, str]]) -> str:
    """Return the first line of a head, as HTTP/1.1 would have it; '' for trailers."""
    known = dict(fields[:8])
    if ":status" in known:
        return f"HTTP/2 {known[':status']}"
    if ":method" in known:
        return f"{known[':method']} {known.get(':path', known.get(':authority', ''))} HTTP/2"
    return ""


def detail(record: Record) -> str:
    """Return what a frame says beside its fields."""
    words = [f"{name}={value}" for name, value in record.values.items()]
    if record.type == "WINDOW_UPDATE" and "increment" in record.values:
        words = [f"+{record.values['increment']:,}"]
    windows = []
    if record.stream_window is not None:
        windows.append(f"stream {record.stream_window:,}")
    if record.connection_window is not None:
        windows.append(f"connection {record.connection_window:,}")
    if windows:
        words.append(f"window: {', '.join(windows)}")
    if record.problem:
        words.append(record.problem)
    return one_line(" ".join(words))


class FrameLines:
    """Makes lines of records, in order. `many`: show the number of the connection."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._run = 0  # DATA frames in a row
        self._hidden = 0  # of these, without a line
        self._hidden_bytes = 0
        self._key = (0, False, 0)
        self._last: Record | None = None

    def lines(self, record: Record) -> list[str]:
        """Return the lines for a record, after those for frames that had none."""
        key = (record.connection, record.sent, record.stream)
        if record.type != "DATA" or record.flags or key != self._key:
            found = self.rest()
            self._run = 0
        else:
            found = []
        self._key = key
        if record.type == "DATA":
            self._run += 1
            if self._run > MAX_IN_A_ROW:
                self._hidden += 1
                self._hidden_bytes += record.length
                self._last = record
                return found
        return found + self._frame(record) + self._fields(record)

    def rest(self) -> list[str]:
        """Return the line for the frames that had none."""
        last = self._last
        if last is None:
            return []
        text = f"{self._start(last)} ... {self._hidden:,} more DATA, {self._hidden_bytes:,} bytes"
        self._last, self._hidden, self._hidden_bytes = None, 0, 0
        return [f"{text}  {self._paint(detail(last), 'dim')}"]

    def _start(self, record: Record) -> str:
        mark = ">" if record.sent else "<"
        return f"{record.time * 1e3:9.2f} ms [{record.connection}] {mark}"

    def _frame(self, record: Record) -> list[str]:
        colour = _COLOURS.get(record.type, "bold")
        if record.values.get("code") == "NO_ERROR":
            colour = "dim"  # an orderly end
        kind = self._paint(f"{record.type:<15}", colour)
        stream = f"stream {record.stream}" if record.stream else "connection"
        text = f"{self._start(record)} {kind} {stream:<12} {record.length:>7,} bytes"
        more = detail(record)
        words = [*record.flags, *([self._paint(more, "dim")] if more else [])]
        return [f"{text}  {' '.join(words)}".rstrip()]

    def _fields(self, record: Record) -> list[str]:
        """Return the fields, in the way that HTTP/1.1 has them."""
        if record.fields is None:
            return []
        mark = ">" if record.sent else "<"
        first = request_line(record.fields)
        lines = [f"{mark} {one_line(first)}"] if first else []
        for name, value in record.fields:
            if name not in (":method", ":path", ":status"):
                shown = one_line(value[:MAX_FIELD])
                lines.append(f"{mark} {self._paint(one_line(name), 'cyan')}: {shown}")
        return lines
