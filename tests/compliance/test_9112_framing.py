"""RFC 9112 section 6, where a message ends: rows B1-B9.

A second request follows each refused message, and must not be delivered.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import (
    FIELDS,
    GET,
    OK,
    SMUGGLED,
    accepted,
    answering,
    asked,
    client_fails,
    closed,
    received,
    refused,
    request,
    respond,
    response,
    responses,
)
from tests.rows import each_row
from tests.support import LOCAL, REMOTE, Event, Headers, Recorder, feed, h1_client, h1_server, play

HOST = b"Host: a"
POST = b"POST / HTTP/1.1"
LENGTH = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
NOT_HERE: dict[str, str] = {}


def post(*fields: bytes, body: bytes = b"", line: bytes = POST) -> bytes:
    return request(HOST, *fields, line=line, body=body)


def two(first: bytes) -> list[Event]:
    """The first request's events; a second one behind it must be found where it begins."""
    events = accepted(first + request(HOST, line=b"GET /2 HTTP/1.1"))
    assert events[-2:] == [("head", 3, 0, "GET", "/2", FIELDS), ("tail", 3, None)]
    return events[:-2]


# -- B1 --------------------------------------------------------------------------------------------


@each_row(
    "fields",
    [
        (LENGTH, CHUNKED),
        (CHUNKED, LENGTH),
        (b"content-length: 5", b"TRANSFER-ENCODING: CHUNKED"),
        (b"Content-Length: 0", CHUNKED),
        (CHUNKED, b"X: y", b"Content-Length: 0"),
        (CHUNKED, b"Content-Length: x"),
        (CHUNKED, b"Content-Length:"),
        (LENGTH, b"Transfer-Encoding: identity"),
        (LENGTH, b"Transfer-Encoding:"),
        (LENGTH, b"Transfer-Encoding: xchunked"),
        (LENGTH, b"Transfer-Encoding: chunked, identity"),
    ],
)
@each_row("body", [HELLO, b"0\r\n\r\n", b"hello"])
def test_B1_both_ways_of_framing(fields: tuple[bytes, ...], body: bytes) -> None:
    refused(post(*fields, body=body) + SMUGGLED)


def test_B1_both_with_a_coding_we_do_not_have() -> None:
    refused(post(LENGTH, b"Transfer-Encoding: gzip, chunked", body=HELLO), (400, 501))


@pytest.mark.parametrize("fields", [(LENGTH, CHUNKED), (CHUNKED, b"Content-Length: 0")])
def test_B1_both_in_a_response(fields: tuple[bytes, ...]) -> None:
    client_fails(asked, response(*fields, body=HELLO))


# -- B2 --------------------------------------------------------------------------------------------


@each_row(
    "field",
    [
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:chunked",
        b"TRANSFER-ENCODING: CHUNKED",
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: \t chunked \t ",
    ],
)
def test_B2_chunked(field: bytes) -> None:
    assert two(post(field, body=HELLO)) == [
        ("head", 1, 0, "POST", "/", FIELDS),
        ("data", 1, b"hello"),
        ("tail", 1, None),
    ]


@each_row(
    "value",
    [
        b"xchunked",
        b"chunkedx",
        b"x-chunked",
        b"chunke",
        b"chunked chunked",
        b"gzip",
        b"deflate",
        b"identity",
        b"",
        b",",
        b"chunked, identity",
        b"chunked, gzip",
        b"chunked,gzip",
        b"chunked, chunked",
        b"chunked,Chunked",
        b'"chunked"',
        b"'chunked'",
        b"chunked;",
        b"chunked;q=1",
        b"chunked;q=0",
        b'chunked;a="b"',
        b"chunked=1",
        b"chunked:",
        b"=chunked",
        b"[chunked]",
        b"chunked\xa0",
        b"\xa0chunked",
        b"chunked\xc2\xa0",
        b"\xc5\xbfchunked",
        b"\x85chunked",
        b"chu\xe2\x84\xaaed",
        b"chunked\0",
        b"\x0bchunked",
        b"chunked\x0b",
        b"\x0cchunked",
        b"chunked\x0c",
        b"\x1fchunked",
        b"chunked\x7f",
        b"chunked/1",
        b"chun ked",
        b"gzip chunked",
        b"gzip; chunked",
        b"(chunked)",
        b"chunked()",
        b"none",
        b"*",
        b"0",
    ],
)
def test_B2_not_chunked_at_the_end(value: bytes) -> None:
    refused(post(b"Transfer-Encoding: " + value, body=HELLO) + SMUGGLED)


@each_row(
    "value",
    [
        b"gzip, chunked",
        b"gzip,chunked",
        b"GZIP , CHUNKED",
        b"deflate, gzip, chunked",
        b"x-gzip, chunked",
        b"xchunked, chunked",
    ],
)
def test_B2_codings_we_do_not_have(value: bytes) -> None:
    refused(post(b"Transfer-Encoding: " + value, body=HELLO) + SMUGGLED, 501)


@pytest.mark.parametrize(
    "value", [b"identity, chunked", b"chunked, gzip, chunked", b"a b, chunked"]
)
def test_B2_refused_either_way(value: bytes) -> None:
    refused(post(b"Transfer-Encoding: " + value, body=HELLO) + SMUGGLED, (400, 501))


@each_row(
    ("lines", "status"),
    [
        ((b"chunked", b"chunked"), 400),
        ((b"chunked", b"identity"), 400),
        ((b"chunked", b"gzip"), 400),
        ((b"chunked", b"x"), 400),
        ((b"identity", b"gzip"), 400),
        ((b"gzip", b"chunked"), 501),
        ((b"gzip", b"deflate", b"chunked"), 501),
    ],
)
def test_B2_a_list_over_several_lines(lines: tuple[bytes, ...], status: int) -> None:
    refused(post(*(b"Transfer-Encoding: " + x for x in lines), body=HELLO) + SMUGGLED, status)
    apart = [b"Transfer-Encoding: " + x for x in lines]
    refused(post(apart[0], b"X: y", *apart[1:], body=HELLO) + SMUGGLED, status)


@each_row(
    "field",
    [
        b"Transfer_Encoding: chunked",
        b"Transfer-Encodin: chunked",
        b"X-Transfer-Encoding: chunked",
        b"TransferEncoding: chunked",
        b"TE: chunked",
    ],
)
def test_B2_other_fields_frame_nothing(field: bytes) -> None:
    assert two(post(field))[-1] == ("tail", 1, None)


# -- B3 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"identity", b"gzip"])
def test_B3_transfer_encoding_in_1_0(value: bytes) -> None:
    first = post(b"Transfer-Encoding: " + value, body=HELLO, line=b"POST / HTTP/1.0")
    refused(first + SMUGGLED)


def test_B3_transfer_encoding_and_keep_alive_in_1_0() -> None:
    refused(
        post(CHUNKED, b"Connection: keep-alive", body=HELLO, line=b"POST / HTTP/1.0") + SMUGGLED
    )


# -- B4 --------------------------------------------------------------------------------------------


@each_row(
    "value",
    [
        b"+5",
        b"-1",
        b"-0",
        b"0x5",
        b"5_0",
        b"",
        b" ",
        b"5 0",
        b"5\t0",
        b"5a",
        b"a",
        b"5.0",
        b"5e0",
        b"5;",
        b'"5"',
        b"5,",
        b",5",
        b"5;q=1",
        b"5\x0b",
        b"\x0c5",
        b"5\0",
        b"5\x7f",
        b"5\xa0",
        b"\xb2",
        b"\xc2\xb2",
        b"\xd9\xa5",
        b"\xef\xbc\x95",
        b"9223372036854775808",
        b"9999999999999999999",
        b"18446744073709551616",
        b"18446744073709551621",
        b"30000000000000000000",
        b"4294967296" * 3,
        b"1" * 400,
        b"NaN",
        b"inf",
        b"0b101",
        b"0o5",
        b"--5",
        b"chunked",
    ],
)
def test_B4_malformed_length(value: bytes) -> None:
    refused(post(b"Content-Length: " + value, body=b"hello") + SMUGGLED)


@each_row("value", [b"+5", b"-1", b"", b"0x5", b"5_0", b"9223372036854775808", b"x"])
def test_B4_malformed_length_in_a_response(value: bytes) -> None:
    client_fails(asked, response(b"Content-Length: " + value, body=b"hello"))


@each_row(
    ("value", "body"),
    [(b"5", b"hello"), (b"\t5 ", b"hello"), (b"005", b"hello"), (b"1", b"\n"), (b"2", b"\r\n")],
)
def test_B4_length(value: bytes, body: bytes) -> None:
    events = two(post(b"Content-Length: " + value, body=body))
    delivered = [*FIELDS, ("content-length", value.strip().decode())]
    assert events == [
        ("head", 1, 0, "POST", "/", delivered),
        ("data", 1, body),
        ("tail", 1, None),
    ]


@pytest.mark.parametrize("value", [b"0", b"000"])
def test_B4_length_zero(value: bytes) -> None:
    events = two(post(b"Content-Length: " + value))
    assert [e[0] for e in events] == ["head", "tail"]


def test_B4_largest_length() -> None:
    conn = h1_server()
    feed(conn, post(b"Content-Length: 9223372036854775807", body=b"abc"))
    assert conn.error is None
    assert conn.of("head", "data", "tail") == [
        ("head", 1, 0, "POST", "/", [*FIELDS, ("content-length", "9223372036854775807")]),
        ("data", 1, b"abc"),
    ]


def test_B4_body_with_every_octet() -> None:
    body = bytes(range(256)) + b"\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n0\r\n\r\n"
    events = two(post(b"Content-Length: %d" % len(body), body=body))
    assert events[1:] == [("data", 1, body), ("tail", 1, None)]


def test_B4_body_of_a_get() -> None:
    events = two(request(HOST, LENGTH, body=b"hello"))
    assert events[1:] == [("data", 1, b"hello"), ("tail", 1, None)]


def test_B4_body_larger_than_allowed() -> None:
    limits = Limits(max_body_size=4)
    refused(post(LENGTH, body=b"hello") + SMUGGLED, 413, limits=limits)
    events = accepted(post(b"Content-Length: 4", body=b"hell"), limits)
    assert events[1:] == [("data", 1, b"hell"), ("tail", 1, None)]


def test_B4_chunked_body_larger_than_allowed() -> None:
    limits = Limits(max_body_size=4)
    refused(post(CHUNKED, body=HELLO) + SMUGGLED, 413, limits=limits, heads=1)
    refused(
        post(CHUNKED, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") + SMUGGLED,
        413,
        limits=limits,
        heads=1,
    )
    events = accepted(post(CHUNKED, body=b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), limits)
    assert events[1:] == [("data", 1, b"abcd"), ("tail", 1, None)]


# -- B5 --------------------------------------------------------------------------------------------


@each_row(
    "fields",
    [
        (LENGTH, LENGTH),
        (LENGTH, b"content-length: 5"),
        (LENGTH, b"Content-Length: 05"),
        (b"Content-Length: 0", LENGTH),
        (LENGTH, b"Content-Length: 0"),
        (LENGTH, b"X: y", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: 5,5",),
        (b"Content-Length: 5, 6",),
        (b"Content-Length: 0, 5",),
        (b"Content-Length: 5 , 5",),
        (LENGTH, b"Content-Length:"),
        (b"Content-Length:", LENGTH),
        (LENGTH, b"Content-Length: x"),
    ],
)
def test_B5_more_than_one_length(fields: tuple[bytes, ...]) -> None:
    refused(post(*fields, body=b"hello") + SMUGGLED)


@pytest.mark.parametrize(
    "fields", [(LENGTH, b"Content-Length: 6"), (b"Content-Length: 5, 6",), (LENGTH, LENGTH)]
)
def test_B5_more_than_one_length_in_a_response(fields: tuple[bytes, ...]) -> None:
    client_fails(asked, response(*fields, body=b"hello"))


# -- B6 --------------------------------------------------------------------------------------------


@each_row("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "FOO", "OPTIONS"])
def test_B6_a_request_without_framing_has_no_body(method: str) -> None:
    events = two(post(line=method.encode() + b" / HTTP/1.1"))
    assert events == [("head", 1, 0, method, "/", FIELDS), ("tail", 1, None)]


def ended(conn: Recorder) -> list[Event]:
    """The end of input at a client; returns what it fired."""
    before = len(conn.events)
    conn.connection_lost()
    return conn.events[before:]


@each_row("line", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 404 No"])
@each_row("fields", [(), (b"Connection: close",), (b"Connection: keep-alive",)])
def test_B6_a_response_without_framing_ends_with_the_connection(
    line: bytes, fields: tuple[bytes, ...]
) -> None:
    conn = play(asked, response(*fields, line=line, body=b"body\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
    assert conn.error is None
    assert len(conn.of("head")) == 1 and not conn.of("tail", "end")
    assert ended(conn)[:2] == [("tail", 1, None), ("end", 1, 0, REMOTE)]
    assert conn.of("data") == [("data", 1, b"body\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")]


def test_B6_an_empty_close_delimited_body() -> None:
    conn = play(asked, response())
    assert conn.error is None
    assert ended(conn)[:2] == [("tail", 1, None), ("end", 1, 0, REMOTE)]
    assert not conn.of("data")


# -- B7 --------------------------------------------------------------------------------------------


@each_row("fields", [(), (LENGTH,), (CHUNKED,)])
@each_row("code", [204, 304])
def test_B7_responses_that_have_no_body(code: int, fields: tuple[bytes, ...]) -> None:
    def make() -> Recorder:
        conn = asked()
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
        conn.take()
        return conn

    conn = play(make, response(*fields, line=b"HTTP/1.1 %d X" % code) + OK)
    assert conn.error is None
    assert [(e[1], e[2]) for e in conn.of("head")] == [(1, code), (3, 200)]
    assert conn.of("data", "tail") == [("tail", 1, None), ("data", 3, b"ok"), ("tail", 3, None)]


@each_row("fields", [(), (LENGTH,), (CHUNKED,)])
@each_row("code", [200, 404, 301])
def test_B7_replies_to_head_have_no_body(code: int, fields: tuple[bytes, ...]) -> None:
    def make() -> Recorder:
        conn = asked("HEAD")
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
        conn.take()
        return conn

    conn = play(make, response(*fields, line=b"HTTP/1.1 %d X" % code) + OK)
    assert conn.error is None
    assert [(e[1], e[2]) for e in conn.of("head")] == [(1, code), (3, 200)]
    assert conn.of("data", "tail") == [("tail", 1, None), ("data", 3, b"ok"), ("tail", 3, None)]


@each_row("fields", [(), (b"Content-Length: 0",), (LENGTH,), (CHUNKED,)])
@each_row("code", [100, 102, 103, 199])
def test_B7_informational_responses_have_no_body(code: int, fields: tuple[bytes, ...]) -> None:
    events = received(asked, response(*fields, line=b"HTTP/1.1 %d X" % code) + OK)
    assert [e[2] for e in events if e[0] == "head"] == [code, 200]
    assert events[2:] == [("data", 1, b"ok"), ("tail", 1, None)]


@each_row("fields", [(), (LENGTH,), (CHUNKED,), (LENGTH, CHUNKED), (b"Content-Length: 0",)])
@each_row("code", [200, 201, 299])
def test_B7_a_2xx_to_connect_opens_a_tunnel(code: int, fields: tuple[bytes, ...]) -> None:
    tunnel = b"\0\xff\r\nHTTP/1.1 200 OK\r\n\r\n0\r\n\r\nhello"
    conn = play(
        lambda: asked("CONNECT", final=False),
        response(*fields, line=b"HTTP/1.1 %d X" % code, body=tunnel),
    )
    assert conn.error is None
    assert len(conn.of("head")) == 1
    assert conn.of("data") == [("data", 1, tunnel)]
    assert not conn.of("close", "end", "tail")


def test_B7_another_answer_to_connect_is_an_ordinary_response() -> None:
    data = response(LENGTH, line=b"HTTP/1.1 403 No", body=b"hello")
    conn = play(lambda: asked("CONNECT", final=False), data)
    assert conn.error is None
    assert conn.of("data", "tail") == [("data", 1, b"hello"), ("tail", 1, None)]


# -- B8 --------------------------------------------------------------------------------------------

CUT_SHORT = [
    response(LENGTH),
    response(LENGTH, body=b"hell"),
    response(CHUNKED),
    response(CHUNKED, body=b"5"),
    response(CHUNKED, body=b"5\r\nhel"),
    response(CHUNKED, body=b"5\r\nhello"),
    response(CHUNKED, body=b"5\r\nhello\r\n"),
    response(CHUNKED, body=b"5\r\nhello\r\n0"),
    response(CHUNKED, body=b"5\r\nhello\r\n0\r\n"),
    response(CHUNKED, body=b"5\r\nhello\r\n0\r\nX: y"),
    response(CHUNKED, body=b"5\r\nhello\r\n0\r\nX: y\r\n"),
]


@each_row(
    "data", [b"", b"H", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n"]
)
def test_B8_no_whole_response_head(data: bytes) -> None:
    conn = play(asked, data)
    assert conn.error is None
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    assert conn.events == [("end", 1, raw.CNO_RST_CANCEL, LOCAL)]


@each_row("data", CUT_SHORT)
def test_B8_a_response_cut_short(data: bytes) -> None:
    conn = play(asked, data)
    assert conn.error is None
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    assert not conn.of("tail")
    assert conn.of("end") == [("end", 1, raw.CNO_RST_CANCEL, LOCAL)]
    assert conn.open_streams == []


@pytest.mark.parametrize("data", [response(), response(b"Connection: close", body=b"x")])
def test_B8_an_informational_response_is_not_the_answer(data: bytes) -> None:
    conn = play(asked, response(line=b"HTTP/1.1 100 Continue"))
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    conn = play(asked, response(line=b"HTTP/1.1 100 Continue") + data)
    conn.connection_lost()
    assert conn.of("tail") == [("tail", 1, None)]


@each_row(
    "data",
    [
        post(LENGTH),
        post(LENGTH, body=b"hell"),
        post(CHUNKED),
        post(CHUNKED, body=b"5\r\nhello\r\n"),
        post(CHUNKED, body=b"5\r\nhello\r\n0\r\n"),
    ],
)
def test_B8_a_request_cut_short(data: bytes) -> None:
    conn = play(h1_server, data)
    assert conn.error is None
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    assert not conn.of("tail")
    assert conn.of("end") == [("end", 1, raw.CNO_RST_CANCEL, LOCAL)]


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_B8_half_a_request_head(data: bytes) -> None:
    conn = play(h1_server, data)
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()
    assert conn.events == []


def test_B8_a_clean_end_when_idle() -> None:
    for make in (h1_server, h1_client):
        conn = make()
        conn.connection_lost()
        assert conn.events == []
    conn = answering()
    conn.data_received(GET)
    conn.events.clear()
    conn.connection_lost()
    assert conn.events == []
    conn = asked()
    conn.data_received(OK)
    conn.events.clear()
    conn.connection_lost()
    assert conn.events == []


def test_B8_a_whole_request_whose_answer_is_under_way() -> None:
    conn = h1_server()
    conn.data_received(GET)
    conn.events.clear()
    conn.connection_lost()
    assert conn.events == [("end", 1, raw.CNO_RST_CANCEL, LOCAL)]


# -- B9 --------------------------------------------------------------------------------------------


@each_row("extra", [OK, b"x", b"HTTP/1.1 ", b"HTTP/1.1 408 Timeout\r\n\r\n", b"\0"])
def test_B9_bytes_behind_the_last_response(extra: bytes) -> None:
    conn = play(asked, OK + extra)
    assert isinstance(conn.error, raw.ProtocolError)
    assert conn.of("head", "data", "tail") == [
        ("head", 1, 200, "", "", [("content-length", "2")]),
        ("data", 1, b"ok"),
        ("tail", 1, None),
    ]
    assert conn.take() == b""
    closed(conn)


def test_B9_a_response_before_any_request() -> None:
    conn = client_fails(h1_client, OK)
    assert not conn.of("head")


def test_B9_empty_lines_behind_the_last_response() -> None:
    # > the client SHOULD close the connection, ... unless the data consists only of one or more
    # > CRLF (which can be discarded per Section 2.2).   (RFC 9112 9.2)
    conn = asked()
    feed(conn, OK + b"\r\n")
    assert len(conn.of("head")) == 1
    if conn.error is not None:
        closed(conn)
        return
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    feed(conn, OK)
    assert conn.error is None
    assert [e[1] for e in conn.of("head")] == [1, 3]


def test_B9_bytes_behind_a_request_are_the_next_request() -> None:
    refused(post(LENGTH, body=b"hello(") + SMUGGLED, heads=1)
    refused(post(LENGTH, body=b"hello") + b"hello\r\n" + SMUGGLED, heads=1)
    refused(post(CHUNKED, body=HELLO) + b"0\r\n\r\n" + SMUGGLED, heads=1)


def test_B9_bytes_behind_a_bodiless_request_are_the_next_request() -> None:
    refused(post(body=b"a=b\r\n") + SMUGGLED, heads=1)


def test_B9_a_response_to_each_request_and_no_more() -> None:
    conn = h1_server()
    conn.data_received(GET)
    respond(conn)
    for stream in (1, 3):
        with pytest.raises(raw.ConnectionError) as error:
            respond(conn, stream)
        assert error.value.errno in (raw.CNO_ERRNO_INVALID_STREAM, raw.CNO_ERRNO_ASSERTION)
    assert [a.code for a in responses(conn.take())] == [200]


def fields_of(events: list[Event]) -> Headers:
    fields: Headers = events[0][5]
    return fields


def test_B9_framing_fields_as_delivered() -> None:
    assert fields_of(accepted(post(CHUNKED, b"X: y", body=HELLO))) == [*FIELDS, ("x", "y")]
    assert fields_of(accepted(post(b"X: y", LENGTH, body=b"hello"))) == [
        *FIELDS,
        ("x", "y"),
        ("content-length", "5"),
    ]
    events = received(asked, response(CHUNKED, b"X: y", body=HELLO))
    assert fields_of(events) == [("x", "y")]
