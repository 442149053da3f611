"""HTTP/2 messages as wholes: how large a body may be, what lengths say, what a promise may cost."""

import pytest

from cno import raw
from cno.limits import Limits
from tests.support import (
    CANCEL,
    END_STREAM,
    LOCAL,
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    WINDOW_UPDATE,
    Frame,
    Recorder,
    client,
    client_with_request,
    expect_alive,
    expect_stream_error,
    parse_frames,
    read_blocks,
    request,
    server,
    server_with_request,
    u32,
)

TEN = Limits(max_body_size=10)


def length(value: int | str) -> tuple[str, str]:
    return ("content-length", str(value))


# -- how large a body may be -----------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False])
def test_a_request_that_says_it_is_too_large(ended: bool) -> None:
    conn, peer = server(limits=TEN)
    conn.data_received(peer.headers(1, [*POST, length(11)], end_stream=ended))
    assert conn.events == []
    frames = conn.frames()
    assert frames[-1] == Frame(RST_STREAM, 0, 1, u32(NO_ERROR))
    assert peer.decode(frames[0].payload) == [(":status", "413"), ("content-length", "0")]
    assert frames[0].flags & END_STREAM
    conn.data_received(peer.data(1, bytes(11), True))
    assert conn.take() == b""
    expect_alive(conn)


def test_a_body_that_turns_out_too_large() -> None:
    conn, peer = server_with_request(limits=TEN)
    conn.data_received(peer.data(1, bytes(10)))
    expect_stream_error(conn, peer.data(1, b"x"), 1, CANCEL)


def test_a_body_as_large_as_allowed() -> None:
    conn, peer = server_with_request([*POST, length(10)], limits=TEN)
    conn.data_received(peer.data(1, bytes(10), True))
    assert [e[0] for e in conn.seen()] == ["data", "tail"]


def test_a_response_that_turns_out_too_large() -> None:
    conn, peer = client_with_request(limits=TEN)
    conn.data_received(peer.headers(1, RESPONSE) + peer.data(1, bytes(6)))
    expect_stream_error(conn, peer.data(1, bytes(5)), 1, CANCEL)


# -- what lengths and heads say --------------------------------------------------------------------


def test_the_same_length_twice_is_one() -> None:
    # > a recipient ... MAY replace the duplicated field values with a single valid Content-Length
    conn, peer = server()
    conn.data_received(peer.headers(1, [*POST, length(3), length(3)]))
    assert conn.of("head")[0][5] == [*REQUEST_HEADERS, length(3)]
    conn.data_received(peer.data(1, b"abc", True))
    assert conn.events[-1] == ("tail", 1, None)


def test_a_response_without_any_field() -> None:
    expect_stream_error(client_with_request, lambda f: f.headers(1, []), 1, PROTOCOL_ERROR)


def test_host_means_nothing_in_a_response() -> None:
    conn, peer = client_with_request()
    conn.data_received(peer.headers(1, [*RESPONSE, ("host", "a"), ("x", "y")], end_stream=True))
    assert sorted(conn.of("head")[0][5]) == [("host", "a"), ("x", "y")]


def test_a_response_to_head_is_written_and_not_sent() -> None:
    conn, _ = server_with_request([(":method", "HEAD"), *REQUEST[1:]], end_stream=True)
    conn.write_head(1, 200, "", "", [length(6)], False)
    (head,) = conn.frames()
    assert conn.write_data(1, b"abc", False) == 3
    assert conn.take() == b""
    assert not head.flags & END_STREAM
    assert conn.write_data(1, b"def", True) == 3
    (end,) = conn.frames()
    assert (end.payload, end.flags) == (b"", END_STREAM)


# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_server", [False, True])
def test_a_larger_connection_window_is_announced_at_once(is_server: bool) -> None:
    conn = Recorder(is_server, limits=Limits(connection_window=1_000_000))
    conn.connection_made(True)
    frames = parse_frames(conn.take())
    assert frames[-1] == Frame(WINDOW_UPDATE, 0, 0, u32(1_000_000 - 65_535))


# -- promises --------------------------------------------------------------------------------------


def test_promises_cost_what_all_header_lists_may() -> None:
    limits = Limits(max_header_bytes_per_connection=1_000)
    conn, peer = client_with_request(limits=limits)
    big = [*REQUEST, ("x", "y" * 500)]
    conn.data_received(peer.push_promise(1, 2, big))
    assert [e[0] for e in conn.seen()] == ["start", "push"]
    conn.data_received(peer.push_promise(1, 4, big))
    assert conn.seen() == []
    assert conn.frames() == [Frame(RST_STREAM, 0, 4, u32(REFUSED_STREAM))]
    conn.data_received(peer.rst(2) + peer.push_promise(1, 6, big))
    assert [e[:2] for e in conn.seen()] == [("end", 2), ("start", 6), ("push", 6)]


def test_promises_to_a_client_that_goes_away_are_cancelled() -> None:
    conn, peer = client_with_request()
    conn.shutdown()
    conn.take()
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert conn.events == []
    assert conn.frames() == [Frame(RST_STREAM, 0, 2, u32(CANCEL))]


def test_a_promise_that_is_too_large() -> None:
    conn, peer = client_with_request(limits=Limits(max_header_list_size=200))
    conn.data_received(peer.push_promise(1, 2, [*REQUEST, ("x", "y" * 100)]))
    assert conn.events == []
    (reset,) = conn.frames()
    assert (reset.type, reset.stream) == (RST_STREAM, 2)


# -- events that end things ------------------------------------------------------------------------


class Ending(Recorder):
    """Resets the next stream when one ends."""

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        super().on_stream_end(stream, code, side)
        if stream + 2 in self.open_streams:
            self.write_reset(stream + 2, CANCEL)


def test_streams_that_an_end_ends() -> None:
    conn, peer = client(recorder=Ending)
    for _ in range(4):
        request(conn)
    conn.events.clear()
    conn.data_received(peer.goaway(0))
    assert conn.events == [
        ("end", 1, REFUSED_STREAM, REMOTE),
        *[("end", stream, CANCEL, LOCAL) for stream in (3, 5, 7)],
        ("close",),
    ]


class Pushed(Recorder):
    """Ends a promised stream as soon as it starts."""

    def on_stream_start(self, stream: int) -> None:
        super().on_stream_start(stream)
        if stream % 2 == 0:
            self.write_reset(stream, CANCEL)


def test_a_promise_given_up_before_it_is_told() -> None:
    conn, peer = client_with_request(recorder=Pushed)
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert conn.seen() == [("start", 2), ("end", 2, CANCEL, LOCAL)]


def test_a_push_given_up_before_it_is_told() -> None:
    conn, _ = server_with_request(recorder=Pushed)
    conn.write_push(1, "GET", "/x", list(REQUEST_HEADERS))
    assert conn.seen() == [("start", 2), ("end", 2, CANCEL, LOCAL)]
    read_blocks(conn)


def test_a_client_shuts_down_once() -> None:
    conn, _ = client_with_request()
    conn.shutdown()
    assert len(conn.frames()) == 1
    conn.shutdown()
    assert conn.take() == b""


def test_a_server_shuts_down_in_two_steps_and_no_more() -> None:
    conn, _ = server_with_request()
    conn.shutdown()
    assert len(conn.frames()) == 2
    conn.shutdown()
    assert len(conn.frames()) == 1
    conn.shutdown()
    assert conn.take() == b""
    with pytest.raises(raw.InvalidStreamError):
        conn.write_data(3, b"x", True)
