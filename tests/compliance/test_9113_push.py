"""RFC 9113 sections 6.6 and 8.4: PUSH_PROMISE, and what may be promised. Rows F12 and H20.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.states import (
    IDLE,
    State,
    client_closed_peer_last,
    client_closed_we_last,
    client_half_closed_local,
    client_half_closed_remote,
    client_pushed,
    client_reset_by_peer,
    client_reset_by_us,
    server_closed_we_last,
    server_half_closed_local,
    server_half_closed_remote,
    server_open,
    server_reserved,
)
from tests.support import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LOCAL,
    MAX_ID,
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Frame,
    FrameFactory,
    Headers,
    Make,
    client_with_request,
    each_way,
    expect_alive,
    expect_connection_error,
    expect_nothing,
    expect_stream_error,
    frame,
    merged,
    play,
    u32,
)


def test_F12_a_promise_its_response_and_its_end() -> None:
    conn = each_way(
        client_half_closed_local,
        lambda f: (
            f.push_promise(1, 2, [*REQUEST[:3], (":path", "/style"), ("accept", "text/css")])
            + f.headers(2, [*RESPONSE, ("content-length", "4")])
            + f.headers(1, RESPONSE, end_stream=True)
            + f.data(2, b"body", True)
        ),
    )
    assert merged(conn.events) == [
        ("start", 2),
        ("push", 2, 1, "GET", "/style", [*REQUEST_HEADERS, ("accept", "text/css")]),
        ("head", 2, 200, "", "", [("content-length", "4")]),
        ("head", 1, 200, "", "", []),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
        ("data", 2, b"body"),
        ("tail", 2, None),
        ("end", 2, NO_ERROR, REMOTE),
    ]
    assert conn.frames() == []


def test_F12_a_promise_in_pieces() -> None:
    def promise(f: FrameFactory) -> bytes:
        block = f.block(REQUEST)
        return frame(PUSH_PROMISE, 0, 1, u32(2) + block[:2]) + f.continuation(1, block[2:])

    conn = each_way(client_half_closed_local, promise)
    assert conn.of("push") == [("push", 2, 1, "GET", "/", REQUEST_HEADERS)]


@pytest.mark.parametrize("make", [*IDLE.values(), server_open, server_half_closed_remote])
def test_F12_to_a_server_or_on_an_idle_stream(make: Make) -> None:
    expect_connection_error(make, lambda f: f.push_promise(1, 2, REQUEST), PROTOCOL_ERROR)


def test_F12_to_a_client_that_takes_none() -> None:
    expect_connection_error(
        lambda: client_with_request(configure={"enable_push": False}),
        lambda f: f.push_promise(1, 2, REQUEST),
        PROTOCOL_ERROR,
    )


@pytest.mark.parametrize("promised", [0, 1, 3, MAX_ID])
def test_F12_promised_id_is_not_a_servers(promised: int) -> None:
    expect_connection_error(
        client_half_closed_local, lambda f: f.push_promise(1, promised, REQUEST), PROTOCOL_ERROR
    )


@pytest.mark.parametrize("promised", [2, 4])
def test_F12_promised_id_does_not_grow(promised: int) -> None:
    expect_connection_error(
        client_half_closed_local,
        lambda f: f.push_promise(1, 4, REQUEST) + f.push_promise(1, promised, REQUEST),
        PROTOCOL_ERROR,
        last=4,
    )


@pytest.mark.parametrize(
    "make",
    [client_half_closed_remote, client_closed_peer_last, client_closed_we_last],
)
def test_F12_parent_is_closed_on_the_side_of_the_server(make: Make) -> None:
    expect_connection_error(make, lambda f: f.push_promise(1, 2, REQUEST), PROTOCOL_ERROR)


def test_F12_parent_is_reset_by_the_server() -> None:
    expect_connection_error(
        client_reset_by_peer, lambda f: f.push_promise(1, 2, REQUEST), PROTOCOL_ERROR
    )


def test_F12_parent_is_a_push() -> None:
    # > PUSH_PROMISE frames MUST only be sent on a peer-initiated stream  (6.6)
    expect_connection_error(client_pushed, lambda f: f.push_promise(2, 4, REQUEST), PROTOCOL_ERROR)


def test_F12_parent_is_reset_by_us() -> None:
    conn = play(client_reset_by_us, lambda f: f.push_promise(1, 2, [*REQUEST, ("x-new", "entry")]))
    assert conn.error is None
    assert conn.frames() == [Frame(RST_STREAM, 0, 2, u32(CANCEL))]
    assert conn.events == []
    expect_alive(conn)
    expect_nothing(conn, conn.peer.headers(2, RESPONSE) + conn.peer.data(2, b"pushed", True))


def test_F12_more_pushes_than_allowed() -> None:
    conn = play(
        lambda: client_with_request(limits=Limits(max_pushes=1)),
        lambda f: f.push_promise(1, 2, REQUEST) + f.push_promise(1, 4, [*REQUEST, ("x", "new")]),
    )
    assert conn.error is None
    assert [e[1] for e in conn.of("push")] == [2]
    assert conn.frames() == [Frame(RST_STREAM, 0, 4, u32(REFUSED_STREAM))]
    expect_alive(conn)


def test_F12_refused_push_of_ours() -> None:
    conn, peer = server_reserved()
    conn.data_received(peer.rst(2, CANCEL))
    assert conn.events == [("end", 2, CANCEL, REMOTE)]
    with pytest.raises(raw.InvalidStreamError):
        conn.write_head(2, 200, "", "", [], True)
    assert conn.take() == b""


def test_F12_a_push_of_ours() -> None:
    conn, peer = server_half_closed_remote()
    conn.write_push(1, "GET", "/a", [*REQUEST_HEADERS, ("Accept", "text/css")])
    (promise,) = conn.frames()
    assert (promise.type, promise.flags, promise.stream) == (PUSH_PROMISE, END_HEADERS, 1)
    assert promise.payload[:4] == u32(2)
    assert peer.decode(promise.payload[4:]) == [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/a"),
        ("accept", "text/css"),
    ]
    assert conn.events == [
        ("start", 2),
        ("head", 2, 0, "GET", "/a", [*REQUEST_HEADERS, ("accept", "text/css")]),
        ("tail", 2, None),
    ]
    conn.write_push(1, "GET", "/b", list(REQUEST_HEADERS))
    assert conn.frames()[0].payload[:4] == u32(4)
    conn.events.clear()
    conn.write_head(2, 200, "", "", [], False)
    conn.write_data(2, b"body", True)
    assert [(f.type, f.flags, f.stream) for f in conn.frames()] == [
        (HEADERS, END_HEADERS, 2),
        (DATA, END_STREAM, 2),
    ]
    assert conn.events == [("end", 2, NO_ERROR, LOCAL)]


@pytest.mark.parametrize("make", [server_closed_we_last, server_half_closed_local])
def test_F12_no_push_on_a_finished_response(make: State) -> None:
    conn, _ = make()
    conn.write_push(1, "GET", "/a", list(REQUEST_HEADERS))
    assert conn.take() == b""
    assert conn.events == []


BAD_PROMISES: dict[str, Headers] = {
    "post": POST,
    "put": [(":method", "PUT"), *REQUEST[1:]],
    "connect": [(":method", "CONNECT"), (":authority", "example.com:443")],
    "with a body": [*REQUEST, ("content-length", "1")],
    "another authority": [*REQUEST[:2], (":authority", "example.org"), REQUEST[3]],
    "no method": REQUEST[1:],
    "no path": REQUEST[:3],
    "a status": [(":status", "200"), *REQUEST],
    "upper case": [*REQUEST, ("Bad", "name")],
    "connection field": [*REQUEST, ("connection", "close")],
    "bad value": [*REQUEST, ("x", "a\nb")],
}


@each_row("promise", BAD_PROMISES.values(), ids=BAD_PROMISES)
def test_H20_what_may_not_be_promised(promise: Headers) -> None:
    conn = expect_stream_error(
        client_half_closed_local,
        lambda f: f.push_promise(1, 2, [*promise, ("x-new", "entry")]),
        2,
        PROTOCOL_ERROR,
    )
    assert conn.events == []


@pytest.mark.parametrize(
    "promise",
    [
        REQUEST,
        [(":method", "HEAD"), *REQUEST[1:]],
        [*REQUEST, ("content-length", "0")],
    ],
    ids=["get", "head", "content-length 0"],
)
def test_H20_what_may_be_promised(promise: Headers) -> None:
    conn = each_way(client_half_closed_local, lambda f: f.push_promise(1, 2, promise))
    assert [e[:3] for e in conn.of("push")] == [("push", 2, 1)]
    assert conn.frames() == []


def test_H20_no_body_in_the_response_to_a_promised_head() -> None:
    conn = each_way(
        client_half_closed_local,
        lambda f: (
            f.push_promise(1, 2, [(":method", "HEAD"), *REQUEST[1:]])
            + f.headers(2, [*RESPONSE, ("content-length", "100")], end_stream=True)
        ),
    )
    assert conn.of("tail", "end") == [("tail", 2, None), ("end", 2, NO_ERROR, REMOTE)]
