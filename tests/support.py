"""A connection that records its events and output, and checks of outcomes.

Knows the public names of `cno.raw` and, from `tests.frames`, the wire. Must never know anything
private of the engine: the same tests run against the compiled and the uncompiled build.

A scenario is a function that makes a fresh connection, and the bytes that its peer sends (or a
function of the peer's `FrameFactory` giving them). `each_way`, `expect_connection_error` and
`expect_stream_error` play it whole, byte by byte, and cut in two at every place, and insist that
the cuts make no difference.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from cno import raw
from cno.limits import Limits
from tests.frames import *  # noqa: F403  # the wire is part of what this module gives
from tests.frames import (
    ACK,
    CANCEL,
    CONTINUATION,
    END_HEADERS,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    NO_ERROR,
    PING,
    POST,
    PREFACE,
    PUSH_PROMISE,
    REQUEST,
    REQUEST_HEADERS,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    Fields,
    Frame,
    FrameFactory,
    Headers,
    frame,
    parse_frames,
    u32,
)

# Sides of `on_stream_end`.
REMOTE, LOCAL = 0, 1

Event: TypeAlias = tuple[Any, ...]


class Recorder(raw.Connection):
    """A connection that keeps what it fires in `events` and what it writes for `take()`.

    Also keeps the promise that a stream starts and ends exactly once: an AssertionError comes out
    of the call that breaks it. `peer` is the pen of the other end, `error` what `each_way` caught.
    """

    def __init__(
        self,
        server: bool,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        options: dict[str, Any] = {}
        if limits is not None:
            options["limits"] = limits
        if clock is not None:
            options["clock"] = clock
        super().__init__(server, **options)
        self.server_side = server
        self.events: list[Event] = []
        self.written: list[bytes] = []
        self.open_streams: list[int] = []
        self.ended_streams: set[int] = set()
        self.reasons: list[str] = []  # of the responses of HTTP/1.1
        self.hello = b""
        self.peer = FrameFactory()
        self.error: raw.ConnectionError | None = None

    def take(self) -> bytes:
        """Return and forget what was written since the last time."""
        data = b"".join(self.written)
        self.written.clear()
        return data

    def frames(self) -> list[Frame]:
        """The frames among `take()`."""
        return parse_frames(self.take())

    def seen(self) -> list[Event]:
        """Return and forget the events, data joined."""
        events = merged(self.events)
        self.events.clear()
        return events

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds so far, data joined."""
        return [e for e in merged(self.events) if e[0] in kinds]

    def on_writev(self, chunks: list[bytes]) -> None:
        self.written.extend(bytes(c) for c in chunks)

    def on_close(self) -> None:
        self.events.append(("close",))

    def close(self) -> None:
        self.events.append(("close()",))

    def on_stream_start(self, stream: int) -> None:
        assert stream not in self.open_streams, f"stream {stream} started twice"
        assert stream not in self.ended_streams, f"stream {stream} started again"
        self.open_streams.append(stream)
        self.events.append(("start", stream))

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        assert stream in self.open_streams, f"stream {stream} ended without a start"
        self.open_streams.remove(stream)
        self.ended_streams.add(stream)
        self.events.append(("end", stream, code, side))

    def on_flow_increase(self, stream: int) -> None:
        self.events.append(("flow", stream))

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        if code and not self.is_http2:
            # The reason phrase stands apart: few tests are about it.
            self.reasons.append(method)
            method = ""
        self.events.append(("head", stream, code, method, path, list(headers)))

    def on_message_data(self, stream: int, data: bytes) -> None:
        assert data, "empty data delivered"
        self.events.append(("data", stream, bytes(data)))

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        self.events.append(("tail", stream, None if trailers is None else list(trailers)))

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.events.append(("push", stream, parent, method, path, list(headers)))

    def on_pong(self, data: bytes) -> None:
        self.events.append(("pong", bytes(data)))

    def on_settings(self) -> None:
        self.events.append(("settings",))

    def on_upgrade(self, stream: int) -> None:
        self.events.append(("upgrade", stream))


class FrameRecorder(Recorder):
    """Also records every frame, as ("frame", Frame) and ("frame_send", Frame)."""

    def on_frame(self, frame: Any) -> None:
        self.events.append(("frame", _plain(frame)))

    def on_frame_send(self, frame: Any) -> None:
        self.events.append(("frame_send", _plain(frame)))


def _plain(frame: Any) -> Frame:
    return Frame(frame.type, frame.flags, frame.stream, bytes(frame.payload))


def merged(events: Iterable[Event]) -> list[Event]:
    """The events with consecutive data of one stream joined, so that chunks do not show."""
    result: list[Event] = []
    for event in events:
        before = result[-1] if result else None
        if event[0] == "data" and before and before[0] == "data" and before[1] == event[1]:
            result[-1] = ("data", event[1], before[2] + event[2])
        else:
            result.append(event)
    return result


# -- started connections ---------------------------------------------------------------------------


def server(
    settings: Mapping[int, int] | None = None,
    *,
    configure: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] | None = None,
    recorder: type[Recorder] = Recorder,
) -> tuple[Recorder, FrameFactory]:
    """An HTTP/2 server after the handshake with a client that sent `settings`, and its pen.

    `configure` goes to `configure()` before the start. Both sides' SETTINGS are acknowledged; what
    the handshake fired and wrote is forgotten (the bytes are in `conn.hello`).
    """
    return _started(recorder(True, limits=limits, clock=clock), settings, configure)


def client(
    settings: Mapping[int, int] | None = None,
    *,
    configure: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] | None = None,
    recorder: type[Recorder] = Recorder,
) -> tuple[Recorder, FrameFactory]:
    """An HTTP/2 client after the handshake with a server that sent `settings`; see `server`."""
    return _started(recorder(False, limits=limits, clock=clock), settings, configure)


def _started(
    conn: Recorder, settings: Mapping[int, int] | None, configure: Mapping[str, int] | None
) -> tuple[Recorder, FrameFactory]:
    peer = conn.peer
    settings = settings or {}
    if configure:
        conn.configure(**configure)
    conn.connection_made(True)
    ours = sum(f.type == SETTINGS for f in parse_frames(b"".join(conn.written)))
    conn.data_received((PREFACE if conn.server_side else b"") + peer.settings(settings))
    conn.data_received(peer.settings(ack=True) * ours)
    if HEADER_TABLE_SIZE in settings:
        peer.decoder.max_allowed_table_size = settings[HEADER_TABLE_SIZE]
    conn.hello = conn.take()
    conn.events.clear()
    return conn, peer


def h1_server(
    *,
    limits: Limits | None = None,
    clock: Callable[[], float] | None = None,
    recorder: type[Recorder] = Recorder,
) -> Recorder:
    """An HTTP/1.1 server waiting for its first request."""
    conn = recorder(True, limits=limits, clock=clock)
    conn.connection_made(False)
    return conn


def h1_client(
    *,
    limits: Limits | None = None,
    clock: Callable[[], float] | None = None,
    recorder: type[Recorder] = Recorder,
) -> Recorder:
    """An HTTP/1.1 client that has sent nothing yet."""
    conn = recorder(False, limits=limits, clock=clock)
    conn.connection_made(False)
    return conn


def request(
    conn: Recorder,
    method: str = "GET",
    path: str = "/",
    headers: Headers | None = None,
    *,
    final: bool = True,
) -> int:
    """Make a client send a request with its next stream id, which is returned."""
    stream = conn.next_stream
    fields = list(REQUEST_HEADERS) if headers is None else headers
    conn.write_head(stream, 0, method, path, fields, final)
    return stream


def client_with_request(
    method: str = "GET",
    *,
    final: bool = True,
    settings: Mapping[int, int] | None = None,
    configure: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    recorder: type[Recorder] = Recorder,
) -> tuple[Recorder, FrameFactory]:
    """A client whose request on stream 1 has been written (and read by the pen, then forgotten)."""
    conn, peer = client(settings, configure=configure, limits=limits, recorder=recorder)
    request(conn, method, final=final)
    read_blocks(conn, peer)
    conn.events.clear()
    return conn, peer


def server_with_request(
    headers: Fields = POST,
    *,
    end_stream: bool = False,
    settings: Mapping[int, int] | None = None,
    configure: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    recorder: type[Recorder] = Recorder,
) -> tuple[Recorder, FrameFactory]:
    """A server that has received a request on stream 1 (events and output forgotten)."""
    conn, peer = server(settings, configure=configure, limits=limits, recorder=recorder)
    conn.data_received(peer.headers(1, headers, end_stream=end_stream))
    conn.take()
    conn.events.clear()
    return conn, peer


def read_blocks(conn: Recorder, peer: FrameFactory | None = None) -> list[tuple[int, Headers]]:
    """Take what was written; return (stream, fields) of each field block in it, decoded."""
    peer = peer or conn.peer
    blocks: list[tuple[int, Headers]] = []
    fragment = b""
    for f in conn.frames():
        if f.type not in (HEADERS, PUSH_PROMISE, CONTINUATION):
            continue
        fragment += f.payload[4:] if f.type == PUSH_PROMISE else f.payload
        if f.flags & END_HEADERS:
            blocks.append((f.stream, peer.decode(fragment)))
            fragment = b""
    return blocks


# -- scenarios -------------------------------------------------------------------------------------

Made: TypeAlias = Recorder | tuple[Recorder, FrameFactory]
Make: TypeAlias = Callable[[], Made]
Input: TypeAlias = bytes | Callable[[FrameFactory], bytes]

#: Shorter scenarios are also cut in two, at every place; a quick run leaves most places out.
CUT_BELOW = 400
cut_step = 1
#: Whether variants that are marked as slow are left out: see `variants`.
quick = False


def variants(*params: Any) -> list[Any]:
    """Return parameters for tests, in a quick run without those that are marked as slow.

    Tests that are collected and then left out would take a quarter of the time to collect.
    """
    slow = [p for p in params if any(m.name == "slow" for m in getattr(p, "marks", ()))]
    return [each for each in params if not quick or each not in slow]


def _fresh(make: Make) -> Recorder:
    made = make()
    return made if isinstance(made, Recorder) else made[0]


def _bytes(conn: Recorder, data: Input) -> bytes:
    return data if isinstance(data, bytes) else data(conn.peer)


def _cuts(size: int) -> Iterator[list[int]]:
    """Where to cut: nowhere, everywhere, and (if short) once at each place, or each few."""
    yield []
    yield list(range(1, size))
    if size < CUT_BELOW:
        for at in range(1, size, cut_step):
            yield [at]


def feed(conn: Recorder, data: bytes, cuts: Sequence[int] = ()) -> None:
    """Give the data cut at these places. A ProtocolError is kept in `conn.error`.

    What follows the error is given too: it must be ignored, so a second error is an AssertionError.
    """
    start = 0
    for end in (*cuts, len(data)):
        try:
            conn.data_received(data[start:end])
        except raw.ProtocolError as error:
            assert conn.error is None, f"a second error: {error}"
            conn.error = error
        start = end


def _error(conn: Recorder) -> tuple[Any, ...] | None:
    e = conn.error
    return None if e is None else (type(e), e.errno, e.code, e.stream)


def play(make: Make, data: Input, *, output: bool = True) -> Recorder:
    """Play a scenario in every cut; return the connection that got it whole. Errors: `conn.error`.

    Every cut must give the same events (data joined), the same error and, unless `output` is false,
    the same bytes written.
    """
    first = _fresh(make)
    given = _bytes(first, data)
    for cuts in _cuts(len(given)):
        conn = first if not cuts else _fresh(make)
        if cuts:
            assert _bytes(conn, data) == given, "the scenario is not the same each time"
        feed(conn, given, cuts)
        if conn is first:
            continue
        where = "every byte" if len(cuts) > 1 else f"byte {cuts[0]}"
        assert merged(conn.events) == merged(first.events), f"other events when cut at {where}"
        assert _error(conn) == _error(first), f"other error when cut at {where}"
        if output:
            got, want = b"".join(conn.written), b"".join(first.written)
            assert got == want, f"other output when cut at {where}"
    return first


def each_way(make: Make, data: Input, *, output: bool = True) -> Recorder:
    """`play` a scenario that goes well; raises the ProtocolError if it does not."""
    conn = play(make, data, output=output)
    if conn.error is not None:
        raise conn.error
    return conn


def expect_connection_error(
    target: Recorder | Make, data: Input, code: int, *, last: int | None = None
) -> Recorder:
    """CE(code): that GOAWAY comes last, streams end, close once, later input is ignored.

    `target` is a connection, or a function that makes one (then the scenario is cut everywhere).
    `last` is the expected last stream id of the GOAWAY, if it matters.
    """
    if isinstance(target, Recorder):
        conn = target
        feed(conn, _bytes(conn, data))
    else:
        conn = play(target, data)
    assert isinstance(conn.error, raw.ProtocolError), "no ProtocolError was raised"
    assert conn.error.errno == raw.CNO_ERRNO_PROTOCOL
    frames = conn.frames()
    assert frames, "nothing was written"
    assert (frames[-1].type, frames[-1].stream) == (GOAWAY, 0), frames
    assert sum(f.type == GOAWAY and f.code != NO_ERROR for f in frames) == 1, frames
    assert frames[-1].code == code, f"GOAWAY({frames[-1].code}), not GOAWAY({code}): {conn.error}"
    assert conn.error.code == code
    if last is not None:
        assert frames[-1].last == last, f"GOAWAY(last={frames[-1].last}), not {last}"
    _expect_closed(conn)
    return conn


def _expect_closed(conn: Recorder) -> None:
    """After a fatal error: all streams ended, closed once, deaf and dumb."""
    assert conn.open_streams == [], "streams left open"
    assert conn.events[-2:] == [("close",), ("close()",)], conn.events
    assert conn.events.count(("close",)) == conn.events.count(("close()",)) == 1, conn.events
    before = list(conn.events)
    conn.data_received(frame(PING, 0, 0, b"too late") + b"\0" * 20)
    conn.data_received(b"x" * 100)
    try:
        conn.write_ping(b"too late")
    except raw.DisconnectError as error:
        assert error.errno == raw.CNO_ERRNO_DISCONNECT
    else:
        raise AssertionError("a write after the end was accepted")
    assert conn.events == before, "an event after the end"
    assert conn.take() == b"", "output after the end"


def expect_stream_error(target: Recorder | Make, data: Input, stream: int, code: int) -> Recorder:
    """SE(code): exactly that RST_STREAM is written, nothing raised, and all else works on.

    A stream that has started ends with (code, LOCAL); a PING is answered; the next message decodes
    (with indices into the dynamic table, so a lost field block would show).
    """
    if isinstance(target, Recorder):
        conn = target
        before = list(conn.open_streams)
        feed(conn, _bytes(conn, data))
    else:
        before = list(_fresh(target).open_streams)
        conn = play(target, data)
    if conn.error is not None:
        raise AssertionError(f"a connection error: {conn.error}") from conn.error
    frames = conn.frames()
    assert frames == [Frame(RST_STREAM, 0, stream, u32(code))], frames
    ends = [e for e in conn.events if e[0] == "end" and e[1] == stream]
    if stream in before or ("start", stream) in conn.events:
        assert ends == [("end", stream, code, LOCAL)], conn.events
    else:
        assert ends == [], conn.events
    assert ("close",) not in conn.events
    expect_alive(conn)
    return conn


def expect_nothing(target: Recorder | Make, data: Input) -> Recorder:
    """Ignored: no event, no output, no error, and the connection works on."""
    if isinstance(target, Recorder):
        conn = target
        conn.events.clear()
        conn.take()
        feed(conn, _bytes(conn, data))
    else:
        conn = play(target, data)
    if conn.error is not None:
        raise AssertionError(f"a connection error: {conn.error}") from conn.error
    assert conn.frames() == []
    assert conn.events == []
    expect_alive(conn)
    return conn


def expect_alive(conn: Recorder) -> None:
    """The connection answers a PING, and two further messages decode. Its events are kept."""
    kept = list(conn.events)
    conn.events.clear()
    conn.data_received(conn.peer.ping(b"are you?"))
    assert conn.frames() == [Frame(PING, ACK, 0, b"are you?")]
    for _ in range(2):
        if conn.server_side:
            _expect_request_decodes(conn)
        else:
            _expect_response_decodes(conn)
    conn.events[:] = kept


#: Where `expect_alive` takes its request ids from: far above those of any scenario.
PROBE = 1_000_001


def _expect_request_decodes(conn: Recorder) -> None:
    probe = PROBE
    while probe in conn.open_streams or probe in conn.ended_streams:
        probe += 2
    fields = [*REQUEST, ("x-probe", "decodes")]
    conn.data_received(conn.peer.headers(probe, fields, end_stream=True))
    head = ("head", probe, 0, "GET", "/", [*REQUEST_HEADERS, ("x-probe", "decodes")])
    assert conn.seen() == [("start", probe), head, ("tail", probe, None)]
    conn.data_received(conn.peer.rst(probe))
    assert conn.seen() == [("end", probe, CANCEL, REMOTE)]
    assert conn.take() == b""


def _expect_response_decodes(conn: Recorder) -> None:
    stream = request(conn)
    (written,) = read_blocks(conn)
    assert written == (stream, REQUEST)
    conn.events.clear()
    fields = [*RESPONSE, ("x-probe", "decodes")]
    conn.data_received(conn.peer.headers(stream, fields, end_stream=True))
    assert conn.seen() == [
        ("head", stream, 200, "", "", [("x-probe", "decodes")]),
        ("tail", stream, None),
        ("end", stream, NO_ERROR, REMOTE),
    ]
    assert conn.take() == b""


class Pair:
    """A cno client and a cno server joined back to back. Nothing moves until `pump()`."""

    def __init__(
        self,
        http2: bool = True,
        *,
        client_limits: Limits | None = None,
        server_limits: Limits | None = None,
        recorder: type[Recorder] = Recorder,
    ) -> None:
        self.client = recorder(False, limits=client_limits)
        self.server = recorder(True, limits=server_limits)
        self.client.connection_made(http2)
        self.server.connection_made(http2)

    def pump(self, chunk: int = 1 << 30) -> None:
        """Carry bytes both ways, `chunk` at a time, until neither side has anything to say."""
        while True:
            up, down = self.client.take(), self.server.take()
            if not up and not down:
                return
            for target, data in ((self.server, up), (self.client, down)):
                for at in range(0, len(data), chunk):
                    target.data_received(data[at : at + chunk])

    def start(self) -> "Pair":
        """Finish the handshake and forget its events."""
        self.pump()
        self.client.events.clear()
        self.server.events.clear()
        return self
