"""RFC 9112 sections 2-5 and 9.3, request lines and fields at a server: rows M1-M16.

A test's name begins with the row it belongs to. Every scenario is played whole, byte by byte, and
cut in two at every place. A second request follows each refused one, and must not be delivered.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import (
    FIELDS,
    GET,
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
from tests.support import REMOTE, Headers, feed, h1_server, play

HOST = b"Host: a"
NOT_HERE: dict[str, str] = {}


def line(first: bytes) -> bytes:
    """A request with this first line, and something to smuggle."""
    return request(HOST, line=first) + SMUGGLED


def delivered(data: bytes, limits: Limits | None = None) -> Headers:
    """The fields of the only request in `data`, but for the pseudo-headers."""
    events = accepted(data, limits)
    assert [e[0] for e in events] == ["head", "tail"]
    fields: Headers = events[0][5]
    assert fields[:2] == FIELDS
    return fields[2:]


# -- M1 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n", b"\r\n" * 4])
def test_M1_empty_lines_before_a_request_are_ignored(before: bytes) -> None:
    assert accepted(before + GET) == [("head", 1, 0, "GET", "/", FIELDS), ("tail", 1, None)]


def test_M1_empty_line_between_requests_is_ignored() -> None:
    events = accepted(GET + b"\r\n" + request(HOST, line=b"GET /2 HTTP/1.1"))
    assert [e[4] for e in events if e[0] == "head"] == ["/", "/2"]


def test_M1_empty_line_after_a_body_is_ignored() -> None:
    post = request(HOST, b"Content-Length: 3", line=b"POST / HTTP/1.1", body=b"abc\r\n")
    events = accepted(post + request(HOST, line=b"GET /2 HTTP/1.1"))
    assert ("data", 1, b"abc") in events
    assert [e[4] for e in events if e[0] == "head"] == ["/", "/2"]


@each_row(
    "before", [b"\n", b"\r", b"\n\r\n", b"\r\r\n", b" \r\n", b"\t\r\n", b"\0", b"\r\n\n", b"\r\n\r"]
)
def test_M1_other_things_before_a_request(before: bytes) -> None:
    refused(before + GET + SMUGGLED)


def test_M1_empty_lines_are_bounded() -> None:
    conn = answering(Limits(max_line_size=256))
    feed(conn, b"\r\n" * 20_000)
    assert isinstance(conn.error, raw.ProtocolError)
    assert conn.error.code == 400
    assert [a.code for a in responses(conn.take())] == [400]
    closed(conn)


# -- M2 --------------------------------------------------------------------------------------------


@each_row(
    "first",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
        b"GET\x0c/ HTTP/1.1",
        b" GET / HTTP/1.1",
        b"\tGET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1\t",
        b"GET / HTTP/1.1 x",
        b"GET /a b HTTP/1.1",
        b"GET /\xa0HTTP/1.1",
        b"GET /",
        b"GET / ",
        b"GET",
        b"GET ",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"/ HTTP/1.1",
        b" / HTTP/1.1",
        b"GET/ HTTP/1.1",
        b"GET /HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"G\0T / HTTP/1.1",
        b"G\x01T / HTTP/1.1",
        b"G\x7fT / HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"GET /\x01 HTTP/1.1",
        b"GET /\x1f HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
    ],
)
def test_M2_malformed_request_line(first: bytes) -> None:
    refused(line(first))


# -- M3 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"1.0", b"1.1", b"1.2", b"1.9"])
def test_M3_any_1_x_is_accepted(version: bytes) -> None:
    events = accepted(request(HOST, line=b"GET / HTTP/" + version))
    assert events == [("head", 1, 0, "GET", "/", FIELDS), ("tail", 1, None)]


def test_M3_1_2_is_answered_as_1_1() -> None:
    conn = h1_server()
    conn.data_received(request(HOST, line=b"GET / HTTP/1.2"))
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"abc", True)
    (answer,) = responses(conn.take())
    assert (answer.get("transfer-encoding"), answer.body) == ("chunked", b"abc")
    assert answer.start.startswith("HTTP/1.1 ")
    assert ("close",) not in conn.events


@each_row("version", [b"2.0", b"0.9", b"3.0", b"9.9", b"2.1", b"0.0"])
def test_M3_other_major_version(version: bytes) -> None:
    refused(line(b"GET / HTTP/" + version), 505)


@each_row(
    "version",
    [
        b"http/1.1",
        b"Http/1.1",
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/.1",
        b"HTTP/1.10",
        b"HTTP/11.1",
        b"HTTP/01.1",
        b"HTTP/1.x",
        b"HTTP/x.1",
        b"HTTP/1,1",
        b"HTTP/1.1.1",
        b"HTTP 1.1",
        b"HTTP-1.1",
        b"HTTP/-1.1",
        b"HTTP/+1.1",
        b"HTTP//1.1",
        b"HTTPS/1.1",
        b"HTTP/1.1\0",
        b"HTTP/\xb9.1",
        b"HTP/1.1",
        b"ICY",
        b"XTTP/1.1",
    ],
)
def test_M3_malformed_version(version: bytes) -> None:
    refused(line(b"GET / " + version))


# -- M4 --------------------------------------------------------------------------------------------


@each_row(
    "data",
    [
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: b\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\n\r\nHost: a\r\n\r\n",
    ],
)
def test_M4_bare_lf(data: bytes) -> None:
    refused(data + SMUGGLED)


@each_row(
    "data",
    [
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\r/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\rET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX:\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r",
    ],
)
def test_M4_bare_cr(data: bytes) -> None:
    refused(data + SMUGGLED)


@each_row(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_M4_bare_cr_or_lf_in_a_response(data: bytes) -> None:
    client_fails(asked, data)


# -- M5 - M9 ---------------------------------------------------------------------------------------


@each_row(
    "field",
    [
        b"Host : a",
        b"Host\t: a",
        b"Content-Length : 5",
        b"Content-Length\t: 5",
        b"Transfer-Encoding : chunked",
        b"X : b",
        b"X  : b",
        b"X\x0b: b",
        b"X\xa0: b",
    ],
)
def test_M5_blank_before_colon(field: bytes) -> None:
    refused(request(HOST, field) + SMUGGLED)
    refused(request(field, HOST) + SMUGGLED)


@pytest.mark.parametrize("field", [b"X : b", b"X\t: b", b"Content-Length : 0"])
def test_M5_blank_before_colon_in_a_response(field: bytes) -> None:
    client_fails(asked, response(field, b"Content-Length: 0"))


@each_row(
    "fields",
    [
        (b"Host: a\r\n b",),
        (b"Host: a\r\n\tb",),
        (b"Host:\r\n a",),
        (b"Host: a", b"X: 1\r\n 2"),
        (b"Host: a", b"X: 1\r\n  \r\n 2"),
        (b"Host: a", b"Transfer-Encoding:\r\n chunked"),
        (b"Host: a", b"Content-Length: 5\r\n 0"),
        (b"Host: a", b"Content-Length:\r\n\t5"),
        (b"Host: a", b"X: 1\r\n Transfer-Encoding: chunked"),
        (b"Host: a", b"X: 1\r\n "),
    ],
)
def test_M6_obs_fold(fields: tuple[bytes, ...]) -> None:
    refused(request(*fields) + SMUGGLED)


@pytest.mark.parametrize("fold", [b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n a", b"X: a\r\n "])
def test_M6_obs_fold_in_a_response(fold: bytes) -> None:
    client_fails(asked, response(fold, b"Content-Length: 0"))


@pytest.mark.parametrize("blank", [b" ", b"\t", b"  "])
def test_M7_first_field_line_begins_with_a_blank(blank: bytes) -> None:
    refused(request(blank + b"Host: a") + SMUGGLED)
    refused(request(blank + b"X: b", HOST) + SMUGGLED)
    refused(request(blank, HOST) + SMUGGLED)
    client_fails(asked, response(blank + b"X: b", b"Content-Length: 0"))


NOT_TCHAR = sorted(
    set(range(256))
    - set(b"!#$%&'*+-.^_`|~:\r\n")
    - set(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
)


@each_row("name", [b"X%cY", b"%cXY", b"XY%c"])
def test_M8_name_is_a_token(name: bytes) -> None:
    for octet in NOT_TCHAR:
        conn = answering()
        feed(conn, request(HOST, name % octet + b": b") + SMUGGLED)
        assert conn.error is not None, hex(octet)
        assert conn.error.code == 400 and not conn.of("head"), hex(octet)
    refused(request(HOST, name % NOT_TCHAR[0] + b": b") + SMUGGLED)


def test_M8_every_tchar_in_a_name() -> None:
    name = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert delivered(request(HOST, name + b": b")) == [(name.decode().lower(), "b")]


@each_row("field", [b": b", b":", b"X", b"Xb", b"X b", b"::", b"\0", b"=b"])
def test_M8_empty_name_or_no_colon(field: bytes) -> None:
    refused(request(HOST, field) + SMUGGLED)
    refused(request(field, HOST) + SMUGGLED)


@each_row("field", [b": b", b"X", b"X(: b", b"\xffX: b", b"X\0: b"])
def test_M8_names_of_a_response(field: bytes) -> None:
    client_fails(asked, response(field, b"Content-Length: 0"))


CTL = [o for o in range(0x20) if o not in (0x09, 0x0A, 0x0D)] + [0x7F]


@each_row("value", [b"a%cb", b"%c", b"%ca", b"a%c", b" %c "])
def test_M9_control_octets_in_a_value(value: bytes) -> None:
    for octet in CTL:
        refused(request(HOST, b"X: " + value % octet) + SMUGGLED)


def test_M9_nul_in_a_value_of_a_response() -> None:
    client_fails(asked, response(b"X: a\0b", b"Content-Length: 0"))


def test_M9_control_octets_in_a_value_of_a_response() -> None:
    # > recipients MAY retain such characters for the sake of robustness when they appear within a
    # > safe context   (RFC 9110 5.5; never where they frame)
    for octet in CTL[1:]:
        events = received(asked, response(b"X: a%cb" % octet, b"Content-Length: 0"))
        assert events[0][5][0] == ("x", f"a{chr(octet)}b")
        client_fails(asked, response(b"Content-Length: 0%c" % octet))


@each_row(
    ("wire", "value"),
    [
        (b"X: b", "b"),
        (b"X:b", "b"),
        (b"X:   b", "b"),
        (b"X:\tb\t", "b"),
        (b"X: \t b c \t ", "b c"),
        (b"X: b\tc", "b\tc"),
        (b"X: b  c", "b  c"),
        (b"X:", ""),
        (b"X: ", ""),
        (b"X:\t \t", ""),
        (b"X: :", ":"),
        (b"X: b: c", "b: c"),
        (b'X: "b\\"', '"b\\"'),
        (b"X: \xc3\xa9", "\xe9"),
        (b"X: \xe9", "\udce9"),
        (b"X: \x80\xff", "\udc80\udcff"),
        (b"X: \xe9\xc3\xa9", "\udce9\xe9"),
        (b"X: \xc2\xa0b\xc2\x85", "\xa0b\x85"),
        (b"X: \xe2\x80\xa8", "\u2028"),
        (b"X: \xf0\x9f\x90\x8d", "\U0001f40d"),
    ],
)
def test_M9_values_as_delivered(wire: bytes, value: str) -> None:
    assert delivered(request(HOST, wire)) == [("x", value)]
    assert delivered(request(wire, HOST)) == [("x", value)]


def test_M9_every_other_octet_in_a_value() -> None:
    for octet in [0x09, *range(0x20, 0x7F), *range(0x80, 0x100)]:
        ((name, value),) = delivered(request(HOST, b"X: a%cb" % octet))
        assert (name, value.encode("utf-8", "surrogateescape")) == ("x", b"a%cb" % octet)


def test_M9_order_and_duplicates_are_kept() -> None:
    fields = delivered(request(b"B: 1", HOST, b"a: 2", b"B: 3", b"b: 1"))
    assert fields == [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")]


# -- M10 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"1.1", b"1.2"])
def test_M10_no_host(version: bytes) -> None:
    refused(request(line=b"GET / HTTP/" + version) + SMUGGLED)
    refused(request(b"X: b", line=b"GET / HTTP/" + version) + SMUGGLED)


def test_M10_no_host_in_absolute_form() -> None:
    refused(request(line=b"GET http://a/ HTTP/1.1") + SMUGGLED)


@each_row("version", [b"1.0", b"1.1"])
@each_row("second", [b"Host: a", b"Host: b", b"host: a", b"HOST:", b"Host: a:80"])
def test_M10_two_hosts(second: bytes, version: bytes) -> None:
    first = b"GET / HTTP/" + version
    refused(request(HOST, second, line=first) + SMUGGLED)
    refused(request(HOST, b"X: b", second, line=first) + SMUGGLED)
    refused(request(second, HOST, line=first) + SMUGGLED)


@each_row(
    "host",
    [
        b"a b",
        b"a\tb",
        b"a/b",
        b"a/",
        b"http://a",
        b"a?b",
        b"a#b",
        b"u@a",
        b"u:p@a",
        b"@a",
        b"a\\b",
        b'"a"',
        b"<a>",
        b"a^b",
        b"a|b",
        b"a`b",
        b"{a}",
        b"\xc3\xa9",
        b"\xff",
        b"a:b",
        b"a:80:80",
        b"a:-1",
        b"a:+80",
        b"a: 80",
        b"a:80a",
        b":80",
        b"::1",
        b"[::1",
        b"::1]",
        b"[::1]80",
        b"[::1]:x",
        b"[]",
        b"[a",
        b"a[::1]",
        b"[::1]a",
        b"a, b",
        b"a%",
        b"a%2",
        b"a%zz",
        b"[::g]",
        b"[u@::1]",
    ],
)
def test_M10_invalid_host(host: bytes) -> None:
    refused(request(b"Host: " + host) + SMUGGLED)


@each_row(
    "host",
    [
        "a",
        "A.Example",
        "a:80",
        "a:",
        "a:65535",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::1]",
        "[::ffff:127.0.0.1]:1",
        "a_b.example",
        "a-b.example.",
        "xn--e1afmkfd.example",
        "a%20b",
        "",
    ],
)
def test_M10_valid_host(host: str) -> None:
    events = accepted(request(b"Host: " + host.encode()))
    fields = [(":scheme", "http"), (":authority", host)]
    assert events == [("head", 1, 0, "GET", "/", fields), ("tail", 1, None)]


def test_M10_host_stands_where_the_list_begins() -> None:
    events = accepted(request(b"X: b", b"HOST: a:1", b"Y: c"))
    fields = [(":scheme", "http"), (":authority", "a:1"), ("x", "b"), ("y", "c")]
    assert events[0] == ("head", 1, 0, "GET", "/", fields)


def test_M10_http_1_0_needs_no_host() -> None:
    events = accepted(request(line=b"GET / HTTP/1.0"))
    assert events[0] == ("head", 1, 0, "GET", "/", [(":scheme", "http")])


def test_M10_scheme_is_that_of_the_connection() -> None:
    conn = h1_server()
    conn.scheme = "https"
    conn.data_received(GET)
    assert conn.of("head")[0][5] == [(":scheme", "https"), (":authority", "a")]


# -- M11, M12 --------------------------------------------------------------------------------------


@each_row(
    ("target", "scheme", "authority", "path"),
    [
        (b"http://b/", "http", "b", "/"),
        (b"http://b:81/x?y", "http", "b:81", "/x?y"),
        (b"http://b/x/../y", "http", "b", "/x/../y"),
        (b"http://b", "http", "b", "/"),
        (b"http://b?q", "http", "b", "/?q"),
        (b"https://b/x", "https", "b", "/x"),
        (b"http://[::1]:80/x", "http", "[::1]:80", "/x"),
        (b"http://b/http://c/", "http", "b", "/http://c/"),
        (b"http://b/?u=http://c/", "http", "b", "/?u=http://c/"),
        (b"http://b/?q?r/", "http", "b", "/?q?r/"),
    ],
)
def test_M11_absolute_form(target: bytes, scheme: str, authority: str, path: str) -> None:
    events = accepted(request(HOST, line=b"GET " + target + b" HTTP/1.1"))
    fields = [(":scheme", scheme), (":authority", authority)]
    assert events == [("head", 1, 0, "GET", path, fields), ("tail", 1, None)]


def test_M11_scheme_in_upper_case() -> None:
    events = accepted(request(HOST, line=b"GET HTTP://b/ HTTP/1.1"))
    assert events[0][5][0][1].lower() == "http"
    assert events[0][5][1:] == [(":authority", "b")]


def test_M11_absolute_form_in_1_0_without_host() -> None:
    events = accepted(request(line=b"GET http://b/x HTTP/1.0"))
    fields = [(":scheme", "http"), (":authority", "b")]
    assert events[0] == ("head", 1, 0, "GET", "/x", fields)


@each_row(
    "target",
    [
        b"/",
        b"/x",
        b"/x?y",
        b"/?",
        b"/?a=b&c=d",
        b"//",
        b"//b/x",
        b"/x:y@z",
        b"/%00%0d%0a%20",
        b"/!$&'()*+,;=:@-._~",
        b"/a?b?c/d",
        b"/*",
        b"/http://b/",
    ],
)
def test_M11_origin_form(target: bytes) -> None:
    events = accepted(request(HOST, line=b"GET " + target + b" HTTP/1.1"))
    assert events == [("head", 1, 0, "GET", target.decode(), FIELDS), ("tail", 1, None)]


def test_M11_asterisk_form() -> None:
    events = accepted(request(HOST, line=b"OPTIONS * HTTP/1.1"))
    assert events == [("head", 1, 0, "OPTIONS", "*", FIELDS), ("tail", 1, None)]


@pytest.mark.parametrize("target", [b"b:80", b"[::1]:443", b"b.example:443", b"127.0.0.1:1"])
def test_M11_authority_form(target: bytes) -> None:
    conn = play(h1_server, request(HOST, line=b"CONNECT " + target + b" HTTP/1.1"))
    assert conn.error is None
    fields = [(":authority", target.decode())]
    assert conn.of("head") == [("head", 1, 0, "CONNECT", "", fields)]


@each_row(
    "first",
    [
        b"GET /#f HTTP/1.1",
        b"GET /x?y#f HTTP/1.1",
        b"GET # HTTP/1.1",
        b"GET http://b/#f HTTP/1.1",
        b"GET http://b#f HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /\x80 HTTP/1.1",
        b"GET http://\xc3\xa9/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET ** HTTP/1.1",
        b"OPTIONS ** HTTP/1.1",
        b"options * HTTP/1.1",
        b"GET x HTTP/1.1",
        b"GET ?q HTTP/1.1",
        b"GET a/b HTTP/1.1",
        b"GET b:80 HTTP/1.1",
        b"GET http:/b/ HTTP/1.1",
        b"GET http:b HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://?q HTTP/1.1",
        b"GET ://b/ HTTP/1.1",
        b"GET 1http://b/ HTTP/1.1",
        b"GET ht_tp://b/ HTTP/1.1",
        b"GET http://u@b/ HTTP/1.1",
        b"GET http://u:p@b/ HTTP/1.1",
        b"GET http://b:x/ HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        b"GET http://b\\c/ HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"CONNECT * HTTP/1.1",
        b"CONNECT b HTTP/1.1",
        b"CONNECT b: HTTP/1.1",
        b"CONNECT :80 HTTP/1.1",
        b"CONNECT b:x HTTP/1.1",
        b"CONNECT b:80/ HTTP/1.1",
        b"CONNECT u@b:80 HTTP/1.1",
        b"CONNECT http://b:80/ HTTP/1.1",
    ],
)
def test_M11_wrong_target(first: bytes) -> None:
    refused(line(first))


@each_row(
    "method",
    ["get", "Get", "FOO", "M-SEARCH", "PATCH", "X", "!#$%&'*+-.^_`|~09aZ", "PRI", "CONNECTED"],
)
def test_M12_any_token_is_a_method(method: str) -> None:
    events = accepted(request(HOST, line=method.encode() + b" / HTTP/1.1"))
    assert events == [("head", 1, 0, method, "/", FIELDS), ("tail", 1, None)]


def test_M12_method_is_a_token() -> None:
    for octet in [*sorted(set(NOT_TCHAR) - {0x20}), 0x3A]:
        refused(line(b"GE%cT / HTTP/1.1" % octet))


# -- M13 -------------------------------------------------------------------------------------------

SMALL = Limits(max_line_size=100)


def test_M13_request_line_of_8000_octets_is_accepted() -> None:
    conn = answering()
    feed(conn, request(HOST, line=b"GET /" + b"x" * 7985 + b" HTTP/1.1"))
    assert conn.error is None
    assert conn.of("head")[0][4] == "/" + "x" * 7985


def test_M13_target_too_long() -> None:
    refused(line(b"GET /" + b"x" * 101 + b" HTTP/1.1"), 414, limits=SMALL)


def test_M13_target_too_long_by_default() -> None:
    conn = answering()
    feed(conn, line(b"GET /" + b"x" * 16_400 + b" HTTP/1.1"))
    assert conn.error is not None and conn.error.code == 414
    assert [a.code for a in responses(conn.take())] == [414]
    closed(conn)


def test_M13_target_too_long_and_no_end_in_sight() -> None:
    refused(b"GET /" + b"x" * 200, 414, limits=SMALL)


def test_M13_method_too_long() -> None:
    # > A server that receives a method longer than any that it implements SHOULD respond with a
    # > 501 (Not Implemented) status code.   (RFC 9112 3; the bound here is one of the line)
    refused(b"X" * 200 + b" / HTTP/1.1\r\n\r\n", 501, limits=SMALL)
    refused(b"X" * 200, 501, limits=SMALL)
    refused(b"X" * 100 + b" / HTTP/1.1\r\n\r\n", 501, limits=SMALL)
    # A method that fits the line is one like any other; then it is the target that is too long.
    refused(b"X" * 99 + b" / HTTP/1.1\r\n\r\n", 414, limits=SMALL)


@pytest.mark.parametrize("size", [101, 150])
def test_M13_field_line_too_long(size: int) -> None:
    refused(request(HOST, b"X: " + b"y" * size) + SMUGGLED, 431, limits=SMALL)
    refused(request(HOST, b"X" * size + b": y") + SMUGGLED, 431, limits=SMALL)


@pytest.mark.parametrize("part", [b"X" * 200, b"X: " + b"y" * 200])
def test_M13_field_line_too_long_and_no_end_in_sight(part: bytes) -> None:
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n" + part, 431, limits=SMALL)


def test_M13_field_line_too_long_by_default() -> None:
    conn = answering()
    feed(conn, request(HOST, b"X: " + b"y" * 16_400))
    assert conn.error is not None and conn.error.code == 431
    closed(conn)


def test_M13_field_section_too_large() -> None:
    limits = Limits(max_header_list_size=500)
    fields = [b"X: " + b"y" * 67] * 6
    refused(request(HOST, *fields) + SMUGGLED, 431, limits=limits)
    assert len(delivered(request(HOST, *fields[:3]), limits)) == 3


def test_M13_field_section_too_large_is_found_before_its_end() -> None:
    limits = Limits(max_header_list_size=500)
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 40, 431, limits=limits)


def test_M13_field_section_too_large_by_default() -> None:
    conn = answering()
    feed(conn, request(HOST, *[b"X: " + b"y" * 8000] * 9))
    assert conn.error is not None and conn.error.code == 431
    closed(conn)


def test_M13_too_many_fields() -> None:
    limits = Limits(max_header_fields=20)
    refused(request(HOST, *[b"X: y"] * 21) + SMUGGLED, 431, limits=limits)
    assert len(delivered(request(HOST, *[b"X: y"] * 17), limits)) == 17


def test_M13_too_many_fields_by_default() -> None:
    conn = answering()
    feed(conn, request(HOST, *[b"X: y"] * 257))
    assert conn.error is not None and conn.error.code == 431
    closed(conn)
    conn = answering()
    feed(conn, request(HOST, *[b"X: y"] * 250))
    assert conn.error is None


def test_M13_fields_too_large_in_a_response() -> None:
    small = Limits(max_header_list_size=500)
    big = response(*[b"X: " + b"y" * 67] * 6, b"Content-Length: 0")
    client_fails(lambda: asked(limits=small), big)
    client_fails(lambda: asked(limits=SMALL), response(b"X: " + b"y" * 101))
    client_fails(lambda: asked(limits=SMALL), b"HTTP/1.1 200 " + b"y" * 101)
    client_fails(lambda: asked(limits=Limits(max_header_fields=20)), response(*[b"X: y"] * 21))


def test_M13_without_bounds() -> None:
    limits = Limits(max_line_size=None, max_header_list_size=None, max_header_fields=None)
    conn = answering(limits)
    target = b"/" + b"x" * 100_000
    fields = [b"X: " + b"y" * 100_000, *[b"A: b"] * 5000]
    feed(conn, request(HOST, *fields, line=b"GET " + target + b" HTTP/1.1"))
    assert conn.error is None
    (head,) = conn.of("head")
    assert (head[4], len(head[5])) == (target.decode(), 5003)


@pytest.mark.parametrize("field", [b"Expect: x", b"Expect: 100-continue, x", b"Expect: x=y"])
def test_M13_unknown_expectation(field: bytes) -> None:
    # > A server that receives an Expect field value containing a member other than 100-continue MAY
    # > respond with a 417 (Expectation Failed) status code   (RFC 9110 10.1.1)
    conn = play(answering, request(HOST, field))
    if conn.error is not None:
        assert conn.error.code == 417
        assert [a.code for a in responses(conn.take())] == [417]
    else:
        assert conn.of("head")[0][5][2:] == [("expect", field[8:].decode())]


# -- M14, M15 --------------------------------------------------------------------------------------


@each_row(
    "fields",
    [
        (b"Connection: close",),
        (b"Connection: CLOSE",),
        (b"connection:close",),
        (b"Connection: keep-alive, close",),
        (b"Connection: close, keep-alive",),
        (b"Connection: x , Close",),
        (b"Connection: x\t,\tclose\t",),
        (b"Connection: ,, close,",),
        (b"Connection: x", b"Connection: close"),
        (b"Connection: close", b"Connection: keep-alive"),
    ],
)
def test_M14_nothing_is_read_behind_a_request_to_close(fields: tuple[bytes, ...]) -> None:
    conn = play(answering, request(HOST, *fields) + SMUGGLED + b"\0junk")
    assert conn.error is None
    assert conn.of("head", "tail") == [("head", 1, 0, "GET", "/", FIELDS), ("tail", 1, None)]
    (answer,) = responses(conn.take())
    assert answer.code == 200 and answer.closes
    assert conn.events.count(("close",)) == 1
    assert conn.open_streams == []


def test_M14_nothing_is_read_before_the_last_answer_either() -> None:
    conn = play(h1_server, request(HOST, b"Connection: close") + SMUGGLED)
    assert conn.error is None
    assert len(conn.of("head")) == 1 and not conn.of("close", "close()")
    respond(conn)
    (answer,) = responses(conn.take())
    assert answer.closes
    assert conn.events.count(("close",)) == 1
    conn.data_received(SMUGGLED)
    assert len(conn.of("head")) == 1


def test_M14_the_body_of_the_last_request_is_read() -> None:
    last = request(HOST, b"Connection: close", b"Content-Length: 3", line=b"POST / HTTP/1.1")
    conn = play(answering, last + b"abc" + SMUGGLED)
    assert conn.error is None
    assert conn.of("data", "tail") == [("data", 1, b"abc"), ("tail", 1, None)]
    assert len(conn.of("head")) == 1


@each_row(
    "value", [b"closed", b"xclose", b'"close"', b"close=1", b"close;q=1", b"keep-alive", b"", b"x"]
)
def test_M14_only_the_token_close_closes(value: bytes) -> None:
    conn = play(answering, request(HOST, b"Connection: " + value) + request(HOST))
    if conn.error is not None:  # `"close"` and `close=1` are no list of tokens
        assert conn.error.code == 400
        return
    assert len(conn.of("head")) == 2
    assert not conn.of("close")


def test_M14_fields_named_in_connection_are_not_delivered() -> None:
    fields = delivered(
        request(
            HOST,
            b"X-One: 1",
            b"Connection: X-ONE, x-two",
            b"x-two: 2",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"x-two: 3",
            b"x-three: 3",
        )
    )
    assert fields == [("x-three", "3")]


def test_M14_fields_named_in_a_second_connection_line() -> None:
    fields = delivered(request(HOST, b"Connection: a", b"A: 1", b"B: 2", b"Connection: b"))
    assert fields == []


@pytest.mark.parametrize("name", [b"host", b"Host", b":authority"])
def test_M14_host_cannot_be_taken_away(name: bytes) -> None:
    conn = play(answering, request(HOST, b"Connection: " + name))
    if conn.error is not None:
        assert conn.error.code == 400
    else:
        assert conn.of("head") == [("head", 1, 0, "GET", "/", FIELDS)]


@pytest.mark.parametrize(
    ("naming", "framing", "body"),
    [
        (b"content-length", b"Content-Length: 3", b"abc"),
        (b"transfer-encoding", b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_M14_framing_cannot_be_taken_away(naming: bytes, framing: bytes, body: bytes) -> None:
    post = request(HOST, b"Connection: " + naming, framing, line=b"POST / HTTP/1.1", body=body)
    conn = play(answering, post + request(HOST, line=b"GET /2 HTTP/1.1"))
    if conn.error is not None:
        assert conn.error.code == 400 and not conn.of("head")
        return
    assert conn.of("data") == [("data", 1, b"abc")]
    assert [e[4] for e in conn.of("head")] == ["/", "/2"]
    # What frames the message is not for this hop only, whatever Connection says.
    lengths = [v for k, v in conn.of("head")[0][5] if k == "content-length"]
    assert lengths == (["3"] if naming == b"content-length" else [])


def test_M14_close_in_a_response() -> None:
    conn = play(asked, response(b"Connection: CLOSE, x", b"Content-Length: 2", body=b"ok"))
    assert conn.error is None
    assert conn.events == [
        ("head", 1, 200, "", "", [("content-length", "2")]),
        ("data", 1, b"ok"),
        ("tail", 1, None),
        ("end", 1, 0, REMOTE),
        ("close",),
    ]
    with pytest.raises(raw.DisconnectError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    assert conn.take() == b""


def test_M14_nothing_is_read_behind_a_response_that_closes() -> None:
    data = response(b"Connection: close", b"Content-Length: 2", body=b"okHTTP/1.1 200 OK\r\n")
    conn = play(asked, data)
    assert len(conn.of("head")) == 1
    assert conn.of("data") == [("data", 1, b"ok")]


def answered(first: bytes, *fields: bytes) -> tuple[str, bool]:
    """(the Connection field of the answer, whether the connection closes)."""
    conn = play(answering, request(HOST, *fields, line=first))
    assert conn.error is None
    (answer,) = responses(conn.take())
    return answer.get("connection") or "", ("close",) in conn.events


def test_M15_1_1_persists_unless_told() -> None:
    first = b"GET / HTTP/1.1"
    assert answered(first) == ("", False)
    assert answered(first, b"Connection: keep-alive")[1] is False
    assert answered(first, b"Connection: close") == ("close", True)


def test_M15_1_0_closes_unless_told() -> None:
    first = b"GET / HTTP/1.0"
    assert answered(first) == ("close", True)
    assert answered(first, b"Connection: x") == ("close", True)
    assert answered(first, b"Connection: Keep-Alive") == ("keep-alive", False)
    assert answered(first, b"Connection: keep-alive, x") == ("keep-alive", False)
    assert answered(first, b"Connection: keep-alive, close") == ("close", True)


def test_M15_1_0_without_keep_alive_is_the_last() -> None:
    conn = play(answering, request(line=b"GET / HTTP/1.0") + SMUGGLED)
    assert conn.error is None
    assert len(conn.of("head")) == 1


def test_M15_1_0_with_keep_alive_goes_on() -> None:
    once = request(b"Connection: keep-alive", line=b"GET / HTTP/1.0")
    conn = play(answering, once + once + request(line=b"GET /3 HTTP/1.0"))
    assert conn.error is None
    assert [e[1] for e in conn.of("head")] == [1, 3, 5]
    assert [a.closes for a in responses(conn.take())] == [False, False, True]


def test_M15_responses_of_1_0_to_a_client() -> None:
    data = response(b"Content-Length: 2", line=b"HTTP/1.0 200 OK", body=b"ok")
    conn = play(asked, data)
    assert conn.error is None
    assert ("close",) in conn.events
    keep = response(
        b"Content-Length: 2", b"Connection: Keep-Alive", line=b"HTTP/1.0 200 OK", body=b"ok"
    )
    conn = play(asked, keep)
    assert conn.error is None
    assert ("close",) not in conn.events
    conn.write_head(3, 0, "GET", "/", FIELDS, True)


# -- M16 -------------------------------------------------------------------------------------------


def test_M16_pipelined_requests_are_answered_in_order() -> None:
    data = b"".join(request(HOST, line=b"GET /%d HTTP/1.1" % i) for i in range(10))
    conn = play(answering, data)
    assert conn.error is None
    assert [(e[1], e[4]) for e in conn.of("head")] == [(2 * i + 1, f"/{i}") for i in range(10)]
    assert [a.body for a in responses(conn.take())] == [b"/%d" % i for i in range(10)]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ],
)
def test_M16_earlier_requests_are_answered_before_an_error(bad: bytes, status: int) -> None:
    refused(GET * 3 + bad + SMUGGLED, status, heads=3)


def test_M16_an_error_waits_for_earlier_answers() -> None:
    conn = h1_server()
    feed(conn, GET + GET + b"GET  / HTTP/1.1\r\n\r\n" + SMUGGLED)
    assert len(conn.of("head")) == 2
    assert conn.take() == b"", "the error went before the answers"
    for stream in (1, 3):
        try:
            respond(conn, stream, body=b"%d" % stream)
        except raw.ProtocolError as error:
            assert conn.error is None and stream == 3
            conn.error = error
    answers = responses(conn.take())
    assert [a.code for a in answers] == [200, 200, 400]
    assert [a.body for a in answers[:2]] == [b"1", b"3"]
    assert answers[2].closes
    assert conn.open_streams == []
    assert conn.events.count(("close",)) == 1


def test_M16_responses_to_pipelined_requests_come_in_order() -> None:
    conn = asked()
    conn.write_head(3, 0, "GET", "/2", FIELDS, True)
    two = [response(b"Content-Length: 1", body=b"%d" % i) for i in (1, 2)]
    feed(conn, b"".join(two))
    assert conn.error is None
    assert conn.of("data") == [("data", 1, b"1"), ("data", 3, b"2")]


def test_M16_one_response() -> None:
    assert received(asked, response(b"Content-Length: 0")) == [
        ("head", 1, 200, "", "", [("content-length", "0")]),
        ("tail", 1, None),
    ]
