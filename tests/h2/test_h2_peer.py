"""Back to back with the `h2` package, both roles: two independent readings of RFC 9113 must agree.

Knows the public names of both. What flows between them is cut into packets of several sizes.
"""

from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.support import (
    CANCEL,
    FRAME_SIZE_ERROR,
    HEADERS,
    INTERNAL_ERROR,
    LOCAL,
    NO_ERROR,
    PING,
    POST,
    REFUSED_STREAM,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    Event,
    FrameFactory,
    Headers,
    Recorder,
    frame,
    merged,
    request,
)

PACKETS = pytest.mark.parametrize("packet", [1, 13, 1 << 20])


class Peer:
    """h2 at the other end of `conn`. `seen` are its events as tuples, data joined."""

    def __init__(self, conn: Recorder, packet: int = 1 << 20, *, credit: bool = True) -> None:
        self.conn = conn
        self.packet = packet
        self.credit = credit
        self.seen: list[Event] = []
        config = h2.config.H2Configuration(client_side=conn.server_side, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)

    def start(self) -> "Peer":
        self.conn.connection_made(True)
        self.h2.initiate_connection()
        self.pump()
        self.conn.events.clear()
        self.seen.clear()
        return self

    def pump(self) -> list[Event]:
        """Carry bytes both ways until both are silent; return what h2 saw meanwhile, forget it."""
        while True:
            up, down = self.conn.take(), self.h2.data_to_send()
            if not up and not down:
                break
            for at in range(0, len(up), self.packet):
                for event in self.h2.receive_data(up[at : at + self.packet]):
                    self.see(event)
            for at in range(0, len(down), self.packet):
                self.conn.data_received(down[at : at + self.packet])
        seen, self.seen = merged(self.seen), []
        return seen

    def see(self, event: Any) -> None:
        e = h2.events
        match event:
            case e.RequestReceived() | e.ResponseReceived():
                self.seen.append(("head", event.stream_id, fields(event)))
            case e.InformationalResponseReceived():
                self.seen.append(("info", event.stream_id, fields(event)))
            case e.TrailersReceived():
                self.seen.append(("trailers", event.stream_id, fields(event)))
            case e.DataReceived():
                if event.data:
                    self.seen.append(("data", event.stream_id, bytes(event.data)))
                if self.credit and event.flow_controlled_length:
                    size = event.flow_controlled_length
                    self.h2.acknowledge_received_data(size, event.stream_id)
            case e.StreamEnded():
                self.seen.append(("end", event.stream_id))
            case e.StreamReset():
                self.seen.append(("reset", event.stream_id, event.error_code))
            case e.PushedStreamReceived():
                promised, parent = event.pushed_stream_id, event.parent_stream_id
                self.seen.append(("push", promised, parent, fields(event)))
            case e.PingAckReceived():
                self.seen.append(("pong", bytes(event.ping_data)))
            case e.ConnectionTerminated():
                code, last = event.error_code, event.last_stream_id
                self.seen.append(("goaway", last, code))
            case e.SettingsAcknowledged():
                self.seen.append(("settings ack",))
            case e.UnknownFrameReceived():
                self.seen.append(("unknown",))


def fields(event: Any) -> Headers:
    return [(str(n), str(v)) for n, v in event.headers]


def server_of_cno(
    packet: int = 1 << 20, *, credit: bool = True, limits: Limits | None = None
) -> Peer:
    """A cno server with an h2 client."""
    return Peer(Recorder(True, limits=limits), packet, credit=credit).start()


def client_of_cno(
    packet: int = 1 << 20, *, credit: bool = True, limits: Limits | None = None
) -> Peer:
    """A cno client with an h2 server."""
    return Peer(Recorder(False, limits=limits), packet, credit=credit).start()


# -- a cno server ----------------------------------------------------------------------------------


@PACKETS
def test_server_request_and_response(packet: int) -> None:
    p = server_of_cno(packet)
    p.h2.send_headers(1, [*REQUEST, ("accept", "*/*"), ("x-umlaut", "ä")], end_stream=True)
    p.pump()
    assert p.conn.seen() == [
        ("start", 1),
        ("head", 1, 0, "GET", "/", [*REQUEST_HEADERS, ("accept", "*/*"), ("x-umlaut", "ä")]),
        ("tail", 1, None),
    ]
    p.conn.write_head(1, 200, "", "", [("content-length", "4"), ("X-Umlaut", "ö")], False)
    p.conn.write_data(1, b"body", True)
    head = [*RESPONSE, ("content-length", "4"), ("x-umlaut", "ö")]
    assert p.pump() == [("head", 1, head), ("data", 1, b"body"), ("end", 1)]
    assert p.conn.seen() == [("end", 1, NO_ERROR, LOCAL)]


@PACKETS
def test_server_body_padding_and_trailers(packet: int) -> None:
    p = server_of_cno(packet)
    p.h2.send_headers(1, [*POST, ("content-length", "10")])
    p.h2.send_data(1, b"01234", pad_length=100)
    p.h2.send_data(1, b"56789", pad_length=0)
    p.h2.send_headers(1, [("x-sum", "45")], end_stream=True)
    p.pump()
    assert p.conn.seen()[2:] == [("data", 1, b"0123456789"), ("tail", 1, [("x-sum", "45")])]
    p.conn.write_head(1, 103, "", "", [("link", "</a>")], False)
    p.conn.write_head(1, 200, "", "", [], False)
    p.conn.write_data(1, b"answer", False)
    p.conn.write_tail(1, [("x-sum", "6")])
    assert p.pump() == [
        ("info", 1, [(":status", "103"), ("link", "</a>")]),
        ("head", 1, RESPONSE),
        ("data", 1, b"answer"),
        ("trailers", 1, [("x-sum", "6")]),
        ("end", 1),
    ]


def test_server_large_upload_within_the_windows() -> None:
    p = server_of_cno()
    body = bytes(range(256)) * 4_000
    p.h2.send_headers(1, POST)
    at = 0
    while at < len(body):
        room = min(p.h2.local_flow_control_window(1), p.h2.max_outbound_frame_size, len(body) - at)
        assert room > 0, "the server starves its client"
        p.h2.send_data(1, body[at : at + room], end_stream=at + room == len(body))
        at += room
        p.pump()
    assert b"".join(e[2] for e in p.conn.of("data")) == body
    assert p.conn.of("tail") == [("tail", 1, None)]


@pytest.mark.parametrize("window", [1, 1_000, 65_535, 300_000])
def test_server_large_download_within_the_windows(window: int) -> None:
    p = server_of_cno()
    p.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    p.h2.send_headers(1, REQUEST, end_stream=True)
    p.pump()
    body = bytes(range(251)) * (2 if window == 1 else 1_000)
    p.conn.write_head(1, 200, "", "", [], False)
    at = p.conn.write_data(1, body, True)
    assert at <= window
    received = b"".join(e[2] for e in p.pump() if e[0] == "data")
    for _ in range(100_000):
        if at == len(body):
            break
        assert ("flow", 1) in p.conn.events or ("flow", 0) in p.conn.events
        p.conn.events.clear()
        at += p.conn.write_data(1, body[at:], True)
        received += b"".join(e[2] for e in p.pump() if e[0] == "data")
    assert received == body
    assert p.conn.of("end") == [("end", 1, NO_ERROR, LOCAL)]


def test_server_waits_for_the_connection_window() -> None:
    p = server_of_cno(credit=False)
    for stream in (1, 3):
        p.h2.send_headers(stream, REQUEST, end_stream=True)
    p.pump()
    for stream in (1, 3):
        p.conn.write_head(stream, 200, "", "", [], False)
    taken = [p.conn.write_data(stream, bytes(50_000), True) for stream in (1, 3)]
    assert taken == [50_000, 15_535]
    p.pump()
    p.conn.events.clear()
    p.h2.increment_flow_control_window(100_000)
    p.pump()
    assert p.conn.events == [("flow", 0)]
    assert p.conn.write_data(3, bytes(34_465), True) == 34_465
    assert [e for e in p.pump() if e[0] == "end"] == [("end", 3)]


def test_server_push() -> None:
    p = server_of_cno()
    p.h2.send_headers(1, REQUEST, end_stream=True)
    p.pump()
    p.conn.write_push(1, "GET", "/style", [*REQUEST_HEADERS, ("accept", "text/css")])
    p.conn.write_head(1, 200, "", "", [], True)
    p.conn.write_head(2, 200, "", "", [("content-type", "text/css")], False)
    p.conn.write_data(2, b"* {}", True)
    promise = [*REQUEST[:3], (":path", "/style"), ("accept", "text/css")]
    assert p.pump() == [
        ("push", 2, 1, promise),
        ("head", 1, RESPONSE),
        ("end", 1),
        ("head", 2, [*RESPONSE, ("content-type", "text/css")]),
        ("data", 2, b"* {}"),
        ("end", 2),
    ]


def test_server_push_is_reset_or_disabled() -> None:
    p = server_of_cno()
    p.h2.send_headers(1, REQUEST, end_stream=True)
    p.pump()
    p.conn.write_push(1, "GET", "/style", list(REQUEST_HEADERS))
    p.pump()
    p.conn.events.clear()
    p.h2.reset_stream(2, h2.errors.ErrorCodes.CANCEL)
    p.h2.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
    p.pump()
    assert p.conn.of("end") == [("end", 2, CANCEL, REMOTE)]
    p.conn.write_push(1, "GET", "/style", list(REQUEST_HEADERS))
    assert p.conn.take() == b""


@PACKETS
def test_server_resets_both_ways(packet: int) -> None:
    p = server_of_cno(packet)
    for stream in (1, 3):
        p.h2.send_headers(stream, POST)
    p.pump()
    p.conn.events.clear()
    p.h2.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
    p.conn.write_reset(3, INTERNAL_ERROR)
    p.h2.send_data(3, b"crosses the reset")
    assert p.pump() == [("reset", 3, INTERNAL_ERROR)]
    assert p.conn.events == [("end", 3, INTERNAL_ERROR, LOCAL), ("end", 1, CANCEL, REMOTE)]
    p.h2.send_headers(5, REQUEST, end_stream=True)
    p.pump()
    p.conn.write_head(5, 204, "", "", [], True)
    assert p.pump() == [("head", 5, [(":status", "204")]), ("end", 5)]


@PACKETS
def test_server_pings_settings_and_unknown_frames(packet: int) -> None:
    p = server_of_cno(packet)
    p.h2.ping(b"12345678")
    p.conn.write_ping(b"87654321")
    p.conn.write_frame(0x42, 0, 0, b"extension")
    assert p.pump() == [("unknown",), ("pong", b"12345678")]
    assert p.conn.of("pong") == [("pong", b"87654321")]
    p.conn.configure(initial_window_size=1_000_000, max_concurrent_streams=7)
    assert p.pump() == []
    assert p.h2.remote_settings.initial_window_size == 1_000_000
    assert p.h2.remote_settings.max_concurrent_streams == 7
    p.conn.events.clear()
    p.h2.update_settings({h2.settings.SettingCodes.MAX_FRAME_SIZE: 100_000})
    assert p.pump() == [("settings ack",)]
    assert p.conn.events == [("settings",)]
    assert p.conn.remote_settings.max_frame_size == 100_000


@each_row("sizes", [[0], [0, 4096], [64, 0, 100], [8192], [1 << 20]])
def test_server_header_table_sizes_of_the_client(sizes: list[int]) -> None:
    p = server_of_cno()
    answer = [("x-field", "value" * 5), ("server", "cno")]
    for stream in (1, 3):
        p.h2.send_headers(stream, REQUEST, end_stream=True)
        p.pump()
        p.conn.write_head(stream, 200, "", "", answer, True)
        assert p.pump()[0] == ("head", stream, [*RESPONSE, *answer])
        for size in sizes:
            p.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        p.pump()
    p.h2.send_headers(5, REQUEST, end_stream=True)
    p.pump()
    for _ in range(2):
        p.conn.write_head(5, 103, "", "", answer, False)
    p.conn.write_head(5, 200, "", "", answer, True)
    assert [e[2][1:] for e in p.pump() if e[0] in ("info", "head")] == [answer] * 3


@pytest.mark.parametrize("size", [0, 100, 10_000])
def test_server_header_table_sizes_of_its_own(size: int) -> None:
    p = server_of_cno()
    message = [*REQUEST, ("x-field", "value" * 5)]
    for stream in (1, 3, 5):
        p.h2.send_headers(stream, message, end_stream=True)
        p.pump()
        assert p.conn.of("head")[-1][5] == message[1:3] + message[4:]
        p.conn.configure(header_table_size=size)
        p.pump()


def test_server_shuts_down() -> None:
    p = server_of_cno()
    p.h2.send_headers(1, POST)
    p.pump()
    p.conn.shutdown()
    # h2 takes any GOAWAY for the end and nothing behind it, not even the PING of a graceful one.
    p.h2.receive_data(p.conn.take()[: 9 + 8])
    with pytest.raises(h2.exceptions.ProtocolError):
        p.h2.send_headers(3, REQUEST)
    assert p.conn.of("close") == []


def test_server_and_goaway_of_the_client() -> None:
    p = server_of_cno()
    p.h2.send_headers(1, REQUEST, end_stream=True)
    p.h2.close_connection()
    p.pump()
    p.conn.write_head(1, 200, "", "", [], True)
    assert [(f.type, f.stream) for f in p.conn.frames()] == [(HEADERS, 1)]


def test_server_error_is_understood() -> None:
    p = server_of_cno()
    p.h2.send_headers(1, POST)
    p.pump()
    with pytest.raises(raw.ProtocolError):
        p.conn.data_received(frame(PING, 0, 0, b"short"))
    assert p.pump() == [("goaway", 1, FRAME_SIZE_ERROR)]


@PACKETS
def test_server_a_hundred_streams_at_once(packet: int) -> None:
    p = server_of_cno(packet)
    ids = range(1, 201, 2)
    for stream in ids:
        p.h2.send_headers(stream, [*POST, ("x-id", str(stream))])
    for stream in ids:
        p.h2.send_data(stream, b"body of %d" % stream, end_stream=True)
    p.pump()
    assert p.conn.of("data") == [("data", s, b"body of %d" % s) for s in ids]
    with pytest.raises(h2.exceptions.TooManyStreamsError):
        p.h2.send_headers(201, REQUEST, end_stream=True)
    for stream in reversed(ids):
        p.conn.write_head(stream, 200, "", "", [("x-id", str(stream))], False)
    for stream in ids:
        p.conn.write_data(stream, b"answer %d" % stream, True)
    seen = p.pump()
    assert [e[1] for e in seen if e[0] == "head"] == list(reversed(ids))
    assert [e for e in seen if e[0] == "data"] == [("data", s, b"answer %d" % s) for s in ids]
    assert p.conn.open_streams == []


# -- a cno client ----------------------------------------------------------------------------------


@PACKETS
def test_client_request_and_response(packet: int) -> None:
    p = client_of_cno(packet)
    request(p.conn, headers=[*REQUEST_HEADERS, ("Accept", "*/*")])
    assert p.pump() == [("head", 1, [*REQUEST, ("accept", "*/*")]), ("end", 1)]
    p.h2.send_headers(1, [(":status", "103"), ("link", "</a>")])
    p.h2.send_headers(1, [*RESPONSE, ("content-length", "4")])
    p.h2.send_data(1, b"bo", pad_length=9)
    p.h2.send_data(1, b"dy")
    p.h2.send_headers(1, [("x-sum", "4")], end_stream=True)
    p.pump()
    assert p.conn.seen() == [
        ("start", 1),
        ("head", 1, 103, "", "", [("link", "</a>")]),
        ("head", 1, 200, "", "", [("content-length", "4")]),
        ("data", 1, b"body"),
        ("tail", 1, [("x-sum", "4")]),
        ("end", 1, NO_ERROR, REMOTE),
    ]


def test_client_body_and_trailers() -> None:
    p = client_of_cno()
    request(p.conn, "POST", final=False)
    p.conn.write_data(1, b"body", False)
    p.conn.write_tail(1, [("X-Sum", "4")])
    assert p.pump() == [
        ("head", 1, POST),
        ("data", 1, b"body"),
        ("trailers", 1, [("x-sum", "4")]),
        ("end", 1),
    ]


@pytest.mark.parametrize("window", [1_000, 65_535, 300_000])
def test_client_large_upload_within_the_windows(window: int) -> None:
    p = client_of_cno()
    p.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    p.pump()
    request(p.conn, "POST", final=False)
    body = bytes(range(251)) * 1_000
    at, received = 0, b""
    for _ in range(10_000):
        at += p.conn.write_data(1, body[at:], True)
        seen = p.pump()
        received += b"".join(e[2] for e in seen if e[0] == "data")
        if ("end", 1) in seen:
            break
    assert received == body


def test_client_large_download_within_the_windows() -> None:
    p = client_of_cno()
    request(p.conn)
    p.pump()
    body = bytes(range(256)) * 4_000
    p.h2.send_headers(1, RESPONSE)
    at = 0
    while at < len(body):
        room = min(p.h2.local_flow_control_window(1), p.h2.max_outbound_frame_size, len(body) - at)
        assert room > 0, "the client starves its server"
        p.h2.send_data(1, body[at : at + room], end_stream=at + room == len(body))
        at += room
        p.pump()
    assert b"".join(e[2] for e in p.conn.of("data")) == body
    assert p.conn.of("end") == [("end", 1, NO_ERROR, REMOTE)]


def test_client_push() -> None:
    p = client_of_cno()
    request(p.conn)
    p.pump()
    p.conn.events.clear()
    p.h2.push_stream(1, 2, [*REQUEST[:3], (":path", "/style")])
    p.h2.push_stream(1, 4, [*REQUEST[:3], (":path", "/script")])
    p.h2.send_headers(2, RESPONSE)
    p.h2.send_data(2, b"* {}", end_stream=True)
    p.h2.send_headers(1, RESPONSE, end_stream=True)
    p.pump()
    assert p.conn.seen() == [
        ("start", 2),
        ("push", 2, 1, "GET", "/style", REQUEST_HEADERS),
        ("start", 4),
        ("push", 4, 1, "GET", "/script", REQUEST_HEADERS),
        ("head", 2, 200, "", "", []),
        ("data", 2, b"* {}"),
        ("tail", 2, None),
        ("end", 2, NO_ERROR, REMOTE),
        ("head", 1, 200, "", "", []),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]
    p.conn.write_reset(4, CANCEL)
    assert p.pump() == [("reset", 4, CANCEL)]


def test_client_refuses_pushes() -> None:
    conn = Recorder(False)
    conn.configure(enable_push=False)
    p = Peer(conn).start()
    request(conn)
    p.pump()
    with pytest.raises(h2.exceptions.ProtocolError):
        p.h2.push_stream(1, 2, REQUEST)


def test_client_resets_both_ways() -> None:
    p = client_of_cno()
    for _ in range(2):
        request(p.conn, "POST", final=False)
    p.pump()
    p.conn.events.clear()
    p.h2.reset_stream(1, h2.errors.ErrorCodes.REFUSED_STREAM)
    p.conn.write_reset(3, CANCEL)
    p.h2.send_headers(3, [*RESPONSE, ("x-crosses", "the reset")])
    assert p.pump() == [("reset", 3, CANCEL)]
    assert p.conn.events == [("end", 3, CANCEL, LOCAL), ("end", 1, REFUSED_STREAM, REMOTE)]
    request(p.conn)
    p.pump()
    p.h2.send_headers(5, [*RESPONSE, ("x-crosses", "the reset")], end_stream=True)
    p.pump()
    assert p.conn.of("head") == [("head", 5, 200, "", "", [("x-crosses", "the reset")])]


def test_client_pings_and_settings() -> None:
    p = client_of_cno()
    p.conn.write_ping(b"12345678")
    p.h2.ping(b"87654321")
    assert p.pump() == [("pong", b"87654321")]
    assert p.conn.of("pong") == [("pong", b"12345678")]
    p.conn.configure(initial_window_size=1_000_000)
    assert p.pump() == []
    assert p.h2.remote_settings.initial_window_size == 1_000_000


def test_client_waits_for_free_streams() -> None:
    p = client_of_cno()
    p.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    p.pump()
    assert [request(p.conn), request(p.conn)] == [1, 3]
    with pytest.raises(raw.WouldBlockError):
        request(p.conn)
    p.pump()
    p.h2.send_headers(3, RESPONSE, end_stream=True)
    p.pump()
    assert request(p.conn) == 5
    assert p.pump() == [("head", 5, REQUEST), ("end", 5)]


def test_client_and_goaway_of_the_server() -> None:
    p = client_of_cno()
    request(p.conn)
    p.pump()
    request(p.conn)
    p.conn.events.clear()
    p.h2.send_headers(1, RESPONSE)
    p.h2.close_connection(last_stream_id=1)
    p.conn.data_received(p.h2.data_to_send())
    assert p.conn.of("end") == [("end", 3, REFUSED_STREAM, REMOTE)]
    p.conn.data_received(FrameFactory().data(1, b"the rest", True))
    assert p.conn.events[-2:] == [("end", 1, NO_ERROR, REMOTE), ("close",)]


@pytest.mark.parametrize("sizes", [[0], [0, 4096], [64, 0, 100], [8192]])
def test_client_header_table_sizes_of_the_server(sizes: list[int]) -> None:
    p = client_of_cno()
    headers = [*REQUEST_HEADERS, ("x-field", "value" * 5)]
    for stream in (1, 3, 5):
        request(p.conn, headers=headers)
        assert p.pump()[0] == ("head", stream, [*REQUEST, *headers[2:]])
        for size in sizes:
            p.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        p.pump()


@PACKETS
def test_client_a_hundred_streams_at_once(packet: int) -> None:
    p = client_of_cno(packet)
    ids = list(range(1, 201, 2))
    for stream in ids:
        headers = [*REQUEST_HEADERS, ("x-id", str(stream))]
        assert request(p.conn, "POST", headers=headers, final=False) == stream
    for stream in ids:
        p.conn.write_data(stream, b"body of %d" % stream, True)
    seen = p.pump()
    assert [e for e in seen if e[0] == "data"] == [("data", s, b"body of %d" % s) for s in ids]
    p.conn.events.clear()
    for stream in reversed(ids):
        p.h2.send_headers(stream, [*RESPONSE, ("x-id", str(stream))])
    for stream in ids:
        p.h2.send_data(stream, b"answer %d" % stream, end_stream=True)
    p.pump()
    heads = [(e[1], e[5]) for e in p.conn.of("head")]
    assert heads == [(s, [("x-id", str(s))]) for s in reversed(ids)]
    assert p.conn.of("data") == [("data", s, b"answer %d" % s) for s in ids]
    assert p.conn.open_streams == []
