"""The input of the engine's benchmarks, made before any measurement.

Knows frames, and the header fields that all implementations receive. The `hpack` package encodes
them, as another client would. Must never know the reader.
"""

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.lab import peer

Fields = list[tuple[str, str]]

DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS = 1, 4

BODY: Final = b"Hello, World!"
RESPONSE: Final[Fields] = [
    ("content-type", "text/plain"),
    ("content-length", "13"),
    ("server", "bench"),
]
TEN: Final[Fields] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("cache-control", "no-cache"),
]
#: With the four pseudo-header fields: 10 and 30.
THIRTY: Final[Fields] = [*TEN, *((f"x-custom-{n}", f"value number {n}") for n in range(20))]

#: A gRPC call: head, one message of 64 octets behind its prefix, and the same back with trailers.
GRPC_REQUEST: Final[Fields] = [
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-timeout", "1S"),
    ("user-agent", "grpc-python/1.60.0"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
]
GRPC_RESPONSE: Final[Fields] = [("content-type", "application/grpc"), ("grpc-encoding", "identity")]
GRPC_TRAILERS: Final[Fields] = [("grpc-status", "0"), ("grpc-message", "")]
MESSAGE: Final = b"\0\0\0\0\x40" + bytes(range(64))

PATHS: Final = 16  # requests ask for that many pages, alternating
PIECE: Final = 1 << 20  # what an application hands over at once, of a large body
PIECE_OF_BODY: Final = bytes(PIECE)
READ: Final = 1 << 15  # what a transport gives at once, of a large body


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    body = b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs)
    return frame(SETTINGS, 0, 0, body) + frame(SETTINGS, 1, 0)


#: The start of a peer that never lets flow control stop us.
WIDE: Final = settings((4, (1 << 31) - 1), (3, 1000))
WIDE_WINDOW: Final = frame(WINDOW_UPDATE, 0, 0, (2_000_000_000).to_bytes(4, "big"))
CLIENT_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + WIDE + WIDE_WINDOW
SERVER_PREFACE: Final = WIDE + WIDE_WINDOW


class Blocks:
    """Field blocks as one encoder makes them of lists that recur."""

    def __init__(self, lists: list[Fields]) -> None:
        encoder: Any = peer("hpack").Encoder()
        self._first = [encoder.encode(fields) for fields in lists]
        self._later = [encoder.encode(fields) for fields in lists]
        # From here on its table changes no more, so blocks recur as well.
        assert self._later == [encoder.encode(fields) for fields in lists]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        while True:
            yield from self._later


def request_lists(method: str, fields: Fields) -> list[Fields]:
    head = [(":method", method), (":scheme", "https"), (":authority", "example.com")]
    return [[*head, (":path", f"/page/{n}"), *fields] for n in range(PATHS)]


def heads(blocks: Blocks, count: int, flags: int, first: int = 1) -> list[bytes]:
    """Return the HEADERS of `count` streams, in order."""
    found = zip(range(first, first + 2 * count, 2), blocks, strict=False)
    return [frame(HEADERS, flags | END_HEADERS, stream, block) for stream, block in found]


# -- to a server, HTTP/2 ---------------------------------------------------------------------------


def small(fields: Fields, count: int) -> list[bytes]:
    return heads(Blocks(request_lists("GET", fields)), count, END_STREAM)


def grpc(count: int) -> list[bytes]:
    opened = heads(Blocks(request_lists("POST", GRPC_REQUEST)), count, 0)
    return [
        head + frame(DATA, END_STREAM, 1 + 2 * number, MESSAGE)
        for number, head in enumerate(opened)
    ]


def echoed(streams: int, count: int) -> list[bytes]:
    """So many DATA frames of 100 octets, on some streams alternating; a read has one of each."""
    opened = b"".join(heads(Blocks(request_lists("POST", [])), streams, 0))
    turn = b"".join(frame(DATA, 0, 1 + 2 * at, b"x" * 100) for at in range(streams))
    end = b"".join(frame(DATA, END_STREAM, 1 + 2 * at) for at in range(streams))
    return [opened, *[turn] * (count // streams), end]


def upload(megabytes: int) -> list[bytes]:
    """One request with a large body, in frames of 16 KiB, two of them in a read."""
    opened = heads(Blocks(request_lists("POST", [])), 1, 0)[0]
    pair = frame(DATA, 0, 1, bytes(16_384)) * 2
    return [opened, *[pair] * (megabytes * PIECE // READ), frame(DATA, END_STREAM, 1)]


def interleaved(streams: int, count: int) -> list[bytes]:
    """Exchanges of ten DATA frames of 1 KiB each, so many streams at a time, frame by frame."""
    blocks = Blocks(request_lists("POST", []))
    chunks = []
    for first in range(1, 2 * count, 2 * streams):
        ids = range(first, first + 2 * streams, 2)
        wire = b"".join(heads(blocks, streams, 0, first))
        for turn in range(10):
            flags = END_STREAM if turn == 9 else 0
            wire += b"".join(frame(DATA, flags, stream, bytes(1024)) for stream in ids)
        chunks += [wire[at : at + 16_384] for at in range(0, len(wire), 16_384)]
    return chunks


# -- to a client, HTTP/2 ---------------------------------------------------------------------------


def answers(count: int) -> list[bytes]:
    found = heads(Blocks([[(":status", "200"), *RESPONSE]]), count, 0)
    return [head + frame(DATA, END_STREAM, 1 + 2 * at, BODY) for at, head in enumerate(found)]


def grpc_answers(count: int) -> list[bytes]:
    blocks = iter(Blocks([[(":status", "200"), *GRPC_RESPONSE], GRPC_TRAILERS]))
    chunks = []
    for stream in range(1, 2 * count, 2):
        opened = frame(HEADERS, END_HEADERS, stream, next(blocks))
        ended = frame(HEADERS, END_HEADERS | END_STREAM, stream, next(blocks))
        chunks.append(opened + frame(DATA, 0, stream, MESSAGE) + ended)
    return chunks


def download(megabytes: int) -> list[bytes]:
    opened = heads(Blocks([[(":status", "200")]]), 1, 0)[0]
    pair = frame(DATA, 0, 1, bytes(16_384)) * 2
    return [opened, *[pair] * (megabytes * PIECE // READ), frame(DATA, END_STREAM, 1)]


# -- HTTP/1.1 --------------------------------------------------------------------------------------


def lines(fields: Fields) -> bytes:
    return b"".join(f"{name.title()}: {value}\r\n".encode() for name, value in fields) + b"\r\n"


def small1(fields: Fields, count: int) -> list[bytes]:
    # The four pseudo-header fields are the request line and Host here.
    pages = [
        b"GET /page/%d HTTP/1.1\r\nHost: example.com\r\n" % n + lines(fields) for n in range(PATHS)
    ]
    return (pages * (count // PATHS + 1))[:count]


def chunked1(megabytes: int) -> list[bytes]:
    """One request whose body comes in chunks of 4 KiB, in reads of 32 KiB cut anywhere."""
    head = b"POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
    return reads(head + (b"1000\r\n" + bytes(4096) + b"\r\n") * (megabytes * 256) + b"0\r\n\r\n")


def upload1(megabytes: int) -> list[bytes]:
    head = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n"
    return reads(head % (megabytes * PIECE) + bytes(megabytes * PIECE))


def answers1(count: int) -> list[bytes]:
    return [b"HTTP/1.1 200 OK\r\n" + lines(RESPONSE) + BODY] * count


def download1(megabytes: int) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (megabytes * PIECE)
    return reads(head + bytes(megabytes * PIECE))


def reads(wire: bytes) -> list[bytes]:
    return [wire[at : at + READ] for at in range(0, len(wire), READ)]


# -- what came back --------------------------------------------------------------------------------


def tally(out: list[bytes]) -> tuple[int, int]:
    """Messages that were ended, and octets of DATA, in frames that somebody wrote."""
    wire = b"".join(out)
    at = ended = octets = 0
    if wire.startswith(b"PRI"):
        at = 24
    while at < len(wire):
        length = int.from_bytes(wire[at : at + 3], "big")
        kind, flags = wire[at + 3], wire[at + 4]
        if kind == DATA:
            octets += length
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            ended += 1
        at += 9 + length
    return ended, octets


def tally1(out: list[bytes]) -> tuple[int, int]:
    """Messages of HTTP/1.1 with a length, and octets of their bodies."""
    wire = b"".join(out)
    at = ended = octets = 0
    while at < len(wire):
        end = wire.index(b"\r\n\r\n", at) + 4
        head = wire[at:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        at = end + length
        assert at <= len(wire), "a message was cut short"
        ended += 1
        octets += length
    return ended, octets
