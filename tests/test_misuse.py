"""Wrong calls of an application, in either protocol: refused, without any effect."""

from typing import Any

import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.support import (
    CANCEL,
    LOCAL,
    REQUEST_HEADERS,
    RESPONSE,
    Recorder,
    client,
    client_with_request,
    h1_client,
    h1_server,
    request,
    server,
    server_with_request,
)

BOTH = pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])


@BOTH
def test_a_connection_begins_once(http2: bool) -> None:
    conn = Recorder(True)
    conn.connection_made(http2)
    conn.take()
    with pytest.raises(raw.UsageError, match="begun already"):
        conn.connection_made(http2)
    assert conn.take() == b""


def test_nothing_happens_before_the_beginning() -> None:
    conn = Recorder(False)
    with pytest.raises(raw.UsageError, match="before"):
        conn.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(raw.UsageError, match="not begun"):
        conn.write_head(1, 0, "GET", "/", list(REQUEST_HEADERS), True)
    with pytest.raises(raw.UsageError, match="not begun"):
        conn.shutdown()
    assert conn.take() == b""
    assert conn.events == []


@each_row(
    "setting",
    [
        {"initial_window_size": 1 << 31},
        {"initial_window_size": -1},
        {"max_frame_size": 16_383},
        {"max_frame_size": 1 << 24},
        {"max_concurrent_streams": 1 << 32},
        {"enable_push": 2},
        {"enable_push": 1},
        {"enable_connect_protocol": 2},
    ],
)
def test_settings_that_no_server_may_announce(setting: dict[str, int]) -> None:
    conn, _ = server()
    before = repr(conn.local_settings)
    with pytest.raises(raw.UsageError):
        conn.configure(**setting)
    assert conn.take() == b""
    assert repr(conn.local_settings) == before


def test_extended_connect_is_not_taken_back() -> None:
    # > A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value of 0
    # > after previously sending a value of 1.   (RFC 8441 3)
    conn, _ = server(configure={"enable_connect_protocol": 1})
    with pytest.raises(raw.UsageError, match="taken back"):
        conn.configure(enable_connect_protocol=0)
    assert conn.take() == b""
    assert conn.local_settings.enable_connect_protocol


def test_settings_and_frames_have_a_readable_form() -> None:
    conn, _ = server({3: 7})
    assert "max_concurrent_streams=7" in repr(conn.remote_settings)
    shown = repr(raw.Frame(0, 1, 3, b"abc"))
    assert conn.local_settings.get(99) == -1
    assert shown == "Frame(type=0, flags=0x1, stream=3, payload=3 bytes)"


def test_http1_is_given_up_with_a_code() -> None:
    conn = h1_client()
    stream = request(conn, final=False)
    conn.take()
    conn.events.clear()
    conn.write_reset(0, CANCEL)
    assert conn.events == [("end", stream, CANCEL, LOCAL), ("close",)]
    assert conn.take() == b""
    with pytest.raises(raw.DisconnectError):
        conn.write_data(stream, b"x", True)


def test_the_transport_of_http1_may_be_full() -> None:
    conn = h1_server()
    conn.pause_writing()
    conn.resume_writing()
    assert conn.events == []


@pytest.mark.parametrize("code", [-1, 1 << 32])
def test_codes_that_do_not_fit(code: int) -> None:
    conn, _ = server_with_request()
    for stream in (0, 1):
        with pytest.raises(raw.UsageError, match="no error code"):
            conn.write_reset(stream, code)
    assert conn.take() == b""


def test_a_request_has_no_status() -> None:
    for conn in (client()[0], h1_client()):
        with pytest.raises(raw.UsageError, match="code"):
            conn.write_head(1, 200, "GET", "/", list(REQUEST_HEADERS), True)
        assert conn.take() == b""


@pytest.mark.parametrize("bad", ["\ud800", "a\udc0ab", "x\ud83d"])
def test_text_that_is_no_octets(bad: str) -> None:
    """A lone surrogate stands for an octet only where it came from one."""
    for conn in (client()[0], h1_client()):
        for headers in (
            [*REQUEST_HEADERS, ("x", bad)],
            [*REQUEST_HEADERS, (bad, "x")],
            [*REQUEST_HEADERS, ("content-length", bad)],
            [REQUEST_HEADERS[0], (":authority", bad)],
        ):
            with pytest.raises(raw.UsageError):
                conn.write_head(1, 0, "POST", "/", headers, False)
        assert conn.take() == b""
        conn.write_head(1, 0, "POST", "/", list(REQUEST_HEADERS), False)


@each_row(
    ("headers", "text"),
    [
        ([("content-length", "1"), ("content-length", "1")], "content-length"),
        ([("content-length", "x")], "content-length"),
        ([("host", "a"), ("host", "a")], "host"),
        ([("host", "a b")], "authority"),
        ([(":authority", "a b")], "authority"),
        ([(":path", "/x")], ":path"),
        ([("x", " padded")], "x"),
    ],
)
def test_heads_that_cannot_be_sent(headers: list[tuple[str, str]], text: str) -> None:
    conn, _ = client()
    with pytest.raises(raw.UsageError, match=text):
        conn.write_head(1, 0, "GET", "/", headers, True)
    assert conn.take() == b""
    request(conn)
    assert conn.seen() == [("start", 1)]


def test_connect_needs_an_authority() -> None:
    conn, _ = client()
    with pytest.raises(raw.UsageError, match="authority"):
        conn.write_head(1, 0, "CONNECT", "", [], False)
    assert conn.take() == b""


def test_pushes_that_cannot_be() -> None:
    conn, _ = server_with_request()
    fields = [*REQUEST_HEADERS, ("content-length", "3")]
    with pytest.raises(raw.UsageError, match="content"):
        conn.write_push(1, "GET", "/x", fields)
    with pytest.raises(raw.UsageError, match="pushed"):
        conn.write_push(1, "POST", "/x", list(REQUEST_HEADERS))
    assert conn.take() == b""


def test_a_response_whose_content_length_does_not_match() -> None:
    conn, peer = client_with_request()
    conn.data_received(peer.headers(1, [*RESPONSE, ("content-length", "1")], end_stream=True))
    assert [e[0] for e in conn.events] == ["end"]


def test_limits_are_of_their_types() -> None:
    wrong: list[dict[str, Any]] = [
        {"max_frame_size": None},
        {"max_pipelined": "16"},
        {"max_frame_size": 1.5},
    ]
    for each in wrong:
        with pytest.raises(TypeError):
            Limits(**each)
    far: list[dict[str, Any]] = [{"max_frame_size": 1}, {"max_pipelined": -1}]
    for each in far:
        with pytest.raises(ValueError, match="is not in"):
            Limits(**each)


@BOTH
def test_a_request_names_one_authority(http2: bool) -> None:
    conn = client()[0] if http2 else h1_client()
    conn.take()
    two = [(":scheme", "http"), (":authority", "one.example"), (":authority", "two.example")]
    with pytest.raises(raw.UsageError, match=r"(?i)authority"):
        conn.write_head(1, 0, "GET", "/", two, True)
    assert conn.take() == b""
    conn.write_head(1, 0, "GET", "/", REQUEST_HEADERS, True)
    assert conn.take() != b""
