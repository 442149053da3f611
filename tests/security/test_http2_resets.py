"""Streams that are given up again and again. Rows A1, A2, A3 and A11 of the matrix of attacks.

Each test's name begins with its row. (With handlers and tasks: test_http2_asyncio.py.)
"""

from collections.abc import Callable

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
from tests.support import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    STREAM_CLOSED,
    Frame,
    FrameFactory,
    client,
    client_with_request,
    expect_alive,
    parse_frames,
    read_blocks,
    request,
    server,
    u32,
)


def id_of(number: int) -> int:
    return 2 * number + 1


# -- A1: rapid reset (CVE-2023-44487) --------------------------------------------------------------


def cancelled(code: int, ended: bool) -> Piece:
    return lambda peer, i: (
        peer.headers(id_of(i), REQUEST, end_stream=ended) + peer.rst(id_of(i), code)
    )


@pytest.mark.parametrize("ended", [False, True], ids=["half a request", "whole requests"])
@pytest.mark.parametrize("code", [CANCEL, NO_ERROR, REFUSED_STREAM, 0xFFFFFFFF])
def test_a01_rapid_reset(code: int, ended: bool) -> None:
    conn, _ = server(recorder=Quiet)
    outcome = flood(conn, cancelled(code, ended), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1_001)
    assert outcome.octets == 0


def test_a01_rapid_reset_in_the_middle_of_the_answer() -> None:
    conn, peer = server(recorder=Quiet)

    def begun(peer: FrameFactory, i: int) -> bytes:
        return peer.headers(id_of(i), REQUEST, end_stream=True)

    for number in range(1_001):
        conn.data_received(begun(peer, number))
        conn.write_head(id_of(number), 200, "", "", [], False)
        if number < 1_000:
            conn.data_received(peer.rst(id_of(number)))
    conn.take()
    outcome = flood(conn, lambda peer, _: peer.rst(id_of(1_000)), 1)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1)


def test_a01_refills_with_time() -> None:
    now = 0.0
    conn, _ = server(recorder=Quiet, clock=lambda: now)
    expect_none(flood(conn, cancelled(CANCEL, True), 1_000))
    now = 10.0  # 33 a second
    outcome = flood(conn, lambda peer, i: cancelled(CANCEL, True)(peer, i + 1_000), 2_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 331)


def test_a01_nothing_is_kept_of_the_cancelled() -> None:
    conn, peer = server(limits=Limits(max_stream_resets=None), recorder=Quiet)
    pieces = [cancelled(CANCEL, True)(peer, i) for i in range(5_000)]

    def pour(part: list[bytes]) -> None:
        for piece in part:
            conn.data_received(piece)

    pour(pieces[:1_000])
    assert peak(lambda: pour(pieces[1_000:])) < 100_000


def test_a01_pushes_taken_back() -> None:

    def piece(peer: FrameFactory, i: int) -> bytes:
        pushed = peer.push_promise(1, 2 * i + 2, REQUEST)
        if i % 2:
            pushed += peer.headers(2 * i + 2, RESPONSE)
        return pushed + peer.rst(2 * i + 2)

    conn, _ = client_with_request(configure={"enable_push": 1}, recorder=Quiet)
    expect_end(conn, flood(conn, piece, 2_000), ENHANCE_YOUR_CALM, 1_001)


def test_a01_honest_a_browser_cancels_60_images() -> None:
    conn, peer = server()
    for number in range(60):
        conn.data_received(peer.headers(id_of(number), REQUEST, end_stream=True))
    for number in range(60):
        conn.write_head(id_of(number), 200, "", "", [], False)
        conn.write_data(id_of(number), bytes(500), False)
        conn.data_received(peer.rst(id_of(number)))
    assert conn.open_streams == []
    read_blocks(conn)
    expect_alive(conn)


def test_a01_honest_every_second_request_cancelled_for_ever_and_no_clock() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(4_000):
        conn.data_received(peer.headers(id_of(number), REQUEST, end_stream=True))
        if number % 2:
            conn.data_received(peer.rst(id_of(number)))
        else:
            answer(conn, id_of(number))
        conn.take()


def test_a01_a_reset_behind_the_answer_costs_no_more_than_a_late_frame() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(3_000):
        conn.data_received(peer.headers(id_of(number), REQUEST, end_stream=True))
        answer(conn, id_of(number))
        conn.data_received(peer.rst(id_of(number)))
        conn.take()


# -- A2: what makes us reset (CVE-2025-8671, "MadeYouReset") ---------------------------------------

#: What a client sends behind the head of a request, and the code of the reset that it gets.
PROVOKED: dict[str, tuple[Callable[[FrameFactory, int], bytes], int]] = {
    "window update of 0": (lambda f, s: f.window_update(s, 0), PROTOCOL_ERROR),
    "window overflow": (lambda f, s: f.window_update(s, 2**31 - 1), FLOW_CONTROL_ERROR),
    "priority of wrong length": (lambda f, s: f.frame(2, 0, s, b"1234"), 6),
    "data after the end": (lambda f, s: f.data(s, b"", True) + f.data(s, b"x"), STREAM_CLOSED),
    "a head after the end": (
        lambda f, s: f.data(s, b"", True) + f.headers(s, [("x", "y")], end_stream=True),
        STREAM_CLOSED,
    ),
    "malformed trailers": (
        lambda f, s: f.headers(s, [(":path", "/")], end_stream=True),
        PROTOCOL_ERROR,
    ),
    "trailers that end nothing": (lambda f, s: f.headers(s, [("x", "y")]), PROTOCOL_ERROR),
}


@pytest.mark.parametrize("kind", PROVOKED)
def test_a02_resets_that_we_are_made_to_send(kind: str) -> None:
    mistake, code = PROVOKED[kind]
    conn, _ = server(recorder=Quiet)
    codes = set()

    def piece(peer: FrameFactory, i: int) -> bytes:
        return peer.headers(id_of(i), POST) + mistake(peer, id_of(i))

    def note() -> None:
        assert conn.open_streams == []

    first = flood(conn, piece, 1, note)
    codes = {f.code for f in first.frames or [] if f.type == RST_STREAM}
    assert codes == {code}
    outcome = flood(conn, lambda peer, i: piece(peer, i + 1), 400, note)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 128)
    assert outcome.octets == 127 * 13


MALFORMED: dict[str, list[tuple[str, str]]] = {
    "no path": REQUEST[:-1],
    "upper case": [*REQUEST, ("Upper", "case")],
    "connection": [*REQUEST, ("connection", "close")],
    "content-length without content": [*REQUEST, ("content-length", "5")],
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a02_malformed_requests(kind: str) -> None:
    conn, _ = server()
    fields = MALFORMED[kind]
    outcome = flood(conn, lambda peer, i: peer.headers(id_of(i), fields, end_stream=True), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)
    assert conn.of("head") == [] and conn.of("start") == []


def test_a02_more_data_than_announced() -> None:
    conn, _ = server(recorder=Quiet)

    def piece(peer: FrameFactory, i: int) -> bytes:
        head = peer.headers(id_of(i), [*POST, ("content-length", "1")])
        return head + peer.data(id_of(i), b"more")

    expect_end(conn, flood(conn, piece, 400), ENHANCE_YOUR_CALM, 129)


def test_a02_malformed_responses() -> None:
    conn, _ = client(recorder=Quiet)

    def piece(peer: FrameFactory, i: int) -> bytes:
        stream = request(conn)
        conn.take()
        return peer.headers(stream, [(":status", "0")])

    expect_end(conn, flood(conn, piece, 400), ENHANCE_YOUR_CALM, 129)


def test_a02_malformed_promises() -> None:
    conn, _ = client_with_request(configure={"enable_push": 1}, recorder=Quiet)
    outcome = flood(conn, lambda peer, i: peer.push_promise(1, 2 * i + 2, POST), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)


def test_a02_refills_with_time() -> None:
    now = 0.0
    conn, _ = server(recorder=Quiet, clock=lambda: now)
    bad = MALFORMED["upper case"]
    expect_none(flood(conn, lambda peer, i: peer.headers(id_of(i), bad), 128))
    now = 2.0  # 8 a second
    outcome = flood(conn, lambda peer, i: peer.headers(id_of(i + 128), bad), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 17)


def test_a02_honest_one_mistake_in_two_requests_for_ever_and_no_clock() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(0, 2_000, 2):
        conn.data_received(peer.headers(id_of(number), MALFORMED["upper case"], end_stream=True))
        conn.data_received(peer.headers(id_of(number + 1), REQUEST, end_stream=True))
        answer(conn, id_of(number + 1))
        conn.take()


def test_a02_honest_an_upload_answered_early() -> None:
    conn, peer = server(recorder=Quiet)
    for number in range(500):
        stream = id_of(number)
        conn.data_received(peer.headers(stream, POST) + peer.data(stream, bytes(1_000)))
        conn.write_head(stream, 403, "", "", [], True)
        conn.write_reset(stream, NO_ERROR)
        # Under way already: no mistake of the client's.
        conn.data_received(peer.data(stream, bytes(1_000)) + peer.data(stream, bytes(1_000), True))
        assert [f.type for f in parse_frames(conn.take()) if f.type != 8] == [HEADERS, RST_STREAM]


# -- A3: more streams than announced ---------------------------------------------------------------


def test_a03_refused_streams() -> None:
    conn, peer = server(limits=Limits(max_concurrent_streams=1))
    conn.data_received(peer.headers(1, POST))
    conn.take()
    conn.events.clear()
    seen: list[Frame] = []

    def note() -> None:
        assert conn.events == []

    first = flood(conn, lambda peer, i: peer.headers(3, REQUEST, end_stream=True), 1, note)
    seen += first.frames or []
    assert seen == [Frame(RST_STREAM, 0, 3, u32(REFUSED_STREAM))]
    outcome = flood(conn, lambda peer, i: peer.headers(5 + 2 * i, REQUEST, end_stream=True), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 128)
    assert [e[0] for e in conn.events] == ["end", "close", "close()"]


def test_a03_refused_pushes() -> None:
    conn, _ = client_with_request(
        configure={"enable_push": 1},
        limits=Limits(max_pushes=1, glitch_budget=500),
        recorder=Quiet,
    )
    outcome = flood(conn, lambda peer, i: peer.push_promise(1, 2 * i + 2, REQUEST), 1_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 492)
    assert outcome.octets == 490 * 13


def test_a03_honest_a_client_that_has_not_read_our_settings_yet() -> None:
    conn, peer = server(recorder=Quiet)
    burst = [peer.headers(id_of(i), REQUEST, end_stream=True) for i in range(200)]
    conn.data_received(b"".join(burst))
    refused = [f for f in conn.frames() if f.type == RST_STREAM]
    assert len(refused) == 100 and {f.code for f in refused} == {REFUSED_STREAM}
    for stream in list(conn.open_streams):
        answer(conn, stream)
    read_blocks(conn)
    conn.data_received(peer.headers(401, REQUEST, end_stream=True))
    assert conn.open_streams == [401]


# -- A11: mistakes on many streams, answers unread (CVE-2019-9514) ---------------------------------


def test_a11_reset_flood_while_the_answers_are_not_read() -> None:
    limits = Limits(max_error_resets=None, max_queued_control_frames=50)
    conn, _ = server(limits=limits, recorder=Quiet)
    conn.pause_writing()
    bad = MALFORMED["no path"]
    outcome = flood(conn, lambda peer, i: peer.headers(id_of(i), bad), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 51)
    assert outcome.octets == 50 * 13


def malformed_from(first: int) -> Piece:
    return lambda peer, i: peer.headers(id_of(first + i), MALFORMED["no path"])


def test_a11_answers_that_are_read_count_no_more() -> None:
    limits = Limits(max_error_resets=None, max_queued_control_frames=50)
    conn, _ = server(limits=limits, recorder=Quiet)
    for first in range(0, 500, 50):
        conn.pause_writing()
        expect_none(flood(conn, malformed_from(first), 50))
        conn.resume_writing()
    expect_none(flood(conn, malformed_from(500), 400))
