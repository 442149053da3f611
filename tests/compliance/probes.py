"""Requests that examine a server's HTTP/2 from outside, with the required outcomes.

The cases of the public suite `h2spec` (RFC 9113, RFC 7541, and those it calls generic), in our
words and frames; the outcomes are stricter where the RFC allows only one. A server under test
answers `/` with content, and `/hold` never. `test_probes.py` plays them over sockets.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from tests import frames as f
from tests.frames import FrameFactory as Pen
from tests.frames import frame, u32


class Ended(NamedTuple):
    """A step: wait until the server has ended this stream."""

    stream: int


class Acknowledged(NamedTuple):
    """A step: wait until the server has acknowledged SETTINGS."""


class Answered(NamedTuple):
    """An outcome: a response with status 200 on this stream, and the connection goes on."""

    stream: int


class Alive(NamedTuple):
    """An outcome: a PING is answered. So is one after each of the others but `Closed`."""


class Reset(NamedTuple):
    """An outcome: RST_STREAM on this stream."""

    stream: int
    code: int


class Closed(NamedTuple):
    """An outcome: GOAWAY with this code, and then the end of the connection."""

    code: int


class Sent(NamedTuple):
    """An outcome: this frame is among those that come."""

    wanted: Callable[[f.Frame], bool]


Step: TypeAlias = bytes | Ended | Acknowledged
Outcome: TypeAlias = Answered | Alive | Reset | Closed | Sent
Probe: TypeAlias = tuple[str, Callable[[Pen], list[Step]], Outcome]

PROTOCOL, FLOW, CLOSED = f.PROTOCOL_ERROR, f.FLOW_CONTROL_ERROR, f.STREAM_CLOSED
SIZE, COMPRESSION = f.FRAME_SIZE_ERROR, f.COMPRESSION_ERROR
HOLD: f.Headers = [*f.REQUEST[:3], (":path", "/hold")]
HOLD_POST: f.Headers = [(":method", "POST"), *HOLD[1:]]


def get(pen: Pen, stream: int = 1) -> bytes:
    return pen.headers(stream, f.REQUEST, end_stream=True)


def hold(pen: Pen, stream: int = 1) -> bytes:
    """A request whose response does not come: the stream stays half-closed (remote)."""
    return pen.headers(stream, HOLD, end_stream=True)


def post(pen: Pen, stream: int = 1, *fields: tuple[str, str]) -> bytes:
    """The head of a request with content; its response comes when that has ended."""
    return pen.headers(stream, [*f.POST, *fields])


def opened(pen: Pen, stream: int = 1) -> bytes:
    return pen.headers(stream, HOLD_POST)


def fields(pen: Pen, *given: tuple[str, str]) -> bytes:
    """A request with these fields and no others."""
    return pen.headers(1, given, end_stream=True)


def block(fragment: bytes, pen: Pen) -> list[Step]:
    """A request with these bytes behind its block."""
    return [pen.headers_frame(1, pen.block(f.REQUEST) + fragment, end_stream=True)]


def without(name: str) -> f.Headers:
    return [field for field in f.REQUEST if field[0] != name]


def cut(pen: Pen, pieces: int) -> list[bytes]:
    """A request's block in pieces."""
    whole = pen.block([*f.REQUEST, ("x-a", "b" * 40)])
    size = len(whole) // pieces + 1
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def setting(number: int, value: int) -> bytes:
    return frame(f.SETTINGS, 0, 0, number.to_bytes(2, "big") + u32(value))


def is_ping(frame: f.Frame) -> bool:
    return frame.type == f.PING and frame.flags == f.ACK and frame.payload == b"12345678"


def has_data(size: int) -> Sent:
    """DATA of so many bytes comes."""
    return Sent(lambda frame: frame.type == f.DATA and len(frame.payload) == size)


# RFC 7541 appendix C.2.1 and C.4.3: plain, and in Huffman code.
NAME, VALUE = b"\x0bcustom-name", b"\x0ccustom-value"
CODED_NAME, CODED_VALUE = (
    bytes.fromhex("8825a849e95ba97d7f"),
    bytes.fromhex("8925a849e95bb8e8b4bf"),
)

GENERIC: list[Probe] = [
    ("1: a preface and SETTINGS", lambda p: [], Alive()),
    ("2: PRIORITY, idle", lambda p: [p.priority(1, 0, 255)], Alive()),
    (
        "2: WINDOW_UPDATE, half-closed",
        lambda p: [setting(f.INITIAL_WINDOW_SIZE, 0), get(p), p.window_update(1, 1)],
        has_data(1),
    ),
    (
        "2: PRIORITY, half-closed",
        lambda p: [
            setting(f.INITIAL_WINDOW_SIZE, 0),
            get(p),
            p.priority(1, 0, 255),
            p.window_update(1, 1),
        ],
        has_data(1),
    ),
    ("2: RST_STREAM, half-closed", lambda p: [hold(p), p.rst(1)], Alive()),
    ("2: PRIORITY, closed", lambda p: [get(p), Ended(1), p.priority(1, 0, 255)], Alive()),
    ("3.1: DATA", lambda p: [post(p), p.data(1, b"test", True)], Answered(1)),
    (
        "3.1: DATA twice",
        lambda p: [post(p), p.data(1, b"te"), p.data(1, b"st", True)],
        Answered(1),
    ),
    ("3.1: DATA, padded", lambda p: [post(p), p.data(1, b"test", True, 6)], Answered(1)),
    ("3.2: HEADERS", lambda p: [get(p)], Answered(1)),
    ("3.2: padded", lambda p: [p.headers(1, f.REQUEST, end_stream=True, pad=6)], Answered(1)),
    (
        "3.2: with a priority",
        lambda p: [p.headers(1, f.REQUEST, end_stream=True, priority=(0, 255))],
        Answered(1),
    ),
    ("3.3: weight 1", lambda p: [p.priority(1, 0, 0), get(p)], Answered(1)),
    ("3.3: weight 256", lambda p: [p.priority(1, 0, 255), get(p)], Answered(1)),
    ("3.3: a dependency", lambda p: [p.priority(1, 2, 255), get(p)], Answered(1)),
    ("3.3: exclusive", lambda p: [p.priority(1, 2 | 1 << 31, 255), get(p)], Answered(1)),
    ("3.3: an idle stream, then a lower one", lambda p: [p.priority(3), get(p)], Answered(1)),
    ("3.4: RST_STREAM", lambda p: [hold(p), p.rst(1)], Alive()),
    (
        "3.5: SETTINGS",
        lambda p: [setting(f.MAX_CONCURRENT_STREAMS, 100), Acknowledged()],
        Alive(),
    ),
    ("3.7: PING", lambda p: [p.ping(b"12345678")], Sent(is_ping)),
    ("3.8: GOAWAY", lambda p: [p.goaway(0)], Alive()),
    ("3.9: WINDOW_UPDATE of all", lambda p: [p.window_update(0, 1), get(p)], Answered(1)),
    (
        "3.9: WINDOW_UPDATE of a stream",
        lambda p: [post(p), p.window_update(1, 1), p.data(1, b"test", True)],
        Answered(1),
    ),
    (
        "3.10: CONTINUATION",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 2))[0], end_stream=True, end_headers=False),
            p.continuation(1, c[1]),
        ],
        Answered(1),
    ),
    (
        "3.10: CONTINUATION twice",
        lambda p: [
            p.headers_frame(1, (c := cut(p, 3))[0], end_stream=True, end_headers=False),
            p.continuation(1, c[1], False),
            p.continuation(1, c[2]),
        ],
        Answered(1),
    ),
    ("4: GET", lambda p: [get(p)], Answered(1)),
    (
        "4: HEAD",
        lambda p: [p.headers(1, [(":method", "HEAD"), *f.REQUEST[1:]], end_stream=True)],
        Answered(1),
    ),
    ("4: POST", lambda p: [post(p), p.data(1, b"test", True)], Answered(1)),
    (
        "4: POST with trailers",
        lambda p: [
            post(p, 1, ("trailer", "x-test")),
            p.data(1, b"test"),
            p.headers(1, [("x-test", "ok")], end_stream=True),
        ],
        Answered(1),
    ),
    ("5: an indexed field", lambda p: block(b"\x90", p), Answered(1)),
    ("5: indexing, indexed name", lambda p: block(b"\x7a" + VALUE, p), Answered(1)),
    ("5: the same, Huffman", lambda p: block(b"\x7a" + CODED_VALUE, p), Answered(1)),
    ("5: indexing, new name", lambda p: block(b"\x40" + NAME + VALUE, p), Answered(1)),
    ("5: the same, Huffman ", lambda p: block(b"\x40" + CODED_NAME + CODED_VALUE, p), Answered(1)),
    ("5: no indexing, indexed name", lambda p: block(b"\x0f\x2b" + VALUE, p), Answered(1)),
    (
        "5: no indexing, the same, Huffman",
        lambda p: block(b"\x0f\x2b" + CODED_VALUE, p),
        Answered(1),
    ),
    ("5: no indexing, new name", lambda p: block(b"\x00" + NAME + VALUE, p), Answered(1)),
    (
        "5: no indexing, new name, Huffman",
        lambda p: block(b"\x00" + CODED_NAME + CODED_VALUE, p),
        Answered(1),
    ),
    ("5: never indexed, indexed name", lambda p: block(b"\x1f\x2b" + VALUE, p), Answered(1)),
    (
        "5: never indexed, indexed name, Huffman",
        lambda p: block(b"\x1f\x2b" + CODED_VALUE, p),
        Answered(1),
    ),
    ("5: never indexed, new name", lambda p: block(b"\x10" + NAME + VALUE, p), Answered(1)),
    (
        "5: never indexed, new name, Huffman",
        lambda p: block(b"\x10" + CODED_NAME + CODED_VALUE, p),
        Answered(1),
    ),
    (
        "5: a size update",
        lambda p: [p.headers_frame(1, b"\x20" + p.block(f.REQUEST), end_stream=True)],
        Answered(1),
    ),
    (
        "5: two size updates",
        lambda p: [p.headers_frame(1, b"\x20\x3f\xe1\x1f" + p.block(f.REQUEST), end_stream=True)],
        Answered(1),
    ),
]

HPACK: list[Probe] = [
    ("2.3.3/1: an index beyond the tables", lambda p: block(b"\xc6", p), Closed(COMPRESSION)),
    (
        "2.3.3/2: a name beyond the tables",
        lambda p: block(b"\x7f\x07" + VALUE, p),
        Closed(COMPRESSION),
    ),
    ("4.2/1: a size update at the end", lambda p: block(b"\x20", p), Closed(COMPRESSION)),
    (
        "5.2/1: more than 7 bits of padding",
        lambda p: block(b"\x00" + NAME + bytes.fromhex("8a25a849e95bb8e8b4bfff"), p),
        Closed(COMPRESSION),
    ),
    (
        "5.2/2: padding of zeros",
        lambda p: block(b"\x00" + NAME + bytes.fromhex("8925a849e95bb8e8b4b0"), p),
        Closed(COMPRESSION),
    ),
    (
        "5.2/3: EOS",
        lambda p: block(b"\x00" + NAME + bytes.fromhex("84ffffffff"), p),
        Closed(COMPRESSION),
    ),
    ("6.1/1: index 0", lambda p: block(b"\x80", p), Closed(COMPRESSION)),
    (
        "6.3/1: a size above the setting",
        lambda p: [p.headers_frame(1, b"\x3f\xe2\x1f" + p.block(f.REQUEST), end_stream=True)],
        Closed(COMPRESSION),
    ),
]
