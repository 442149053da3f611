"""RFC 9112 and 9110, what we write: rows W1-W11.

Output is cut into messages by a reader of the tests' own, stricter than any peer.
"""

import pytest

from cno import raw
from tests.h1.wire import (
    FIELDS,
    GET,
    OK,
    SMUGGLED,
    Written,
    answering,
    asked,
    closed,
    request,
    requests,
    respond,
    response,
    responses,
)
from tests.rows import each_row
from tests.support import REMOTE, Headers, Recorder, feed, h1_client, h1_server, play

NOT_HERE: dict[str, str] = {}
AUTHORITY: Headers = [(":authority", "a")]
POST = request(b"Host: a", b"Content-Length: 3", line=b"POST / HTTP/1.1", body=b"abc")


def served(data: bytes = GET) -> Recorder:
    """A server that has received this and answered nothing."""
    conn = h1_server()
    conn.data_received(data)
    return conn


def wrong_use(
    conn: Recorder, stream: int, code: int, method: str, path: str, fields: Headers
) -> None:
    """Not written: UsageError, no byte, and the connection still works."""
    for final in (True, False):
        with pytest.raises(raw.UsageError) as error:
            conn.write_head(stream, code, method, path, fields, final)
        assert error.value.errno == raw.CNO_ERRNO_ASSERTION
        assert conn.take() == b""
    assert not conn.of("close", "close()")


def wrong_response(fields: Headers, reason: str = "", code: int = 200) -> None:
    conn = served()
    wrong_use(conn, 1, code, reason, "", fields)
    respond(conn, body=b"fine")
    assert [(a.code, a.body) for a in responses(conn.take())] == [(200, b"fine")]


def wrong_request(method: str, path: str, fields: Headers) -> None:
    conn = h1_client()
    wrong_use(conn, 1, 0, method, path, fields)
    conn.write_head(1, 0, "GET", "/fine", FIELDS, True)
    assert [r.start for r in requests(conn.take())] == ["GET /fine HTTP/1.1"]


# -- W1 --------------------------------------------------------------------------------------------

SPLITTERS = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\r\nX: y",
    "\n\nHTTP/1.1 200 OK",
    "\x01",
    "\x0b",
    "\x1f",
    "\x7f",
]


@each_row("bad", SPLITTERS)
def test_W1_control_characters_in_a_value(bad: str) -> None:
    for value in ("a" + bad, bad + "a", "a" + bad + "b", bad):
        wrong_response([("x", value)])
        wrong_request("GET", "/", [*FIELDS, ("x", value)])


@each_row("bad", [*SPLITTERS, " ", "\t", ":", "(", '"', "\xe9", "\udcff", "/", "@", ","])
def test_W1_names_are_tokens(bad: str) -> None:
    for name in ("a" + bad, bad + "a", "a" + bad + "b", bad):
        wrong_response([(name, "y")])
        wrong_request("GET", "/", [*FIELDS, (name, "y")])


def test_W1_empty_name() -> None:
    wrong_response([("", "y")])
    wrong_request("GET", "/", [*FIELDS, ("", "y")])


@each_row("name", [":status", ":method", ":path", ":x", ":", ":scheme"])
def test_W1_pseudo_headers_never_reach_the_wire(name: str) -> None:
    conn = served()
    try:
        conn.write_head(1, 200, "", "", [(name, "y"), ("content-length", "0")], True)
    except raw.UsageError:
        assert conn.take() == b""
    else:
        assert b":status" not in conn.take()
    if name != ":scheme":
        wrong_request("GET", "/", [*FIELDS, (name, "y")])


@each_row("bad", [*SPLITTERS, " ", "\t", "(", "/", ":", "\xe9", ",", '"'])
def test_W1_methods_are_tokens(bad: str) -> None:
    for method in ("GE" + bad + "T", "GET" + bad, bad + "GET", bad):
        wrong_request(method, "/", FIELDS)


def test_W1_empty_method() -> None:
    wrong_request("", "/", FIELDS)


@each_row("bad", [*SPLITTERS, " ", "\t", "#", "\xe9", "\udcff", " HTTP/1.1\r\nX: y"])
def test_W1_targets(bad: str) -> None:
    for path in ("/a" + bad, "/" + bad + "a"):
        wrong_request("GET", path, FIELDS)


@each_row("path", ["x", "?q", "*", "a:80", "#"])
def test_W1_targets_of_the_wrong_form(path: str) -> None:
    wrong_request("GET", path, FIELDS)


@each_row("bad", [*SPLITTERS, " ", "\t", "/", "@", "\xe9", "a b", "u@a", "a/b", "a?b", "a#b"])
def test_W1_authorities(bad: str) -> None:
    wrong_request("GET", "/", [(":authority", "a" + bad)])
    wrong_request("GET", "/", [(":authority", bad + "a")])


@pytest.mark.parametrize("edge", [" ", "\t", "  "])
def test_W1_blanks_at_the_edges_of_a_value(edge: str) -> None:
    wrong_response([("x", edge + "y")])
    wrong_response([("x", "y" + edge)])


@pytest.mark.parametrize("bad", ["\ud800", "a\udc00b"])
def test_W1_text_that_stands_for_no_octets(bad: str) -> None:
    wrong_response([("x", bad)])
    wrong_request("GET", "/", [*FIELDS, ("x", bad)])


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\0", "a\x7f"])
def test_W1_trailers_are_checked(value: str) -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    for trailers in ([("x", value)], [(value, "y")], [(":status", "200")], [("", "y")]):
        with pytest.raises(raw.UsageError):
            conn.write_tail(1, trailers)
        assert conn.take() == b""
    conn.write_tail(1, [("x", "y")])
    assert conn.take() == b"0\r\nx: y\r\n\r\n"


@each_row("name", ["content-length", "Transfer-Encoding", "host", "connection", "te", "trailer"])
def test_W1_fields_that_may_not_be_trailers(name: str) -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    try:
        conn.write_tail(1, [("x", "y"), (name, "5")])
    except raw.UsageError:
        assert conn.take() == b""
    else:
        assert conn.take() == b"0\r\nx: y\r\n\r\n"


def test_W1_a_request_has_no_code() -> None:
    conn = h1_client()
    wrong_use(conn, 1, 200, "GET", "/", FIELDS)


@each_row("code", [-1, 0, 1, 99, 1000, 2000])
def test_W1_status_codes_have_three_digits(code: int) -> None:
    wrong_response([], code=code)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("", b""),
        ("a\tb", b"a\tb"),
        ("\xe9", b"\xc3\xa9"),
        ("\udcff\udc80", b"\xff\x80"),
        ("a: b", b"a: b"),
        ("\U0001f40d", b"\xf0\x9f\x90\x8d"),
    ],
)
def test_W1_values_that_are_fine(value: str, wire: bytes) -> None:
    conn = served()
    conn.write_head(1, 204, "", "", [("X-Value", value)], True)
    _, _, head = conn.take().partition(b"\r\n")
    assert head.replace(b"x-value:\r\n", b"x-value: \r\n") == b"x-value: " + wire + b"\r\n\r\n"


# -- W2 --------------------------------------------------------------------------------------------


def sent(method: str, path: str, fields: Headers, final: bool = True) -> Written:
    conn = h1_client()
    conn.write_head(1, 0, method, path, fields, final)
    (written,) = requests(conn.take())
    return written


@each_row("authority", ["a", "a:80", "[::1]:8080", "A.b", "", "127.0.0.1"])
def test_W2_host_is_first_and_only(authority: str) -> None:
    pseudo = [(":scheme", "http"), (":authority", authority)]
    written = sent("GET", "/x?y", [*pseudo, ("X-B", "1"), ("a", "2")])
    assert written.start == "GET /x?y HTTP/1.1"
    assert written.fields == [("host", authority), ("x-b", "1"), ("a", "2")]


def test_W2_names_are_lowered_and_nothing_is_added() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", [*AUTHORITY, ("X-A", "B")], True)
    assert conn.take() == b"GET / HTTP/1.1\r\nhost: a\r\nx-a: B\r\n\r\n"


def test_W2_authority_need_not_come_first() -> None:
    written = sent("GET", "/", [("x", "y"), *AUTHORITY, ("z", "w")])
    assert written.fields == [("host", "a"), ("x", "y"), ("z", "w")]


def test_W2_host_given_as_a_field() -> None:
    for fields in ([*AUTHORITY, ("host", "a")], [("host", "a"), *AUTHORITY]):
        conn = h1_client()
        try:
            conn.write_head(1, 0, "GET", "/", [*fields, ("x", "y")], True)
        except raw.UsageError:
            assert conn.take() == b""
        else:
            (written,) = requests(conn.take())
            assert written.fields == [("host", "a"), ("x", "y")]


def test_W2_a_host_that_contradicts_never_makes_two() -> None:
    conn = h1_client()
    try:
        conn.write_head(1, 0, "GET", "/", [*AUTHORITY, ("Host", "b")], True)
    except raw.UsageError:
        assert conn.take() == b""
    else:
        (written,) = requests(conn.take())
        assert written.all("host") == ["a"]


def test_W2_two_authorities() -> None:
    wrong_request("GET", "/", [(":authority", "a"), (":authority", "b")])


def test_W2_no_authority() -> None:
    wrong_request("GET", "/", [(":scheme", "http")])
    wrong_request("GET", "/", [])


def test_W2_empty_path() -> None:
    assert sent("GET", "", FIELDS).start == "GET / HTTP/1.1"
    assert sent("OPTIONS", "", FIELDS).start == "OPTIONS * HTTP/1.1"
    assert sent("OPTIONS", "*", FIELDS).start == "OPTIONS * HTTP/1.1"
    assert sent("OPTIONS", "/", FIELDS).start == "OPTIONS / HTTP/1.1"


def test_W2_absolute_form_for_a_proxy() -> None:
    written = sent("GET", "http://A/x?y", FIELDS)
    assert written.start == "GET http://A/x?y HTTP/1.1"
    assert written.fields == [("host", "a")]


@each_row(
    "target",
    ["http://b/", "http://a:80/", "http:///x", "http://", "http://u@a/", "http://a#b", "a", "a/b"],
)
def test_W2_absolute_form_for_another_host(target: str) -> None:
    wrong_request("GET", target, FIELDS)


def test_W2_connect() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:443"), ("x", "y")], False)
    assert conn.take() == b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nx: y\r\n\r\n"


def test_W2_connect_needs_a_host_and_a_port_and_nothing_else() -> None:
    for authority in ("a", "a:", ":443", "a:x", "u@a:443", ""):
        wrong_request("CONNECT", "", [(":authority", authority)])
    wrong_request("CONNECT", "/", [(":authority", "a:443")])


@pytest.mark.parametrize("field", [("content-length", "3"), ("transfer-encoding", "chunked")])
def test_W2_connect_has_no_body(field: tuple[str, str]) -> None:
    conn = h1_client()
    try:
        conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:443"), field], False)
    except raw.UsageError:
        assert conn.take() == b""
    else:
        assert conn.take() == b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"


# -- W3, W4 ----------------------------------------------------------------------------------------


def answer(
    code: int, fields: Headers, body: bytes = b"", *, data: bytes = GET, final: bool = False
) -> tuple[Recorder, bytes]:
    """What a server writes: head, then (unless final) the body."""
    conn = served(data)
    conn.write_head(1, code, "", "", fields, final)
    if not final:
        assert conn.write_data(1, body, True) == len(body)
    return conn, conn.take()


def test_W3_chunked_when_the_length_is_not_known() -> None:
    conn, out = answer(200, [], b"abc")
    (written,) = responses(out)
    assert written.fields == [("transfer-encoding", "chunked")]
    assert out.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert not conn.of("close")


def test_W3_each_write_is_a_chunk_and_an_empty_one_is_none() -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    assert conn.write_data(1, b"a" * 26, False) == 26
    assert conn.take().lower() == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert conn.write_data(1, b"", False) == 0
    assert conn.take() == b""
    assert conn.write_data(1, bytearray(b"xy"), False) == 2
    assert conn.write_data(1, memoryview(b"z"), False) == 1
    assert conn.take() == b"2\r\nxy\r\n1\r\nz\r\n"
    conn.write_data(1, b"", True)
    assert conn.take() == b"0\r\n\r\n"


@each_row("size", [1, 9, 10, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 65535, 65536, 1 << 20])
def test_W3_sizes_of_chunks(size: int) -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    assert conn.write_data(1, b"x" * size, False) == size
    assert conn.take() == b"%x\r\n" % size + b"x" * size + b"\r\n"


def test_W3_length_is_left_as_it_is() -> None:
    _, out = answer(200, [("Content-Length", "3"), ("x", "y")], b"abc")
    assert out == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nabc"


@each_row("code", [200, 201, 302, 404, 500])
def test_W3_final_heads_say_that_nothing_follows(code: int) -> None:
    conn, out = answer(code, [], final=True)
    (written,) = responses(out)
    assert written.fields == [("content-length", "0")]
    assert conn.of("end") == [("end", 1, 0, 1)]


@pytest.mark.parametrize("code", [204, 304])
def test_W3_responses_that_have_no_body(code: int) -> None:
    for final in (True, False):
        conn, out = answer(code, [], b"", final=final)
        (written,) = responses(out)
        assert written.fields == []
        assert written.body == b""
        assert conn.of("end") and not conn.of("close")


def test_W3_no_framing_in_a_204() -> None:
    # > A server MUST NOT send a Content-Length header field in any response with a status code of
    # > 1xx (Informational) or 204 (No Content).   (RFC 9110 8.6)
    for field in [
        ("content-length", "3"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
    ]:
        conn = served()
        try:
            conn.write_head(1, 204, "", "", [field], True)
        except raw.UsageError:
            assert conn.take() == b""
        else:
            assert [a.fields for a in responses(conn.take())] == [[]]


def test_W3_the_length_of_a_304_is_kept_and_its_body_is_not_sent() -> None:
    conn, out = answer(304, [("content-length", "3"), ("etag", '"e"')], b"abc")
    (written,) = responses(out)
    assert written.fields == [("content-length", "3"), ("etag", '"e"')]
    assert not conn.of("close")
    feed(conn, GET)
    assert len(conn.of("head")) == 2


HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_W3_the_body_of_an_answer_to_head_is_not_sent() -> None:
    conn, out = answer(200, [("content-length", "3")], b"abc", data=HEAD)
    assert out == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
    assert not conn.of("close")
    feed(conn, GET)
    assert len(conn.of("head")) == 2


def test_W3_an_answer_to_head_without_length() -> None:
    for body in (b"", b"abc"):
        _, out = answer(200, [], body, data=HEAD)
        (written,) = responses(out, ["HEAD"])
        assert written.body == b"" and written.get("content-length") is None
    conn, out = answer(200, [], data=HEAD, final=True)
    (written,) = responses(out, ["HEAD"])
    assert written.get("content-length") is None, "the length of the answer to GET is not known"
    assert not conn.of("close")


def test_W3_the_length_that_get_would_have_had() -> None:
    for final in (True, False):
        conn = served(HEAD)
        conn.write_head(1, 200, "", "", [("content-length", "3")], final)
        if not final:
            conn.write_data(1, b"", True)
        assert conn.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        assert conn.of("end") and not conn.of("close")


def test_W3_trailers_of_an_answer_to_head_are_not_sent() -> None:
    conn = served(HEAD)
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    conn.write_tail(1, [("x", "y")])
    assert conn.take() == b""
    assert conn.of("end")


def test_W3_no_framing_in_informational_responses() -> None:
    for code in (100, 103):
        conn = served()
        conn.write_head(1, code, "", "", [("link", "</x>")], False)
        written = responses(conn.take())
        assert [(w.code, w.fields) for w in written] == [(code, [("link", "</x>")])]
        respond(conn, body=b"x")
        assert [w.code for w in responses(conn.take())] == [200]


@pytest.mark.parametrize("code", [200, 201, 299])
def test_W3_no_framing_when_a_tunnel_opens(code: int) -> None:
    conn = served(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
    conn.write_head(1, code, "", "", [("x", "y")], False)
    out = conn.take()
    assert out.startswith(b"HTTP/1.1 %d " % code)
    assert out.endswith(b"\r\nx: y\r\n\r\n")
    assert out.count(b"\r\n") == 3
    conn.write_data(1, b"\0raw\r\n", False)
    assert conn.take() == b"\0raw\r\n"


def test_W3_a_refused_tunnel_is_an_ordinary_response() -> None:
    conn = served(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
    conn.write_head(1, 403, "", "", [], False)
    conn.write_data(1, b"no", True)
    (written,) = responses(conn.take())
    assert (written.code, written.body) == (403, b"no")


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"])
def test_W3_no_chunks_for_a_peer_of_1_0(keep: bytes) -> None:
    conn = served(b"GET / HTTP/1.0\r\n" + keep + b"\r\n")
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", False)
    assert not conn.of("close")
    conn.write_data(1, b"def", True)
    (written,) = responses(conn.take())
    assert written.fields == [("connection", "close")]
    assert written.body == b"abcdef"
    assert conn.of("close") == [("close",)]


def test_W3_no_trailers_for_a_peer_of_1_0() -> None:
    conn = served(b"GET / HTTP/1.0\r\n\r\n")
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", False)
    conn.write_tail(1, [("x", "y")])
    (written,) = responses(conn.take())
    assert written.body == b"abc"
    assert conn.of("close") == [("close",)]


def test_W3_no_trailers_where_a_length_is_declared() -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [("content-length", "3")], False)
    conn.write_data(1, b"abc", False)
    conn.write_tail(1, [("x", "y")])
    assert conn.take().endswith(b"\r\n\r\nabc")
    assert conn.of("end") and not conn.of("close")


def test_W3_transfer_encoding_of_the_caller_is_not_for_1_0() -> None:
    conn = served(b"GET / HTTP/1.0\r\n\r\n")
    try:
        conn.write_head(1, 200, "", "", [("transfer-encoding", "chunked")], False)
    except raw.UsageError:
        assert conn.take() == b""
        return
    conn.write_data(1, b"abc", True)
    (written,) = responses(conn.take())
    assert written.get("transfer-encoding") is None and written.body == b"abc"


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "3"), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("content-length", "3")],
        [("transfer-encoding", "gzip"), ("content-length", "3")],
    ],
)
def test_W3_never_both(fields: Headers) -> None:
    conn = served()
    try:
        conn.write_head(1, 200, "", "", fields, False)
    except raw.UsageError:
        assert conn.take() == b""
        return
    conn.write_data(1, b"abc", True)
    responses(conn.take())  # asserts that it is framed in one way


@each_row("value", ["", "x", "-1", "+3", "3, 3", "0x3", "9223372036854775808"])
def test_W3_malformed_length_of_the_caller(value: str) -> None:
    wrong_response([("content-length", value)])
    wrong_request("POST", "/", [*FIELDS, ("content-length", value)])


def test_W3_two_lengths_of_the_caller() -> None:
    for second in ("3", "4"):
        conn = served()
        try:
            conn.write_head(
                1, 200, "", "", [("content-length", "3"), ("content-length", second)], False
            )
        except raw.UsageError:
            assert conn.take() == b""
            continue
        assert second == "3"
        conn.write_data(1, b"abc", True)
        responses(conn.take())


@each_row(
    ("method", "fields"),
    [
        ("POST", [("content-length", "0")]),
        ("PUT", [("content-length", "0")]),
        ("PATCH", [("content-length", "0")]),
        ("GET", []),
        ("HEAD", []),
        ("DELETE", []),
        ("OPTIONS", []),
    ],
)
def test_W3_requests_without_a_body(method: str, fields: Headers) -> None:
    assert sent(method, "/", FIELDS).fields == [("host", "a"), *fields]


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "FOO"])
def test_W3_a_request_whose_length_is_not_known(method: str) -> None:
    conn = h1_client()
    conn.write_head(1, 0, method, "/", FIELDS, False)
    conn.write_data(1, b"abc", False)
    conn.write_tail(1, [("x", "y")])
    (written,) = requests(conn.take())
    assert sorted(written.fields) == [("host", "a"), ("transfer-encoding", "chunked")]
    assert (written.body, written.trailers) == (b"abc", [("x", "y")])


def test_W3_no_chunks_for_a_server_of_1_0() -> None:
    conn = asked()
    feed(
        conn,
        response(b"Content-Length: 0", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"),
    )
    with pytest.raises(raw.ConnectionError):
        conn.write_head(3, 0, "PUT", "/", FIELDS, False)
    assert conn.take() == b""
    conn.write_head(3, 0, "PUT", "/", [*FIELDS, ("content-length", "3")], False)
    conn.write_data(3, b"abc", True)
    assert [r.body for r in requests(conn.take())] == [b"abc"]


def test_W3_a_request_with_its_length() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "POST", "/", [*FIELDS, ("content-length", "3")], False)
    conn.write_data(1, b"abc", True)
    assert conn.take() == b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"


def test_W4_a_coding_of_the_caller_gets_chunked_behind_it() -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [("transfer-encoding", "gzip")], False)
    conn.write_data(1, b"abc", True)
    (written,) = responses(conn.take())
    assert written.body == b"abc"
    codings = ",".join(written.all("transfer-encoding")).replace(" ", "").split(",")
    assert codings == ["gzip", "chunked"]


@pytest.mark.parametrize("value", ["chunked", "Chunked", "gzip, chunked"])
def test_W4_chunked_of_the_caller_is_not_doubled(value: str) -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [("transfer-encoding", value)], False)
    conn.write_data(1, b"abc", True)
    (written,) = responses(conn.take())
    assert written.body == b"abc"
    assert written.fields[0][1].lower() == value.lower()


@pytest.mark.parametrize("value", ["chunked, chunked", "chunked, gzip", "chunked, gzip, chunked"])
def test_W4_chunked_is_last_and_once(value: str) -> None:
    conn = served()
    try:
        conn.write_head(1, 200, "", "", [("transfer-encoding", value)], False)
    except raw.UsageError:
        assert conn.take() == b""
        return
    conn.write_data(1, b"abc", True)
    (written,) = responses(conn.take())
    codings = (written.get("transfer-encoding") or "").lower().replace(" ", "").split(",")
    assert codings.count("chunked") == 1 and codings[-1] == "chunked"


@pytest.mark.parametrize("value", ["chunked", "gzip", "gzip, chunked"])
def test_W4_a_final_head_with_a_coding(value: str) -> None:
    conn = served()
    try:
        conn.write_head(1, 200, "", "", [("transfer-encoding", value)], True)
    except raw.UsageError:
        assert conn.take() == b""
        return
    (written,) = responses(conn.take())
    assert written.body == b""


# -- W5 --------------------------------------------------------------------------------------------


def test_W5_more_than_declared() -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [("content-length", "3")], False)
    conn.take()
    for final in (False, True):
        with pytest.raises(raw.UsageError):
            conn.write_data(1, b"abcd", final)
        assert conn.take() == b""
    assert conn.write_data(1, b"ab", False) == 2
    with pytest.raises(raw.UsageError):
        conn.write_data(1, b"cd", True)
    assert conn.take() == b"ab"
    conn.write_data(1, b"c", True)
    assert conn.take() == b"c"
    assert conn.of("end") == [("end", 1, 0, 1)]


def test_W5_more_than_declared_of_a_request() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "POST", "/", [*FIELDS, ("content-length", "3")], False)
    conn.take()
    with pytest.raises(raw.UsageError):
        conn.write_data(1, b"abcd", True)
    assert conn.take() == b""
    conn.write_data(1, b"abc", True)
    assert conn.take() == b"abc"


@pytest.mark.parametrize("tail", [True, False])
def test_W5_less_than_declared(tail: bool) -> None:
    """The peer still waits for the rest: nothing else may be written, and the connection ends."""
    conn = served(GET + GET)
    conn.write_head(1, 200, "", "", [("content-length", "3")], False)
    conn.take()
    try:
        if tail:
            conn.write_data(1, b"ab", False)
            conn.write_tail(1, [])
        else:
            conn.write_data(1, b"ab", True)
    except raw.UsageError:
        assert conn.take() in (b"", b"ab")
        assert not conn.of("end")
        return
    assert conn.take() == b"ab"
    assert conn.of("close") == [("close",)]
    with pytest.raises(raw.ConnectionError):
        respond(conn, 3)
    assert conn.take() == b""


def test_W5_a_final_head_with_a_length() -> None:
    conn = served(GET + GET)
    try:
        conn.write_head(1, 200, "", "", [("content-length", "3")], True)
    except raw.UsageError:
        assert conn.take() == b""
        return
    assert conn.of("close") == [("close",)]


def test_W5_a_final_request_with_a_length() -> None:
    conn = h1_client()
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 0, "PUT", "/", [*FIELDS, ("content-length", "3")], True)
    assert conn.take() == b""
    conn.write_head(1, 0, "PUT", "/", [*FIELDS, ("content-length", "0")], True)
    assert conn.take() == b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"


# -- W6 --------------------------------------------------------------------------------------------


def test_W6_close_is_announced() -> None:
    conn = served(request(b"Host: a", b"Connection: close"))
    respond(conn, body=b"x")
    (written,) = responses(conn.take())
    assert written.get("connection") == "close"
    assert conn.of("close") == [("close",)]


def test_W6_close_asked_for_by_the_server_application() -> None:
    conn = served(GET)
    respond(conn, body=b"x", fields=[("Connection", "close")])
    (written,) = responses(conn.take())
    assert written.get("connection") == "close"
    assert conn.of("close") == [("close",)]
    conn.data_received(SMUGGLED)
    assert len(conn.of("head")) == 1


def test_W6_close_after_a_shutdown() -> None:
    conn = served(GET)
    conn.shutdown()
    assert not conn.of("close")
    respond(conn, body=b"x")
    (written,) = responses(conn.take())
    assert written.get("connection") == "close"
    assert conn.of("close") == [("close",)]


def test_W6_shutdown_when_idle() -> None:
    conn = h1_server()
    conn.shutdown()
    assert conn.take() == b""
    assert conn.of("close") == [("close",)]
    conn.data_received(GET)
    assert not conn.of("head")


def test_W6_1_0_keep_alive_is_answered() -> None:
    conn = served(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    respond(conn, body=b"x")
    (written,) = responses(conn.take())
    assert written.get("connection") == "keep-alive"
    assert not conn.of("close")


def test_W6_only_the_last_of_pipelined_responses_closes() -> None:
    conn = served(GET + GET + request(b"Host: a", b"Connection: close"))
    for stream in (1, 3, 5):
        respond(conn, stream)
    assert [w.closes for w in responses(conn.take())] == [False, False, True]


def test_W6_connection_of_the_caller_is_kept() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", [*AUTHORITY, ("Connection", "close")], True)
    assert conn.take() == b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    with pytest.raises(raw.DisconnectError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    conn.data_received(OK)
    assert conn.of("close") == [("close",)]
    assert conn.of("end") == [("end", 1, 0, REMOTE)]


# -- W7 --------------------------------------------------------------------------------------------


def test_W7_101_only_where_an_upgrade_was_asked_for() -> None:
    wrong_response([("upgrade", "websocket"), ("connection", "upgrade")], code=101)


def test_W7_101_needs_an_upgrade_field() -> None:
    conn = served(request(b"Host: a", b"Connection: upgrade", b"Upgrade: websocket"))
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 101, "", "", [], False)
    assert conn.take() == b""


def test_W7_an_upgrade_of_1_0_is_ignored() -> None:
    # > A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that
    # > Upgrade field.   (RFC 9110 7.8)
    conn = served(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert not conn.of("upgrade")
    wrong_use(conn, 1, 101, "", "", [("upgrade", "websocket"), ("connection", "upgrade")])


# -- W8 --------------------------------------------------------------------------------------------

EXPECTING = request(
    b"Host: a", b"Content-Length: 3", b"Expect: 100-continue", line=b"POST / HTTP/1.1"
)


def test_W8_the_application_says_continue() -> None:
    conn = served(EXPECTING)
    assert conn.take() == b""
    assert ("expect", "100-continue") in conn.of("head")[0][5]
    conn.write_head(1, 100, "", "", [], False)
    assert conn.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    feed(conn, b"abc" + GET)
    assert conn.of("data") == [("data", 1, b"abc")]
    respond(conn, body=b"x")
    respond(conn, 3, body=b"y")
    assert [w.body for w in responses(conn.take())] == [b"x", b"y"]


def test_W8_a_final_answer_instead() -> None:
    """The peer may send the body or not: what comes next could not be told apart."""
    conn = served(EXPECTING)
    respond(conn, code=417)
    (written,) = responses(conn.take())
    assert (written.code, written.closes) == (417, True)
    assert conn.of("close") == [("close",)]
    assert conn.open_streams == []
    feed(conn, SMUGGLED)
    assert len(conn.of("head")) == 1


def test_W8_a_final_answer_once_the_body_is_on_its_way() -> None:
    for told in (True, False):
        conn = served(EXPECTING)
        if told:
            conn.write_head(1, 100, "", "", [], False)
            conn.take()
        else:
            conn.data_received(b"a")  # it did not wait
        respond(conn, body=b"early")
        (written,) = responses(conn.take())
        assert not written.closes
        conn.data_received((b"abc" if told else b"bc") + GET)
        assert [e[1] for e in conn.of("head")] == [1, 3]
        assert conn.of("data") == [("data", 1, b"abc")]


def test_W8_no_informational_responses_to_1_0() -> None:
    # > a server MUST NOT send a 1xx response to an HTTP/1.0 client.   (RFC 9110 15.2)
    for code in (100, 102, 103):
        conn = served(b"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        try:
            conn.write_head(1, code, "", "", [], False)
        except raw.UsageError:
            pass
        assert conn.take() == b""
        conn.data_received(b"abc")
        respond(conn, body=b"x")
        assert [w.code for w in responses(conn.take())] == [200]


def test_W8_informational_heads_are_never_final() -> None:
    conn = served(EXPECTING)
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 100, "", "", [], True)
    assert conn.take() == b""


def test_W8_no_informational_response_behind_the_final_head() -> None:
    conn = served()
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    with pytest.raises(raw.ConnectionError):
        conn.write_head(1, 103, "", "", [], False)
    with pytest.raises(raw.ConnectionError):
        conn.write_head(1, 200, "", "", [], False)
    assert conn.take() == b""


def test_W8_a_client_may_wait() -> None:
    conn = h1_client()
    fields = [*FIELDS, ("content-length", "3"), ("expect", "100-continue")]
    conn.write_head(1, 0, "POST", "/", fields, False)
    (head,) = [conn.take()]
    assert head.endswith(b"expect: 100-continue\r\n\r\n")
    conn.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert conn.of("head") == [("head", 1, 100, "", "", [])]
    conn.write_data(1, b"abc", True)
    assert conn.take() == b"abc"
    conn.data_received(OK)
    assert conn.of("tail") == [("tail", 1, None)]


# -- W9 --------------------------------------------------------------------------------------------


def test_W9_responses_are_matched_in_order() -> None:
    conn = h1_client()
    methods = ["GET", "HEAD", "OPTIONS", "PUT"]
    for i, method in enumerate(methods):
        conn.write_head(2 * i + 1, 0, method, "/", FIELDS, True)
    assert [r.start.split()[0] for r in requests(conn.take())] == methods
    head = response(b"Content-Length: 5")
    feed(conn, OK + head + OK + OK)
    assert conn.error is None
    assert [e[1] for e in conn.of("tail")] == [1, 3, 5, 7]
    assert [e[1] for e in conn.of("data")] == [1, 5, 7]


@pytest.mark.parametrize("method", ["POST", "PATCH", "FOO", "get"])
def test_W9_nothing_is_pipelined_behind_what_cannot_be_repeated(method: str) -> None:
    conn = asked(method)
    with pytest.raises(raw.WouldBlockError) as error:
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert error.value.errno == raw.CNO_ERRNO_WOULD_BLOCK
    assert conn.take() == b""
    conn.data_received(response(b"Content-Length: 0", line=b"HTTP/1.1 404 No"))
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert len(requests(conn.take())) == 1


def test_W9_nothing_is_sent_into_a_request() -> None:
    conn = asked("PUT", final=False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert conn.take() == b""
    conn.write_data(1, b"abc", True)
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert conn.take().endswith(b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")


# -- W10 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        request(b"Host: a", b"Content-Length: %d" % len(SMUGGLED), line=b"POST / HTTP/1.1"),
        request(b"Host: a", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1")
        + b"%x\r\n" % len(SMUGGLED),
    ],
)
def test_W10_an_early_answer(head: bytes) -> None:
    """The body of a request that is answered already is drained, or the connection closes."""
    conn = served(head)
    respond(conn, body=b"early")
    (written,) = responses(conn.take())
    assert (written.code, written.body) == (200, b"early")
    end = b"\r\n0\r\n\r\n" if b"chunked" in head else b""
    feed(conn, SMUGGLED + end + request(b"Host: a", line=b"GET /next HTTP/1.1"))
    assert conn.error is None
    if written.closes:
        assert conn.of("close") == [("close",)]
        assert len(conn.of("head")) == 1
    else:
        assert [e[4] for e in conn.of("head")] == ["/", "/next"]
        assert conn.of("end") == [("end", 1, 0, REMOTE)]


def test_W10_the_last_answer_does_not_wait_for_the_body() -> None:
    last = request(
        b"Host: a", b"Connection: close", b"Content-Length: 5", line=b"POST / HTTP/1.1", body=b"he"
    )
    conn = served(last)
    respond(conn, body=b"early")
    assert [r.closes for r in responses(conn.take())] == [True]
    assert conn.of("close") == [("close",)]
    assert len(conn.of("end")) == 1 and not conn.of("tail")
    conn.data_received(b"llo" + SMUGGLED)
    conn.connection_lost()
    assert len(conn.of("head")) == 1


def test_W10_an_answer_written_inside_the_head_event() -> None:
    class Early(Recorder):
        def on_message_head(
            self, stream: int, code: int, method: str, path: str, headers: Headers
        ) -> None:
            super().on_message_head(stream, code, method, path, headers)
            respond(self, stream, body=b"early")

    conn = play(lambda: h1_server(recorder=Early), POST + GET)
    assert conn.error is None
    answers = responses(conn.take())
    assert [a.body for a in answers] == [b"early"] * len(conn.of("head"))
    assert len(answers) == (1 if answers[0].closes else 2)


# -- W11 -------------------------------------------------------------------------------------------


@each_row("reason", ["Fine", "Not Fine", "a\tb", "\xe9t\xe9", "\udcff", "!", "(x)"])
def test_W11_reason_phrases(reason: str) -> None:
    conn = served()
    conn.write_head(1, 200, reason, "", [("content-length", "0")], True)
    line, _, _ = conn.take().partition(b"\r\n")
    assert line == b"HTTP/1.1 200 " + reason.encode("utf-8", "surrogateescape")


@each_row("bad", SPLITTERS)
def test_W11_control_characters_in_a_reason_phrase(bad: str) -> None:
    wrong_response([], "Fine" + bad)
    wrong_response([], bad + "Fine")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (200, "OK"),
        (404, "Not Found"),
        (500, "Internal Server Error"),
        (431, "Request Header Fields Too Large"),
    ],
)
def test_W11_reason_phrases_by_default(code: int, reason: str) -> None:
    conn = served()
    respond(conn, code=code)
    (written,) = responses(conn.take())
    assert written.start == f"HTTP/1.1 {code} {reason}"


@each_row("code", [299, 499, 599, 600, 999])
def test_W11_a_code_without_a_phrase_keeps_its_blank(code: int) -> None:
    conn = served()
    try:
        conn.write_head(1, code, "", "", [("content-length", "0")], True)
    except raw.UsageError:
        assert code >= 600 and conn.take() == b""
        return
    line, _, _ = conn.take().partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % code)


def test_W11_no_output_but_ours() -> None:
    conn = answering()
    feed(conn, GET + b"\0")
    answers = responses(conn.take())
    assert [a.code for a in answers] == [200, 400]
    closed(conn)
