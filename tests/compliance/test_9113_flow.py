"""RFC 9113 sections 5.2 and 6.9: flow control, both ways. Rows F19 to F28.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import (
    CLOSED,
    IDLE,
    OPEN,
    State,
    client_open,
    client_open_answered,
    forget,
    server_open,
    server_open_answering,
    server_reset_by_peer,
    server_reset_by_us,
)
from tests.support import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    POST,
    PROTOCOL_ERROR,
    REQUEST,
    REQUEST_HEADERS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    Make,
    Recorder,
    client,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_stream_error,
    frame,
    request,
)

BOTH_OPEN = each_row("make", OPEN.values(), ids=OPEN)
BOTH_IDLE = each_row("make", IDLE.values(), ids=IDLE)

#: Stream 1 is open both ways and both heads have been sent.
TALKING: dict[str, State] = {"server": server_open_answering, "client": client_open_answered}
BOTH_TALKING = each_row("make", TALKING.values(), ids=TALKING)

SETTINGS_ACK = Frame(SETTINGS, ACK, 0, b"")


def sent(conn: Recorder) -> list[tuple[int, int]]:
    """(stream, size) of each DATA frame written."""
    return [(f.stream, len(f.payload)) for f in conn.frames() if f.type == DATA]


def credit(conn: Recorder) -> dict[int, int]:
    """Sum of WINDOW_UPDATE increments by stream; nothing else may have been written."""
    sums: dict[int, int] = {}
    for f in conn.frames():
        assert f.type == WINDOW_UPDATE, f
        sums[f.stream] = sums.get(f.stream, 0) + f.increment
    return sums


# -- F19 to F23: WINDOW_UPDATE ---------------------------------------------------------------------


@BOTH_OPEN
def test_F19_window_update_zero_on_a_stream(make: Make) -> None:
    expect_stream_error(make, lambda f: f.window_update(1, 0), 1, PROTOCOL_ERROR)


@pytest.mark.parametrize("make", [*IDLE.values(), *OPEN.values()])
def test_F19_window_update_zero_on_the_connection(make: Make) -> None:
    expect_connection_error(make, lambda f: f.window_update(0, 0), PROTOCOL_ERROR)


def test_F20_reserved_bit_of_the_increment() -> None:
    conn, peer = client_open()
    conn.data_received(peer.window_update(1, 0x80000001) + peer.window_update(0, 0x80000001))
    assert conn.events == [("flow", 1), ("flow", 0)]
    assert conn.write_data(1, b"x" * 70_000, False) == 65_536


@BOTH_OPEN
def test_F20_reserved_bit_does_not_make_zero_valid(make: Make) -> None:
    expect_stream_error(make, lambda f: f.window_update(1, 0x80000000), 1, PROTOCOL_ERROR)
    expect_connection_error(make, lambda f: f.window_update(0, 0x80000000), PROTOCOL_ERROR)


@each_row("make", [*OPEN.values(), *CLOSED.values()])
@each_row("stream", [0, 1])
@each_row("size", [0, 3, 5])
def test_F21_window_update_of_a_wrong_length(make: Make, stream: int, size: int) -> None:
    expect_connection_error(make, frame(WINDOW_UPDATE, 0, stream, bytes(size)), FRAME_SIZE_ERROR)


@BOTH_OPEN
@pytest.mark.parametrize("increment", [MAX_WINDOW - 65_534, MAX_WINDOW])
def test_F22_stream_window_beyond_its_maximum(make: Make, increment: int) -> None:
    expect_stream_error(make, lambda f: f.window_update(1, increment), 1, FLOW_CONTROL_ERROR)


@BOTH_OPEN
@pytest.mark.parametrize("increment", [MAX_WINDOW - 65_534, MAX_WINDOW])
def test_F22_connection_window_beyond_its_maximum(make: Make, increment: int) -> None:
    expect_connection_error(make, lambda f: f.window_update(0, increment), FLOW_CONTROL_ERROR)


@BOTH_OPEN
def test_F22_windows_up_to_their_maximum(make: Make) -> None:
    most = MAX_WINDOW - 65_535
    conn = each_way(make, lambda f: f.window_update(0, most) + f.window_update(1, most))
    assert conn.events == [("flow", 0), ("flow", 1)]
    expect_alive(conn)


def test_F22_little_by_little() -> None:
    step, rest = divmod(MAX_WINDOW - 65_535, 5)
    conn, peer = client_open()
    conn.data_received(peer.window_update(1, step) * 5 + peer.window_update(1, rest))
    assert conn.frames() == []
    expect_stream_error(conn, peer.window_update(1, 1), 1, FLOW_CONTROL_ERROR)


@BOTH_OPEN
def test_F23_initial_window_that_overflows_a_stream(make: Make) -> None:
    expect_connection_error(
        make,
        lambda f: f.window_update(1, 1) + f.settings({INITIAL_WINDOW_SIZE: MAX_WINDOW}),
        FLOW_CONTROL_ERROR,
    )


@BOTH_OPEN
def test_F23_initial_window_that_just_fits(make: Make) -> None:
    conn = each_way(
        make,
        lambda f: f.window_update(1, 1) + f.settings({INITIAL_WINDOW_SIZE: MAX_WINDOW - 1}),
    )
    assert conn.frames() == [SETTINGS_ACK]
    expect_alive(conn)


# -- F24, F25: what we send ------------------------------------------------------------------------


def test_F24_windows_may_become_negative() -> None:
    conn, peer = client_open()
    assert conn.write_data(1, b"x" * 1000, False) == 1000
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 100}))
    assert conn.write_data(1, b"y", False) == 0
    conn.take()
    conn.data_received(peer.window_update(1, 900))
    assert conn.write_data(1, b"y", False) == 0, "the window is 0"
    conn.data_received(peer.window_update(1, 1))
    assert conn.write_data(1, b"yz", False) == 1
    assert sent(conn) == [(1, 1)]
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 105}))
    assert conn.write_data(1, b"0123456789", False) == 5


def test_F24_a_raised_initial_window_is_told() -> None:
    conn, peer = client_open()
    conn.write_data(1, b"x" * 65_535, False)
    conn.data_received(peer.window_update(0, 1000))
    assert conn.write_data(1, b"x", False) == 0
    conn.events.clear()
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 65_545}))
    assert ("flow", 0) in conn.events or ("flow", 1) in conn.events
    assert conn.write_data(1, b"x" * 100, False) == 10


@pytest.mark.parametrize("window", [0, 100])
def test_F24_empty_data_with_end_stream_needs_no_window(window: int) -> None:
    conn, peer = client_open()
    conn.write_data(1, b"x" * 1000, False)
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: window}))
    conn.take()
    assert conn.write_data(1, b"", True) == 0
    assert conn.frames() == [Frame(DATA, END_STREAM, 1, b"")]


def test_F24_end_stream_waits_for_the_last_octet() -> None:
    conn, peer = client_open()
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 4}))
    conn.take()
    assert conn.write_data(1, b"12345", True) == 4
    assert conn.frames() == [Frame(DATA, 0, 1, b"1234")]
    assert conn.write_data(1, b"5", True) == 0
    assert conn.take() == b""
    conn.data_received(peer.window_update(1, 10))
    assert conn.events[-1] == ("flow", 1)
    assert conn.write_data(1, b"5", True) == 1
    assert conn.frames() == [Frame(DATA, END_STREAM, 1, b"5")]


def test_F25_frames_are_cut_at_the_frame_size_of_the_peer() -> None:
    conn, _ = client_open()
    assert conn.write_data(1, b"x" * 40_000, True) == 40_000
    assert sent(conn) == [(1, 16_384), (1, 16_384), (1, 7_232)]
    conn, peer = client_open()
    conn.data_received(peer.settings({MAX_FRAME_SIZE: 20_000}))
    assert conn.write_data(1, b"x" * 40_000, True) == 40_000
    assert sent(conn) == [(1, 20_000), (1, 20_000)]


def test_F25_both_windows_bound_what_is_sent() -> None:
    conn, peer = client({INITIAL_WINDOW_SIZE: 50_000})
    for _ in range(3):
        request(conn, "POST", final=False)
    conn.take()
    data = b"x" * 60_000
    assert conn.write_data(1, data, False) == 50_000, "the stream's"
    assert conn.write_data(3, data, False) == 15_535, "the connection's"
    assert conn.write_data(5, data, False) == 0
    assert sum(size for _, size in sent(conn)) == 65_535
    conn.data_received(peer.window_update(0, 7))
    assert conn.write_data(1, data, False) == 0
    assert conn.write_data(5, data, False) == 7
    conn.data_received(peer.window_update(0, MAX_WINDOW))
    assert conn.write_data(3, data, False) == 34_465
    assert conn.write_data(5, data, False) == 49_993


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_F25_the_octets_sent_are_the_first_ones(kind: type) -> None:
    conn, _ = client({INITIAL_WINDOW_SIZE: 20_000})
    request(conn, "POST", final=False)
    conn.take()
    body = bytes(range(256)) * 100
    assert conn.write_data(1, kind(body), False) == 20_000
    assert b"".join(f.payload for f in conn.frames()) == body[:20_000]


def test_F25_header_blocks_are_not_flow_controlled() -> None:
    conn, _ = client_open()
    conn.write_data(1, b"x" * 65_535, False)
    conn.take()
    conn.write_tail(1, [("x-trailer", "t")])
    (trailers,) = conn.frames()
    assert (trailers.type, trailers.flags) == (HEADERS, END_STREAM | END_HEADERS)


def test_F25_large_header_blocks_are_cut_at_the_frame_size_of_the_peer() -> None:
    conn, peer = client()
    fields = [*REQUEST_HEADERS, *((f"x-{i}", "\x7e" * 3000) for i in range(10))]
    conn.write_head(1, 0, "GET", "/", fields, True)
    frames = conn.frames()
    assert [f.type for f in frames] == [HEADERS] + [CONTINUATION] * (len(frames) - 1)
    assert len(frames) > 1 and max(len(f.payload) for f in frames) <= 16_384
    assert [f.flags for f in frames] == [END_STREAM, *[0] * (len(frames) - 2), END_HEADERS]
    assert {f.stream for f in frames} == {1}
    assert peer.decode(b"".join(f.payload for f in frames)) == [*REQUEST, *fields[2:]]


# -- F26 to F28: what we receive -------------------------------------------------------------------


def manual(make: State) -> Recorder:
    conn, _ = make()
    conn.manual_flow_control = True
    return conn


def small_window(make: State) -> Recorder:
    """Stream 1 talking, 10 octets of stream window, and no credit given by itself."""
    conn, peer = make()
    conn.manual_flow_control = True
    conn.configure(initial_window_size=10)
    conn.data_received(peer.settings(ack=True))
    return forget(conn)[0]


@BOTH_TALKING
def test_F26_data_beyond_the_stream_window(make: State) -> None:
    conn = expect_stream_error(
        lambda: small_window(make), lambda f: f.data(1, b"x" * 11), 1, FLOW_CONTROL_ERROR
    )
    assert conn.of("data", "tail") == []


@BOTH_TALKING
def test_F26_data_up_to_the_stream_window_and_then_one_octet(make: State) -> None:
    conn = expect_stream_error(
        lambda: small_window(make),
        lambda f: f.data(1, b"0123456789") + f.data(1, b"", False) + f.data(1, b"x", True),
        1,
        FLOW_CONTROL_ERROR,
    )
    assert conn.of("data", "tail") == [("data", 1, b"0123456789")]


@BOTH_TALKING
def test_F26_padding_counts(make: State) -> None:
    # One octet of pad length, 7 of padding, 2 of data fill the window of 10.
    conn = each_way(lambda: small_window(make), lambda f: f.data(1, b"ok", pad=7))
    assert conn.of("data") == [("data", 1, b"ok")]
    # Padding may be credited at once: the application never sees it, so could not do so itself.
    assert credit(conn).get(1, 0) in (0, 8)
    expect_stream_error(
        lambda: small_window(make), lambda f: f.data(1, b"ok", pad=8), 1, FLOW_CONTROL_ERROR
    )


def test_F26_data_beyond_the_connection_window() -> None:
    conn = manual(server_open)
    peer = conn.peer
    conn.data_received(peer.headers(3, POST))
    conn.data_received(peer.data(1, b"x" * 16_384) * 3 + peer.data(1, b"x" * 16_383))
    assert conn.frames() == []
    expect_connection_error(conn, peer.data(3, b"x"), FLOW_CONTROL_ERROR)


def test_F26_empty_data_needs_no_window() -> None:
    conn = manual(server_open)
    peer = conn.peer
    conn.data_received(peer.data(1, b"x" * 16_384) * 3 + peer.data(1, b"x" * 16_383))
    conn.data_received(peer.data(1, b"", True))
    assert conn.of("tail") == [("tail", 1, None)]


@BOTH_TALKING
def test_F26_open_flow_widens_both_windows(make: State) -> None:
    conn = manual(make)
    peer = conn.peer
    conn.open_flow(1, 30_000)
    conn.open_flow(0, 30_000)
    given = credit(conn)
    # What open_flow(1) owes the connection may go along.
    assert given[1] == 30_000 and given[0] in (30_000, 60_000)
    conn.data_received(peer.data(1, b"x" * 15_000) * 6)
    assert len(conn.of("data")[0][2]) == 90_000


def test_F26_open_flow_beyond_the_maximum_is_wrong_use() -> None:
    conn = manual(server_open)
    for stream, delta in ((1, MAX_WINDOW), (0, MAX_WINDOW), (1, -1), (0, -1)):
        with pytest.raises(raw.UsageError):
            conn.open_flow(stream, delta)
    assert conn.take() == b""


@BOTH_TALKING
def test_F27_consumed_data_is_credited_at_half_the_window(make: State) -> None:
    conn, peer = make()
    conn.data_received(peer.data(1, b"x" * 16_000) * 2)
    assert credit(conn) == {}
    conn.data_received(peer.data(1, b"x" * 2_000))
    given = credit(conn)
    assert given.keys() == {0, 1}
    assert all(32_767 <= value <= 34_000 for value in given.values())


@BOTH_TALKING
def test_F27_padding_is_credited_like_data(make: State) -> None:
    conn, peer = make()
    # 257 octets each: pad length, one octet of data, 255 of padding.
    total = 0
    granted = {0: 65_535, 1: 65_535}
    for _ in range(2_000):
        total += 257
        assert total <= min(granted.values()), "a peer that pads would starve"
        conn.data_received(peer.data(1, b"x", pad=255))
        for stream, value in credit(conn).items():
            granted[stream] += value
    assert max(granted.values()) <= total + 65_535, "more granted than received"


@each_row("make", [*CLOSED.values(), server_reset_by_us, server_reset_by_peer])
def test_F27_late_data_is_credited_to_the_connection(make: State) -> None:
    conn, peer = make()
    conn.data_received(peer.data(1, b"x" * 16_384) * 3)
    updates = [f for f in conn.frames() if f.type != RST_STREAM]
    assert {(f.type, f.stream) for f in updates} == {(WINDOW_UPDATE, 0)}
    assert 32_767 <= sum(f.increment for f in updates) <= 3 * 16_384


def test_F27_what_a_stream_owes_is_credited_when_it_ends() -> None:
    conn = manual(server_open)
    peer = conn.peer
    conn.data_received(peer.data(1, b"x" * 16_384) * 3)
    assert credit(conn) == {}
    conn.data_received(peer.rst(1))
    assert credit(conn) == {0: 3 * 16_384}


def test_F27_manual_mode_credits_nothing_by_itself() -> None:
    conn = manual(server_open)
    peer = conn.peer
    conn.data_received(peer.data(1, b"x" * 16_384) * 3)
    assert credit(conn) == {}
    conn.open_flow(1, 3 * 16_384)
    assert credit(conn) == {0: 3 * 16_384, 1: 3 * 16_384}


def test_F27_consume_coalesces() -> None:
    conn = manual(server_open)
    peer = conn.peer
    conn.data_received(peer.data(1, b"x" * 16_384) * 3)
    conn.consume(1, 10_000)
    conn.consume(1, 20_000)
    assert credit(conn) == {}
    conn.consume(1, 10_000)
    assert credit(conn) == {0: 40_000, 1: 40_000}


def test_F28_initial_window_of_the_peer_leaves_the_connection_window_alone() -> None:
    conn, peer = client_open()
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 200_000}))
    assert conn.write_data(1, b"x" * 200_000, False) == 65_535
    conn, peer = client_open()
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 0}))
    conn.data_received(peer.window_update(1, 200_000))
    assert conn.write_data(1, b"x" * 200_000, False) == 65_535


def test_F28_initial_window_of_ours_leaves_the_connection_window_alone() -> None:
    conn, peer = server_open()
    conn.manual_flow_control = True
    conn.configure(initial_window_size=200_000)
    assert [f.type for f in conn.frames()] == [SETTINGS]
    conn.data_received(peer.settings(ack=True))
    conn.data_received(peer.data(1, b"x" * 16_384) * 3 + peer.data(1, b"x" * 16_383))
    assert conn.frames() == []
    expect_connection_error(conn, peer.data(1, b"x"), FLOW_CONTROL_ERROR)
