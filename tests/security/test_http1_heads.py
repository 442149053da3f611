"""Rows E9, E10, E11 and E19: lines that others end elsewhere, whose host it is, heads without end.

The variants are in the corpora (`smuggling`, `splitting`); here are bounds, memory, and the honest
traffic of the same shape, in both roles.
"""

import itertools
from collections.abc import Callable
from functools import partial

import pytest

from cno import raw
from cno.limits import Limits
from tests.h1.wire import (
    FIELDS,
    OK,
    SMUGGLED,
    accepted,
    answering,
    asked,
    client_fails,
    received,
    refused,
)
from tests.security import splitting
from tests.security.floods import Quiet, peak
from tests.security.smuggling import get
from tests.support import Recorder, feed, h1_server

# -- E9, E10 ---------------------------------------------------------------------------------------

ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\n\n", b"\r\n \r\n", b"\x0b\r\n"]


@pytest.mark.parametrize("end", ENDS)
def test_e09_lines_end_in_one_way(end: bytes) -> None:
    """Each line of a head in turn ends in another way."""
    lines = [b"GET / HTTP/1.1", b"Host: a", b"X: y", b""]
    for at in range(len(lines)):
        ends = [end if i == at else b"\r\n" for i in range(len(lines))]
        if at == 3 and end.startswith(b"\r\n"):
            continue  # the head was complete by then: the rest is the next one's
        data = b"".join(a + b for a, b in zip(lines, ends, strict=True))
        refused(data + SMUGGLED)
    lines = [b"HTTP/1.1 200 OK", b"X: y", b"Content-Length: 0", b""]
    for at in range(len(lines) - 1):
        ends = [end if i == at else b"\r\n" for i in range(len(lines))]
        data = b"".join(a + b for a, b in zip(lines, ends, strict=True))
        client_fails(asked, data + splitting.SPLIT)


def test_e09_nel_is_a_character_like_others() -> None:
    """U+0085 ends a line for str.splitlines(), not for us."""
    assert accepted(get(b"X: a\x85b"))[0][5] == [*FIELDS, ("x", "a\udc85b")]
    data = get(b"X: a\xe2\x80\xa8b")
    assert accepted(data)[0][5] == [*FIELDS, ("x", "a\u2028b")]


def test_e09_every_octet_in_a_value() -> None:
    """HTAB, SP, visible characters and obs-text; in responses all but NUL, CR, LF."""
    for octet in range(256):
        data = get(b"X: a" + bytes([octet]) + b"b")
        conn = answering()
        feed(conn, data)
        allowed = octet == 9 or (octet >= 0x20 and octet != 0x7F)
        assert (conn.error is None) == allowed, octet
        conn = asked()
        feed(conn, splitting.ok(b"X: a" + bytes([octet]) + b"b", b"Content-Length: 0"))
        assert (conn.error is None) == (octet not in b"\0\r\n"), octet


def test_e10_every_octet_in_a_name() -> None:
    """Exactly those of a token; a colon ends it."""
    token = set(b"!#$%&'*+-.^_`|~:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for octet in range(256):
        conn = answering()
        feed(conn, get(b"X" + bytes([octet]) + b"Y: z"))
        assert (conn.error is None) == (octet in token), octet
        conn = asked()
        feed(conn, splitting.ok(b"X" + bytes([octet]) + b"Y: z", b"Content-Length: 0"))
        assert (conn.error is None) == (octet in token), octet


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding", b"Host", b"X"])
@pytest.mark.parametrize("blank", [b" ", b"\t", b"\x0b", b"\0", b"\xa0", b"\r", b"\n"])
def test_e10_nothing_between_name_and_colon(name: bytes, blank: bytes) -> None:
    refused(get(name + blank + b": 5") + SMUGGLED)
    refused(get(blank + name + b": 5") + SMUGGLED)
    client_fails(asked, splitting.ok(name + blank + b": 5") + splitting.SPLIT)
    client_fails(asked, splitting.ok(blank + name + b": 5") + splitting.SPLIT)


def test_e10_honest_odd_names() -> None:
    names = [b"_", b"x_y", b"1", b"X.Y", b"!", b"~"]
    want = [(n.decode().lower(), "z") for n in names]
    assert accepted(get(*[n + b": z" for n in names]))[0][5] == [*FIELDS, *want]


# -- E11 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/", b"http://a/", b"http://c/"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_e11_one_host_field(target: bytes, version: bytes) -> None:
    line = b"GET " + target + b" HTTP/" + version + b"\r\n"
    for hosts in itertools.product((b"a", b"b", b""), repeat=2):
        lines = b"".join(b"Host: " + host + b"\r\n" for host in hosts)
        refused(line + lines + b"\r\n" + SMUGGLED)


@pytest.mark.parametrize("target", [b"http://b/x", b"http://b:80/x", b"https://b/x"])
def test_e11_one_authority_for_the_application(target: bytes) -> None:
    """Where target and Host disagree there is one value, that of the target (RFC 9112 3.2.2)."""
    scheme, _, rest = target.partition(b"://")
    (head, _) = accepted(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nX-Host: c\r\n\r\n")
    assert head[4] == "/x"
    authority = rest.partition(b"/")[0].decode()
    assert head[5] == [(":scheme", scheme.decode()), (":authority", authority), ("x-host", "c")]


def test_e11_no_host_is_remembered_from_another_request() -> None:
    refused(get() + b"GET / HTTP/1.1\r\n\r\n" + SMUGGLED, heads=1)
    heads = accepted(get() + b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert [h[5] for h in heads if h[0] == "head"] == [FIELDS, FIELDS[:1]]


def test_e11_a_client_names_one_host() -> None:
    conn = asked()
    conn.data_received(OK)
    conn.take()
    for fields in (
        [],
        [(":authority", "a"), (":authority", "a")],
        [(":authority", "a"), ("host", "b")],
        [("host", "a"), ("Host", "b")],
        [(":authority", "a b")],
    ):
        with pytest.raises(raw.UsageError):
            conn.write_head(3, 0, "GET", "/", fields, True)
    with pytest.raises(raw.UsageError):
        conn.write_head(3, 0, "GET", "http://b/", FIELDS, True)
    assert conn.take() == b""
    conn.write_head(3, 0, "GET", "/", [(":authority", "a"), ("host", "a")], True)
    assert conn.take() == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


# -- E19 -------------------------------------------------------------------------------------------


def server(limits: Limits | None = None) -> Quiet:
    conn = Quiet(True, limits=limits)
    conn.connection_made(False)
    return conn


def client(limits: Limits | None = None) -> Quiet:
    conn = Quiet(False, limits=limits)
    conn.connection_made(False)
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    conn.take()
    return conn


Make = Callable[[Limits | None], Quiet]
LINE: dict[Make, bytes] = {server: b"GET / HTTP/1.1\r\nHost: a\r\n", client: b"HTTP/1.1 200 OK\r\n"}


def pour(conn: Recorder, piece: bytes, status: int, most: int) -> int:
    """How many of these it took to end the connection."""
    for number in range(most):
        try:
            conn.data_received(piece)
        except raw.ProtocolError as error:
            assert error.code == (status if conn.server_side else 0)
            answer = conn.take()
            assert answer.startswith(b"HTTP/1.1 %d " % status) == conn.server_side
            conn.data_received(piece)
            assert conn.take() == b""
            return number + 1
    raise AssertionError(f"{most} pieces and no end")


def test_e19_a_target_without_end() -> None:
    conn = server()
    conn.data_received(b"GET /")
    held = peak(lambda: pour(conn, b"a" * 1000, 414, 100))
    assert held < 100_000


@pytest.mark.parametrize("start", [b"", b"GET ", b"GET / HTTP/1.1"])
def test_e19_a_line_without_end_octet_by_octet(start: bytes) -> None:
    conn = server()
    feed(conn, start)
    status = 501 if start == b"" else 414
    assert pour(conn, b"a" if start != b"GET " else b"/", status, 20_000) == 16_386 - len(start)


def test_e19_a_status_line_without_end() -> None:
    conn = client()
    conn.data_received(b"HTTP/1.1 200 ")
    assert peak(lambda: pour(conn, b"a" * 1000, 0, 100)) < 100_000


@pytest.mark.parametrize("make", [server, client])
def test_e19_a_field_without_end(make: Make) -> None:
    for start in (b"X: ", b"X", b""):
        conn = make(None)
        conn.data_received(LINE[make] + start)
        held = peak(partial(pour, conn, b"a" * 1000, 431, 100))
        assert held < 100_000


@pytest.mark.parametrize("make", [server, client])
def test_e19_fields_without_end(make: Make) -> None:
    conn = make(None)
    conn.data_received(LINE[make])
    assert pour(conn, b"X: y\r\n", 431, 1000) in (256, 257)
    conn = make(None)
    conn.data_received(LINE[make])
    held = peak(lambda: pour(conn, b"X: " + b"y" * 9_000 + b"\r\n", 431, 100))
    assert held < 300_000
    conn = make(Limits(max_header_fields=None))
    conn.data_received(LINE[make])
    assert pour(conn, b"X:\r\n", 431, 10_000) <= 65_536 // 32 + 1


@pytest.mark.parametrize("make", [server, client])
def test_e19_bounds_can_be_set_and_switched_off(make: Make) -> None:
    off = Limits(max_line_size=None, max_header_list_size=None, max_header_fields=None)
    large = LINE[make] + b"X: " + b"y" * 100_000 + b"\r\n" + b"X: y\r\n" * 1000
    conn = make(off)
    conn.data_received(large + b"Content-Length: 0\r\n\r\n")
    for limits in (
        Limits(max_line_size=20),
        Limits(max_header_list_size=150),
        Limits(max_header_fields=2),
    ):
        conn = make(limits)
        conn.data_received(LINE[make] + b"X: yyyyyyyyyyy\r\n")
        assert pour(conn, b"X: yyyyyyyyyyyyyyyyyyyy\r\n", 431, 5) <= 4


@pytest.mark.parametrize("name", [b"Upgrade", b"Transfer-Encoding"])
@pytest.mark.parametrize("make", [server, client])
def test_e19_lists_of_many_lines(make: Make, name: bytes) -> None:
    """Those that are put together, which copies what was there."""
    conn = make(Limits(max_header_list_size=None, max_header_fields=None))
    conn.data_received(LINE[make])
    assert pour(conn, name + b": x\r\n", 400, 1000) == 1 + 1026 // 2
    if name == b"Upgrade":
        long = [b"Upgrade: " + b", ".join(b"protocol/%d" % i for i in range(100))]
        assert accepted(get(*long, b"X: y"))[0][5] == [*FIELDS, ("x", "y")]


def test_e19_empty_lines_before_a_request() -> None:
    assert pour(server(), b"\r\n", 400, 100) == 17
    assert accepted(b"\r\n" * 16 + get())[0][4] == "/"


def test_e19_honest_a_browser_with_180_cookies() -> None:
    cookies = b"; ".join(b"name%d=value-of-%d" % (i, i) for i in range(180))
    fields = [
        b"Cookie: " + cookies,
        b"User-Agent: " + b"x" * 200,
        *[b"Accept-%d: y" % i for i in range(20)],
    ]
    (head, _) = accepted(get(*fields, first=b"GET /" + b"q" * 4000 + b" HTTP/1.1"))
    assert head[5][2] == ("cookie", cookies.decode())


def test_e19_honest_a_response_with_many_cookies() -> None:
    lines = [b"Set-Cookie: n%d=%s; Path=/; Secure" % (i, b"v" * 200) for i in range(60)]
    (head, _) = received(asked, splitting.ok(*lines, b"Content-Length: 0"))
    assert len(head[5]) == 61


def test_e19_honest_many_requests_on_one_connection() -> None:
    """Bounds are of one head: a connection may carry any number."""
    conn = h1_server()
    for number in range(500):
        conn.data_received(get(b"X: " + b"y" * 1000))
        conn.write_head(2 * number + 1, 200, "", "", [], True)
    assert conn.error is None and len(conn.of("tail")) == 500


@pytest.mark.parametrize("digits", [5, 6, 19, 4_300, 4_301, 16_000])
def test_e11_ports_of_many_digits(digits: int) -> None:
    """`int()` raises ValueError for more than 4,300 of them."""
    port = b"9" * digits
    refused(b"CONNECT a:" + port + b" HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED)
    if digits > 5:
        refused(get(first=b"GET http://a:" + port + b"/ HTTP/1.1") + SMUGGLED)


@pytest.mark.parametrize("port", ["1" * 4_301, "\u00b2", "\u2460", "\u0663", "-1", "+1", "1_0"])
def test_e11_ports_that_an_application_must_not_send(port: str) -> None:
    """Some characters are digits to `str.isdigit()` and none to `int()`."""
    for http2 in (False, True):
        conn = raw.Connection(False)
        conn.connection_made(http2)
        with pytest.raises(raw.UsageError):
            conn.write_head(1, 0, "CONNECT", "", [(":authority", f"a:{port}")], True)
