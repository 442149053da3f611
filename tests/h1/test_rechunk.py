"""However the transport cuts a conversation, the events and the answers are the same."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from cno import raw
from tests.h1.wire import FIELDS, answering, responses
from tests.support import Event, Headers, Recorder, h1_client, merged

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
#: Names that mean nothing to the engine: a prefix keeps them clear of those that do.
names = st.text(TCHAR, max_size=8).map("x-".__add__)
values = st.binary(max_size=12).map(
    lambda raw: bytes(o for o in raw if o >= 0x20 and o != 0x7F).strip(b" \t")
)
fields = st.lists(st.tuples(names, values), max_size=4)
blanks = st.sampled_from([b"", b" ", b"\t", b"  "])
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=4)
#: Bodies that look like messages, to be read as bodies all the same.
tricky = st.sampled_from(
    [b"0\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)


class Message(NamedTuple):
    wire: bytes
    events: list[Event]


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


@st.composite
def framed(draw: st.DrawFn) -> tuple[bytes, Headers, bytes, bytes, Headers | None]:
    """(framing field lines, as delivered, wire body, body, trailers)"""
    pieces = draw(bodies | st.lists(tricky, min_size=1, max_size=3))
    body = b"".join(pieces)
    if draw(st.booleans()):
        return (
            b"Content-Length: %d\r\n" % len(body),
            [("content-length", str(len(body)))],
            body,
            body,
            None,
        )
    ext = draw(st.sampled_from([b"", b";a", b';a="b"', b";a=b;c"]))
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(p), ext, p) for p in pieces) + b"0\r\n"
    trailers = draw(fields)
    for name, value in trailers:
        wire += name.encode() + b":" + value + b"\r\n"
    delivered = [(n, text(v)) for n, v in trailers] or None
    return b"Transfer-Encoding: chunked\r\n", [], wire + b"\r\n", body, delivered


def lines(draw: st.DrawFn, extra: list[tuple[str, bytes]]) -> bytes:
    return b"".join(
        n.upper().encode() + b":" + draw(blanks) + v + draw(blanks) + b"\r\n" for n, v in extra
    )


def contents(stream: int, body: bytes, trailers: Headers | None) -> list[Event]:
    data: list[Event] = [("data", stream, body)] if body else []
    return [*data, ("tail", stream, trailers)]


@st.composite
def conversations(draw: st.DrawFn, server: bool) -> tuple[list[Message], bytes, list[int]]:
    """Messages to the connection under test, all their bytes, and where to cut these."""
    messages: list[Message] = []
    # Connections say the same again and again: some of their messages have the same fields.
    shared = draw(fields)
    for i in range(draw(st.integers(1, 5))):
        stream = 2 * i + 1
        extra = draw(st.just(shared) | fields)
        seen = [(n, text(v)) for n, v in extra]
        framing, framing_seen, wire, body, trailers = draw(framed())
        if server:
            path = f"/{i}"
            start = b"\r\n" * draw(st.integers(0, 1)) + b"POST %b HTTP/1.1\r\n" % path.encode()
            head = start + lines(draw, extra) + b"host: a\r\n" + framing + b"\r\n"
            event = ("head", stream, 0, "POST", path, [*FIELDS, *seen, *framing_seen])
        else:
            head = b"HTTP/1.1 200 OK\r\n" + lines(draw, extra) + framing + b"\r\n"
            event = ("head", stream, 200, "", "", [*seen, *framing_seen])
        messages.append(Message(head + wire, [event, *contents(stream, body, trailers)]))
    data = b"".join(m.wire for m in messages)
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=30).map(sorted))
    return messages, data, cuts


def feed_cut(conn: Recorder, data: bytes, cuts: list[int]) -> None:
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        conn.data_received(data[start:end])


@given(conversations(True))
@settings(max_examples=150, deadline=None)
def test_requests_however_they_are_cut(case: tuple[list[Message], bytes, list[int]]) -> None:
    messages, data, cuts = case
    conn = answering()
    feed_cut(conn, data, cuts)
    assert conn.of("head", "data", "tail") == [e for m in messages for e in m.events]
    answers = responses(conn.take())
    assert [a.body.partition(b"/")[2][:1] for a in answers] == [
        b"%d" % i for i in range(len(messages))
    ]
    whole = answering()
    whole.data_received(data)
    assert merged(whole.events) == merged(conn.events)


@given(conversations(False))
@settings(max_examples=150, deadline=None)
def test_responses_however_they_are_cut(case: tuple[list[Message], bytes, list[int]]) -> None:
    messages, data, cuts = case

    def client() -> Recorder:
        conn = h1_client()
        for i in range(len(messages)):
            conn.write_head(2 * i + 1, 0, "GET", "/", FIELDS, True)
        return conn

    conn = client()
    feed_cut(conn, data, cuts)
    assert conn.of("head", "data", "tail") == [e for m in messages for e in m.events]
    assert conn.open_streams == []
    whole = client()
    whole.data_received(data)
    assert merged(whole.events) == merged(conn.events)


@given(
    st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20).map(sorted), st.booleans()
)
@settings(max_examples=300, deadline=None)
def test_junk_however_it_is_cut(data: bytes, cuts: list[int], server: bool) -> None:
    """Whatever comes, it is an error or it is not, and no other exception comes out."""
    outcomes = []
    for places in ([], [c for c in cuts if c <= len(data)]):
        conn = answering() if server else h1_client()
        if not server:
            conn.write_head(1, 0, "GET", "/", FIELDS, True)
        error = 0
        try:
            feed_cut(conn, data, places)
        except raw.ProtocolError as e:
            error = e.code
        outcomes.append((error, merged(conn.events)))
    assert outcomes[0] == outcomes[1]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_request_with_a_changed_octet_however_it_is_cut(data: st.DataObject) -> None:
    wire = bytearray(
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
        b"5;a=b\r\nhello\r\n0\r\nT: z\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] = data.draw(st.integers(0, 255) | st.sampled_from(list(b"\r\n :;\t0,")))
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=10).map(sorted))
    outcomes = []
    for places in ([], cuts, list(range(1, len(wire)))):
        conn = answering()
        error = 0
        try:
            feed_cut(conn, bytes(wire), places)
        except raw.ProtocolError as e:
            error = e.code
        outcomes.append((error, merged(conn.events), conn.take()))
    assert outcomes[0] == outcomes[1] == outcomes[2]
