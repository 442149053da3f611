"""HTTP/1.1: writing out of order, after the end, or during an upgrade."""

import pytest

from cno import raw
from tests.h1.wire import FIELDS, GET, asked, request, respond, responses
from tests.support import Headers, Recorder, h1_client, h1_server

UPGRADE = request(b"Host: a", b"Upgrade: x", b"Connection: upgrade")
CONNECT = request(b"Host: a:1", line=b"CONNECT a:1 HTTP/1.1")
SWITCH: Headers = [("upgrade", "x"), ("connection", "upgrade")]


def test_a_complete_message_takes_no_more() -> None:
    conn = h1_server()
    conn.data_received(request(b"Host: a", b"Content-Length: 3", line=b"POST / HTTP/1.1"))
    respond(conn, 1)
    conn.take()
    with pytest.raises(raw.InvalidStreamError):
        conn.write_data(1, b"more", False)
    with pytest.raises(raw.InvalidStreamError):
        conn.write_tail(1, [])
    assert conn.take() == b""


def test_a_switch_that_ends_at_once() -> None:
    conn = h1_server()
    conn.data_received(UPGRADE)
    conn.write_head(1, 101, "", "", SWITCH, True)
    assert conn.take().startswith(b"HTTP/1.1 101 ")
    assert conn.of("end", "close") == [("end", 1, 0, 1), ("close",)]
    conn.data_received(b"tunnel")
    assert conn.of("data") == []


def test_http10_has_no_transfer_codings() -> None:
    conn = h1_server()
    conn.data_received(request(line=b"GET / HTTP/1.0"))
    with pytest.raises(raw.UsageError, match=r"HTTP/1\.0"):
        conn.write_head(1, 200, "", "", [("transfer-encoding", "gzip")], False)
    assert conn.take() == b""
    respond(conn, 1, body=b"x")
    assert [r.body for r in responses(conn.take())] == [b"x"]


def test_nothing_goes_into_a_tunnel_that_is_not_open() -> None:
    conn = asked("CONNECT", final=False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_data(1, b"early", False)
    with pytest.raises(raw.UsageError):
        conn.write_tail(1, [])
    assert conn.take() == b""
    conn.data_received(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert conn.of("data") == [("data", 1, b"hello")]
    conn.write_data(1, b"now", False)
    assert conn.take() == b"now"


class Declining(Recorder):
    """Answers CONNECT with a whole 405, within the event that tells of its end."""

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        super().on_message_tail(stream, trailers)
        if stream == 1:
            self.write_reset(stream, 0)


def test_a_tunnel_is_declined_and_its_stream_given_up_meanwhile() -> None:
    conn = h1_server(recorder=Declining)
    conn.data_received(CONNECT)
    conn.write_head(1, 405, "", "", [("content-length", "0")], True)
    assert [e[0] for e in conn.events] == ["start", "head", "tail", "end", "close", "close()"]
    (answer,) = responses(conn.take())
    assert answer.code == 405


class Closing(Recorder):
    """Gives the connection up in one of its events."""

    event = ""

    def give_up(self, event: str) -> None:
        if event == self.event:
            self.write_reset(0, 2)

    def on_upgrade(self, stream: int) -> None:
        super().on_upgrade(stream)
        self.give_up("upgrade")

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.give_up("data")

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        self.give_up("head")


def test_given_up_while_an_upgrade_is_asked_for() -> None:
    conn = h1_server(recorder=Closing)
    assert isinstance(conn, Closing)
    conn.event = "upgrade"
    conn.data_received(UPGRADE + b"more")
    assert conn.of("upgrade", "end", "close") == [("upgrade", 1), ("end", 1, 2, 1), ("close",)]
    assert conn.take() == b""


def test_given_up_inside_a_tunnel() -> None:
    conn = h1_server(recorder=Closing)
    assert isinstance(conn, Closing)
    conn.data_received(UPGRADE)
    conn.write_head(1, 101, "", "", SWITCH, False)
    conn.event = "data"
    conn.data_received(b"tunnel")
    conn.data_received(b"ignored")
    assert conn.of("data") == [("data", 1, b"tunnel")]
    assert conn.of("close") == [("close",)]


def test_a_server_that_shuts_down_hears_no_further_request() -> None:
    conn = h1_server()
    conn.data_received(GET)
    conn.shutdown()
    conn.data_received(GET)
    assert len(conn.of("head")) == 1
    respond(conn, 1)
    assert responses(conn.take())[0].closes
    assert conn.of("close") == [("close",)]


def test_connection_options_from_two_fields() -> None:
    conn = h1_client()
    fields = [
        *FIELDS,
        ("connection", "keep-alive, x-a"),
        ("x-a", "b"),
        ("Connection", "X-A, close"),
    ]
    conn.write_head(1, 0, "GET", "/", fields, True)
    head = conn.take().decode().split("\r\n")
    options = [line for line in head if line.lower().startswith("connection:")]
    assert len(options) == 1
    assert sorted(options[0].lower().partition(":")[2].replace(" ", "").split(",")) == [
        "close",
        "x-a",
    ]


def test_a_request_framed_in_two_ways() -> None:
    conn = h1_client()
    fields = [*FIELDS, ("content-length", "3"), ("transfer-encoding", "chunked")]
    with pytest.raises(raw.UsageError, match="content-length and transfer-encoding"):
        conn.write_head(1, 0, "POST", "/", fields, False)
    assert conn.take() == b""


def test_a_request_that_waits_for_two_things() -> None:
    """Told to wait, woken once, when nothing is in its way any more."""
    conn = h1_client()
    conn.write_head(1, 0, "POST", "/", [*FIELDS, ("content-length", "1")], False)
    with pytest.raises(raw.WouldBlockError):
        conn.write_head(3, 0, "GET", "/", list(FIELDS), True)
    conn.write_data(1, b"x", True)
    assert conn.of("flow") == []
    conn.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert conn.of("flow") == [("flow", 3)]


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 10", b"12345"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n")],
)
def test_the_rest_of_a_body_that_was_given_up(framing: bytes, body: bytes) -> None:
    conn = h1_server()
    conn.data_received(GET + request(b"Host: a", framing, line=b"POST / HTTP/1.1", body=body))
    conn.write_reset(3, 8)
    assert conn.of("end", "close") == [("end", 3, 8, 1)]
    conn.events.clear()
    conn.data_received(body + GET)
    assert conn.events == []
    respond(conn, 1)
    assert responses(conn.take())[0].closes
    assert conn.events == [("end", 1, 0, 1), ("close",)]


def test_much_may_not_wait_for_an_upgrade_to_be_decided() -> None:
    conn = h1_server()
    conn.data_received(UPGRADE)
    with pytest.raises(raw.WouldBlockError, match="no decision"):
        conn.data_received(bytes(1 << 20))
    conn.write_head(1, 101, "", "", SWITCH, False)
    conn.data_received(b"")
    assert sum(len(e[2]) for e in conn.of("data")) == 1 << 20


def test_the_end_of_input_while_shutting_down() -> None:
    conn = h1_server()
    conn.data_received(GET)
    conn.shutdown()
    conn.connection_lost()
    assert conn.of("end") == [("end", 1, 8, 1)]


def test_only_the_next_one_is_told_that_it_can_go_on() -> None:
    conn = h1_server()
    conn.data_received(GET * 3)
    with pytest.raises(raw.WouldBlockError):
        respond(conn, 5)
    respond(conn, 1)
    assert conn.of("flow") == []
    respond(conn, 3)
    assert conn.of("flow") == [("flow", 5)]
    respond(conn, 5)
    assert len(responses(conn.take())) == 3
