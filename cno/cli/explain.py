"""`--explain`: where a peer broke a rule, the rule, the bytes, and what can be done.

The engine finds the fault; this shows it beside the last frames. Must never know a connection.
"""

import re
from collections import deque
from typing import Final

from cno.cli.frame_lines import detail
from cno.cli.problems import reason
from cno.cli.rules import address_of, rule_of
from cno.cli.text import Paint, one_line
from cno.errors import ConnectionError
from cno.trace import Record

#: Frames of each connection that are kept.
MAX_KEPT: Final = 64
#: Frames that are shown.
MAX_SHOWN: Final = 4
#: Bytes of a line.
LINE: Final = 16


def section_of(error: BaseException) -> str:
    """Return the section of the rule that was broken; '' if there is none."""
    if isinstance(error, ConnectionError) and error.rule:
        return error.rule
    found = re.search(r"\[(RFC \d+ [\w.]+)\]", str(error))
    return found[1] if found else ""


class Explainer:
    """Keeps the last frames that came, and explains errors by them."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._kept: dict[int, deque[Record]] = {}
        self._resets: list[Record] = []

    def add(self, record: Record) -> None:
        """Take a record."""
        if not record.sent:
            self._kept.setdefault(record.connection, deque(maxlen=MAX_KEPT)).append(record)
            ended = record.type in ("RST_STREAM", "GOAWAY") and record.values.get("code")
            if ended not in (None, False, "NO_ERROR") and len(self._resets) < MAX_KEPT:
                self._resets.append(record)

    def explained(self, error: BaseException, connection: int, stream: int) -> list[str]:
        """Return the lines about an error of a request."""
        section = section_of(error)
        connection = connection or max(self._kept, default=0)  # before the first request: the last
        paint = self._paint
        lines = [f"{paint('what', 'bold')}    {reason(error)}"]
        rule, advice, types = rule_of(section)
        if section:
            lines.append(f"{paint('rule', 'bold')}    {section}{': ' if rule else ''}{rule}")
            if where := address_of(section):
                lines.append(f"        {where}")
        kept = list(self._kept.get(connection, ()))
        suspects = [r for r in kept if not types or r.type in types]
        if isinstance(error, ConnectionError) and error.stream:
            suspects = [r for r in suspects if r.stream in (0, error.stream)] or suspects
        shown = (suspects or kept)[-MAX_SHOWN:] if section else self._ended(connection, stream)
        if shown:
            lines.append(f"{paint('bytes', 'bold')}   the last that came, the suspect at the end:")
            for record in shown:
                lines += self._octets(record)
        limit = error.limit if isinstance(error, ConnectionError) else ""
        if limit:
            value = "yes" if limit.startswith("allow_") else "..."
            advice = f"{advice} --limit {limit}={value} accepts it.".strip()
        if not advice and section:
            advice = "Report it to whoever runs the peer, with these bytes."
        if not advice and shown:
            advice = "The peer gave the reason above: its logs may say more."
        if advice:
            lines.append(f"{paint('advice', 'bold')}  {advice}")
        return lines

    def _ended(self, connection: int, stream: int) -> list[Record]:
        """Return the frames by which the peer ended a stream or the connection."""
        return [
            record
            for record in self._resets
            if record.connection == connection and record.stream in (0, stream)
        ][-MAX_SHOWN:]

    def _octets(self, record: Record) -> list[str]:
        """Return a frame and its bytes, in hexadecimal and as text."""
        stream = f"stream {record.stream}" if record.stream else "connection"
        head = f"{record.type} {stream} {record.length:,} bytes {' '.join(record.flags)}"
        lines = [f"        {one_line(f'{head} {detail(record)}'.strip())}"]
        for at in range(0, len(record.octets), LINE):
            piece = record.octets[at : at + LINE]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
            lines.append(f"          {at:04x}  {piece.hex(' '):<{LINE * 3}} {text}")
        if record.length + 9 > len(record.octets) and record.protocol == "HTTP/2":
            lines.append("          ...")
        return lines
