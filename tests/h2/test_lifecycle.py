"""An HTTP/2 connection from outside: its ends, wrong use, re-entrant events, what `on_frame` shows.

Knows what API.md promises of `cno.raw.Connection`, beyond what an RFC demands.
"""

import gc
import weakref

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import (
    IDLE,
    OPEN,
    State,
    client_closed_peer_last,
    client_closed_we_last,
    client_half_closed_local,
    client_half_closed_local_answered,
    client_open,
    client_open_answered,
    client_reset_by_us,
    server_closed_we_last,
    server_half_closed_local,
    server_half_closed_remote,
    server_open,
    server_open_answering,
    server_pushed,
    server_reset_by_peer,
    server_reset_by_us,
)
from tests.support import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    LOCAL,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_ID,
    NO_ERROR,
    NO_RFC7540_PRIORITIES,
    PADDED,
    PING,
    POST,
    PREFACE,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RST_STREAM,
    Frame,
    FrameRecorder,
    Pair,
    Recorder,
    client,
    expect_alive,
    feed,
    frame,
    parse_frames,
    request,
    server,
    u32,
)

# -- the end of input ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", IDLE.values(), ids=IDLE)
def test_the_end_of_input_with_nothing_open(make: State) -> None:
    conn, _ = make()
    conn.connection_lost()
    assert conn.events == []
    assert conn.take() == b""


@pytest.mark.parametrize(
    "make", [server_half_closed_remote, server_half_closed_local, server_pushed]
)
def test_the_end_of_input_ends_streams(make: State) -> None:
    conn, _ = make()
    streams = list(conn.open_streams)
    cut_short = make is server_half_closed_local
    if cut_short:
        with pytest.raises(raw.ProtocolError):
            conn.connection_lost()
    else:
        conn.connection_lost()
    assert sorted(conn.events) == [("end", s, CANCEL, LOCAL) for s in sorted(streams)]


@each_row(
    "make",
    [
        server_open,
        server_open_answering,
        client_open,
        client_open_answered,
        client_half_closed_local,
        client_half_closed_local_answered,
    ],
)
def test_the_end_of_input_cuts_a_message_short(make: State) -> None:
    conn, _ = make()
    with pytest.raises(raw.ProtocolError) as caught:
        conn.connection_lost()
    assert caught.value.errno == raw.CNO_ERRNO_PROTOCOL
    assert conn.events == [("end", 1, CANCEL, LOCAL)]


def test_the_end_of_input_inside_a_field_block() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, REQUEST, end_stream=True)[:-1])
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    assert conn.events == []


@pytest.mark.parametrize(
    "make", [client_closed_peer_last, client_closed_we_last, client_reset_by_us]
)
def test_the_end_of_input_after_complete_responses(make: State) -> None:
    conn, _ = make()
    conn.connection_lost()
    assert conn.events == []


def test_after_the_end_of_input_nothing_is_read_or_written() -> None:
    conn, peer = server_half_closed_remote()
    conn.connection_lost()
    conn.events.clear()
    conn.data_received(peer.ping())
    assert conn.events == []
    with pytest.raises(raw.DisconnectError):
        conn.write_ping(bytes(8))
    assert conn.take() == b""


# -- our own ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPEN.values(), ids=OPEN)
def test_write_reset_of_the_connection(make: State) -> None:
    conn, peer = make()
    conn.write_reset(0, INTERNAL_ERROR)
    (goaway,) = conn.frames()
    assert (goaway.type, goaway.code) == (GOAWAY, INTERNAL_ERROR)
    assert goaway.last == (1 if conn.server_side else 0)
    assert conn.events[:2] == [("end", 1, INTERNAL_ERROR, LOCAL), ("close",)]
    before = list(conn.events)
    conn.data_received(peer.ping())
    assert conn.events == before
    with pytest.raises(raw.DisconnectError):
        conn.write_head(1, 200, "", "", [], True)
    assert conn.take() == b""


def test_write_reset_of_the_connection_without_an_error_is_a_shutdown() -> None:
    conn, _ = server_open()
    conn.write_reset(0, NO_ERROR)
    goaway = conn.frames()[0]
    assert (goaway.type, goaway.last, goaway.code) == (GOAWAY, MAX_ID, NO_ERROR)
    assert conn.events == []


@pytest.mark.parametrize("make", [server_closed_we_last, server_reset_by_us, server_reset_by_peer])
def test_writes_to_a_stream_that_is_gone(make: State) -> None:
    conn, _ = make()
    for write in (
        lambda: conn.write_head(1, 200, "", "", [], True),
        lambda: conn.write_data(1, b"x", True),
        lambda: conn.write_tail(1, [("x", "y")]),
    ):
        with pytest.raises(raw.InvalidStreamError) as caught:
            write()
        assert caught.value.errno == raw.CNO_ERRNO_INVALID_STREAM
    assert conn.take() == b""


def test_wrong_use_leaves_the_connection_working() -> None:
    conn, _ = server_half_closed_remote()
    with pytest.raises(raw.ConnectionError):
        conn.write_data(1, b"body before head", False)
    with pytest.raises(raw.ConnectionError):
        conn.write_tail(1, [])
    with pytest.raises(raw.ConnectionError):
        conn.write_frame(DATA, 0, 1, b"core frame")
    assert conn.take() == b""
    conn.write_head(1, 200, "", "", [], False)
    with pytest.raises(raw.ConnectionError):
        conn.write_head(1, 200, "", "", [], False)
    conn.take()
    expect_alive(conn)


def test_errors_are_the_builtin_connection_error() -> None:
    conn, _ = server()
    with pytest.raises(ConnectionError) as caught:
        conn.write_head(1, 200, "", "", [], True)
    assert isinstance(caught.value, raw.ConnectionError)
    assert caught.value.errno == raw.CNO_ERRNO_INVALID_STREAM
    assert caught.value.strerror and "1" in caught.value.strerror


# -- events ----------------------------------------------------------------------------------------


class Answering(Recorder):
    """Answers each request from inside its events."""

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.write_head(stream, 200, "", "", [], False)
        self.write_data(stream, path.encode(), True)


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_answers_from_inside_the_events(size: int) -> None:
    conn, peer = server(recorder=Answering)
    data = b"".join(
        peer.headers(s, [*REQUEST[:3], (":path", f"/{s}")], end_stream=True)
        for s in range(1, 401, 2)
    )
    for at in range(0, len(data), size):
        conn.data_received(data[at : at + size])
    assert [f.payload for f in conn.frames() if f.type == DATA] == [
        b"/%d" % s for s in range(1, 401, 2)
    ]
    assert conn.open_streams == []
    assert [e[:3] for e in conn.of("end")] == [("end", s, NO_ERROR) for s in range(1, 401, 2)]


class Resetting(Recorder):
    """Resets each stream from inside an event of the given kind."""

    during = ""

    def on_stream_start(self, stream: int) -> None:
        super().on_stream_start(stream)
        self.maybe("start", stream)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.maybe("head", stream)

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.maybe("data", stream)

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        super().on_message_tail(stream, trailers)
        self.maybe("tail", stream)

    def maybe(self, kind: str, stream: int) -> None:
        if kind == self.during:
            self.write_reset(stream, CANCEL)


@each_row("during", ["start", "head", "data", "tail"])
@each_row("size", [1, 1 << 20])
def test_a_stream_reset_from_inside_its_events(during: str, size: int) -> None:
    conn, peer = server(recorder=Resetting)
    assert isinstance(conn, Resetting)
    conn.during = during
    data = peer.headers(1, POST) + peer.data(1, b"body")
    data += peer.headers(1, [("x", "y")], end_stream=True)
    for at in range(0, len(data), size):
        conn.data_received(data[at : at + size])
    assert conn.of("end") == [("end", 1, CANCEL, LOCAL)]
    fired = ["start", "head", "data", "tail"]
    assert [e[0] for e in conn.seen()] == [*fired[: fired.index(during) + 1], "end"]
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(CANCEL))]
    conn.during = ""
    expect_alive(conn)


class Closing(Resetting):
    """Ends the whole connection from inside an event of the given kind."""

    def on_settings(self) -> None:
        super().on_settings()
        self.maybe("settings", 0)

    def on_pong(self, data: bytes) -> None:
        super().on_pong(data)
        self.maybe("pong", 0)

    def on_frame(self, frame: object) -> None:
        self.events.append(("frame",))
        self.maybe("frame", 0)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        super().on_stream_end(stream, code, side)
        self.maybe("end", stream)

    def maybe(self, kind: str, stream: int) -> None:
        if kind == self.during and ("close",) not in self.events:
            self.during = ""
            self.write_reset(0, CANCEL)


@each_row("during", ["frame", "settings", "pong", "start", "head", "data", "tail", "end"])
@each_row("size", [1, 1 << 20])
def test_a_connection_closed_from_inside_its_events(during: str, size: int) -> None:
    conn, peer = server(recorder=Closing)
    assert isinstance(conn, Closing)
    conn.during = during
    data = peer.settings() + peer.ping(ack=True) + peer.headers(1, POST) + peer.data(1, b"body")
    data += peer.headers(1, [("x", "y")], end_stream=True) + peer.rst(1) + peer.ping()
    for at in range(0, len(data), size):
        conn.data_received(data[at : at + size])
    close = conn.events.index(("close",))
    assert all(e == ("close()",) for e in conn.events[close + 1 :]), conn.events
    assert conn.open_streams == []
    frames = conn.frames()
    assert (frames[-1].type, frames[-1].code) == (GOAWAY, CANCEL)
    assert sum(f.type == GOAWAY for f in frames) == 1


def test_the_end_of_input_after_a_fatal_error() -> None:
    conn, _ = server_open()
    feed(conn, frame(PING, 0, 0, b"short"))
    assert conn.error is not None
    before = list(conn.events)
    conn.connection_lost()
    assert conn.events == before


def test_the_end_of_input_before_the_start() -> None:
    conn = Recorder(False)
    conn.connection_lost()
    assert conn.events == []
    assert conn.take() == b""


class Boom(Exception):
    pass


class Raising(Recorder):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        if path == "/boom":
            raise Boom


def test_an_exception_of_an_event_comes_out_of_the_call_that_fired_it() -> None:
    conn, peer = server(recorder=Raising)
    boom = peer.headers(1, [*REQUEST[:3], (":path", "/boom"), ("x-new", "entry")], end_stream=True)
    with pytest.raises(Boom):
        conn.data_received(boom)
    conn.data_received(b"")
    conn.data_received(peer.headers(3, [*REQUEST, ("x-new", "entry")], end_stream=True))
    assert conn.of("head")[-1] == (
        "head", 3, 0, "GET", "/", [*REQUEST_HEADERS, ("x-new", "entry")],
    )  # fmt: skip


def test_a_header_block_is_one_call_of_on_writev() -> None:
    class Writes(Recorder):
        def on_writev(self, chunks: list[bytes]) -> None:
            parse_frames(b"".join(chunks))
            self.events.append(("writev", len(b"".join(chunks))))
            super().on_writev(chunks)

    conn, _ = client(recorder=Writes)
    large = [(f"x-{i}", "~" * 3000) for i in range(10)]
    conn.write_head(1, 0, "GET", "/", [*REQUEST_HEADERS, *large], True)
    assert len(conn.of("writev")) == 1
    assert [f.type for f in conn.frames()][:2] == [HEADERS, CONTINUATION]


def test_frames_are_shown_both_ways() -> None:
    conn, peer = server(recorder=FrameRecorder)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True, pad=3) + peer.ping(b"12345678"))
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"body", True)
    got = [(e[1].type, e[1].flags, e[1].stream) for e in conn.of("frame")]
    assert got == [(HEADERS, END_STREAM | END_HEADERS | PADDED, 1), (PING, 0, 0)]
    sent = [e[1] for e in conn.of("frame_send")]
    assert [(f.type, f.flags, f.stream) for f in sent] == [
        (PING, ACK, 0),
        (HEADERS, END_HEADERS, 1),
        (DATA, END_STREAM, 1),
    ]
    assert sent[2].payload == b"body"


def test_extension_frames_of_ours() -> None:
    conn, _ = client()
    conn.write_frame(0x42, 0x81, 7, b"payload")
    assert conn.frames() == [Frame(0x42, 0x81, 7, b"payload")]


# -- settings --------------------------------------------------------------------------------------


def test_configure_before_the_start_is_announced() -> None:
    conn = Recorder(True)
    conn.configure(
        header_table_size=1024,
        max_concurrent_streams=5,
        initial_window_size=70_000,
        max_frame_size=20_000,
        max_header_list_size=9_000,
        enable_connect_protocol=True,
    )
    conn.connection_made(True)
    conn.data_received(PREFACE)
    settings = dict(conn.frames()[0].settings)
    settings.pop(ENABLE_PUSH, None)
    assert settings == {
        HEADER_TABLE_SIZE: 1024,
        MAX_CONCURRENT_STREAMS: 5,
        INITIAL_WINDOW_SIZE: 70_000,
        MAX_FRAME_SIZE: 20_000,
        MAX_HEADER_LIST_SIZE: 9_000,
        ENABLE_CONNECT_PROTOCOL: 1,
        NO_RFC7540_PRIORITIES: 1,
    }
    assert conn.local_settings.initial_window_size == 70_000
    assert conn.remote_settings.initial_window_size == 65_535


@each_row(
    "bad",
    [
        {"initial_window_size": 1 << 31},
        {"initial_window_size": -1},
        {"max_frame_size": 16_383},
        {"max_frame_size": 1 << 24},
        {"max_concurrent_streams": -1},
        {"header_table_size": 1 << 32},
    ],
    ids=str,
)
def test_configure_refuses_what_must_not_be_announced(bad: dict[str, int]) -> None:
    for conn in (Recorder(True), server()[0]):
        with pytest.raises(raw.UsageError):
            conn.configure(**bad)
        assert conn.take() == b""


# -- memory ----------------------------------------------------------------------------------------


def test_a_connection_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        for make in (server_open_answering, client_open_answered, server_pushed):
            conn, _ = make()
            gone = weakref.ref(conn)
            del conn
            assert gone() is None, "a cycle keeps it"
    finally:
        gc.enable()


# -- cno to cno ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_a_pair(chunk: int) -> None:
    pair = Pair().start()
    stream = request(pair.client, "POST", final=False)
    pair.client.write_data(stream, b"question", True)
    pair.pump(chunk)
    assert pair.server.seen() == [
        ("start", 1),
        ("head", 1, 0, "POST", "/", REQUEST_HEADERS),
        ("data", 1, b"question"),
        ("tail", 1, None),
    ]
    pair.server.write_push(1, "GET", "/more", list(REQUEST_HEADERS))
    pair.server.write_head(1, 200, "", "", [("cookie", "a=b")], False)
    pair.server.write_data(1, b"answer", False)
    pair.server.write_tail(1, [("x-sum", "6")])
    pair.pump(chunk)
    assert pair.client.seen() == [
        ("start", 1),
        ("start", 2),
        ("push", 2, 1, "GET", "/more", REQUEST_HEADERS),
        ("head", 1, 200, "", "", [("cookie", "a=b")]),
        ("data", 1, b"answer"),
        ("tail", 1, [("x-sum", "6")]),
        ("end", 1, NO_ERROR, REMOTE),
    ]
    pair.client.shutdown()
    pair.server.shutdown()
    pair.server.write_head(2, 204, "", "", [], True)
    pair.pump(chunk)
    assert pair.client.events[-1] == ("close",)
    assert pair.server.events[-1] == ("close",)
