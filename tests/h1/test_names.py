"""HTTP/1.1: names and authorities that were sent before are checked once; that changes nothing."""

import pytest

from cno import raw
from tests.h1.wire import GET
from tests.rows import each_row
from tests.support import Headers, Recorder, h1_client, h1_server

BAD = ["x y", "x:y", "x\r\ny", "", "ünder", "x\0"]


def respond(conn: Recorder, headers: Headers) -> bytes:
    conn.data_received(GET)
    stream = max(conn.open_streams)
    try:
        conn.write_head(stream, 200, "", "", headers, True)
    except raw.UsageError:
        assert conn.take() == b""
        conn.write_head(stream, 500, "", "", [], True)
        conn.take()
        raise
    return conn.take()


def test_each_spelling_of_a_name_is_written_in_lower_case() -> None:
    conn = h1_server()
    for name in ["X-Spelled", "x-spelled", "X-SPELLED"] * 2:
        assert b"\r\nx-spelled: 1\r\n" in respond(conn, [(name, "1")])


def test_the_value_of_a_known_name_is_checked_each_time() -> None:
    conn = h1_server()
    for _ in range(2):
        assert b"\r\nx-known: ok\r\n" in respond(conn, [("x-known", "ok")])
        with pytest.raises(raw.UsageError):
            respond(conn, [("x-known", "a\r\nb: c")])


@each_row("name", BAD)
def test_bad_names_stay_bad(name: str) -> None:
    conn = h1_server()
    for _ in range(3):
        with pytest.raises(raw.UsageError):
            respond(conn, [(name, "1")])


def test_names_that_mean_something_mean_it_each_time() -> None:
    conn = h1_client()
    for number in range(2):
        fields = [(":authority", "a"), ("HOST", "a"), ("te", "trailers"), ("Proxy-Connection", "x")]
        conn.write_head(2 * number + 1, 0, "GET", "/", fields, True)
        assert conn.take() == (
            b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n"
        )
    # In a response `host` is a field like any other, and does not become one in requests by that.
    for _ in range(2):
        assert b"\r\nhost: b\r\n" in respond(h1_server(), [("host", "b")])
        conn.write_head(conn.next_stream, 0, "GET", "/", [("host", "a")], True)
        assert conn.take() == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def test_thousands_of_names() -> None:
    """More than are remembered, and too long ones among them."""
    conn = h1_server()
    for round in range(2):
        for number in range(0, 3_000, 50):
            names = [f"X-{round}-{n}-{'Y' * (n % 100)}" for n in range(number, number + 50)]
            head = respond(conn, [(name, "1") for name in names])
            lines = head.split(b"\r\n")[1:51]
            assert lines == [f"{name.lower()}: 1".encode() for name in names]


@each_row("bad", ["a b", "user@a", "a/", "a:port", "\r\n"])
def test_authorities_are_checked_when_they_change(bad: str) -> None:
    conn = h1_client()
    for _ in range(2):
        for good in ("a", "a", "b:80"):
            conn.write_head(conn.next_stream, 0, "GET", "/", [(":authority", good)], True)
            assert conn.take() == f"GET / HTTP/1.1\r\nhost: {good}\r\n\r\n".encode()
        with pytest.raises(raw.UsageError):
            conn.write_head(conn.next_stream, 0, "GET", "/", [(":authority", bad)], True)
        assert conn.take() == b""
