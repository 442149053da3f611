"""Flow control never stalls while a window has room: two connections, readers at random.

At the end, a sender that still has data waits for a window that unconsumed data of its receiver
fills, except for a rest that is too small to send.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno import raw
from cno.limits import Limits
from tests.support import (
    CANCEL,
    DATA,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    POST,
    REQUEST_HEADERS,
    RESPONSE,
    SETTINGS,
    WINDOW_UPDATE,
    Recorder,
    client,
    frame,
    request,
    server,
)

STREAMS = (1, 3, 5, 7)
#: Octets of room that a sender may leave unused (`Limits.min_data_frame`), ...
LEAST = 1_024
#: ... and the part of a stream's window that may not be announced while its reader rests.
PART = 16


class End(raw.Connection):
    """One end: sends what is queued, and keeps what it has not read."""

    def __init__(self, is_server: bool, window: int = 65_535, connection: int = 65_535) -> None:
        limits = Limits(
            initial_window_size=window,
            connection_window=connection,
            small_frame_budget=None,
            max_reset_history=0,
        )
        super().__init__(is_server, limits=limits)
        self.manual_flow_control = True
        self.is_server = is_server
        self.out: list[bytes] = []
        self.queued = dict.fromkeys(STREAMS, 0)
        self.unread = dict.fromkeys(STREAMS, 0)
        self.reading = dict.fromkeys(STREAMS, False)

    def on_writev(self, chunks: list[bytes]) -> None:
        self.out += chunks

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        if self.is_server:
            self.write_head(stream, 200, "", "", [], False)

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.unread[stream] += len(data)

    def on_flow_increase(self, stream: int) -> None:
        for each in [stream] if stream else STREAMS:
            self.send(each)

    def send(self, stream: int) -> None:
        if self.queued[stream]:
            self.queued[stream] -= self.write_data(stream, bytes(self.queued[stream]), False)

    def read(self, stream: int, most: int) -> None:
        size = min(most, self.unread[stream])
        self.unread[stream] -= size
        self.consume(stream, size)


def talk(one: End, other: End) -> None:
    """Carry what either says to the other, and let those read that do, until nothing moves."""
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((one, other), (other, one)):
            data = b"".join(sender.out)
            sender.out.clear()
            if data:
                receiver.data_received(data)
                moved = True
            for stream, reading in receiver.reading.items():
                if reading and receiver.unread[stream]:
                    receiver.read(stream, 5_000)
                    moved = True


STEPS = st.lists(
    st.tuples(
        st.sampled_from(STREAMS),
        st.sampled_from(["send", "send", "read", "rest", "go on"]),
        st.one_of(st.integers(1, 3_000), st.integers(1, 200_000)),
    ),
    max_size=30,
)


@pytest.mark.parametrize("uploads", [True, False], ids=["server reads", "client reads"])
@given(
    window=st.sampled_from([2_000, 20_000, 30_000, 65_535]),
    connection=st.sampled_from([65_535, 70_000, 150_000]),
    resting=st.lists(st.booleans(), min_size=4, max_size=4),
    steps=STEPS,
)
def test_no_room_is_left_unused(
    uploads: bool,
    window: int,
    connection: int,
    resting: list[bool],
    steps: list[tuple[int, str, int]],
) -> None:
    asks = End(False) if uploads else End(False, window, connection)
    answers = End(True, window, connection) if uploads else End(True)
    sender, reader = (asks, answers) if uploads else (answers, asks)
    asks.connection_made(True)
    answers.connection_made(True)
    talk(asks, answers)
    for stream in STREAMS:
        asks.write_head(stream, 0, "POST", "/", [*REQUEST_HEADERS], False)
    talk(asks, answers)
    for stream, rests in zip(STREAMS, resting, strict=True):
        reader.reading[stream] = not rests
        sender.queued[stream] = 100_000
        sender.send(stream)
    talk(asks, answers)
    for stream, step, size in steps:
        if step == "send":
            sender.queued[stream] += size
            sender.send(stream)
        elif step == "read":
            reader.read(stream, size)
        else:
            reader.reading[stream] = step == "go on"
        talk(asks, answers)
    check(sender, reader, window, connection)
    # And all that is left arrives once it is read.
    reader.reading = dict.fromkeys(STREAMS, True)
    talk(asks, answers)
    assert sender.queued == reader.unread == dict.fromkeys(STREAMS, 0)


def check(sender: End, reader: End, window: int, connection: int) -> None:
    """Whoever still has to send something waits for a window that is full."""
    room = connection - sum(reader.unread.values())
    for stream, left in sender.queued.items():
        if left == 0 or room < LEAST:
            continue
        unread = reader.unread[stream]
        slack = LEAST if reader.reading[stream] else max(LEAST, window // PART)
        assert window - unread < min(slack, window), f"{stream}: {unread} unread, {room} of room"


def increments(conn: Recorder, stream: int) -> list[int]:
    return [f.increment for f in conn.frames() if f.type == WINDOW_UPDATE and f.stream == stream]


@pytest.mark.parametrize("make", [server, client], ids=["server", "client"])
def test_a_stream_goes_on_beside_one_that_nobody_reads(make: type) -> None:
    """Half of the connection's window never comes back: less has to do."""
    conn, peer = make(limits=Limits(initial_window_size=50_000))
    conn.manual_flow_control = True
    for stream in (1, 3):
        if make is server:
            conn.data_received(peer.headers(stream, POST))
        else:
            request(conn, "POST", final=False)
            conn.data_received(peer.headers(stream, RESPONSE))
    conn.take()
    for _ in range(5):
        conn.data_received(peer.data(1, bytes(10_000)))
    assert conn.frames() == []
    window = 15_535
    for _ in range(20):
        assert window >= 5_000, "no credit came"
        conn.data_received(peer.data(3, bytes(5_000)))
        conn.consume(3, 5_000)
        window += sum(increments(conn, 0)) - 5_000


def test_a_message_that_fits_the_window_arrives() -> None:
    """Of a stream that is consumed message by message, the next one has room."""
    conn, peer = server()
    conn.manual_flow_control = True
    conn.data_received(peer.headers(1, POST))
    conn.take()
    conn.data_received(peer.data(1, bytes(10_000)) * 2)
    conn.consume(1, 20_000)  # too little to be announced
    assert conn.frames() == []
    conn.data_received(peer.data(1, bytes(11_000)) * 3)
    assert conn.frames() == []
    conn.data_received(peer.data(1, bytes(12_000)))  # less than this is left
    updates = [f for f in conn.frames() if f.type == WINDOW_UPDATE]
    assert [(f.stream, f.increment) for f in updates] == [(1, 20_000), (0, 20_000)]


def test_small_steps_of_a_slow_reader_are_not_announced_one_by_one() -> None:
    conn, peer = server()
    conn.manual_flow_control = True
    conn.data_received(peer.headers(1, POST))
    conn.take()
    conn.data_received(peer.data(1, bytes(13_107)) * 5)
    for _ in range(16_384 // 16):
        conn.consume(1, 16)
    assert len(increments(conn, 1)) <= 16_384 // 4_095


# -- windows that the application itself has widened -----------------------------------------------


def large_frames() -> Limits:
    return Limits(max_frame_size=(1 << 24) - 1, small_frame_budget=None)


def opened() -> Recorder:
    """A server whose stream 1 is being received, without any credit of its own accord."""
    conn, peer = server(limits=large_frames())
    conn.manual_flow_control = True
    conn.data_received(peer.headers(1, POST))
    conn.take()
    return conn


@pytest.mark.parametrize("wide", [0, 1], ids=["connection", "stream"])
def test_what_is_consumed_never_overflows_a_window(wide: int) -> None:
    """`open_flow` makes room for what is unread; that is given back later, and only as it fits."""
    conn = opened()
    windows = {0: 65_535, 1: 65_535}

    def receive(size: int) -> None:
        for stream in windows:
            windows[stream] -= size
        assert min(windows.values()) >= 0
        conn.data_received(frame(DATA, 0, 1, bytes(size)))
        listen()

    def listen() -> None:
        for update in conn.frames():
            assert update.type == WINDOW_UPDATE and update.increment > 0
            windows[update.stream] += update.increment
            assert windows[update.stream] <= MAX_WINDOW

    receive(60_000)
    if wide == 1:
        conn.consume(1, 20_000)
    conn.open_flow(wide, MAX_WINDOW - windows[wide] - (20_000 if wide == 1 else 0))
    listen()
    conn.consume(1, 60_000)
    listen()
    other = 1 - wide
    conn.open_flow(other, 1_000_000_000 - windows[other] - 60_000)
    listen()
    # Half of the window, and more: by then all of it has been announced.
    piece = 16_000_000
    for _ in range(120):
        receive(piece)
        conn.consume(1, piece)
        listen()
    conn.write_reset(1, CANCEL)


def test_a_window_is_as_wide_as_the_settings_say_by_then() -> None:
    """Settings that make it smaller are under way when it is widened: the peer knows them first."""
    conn = opened()
    conn.data_received(conn.peer.data(1, bytes(16_000)) * 4)
    conn.take()
    conn.configure(initial_window_size=100)
    conn.open_flow(1, MAX_WINDOW - 100)
    with pytest.raises(raw.UsageError):
        conn.configure(initial_window_size=65_535)
    conn.data_received(conn.peer.settings(ack=True))
    first = conn.frames()[0]
    assert (first.type, first.settings) == (SETTINGS, [(INITIAL_WINDOW_SIZE, 100)])


@pytest.mark.parametrize("size", [-(1 << 70), -1, 0, 1 << 31, 1 << 62, 1 << 63, 1 << 70])
def test_any_number_can_be_consumed(size: int) -> None:
    conn = opened()
    conn.data_received(conn.peer.data(1, bytes(10_000)))
    for stream in numbers():
        conn.consume(stream, size)
    assert conn.frames() == []
    conn.consume(1, size)
    assert sum(increments(conn, 1)) in (0, 10_000)
    with pytest.raises(raw.UsageError):
        conn.open_flow(1, size)
    conn.data_received(conn.peer.ping())
    assert len(conn.frames()) == 1


def numbers() -> Iterator[int]:
    yield from (0, 3, -1, 1 << 31, 1 << 63, -(1 << 63), 1 << 70)
