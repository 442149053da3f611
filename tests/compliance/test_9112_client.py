"""RFC 9112 sections 4, 6.3 and 9.2, what a client makes of responses: rows C1-C5."""

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import FIELDS, OK, asked, client_fails, received, response
from tests.rows import each_row
from tests.support import REMOTE, Recorder, feed, h1_client, play

NOT_HERE = {
    "C5": "TLS is not the engine's: it is told of the end of input by connection_lost, and ends a "
    "close-delimited body there; the asyncio layer knows how the TLS stream ended",
}


# -- C1 --------------------------------------------------------------------------------------------


@each_row(
    "line",
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 \xc3\xa9\xff",
        b"HTTP/1.1 200 a\tb",
        b"HTTP/1.1 200 Not Quite OK (really)",
        b"HTTP/1.1 200  OK",
        b"HTTP/1.1 200 OK ",
        b"HTTP/1.1 200 HTTP/1.1 404 No",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.9 200",
    ],
)
def test_C1_status_lines(line: bytes) -> None:
    events = received(asked, response(b"Content-Length: 2", line=line, body=b"ok"))
    assert events == [
        ("head", 1, 200, "", "", [("content-length", "2")]),
        ("data", 1, b"ok"),
        ("tail", 1, None),
    ]


REASONS = {
    b" OK": "OK",
    b" ": "",
    b"": "",
    b" Not Quite OK (really)": "Not Quite OK (really)",
    b"  OK ": " OK ",
    b" a\tb": "a\tb",
    b" \xc3\xa9\xff": "\xe9\udcff",
    b" HTTP/1.1 404 No": "HTTP/1.1 404 No",
}


@each_row("version", [b"HTTP/1.1", b"HTTP/1.0"])
@each_row("phrase", REASONS)
def test_C1_reason_phrases_are_delivered(phrase: bytes, version: bytes) -> None:
    line = version + b" 200" + phrase
    conn = play(asked, response(b"Content-Length: 0", line=line))
    assert conn.reasons == [REASONS[phrase]]
    # Of one response nothing is left to the next.
    conn = play(asked, HINTS + response(b"Content-Length: 0", line=b"HTTP/1.1 200"))
    assert conn.reasons == ["Early Hints", ""]


@each_row("code", [200, 201, 204, 299, 300, 304, 404, 418, 499, 500, 599])
def test_C1_codes(code: int) -> None:
    events = received(asked, response(b"Content-Length: 0", line=b"HTTP/1.1 %d X" % code))
    assert events[0][2] == code
    assert events[1:] == [("tail", 1, None)]


@each_row(
    "line",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 2 OK",
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 0x2 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 \xb2\xb2\xb2 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1200 OK",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 OK",
        b" HTTP/1.1 200 OK",
        b"\tHTTP/1.1 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/11 200 OK",
        b"HTTP/1,1 200 OK",
        b"HTTP/1.x 200 OK",
        b"HTTPS/1.1 200 OK",
        b"ICY 200 OK",
        b"200 OK",
        b"GET / HTTP/1.1",
        b"<html>",
        b"HTTP/1.1 200 a\0b",
        b"HTTP/1.1 200 a\x01b",
        b"HTTP/1.1 200 a\x7fb",
        b"HTTP/1.1 200 a\x0bb",
        b"HTTP/1.1 200 a\rb",
        b"\0",
        b"",
    ],
)
def test_C1_malformed_status_lines(line: bytes) -> None:
    conn = client_fails(asked, response(b"Content-Length: 2", line=line, body=b"ok") + OK)
    assert conn.of("head", "data", "tail") == []
    assert len(conn.of("end")) == 1


def test_C1_nothing_but_a_body() -> None:
    client_fails(asked, b"hello, this is HTTP/0.9\r\n\r\n")


def test_C1_a_preface_of_another_protocol() -> None:
    client_fails(asked, b"\0\0\0\x04\0\0\0\0\0" * 3)


def test_C1_fields_as_delivered() -> None:
    data = response(b"B: 1", b"Set-Cookie: x", b"set-cookie:\ty ", b"Content-Length: 0", b"a: \xff")
    assert received(asked, data)[0][5] == [
        ("b", "1"),
        ("set-cookie", "x"),
        ("set-cookie", "y"),
        ("content-length", "0"),
        ("a", "\udcff"),
    ]


def test_C1_the_order_of_events() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    feed(conn, OK)
    assert conn.events == [
        ("start", 1),
        ("head", 1, 200, "", "", [("content-length", "2")]),
        ("data", 1, b"ok"),
        ("tail", 1, None),
        ("end", 1, raw.CNO_RST_NO_ERROR, REMOTE),
    ]
    assert conn.next_stream == 3


# -- C2 --------------------------------------------------------------------------------------------

HINTS = response(b"Link: </x>", line=b"HTTP/1.1 103 Early Hints")


def test_C2_informational_responses_are_delivered_apart() -> None:
    events = received(asked, response(line=b"HTTP/1.1 100 Continue") + HINTS + HINTS + OK)
    assert events == [
        ("head", 1, 100, "", "", []),
        ("head", 1, 103, "", "", [("link", "</x>")]),
        ("head", 1, 103, "", "", [("link", "</x>")]),
        ("head", 1, 200, "", "", [("content-length", "2")]),
        ("data", 1, b"ok"),
        ("tail", 1, None),
    ]


def test_C2_informational_responses_are_bounded() -> None:
    few = Limits(max_informational=3)
    assert len(received(lambda: asked(limits=few), HINTS * 3 + OK)) == 6
    conn = client_fails(lambda: asked(limits=few), HINTS * 4 + OK)
    assert [e[2] for e in conn.of("head")] == [103] * 3


def test_C2_informational_responses_are_bounded_by_default() -> None:
    conn = asked()
    feed(conn, HINTS * 16 + OK)
    assert conn.error is None
    conn = asked()
    feed(conn, HINTS * 17 + OK)
    assert isinstance(conn.error, raw.ProtocolError)
    assert 200 not in [e[2] for e in conn.of("head")]


def test_C2_the_bound_is_for_each_response() -> None:
    def make() -> Recorder:
        conn = asked(limits=Limits(max_informational=3))
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
        conn.take()
        return conn

    events = received(make, (HINTS * 3 + OK) * 2)
    assert [e[1] for e in events if e[0] == "tail"] == [1, 3]


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (b"Connection: upgrade", b"Upgrade: websocket"),
        (b"Upgrade: h2c", b"Connection: Upgrade"),
    ],
)
def test_C2_101_that_was_not_asked_for(fields: tuple[bytes, ...]) -> None:
    conn = client_fails(asked, response(*fields, line=b"HTTP/1.1 101 X", body=b"raw") + OK)
    assert not conn.of("data", "upgrade", "tail")


def test_C2_an_informational_response_before_any_request() -> None:
    client_fails(h1_client, HINTS)


# -- C3, C4 ----------------------------------------------------------------------------------------


@each_row(
    "lines",
    [
        (b"gzip",),
        (b"identity",),
        (b"xchunked",),
        (b"chunked, gzip",),
        (b"chunked", b"gzip"),
        (b"chunked, identity",),
    ],
)
def test_C3_not_chunked_at_the_end_is_read_until_the_end(lines: tuple[bytes, ...]) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" + OK
    fields = [b"Transfer-Encoding: " + x for x in lines]
    conn = play(asked, response(*fields, body=body))
    assert conn.error is None
    assert conn.of("data", "tail") == [("data", 1, body)]
    conn.connection_lost()
    assert conn.of("tail", "end") == [("tail", 1, None), ("end", 1, 0, REMOTE)]
    assert len(conn.of("head")) == 1


def test_C3_such_a_connection_takes_no_further_request() -> None:
    conn = asked()
    feed(conn, response(b"Transfer-Encoding: gzip", body=b"x"))
    with pytest.raises(raw.ConnectionError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert conn.take() == b""


def test_C4_malformed_length_ends_the_connection() -> None:
    for value in (b"x", b"+2", b"2, 3", b"", b"99999999999999999999"):
        conn = client_fails(asked, response(b"Content-Length: " + value, body=b"ok"))
        assert conn.of("head", "data", "tail") == []


@pytest.mark.parametrize("code", [204, 304])
def test_C4_malformed_length_is_never_delivered(code: int) -> None:
    line = b"HTTP/1.1 %d X" % code
    conn = play(asked, response(b"Content-Length: x", line=line))
    if conn.error is None:
        assert conn.of("tail") == [("tail", 1, None)]
    else:
        assert conn.of("head") == []


def test_C4_an_early_answer_to_an_unfinished_request() -> None:
    conn = asked("POST", final=False)
    conn.write_data(1, b"abc", False)
    conn.take()
    feed(
        conn,
        response(b"Content-Length: 2", b"Connection: close", line=b"HTTP/1.1 413 X", body=b"no"),
    )
    assert conn.error is None
    assert conn.of("data", "tail") == [("data", 1, b"no"), ("tail", 1, None)]
    assert conn.of("end", "close") == [("end", 1, raw.CNO_RST_NO_ERROR, REMOTE), ("close",)]
    with pytest.raises(raw.ConnectionError):
        conn.write_data(1, b"more", True)
    assert conn.take() == b""
    with pytest.raises(raw.ConnectionError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)


def test_C4_a_body_larger_than_allowed() -> None:
    limits = Limits(max_body_size=4)

    def make() -> Recorder:
        return asked(limits=limits)

    client_fails(make, response(b"Content-Length: 5", body=b"hello"))
    client_fails(make, response(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"))
    client_fails(make, response(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2\r\nde\r\n"))
    events = received(make, response(b"Content-Length: 4", body=b"hell"))
    assert events[1:] == [("data", 1, b"hell"), ("tail", 1, None)]
    conn = client_fails(make, response(body=b"hello"))
    assert not conn.of("tail")
    assert received(make, response(body=b"hell"))[1:] == [("data", 1, b"hell")]


def test_C4_a_length_is_no_body_where_there_is_none() -> None:
    conn = asked("HEAD", limits=Limits(max_body_size=4))
    feed(conn, response(b"Content-Length: 5"))
    assert conn.error is None
    assert conn.of("tail") == [("tail", 1, None)]
