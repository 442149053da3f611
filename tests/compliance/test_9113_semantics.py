"""RFC 9113 section 8: which messages are malformed. Rows H1 to H9, H11 and H15.

Each test's name begins with its row of the checklist. Bodies, 1xx, retries and what we send (H10,
H12 to H21) are in test_9113_messages.py.
"""

import pytest

from tests.rows import each_row
from tests.states import client_half_closed_local, client_open_answered, server_open
from tests.support import (
    NO_ERROR,
    POST,
    PROTOCOL_ERROR,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    Event,
    Fields,
    Frame,
    Headers,
    Make,
    Recorder,
    client_with_request,
    each_way,
    expect_stream_error,
    play,
    server,
    u32,
)

NEW: Headers = [("x-new", "to the table")]


def refused(message: Fields, *, end_stream: bool = True) -> Recorder:
    """This request is malformed: the stream is reset, nothing is delivered."""
    conn = expect_stream_error(
        server, lambda f: f.headers(1, [*message, *NEW], end_stream=end_stream), 1, PROTOCOL_ERROR
    )
    assert conn.events == []
    return conn


def refused_response(message: Fields, *, end_stream: bool = True, method: str = "GET") -> None:
    """This response is malformed: the stream is reset, nothing of it is delivered."""
    conn = expect_stream_error(
        lambda: client_with_request(method),
        lambda f: f.headers(1, [*message, *NEW], end_stream=end_stream),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("head", "data", "tail") == []


def refused_trailers(trailers: Fields) -> None:
    """These trailers are malformed, after a request as after a response: no tail."""
    for make in (server_open, client_open_answered):
        conn = expect_stream_error(
            make, lambda f: f.headers(1, [*trailers, *NEW], end_stream=True), 1, PROTOCOL_ERROR
        )
        assert conn.of("tail") == []


def accepted(message: Fields) -> Event:
    """This request is fine; what is delivered as its head."""
    conn = each_way(server, lambda f: f.headers(1, message, end_stream=True))
    assert conn.frames() == []
    start, head, tail = conn.events
    assert (start, tail) == (("start", 1), ("tail", 1, None))
    return head


def accepted_response(message: Fields) -> Event:
    """This response is fine; what is delivered as its head."""
    conn = each_way(client_half_closed_local, lambda f: f.headers(1, message, end_stream=True))
    assert conn.frames() == []
    head, tail, end = conn.events
    assert (tail, end) == (("tail", 1, None), ("end", 1, NO_ERROR, REMOTE))
    return head


# -- H1 to H3: names and values --------------------------------------------------------------------

BAD_NAMES: dict[str, bytes] = {
    "empty": b"",
    "upper case": b"Accept",
    "upper case inside": b"accEpt",
    "space": b"a b",
    "space in front": b" a",
    "space behind": b"a ",
    "colon behind": b"a:",
    "colon inside": b"a:b",
    "nul": b"a\0",
    "cr": b"a\r",
    "lf": b"a\nb",
    "tab": b"a\t",
    "del": b"a\x7f",
    "not ascii": b"caf\xc3\xa9",
    "octet 0x80": b"\x80",
    "parenthesis": b"a(b)",
    "quote": b'a"b',
    "slash": b"a/b",
    "at": b"a@b",
    "comma": b"a,b",
    "semicolon": b"a;b",
    "equals": b"a=b",
    "braces": b"{a}",
    "bracket": b"[a",
    "backslash": b"a\\b",
    "less": b"<a",
    "question": b"a?b",
}
BAD_NAME = each_row("name", BAD_NAMES.values(), ids=BAD_NAMES)


@BAD_NAME
def test_H1_bad_name_in_a_request(name: bytes) -> None:
    refused([*REQUEST, (name, "value")])


@BAD_NAME
def test_H1_bad_name_in_a_response(name: bytes) -> None:
    refused_response([*RESPONSE, (name, "value")])


def test_H1_octets_never_allowed_in_a_name() -> None:
    for code in [*range(0x21), *range(0x41, 0x5B), *range(0x7F, 0x100)]:
        conn, peer = server()
        conn.data_received(peer.headers(1, [*REQUEST, (b"x-" + bytes((code,)) + b"y", b"v")]))
        assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(PROTOCOL_ERROR))], hex(code)
        assert conn.events == [], hex(code)


def test_H1_every_character_of_a_token() -> None:
    name = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    assert accepted([*REQUEST, (name, "v")])[5] == [*REQUEST_HEADERS, (name, "v")]


BAD_VALUES: dict[str, bytes] = {
    "nul": b"a\0b",
    "cr": b"a\rb",
    "lf": b"a\nb",
    "crlf": b"a\r\nx: y",
    "nul alone": b"\0",
    "lf behind": b"a\n",
    "cr in front": b"\ra",
    "crlf and space behind": b"a\r\n ",
    "space and nul": b" \0",
}
BAD_VALUE = each_row("value", BAD_VALUES.values(), ids=BAD_VALUES)


@BAD_VALUE
def test_H2_bad_value_in_a_request(value: bytes) -> None:
    refused([*REQUEST, ("x-a", value)])


@BAD_VALUE
def test_H2_bad_value_in_a_response(value: bytes) -> None:
    refused_response([*RESPONSE, ("x-a", value)])


@each_row("value", [b" a", b"a ", b"\ta", b"a\t", b" \ta\t "])
def test_H2_blanks_are_no_part_of_a_value(value: bytes) -> None:
    # > A field value does not include leading or trailing whitespace. ... a field parsing
    # > implementation MUST exclude such whitespace prior to evaluating the field value.
    # > (RFC 9110 5.5)
    assert accepted([*REQUEST, ("x-a", value)])[5] == [*REQUEST_HEADERS, ("x-a", "a")]


def test_H2_values_allowed() -> None:
    values = ["", "a\tb", "a b", "a  b", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "caf\u00e9"]
    fields = [(f"x-{i}", value) for i, value in enumerate(values)]
    assert accepted([*REQUEST, *fields])[5] == [*REQUEST_HEADERS, *fields]
    assert accepted_response([*RESPONSE, *fields])[5] == fields


def test_H2_octets_that_are_not_utf8_survive() -> None:
    value = bytes(range(0x80, 0x100))
    head = accepted([*REQUEST, (b"x-octets", value)])
    assert head[5][-1] == ("x-octets", value.decode("utf-8", "surrogateescape"))


@BAD_VALUE
@each_row("name", [":path", ":authority", ":scheme", ":method"])
def test_H3_bad_value_of_a_pseudo_field(name: str, value: bytes) -> None:
    base = {**dict(REQUEST)}[name].encode()
    bad: Fields = [(n, base + value + base if n == name else v) for n, v in REQUEST]
    if value.strip(b" \t") == value:
        refused(bad)
    refused([(n, value if n == name else v) for n, v in REQUEST])


@each_row("name", [":path", ":authority", ":scheme", ":method"])
@each_row("edge", ["%s ", " %s", "%s\t", "\t%s"])
def test_H3_space_at_the_edge_of_a_pseudo_field(name: str, edge: str) -> None:
    refused([(n, edge % v if n == name else v) for n, v in REQUEST])


@pytest.mark.parametrize("path", ["/a b", "/\x7f", "/\x01", "/a\tb"])
def test_H3_space_or_control_in_the_path(path: str) -> None:
    refused([*REQUEST[:3], (":path", path)])


@each_row("method", ["GE T", "GET\x7f", "G,T", "", "GÉT", "G(T)"])
def test_H3_method_is_a_token(method: str) -> None:
    refused([(":method", method), *REQUEST[1:]])


@each_row("scheme", ["", "ht tp", "1http", "http:", "http/"])
def test_H3_scheme_is_a_scheme(scheme: str) -> None:
    refused([REQUEST[0], (":scheme", scheme), *REQUEST[2:]])


@BAD_NAME
def test_H3_bad_name_in_trailers(name: bytes) -> None:
    refused_trailers([(name, "value")])


@BAD_VALUE
def test_H3_bad_value_in_trailers(value: bytes) -> None:
    refused_trailers([("x-a", value)])


def test_H3_good_trailers() -> None:
    for make in (server_open, client_open_answered):
        conn = each_way(make, lambda f: f.headers(1, [("x-a", "b"), ("x-a", "")], end_stream=True))
        assert conn.of("tail") == [("tail", 1, [("x-a", "b"), ("x-a", "")])]


# -- H4: fields of the connection ------------------------------------------------------------------

HOP_BY_HOP: Headers = [
    ("connection", "keep-alive"),
    ("connection", "close"),
    ("proxy-connection", "keep-alive"),
    ("keep-alive", "timeout=5"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("upgrade", "websocket"),
]
BAD_TE = ["gzip", "trailers, gzip", "trailers;q=0.5", "chunked", "Trailers ,"]


@each_row("field", HOP_BY_HOP, ids=str)
def test_H4_fields_of_the_connection(field: tuple[str, str]) -> None:
    refused([*REQUEST, field])
    refused_response([*RESPONSE, field])


@each_row("field", HOP_BY_HOP, ids=str)
def test_H4_fields_of_the_connection_in_trailers(field: tuple[str, str]) -> None:
    refused_trailers([field])


@each_row("value", BAD_TE)
def test_H4_te_other_than_trailers(value: str) -> None:
    refused([*REQUEST, ("te", value)])


def test_H4_te_trailers() -> None:
    assert accepted([*REQUEST, ("te", "trailers")])[5][-1] == ("te", "trailers")


# -- H5, H6: pseudo fields -------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(4))
def test_H5_pseudo_field_after_a_regular_one(at: int) -> None:
    refused([*REQUEST[:at], *REQUEST[at + 1 :], ("x-a", "b"), REQUEST[at]])


@pytest.mark.parametrize("field", REQUEST, ids=str)
def test_H5_duplicate_pseudo_field(field: tuple[str, str]) -> None:
    refused([*REQUEST, field])
    refused([field, *REQUEST])


@each_row("name", [":", ":foo", ":Path", ":status", ":protocol", "::path", ":host"])
def test_H5_pseudo_field_that_requests_do_not_have(name: str) -> None:
    refused([*REQUEST, (name, "200")])


@each_row("field", [*REQUEST, (":foo", "x"), (":", ""), (":protocol", "x")], ids=str)
def test_H5_pseudo_field_that_responses_do_not_have(field: tuple[str, str]) -> None:
    refused_response([*RESPONSE, field])
    refused_response([field, *RESPONSE])


@each_row("field", [*REQUEST, *RESPONSE, (":foo", "x")], ids=str)
def test_H5_pseudo_field_in_trailers(field: tuple[str, str]) -> None:
    refused_trailers([field])
    refused_trailers([("x-a", "b"), field])


def test_H5_status_after_a_regular_field() -> None:
    refused_response([("x-a", "b"), *RESPONSE])


@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
def test_H6_missing_pseudo_field(name: str) -> None:
    refused([field for field in REQUEST if field[0] != name])


@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
def test_H6_empty_pseudo_field(name: str) -> None:
    refused([(n, "" if n == name else v) for n, v in REQUEST])


@each_row("path", ["foo", "*", "http://example.com/", "?query", "//ok?no", "/#frag"])
def test_H6_path_is_a_path(path: str) -> None:
    message = [*REQUEST[:3], (":path", path)]
    if path == "//ok?no":
        assert accepted(message)[4] == path
    else:
        refused(message)


def test_H6_asterisk_with_options() -> None:
    message = [(":method", "OPTIONS"), *REQUEST[1:3], (":path", "*")]
    assert accepted(message)[3:5] == ("OPTIONS", "*")


def test_H6_no_fields_at_all() -> None:
    expect_stream_error(server, lambda f: f.headers_frame(1, b""), 1, PROTOCOL_ERROR)


def test_H6_any_method_and_order() -> None:
    head = accepted([(":path", "/a?b=c"), (":authority", "h:1"), (":method", "x-y"), REQUEST[1]])
    assert head[:5] == ("head", 1, 0, "x-y", "/a?b=c")
    assert sorted(head[5]) == [(":authority", "h:1"), (":scheme", "https")]


# -- H7, H8: authority and CONNECT -----------------------------------------------------------------


@each_row(
    "authority", ["user@example.com", "user:secret@example.com", "a b", "a/b", "a?b", "a#b", "a\\b"]
)
def test_H7_authority_that_is_none(authority: str) -> None:
    refused([*REQUEST[:2], (":authority", authority), REQUEST[3]])


@pytest.mark.parametrize("host", ["example.org", "example.com:8080", "", "user@example.com"])
def test_H7_host_other_than_authority(host: str) -> None:
    refused([*REQUEST, ("host", host)])


def test_H7_two_hosts() -> None:
    refused([*REQUEST, ("host", "example.com"), ("host", "example.com")])
    refused([*REQUEST[:2], REQUEST[3], ("host", "example.com"), ("host", "example.com")])
    refused([*REQUEST[:2], REQUEST[3], ("host", "example.com"), ("host", "example.org")])


def test_H7_equal_host_is_the_authority() -> None:
    assert accepted([*REQUEST, ("host", "example.com"), ("x", "y")])[5] == [
        *REQUEST_HEADERS,
        ("x", "y"),
    ]


def test_H7_host_without_authority_becomes_it() -> None:
    head = accepted([*REQUEST[:2], REQUEST[3], ("x", "y"), ("host", "example.com")])
    assert head[5] == [*REQUEST_HEADERS, ("x", "y")]


CONNECT: Headers = [(":method", "CONNECT"), (":authority", "example.com:443")]


def test_H8_connect() -> None:
    conn = each_way(server, lambda f: f.headers(1, CONNECT))
    assert conn.events == [
        ("start", 1),
        ("head", 1, 0, "CONNECT", "", [(":authority", "example.com:443")]),
    ]


@each_row(
    "message",
    [
        [CONNECT[0]],
        [CONNECT[0], (":authority", "")],
        [*CONNECT, (":scheme", "https")],
        [*CONNECT, (":path", "/")],
        [*CONNECT, (":scheme", "https"), (":path", "/")],
        [*CONNECT, (":path", "")],
    ],
    ids=["no authority", "empty authority", "scheme", "path", "scheme and path", "empty path"],
)
def test_H8_connect_that_is_malformed(message: Headers) -> None:
    refused(message, end_stream=False)


# -- H9: status ------------------------------------------------------------------------------------


@each_row(
    "status",
    [
        "",
        "99",
        "099",
        "1000",
        "abc",
        "200 ",
        " 200",
        "2 0",
        "+20",
        "-20",
        "20",
        "0",
        "000",
        "2e2",
        "٢٠٠",
    ],
)
def test_H9_status_is_three_digits(status: str) -> None:
    refused_response([(":status", status)])


def test_H9_no_status_or_two() -> None:
    refused_response([("server", "it")])
    refused_response([*RESPONSE, *RESPONSE])
    refused_response([*RESPONSE, (":status", "404")])


def test_H9_no_switching_protocols() -> None:
    refused_response([(":status", "101")], end_stream=False)


@pytest.mark.parametrize("status", ["100", "103", "199"])
def test_H9_informational_response_does_not_end_the_stream(status: str) -> None:
    refused_response([(":status", status)])


@each_row("status", [200, 204, 304, 404, 599, 600, 999])
def test_H9_any_final_status(status: int) -> None:
    assert accepted_response([(":status", str(status))]) == ("head", 1, status, "", "", [])


# -- H11, H15 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [server_open, client_open_answered], ids=["server", "client"])
def test_H11_trailers_without_end_stream(make: Make) -> None:
    conn = expect_stream_error(make, lambda f: f.headers(1, [("x-a", "b")]), 1, PROTOCOL_ERROR)
    assert conn.of("tail") == []


def test_H11_a_second_final_response() -> None:
    conn = expect_stream_error(
        client_open_answered, lambda f: f.headers(1, RESPONSE), 1, PROTOCOL_ERROR
    )
    assert conn.of("head") == []


def test_H11_a_second_request_on_the_same_stream() -> None:
    for end in (False, True):
        conn, peer = server_open()
        expect_stream_error(conn, peer.headers(1, POST, end_stream=end), 1, PROTOCOL_ERROR)
        assert conn.of("head", "tail") == []


def test_H11_trailers_after_data() -> None:
    for make in (server_open, client_open_answered):
        conn = each_way(
            make, lambda f: f.data(1, b"body") + f.headers(1, [("x-sum", "1")], end_stream=True)
        )
        assert conn.of("data", "tail") == [("data", 1, b"body"), ("tail", 1, [("x-sum", "1")])]


def test_H15_nothing_of_a_malformed_request_is_delivered() -> None:
    def make() -> Recorder:
        return server()[0]

    conn = play(
        make,
        lambda f: (
            f.headers(1, [*POST, ("Bad", "name")])
            + f.data(1, b"body", True)
            + f.headers(3, REQUEST, end_stream=True)
        ),
    )
    assert conn.error is None
    assert conn.events == [
        ("start", 3),
        ("head", 3, 0, "GET", "/", REQUEST_HEADERS),
        ("tail", 3, None),
    ]
    assert conn.frames() == [Frame(RST_STREAM, 0, 1, u32(PROTOCOL_ERROR))]


def test_H15_a_malformed_response_is_never_complete() -> None:
    conn = expect_stream_error(
        client_half_closed_local,
        lambda f: f.headers(1, [*RESPONSE, ("connection", "close")]) + f.data(1, b"body", True),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("head", "data", "tail") == []


def test_H15_body_without_a_response() -> None:
    conn = expect_stream_error(
        client_half_closed_local, lambda f: f.data(1, b"body"), 1, PROTOCOL_ERROR
    )
    assert conn.of("data") == []


def test_H15_body_after_an_informational_response_only() -> None:
    conn = expect_stream_error(
        client_half_closed_local,
        lambda f: f.headers(1, [(":status", "103")]) + f.data(1, b"body", True),
        1,
        PROTOCOL_ERROR,
    )
    assert conn.of("data", "tail") == []
