"""Random conversations, valid and not, and what must add up in the end, seen from outside.

The peer keeps the books: windows and streams as it sees them. Whatever happened, when all is read
and ended the connection's window is back to half of its size at least and the rest is owed, nothing
counts against a limit any more, and every stream that started has ended once (`Recorder` insists).
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cno import raw
from cno.limits import Limits
from tests.support import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    POST,
    PUSH_PROMISE,
    REFUSED_STREAM,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameFactory,
    Recorder,
    client,
    frame,
    server,
)

WINDOW = 65_535
STREAMS = 4
LIMITS = Limits(
    max_concurrent_streams=STREAMS, max_pushes=STREAMS, max_error_resets=None, glitch_budget=None
)


class Boom(Exception):
    """What an event raises, now and then."""


class Moody(Recorder):
    """Keeps count of what is not consumed; `mood` is what its next on_message_data does."""

    mood = 0

    def __init__(self, server: bool, **options: Any) -> None:
        super().__init__(server, **options)
        self.unread: dict[int, int] = {}

    def on_message_data(self, stream: int, data: bytes) -> None:
        super().on_message_data(stream, data)
        self.unread[stream] = self.unread.get(stream, 0) + len(data)
        mood, self.mood = self.mood, 0
        if mood == 1:
            self.write_reset(stream, CANCEL)
        elif mood == 2:
            self.read(stream, len(data))
        elif mood == 3:
            raise Boom
        elif mood == 4:
            self.answer(stream, True)
        elif mood == 5:
            self.open_flow(stream, 1 + len(data) // 2)

    def read(self, stream: int, size: int) -> None:
        """The application is done with so many octets."""
        size = min(size, self.unread.get(stream, 0))
        self.unread[stream] = self.unread.get(stream, 0) - size
        if size and size % 2:
            self.open_flow(stream, size)
        else:
            self.consume(stream, size)

    def answer(self, stream: int, final: bool) -> None:
        with suppress(raw.UsageError, raw.InvalidStreamError):
            if self.server_side:
                self.write_head(stream, 200, "", "", [], False)
            self.write_data(stream, b"octets", final)


class Talk:
    """A conversation, and the peer's books. Rules take two numbers and do what these allow."""

    def __init__(self, conn: Recorder, manual: bool) -> None:
        assert isinstance(conn, Moody)
        self.conn = conn
        self.peer = conn.peer
        conn.manual_flow_control = manual
        self.window = WINDOW  # what the peer may send on the connection
        self.windows: dict[int, int] = {}  # and on each stream
        self.initial = WINDOW
        self.granted = WINDOW  # what the connection under test may send
        self.known: list[int] = []  # streams that were ever mentioned
        self.next_id = 1 if conn.server_side else 2
        self.ended: set[int] = set()  # by the peer's END_STREAM, or by any reset
        self.unacked = 0
        self.goaway = False
        self.dead = False

    def say(self, data: bytes) -> None:
        """Send, and read what comes back."""
        try:
            self.conn.data_received(data)
        except Boom:
            self.conn.data_received(b"")  # what was left behind
        except raw.ProtocolError:
            self.dead = True
        self.listen()

    def listen(self) -> None:
        fragment = b""
        for f in self.conn.frames():
            if f.type == WINDOW_UPDATE:
                assert f.increment > 0
                if f.stream == 0:
                    self.window += f.increment
                else:
                    self.windows[f.stream] = self.windows.get(f.stream, 0) + f.increment
            elif f.type == DATA:
                self.granted -= len(f.payload)
                assert self.granted >= 0
            elif f.type in (HEADERS, PUSH_PROMISE, CONTINUATION):
                fragment += f.payload[4:] if f.type == PUSH_PROMISE else f.payload
                if f.flags & END_HEADERS:
                    self.peer.decode(fragment)
                    fragment = b""
            elif f.type == RST_STREAM:
                self.ended.add(f.stream)
            elif f.type == SETTINGS and not f.flags:
                self.unacked += 1
                change = dict(f.settings).get(INITIAL_WINDOW_SIZE, self.initial) - self.initial
                self.initial += change
                self.windows = {k: v + change for k, v in self.windows.items()}
            elif f.type == GOAWAY:
                self.goaway = True
        assert self.window <= WINDOW, "more credit than was used"

    def pick(self, n: int) -> int | None:
        return self.known[n % len(self.known)] if self.known else None

    def acknowledge(self) -> None:
        while self.unacked and not self.dead:
            self.unacked -= 1
            self.say(self.peer.settings(ack=True))

    # -- rules: the peer --------------------------------------------------------------------------

    def peer_data(self, n: int, size: int) -> None:
        """DATA as the windows allow, in any state; padded, ending, or cut by a reset."""
        stream = self.pick(n)
        if stream is None:
            return
        pad = size % 256 if size % 3 == 0 else None
        room = min(self.window, max(0, self.windows.get(stream, 0)), 16_384)
        if room < 257:
            pad = None
        size = min(size, room - (257 if pad is not None else 0))
        if size < 0:
            return
        end = n % 4 == 0 and stream not in self.ended
        if end:
            self.ended.add(stream)
        data = self.peer.data(stream, bytes(size), end, pad=pad)
        self.window -= len(data) - 9
        self.windows[stream] = self.windows.get(stream, 0) - (len(data) - 9)
        if n % 5 == 0:
            cut = len(data) // 2
            self.say(data[:cut])
            self.app_reset(n, size)
            data = data[cut:]
        self.say(data)

    def peer_reset(self, n: int, _: int) -> None:
        stream = self.pick(n)
        if stream is not None:
            self.ended.add(stream)
            self.say(self.peer.rst(stream))

    def peer_trailers(self, n: int, size: int) -> None:
        stream = self.pick(n)
        if stream is not None and stream not in self.ended:
            self.ended.add(stream)
            bad = size % 3 == 0
            self.say(self.peer.headers(stream, [("X" if bad else "x", "y")], end_stream=True))

    def peer_window(self, n: int, size: int) -> None:
        """A stream's window grows, by 0 at times: an error."""
        stream = self.pick(n)
        if stream is not None and stream in self.conn.open_streams:
            with suppress(raw.ProtocolError):
                self.say(self.peer.window_update(stream, size % 1000))

    def peer_settings(self, n: int, size: int) -> None:
        self.say(self.peer.settings({INITIAL_WINDOW_SIZE: size}))

    def mood(self, n: int, _: int) -> None:
        self.conn.mood = n % 6

    # -- rules: the application -------------------------------------------------------------------

    def app_reset(self, n: int, _: int) -> None:
        stream = self.pick(n)
        if stream is not None and not self.dead:
            with suppress(raw.InvalidStreamError):  # it may have been ignored
                self.conn.write_reset(stream, CANCEL)
            self.listen()

    def app_answer(self, n: int, size: int) -> None:
        stream = self.pick(n)
        if stream is not None and not self.dead:
            self.conn.answer(stream, size % 2 == 0)
            self.listen()

    def app_read(self, n: int, size: int) -> None:
        stream = self.pick(n)
        if stream is not None and not self.dead and self.conn.manual_flow_control:
            self.conn.read(stream, size)
            self.listen()

    def app_configure(self, n: int, size: int) -> None:
        if not self.dead:
            self.conn.configure(initial_window_size=size)
            self.listen()
            if n % 2:
                self.acknowledge()

    # -- the end ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Consume some of what is unread, end everything: that gives back the rest."""
        self.say(self.peer.window_update(0, WINDOW * 100))
        self.acknowledge()
        for stream in list(self.conn.unread):
            if stream % 4 == 1:
                self.conn.read(stream, 1 << 30)
        self.listen()
        for n, stream in enumerate(list(self.conn.open_streams)):
            if n % 3 == 0:
                self.conn.write_reset(stream, NO_ERROR)
            else:
                self.ended.add(stream)
                self.say(self.peer.rst(stream))
        self.listen()

    def check(self) -> None:
        if self.dead:
            assert self.conn.open_streams == []
            assert [e for e in self.conn.events if e[0].startswith("close")] == [
                ("close",),
                ("close()",),
            ]
            self.conn.data_received(b"whatever")
            assert self.conn.take() == b""
            return
        self.settle()
        assert self.conn.open_streams == []
        assert 2 * self.window >= WINDOW, f"the window is stuck at {self.window}"
        self.exhaust()

    def exhaust(self) -> None:
        """Octets that nobody reads make it tell all it owes, which is the whole window."""
        for _ in range(5):
            if self.known and self.window < WINDOW:
                size = min(self.window, 16_384)
                self.window -= size
                self.say(self.peer.data(self.known[0], bytes(size)))
        assert not self.known or self.window == WINDOW, f"{WINDOW - self.window} octets lost"


class ServerTalk(Talk):
    """The connection under test is a server."""

    def peer_opens(self, n: int, size: int) -> None:
        """A request: good, malformed, too many, with a content-length that may turn out wrong."""
        stream = self.next_id
        self.next_id += 2
        self.known.append(stream)
        self.windows[stream] = self.initial
        fields = list(POST)
        if n % 4 == 1:
            fields.append(("content-length", str(size)))
        elif n % 9 == 2:
            fields.append(("Upper", "case"))
        end = n % 3 == 0
        if end:
            self.ended.add(stream)
        self.say(self.peer.headers(stream, fields, end_stream=end))

    def app_push(self, n: int, _: int) -> None:
        stream = self.pick(n)
        if stream is not None and not self.dead:
            self.conn.write_push(stream, "GET", "/pushed", list(REQUEST_HEADERS))
            self.listen()
            for started in self.conn.open_streams:
                if started % 2 == 0 and started not in self.known:
                    self.known.append(started)
                    self.ended.add(started)

    def check(self) -> None:
        super().check()
        if self.dead:
            return
        first = max(self.next_id, 1)
        ids = range(first, first + 2 * STREAMS, 2)
        for stream in ids:
            self.conn.data_received(self.peer.headers(stream, REQUEST))
        assert self.conn.open_streams == list(ids)
        self.listen()
        self.conn.data_received(self.peer.headers(first + 2 * STREAMS, REQUEST))
        (refused,) = self.conn.frames()
        assert (refused.type, refused.code) == (RST_STREAM, REFUSED_STREAM)


class ClientTalk(Talk):
    """The connection under test is a client."""

    def app_requests(self, n: int, _: int) -> None:
        if self.dead:
            return
        stream = self.conn.next_stream
        try:
            fields = list(REQUEST_HEADERS)
            self.conn.write_head(stream, 0, "POST", "/", fields, n % 2 == 0)
        except raw.WouldBlockError:
            return
        self.known.append(stream)
        self.windows[stream] = self.initial
        self.listen()

    def peer_responds(self, n: int, size: int) -> None:
        """A response, a 1xx, or a malformed one; to a request or on a push."""
        stream = self.pick(n)
        if stream is None or stream in self.ended:
            return
        status = ("200", "103", "099", "204")[size % 4]
        end = n % 3 == 0
        if end:
            self.ended.add(stream)
        self.say(self.peer.headers(stream, [(":status", status)], end_stream=end))

    def peer_pushes(self, n: int, size: int) -> None:
        """A promise, of something that must not be pushed at times."""
        parent = self.pick(n)
        if parent is None or parent % 2 == 0 or parent in self.ended:
            return
        if parent not in self.conn.open_streams:
            return
        stream = self.next_id
        self.next_id += 2
        self.known.append(stream)
        self.windows[stream] = self.initial
        self.say(self.peer.push_promise(parent, stream, POST if size % 4 == 0 else REQUEST))

    def check(self) -> None:
        super().check()
        if self.dead:
            return
        for _ in range(STREAMS):
            self.app_requests(0, 0)
        assert len(self.conn.open_streams) == STREAMS
        with pytest.raises(raw.WouldBlockError):
            self.conn.write_head(self.conn.next_stream, 0, "GET", "/", list(REQUEST_HEADERS), True)
        parent = self.conn.open_streams[0]
        pushed = range(self.next_id, self.next_id + 2 * STREAMS, 2)
        for stream in pushed:
            self.say(self.peer.push_promise(parent, stream, REQUEST))
        for stream in pushed:
            self.say(self.peer.headers(stream, RESPONSE))
        self.next_id += 2 * STREAMS
        assert len(self.conn.open_streams) == 2 * STREAMS
        self.conn.data_received(self.peer.push_promise(parent, self.next_id, REQUEST))
        (refused,) = self.conn.frames()
        assert (refused.type, refused.code) == (RST_STREAM, REFUSED_STREAM)


PEER_LIMITS = {MAX_CONCURRENT_STREAMS: STREAMS}


def talk_as_server(manual: bool) -> Talk:
    conn, _ = server({MAX_CONCURRENT_STREAMS: 1000}, limits=LIMITS, recorder=Moody)
    return ServerTalk(conn, manual)


def talk_as_client(manual: bool) -> Talk:
    ours = {"max_concurrent_streams": STREAMS}
    conn, _ = client(PEER_LIMITS, configure=ours, limits=LIMITS, recorder=Moody)
    return ClientTalk(conn, manual)


SHARED = [
    "peer_data",
    "peer_data",
    "peer_data",
    "peer_reset",
    "peer_trailers",
    "peer_window",
    "peer_settings",
    "mood",
    "app_reset",
    "app_answer",
    "app_read",
    "app_configure",
]
SERVER_RULES = ["peer_opens", "peer_opens", "peer_opens", "app_push", *SHARED]
CLIENT_RULES = ["app_requests", "app_requests", "peer_responds", "peer_responds", "peer_pushes"]
CLIENT_RULES += SHARED


def steps(rules: list[str]) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    step = st.tuples(st.sampled_from(rules), st.integers(0, 60), st.integers(0, 16_000))
    return st.lists(step, min_size=8, max_size=80)


def play(talk: Talk, script: list[tuple[str, int, int]]) -> None:
    for rule, n, size in script:
        if talk.dead:
            break
        getattr(talk, rule)(n, size)


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@given(script=steps(SERVER_RULES))
@settings(max_examples=200, deadline=None)
def test_a_servers_books(manual: bool, script: list[tuple[str, int, int]]) -> None:
    talk = talk_as_server(manual)
    play(talk, script)
    talk.check()


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@given(script=steps(CLIENT_RULES))
@settings(max_examples=200, deadline=None)
def test_a_clients_books(manual: bool, script: list[tuple[str, int, int]]) -> None:
    talk = talk_as_client(manual)
    play(talk, script)
    talk.check()


@given(script=steps(SERVER_RULES), after=steps(SERVER_RULES), manual=st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_server_that_goes_away_only_drains(
    script: list[tuple[str, int, int]], after: list[tuple[str, int, int]], manual: bool
) -> None:
    talk = talk_as_server(manual)
    play(talk, script)
    if talk.dead:
        return
    talk.conn.mood = 0
    talk.conn.shutdown()
    talk.conn.shutdown()
    talk.listen()
    assert talk.goaway
    started = set(talk.conn.open_streams) | talk.conn.ended_streams
    for rule, n, size in after:
        if ("close",) in talk.conn.events:
            break
        if rule not in ("app_configure", "mood") and not talk.dead:
            with suppress(raw.DisconnectError):
                getattr(talk, rule)(n, size)
    assert set(talk.conn.open_streams) | talk.conn.ended_streams == started
    if not talk.dead:
        for stream in list(talk.conn.open_streams):
            assert ("close",) not in talk.conn.events
            talk.conn.write_reset(stream, CANCEL)
        assert talk.conn.events.count(("close",)) == 1
        assert talk.conn.events[-1] == ("close",)
        talk.listen()
        talk.conn.data_received(talk.peer.ping())
        assert talk.conn.take() == b""


# -- cost ------------------------------------------------------------------------------------------


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs; nothing of compiled code shows."""
    count = 0

    def trace(_: FrameType, event: str, __: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


FREE = Limits(
    glitch_budget=None,
    max_empty_frames=None,
    max_stream_resets=None,
    max_error_resets=None,
    max_concurrent_streams=None,
    max_pushes=None,
)

Tiny = Callable[[FrameFactory, int], bytes]

#: What a client sends, the i-th time; stream 1 is open, stream 3 was reset by the server.
TINY: dict[str, Tiny] = {
    "ping": lambda peer, i: peer.ping(),
    "settings": lambda peer, i: peer.settings({INITIAL_WINDOW_SIZE: 1000 + i}),
    "window": lambda peer, i: peer.window_update(1, 1),
    "data": lambda peer, i: peer.data(1, b"."),
    "empty data": lambda peer, i: peer.data(1, b""),
    "padding": lambda peer, i: peer.data(1, b"", pad=0),
    "late data": lambda peer, i: peer.data(3, b"."),
    "priority": lambda peer, i: peer.priority(2 * i + 1),
    "unknown": lambda peer, i: frame(0x42, 0, 0, b""),
    "late reset": lambda peer, i: peer.rst(3),
    "goaway": lambda peer, i: peer.goaway(2**31 - 1 - i),
    "open": lambda peer, i: peer.headers(5 + 2 * i, REQUEST, end_stream=True),
    "skip": lambda peer, i: peer.headers(5 + 6 * i, REQUEST, end_stream=True),
    "open and reset": lambda peer, i: peer.headers(5 + 2 * i, POST) + peer.rst(5 + 2 * i),
    "malformed": lambda peer, i: peer.headers(5 + 2 * i, RESPONSE),
}


def cost(tiny: Tiny, times: int, one_by_one: bool) -> int:
    conn, peer = server(limits=FREE)
    conn.data_received(peer.headers(1, POST) + peer.headers(3, POST))
    conn.write_reset(3, CANCEL)
    pieces = [tiny(peer, i) for i in range(times)]
    if not one_by_one:
        pieces = [b"".join(pieces)]

    def give() -> None:
        for piece in pieces:
            conn.data_received(piece)

    return lines_run(give)


@pytest.mark.parametrize("one_by_one", [False, True], ids=["at once", "one by one"])
@pytest.mark.parametrize("kind", TINY)
def test_many_tiny_frames_cost_no_more_each(kind: str, one_by_one: bool) -> None:
    few, many = (cost(TINY[kind], times, one_by_one) for times in (400, 2_000))
    if few < 4_000:
        pytest.skip("compiled code cannot be counted")
    assert many < 5 * few * 1.1
