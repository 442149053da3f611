"""RFC 9113 section 6: PRIORITY, RST_STREAM, SETTINGS, PING, CONTINUATION. Rows F1 to F14,
F29 and F30. Pushes (F12), GOAWAY (F15 to F18) and flow control (F19 to F28) have their own files.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import (
    CLOSED,
    HALF_CLOSED_REMOTE,
    IDLE,
    OPEN,
    State,
    client_half_closed_local,
    client_open,
    server_open,
    server_pushed,
)
from tests.support import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    ENABLE_PUSH,
    END_HEADERS,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW,
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
    Frame,
    FrameFactory,
    Make,
    Recorder,
    client,
    client_with_request,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    expect_stream_error,
    frame,
    parse_frames,
    server,
    server_with_request,
    u32,
)

NOT_HERE = {
    "F11": "the engine reads no clock: Limits.settings_timeout is kept in tests/aio",
}

BOTH_OPEN = each_row("make", OPEN.values(), ids=OPEN)
BOTH_IDLE = each_row("make", IDLE.values(), ids=IDLE)
ALL_CLOSED = each_row("make", CLOSED.values(), ids=CLOSED)

SETTINGS_ACK = Frame(SETTINGS, ACK, 0, b"")


# -- F1 to F3: PRIORITY, RST_STREAM ----------------------------------------------------------------


@each_row("make", [*OPEN.values(), *HALF_CLOSED_REMOTE.values()])
@each_row("size", [0, 4, 6])
def test_F1_priority_of_a_wrong_length_on_an_open_stream(make: State, size: int) -> None:
    stream = 2 if make is server_pushed else 1
    expect_stream_error(make, frame(PRIORITY, 0, stream, bytes(size)), stream, FRAME_SIZE_ERROR)


@ALL_CLOSED
@each_row("size", [0, 4, 6])
def test_F1_priority_of_a_wrong_length_on_a_closed_stream(make: State, size: int) -> None:
    conn = expect_stream_error(make, frame(PRIORITY, 0, 1, bytes(size)), 1, FRAME_SIZE_ERROR)
    assert conn.events == []


@BOTH_IDLE
@each_row("size", [0, 4, 6])
def test_F1_priority_of_a_wrong_length_on_an_idle_stream(make: State, size: int) -> None:
    expect_connection_error(make, frame(PRIORITY, 0, 1, bytes(size)), FRAME_SIZE_ERROR)


# > A stream cannot depend on itself. An endpoint MUST treat this as a stream error (Section 5.4.2)
# > of type PROTOCOL_ERROR.   (RFC 7540 5.3.1)


@pytest.mark.parametrize("exclusive", [0, 0x80000000])
@pytest.mark.parametrize("make", OPEN.values())
def test_F2_priority_on_itself(make: State, exclusive: int) -> None:
    expect_stream_error(make, lambda f: f.priority(1, exclusive | 1), 1, PROTOCOL_ERROR)


@BOTH_IDLE
def test_F2_priority_of_an_idle_stream_on_itself(make: State) -> None:
    expect_connection_error(make, lambda f: f.priority(1, 1), PROTOCOL_ERROR)


@ALL_CLOSED
def test_F2_priority_of_a_closed_stream_on_itself_is_ignored(make: State) -> None:
    expect_nothing(make, lambda f: f.priority(1, 1) + f.priority(1, 0x80000001))


@pytest.mark.parametrize("end", [False, True])
def test_F2_headers_that_depend_on_themselves(end: bool) -> None:
    def late(f: FrameFactory) -> bytes:
        return f.headers(1, REQUEST, end_stream=end, priority=(1, 16))

    conn = expect_stream_error(server, late, 1, PROTOCOL_ERROR)
    assert conn.events == []
    expect_stream_error(
        client_half_closed_local,
        lambda f: f.headers(1, RESPONSE, end_stream=end, priority=(0x80000001, 16)),
        1,
        PROTOCOL_ERROR,
    )


def test_F2_headers_that_depend_on_another_stream() -> None:
    conn = each_way(server, lambda f: f.headers(1, REQUEST, end_stream=True, priority=(3, 16)))
    assert conn.of("head") == [("head", 1, 0, "GET", "/", REQUEST_HEADERS)]


def test_F2_the_stream_that_depended_on_itself_counts_as_opened() -> None:
    """Its block is decoded, its id is used up: the next request is as good as any."""

    def both(f: FrameFactory) -> bytes:
        field = [*REQUEST, ("x-kept", "in the table")]
        bad = f.headers(5, field, end_stream=True, priority=(5, 16))
        return bad + f.headers(7, field, end_stream=True)

    conn = each_way(server, both)
    assert [head[1] for head in conn.of("head")] == [7]
    expect_connection_error(
        server,
        lambda f: both(f) + f.headers(3, REQUEST, end_stream=True),
        PROTOCOL_ERROR,
    )


@each_row("make", [*OPEN.values(), *IDLE.values(), *CLOSED.values()])
@each_row("size", [0, 3, 5])
def test_F3_rst_stream_of_a_wrong_length(make: Make, size: int) -> None:
    expect_connection_error(make, frame(RST_STREAM, 0, 1, bytes(size)), FRAME_SIZE_ERROR)


# -- F4 to F9: SETTINGS ----------------------------------------------------------------------------


@BOTH_IDLE
@pytest.mark.parametrize("size", [1, 6])
def test_F4_settings_ack_with_a_payload(make: Make, size: int) -> None:
    expect_connection_error(make, frame(SETTINGS, ACK, 0, bytes(size)), FRAME_SIZE_ERROR)


@BOTH_IDLE
@each_row("size", [1, 5, 7, 11])
def test_F4_settings_of_a_broken_length(make: Make, size: int) -> None:
    expect_connection_error(make, frame(SETTINGS, 0, 0, bytes(size)), FRAME_SIZE_ERROR)


@BOTH_IDLE
@each_row("value", [2, 3, 0xFFFFFFFF])
def test_F5_enable_push_is_neither_0_nor_1(make: Make, value: int) -> None:
    expect_connection_error(make, lambda f: f.settings({ENABLE_PUSH: value}), PROTOCOL_ERROR)


def test_F5_a_server_that_enables_push() -> None:
    expect_connection_error(client, lambda f: f.settings({ENABLE_PUSH: 1}), PROTOCOL_ERROR)


def test_F5_the_values_allowed() -> None:
    assert each_way(client, lambda f: f.settings({ENABLE_PUSH: 0})).frames() == [SETTINGS_ACK]
    for value in (0, 1):
        conn, peer = server()
        conn.data_received(peer.settings({ENABLE_PUSH: value}))
        assert conn.frames() == [SETTINGS_ACK]


def test_F5_no_push_to_a_client_that_disabled_it() -> None:
    conn, _ = server_with_request(REQUEST, end_stream=True, settings={ENABLE_PUSH: 0})
    conn.write_push(1, "GET", "/pushed", list(REQUEST_HEADERS))
    assert conn.take() == b""
    assert conn.events == []


def test_F5_a_client_says_whether_it_takes_pushes() -> None:
    class NoPush(raw.Connection):
        def __init__(self) -> None:
            super().__init__(False)
            self.written: list[bytes] = []

        def on_writev(self, chunks: list[bytes]) -> None:
            self.written.extend(chunks)

    deaf = NoPush()
    deaf.connection_made(True)
    hello = parse_frames(b"".join(deaf.written))[0].settings
    assert dict(hello)[ENABLE_PUSH] == 0, "on_message_push is not overridden"
    conn, _ = client()
    assert dict(parse_frames(conn.hello)[0].settings).get(ENABLE_PUSH, 1) == 1


@BOTH_OPEN
@pytest.mark.parametrize("value", [0x80000000, 0xFFFFFFFF])
def test_F6_initial_window_size_too_large(make: Make, value: int) -> None:
    expect_connection_error(
        make, lambda f: f.settings({INITIAL_WINDOW_SIZE: value}), FLOW_CONTROL_ERROR
    )


@BOTH_OPEN
def test_F6_the_largest_initial_window_size(make: Make) -> None:
    conn = each_way(make, lambda f: f.settings({INITIAL_WINDOW_SIZE: MAX_WINDOW}))
    assert conn.frames() == [SETTINGS_ACK]
    expect_alive(conn)


@BOTH_IDLE
@each_row("value", [0, 16_383, 1 << 24, 0xFFFFFFFF])
def test_F7_max_frame_size_out_of_range(make: Make, value: int) -> None:
    expect_connection_error(make, lambda f: f.settings({MAX_FRAME_SIZE: value}), PROTOCOL_ERROR)


@BOTH_IDLE
@pytest.mark.parametrize("value", [16_384, (1 << 24) - 1])
def test_F7_max_frame_size_in_range(make: Make, value: int) -> None:
    conn = each_way(make, lambda f: f.settings({MAX_FRAME_SIZE: value}))
    assert conn.frames() == [SETTINGS_ACK]
    assert conn.remote_settings.max_frame_size == value


@BOTH_IDLE
def test_F8_unknown_settings_are_ignored(make: Make) -> None:
    conn = each_way(make, lambda f: f.settings({0: 1, 7: 1, 0x0A0A: 5, 0xFFFF: 0xFFFFFFFF}))
    assert conn.frames() == [SETTINGS_ACK]
    assert conn.events == [("settings",)]
    expect_alive(conn)


@BOTH_IDLE
def test_F8_the_last_of_two_values_wins(make: Make) -> None:
    twice = [(INITIAL_WINDOW_SIZE, 5), (MAX_HEADER_LIST_SIZE, 7), (INITIAL_WINDOW_SIZE, 9)]
    conn = each_way(make, lambda f: f.settings(twice))
    assert conn.frames() == [SETTINGS_ACK]
    assert conn.remote_settings.initial_window_size == 9
    assert conn.remote_settings.max_header_list_size == 7


def test_F8_each_value_is_applied_in_turn() -> None:
    # > The values in the SETTINGS frame MUST be processed in the order they appear  (6.5.3)
    up_and_down = [(INITIAL_WINDOW_SIZE, MAX_WINDOW), (INITIAL_WINDOW_SIZE, 65_535)]
    expect_connection_error(
        client_open,
        lambda f: f.window_update(1, 1) + f.settings(up_and_down),
        FLOW_CONTROL_ERROR,
    )


@BOTH_IDLE
def test_F8_an_invalid_value_that_is_overridden_is_still_invalid(make: Make) -> None:
    expect_connection_error(
        make, lambda f: f.settings([(MAX_FRAME_SIZE, 1), (MAX_FRAME_SIZE, 16_384)]), PROTOCOL_ERROR
    )


@BOTH_IDLE
def test_F9_every_settings_frame_is_acknowledged(make: Make) -> None:
    conn = each_way(make, lambda f: f.settings() + f.settings({1: 0}) + f.settings({0x99: 1}))
    assert conn.frames() == [SETTINGS_ACK] * 3
    assert conn.events == [("settings",)] * 3


@BOTH_IDLE
def test_F9_an_acknowledgement_is_not_answered(make: Make) -> None:
    conn = each_way(make, lambda f: f.settings(ack=True))
    assert conn.frames() == []


class AtAck(Recorder):
    """Notes the peer's initial window as it stands when the acknowledgement is written."""

    def on_writev(self, chunks: list[bytes]) -> None:
        if frame(SETTINGS, ACK) in b"".join(chunks):
            self.events.append(("ack", self.remote_settings.initial_window_size))
        super().on_writev(chunks)


@pytest.mark.parametrize("start", [server, client], ids=["server", "client"])
def test_F9_values_apply_before_the_acknowledgement_is_written(start: type) -> None:
    conn, peer = start(recorder=AtAck)
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 77}))
    assert conn.of("ack") == [("ack", 77)]


# -- F10: our own settings wait for their acknowledgement ------------------------------------------


def test_F10_configure_writes_only_settings() -> None:
    conn, _ = server_open()
    conn.configure(max_concurrent_streams=3, initial_window_size=10)
    (written,) = conn.frames()
    assert (written.type, written.flags, written.stream) == (SETTINGS, 0, 0)
    assert dict(written.settings) == {MAX_CONCURRENT_STREAMS: 3, INITIAL_WINDOW_SIZE: 10}


def test_F10_a_lower_window_holds_after_the_acknowledgement() -> None:
    conn, peer = server_open()
    conn.manual_flow_control = True
    conn.configure(initial_window_size=10)
    conn.take()
    conn.data_received(peer.data(1, b"x" * 100))
    assert conn.frames() == []
    conn.data_received(peer.settings(ack=True) + peer.headers(3, POST) + peer.data(3, b"x" * 10))
    assert conn.frames() == []
    conn.data_received(peer.data(3, b"x"))
    assert conn.frames() == [Frame(RST_STREAM, 0, 3, u32(FLOW_CONTROL_ERROR))]
    conn.data_received(peer.data(1, b"x"))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(FLOW_CONTROL_ERROR))]


def test_F10_fewer_streams_after_the_acknowledgement() -> None:
    conn, peer = server_open()
    conn.configure(max_concurrent_streams=1)
    conn.take()
    conn.data_received(peer.headers(3, POST))
    assert conn.frames() == []
    conn.data_received(peer.settings(ack=True))
    conn.data_received(peer.headers(5, POST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 5, u32(REFUSED_STREAM))]
    assert conn.open_streams == [1, 3]


def test_F10_smaller_frames_after_the_acknowledgement() -> None:
    conn, peer = server(configure={"max_frame_size": 20_000})
    conn.configure(max_frame_size=16_384)
    conn.take()
    conn.data_received(frame(0x42, 0, 0, bytes(20_000)))
    conn.data_received(peer.settings(ack=True))
    expect_connection_error(conn, frame(0x42, 0, 0, bytes(16_385)), FRAME_SIZE_ERROR)


def test_F10_no_more_pushes_after_the_acknowledgement() -> None:
    conn, peer = client_with_request()
    conn.configure(enable_push=False)
    conn.take()
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert [e[1] for e in conn.of("push")] == [2]
    assert conn.frames() == []
    expect_connection_error(
        conn, peer.settings(ack=True) + peer.push_promise(1, 4, REQUEST), PROTOCOL_ERROR
    )


def test_F10_acknowledgements_count_one_frame_each() -> None:
    conn, peer = server_open()
    conn.configure(max_concurrent_streams=50)
    conn.configure(max_concurrent_streams=1)
    conn.take()
    conn.data_received(peer.settings(ack=True) + peer.headers(3, POST))
    assert conn.frames() == [], "only the first is acknowledged"
    conn.data_received(peer.settings(ack=True) + peer.headers(5, POST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 5, u32(REFUSED_STREAM))]


def test_F10_a_smaller_header_table_after_the_acknowledgement() -> None:
    conn, peer = server()
    fields = [*REQUEST, ("x-indexed", "in the table")]
    conn.data_received(peer.headers(1, fields, end_stream=True))
    conn.configure(header_table_size=0)
    conn.take()
    conn.data_received(peer.headers(3, fields, end_stream=True))
    assert conn.of("head")[1][5][-1] == ("x-indexed", "in the table")
    peer.encoder.header_table_size = 0
    conn.data_received(peer.settings(ack=True) + peer.headers(5, fields, end_stream=True))
    assert conn.of("head")[2][5][-1] == ("x-indexed", "in the table")
    assert conn.frames() == []


def test_F10_a_smaller_header_table_must_be_acknowledged_in_the_next_block() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.configure(header_table_size=0)
    conn.take()
    expect_connection_error(
        conn, peer.settings(ack=True) + peer.headers(3, REQUEST), COMPRESSION_ERROR
    )


# -- F13, F14: PING --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [*IDLE.values(), *OPEN.values()])
def test_F13_ping_is_answered_with_its_octets(make: Make) -> None:
    conn = each_way(
        make, lambda f: f.ping(b"\x00\x01\x02\x03\xfc\xfd\xfe\xff") + f.ping(b"again...")
    )
    assert conn.frames() == [
        Frame(PING, ACK, 0, b"\x00\x01\x02\x03\xfc\xfd\xfe\xff"),
        Frame(PING, ACK, 0, b"again..."),
    ]
    assert conn.events == []


@BOTH_IDLE
def test_F13_ping_of_ours(make: State) -> None:
    conn, peer = make()
    conn.write_ping(b"12345678")
    assert conn.frames() == [Frame(PING, 0, 0, b"12345678")]
    conn.data_received(peer.ping(b"12345678", ack=True))
    assert conn.events == [("pong", b"12345678")]
    assert conn.frames() == []


@BOTH_IDLE
def test_F13_ping_acknowledgement_is_not_answered(make: Make) -> None:
    conn = each_way(make, lambda f: f.ping(b"whatever", ack=True))
    assert conn.frames() == []


@BOTH_IDLE
@each_row("flags", [0, ACK])
@each_row("size", [0, 7, 9])
def test_F14_ping_of_a_wrong_length(make: Make, flags: int, size: int) -> None:
    expect_connection_error(make, frame(PING, flags, 0, bytes(size)), FRAME_SIZE_ERROR)


@pytest.mark.parametrize("data", [b"", b"1234567", b"123456789"])
def test_F14_ping_of_ours_has_eight_octets(data: bytes) -> None:
    conn, _ = client()
    with pytest.raises(raw.UsageError):
        conn.write_ping(data)
    assert conn.take() == b""


# -- F29, F30 --------------------------------------------------------------------------------------


@each_row("make", [*IDLE.values(), *OPEN.values(), *CLOSED.values()])
@each_row("flags", [0, END_HEADERS])
def test_F29_continuation_without_an_open_block(make: Make, flags: int) -> None:
    expect_connection_error(make, frame(CONTINUATION, flags, 1, b""), PROTOCOL_ERROR)


def test_F29_continuation_behind_a_complete_block() -> None:
    expect_connection_error(
        server, lambda f: f.headers(1, POST) + f.continuation(1, b""), PROTOCOL_ERROR, last=1
    )


def test_F29_continuation_behind_the_last_continuation() -> None:
    expect_connection_error(
        client_half_closed_local,
        lambda f: (
            f.headers(1, RESPONSE, end_headers=False)
            + f.continuation(1, b"")
            + f.continuation(1, b"")
        ),
        PROTOCOL_ERROR,
    )


@BOTH_OPEN
@each_row("code", [14, 0xDEADBEEF, 0xFFFFFFFF])
def test_F30_unknown_error_code_of_a_reset(make: Make, code: int) -> None:
    conn = each_way(make, lambda f: f.rst(1, code))
    # > Unknown or unsupported error codes MUST NOT trigger any special behavior. These MAY be
    # > treated by an implementation as being equivalent to INTERNAL_ERROR.  (7)
    assert conn.events in ([("end", 1, code, REMOTE)], [("end", 1, INTERNAL_ERROR, REMOTE)])
    expect_alive(conn)


def test_F30_unknown_error_code_of_a_goaway() -> None:
    conn = each_way(client_open, lambda f: f.goaway(1, 0xDEADBEEF))
    assert conn.events == []
    assert conn.open_streams == [1]
