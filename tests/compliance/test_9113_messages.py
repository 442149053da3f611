"""RFC 9113 section 8: bodies, informational responses, retries, cookies, large field sections. Rows
H10, H12 to H14, H16 to H18 and H21. Pushes (H20) and what we send (H19) have their own files.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.states import (
    State,
    client_half_closed_local,
    client_open,
    client_reserved,
    forget,
    server_open,
)
from tests.support import (
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INTERNAL_ERROR,
    LOCAL,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Frame,
    FrameFactory,
    Headers,
    Input,
    Make,
    Recorder,
    client_with_request,
    each_way,
    expect_connection_error,
    expect_nothing,
    expect_stream_error,
    feed,
    merged,
    parse_frames,
    play,
    server,
    u32,
)

NEW: Headers = [("x-new", "to the table")]

EARLY: Headers = [(":status", "103"), ("link", "</a>")]


# -- H10: informational responses ------------------------------------------------------------------


def test_H10_any_number_before_the_final_response() -> None:
    conn = each_way(
        client_half_closed_local,
        lambda f: (
            f.headers(1, [(":status", "100")])
            + f.headers(1, EARLY) * 2
            + f.headers(1, RESPONSE)
            + f.data(1, b"body", True)
        ),
    )
    assert merged(conn.events) == [
        ("head", 1, 100, "", "", []),
        ("head", 1, 103, "", "", [("link", "</a>")]),
        ("head", 1, 103, "", "", [("link", "</a>")]),
        ("head", 1, 200, "", "", []),
        ("data", 1, b"body"),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]


def test_H10_also_for_a_push() -> None:
    conn = each_way(
        client_reserved, lambda f: f.headers(2, EARLY) + f.headers(2, RESPONSE, end_stream=True)
    )
    assert [e[:3] for e in conn.of("head", "tail")] == [
        ("head", 2, 103),
        ("head", 2, 200),
        ("tail", 2, None),
    ]


def test_H10_their_number_is_bounded() -> None:
    def make() -> Recorder:
        return client_with_request(limits=Limits(max_informational=3))[0]

    conn = each_way(make, lambda f: f.headers(1, EARLY) * 3 + f.headers(1, RESPONSE))
    assert [e[2] for e in conn.of("head")] == [103, 103, 103, 200]
    conn = make()
    conn.data_received(b"".join(conn.peer.headers(1, EARLY) for _ in range(3)))
    assert conn.frames() == []
    conn.events.clear()
    conn.data_received(conn.peer.headers(1, EARLY))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(ENHANCE_YOUR_CALM))]
    assert conn.events == [("end", 1, ENHANCE_YOUR_CALM, LOCAL)]


# -- H12 to H14: content-length --------------------------------------------------------------------


def length(value: str) -> tuple[str, str]:
    return ("content-length", value)


def begun(size: str, make: State = server) -> Make:
    """A connection on which a message with this content-length has begun on stream 1."""

    def start() -> Recorder:
        conn, peer = make()
        message = POST if conn.server_side else RESPONSE
        conn.data_received(peer.headers(1, [*message, length(size)]))
        return forget(conn)[0]

    return start


BOTH = each_row("make", [server, client_half_closed_local], ids=["server", "client"])


@BOTH
@each_row(
    "body",
    [
        lambda f: f.data(1, b"12345", True),
        lambda f: (
            f.data(1, b"12", pad=9) + f.data(1, b"") + f.data(1, b"345") + f.data(1, b"", True)
        ),
        lambda f: f.data(1, b"12345") + f.headers(1, [("x", "y")], end_stream=True),
    ],
    ids=["one frame", "padded frames", "trailers"],
)
def test_H12_a_body_of_the_length_declared(make: State, body: Input) -> None:
    conn = each_way(begun("5", make), body)
    assert conn.of("data") == [("data", 1, b"12345")]
    assert len(conn.of("tail")) == 1
    assert conn.frames() == []


@BOTH
@each_row(
    "body",
    [
        lambda f: f.data(1, b"1234", True),
        lambda f: f.data(1, b"", True),
        lambda f: f.data(1, b"1234") + f.data(1, b"", True),
        lambda f: f.data(1, b"1234") + f.headers(1, [("x", "y")], end_stream=True),
        lambda f: f.headers(1, [("x", "y")], end_stream=True),
    ],
    ids=["data", "no data", "empty data", "trailers", "trailers alone"],
)
def test_H12_a_body_shorter_than_declared(make: State, body: Input) -> None:
    conn = expect_stream_error(begun("5", make), body, 1, PROTOCOL_ERROR)
    assert conn.of("tail") == []


@BOTH
@pytest.mark.parametrize("end", [False, True])
def test_H12_a_body_longer_than_declared(make: State, end: bool) -> None:
    conn = expect_stream_error(
        begun("5", make), lambda f: f.data(1, b"123456", end), 1, PROTOCOL_ERROR
    )
    assert conn.of("tail") == []
    assert b"6" not in b"".join(e[2] for e in conn.of("data"))


@BOTH
def test_H12_one_octet_more_than_declared(make: State) -> None:
    conn = expect_stream_error(
        begun("5", make), lambda f: f.data(1, b"12345") + f.data(1, b"6"), 1, PROTOCOL_ERROR
    )
    assert conn.of("data", "tail") == [("data", 1, b"12345")]


def test_H12_a_head_that_ends_the_message() -> None:
    conn = expect_stream_error(
        server, lambda f: f.headers(1, [*POST, length("5")], end_stream=True), 1, PROTOCOL_ERROR
    )
    assert conn.events == []
    conn = expect_stream_error(
        client_half_closed_local,
        lambda f: f.headers(1, [*RESPONSE, length("5")], end_stream=True),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("head", "tail") == []


def test_H12_zero() -> None:
    conn = each_way(server, lambda f: f.headers(1, [*POST, length("0")], end_stream=True))
    assert conn.of("tail") == [("tail", 1, None)]
    expect_stream_error(begun("0"), lambda f: f.data(1, b"x"), 1, PROTOCOL_ERROR)


BAD_LENGTHS = [
    "", "+5", "-1", "-0", "0x5", "5_0", "5 5", "5,6", "5, 6", "5.0", "5e0", "five", "5;", "\u0665",
    "9223372036854775808", "18446744073709551616", "18446744073709551621", "9" * 40,
]  # fmt: skip


@each_row("value", BAD_LENGTHS)
def test_H13_length_is_a_number(value: str) -> None:
    conn = expect_stream_error(
        server, lambda f: f.headers(1, [*POST, length(value), *NEW]), 1, PROTOCOL_ERROR
    )
    assert conn.events == []
    conn = expect_stream_error(
        client_half_closed_local,
        lambda f: f.headers(1, [*RESPONSE, length(value), *NEW]),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("head") == []


@pytest.mark.parametrize("pair", [("5", "6"), ("0", "5"), ("5", "0")])
def test_H13_different_lengths(pair: tuple[str, str]) -> None:
    both = [length(value) for value in pair]
    conn = expect_stream_error(server, lambda f: f.headers(1, [*POST, *both]), 1, PROTOCOL_ERROR)
    assert conn.events == []


def test_H13_the_largest_length() -> None:
    conn = each_way(server, lambda f: f.headers(1, [*POST, length("9223372036854775807")]))
    assert conn.of("head")[0][5][-1] == length("9223372036854775807")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200"), ("GET", "304"), ("HEAD", "404"), ("GET", "204")]
)
def test_H14_length_without_a_body(method: str, status: str) -> None:
    conn = each_way(
        lambda: client_with_request(method),
        lambda f: f.headers(1, [(":status", status), length("100")], end_stream=True),
    )
    assert conn.events == [
        ("head", 1, int(status), "", "", [length("100")]),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]
    assert conn.frames() == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200"), ("GET", "304"), ("GET", "204")])
def test_H14_empty_data_ends_a_response_without_a_body(method: str, status: str) -> None:
    conn = each_way(
        lambda: client_with_request(method),
        lambda f: f.headers(1, [(":status", status), length("100")]) + f.data(1, b"", True),
    )
    assert conn.of("tail") == [("tail", 1, None)]
    assert conn.frames() == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200"), ("GET", "304"), ("GET", "204")])
def test_H14_a_body_where_none_may_be(method: str, status: str) -> None:
    conn = expect_stream_error(
        lambda: client_with_request(method),
        lambda f: f.headers(1, [(":status", status)]) + f.data(1, b"x", True),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("data", "tail") == []


# -- H16, H17: early responses, retries ------------------------------------------------------------


def test_H16_server_answers_early_and_resets() -> None:
    conn, _ = server_open()
    conn.write_head(1, 413, "", "", [], True)
    assert conn.of("end") == []
    conn.write_reset(1, NO_ERROR)
    assert [(f.type, f.flags) for f in conn.frames()] == [
        (HEADERS, END_HEADERS | END_STREAM),
        (RST_STREAM, 0),
    ]
    assert conn.events == [("end", 1, NO_ERROR, LOCAL)]
    expect_nothing(conn, conn.peer.data(1, b"more") + conn.peer.data(1, b"", True))


def test_H16_client_keeps_an_early_response() -> None:
    conn = each_way(
        client_open,
        lambda f: (
            f.headers(1, [(":status", "413")]) + f.data(1, b"too much", True) + f.rst(1, NO_ERROR)
        ),
    )
    assert merged(conn.events) == [
        ("head", 1, 413, "", "", []),
        ("data", 1, b"too much"),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]
    assert conn.frames() == []
    with pytest.raises(raw.InvalidStreamError):
        conn.write_data(1, b"more", True)


def test_H17_refused_stream_is_told() -> None:
    conn = each_way(client_half_closed_local, lambda f: f.rst(1, REFUSED_STREAM))
    assert conn.events == [("end", 1, REFUSED_STREAM, REMOTE)]


def test_H17_unprocessed_streams_of_a_goaway_look_refused() -> None:
    conn = each_way(client_half_closed_local, lambda f: f.goaway(0, INTERNAL_ERROR))
    assert conn.events[0] == ("end", 1, REFUSED_STREAM, REMOTE)


def test_H17_other_resets_keep_their_code() -> None:
    conn = each_way(client_half_closed_local, lambda f: f.rst(1, INTERNAL_ERROR))
    assert conn.events == [("end", 1, INTERNAL_ERROR, REMOTE)]


# -- H18: cookies


def test_H18_cookie_crumbs_are_joined_at_the_place_of_the_first() -> None:
    conn = each_way(
        server,
        lambda f: f.headers(
            1,
            [
                *REQUEST,
                ("x", "1"),
                ("cookie", "a=b"),
                ("y", "2"),
                ("cookie", "c=d"),
                ("cookie", "e"),
            ],
            end_stream=True,
        ),
    )
    assert conn.of("head")[0][5] == [
        *REQUEST_HEADERS,
        ("x", "1"),
        ("cookie", "a=b; c=d; e"),
        ("y", "2"),
    ]


def test_H18_one_cookie_stays() -> None:
    conn = each_way(server, lambda f: f.headers(1, [*REQUEST, ("cookie", "a=b; c=d")]))
    assert conn.of("head")[0][5][-1] == ("cookie", "a=b; c=d")


def test_H18_set_cookie_is_not_joined() -> None:
    cookies = [("set-cookie", "a=b"), ("set-cookie", "c=d")]
    conn = each_way(client_half_closed_local, lambda f: f.headers(1, [*RESPONSE, *cookies]))
    assert conn.of("head")[0][5] == cookies


# -- H21: large field sections ---------------------------------------------------------------------

LARGE: Headers = [("x-large", "v" * 100) for _ in range(10)]


def answered_431(conn: Recorder, stream: int, *, ended: bool) -> None:
    head, *rest = conn.frames()
    assert (head.type, head.flags, head.stream) == (HEADERS, END_HEADERS | END_STREAM, stream)
    assert conn.peer.decode(head.payload)[0] == (":status", "431")
    assert rest == ([] if ended else [Frame(RST_STREAM, 0, stream, u32(NO_ERROR))])
    assert conn.events == []


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    "limits",
    [Limits(max_header_list_size=1000), Limits(max_header_fields=13)],
    ids=["size", "fields"],
)
def test_H21_server_answers_431(limits: Limits, ended: bool) -> None:
    conn = play(
        lambda: server(limits=limits),
        lambda f: f.headers(1, [*REQUEST, *NEW, *LARGE], end_stream=ended),
    )
    assert conn.error is None
    answered_431(conn, 1, ended=ended)
    conn.data_received(conn.peer.headers(3, [*REQUEST, *NEW], end_stream=True))
    assert conn.of("head") == [("head", 3, 0, "GET", "/", [*REQUEST_HEADERS, *NEW])]


def test_H21_the_limit_is_announced_and_inclusive() -> None:
    # Name, value and 32 octets each: what REQUEST takes, and a field that fills up the rest.
    size = sum(len(n) + len(v) + 32 for n, v in REQUEST)
    limits = Limits(max_header_list_size=size + 100)
    conn, peer = server(limits=limits)
    assert dict(parse_frames(conn.hello)[0].settings)[MAX_HEADER_LIST_SIZE] == size + 100
    conn.data_received(peer.headers(1, [*REQUEST, ("x", "v" * 67)], end_stream=True))
    assert conn.of("head") == [("head", 1, 0, "GET", "/", [*REQUEST_HEADERS, ("x", "v" * 67)])]
    conn.events.clear()
    conn.data_received(peer.headers(3, [*REQUEST, ("x", "v" * 68)], end_stream=True))
    answered_431(conn, 3, ended=True)


def test_H21_client_resets() -> None:
    conn = expect_stream_error(
        lambda: client_with_request(limits=Limits(max_header_list_size=500)),
        lambda f: f.headers(1, [*RESPONSE, *NEW, *LARGE]),
        1,
        ENHANCE_YOUR_CALM,
    )
    assert conn.of("head") == []


@BOTH
def test_H21_far_beyond_the_limit(make: State) -> None:
    def start() -> Recorder:
        if make is server:
            return server(limits=Limits(max_header_list_size=300))[0]
        return client_with_request(limits=Limits(max_header_list_size=300))[0]

    expect_connection_error(start, lambda f: f.headers(1, LARGE), ENHANCE_YOUR_CALM)


@BOTH
def test_H21_too_many_continuations(make: State) -> None:
    def block(f: FrameFactory, count: int) -> bytes:
        first = f.headers_frame(1, b"\x00\x01a\x01b", end_headers=False)
        middle = f.continuation(1, b"\x00\x01a\x01b", False)
        return first + middle * count

    conn, peer = make()
    feed(conn, block(peer, 8))
    assert conn.error is None
    expect_connection_error(conn, peer.continuation(1, b"\x00\x01a\x01b"), ENHANCE_YOUR_CALM)


@BOTH
def test_H21_empty_continuations(make: State) -> None:
    expect_connection_error(
        make,
        lambda f: f.headers_frame(1, b"", end_headers=False) + f.continuation(1, b"", False),
        ENHANCE_YOUR_CALM,
    )


@BOTH
def test_H21_too_large_a_block(make: State) -> None:
    conn, peer = make()
    part = b"\x00\x01a\x7f" + b"\xfb\x7e" + b"v" * (127 + 0x7B + (0x7E << 7))
    assert len(part) <= 16_384
    feed(conn, peer.headers_frame(1, part, end_headers=False))
    feed(conn, peer.continuation(1, part, False) * 2)
    assert conn.error is None
    expect_connection_error(conn, peer.continuation(1, part, False) * 2, ENHANCE_YOUR_CALM)
