"""Expect: 100-continue on the server side, when the client has not waited (RFC 9110 10.1.1)."""

import pytest

from tests.h1.wire import GET, answering, request, responses
from tests.support import each_way

FRAMED = {
    "length": (b"Content-Length: 1", b"x", b"/x"),
    "chunks": (b"Transfer-Encoding: chunked", b"1\r\nx\r\n0\r\n\r\n", b"/x"),
    "no chunks": (b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"/"),
    "chunks and trailers": (b"Transfer-Encoding: chunked", b"0\r\nX-A: b\r\n\r\n", b"/"),
}


@pytest.mark.parametrize("kind", FRAMED)
def test_the_connection_goes_on_once_the_body_has_come(kind: str) -> None:
    # > A server MAY omit sending a 100 (Continue) response if it has already received some or all
    # > of the content for the corresponding request
    framing, body, answer = FRAMED[kind]
    data = request(b"Host: a", framing, b"Expect: 100-continue", line=b"POST / HTTP/1.1", body=body)
    conn = each_way(answering, data + GET)
    assert [e[3] for e in conn.of("head")] == ["POST", "GET"]
    assert conn.of("close") == []
    first, second = responses(conn.take(), ["POST", "GET"])
    assert (first.body, second.body) == (answer, b"/")
    assert not first.closes
