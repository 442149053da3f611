"""HTTP Archives (HAR 1.2) of what `cno get` has fetched, with the frames of HTTP/2.

Knows the format (http://www.softwareishard.com/blog/har-12-spec/). Must never know a connection.
"""

import base64
import json
from datetime import UTC, datetime
from email.message import Message
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from cno._build import VERSION
from cno.cli.transfer import Hop, Transfer
from cno.cli.write_out import head_size
from cno.trace import Record
from cno.trace.json_lines import as_dict

Headers = list[tuple[str, str]]

#: A time that is not known.
UNKNOWN: Final = -1


def archive(transfers: list[Transfer], frames: dict[tuple[int, int], list[Record]]) -> str:
    """Return the text of the file. `frames`: by connection and stream."""
    hops = [(transfer, hop) for transfer in transfers for hop in transfer.hops]
    hops.sort(key=lambda pair: pair[1].begun)
    entries = [entry(transfer, hop, frames) for transfer, hop in hops]
    log = {
        "version": "1.2",
        "creator": {"name": "cno", "version": VERSION},
        "pages": [],
        "entries": entries,
    }
    return json.dumps({"log": log}, indent=1)


def entry(
    transfer: Transfer, hop: Hop, frames: dict[tuple[int, int], list[Record]]
) -> dict[str, Any]:
    """Return one request and its response."""
    times = timings(hop)
    found: dict[str, Any] = {
        "startedDateTime": date_text(hop.wall),
        "time": sum(value for value in times.values() if value > 0),
        "request": request_of(hop),
        "response": response_of(transfer, hop),
        "cache": {},
        "timings": times,
        "serverIPAddress": hop.remote[0],
        "connection": str(hop.number or hop.local[1] or ""),
    }
    shown = frames.get((hop.number, hop.stream), []) if hop.stream else []
    if shown:
        found["_frames"] = [as_dict(record) for record in shown]
    return found


def date_text(seconds: float) -> str:
    """Return a time as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def timings(hop: Hop) -> dict[str, float]:
    """Return how long each step took, in milliseconds."""

    def between(start: float, end: float) -> float:
        return max(0.0, round((end - start) * 1e3, 3)) if start and end else UNKNOWN

    steps = hop.connection
    dns = between(steps.begun, steps.resolved) if steps else UNKNOWN
    connect = between(steps.resolved, steps.secured) if steps else UNKNOWN
    is_secure = hop.fetch.url.lower().startswith("https:")
    secure = between(steps.connected, steps.secured) if steps and is_secure else UNKNOWN
    known = [value for value in (dns, connect) if value > 0]
    return {
        "blocked": max(0.0, between(hop.begun, hop.ready) - sum(known)),
        "dns": dns,
        "connect": connect,
        "ssl": secure,
        "send": max(0.0, between(hop.ready, hop.sent)),
        "wait": max(0.0, between(hop.sent, hop.answered)),
        "receive": max(0.0, between(hop.answered, hop.ended)),
    }


def request_of(hop: Hop) -> dict[str, Any]:
    fetch = hop.fetch
    found: dict[str, Any] = {
        "method": fetch.method,
        "url": fetch.url,
        "httpVersion": hop.version or "unknown",
        "cookies": cookies(fetch.headers, "cookie"),
        "headers": pairs(fetch.headers),
        "queryString": pairs(parse_qsl(urlsplit(fetch.url).query, keep_blank_values=True)),
        "headersSize": -1,
        "bodySize": UNKNOWN if fetch.content.size is None else fetch.content.size,
    }
    if fetch.content.size:
        kind = next((value for name, value in fetch.headers if name == "content-type"), "")
        made = fetch.content.make()
        text = made.decode("utf-8", "replace") if isinstance(made, bytes) else ""
        found["postData"] = {"mimeType": kind, "params": [], "text": text}
    return found


def response_of(transfer: Transfer, hop: Hop) -> dict[str, Any]:
    kind = next((value for name, value in hop.headers if name == "content-type"), "")
    found: dict[str, Any] = {
        "status": hop.code,
        "statusText": hop.reason,
        "httpVersion": hop.version or "unknown",
        "cookies": cookies(hop.headers, "set-cookie"),
        "headers": pairs(hop.headers),
        "content": content_of(hop, kind),
        "redirectURL": next((value for name, value in hop.headers if name == "location"), ""),
        "headersSize": head_size(hop) or UNKNOWN,
        "bodySize": hop.size,
    }
    if transfer.error and hop is transfer.last:
        found["_error"] = transfer.error
    return found


def content_of(hop: Hop, kind: str) -> dict[str, Any]:
    """Return the body, as text if it is text."""
    found: dict[str, Any] = {"size": hop.size, "mimeType": kind}
    if hop.content is None:
        return found
    try:
        found["text"] = hop.content.decode("utf-8")
    except UnicodeDecodeError:
        found["text"] = base64.b64encode(hop.content).decode("ascii")
        found["encoding"] = "base64"
    if len(hop.content) < hop.size:
        found["comment"] = f"the first {len(hop.content):,} bytes"
    return found


def pairs(fields: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def cookies(headers: Headers, field: str) -> list[dict[str, Any]]:
    """Return the cookies of a Cookie or of Set-Cookie fields."""
    found: list[dict[str, Any]] = []
    for name, value in headers:
        if name != field:
            continue
        parts = [part.strip() for part in value.split(";") if part.strip()]
        if field == "cookie":
            found += [cookie(part) for part in parts]
        elif parts:
            found.append(cookie(parts[0]) | attributes(parts[1:]))
    return found


def cookie(text: str) -> dict[str, Any]:
    name, _, value = text.partition("=")
    return {"name": name.strip(), "value": value.strip()}


def attributes(parts: list[str]) -> dict[str, Any]:
    """Return the attributes of a cookie that the format knows."""
    message = Message()
    for part in parts:
        name, _, value = part.partition("=")
        message[name.strip() or "x"] = value.strip() or "true"
    found: dict[str, Any] = {"httpOnly": "httponly" in message, "secure": "secure" in message}
    for name in ("path", "domain", "expires"):
        if message[name]:
            found[name] = message[name]
    return found
