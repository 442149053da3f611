"""What a trace reports of the bytes of a connection: of scripted peers, and between real ones."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cno
from cno.trace import Record, Trace, Traced, as_json, without_secrets
from tests import frames as f

HOST = "127.0.0.1"


def traced(data: bytes, *, server: bool = False, cuts: tuple[int, ...] = ()) -> list[Record]:
    """Return the records of what a peer sends, cut at these places."""
    records: list[Record] = []
    connection = Trace(records.append, clock=lambda: 0.0).open(server, True)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(places):
        connection.received(data[start:end])
    return records


def conversation() -> bytes:
    """Return frames of all types, as a server sends them."""
    pen = f.FrameFactory()
    return b"".join(
        (
            pen.settings({3: 7, 4: 100_000, 0x4242: 1}),
            pen.settings(ack=True),
            pen.headers(1, f.RESPONSE),
            pen.data(1, b"x" * 1_000, pad=3),
            pen.window_update(0, 5),
            pen.push_promise(1, 2, f.REQUEST),
            pen.headers_frame(2, pen.block(f.RESPONSE)[:1], end_headers=False),
            pen.continuation(2, b""),
            pen.priority_update(1, "u=1, i"),
            pen.priority(3, 1),
            pen.ping(b"12345678"),
            pen.rst(2, 8),
            f.frame(0x2A, 0xFF, 9, b"??"),
            pen.data(1, b"", end_stream=True),
            pen.goaway(1, 2, b"bye\x1b"),
        )
    )


def test_every_type_of_frame() -> None:
    records = traced(conversation())
    assert [record.type for record in records] == [
        *("SETTINGS", "SETTINGS", "HEADERS", "DATA", "WINDOW_UPDATE", "PUSH_PROMISE", "HEADERS"),
        *("CONTINUATION", "PRIORITY_UPDATE", "PRIORITY", "PING", "RST_STREAM", "0x2a", "DATA"),
        "GOAWAY",
    ]
    first, ack, head, data, update, push, begun, rest, *others = records
    priority, old, ping, reset, odd, last, end = others
    assert first.values == {
        "MAX_CONCURRENT_STREAMS": 7,
        "INITIAL_WINDOW_SIZE": 100_000,
        "0x4242": 1,
    }
    assert ack.flags == ("ACK",) and not ack.values
    assert head.fields == f.RESPONSE and head.flags == ("END_HEADERS",)
    assert (data.length, data.values, data.flags) == (1_004, {"padding": 3}, ("PADDED",))
    assert (data.stream_window, data.connection_window) == (64_531, 64_531)
    assert update.values == {"increment": 5}
    assert push.values == {"promised_stream": 2} and push.fields == f.REQUEST
    assert begun.fields is None and begun.flags == ()
    assert rest.fields == f.RESPONSE
    assert priority.values == {"prioritized_stream": 1, "priority": "u=1, i"}
    assert old.values == {"depends_on": 1, "weight": 16, "exclusive": 0}
    assert ping.values == {"data": b"12345678".hex()}
    assert reset.values == {"code": "CANCEL"}
    assert (odd.flags, odd.length, odd.octets) == ((), 2, f.frame(0x2A, 0xFF, 9, b"??"))
    assert last.flags == ("END_STREAM",)
    assert end.values == {"last_stream": 1, "code": "INTERNAL_ERROR", "debug": "bye\x1b"}
    assert not any(record.sent or record.problem for record in records)


@given(st.lists(st.integers(1, 1_200), max_size=6))
def test_cuts_make_no_difference(cuts: list[int]) -> None:
    data = conversation()
    assert traced(data, cuts=tuple(cuts)) == traced(data)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_traced(data: bytes) -> None:
    errors: list[Exception] = []
    for server in (False, True):
        trace = Trace(lambda record: json.loads(as_json(record)) and None, on_error=errors.append)
        connection = trace.open(server, True)
        connection.received(data)
        connection.sent(conversation() + data)
    assert errors == []


def test_windows_follow_settings_and_updates() -> None:
    records: list[Record] = []
    connection = Trace(records.append).open(server=False, http2=True)
    pen, peer = f.FrameFactory(), f.FrameFactory()
    connection.sent(f.PREFACE + pen.settings() + pen.headers(1, f.POST))
    connection.received(peer.settings({4: 10}))
    connection.sent(pen.data(1, b"x" * 8))
    assert records[-1].stream_window == 2 and records[-1].connection_window == 65_527
    connection.received(peer.window_update(1, 100))
    assert records[-1].stream_window == 102
    connection.received(peer.rst(1))
    connection.received(peer.window_update(1, 100))
    assert records[-1].stream_window is None


@pytest.mark.parametrize("block", [b"\x80", b"\xff" * 20, b"\x00"])
def test_a_block_that_cannot_be_decoded(block: bytes) -> None:
    pen = f.FrameFactory()
    records = traced(pen.headers_frame(1, block) + pen.headers(3, f.RESPONSE))
    assert "cannot be decoded" in records[0].problem
    assert records[1].problem and records[1].fields is None


def test_large_frames_take_little_memory() -> None:
    header = (0xFF_FFFF).to_bytes(3, "big") + bytes((f.HEADERS, f.END_HEADERS, 0, 0, 0, 1))
    records = traced(header + bytes(0xFF_FFFF))
    assert records[0].length == 0xFF_FFFF and len(records[0].octets) < 100
    assert "too large" in records[0].problem


def test_the_trace_ends_where_its_listener_fails() -> None:
    def fail(record: Record) -> None:
        raise ValueError(record.type)

    errors: list[Exception] = []
    connection = Trace(fail, on_error=errors.append).open(False, True)
    connection.received(conversation())
    connection.received(conversation())
    assert [str(error) for error in errors] == ["SETTINGS"]


def test_heads_of_http1() -> None:
    records: list[Record] = []
    connection = Trace(records.append).open(server=True)
    connection.received(b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: c=d\r\n\r\nbody")
    connection.sent(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert [(r.type, r.sent, r.length) for r in records] == [
        *(("HEAD", False, 41), ("DATA", False, 4)),
        *(("HEAD", True, 38), ("DATA", True, 2)),
    ]
    assert records[0].fields == [("host", "h"), ("cookie", "c=d")]
    assert records[0].values == {"line": "GET /a HTTP/1.1"}
    assert without_secrets(records[0]).fields == [("host", "h"), ("cookie", "...")]


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_heads_of_http1_that_break_lines(step: int) -> None:
    """They may come in pieces, of which the last one has the fields."""
    records: list[Record] = []
    connection = Trace(records.append).open(server=False)
    head = b"HTTP/1.1 200 OK\r\nX: a\n\tb\r\n c \r\nY: z\n\r\n"
    connection.sent(b"GET / HTTP/1.1\r\n\r\n")
    connection.received(head[:12])  # a head is known by its beginning
    for at in range(12, len(head), step):
        connection.received(head[at : at + step])
    connection.received(b"body")
    received = [record for record in records if not record.sent]
    (found,) = [record for record in received if record.type == "HEAD"]
    assert found.fields == [("x", "a b c"), ("y", "z")]
    assert found.values == {"line": "HTTP/1.1 200 OK", "bare_lf": 2, "obs_fold": 2}
    assert sum(record.length for record in received) == len(head) + 4
    assert received[-1].length == 4


def test_a_head_of_http1_without_an_end() -> None:
    records: list[Record] = []
    connection = Trace(records.append).open(server=False)
    connection.sent(b"GET / HTTP/1.1\r\n\r\n")
    connection.received(b"HTTP/1.1 200 OK\r\n")
    for _ in range(20):
        connection.received(b"x: " + b"y" * 4_000 + b"\r\n")
    connection.received(b"\r\n")
    assert "HEAD" not in [record.type for record in records if not record.sent]


class TracedClient(Traced, cno.Client):
    pass


class TracedServer(Traced, cno.Server):
    traced_as_server = True


async def echo(request: cno.Request) -> None:
    await request.respond(200, [("x-path", request.path)], await request.payload.read())


async def exchanges(ours: Trace, theirs: Trace, force_http2: bool) -> None:
    """Send requests between a client and a server, both traced."""
    loop = asyncio.get_running_loop()

    def serve() -> TracedServer:
        server = TracedServer(loop, echo)
        server.trace = theirs
        return server

    listener = await loop.create_server(serve, HOST, 0)
    port = listener.sockets[0].getsockname()[1]
    client = TracedClient(loop, f"{HOST}:{port}", "http", force_http2=force_http2)
    client.trace = ours
    await loop.create_connection(lambda: client, HOST, port)
    async with client:
        for size in (0, 10, 300_000):
            response = await client.request("POST", f"/{size}", [], b"x" * size)
            assert len(await response.payload.read()) == size
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize("force_http2", [False, True])
def test_both_ends_of_a_connection(force_http2: bool) -> None:
    """Both ends report the same frames, in the same order in each direction."""
    client: list[Record] = []
    server: list[Record] = []
    asyncio.run(exchanges(Trace(client.append), Trace(server.append), force_http2))
    assert sum(("x-path", "/300000") in (r.fields or []) for r in client) == 1
    if not force_http2:
        assert sum(r.length for r in client if r.type == "DATA" and r.sent) == 300_010
        return
    for sent in (True, False):
        ours = [(r.type, r.stream, r.flags, r.fields, r.values) for r in client if r.sent == sent]
        theirs = [(r.type, r.stream, r.flags, r.fields, r.values) for r in server if r.sent != sent]
        assert ours[: len(theirs)] == theirs[: len(ours)]
        assert len(ours) > 8
    for record in (*client, *server):
        assert not record.problem
        assert (record.connection_window or 0) >= 0 and (record.stream_window or 0) >= 0


def test_lines_of_json() -> None:
    lines = [json.loads(as_json(record)) for record in traced(conversation())]
    assert lines[2] == {
        "time": 0.0,
        "connection": 1,
        "direction": "received",
        "protocol": "HTTP/2",
        "stream": 1,
        "type": "HEADERS",
        "flags": ["END_HEADERS"],
        "length": 1,
        "fields": [[":status", "200"]],
    }
    assert all(as_json(record).isprintable() for record in traced(conversation()))
