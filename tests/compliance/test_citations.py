"""The `rule` of an error is the right section: for data that the application, or the peer, must not
send, in both protocols."""

from collections.abc import Callable

import pytest

from cno import raw
from tests import frames as f
from tests.h1.wire import FIELDS, asked
from tests.rows import each_row
from tests.support import (
    Recorder,
    client,
    client_with_request,
    h1_server,
    server,
    server_with_request,
)

Call = Callable[[raw.Connection], object]


def head(
    code: int, fields: list[tuple[str, str]] | None = None, final: bool = True, method: str = ""
) -> Call:
    path = "/" if method else ""
    return lambda conn: conn.write_head(1, code, method, path, fields or [], final)


def after(*calls: Call) -> Call:
    def call(conn: raw.Connection) -> None:
        for each in calls:
            each(conn)

    return call


#: What a server may not send, by the name of the protocol that it speaks.
RESPONSES: dict[str, tuple[Call, str, str]] = {
    "status 1000": (head(1000), "RFC 9110 15", "RFC 9110 15"),
    "status 99": (head(99), "RFC 9110 15", "RFC 9110 15"),
    "status 101": (head(101, final=False), "RFC 9110 7.8", "RFC 9113 8.6"),
    "twice": (after(head(200, final=False), head(200)), "RFC 9112 2.1", "RFC 9113 8.1"),
    "name": (head(200, [("x y", "z")]), "RFC 9110 5.1", "RFC 9113 8.2.1"),
    "value": (head(200, [("x", "y\n")]), "RFC 9110 5.5", "RFC 9113 8.2.1"),
    "pseudo": (head(200, [(":path", "/")]), "RFC 9112 5", "RFC 9113 8.3"),
    "length": (head(200, [("content-length", "x")]), "RFC 9110 8.6", "RFC 9110 8.6"),
    "two lengths": (head(200, [("content-length", "5")] * 2), "RFC 9110 8.6", "RFC 9110 8.6"),
    "length in trailers": (
        after(head(200, final=False), lambda c: c.write_tail(1, [("content-length", "5")])),
        "RFC 9110 6.5.1",
        "RFC 9110 6.5.1",
    ),
    "trailers first": (lambda c: c.write_tail(1, [("x", "y")]), "RFC 9112 7.1.2", "RFC 9113 8.1"),
}

#: What a client may not send in HTTP/2.
REQUESTS: dict[str, tuple[Call, str]] = {
    "method": (head(0, FIELDS, method="G T"), "RFC 9110 9.1"),
    "tunnel without authority": (lambda c: c.write_head(1, 0, "CONNECT", "", [], False), "8.5"),
    "extended, without authority": (
        lambda c: c.write_head(1, 0, "CONNECT", "/", [(":protocol", "x")], False),
        "RFC 8441 4",
    ),
}


def rule(call: Call, conn: raw.Connection) -> str:
    with pytest.raises(raw.UsageError) as caught:
        call(conn)
    return caught.value.rule


@each_row("name", RESPONSES)
def test_of_a_response(name: str) -> None:
    call, http1, http2 = RESPONSES[name]
    conn = h1_server()
    conn.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert rule(call, conn) == http1
    conn, _ = server_with_request()
    assert rule(call, conn) == http2


@pytest.mark.parametrize("name", REQUESTS)
def test_of_a_request(name: str) -> None:
    call, want = REQUESTS[name]
    conn, _ = client({f.ENABLE_CONNECT_PROTOCOL: 1})
    assert rule(call, conn).endswith(want)


#: Frames that end the connection of a client with a request on stream 1.
FRAMES: dict[str, tuple[bytes, str]] = {
    "GOAWAY": (f.frame(f.GOAWAY, 0, 0, bytes(7)), "RFC 9113 4.2"),
    "DATA without a pad length": (f.frame(f.DATA, f.PADDED, 1, b""), "RFC 9113 4.2"),
    "HEADERS without a pad length": (f.frame(f.HEADERS, f.PADDED, 1, b""), "RFC 9113 4.2"),
    "padding of DATA": (f.frame(f.DATA, f.PADDED, 1, b"\x05"), "RFC 9113 6.1"),
    "padding of HEADERS": (f.frame(f.HEADERS, f.PADDED, 1, b"\x05"), "RFC 9113 6.2"),
    "padding of PUSH_PROMISE": (
        f.frame(f.PUSH_PROMISE, f.PADDED, 1, b"\x05\0\0\0\x02"),
        "RFC 9113 6.6",
    ),
    "ENABLE_PUSH": (f.frame(f.SETTINGS, 0, 0, b"\0\2\0\0\0\2"), "RFC 9113 6.5.2"),
    "ENABLE_CONNECT_PROTOCOL": (f.frame(f.SETTINGS, 0, 0, b"\0\x08\0\0\0\2"), "RFC 8441 3"),
    "NO_RFC7540_PRIORITIES": (f.frame(f.SETTINGS, 0, 0, b"\0\x09\0\0\0\2"), "RFC 9218 2.1"),
}


def broken(conn: Recorder, data: bytes) -> str:
    with pytest.raises(raw.ProtocolError) as caught:
        conn.data_received(data)
    return caught.value.rule


@each_row("name", FRAMES)
def test_of_a_frame(name: str) -> None:
    data, want = FRAMES[name]
    conn, _ = client_with_request(configure={"enable_push": 1})
    assert broken(conn, data) == want


POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES: dict[str, tuple[bytes, str]] = {
    "request line": (b"GET  / HTTP/1.1\r\n", "RFC 9112 3"),
    "target": (b"GET /\xff HTTP/1.1\r\n", "RFC 9112 3.2"),
    "chunk size": (POST + b"x\r\n", "RFC 9112 7.1"),
    "chunk extension": (POST + b"1;=\r\n", "RFC 9112 7.1.1"),
}


@pytest.mark.parametrize("name", LINES)
def test_of_a_line(name: str) -> None:
    data, want = LINES[name]
    assert broken(h1_server(), data) == want


def test_of_a_status_line() -> None:
    assert broken(asked(), b"HTTP/1.1 200 O\0K\r\n") == "RFC 9112 4"


def test_of_our_own_settings() -> None:
    conn, _ = server()
    with pytest.raises(raw.UsageError) as caught:
        conn.configure(enable_connect_protocol=2)
    assert caught.value.rule == "RFC 8441 3"
