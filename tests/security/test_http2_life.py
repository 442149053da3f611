"""The memory of a connection, and its behaviour after its end. Rows A17, A18, A20 and A21.

Each test's name begins with its row. Also: a long connection of an honest peer is not ended, with a
clock and without.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest

from cno import raw
from cno.budget import Bucket
from cno.limits import Limits
from tests.security.floods import Quiet, answer, expect_end, expect_none, flood, peak
from tests.states import client_open_answered, server_open
from tests.support import (
    CANCEL,
    DATA,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    LOCAL,
    MAX_ID,
    NO_ERROR,
    PING,
    POST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    FrameRecorder,
    Recorder,
    client,
    client_with_request,
    expect_connection_error,
    frame,
    h1_server,
    parse_frames,
    read_blocks,
    request,
    server,
    u32,
)

Started = tuple[Recorder, FrameFactory]
OPEN: dict[str, Callable[[], Started]] = {"server": server_open, "client": client_open_answered}
BOTH_OPEN = pytest.mark.parametrize("state", OPEN.values(), ids=OPEN)


# -- A17: streams of the past ----------------------------------------------------------------------


def answered(conn: Recorder, peer: FrameFactory, stream: int) -> None:
    conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
    answer(conn, stream)


def reset_by_the_peer(conn: Recorder, peer: FrameFactory, stream: int) -> None:
    conn.data_received(peer.headers(stream, REQUEST) + peer.rst(stream))


def reset_by_us(conn: Recorder, peer: FrameFactory, stream: int) -> None:
    conn.data_received(peer.headers(stream, REQUEST))
    conn.write_reset(stream, CANCEL)


def malformed(conn: Recorder, peer: FrameFactory, stream: int) -> None:
    conn.data_received(peer.headers(stream, REQUEST[1:]))


def skipped(conn: Recorder, peer: FrameFactory, stream: int) -> None:
    conn.data_received(peer.headers(3 * stream, REQUEST) + peer.rst(3 * stream))


#: How a stream comes and goes, at a server.
LIVES = [answered, reset_by_the_peer, reset_by_us, malformed, skipped]


@pytest.mark.parametrize("live", LIVES, ids=lambda live: live.__name__)
def test_a17_closed_streams_are_forgotten(
    live: Callable[[Recorder, FrameFactory, int], None],
) -> None:
    conn, peer = server(
        limits=Limits(max_stream_resets=None, max_error_resets=None), recorder=Quiet
    )
    first = peer.headers(1, REQUEST) + peer.headers(3, REQUEST[1:])
    conn.data_received(first)

    def pour(start: int, count: int) -> None:
        for number in range(start, start + count):
            live(conn, peer, 2 * number + 1)
            conn.take()

    pour(5, 300)
    assert peak(lambda: pour(305, 1_500)) < 60_000


def test_a17_streams_of_a_client_are_forgotten() -> None:
    conn, peer = client(recorder=Quiet)

    def pour(count: int) -> None:
        for _ in range(count):
            stream = request(conn)
            conn.data_received(peer.headers(stream, RESPONSE, end_stream=True))
            conn.take()

    pour(300)
    assert peak(lambda: pour(1_500)) < 60_000


def test_a17_only_so_many_resets_are_remembered() -> None:
    conn, peer = server(limits=Limits(max_reset_history=10), recorder=Quiet)
    for stream in range(1, 41, 2):
        conn.data_received(peer.headers(stream, POST))
        conn.write_reset(stream, CANCEL)
    conn.take()
    for stream in range(21, 41, 2):
        conn.data_received(peer.data(stream, b"late"))
    # Whether those of before have been reset is not known any more: no mistake is found in them.
    for stream in range(1, 21, 2):
        conn.data_received(peer.data(stream, b"late"))
    assert conn.frames() == []
    conn.data_received(peer.headers(41, REQUEST, end_stream=True))
    answer(conn, 41)
    conn.take()
    conn.data_received(peer.data(41, b"late"))
    assert [(f.type, f.stream) for f in conn.frames()] == [(RST_STREAM, 41)]


def test_a17_nor_does_a_client_take_late_frames_for_mistakes() -> None:
    conn, peer = client(limits=Limits(max_reset_history=10), recorder=Quiet)
    streams = [request(conn) for _ in range(500)]
    for stream in streams:
        conn.write_reset(stream, CANCEL)
    conn.take()
    conn.data_received(peer.push_promise(streams[0], 2, REQUEST))
    assert [(f.type, f.stream, f.code) for f in conn.frames()] == [(RST_STREAM, 2, CANCEL)]
    for stream in streams:
        conn.data_received(peer.headers(stream, RESPONSE))
        conn.data_received(peer.data(stream, b"late", end_stream=True))
    assert {f.type for f in conn.frames()} <= {WINDOW_UPDATE}
    # Of a request that ended as it should, nothing more may come.
    last = request(conn)
    conn.data_received(peer.headers(last, RESPONSE, end_stream=True))
    conn.take()
    conn.data_received(peer.data(last, b"late"))
    assert [(f.type, f.stream) for f in conn.frames()] == [(RST_STREAM, last)]


def test_a17_no_number_of_requests_given_up_ends_a_connection() -> None:
    # The connection has no clock here: nothing is forgiven with time.
    conn, peer = client(recorder=Quiet)
    for _ in range(2_000):
        stream = request(conn)
        conn.data_received(peer.headers(stream, RESPONSE))
        conn.write_reset(stream, CANCEL)
        for _ in range(10):
            conn.data_received(peer.data(stream, bytes(4_096)))
    assert {f.type for f in conn.frames()} == {HEADERS, RST_STREAM, WINDOW_UPDATE}


def test_a17_no_number_of_requests_ends_a_connection() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(6_000):
        conn.data_received(peer.headers(2 * number + 1, REQUEST, end_stream=True))
        answer(conn, 2 * number + 1)
    assert {f.type for f in conn.frames()} == {HEADERS}


def test_a17_unless_asked_for_and_then_gracefully() -> None:
    conn, peer = server(limits=Limits(max_requests_per_connection=3))
    for stream in (1, 3):
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
    assert conn.frames() == []
    conn.data_received(peer.headers(5, REQUEST, end_stream=True))
    going, ping = conn.frames()
    assert (going.type, going.last, going.code) == (GOAWAY, MAX_ID, NO_ERROR)
    # Sent before the client could know: still answered.
    conn.data_received(peer.headers(7, REQUEST, end_stream=True))
    conn.data_received(peer.ping(ping.payload, ack=True))
    (going,) = conn.frames()
    assert (going.type, going.last, going.code) == (GOAWAY, 7, NO_ERROR)
    assert [e[1] for e in conn.of("tail")] == [1, 3, 5, 7]
    conn.data_received(peer.headers(9, REQUEST, end_stream=True))
    for stream in (1, 3, 5, 7):
        assert ("close",) not in conn.events
        answer(conn, stream)
    assert conn.events[-1] == ("close",)


# -- A18: pushes -----------------------------------------------------------------------------------


class Deaf(raw.Connection):
    """A client that does not care for pushes."""

    def __init__(self) -> None:
        super().__init__(False)
        self.written: list[bytes] = []

    def on_writev(self, chunks: list[bytes]) -> None:
        self.written += chunks


def test_a18_push_is_off_where_nobody_listens() -> None:
    conn, peer = Deaf(), FrameFactory()
    conn.connection_made(True)
    settings = parse_frames(b"".join(conn.written))[0].settings
    assert (ENABLE_PUSH, 0) in settings
    conn.data_received(peer.settings() + peer.settings(ack=True))
    conn.write_head(1, 0, "GET", "/", [(":authority", "example.com")], True)
    with pytest.raises(raw.ProtocolError) as caught:
        conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert caught.value.code == PROTOCOL_ERROR


def test_a18_push_is_off_with_a_limit_of_none() -> None:
    conn, _ = client(limits=Limits(max_pushes=0))
    assert (ENABLE_PUSH, 0) in parse_frames(conn.hello)[0].settings


def test_a18_promises_without_end() -> None:
    conn, peer = client_with_request()
    for promised in range(2, 402, 2):
        conn.data_received(peer.push_promise(1, promised, REQUEST))
    assert len(conn.of("push")) == 100
    answers = conn.frames()
    assert answers == [
        Frame(RST_STREAM, 0, promised, u32(REFUSED_STREAM)) for promised in range(202, 402, 2)
    ]
    assert len(conn.open_streams) == 101


def test_a18_places_come_free() -> None:
    conn, peer = client_with_request(limits=Limits(max_pushes=2))
    for promised in range(2, 42, 2):
        conn.data_received(peer.push_promise(1, promised, REQUEST))
        conn.data_received(peer.headers(promised, RESPONSE, end_stream=True))
    assert conn.frames() == []
    assert len(conn.of("push")) == 20


def test_a18_refusals_without_end() -> None:
    conn, peer = client_with_request(limits=Limits(max_pushes=1), recorder=Quiet)
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    outcome = flood(conn, lambda peer, i: peer.push_promise(1, 2 * i + 4, REQUEST), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 9_991)


# -- A20: work after the end (CVE-2026-27135) ------------------------------------------------------


def fatal(conn: Recorder, data: bytes) -> None:
    with pytest.raises(raw.ProtocolError):
        conn.data_received(data)


@BOTH_OPEN
def test_a20_nothing_happens_after_a_fatal_error(state: Callable[[], Started]) -> None:
    conn, peer = state()
    fatal(conn, frame(PING, 0, 0, b"short") + peer.ping() + peer.data(1, b"in the same piece"))
    assert [f.type for f in conn.frames()] == [GOAWAY]
    before = list(conn.events)
    assert before[-3:] == [("end", 1, FRAME_SIZE_ERROR, LOCAL), ("close",), ("close()",)]
    for data in (peer.ping(), peer.data(1, b"x"), peer.headers(3, REQUEST), peer.rst(1), b"\xff"):
        conn.data_received(data * 100)
    conn.connection_lost()
    assert conn.events == before
    assert conn.take() == b""


@BOTH_OPEN
def test_a20_input_is_dropped_not_kept(state: Callable[[], Started]) -> None:
    conn, peer = state()
    fatal(conn, frame(PING, 0, 0, b"short"))
    piece = peer.data(1, bytes(16_000))

    def pour() -> None:
        for _ in range(100):
            conn.data_received(piece)

    assert peak(pour) < 10_000


HALF: dict[str, Callable[[FrameFactory], bytes]] = {
    "a frame": lambda f: frame(0x42, 0, 0, bytes(16_384))[:-1],
    "a block": lambda f: b"".join(
        [
            f.headers_frame(3, bytes(16_000), end_headers=False),
            f.continuation(3, bytes(16_000), False),
        ]
    ),
    "data": lambda f: f.data(1, bytes(16_384))[:-1],
}


@pytest.mark.parametrize("kind", HALF)
def test_a20_what_was_kept_is_let_go_of(kind: str) -> None:
    held = []

    def many(end: bool) -> None:
        for _ in range(20):
            conn, peer = server_open()
            conn.data_received(HALF[kind](peer))
            conn.events.clear()
            if end:
                conn.write_reset(0, CANCEL)
            held.append(conn)

    many(True)  # whatever is made once
    held.clear()
    closed = peak(lambda: many(True))
    assert closed < 20 * 16_384 + 200_000
    for conn in held:
        with suppress(raw.DisconnectError):
            conn.write_ping(b"too late")
    for conn in held[1:]:
        assert conn.take()[-1:] != b""


@BOTH_OPEN
def test_a20_no_verb_works_after_the_end(state: Callable[[], Started]) -> None:
    conn, _ = state()
    fatal(conn, frame(PING, 0, 0, b"short"))
    conn.take()
    verbs: list[Callable[[], object]] = [
        lambda: conn.write_head(3, 200 if conn.server_side else 0, "", "/", [], True),
        lambda: conn.write_data(1, b"x", True),
        lambda: conn.write_tail(1, []),
        lambda: conn.write_reset(1, CANCEL),
        lambda: conn.write_ping(b"12345678"),
        lambda: conn.shutdown(),
        lambda: conn.open_flow(0, 100),
    ]
    for verb in verbs:
        with pytest.raises(raw.DisconnectError):
            verb()
    conn.consume(1, 10)
    assert conn.take() == b""


def test_a20_an_event_that_ends_the_connection_ends_the_loop() -> None:
    class Angry(Recorder):
        def on_message_head(self, *args: object) -> None:
            self.events.append(("head", *args[:1]))
            self.write_reset(0, ENHANCE_YOUR_CALM)

    conn, peer = server(recorder=Angry)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True) + peer.headers(3, REQUEST))
    assert conn.of("head", "tail") == [("head", 1)]
    assert [f.type for f in conn.frames()] == [GOAWAY]


# -- A21: GOAWAY and frames that are too large -----------------------------------------------------


@pytest.mark.parametrize("start", [server, client_with_request])
def test_a21_goaways(start: Callable[..., Started]) -> None:
    conn, _ = start(recorder=Quiet)
    debug = bytes(16_000)
    outcome = flood(conn, lambda peer, i: peer.goaway(MAX_ID - 2 * i, NO_ERROR, debug), 20_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 9_991)


def test_a21_what_they_say_is_not_kept() -> None:
    conn, peer = server_open()
    pieces = [peer.goaway(MAX_ID, NO_ERROR, bytes(16_000)) for _ in range(50)]

    def pour() -> None:
        for piece in pieces:
            conn.data_received(piece)

    assert peak(pour) < 50_000


def test_a21_goaways_that_take_streams_back_one_by_one() -> None:
    conn, peer = client({3: 1_000}, recorder=Quiet)
    for _ in range(500):
        request(conn)
    conn.take()
    outcome = flood(conn, lambda peer, i: peer.goaway(997 - 2 * i), 499)
    expect_none(outcome)
    assert conn.open_streams == [1]
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    assert conn.events == [("close",)]


@pytest.mark.parametrize("start", [server, client])
@pytest.mark.parametrize("type", [DATA, HEADERS, PING, GOAWAY, 0x42, 0xFF])
def test_a21_oversize_frames_are_refused_unseen(start: Callable[..., Started], type: int) -> None:
    conn, _ = start(recorder=FrameRecorder)
    head = (16_385).to_bytes(3, "big") + bytes((type, 0)) + u32(1)
    expect_connection_error(conn, head, FRAME_SIZE_ERROR)
    assert conn.of("frame") == []


def test_a21_our_own_goaway_is_short() -> None:
    conn, _ = server()
    fatal(conn, frame(PING, 0, 0, b"short"))
    (going,) = conn.frames()
    assert len(going.payload) <= 8 + 256


# -- long lives, and no clock ----------------------------------------------------------------------


def test_a16_honest_a_long_life_without_a_clock() -> None:
    """All that is useless but not wrong, in the measure of an ordinary client, for ever."""
    conn, peer = server(recorder=Quiet)
    for number in range(5_000):
        stream = 2 * number + 1
        conn.data_received(peer.headers(stream, POST) + peer.data(stream, b"body", True))
        conn.write_head(stream, 200, "", "", [], False)
        conn.write_data(stream, b"answer", True)
        conn.data_received(
            peer.ping()
            + peer.priority(stream + 2)
            + peer.window_update(stream, 6)
            + peer.window_update(0, 6)
            + frame(0x42, 0, 0, b"extension")
        )
        conn.take()
    assert conn.open_streams == []


def test_a16_a_bucket_is_refilled_by_what_gets_done_up_to_its_size() -> None:
    bucket = Bucket(10, 5.0)
    assert all(bucket.spend(1, None) for _ in range(10))
    assert not bucket.spend(1, None)
    bucket.refund(1_000)
    assert bucket.left == 10


def test_a16_a_bucket_is_refilled_by_time_and_loses_no_fraction() -> None:
    now = 0.0

    def clock() -> float:
        return now

    bucket = Bucket(10, 8.0)
    for _ in range(10):
        assert bucket.spend(1, clock)
    passed = 0
    for step in range(1, 101):
        now = step * 3 / 32  # three quarters of a token more
        if step * 3 // 4 > passed:
            assert bucket.spend(1, clock)
            passed += 1
    assert passed == 75
    assert not bucket.spend(1, clock)


@pytest.mark.parametrize("later", [1e9, float("inf")])
def test_a16_a_bucket_never_holds_more_than_its_size(later: float) -> None:
    now = 0.0
    bucket = Bucket(10, 5.0)
    assert bucket.spend(5, lambda: now)
    now = later
    assert bucket.spend(1, lambda: now)
    assert bucket.left == 9


def test_a16_a_clock_that_goes_back_gives_nothing_and_breaks_nothing() -> None:
    times = [100.0, 50.0, 50.0, 51.0]
    bucket = Bucket(10, 5.0)
    assert bucket.spend(8, lambda: times[0])
    assert bucket.spend(1, lambda: times[1])
    assert bucket.left == 1
    assert bucket.spend(1, lambda: times[3])
    assert bucket.left == 5


def test_a17_both_sides_agree_in_the_end() -> None:
    conn, peer = server(recorder=Recorder)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [], True)
    read_blocks(conn)
    assert conn.of("end") == [("end", 1, NO_ERROR, LOCAL)]
    assert REMOTE == 0
    assert client_with_request()[0].open_streams == [1]


def test_a17_the_same_over_http1() -> None:
    conn = h1_server(limits=Limits(max_requests_per_connection=2))
    conn.data_received(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
    for stream in (1, 3):
        answer(conn, stream)
    assert [e[1] for e in conn.of("head")] == [1, 3]
    first, second = conn.take().split(b"HTTP/1.1 200 ")[1:]
    assert b"connection: close" not in first and b"connection: close" in second
    assert conn.events[-1] == ("close",)
