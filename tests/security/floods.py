"""How the floods of these tests are poured, and what is measured of them.

Knows the public names of `cno.raw`, by way of `tests.support`. Must never know anything private of
the engine: the same tests run against the compiled and the uncompiled build.
"""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cno import raw
from tests.support import GOAWAY, LOCAL, Fields, Frame, FrameFactory, Recorder, parse_frames

#: The i-th piece of a flood.
Piece = Callable[[FrameFactory, int], bytes]


class Quiet(Recorder):
    """Keeps no events, so that what a flood leaves behind is the engine's own."""

    def on_flow_increase(self, stream: int) -> None:
        pass

    def on_message_head(self, *_: Any) -> None:
        pass

    def on_message_data(self, *_: Any) -> None:
        pass

    def on_message_tail(self, *_: Any) -> None:
        pass

    def on_message_push(self, *_: Any) -> None:
        pass

    def on_settings(self) -> None:
        pass

    def on_pong(self, data: bytes) -> None:
        pass

    def on_stream_start(self, stream: int) -> None:
        self.open_streams.append(stream)

    def on_stream_end(self, stream: int, code: int, side: int) -> None:
        self.open_streams.remove(stream)


@dataclass
class Outcome:
    """What came of a flood.

    `sent`: pieces given, the fatal one included; `octets`: written in answer, without the GOAWAY;
    `most`: in answer to one piece; `frames`: those in answer to the last piece.
    """

    sent: int = 0
    octets: int = 0
    most: int = 0
    frames: list[Frame] | None = None
    error: raw.ProtocolError | None = None


def flood(
    conn: Recorder, piece: Piece, most: int, between: Callable[[], object] | None = None
) -> Outcome:
    """Pour up to `most` pieces; the client reads all answers. `between` is called after each."""
    outcome = Outcome()
    for number in range(most):
        data = piece(conn.peer, number)
        outcome.sent += 1
        try:
            conn.data_received(data)
        except raw.ProtocolError as error:
            outcome.error = error
        written = conn.take()
        outcome.frames = parse_frames(written)
        size = sum(9 + len(f.payload) for f in outcome.frames if f.type != GOAWAY)
        outcome.octets += size
        outcome.most = max(outcome.most, size)
        if outcome.error is not None:
            break
        if between is not None:
            between()
    return outcome


def expect_end(conn: Recorder, outcome: Outcome, code: int, sent: int) -> None:
    """The flood ended the connection at exactly that piece: GOAWAY(code), deaf from then on."""
    assert outcome.error is not None, f"{outcome.sent} pieces and no end"
    assert outcome.sent == sent, f"the end came at piece {outcome.sent}, not {sent}"
    assert outcome.error.code == code, outcome.error
    assert outcome.frames and outcome.frames[-1].type == GOAWAY
    assert outcome.frames[-1].code == code
    assert conn.open_streams == []
    conn.data_received(b"\0\0\x08\x06\0\0\0\0\0too late")
    assert conn.take() == b""


def expect_none(outcome: Outcome) -> None:
    """All of it passed."""
    assert outcome.error is None, f"piece {outcome.sent}: {outcome.error}"


def peak(call: Callable[[], object]) -> int:
    """Octets by which the memory in use grew at most while this ran."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def ended_by_us(conn: Recorder, stream: int, code: int) -> bool:
    """Whether the application was told that we gave up this stream, with this code."""
    return ("end", stream, code, LOCAL) in conn.events


def answer(conn: Recorder, stream: int) -> None:
    """The whole response of a server, without a body."""
    conn.write_head(stream, 200, "", "", [], True)


def with_fields(base: Fields, count: int, value: str = "v") -> list[tuple[Any, Any]]:
    """A header list with so many more fields."""
    return [*base, *((f"x-{i}", value) for i in range(count))]
