"""A trace as JSON lines in the shape of qlog (draft-ietf-quic-qlog-main-schema): `JsonLines`.

Which connections are traced is a matter of chance or of a function. Must never know a transport.
"""

import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from typing import IO, Any, Final

from cno.trace.connection import ConnectionTrace, Trace
from cno.trace.hook import Tracer
from cno.trace.json_lines import SECRETS
from cno.trace.record import Record

log: Final = logging.getLogger("cno.trace")


class JsonLines(Tracer):
    """Writes a line for each frame to a file: `cno.serve(..., trace=JsonLines(file))`.

    `sample` is the share of connections that are traced, 1.0: all. `wanted(number)` decides it in
    place of chance, by the number of a connection, from 1. The values of cookies and credentials
    are not written, unless `secrets` is True. Lines are written while connections send and receive,
    so the file must not block: a file of the disk does not.
    """

    def __init__(
        self,
        file: IO[str],
        *,
        sample: float = 1.0,
        wanted: Callable[[int], bool] | None = None,
        secrets: bool = False,
        title: str = "cno",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0.0 <= sample <= 1.0:
            raise ValueError(f"sample={sample} is not in 0 to 1")
        self._trace = Trace(self._write, clock=clock, on_error=self._failed)
        self._file = file
        self._sample = sample
        self._wanted = wanted
        self._secrets = secrets
        self._numbers = itertools.count(1)  # for several threads
        common = {"time_format": "relative", "reference_time": round(time.time() * 1000)}
        head = {"qlog_version": "0.3", "qlog_format": "NDJSON", "title": title}
        self._line(head | {"trace": {"common_fields": common}})

    def open(self, server: bool, http2: bool | None = None) -> ConnectionTrace | None:
        number = next(self._numbers)
        if self._wanted is not None:
            if not self._wanted(number):
                return None
        elif self._sample < 1.0 and by_chance() >= self._sample:
            return None
        return self._trace.open(server, http2)

    def _write(self, record: Record) -> None:
        self._line(as_event(record, self._secrets))

    def _line(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")) + "\n")

    def _failed(self, error: Exception) -> None:
        log.warning("the trace of a connection ends: %s", error, extra={"error": error})


def as_event(record: Record, secrets: bool = False) -> dict[str, Any]:
    """Return a record as an event of qlog, for other programs."""
    protocol = "http2" if record.protocol == "HTTP/2" else "http1"
    frame: dict[str, Any] = {"frame_type": record.type.lower()}
    if record.flags:
        frame["flags"] = [flag.lower() for flag in record.flags]
    frame |= record.values
    if record.fields is not None:
        frame["headers"] = [
            {"name": name, "value": value if secrets or name not in SECRETS else "..."}
            for name, value in record.fields
        ]
    if record.problem:
        frame["problem"] = record.problem
    data: dict[str, Any] = {"stream_id": record.stream, "length": record.length, "frame": frame}
    if record.stream_window is not None:
        data["stream_window"] = record.stream_window
    if record.connection_window is not None:
        data["connection_window"] = record.connection_window
    return {
        "time": round(record.time * 1000, 3),
        "group_id": str(record.connection),
        "name": f"{protocol}:frame_{'created' if record.sent else 'parsed'}",
        "data": data,
    }


def by_chance() -> float:
    """Return a number from 0.0 to 1.0 by chance. (Importing `random` would slow `import cno`.)"""
    return int.from_bytes(os.urandom(4), "big") / 2**32
