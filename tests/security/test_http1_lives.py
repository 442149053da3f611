"""Rows E15 to E18, E20, E21: other protocols, order, ends, and slowness of a connection.

Those that take time are played over sockets, with the asyncio layer; timers are set short, and no
test depends on how long anything takes.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cno import aio, raw
from cno.limits import Limits
from tests.aio.lab import HTTP1, Lab, Peer, by_hand
from tests.h1.wire import (
    FIELDS,
    GET,
    OK,
    SMUGGLED,
    answering,
    asked,
    client_fails,
    closed,
    received,
    refused,
    respond,
    responses,
)
from tests.security import splitting
from tests.security.floods import Quiet, peak
from tests.security.smuggling import cl, get, post, te
from tests.support import PREFACE, Headers, Recorder, feed, h1_client, h1_server

# -- E15, E16 --------------------------------------------------------------------------------------

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
SWITCHED = b"HTTP/1.1 101 "


def h2c_server(scheme: str = "http") -> Recorder:
    conn = h1_server()
    conn.disallow_h2_upgrade = False
    conn.scheme = scheme
    return conn


def test_e15_h2c_is_off_until_it_is_allowed() -> None:
    conn = answering()
    feed(conn, get(*H2C) + PREFACE)
    out = conn.take()
    assert SWITCHED not in out
    assert not conn.is_http2
    assert [h[4] for h in conn.of("head")] == ["/"]
    assert conn.error is not None and conn.error.code == 505
    conn = h2c_server()
    feed(conn, get(*H2C))
    assert conn.take().startswith(SWITCHED)
    assert conn.is_http2


@pytest.mark.parametrize(
    "data",
    [
        post(*H2C, b"Content-Length: 5", body=b"hello"),
        post(*H2C, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        get(*H2C, first=b"GET / HTTP/1.0"),
        get(*H2C[:2]),
        get(*H2C, H2C[2]),
        get(*H2C[1:]),
        get(H2C[0], b"Upgrade: h2", H2C[2]),
        get(*H2C[:2], b"HTTP2-Settings: AAMAAABk====!"),
        get() + get(*H2C),
    ],
)
def test_e15_h2c_only_as_it_should_be(data: bytes) -> None:
    """Allowed, but not with a body, not twice, not later, and not without its settings."""
    conn = h2c_server()
    feed(conn, data)
    if conn.of("head"):
        respond(conn, 1)
    assert SWITCHED not in conn.take()
    assert not conn.is_http2


def test_e15_never_over_tls() -> None:
    conn = h2c_server("https")
    feed(conn, get(*H2C))
    assert conn.take() == b""
    assert not conn.is_http2


def test_e15_a_client_takes_no_h2c_that_it_did_not_offer() -> None:
    switch = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    client_fails(asked, switch + b"\0\0\0\x04\0\0\0\0\0")


@pytest.mark.parametrize(
    "framing",
    [
        cl(b" 35", b"Connection: upgrade", b"Upgrade: x", body=SMUGGLED.ljust(35, b"x")),
        te(
            b" chunked",
            b"Connection: upgrade",
            b"Upgrade: x",
            body=b"23\r\n" + SMUGGLED.ljust(35, b"x") + b"\r\n0\r\n\r\n",
        ),
    ],
)
def test_e16_a_body_before_an_upgrade_is_a_body(framing: bytes) -> None:
    conn = h1_server()
    conn.data_received(framing[:-8])
    assert conn.of("upgrade") == []
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 101, "", "", [("upgrade", "x")], False)
    assert conn.take() == b""
    conn.data_received(framing[-8:] + b"of the new protocol")
    assert b"".join(e[2] for e in conn.of("data")) == SMUGGLED.ljust(35, b"x")
    assert [e[0] for e in conn.events][-2:] == ["tail", "upgrade"]
    conn.write_head(1, 101, "", "", [("upgrade", "x")], False)
    conn.data_received(b"!")
    assert conn.of("data")[-1][2].endswith(b"of the new protocol!")


@pytest.mark.parametrize("other", ["z", "x, z", "", ",", "h2c"])
def test_e16_no_other_protocol_than_was_asked_for(other: str) -> None:
    conn = h1_server()
    conn.data_received(get(b"Connection: upgrade", b"Upgrade: x, Y/1"))
    with pytest.raises(raw.UsageError):
        conn.write_head(1, 101, "", "", [("upgrade", other)], False)
    assert conn.take() == b""
    conn.write_head(1, 101, "", "", [("upgrade", "y/1")], False)
    assert conn.take().startswith(SWITCHED)


def test_e16_an_upgrade_that_is_declined_leaves_http_in_order() -> None:
    conn = h1_server()
    conn.data_received(
        cl(b" 5", b"Connection: upgrade", b"Upgrade: x") + get(first=b"GET /2 HTTP/1.1")
    )
    assert [h[4] for h in conn.of("head")] == ["/"]
    respond(conn, 1)
    conn.data_received(b"")
    assert [h[4] for h in conn.of("head")] == ["/", "/2"]


def test_e16_connect_has_no_body() -> None:
    for lines in ((b"Content-Length: 5",), (b"Transfer-Encoding: chunked",)):
        refused(get(*lines, first=b"CONNECT a:1 HTTP/1.1") + SMUGGLED)


# -- E17 -------------------------------------------------------------------------------------------


def test_e17_requests_parsed_ahead() -> None:
    conn = h1_server()
    with pytest.raises(raw.WouldBlockError):
        conn.data_received(GET * 1000)
    assert len(conn.of("head")) == 16
    assert conn.take() == b""
    respond(conn, 1)
    with pytest.raises(raw.WouldBlockError):
        conn.data_received(b"")
    assert len(conn.of("head")) == 17


def test_e17_what_waits_is_kept_as_it_came() -> None:
    """16 requests are open; what is behind them costs its octets and no more."""
    conn = Quiet(True)
    conn.connection_made(False)
    flood = GET * 20_000

    def pour() -> None:
        with pytest.raises(raw.WouldBlockError):
            conn.data_received(flood)

    assert peak(pour) < len(flood) + 100_000


def test_e17_honest_all_are_answered_in_order() -> None:
    conn = answering()
    conn.data_received(b"".join(get(first=b"GET /%d HTTP/1.1" % i) for i in range(200)))
    assert [r.body for r in responses(conn.take())] == [b"/%d" % i for i in range(200)]


# -- E18 -------------------------------------------------------------------------------------------

LAST = [
    get(b"Connection: close"),
    get(b"Connection: x, CLOSE"),
    get(b"Connection: keep-alive, close"),
    get(b"Connection: x", b"Connection: close"),
    get(first=b"GET / HTTP/1.0"),
]


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("behind", [SMUGGLED, SMUGGLED * 100, b"\0", b"GET", b"POST / x\n\n"])
def test_e18_nothing_counts_behind_the_last_request(last: bytes, behind: bytes) -> None:
    conn = answering()
    conn.data_received(last + behind)
    conn.data_received(behind)
    assert [(r.code, r.closes) for r in responses(conn.take())] == [(200, True)]
    assert [h[4] for h in conn.of("head")] == ["/"]
    assert conn.of("close") == [("close",)]


def test_e18_nor_behind_our_own_close() -> None:
    conn = h1_server()
    conn.data_received(GET)
    conn.write_head(1, 200, "", "", [("connection", "close")], True)
    conn.data_received(SMUGGLED)
    assert len(responses(conn.take())) == len(conn.of("head")) == 1
    assert conn.of("close") == [("close",)]


def test_e18_nor_behind_an_error() -> None:
    conn = answering()
    feed(conn, b"GET / HTTP/1.1\nHost: a\r\n\r\n" + SMUGGLED)
    assert [r.code for r in responses(conn.take())] == [400]
    closed(conn)


def test_e18_nor_behind_the_last_response() -> None:
    for last in (
        splitting.cl(b" 5", b"Connection: close"),
        splitting.te(b" chunked", b"Connection: Close"),
        splitting.ok(b"Content-Length: 0", first=b"HTTP/1.0 200 OK"),
    ):
        conn = asked()
        conn.data_received(last + splitting.SPLIT)
        assert len(conn.of("head")) == 1 and b"forged" not in b"".join(
            d[2] for d in conn.of("data")
        )
        with pytest.raises(raw.DisconnectError):
            conn.write_head(3, 0, "GET", "/", FIELDS, True)


async def whole(request: aio.Request) -> None:
    async for _ in request.payload:
        pass
    await request.respond(200, [], request.path.encode())


@pytest.mark.parametrize(
    "bad", [b"GET / HTTP/1.1\nHost: a\r\n\r\n", cl(b" x"), te(b" gzip, chunked")]
)
def test_e18_the_answer_arrives_though_the_peer_goes_on_sending(lab: Lab, bad: bytes) -> None:
    """A close with input unread would reset the connection, and lose the answer on its way."""

    async def play() -> bytes:
        async with lab.serving(HTTP1, whole) as url, await Peer.connect(url) as peer:
            peer.send(bad)
            for _ in range(50):
                peer.send(SMUGGLED * 100)
                await asyncio.sleep(0)
            return await peer.reader.read()

    out = lab.run(play())
    assert [r.code for r in responses(out)] == [501 if b"gzip" in bad else 400]


# -- E20 -------------------------------------------------------------------------------------------

QUICK = Limits(header_timeout=0.1, body_timeout=0.1, handshake_timeout=None, keepalive_timeout=None)


async def drip(peer: Peer, data: bytes, pause: float) -> None:
    """Send octet by octet until the other side has had enough."""
    try:
        for octet in data * 1000:
            peer.send(bytes([octet]))
            await peer.writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET /"])
def test_e20_a_head_octet_by_octet(lab: Lab, start: bytes) -> None:
    """The deadline is of the whole head: that it goes on coming does not help."""

    async def play() -> bytes:
        async with lab.serving(HTTP1, whole, limits=QUICK) as url, await Peer.connect(url) as peer:
            peer.send(start)
            slow = asyncio.ensure_future(drip(peer, b"a", 0.01))
            try:
                return await peer.reader.read()
            finally:
                slow.cancel()

    assert [r.code for r in responses(lab.run(play()))] == [408]


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_e20_a_body_that_stops(lab: Lab, framing: bytes) -> None:
    async def play() -> bytes:
        async with lab.serving(HTTP1, whole, limits=QUICK) as url, await Peer.connect(url) as peer:
            peer.send(post(framing, body=b"5\r\nhello"))
            return await peer.reader.read()

    assert [r.code for r in responses(lab.run(play()))] == [408]


def test_e20_a_response_that_stops(lab: Lab) -> None:
    async def stops(peer: Peer) -> None:
        await peer.head()
        peer.send(splitting.cl(b" 1000"))
        await peer.reader.read()

    async def play() -> None:
        async with by_hand(stops) as url, await aio.connect(url, limits=QUICK) as client:
            response = await client.request("GET", "/")
            with pytest.raises(ConnectionError):
                async for _ in response.payload:
                    pass

    lab.run(play())


def test_e20_honest_a_slow_upload(lab: Lab) -> None:
    """Each piece in time: the whole may take longer than the deadline of one."""
    limits = Limits(header_timeout=0.5, body_timeout=0.5, handshake_timeout=None)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(12):
            await asyncio.sleep(0.06)
            yield b"x" * 100

    async def play() -> None:
        async with lab.pair(HTTP1, whole, limits=limits) as client:
            response = await client.request("POST", "/slow", [], pieces())
            assert response.code == 200

    lab.run(play())


# -- E21 -------------------------------------------------------------------------------------------


def test_e21_informational_responses_without_end() -> None:
    for code in (100, 102, 103, 199):
        data = splitting.ok(b"Link: <x>", first=b"HTTP/1.1 %d x" % code)
        conn = client_fails(asked, data * 17)
        assert [h[2] for h in conn.of("head")] == [code] * 16
    few = Limits(max_informational=1)
    client_fails(lambda: asked(limits=few), splitting.ok(first=b"HTTP/1.1 100 x") * 2)
    conn = asked(limits=Limits(max_informational=None))
    conn.data_received(splitting.ok(first=b"HTTP/1.1 100 x") * 1000)
    assert len(conn.of("head")) == 1000


def test_e21_each_response_has_its_own_informational_ones() -> None:
    conn = h1_client()
    for stream in (1, 3, 5):
        conn.write_head(stream, 0, "GET", "/", FIELDS, True)
    conn.data_received((splitting.ok(first=b"HTTP/1.1 103 x") * 16 + OK) * 3)
    assert conn.error is None and len(conn.of("tail")) == 3


@pytest.mark.parametrize("data", [OK, b"HTTP", b"\r\n", b"\0", b"\n", b" "])
def test_e21_a_response_to_nothing(data: bytes) -> None:
    """Before any request, between two, and behind the last: not the next one's response."""
    client_fails(h1_client, data)

    def between() -> Recorder:
        conn = asked()
        conn.data_received(OK)
        conn.events.clear()
        return conn

    client_fails(between, data)
    conn = asked()
    feed(conn, OK + data)
    assert conn.error is not None
    with pytest.raises(raw.DisconnectError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_e21_a_queue_that_is_poisoned(method: str) -> None:
    """What follows a bodiless response is the next response, or none: never content."""
    conn = h1_client()
    conn.write_head(1, 0, method, "/1", FIELDS, True)
    conn.write_head(3, 0, "GET", "/2", FIELDS, True)
    first = b"HTTP/1.1 200 OK" if method == "HEAD" else b"HTTP/1.1 304 x"
    feed(conn, splitting.ok(b"Content-Length: 44", body=splitting.SPLIT, first=first) + OK)
    assert [(h[1], h[2]) for h in conn.of("head")] == [(1, int(first[9:12])), (3, 200)]
    assert conn.error is not None, "a third response to two requests"


def test_e21_a_status_line_without_end() -> None:
    conn = asked()
    feed(conn, b"HTTP/1.1 200 " + b"a" * 20_000)
    assert conn.error is not None


def test_e21_honest_hints_before_a_page() -> None:
    hints: Headers = [("link", "</a.css>; rel=preload")]
    data = splitting.ok(b"Link: </a.css>; rel=preload", first=b"HTTP/1.1 103 Early Hints") * 3
    events = received(asked, splitting.ok(first=b"HTTP/1.1 100 Continue") + data + OK)
    assert [(e[2], e[5]) for e in events if e[0] == "head"] == [
        (100, []),
        *[(103, hints)] * 3,
        (200, [("content-length", "2")]),
    ]
