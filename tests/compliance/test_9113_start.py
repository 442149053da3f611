"""RFC 9113 section 3: how a connection starts. Rows ST1 to ST8 of the checklist.

Each test's name begins with its row. NOT_HERE lists the rows that are not about the engine.
"""

import base64

import pytest

from cno import raw
from tests.rows import each_row
from tests.support import (
    ACK,
    ENABLE_PUSH,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    REQUEST,
    REQUEST_HEADERS,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    Make,
    Recorder,
    each_way,
    expect_connection_error,
    feed,
    frame,
    h1_server,
    parse_frames,
    read_blocks,
    request,
)

NOT_HERE = {
    "ST6": "TLS is the asyncio layer's business: tests/aio/test_tls.py",
}


def bare_server() -> Recorder:
    """An HTTP/2 server that has read nothing."""
    conn = Recorder(True)
    conn.connection_made(True)
    return conn


def bare_client() -> Recorder:
    """An HTTP/2 client that has read nothing."""
    conn = Recorder(False)
    conn.connection_made(True)
    return conn


ROLES = each_row(
    ("make", "preface"), [(bare_server, PREFACE), (bare_client, b"")], ids=["server", "client"]
)


def test_ST1_preface_is_accepted_in_any_cut() -> None:
    conn = each_way(bare_server, PREFACE + FrameFactory().settings())
    assert conn.is_http2
    assert conn.frames()[-1] == Frame(SETTINGS, ACK, 0, b"")


def test_ST1_preface_with_a_request_behind_it() -> None:
    conn = each_way(
        bare_server, lambda f: PREFACE + f.settings() + f.headers(1, REQUEST, end_stream=True)
    )
    assert conn.of("head") == [("head", 1, 0, "GET", "/", REQUEST_HEADERS)]


@each_row("at", range(len(PREFACE)))
def test_ST1_a_wrong_byte_is_an_error_at_that_byte(at: int) -> None:
    conn = bare_server()
    conn.take()
    feed(conn, PREFACE[:at], range(1, at))
    assert conn.error is None
    with pytest.raises(raw.ProtocolError) as caught:
        conn.data_received(bytes((PREFACE[at] ^ 0x01,)))
    assert caught.value.errno == raw.CNO_ERRNO_PROTOCOL
    assert conn.events == [("close",), ("close()",)]
    # > A GOAWAY frame (Section 6.8) MAY be omitted in this case, since an invalid preface indicates
    # > that the peer is not using HTTP/2.  (3.4)
    for f in conn.frames():
        assert (f.type, f.code) == (GOAWAY, PROTOCOL_ERROR)


def test_ST1_prior_knowledge_on_a_connection_begun_as_http1() -> None:
    conn = each_way(
        h1_server, lambda f: PREFACE + f.settings() + f.headers(1, REQUEST, end_stream=True)
    )
    assert conn.is_http2
    frames = conn.frames()
    assert (frames[0].type, frames[0].flags) == (SETTINGS, 0)
    assert conn.of("head") == [("head", 1, 0, "GET", "/", REQUEST_HEADERS)]


def test_ST1_prior_knowledge_can_be_disallowed() -> None:
    conn = Recorder(True)
    conn.disallow_h2_prior_knowledge = True
    conn.connection_made(False)
    feed(conn, PREFACE + FrameFactory().settings())
    assert conn.error is not None and conn.error.code == 505
    assert not conn.is_http2
    assert conn.take().startswith(b"HTTP/1.1 505 ")
    assert conn.events == [("close",), ("close()",)]


@ROLES
def test_ST2_first_frame_written_is_settings(make: Make, preface: bytes) -> None:
    conn = each_way(make, preface + FrameFactory().settings())
    written = conn.take()
    assert written.startswith(b"PRI") == (not conn.server_side)
    first = parse_frames(written)[0]
    assert (first.type, first.flags, first.stream) == (SETTINGS, 0, 0)
    assert len(first.payload) % 6 == 0


def test_ST2_client_does_not_wait_for_the_server() -> None:
    conn = bare_client()
    written = conn.take()
    assert written.startswith(PREFACE)
    assert parse_frames(written)[0].type == SETTINGS


def test_ST2_server_never_announces_push() -> None:
    conn = bare_server()
    conn.data_received(PREFACE)
    assert dict(conn.frames()[0].settings).get(ENABLE_PUSH, 0) == 0


FIRST_FRAMES = {
    "ping": FrameFactory().ping(),
    "settings ack": FrameFactory().settings(ack=True),
    "headers": FrameFactory().headers(1, REQUEST, end_stream=True),
    "window update": FrameFactory().window_update(0, 1),
    "priority": FrameFactory().priority(1),
    "goaway": FrameFactory().goaway(0),
    "unknown": frame(0x42, 0, 0, b"grease"),
}


@ROLES
@each_row("first", FIRST_FRAMES.values(), ids=FIRST_FRAMES)
def test_ST3_first_frame_is_not_settings(make: Make, preface: bytes, first: bytes) -> None:
    expect_connection_error(make, preface + first, PROTOCOL_ERROR, last=0)


def test_ST3_client_is_answered_in_http1() -> None:
    # The first nine octets are no SETTINGS frame, and also name a length beyond any limit.
    conn = bare_client()
    feed(conn, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert conn.error is not None
    goaway = conn.frames()[-1]
    assert goaway.type == GOAWAY and goaway.code in (PROTOCOL_ERROR, FRAME_SIZE_ERROR)


@ROLES
@each_row("flags", [0x80, 0x02, 0xFE])
def test_ST4_undefined_flags_on_the_first_settings(make: Make, preface: bytes, flags: int) -> None:
    conn = each_way(make, preface + frame(SETTINGS, flags))
    assert conn.frames()[-1] == Frame(SETTINGS, ACK, 0, b"")
    assert ("settings",) in conn.events


def test_ST5_client_sends_before_the_settings_of_the_server() -> None:
    conn = bare_client()
    stream = request(conn)
    (written,) = read_blocks(conn)
    assert written == (stream, REQUEST) == (1, REQUEST)


def test_ST5_streams_are_unlimited_before_settings() -> None:
    conn = bare_client()
    for _ in range(300):
        request(conn)
    heads = [f.stream for f in conn.frames() if f.type == HEADERS]
    assert heads == list(range(1, 600, 2))


def test_ST5_default_windows_and_frame_size_before_settings() -> None:
    conn = bare_client()
    request(conn, "POST", final=False)
    conn.take()
    assert conn.write_data(1, b"x" * 70_000, True) == 65_535
    sizes = [len(f.payload) for f in conn.frames()]
    assert sum(sizes) == 65_535 and max(sizes) <= 16_384


def test_ST5_the_settings_that_arrive_hold_from_then_on() -> None:
    conn = bare_client()
    request(conn, "POST", final=False)
    conn.take()
    peer = conn.peer
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 10, MAX_CONCURRENT_STREAMS: 1}))
    assert conn.write_data(1, b"x" * 100, False) == 10
    with pytest.raises(raw.WouldBlockError):
        request(conn)


H2C_HEAD = (
    b"GET /a HTTP/1.1\r\nHost: example.com\r\nUpgrade: h2c\r\n"
    b"Connection: upgrade, http2-settings\r\nHTTP2-Settings: %s\r\n\r\n"
)
H2C = H2C_HEAD % base64.urlsafe_b64encode(
    FrameFactory().settings({INITIAL_WINDOW_SIZE: 10})[9:]
).rstrip(b"=")


def upgradable_server() -> Recorder:
    conn = h1_server()
    conn.disallow_h2_upgrade = False
    return conn


def expect_http1(conn: Recorder) -> None:
    """The request was taken as HTTP/1.1, and is answered so."""
    assert not conn.is_http2
    assert conn.take() == b""
    assert [e[:5] for e in conn.of("head", "tail")] == [
        ("head", 1, 0, "GET", "/a"),
        ("tail", 1, None),
    ]
    conn.write_head(1, 200, "", "", [], True)
    assert conn.take().startswith(b"HTTP/1.1 200 ")


def test_ST7_no_upgrade_to_http2_under_tls() -> None:
    def make() -> Recorder:
        conn = upgradable_server()
        conn.scheme = "https"
        return conn

    expect_http1(each_way(make, H2C))


def test_ST8_upgrade_is_off_unless_asked() -> None:
    assert h1_server().disallow_h2_upgrade is True
    expect_http1(each_way(h1_server, H2C))


def test_ST8_upgrade_when_asked() -> None:
    conn = each_way(upgradable_server, lambda f: H2C + PREFACE + f.settings())
    assert conn.is_http2
    head, _, rest = conn.take().partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    assert lines[0].startswith(b"http/1.1 101 ")
    assert b"upgrade: h2c" in lines[1:] and b"connection: upgrade" in lines[1:]
    frames = parse_frames(rest)
    assert (frames[0].type, frames[0].flags) == (SETTINGS, 0)
    # > Acknowledgement of the SETTINGS parameters is implicit  (7540 3.2.1): one ACK, for the frame
    assert sum(f == Frame(SETTINGS, ACK, 0, b"") for f in frames) == 1
    assert [e[:5] for e in conn.of("head", "tail")] == [
        ("head", 1, 0, "GET", "/a"),
        ("tail", 1, None),
    ]


def test_ST8_upgraded_stream_is_answered_in_http2() -> None:
    conn = upgradable_server()
    conn.data_received(H2C)
    conn.take()
    conn.write_head(1, 200, "", "", [], False)
    assert conn.write_data(1, b"x" * 100, False) == 10, "HTTP2-Settings count"
    assert [f.type for f in conn.frames() if f.type not in (SETTINGS, WINDOW_UPDATE)] == [1, 0]
    conn.data_received(PREFACE + conn.peer.settings() + conn.peer.ping(b"12345678"))
    assert conn.frames()[-1] == Frame(PING, ACK, 0, b"12345678")


@each_row(
    "bad",
    [
        H2C.replace(b"Connection: upgrade, http2-settings\r\n", b""),
        H2C.replace(b"upgrade, http2-settings", b"upgrade"),
        H2C.replace(b"upgrade, http2-settings", b"http2-settings"),
        H2C.replace(b"HTTP2-Settings: ", b"X-Settings: "),
        H2C.replace(b"\r\n\r\n", b"\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
        H2C_HEAD % b"AAMAAAB",
        H2C_HEAD % b"AAM*AABk",
        H2C_HEAD % b"AAMAAA",
        H2C.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
            b"upgrade, http2-settings", b"upgrade, http2-settings, keep-alive"
        ),
    ],
    ids=[
        "no connection",
        "http2-settings not named",
        "upgrade not named",
        "no http2-settings",
        "two http2-settings",
        "not base64",
        "not base64url",
        "not of six octets",
        "http/1.0",
    ],
)
def test_ST8_a_faulty_upgrade_stays_http1(bad: bytes) -> None:
    expect_http1(each_way(upgradable_server, bad))


def test_ST8_no_upgrade_of_a_request_with_a_body() -> None:
    post = H2C.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n12345")
    conn = each_way(upgradable_server, post)
    assert not conn.is_http2
    assert conn.of("data") == [("data", 1, b"12345")]
