"""What hostile frames cost the engine as they become many: `python -m tests.stress.hostile`.

Per class of attack, processor time per piece at 1,000 pieces and at 100,000: nothing may cost more
because there was much of it before. Limits are off, so that the connection lives; then on, with a
clock that runs fast. `--instructions` counts by callgrind instead, up to 20,000, in some minutes.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cno.raw
from benchmarks import callgrind, lab
from benchmarks.callgrind import mark
from benchmarks.wire import frame
from cno.limits import Limits

FEW: Final = 1_000
MANY: Final = 100_000
#: The same in a hurry, or under valgrind.
SOME: Final = 20_000
#: What a transport hands over at once.
READ: Final = 16_384
#: How much more a piece may cost among many.
AT_MOST: Final = 1.2
#: Seconds that pass at each look at the clock, where limits are on: enough for every bucket.
TICK: Final = 2.0

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE, UNKNOWN = 8, 9, 16, 0x42
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1

#: GET and POST of https://x/, and what answers it; the dynamic table is left alone.
GET: Final = b"\x82\x87\x84\x01\x01x"
POST: Final = b"\x83\x87\x84\x01\x01x"
OK: Final = b"\x88"
BODY: Final = bytes(20_000)

OFF: Final = Limits(
    max_stream_resets=None,
    max_error_resets=None,
    glitch_budget=None,
    max_empty_frames=None,
    small_frame_budget=None,
    initial_window_size=(1 << 31) - 1,
    connection_window=(1 << 31) - 1,
)
ON: Final = Limits(initial_window_size=1 << 20, connection_window=1 << 21)


# -- what is sent ----------------------------------------------------------------------------------


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def sid(number: int) -> int:
    """Ids of streams to come: 1, 3, 5 and 7 are there already."""
    return 9 + 2 * number


def head(stream: int, block: bytes = GET, end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def push(stream: int) -> bytes:
    return frame(PUSH_PROMISE, END_HEADERS, 1, u32(stream) + GET)


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, u32(8))


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, u32(size))


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2, "big") + u32(v) for key, v in pairs))


def in_pieces(number: int) -> bytes:
    """A request in one HEADERS and five CONTINUATION frames, which is then given up."""
    stream = sid(number)
    parts = [frame(HEADERS, 0, stream, POST[:1])]
    parts += [frame(CONTINUATION, 0, stream, POST[at : at + 1]) for at in range(1, 5)]
    return b"".join(parts) + frame(CONTINUATION, END_HEADERS, stream, POST[5:]) + reset(stream)


def entered(stream: int, value: bytes) -> bytes:
    """A request with a field that goes to the dynamic table."""
    length = bytes((len(value),)) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)
    return head(stream, GET + b"\x40\x01x" + length + value)


def named(number: int) -> bytes:
    """A request with many fields that take two octets each, and the long name of an entry."""
    name = bytes(3_900).replace(b"\0", b"n")
    first = b"\x40\x7f" + varint(len(name) - 127) + name + b"\x01x"
    return head(sid(number), GET + first + b"\x7e\x00" * 60, True)


def varint(value: int) -> bytes:
    octets = bytearray()
    while value > 127:
        octets.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*octets, value])


Piece = Callable[[int], bytes]


@dataclass(frozen=True)
class Case:
    """One class of attack: its i-th piece, sent to a client or to a server.

    `first` is sent before anything is measured. `unread`: the application reads nothing; `answers`:
    it answers; `tiny`: octets come one by one and are what is counted. Limits that it needs:
    `streams`, `pushes`.
    """

    name: str
    piece: Piece
    client: bool = False
    unread: bool = False
    tiny: bool = False
    answers: bool = False
    first: bytes = b""
    streams: int = 100
    pushes: int = 100


def opened(number: int, more: bytes) -> bytes:
    return head(sid(number), POST) + more


RESETS: Final = [
    Case("A1 rapid reset", lambda i: head(sid(i), GET, True) + reset(sid(i))),
    Case("A1 rapid reset, ids skipped", lambda i: head(9 + 6 * i) + reset(9 + 6 * i)),
    Case("A1 pushes taken back", lambda i: push(2 + 2 * i) + reset(2 + 2 * i), client=True),
    Case("A2 window of 0", lambda i: opened(i, window(sid(i), 0))),
    Case("A2 window overflow", lambda i: opened(i, window(sid(i), (1 << 31) - 1))),
    Case("A2 DATA on a closed stream", lambda i: data(7, b"")),
    Case("A2 PRIORITY of 4 octets", lambda i: opened(i, frame(PRIORITY, 0, sid(i), b"1234"))),
    Case("A2 malformed request", lambda i: head(sid(i), GET[:2], True)),
    Case("A2 malformed trailers", lambda i: opened(i, head(sid(i), b"\x84", True))),
    Case(
        "A3 refused stream",
        lambda i: head(sid(i) + 2, GET, True),
        first=head(9, POST),
        streams=2,
    ),
    Case("A3 refused push", lambda i: push(4 + 2 * i), client=True, pushes=1, first=push(2)),
]
BLOCKS: Final = [
    Case("A4 request in pieces", in_pieces),
    Case("A5 many fields", lambda i: head(sid(i), GET + b"\x90" * 300, True)),
    Case(
        "A6 large fields",
        lambda i: head(sid(i) + 2, GET + b"\xbe" * 50, True),
        first=entered(9, bytes(3_900).replace(b"\0", b"v")) + reset(9),
    ),
    Case("A7 names of an entry", named),
    Case("A7 size updates", lambda i: head(sid(i), b"\x20\x3f\xe1\x1f" + GET) + reset(sid(i))),
    Case("A7 entries that come and go", lambda i: entered(sid(i), b"%020d" % i) + reset(sid(i))),
]
FRAMES: Final = [
    Case("A8 window octet by octet", lambda _: window(1, 1), first=window(0, 1 << 30)),
    Case("A8 DATA of 1 octet, read", lambda _: data(1, b".")),
    Case("A8 DATA of 1 octet, unread", lambda _: data(1, b"."), unread=True),
    Case("A9 PING", lambda _: frame(PING, 0, 0, bytes(8))),
    Case("A9 PING, to a client", lambda _: frame(PING, 0, 0, bytes(8)), client=True),
    Case("A9 PING answer", lambda _: frame(PING, ACK, 0, bytes(8))),
    Case("A10 PRIORITY, one stream", lambda _: frame(PRIORITY, 0, 1, bytes(5))),
    Case(
        "A10 PRIORITY, idle streams", lambda i: frame(PRIORITY, 0, sid(i), u32(sid(i + 1)) + b"1")
    ),
    Case("A10 PRIORITY_UPDATE", lambda i: frame(PRIORITY_UPDATE, 0, 0, u32(1) + b"u=%d" % (i % 8))),
    Case("A12 SETTINGS", lambda i: settings((4, 65_535 + i % 9))),
    Case("A12 SETTINGS, 32 entries", lambda i: settings(*((4, 65_535 + i % 9) for _ in range(32)))),
    Case("A12 SETTINGS, table sizes", lambda _: settings(*((1, 0), (1, 4_096)) * 16)),
    Case("A12 SETTINGS answer", lambda _: frame(SETTINGS, ACK, 0)),
    Case("A15 DATA, empty", lambda _: data(1, b"")),
    Case("A15 DATA, padding only", lambda _: data(1, b"\x09" + bytes(9), PADDED)),
    Case("A16 WINDOW_UPDATE", lambda _: window(0, 1)),
    Case("A16 unknown frame", lambda _: frame(UNKNOWN, 0, 0, b"whatever")),
    Case("A16 RST_STREAM, late", lambda _: reset(3)),
    Case("A16 WINDOW_UPDATE, late", lambda _: window(3, 1)),
    Case("A16 DATA, late", lambda _: data(5, b".")),
    Case("A21 GOAWAY", lambda i: frame(GOAWAY, 0, 0, u32((1 << 31) - 2 - i) + u32(0))),
]
OCTETS: Final = [
    Case("A22 octets: requests", lambda i: head(sid(i), GET) + reset(sid(i)), tiny=True),
    Case("A22 octets: DATA", lambda _: data(1, bytes(50)), tiny=True),
    Case("A22 octets: large frames", lambda _: frame(UNKNOWN, 0, 0, bytes(16_000)), tiny=True),
]
HONEST: Final = [Case("honest requests", lambda i: head(sid(i), GET, True), answers=True)]
CASES: Final = [*RESETS, *BLOCKS, *FRAMES, *OCTETS, *HONEST]


def chunks(case: Case, count: int) -> Iterator[bytes]:
    """So many pieces (or octets) as a transport would hand them over."""
    waiting: list[bytes] = []
    size = 0
    for number in range(count):
        waiting.append(case.piece(number))
        size += len(waiting[-1])
        if case.tiny and size >= count:
            break
        if size >= READ and not case.tiny:
            yield b"".join(waiting)
            waiting, size = [], 0
    left = b"".join(waiting)
    if case.tiny:
        yield from (left[at : at + 1] for at in range(count))
    else:
        yield left


# -- who gets it -----------------------------------------------------------------------------------


class Target(cno.raw.Connection):
    """Reads, answers what is complete if `answers`, and keeps nothing."""

    answers = False

    def on_writev(self, chunks: list[bytes]) -> None:
        pass

    def on_flow_increase(self, stream: int) -> None:
        if stream == 1:
            self.write_data(1, BODY, False)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        pass

    def on_message_data(self, stream: int, data: bytes) -> None:
        pass

    def on_message_push(
        self, stream: int, parent: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        pass

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        if self.answers:
            self.write_head(stream, 200, "", "", [], True)


class Time:
    """A clock that is always later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now


def started(case: Case, limits: Limits) -> Target:
    """Stream 1 is open and its response begun, as much as its window allows. 3 was reset by the
    peer, 5 by us, 7 was answered; a client has made these requests."""
    clock = None if limits is OFF else Time()
    own = replace(limits, max_concurrent_streams=case.streams, max_pushes=case.pushes)
    conn = Target(not case.client, limits=own, clock=clock)
    conn.connection_made(True)
    greeting = settings() + frame(SETTINGS, ACK, 0)
    if case.client:
        conn.data_received(greeting)
        for stream in (1, 3, 5, 7):
            conn.write_head(stream, 0, "POST", "/", [(":authority", "x")], stream == 7)
        conn.data_received(b"".join(head(stream, OK, stream == 7) for stream in (1, 3, 5, 7)))
    else:
        conn.data_received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + greeting)
        conn.data_received(head(1, POST) + head(3, POST) + reset(3) + head(5, POST))
        conn.write_head(1, 200, "", "", [], False)
    conn.write_reset(5, 8)
    if case.client:
        conn.data_received(reset(3))
    else:
        conn.data_received(head(7, GET, True))
        conn.write_head(7, 200, "", "", [], True)
    while conn.write_data(1, BODY, False):
        pass
    conn.data_received(case.first)
    conn.manual_flow_control = case.unread
    conn.answers = case.answers
    return conn


def pour(conn: Target, parts: list[bytes]) -> None:
    for part in parts:
        conn.data_received(part)


def cost(case: Case, count: int, limits: Limits, conns: int = 1) -> float:
    """Microseconds per piece, over so many connections. ProtocolError where a limit ends it."""
    targets = [started(case, limits) for _ in range(conns)]
    parts = list(chunks(case, count))

    def run() -> None:
        for conn in targets:
            pour(conn, parts)

    return lab.timed(run) / count / conns * 1e6


# -- how it is measured ----------------------------------------------------------------------------


@dataclass
class Result:
    """Of one case: what a piece costs among few and among many; `on`: with limits, among many."""

    name: str
    few: float
    many: float
    on: str = ""

    @property
    def ratio(self) -> float:
        return self.many / self.few


def measure(case: Case, most: int, rounds: int) -> Result:
    """The least of several rounds: what disturbs only ever adds."""
    few, many = [], []
    for _ in range(rounds):
        few += [cost(case, FEW, OFF, 20) for _ in range(3)]
        many.append(cost(case, most, OFF))
    try:
        on = lab.short(min(cost(case, most, ON) for _ in range(rounds)))
    except cno.raw.ProtocolError:
        on = f"ends at {survived(case, most):,}"
    return Result(case.name, min(few), min(many), on)


def survived(case: Case, most: int) -> int:
    """At which piece the limits end it."""
    conn = started(case, ON)
    for number in range(most):
        try:
            conn.data_received(case.piece(number))
        except cno.raw.ProtocolError:
            return number + 1
    return most


def count(cases: list[Case]) -> list[Result]:
    """The same in instructions."""
    results = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            args = ["--run", case.name]
            counted = callgrind.count("tests.stress.hostile", args, Path(folder))
        few, many = (total for total, _ in counted)
        results.append(Result(case.name, few / FEW, many / SOME))
        print(f"{case.name}: {results[-1].ratio:.3f}", file=sys.stderr)
    return results


def run(name: str) -> None:
    """What is run under valgrind: once to warm up, then few and many, between marks."""
    (case,) = (each for each in CASES if each.name == name)
    pour(started(case, OFF), list(chunks(case, FEW)))
    for size in (FEW, SOME):
        conn = started(case, OFF)
        parts = list(chunks(case, size))
        mark()
        pour(conn, parts)
        mark()


def main() -> int:
    """Print a table; 1 if anything costs too much more among many."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{SOME:,} pieces at most, once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases, by parts of their names: a,b,c")
    parser.add_argument("--instructions", action="store_true", help="count them, by callgrind")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        run(args.run)
        return 0
    parts = args.only.split(",")
    cases = [case for case in CASES if any(part in case.name for part in parts)]
    if args.instructions:
        unit, most = "instructions", SOME
        results = count(cases)
    else:
        unit, most = "us", SOME if args.quick else MANY
        results = [measure(case, most, 1 if args.quick else args.rounds) for case in cases]
    columns = [unit, f"of {FEW:,}", f"of {most:,}", "ratio", "with limits"]
    rows = [[r.name, lab.short(r.few), lab.short(r.many), f"{r.ratio:.2f}", r.on] for r in results]
    print("; ".join(f"{name} {value}" for name, value in lab.machine().items()) + "\n")
    print(lab.table(columns, rows))
    worst = max(results, key=lambda r: r.ratio)
    print(f"\nworst: {worst.ratio:.2f} ({worst.name}); at most {AT_MOST}")
    return int(worst.ratio > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
