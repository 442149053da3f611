"""A record as one line of JSON, for files and other programs.

Knows the names of the keys. Must never know where a record comes from.
"""

import json
from dataclasses import replace
from typing import Any, Final

from cno.trace.record import Record

#: Fields whose values let somebody else act as the user.
SECRETS: Final = frozenset(("authorization", "cookie", "proxy-authorization", "set-cookie"))


def as_dict(record: Record) -> dict[str, Any]:
    """Return a record without the keys that have nothing to say."""
    found: dict[str, Any] = {
        "time": round(record.time, 6),
        "connection": record.connection,
        "direction": "sent" if record.sent else "received",
        "protocol": record.protocol,
        "stream": record.stream,
        "type": record.type,
        "flags": list(record.flags),
        "length": record.length,
    }
    if record.fields is not None:
        found["fields"] = [[name, value] for name, value in record.fields]
    if record.values:
        found["values"] = record.values
    if record.stream_window is not None:
        found["stream_window"] = record.stream_window
    if record.connection_window is not None:
        found["connection_window"] = record.connection_window
    if record.problem:
        found["problem"] = record.problem
    return found


def as_json(record: Record) -> str:
    """Return a record as a line of ASCII, without the line break."""
    return json.dumps(as_dict(record), separators=(",", ":"))


def without_secrets(record: Record) -> Record:
    """Return a record with the values of the `SECRETS` and its bytes removed."""
    if record.fields is None or not any(name in SECRETS for name, _ in record.fields):
        return record
    fields = [(name, "..." if name in SECRETS else value) for name, value in record.fields]
    return replace(record, fields=fields, octets=b"")
