"""RFC 8441: extended CONNECT, which carries WebSockets over HTTP/2. Rows X1 to X7.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import Started, State, forget
from tests.support import (
    ACK,
    CANCEL,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LOCAL,
    NO_ERROR,
    PROTOCOL_ERROR,
    REMOTE,
    REQUEST_HEADERS,
    RESPONSE,
    SETTINGS,
    Frame,
    Headers,
    Make,
    Recorder,
    client,
    each_way,
    expect_connection_error,
    expect_stream_error,
    merged,
    parse_frames,
    read_blocks,
    server,
)

WEBSOCKET: Headers = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "example.com"),
    ("sec-websocket-version", "13"),
]


def enabled() -> Started:
    """A server that takes extended CONNECT."""
    return server(configure={"enable_connect_protocol": True})


def allowed() -> Started:
    """A client whose server takes extended CONNECT."""
    return client({ENABLE_CONNECT_PROTOCOL: 1})


def server_tunnel() -> Started:
    """A server that has opened a tunnel on stream 1."""
    conn, peer = enabled()
    conn.data_received(peer.headers(1, WEBSOCKET))
    conn.write_head(1, 200, "", "", [], False)
    return forget(conn)


def client_tunnel() -> Started:
    """A client for whom a tunnel has been opened on stream 1."""
    conn, peer = allowed()
    connect(conn)
    read_blocks(conn)
    conn.data_received(peer.headers(1, RESPONSE))
    return forget(conn)


def connect(conn: Recorder) -> None:
    fields = [(":protocol", "websocket"), *REQUEST_HEADERS, ("sec-websocket-version", "13")]
    conn.write_head(conn.next_stream, 0, "CONNECT", "/chat", fields, False)


TUNNELS = each_row("make", [server_tunnel, client_tunnel], ids=["server", "client"])


def test_X1_server_announces_it_when_enabled() -> None:
    conn, _ = enabled()
    assert (ENABLE_CONNECT_PROTOCOL, 1) in parse_frames(conn.hello)[0].settings
    conn, _ = server()
    assert dict(parse_frames(conn.hello)[0].settings).get(ENABLE_CONNECT_PROTOCOL, 0) == 0


@pytest.mark.parametrize("make", [server, client], ids=["server", "client"])
@pytest.mark.parametrize("value", [2, 0xFFFFFFFF])
def test_X1_value_is_neither_0_nor_1(make: Make, value: int) -> None:
    expect_connection_error(
        make, lambda f: f.settings({ENABLE_CONNECT_PROTOCOL: value}), PROTOCOL_ERROR
    )


@pytest.mark.parametrize("value", [0, 1])
def test_X1_values_allowed(value: int) -> None:
    conn = each_way(client, lambda f: f.settings({ENABLE_CONNECT_PROTOCOL: value}))
    assert conn.frames() == [Frame(SETTINGS, ACK, 0, b"")]
    assert bool(conn.remote_settings.enable_connect_protocol) is bool(value)


def test_X2_server_takes_it_back() -> None:
    expect_connection_error(
        allowed, lambda f: f.settings({ENABLE_CONNECT_PROTOCOL: 0}), PROTOCOL_ERROR
    )
    expect_connection_error(
        client,
        lambda f: f.settings([(ENABLE_CONNECT_PROTOCOL, 1), (ENABLE_CONNECT_PROTOCOL, 0)]),
        PROTOCOL_ERROR,
    )


def test_X2_other_settings_do_not_take_it_back() -> None:
    conn = each_way(allowed, lambda f: f.settings({INITIAL_WINDOW_SIZE: 1}))
    connect(conn)
    assert [f.type for f in conn.frames()] == [SETTINGS, HEADERS]


def test_X3_client_waits_for_the_setting() -> None:
    conn, peer = client()
    with pytest.raises(raw.ConnectionError) as caught:
        connect(conn)
    assert caught.value.errno in (raw.CNO_ERRNO_ASSERTION, raw.CNO_ERRNO_NOT_IMPLEMENTED)
    assert conn.take() == b""
    conn.data_received(peer.settings({ENABLE_CONNECT_PROTOCOL: 1}))
    conn.take()
    connect(conn)
    assert [f.type for f in conn.frames()] == [HEADERS]


def test_X3_what_the_client_writes() -> None:
    conn, _ = allowed()
    connect(conn)
    ((stream, fields),) = read_blocks(conn)
    assert stream == 1
    assert sorted(fields[:5]) == sorted(WEBSOCKET[:5])
    assert fields[5:] == WEBSOCKET[5:]


def test_X3_protocol_needs_connect() -> None:
    conn, _ = allowed()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 0, "GET", "/", [(":protocol", "websocket"), *REQUEST_HEADERS], False)
    assert conn.take() == b""


def test_X4_a_whole_extended_connect() -> None:
    conn = each_way(enabled, lambda f: f.headers(1, WEBSOCKET))
    start, head = conn.events
    assert start == ("start", 1)
    assert head[:5] == ("head", 1, 0, "CONNECT", "/chat")
    assert sorted(head[5][:3]) == [
        (":authority", "example.com"),
        (":protocol", "websocket"),
        (":scheme", "https"),
    ]
    assert head[5][3:] == [("sec-websocket-version", "13")]


@pytest.mark.parametrize("name", [":method", ":scheme", ":path", ":authority"])
def test_X4_a_field_is_missing(name: str) -> None:
    message = [field for field in WEBSOCKET if field[0] != name]
    conn = expect_stream_error(enabled, lambda f: f.headers(1, message), 1, PROTOCOL_ERROR)
    assert conn.events == []


@pytest.mark.parametrize("name", [":scheme", ":path", ":authority", ":protocol"])
def test_X4_a_field_is_empty(name: str) -> None:
    message = [(n, "" if n == name else v) for n, v in WEBSOCKET]
    conn = expect_stream_error(enabled, lambda f: f.headers(1, message), 1, PROTOCOL_ERROR)
    assert conn.events == []


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_X4_protocol_with_another_method(method: str) -> None:
    message = [(":method", method), *WEBSOCKET[1:]]
    conn = expect_stream_error(enabled, lambda f: f.headers(1, message), 1, PROTOCOL_ERROR)
    assert conn.events == []


def test_X4_not_enabled() -> None:
    conn = expect_stream_error(server, lambda f: f.headers(1, WEBSOCKET), 1, PROTOCOL_ERROR)
    assert conn.events == []


def test_X4_plain_connect_is_still_a_connect() -> None:
    plain = [(":method", "CONNECT"), (":authority", "example.com:443")]
    conn = each_way(enabled, lambda f: f.headers(1, plain))
    assert conn.of("head") == [("head", 1, 0, "CONNECT", "", [(":authority", "example.com:443")])]


@TUNNELS
def test_X5_octets_both_ways_and_the_ends(make: State) -> None:
    conn, peer = make()
    conn.data_received(peer.data(1, b"to us"))
    assert conn.write_data(1, b"to them", False) == 7
    conn.data_received(peer.data(1, b"", True))
    assert conn.seen() == [("data", 1, b"to us"), ("tail", 1, None)]
    assert conn.write_data(1, b"last", True) == 4
    assert conn.frames() == [Frame(DATA, 0, 1, b"to them"), Frame(DATA, END_STREAM, 1, b"last")]
    assert conn.events == [("end", 1, NO_ERROR, LOCAL)]


@TUNNELS
def test_X5_reset_is_cancel(make: State) -> None:
    conn = each_way(make, lambda f: f.data(1, b"last words") + f.rst(1, CANCEL))
    assert merged(conn.events) == [("data", 1, b"last words"), ("end", 1, CANCEL, REMOTE)]


def test_X5_plain_connect_opens_a_tunnel_too() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, [(":method", "CONNECT"), (":authority", "a:1")]))
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    conn.data_received(peer.data(1, b"to us"))
    conn.write_data(1, b"to them", False)
    assert conn.of("data") == [("data", 1, b"to us")]
    assert conn.frames() == [Frame(DATA, 0, 1, b"to them")]


@pytest.mark.parametrize("field", [("connection", "upgrade"), ("upgrade", "websocket")], ids=str)
def test_X5_no_fields_of_http1(field: tuple[str, str]) -> None:
    expect_stream_error(enabled, lambda f: f.headers(1, [*WEBSOCKET, field]), 1, PROTOCOL_ERROR)


@TUNNELS
def test_X6_no_trailers_in_a_tunnel(make: State) -> None:
    conn = expect_stream_error(
        make, lambda f: f.headers(1, [("x-trailer", "t")], end_stream=True), 1, PROTOCOL_ERROR
    )
    assert conn.of("tail") == []


def test_X6_length_means_nothing_in_a_tunnel() -> None:
    def make() -> Recorder:
        conn, peer = allowed()
        connect(conn)
        read_blocks(conn)
        conn.data_received(peer.headers(1, [*RESPONSE, ("content-length", "3")]))
        return forget(conn)[0]

    conn = each_way(make, lambda f: f.data(1, b"more than three", True))
    assert conn.of("data", "tail") == [("data", 1, b"more than three"), ("tail", 1, None)]
    assert conn.frames() == []


def test_X7_another_status_is_an_ordinary_response() -> None:
    def make() -> Recorder:
        conn, _ = allowed()
        connect(conn)
        return forget(conn)[0]

    fields = [(":status", "403"), ("content-length", "2")]
    conn = each_way(make, lambda f: f.headers(1, fields) + f.data(1, b"no", True))
    assert merged(conn.events) == [
        ("head", 1, 403, "", "", [("content-length", "2")]),
        ("data", 1, b"no"),
        ("tail", 1, None),
    ]
    expect_stream_error(
        make, lambda f: f.headers(1, fields) + f.data(1, b"nope", True), 1, PROTOCOL_ERROR
    )


def test_X7_refusal_by_a_server() -> None:
    conn, peer = enabled()
    conn.data_received(peer.headers(1, WEBSOCKET))
    conn.write_head(1, 403, "", "", [], True)
    assert [f.flags for f in conn.frames()] == [END_HEADERS | END_STREAM]
    conn.data_received(peer.data(1, b"", True))
    assert conn.events[-1] == ("end", 1, NO_ERROR, REMOTE)
