"""RFC 9113 sections 4.3 and 6.1: field blocks are always decoded, padding is cut. Rows FR8 to FR12.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno.limits import Limits
from tests.rows import each_row
from tests.states import (
    CLOSED,
    IDLE,
    OPEN,
    RESET_BY_US,
    State,
    client_half_closed_local,
    client_open_answered,
    client_reset_by_us,
    server_half_closed_remote,
    server_open,
)
from tests.support import (
    CANCEL,
    COMPRESSION_ERROR,
    DATA,
    END_HEADERS,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    POST,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Frame,
    FrameFactory,
    Headers,
    Make,
    Recorder,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    frame,
    merged,
    request,
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


def expect_in_step(conn: Recorder, fields: Headers) -> None:
    """The connection knows the fields its peer has put into the dynamic table last."""
    assert conn.error is None, conn.error
    conn.events.clear()
    if conn.server_side:
        conn.data_received(conn.peer.headers(1001, [*REQUEST, *fields], end_stream=True))
        assert conn.of("head") == [("head", 1001, 0, "GET", "/", [*REQUEST_HEADERS, *fields])]
    else:
        stream = request(conn)
        conn.data_received(conn.peer.headers(stream, [*RESPONSE, *fields], end_stream=True))
        assert conn.of("head") == [("head", stream, 200, "", "", fields)]


NEW = [("x-new", "to the table"), ("x-newer", "likewise")]


def test_FR8_block_of_a_refused_stream() -> None:
    conn, peer = server(limits=Limits(max_concurrent_streams=1))
    conn.data_received(peer.headers(1, POST))
    conn.data_received(peer.headers(3, [*REQUEST, *NEW], end_stream=True))
    assert conn.frames() == [Frame(RST_STREAM, 0, 3, u32(REFUSED_STREAM))]
    conn.data_received(peer.rst(1))
    expect_in_step(conn, NEW)


@pytest.mark.parametrize("state", RESET_BY_US.values())
def test_FR8_block_of_a_reset_stream(state: State) -> None:
    conn, peer = state()
    message = REQUEST if conn.server_side else RESPONSE
    conn.data_received(peer.headers(1, [*message, *NEW], end_stream=True))
    expect_in_step(conn, NEW)


def test_FR8_block_of_a_malformed_message() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, [*REQUEST, *NEW, ("UPPER", "x")], end_stream=True))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(PROTOCOL_ERROR))]
    expect_in_step(conn, NEW)


def test_FR8_block_of_malformed_trailers() -> None:
    conn, peer = server_open()
    conn.data_received(peer.headers(1, [*NEW, (":path", "/")], end_stream=True))
    expect_in_step(conn, NEW)


def test_FR8_block_of_a_rejected_push() -> None:
    conn, peer = client_reset_by_us()
    conn.data_received(peer.push_promise(1, 2, [*REQUEST, *NEW]))
    assert conn.frames() == [Frame(RST_STREAM, 0, 2, u32(CANCEL))]
    expect_in_step(conn, NEW)


BAD_BLOCKS = {
    "index 0": b"\x80",
    "index out of the tables": b"\xff\x80\x01",
    "endless integer": b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "string cut short": b"\x00\x05ab",
    "name only": b"\x00\x01a",
    "bad huffman": b"\x00\x01a\x84\xff\xff\xff\xff",
    "size update beyond the limit": b"\x3f\xff\xff\x03",
    "size update behind a field": b"\x88\x20",
}
BAD_BLOCK = each_row("block", BAD_BLOCKS.values(), ids=BAD_BLOCKS)


@BAD_BLOCK
@BOTH_RECEIVING
def test_FR9_undecodable_head(make: Make, message: Headers, block: bytes) -> None:
    expect_connection_error(make, lambda f: f.headers_frame(1, block), COMPRESSION_ERROR)


@BAD_BLOCK
@each_row(
    "state",
    [
        server_open,
        client_open_answered,
        *CLOSED.values(),
        *RESET_BY_US.values(),
        server_half_closed_remote,
    ],
)
def test_FR9_undecodable_trailers_or_late_block(state: State, block: bytes) -> None:
    conn, peer = state()
    expect_connection_error(conn, peer.headers_frame(1, block, end_stream=True), COMPRESSION_ERROR)


@BAD_BLOCK
def test_FR9_undecodable_push_promise(block: bytes) -> None:
    expect_connection_error(
        client_half_closed_local,
        frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + block),
        COMPRESSION_ERROR,
    )


@BAD_BLOCK
def test_FR9_undecodable_refused_request(block: bytes) -> None:
    conn, peer = server(limits=Limits(max_concurrent_streams=1))
    conn.data_received(peer.headers(1, POST))
    expect_connection_error(conn, peer.headers_frame(3, block), COMPRESSION_ERROR)


@pytest.mark.parametrize("pad", [0, 1, 255])
@BOTH_RECEIVING
def test_FR10_padding_belongs_to_the_headers_frame(make: Make, message: Headers, pad: int) -> None:
    def split(f: FrameFactory) -> bytes:
        block = f.block([*message, ("x-a", "b")])
        first = f.headers_frame(1, block[:-4], end_stream=True, end_headers=False, pad=pad)
        return first + f.continuation(1, block[-4:-2], False) + f.continuation(1, block[-2:])

    conn = each_way(make, split)
    (head,) = conn.of("head")
    assert head[5][-1] == ("x-a", "b")
    expect_alive(conn)


# -- FR11, FR12: padding ---------------------------------------------------------------------------

PADDED_OPEN: dict[str, State] = {"server": server_open, "client": client_open_answered}
BOTH_PADDED = each_row("make", PADDED_OPEN.values(), ids=PADDED_OPEN)


@BOTH_PADDED
@each_row("payload", [b"\x01", b"\x05abcd", b"\x06abcd", b"\xffabcd"])
def test_FR11_padding_longer_than_the_data_frame(make: Make, payload: bytes) -> None:
    conn = expect_connection_error(make, frame(DATA, PADDED, 1, payload), PROTOCOL_ERROR)
    assert conn.of("data") == []


@BOTH_PADDED
@each_row("payload", [b"\x00", b"\x04\0\0\0\0", b"\xff" + bytes(255)])
def test_FR11_a_data_frame_of_padding_only(make: Make, payload: bytes) -> None:
    expect_nothing(make, frame(DATA, PADDED, 1, payload))


@BOTH_PADDED
@pytest.mark.parametrize("size", [1, 4])
def test_FR11_padded_data(make: Make, size: int) -> None:
    conn = each_way(make, lambda f: f.data(1, b"x" * size, True, pad=size))
    assert conn.of("data", "tail") == [("data", 1, b"x" * size), ("tail", 1, None)]


@BOTH_PADDED
def test_FR11_padded_data_without_a_pad_length(make: Make) -> None:
    expect_connection_error(make, frame(DATA, PADDED, 1), FRAME_SIZE_ERROR)


@BOTH_RECEIVING
def test_FR11_padding_longer_than_the_headers_frame(make: State, message: Headers) -> None:
    size = len(make()[1].block(message))
    for pad in (bytes((size + 1,)), b"\xff"):
        conn, peer = make()
        payload = pad + peer.block(message)
        expect_connection_error(
            conn, frame(HEADERS, END_HEADERS | PADDED, 1, payload), PROTOCOL_ERROR
        )


@BOTH_RECEIVING
def test_FR11_padding_longer_than_what_priority_leaves(make: State, message: Headers) -> None:
    expect_connection_error(
        make,
        lambda f: frame(
            HEADERS, END_HEADERS | PADDED | PRIORITY_FLAG, 1, b"\x01" + u32(0) + b"\x10"
        ),
        PROTOCOL_ERROR,
    )


@BOTH_RECEIVING
@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (PADDED, b""),
        (PRIORITY_FLAG, b""),
        (PRIORITY_FLAG, b"\0\0\0\0"),
        (PRIORITY_FLAG | PADDED, b"\0\0\0\0\0"),
    ],
)
def test_FR11_headers_too_short_for_their_flags(
    make: Make, message: Headers, flags: int, payload: bytes
) -> None:
    expect_connection_error(make, frame(HEADERS, END_HEADERS | flags, 1, payload), FRAME_SIZE_ERROR)


@each_row(
    ("flags", "payload", "code"),
    [
        (0, b"", FRAME_SIZE_ERROR),
        (0, b"\0\0\0", FRAME_SIZE_ERROR),
        (PADDED, b"", FRAME_SIZE_ERROR),
        (PADDED, b"\0\0\0\0", FRAME_SIZE_ERROR),
        (PADDED, b"\x01\0\0\0\x02", PROTOCOL_ERROR),
        (PADDED, b"\x09\0\0\0\x02\x82\x84", PROTOCOL_ERROR),
    ],
)
def test_FR11_push_promise_too_short(flags: int, payload: bytes, code: int) -> None:
    expect_connection_error(
        client_half_closed_local, frame(PUSH_PROMISE, END_HEADERS | flags, 1, payload), code
    )


def test_FR11_padded_push_promise() -> None:
    conn = each_way(client_half_closed_local, lambda f: f.push_promise(1, 2, REQUEST, pad=7))
    assert conn.of("push") == [("push", 2, 1, "GET", "/", REQUEST_HEADERS)]


@BOTH_RECEIVING
def test_FR11_padded_headers_with_priority(make: Make, message: Headers) -> None:
    conn = each_way(
        make, lambda f: f.headers(1, message, end_stream=True, pad=9, priority=(R | 5, 200))
    )
    assert len(conn.of("head")) == 1


@BOTH_PADDED
def test_FR12_padding_that_is_not_zero(make: Make) -> None:
    conn = each_way(make, frame(DATA, PADDED, 1, b"\x04datapad!"))
    assert merged(conn.events) == [("data", 1, b"data")]
    expect_alive(conn)
