"""Back to back with `h11`, in both roles: two independent readings of RFC 9112 must agree."""

from typing import Any

import h11
import pytest

from cno import raw
from tests.h1.wire import FIELDS, answering, respond
from tests.rows import each_row
from tests.support import LOCAL, REMOTE, Event, Headers, Recorder, h1_client, h1_server

HOST = [("host", "a")]
#: How many bytes a "packet" between the two has.
PACKETS = [1, 7, 1 << 20]


class Peer:
    """h11 at the other end. `seen` are its events, data joined."""

    def __init__(self, conn: Recorder, packet: int) -> None:
        self.conn = conn
        self.packet = packet
        self.h11 = h11.Connection(h11.CLIENT if conn.server_side else h11.SERVER)
        self.seen: list[Any] = []

    def send(self, *events: Any) -> None:
        """Say these, then let the other end speak."""
        for event in events:
            data = self.h11.send(event)
            if data is None:
                self.conn.connection_lost()
            else:
                self.deliver(data)
        self.hear()

    def deliver(self, data: bytes) -> None:
        for at in range(0, len(data), self.packet):
            self.conn.data_received(data[at : at + self.packet])

    def hear(self) -> None:
        """Take what the connection wrote."""
        data = self.conn.take()
        for at in range(0, len(data), self.packet):
            self.h11.receive_data(data[at : at + self.packet])
            self.collect()
        if ("close",) in self.conn.events:
            self.h11.receive_data(b"")
            self.collect()

    def collect(self) -> None:
        while True:
            event = self.h11.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Data) and self.seen and isinstance(self.seen[-1], h11.Data):
                joined = bytes(self.seen[-1].data) + bytes(event.data)
                self.seen[-1] = h11.Data(data=joined)
            else:
                self.seen.append(event)
            if isinstance(event, h11.ConnectionClosed):
                return

    def kinds(self) -> list[str]:
        return [type(e).__name__ for e in self.seen]

    def body(self) -> bytes:
        return b"".join(bytes(e.data) for e in self.seen if isinstance(e, h11.Data))

    def waiting(self) -> bool:
        return bool(self.h11.client_is_waiting_for_100_continue)

    def next_cycle(self) -> None:
        self.h11.start_next_cycle()
        self.seen.clear()
        self.collect()


def get(target: str = "/", method: str = "GET", fields: Headers | None = None) -> h11.Request:
    return h11.Request(method=method, target=target, headers=[*HOST, *(fields or [])])


def status(peer: Peer) -> list[int]:
    kinds = (h11.Response, h11.InformationalResponse)
    return [e.status_code for e in peer.seen if isinstance(e, kinds)]


def got(conn: Recorder) -> list[Event]:
    return conn.of("head", "data", "tail")


packets = pytest.mark.parametrize("packet", PACKETS)


# -- our server, its client ------------------------------------------------------------------------


@packets
def test_a_client_asks_and_is_answered_with_a_length(packet: int) -> None:
    peer = Peer(h1_server(), packet)
    peer.send(get("/x?y", fields=[("X-A", "b")]), h11.EndOfMessage())
    assert got(peer.conn) == [
        ("head", 1, 0, "GET", "/x?y", [*FIELDS, ("x-a", "b")]),
        ("tail", 1, None),
    ]
    respond(peer.conn, code=404, body=b"hello", fields=[("x-c", "d")])
    peer.hear()
    assert peer.kinds() == ["Response", "Data", "EndOfMessage"]
    assert (peer.seen[0].status_code, bytes(peer.seen[0].reason)) == (404, b"Not Found")
    assert [*peer.seen[0].headers] == [(b"x-c", b"d"), (b"content-length", b"5")]
    assert peer.body() == b"hello"
    assert peer.h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


@packets
def test_a_client_sends_chunks_with_trailers_and_gets_the_same(packet: int) -> None:
    peer = Peer(h1_server(), packet)
    peer.send(
        get(method="POST", fields=[("transfer-encoding", "chunked")]),
        h11.Data(data=b"hello, "),
        h11.Data(data=b"world"),
        h11.EndOfMessage(headers=[("X-Sum", "1")]),
    )
    assert got(peer.conn) == [
        ("head", 1, 0, "POST", "/", FIELDS),
        ("data", 1, b"hello, world"),
        ("tail", 1, [("x-sum", "1")]),
    ]
    conn = peer.conn
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"bye, ", False)
    conn.write_data(1, b"world", False)
    conn.write_tail(1, [("x-sum", "2")])
    peer.hear()
    assert peer.body() == b"bye, world"
    assert [*peer.seen[-1].headers] == [(b"x-sum", b"2")]


@packets
def test_a_client_keeps_the_connection(packet: int) -> None:
    peer = Peer(answering(), packet)
    for i in range(5):
        peer.send(
            get(f"/{i}", "PUT", [("content-length", "3")]),
            h11.Data(data=b"abc"),
            h11.EndOfMessage(),
        )
        assert peer.body() == b"/%dabc" % i
        peer.next_cycle()
    assert [e[1] for e in peer.conn.of("head")] == [1, 3, 5, 7, 9]
    assert not peer.conn.of("close")


@packets
def test_a_client_asks_for_the_head_only(packet: int) -> None:
    peer = Peer(h1_server(), packet)
    for i, framing in enumerate([[("content-length", "5")], []]):
        peer.send(get(method="HEAD"), h11.EndOfMessage())
        stream = 2 * i + 1
        peer.conn.write_head(stream, 200, "", "", framing, False)
        peer.conn.write_data(stream, b"hello", True)
        peer.hear()
        assert peer.kinds() == ["Response", "EndOfMessage"]
        peer.next_cycle()


@packets
def test_a_client_waits_for_continue(packet: int) -> None:
    peer = Peer(h1_server(), packet)
    conn = peer.conn
    peer.send(get(method="POST", fields=[("content-length", "5"), ("expect", "100-continue")]))
    assert peer.waiting()
    conn.write_head(1, 100, "", "", [], False)
    peer.hear()
    assert status(peer) == [100]
    assert not peer.waiting()
    peer.send(h11.Data(data=b"hello"), h11.EndOfMessage())
    assert conn.of("data", "tail") == [("data", 1, b"hello"), ("tail", 1, None)]
    conn.write_head(1, 103, "", "", [("link", "</x>")], False)
    respond(conn, body=b"ok")
    peer.hear()
    assert status(peer) == [100, 103, 200]
    assert peer.body() == b"ok"


@packets
def test_a_client_says_that_it_will_close(packet: int) -> None:
    peer = Peer(answering(), packet)
    peer.send(get(fields=[("connection", "close")]), h11.EndOfMessage())
    assert peer.kinds() == ["Response", "Data", "EndOfMessage", "ConnectionClosed"]
    assert peer.conn.of("close") == [("close",)]
    peer.send(h11.ConnectionClosed())
    assert peer.h11.states == {h11.CLIENT: h11.CLOSED, h11.SERVER: h11.CLOSED}


@packets
def test_a_client_of_1_0(packet: int) -> None:
    conn = h1_server()
    peer = Peer(conn, packet)
    # h11 sends 1.1 only; its reading of an answer to 1.0 is what is wanted here.
    peer.h11.send(get())
    peer.h11.send(h11.EndOfMessage())
    peer.deliver(b"GET / HTTP/1.0\r\n\r\n")
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, b"hello, ", False)
    peer.hear()
    conn.write_data(1, b"world", True)
    peer.hear()
    assert peer.kinds() == ["Response", "Data", "EndOfMessage", "ConnectionClosed"]
    assert peer.body() == b"hello, world"


@packets
def test_a_client_pipelines(packet: int) -> None:
    conn = answering()
    clients = [Peer(conn, packet) for _ in range(3)]
    wire = b""
    for i, client in enumerate(clients):
        wire += client.h11.send(get(f"/{i}")) or b""
        wire += client.h11.send(h11.EndOfMessage()) or b""
    clients[0].deliver(wire)
    rest = conn.take()
    for i, client in enumerate(clients):
        client.h11.receive_data(rest)
        client.collect()
        assert client.body() == b"/%d" % i
        rest = client.h11.trailing_data[0]
    assert rest == b""


@packets
@each_row("code", [204, 304])
def test_answers_without_a_body(packet: int, code: int) -> None:
    peer = Peer(h1_server(), packet)
    for stream in (1, 3):
        peer.send(get(), h11.EndOfMessage())
        peer.conn.write_head(stream, code, "", "", [("x", "y")], True)
        peer.hear()
        assert peer.kinds() == ["Response", "EndOfMessage"]
        peer.next_cycle()


@packets
@each_row(
    "junk", [b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n"]
)
def test_error_responses_are_responses(packet: int, junk: bytes) -> None:
    conn = h1_server()
    peer = Peer(conn, packet)
    peer.h11.send(get())
    peer.h11.send(h11.EndOfMessage())
    with pytest.raises(raw.ProtocolError) as error:
        peer.deliver(junk)
    peer.hear()
    assert status(peer) == [error.value.code]
    assert peer.kinds()[-2:] == ["EndOfMessage", "ConnectionClosed"]


@packets
def test_a_client_upgrades(packet: int) -> None:
    class Switching(Recorder):
        def on_upgrade(self, stream: int) -> None:
            super().on_upgrade(stream)
            fields = [("connection", "upgrade"), ("upgrade", "x")]
            self.write_head(stream, 101, "", "", fields, False)

    conn = h1_server(recorder=Switching)
    peer = Peer(conn, packet)
    peer.send(get(fields=[("connection", "upgrade"), ("upgrade", "x")]), h11.EndOfMessage())
    assert status(peer) == [101]
    assert peer.h11.our_state is h11.SWITCHED_PROTOCOL
    conn.write_data(1, b"raw", False)
    peer.hear()
    assert peer.h11.trailing_data[0] == b"raw"


# -- our client, its server ------------------------------------------------------------------------


def ask(
    conn: Recorder, method: str = "GET", fields: Headers | None = None, final: bool = True
) -> int:
    stream = conn.next_stream
    conn.write_head(stream, 0, method, "/x", [*FIELDS, *(fields or [])], final)
    return stream


@packets
def test_a_server_is_asked_and_answers_with_a_length(packet: int) -> None:
    peer = Peer(h1_client(), packet)
    ask(peer.conn, fields=[("x-a", "b")])
    peer.hear()
    assert peer.kinds() == ["Request", "EndOfMessage"]
    assert (bytes(peer.seen[0].method), bytes(peer.seen[0].target)) == (b"GET", b"/x")
    assert [*peer.seen[0].headers] == [(b"host", b"a"), (b"x-a", b"b")]
    peer.send(
        h11.Response(status_code=404, headers=[("Content-Length", "5")], reason=b"Gone"),
        h11.Data(data=b"hello"),
        h11.EndOfMessage(),
    )
    assert got(peer.conn) == [
        ("head", 1, 404, "", "", [("content-length", "5")]),
        ("data", 1, b"hello"),
        ("tail", 1, None),
    ]
    assert peer.conn.of("end") == [("end", 1, 0, REMOTE)]


@packets
def test_a_server_gets_chunks_with_trailers_and_sends_the_same(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn, "POST", final=False)
    conn.write_data(1, b"hello, ", False)
    conn.write_data(1, b"world", False)
    conn.write_tail(1, [("x-sum", "1")])
    peer.hear()
    assert peer.body() == b"hello, world"
    assert [*peer.seen[-1].headers] == [(b"x-sum", b"1")]
    peer.send(
        h11.Response(status_code=200, headers=[("transfer-encoding", "chunked")]),
        h11.Data(data=b"bye, "),
        h11.Data(data=b"world"),
        h11.EndOfMessage(headers=[("x-sum", "2")]),
    )
    assert got(conn) == [
        ("head", 1, 200, "", "", []),
        ("data", 1, b"bye, world"),
        ("tail", 1, [("x-sum", "2")]),
    ]


@packets
def test_a_server_keeps_the_connection(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    for i in range(5):
        stream = ask(conn, "PUT", [("content-length", "3")], final=False)
        assert stream == 2 * i + 1
        conn.write_data(stream, b"abc", True)
        peer.hear()
        assert peer.body() == b"abc"
        peer.send(
            h11.Response(status_code=200, headers=[("content-length", "1")]),
            h11.Data(data=b"%d" % i),
            h11.EndOfMessage(),
        )
        assert conn.of("data")[-1] == ("data", stream, b"%d" % i)
        peer.next_cycle()
    assert not conn.of("close")


@packets
def test_a_server_is_asked_for_the_head_only(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    for framing in ([("content-length", "5")], [("transfer-encoding", "chunked")], []):
        stream = ask(conn, "HEAD")
        peer.hear()
        peer.send(h11.Response(status_code=200, headers=framing), h11.EndOfMessage())
        assert conn.of("tail")[-1] == ("tail", stream, None)
        assert not conn.of("data")
        peer.next_cycle()


@packets
def test_a_server_says_continue(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn, "POST", [("content-length", "5"), ("expect", "100-continue")], final=False)
    peer.hear()
    assert peer.h11.they_are_waiting_for_100_continue
    peer.send(h11.InformationalResponse(status_code=100, headers=[]))
    assert conn.of("head") == [("head", 1, 100, "", "", [])]
    conn.write_data(1, b"hello", True)
    peer.hear()
    assert peer.body() == b"hello"
    peer.send(
        h11.InformationalResponse(status_code=103, headers=[("link", "</x>")]),
        h11.Response(status_code=200, headers=[("content-length", "0")]),
        h11.EndOfMessage(),
    )
    assert [e[2] for e in conn.of("head")] == [100, 103, 200]


@packets
@each_row("keep", [b"", b"Connection: keep-alive\r\n"])
def test_a_server_of_1_0(packet: int, keep: bytes) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn)
    peer.hear()
    # h11 writes 1.1 only.
    peer.deliver(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n" + keep + b"\r\nok")
    assert conn.of("tail") == [("tail", 1, None)]
    assert bool(conn.of("close")) is not bool(keep)


@packets
def test_a_server_ends_the_body_with_the_connection(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn, fields=[("connection", "close")])
    peer.hear()
    # `Connection: close` and no length: what a server writes for a peer of 1.0.
    peer.h11.send(h11.Response(status_code=200, headers=[("connection", "close")]))
    peer.deliver(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    peer.deliver(b"hello, ")
    peer.deliver(b"world")
    assert not conn.of("tail")
    conn.connection_lost()
    assert conn.of("data", "tail") == [("data", 1, b"hello, world"), ("tail", 1, None)]


@packets
def test_a_server_says_that_it_closes(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn)
    peer.hear()
    peer.send(
        h11.Response(status_code=200, headers=[("connection", "close"), ("content-length", "2")]),
        h11.Data(data=b"ok"),
        h11.EndOfMessage(),
    )
    assert conn.of("tail") == [("tail", 1, None)]
    assert conn.of("close") == [("close",)]
    with pytest.raises(raw.DisconnectError):
        ask(conn)


@packets
def test_a_server_is_told_that_we_close(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn, fields=[("connection", "close")])
    peer.hear()
    assert peer.h11.their_state is h11.MUST_CLOSE
    peer.send(h11.Response(status_code=200, headers=[("content-length", "0")]), h11.EndOfMessage())
    assert conn.of("close") == [("close",)]


@packets
def test_a_server_gets_pipelined_requests(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    for _ in range(3):
        ask(conn)
    peer.hear()
    for stream in (1, 3, 5):
        assert peer.kinds()[:2] == ["Request", "EndOfMessage"]
        peer.send(
            h11.Response(status_code=200, headers=[("content-length", "1")]),
            h11.Data(data=b"%d" % stream),
            h11.EndOfMessage(),
        )
        assert conn.of("data")[-1] == ("data", stream, b"%d" % stream)
        peer.next_cycle()
    assert conn.of("end") == [("end", s, 0, REMOTE) for s in (1, 3, 5)]


@packets
@each_row("code", [204, 304])
def test_a_server_answers_without_a_body(packet: int, code: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    for stream in (1, 3):
        ask(conn)
        peer.hear()
        peer.send(h11.Response(status_code=code, headers=[("x", "y")]), h11.EndOfMessage())
        assert conn.of("tail")[-1] == ("tail", stream, None)
        peer.next_cycle()


@packets
def test_a_server_switches(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    ask(conn, fields=[("connection", "upgrade"), ("upgrade", "x")])
    peer.hear()
    peer.send(
        h11.InformationalResponse(
            status_code=101, headers=[("connection", "upgrade"), ("upgrade", "x")]
        )
    )
    assert conn.of("head")[0][2] == 101
    assert conn.of("upgrade") == [("upgrade", 1)]
    peer.deliver(b"raw\r\n\r\n")
    assert conn.of("data") == [("data", 1, b"raw\r\n\r\n")]


@packets
def test_a_server_opens_a_tunnel(packet: int) -> None:
    conn = h1_client()
    peer = Peer(conn, packet)
    conn.write_head(1, 0, "CONNECT", "", [(":authority", "a:443")], False)
    peer.hear()
    assert bytes(peer.seen[0].target) == b"a:443"
    peer.send(h11.Response(status_code=200, headers=[]))
    assert peer.h11.our_state is h11.SWITCHED_PROTOCOL
    conn.write_data(1, b"up", False)
    peer.hear()
    assert peer.h11.trailing_data[0] == b"up"
    peer.deliver(b"down")
    assert conn.of("data") == [("data", 1, b"down")]


def test_a_stream_of_ours_ends_when_we_are_last() -> None:
    peer = Peer(h1_server(), 1 << 20)
    peer.send(get(), h11.EndOfMessage())
    respond(peer.conn)
    assert peer.conn.of("end") == [("end", 1, 0, LOCAL)]
