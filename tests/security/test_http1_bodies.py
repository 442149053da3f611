"""Rows E1 to E8 and E12: where a body ends, and what may stand around its chunks, in both roles.

The variants are in the corpora (`smuggling`, `splitting`); here are the bounds, what is held while
a flood comes, and what honest peers send of the same shape.
"""

from collections.abc import Callable

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
    received,
    refused,
    responses,
)
from tests.security import splitting
from tests.security.floods import Quiet, peak
from tests.security.smuggling import get, post, te
from tests.support import Recorder, feed, h1_client, h1_server

END = b"0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return te(b" chunked", body=body)


def sized(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (n, b"x" * n) for n in sizes) + END


# -- E1 to E4 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1", b"GET / HTTP/1.1", b"PUT / HTTP/1.9"])
@pytest.mark.parametrize("turned", [False, True])
def test_e01_no_request_with_both_keeps_its_connection(first: bytes, turned: bool) -> None:
    lines = [b"Content-Length: 5", b"Transfer-Encoding: chunked"]
    conn = refused(post(*lines[:: -1 if turned else 1], body=END, first=first) + SMUGGLED)
    assert conn.of("head") == []


def test_e01_a_response_with_both_is_not_delivered() -> None:
    for data in (
        splitting.cl(b" 5", b"Transfer-Encoding: chunked"),
        splitting.te(b" chunked", b"Content-Length: 5"),
    ):
        assert client_fails(asked, data).of("head", "data") == []


def test_e01_earlier_requests_are_answered_first() -> None:
    conn = h1_server()
    feed(conn, get() + post(b"Content-Length: 1", b"Transfer-Encoding: chunked", body=END))
    assert conn.error is None and conn.take() == b""
    conn.write_head(1, 200, "", "", [], True)
    assert [(r.code, r.closes) for r in responses(conn.take())] == [(200, False), (400, True)]
    assert conn.of("close") == [("close",)]


@pytest.mark.parametrize("value", [b"chunked", b"CHUNKED", b"Chunked", b"\tchunked "])
def test_e02_honest_chunked_in_any_case(value: bytes) -> None:
    wire = te(b" " + value, body=sized(5))
    assert accepted(wire)[1:] == [("data", 1, b"xxxxx"), ("tail", 1, None)]
    assert received(asked, splitting.te(b" " + value, body=sized(5)))[1:] == [
        ("data", 1, b"xxxxx"),
        ("tail", 1, None),
    ]


@pytest.mark.parametrize("keep", [b"Connection: keep-alive", b"X: y"])
def test_e03_chunked_in_http_1_0(keep: bytes) -> None:
    lines = (b"Transfer-Encoding: chunked", keep)
    refused(post(*lines, body=END, first=b"POST / HTTP/1.0") + SMUGGLED)
    client_fails(asked, splitting.ok(*lines, body=END, first=b"HTTP/1.0 200 OK"))


def test_e03_honest_a_length_in_http_1_0() -> None:
    wire = post(b"Content-Length: 5", body=b"hello", first=b"POST / HTTP/1.0")
    assert accepted(wire)[1:] == [("data", 1, b"hello"), ("tail", 1, None)]


def test_e04_the_largest_length_and_the_next() -> None:
    conn = answering()
    conn.data_received(post(b"Content-Length: 9223372036854775807", body=b"x"))
    assert conn.of("data") == [("data", 1, b"x")]
    refused(post(b"Content-Length: 9223372036854775808", body=b"x"))
    client_fails(asked, splitting.cl(b" 9223372036854775808"))


def test_e04_a_request_without_length_has_no_body() -> None:
    """CL.0: what follows is the next request, for us as for everybody."""
    conn = answering()
    feed(conn, post() + b"\0body" + SMUGGLED)
    assert conn.error is not None and conn.error.code == 400
    assert [h[4] for h in conn.of("head")] == ["/"]


# -- E5 to E8 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "fine"),
    [
        (b"1" + b"0" * 15, True),
        (b"7" + b"f" * 15, True),
        (b"8" + b"0" * 15, False),
        (b"f" * 16, False),
        (b"0" * 16 + b"1", False),
        (b"1" + b"0" * 16, False),
        (b"0" * 4096 + b"1", False),
    ],
)
def test_e05_sizes_of_16_digits_and_more(size: bytes, fine: bool) -> None:
    for conn, wire in (
        (answering(), chunked(size + b"\r\nx")),
        (asked(), splitting.te(b" chunked", body=size + b"\r\nx")),
    ):
        feed(conn, wire)
        if fine:
            assert conn.error is None and conn.of("data") == [("data", 1, b"x")]
        else:
            assert conn.error is not None and conn.of("data") == []
            assert conn.error.code == (400 if conn.server_side else 0)


@pytest.mark.parametrize(
    "end",
    [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b";\n", b";x\n", b';x="\n"\r\n', b";x\r\r\n"],
)
def test_e06_e07_size_lines_end_in_one_way(end: bytes) -> None:
    body = b"2" + end + b"xx\r\n" + END
    refused(chunked(body) + SMUGGLED, heads=1)
    client_fails(asked, splitting.te(b" chunked", body=body + splitting.SPLIT))


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n\r", b"\r\r\n", b"xx", b"", b"\r\n\r\n"])
def test_e07_chunks_end_in_one_way(end: bytes) -> None:
    body = b"2\r\nxx" + end + END
    conn = refused(chunked(body) + SMUGGLED, heads=1)
    assert conn.of("data") == [("data", 1, b"xx")]
    conn = client_fails(asked, splitting.te(b" chunked", body=body + splitting.SPLIT))
    assert conn.of("data") == [("data", 1, b"xx")]


def test_e07_honest_what_looks_like_an_end_inside() -> None:
    inside = b"\r\n0\r\n\r\n\n\r" + SMUGGLED
    wire = b"%x\r\n%s\r\n" % (len(inside), inside) + END
    assert accepted(chunked(wire))[1:] == [("data", 1, inside), ("tail", 1, None)]


def server() -> Quiet:
    conn = Quiet(True)
    conn.connection_made(False)
    conn.data_received(chunked(b""))
    return conn


def client() -> Quiet:
    conn = Quiet(False)
    conn.connection_made(False)
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    conn.take()
    conn.data_received(splitting.te(b" chunked", body=b""))
    return conn


def pour(conn: Recorder, piece: bytes, most: int) -> int:
    """How many of these it took to end the connection."""
    for number in range(most):
        try:
            conn.data_received(piece)
        except raw.ProtocolError as error:
            assert error.code == (400 if conn.server_side else 0)
            return number + 1
    raise AssertionError(f"{most} pieces and no end")


@pytest.mark.parametrize("make", [server, client])
def test_e08_extensions_of_all_chunks_together(make: Callable[[], Quiet]) -> None:
    """One octet of content costs a hundred of extension: the sum is bounded, not each alone."""
    piece = b"1;" + b"a" * 99 + b"\r\nx\r\n"
    assert pour(make(), piece, 1000) == (16_384 - 100) // 99 + 2
    assert pour(make(), b"1;a" + b"a" * 98 + b"=b\r\nx\r\n", 1000) == (16_384 - 102) // 101 + 2


@pytest.mark.parametrize("make", [server, client])
@pytest.mark.parametrize("piece", [b"a", b";a", b'"', b"0", b" "])
def test_e08_a_size_line_without_an_end(make: Callable[[], Quiet], piece: bytes) -> None:
    conn = make()
    held = peak(lambda: pour(conn, piece * 100, 1000))
    assert held < 200_000


@pytest.mark.parametrize("make", [server, client])
def test_e08_trailers_without_an_end(make: Callable[[], Quiet]) -> None:
    conn = make()
    conn.data_received(b"0\r\n")
    assert pour(conn, b"X: y\r\n", 1000) == 65
    conn = make()
    conn.data_received(b"0\r\n")
    assert peak(lambda: pour(conn, b"X: " + b"y" * 997 + b"\r\n", 1000)) < 200_000
    conn = make()
    conn.data_received(b"0\r\n")
    assert pour(conn, b"x" * 1000, 1000) == 17


@pytest.mark.parametrize("make", [server, client])
def test_e08_bounds_can_be_set_and_switched_off(make: Callable[[], Quiet]) -> None:
    for limits, body in (
        (Limits(max_chunk_ext_size=10), b"1;aaaaaaaaaa\r\nx\r\n"),
        (Limits(max_trailer_size=10), b"0\r\nX: yyyyyyyyyyy\r\n"),
        (Limits(max_trailer_fields=1), b"0\r\nX: y\r\nX: y\r\n"),
    ):
        for bound, given in ((True, limits), (False, FREE)):
            conn = h1_server(limits=given) if make is server else h1_client(limits=given)
            if make is client:
                conn.write_head(1, 0, "GET", "/", FIELDS, True)
            head = chunked(b"") if make is server else splitting.te(b" chunked", body=b"")
            feed(conn, head + body)
            assert (conn.error is not None) == bound


FREE = Limits(max_chunk_ext_size=None, max_trailer_size=None, max_trailer_fields=None)


@pytest.mark.parametrize("make", [server, client])
def test_e08_honest_a_signature_for_each_chunk(make: Callable[[], Quiet]) -> None:
    """10 MB, 82 octets of extension for each 64 KiB, and a few trailers."""
    conn = make()
    line = b"10000;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(150):
        conn.data_received(line)
    conn.data_received(b"0\r\nX-Checksum: " + b"a" * 64 + b"\r\nX-Signature: b\r\n\r\n")
    assert conn.take() == b""


@pytest.mark.parametrize("make", [server, client])
def test_e08_honest_a_chat_of_tiny_chunks(make: Callable[[], Quiet]) -> None:
    conn = make()
    for _ in range(5000):
        conn.data_received(b"1\r\nx\r\n")
    conn.data_received(END)


# -- E12 -------------------------------------------------------------------------------------------


def test_e12_trailers_are_no_fields_of_the_head() -> None:
    """Announced by name, delivered apart: the head's list stays as it was."""
    wire = te(b" chunked", b"Trailer: x-user", b"X-User: a", body=b"0\r\nX-User: b\r\n\r\n")
    events = accepted(wire)
    assert events == [
        ("head", 1, 0, "POST", "/", [*FIELDS, ("trailer", "x-user"), ("x-user", "a")]),
        ("tail", 1, [("x-user", "b")]),
    ]


def test_e12_honest_trailers() -> None:
    lines = b"Server-Timing: a\r\nDigest: b\r\nGrpc-Status: 0\r\n"
    want = [("server-timing", "a"), ("digest", "b"), ("grpc-status", "0")]
    body = b"0\r\n" + lines + b"\r\n"
    assert accepted(chunked(body))[-1] == ("tail", 1, want)
    assert received(asked, splitting.te(b" chunked", body=body))[-1] == ("tail", 1, want)
