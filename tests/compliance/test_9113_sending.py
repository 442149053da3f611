"""RFC 9113 section 8: our output follows the rules. Row H19, and H9 to H14 at the sender.

Each test's name begins with its row of the checklist.
"""

import pytest

from cno import raw
from tests.rows import each_row
from tests.states import server_half_closed_remote, server_open_answering
from tests.support import (
    DATA,
    END_HEADERS,
    END_STREAM,
    LOCAL,
    NO_ERROR,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    Frame,
    Headers,
    client,
    read_blocks,
    request,
    server_with_request,
)

NEW: Headers = [("x-new", "to the table")]

EARLY: Headers = [(":status", "103"), ("link", "</a>")]


def length(value: str) -> tuple[str, str]:
    return ("content-length", value)


def written(headers: Headers, method: str = "GET", path: str = "/") -> Headers:
    """The request a client writes for these headers."""
    conn, _ = client()
    request(conn, method, path, headers)
    ((_, fields),) = read_blocks(conn)
    return fields


def test_H19_names_are_lowered() -> None:
    assert written([*REQUEST_HEADERS, ("X-Upper", "Value")])[-1] == ("x-upper", "Value")


def test_H19_pseudo_fields_go_first() -> None:
    fields = written([("x", "y"), *REQUEST_HEADERS])
    assert sorted(fields[:4]) == sorted(REQUEST)
    assert fields[4:] == [("x", "y")]


@each_row("field", [
    ("Connection", "close"), ("keep-alive", "timeout=5"), ("Proxy-Connection", "close"),
    ("transfer-encoding", "chunked"), ("Upgrade", "h2c"), ("te", "gzip"),
], ids=str)  # fmt: skip
def test_H19_fields_of_the_connection_are_dropped(field: tuple[str, str]) -> None:
    assert written([*REQUEST_HEADERS, field, ("x", "y")]) == [*REQUEST, ("x", "y")]
    conn, _ = server_half_closed_remote()
    conn.write_head(1, 200, "", "", [field, ("x", "y")], True)
    assert read_blocks(conn) == [(1, [(":status", "200"), ("x", "y")])]


def test_H19_te_trailers_is_kept() -> None:
    assert written([*REQUEST_HEADERS, ("te", "trailers")])[-1] == ("te", "trailers")


def test_H19_host_becomes_the_authority() -> None:
    fields = written([(":scheme", "https"), ("Host", "example.com"), ("x", "y")])
    assert sorted(fields[:4]) == sorted(REQUEST)
    assert fields[4:] == [("x", "y")]


def test_H19_connect_has_no_scheme_and_no_path() -> None:
    conn, _ = client()
    conn.write_head(1, 0, "CONNECT", "", [(":authority", "example.com:443")], False)
    assert read_blocks(conn) == [(1, [(":method", "CONNECT"), (":authority", "example.com:443")])]


BAD_WRITES: Headers = [
    (":status", "200"), (":foo", "x"), (":path", "/"), ("", "x"), ("a b", "x"), ("a:b", "x"),
    ("a\n", "x"), ("x", "a\r\nb"), ("x", "a\0"), ("x", "\n"), ("caf\u00e9", "x"),
]  # fmt: skip


@each_row("field", BAD_WRITES, ids=repr)
def test_H19_what_must_not_be_sent_is_refused(field: tuple[str, str]) -> None:
    conn, _ = client()
    request(conn)
    assert len(read_blocks(conn)) == 1
    with pytest.raises(raw.UsageError):
        conn.write_head(3, 0, "GET", "/", [*REQUEST_HEADERS, *NEW, field], True)
    assert conn.take() == b""
    request(conn, headers=[*REQUEST_HEADERS, *NEW])
    assert read_blocks(conn) == [(3, [*REQUEST, *NEW])], "HPACK is still in step"


@each_row(
    ("method", "path"),
    [("", "/"), ("G T", "/"), ("GET\n", "/"), ("GET", "/ HTTP"), ("GET", "/\r\n")],
)
def test_H19_method_and_path_are_checked(method: str, path: str) -> None:
    conn, _ = client()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 0, method, path, list(REQUEST_HEADERS), True)
    assert conn.take() == b""


@pytest.mark.parametrize("field", [(":status", "200"), (":path", "/"), ("a b", "x"), ("x", "\n")])
def test_H19_trailers_are_checked(field: tuple[str, str]) -> None:
    conn, _ = server_open_answering()
    with pytest.raises(raw.UsageError):
        conn.write_tail(1, [field])
    assert conn.take() == b""
    conn.write_tail(1, [("X-Sum", "1")])
    assert read_blocks(conn) == [(1, [("x-sum", "1")])]


def test_H19_response_with_trailers() -> None:
    conn, peer = server_half_closed_remote()
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"body", False)
    conn.write_tail(1, [("x-sum", "1")])
    head, data, tail = conn.frames()
    assert (head.flags, data.flags, tail.flags) == (END_HEADERS, 0, END_HEADERS | END_STREAM)
    assert peer.decode(head.payload) == RESPONSE
    assert peer.decode(tail.payload) == [("x-sum", "1")]
    assert conn.events == [("end", 1, NO_ERROR, LOCAL)]


# -- bodies of ours


@each_row("value", ["", "-1", "+1", "5,5", "five", "9" * 40])
def test_H13_length_of_ours_is_a_number(value: str) -> None:
    conn, _ = server_half_closed_remote()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 200, "", "", [length(value)], False)
    assert conn.take() == b""


def test_H12_body_of_ours_has_the_length_declared() -> None:
    conn, _ = server_half_closed_remote()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 200, "", "", [length("5")], True)
    conn.write_head(1, 200, "", "", [length("5")], False)
    conn.take()
    for data, final in ((b"123456", False), (b"1234", True), (b"", True)):
        with pytest.raises(raw.UsageError):
            conn.write_data(1, data, final)
    with pytest.raises(raw.UsageError):
        conn.write_tail(1, [("x-sum", "0")])
    assert conn.take() == b""
    assert conn.write_data(1, b"123", False) == 3
    assert conn.write_data(1, b"45", True) == 2
    assert conn.frames() == [Frame(DATA, 0, 1, b"123"), Frame(DATA, END_STREAM, 1, b"45")]


def test_H12_request_of_ours_has_the_length_declared() -> None:
    conn, _ = client()
    with pytest.raises(raw.UsageError):
        request(conn, "POST", headers=[*REQUEST_HEADERS, length("5")], final=True)
    stream = request(conn, "POST", headers=[*REQUEST_HEADERS, length("5")], final=False)
    with pytest.raises(raw.UsageError):
        conn.write_data(stream, b"123456", True)
    assert conn.write_data(stream, b"12345", True) == 5


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_H14_our_responses_without_a_body(method: str, status: int) -> None:
    message = [(":method", method), *REQUEST[1:]]
    conn, _ = server_with_request(message, end_stream=True)
    conn.write_head(1, status, "", "", [length("100")], True)
    assert [f.flags for f in conn.frames()] == [END_HEADERS | END_STREAM]
    conn, _ = server_with_request(message, end_stream=True)
    conn.write_head(1, status, "", "", [length("4")], False)
    assert conn.write_data(1, b"body", True) == 4, "swallowed"
    assert [(f.type, f.payload) for f in conn.frames()][1:] == [(DATA, b"")]


def test_H19_no_length_in_trailers_of_ours() -> None:
    # The same field was fine in the head; it is none the better for that in the trailers.
    conn, _ = server_half_closed_remote()
    conn.write_head(1, 200, "", "", [length("4")], False)
    conn.write_data(1, b"body", False)
    conn.take()
    with pytest.raises(raw.UsageError):
        conn.write_tail(1, [length("4")])
    assert conn.take() == b""


def test_H10_informational_responses_of_ours() -> None:
    conn, peer = server_half_closed_remote()
    conn.write_head(1, 100, "", "", [], False)
    conn.write_head(1, 103, "", "", [("link", "</a>")], False)
    conn.write_head(1, 200, "", "", [], True)
    frames = conn.frames()
    assert [f.flags for f in frames] == [END_HEADERS, END_HEADERS, END_HEADERS | END_STREAM]
    blocks = [peer.decode(f.payload) for f in frames]
    assert blocks == [[(":status", "100")], EARLY, [(":status", "200")]]
    assert conn.events == [("end", 1, NO_ERROR, LOCAL)]


@pytest.mark.parametrize("code", [100, 103])
def test_H10_informational_responses_of_ours_end_nothing(code: int) -> None:
    conn, _ = server_half_closed_remote()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, code, "", "", [], True)
    assert conn.take() == b""


@pytest.mark.parametrize("code", [0, 99, 101, 1000])
def test_H9_status_of_ours_is_one_of_http2(code: int) -> None:
    conn, _ = server_half_closed_remote()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, code, "", "", [], False)
    assert conn.take() == b""
