"""Field blocks and header lists. Rows A4, A5, A6, A7 and A13 of the matrix of attacks.

Each test's name begins with its row.
"""

from collections.abc import Callable

import pytest

from cno.limits import Limits
from tests.security.floods import (
    Quiet,
    answer,
    ended_by_us,
    expect_end,
    expect_none,
    flood,
    peak,
    with_fields,
)
from tests.support import (
    COMPRESSION_ERROR,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    HEADER_TABLE_SIZE,
    HEADERS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    POST,
    REFUSED_STREAM,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Frame,
    FrameFactory,
    Recorder,
    client,
    client_with_request,
    expect_alive,
    expect_connection_error,
    literal,
    parse_frames,
    read_blocks,
    request,
    server,
    server_with_request,
    u32,
)

Started = tuple[Recorder, FrameFactory]
ROLES: dict[str, Callable[..., Started]] = {"server": server, "client": client_with_request}
BOTH = pytest.mark.parametrize("start", ROLES.values(), ids=ROLES)


def refused(conn: Recorder) -> list[tuple[int, str]]:
    """Which streams were answered by 431 and the like."""
    return [(s, dict(f)[":status"]) for s, f in read_blocks(conn)]


# -- A4: CONTINUATION flood (CVE-2024-27316 and others) --------------------------------------------


@BOTH
@pytest.mark.parametrize("size", [1, 100])
def test_a04_endless_block(start: Callable[..., Started], size: int) -> None:
    conn, peer = start()
    conn.data_received(peer.headers_frame(1, b"\x82", end_headers=False))
    conn.take()
    outcome = flood(conn, lambda peer, i: peer.continuation(1, b"\x82" * size, False), 1_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 9)


@BOTH
def test_a04_empty_pieces(start: Callable[..., Started]) -> None:
    conn, peer = start()
    conn.data_received(peer.headers_frame(1, b"\x82", end_headers=False))
    conn.take()
    outcome = flood(conn, lambda peer, i: peer.continuation(1, b"", False), 1_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 2)


def test_a04_an_empty_head_and_an_empty_piece() -> None:
    conn, peer = server()
    conn.data_received(peer.headers_frame(1, b"", end_headers=False))
    outcome = flood(conn, lambda peer, i: peer.continuation(1, b"", False), 1_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 1)


@BOTH
def test_a04_large_pieces(start: Callable[..., Started]) -> None:
    conn, peer = start()
    conn.data_received(peer.headers_frame(1, bytes(16_384), end_headers=False))
    conn.take()

    def pour() -> None:
        outcome = flood(conn, lambda peer, i: peer.continuation(1, bytes(16_384), False), 1_000)
        expect_end(conn, outcome, ENHANCE_YOUR_CALM, 4)

    assert peak(pour) < 400_000


def test_a04_one_frame_larger_than_a_block_may_be() -> None:
    limits = Limits(max_frame_size=1 << 20, max_header_block_size=20_000)
    conn, peer = server(limits=limits)
    block = literal(b"x", b"y") * 4_001
    expect_connection_error(conn, peer.headers_frame(1, block), ENHANCE_YOUR_CALM)


def test_a04_the_promise_of_a_push() -> None:
    conn, peer = client_with_request(configure={"enable_push": 1})
    conn.data_received(peer.push_promise(1, 2, REQUEST, end_headers=False))
    conn.take()
    outcome = flood(conn, lambda peer, i: peer.continuation(1, b"\x82", False), 1_000)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 9)


def test_a04_honest_a_large_head_in_the_largest_frames() -> None:
    conn, peer = server()
    fields = with_fields(REQUEST, 40, "v" * 1_000)
    block = peer.block(fields)
    assert len(block) > 2 * 16_384
    data = peer.headers_frame(1, block[:16_384], end_stream=True, end_headers=False)
    data += peer.continuation(1, block[16_384:32_768], False)
    data += peer.continuation(1, block[32_768:])
    conn.data_received(data)
    assert [e[0] for e in conn.seen()] == ["start", "head", "tail"]


def test_a04_honest_eight_pieces() -> None:
    conn, peer = server()
    block = peer.block(REQUEST)
    data = peer.headers_frame(1, b"", end_stream=True, end_headers=False)
    data += peer.continuation(1, block[:1], False)
    for i in range(1, 7):
        data += peer.continuation(1, block[i : i + 1], False)
    conn.data_received(data + peer.continuation(1, block[7:]))
    assert [e[0] for e in conn.seen()] == ["start", "head", "tail"]
    expect_alive(conn)


# -- A5: many fields from few octets (CVE-2026-49975 and others) -----------------------------------


def bomb(peer: FrameFactory, stream: int, count: int, cookie: bool = False) -> bytes:
    """One field in the table, and so many references to it: an octet each."""
    block = peer.block([*POST, ("cookie" if cookie else "x", "a")])
    first = 62  # the newest entry of the dynamic table
    return peer.headers_frame(stream, block + bytes((0x80 | first,)) * count)


@pytest.mark.parametrize("cookie", [False, True], ids=["a field", "cookie crumbs"])
def test_a05_too_many_fields(cookie: bool) -> None:
    conn, peer = server()
    conn.data_received(bomb(peer, 1, 1_000, cookie))
    frames = parse_frames(conn.hello + b"".join(conn.written))
    assert frames[-1] == Frame(RST_STREAM, 0, 1, u32(NO_ERROR))
    assert refused(conn) == [(1, "431")]
    assert conn.events == []
    expect_alive(conn)


def test_a05_so_many_that_the_connection_ends() -> None:
    conn, peer = server()
    size = 4 * 65_536 // (32 + len("x") + len("a"))
    expect_connection_error(conn, bomb(peer, 1, size), ENHANCE_YOUR_CALM)


def test_a05_what_is_beyond_is_not_kept() -> None:
    conn, peer = server(recorder=Quiet)
    data = bomb(peer, 1, 6_000)
    assert peak(lambda: conn.data_received(data)) < 100_000


def test_a05_refusals_are_counted() -> None:
    conn, _ = server(recorder=Quiet)
    outcome = flood(conn, lambda peer, i: bomb(peer, 2 * i + 1, 1_000), 400)
    expect_end(conn, outcome, ENHANCE_YOUR_CALM, 129)


def test_a05_a_response_of_too_many_fields() -> None:
    conn, peer = client_with_request()
    block = peer.block([*RESPONSE, ("x", "a")])
    conn.data_received(peer.headers_frame(1, block + b"\xbe" * 1_000))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(ENHANCE_YOUR_CALM))]
    assert ended_by_us(conn, 1, ENHANCE_YOUR_CALM)
    expect_alive(conn)


LIST = with_fields(POST, 10, "v" * 100)
LIST_SIZE = sum(len(name) + len(value) + 32 for name, value in LIST)


def test_a05_all_open_streams_together() -> None:
    conn, peer = server(limits=Limits(max_header_bytes_per_connection=3 * LIST_SIZE))
    for stream in (1, 3, 5, 7):
        conn.data_received(peer.headers(stream, LIST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 7, u32(REFUSED_STREAM))]
    assert conn.open_streams == [1, 3, 5]
    conn.data_received(peer.rst(3) + peer.headers(9, LIST) + peer.headers(11, LIST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 11, u32(REFUSED_STREAM))]
    assert conn.open_streams == [1, 5, 9]


def test_a05_freed_however_a_stream_ends() -> None:
    conn, peer = server(limits=Limits(max_header_bytes_per_connection=LIST_SIZE), recorder=Quiet)
    for stream in range(1, 200, 8):
        conn.data_received(peer.headers(stream, LIST, end_stream=True))
        answer(conn, stream)
        conn.data_received(peer.headers(stream + 2, LIST) + peer.rst(stream + 2))
        conn.data_received(peer.headers(stream + 4, LIST))
        conn.write_reset(stream + 4, NO_ERROR)
        conn.data_received(peer.headers(stream + 6, LIST) + peer.data(stream + 6, b"", True))
        answer(conn, stream + 6)
        assert REFUSED_STREAM not in [f.code for f in conn.frames() if f.type == RST_STREAM]


def test_a05_the_default_bounds_what_a_connection_holds() -> None:
    conn, peer = server(limits=Limits(max_error_resets=None), recorder=Quiet)
    conn.data_received(peer.headers(1, POST))
    block = peer.block(POST) + literal(b"x", b"v" * 100) * 120
    size = sum(len(name) + len(value) + 32 for name, value in POST) + 120 * 133
    expect_none(flood(conn, lambda peer, i: peer.headers_frame(2 * i + 3, block), 99))
    assert len(conn.open_streams) == 1 + (1_048_576 - 1_000) // size < 70


def test_a05_trailers_count_as_well() -> None:
    conn, peer = server(limits=Limits(max_header_bytes_per_connection=LIST_SIZE + 200))
    conn.data_received(peer.headers(1, LIST))
    conn.data_received(peer.headers(1, [("x", "v" * 200)], end_stream=True))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(ENHANCE_YOUR_CALM))]
    assert ended_by_us(conn, 1, ENHANCE_YOUR_CALM)
    assert conn.of("tail") == []


def test_a05_promises_of_pushes_count() -> None:
    limits = Limits(max_header_bytes_per_connection=1_000)
    conn, peer = client_with_request(limits=limits, configure={"enable_push": 1})
    size = sum(len(name) + len(value) + 32 for name, value in REQUEST)
    for promised in range(2, 20, 2):
        conn.data_received(peer.push_promise(1, promised, REQUEST))
    assert len(conn.of("push")) == 1_000 // size
    assert {f.code for f in conn.frames()} == {REFUSED_STREAM}


def test_a05_responses_do_not_count_as_the_client_asked_for_them() -> None:
    conn, peer = client(limits=Limits(max_header_bytes_per_connection=1_000), recorder=Quiet)
    for _ in range(50):
        stream = request(conn)
        conn.data_received(peer.headers(stream, with_fields(RESPONSE, 5)))
    assert len(conn.open_streams) == 50
    assert all(f.type == HEADERS for f in conn.frames())


def test_a05_honest_180_cookies() -> None:
    conn, peer = server()
    crumbs = [("cookie", f"name{i}=value{i}") for i in range(180)]
    conn.data_received(peer.headers(1, [*REQUEST, *crumbs], end_stream=True))
    (head,) = conn.of("head")
    assert dict(head[5])["cookie"] == "; ".join(value for _, value in crumbs)


def test_a05_honest_a_hundred_requests_of_a_browser_at_once() -> None:
    conn, peer = server()
    fields = with_fields(REQUEST, 20, "v" * 250)  # about 6 kB each
    for number in range(100):
        conn.data_received(peer.headers(2 * number + 1, fields, end_stream=True))
    assert len(conn.open_streams) == 100
    assert conn.frames() == []


# -- A6: large fields from few octets (CVE-2016-6581) ----------------------------------------------


def large_bomb(peer: FrameFactory, stream: int, count: int) -> bytes:
    block = peer.block([*POST, ("x", "v" * 4_000)])
    return peer.headers_frame(stream, block + b"\xbe" * count)


def test_a06_one_large_entry_many_times() -> None:
    conn, peer = server()
    data = large_bomb(peer, 1, 50)
    assert peak(lambda: conn.data_received(data)) < 100_000
    assert refused(conn) == [(1, "431")]
    expect_alive(conn)


def test_a06_14_kilobytes_that_mean_40_megabytes() -> None:
    conn, peer = server()
    data = large_bomb(peer, 1, 10_000)
    assert len(data) < 16_384

    def receive() -> None:
        expect_connection_error(conn, data, ENHANCE_YOUR_CALM)

    assert peak(receive) < 200_000
    assert conn.of("head") == []


def test_a06_in_a_response() -> None:
    conn, peer = client_with_request()
    block = peer.block([*RESPONSE, ("x", "v" * 4_000)])
    data = peer.headers_frame(1, block + b"\xbe" * 10_000)
    expect_connection_error(conn, data, ENHANCE_YOUR_CALM)


def test_a06_one_text_for_all_references() -> None:
    conn, peer = server(limits=Limits(max_header_list_size=1 << 20))
    data = large_bomb(peer, 1, 200)
    assert peak(lambda: conn.data_received(data)) < 100_000
    (head,) = conn.of("head")
    assert len(head[5]) == 2 + 201 and head[5][-1] == ("x", "v" * 4_000)


# -- A7: the table (CVE-2022-41723 and others) -----------------------------------------------------


@BOTH
def test_a07_size_updates(start: Callable[..., Started]) -> None:
    conn, peer = start()
    message = REQUEST if conn.server_side else RESPONSE
    conn.data_received(peer.headers_frame(1, b"\x20\x3f\xe1\x1f" + peer.block(message)))
    assert len(conn.of("head")) == 1, "two are allowed"
    stream = 3
    if not conn.server_side:
        stream = request(conn)
    block = b"\x20\x20\x20" + peer.block(message)
    expect_connection_error(conn, peer.headers_frame(stream, block), COMPRESSION_ERROR)


def test_a07_a_peer_that_allows_any_table() -> None:
    conn, peer = server({HEADER_TABLE_SIZE: 2**32 - 1}, recorder=Quiet)
    requests = [peer.headers(2 * i + 1, REQUEST, end_stream=True) for i in range(600)]
    blocks = []

    def many() -> None:
        for number, data in enumerate(requests):
            conn.data_received(data)
            fields = [("x-number", f"{number:06} " + "v" * 500)]
            conn.write_head(2 * number + 1, 200, "", "", fields, True)
            blocks.append(conn.frames()[-1].payload)

    many()
    for block in blocks[:30]:
        peer.decode(block)
    assert peer.decoder.header_table_size == 4_096


def test_a07_a_table_size_that_changes_all_the_time() -> None:
    conn, _ = server(limits=Limits(glitch_budget=None), recorder=Quiet)

    def piece(peer: FrameFactory, i: int) -> bytes:
        sizes = [(HEADER_TABLE_SIZE, size) for _ in range(16) for size in (0, 4_096)]
        head = peer.headers(2 * i + 1, REQUEST, end_stream=True)
        return peer.settings(sizes) + head

    def respond() -> None:
        answer(conn, conn.open_streams[-1])
        (block,) = [f.payload for f in conn.frames() if f.type == HEADERS]
        updates = 0
        while block[0] & 0xE0 == 0x20:
            updates += 1
            at = 1
            if block[0] == 0x3F:
                while block[at] & 0x80:
                    at += 1
                at += 1
            block = block[at:]
        assert updates <= 2

    expect_none(flood(conn, piece, 300, respond))


INTEGERS = {
    "an index": b"\xff" + b"\x80" * 10 + b"\x01",
    "an index of zeros": b"\xff" + b"\x80" * 10_000,
    "a length": b"\x00\x7f" + b"\xff" * 10 + b"\x01",
    "a table size": b"\x3f" + b"\x80" * 10 + b"\x01",
    "beyond 32 bits": b"\xff\xff\xff\xff\xff\x7f",
}


@BOTH
@pytest.mark.parametrize("kind", INTEGERS)
def test_a07_long_integers(start: Callable[..., Started], kind: str) -> None:
    conn, peer = start()
    expect_connection_error(conn, peer.headers_frame(1, INTEGERS[kind]), COMPRESSION_ERROR)


def test_a07_a_peer_cannot_make_our_table_larger() -> None:
    conn, peer = server()
    block = b"\x3f\xe2\x1f" + peer.block(REQUEST)  # 4097
    expect_connection_error(conn, peer.headers_frame(1, block), COMPRESSION_ERROR)


def test_a07_no_larger_a_table_than_its_bound() -> None:
    conn, peer = server(limits=Limits(header_table_size=512), recorder=Quiet)
    assert (HEADER_TABLE_SIZE, 512) in parse_frames(conn.hello)[0].settings
    peer.encoder.header_table_size = 512
    start = peer.block(REQUEST)
    data = []
    for i in range(900):
        block = start + literal(b"x-number", b"%06d " % i + b"v" * 100, first=0x40)
        data.append(peer.headers_frame(2 * i + 1, block) + peer.rst(2 * i + 1))

    def many() -> None:
        for piece in data:
            conn.data_received(piece)

    assert peak(many) < 50_000


# -- A13: fields that are nearly nothing (CVE-2019-9516) -------------------------------------------


def test_a13_empty_values_cost_what_they_occupy() -> None:
    conn, peer = server(limits=Limits(max_header_list_size=2_000, max_header_fields=None))
    announced = dict(parse_frames(conn.hello)[0].settings)
    assert announced[MAX_HEADER_LIST_SIZE] == 2_000 and announced.get(ENABLE_PUSH, 0) == 0
    conn.data_received(peer.headers_frame(1, peer.block(POST) + literal(b"x", b"") * 60))
    frames = conn.frames()
    assert [(f.type, f.stream) for f in frames] == [(HEADERS, 1), (RST_STREAM, 1)]
    assert dict(peer.decode(frames[0].payload))[":status"] == "431"


def test_a13_empty_names_are_malformed() -> None:
    conn, peer = server()
    conn.data_received(peer.headers_frame(1, peer.block(POST) + literal(b"", b"")))
    assert [(f.type, f.code) for f in conn.frames()] == [(RST_STREAM, 1)]
    assert conn.events == []


def test_a13_as_trailers() -> None:
    conn, peer = server_with_request()
    conn.data_received(peer.headers_frame(1, literal(b"x", b"") * 257, end_stream=True))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(ENHANCE_YOUR_CALM))]
    assert conn.of("tail") == []


def test_a13_honest_empty_values() -> None:
    conn, peer = server()
    fields = [("accept-encoding", ""), ("x-empty", "")]
    conn.data_received(peer.headers(1, [*REQUEST, *fields], end_stream=True))
    assert conn.of("head") == [("head", 1, 0, "GET", "/", [*REQUEST_HEADERS, *fields])]
