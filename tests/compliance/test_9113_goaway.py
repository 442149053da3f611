"""RFC 9113 section 6.8: GOAWAY, theirs and ours. Rows F15 to F18.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import (
    IDLE,
    OPEN,
    State,
    client_half_closed_local,
    client_open,
    forget,
    server_half_closed_remote,
    server_open,
)
from tests.support import (
    DATA,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INTERNAL_ERROR,
    MAX_ID,
    NO_ERROR,
    PING,
    POST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    WINDOW_UPDATE,
    Frame,
    Make,
    Recorder,
    client,
    each_way,
    expect_connection_error,
    frame,
    merged,
    request,
    server,
)

BOTH_OPEN = each_row("make", OPEN.values(), ids=OPEN)
BOTH_IDLE = each_row("make", IDLE.values(), ids=IDLE)


# -- F15 to F18: GOAWAY ----------------------------------------------------------------------------


def three_requests() -> Recorder:
    conn, _ = client()
    for _ in range(3):
        request(conn)
    forget(conn)
    return conn


@pytest.mark.parametrize("code", [NO_ERROR, ENHANCE_YOUR_CALM, 0xDEADBEEF])
def test_F15_streams_above_the_last_are_unprocessed(code: int) -> None:
    conn = each_way(three_requests, lambda f: f.goaway(3, code, b"debug data"))
    assert conn.events == [("end", 5, REFUSED_STREAM, REMOTE)]
    assert conn.frames() == []
    with pytest.raises(raw.DisconnectError) as caught:
        request(conn)
    assert caught.value.errno == raw.CNO_ERRNO_DISCONNECT
    assert conn.take() == b""


@pytest.mark.parametrize("code", [NO_ERROR, INTERNAL_ERROR])
def test_F15_streams_up_to_the_last_go_on_to_their_end(code: int) -> None:
    conn = each_way(
        three_requests,
        lambda f: (
            f.goaway(3, code)
            + f.headers(3, RESPONSE)
            + f.headers(1, RESPONSE, end_stream=True)
            + f.data(3, b"body", True)
        ),
    )
    assert merged(conn.events) == [
        ("end", 5, REFUSED_STREAM, REMOTE),
        ("head", 3, 200, "", "", []),
        ("head", 1, 200, "", "", []),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
        ("data", 3, b"body"),
        ("tail", 3, None),
        ("end", 3, NO_ERROR, REMOTE),
        ("close",),
    ]


def test_F15_bodies_of_ours_go_on_too() -> None:
    conn, peer = client_open()
    conn.data_received(peer.goaway(1))
    assert conn.write_data(1, b"rest", True) == 4
    assert conn.frames() == [Frame(DATA, END_STREAM, 1, b"rest")]
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    assert conn.events[-2:] == [("end", 1, NO_ERROR, REMOTE), ("close",)]


def test_F15_a_second_goaway_may_lower_the_last_stream() -> None:
    conn = each_way(three_requests, lambda f: f.goaway(3) + f.goaway(1))
    assert conn.events == [
        ("end", 5, REFUSED_STREAM, REMOTE),
        ("end", 3, REFUSED_STREAM, REMOTE),
    ]


def test_F15_a_second_goaway_does_not_raise_the_last_stream() -> None:
    conn = each_way(three_requests, lambda f: f.goaway(1) + f.goaway(5) + f.goaway(MAX_ID))
    assert sorted(conn.events) == [
        ("end", 3, REFUSED_STREAM, REMOTE),
        ("end", 5, REFUSED_STREAM, REMOTE),
    ]
    with pytest.raises(raw.DisconnectError):
        request(conn)


def test_F15_graceful_goaway_of_a_server_twice() -> None:
    conn = each_way(three_requests, lambda f: f.goaway(MAX_ID) + f.goaway(5))
    assert conn.events == []
    assert conn.open_streams == [1, 3, 5]


def test_F15_goaway_from_a_client_ends_pushes_only() -> None:
    def make() -> Recorder:
        conn, peer = server_half_closed_remote()
        conn.data_received(peer.headers(3, POST))
        for path in ("/a", "/b"):
            conn.write_push(1, "GET", path, list(REQUEST_HEADERS))
        forget(conn)
        return conn

    conn = each_way(make, lambda f: f.goaway(2) + f.data(3, b"body", True))
    assert merged(conn.events) == [
        ("end", 4, REFUSED_STREAM, REMOTE),
        ("data", 3, b"body"),
        ("tail", 3, None),
    ]
    conn.write_push(1, "GET", "/c", list(REQUEST_HEADERS))
    assert conn.take() == b""
    conn.write_head(1, 200, "", "", [], True)
    assert [(f.type, f.stream) for f in conn.frames()] == [(HEADERS, 1)]


@each_row("last", [0, 1, 2, 7, MAX_ID])
@each_row("code", [NO_ERROR, PROTOCOL_ERROR, 0xFFFFFFFF])
@each_row("start", [server_open, client_open], ids=["server", "client"])
def test_F16_any_goaway_is_accepted(start: State, last: int, code: int) -> None:
    conn, peer = start()
    conn.data_received(peer.goaway(last, code, b"\x00\xffdebug"))
    assert conn.frames() == []
    assert ("close()",) not in conn.events
    kept = [] if not conn.server_side and last == 0 else [1]
    assert conn.open_streams == kept


@BOTH_IDLE
def test_F16_goaway_without_streams(make: Make) -> None:
    conn = each_way(make, lambda f: f.goaway(0))
    assert conn.frames() == []
    assert ("close()",) not in conn.events


def test_F16_requests_go_on_after_the_goaway_of_a_client() -> None:
    conn = each_way(server, lambda f: f.goaway(0) + f.headers(1, REQUEST, end_stream=True))
    assert conn.of("head") == [("head", 1, 0, "GET", "/", REQUEST_HEADERS)]


@BOTH_OPEN
@each_row("size", [0, 4, 7])
def test_F17_short_goaway(make: Make, size: int) -> None:
    expect_connection_error(make, frame(GOAWAY, 0, 0, bytes(size)), FRAME_SIZE_ERROR)


def shut_down() -> Recorder:
    """A server with stream 1 open whose final GOAWAY has been written."""
    conn, _ = server_open()
    conn.shutdown()
    conn.shutdown()
    goaways = [(f.last, f.code) for f in conn.frames() if f.type == GOAWAY]
    assert goaways == [(MAX_ID, NO_ERROR), (1, NO_ERROR)]
    conn.events.clear()
    return conn


def test_F18_streams_above_our_goaway_are_ignored() -> None:
    conn = each_way(
        shut_down,
        lambda f: (
            f.headers(3, [*POST, ("x-new", "entry")])
            + f.data(3, b"x" * 10)
            + f.window_update(3, 5)
            + f.headers(3, [("x-trailer", "entry")], end_stream=True)
            + f.rst(3)
            + f.headers(5, [*REQUEST, ("x-new", "entry")], end_stream=True)
            + f.data(1, b"rest")
            + f.headers(1, [("x-new", "entry")], end_stream=True)
        ),
    )
    assert conn.frames() == []
    assert merged(conn.events) == [("data", 1, b"rest"), ("tail", 1, [("x-new", "entry")])]


def test_F18_ignored_data_counts_for_the_connection_window() -> None:
    conn = shut_down()
    peer = conn.peer
    conn.data_received(peer.headers(3, POST) + peer.data(3, b"x" * 16_384) * 3)
    updates = conn.frames()
    assert updates and all((f.type, f.stream) == (WINDOW_UPDATE, 0) for f in updates)
    assert 32_768 <= sum(f.increment for f in updates) <= 3 * 16_384


def test_F18_shutdown_in_two_steps() -> None:
    conn, peer = server_open()
    conn.shutdown()
    first, ping = conn.frames()
    assert (first.type, first.last, first.code) == (GOAWAY, MAX_ID, NO_ERROR)
    assert (ping.type, ping.flags) == (PING, 0)
    conn.data_received(peer.headers(3, REQUEST, end_stream=True))
    assert conn.of("head") == [("head", 3, 0, "GET", "/", REQUEST_HEADERS)]
    conn.data_received(peer.ping(ping.payload, ack=True))
    (final,) = conn.frames()
    assert (final.type, final.last, final.code) == (GOAWAY, 3, NO_ERROR)
    assert conn.of("pong") == []
    assert conn.of("close") == []
    conn.write_head(3, 200, "", "", [], True)
    conn.write_head(1, 200, "", "", [], True)
    assert conn.of("close") == []
    conn.data_received(peer.data(1, b"", True))
    assert conn.events[-1] == ("close",)
    assert conn.events.count(("close",)) == 1


def test_F18_shutdown_of_an_idle_server() -> None:
    conn, peer = server()
    conn.shutdown()
    ping = conn.frames()[-1]
    assert conn.of("close") == []
    conn.data_received(peer.ping(ping.payload, ack=True))
    (final,) = conn.frames()
    assert (final.type, final.last, final.code) == (GOAWAY, 0, NO_ERROR)
    assert conn.events == [("close",)]


def test_F18_shutdown_of_a_client() -> None:
    conn, peer = client_half_closed_local()
    conn.shutdown()
    (goaway,) = conn.frames()
    assert (goaway.type, goaway.last, goaway.code) == (GOAWAY, 0, NO_ERROR)
    assert conn.of("close") == []
    with pytest.raises(raw.DisconnectError):
        request(conn)
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    assert conn.events[-2:] == [("end", 1, NO_ERROR, REMOTE), ("close",)]
