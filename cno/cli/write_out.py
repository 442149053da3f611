"""The text that `-w` asks for, with curl's names of variables.

Knows the names. Must never know how a transfer is made.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from cno.cli.fetch import redirect_url
from cno.cli.problems import Problem
from cno.cli.request_data import read_file
from cno.cli.transfer import Hop, Transfer

_ESCAPES: Final = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}
_TOKEN: Final = re.compile(r"%%|%\{([^}]*)\}|%header\{([^}]*)\}|\\[nrt\\]")


def format_of(text: str) -> str:
    """Return the format: itself, or that of @FILE or @- (standard input)."""
    return read_file(text[1:]).decode("utf-8", "replace") if text[:1] == "@" else text


def time_of(transfer: Transfer, name: str) -> float:
    """Return when a step was done, in seconds after the start; 0: it was not."""
    hop = transfer.last
    if hop is None:
        return 0.0
    steps = hop.connection
    at = {
        "namelookup": steps.resolved if steps else 0.0,
        "connect": steps.connected if steps else 0.0,
        "appconnect": steps.secured if steps and hop.fetch.url.startswith("https:") else 0.0,
        "pretransfer": hop.sent,
        "starttransfer": hop.answered,
        "redirect": hop.begun if len(transfer.hops) > 1 else 0.0,
        "total": transfer.ended,
    }[name]
    return max(0.0, at - transfer.begun) if at else 0.0


def speed(transfer: Transfer, size: int) -> int:
    return int(size / max(transfer.ended - transfer.begun, 1e-6))


def version_of(hop: Hop | None) -> str:
    return (hop.version.partition("/")[2] if hop else "") or "0"


def header(hop: Hop | None, name: str) -> str:
    """Return the first value of a field."""
    found = [value for key, value in (hop.headers if hop else []) if key == name.lower()]
    return found[0] if found else ""


def redirect_of(hop: Hop | None) -> str:
    """Return where a response that was not followed leads to."""
    location = header(hop, "location")
    if hop is None or not location or hop.code not in (301, 302, 303, 307, 308):
        return ""
    try:
        return redirect_url(hop.fetch.url, location)
    except Problem:
        return location


def head_size(hop: Hop | None) -> int:
    """Return the size of a response's head, as HTTP/1.1 would write it."""
    if hop is None or not hop.code:
        return 0
    line = len(f"{hop.version} {hop.code} {hop.reason}") + 2
    return line + sum(len(name) + len(value) + 4 for name, value in hop.headers) + 2


VARIABLES: Final[dict[str, Callable[[Transfer], Any]]] = {
    "content_type": lambda t: header(t.last, "content-type"),
    "errormsg": lambda t: t.error,
    "exitcode": lambda t: t.status,
    "filename_effective": lambda t: t.filename,
    "http_code": lambda t: t.last.code if t.last else 0,
    "response_code": lambda t: t.last.code if t.last else 0,
    "http_version": lambda t: version_of(t.last),
    "local_ip": lambda t: t.last.local[0] if t.last else "",
    "local_port": lambda t: t.last.local[1] if t.last else 0,
    "remote_ip": lambda t: t.last.remote[0] if t.last else "",
    "remote_port": lambda t: t.last.remote[1] if t.last else 0,
    "method": lambda t: t.last.fetch.method if t.last else "",
    "num_connects": lambda t: sum(hop.connection is not None for hop in t.hops),
    "num_headers": lambda t: len(t.last.headers) if t.last else 0,
    "num_redirects": lambda t: max(0, len(t.hops) - 1 - t.retries),
    "num_retries": lambda t: t.retries,
    "redirect_url": lambda t: redirect_of(t.last),
    "referer": lambda t: (
        next((v for n, v in t.last.fetch.headers if n == "referer"), "") if t.last else ""
    ),
    "scheme": lambda t: (t.last.fetch.url if t.last else t.url).partition(":")[0].lower(),
    "size_download": lambda t: t.last.size if t.last else 0,
    "size_header": lambda t: sum(head_size(hop) for hop in t.hops),
    "size_upload": lambda t: (t.last.fetch.content.size or 0) if t.last else 0,
    "speed_download": lambda t: speed(t, t.last.size if t.last else 0),
    "speed_upload": lambda t: speed(t, (t.last.fetch.content.size or 0) if t.last else 0),
    "ssl_verify_result": lambda t: 1 if t.status == 60 else 0,
    "time_appconnect": lambda t: time_of(t, "appconnect"),
    "time_connect": lambda t: time_of(t, "connect"),
    "time_namelookup": lambda t: time_of(t, "namelookup"),
    "time_pretransfer": lambda t: time_of(t, "pretransfer"),
    "time_redirect": lambda t: time_of(t, "redirect"),
    "time_starttransfer": lambda t: time_of(t, "starttransfer"),
    "time_total": lambda t: time_of(t, "total"),
    "url": lambda t: t.url,
    "url_effective": lambda t: t.last.fetch.url if t.last else t.url,
    "urlnum": lambda t: t.number,
}


def shown(name: str, value: Any) -> str:
    """Return a value as curl writes it."""
    if isinstance(value, float):
        return f"{value:.6f}"
    if name in ("http_code", "response_code"):
        return f"{value:03d}"
    return str(value)


def write_out(text: str, transfer: Transfer) -> list[tuple[bool, str]]:
    """Return the pieces to write: whether to standard error, and the text."""
    pieces: list[tuple[bool, str]] = []
    to_error, at, current = False, 0, ""
    for match in _TOKEN.finditer(text):
        current += text[at : match.start()]
        at = match.end()
        name = match[1]
        if name in ("stderr", "stdout"):
            pieces.append((to_error, current))
            to_error, current = name == "stderr", ""
        elif match[0] == "%%":
            current += "%"
        elif match[2] is not None:
            current += header(transfer.last, match[2])
        elif name is None:
            current += _ESCAPES[match[0]]
        elif name == "json":
            current += json.dumps({key: VARIABLES[key](transfer) for key in VARIABLES})
        elif name == "header_json":
            current += json.dumps(grouped(transfer.last))
        elif name in VARIABLES:
            current += shown(name, VARIABLES[name](transfer))
        elif name != "onerror" or not transfer.status:
            if name == "onerror":
                break
            pieces.append((True, f"cno: -w: there is no variable {name!r}\n"))
    else:
        current += text[at:]
    pieces.append((to_error, current))
    return [piece for piece in pieces if piece[1]]


def grouped(hop: Hop | None) -> dict[str, list[str]]:
    """Return the fields of a response by name."""
    found: dict[str, list[str]] = {}
    for name, value in hop.headers if hop else []:
        found.setdefault(name, []).append(value)
    return found
