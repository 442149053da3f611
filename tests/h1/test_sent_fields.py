"""The same response again and again: what is kept of its fields must not change what is written.

Each response is compared with that of a connection on which it is the first one.
"""

from itertools import product

import pytest

from cno import raw
from cno.limits import Limits
from tests.support import Headers, Recorder, h1_server

TYPE = ("content-type", "text/plain")
TWO = ("content-length", "2")
DATE = ("date", "Sun, 06 Nov 1994 08:49:37 GMT")

LISTS: dict[str, Headers] = {
    "none": [],
    "type": [TYPE],
    "sized": [TYPE, TWO],
    "turned": [TWO, TYPE],
    "dated": [TYPE, TWO, DATE],
    "options": [TYPE, ("connection", "x-one"), ("x-one", "1")],
    "upgrade": [TYPE, ("upgrade", "x")],
    "te": [TYPE, ("te", "trailers")],
    "coded": [TYPE, ("transfer-encoding", "gzip, chunked")],
    "long": [("x-long", "x" * 3_000)],
    "capitals": [("X-One", "é")],
}
CODES = (200, 204, 304)


def answer(conn: Recorder, code: int, headers: Headers, method: str = "GET") -> bytes:
    """What a response to one more request becomes."""
    conn.receive(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    stream = conn.open_streams[-1]
    conn.take()
    conn.write_head(stream, code, "", "", headers, False)
    conn.write_data(stream, b"" if code != 200 else b"ok", True)
    return conn.take()


def first(code: int, headers: Headers, method: str = "GET") -> bytes:
    return answer(h1_server(), code, headers, method)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("other", LISTS)
def test_repeated(name: str, other: str) -> None:
    """One list three times, another one three times, and in turn."""
    conn = h1_server(limits=Limits(max_requests_per_connection=None))
    for each in [*[name] * 3, *[other] * 3, name, other, name, name, other]:
        assert answer(conn, 200, LISTS[each]) == first(200, LISTS[each])


@pytest.mark.parametrize(("code", "method"), list(product(CODES, ["GET", "HEAD"])))
def test_after_others_without_a_body(code: int, method: str) -> None:
    headers = [TYPE, TWO]
    conn = h1_server()
    for each in [200, 200, 200, code, 200, code, code, code, 200]:
        expected = first(each, headers, method)
        assert answer(conn, each, headers, method) == expected


def test_a_list_that_is_changed() -> None:
    conn = h1_server()
    headers = [TYPE, TWO]
    for _ in range(3):
        assert answer(conn, 200, headers) == first(200, headers)
    headers[0] = ("content-type", "text/html")
    assert b"text/html" in answer(conn, 200, headers)
    headers.append(("x-more", "1"))
    for _ in range(3):
        assert b"x-more: 1\r\n" in answer(conn, 200, headers)
    del headers[-1]
    for _ in range(3):
        assert b"x-more" not in answer(conn, 200, headers)


def test_what_is_refused_stays_refused() -> None:
    conn = h1_server()
    headers = [TYPE, ("x-one", "a\nb")]
    conn.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(4):
        with pytest.raises(raw.UsageError):
            conn.write_head(conn.open_streams[-1], 200, "", "", headers, False)
    assert conn.take() == b""
    conn.write_head(conn.open_streams[-1], 200, "", "", [TYPE], True)
    assert (
        conn.take() == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n"
    )


@pytest.mark.parametrize("length", ["1", "3"])
def test_a_length_holds_for_each(length: str) -> None:
    """What was kept of the length is the length of the next body, too."""
    conn = h1_server()
    headers = [TYPE, TWO]
    for _ in range(3):
        answer(conn, 200, headers)
    conn.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    conn.write_head(conn.open_streams[-1], 200, "", "", headers, False)
    with pytest.raises(raw.UsageError):
        conn.write_data(conn.open_streams[-1], b"x" * int(length), True)
