"""`--explain`: where a peer broke a rule, the rule, the bytes, and what can be done.

The engine finds the fault; this shows it beside the last frames. Must never know a connection.
"""

import re
from collections import Counter, deque
from typing import Final

from cno.cli.frame_lines import detail
from cno.cli.problems import reason
from cno.cli.rules import address_of, rule_of
from cno.cli.text import Paint, one_line
from cno.cli.tolerated import Fault, faults_of
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
        self._tolerated: dict[Fault, Record] = {}  # the first record of each
        self._counts: Counter[Fault] = Counter()
        self._has_explained = False

    def add(self, record: Record) -> None:
        """Take a record."""
        if not record.sent:
            self._note_faults(record)
            self._kept.setdefault(record.connection, deque(maxlen=MAX_KEPT)).append(record)
            ended = record.type in ("RST_STREAM", "GOAWAY") and record.values.get("code")
            if ended not in (None, False, "NO_ERROR") and len(self._resets) < MAX_KEPT:
                self._resets.append(record)

    def explained(self, error: BaseException, connection: int, stream: int) -> list[str]:
        """Return the lines about an error of a request."""
        self._has_explained = True
        section = section_of(error)
        connection = connection or max(self._kept, default=0)  # before the first request: the last
        paint = self._paint
        lines = [f"{paint('what', 'bold')}    {reason(error)}"]
        self._drop_refused(error, connection, stream)
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

    def _note_faults(self, record: Record) -> None:
        """Keep the faults of a record, each kind once."""
        for fault in faults_of(record):
            if fault in self._tolerated or len(self._tolerated) < MAX_KEPT:
                self._tolerated.setdefault(fault, record)
                self._counts[fault] += 1

    def _drop_refused(self, error: BaseException, connection: int, stream: int) -> None:
        """Forget the faults of a message that was refused: they were not accepted."""
        section, limit = section_of(error), getattr(error, "limit", "")
        last = self._kept[connection][-1] if self._kept.get(connection) else None
        for fault, record in list(self._tolerated.items()):
            of_message = record.connection == connection and record.stream == stream
            same = fault.section == section or (limit and fault.limit == limit)
            if same or record is last or (of_message and record.protocol == "HTTP/2"):
                del self._tolerated[fault]

    def accepted(self) -> list[str]:
        """Return the lines about faults that were accepted, or that there was none at all."""
        paint = self._paint
        if not self._tolerated:
            return [] if self._has_explained else ["explain: nothing that came broke a rule"]
        lines = []
        for fault, record in self._tolerated.items():
            count = self._counts[fault]
            often = f" ({count:,} times)" if count > 1 else ""
            rule, more, _ = rule_of(fault.section)
            advice = "cno accepts this, other clients may not. Report it to whoever runs the peer."
            if fault.limit:
                advice = f"--limit {fault.limit}=yes accepts this; other clients refuse it."
            elif more:
                advice = f"{advice} {more}"
            lines += [
                f"{paint('what', 'bold')}    accepted: {fault.text}{often}",
                f"{paint('rule', 'bold')}    {fault.section}: {rule}",
                f"        {address_of(fault.section)}",
                f"{paint('bytes', 'bold')}   the first time:",
                *self._octets(record),
                f"{paint('advice', 'bold')}  {advice}",
            ]
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
