"""RFC 9113 section 4: frames, their sizes, and field blocks. Rows FR1 to FR7 and FR13.

Each test's name begins with its row of the checklist. FR8 to FR12 are in test_9113_blocks.py.
"""

import pytest

from tests.rows import each_row
from tests.states import (
    CLOSED,
    IDLE,
    OPEN,
    State,
    client_half_closed_local,
    client_open,
    client_open_answered,
    server_open,
)
from tests.support import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    MAX_FRAME_SIZE,
    PING,
    POST,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    FrameRecorder,
    Headers,
    Make,
    Recorder,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    feed,
    frame,
    merged,
    parse_frames,
    server,
    u32,
)

R = 0x80000000

BOTH_OPEN = each_row("make", OPEN.values(), ids=OPEN)
BOTH_IDLE = each_row("make", IDLE.values(), ids=IDLE)

# A server receives a request, a client the response to its request on stream 1.
RECEIVING: dict[str, tuple[State, Headers]] = {
    "server": (server, REQUEST),
    "client": (client_half_closed_local, RESPONSE),
}
BOTH_RECEIVING = each_row(("make", "message"), RECEIVING.values(), ids=RECEIVING)


# -- FR1, FR2: frames of unknown type --------------------------------------------------------------


@each_row("state", [*IDLE.values(), *OPEN.values(), *CLOSED.values()])
@each_row("type", [0x0A, 0x42, 0xFF])
@each_row("stream", [0, 1, 2, 7])
def test_FR1_unknown_frames_are_ignored(state: State, type: int, stream: int) -> None:
    conn, _ = state()
    expect_nothing(conn, frame(type, 0xFF, stream) + frame(type, 0, stream, b"payload" * 9))


@BOTH_OPEN
def test_FR1_unknown_frames_in_any_cut(make: Make) -> None:
    expect_nothing(make, frame(0x42, 0x0D, 1, b"grease" * 10) + frame(0xF0, 0, 0))


def test_FR1_unknown_frames_are_shown_to_on_frame() -> None:
    conn, _ = server(recorder=FrameRecorder)
    conn.data_received(frame(0x42, 3, 5, b"extension"))
    assert conn.events == [("frame", Frame(0x42, 3, 5, b"extension"))]


@BOTH_RECEIVING
@pytest.mark.parametrize("stream", [0, 1])
def test_FR2_unknown_frame_inside_a_field_block(make: Make, message: Headers, stream: int) -> None:
    expect_connection_error(
        make,
        lambda f: f.headers(1, message, end_headers=False) + frame(0x42, 0, stream, b"x"),
        PROTOCOL_ERROR,
    )


# -- FR3, FR4: undefined flags, the reserved bit ---------------------------------------------------


def test_FR3_undefined_flags_on_a_request() -> None:
    conn = each_way(
        server,
        lambda f: (
            f.headers(1, POST, flags=0xD2)
            + frame(PRIORITY, 0xFF, 1, u32(0) + b"\x00")
            + frame(WINDOW_UPDATE, 0xFF, 1, u32(1))
            + frame(DATA, 0xF6, 1, b"body")
            + frame(DATA, 0xF6 | END_STREAM, 1, b"")
            + frame(RST_STREAM, 0xFF, 1, u32(CANCEL))
        ),
    )
    assert merged(conn.events) == [
        ("start", 1),
        ("head", 1, 0, "POST", "/", REQUEST_HEADERS),
        ("flow", 1),
        ("data", 1, b"body"),
        ("tail", 1, None),
        ("end", 1, CANCEL, REMOTE),
    ]
    assert conn.frames() == []


def test_FR3_undefined_flags_on_a_response() -> None:
    def answer(f: FrameFactory) -> bytes:
        promise = frame(PUSH_PROMISE, 0xF3 | END_HEADERS, 1, u32(2) + f.block(REQUEST))
        block = f.block([*RESPONSE, ("server", "it")])
        return (
            promise
            + frame(HEADERS, 0xD2, 1, block[:1])
            + frame(CONTINUATION, 0xFB, 1, block[1:2])
            + frame(CONTINUATION, 0xFB | END_HEADERS, 1, block[2:])
            + frame(DATA, 0xF6 | END_STREAM, 1, b"body")
        )

    conn = each_way(client_half_closed_local, answer)
    assert [e[:2] for e in merged(conn.events)] == [
        ("start", 2),
        ("push", 2),
        ("head", 1),
        ("data", 1),
        ("tail", 1),
        ("end", 1),
    ]


@BOTH_IDLE
def test_FR3_undefined_flags_on_connection_frames(make: Make) -> None:
    conn = each_way(
        make,
        frame(SETTINGS, 0xFE)
        + frame(PING, 0xFE, 0, b"12345678")
        + frame(WINDOW_UPDATE, 0xFF, 0, u32(1))
        + frame(SETTINGS, 0xFE),
    )
    assert conn.frames() == [
        Frame(SETTINGS, ACK, 0, b""),
        Frame(PING, ACK, 0, b"12345678"),
        Frame(SETTINGS, ACK, 0, b""),
    ]
    expect_alive(conn)


def test_FR3_undefined_flags_on_goaway() -> None:
    conn = each_way(client_open, frame(GOAWAY, 0xFF, 0, u32(0x7FFFFFFF) + u32(0)))
    assert conn.open_streams == [1]


def test_FR4_reserved_bit_of_the_stream_id() -> None:
    conn = each_way(
        server,
        lambda f: (
            f.settings()[:5]
            + u32(R)
            + frame(PING, 0, R, b"12345678")
            + f.headers(R | 1, POST)
            + frame(PRIORITY, 0, R | 1, u32(0) + b"\x00")
            + f.data(R | 1, b"body")
            + frame(WINDOW_UPDATE, 0, R, u32(1))
            + frame(WINDOW_UPDATE, 0, R | 1, u32(1))
            + f.data(1, b"", True)
            + f.rst(R | 1)
        ),
    )
    assert [e[:2] for e in conn.of("start", "head", "data", "tail", "end")] == [
        ("start", 1),
        ("head", 1),
        ("data", 1),
        ("tail", 1),
        ("end", 1),
    ]
    assert conn.frames() == [
        Frame(SETTINGS, ACK, 0, b""),
        Frame(PING, ACK, 0, b"12345678"),
    ]


def test_FR4_reserved_bit_in_a_field_block_and_its_continuation() -> None:
    def message(f: FrameFactory) -> bytes:
        block = f.block(REQUEST)
        return f.headers_frame(R | 1, block[:3], end_headers=False) + f.continuation(1, block[3:])

    conn = each_way(server, message)
    assert conn.of("head") == [("head", 1, 0, "GET", "/", REQUEST_HEADERS)]


def test_FR4_reserved_bits_of_promised_and_last_stream_ids() -> None:
    conn = each_way(
        client_half_closed_local,
        lambda f: f.push_promise(R | 1, R | 2, REQUEST) + f.goaway(R | 1),
    )
    assert conn.of("push") == [("push", 2, 1, "GET", "/", REQUEST_HEADERS)]
    assert conn.open_streams == [1, 2]


# -- FR5, FR6: sizes -------------------------------------------------------------------------------

ANY_TYPE = [*range(10), 0x42]


@each_row("state", [*IDLE.values(), *OPEN.values()])
@each_row("type", ANY_TYPE)
@each_row("size", [16_385, 0xFFFFFF])
def test_FR5_oversized_frame_is_found_by_its_header(state: State, type: int, size: int) -> None:
    stream = 0 if type in (SETTINGS, PING, GOAWAY) else 1
    header = size.to_bytes(3, "big") + bytes((type, 0)) + u32(stream)
    expect_connection_error(state()[0], header, FRAME_SIZE_ERROR)


@BOTH_OPEN
def test_FR5_oversized_frame_in_any_cut(make: Make) -> None:
    expect_connection_error(make, b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", FRAME_SIZE_ERROR)


def test_FR5_limit_is_the_announced_one() -> None:
    def make() -> Recorder:
        conn, _ = server(configure={"max_frame_size": 20_000})
        assert dict(conn_settings(conn))[MAX_FRAME_SIZE] == 20_000
        return conn

    conn = make()
    expect_nothing(conn, frame(0x42, 0, 0, bytes(20_000)))
    expect_connection_error(make(), (20_001).to_bytes(3, "big") + b"\0" * 6, FRAME_SIZE_ERROR)


def conn_settings(conn: Recorder) -> list[tuple[int, int]]:
    """What the connection announced in the handshake."""
    return parse_frames(conn.hello)[0].settings


def test_FR6_data_of_16384_octets() -> None:
    conn, peer = server_open()
    feed(conn, peer.data(1, b"x" * 16_384))
    assert merged(conn.events) == [("data", 1, b"x" * 16_384)]
    conn, peer = client_open_answered()
    feed(conn, peer.data(1, b"x" * 16_384, True))
    assert conn.of("data", "tail") == [("data", 1, b"x" * 16_384), ("tail", 1, None)]


@BOTH_RECEIVING
def test_FR6_headers_and_continuation_of_16384_octets(make: State, message: Headers) -> None:
    conn, peer = make()
    block = peer.block(message)

    # Two literal fields that fill the frames to the last octet, by raw strings of known length.
    def filler(name: bytes, size: int) -> bytes:
        value = size - 2 - len(name) - 3
        length = value - 127
        return (
            bytes((0x00, len(name)))
            + name
            + bytes((0x7F, length & 0x7F | 0x80, length >> 7))
            + b"v" * value
        )

    first = filler(b"x-first", 16_384 - len(block))
    second = filler(b"x-second", 16_384)
    assert len(block + first) == len(second) == 16_384
    feed(
        conn,
        peer.headers_frame(1, block + first, end_stream=True, end_headers=False)
        + peer.continuation(1, second),
    )
    assert conn.error is None
    (head,) = conn.of("head")
    assert [name for name, _ in head[5][-2:]] == ["x-first", "x-second"]
    expect_alive(conn)


@BOTH_IDLE
def test_FR6_settings_frame_larger_than_needed(make: Make) -> None:
    conn = each_way(make, lambda f: f.settings({0xFF00 + i: i for i in range(30)}))
    assert conn.frames() == [Frame(SETTINGS, ACK, 0, b"")]


# -- FR7: field blocks in pieces

INTRUDERS: dict[str, bytes] = {
    "data": FrameFactory().data(1, b"x"),
    "headers": FrameFactory().headers_frame(1, b"\x88"),
    "headers of another stream": FrameFactory().headers(3, REQUEST),
    "priority": FrameFactory().priority(1),
    "rst_stream": FrameFactory().rst(1),
    "settings": FrameFactory().settings(),
    "settings ack": FrameFactory().settings(ack=True),
    "push_promise": FrameFactory().push_promise(1, 2, REQUEST),
    "ping": FrameFactory().ping(),
    "goaway": FrameFactory().goaway(0),
    "window_update": FrameFactory().window_update(1, 1),
    "window_update of the connection": FrameFactory().window_update(0, 1),
    "continuation of another stream": FrameFactory().continuation(3, b""),
    "continuation of stream 0": FrameFactory().continuation(0, b""),
}
INTRUDER = each_row("intruder", INTRUDERS.values(), ids=INTRUDERS)


@BOTH_RECEIVING
@INTRUDER
def test_FR7_only_continuation_may_follow(make: Make, message: Headers, intruder: bytes) -> None:
    expect_connection_error(
        make, lambda f: f.headers(1, message, end_headers=False) + intruder, PROTOCOL_ERROR
    )


@BOTH_RECEIVING
@INTRUDER
def test_FR7_also_after_a_continuation(make: State, message: Headers, intruder: bytes) -> None:
    conn, peer = make()
    block = peer.block(message)
    expect_connection_error(
        conn,
        peer.headers_frame(1, block[:1], end_headers=False)
        + peer.continuation(1, block[1:] or b"\x82", False)
        + intruder,
        PROTOCOL_ERROR,
    )


@INTRUDER
def test_FR7_also_after_a_push_promise(intruder: bytes) -> None:
    conn, peer = client_half_closed_local()
    expect_connection_error(
        conn, peer.push_promise(1, 2, REQUEST, end_headers=False) + intruder, PROTOCOL_ERROR
    )


@BOTH_RECEIVING
def test_FR7_a_block_cut_at_every_octet_by_continuation(make: State, message: Headers) -> None:
    fields = [*message, ("x-some", "thing of a length")]
    size = len(make()[1].block(fields))
    for cut in range(size + 1):
        conn, peer = make()
        block = peer.block(fields)
        feed(
            conn,
            peer.headers_frame(1, block[:cut], end_stream=True, end_headers=False)
            + peer.continuation(1, block[cut:]),
        )
        (head,) = conn.of("head")
        assert head[5][-1] == ("x-some", "thing of a length")
        assert conn.of("tail") == [("tail", 1, None)]


# -- FR13: the bytes may come in any pieces --------------------------------------------------------


def test_FR13_a_long_conversation_with_a_server() -> None:
    def talk(f: FrameFactory) -> bytes:
        block = f.block([*POST, ("x-long", "v" * 40), ("cookie", "a=b"), ("cookie", "c=d")])
        return (
            f.headers_frame(1, block[:9], end_headers=False, pad=3)
            + f.continuation(1, block[9:])
            + f.ping(b"one ping")
            + f.data(1, b"some", pad=2)
            + f.headers(3, REQUEST, end_stream=True, priority=(1, 3))
            + frame(0x42, 1, 3, b"grease")
            + f.data(1, b"thing")
            + f.window_update(0, 5)
            + f.window_update(3, 5)
            + f.rst(3, CANCEL)
            + f.settings({MAX_FRAME_SIZE: 20_000})
            + f.headers(1, [("x-trailer", "t")], end_stream=True)
            + f.headers(5, [*REQUEST, ("Bad", "name")], end_stream=True)
            + f.priority(7, 5)
            + f.goaway(0)
        )

    conn = each_way(server, talk)
    assert [e[:2] for e in conn.of("start", "head", "data", "tail", "end")] == [
        ("start", 1),
        ("head", 1),
        ("data", 1),
        ("start", 3),
        ("head", 3),
        ("tail", 3),
        ("data", 1),
        ("end", 3),
        ("tail", 1),
    ]
    assert [f.type for f in conn.frames()] == [PING, SETTINGS, RST_STREAM]


def test_FR13_a_long_conversation_with_a_client() -> None:
    def talk(f: FrameFactory) -> bytes:
        return (
            f.settings({0x99: 1})
            + f.headers(1, [(":status", "103"), ("link", "</a>")])
            + f.push_promise(1, 2, REQUEST)
            + f.headers(1, [*RESPONSE, ("content-length", "9")], pad=0)
            + f.data(1, b"some")
            + f.headers(2, RESPONSE)
            + f.data(2, b"pushed")
            + f.data(1, b"thing", pad=1)
            + f.ping(b"one ping")
            + f.data(2, b"", True)
            + f.headers(1, [("x-trailer", "t")], end_stream=True)
        )

    conn = each_way(client_half_closed_local, talk)
    assert [e[:2] for e in conn.of("head", "push", "data", "tail", "end")] == [
        ("head", 1),
        ("push", 2),
        ("head", 1),
        ("data", 1),
        ("head", 2),
        ("data", 2),
        ("data", 1),
        ("tail", 2),
        ("end", 2),
        ("tail", 1),
        ("end", 1),
    ]
    assert conn.frames() == [Frame(SETTINGS, ACK, 0, b""), Frame(PING, ACK, 0, b"one ping")]
