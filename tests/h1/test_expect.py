"""Expect: 100-continue on the server side, when the client has not waited (RFC 9110 10.1.1)."""

import pytest

from cno import raw
from tests.h1.wire import GET, answering, request, respond, responses
from tests.support import each_way, h1_server

FRAMED = {
    "length": (b"Content-Length: 1", b"x", b"/x"),
    "chunks": (b"Transfer-Encoding: chunked", b"1\r\nx\r\n0\r\n\r\n", b"/x"),
    "no chunks": (b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"/"),
    "chunks and trailers": (b"Transfer-Encoding: chunked", b"0\r\nX-A: b\r\n\r\n", b"/"),
}


@pytest.mark.parametrize("kind", FRAMED)
def test_the_connection_goes_on_once_the_body_has_come(kind: str) -> None:
    # > A server MAY omit sending a 100 (Continue) response if it has already received some or all
    # > of the content for the corresponding request
    framing, body, answer = FRAMED[kind]
    data = request(b"Host: a", framing, b"Expect: 100-continue", line=b"POST / HTTP/1.1", body=body)
    conn = each_way(answering, data + GET)
    assert [e[3] for e in conn.of("head")] == ["POST", "GET"]
    assert conn.of("close") == []
    first, second = responses(conn.take(), ["POST", "GET"])
    assert (first.body, second.body) == (answer, b"/")
    assert not first.closes


SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n"


def upload(number: int = 1) -> bytes:
    return (
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        % number
    )


@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("body", [False, True])
def test_a_100_is_written_when_its_turn_comes(before: int, body: bool) -> None:
    """Behind earlier responses, with bodies and without; the application need not ask again."""
    conn = h1_server()
    conn.data_received(SLOW * before + upload())
    stream = 2 * before + 1
    conn.write_head(stream, 100, "", "", [("x-a", "b")], False)
    assert conn.take() == b""
    for earlier in range(1, stream, 2):
        conn.write_head(earlier, 200, "", "", [], not body)
        if body:
            conn.write_data(earlier, bytes(10_000), False)
            assert CONTINUE not in conn.take()
            conn.write_data(earlier, b"", True)
        written = conn.take()
        assert written.endswith(CONTINUE + b"x-a: b\r\n\r\n") == (earlier == stream - 2)
    assert conn.of("flow") == []
    conn.data_received(b"abc")
    respond(conn, stream, body=b"ok")
    (last,) = responses(conn.take())
    assert (last.code, last.body, last.closes) == (200, b"ok", False)


def test_a_100_is_not_written_once_the_body_has_come() -> None:
    conn = h1_server()
    conn.data_received(SLOW + upload())
    conn.write_head(3, 100, "", "", [], False)
    conn.data_received(b"abc")
    conn.write_head(3, 100, "", "", [], False)
    respond(conn, 1)
    respond(conn, 3)
    assert CONTINUE not in b"".join(conn.written)
    conn.data_received(GET)
    assert len(conn.of("head")) == 3


@pytest.mark.parametrize("asked", [True, False])
def test_a_100_behind_a_request_whose_body_came_without_one(asked: bool) -> None:
    """One that was not needed neither loses that of the next request nor stands for it."""
    conn = h1_server()
    conn.data_received(SLOW + upload())
    conn.write_head(3, 100, "", "", [("x-for", "3")], False)
    conn.data_received(b"abc" + upload())
    if asked:
        conn.write_head(5, 100, "", "", [("x-for", "5")], False)
    else:
        with pytest.raises(raw.WouldBlockError):
            conn.write_head(5, 103, "", "", [], False)
    respond(conn, 1)
    assert CONTINUE not in conn.take()
    respond(conn, 3)
    written = conn.take()
    assert written.endswith(CONTINUE + b"x-for: 5\r\n\r\n") == asked
    assert written.count(CONTINUE) == asked


def test_a_100_and_an_application_that_waits_for_its_turn() -> None:
    conn = h1_server()
    conn.data_received(SLOW + upload())
    conn.write_head(3, 100, "", "", [], False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 103, "", "", [], False)
    respond(conn, 1)
    assert conn.of("flow") == [("flow", 3)]
    assert conn.take().endswith(CONTINUE + b"\r\n")


def test_a_100_is_checked_when_it_is_given() -> None:
    conn = h1_server()
    conn.data_received(SLOW + upload())
    with pytest.raises(raw.UsageError):
        conn.write_head(3, 100, "", "", [("x", "a\nb")], False)
    with pytest.raises(raw.UsageError):
        conn.write_head(3, 100, "", "", [], True)
    respond(conn, 1)
    assert CONTINUE not in conn.take()


def test_a_100_for_a_stream_that_has_been_given_up() -> None:
    conn = h1_server()
    conn.data_received(SLOW + upload())
    conn.write_head(3, 100, "", "", [], False)
    conn.write_reset(3, 8)
    respond(conn, 1)
    assert CONTINUE not in conn.take()
    assert len(conn.of("close")) == 1
