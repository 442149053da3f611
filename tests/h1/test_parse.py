"""The leaf functions of HTTP/1.1: start lines, field lines, targets, chunk-size lines.

They take bytes and return values or raise `ConnectionFault`, without a connection.
tests/compliance/test_9112_*.py test whole messages.
"""

import pytest

from cno.errors import ConnectionFault
from cno.h1 import body, parse, target
from tests.rows import each_row

ROOMY = (1 << 20, 1 << 20, 1 << 20, 32, 431)


def bounds(
    line: int = ROOMY[0], size: int = ROOMY[1], fields: int = ROOMY[2], overhead: int = 32
) -> parse.Bounds:
    return parse.Bounds(line, size, fields, overhead, 431)


# -- request lines ---------------------------------------------------------------------------------


def request_line(data: bytes, limit: parse.Bounds | None = None) -> tuple[int, parse.Head]:
    head = parse.Head(True, False)
    return parse.request_line(head, data, 0, len(data), limit or bounds()), head


@each_row(
    ("line", "method", "path", "minor"),
    [
        (b"GET / HTTP/1.1\r\n", "GET", "/", 1),
        (b"GET /x?y HTTP/1.0\r\n", "GET", "/x?y", 0),
        (b"x y HTTP/1.9\r\n", "x", "y", 9),
        (b"!#$%&'*+-.^_`|~ ! HTTP/1.2\r\n", "!#$%&'*+-.^_`|~", "!", 2),
        (b"CONNECT a:443 HTTP/1.1\r\n", "CONNECT", "a:443", 1),
    ],
)
def test_request_line(line: bytes, method: str, path: str, minor: int) -> None:
    end, head = request_line(line + b"Host: a\r\n")
    assert end == len(line)
    assert (head.method, head.target, head.minor) == (method, path, minor)


def test_request_line_in_the_middle_of_its_octets() -> None:
    line = b"GET /x HTTP/1.1\r\n"
    data = b"junk" + line + b"\n\r\n"
    head = parse.Head(True, False)
    end = parse.request_line(head, data, 4, 4 + len(line), bounds())
    assert end == 4 + len(line)
    assert (head.method, head.target) == ("GET", "/x")


@pytest.mark.parametrize("line", [b"GET /x?y HTTP/1.1\r\n", b"G", b"GET / HTTP/1.1", b"GET /a b"])
def test_request_line_that_has_not_come(line: bytes) -> None:
    for size in range(1, len(line)):
        end, head = request_line(line[:size])
        assert end == parse.INCOMPLETE
        assert (head.method, head.target) == ("", "")


@each_row(
    ("line", "status"),
    [
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1 \r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET\r\n", 400),
        (b"GET /# HTTP/1.1\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.x\r\n", 400),
        (b"GET / http/1.1\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET / HTTP/0.9\r\n", 505),
        (b" GET / HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"(", 400),
    ],
)
def test_request_line_refused(line: bytes, status: int) -> None:
    with pytest.raises(ConnectionFault) as fault:
        request_line(line)
    assert fault.value.code == status


def test_request_line_at_its_bound() -> None:
    line = b"GET /xxx HTTP/1.1"
    assert request_line(line + b"\r\n", bounds(line=len(line)))[0] == len(line) + 2
    # One octet may be the CR; that of a line still to be ended does not count.
    assert request_line(line + b"\r", bounds(line=len(line)))[0] == parse.INCOMPLETE
    for data in (line + b"\r\n", line + b"x", line + b"\r"):
        with pytest.raises(ConnectionFault) as fault:
            request_line(data, bounds(line=len(line) - 1))
        assert fault.value.code == 414


# -- status lines ----------------------------------------------------------------------------------


def status_line(data: bytes, limit: parse.Bounds | None = None) -> tuple[int, parse.Head]:
    head = parse.Head(False, False)
    return parse.status_line(head, data, 0, len(data), limit or bounds()), head


@each_row(
    ("line", "code", "minor"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200, 1),
        (b"HTTP/1.0 404 Not Found\r\n", 404, 0),
        (b"HTTP/1.1 100 \r\n", 100, 1),
        (b"HTTP/1.1 599\r\n", 599, 1),
        (b"HTTP/1.1 200 \xff\t\r\n", 200, 1),
    ],
)
def test_status_line(line: bytes, code: int, minor: int) -> None:
    end, head = status_line(line + b"X: y\r\n")
    assert (end, head.code, head.minor) == (len(line), code, minor)
    for size in range(1, len(line)):
        assert status_line(line[:size])[0] == parse.INCOMPLETE


@each_row(
    "line",
    [
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1 2x0 OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        b"HTTP/2.0 200 OK\r\n",
        b"HTTP/1.x 200 OK\r\n",
        b"http/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 O\rK\r\n",
        b"HTTP/1.1 200 \0\r\n",
        b"HTTP/1.1 200 \x7f\r\n",
        b"HTTP/1.1\r\n",
        b"H\r\n",
        b"H\n",
        b"\r\n",
        b"<",
    ],
)
def test_status_line_refused(line: bytes) -> None:
    with pytest.raises(ConnectionFault):
        status_line(line)


# -- field lines -----------------------------------------------------------------------------------


def field_lines(
    data: bytes,
    limit: parse.Bounds | None = None,
    *,
    request: bool = True,
    trailers: bool = False,
) -> tuple[int, parse.Head]:
    head = parse.Head(request, trailers)
    head.begun = True
    return parse.field_lines(head, data, 0, len(data), limit or bounds(), None), head


def fields(head: parse.Head) -> list[object]:
    """What is to be delivered."""
    return head.fields


def test_fields() -> None:
    data = b"A: b\r\nc:d\r\nE:\t f g \t\r\nH:\r\nA: \xc3\xa9\xff\r\n\r\n"
    end, head = field_lines(data + b"more")
    assert end == len(data)
    assert head.complete
    assert fields(head) == [
        ("a", "b"),
        ("c", "d"),
        ("e", "f g"),
        ("h", ""),
        ("a", "\xe9\udcff"),
    ]
    assert head.count == 5


def test_no_fields() -> None:
    end, head = field_lines(b"\r\n")
    assert (end, head.complete, fields(head)) == (2, True, [])


def test_fields_line_by_line() -> None:
    data = b"A: b\r\nContent-Length: 5\r\nC: \xc3\xa9\r\n\r\n"
    for size in range(len(data)):
        end, head = field_lines(data[:size])
        assert (head.complete, head.length in (5, parse.NO_LENGTH)) == (False, True)
        assert end == (data.rfind(b"\r\n", 0, size) + 2 if b"\r\n" in data[:size] else 0)
        # The rest, from there on, gives what the whole gives.
        rest = data[end:]
        parse.field_lines(head, rest, 0, len(rest), bounds(), None)
        assert head.complete and head.length == 5
        assert fields(head) == [("a", "b"), ("content-length", "5"), ("c", "\xe9")]


def test_fields_in_the_middle_of_their_octets() -> None:
    data = b"junkA: b\r\n\r\njunk"
    head = parse.Head(True, False)
    head.begun = True
    end = parse.field_lines(head, data, 4, len(data), bounds(), None)
    assert (end, fields(head)) == (12, [("a", "b")])


@each_row(
    "line",
    [
        b"A\r\n",
        b": b\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"\tA: b\r\n",
        b"A: b\n",
        b"\n",
        b"A: \0\r\n",
        b"A: \x7f\r\n",
        b"A: b\rc\r\n",
        b"A: b\r\r\n",
        b"A(: b\r\n",
        b"\xff: b\r\n",
        b"\r\r\n",
        b" \r\n",
        b"Host: a\r\nHost: a\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: \xd9\xa5\r\n",
        b"Content-Length:\r\n",
    ],
)
def test_fields_refused(line: bytes) -> None:
    for before in (b"", b"X: y\r\n"):
        with pytest.raises(ConnectionFault) as fault:
            field_lines(before + line + b"\r\n")
        assert fault.value.code == 400
        assert fault.value.rule.startswith("RFC 9112")


def test_bounds_of_a_line() -> None:
    line = b"A: " + b"b" * 17
    assert field_lines(line + b"\r\n\r\n", bounds(line=20))[1].complete
    for data in (line + b"b\r\n\r\n", line + b"bb"):
        with pytest.raises(ConnectionFault) as fault:
            field_lines(data, bounds(line=20))
        assert fault.value.code == 431


def test_bounds_of_a_section() -> None:
    data = b"A: b\r\n" * 4 + b"\r\n"
    assert field_lines(data, bounds(fields=4))[1].complete
    assert field_lines(data, bounds(size=4 * 36))[1].complete
    for limit in (bounds(fields=3), bounds(size=4 * 36 - 1)):
        with pytest.raises(ConnectionFault) as fault:
            field_lines(data, limit)
        assert fault.value.code == 431


def test_host_is_noted_and_not_delivered() -> None:
    _, head = field_lines(b"HOST: a:1\r\nX: y\r\n\r\n")
    assert (head.host, fields(head)) == ("a:1", [("x", "y")])
    _, head = field_lines(b"Host: a\r\n\r\n", request=False)
    assert (head.host, fields(head)) == (None, [("host", "a")])


def test_length_is_noted() -> None:
    assert field_lines(b"X: y\r\n\r\n")[1].length == parse.NO_LENGTH
    assert field_lines(b"Content-Length: 0\r\n\r\n")[1].length == 0
    assert field_lines(b"content-length:5\r\n\r\n")[1].length == 5
    most = 2**63 - 1
    assert field_lines(b"Content-Length: %d\r\n\r\n" % most)[1].length == most


def test_trailers_are_fields_like_others() -> None:
    _, head = field_lines(b"A: b\r\nContent-Length: 5\r\n\r\n", request=False, trailers=True)
    assert fields(head) == [("a", "b"), ("content-length", "5")]
    assert head.length == parse.NO_LENGTH


@each_row(
    ("value", "close", "keep", "upgrading", "named"),
    [
        (b"close", True, False, False, None),
        (b"Keep-Alive", False, True, False, None),
        (b"CLOSE, keep-alive", True, True, False, None),
        (b" , upgrade\t,X-A", False, False, True, {"x-a"}),
        (b"closed", False, False, False, {"closed"}),
        (b"", False, False, False, None),
    ],
)
def test_connection_options(
    value: bytes, close: bool, keep: bool, upgrading: bool, named: set[str] | None
) -> None:
    _, head = field_lines(b"Connection: " + value + b"\r\n\r\n")
    assert (head.close, head.keep_alive, head.upgrading) == (close, keep, upgrading)
    assert head.named == named
    assert fields(head) == []


def test_what_is_for_this_hop_only() -> None:
    data = (
        b"Connection: x-a, te, content-length\r\nX-A: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
        b"Proxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\nB: 2\r\n\r\n"
    )
    _, head = field_lines(data)
    assert not parse.asks_upgrade(head)
    assert parse.end_to_end(head) == [("te", "trailers"), ("content-length", "0"), ("b", "2")]
    _, head = field_lines(b"TE: gzip\r\nConnection: te\r\n\r\n")
    assert parse.end_to_end(head) == []


def test_an_upgrade_is_asked_for_by_two_fields() -> None:
    _, head = field_lines(b"Upgrade: a\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n")
    assert parse.asks_upgrade(head)
    assert (head.upgrade or "").replace(" ", "").split(",") == ["a", "b"]
    assert ("upgrade", "a") in parse.end_to_end(head)
    head.minor = 0
    assert not parse.asks_upgrade(head)


@each_row(
    ("lines", "outcome"),
    [
        ((b"chunked",), True),
        ((b"CHUNKED",), True),
        ((b" ,chunked",), 400),
        ((b"chunked, ",), 400),
        ((b"", b"chunked"), 400),
        ((b"chunked, gzip",), False),
        ((b"xchunked",), False),
        ((b"identity",), False),
        ((b"",), 400),
        ((b"chunked;q=1",), False),
        ((b"chunked\xa0",), False),
        ((b"chun\xe2\x84\xaaed",), False),
        ((b"gzip, chunked",), 501),
        ((b"gzip", b"chunked"), 501),
        ((b"chunked", b"chunked"), 400),
        ((b"chunked, gzip, chunked",), 400),
    ],
)
def test_codings(lines: tuple[bytes, ...], outcome: bool | int) -> None:
    _, head = field_lines(b"".join(b"Transfer-Encoding: %b\r\n" % x for x in lines) + b"\r\n")
    assert fields(head) == []
    if isinstance(outcome, bool):
        assert parse.is_chunked(head) is outcome
        return
    with pytest.raises(ConnectionFault) as fault:
        parse.is_chunked(head)
    assert fault.value.code == outcome


# -- targets ---------------------------------------------------------------------------------------


@each_row(
    ("method", "text", "scheme", "authority", "path"),
    [
        ("GET", "/x?y", None, None, "/x?y"),
        ("GET", "//b", None, None, "//b"),
        ("OPTIONS", "*", None, None, "*"),
        ("CONNECT", "b:1", None, "b:1", ""),
        ("CONNECT", "[::1]:443", None, "[::1]:443", ""),
        ("GET", "http://b/x", "http", "b", "/x"),
        ("GET", "HTTPS://b:1?y", "https", "b:1", "/?y"),
        ("GET", "http://b", "http", "b", "/"),
        ("GET", "http://b/?http://c/", "http", "b", "/?http://c/"),
        ("OPTIONS", "http://b", "http", "b", "*"),
    ],
)
def test_targets(
    method: str, text: str, scheme: str | None, authority: str | None, path: str
) -> None:
    it = target.split(method, text)
    assert (it.scheme, it.authority, it.path) == (scheme, authority, path)


@each_row(
    ("method", "text"),
    [
        ("GET", "*"),
        ("GET", "x"),
        ("GET", "b:80"),
        ("GET", "http:/b"),
        ("GET", "http://"),
        ("GET", "http:///x"),
        ("GET", "http://u@b/"),
        ("GET", "://b/"),
        ("GET", "1http://b/"),
        ("CONNECT", "/"),
        ("CONNECT", "b"),
        ("CONNECT", "b:"),
        ("CONNECT", ":80"),
        ("CONNECT", "b:99999"),
        ("CONNECT", "b:-1"),
        ("CONNECT", "http://b:80"),
    ],
)
def test_targets_refused(method: str, text: str) -> None:
    with pytest.raises(ConnectionFault) as fault:
        target.split(method, text)
    assert fault.value.code == 400


# -- chunk-size lines ------------------------------------------------------------------------------


def size_line(line: bytes) -> int:
    return sized(b"junk" + line + b"\r\nmore", 4, 4 + len(line) + 1)


def sized(data: bytes, start: int, lf: int) -> int:
    return body.size_line(data, start, body.digits(data, start, lf), lf)


@each_row(
    ("line", "size"),
    [
        (b"0", 0),
        (b"5", 5),
        (b"aF", 0xAF),
        (b"0000000000000005", 5),
        (b"7fffffffffffffff", 2**63 - 1),
        (b"5;a", 5),
        (b'5 ; a = "b\\"c" ; d', 5),
        (b"5;a=b;c", 5),
    ],
)
def test_size_line(line: bytes, size: int) -> None:
    assert size_line(line) == size


@each_row(
    "line",
    [
        b"",
        b" 5",
        b"+5",
        b"0x5",
        b"5_0",
        b"g",
        b"\xb5",
        b"8000000000000000",
        b"00000000000000005",
        b"5;",
        b"5;a=",
        b'5;a="b',
        b'5;a="b\\',
        b'5;a="b\\"',
        b"5;a\r",
        b"5;a\0",
        b'5;a="\n"',
        b"5 a",
        b"5;a b",
        b"5\x0b",
        b"5;a\x0c",
    ],
)
def test_size_line_refused(line: bytes) -> None:
    with pytest.raises(ConnectionFault) as fault:
        size_line(line)
    assert fault.value.code == 400


def test_size_line_that_ends_with_lf_alone() -> None:
    for data, lf in ((b"5\n", 1), (b"\n", 0), (b"\r\n", 1), (b"5;a\n", 3)):
        with pytest.raises(ConnectionFault):
            sized(data, 0, lf)


@each_row(
    ("data", "count"),
    [(b"", 0), (b"g", 0), (b"12g", 2), (b"aFz", 2), (b"09AFaf", 6), (b"@G`/:", 0)],
)
def test_digits(data: bytes, count: int) -> None:
    assert body.digits(data, 0, len(data)) == count
    assert body.digits(b"f" + data + b"f", 1, 1 + len(data)) == count
