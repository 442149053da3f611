"""Rows E13 and E14: data of the application never becomes something else on the wire.

For any text, either UsageError is raised, nothing is written and the connection continues; or an
independent strict parser reads exactly what was passed from the output. In both roles and both
protocols.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cno import raw
from tests.h1.wire import FIELDS, GET, Written, requests, respond, responses
from tests.support import (
    HEADERS,
    PUSH_PROMISE,
    Headers,
    Recorder,
    client,
    h1_client,
    h1_server,
    read_blocks,
    server,
    server_with_request,
)
from tests.support import REQUEST as H2_REQUEST

T = TypeVar("T")

#: What parsers disagree on, amid what they do not.
ODD = st.sampled_from(
    [
        *"\0\t\n\v\f\r\x1b\x1c\x1d\x1e\x1f \x7f\x80\x85\xa0\xad\xff",
        *"\u0131\u017f\u212a\u2028\u2029\ufeff\ud800\udc0a\udc0d\udc80\udcff\U0001f600\u010d",
        *':;,="()<>@[]{}\\|^`#%/?*',
        *["\r\n", "\r\n ", "\r\nX: y", "\r\n\r\n", " HTTP/1.1\r\n", "aa", "Z9", "://a/", "chunked"],
    ]
)
TEXT = st.lists(st.one_of(ODD, st.text(max_size=2)), max_size=4).map("".join)
NAMES = st.one_of(
    TEXT,
    st.sampled_from(
        [
            *("x", "X-Y", "set-cookie", "Content-Type", "host", "Host", "te", "upgrade", "expect"),
            *("content-length", "transfer-encoding", "connection", ":path", ":status", "trailer"),
            *("Content-Length", "keep-alive", "proxy-connection", ":authority", ":x", "cookie"),
        ]
    ),
)
VALUES = st.one_of(
    TEXT, st.sampled_from(["", "y", "0", "5", "chunked", "gzip", "close", "a", "trailers", "\xe9"])
)
LISTS: st.SearchStrategy[Headers] = st.lists(st.tuples(NAMES, VALUES), max_size=3)

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")

#: Fields that say how a message is framed, or concern the connection: they may be added, dropped,
#: moved or merged, as the protocol has it.
OURS = {
    *("content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection"),
    *("upgrade", "te", "host"),
}


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def sendable(fields: Headers) -> bool:
    """Whether all of these are what RFC 9110 5.1 and 5.5 call names and values."""
    try:
        return all(
            _TOKEN.fullmatch(octets(name)) and _VALUE.fullmatch(octets(value))
            for name, value in fields
        )
    except UnicodeEncodeError:
        return False


def theirs(fields: Headers) -> Headers:
    """Those fields that must arrive exactly as they were passed."""
    return [(n.lower(), v) for n, v in fields if n.lower() not in OURS and not n.startswith(":")]


def refused(conn: Recorder, call: Callable[[], T]) -> T | None:
    """None if the call raised UsageError, which then has left no trace."""
    conn.take()
    conn.events.clear()
    try:
        return call()
    except raw.UsageError as error:
        assert error.errno == raw.CNO_ERRNO_ASSERTION
        assert conn.take() == b""
        assert conn.events == []
        return None


# -- HTTP/1.1 --------------------------------------------------------------------------------------


@given(
    method=st.one_of(TEXT, st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "HEAD", "get"])),
    path=st.one_of(TEXT, TEXT.map("/".__add__), st.sampled_from(["*", "", "http://a/", "/x"])),
    authority=st.one_of(TEXT, st.sampled_from(["a", "a:1", "[::1]", ""])),
    fields=LISTS,
    final=st.booleans(),
)
@example("GET", "/ HTTP/1.1\r\nX: y", "a", [], True)
@example("GET", "/", "a\r\nX: y", [], True)
@example("GET", "/", "a", [("x", "y\r\nTransfer-Encoding: chunked")], True)
@example("GET", "/", "a", [("x: y\r\nz", "")], True)
@example("GET", "/", "a", [("coo\u212aie", "")], True)
@example("GET", "/", "a", [("proxy-connection", "\0")], True)
@example("GET", "/", "a", [(":scheme", "\0")], True)
@example("GET", "/", "a", [("connection", "content-length"), ("content-length", "5")], False)
def test_e13_requests(method: str, path: str, authority: str, fields: Headers, final: bool) -> None:
    conn = h1_client()

    def write() -> Written:
        conn.write_head(1, 0, method, path, [(":authority", authority), *fields], final)
        data = conn.take()
        if b"\r\ntransfer-encoding:" in data:
            conn.write_data(1, b"", True)
            data += conn.take()
        elif not final and method != "CONNECT":
            length = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", data)
            assert length, data
            data += b"x" * int(length[1]) if int(length[1]) < 9 else b""
            if int(length[1]) > 8:
                return requests(data.replace(length[0], b"\r\n"))[0]
        (written,) = requests(data)
        return written

    written = refused(conn, write)
    if written is None:
        conn.write_head(1, 0, "GET", "/fine", FIELDS, True)
        assert conn.take() == b"GET /fine HTTP/1.1\r\nhost: a\r\n\r\n"
        return
    assert sendable([f for f in fields if not f[0].startswith(":")])
    assert all(re.fullmatch(r"[!-~]*", v) for n, v in fields if n.startswith(":"))
    target = authority if method == "CONNECT" else path or ("*" if method == "OPTIONS" else "/")
    assert written.start == f"{method} {target} HTTP/1.1"
    assert written.fields[0] == ("host", authority)
    assert theirs(written.fields) == theirs(fields)
    assert re.fullmatch(r"[\x21-\x7e]+", target) and "#" not in target


@given(
    code=st.one_of(st.integers(-5, 1100), st.sampled_from([100, 101, 103, 200, 204, 304, 404])),
    reason=TEXT,
    fields=LISTS,
    final=st.booleans(),
)
@example(200, "OK\r\nX: y", [], True)
@example(200, "", [("location", "/\r\nSet-Cookie: a=b")], True)
@example(200, "", [("x", "\udc0d\udc0a")], True)
@example(204, "", [("content-length", "5"), ("transfer-encoding", "chunked")], True)
def test_e13_responses(code: int, reason: str, fields: Headers, final: bool) -> None:
    conn = h1_server()
    conn.data_received(GET)

    def write() -> Written:
        conn.write_head(1, code, reason, "", fields, final)
        data = conn.take()
        if code >= 200 and not final and b"\r\ntransfer-encoding:" in data:
            conn.write_data(1, b"", True)
            data += conn.take()
        head, _, _ = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: ([0-9]+)$|\r\ncontent-length: ([0-9]+)\r\n", head)
        if length and code not in (204, 304) and code >= 200:
            data = data.replace(length[0], length[0][-2:] if length[2] else b"")
        if code > 599:
            data = data.replace(b" %d " % code, b" 599 ", 1)
        (written,) = responses(data)
        return written

    written = refused(conn, write)
    if written is None:
        respond(conn, body=b"fine")
        assert [(r.code, r.body) for r in responses(conn.take())] == [(200, b"fine")]
        return
    assert sendable(fields)
    assert written.code == min(code, 599)
    assert written.reason == reason or reason == ""
    assert theirs(written.fields) == theirs(fields)
    assert 100 <= code <= 999
    if code < 200 or code == 204:
        assert not written.all("content-length") and not written.all("transfer-encoding")


@given(trailers=LISTS, chunk=st.binary(max_size=20))
@example([("x", "y\r\n\r\nHTTP/1.1 200 OK")], b"")
@example([("content-length", "5")], b"x")
def test_e13_trailers(trailers: Headers, chunk: bytes) -> None:
    """Of a response and of a request, behind content that looks like anything."""
    serving = h1_server()
    serving.data_received(GET)
    serving.write_head(1, 200, "", "", [], False)
    asking = h1_client()
    asking.write_head(1, 0, "PUT", "/", FIELDS, False)
    for conn, read in ((serving, responses), (asking, requests)):
        start = conn.take()
        conn.write_data(1, chunk, False)
        start += conn.take()
        conn.events.clear()

        def write(conn: Recorder = conn) -> bytes:
            conn.write_tail(1, trailers)
            return conn.take()

        end = refused(conn, write)
        if end is None:
            conn.write_tail(1, [("fine", "yes")])
            (written,) = read(start + conn.take())
            assert (written.body, written.trailers) == (chunk, [("fine", "yes")])
        else:
            assert sendable(trailers)
            (written,) = read(start + end)
            assert written.body == chunk
            assert (written.trailers or []) == [(n.lower(), v) for n, v in trailers]
            assert not {n.lower() for n, _ in trailers} & OURS


@given(pieces=st.lists(st.binary(max_size=30), max_size=5), length=st.integers(0, 60))
def test_e13_content_is_never_framing(pieces: list[bytes], length: int) -> None:
    """More or less than was declared is refused before any of it is written."""
    conn = h1_server()
    conn.data_received(GET)
    conn.write_head(1, 200, "", "", [("content-length", str(length))], False)
    out, left = conn.take(), length
    for piece in pieces:
        if refused(conn, partial(conn.write_data, 1, piece, False)) is None:
            assert len(piece) > left
        else:
            left -= len(piece)
            out += conn.take()
    if left:
        assert refused(conn, lambda: conn.write_data(1, b"", True)) is None
        assert refused(conn, lambda: conn.write_tail(1, [])) is None
    conn.write_data(1, b"x" * left, True)
    (written,) = responses(out + conn.take())
    assert len(written.body) == length


# -- HTTP/2 ----------------------------------------------------------------------------------------


def block(conn: Recorder) -> tuple[int, Headers]:
    """The one field block that was written, as the peer's HPACK decoder reads it."""
    (found,) = read_blocks(conn)
    return found


def well_formed(fields: Headers) -> bool:
    """Whether a peer must not call this malformed (RFC 9113 8.2.1), pseudo-header fields first."""
    pseudo = [n for n, _ in fields if n.startswith(":")]
    regular = [f for f in fields if not f[0].startswith(":")]
    return (
        [n for n, _ in fields[: len(pseudo)]] == pseudo
        and len(set(pseudo)) == len(pseudo)
        and sendable(regular)
        and all(n == n.lower() for n, _ in regular)
        and not {n for n, _ in regular} & (OURS - {"te", "content-length", "host"})
    )


@given(
    method=st.one_of(TEXT, st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "HEAD", "get"])),
    path=st.one_of(TEXT, TEXT.map("/".__add__), st.sampled_from(["*", "", "http://a/", "/x"])),
    authority=st.one_of(TEXT, st.sampled_from(["a", "a:1", "[::1]", ""])),
    scheme=st.one_of(TEXT, st.sampled_from(["http", "https"])),
    fields=LISTS,
    final=st.booleans(),
)
@example("GET", "/ HTTP/1.1\r\nX: y", "a", "http", [], True)
@example("GET", "/", "a", "http://b/?", [], True)
@example("GET", "/", "a", "http", [("x", "y\r\nz: a")], True)
def test_e13_e14_requests(
    method: str, path: str, authority: str, scheme: str, fields: Headers, final: bool
) -> None:
    conn, _ = client()

    def write() -> tuple[int, Headers]:
        head = [(":authority", authority), (":scheme", scheme), *fields]
        conn.write_head(1, 0, method, path, head, final)
        return block(conn)

    written = refused(conn, write)
    if written is None:
        conn.write_head(1, 0, "GET", "/", FIELDS, True)
        assert block(conn) == (
            1,
            [H2_REQUEST[0], (":scheme", "http"), (":authority", "a"), (":path", "/")],
        )
        return
    _, got = written
    pseudo = dict(f for f in got if f[0].startswith(":"))
    assert well_formed(got)
    assert theirs(got) == theirs(fields)
    assert pseudo[":method"] == method and _TOKEN.fullmatch(octets(method))
    assert re.fullmatch(r"[!-~]*", "".join(pseudo.values()))
    if method != "CONNECT":
        assert pseudo[":path"] == (path or ("*" if method == "OPTIONS" else "/"))


@given(
    code=st.one_of(st.integers(-5, 1100), st.sampled_from([100, 103, 200, 204, 304])),
    fields=LISTS,
    final=st.booleans(),
)
@example(200, [("location", "/\r\nSet-Cookie: a=b")], True)
@example(200, [("Set-Cookie", "a\0b")], True)
@example(200, [("Set-Coo\u212aie", "ab")], True)
def test_e13_e14_responses(code: int, fields: Headers, final: bool) -> None:
    conn, _ = server_with_request(end_stream=True)

    def write() -> tuple[int, Headers]:
        conn.write_head(1, code, "reason\r\n", "", fields, final)
        return block(conn)

    written = refused(conn, write)
    if written is None:
        conn.write_head(1, 204, "", "", [("x", "y")], True)
        assert block(conn) == (1, [(":status", "204"), ("x", "y")])
        return
    assert written[1][0] == (":status", str(code))
    assert sendable(fields) and well_formed(written[1])
    assert theirs(written[1]) == theirs(fields)


@given(trailers=LISTS)
@example([("x", "y\r\n")])
@example([("coo\u212aie", "y")])
def test_e13_e14_trailers(trailers: Headers) -> None:
    conn, _ = server_with_request(end_stream=True)
    conn.write_head(1, 200, "", "", [], False)
    read_blocks(conn)

    def write() -> Headers:
        conn.write_tail(1, trailers)
        return [f for _, fields in read_blocks(conn) for f in fields]

    written = refused(conn, write)
    if written is None:
        conn.write_tail(1, [("fine", "yes")])
        assert block(conn) == (1, [("fine", "yes")])
    else:
        assert sendable(trailers)
        assert well_formed(written)
        assert theirs(written) == theirs(trailers)


@given(
    method=st.one_of(TEXT, st.sampled_from(["GET", "HEAD"])),
    path=st.one_of(TEXT.map("/".__add__), TEXT),
    fields=LISTS,
)
@example("GET", "/\r\n", [])
def test_e13_e14_pushes(method: str, path: str, fields: Headers) -> None:
    conn, _ = server_with_request(end_stream=True, settings={2: 1})

    def write() -> list[tuple[int, Headers]]:
        conn.write_push(1, method, path, [(":authority", "a"), *fields])
        return read_blocks(conn)

    written = refused(conn, write)
    if written is None:
        conn.write_push(1, "GET", "/fine", [(":authority", "a")])
        ((stream, got),) = read_blocks(conn)
        assert (stream, got[0], got[-1]) == (1, (":method", "GET"), (":path", "/fine"))
        return
    for _, got in written:
        assert well_formed(got)
        assert theirs(got) == theirs(fields)
        assert dict(got)[":path"] == (path or "/")


# -- by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["content-length", "Transfer-Encoding", "x, host", "HOST"])
def test_e13_options_that_would_strip_what_frames_or_routes(option: str) -> None:
    fields: Headers = [*FIELDS, ("connection", option)]
    conn = h1_client()
    assert refused(conn, partial(conn.write_head, 1, 0, "GET", "/", fields, True)) is None
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    conn = h1_server()
    conn.data_received(GET)
    assert refused(conn, partial(conn.write_head, 1, 200, "", "", fields[2:], True)) is None
    respond(conn, 1)


def test_e13_a_refused_write_is_the_only_one_lost() -> None:
    """Amid others that are collected: what was written before stays, what comes after follows."""
    conn = h1_server()
    conn.data_received(GET * 2)
    conn.cork()
    respond(conn, 1, body=b"one")
    for bad in ([("x", "\n")], [("a", "b"), ("c d", "e")], [("content-length", "x")]):
        with pytest.raises(raw.UsageError):
            conn.write_head(3, 200, "", "", bad, True)
    conn.write_head(3, 200, "", "", [("connection", "x"), ("y", "z")], True)
    conn.uncork()
    first, second = responses(conn.take())
    assert first.body == b"one"
    assert second.fields == [("connection", "x"), ("y", "z"), ("content-length", "0")]


@pytest.mark.parametrize("kind", [HEADERS, PUSH_PROMISE])
def test_e13_a_refused_write_leaves_hpack_as_it_was(kind: int) -> None:
    conn, _ = server({2: 1})
    conn.data_received(conn.peer.headers(1, H2_REQUEST, end_stream=True))
    conn.take()
    for _ in range(3):
        bad: Headers = [("x-new", "value"), ("y", "\r\n")]
        if kind == HEADERS:
            with pytest.raises(raw.UsageError):
                conn.write_head(1, 200, "", "", bad, False)
        else:
            with pytest.raises(raw.UsageError):
                conn.write_push(1, "GET", "/", [(":authority", "a"), *bad])
    assert conn.take() == b""
    conn.write_head(1, 200, "", "", [("x-new", "value")], True)
    assert block(conn) == (1, [(":status", "200"), ("x-new", "value")])
