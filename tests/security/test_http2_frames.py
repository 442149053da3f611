"""Cheap frames without end. Rows A8, A9, A10, A12, A15 and A16 of the matrix of attacks.

Each test's name begins with its row.
"""

from collections.abc import Callable
from typing import Any

import pytest

from cno.limits import Limits
from tests.security.floods import (
    Piece,
    Quiet,
    answer,
    expect_end,
    expect_none,
    flood,
    peak,
)
from tests.states import client_open_answered, server_open
from tests.support import (
    ACK,
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameFactory,
    Recorder,
    client,
    client_with_request,
    expect_alive,
    frame,
    read_blocks,
    request,
    server,
    server_with_request,
    u32,
)

Started = tuple[Recorder, FrameFactory]
ROLES: dict[str, Callable[..., Started]] = {"server": server, "client": client}
BOTH = pytest.mark.parametrize("start", ROLES.values(), ids=ROLES)

#: RFC 9218 7.1.
PRIORITY_UPDATE = 16

#: What the SETTINGS of a handshake have used up of 10,000.
LEFT = 10_000 - 10


# -- A8: DATA in tiny pieces (CVE-2019-9511, RUSTSEC-2026-0258) ------------------------------------


def downloading(window: int = 65_535, **options: Any) -> Started:
    """A server whose response is cut short by the client's window, 1 MB to go."""
    conn, peer = server({INITIAL_WINDOW_SIZE: window}, **options)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, bytes(1_000_000), False)
    conn.take()
    conn.events.clear()
    return conn, peer


class Writer(Quiet):
    """Writes on whatever stream can be written on, as much as it can, whenever told to."""

    def on_flow_increase(self, stream: int) -> None:
        for each in list(self.open_streams):
            self.write_data(each, bytes(100_000), False)


def data_sizes(conn: Recorder) -> list[int]:
    return [len(f.payload) for f in conn.frames() if f.type == DATA]


@pytest.mark.parametrize("stream", [0, 1], ids=["the connection's window", "the stream's"])
def test_a08_a_window_that_grows_octet_by_octet(stream: int) -> None:
    conn, peer = downloading(recorder=Writer)
    conn.data_received(peer.window_update(1 - stream, 1_000_000))
    conn.take()
    for _ in range(3_000):
        conn.data_received(peer.window_update(stream, 1))
    sizes = data_sizes(conn)
    assert sizes[:16] == [1] * 16, "a few are good for the peer that just needs these"
    assert sizes[16:] == [1_024, 1, 1_024, 1]


def test_a08_the_same_without_end() -> None:
    conn, peer = downloading(recorder=Writer)
    conn.data_received(peer.window_update(0, 1_000_000))
    conn.take()
    outcome = flood(conn, lambda peer, _: peer.window_update(1, 1), 20_000)
    assert outcome.error is not None and outcome.error.code == ENHANCE_YOUR_CALM
    assert outcome.sent < 10_500
    assert outcome.octets < 16 * 10 + 11 * (1_024 + 9 + 10)


def test_a08_octet_by_octet_on_many_streams_at_once() -> None:
    conn, peer = server(recorder=Writer)
    for stream in range(1, 101, 2):
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.write_head(stream, 200, "", "", [], False)
        conn.write_data(stream, bytes(100_000), False)
    conn.data_received(peer.window_update(0, 100_000_000))
    for stream in range(3, 101, 2):
        conn.write_data(stream, bytes(65_535), False)
    conn.take()
    for turn in range(1, 11):
        for stream in range(3, 101, 2):
            conn.data_received(peer.window_update(stream, 1))
        conn.data_received(peer.window_update(1, 2_000))
        sizes = data_sizes(conn)
        assert sizes.count(2_000) == 1, "what is worth sending is sent"
        assert len(sizes) <= (18 if turn == 1 else 3)


@pytest.mark.parametrize("window", [1, 100])
def test_a08_a_peer_whose_whole_window_is_tiny(window: int) -> None:
    conn, _ = downloading(window, recorder=Writer)
    outcome = flood(conn, lambda peer, _: peer.window_update(1, window), 20_000)
    if window == 1:
        # More cannot be hoped for; but it pays for no further WINDOW_UPDATE.
        assert outcome.error is not None and outcome.sent < 10_100
        assert outcome.error.code == ENHANCE_YOUR_CALM
        assert outcome.octets <= outcome.sent * 10
    else:
        assert outcome.error is None or outcome.octets > 65_535, "the connection's window is used"


def test_a08_honest_what_is_left_of_a_window_is_used() -> None:
    conn, peer = server({INITIAL_WINDOW_SIZE: 3_000})
    for number in range(40):
        stream = 2 * number + 1
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.write_head(stream, 200, "", "", [], False)
        assert conn.write_data(stream, bytes(2_000), False) == 2_000
        assert conn.write_data(stream, bytes(2_000), True) == 1_000
        conn.data_received(peer.window_update(stream, 500) + peer.window_update(stream, 500))
        conn.data_received(peer.window_update(0, 4_000))
        assert conn.write_data(stream, bytes(1_000), True) == 1_000


def test_a08_honest_small_pieces_of_the_application_are_sent_at_once() -> None:
    conn, peer = downloading()
    conn.data_received(peer.window_update(0, 1 << 20))
    for _ in range(1_000):
        conn.data_received(peer.window_update(1, 7))
        assert conn.write_data(1, b"message", False) == 7
    assert data_sizes(conn) == [7] * 1_000


def test_a08_honest_the_end_of_a_body() -> None:
    conn, peer = downloading()
    conn.data_received(peer.window_update(0, 1 << 20))
    for _ in range(20):
        conn.data_received(peer.window_update(1, 1))
        conn.write_data(1, bytes(1_000), False)
    conn.data_received(peer.window_update(1, 1))
    assert conn.write_data(1, bytes(1_000), True) == 0
    assert conn.write_data(1, b".", True) == 1
    assert conn.of("end") == [("end", 1, NO_ERROR, 1)]


def test_a08_min_data_frame_can_be_switched_off() -> None:
    conn, peer = downloading(limits=Limits(min_data_frame=0), recorder=Writer)
    conn.data_received(peer.window_update(0, 1 << 20))
    conn.take()
    for _ in range(100):
        conn.data_received(peer.window_update(1, 1))
    assert data_sizes(conn) == [1] * 100


def uploading(role: str, **options: Any) -> Started:
    """A stream on which the peer sends DATA, which waits to be consumed."""
    if role == "server":
        conn, peer = server_with_request(POST, **options)
    else:
        conn, peer = client_with_request("POST", final=False, **options)
        conn.data_received(peer.headers(1, RESPONSE))
    conn.manual_flow_control = True
    conn.take()
    conn.events.clear()
    return conn, peer


#: A budget that half a window is more than.
FEW_SMALL = Limits(small_frame_budget=25_600)

UPLOADING = pytest.mark.parametrize("role", ["server", "client"])


@UPLOADING
def test_a08_tiny_frames_that_nobody_reads(role: str) -> None:
    conn, _ = uploading(role, recorder=Quiet)
    outcome = flood(conn, lambda peer, _: peer.data(1, b"."), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_048_576 // 255 + 1)
    conn, _ = uploading(role, recorder=Quiet, limits=FEW_SMALL)
    outcome = flood(conn, lambda peer, _: peer.data(1, b"."), 20_000)
    # Half the connection's window, 255 for each.
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 65_535 // 2 // 255 + 1)


@UPLOADING
def test_a08_on_many_streams(role: str) -> None:
    conn, peer = uploading(role, recorder=Quiet, limits=FEW_SMALL)
    streams = range(1, 101, 2)
    for stream in streams[1:]:
        if role == "server":
            conn.data_received(peer.headers(stream, POST))
        else:
            request(conn, "POST", final=False)
            conn.data_received(peer.headers(stream, RESPONSE))
    conn.take()
    outcome = flood(conn, lambda peer, i: peer.data(streams[i % 50], b"."), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)


@UPLOADING
def test_a08_a_small_budget_is_at_least_half_the_window(role: str) -> None:
    conn, _ = uploading(role, recorder=Quiet, limits=Limits(small_frame_budget=1_000))
    outcome = flood(conn, lambda peer, _: peer.data(1, b"x" * 100), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 65_535 // 2 // 156 + 1)


def test_a08_a_large_budget() -> None:
    conn, _ = uploading("server", recorder=Quiet, limits=Limits(small_frame_budget=255_000))
    outcome = flood(conn, lambda peer, _: peer.data(1, b"."), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_001)


@UPLOADING
@pytest.mark.parametrize("read", ["at once", "in batches", "the oldest only"])
def test_a08_honest_a_chat_in_tiny_frames(role: str, read: str) -> None:
    conn, peer = uploading(role, recorder=Quiet)
    if role == "server":
        conn.write_head(1, 200, "", "", [], False)
    unread = 0
    for number in range(5_000):
        conn.data_received(peer.data(1, b"\0\0\0\0\x05hello"))
        unread += 10
        if read == "at once" or (read == "in batches" and number % 50 == 49):
            conn.consume(1, unread)
            unread = 0
        elif read == "the oldest only" and number >= 20:
            conn.consume(1, 10)
            unread -= 10
        conn.write_data(1, b"hi", False)
        conn.data_received(peer.window_update(1, 2) + peer.window_update(0, 2))
        conn.take()


@UPLOADING
def test_a08_what_ends_unread_is_forgotten(role: str) -> None:
    conn, peer = uploading(role, recorder=Quiet)
    for number in range(50):
        stream = 2 * number + 1
        for _ in range(100):
            conn.data_received(peer.data(stream, b"."))
        conn.write_reset(stream, CANCEL)
        if role == "server":
            conn.data_received(peer.headers(stream + 2, POST))
        else:
            assert request(conn, "POST", final=False) == stream + 2
            conn.data_received(peer.headers(stream + 2, RESPONSE))
        conn.take()


def test_a08_open_flow_counts_as_reading() -> None:
    conn, peer = uploading("server", recorder=Quiet)
    for _ in range(2_000):
        conn.data_received(peer.data(1, b"."))
        conn.open_flow(1, 1)
        conn.take()


def test_a08_honest_a_slow_phone_upload() -> None:
    conn, peer = uploading("server")
    data = peer.data(1, bytes(16_384))
    for _ in range(20):
        for at in range(0, len(data), 500):
            conn.data_received(data[at : at + 500])
        conn.consume(1, 16_384)
        conn.take()
    expect_alive(conn)


def test_a08_without_manual_flow_control_all_is_read_at_once() -> None:
    conn, _ = server_with_request(POST, recorder=Quiet)
    expect_none(flood(conn, lambda peer, _: peer.data(1, b"."), 5_000))


# -- A9: PING (CVE-2019-9512) ----------------------------------------------------------------------


@BOTH
def test_a09_pings(start: Callable[..., Started]) -> None:
    conn, _ = start()
    outcome = flood(conn, lambda peer, _: peer.ping(), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1)
    assert outcome.octets == LEFT * 17


@BOTH
def test_a09_all_at_once(start: Callable[..., Started]) -> None:
    conn, peer = start()
    data = peer.ping() * 20_000
    outcome = flood(conn, lambda *_: data, 1)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1)
    assert outcome.octets == LEFT * 17


@BOTH
def test_a09_answers_that_nobody_asked_for(start: Callable[..., Started]) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(conn, lambda peer, _: peer.ping(ack=True), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1)
    assert outcome.octets == 0


@BOTH
def test_a09_a_peer_that_does_not_read(start: Callable[..., Started]) -> None:
    conn, _ = start()
    conn.pause_writing()
    outcome = flood(conn, lambda peer, _: peer.ping(), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_001)
    assert outcome.octets == 1_000 * 17


@BOTH
def test_a09_a_transport_that_drains_now_and_then(start: Callable[..., Started]) -> None:
    conn, _ = start()

    def drain() -> None:
        conn.resume_writing()
        conn.pause_writing()

    conn.pause_writing()
    expect_none(flood(conn, lambda peer, _: peer.ping() * 900, 10, drain))


@BOTH
def test_a09_refills_with_time(start: Callable[..., Started]) -> None:
    now = 0.0

    def tick() -> None:
        nonlocal now
        now += 1 / 320  # as often as is allowed for ever

    conn, _ = start(clock=lambda: now)
    expect_none(flood(conn, lambda peer, _: peer.ping(), 12_000, tick))


def test_a09_honest_pings_between_requests_for_ever_and_no_clock() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(5_000):
        conn.data_received(peer.headers(2 * number + 1, REQUEST, end_stream=True))
        answer(conn, 2 * number + 1)
        conn.data_received(peer.ping() * 8)
        conn.take()


def test_a09_honest_a_stream_that_never_ends_with_pings_and_no_clock() -> None:
    conn, peer = server_with_request(POST, recorder=Quiet)
    conn.write_head(1, 200, "", "", [], False)
    conn.data_received(peer.window_update(1, 1 << 30) + peer.window_update(0, 1 << 30))
    for _ in range(6_000):
        conn.data_received(peer.data(1, b"message") + peer.ping())
        conn.write_data(1, b"message", False)
        conn.data_received(peer.ping())
        conn.take()


def test_a09_honest_a_client_whose_server_pings() -> None:
    conn, peer = client(recorder=Quiet)
    for _ in range(3_000):
        stream = request(conn)
        conn.data_received(peer.ping() * 5 + peer.headers(stream, RESPONSE, end_stream=True))
        conn.take()


# -- A10: priorities (CVE-2019-9513, CVE-2016-6580) ------------------------------------------------

PRIORITIES: dict[str, Piece] = {
    "one stream": lambda f, i: f.priority(1, 0, i % 256),
    "idle streams": lambda f, i: f.priority(2 * i + 1, 2 * i + 3),
    "a chain": lambda f, i: f.priority(2 * i + 3, 2 * i + 1),
    "closed streams": lambda f, i: f.priority(1, 5),
}


@BOTH
@pytest.mark.parametrize("kind", PRIORITIES)
def test_a10_priorities(start: Callable[..., Started], kind: str) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(conn, PRIORITIES[kind], 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1)
    assert outcome.octets == 0


UPDATES: dict[str, Piece] = {
    "of an open stream": lambda f, i: frame(PRIORITY_UPDATE, 0, 0, u32(1) + b"u=%d" % (i % 8)),
    "of a closed stream": lambda f, _: frame(PRIORITY_UPDATE, 0, 0, u32(3) + b"u=1"),
    "of an idle stream": lambda f, _: frame(PRIORITY_UPDATE, 0, 0, u32(999) + b"u=1, i"),
    "too long": lambda f, _: frame(PRIORITY_UPDATE, 0, 0, u32(1) + b"u=1;" + b"x" * 1_000),
}


@pytest.mark.parametrize("kind", UPDATES)
def test_a10_priority_updates(kind: str) -> None:
    conn, peer = server(recorder=Quiet)
    conn.data_received(peer.headers(1, POST) + peer.headers(3, POST) + peer.rst(3))
    outcome = flood(conn, UPDATES[kind], 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1)
    assert outcome.octets == 0


def test_a10_priority_updates_of_more_streams_than_there_can_be() -> None:
    conn, _ = server(recorder=Quiet)
    outcome = flood(
        conn, lambda f, i: frame(PRIORITY_UPDATE, 0, 0, u32(2 * i + 1) + b"u=1"), 20_000
    )
    expect_end(conn, outcome, PROTOCOL_ERROR, 101)


def test_a10_no_tree_is_kept() -> None:
    conn, peer = server(limits=Limits(glitch_budget=None), recorder=Quiet)
    pieces = [PRIORITIES["a chain"](peer, i) for i in range(3_000)]

    def pour() -> None:
        for piece in pieces:
            conn.data_received(piece)

    assert peak(pour) < 20_000


# -- A12: SETTINGS (CVE-2019-9515, CVE-2020-11080) -------------------------------------------------


@BOTH
def test_a12_settings(start: Callable[..., Started]) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(conn, lambda peer, i: peer.settings({INITIAL_WINDOW_SIZE: i}), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_000)
    assert outcome.octets == 999 * 9


@BOTH
def test_a12_empty_settings(start: Callable[..., Started]) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(conn, lambda peer, _: peer.settings(), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_000)


@BOTH
def test_a12_acknowledgements_of_nothing(start: Callable[..., Started]) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(conn, lambda peer, _: peer.settings(ack=True), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_000)
    assert outcome.octets == 0


@BOTH
def test_a12_a_peer_that_does_not_read(start: Callable[..., Started]) -> None:
    limits = Limits(max_queued_control_frames=100)
    conn, _ = start(limits=limits, recorder=Quiet)
    conn.pause_writing()
    outcome = flood(conn, lambda peer, _: peer.settings(), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 101)


@BOTH
@pytest.mark.parametrize(("entries", "passes"), [(32, True), (33, False), (2_700, False)])
def test_a12_entries(start: Callable[..., Started], entries: int, passes: bool) -> None:
    conn, _ = start(recorder=Quiet)
    outcome = flood(
        conn, lambda peer, _: peer.settings([(INITIAL_WINDOW_SIZE, i) for i in range(entries)]), 1
    )
    if passes:
        expect_none(outcome)
        assert outcome.frames is not None
        assert [(f.type, f.flags) for f in outcome.frames] == [(SETTINGS, ACK)]
    else:
        expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1)


def test_a12_a_window_that_changes_touches_no_stream() -> None:
    conn, peer = server(limits=Limits(max_concurrent_streams=None), recorder=Quiet)
    for stream in range(1, 401, 2):
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.write_head(stream, 200, "", "", [], False)
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 5}))
    assert conn.write_data(399, b"0123456789", False) == 5
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 7}))
    assert conn.write_data(399, b"0123456789", False) == 2


def test_a12_honest_settings_with_every_second_request_for_ever_and_no_clock() -> None:
    conn, peer = server()
    for number in range(0, 4_000, 2):
        for stream in (2 * number + 1, 2 * number + 3):
            conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
            answer(conn, stream)
        conn.data_received(peer.settings({MAX_CONCURRENT_STREAMS: number}))
        read_blocks(conn)
    expect_alive(conn)


# -- A15: empty frames (CVE-2019-9518) -------------------------------------------------------------

OPEN: dict[str, Callable[[], Started]] = {"server": server_open, "client": client_open_answered}
BOTH_OPEN = pytest.mark.parametrize("state", OPEN.values(), ids=OPEN)

EMPTY: dict[str, Piece] = {
    "empty": lambda f, _: f.data(1, b""),
    "a pad length": lambda f, _: f.data(1, b"", pad=0),
    "padding": lambda f, i: f.data(1, b"", pad=i % 256),
}


@BOTH_OPEN
@pytest.mark.parametrize("kind", EMPTY)
def test_a15_empty_data(state: Callable[[], Started], kind: str) -> None:
    conn, _ = state()
    outcome = flood(conn, EMPTY[kind], 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 101)
    assert conn.of("data") == []


@BOTH_OPEN
def test_a15_with_a_little_in_between(state: Callable[[], Started]) -> None:
    conn, _ = state()
    outcome = flood(conn, lambda f, i: f.data(1, b"." * (i % 2)), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 201)


def test_a15_empty_heads() -> None:
    conn, _ = server()
    outcome = flood(conn, lambda f, i: f.headers_frame(2 * i + 1, b""), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)
    assert conn.of("head") == []


def test_a15_empty_promises() -> None:
    conn, _ = client_with_request(configure={"enable_push": 1})
    outcome = flood(conn, lambda f, i: f.push_promise(1, 2 * i + 2, []), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)


def test_a15_honest_an_empty_frame_per_message() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(1_000):
        stream = 2 * number + 1
        data = peer.headers(stream, POST) + peer.data(stream, b"") + peer.data(stream, b"", True)
        conn.data_received(data)
        answer(conn, stream)
        conn.take()


# -- A16: what moves nothing forward ---------------------------------------------------------------

USELESS: dict[str, Piece] = {
    "unknown": lambda f, _: frame(0x42, 0xFF, 0, b""),
    "unknown, on a stream": lambda f, i: frame(0xFA, 0, i, b"x" * 50),
    "reset of a closed stream": lambda f, _: f.rst(3),
    "window of a closed stream": lambda f, _: f.window_update(3, 1),
    "late data": lambda f, _: f.data(5, b"."),
    "goaway": lambda f, i: f.goaway(2**31 - 1 - i),
}


def busy(role: str) -> Started:
    """Stream 1 is open, 3 was closed by the peer, 5 was reset by us."""
    conn, peer = server(recorder=Quiet) if role == "server" else client(recorder=Quiet)
    for stream in (1, 3, 5):
        if role == "server":
            conn.data_received(peer.headers(stream, POST))
        else:
            request(conn, "POST", final=False)
            conn.data_received(peer.headers(stream, RESPONSE))
    conn.data_received(peer.rst(3))
    conn.write_reset(5, CANCEL)
    conn.take()
    return conn, peer


@UPLOADING
@pytest.mark.parametrize("kind", USELESS)
def test_a16_useless_frames(role: str, kind: str) -> None:
    conn, _ = busy(role)
    outcome = flood(conn, USELESS[kind], 20_000)
    # What can be under way for stream 5, which we gave up, is free: a window in frames of 4 KiB.
    sent = LEFT + 1 + (2 + 65_535 // 4_096 if kind == "late data" else 0)
    if kind == "window of a closed stream":
        # Once for that, and once for being one too many.
        assert outcome.error is not None and outcome.sent < sent // 2 + 50
        sent = outcome.sent
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, sent)
    assert sum(1 for f in outcome.frames or [] if f.type == RST_STREAM) == 0


@UPLOADING
@pytest.mark.parametrize("stream", [0, 1])
def test_a16_window_updates(role: str, stream: int) -> None:
    conn, _ = busy(role)
    outcome = flood(conn, lambda f, _: f.window_update(stream, 1), 20_000)
    # 16 to begin with, 2 for each of the three streams.
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1 + 16 + 6)


@UPLOADING
def test_a16_ten_window_updates_for_each_frame_of_data(role: str) -> None:
    conn, _ = busy(role)
    if role == "server":
        conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"some data", False)
    outcome = flood(conn, lambda f, _: f.window_update(1, 1), 20_000)
    # And it pays for one thing that is useless.
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, LEFT + 1 + 1 + 16 + 6 + 10)


def test_a16_honest_two_window_updates_for_each_frame_of_a_download() -> None:
    conn, peer = server(recorder=Quiet)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [], False)
    for _ in range(100):
        # 128 frames at a time, each acknowledged on its own.
        conn.data_received(peer.window_update(1, 1 << 21) + peer.window_update(0, 1 << 21))
        taken = conn.write_data(1, bytes(1 << 21), False)
        assert taken == 1 << 21
        frames = len([f for f in conn.frames() if f.type == DATA])
        conn.data_received((peer.window_update(1, 1) + peer.window_update(0, 1)) * frames)


def test_a16_honest_a_client_that_cancels_too_late() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(3_000):
        stream = 2 * number + 1
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        answer(conn, stream)
        late = peer.window_update(stream, 100) + peer.window_update(0, 100) + peer.rst(stream)
        conn.data_received(late)
        conn.take()


@UPLOADING
def test_a16_padding_comes_back_and_is_never_delivered(role: str) -> None:
    conn, peer = uploading(role)
    conn.manual_flow_control = False
    for number in range(2_000):
        conn.data_received(peer.data(1, b"x" * 200, pad=255))
        if number % 100 == 0:
            assert conn.open_streams == [1]
    updates = [f for f in conn.frames() if f.type == WINDOW_UPDATE]
    assert len(updates) < 2_000 * 456 // 32_000 * 2 + 4, "credit comes back in large pieces"
    assert sum(len(e[2]) for e in conn.of("data")) == 2_000 * 200


@BOTH
def test_a16_refills_with_time(start: Callable[..., Started]) -> None:
    now = 0.0
    conn, _ = start(clock=lambda: now, recorder=Quiet)
    expect_none(flood(conn, USELESS["unknown"], LEFT))
    now = 10.0
    expect_end(conn, flood(conn, USELESS["unknown"], 20_000), ENHANCE_YOUR_CALM, 3_301)


def test_a16_budgets_can_be_switched_off() -> None:
    limits = Limits(glitch_budget=None, max_empty_frames=None, small_frame_budget=None)
    conn, peer = server_with_request(POST, limits=limits, recorder=Quiet)
    conn.manual_flow_control = True
    data = peer.ping() + peer.settings() + peer.priority(1) + peer.data(1, b"") + peer.data(1, b".")
    expect_none(flood(conn, lambda *_: data, 11_000))
    assert conn.open_streams == [1]


def test_a16_one_connection_of_everything() -> None:
    """Whatever the mixture: what is useless is counted together."""
    conn, peer = server(recorder=Quiet)
    pieces: list[Piece] = [lambda f, _: f.ping(), *USELESS.values()]
    conn.data_received(peer.headers(1, POST) + peer.headers(3, POST) + peer.headers(5, POST))
    conn.data_received(peer.rst(3))
    conn.write_reset(5, CANCEL)
    conn.take()
    outcome = flood(conn, lambda f, i: pieces[i % len(pieces)](f, i), 20_000)
    assert outcome.error is not None and outcome.error.code == ENHANCE_YOUR_CALM
    assert outcome.sent <= LEFT + 1
    assert outcome.most <= 17, "never more than one PING in answer"
