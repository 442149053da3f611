"""RFC 9113 section 5.1.2: how many streams may be open at once. Rows S12 to S14.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.support import (
    ACK,
    DATA,
    HEADERS,
    LOCAL,
    MAX_CONCURRENT_STREAMS,
    POST,
    PUSH_PROMISE,
    REFUSED_STREAM,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    Frame,
    Recorder,
    client,
    client_with_request,
    expect_alive,
    parse_frames,
    play,
    read_blocks,
    request,
    server,
    u32,
)

# -- S12 to S14: how many --------------------------------------------------------------------------


def test_S12_more_streams_than_announced() -> None:
    def make() -> Recorder:
        conn, peer = server(limits=Limits(max_concurrent_streams=2))
        announced = dict(parse_frames(conn.hello)[0].settings)
        assert announced[MAX_CONCURRENT_STREAMS] == 2
        conn.data_received(peer.headers(1, POST) + peer.headers(3, REQUEST, end_stream=True))
        conn.events.clear()
        return conn

    conn = play(make, lambda f: f.headers(5, REQUEST, end_stream=True))
    assert conn.error is None
    assert conn.events == []
    assert conn.frames() == [Frame(RST_STREAM, 0, 5, u32(REFUSED_STREAM))]
    assert conn.open_streams == [1, 3]
    conn.data_received(conn.peer.rst(1) + conn.peer.rst(3))
    expect_alive(conn)


def test_S12_a_closed_stream_makes_room() -> None:
    conn, peer = server(limits=Limits(max_concurrent_streams=1))
    for stream in (1, 3, 5):
        conn.data_received(peer.headers(stream, REQUEST, end_stream=True))
        conn.write_head(stream, 200, "", "", [], True)
    assert [f.type for f in conn.frames()] == [HEADERS] * 3


def test_S12_the_limit_of_configure() -> None:
    conn, peer = server(configure={"max_concurrent_streams": 1})
    conn.data_received(peer.headers(1, POST) + peer.headers(3, POST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 3, u32(REFUSED_STREAM))]


def test_S12_zero_streams() -> None:
    conn, peer = server(configure={"max_concurrent_streams": 0})
    conn.data_received(peer.headers(1, POST))
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(REFUSED_STREAM))]
    assert conn.events == []


def test_S13_requests_wait_for_the_limit_of_the_peer() -> None:
    conn, peer = client({MAX_CONCURRENT_STREAMS: 1})
    assert request(conn) == 1
    read_blocks(conn)
    with pytest.raises(raw.WouldBlockError) as caught:
        request(conn)
    assert caught.value.errno == raw.CNO_ERRNO_WOULD_BLOCK
    assert conn.take() == b""
    conn.data_received(peer.headers(1, RESPONSE, end_stream=True))
    assert request(conn) == 3
    assert read_blocks(conn) == [(3, REQUEST)], "the failed attempt left no trace in HPACK"


def test_S13_zero_means_wait() -> None:
    conn, peer = client({MAX_CONCURRENT_STREAMS: 0})
    with pytest.raises(raw.WouldBlockError):
        request(conn)
    assert conn.take() == b""
    conn.data_received(peer.settings({MAX_CONCURRENT_STREAMS: 2}))
    conn.take()
    assert request(conn) == 1
    assert [f.type for f in conn.frames()] == [HEADERS]


def test_S13_lowered_below_the_open_streams() -> None:
    conn, peer = client()
    for _ in range(3):
        request(conn)
    read_blocks(conn)
    conn.data_received(peer.settings({MAX_CONCURRENT_STREAMS: 1}))
    assert conn.frames() == [Frame(SETTINGS, ACK, 0, b"")]
    assert conn.open_streams == [1, 3, 5]
    for stream in (1, 3):
        with pytest.raises(raw.WouldBlockError):
            request(conn)
        conn.data_received(peer.headers(stream, RESPONSE, end_stream=True))
    with pytest.raises(raw.WouldBlockError):
        request(conn)
    conn.data_received(peer.headers(5, RESPONSE, end_stream=True))
    assert request(conn) == 7


def test_S13_requests_of_the_peer_do_not_count() -> None:
    conn, _ = server({MAX_CONCURRENT_STREAMS: 0})
    conn.data_received(conn.peer.headers(1, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [], True)
    assert [f.type for f in conn.frames()] == [HEADERS]


def test_S14_promises_do_not_count_for_the_server() -> None:
    conn, peer = server({MAX_CONCURRENT_STREAMS: 1})
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    for path in ("/a", "/b"):
        conn.write_push(1, "GET", path, list(REQUEST_HEADERS))
    assert [f.type for f in conn.frames()] == [PUSH_PROMISE, PUSH_PROMISE]
    conn.write_head(2, 200, "", "", [], False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(4, 200, "", "", [], True)
    assert [(f.type, f.stream) for f in conn.frames()] == [(HEADERS, 2)]
    conn.write_data(2, b"", True)
    conn.write_head(4, 200, "", "", [], True)
    assert [(f.type, f.stream) for f in conn.frames()] == [(DATA, 2), (HEADERS, 4)]


def test_S14_promises_do_not_count_for_the_client() -> None:
    conn, peer = client_with_request(configure={"max_concurrent_streams": 1})
    conn.data_received(peer.push_promise(1, 2, REQUEST) + peer.push_promise(1, 4, REQUEST))
    assert [e[1] for e in conn.of("push")] == [2, 4]
    conn.data_received(peer.headers(2, RESPONSE))
    assert conn.frames() == []
    conn.events.clear()
    conn.data_received(peer.headers(4, RESPONSE))
    assert conn.frames() == [Frame(RST_STREAM, 0, 4, u32(REFUSED_STREAM))]
    assert conn.events == [("end", 4, REFUSED_STREAM, LOCAL)]
