"""A connection under observation: what its events may say after what they have said.

Knows the public names of `cno.raw`. An AssertionError comes out of the call that breaks a rule.
Must never know who made up what the connection is given.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cno import raw
from cno.limits import Limits
from tests.support import CANCEL, REQUEST_HEADERS, Headers, Recorder, merged

#: Bits of a mood: what the application in a connection does of its own accord.
ANSWER, MANUAL, TIGHT, UPGRADE = 1, 2, 4, 8
EARLY, RESET, CONSUME, SHUT = 16, 32, 64, 128

#: Bounds that short inputs reach.
SMALL = Limits(
    max_concurrent_streams=3,
    max_pipelined=2,
    max_pushes=2,
    max_reset_history=2,
    max_header_list_size=400,
    max_header_fields=9,
    max_header_bytes_per_connection=1000,
    max_header_block_size=300,
    max_continuation_frames=2,
    header_table_size=128,
    max_encoder_table_size=128,
    max_informational=2,
    initial_window_size=64,
    max_settings_entries=4,
    max_empty_frames=4,
    small_frame_budget=600,
    max_queued_control_frames=20,
    max_stream_resets=6,
    max_error_resets=6,
    glitch_budget=30,
    max_line_size=200,
    max_chunk_ext_size=20,
    max_trailer_size=80,
    max_trailer_fields=3,
    max_body_size=500,
)


class Watched(Recorder):
    """A recorder that insists on the order of events, with an application of some mood."""

    def __init__(self, server: bool, mood: int = 0, limits: Limits | None = None) -> None:
        super().__init__(server, limits=SMALL if mood & TIGHT else limits)
        self.mood = mood
        self.manual_flow_control = bool(mood & MANUAL)
        self.heads: dict[int, int] = {}  # the code of the last head, by stream
        self.told: set[int] = set()  # streams whose message is complete
        self.over = False
        self.refusals: list[tuple[str, int, str]] = []  # what the application was not allowed

    # -- the rules --------------------------------------------------------------------------------

    def on_writev(self, chunks: list[bytes]) -> None:
        assert chunks and all(type(c) is bytes and c for c in chunks), "an empty write"
        super().on_writev(chunks)

    def on_close(self) -> None:
        assert not self.over, "closed twice"
        assert not self.open_streams, "closed with open streams"
        self.over = True
        super().on_close()

    def on_stream_start(self, stream: int) -> None:
        assert not self.over, "a stream after the end"
        super().on_stream_start(stream)

    def on_flow_increase(self, stream: int) -> None:
        # HTTP/1.1: also for a request that had to wait for its turn to begin.
        known = stream == 0 or stream in self.open_streams or not self.is_http2
        assert known, "room on a stream that is closed"
        super().on_flow_increase(stream)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers
    ) -> None:
        assert stream in self.open_streams, "a head outside of its stream"
        assert stream not in self.told, "a head after the end of its message"
        assert self.heads.get(stream, 100) < 200, "two heads"
        assert method or code, "a request without a method"
        assert not (code and self.is_http2 and method), "a reason phrase in HTTP/2"
        assert (code == 0) == self.server_side, "a message for the other side"
        assert code == 0 or 100 <= code <= 999
        assert all(type(n) is str and type(v) is str for n, v in headers)
        assert all(n and n == n.lower() for n, v in headers), headers
        assert not any(c in n + v for n, v in headers for c in "\r\n\0"), headers
        self.heads[stream] = code or 200
        super().on_message_head(stream, code, method, path, headers)
        if self.mood & RESET and stream % 3 == 0:
            self.attempt(lambda: self.write_reset(stream, CANCEL))
        elif self.mood & EARLY and self.server_side and stream % 2:
            self.respond(stream)

    def on_message_data(self, stream: int, data: bytes) -> None:
        assert stream in self.open_streams, "data outside of its stream"
        assert stream not in self.told, "data after the end of its message"
        assert self.heads.get(stream, 0) >= 200 or self.heads.get(stream) == 101, "data, no head"
        super().on_message_data(stream, data)
        if self.mood & CONSUME:
            self.consume(stream, len(data))

    def on_message_tail(self, stream: int, trailers: Headers | None) -> None:
        assert stream in self.open_streams, "a tail outside of its stream"
        assert stream not in self.told, "two tails"
        assert stream in self.heads, "a tail without a head"
        self.told.add(stream)
        super().on_message_tail(stream, trailers)
        if self.server_side and stream % 2 and not self.mood & EARLY:
            if self.mood & ANSWER:
                self.respond(stream)
            if self.mood & SHUT and stream > 4:
                self.attempt(self.shutdown)

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: Headers
    ) -> None:
        assert not self.server_side
        assert stream in self.open_streams and parent in self.open_streams
        super().on_message_push(stream, parent, method, path, headers)
        if self.mood & RESET:
            self.attempt(lambda: self.write_reset(stream, CANCEL))

    def on_upgrade(self, stream: int) -> None:
        assert stream in self.open_streams
        super().on_upgrade(stream)
        if self.mood & UPGRADE:
            self.attempt(lambda: self.write_head(stream, 101, "", "", [("upgrade", "x")], False))

    def write_head(
        self, stream: int, code: int, method: str, path: str, headers: Headers, final: bool
    ) -> None:
        told = stream in self.told
        if code == 101:
            # The request was complete; what follows is the tunnel's.
            self.told.discard(stream)
        try:
            super().write_head(stream, code, method, path, headers, final)
        except raw.ConnectionError:
            if told:
                self.told.add(stream)
            raise

    # -- the application --------------------------------------------------------------------------

    def attempt(self, call: Callable[[], object]) -> bool:
        """Do what may not be allowed; whether it was."""
        try:
            call()
        except raw.ProtocolError:
            raise
        except raw.ConnectionError as error:
            self.refusals.append((type(error).__name__, int(error.stream or 0), str(error)))
            return False
        return True

    def respond(self, stream: int) -> None:
        """Interim and final head, body, trailers; part of it, depending on the stream."""
        if stream % 3 == 0:
            self.attempt(lambda: self.write_head(stream, 103, "", "", [("link", "</>")], False))
        if stream % 5 == 0:
            self.attempt(lambda: self.write_push(stream, "GET", "/p", list(REQUEST_HEADERS)))
        fields = [("server", "x"), ("x-n", str(stream))]
        if not self.attempt(lambda: self.write_head(stream, 200, "", "", fields, False)):
            return
        self.attempt(lambda: self.write_data(stream, b"answer", stream % 4 == 1))
        if stream % 4 != 1:
            self.attempt(lambda: self.write_tail(stream, [("x-t", "z")]))


Result = tuple[Any, ...]


def deliver(conn: Watched, data: bytes, cuts: Sequence[int] = ()) -> Result:
    """Give it, cut there; nothing but a ProtocolError may come of it. What came of it."""
    error: Result | None = None
    blocked = False
    start = 0
    for end in (*cuts, len(data)):
        piece = data[start:end]
        start = end
        try:
            conn.data_received(piece)
        except raw.ProtocolError as fault:
            assert error is None, "a second error"
            assert conn.over and conn.events[-1] == ("close()",), "an error that does not close"
            conn.error = fault
            # Not the text: what is wrong may be told before it is known how wrong it is.
            error = (fault.errno, fault.code, fault.stream)
        except raw.WouldBlockError:
            assert conn.server_side and not conn.is_http2
            blocked = True
        else:
            blocked = blocked and not piece
    if error:
        count = len(conn.events)
        conn.data_received(data)
        assert len(conn.events) == count, "an event after the end"
    return (merged(conn.events), error, blocked, sorted(conn.open_streams), conn.refusals)


def hang_up(conn: Watched) -> Result:
    """The end of input: every stream has ended then."""
    error: Result | None = None
    try:
        conn.connection_lost()
    except raw.ProtocolError as fault:
        error = (fault.errno, fault.code)
    assert not conn.open_streams, "streams outlive the connection"
    return (merged(conn.events), error)


def same(want: Any, got: Any, what: str) -> None:
    """Equal, or an AssertionError that says where they part."""
    if want == got:
        return
    where = ""
    while isinstance(want, list | tuple) and isinstance(got, list | tuple):
        at = next((i for i, (w, g) in enumerate(zip(want, got, strict=False)) if w != g), None)
        if at is None:
            where += f"[{len(want)} of them, {len(got)}]"
            break
        where += f"[{at}]"
        want, got = want[at], got[at]
    raise AssertionError(f"{what}: {where}\n  {want!r}\n  {got!r}")
