"""Former bugs of the HTTP/2 engine, one test for each.

Knows the wire and the public names of `cno.raw`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from cno import raw
from cno.limits import Limits
from tests.rows import each_row
from tests.support import (
    CANCEL,
    CONTINUATION,
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LOCAL,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    NO_ERROR,
    PING,
    POST,
    PROTOCOL_ERROR,
    REMOTE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    Recorder,
    client,
    expect_alive,
    feed,
    h1_client,
    read_blocks,
    request,
    server,
)


class Boom(Exception):
    """What an event raises."""


# -- on_frame_send ---------------------------------------------------------------------------------


class AnswersMore(Recorder):
    """Answers stream 3 when the response on stream 1 is shown."""

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == HEADERS and frame.stream == 1:
            self.write_head(3, 200, "", "", [("x-b", "two"), ("x-a", "one")], True)


def test_a_head_written_while_one_is_shown_decodes_after_it() -> None:
    conn, peer = server(recorder=AnswersMore)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.data_received(peer.headers(3, REQUEST, end_stream=True))
    conn.write_head(1, 200, "", "", [("x-a", "one")], True)
    assert read_blocks(conn) == [
        (1, [(":status", "200"), ("x-a", "one")]),
        (3, [(":status", "200"), ("x-b", "two"), ("x-a", "one")]),
    ]


class Pings(Recorder):
    """Sends a PING when a frame of these types is shown."""

    when: tuple[int, ...] = ()

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type in self.when:
            self.write_ping(b"inserted")


def test_nothing_comes_between_the_frames_of_a_block() -> None:
    conn, peer = server(recorder=Pings)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.take()
    conn.when = (HEADERS, CONTINUATION)  # type: ignore[attr-defined]  # of Pings
    conn.write_head(1, 200, "", "", [("x-long", "~" * 40_000)], True)
    types = [f.type for f in conn.frames()]
    blocks = types.count(CONTINUATION)
    assert blocks >= 1
    assert types == [HEADERS] + [CONTINUATION] * blocks + [PING] * (1 + blocks)


class Resets(Recorder):
    """Resets the stream whose first DATA is shown."""

    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == DATA:
            self.write_reset(frame.stream, raw.CNO_RST_CANCEL)


def test_a_reset_while_data_is_shown_is_the_last_frame_of_its_stream() -> None:
    conn, peer = server(recorder=Resets)
    conn.data_received(peer.headers(1, POST))
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, bytes(40_000), False)
    assert [f.type for f in conn.frames()] == [HEADERS, DATA, DATA, DATA, RST_STREAM]
    assert conn.open_streams == []


class RaisesOnReset(Recorder):
    def on_frame_send(self, frame: raw.Frame) -> None:
        if frame.type == RST_STREAM:
            raise Boom


def test_a_frame_that_could_not_be_shown_has_done_its_work() -> None:
    conn, peer = server(recorder=RaisesOnReset)
    conn.data_received(peer.headers(1, POST))
    conn.take()
    with pytest.raises(Boom):
        conn.write_reset(1, raw.CNO_RST_CANCEL)
    assert conn.open_streams == []
    assert [f.type for f in conn.frames()] == [RST_STREAM]


class ClosesWhenShown(Recorder):
    """Ends the connection when the first frame of these types is shown."""

    when = DATA

    def __init__(self, server: bool, **options: Any) -> None:
        super().__init__(server, **options)
        self.order: list[str] = []

    def on_frame_send(self, frame: raw.Frame) -> None:
        self.order.append(f"frame {frame.type}")
        if frame.type == self.when:
            self.when = -1
            self.write_reset(0, raw.CNO_RST_INTERNAL_ERROR)

    def on_close(self) -> None:
        self.order.append("close")


def test_nothing_is_shown_after_on_close() -> None:
    """Not even what had been written before the frame whose event closes the connection."""
    conn, peer = server(recorder=ClosesWhenShown)
    assert isinstance(conn, ClosesWhenShown)
    conn.data_received(peer.headers(1, POST))
    conn.order.clear()
    conn.write_head(1, 200, "", "", [], False)
    conn.write_data(1, bytes(40_000), False)
    assert conn.order == ["frame 1", "frame 0", "frame 0", "frame 0", "frame 7", "close"]
    assert [f.type for f in conn.frames()][-5:] == [HEADERS, DATA, DATA, DATA, GOAWAY]


# -- events that raise -----------------------------------------------------------------------------


class EndRaises(Recorder):
    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        super().on_stream_end(stream, code, side)
        raise Boom


def test_all_streams_end_with_the_connection_though_each_end_raises() -> None:
    conn, peer = server(recorder=EndRaises)
    conn.data_received(peer.headers(1, POST) + peer.headers(3, POST))
    conn.events.clear()
    with pytest.raises(Boom):
        conn.data_received(peer.window_update(0, 0))
    assert conn.events == [
        ("end", 1, PROTOCOL_ERROR, LOCAL),
        ("end", 3, PROTOCOL_ERROR, LOCAL),
        ("close",),
        ("close()",),
    ]


def _three_requests() -> tuple[Recorder, FrameFactory]:
    conn, peer = client(recorder=EndRaises)
    for _ in range(3):
        request(conn, "POST", final=False)
    return conn, peer


def test_goaway_ends_all_it_refuses_though_each_end_raises() -> None:
    conn, peer = _three_requests()
    with pytest.raises(Boom):
        conn.data_received(peer.goaway(0))
    assert conn.open_streams == []


def test_the_end_of_input_ends_all_though_each_end_raises() -> None:
    conn, _ = _three_requests()
    with pytest.raises(Boom):
        conn.connection_lost()
    assert conn.open_streams == []


class WriteRaises(Recorder):
    armed = False

    def on_writev(self, chunks: list[bytes]) -> None:
        if self.armed:
            raise Boom
        super().on_writev(chunks)


def test_a_fatal_error_is_fatal_though_it_cannot_be_written() -> None:
    conn, peer = server(recorder=WriteRaises)
    conn.data_received(peer.headers(1, POST))
    conn.events.clear()
    conn.armed = True  # type: ignore[attr-defined]  # of WriteRaises
    with pytest.raises(Boom):
        conn.data_received(peer.window_update(0, 0))
    assert conn.events == [("end", 1, PROTOCOL_ERROR, LOCAL), ("close",), ("close()",)]
    with pytest.raises(raw.DisconnectError):
        conn.write_ping(b"are you?")


class FrameRaises(Recorder):
    """Raises when a frame of the type `armed` comes in, once."""

    armed = -1

    def on_frame(self, frame: raw.Frame) -> None:
        if self.armed == frame.type:
            self.armed = -1
            raise Boom


@pytest.mark.parametrize(("armed", "cut"), [(HEADERS, 0), (HEADERS, 5), (CONTINUATION, 5)])
def test_a_field_block_counts_though_on_frame_raises(armed: int, cut: int) -> None:
    conn, peer = server(recorder=FrameRaises)
    conn.armed = armed  # type: ignore[attr-defined]  # of FrameRaises
    block = peer.block([*REQUEST, ("x-new", "field")])
    whole = peer.headers_frame(1, block, end_stream=True)
    if cut:
        whole = peer.headers_frame(1, block[:cut], end_stream=True, end_headers=False)
        whole += peer.continuation(1, block[cut:])
    with pytest.raises(Boom):
        conn.data_received(whole)
    conn.data_received(b"")
    assert conn.seen() == [
        ("start", 1),
        ("head", 1, 0, "GET", "/", [*REQUEST_HEADERS, ("x-new", "field")]),
        ("tail", 1, None),
    ]
    expect_alive(conn)


def test_data_counts_though_on_frame_raises() -> None:
    conn, peer = server(recorder=FrameRaises)
    conn.data_received(peer.headers(1, POST))
    conn.events.clear()
    conn.armed = DATA  # type: ignore[attr-defined]  # of FrameRaises
    with pytest.raises(Boom):
        conn.data_received(peer.data(1, b"octets", True))
    assert conn.seen() == [("data", 1, b"octets"), ("tail", 1, None)]


class DataRaises(Recorder):
    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        raise Boom


def test_data_is_credited_though_its_event_raises() -> None:
    conn, peer = server(recorder=DataRaises)
    conn.data_received(peer.headers(1, POST))
    conn.take()
    for _ in range(3):
        with pytest.raises(Boom):
            conn.data_received(peer.data(1, bytes(16_000)))
    updates = [(f.stream, f.increment) for f in conn.frames() if f.type == WINDOW_UPDATE]
    assert sorted(updates) == [(0, 48_000), (1, 48_000)]


def test_a_message_ends_though_its_last_data_raises() -> None:
    conn, peer = server(recorder=DataRaises)
    conn.data_received(peer.headers(1, POST))
    conn.events.clear()
    with pytest.raises(Boom):
        conn.data_received(peer.data(1, b"octets", True, pad=7))
    assert conn.events == [("data", 1, b"octets"), ("tail", 1, None)]


class Settled(Recorder):
    """What on_settings does is up to the test."""

    reset = False
    boom = False

    def on_settings(self) -> None:
        super().on_settings()
        if self.reset:
            self.write_reset(0, raw.CNO_RST_INTERNAL_ERROR)
        if self.boom:
            raise Boom


def test_wider_windows_are_told_though_on_settings_raises() -> None:
    conn, peer = server(recorder=Settled)
    conn.boom = True  # type: ignore[attr-defined]  # of Settled
    with pytest.raises(Boom):
        conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 100_000}))
    assert conn.events == [("settings",), ("flow", 0)]


def test_nothing_is_told_after_on_close() -> None:
    conn, peer = server(recorder=Settled)
    conn.reset = True  # type: ignore[attr-defined]  # of Settled
    conn.data_received(peer.settings({INITIAL_WINDOW_SIZE: 100_000}))
    assert conn.events == [("settings",), ("close",)]


class HeadRaises(Recorder):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        super().on_message_head(stream, code, method, path, headers)
        if stream == 1:
            raise Boom


def test_frames_behind_an_event_that_raised_wait_for_no_more_than_they_need() -> None:
    conn, peer = server(recorder=HeadRaises)
    first = peer.headers(1, [*REQUEST, ("x-long", "~" * 5_000)], end_stream=True)
    then = peer.headers(3, REQUEST, end_stream=True)
    conn.data_received(first[:100])
    with pytest.raises(Boom):
        conn.data_received(first[100:] + then)
    conn.data_received(peer.ping(b"are you?"))
    assert [e[1] for e in conn.of("head")] == [1, 3]
    assert [f.type for f in conn.frames()] == [PING]


# -- flow control ----------------------------------------------------------------------------------


def increments(conn: Recorder, stream: int) -> int:
    """What the WINDOW_UPDATEs among `take()` add to a window."""
    return sum(f.increment for f in conn.frames() if (f.type, f.stream) == (WINDOW_UPDATE, stream))


class Widens(Recorder):
    def on_message_data(self, stream: int, data: bytes) -> None:
        self.open_flow(stream, 10)


def test_open_flow_adds_to_automatic_credit() -> None:
    conn, peer = server(recorder=Widens)
    conn.data_received(peer.headers(1, POST))
    window = 65_535
    for step in range(1, 21):
        conn.data_received(peer.data(1, bytes(10_000)))
        window += increments(conn, 1) - 10_000
        assert window > 65_535 // 2 + 10 * step - 10_000


def test_a_smaller_initial_window_leaves_no_credit_untold() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, POST))
    conn.data_received(peer.data(1, bytes(16_000)) + peer.data(1, bytes(14_000)))
    assert conn.frames() == []
    conn.configure(initial_window_size=20_000)
    conn.take()
    conn.data_received(peer.settings(ack=True))
    # The peer's window was 20,000 - 30,000 until now: without credit it could never send again.
    assert increments(conn, 1) == 30_000


def test_an_initial_window_that_breaks_a_streams_is_wrong_use() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, POST))
    conn.open_flow(1, MAX_WINDOW - 65_535)
    conn.take()
    with pytest.raises(raw.UsageError):
        conn.configure(initial_window_size=65_536)
    assert conn.local_settings.initial_window_size == 65_535
    assert conn.take() == b""
    conn.configure(initial_window_size=65_535)
    expect_alive_after_settings(conn)


def expect_alive_after_settings(conn: Recorder) -> None:
    conn.data_received(conn.peer.settings(ack=True))
    conn.take()
    expect_alive(conn)


# -- output ----------------------------------------------------------------------------------------


class Uncorks(Recorder):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        with pytest.raises(raw.UsageError):
            self.uncork()


def test_uncork_in_an_event_needs_a_cork_of_its_own() -> None:
    conn, peer = server(recorder=Uncorks)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.write_ping(b"are you?")
    assert [f.type for f in conn.frames()] == [PING]


def test_nothing_is_written_after_the_end_of_input() -> None:
    conn, _ = server()
    conn.cork()
    conn.write_ping(b"are you?")
    conn.connection_lost()
    conn.uncork()
    assert conn.take() == b""


# -- what the application passes -------------------------------------------------------------------


def test_an_extension_frame_as_large_as_the_peer_takes() -> None:
    conn, _ = server({MAX_FRAME_SIZE: 2**24 - 1})
    conn.write_frame(0xFA, 0, 0, bytes(2**24 - 1))
    assert conn.frames() == [Frame(0xFA, 0, 0, bytes(2**24 - 1))]
    with pytest.raises(raw.UsageError):
        conn.write_frame(0xFA, 0, 0, bytes(2**24))


HUGE = 1 << 80


@each_row("number", [HUGE, -HUGE, -1])
@each_row("place", [0, 1, 2])
def test_numbers_that_no_frame_can_have_are_wrong_use(number: int, place: int) -> None:
    conn, _ = server()
    type, flags, stream = (number if place == i else 0x42 for i in range(3))
    with pytest.raises(raw.UsageError):
        conn.write_frame(type, flags, stream, b"")
    assert conn.take() == b""


@each_row("number", [HUGE, -HUGE, -1, 0, MAX_WINDOW + 1])
@each_row("stream", [0, 1])
def test_numbers_that_no_window_can_grow_by_are_wrong_use(number: int, stream: int) -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, POST))
    with pytest.raises(raw.UsageError):
        conn.open_flow(stream, number)
    assert conn.take() == b""


@each_row("data", [8, True, [1, 2, 3], "text", None], ids=repr)
def test_only_octets_are_octets(data: Any) -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, POST))
    conn.write_head(1, 200, "", "", [], False)
    conn.take()
    for call in (
        lambda: conn.write_data(1, data, False),
        lambda: conn.write_ping(data),
        lambda: conn.write_frame(0x42, 0, 0, data),
        lambda: conn.data_received(data),
    ):
        with pytest.raises(TypeError):
            call()
    assert conn.take() == b""
    expect_alive(conn)


# -- pushes, tunnels, upgrades ---------------------------------------------------------------------


class ResetsPush(Recorder):
    def on_stream_start(self, stream: int) -> None:
        super().on_stream_start(stream)
        if stream == 2:
            self.write_reset(2, CANCEL)


def test_a_push_that_is_reset_at_its_start_has_no_head() -> None:
    conn, peer = server(recorder=ResetsPush)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.events.clear()
    conn.write_push(1, "GET", "/pushed", list(REQUEST_HEADERS))
    assert conn.events == [("start", 2), ("end", 2, CANCEL, LOCAL)]


PROMISED = ("push", 2, 1, "GET", "/", REQUEST_HEADERS)


def test_a_request_made_while_push_was_off_can_be_pushed_to() -> None:
    conn, peer = client(configure={"enable_push": False})
    request(conn)
    conn.configure(enable_push=True)
    conn.data_received(peer.settings(ack=True))
    conn.events.clear()
    conn.take()
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert conn.events == [("start", 2), PROMISED]
    assert conn.take() == b""


def upgraded_client(limits: Limits | None = None) -> tuple[Recorder, FrameFactory]:
    """A client that has changed over to HTTP/2 by `Upgrade: h2c`, its request on stream 1."""
    conn = h1_client(limits=limits)
    conn.disallow_h2_upgrade = False
    fields = [(":authority", "example.com")]
    conn.write_head(1, 0, "GET", "/", fields, True)
    conn.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    )
    conn.data_received(conn.peer.settings())
    assert conn.is_http2
    conn.take()
    conn.events.clear()
    return conn, conn.peer


def test_a_request_that_was_upgraded_can_be_pushed_to() -> None:
    conn, peer = upgraded_client()
    conn.data_received(peer.push_promise(1, 2, REQUEST))
    assert conn.events == [("start", 2), PROMISED]
    assert conn.take() == b""


def test_an_upgrade_acknowledges_the_settings_it_came_with() -> None:
    conn, peer = upgraded_client(Limits(max_frame_size=40_000, header_table_size=8_000))
    peer.encoder.header_table_size = 8_000
    conn.data_received(peer.headers(1, RESPONSE) + peer.data(1, bytes(30_000), True))
    assert conn.seen() == [
        ("head", 1, 200, "", "", []),
        ("data", 1, bytes(30_000)),
        ("tail", 1, None),
        ("end", 1, NO_ERROR, REMOTE),
    ]


def test_a_tunnel_opened_by_204_carries_data() -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, [(":method", "CONNECT"), (":authority", "example.com:1")]))
    conn.write_head(1, 204, "", "", [], False)
    conn.take()
    assert conn.write_data(1, b"octets", False) == 6
    assert conn.frames() == [Frame(DATA, 0, 1, b"octets")]


# -- floods ----------------------------------------------------------------------------------------

#: Small budgets, so that a flood need not be a large one.
TIGHT = Limits(glitch_budget=50, max_stream_resets=50, max_pushes=1)


def expect_calm(conn: Recorder, frames: Iterable[bytes]) -> None:
    """The connection ends with ENHANCE_YOUR_CALM within these."""
    conn.take()
    for data in frames:
        feed(conn, data)
        if conn.error is not None:
            break
    assert conn.error is not None, "for ever"
    assert conn.error.code == ENHANCE_YOUR_CALM


def test_pongs_that_answer_no_ping_are_counted() -> None:
    conn, peer = client(limits=TIGHT)
    for _ in range(200):
        conn.write_ping(b"are you?")
        conn.data_received(peer.ping(b"are you?", ack=True))
    expect_calm(conn, [peer.ping(b"are you?", ack=True)] * 60)
    assert len(conn.of("pong")) == 240  # SETTINGS have cost 10


def test_refused_pushes_are_counted() -> None:
    conn, peer = client(limits=TIGHT)
    request(conn)
    expect_calm(conn, (peer.push_promise(1, i, REQUEST) for i in range(2, 150, 2)))


def test_trailers_that_are_too_large_are_counted() -> None:
    conn, peer = server(limits=replace(TIGHT, max_header_list_size=2_000, max_stream_resets=None))
    large = [("x-large", "x" * 3_000)]
    expect_calm(
        conn,
        (
            peer.headers(i, REQUEST) + peer.headers(i, large, end_stream=True)
            for i in range(1, 400, 2)
        ),
    )


def test_pushes_taken_back_are_counted() -> None:
    conn, peer = client(limits=TIGHT)
    request(conn)
    expect_calm(conn, (peer.push_promise(1, i, REQUEST) + peer.rst(i) for i in range(2, 150, 2)))


LATE: dict[str, Callable[[FrameFactory, int], bytes]] = {
    "headers": lambda peer, stream: peer.headers(stream, REQUEST),
    "data": lambda peer, stream: peer.data(stream, b""),
    "reset": lambda peer, stream: peer.rst(stream),
    "window": lambda peer, stream: peer.window_update(stream, 1),
}


@pytest.mark.parametrize("kind", LATE)
def test_frames_beyond_goaway_are_counted(kind: str) -> None:
    conn, peer = server(limits=TIGHT)
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.shutdown()
    conn.shutdown()
    expect_calm(conn, (LATE[kind](peer, i) for i in range(3, 203, 2)))


def test_a_field_block_without_octets_is_cut_short_too() -> None:
    conn, peer = server()
    conn.data_received(peer.headers_frame(1, b"", end_headers=False))
    with pytest.raises(raw.ProtocolError):
        conn.connection_lost()


@pytest.mark.parametrize("code", [103, 204])
def test_no_length_where_there_can_be_no_content(code: int) -> None:
    conn, peer = server()
    conn.data_received(peer.headers(1, REQUEST, end_stream=True))
    conn.take()
    conn.write_head(1, code, "", "", [("content-length", "4"), ("a", "b")], False)
    (frame,) = conn.frames()
    assert peer.decode(frame.payload) == [(":status", str(code)), ("a", "b")]


def test_a_configured_header_list_size_is_enforced_once_acknowledged() -> None:
    conn, peer = server()
    large = [*REQUEST, ("a", "x" * 3_000)]
    conn.configure(max_header_list_size=2_000)
    conn.data_received(peer.headers(1, large, end_stream=True))
    conn.data_received(peer.settings({}, ack=True) + peer.headers(3, large, end_stream=True))
    assert [event[1] for event in conn.of("head")] == [1]
    answer = conn.frames()[-1]
    assert (answer.stream, peer.decode(answer.payload)[0]) == (3, (":status", "431"))
    conn.configure(max_header_list_size=100_000)
    larger = [*REQUEST, ("a", "x" * 10_000), ("b", "y" * 60_000)]
    conn.data_received(peer.settings({}, ack=True))
    for start, piece in enumerate([larger[:-1], REQUEST]):
        conn.data_received(peer.headers(5 + 2 * start, piece, end_stream=True))
    assert [event[1] for event in conn.of("head")] == [1, 5, 7]


def test_H21_a_request_larger_than_the_peer_takes_is_not_sent() -> None:
    conn, peer = client()
    conn.data_received(peer.settings({raw.CNO_SETTINGS_MAX_HEADER_LIST_SIZE: 200}))
    conn.take()
    with pytest.raises(raw.UsageError, match="200 bytes"):
        conn.write_head(1, 0, "GET", "/", [(":authority", "a"), ("a", "x" * 100)], True)
    assert conn.take() == b""
    conn.write_head(1, 0, "GET", "/", [(":authority", "a")], True)
    assert [frame.stream for frame in conn.frames()] == [1]


@pytest.mark.parametrize("spare", [0, -1])
def test_H21_fields_sent_before_count_as_much(spare: int) -> None:
    """The encoder knows them by now, and how many octets they have (not characters)."""
    fixed = [(":authority", "a"), ("name", "grün"), ("other", "value")]
    pairs = [(":method", "GET"), (":scheme", "http"), (":path", "/"), *fixed]
    size = sum(len(name) + len(value.encode()) + 32 for name, value in pairs)
    conn, peer = client()
    conn.write_head(1, 0, "GET", "/", fixed, True)
    conn.data_received(peer.settings({raw.CNO_SETTINGS_MAX_HEADER_LIST_SIZE: size + spare}))
    conn.take()
    if spare == 0:
        conn.write_head(3, 0, "GET", "/", fixed, True)
        assert [frame.stream for frame in conn.frames()] == [3]
    else:
        with pytest.raises(raw.UsageError, match=f"{size - 1} bytes"):
            conn.write_head(3, 0, "GET", "/", fixed, True)
