"""HTTP/1.1 as the tests speak it: messages to send, a strict reader of what was written, outcomes.

Knows RFC 9112 well enough to read our own output more strictly than any peer would. Must never know
anything private of the engine, nor use its parser: a fault there must not hide itself here.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cno import raw
from cno.limits import Limits
from tests.support import Event, Headers, Recorder, h1_client, h1_server, play

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#: `headers` of on_message_head for GET.
FIELDS: Headers = [(":scheme", "http"), (":authority", "a")]
#: What no parser may find behind a message that it refused.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"): ?([\t\x20-\x7e\x80-\xff]*)")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.1")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]+)\r\n")


class Written(NamedTuple):
    """A message as it stood on the wire; `start` is its first line, names are lowered."""

    start: str
    fields: Headers
    body: bytes
    trailers: Headers | None

    @property
    def code(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def reason(self) -> str:
        return self.start.split(" ", 2)[2]

    def all(self, name: str) -> list[str]:
        return [v for k, v in self.fields if k == name]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} more than once: {self}"
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        return "close" in ", ".join(self.all("connection")).lower().split(", ")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _fields(block: bytes) -> Headers:
    fields = []
    for line in block.split(b"\r\n"):
        match = _FIELD_LINE.fullmatch(line)
        assert match, f"not a field line: {line!r}"
        value = match[2]
        assert value == value.strip(b" \t"), f"blanks at the edges: {line!r}"
        fields.append((_text(match[1]).lower(), _text(value)))
    return fields


def _chunks(data: bytes, at: int) -> tuple[bytes, Headers | None, int]:
    body = b""
    while True:
        match = _SIZE_LINE.match(data, at)
        assert match, f"not a chunk-size line: {data[at:]!r}"
        size = int(match[1], 16)
        at = match.end()
        if size == 0:
            break
        body += data[at : at + size]
        at += size
        assert data[at : at + 2] == b"\r\n", f"chunk data without its end: {data[at:]!r}"
        at += 2
    if data[at : at + 2] == b"\r\n":
        return body, None, at + 2
    end = data.index(b"\r\n\r\n", at)
    return body, _fields(data[at:end]), end + 4


def _message(data: bytes, at: int, line: re.Pattern[bytes], bodiless: bool) -> tuple[Written, int]:
    end = data.index(b"\r\n\r\n", at)
    start, _, block = data[at:end].partition(b"\r\n")
    assert line.fullmatch(start), f"not a start line: {start!r}"
    fields = _fields(block) if block else []
    names = [k for k, _ in fields]
    at = end + 4
    lengths = [v for k, v in fields if k == "content-length"]
    codings = [v for k, v in fields if k == "transfer-encoding"]
    assert not (lengths and codings), f"both ways of framing: {fields}"
    assert len(lengths) < 2 and len(codings) < 2, fields
    assert line is _STATUS_LINE or names.count("host") == 1, fields
    body, trailers = b"", None
    if bodiless:
        pass
    elif codings:
        assert codings[0].split(",")[-1].strip() == "chunked", codings
        body, trailers, at = _chunks(data, at)
    elif lengths:
        assert lengths[0].isdigit()
        body = data[at : at + int(lengths[0])]
        assert len(body) == int(lengths[0]), "body shorter than declared"
        at += len(body)
    elif line is _STATUS_LINE:
        body, at = data[at:], len(data)
    return Written(_text(start), fields, body, trailers), at


def responses(data: bytes, methods: Sequence[str] = ()) -> list[Written]:
    """Cut a server's output into responses; `methods` are those of the requests (else GET)."""
    result: list[Written] = []
    at = finals = 0
    while at < len(data):
        code = int(data[at + 9 : at + 12])
        method = methods[finals] if finals < len(methods) else "GET"
        bodiless = code < 200 or code in (204, 304) or method == "HEAD"
        message, at = _message(data, at, _STATUS_LINE, bodiless)
        finals += code >= 200
        result.append(message)
    return result


def requests(data: bytes) -> list[Written]:
    """Cut a client's output into requests."""
    result: list[Written] = []
    at = 0
    while at < len(data):
        message, at = _message(data, at, _REQUEST_LINE, False)
        result.append(message)
    return result


# -- connections -----------------------------------------------------------------------------------


class Answering(Recorder):
    """A server's application that answers each request when it is complete, with path and body."""

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.answer = path.encode("utf-8", "surrogateescape")

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.answer += data

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        length = [("content-length", str(len(self.answer)))]
        self.write_head(stream, 200, "", "", length, False)
        self.write_data(stream, self.answer, True)


def answering(limits: Limits | None = None) -> Recorder:
    return h1_server(limits=limits, recorder=Answering)


def respond(
    conn: Recorder,
    stream: int = 1,
    code: int = 200,
    body: bytes = b"",
    fields: Headers | None = None,
) -> None:
    """A whole response with its length declared."""
    head = [*(fields or []), ("content-length", str(len(body)))]
    conn.write_head(stream, code, "", "", head, not body)
    if body:
        conn.write_data(stream, body, True)


def asked(method: str = "GET", *, final: bool = True, limits: Limits | None = None) -> Recorder:
    """A client that has written one request (stream 1); its output and events are forgotten."""
    conn = h1_client(limits=limits)
    if method == "CONNECT":
        conn.write_head(1, 0, method, "", [(":authority", "a:443")], final)
    else:
        conn.write_head(1, 0, method, "/", FIELDS, final)
    conn.take()
    conn.events.clear()
    return conn


# -- outcomes --------------------------------------------------------------------------------------


def closed(conn: Recorder) -> None:
    """After the end: no stream is open, closed once, and deaf and dumb from then on."""
    assert conn.open_streams == [], "streams left open"
    assert conn.events[-2:] == [("close",), ("close()",)], conn.events
    assert conn.events.count(("close",)) == conn.events.count(("close()",)) == 1, conn.events
    conn.take()
    before = list(conn.events)
    conn.data_received(SMUGGLED)
    conn.data_received(b"")
    assert conn.events == before, "an event after the end"
    assert conn.take() == b"", "output after the end"


def refused(
    data: bytes,
    status: int | tuple[int, ...] = 400,
    *,
    limits: Limits | None = None,
    heads: int = 0,
) -> Recorder:
    """Bytes to a server, in every cut: one error response with that status, then the end.

    `heads`: how many request heads are delivered before the fault is found (the last of them is the
    faulty one; those before are answered by `Answering`). Returns the connection that got it whole.
    """
    conn = play(lambda: answering(limits), data)
    allowed = (status,) if isinstance(status, int) else status
    assert isinstance(conn.error, raw.ProtocolError), f"accepted: {merged_heads(conn)}"
    assert conn.error.errno == raw.CNO_ERRNO_PROTOCOL
    assert conn.error.code in allowed, f"{conn.error.code}: {conn.error}"
    assert len(merged_heads(conn)) == heads, merged_heads(conn)
    assert b"/smuggled" not in b"".join(str(h).encode() for h in merged_heads(conn))
    answers = responses(conn.take())
    assert [a.code for a in answers] == [200] * (len(answers) - 1) + [conn.error.code]
    assert len(answers) == len(conn.of("tail")) + 1
    assert answers[-1].closes, answers
    closed(conn)
    return conn


def merged_heads(conn: Recorder) -> list[Event]:
    return conn.of("head")


def accepted(data: bytes, limits: Limits | None = None) -> list[Event]:
    """Bytes to a server, in every cut: no error; returns the head, data and tail events."""
    conn = play(lambda: answering(limits), data)
    if conn.error is not None:
        raise AssertionError(f"refused: {conn.error}") from conn.error
    assert all(a.code == 200 for a in responses(conn.take()))
    return conn.of("head", "data", "tail")


def client_fails(make: Callable[[], Recorder], data: bytes) -> Recorder:
    """Bytes to a client, in every cut: a protocol error, nothing written, the end."""
    conn = play(make, data)
    assert isinstance(conn.error, raw.ProtocolError), f"accepted: {conn.events}"
    assert conn.error.errno == raw.CNO_ERRNO_PROTOCOL
    assert conn.take() == b""
    closed(conn)
    return conn


def received(make: Callable[[], Recorder], data: bytes) -> list[Event]:
    """Bytes to a client, in every cut: no error; returns the head, data and tail events."""
    conn = play(make, data)
    if conn.error is not None:
        raise AssertionError(f"refused: {conn.error}") from conn.error
    assert conn.take() == b""
    return conn.of("head", "data", "tail")


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    """A request with these field lines (Host not among them unless given)."""
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body
