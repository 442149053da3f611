"""RFC 9112 section 7.1, the chunked transfer coding: rows K1-K8, at a server and at a client.

A second request follows each refused message, and must not be delivered.
"""

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import (
    FIELDS,
    SMUGGLED,
    accepted,
    answering,
    asked,
    client_fails,
    closed,
    received,
    refused,
    request,
    response,
    responses,
)
from tests.rows import each_row
from tests.support import Event, Headers, feed, h1_server

CHUNKED = b"Transfer-Encoding: chunked"
NOT_HERE: dict[str, str] = {}
END = b"0\r\n\r\n"


def post(body: bytes) -> bytes:
    return request(b"Host: a", CHUNKED, line=b"POST / HTTP/1.1", body=body)


def bad(body: bytes, *, limits: Limits | None = None, behind: bytes = SMUGGLED) -> None:
    """Refused by a server (400) and by a client, and never completed."""
    refused(post(body) + behind, limits=limits, heads=1)
    conn = client_fails(lambda: asked(limits=limits), response(CHUNKED, body=body) + behind)
    assert len(conn.of("head")) == 1 and not conn.of("tail")


def good(body: bytes, data: bytes, trailers: Headers | None = None) -> None:
    """Taken by both, with these contents; what follows begins where it should."""
    events = accepted(post(body) + request(b"Host: a", line=b"GET /2 HTTP/1.1"))
    contents: list[Event] = [("data", 1, data)] if data else []
    contents.append(("tail", 1, trailers))
    assert events == [
        ("head", 1, 0, "POST", "/", FIELDS),
        *contents,
        ("head", 3, 0, "GET", "/2", FIELDS),
        ("tail", 3, None),
    ]
    events = received(asked, response(CHUNKED, body=body))
    assert events == [("head", 1, 200, "", "", []), *contents]


# -- K1, K2 ----------------------------------------------------------------------------------------


@each_row(
    ("size", "length"),
    [
        (b"5", 5),
        (b"05", 5),
        (b"0000000000000005", 5),
        (b"a", 10),
        (b"A", 10),
        (b"1f", 31),
        (b"1F", 31),
        (b"ff", 255),
    ],
)
def test_K1_sizes(size: bytes, length: int) -> None:
    body = bytes(range(length))
    good(size + b"\r\n" + body + b"\r\n" + END, body)


@each_row(
    "size",
    [
        b"0x5",
        b"0X5",
        b"x5",
        b"5x",
        b"+5",
        b"-5",
        b"-0",
        b"5_0",
        b"_5",
        b"5_",
        b" 5",
        b"\t5",
        b"5 0",
        b"5\x0b",
        b"5\0",
        b"5\x7f",
        b"\xb5",
        b"5\xa0",
        b"\xd9\xa5",
        b"\xef\xbc\x95",
        b"g",
        b"G",
        b"5h",
        b"5.",
        b"5,5",
        b"5=",
        b"'5'",
        b'"5"',
        b"",
        b" ",
        b"/",
        b":",
        b"@",
        b"`",
        b"5:",
        b"%35",
    ],
)
def test_K1_malformed_size(size: bytes) -> None:
    bad(size + b"\r\nhello\r\n" + END)


@each_row("size", [b"0x0", b"00x", b"-0", b"+0", b" 0", b"0_0", b"", b"0g"])
def test_K1_malformed_last_size(size: bytes) -> None:
    bad(b"5\r\nhello\r\n" + size + b"\r\n\r\n")


@each_row(
    "size",
    [
        b"8000000000000000",
        b"FFFFFFFFFFFFFFFF",
        b"ffffffffffffffff",
        b"10000000000000005",
        b"18000000000000005",
        b"00000000000000005",
        b"f" * 17,
        b"0" * 16 + b"5",
        b"1" + b"0" * 32,
        b"f" * 300,
    ],
)
def test_K2_size_too_large(size: bytes) -> None:
    bad(size + b"\r\nhello\r\n" + END)


def test_K2_digits_without_end() -> None:
    bad(b"f" * 150, limits=Limits(max_line_size=100), behind=b"")


def test_K2_largest_size() -> None:
    conn = h1_server()
    feed(conn, post(b"7fffffffffffffff\r\nabc"))
    assert conn.error is None
    assert conn.of("data") == [("data", 1, b"abc")]


# -- K3 --------------------------------------------------------------------------------------------


@each_row(
    "ext",
    [
        b";a",
        b";a=b",
        b";a=b;c=d",
        b";a;b",
        b';a="b"',
        b';a=""',
        b';a="b c;d=e"',
        b';a="b\\"c"',
        b';a="\\\\"',
        b'; a = "b"',
        b" ; a",
        b"\t;\ta\t=\tb",
        b'; a="\t\x80\xff"',
        b";!#$%&'*+-.^_`|~0=!#$%&'*+-.^_`|~0",
    ],
)
def test_K3_extensions_are_ignored(ext: bytes) -> None:
    good(b"5" + ext + b"\r\nhello\r\n" + END, b"hello")
    good(b"5\r\nhello\r\n0" + ext + b"\r\n\r\n", b"hello")


@each_row(
    "ext",
    [
        b";a\n",
        b";\n",
        b";a\nb",
        b";a\r",
        b";a\rb",
        b";\r",
        b";a=\r",
        b";a=b\r",
        b";a=b\n",
        b';a="b\n"',
        b';a="b\r"',
        b';a="b\r\n"',
        b';a="b\\\n"',
        b';a="b\\\r"',
        b";a\n5\r\nhello\r\n",
        b";a\r\r",
        b"\n",
        b"\r",
    ],
)
def test_K3_cr_or_lf_in_an_extension(ext: bytes) -> None:
    bad(b"5" + ext + b"\r\nhello\r\n" + END)
    bad(b"5\r\nhello\r\n0" + ext + b"\r\n\r\n")


@each_row(
    "ext",
    [
        b";",
        b"; ",
        b";;a",
        b";a;",
        b";=b",
        b";a=",
        b";a=;b",
        b";a b",
        b";a=b c",
        b";a==b",
        b';a="b',
        b';a="b"c',
        b';a="b\\"',
        b';a=b"c"',
        b';"a"=b',
        b";a\0",
        b';a="\0"',
        b';a="\x7f"',
        b';a="\x01"',
        b";a\x80",
        b";a=\xff",
        b";a=(b)",
        b";a,b",
        b",a",
        b" a",
        b"=a",
        b";[]",
    ],
)
def test_K3_malformed_extensions(ext: bytes) -> None:
    bad(b"5" + ext + b"\r\nhello\r\n" + END)


# -- K4 --------------------------------------------------------------------------------------------


@each_row(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"5\n\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\rX0\r\n\r\n",
        b"5\r\nhello\n\n0\r\n\r\n",
        b"5\r\nhello\n\r0\r\n\r\n",
        b"5\r\nhello \r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\r\n",
        b"5\r\nhello\r\n0\r\n\r\r",
        b"5\r\nhello\r\n0\r\n\rX",
        b"5\r\nhello\r\n0\n\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_K4_line_ends(body: bytes) -> None:
    bad(body)


# -- K5 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [b"0", b"00", b"0000000000000000"])
def test_K5_last_chunk(zeros: bytes) -> None:
    good(zeros + b"\r\n\r\n", b"")
    good(b"5\r\nhello\r\n" + zeros + b"\r\n\r\n", b"hello")
    good(b"5\r\nhello\r\n" + zeros + b"\r\nX: y\r\n\r\n", b"hello", [("x", "y")])


def test_K5_many_chunks() -> None:
    body = b"".join(b"1\r\n%c\r\n" % c for c in b"GET / HTTP/1.1\r\n\r\n0\r\n\r\n")
    good(body + END, b"GET / HTTP/1.1\r\n\r\n0\r\n\r\n")


def test_K5_what_follows_the_last_chunk_is_no_part_of_the_body() -> None:
    refused(post(b"5\r\nhello\r\n0\r\n\r\n5\r\nhello\r\n0\r\n\r\n") + SMUGGLED, heads=1)


# -- K6 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "trailers"),
    [
        (b"X: y\r\n", [("x", "y")]),
        (b"X-A: 1\r\nx-b:2\r\nX-A: \t3 \r\n", [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]),
        (b"X:\r\n", [("x", "")]),
        (b"X: \xc3\xa9\xff\r\n", [("x", "\xe9\udcff")]),
        (b'ETag: "a"\r\nServer-Timing: b\r\n', [("etag", '"a"'), ("server-timing", "b")]),
    ],
)
def test_K6_trailers(wire: bytes, trailers: Headers) -> None:
    good(b"5\r\nhello\r\n0\r\n" + wire + b"\r\n", b"hello", trailers)
    good(b"0\r\n" + wire + b"\r\n", b"", trailers)


@pytest.mark.parametrize(
    "wire",
    [
        b"X\r\n",
        b": y\r\n",
        b"X : y\r\n",
        b" X: y\r\n",
        b"\tX: y\r\n",
        b"X: y\r\n z\r\n",
        b"X: y\n",
        b"X: y\nA: b\r\n",
        b"X: y\rA: b\r\n",
        b"X: \0\r\n",
        b"X(: y\r\n",
        b"X Y: z\r\n",
        b"\xffX: y\r\n",
        b"X\0: y\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\n",
        b"5\r\nhello\r\n",
    ],
)
def test_K6_malformed_trailers(wire: bytes) -> None:
    bad(b"5\r\nhello\r\n0\r\n" + wire + b"\r\n")


@pytest.mark.parametrize(
    "wire",
    [
        b"Content-Length: 5",
        b"content-length: 0",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: identity",
        b"Host: b",
        b"host: a",
    ],
)
def test_K6_framing_and_routing_fields_in_trailers(wire: bytes) -> None:
    # > A recipient MUST NOT merge a received trailer field into the header section unless the field
    # > is understood and explicitly permits and defines how   (RFC 9110 6.5.1; these are dropped)
    good(b"5\r\nhello\r\n0\r\n" + wire + b"\r\n\r\n", b"hello", None)
    good(b"5\r\nhello\r\n0\r\nX: y\r\n" + wire + b"\r\n\r\n", b"hello", [("x", "y")])


@each_row(
    "name",
    [
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "max-forwards",
    ],
)
def test_K6_fields_that_mean_something_before_the_body(name: str) -> None:
    # > A sender MUST NOT generate a trailer field unless the sender knows the corresponding header
    # > field name's definition permits sending in trailers   (RFC 9110 6.5.1)
    body = b"5\r\nhello\r\n0\r\nX: y\r\n" + name.encode() + b": z\r\n\r\n"
    good(body, b"hello", [("x", "y")])


# -- K7 --------------------------------------------------------------------------------------------


def test_K7_extensions_of_a_body_are_bounded() -> None:
    limits = Limits(max_chunk_ext_size=100)
    bad(b"1;" + b"a" * 120 + b"\r\nx\r\n" + END, limits=limits)
    bad(b"1;aaaaaaaaa\r\nx\r\n" * 12 + END, limits=limits)
    ok = post(b"1;aaaaaaaaa\r\nx\r\n" * 8 + END)
    assert accepted(ok, limits)[1:] == [("data", 1, b"x" * 8), ("tail", 1, None)]
    two = accepted(ok + ok, limits)
    assert [e[0] for e in two] == ["head", "data", "tail"] * 2


def test_K7_extensions_of_a_body_are_bounded_by_default() -> None:
    conn = answering()
    feed(conn, post(b"1;" + b"a" * 1000 + b"\r\nx\r\n") + b"1;aaaaaaaaaaaaaaaa\r\nx\r\n" * 2000)
    assert conn.error is not None and conn.error.code == 400
    assert [a.code for a in responses(conn.take())] == [400]
    closed(conn)


def test_K7_an_extension_without_end() -> None:
    bad(b"1;" + b"a" * 150, limits=Limits(max_chunk_ext_size=100), behind=b"")
    bad(b"1;" + b"a" * 150, limits=Limits(max_line_size=100), behind=b"")


def test_K7_trailers_are_bounded() -> None:
    limits = Limits(max_trailer_size=200)
    bad(b"0\r\nX: " + b"y" * 250 + b"\r\n\r\n", limits=limits)
    bad(b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyy\r\n" * 12 + b"\r\n", limits=limits)
    bad(b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyy\r\n" * 12, limits=limits, behind=b"")
    bad(b"0\r\nX: " + b"y" * 250, limits=limits, behind=b"")
    events = accepted(post(b"0\r\nX: yyyyyyyyyy\r\n\r\n"), limits)
    assert events[-1] == ("tail", 1, [("x", "yyyyyyyyyy")])


def test_K7_trailer_fields_are_bounded() -> None:
    limits = Limits(max_trailer_fields=4)
    bad(b"0\r\n" + b"X: y\r\n" * 5 + b"\r\n", limits=limits)
    bad(b"0\r\n" + b"X: y\r\n" * 5, limits=limits, behind=b"")
    events = accepted(post(b"0\r\n" + b"X: y\r\n" * 4 + b"\r\n"), limits)
    assert events[-1] == ("tail", 1, [("x", "y")] * 4)


@pytest.mark.parametrize("trailers", [b"X: y\r\n" * 65, b"X: " + b"y" * 16_500 + b"\r\n"])
def test_K7_trailers_are_bounded_by_default(trailers: bytes) -> None:
    conn = answering()
    feed(conn, post(b"0\r\n" + trailers + b"\r\n"))
    assert conn.error is not None and conn.error.code == 400
    closed(conn)


# -- K8 --------------------------------------------------------------------------------------------


def test_K8_data_is_delivered_as_it_arrives() -> None:
    conn = h1_server()
    conn.data_received(post(b"64\r\nabc"))
    assert conn.events[-1] == ("data", 1, b"abc")
    conn.data_received(b"d")
    assert conn.events[-1] == ("data", 1, b"d")
    conn.data_received(b"e" * 96)
    assert conn.events[-1] == ("data", 1, b"e" * 96)
    conn.data_received(b"\r\n2\r")
    conn.data_received(b"\nf")
    assert conn.events[-1] == ("data", 1, b"f")


def test_K8_each_byte_of_a_body_is_delivered_at_once() -> None:
    conn = asked()
    conn.data_received(response(CHUNKED, body=b"4\r\n"))
    for octet in (b"a", b"b", b"c", b"d"):
        conn.data_received(octet)
        assert conn.events[-1] == ("data", 1, octet)
    conn.data_received(b"\r\n" + END)
    assert conn.of("tail") == [("tail", 1, None)]


def test_K8_data_before_a_fault_is_delivered_but_no_end() -> None:
    conn = h1_server()
    with pytest.raises(raw.ProtocolError) as error:
        conn.data_received(post(b"5\r\nhelloXX" + END))
    assert error.value.code == 400
    assert conn.of("data", "tail") == [("data", 1, b"hello")]
