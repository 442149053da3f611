"""Faults of a server that cno accepts, by a rule for recipients or by a `--limit`: for `--explain`.

Knows what the records of a trace show of them; the engine does not count them. Must never know a
connection.
"""

import re
from typing import Final, NamedTuple

from cno.cli.text import one_line
from cno.headers import DROPPED_TRAILERS
from cno.trace import Record

#: Characters of a field's name that are shown.
MAX_NAME: Final = 60
#: Flags that a frame type defines (RFC 9113 6); types that are not here may define any.
_FLAGS: Final = {
    "DATA": 0x09,
    "HEADERS": 0x2D,
    "PRIORITY": 0x00,
    "RST_STREAM": 0x00,
    "SETTINGS": 0x01,
    "PUSH_PROMISE": 0x0C,
    "PING": 0x01,
    "GOAWAY": 0x00,
    "WINDOW_UPDATE": 0x00,
    "CONTINUATION": 0x04,
}
_CONTROLS: Final = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Fault(NamedTuple):
    """A fault: what it is, the section of its rule, and the limit that let it pass ('': none)."""

    text: str
    section: str
    limit: str = ""


def faults_of(record: Record) -> list[Fault]:
    """Return the faults of a frame or of a head of HTTP/1.1 that a server sent."""
    if record.protocol == "HTTP/2":
        return [*frame_faults(record), *([] if record.fields is None else block_faults(record))]
    return head_faults(record) if record.type == "HEAD" else []


def frame_faults(record: Record) -> list[Fault]:
    """Return the faults of a frame header (RFC 9113 4.1)."""
    found, header = [], record.octets[:9]
    if len(header) == 9:
        if header[5] & 0x80:
            found.append(Fault(f"{record.type} with the reserved bit", "RFC 9113 4.1"))
        unknown = header[4] & ~_FLAGS.get(record.type, 0xFF)
        if unknown:
            text = f"{record.type} with flags that it does not define ({unknown:#04x})"
            found.append(Fault(text, "RFC 9113 4.1"))
    return found


def block_faults(record: Record) -> list[Fault]:
    """Return the faults of a field block of HTTP/2."""
    fields = record.fields or []
    status = next((value for name, value in fields[:8] if name == ":status"), "")
    found = value_faults(fields) + status_faults(fields, status, "")
    for name, value in fields:
        if not name.startswith(":") and value != value.strip(" \t"):
            text = f"the value of {shown(name)} begins or ends with a blank"
            found.append(Fault(text, "RFC 9113 8.2.1"))
        if not status and record.type != "PUSH_PROMISE" and name in DROPPED_TRAILERS:
            text = f"{shown(name)} is a trailer: it was dropped"
            found.append(Fault(text, "RFC 9110 6.5.1"))
    return found


def head_faults(record: Record) -> list[Fault]:
    """Return the faults of a head of HTTP/1.1."""
    fields = record.fields or []
    line = str(record.values.get("line", ""))
    found = []
    if record.values.get("bare_lf"):
        found.append(Fault("lines of a head end with LF alone", "RFC 9112 2.2", "allow_bare_lf"))
    if record.values.get("obs_fold"):
        found.append(Fault("a field goes on in the next line", "RFC 9112 5.2", "allow_obs_fold"))
    status = line[9:12]
    if len(line) == 12:
        found.append(Fault("no space follows the status code", "RFC 9112 4"))
    codings = ",".join(value for name, value in fields if name == "transfer-encoding").lower()
    no_content = status == "204" or status.startswith("1")
    if codings and no_content:
        found.append(Fault(f"transfer-encoding in a response {status}", "RFC 9112 6.1"))
    elif codings.replace(" ", "") not in ("", "chunked"):
        text = "a transfer coding that the request did not allow"
        found.append(Fault(text, "RFC 9110 10.1.4", "allow_transfer_codings"))
    limit = "allow_equal_content_lengths"
    return found + value_faults(fields) + status_faults(fields, status, limit)


def value_faults(fields: list[tuple[str, str]]) -> list[Fault]:
    """Return the faults of values in both protocols."""
    return [
        Fault(f"the value of {shown(name)} has control characters", "RFC 9110 5.5")
        for name, value in fields
        if _CONTROLS.search(value)
    ]


def status_faults(fields: list[tuple[str, str]], status: str, limit: str) -> list[Fault]:
    """Return the faults of a status and of content-length; `limit`: what allows repeated ones."""
    found = []
    if status >= "600":
        found.append(Fault(f"no class of responses has the status {status}", "RFC 9110 15"))
    lengths = [value for name, value in fields if name == "content-length"]
    if len(lengths) > 1 or any("," in value for value in lengths):
        found.append(Fault("content-length is there more than once", "RFC 9110 8.6", limit))
    if lengths and (status == "204" or status.startswith("1")):
        found.append(Fault(f"content-length in a response {status}", "RFC 9110 8.6"))
    return found


def shown(name: str) -> str:
    """Return a name of a field, which is harmless on a terminal."""
    return one_line(name[:MAX_NAME])
