"""The access log: lines in gunicorn's format, made and written in batches by a thread.

Knows records and the atoms of a format. Must never know how a response is made.

A request costs one appended record. Every `DELAY` seconds the thread gets all new records, formats
and writes them. `close` waits until the last one is written.
"""

import asyncio
import base64
import binascii
import logging
import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TextIO
from urllib.parse import unquote

from cno.asgi.hosted import Record

log: Final = logging.getLogger("cno.asgi")

#: Seconds in which records are collected.
DELAY: Final = 0.1
#: Records that wait for the thread. Further ones are counted, not kept: nobody reads the log.
MAX_PENDING: Final = 200_000
#: Bytes that a pipe takes in one piece, so that lines of several processes do not mix (POSIX).
ATOMIC: Final = getattr(select, "PIPE_BUF", 4_096)
#: Seconds for the last records at the end.
PATIENCE: Final = 5.0

_ATOM: Final = re.compile(r"%\((\{[^}]+\}[ioe]|[a-zA-Z])\)(-?\d*)s|%%")
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f"\\\ud800-\udfff\u2028\u2029]')

Getter = Callable[[Record], str]


def escaped(text: str) -> str:
    """Return a text of a client so that it cannot begin a line, or end a quotation."""
    return _UNSAFE.sub(escape, text)


def escape(found: re.Match[str]) -> str:
    character = found[0]
    return "\\" + character if character in '"\\' else f"\\x{ord(character):02x}"


def field(headers: Any, name: str) -> str:
    values = [value for key, value in headers if key == name]
    return escaped(",".join(values)) if values else "-"


def user(record: Record) -> str:
    """Return the user name of Basic authentication."""
    scheme, _, value = field(record.headers, "authorization").partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError, binascii.Error):
            name = base64.b64decode(value.strip()).decode("utf-8", "replace").partition(":")[0]
            return escaped(name) or "-"
    return "-"


def request_line(record: Record) -> str:
    return escaped(f"{record.method} {record.target} HTTP/{record.version}")


#: The atoms, as gunicorn's documentation lists them.
ATOMS: Final[dict[str, Getter]] = {
    "h": lambda r: r.client[0] if r.client else "-",
    "l": lambda r: "-",
    "u": user,
    "t": lambda r: time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(r.at)),
    "r": request_line,
    "m": lambda r: escaped(r.method),
    "U": lambda r: escaped(unquote(r.target.partition("?")[0])),
    "q": lambda r: escaped(r.target.partition("?")[2]),
    "H": lambda r: f"HTTP/{r.version}",
    "s": lambda r: str(r.status or 499),
    "b": lambda r: str(r.size) if r.size else "-",
    "B": lambda r: str(r.size),
    "f": lambda r: field(r.headers, "referer"),
    "a": lambda r: field(r.headers, "user-agent"),
    "T": lambda r: str(int(r.seconds)),
    "D": lambda r: str(int(r.seconds * 1_000_000)),
    "M": lambda r: str(int(r.seconds * 1_000)),
    "L": lambda r: f"{r.seconds:.6f}",
    "p": lambda r: f"<{os.getpid()}>",
}


def getter(atom: str) -> Getter:
    """Return what finds the value of an atom. Raises ValueError for an unknown one."""
    if not atom.startswith("{"):
        if atom not in ATOMS:
            raise ValueError(f"there is no atom %({atom})s")
        return ATOMS[atom]
    name, source = atom[1:-2].lower(), atom[-1]
    if source == "i":
        return lambda r: field(r.headers, name)
    if source == "o":
        return lambda r: field(r.fields, name)
    value = os.environ.get(atom[1:-2], "-")
    return lambda r: value


def compiled(text: str) -> Callable[[Record], str]:
    """Return what formats a record. Raises ValueError for a format that is malformed."""
    parts: list[str] = []
    getters: list[Getter] = []
    at = 0
    for match in _ATOM.finditer(text):
        parts.append(text[at : match.start()].replace("%", "%%"))
        if match[0] == "%%":
            parts.append("%%")
        else:
            parts.append(f"%{match[2]}s")
            getters.append(getter(match[1]))
        at = match.end()
    if re.search(r"%\(", text[at:]) or any("%%(" in part for part in parts):
        raise ValueError(f"the format {text!r} is malformed")
    pattern = "".join(parts) + text[at:].replace("%", "%%")
    return lambda record: pattern % tuple([get(record) for get in getters])


class AccessLog:
    """Takes records in the event loop; a thread formats and writes them.

    It writes to `file`, or to the logger "cno.access" if that has handlers.
    """

    def __init__(self, text: str, file: TextIO | None = None) -> None:
        self._format = compiled(text)
        self._file = sys.stdout if file is None else file
        logger = logging.getLogger("cno.access")
        self._logger = logger if logger.handlers else None
        self._records: list[Record] = []
        self._pending = 0  # given to the thread, and not written
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: SimpleQueue[list[Record] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cno-access", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Log a response."""
        if self._pending + len(self._records) >= MAX_PENDING:
            self._lost += 1
            return
        self._records.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._flush)

    def _flush(self) -> None:
        self._timer = None
        records, self._records = self._records, []
        if records:
            self._pending += len(records)
            self._batches.put(records)

    def close(self) -> None:
        """Write what there is; wait for that, `PATIENCE` seconds at most."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._batches.put(None)
        self._thread.join(PATIENCE)
        if self._lost:
            log.warning("%d lines of the access log were not written: nobody read it", self._lost)

    def _run(self) -> None:
        while (records := self._batches.get()) is not None:
            try:
                self._write(records)
            except OSError as error:
                log.error("the access log cannot be written: %s", error)
            except Exception:
                log.exception("the access log failed")
            self._pending -= len(records)

    def _write(self, records: list[Record]) -> None:
        lines = [self._format(record) for record in records]
        if self._logger is not None:
            for line in lines:
                self._logger.info("%s", line)
            return
        self._file.flush()
        block = bytearray()
        for line in lines:
            data = (line + "\n").encode("utf-8", "replace")
            if len(block) + len(data) > ATOMIC:
                write(self._file.fileno(), block)
                block = bytearray()
            block += data
        write(self._file.fileno(), block)


def write(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of `data`, past the file's lock, which a blocked thread would hold at exit."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
