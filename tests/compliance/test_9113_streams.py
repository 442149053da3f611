"""RFC 9113 section 5: states and identifiers of streams. Rows S1 to S16.

Each test's name begins with its row of the checklist. S12 to S14 are in test_9113_counts.py; the
whole table of (state, frame) is in tests/h2/test_state_machine.py.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import (
    CLOSED,
    HALF_CLOSED_REMOTE,
    IDLE,
    OPEN,
    RESET_BY_PEER,
    RESET_BY_US,
    State,
    client_half_closed_local,
    client_half_closed_remote,
    client_pushed,
    client_reserved,
    server_half_closed_local,
    server_open,
    server_pushed,
    server_reserved,
    server_reset_by_us,
)
from tests.support import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    INTERNAL_ERROR,
    LOCAL,
    MAX_ID,
    NO_ERROR,
    PADDED,
    PING,
    POST,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    Headers,
    Input,
    Make,
    Recorder,
    client,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    expect_stream_error,
    frame,
    merged,
    request,
    server,
    u32,
)

BOTH_OPEN = each_row("make", OPEN.values(), ids=OPEN)
BOTH_IDLE = each_row("make", IDLE.values(), ids=IDLE)
ALL_HALF_CLOSED = each_row("make", HALF_CLOSED_REMOTE.values(), ids=HALF_CLOSED_REMOTE)
ALL_CLOSED = each_row("make", CLOSED.values(), ids=CLOSED)
BOTH_RESET_BY_US = each_row("make", RESET_BY_US.values(), ids=RESET_BY_US)
BOTH_RESET_BY_PEER = each_row("make", RESET_BY_PEER.values(), ids=RESET_BY_PEER)


def the_stream(make: State) -> int:
    """The stream that the state is about."""
    return 2 if make in (server_pushed, client_pushed, server_reserved, client_reserved) else 1


def late_headers(stream: int) -> Input:
    """A field block, with entries new to the dynamic table, as HEADERS with END_STREAM."""

    def write(f: FrameFactory) -> bytes:
        return f.headers(stream, [("x-late", "field"), ("x-later", "field")], end_stream=True)

    return write


# -- S1, S2: idle ----------------------------------------------------------------------------------


@BOTH_IDLE
@each_row("stream", [1, 2, 7, MAX_ID])
@each_row(
    "type", [DATA, RST_STREAM, WINDOW_UPDATE, CONTINUATION], ids=["data", "rst", "wu", "cont"]
)
def test_S1_idle_takes_nothing_but_headers_and_priority(make: Make, stream: int, type: int) -> None:
    expect_connection_error(make, frame(type, 0, stream, u32(1)), PROTOCOL_ERROR, last=0)


@BOTH_IDLE
def test_S1_idle_data_with_end_stream(make: Make) -> None:
    expect_connection_error(make, lambda f: f.data(1, b"", True), PROTOCOL_ERROR)


@pytest.mark.parametrize("stream", [1, 3])
def test_S1_client_idle_headers(stream: int) -> None:
    expect_connection_error(client, lambda f: f.headers(stream, RESPONSE), PROTOCOL_ERROR)


@BOTH_OPEN
@each_row("type", [DATA, RST_STREAM, WINDOW_UPDATE])
def test_S1_idle_beside_an_open_stream(make: Make, type: int) -> None:
    conn = expect_connection_error(make, frame(type, 0, 3, u32(1)), PROTOCOL_ERROR)
    assert conn.of("end") == [("end", 1, PROTOCOL_ERROR, LOCAL)]


@BOTH_IDLE
@each_row("stream", [1, 2, 999, MAX_ID])
def test_S2_priority_on_an_idle_stream(make: Make, stream: int) -> None:
    expect_nothing(make, lambda f: f.priority(stream, 0, 255))


def test_S2_priority_changes_no_state() -> None:
    conn = each_way(server, lambda f: f.priority(9, 1) + f.priority(1, 9) + f.headers(1, REQUEST))
    assert conn.of("start", "head") == [
        ("start", 1),
        ("head", 1, 0, "GET", "/", REQUEST_HEADERS),
    ]


# -- S3 to S5: half-closed (remote) ----------------------------------------------------------------


@ALL_HALF_CLOSED
@each_row("end", [False, True])
def test_S3_half_closed_remote_data(make: State, end: bool) -> None:
    stream = the_stream(make)
    conn = expect_stream_error(make, lambda f: f.data(stream, b"late", end), stream, STREAM_CLOSED)
    assert conn.of("data", "tail") == []


@ALL_HALF_CLOSED
def test_S4_half_closed_remote_headers(make: State) -> None:
    stream = the_stream(make)
    conn = expect_stream_error(make, late_headers(stream), stream, STREAM_CLOSED)
    assert conn.of("head", "tail") == []


@ALL_HALF_CLOSED
def test_S4_half_closed_remote_headers_without_end(make: State) -> None:
    stream = the_stream(make)
    message = REQUEST if make is not client_half_closed_remote else RESPONSE
    expect_stream_error(make, lambda f: f.headers(stream, message), stream, STREAM_CLOSED)


@ALL_HALF_CLOSED
def test_S5_half_closed_remote_window_update_and_priority(make: State) -> None:
    stream = the_stream(make)
    conn = each_way(make, lambda f: f.window_update(stream, 100) + f.priority(stream, 0))
    assert conn.events == [("flow", stream)]
    assert conn.frames() == []
    expect_alive(conn)


@ALL_HALF_CLOSED
def test_S5_half_closed_remote_rst_stream(make: State) -> None:
    stream = the_stream(make)
    conn = each_way(make, lambda f: f.rst(stream, REFUSED_STREAM))
    assert conn.events == [("end", stream, REFUSED_STREAM, REMOTE)]
    assert conn.frames() == []
    expect_alive(conn)


# -- S6, S7: closed --------------------------------------------------------------------------------


@ALL_CLOSED
@each_row("end", [False, True])
def test_S6_closed_data(make: State, end: bool) -> None:
    conn = expect_stream_error(make, lambda f: f.data(1, b"late", end), 1, STREAM_CLOSED)
    assert conn.events == []


@ALL_CLOSED
def test_S6_closed_headers(make: State) -> None:
    expect_connection_error(make, late_headers(1), STREAM_CLOSED)


@ALL_CLOSED
@each_row("message", [REQUEST, RESPONSE], ids=["request", "response"])
def test_S6_closed_another_message(make: State, message: Headers) -> None:
    expect_connection_error(make, lambda f: f.headers(1, message), STREAM_CLOSED)


@ALL_CLOSED
def test_S7_closed_late_control_frames(make: State) -> None:
    conn = expect_nothing(
        make,
        lambda f: (
            f.window_update(1, 10)
            + f.priority(1, 3)
            + f.rst(1, CANCEL)
            + f.window_update(1, 10)
            + f.rst(1, NO_ERROR)
        ),
    )
    assert conn.events == []


def test_S7_response_done_first_then_window_update_then_the_rest() -> None:
    def late(f: FrameFactory) -> bytes:
        return f.window_update(1, 99) + f.data(1, b"rest", True) + f.window_update(1, 99)

    conn = each_way(server_half_closed_local, late)
    assert conn.of("data", "tail", "end", "close") == [
        ("data", 1, b"rest"),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]
    assert conn.frames() == []


# -- S8, S9: reset ---------------------------------------------------------------------------------


def test_S8_reset_is_written_and_told() -> None:
    conn, _ = server_open()
    conn.write_reset(1, INTERNAL_ERROR)
    assert conn.events == [("end", 1, INTERNAL_ERROR, LOCAL)]
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(INTERNAL_ERROR))]


@BOTH_RESET_BY_US
def test_S8_after_our_reset_all_is_ignored(make: State) -> None:
    message = REQUEST if make is server_reset_by_us else RESPONSE
    expect_nothing(
        make,
        lambda f: (
            f.headers(1, [*message, ("x-new", "entry")])
            + f.data(1, b"body")
            + f.window_update(1, 100)
            + f.priority(1, 3)
            + f.headers(1, [("x-trailer", "entry")], end_stream=True)
            + f.data(1, b"more", True)
            + f.rst(1, STREAM_CLOSED)
        ),
    )


@BOTH_RESET_BY_US
@each_row("stream_frame", ["data", "headers", "window_update", "rst", "priority"])
def test_S8_after_our_reset_each_is_ignored(make: State, stream_frame: str) -> None:
    def late(f: FrameFactory) -> bytes:
        return {
            "data": f.data(1, b"x"),
            "headers": f.headers(1, [("x-trailer", "entry")], end_stream=True),
            "window_update": f.window_update(1, 1),
            "rst": f.rst(1),
            "priority": f.priority(1),
        }[stream_frame]

    conn, peer = make()
    given = late(peer) if stream_frame == "headers" else late(FrameFactory())
    expect_nothing(conn, given)


def test_S8_also_after_a_reset_for_a_fault() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, [*POST, ("Bad", "name")]))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(PROTOCOL_ERROR))]
    expect_nothing(conn, peer.data(1, b"body") + peer.window_update(1, 5) + peer.data(1, b"", True))


def test_S8_any_number_of_streams() -> None:
    conn, peer = server()
    ids = range(1, 401, 2)
    for stream in ids:
        conn.data_received(peer.headers(stream, POST))
        conn.write_reset(stream, CANCEL)
    assert [f.type for f in conn.frames()] == [RST_STREAM] * len(ids)
    late = b"".join(
        peer.data(stream, b"late") + peer.rst(stream) + peer.window_update(stream, 1)
        for stream in ids[-128:]
    )
    expect_nothing(conn, late)


def test_S8_ignored_data_counts_for_the_connection_window_and_is_credited() -> None:
    conn, peer = server_reset_by_us()
    conn.data_received(peer.data(1, b"x" * 16_384) * 3)
    updates = conn.frames()
    assert updates and all((f.type, f.stream) == (WINDOW_UPDATE, 0) for f in updates)
    assert 32_768 <= sum(f.increment for f in updates) <= 3 * 16_384


@BOTH_RESET_BY_PEER
@pytest.mark.parametrize("end", [False, True])
def test_S9_after_the_reset_of_the_peer_data(make: State, end: bool) -> None:
    conn = expect_stream_error(make, lambda f: f.data(1, b"late", end), 1, STREAM_CLOSED)
    assert conn.events == []


@BOTH_RESET_BY_PEER
def test_S9_after_the_reset_of_the_peer_headers(make: State) -> None:
    expect_connection_error(make, late_headers(1), STREAM_CLOSED)


@BOTH_RESET_BY_PEER
def test_S9_after_the_reset_of_the_peer_control_frames(make: State) -> None:
    expect_nothing(make, lambda f: f.window_update(1, 1) + f.priority(1) + f.rst(1) + f.rst(1, 0))


def test_S9_the_reset_of_the_peer_is_told_with_its_code() -> None:
    conn = each_way(server_open, lambda f: f.rst(1, ENHANCE_YOUR_CALM))
    assert conn.events == [("end", 1, ENHANCE_YOUR_CALM, REMOTE)]
    with pytest.raises(raw.InvalidStreamError):
        conn.write_head(1, 200, "", "", [], True)
    assert conn.take() == b""


# -- S10, S11: identifiers -------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [2, 4, 0x7FFFFFFE])
def test_S10_even_id_from_a_client(stream: int) -> None:
    expect_connection_error(server, lambda f: f.headers(stream, REQUEST), PROTOCOL_ERROR, last=0)


@pytest.mark.parametrize("stream", [2, 4, 3])
def test_S10_server_opens_no_stream_by_headers(stream: int) -> None:
    expect_connection_error(
        client_half_closed_local, lambda f: f.headers(stream, RESPONSE), PROTOCOL_ERROR
    )


def test_S10_id_lower_than_the_highest_seen() -> None:
    expect_connection_error(
        server,
        lambda f: f.headers(5, REQUEST, end_stream=True) + f.headers(3, REQUEST, end_stream=True),
        PROTOCOL_ERROR,
        last=5,
    )


def test_S10_skipped_id_between_used_ones() -> None:
    conn, peer = server()
    for stream in (1, 7, 9):
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.write_head(stream, 200, "", "", [], True)
    conn.take()
    expect_connection_error(conn, peer.headers(5, REQUEST), PROTOCOL_ERROR, last=9)


def test_S10_ids_may_be_skipped() -> None:
    conn = each_way(
        server,
        lambda f: f.headers(3, REQUEST, end_stream=True) + f.headers(101, REQUEST, end_stream=True),
    )
    assert [e[1] for e in conn.of("head")] == [3, 101]


def test_S10_server_answers_on_ids_in_use_only() -> None:
    conn, _ = server()
    with pytest.raises(raw.InvalidStreamError):
        conn.write_head(1, 200, "", "", [], True)
    assert conn.take() == b""


def test_S10_client_ids_are_odd_and_grow() -> None:
    conn, _ = client()
    assert [request(conn) for _ in range(5)] == [1, 3, 5, 7, 9]
    assert [f.stream for f in conn.frames()] == [1, 3, 5, 7, 9]
    for bad in (2, 12, 7):
        with pytest.raises(raw.ConnectionError) as caught:
            conn.write_head(bad, 0, "GET", "/", list(REQUEST_HEADERS), True)
        assert caught.value.errno in (raw.CNO_ERRNO_INVALID_STREAM, raw.CNO_ERRNO_ASSERTION)
    assert conn.take() == b""


def test_S11_the_last_id_from_a_client() -> None:
    conn = each_way(server, lambda f: f.headers(MAX_ID, REQUEST, end_stream=True))
    assert conn.of("head") == [("head", MAX_ID, 0, "GET", "/", REQUEST_HEADERS)]
    conn.take()
    conn.write_head(MAX_ID, 204, "", "", [], True)
    assert [f.stream for f in conn.frames()] == [MAX_ID]


def test_S11_client_runs_out_of_ids() -> None:
    conn, _ = client()
    conn.write_head(MAX_ID, 0, "GET", "/", list(REQUEST_HEADERS), True)
    assert [f.stream for f in conn.frames()] == [MAX_ID]
    with pytest.raises(raw.ConnectionError):
        request(conn)
    assert conn.take() == b""


# -- S15, S16: which stream ------------------------------------------------------------------------

ON_ZERO: dict[str, Input] = {
    "data": frame(DATA, 0, 0, b"x"),
    "empty data": frame(DATA, END_STREAM, 0, b""),
    "headers": lambda f: f.headers(0, REQUEST),
    "priority": lambda f: f.priority(0),
    "rst_stream": lambda f: f.rst(0),
    "push_promise": lambda f: f.push_promise(0, 2, REQUEST),
    "continuation": lambda f: f.continuation(0, b""),
}
NOT_ON_ZERO: dict[str, bytes] = {
    "settings": frame(SETTINGS, 0, 1),
    "settings ack": frame(SETTINGS, ACK, 1),
    "ping": frame(PING, 0, 1, bytes(8)),
    "ping ack": frame(PING, ACK, 1, bytes(8)),
    "goaway": frame(GOAWAY, 0, 1, bytes(8)),
}


@each_row("make", [*IDLE.values(), *OPEN.values()])
@each_row("bad", ON_ZERO.values(), ids=ON_ZERO)
def test_S15_frames_that_need_a_stream(make: Make, bad: Input) -> None:
    expect_connection_error(make, bad, PROTOCOL_ERROR)


@each_row("make", [*IDLE.values(), *OPEN.values()])
@each_row("bad", NOT_ON_ZERO.values(), ids=NOT_ON_ZERO)
def test_S15_frames_of_the_connection(make: Make, bad: bytes) -> None:
    expect_connection_error(make, bad, PROTOCOL_ERROR)


def test_S16_an_error_on_one_stream_leaves_the_others() -> None:
    def make() -> Recorder:
        conn, peer = server()
        conn.data_received(b"".join(peer.headers(s, POST) for s in (1, 3, 5)))
        conn.events.clear()
        return conn

    conn = each_way(
        make,
        lambda f: (
            f.data(1, b"one")
            + f.data(3, b"three")
            + f.window_update(3, 0)
            + f.data(5, b"five", True)
            + f.data(1, b" more", True)
        ),
    )
    assert merged(conn.events) == [
        ("data", 1, b"one"),
        ("data", 3, b"three"),
        ("end", 3, PROTOCOL_ERROR, LOCAL),
        ("data", 5, b"five"),
        ("tail", 5, None),
        ("data", 1, b" more"),
        ("tail", 1, None),
    ]
    assert conn.frames() == [Frame(RST_STREAM, 0, 3, u32(PROTOCOL_ERROR))]


@BOTH_IDLE
@each_row(
    ("bad", "code"),
    [
        (frame(WINDOW_UPDATE, 0, 5, u32(0)), PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 5, bytes(4)), FRAME_SIZE_ERROR),
        (frame(DATA, PADDED, 5, b"\x00"), PROTOCOL_ERROR),
    ],
    ids=["window_update 0", "short priority", "data"],
)
def test_S16_a_stream_error_on_an_idle_stream_ends_the_connection(
    make: Make, bad: bytes, code: int
) -> None:
    expect_connection_error(make, bad, code)
