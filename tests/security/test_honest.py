"""For each budget, an hour of the honest traffic that comes closest to abuse passes.

The clock is simulated. Where an hour of real traffic would take too long, its rate and the budgets
are reduced by the same factor, so that each budget is used to the same degree. The names begin with
the rows of the attacks that the traffic resembles.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from cno import raw
from cno.limits import Limits
from tests.frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    POST,
    PREFACE,
    REFUSED_STREAM,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Fields,
    FrameFactory,
    frame,
    parse_frames,
)
from tests.security.floods import Quiet, answer
from tests.support import Recorder, client, request, server

HOUR = 3_600
#: As fractions of the real ones.
SCALE = 50


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def hour(self, each: float = 1.0) -> Iterator[int]:
        """The steps of an hour, with so many seconds between them."""
        for number in range(int(HOUR / each)):
            yield number
            self.now += each


def scaled(**others: Any) -> Limits:
    """Budgets that hold a fiftieth, refilled at a fiftieth of the rate."""
    whole = Limits()
    return Limits(
        max_stream_resets=(whole.max_stream_resets or 0) // SCALE,
        stream_reset_rate=whole.stream_reset_rate / SCALE,
        max_error_resets=(whole.max_error_resets or 0) // SCALE,
        error_reset_rate=whole.error_reset_rate / SCALE,
        glitch_budget=(whole.glitch_budget or 0) // SCALE,
        glitch_rate=whole.glitch_rate / SCALE,
        **others,
    )


def quiet_server(**options: Any) -> tuple[Recorder, FrameFactory, Clock]:
    clock = Clock()
    conn, peer = server(recorder=Quiet, clock=clock, **options)
    return conn, peer, clock


def quiet_client(**options: Any) -> tuple[Recorder, FrameFactory, Clock]:
    clock = Clock()
    conn, peer = client(recorder=Quiet, clock=clock, **options)
    return conn, peer, clock


def codes(conn: Recorder) -> list[int]:
    """Of the streams that we have reset since the last time."""
    frames = parse_frames(conn.take())
    assert GOAWAY not in [f.type for f in frames]
    return [f.code for f in frames if f.type == RST_STREAM]


# -- A1: streams that the client gives up ----------------------------------------------------------


@pytest.mark.parametrize("age", [0.6, 1, 5])
def test_a01_deadlines_while_nothing_is_answered(age: float) -> None:
    """gRPC clients, or a proxy with many, before a service that hangs: each call is given up when
    its deadline has passed, and none completes. 100 a second, of which 33 would be refilled."""
    conn, peer, clock = quiet_server(limits=scaled())
    calls: list[tuple[float, int]] = []
    for number in clock.hour(0.5):
        conn.data_received(peer.headers(2 * number + 1, REQUEST, end_stream=True))
        calls.append((clock.now, 2 * number + 1))
        while calls[0][0] <= clock.now - age:
            conn.data_received(peer.rst(calls.pop(0)[1], CANCEL))
        conn.take()


@pytest.mark.parametrize("age", [0.6, 1, 5])
def test_a01_calls_that_are_given_up_together(age: float) -> None:
    """As many as may be open begin together, and their deadlines pass together: pages that are left
    while they load, batches before a service that hangs."""
    conn, peer, clock = quiet_server()
    for number in range(int(600 / age)):
        streams = range(200 * number + 1, 200 * number + 201, 2)
        conn.data_received(b"".join(peer.headers(id, REQUEST, end_stream=True) for id in streams))
        clock.now += age
        conn.data_received(b"".join(peer.rst(id, CANCEL) for id in streams))
        assert codes(conn) == []


@pytest.mark.parametrize("pause", [0, 0.2])
def test_a01_but_not_together_at_once(pause: float) -> None:
    conn, peer, clock = quiet_server()

    def minute() -> None:
        for number in range(int(60 / (pause or 1))):
            streams = range(200 * number + 1, 200 * number + 201, 2)
            for id in streams:
                conn.data_received(peer.headers(id, REQUEST, end_stream=True))
            clock.now += pause
            conn.data_received(b"".join(peer.rst(id, CANCEL) for id in streams))

    with pytest.raises(raw.ProtocolError, match="reset"):
        minute()


def test_a01_but_what_is_taken_back_at_once_is_charged() -> None:
    conn, peer, clock = quiet_server(limits=scaled())

    def hour() -> None:
        for number in clock.hour(0.5):
            stream = 2 * number + 1
            conn.data_received(peer.headers(stream, REQUEST, end_stream=True) + peer.rst(stream))

    with pytest.raises(raw.ProtocolError, match="reset"):
        hour()


def test_a01_hedged_requests() -> None:
    """Each is sent twice, and the second to be answered is given up."""
    conn, peer, clock = quiet_server(limits=scaled())
    for number in clock.hour():
        stream = 4 * number + 1
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.data_received(peer.headers(stream + 2, REQUEST, end_stream=True))
        answer(conn, stream)
        conn.data_received(peer.rst(stream + 2))
        conn.take()


# -- A2, A16: streams that we give up --------------------------------------------------------------


def test_a02_a16_uploads_that_the_application_refuses() -> None:
    """64 KiB of each are under way when the answer is given: 16 frames of 4 KiB."""
    conn, peer, clock = quiet_server(limits=scaled())
    for number in clock.hour(2):
        stream = 2 * number + 1
        conn.data_received(peer.headers(stream, POST))
        conn.write_head(stream, 403, "", "", [], True)
        conn.write_reset(stream, NO_ERROR)
        conn.data_received(peer.data(stream, bytes(4_000)) * 16 + peer.rst(stream))
        assert codes(conn) == [NO_ERROR]


def test_a02_a16_more_refused_uploads_at_once_than_are_remembered() -> None:
    conn, peer, clock = quiet_server(limits=Limits(max_concurrent_streams=1_000))
    for round in range(5):
        streams = range(1 + 1_000 * round, 1_001 + 1_000 * round, 2)
        for stream in streams:
            conn.data_received(peer.headers(stream, POST))
            conn.write_head(stream, 403, "", "", [], True)
            conn.write_reset(stream, NO_ERROR)
        assert len(codes(conn)) == 500
        for stream in streams:
            conn.data_received(peer.data(stream, b"late") + peer.data(stream, b"late", True))
        assert codes(conn) == [], "what was under way is no mistake"
        clock.now += 1


@pytest.mark.parametrize("announced", [True, False])
def test_a02_uploads_beyond_max_body_size(announced: bool) -> None:
    """No client knows that bound."""
    conn, peer, clock = quiet_server(limits=scaled(max_body_size=1_000))
    length: Fields = [("content-length", "1500")] if announced else []
    for number in clock.hour():
        stream = 2 * number + 1
        conn.data_received(peer.headers(stream, [*POST, *length]))
        conn.data_received(peer.data(stream, bytes(750)) + peer.data(stream, bytes(750), True))
        codes(conn)


# -- A3: more streams than we allow ----------------------------------------------------------------


@pytest.mark.parametrize("count", [300, 5_000])
@pytest.mark.parametrize("body", [False, True])
def test_a03_a_first_flight(count: int, body: bool) -> None:
    """All that an application has to send, before our SETTINGS can have come: h2, .NET, Netty."""
    conn, peer, _ = quiet_server_unacknowledged()
    for number in range(count):
        conn.data_received(peer.headers(2 * number + 1, POST, end_stream=not body))
    assert codes(conn) == [REFUSED_STREAM] * (count - 100)
    conn.data_received(peer.settings(ack=True))
    if body:
        for number in range(count):
            conn.data_received(peer.data(2 * number + 1, b"x", True))
    assert codes(conn) == []
    for stream in list(conn.open_streams):
        answer(conn, stream)
    for number in range(count, 2 * count):
        conn.data_received(peer.headers(2 * number + 1, POST, end_stream=True))
        answer(conn, 2 * number + 1)
        assert codes(conn) == []


def quiet_server_unacknowledged() -> tuple[Recorder, FrameFactory, Clock]:
    clock = Clock()
    conn = Quiet(True, clock=clock)
    conn.connection_made(True)
    conn.data_received(PREFACE + conn.peer.settings())
    conn.take()
    return conn, conn.peer, clock


def test_a03_a_first_flight_with_priorities() -> None:
    """PRIORITY_UPDATE before each request, as browsers send it."""
    conn, peer, _ = quiet_server_unacknowledged()
    for number in range(300):
        conn.data_received(peer.priority_update(2 * number + 1, "u=1"))
        conn.data_received(peer.headers(2 * number + 1, REQUEST, end_stream=True))
    assert len(codes(conn)) == 200


def test_a03_but_with_our_settings_acknowledged_all_is_charged() -> None:
    conn, _, _ = quiet_server()
    assert requests_until_the_end(conn) == 100 + 128


def test_a03_but_a_first_flight_has_an_end() -> None:
    conn = Quiet(True, limits=Limits(max_early_streams=50))
    conn.connection_made(True)
    conn.data_received(PREFACE + conn.peer.settings())
    assert requests_until_the_end(conn) == 100 + 50 + 128


def requests_until_the_end(conn: Recorder) -> int:
    """How many requests, without an answer to any, the connection takes."""
    for number in range(1_000):
        try:
            conn.data_received(conn.peer.headers(2 * number + 1, REQUEST, end_stream=True))
        except raw.ProtocolError:
            return number
    raise AssertionError("no end")


# -- A5: header lists ------------------------------------------------------------------------------


def test_a05_a_browser_with_too_many_cookies() -> None:
    """Every request gets a 431, until somebody empties the jar."""
    limits = Limits(max_header_list_size=8_192, max_error_resets=2, error_reset_rate=0.01)
    conn, peer, clock = quiet_server(limits=limits)
    jar = [("cookie", f"name-{n}=" + "v" * 1_000) for n in range(9)]
    for number in clock.hour(36):
        conn.data_received(peer.headers(2 * number + 1, [*REQUEST, *jar], end_stream=True))
        assert codes(conn) == []


def test_a05_a_server_with_too_many_fields() -> None:
    """Every response is refused; other requests on the connection must not suffer for it."""
    limits = Limits(max_header_list_size=8_192, max_error_resets=2, error_reset_rate=0.01)
    conn, peer, clock = quiet_client(limits=limits)
    report = [(f"x-report-{n}", "v" * 1_000) for n in range(9)]
    for _ in clock.hour(36):
        stream = request(conn)
        conn.take()
        conn.data_received(peer.headers(stream, [*RESPONSE, *report]) + peer.data(stream, b"x"))
        assert codes(conn) == [ENHANCE_YOUR_CALM]


def test_a05_pages_of_requests_with_large_cookies() -> None:
    """Several at once, within all that we announce, but more than we hold together."""
    limits = Limits(
        max_header_bytes_per_connection=8_000, max_error_resets=2, error_reset_rate=0.01
    )
    conn, peer, clock = quiet_server(limits=limits)
    jar = [("cookie", "v" * 4_100)]
    last = -1
    for _ in clock.hour(60):
        for _ in range(5):
            last += 2
            conn.data_received(peer.headers(last, [*REQUEST, *jar], end_stream=True))
        assert codes(conn) == [REFUSED_STREAM] * 4
        for stream in list(conn.open_streams):
            answer(conn, stream)
        conn.take()


def test_a04_lists_as_large_as_we_announce() -> None:
    """In frames of 16 KiB, as large as we take."""
    conn, peer, clock = quiet_server()
    jar = [("cookie", "v" * 6_500) for _ in range(9)]
    for number in clock.hour(300):
        block = peer.block([*REQUEST, *jar])
        pieces = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
        stream = 2 * number + 1
        conn.data_received(peer.headers_frame(stream, pieces[0], end_headers=False))
        for piece in pieces[1:-1]:
            conn.data_received(peer.continuation(stream, piece, False))
        conn.data_received(peer.continuation(stream, pieces[-1]))
        answer(conn, stream)
        conn.data_received(peer.data(stream, b"", True))
        assert codes(conn) == []


# -- A8: small frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["server", "client"])
def test_a08_keystrokes_that_are_read_late(role: str) -> None:
    """Ten a second, of one octet; the application looks every minute."""
    conn, peer, clock = quiet_server() if role == "server" else quiet_client()
    conn.manual_flow_control = True
    if role == "server":
        conn.data_received(peer.headers(1, POST))
    else:
        request(conn, "POST", final=False)
        conn.data_received(peer.headers(1, RESPONSE))
    for number in clock.hour(0.1):
        conn.data_received(peer.data(1, b"k"))
        if number % 600 == 599:
            conn.consume(1, 600)
        conn.take()


# -- A9, A12, A16: frames that move nothing --------------------------------------------------------


@pytest.mark.parametrize("timed", [True, False])
def test_a09_a16_keepalives_on_an_idle_connection(timed: bool) -> None:
    """A PING each second, with a clock and without."""
    clock = Clock()
    conn, peer = server(recorder=Quiet, clock=clock if timed else None)
    for _ in clock.hour():
        conn.data_received(peer.ping())
        conn.take()


def test_a09_keepalives_while_our_transport_is_full() -> None:
    conn, peer, clock = quiet_server()
    conn.pause_writing()
    for _ in clock.hour(5):
        conn.data_received(peer.ping())


def test_a10_a16_reprioritized_requests() -> None:
    """A browser tells of each request twice where it stands."""
    conn, peer, clock = quiet_server(limits=scaled())
    for number in clock.hour():
        stream = 2 * number + 1
        conn.data_received(peer.priority_update(stream, "u=3"))
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.data_received(peer.priority_update(stream, "u=1") + peer.priority(stream))
        answer(conn, stream)
        conn.take()


def test_a12_windows_that_follow_the_bandwidth() -> None:
    """A peer that measures it announces another window every second."""
    conn, peer, clock = quiet_server()
    for number in clock.hour():
        conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 65_535 + number}))
        conn.take()


def test_a12_settings_with_reserved_ones_among_them() -> None:
    conn, peer, clock = quiet_server()
    entries = [(key, 65_535) for key in (1, 4, *(0x1A1A + 0x1010 * n for n in range(10)))]
    for _ in clock.hour(60):
        conn.data_received(peer.settings(entries))
        conn.take()


def test_a16_a_download_acknowledged_in_small_steps() -> None:
    """4 KiB at a time, on the stream and on the connection, as Go does."""
    conn, peer, clock = quiet_server(limits=scaled())
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [], False)
    for _ in clock.hour():
        assert conn.write_data(1, bytes(16_384), False) == 16_384
        for _ in range(4):
            conn.data_received(peer.window_update(0, 4_096) + peer.window_update(1, 4_096))
        conn.take()


def test_a16_unknown_frames_beside_requests() -> None:
    """Browsers send frames of reserved types, to keep servers from choking on them."""
    conn, peer, clock = quiet_server(limits=scaled())
    for number in clock.hour():
        stream = 2 * number + 1
        conn.data_received(frame(0x2A, 0, 0, b"grease"))
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        answer(conn, stream)
        conn.take()


# -- A15: empty DATA -------------------------------------------------------------------------------


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("role", ["server", "client"])
def test_a15_a_relay_that_flushes(role: str, timed: bool) -> None:
    """An empty frame behind each piece of a stream that lasts a day, with a clock and without."""
    clock = Clock()
    make = server if role == "server" else client
    conn, peer = make(recorder=Quiet, clock=clock if timed else None)
    open_stream(conn, peer)
    for _ in clock.hour():
        conn.data_received(peer.data(1, b"event: number\n\n" * 2) + peer.data(1, b""))
        conn.take()


@pytest.mark.parametrize("role", ["server", "client"])
def test_a15_heartbeats_without_data(role: str) -> None:
    conn, peer, clock = quiet_server() if role == "server" else quiet_client()
    open_stream(conn, peer)
    for _ in clock.hour():
        conn.data_received(peer.data(1, b""))
        conn.take()


def open_stream(conn: Recorder, peer: FrameFactory) -> None:
    """On which the peer sends its body."""
    if conn.server_side:
        conn.data_received(peer.headers(1, POST))
    else:
        request(conn, "POST", final=False)
        conn.data_received(peer.headers(1, RESPONSE))


# -- A17: streams without end ----------------------------------------------------------------------


def test_a17_requests_and_nothing_else() -> None:
    conn, peer, clock = quiet_server(limits=scaled())
    for number in clock.hour(0.5):
        conn.data_received(peer.headers(2 * number + 1, REQUEST, end_stream=True))
        answer(conn, 2 * number + 1)
        conn.take()


# -- A18: pushes ----------------------------------------------------------------------------------


def test_a18_a_server_that_pushes_more_than_we_take() -> None:
    """Beside each response, while a first push is never finished."""
    limits = scaled(max_pushes=1)
    conn, peer, clock = quiet_client(limits=limits, configure={"enable_push": 1})
    for number in clock.hour():
        stream = request(conn)
        pushed = peer.push_promise(stream, 2 * number + 2, REQUEST)
        conn.data_received(pushed + peer.headers(stream, RESPONSE, end_stream=True))
        assert codes(conn) == ([REFUSED_STREAM] if number else [])


# -- E21: informational responses ------------------------------------------------------------------


@pytest.mark.parametrize("code", [102, 103, 104])
@pytest.mark.parametrize("http2", [False, True])
def test_e21_progress_of_a_long_request(http2: bool, code: int) -> None:
    """102 (Processing), or 104 (Upload Resumption Supported), each second until it is done."""
    clock = Clock()
    peer = FrameFactory()
    if http2:
        conn, peer = client(recorder=Quiet, clock=clock)
    else:
        conn = Quiet(False, clock=clock)
        conn.connection_made(False)
    conn.write_head(1, 0, "PUT", "/", list(REQUEST_HEADERS), False)
    for _ in clock.hour():
        if http2:
            conn.data_received(peer.headers(1, [(":status", str(code))]))
        else:
            conn.data_received(b"HTTP/1.1 %d x\r\n\r\n" % code)
        assert conn.open_streams == [1]


@pytest.mark.parametrize("http2", [False, True])
def test_e21_but_not_faster_than_anybody_can_want_to_know(http2: bool) -> None:
    clock = Clock()
    peer = FrameFactory()
    if http2:
        conn, peer = client(recorder=Quiet, clock=clock)
    else:
        conn = Quiet(False, clock=clock)
        conn.connection_made(False)
    conn.write_head(1, 0, "PUT", "/", list(REQUEST_HEADERS), False)
    count = 0
    try:
        for number in clock.hour(0.05):
            if http2:
                conn.data_received(peer.headers(1, [(":status", "102")]))
            else:
                conn.data_received(b"HTTP/1.1 102 x\r\n\r\n")
            if not conn.open_streams:
                break
            count = number
    except raw.ProtocolError:
        pass
    assert count < 50


def test_e21_early_hints_for_a_hundred_requests_at_once() -> None:
    conn, peer, _ = quiet_client()
    for number in range(100):
        conn.write_head(2 * number + 1, 0, "GET", "/", list(REQUEST_HEADERS), True)
    for number in range(100):
        conn.data_received(peer.headers(2 * number + 1, [(":status", "103")]))
    assert codes(conn) == [] and len(conn.open_streams) == 100


# -- HTTP/1.1 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["server", "client"])
def test_e08_a_body_whose_chunks_are_signed(role: str) -> None:
    """81 octets of extension for each 4 KiB, 64 MiB in all."""
    conn = Quiet(role == "server")
    conn.connection_made(False)
    if role == "server":
        start = b"POST / HTTP/1.1\r\nHost: a\r\n"
    else:
        conn.write_head(1, 0, "GET", "/", list(REQUEST_HEADERS), True)
        start = b"HTTP/1.1 200 OK\r\n"
    conn.data_received(start + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"1000;chunk-signature=" + b"0" * 64 + b"\r\n" + bytes(4_096) + b"\r\n"
    for _ in range(1 << 14):
        conn.data_received(chunk)


def test_e17_requests_one_behind_the_other() -> None:
    """A client that pipelines as many as we let it, and waits."""
    conn = Quiet(True)
    conn.connection_made(False)
    last = 1
    for _ in range(HOUR // 10):
        conn.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 16)
        for _ in range(16):
            answer(conn, last)
            last += 2


def test_e09_blank_lines_between_requests() -> None:
    """Old clients put one behind each body."""
    conn = Quiet(True)
    conn.connection_made(False)
    one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n"
    for number in range(HOUR):
        conn.data_received(one)
        answer(conn, 2 * number + 1)
