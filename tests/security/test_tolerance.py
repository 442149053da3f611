"""What some peers send and nothing depends on: it is let pass, and cannot frame, route or split.

Blanks around HTTP/2 values and behind chunk sizes, trailers of any kind, control characters in
responses; and the two switches for targets and authorities. Rows E5, E9, E11, E12 and E14.
"""

import logging
from collections.abc import Callable

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import FIELDS, SMUGGLED, accepted, asked, client_fails, received, refused
from tests.security import splitting
from tests.security.downgrades import BASE, but, plus
from tests.security.smuggling import BLANKS, DROPPED_TRAILERS, get, te
from tests.support import (
    DATA,
    END_STREAM,
    HEADERS,
    PROTOCOL_ERROR,
    REQUEST_HEADERS,
    Fields,
    FrameFactory,
    Headers,
    client_with_request,
    each_way,
    expect_stream_error,
    frame,
    play,
    server,
)

RAW = Limits(allow_raw_targets=True)
ANY = Limits(allow_any_authority=True)
HEAD: Headers = [(":scheme", "http"), (":authority", "a")]
STATUS = (":status", "200")
#: (Each of them is tried in `test_e09_every_octet_in_a_value`.)
CONTROLS = [0x01, 0x0B, 0x1B, 0x7F]


def one(fields: Fields, *rest: Fields) -> Callable[[FrameFactory], bytes]:
    """A message of a head, and of trailers if there are more fields."""

    def write(pen: FrameFactory) -> bytes:
        out = pen.headers(1, fields)
        return out + b"".join(pen.headers(1, each, end_stream=True) for each in rest)

    return write


# -- blanks around HTTP/2 values -------------------------------------------------------------------


def test_e14_a_table_holds_the_trimmed_value() -> None:
    """The peer's table counts what it sent; whoever refers to an entry gets the trimmed value."""
    block = bytes([0x82, 0x86, 0x84, 0x41, 1]) + b"a"  # GET http / and :authority: a
    entered = b"\x40\x01x\x04 \ty "
    never = b"\x10\x01z\x02 w"
    for first in (entered, entered + b"\xbe"):
        conn, _ = server()
        conn.data_received(frame(HEADERS, 0x05, 1, block + first + never))
        conn.data_received(frame(HEADERS, 0x05, 3, block[:3] + b"\xbf\xbe"))  # both from the table
        one, two = conn.of("head")
        assert one[5] == [*HEAD, *[("x", "y")] * (2 if first[-1] == 0xBE else 1), ("z", "w")]
        assert type(one[5][-1]).__name__ == "NeverIndexed"
        assert two[5] == [*HEAD, ("x", "y")]
        assert all(type(each) is tuple for each in two[5])


def test_e14_a_trimmed_length_is_checked() -> None:
    fields = plus(("content-length", " 5\t"))
    conn = each_way(server, lambda p: p.headers(1, fields) + p.data(1, b"hello", end_stream=True))
    assert conn.of("head")[0][5] == [*HEAD, ("content-length", "5")]
    assert conn.of("data", "tail") == [("data", 1, b"hello"), ("tail", 1, None)]
    for content in (b"hell", b"hello!"):
        data = frame(DATA, END_STREAM, 1, content)

        def wrong(pen: FrameFactory, data: bytes = data) -> bytes:
            return pen.headers(1, fields) + data

        expect_stream_error(server, wrong, 1, PROTOCOL_ERROR)
    for pair in (("5", " 6"), (" 5", "5 x")):
        lengths = plus(*(("content-length", value) for value in pair))
        expect_stream_error(server, one(lengths), 1, PROTOCOL_ERROR)
    both = plus(("content-length", "5"), ("content-length", " 5 "))
    conn = each_way(server, lambda p: p.headers(1, both))
    assert conn.of("head")[0][5] == [*HEAD, ("content-length", "5")]


def test_e14_a_client_trims_as_well() -> None:
    conn = each_way(
        client_with_request,
        lambda p: (
            p.headers(1, [STATUS, ("x", " y"), ("set-cookie", "a\t"), ("content-length", " 1 ")])
            + p.data(1, b"x")
            + p.headers(1, [("grpc-status", " 0 "), ("x", " ")], end_stream=True)
        ),
    )
    want: Headers = [("x", "y"), ("set-cookie", "a"), ("content-length", "1")]
    assert conn.of("head")[0][5] == want
    assert conn.of("tail") == [("tail", 1, [("grpc-status", "0"), ("x", "")])]


@pytest.mark.parametrize("name", [":method", ":scheme", ":authority", ":path"])
@pytest.mark.parametrize("form", [" {}", "{} ", "\t{}", "{}\t"])
def test_e14_pseudo_header_fields_have_no_blanks(name: str, form: str) -> None:
    fields = but(name, form.format(dict(BASE)[name]))
    expect_stream_error(server, lambda p: p.headers(1, fields, end_stream=True), 1, PROTOCOL_ERROR)


@pytest.mark.parametrize("status", [" 200", "200 ", "\t200"])
def test_e14_nor_has_a_status(status: str) -> None:
    fields = [(":status", status)]
    expect_stream_error(client_with_request, lambda p: p.headers(1, fields), 1, PROTOCOL_ERROR)


# -- blanks behind chunk sizes ---------------------------------------------------------------------


@pytest.mark.parametrize("name", BLANKS)
def test_e05_blanks_behind_a_size(name: str) -> None:
    body = BLANKS[name]
    events = accepted(te(b" chunked", body=body) + get(first=b"GET /next HTTP/1.1"))
    assert [e[4] for e in events if e[0] == "head"] == ["/", "/next"]
    assert events[1:3] == [("data", 1, b"hello"), ("tail", 1, None)]
    assert received(asked, splitting.te(b" chunked", body=body))[1:] == events[1:3]


def test_e08_blanks_count_as_extensions() -> None:
    limits = Limits(max_chunk_ext_size=10)
    body = b"5" + b" " * 11 + b"\r\nhello\r\n0\r\n\r\n"
    refused(te(b" chunked", body=body) + SMUGGLED, limits=limits, heads=1)


# -- trailers --------------------------------------------------------------------------------------

#: Say how to read or to keep a message, or what is asked for: nobody looks at them in time.
HARMLESS = "Cache-Control Content-Encoding Content-Range Content-Type Expect Range Server-Timing"


@pytest.mark.parametrize("name", HARMLESS.split())
def test_e12_others_are_delivered(name: str) -> None:
    want = ("tail", 1, [(name.lower(), "x"), ("y", "z")])
    body = b"0\r\n" + name.encode() + b": x\r\nY: z\r\n\r\n"
    assert accepted(te(b" chunked", body=body))[-1] == want
    assert received(asked, splitting.te(b" chunked", body=body))[-1] == want
    trailers = [(name.lower(), "x"), ("y", "z")]
    conn = each_way(server, lambda p: p.headers(1, BASE) + p.headers(1, trailers, end_stream=True))
    assert conn.of("tail") == [want]


@pytest.mark.parametrize("name", DROPPED_TRAILERS)
@pytest.mark.parametrize("value", [b"5", b"x y"])
def test_e12_what_frames_routes_or_authenticates_is_dropped(
    name: str, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cno")
    line = name.encode() + b": " + value + b"\r\n"
    for lines, want in ((line + b"Y: z\r\n" + line, [("y", "z")]), (line, None)):
        body = b"2\r\nxx\r\n0\r\n" + lines + b"\r\n"
        events = accepted(te(b" chunked", body=body) + get(first=b"GET /next HTTP/1.1"))
        assert events[1:3] == [("data", 1, b"xx"), ("tail", 1, want)]
        assert [e[4] for e in events if e[0] == "head"] == ["/", "/next"]
        events = received(asked, splitting.te(b" chunked", body=body))
        assert events[1:] == [("data", 1, b"xx"), ("tail", 1, want)]
    assert f"dropped {name.lower()} from the trailers" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


@pytest.mark.parametrize(
    "field",
    [
        *(("content-length", value) for value in ("5", "x", "", "-1")),
        *(("host", value) for value in ("b", "b c", "u@b")),
        *((name, "x") for name in ("authorization", "cookie", "set-cookie", "proxy-authorization")),
        *(("te", "trailers"), ("trailer", "x"), ("max-forwards", "0")),
    ],
)
def test_e12_the_same_in_http2(field: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cno")
    trailers = [field, ("y", "z"), field]
    conn = each_way(server, lambda p: p.headers(1, BASE) + p.headers(1, trailers, end_stream=True))
    assert conn.of("tail") == [("tail", 1, [("y", "z")])]
    conn = each_way(
        client_with_request,
        lambda p: p.headers(1, [STATUS]) + p.headers(1, trailers, end_stream=True),
    )
    assert conn.of("tail") == [("tail", 1, [("y", "z")])]
    assert f"dropped {field[0]} from the trailers" in caplog.text


# -- control characters in responses ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["a{}b", "{}", "{}b", "a{}", "a{0}{0} {0}b"])
def test_e09_control_characters_in_a_response(form: str) -> None:
    for octet in CONTROLS:
        value = form.format(chr(octet))
        wire = splitting.ok(b"X: \t" + value.encode() + b" ", b"Content-Length: 0")
        events = received(asked, wire)
        assert events[0][5] == [("x", value), ("content-length", "0")], octet
        body = b"0\r\nX:" + value.encode() + b"\r\n\r\n"
        assert received(asked, splitting.te(b" chunked", body=body))[-1] == (
            ("tail", 1, [("x", value)])
        )
        refused(get(b"X: " + value.encode()) + SMUGGLED)
        refused(te(b" chunked", body=body) + SMUGGLED, heads=1)


@pytest.mark.parametrize(
    "line",
    [
        *(b"Content-Length: 0\x0b", b"Content-Length: \x0c0", b"Transfer-Encoding: \x0bchunked"),
        *(b"Connection: close\x7f", b"Upgrade: \x01", b"Keep-Alive: \x01", b"Host: \x01"),
        *(b"X: \x01\0", b"X: \x01\n\x01", b"X: \x01\ry", b"X\x01: y"),
    ],
)
def test_e09_not_where_they_frame_or_split(line: bytes) -> None:
    client_fails(asked, splitting.ok(line) + splitting.SPLIT)


def test_e14_control_characters_in_a_response_of_http2() -> None:
    for octet in CONTROLS:
        value = f"a{chr(octet)}b"
        fields = [STATUS, ("x", value), ("cookie", value), ("set-cookie", chr(octet))]
        conn = each_way(
            client_with_request,
            one(fields, fields[1:2]),
        )
        assert conn.of("head")[0][5] == fields[1:]
        assert conn.of("tail") == [("tail", 1, [("x", value)])]
        for bad in (plus(("x", value)), plus(("cookie", value))):
            expect_stream_error(server, one(bad), 1, PROTOCOL_ERROR)
        expect_stream_error(
            server,
            one(BASE, fields[1:2]),
            1,
            PROTOCOL_ERROR,
        )


@pytest.mark.parametrize(
    "field", [("x", "\x01\n"), ("x", "\0"), ("x", "a\rb"), ("content-length", "1\x0b")]
)
def test_e14_not_where_they_split(field: tuple[str, str]) -> None:
    fields = [STATUS, field]
    expect_stream_error(client_with_request, lambda p: p.headers(1, fields), 1, PROTOCOL_ERROR)


def test_e14_a_promised_request_has_none() -> None:
    fields = [*REQUEST_HEADERS, ("x", "\x01")]
    fields = [(":method", "GET"), (":path", "/"), *fields]

    def pushed(peer: FrameFactory) -> bytes:
        return peer.push_promise(1, 2, fields)

    conn = play(lambda: client_with_request(configure={"enable_push": 1}), pushed)
    assert conn.error is None
    assert conn.of("push") == []


def test_e13_none_are_sent() -> None:
    """What has been received with them cannot be passed on."""
    for http2 in (True, False):
        conn = raw.Connection(True)
        conn.connection_made(http2)
        for value in ("\x01", "a\x7f", " y", "y\t"):
            with pytest.raises(raw.ConnectionError):
                conn.write_head(1, 200, "", "", [("x", value)], True)


# -- allow_raw_targets -----------------------------------------------------------------------------

TARGETS = {b"/\xff": "/\udcff", b"/\xc3\xa9?\xe2\x82\xac": "/é?€", b"/a\x80/": "/a\udc80/"}


@pytest.mark.parametrize("wire", TARGETS)
def test_e09_raw_targets(wire: bytes) -> None:
    want = TARGETS[wire]
    conn = refused(get(first=b"GET " + wire + b" HTTP/1.1") + SMUGGLED)
    assert conn.error is not None and conn.error.limit == "allow_raw_targets"
    assert accepted(get(first=b"GET " + wire + b" HTTP/1.1"), RAW)[0][4:] == (want, FIELDS)
    absolute = get(first=b"GET http://a" + wire + b" HTTP/1.1")
    assert accepted(absolute, RAW)[0][4:] == (want, FIELDS)
    fields = but(":path", wire)
    conn = expect_stream_error(server, lambda p: p.headers(1, fields), 1, PROTOCOL_ERROR)
    conn = each_way(lambda: server(limits=RAW), lambda p: p.headers(1, fields, end_stream=True))
    assert conn.of("head") == [("head", 1, 0, "POST", want, HEAD)]


@pytest.mark.parametrize(
    "wire", [b"/\xff\x7f", b"/\xff#", b"/\xff\0", b"\xff", b"*\xff", b"http://\xff/", b"/\xff\r"]
)
def test_e09_raw_targets_allow_nothing_else(wire: bytes) -> None:
    refused(get(first=b"GET " + wire + b" HTTP/1.1") + SMUGGLED, limits=RAW)
    fields = but(":path", wire)
    expect_stream_error(
        lambda: server(limits=RAW), lambda p: p.headers(1, fields), 1, PROTOCOL_ERROR
    )
    refused(get(b"\xff: x") + SMUGGLED, limits=RAW)
    refused(get(first=b"G\xff / HTTP/1.1") + SMUGGLED, limits=RAW)


# -- allow_any_authority ---------------------------------------------------------------------------

AUTHORITIES = {
    b"/run/x.sock": "/run/x.sock",
    b"unix:a b": "unix:a b",
    b"u@a": "u@a",
    b"a:b:c": "a:b:c",
    b"\xc3\xa9": "é",
    b"\xff": "\udcff",
}


@pytest.mark.parametrize("wire", AUTHORITIES)
def test_e11_any_authority(wire: bytes) -> None:
    want: Headers = [(":scheme", "http"), (":authority", AUTHORITIES[wire])]
    request = b"GET / HTTP/1.1\r\nHost: " + wire + b"\r\n\r\n"
    refused(request + SMUGGLED)
    events = accepted(request + request, ANY)
    assert [e[5] for e in events if e[0] == "head"] == [want, want]
    for fields in (but(":authority", wire), [*BASE[:2], BASE[3], ("host", wire)]):
        expect_stream_error(server, one(fields), 1, PROTOCOL_ERROR)
        conn = each_way(lambda: server(limits=ANY), one(fields))
        assert conn.of("head")[0][5] == want


@pytest.mark.parametrize("wire", [b"a\0", b"a\r", b"a\x7f", b"\x01"])
def test_e11_any_authority_is_a_value(wire: bytes) -> None:
    refused(b"GET / HTTP/1.1\r\nHost: " + wire + b"\r\n\r\n" + SMUGGLED, limits=ANY)
    for fields in (but(":authority", wire), plus(("host", wire))):
        expect_stream_error(lambda: server(limits=ANY), one(fields), 1, PROTOCOL_ERROR)


def test_e11_any_authority_is_one() -> None:
    refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" + SMUGGLED, limits=ANY)
    refused(b"GET / HTTP/1.1\r\n\r\n" + SMUGGLED, limits=ANY)
    fields = plus(("host", "/run/x"))
    expect_stream_error(
        lambda: server(limits=ANY), lambda p: p.headers(1, fields), 1, PROTOCOL_ERROR
    )
