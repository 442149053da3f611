"""Leaving HTTP/1.1: 101 and CONNECT tunnels, HTTP/2 by `Upgrade: h2c` and by prior knowledge.

RFC 9110 7.8 and 9.3.6, RFC 9113 3.1 and 3.3, RFC 7540 3.2 (the Upgrade to h2c, deprecated since).
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

from cno import raw
from tests.h1.wire import (
    FIELDS,
    GET,
    OK,
    SMUGGLED,
    asked,
    client_fails,
    closed,
    refused,
    request,
    requests,
    respond,
    response,
    responses,
)
from tests.rows import each_row
from tests.support import (
    ACK,
    END_STREAM,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    LOCAL,
    MAX_CONCURRENT_STREAMS,
    PREFACE,
    REMOTE,
    SETTINGS,
    FrameFactory,
    Headers,
    Pair,
    Recorder,
    feed,
    h1_client,
    h1_server,
    parse_frames,
    play,
    read_blocks,
)

UPGRADE = [b"Connection: upgrade", b"Upgrade: websocket"]
ASKING = request(b"Host: a", *UPGRADE)
SWITCH: Headers = [("connection", "upgrade"), ("upgrade", "websocket")]
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
#: What looks like anything but a tunnel.
RAW = b"\0\xff\r\n\r\n" + SMUGGLED + b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n" + PREFACE


class Switching(Recorder):
    """A server's application that switches inside the event."""

    def on_upgrade(self, stream: int) -> None:
        super().on_upgrade(stream)
        self.write_head(stream, 101, "", "", SWITCH, False)


def switching() -> Recorder:
    return h1_server(recorder=Switching)


# -- 101 -------------------------------------------------------------------------------------------


@each_row(
    "fields",
    [
        (b"Connection: upgrade", b"Upgrade: websocket"),
        (b"Upgrade: websocket", b"connection: Upgrade"),
        (b"Connection: keep-alive, UPGRADE", b"Upgrade: WebSocket"),
        (b"Connection: x", b"Connection: upgrade", b"Upgrade: websocket"),
        (b"Connection: upgrade", b"Upgrade: websocket, x/1.0"),
    ],
)
def test_an_upgrade_is_offered(fields: tuple[bytes, ...]) -> None:
    conn = play(switching, request(b"Host: a", *fields) + RAW)
    assert conn.error is None
    assert conn.of("upgrade") == [("upgrade", 1)]
    assert len(conn.of("head")) == 1
    assert "upgrade" in [k for k, _ in conn.of("head")[0][5]]
    assert conn.take() == SWITCHED
    assert conn.of("data") == [("data", 1, RAW)]
    assert not conn.of("end", "close")


def test_the_tunnel_of_a_server_carries_both_ways() -> None:
    conn = switching()
    conn.data_received(ASKING)
    conn.take()
    assert conn.write_data(1, b"\0\r\n", False) == 3
    assert conn.write_data(1, b"", False) == 0
    assert conn.write_data(1, bytearray(b"x" * 100_000), False) == 100_000
    assert conn.take() == b"\0\r\n" + b"x" * 100_000
    conn.data_received(b"abc")
    conn.data_received(b"\r\n")
    assert conn.of("data") == [("data", 1, b"abc\r\n")]


def test_the_server_ends_the_tunnel() -> None:
    conn = switching()
    conn.data_received(ASKING)
    conn.take()
    conn.write_data(1, b"bye", True)
    assert conn.take() == b"bye"
    assert conn.of("close") == [("close",)]
    assert len(conn.of("end")) == 1
    with pytest.raises(raw.ConnectionError):
        conn.write_data(1, b"x", False)
    assert conn.take() == b""


def test_the_client_ends_the_tunnel() -> None:
    conn = switching()
    conn.data_received(ASKING + b"abc")
    conn.connection_lost()
    assert len(conn.of("end")) == 1
    assert conn.open_streams == []
    assert conn.of("data") == [("data", 1, b"abc")]


def test_no_upgrade_where_nobody_switches() -> None:
    conn = play(h1_server, ASKING + GET)
    assert conn.error is None
    assert conn.of("upgrade") == [("upgrade", 1)]
    respond(conn, body=b"no")
    conn.data_received(b"")
    respond(conn, 3, body=b"next")
    assert [r.body for r in responses(conn.take())] == [b"no", b"next"]


def test_an_upgrade_answered_later() -> None:
    conn = h1_server()
    conn.data_received(ASKING)
    assert conn.take() == b""
    conn.write_head(1, 101, "", "", SWITCH, False)
    assert conn.take() == SWITCHED
    conn.data_received(RAW)
    assert conn.of("data") == [("data", 1, RAW)]


@pytest.mark.parametrize(
    "fields",
    [
        (b"Upgrade: websocket",),
        (b"Connection: keep-alive", b"Upgrade: websocket"),
        (b"Connection: upgraded", b"Upgrade: websocket"),
        (b"Connection: upgrade",),
    ],
)
def test_no_upgrade_without_both_fields(fields: tuple[bytes, ...]) -> None:
    # > A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header
    # > field   (RFC 9110 7.8)
    conn = play(switching, request(b"Host: a", *fields) + GET)
    assert conn.error is None
    assert not conn.of("upgrade")
    assert len(conn.of("head")) == 2
    assert conn.take() == b""


def test_no_upgrade_for_1_0() -> None:
    first = request(b"Connection: upgrade, keep-alive", UPGRADE[1], line=b"GET / HTTP/1.0")
    conn = play(switching, first + GET)
    assert conn.error is None
    assert not conn.of("upgrade")
    assert len(conn.of("head")) == 2


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 5", b"hello"),
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
def test_a_body_belongs_to_the_request(framing: bytes, body: bytes) -> None:
    post = request(b"Host: a", *UPGRADE, framing, line=b"POST / HTTP/1.1", body=body)
    conn = play(switching, post + RAW)
    if conn.error is not None:
        assert conn.error.code == 400
        return
    assert conn.of("data")[0][2].startswith(b"hello")
    assert b"".join(e[2] for e in conn.of("data")) == b"hello" + RAW
    kinds = [e[0] for e in conn.events]
    assert kinds.index("upgrade") > kinds.index("tail"), "switched inside the body"
    assert conn.take() == SWITCHED


def test_a_head_may_not_be_switched_before_its_body_is_read() -> None:
    conn = h1_server()
    conn.data_received(
        request(b"Host: a", *UPGRADE, b"Content-Length: 5", line=b"POST / HTTP/1.1", body=b"hel")
    )
    assert not conn.of("upgrade")
    with pytest.raises(raw.ConnectionError):
        conn.write_head(1, 101, "", "", SWITCH, False)
    assert conn.take() == b""


def test_continue_goes_before_101() -> None:
    conn = h1_server()
    conn.data_received(
        request(
            b"Host: a",
            *UPGRADE,
            b"Content-Length: 2",
            b"Expect: 100-continue",
            line=b"PUT / HTTP/1.1",
        )
    )
    conn.write_head(1, 100, "", "", [], False)
    conn.data_received(b"ab")
    conn.write_head(1, 101, "", "", SWITCH, False)
    assert conn.take() == b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCHED


def test_an_upgrade_waits_for_earlier_answers() -> None:
    conn = h1_server()
    conn.data_received(GET + ASKING)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 101, "", "", SWITCH, False)
    assert conn.take() == b""
    respond(conn, 1, body=b"first")
    conn.take()
    conn.write_head(3, 101, "", "", SWITCH, False)
    assert conn.take() == SWITCHED
    conn.data_received(RAW)
    assert conn.of("data") == [("data", 3, RAW)]


def upgrading_client() -> Recorder:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", [*FIELDS, *SWITCH], True)
    conn.take()
    conn.events.clear()
    return conn


def test_a_client_asks_for_an_upgrade() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", [*FIELDS, *SWITCH], True)
    (written,) = requests(conn.take())
    assert written.fields == [("host", "a"), *SWITCH]


def test_a_client_is_switched() -> None:
    conn = play(upgrading_client, SWITCHED + RAW)
    assert conn.error is None
    (head,) = conn.of("head")
    assert head[:5] == ("head", 1, 101, "", "")
    assert ("upgrade", "websocket") in head[5]
    assert conn.of("upgrade") == [("upgrade", 1)]
    assert conn.of("data") == [("data", 1, RAW)]
    assert not conn.of("close", "end")
    conn.write_data(1, b"\0up", False)
    assert conn.take() == b"\0up"
    with pytest.raises(raw.ConnectionError):
        conn.write_head(3, 0, "GET", "/", FIELDS, True)
    conn.connection_lost()
    assert len(conn.of("end")) == 1


def test_a_client_is_not_switched() -> None:
    conn = play(upgrading_client, OK)
    assert conn.error is None
    assert not conn.of("upgrade")
    assert conn.of("tail") == [("tail", 1, None)]
    conn.write_head(3, 0, "GET", "/", FIELDS, True)


def test_a_client_is_switched_after_hints() -> None:
    conn = play(upgrading_client, b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCHED + b"raw")
    assert conn.error is None
    assert [e[2] for e in conn.of("head")] == [103, 101]
    assert conn.of("data") == [("data", 1, b"raw")]


def test_a_client_is_not_switched_to_what_it_did_not_offer() -> None:
    # > A server MUST NOT switch to a protocol that was not indicated by the client in the
    # > corresponding request's Upgrade header field.   (RFC 9110 7.8)
    line = b"HTTP/1.1 101 Switching Protocols"
    client_fails(asked, response(*UPGRADE, line=line) + b"raw")
    client_fails(upgrading_client, response(b"Connection: upgrade", b"Upgrade: x", line=line))
    client_fails(upgrading_client, response(b"Connection: upgrade", line=line))
    client_fails(upgrading_client, response(line=line))


def test_both_ends_of_a_tunnel() -> None:
    pair = Pair(False, recorder=Switching)
    pair.client.write_head(1, 0, "GET", "/", [*FIELDS, *SWITCH], True)
    up = pair.client.take()
    pair.server.data_received(up)
    down = pair.server.take()
    # The client's recorder must not answer its own on_upgrade.
    client = upgrading_client()
    client.data_received(down)
    client.write_data(1, b"up", False)
    pair.server.data_received(client.take())
    assert pair.server.of("data") == [("data", 1, b"up")]
    pair.server.write_data(1, b"down", False)
    client.data_received(pair.server.take())
    assert client.of("data") == [("data", 1, b"down")]


# -- CONNECT ---------------------------------------------------------------------------------------

CONNECT = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"


class Tunnelling(Recorder):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.write_head(stream, 200, "", "", [], False)


def test_connect_opens_a_tunnel_at_a_server() -> None:
    conn = play(lambda: h1_server(recorder=Tunnelling), CONNECT + RAW)
    assert conn.error is None
    assert conn.of("head") == [("head", 1, 0, "CONNECT", "", [(":authority", "a:443")])]
    assert conn.of("data") == [("data", 1, RAW)]
    assert conn.take() == b"HTTP/1.1 200 OK\r\n\r\n"
    conn.write_data(1, b"\0down", False)
    assert conn.take() == b"\0down"
    assert not conn.of("close", "end")
    conn.write_data(1, b"", True)
    assert conn.of("close") == [("close",)]


def test_connect_answered_later() -> None:
    conn = h1_server()
    conn.data_received(CONNECT)
    assert not conn.of("end")
    conn.write_head(1, 200, "", "", [], False)
    assert conn.take() == b"HTTP/1.1 200 OK\r\n\r\n"
    conn.data_received(RAW)
    assert conn.of("data") == [("data", 1, RAW)]


def test_what_arrives_before_the_answer_to_connect_is_not_a_request() -> None:
    conn = h1_server()
    try:
        conn.data_received(CONNECT + SMUGGLED)
    except raw.WouldBlockError:
        pass
    assert len(conn.of("head")) == 1
    conn.write_head(1, 200, "", "", [], False)
    try:
        conn.data_received(b"")
    except raw.WouldBlockError:
        pass
    assert conn.of("data") == [("data", 1, SMUGGLED)]


class Refusing(Recorder):
    """Refuses CONNECT, in this event and in that way."""

    event = "head"
    answer = "403"

    def refuse(self, event: str, stream: int) -> None:
        if event != self.event:
            return
        if self.answer == "reset":
            self.write_reset(stream, 8)
        elif self.answer == "100":
            self.write_head(stream, 100, "", "", [], False)
            self.write_head(stream, 403, "", "", [], True)
        else:
            self.write_head(stream, int(self.answer), "", "", [], self.answer == "304")
            if self.answer != "304":
                self.write_data(stream, b"no", True)

    def on_stream_start(self, stream: int) -> None:
        super().on_stream_start(stream)
        self.refuse("start", stream)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.refuse("head", stream)


@each_row("event", ["start", "head", "later"])
@each_row("answer", ["300", "304", "403", "407", "502", "100", "reset"])
def test_a_refused_connect_is_the_last_request(answer: str, event: str) -> None:
    """What a client sends behind it, for somebody else, is never a request."""

    def make() -> Recorder:
        conn = h1_server(recorder=Refusing)
        assert isinstance(conn, Refusing)
        conn.event, conn.answer = event, answer
        return conn

    conn = make()
    assert isinstance(conn, Refusing)
    feed(conn, CONNECT + SMUGGLED)
    if event == "later":
        conn.refuse("later", 1)
    feed(conn, SMUGGLED + SMUGGLED)
    assert conn.error is None
    assert len(conn.of("head")) <= 1
    assert len(conn.of("close")) == 1 and conn.open_streams == []
    written = conn.take()
    if answer == "reset":
        assert written == b""
    else:
        assert written.count(b"HTTP/1.1 ") == 1 + (answer == "100")
        assert b"connection: close\r\n" in written


def test_a_refused_connect_behind_others() -> None:
    conn = h1_server()
    conn.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + CONNECT + SMUGGLED)
    respond(conn, 1)
    respond(conn, 3, code=403, body=b"no")
    feed(conn, SMUGGLED)
    first, second = responses(conn.take())
    assert not first.closes and second.closes and second.body == b"no"
    assert len(conn.of("head")) == 2 and len(conn.of("close")) == 1


@pytest.mark.parametrize("length", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_client_takes_nothing_behind_a_refused_connect(length: bytes) -> None:
    conn = h1_client()
    conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:443")], False)
    body = b"no" if b"2" in length else b"2\r\nno\r\n0\r\n\r\n"
    conn.data_received(b"HTTP/1.1 403 No\r\n" + length + b"\r\n")
    with pytest.raises(raw.DisconnectError):
        conn.write_head(3, 0, "GET", "/", [(":authority", "a")], True)
    feed(conn, body + b"HTTP/1.1 200 OK\r\n\r\n")
    assert conn.error is None
    assert [e[2] for e in conn.of("head")] == [403]
    assert conn.of("data") == [("data", 1, b"no")]
    assert len(conn.of("close")) == 1


@pytest.mark.parametrize("cut", [0, 1])
def test_a_declined_upgrade_goes_on(cut: int) -> None:
    """Unlike CONNECT: the request that asks for it is one like any other, and has an answer."""
    conn = h1_server()
    first = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    feed(conn, first + SMUGGLED[:cut])
    assert [e[0] for e in conn.of("head")] == ["head"]
    respond(conn, 1)
    feed(conn, SMUGGLED[cut:])
    assert len(conn.of("head")) == 2 and not conn.of("close")


def test_connect_at_a_client() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:443")], False)
    assert conn.take() == b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"
    feed(conn, b"HTTP/1.1 200 Fine\r\n\r\n" + RAW)
    assert conn.error is None
    assert conn.of("data") == [("data", 1, RAW)]
    conn.write_data(1, b"\0up", False)
    assert conn.take() == b"\0up"
    conn.connection_lost()
    assert len(conn.of("end")) == 1


# -- h2c by Upgrade --------------------------------------------------------------------------------


def token(settings: dict[int, int]) -> bytes:
    payload = b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in settings.items())
    return urlsafe_b64encode(payload).rstrip(b"=")


def h2c(
    settings: bytes | None = token({INITIAL_WINDOW_SIZE: 10}),
    connection: bytes = b"Upgrade, HTTP2-Settings",
    *fields: bytes,
    line: bytes = b"GET /x HTTP/1.1",
    body: bytes = b"",
) -> bytes:
    lines = [b"Host: a", b"Connection: " + connection, b"Upgrade: h2c", *fields]
    if settings is not None:
        lines.append(b"HTTP2-Settings: " + settings)
    return request(*lines, line=line, body=body)


def willing() -> Recorder:
    conn = h1_server()
    conn.disallow_h2_upgrade = False
    return conn


SWITCHED_H2 = b"HTTP/1.1 101 Switching Protocols\r\n"


def stays_h1(make: Callable[[], Recorder], data: bytes) -> None:
    conn = play(make, data + GET)
    assert conn.error is None
    assert not conn.is_http2
    assert len(conn.of("head")) == 2
    respond(conn, 1, body=b"one")
    respond(conn, 3, body=b"two")
    assert [r.body for r in responses(conn.take())] == [b"one", b"two"]


def test_ST8_h2c_is_off_by_default() -> None:
    assert h1_server().disallow_h2_upgrade is True
    stays_h1(h1_server, h2c())


def test_ST8_h2c_when_asked_for() -> None:
    pen = FrameFactory()
    conn = play(willing, h2c() + PREFACE + pen.settings({INITIAL_WINDOW_SIZE: 10}))
    assert conn.error is None
    assert conn.is_http2
    head = ("head", 1, 0, "GET", "/x", FIELDS)
    assert [e[:5] for e in conn.of("head")] == [head[:5]]
    assert conn.of("head")[0][5][:2] == FIELDS
    assert conn.of("tail") == [("tail", 1, None)]
    out = conn.take()
    assert out.startswith(SWITCHED_H2)
    answer, _, rest = out.partition(b"\r\n\r\n")
    assert b"\r\nupgrade: h2c" in answer and b"\r\nconnection: upgrade" in answer.lower()
    assert b"http2-settings" not in answer.lower()
    frames = parse_frames(rest)
    assert [(f.type, f.flags) for f in frames if f.type == SETTINGS] == [
        (SETTINGS, 0),
        (SETTINGS, ACK),
    ]
    # The settings of the field are in force: 10 octets of window.
    conn.write_head(1, 200, "", "", [], False)
    assert conn.write_data(1, b"x" * 20, True) == 10
    (stream, fields), *_ = [(s, f) for s, f in read_blocks(conn)]
    assert (stream, fields) == (1, [(":status", "200")])


def test_ST8_the_answer_is_on_stream_1() -> None:
    conn = willing()
    pen = conn.peer
    conn.data_received(h2c())
    conn.take()
    conn.data_received(PREFACE + pen.settings())
    conn.data_received(pen.settings(ack=True))
    conn.take()
    conn.write_head(1, 200, "", "", [], False)
    assert conn.write_data(1, b"hello", True) == 5
    frames = conn.frames()
    assert [f.stream for f in frames] == [1, 1]
    assert (frames[-1].payload, frames[-1].flags) == (b"hello", END_STREAM)
    assert conn.of("end") == [("end", 1, 0, LOCAL)]
    # ... and it is closed for the peer, whose next request is on 3.
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/2")]
    conn.data_received(pen.headers(3, fields, end_stream=True))
    assert conn.of("head")[-1] == ("head", 3, 0, "GET", "/2", FIELDS)


def test_ST8_nothing_of_the_upgrade_is_delivered() -> None:
    conn = willing()
    conn.data_received(h2c(token({}), b"Upgrade, HTTP2-Settings, x-a", b"X-A: 1", b"X-B: 2"))
    assert conn.is_http2
    names = [k for k, _ in conn.of("head")[0][5]]
    assert names == [":scheme", ":authority", "x-b"] or names == [
        ":scheme",
        ":authority",
        "upgrade",
        "x-b",
    ]


def test_ST8_the_preface_must_follow() -> None:
    conn = willing()
    feed(conn, h2c() + GET)
    assert isinstance(conn.error, raw.ProtocolError)
    assert len(conn.of("head")) == 1
    assert conn.open_streams == []


@each_row(
    "data",
    [
        h2c(None),
        h2c(connection=b"Upgrade"),
        h2c(connection=b"Upgrade, x"),
        h2c(connection=b"HTTP2-Settings"),
        h2c(connection=b"keep-alive"),
        h2c(token({1: 1}), b"Upgrade, HTTP2-Settings", b"HTTP2-Settings: " + token({1: 1})),
        h2c(b"!!!!"),
        h2c(b"AAMAAABk?"),
        h2c(b"AAMAAAB"),
        h2c(b"AAM"),
        h2c(urlsafe_b64encode(bytes(7)).rstrip(b"=")),
        h2c(urlsafe_b64encode(bytes(5)).rstrip(b"=")),
        h2c(b"A"),
        h2c(b"AAMAAABk, AAMAAABk"),
        h2c(b"AAMAAABk AAMAAABk"),
        h2c(b"AAMA+/Bk"),
        h2c(b"\xc3\xa9AAAAAA"),
    ],
)
def test_ST8_malformed_offers_are_ignored(data: bytes) -> None:
    stays_h1(willing, data)


def test_ST8_never_for_1_0() -> None:
    stays_h1(
        willing, h2c(connection=b"Upgrade, HTTP2-Settings, keep-alive", line=b"GET / HTTP/1.0")
    )


def test_ST8_never_over_tls() -> None:
    def make() -> Recorder:
        conn = willing()
        conn.scheme = "https"
        return conn

    conn = play(make, h2c() + GET)
    assert conn.error is None
    assert not conn.is_http2
    assert len(conn.of("head")) == 2


def test_ST8_never_with_a_body() -> None:
    stays_h1(willing, h2c(None, b"Upgrade, HTTP2-Settings", b"Content-Length: 2", body=b"ab"))
    post = h2c(
        token({}),
        b"Upgrade, HTTP2-Settings",
        b"Content-Length: 2",
        line=b"POST / HTTP/1.1",
        body=b"ab",
    )
    stays_h1(willing, post)


def test_ST8_other_protocols_are_not_touched() -> None:
    conn = play(willing, ASKING + GET)
    assert conn.error is None
    assert not conn.is_http2
    assert conn.of("upgrade") == [("upgrade", 1)]


def test_ST8_settings_out_of_range() -> None:
    for settings in ({INITIAL_WINDOW_SIZE: 1 << 31}, {5: 1}, {2: 2}):
        conn = willing()
        feed(conn, h2c(token(settings)))
        assert conn.error is not None or not conn.is_http2 or conn.of("close")


def test_ST8_upgrade_after_earlier_requests_stays_in_order() -> None:
    conn = willing()
    feed(conn, GET)
    respond(conn, 1, body=b"one")
    assert [r.body for r in responses(conn.take())] == [b"one"]
    feed(conn, h2c())
    if not conn.is_http2:
        respond(conn, 3, body=b"two")
        assert [r.body for r in responses(conn.take())] == [b"two"]
    else:
        # Stream 1 is that of the upgrade, so only the first request can carry it.
        raise AssertionError("the request that upgrades must be stream 1")


def h2c_client() -> Recorder:
    conn = h1_client()
    conn.disallow_h2_upgrade = False
    return conn


H2C_FIELDS: Headers = [
    ("connection", "upgrade, http2-settings"),
    ("upgrade", "h2c"),
    ("http2-settings", ""),
]


def test_ST8_a_client_that_may_offers_and_switches() -> None:
    conn = h2c_client()
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    (written,) = requests(conn.take())
    assert written.get("upgrade") == "h2c"
    assert {x.strip().lower() for x in (written.get("connection") or "").split(",")} == {
        "upgrade",
        "http2-settings",
    }
    settings = written.get("http2-settings")
    assert settings is not None and "=" not in settings
    pen = conn.peer
    conn.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    assert conn.is_http2
    out = conn.take()
    assert out.startswith(PREFACE)
    assert parse_frames(out)[0].type == SETTINGS
    conn.data_received(pen.settings({MAX_CONCURRENT_STREAMS: 5}))
    conn.data_received(pen.headers(1, [(":status", "200")]) + pen.data(1, b"hello", True))
    assert conn.of("data", "tail", "end") == [
        ("data", 1, b"hello"),
        ("tail", 1, None),
        ("end", 1, 0, REMOTE),
    ]
    assert [e[2] for e in conn.of("head")][-1] == 200
    assert conn.next_stream == 3


def test_ST8_a_client_that_may_but_is_not_switched() -> None:
    conn = h2c_client()
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    conn.take()
    feed(conn, OK)
    assert conn.error is None and not conn.is_http2
    assert conn.of("tail") == [("tail", 1, None)]
    conn.write_head(3, 0, "GET", "/", FIELDS, True)
    (written,) = requests(conn.take())
    assert written.get("host") == "a"


def test_ST8_a_client_does_not_offer_by_default() -> None:
    conn = h1_client()
    conn.write_head(1, 0, "GET", "/", FIELDS, True)
    (written,) = requests(conn.take())
    assert written.fields == [("host", "a")]


def test_ST8_a_client_does_not_offer_over_tls() -> None:
    conn = h2c_client()
    conn.scheme = "https"
    conn.write_head(1, 0, "GET", "/", [(":scheme", "https"), (":authority", "a")], True)
    (written,) = requests(conn.take())
    assert written.fields == [("host", "a")]


def test_ST8_both_ends() -> None:
    pair = Pair(False)
    pair.client.disallow_h2_upgrade = pair.server.disallow_h2_upgrade = False
    pair.client.write_head(1, 0, "GET", "/x", FIELDS, True)
    pair.pump(1)
    assert pair.client.is_http2 and pair.server.is_http2
    pair.server.write_head(1, 200, "", "", [("x", "y")], False)
    pair.server.write_data(1, b"hello", True)
    pair.pump(1)
    assert pair.client.of("head")[-1] == ("head", 1, 200, "", "", [("x", "y")])
    assert pair.client.of("data") == [("data", 1, b"hello")]
    stream = pair.client.next_stream
    pair.client.write_head(stream, 0, "GET", "/2", FIELDS, True)
    pair.pump()
    assert pair.server.of("head")[-1] == ("head", stream, 0, "GET", "/2", FIELDS)


# -- HTTP/2 by prior knowledge ---------------------------------------------------------------------


def hello(pen: FrameFactory) -> bytes:
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    return PREFACE + pen.settings() + pen.headers(1, fields, end_stream=True)


def test_prior_knowledge_at_a_server() -> None:
    conn = play(h1_server, hello)
    assert conn.error is None
    assert conn.is_http2
    assert [e for e in conn.events if e[0] != "settings"] == [
        ("start", 1),
        ("head", 1, 0, "GET", "/", FIELDS),
        ("tail", 1, None),
    ]
    frames = conn.frames()
    assert (frames[0].type, frames[0].flags) == (SETTINGS, 0)
    assert (SETTINGS, ACK) in [(f.type, f.flags) for f in frames]


def test_no_switch_is_made_before_the_whole_preface() -> None:
    conn = h1_server()
    for at in range(3):
        conn.data_received(PREFACE[at : at + 1])
    assert not conn.is_http2
    assert conn.take() == b""


def unwilling() -> Recorder:
    conn = Recorder(True)
    conn.disallow_h2_prior_knowledge = True
    conn.connection_made(False)
    return conn


def unwilling_once_begun() -> Recorder:
    conn = h1_server()
    conn.disallow_h2_prior_knowledge = True
    return conn


@pytest.mark.parametrize("make", [unwilling, unwilling_once_begun])
def test_prior_knowledge_can_be_disallowed(make: Callable[[], Recorder]) -> None:
    assert h1_server().disallow_h2_prior_knowledge is False
    conn = play(make, hello)
    assert isinstance(conn.error, raw.ProtocolError)
    assert conn.error.code in (400, 505)
    assert not conn.is_http2
    assert [r.code for r in responses(conn.take())] == [conn.error.code]
    closed(conn)


def test_the_preface_comes_first_or_not_at_all() -> None:
    refused(GET + PREFACE, (400, 505), heads=1)
    conn = h1_server()
    feed(conn, GET)
    feed(conn, PREFACE)
    assert not conn.is_http2


@each_row(
    "data",
    [
        b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\n\nSM\n\n",
        b"pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_only_looks_like_the_preface(data: bytes) -> None:
    conn = play(h1_server, data)
    assert isinstance(conn.error, raw.ProtocolError)
    assert not conn.of("head")
    closed(conn)


def test_half_a_preface_and_something_else() -> None:
    conn = play(h1_server, PREFACE[:20] + SMUGGLED)
    assert isinstance(conn.error, raw.ProtocolError)
    assert not conn.of("head")
    out = conn.take()
    if out.startswith(b"HTTP/1.1"):
        assert [r.code for r in responses(out)] == [conn.error.code]
    elif out:
        assert parse_frames(out)[-1].type == GOAWAY
    closed(conn)


def test_a_method_that_begins_like_the_preface() -> None:
    for method in ("P", "PR", "PRI", "PRIX", "POST", "PRINT"):
        conn = play(h1_server, request(b"Host: a", line=method.encode() + b" / HTTP/1.1"))
        assert conn.error is None
        assert conn.of("head") == [("head", 1, 0, method, "/", FIELDS)]


def test_a_client_gets_no_preface() -> None:
    client_fails(asked, PREFACE)


def test_both_ends_by_prior_knowledge() -> None:
    pair = Pair(True)
    pair.server = h1_server()
    pair.pump(1)
    assert pair.server.is_http2
    stream = pair.client.next_stream
    pair.client.write_head(stream, 0, "GET", "/", FIELDS, True)
    pair.pump(1)
    assert pair.server.of("head") == [("head", stream, 0, "GET", "/", FIELDS)]
