"""HTTP/2 frames to bytes and back, for scripted peers.

Knows the wire (RFC 9113 sections 4, 6 and 7; field blocks with the third-party `hpack` package).
Must never know `cno`, so that the tests do not depend on the code under test.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Frame types, RFC 9113 section 6.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
PRIORITY_UPDATE = 0x10  # RFC 9218 section 7.1

# Frame flags.
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20

# Error codes, RFC 9113 section 7.
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = 0, 1, 2, 3, 4
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 10, 11, 12, 13

# Settings, RFC 9113 section 6.5.2 and RFC 8441 section 3.
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 4, 5, 6, 8
NO_RFC7540_PRIORITIES = 9  # RFC 9218 section 2.1

MAX_ID = 0x7FFFFFFF
MAX_WINDOW = 0x7FFFFFFF

Text: TypeAlias = str | bytes
Fields: TypeAlias = Sequence[tuple[Text, Text]]
Headers: TypeAlias = list[tuple[str, str]]

REQUEST: Headers = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/"),
]
POST: Headers = [(":method", "POST"), *REQUEST[1:]]
RESPONSE: Headers = [(":status", "200")]

#: What is delivered in `headers` of `on_message_head` for REQUEST, and what a client writes for it.
REQUEST_HEADERS: Headers = [(":scheme", "https"), (":authority", "example.com")]


class Frame(NamedTuple):
    """One HTTP/2 frame as read from the wire. `stream` is without the reserved bit."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM or GOAWAY."""
        start = 4 if self.type == GOAWAY else 0
        return int.from_bytes(self.payload[start : start + 4], "big")

    @property
    def last(self) -> int:
        """The last stream id of a GOAWAY."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def increment(self) -> int:
        """The increment of a WINDOW_UPDATE."""
        return int.from_bytes(self.payload, "big")

    @property
    def settings(self) -> list[tuple[int, int]]:
        """The entries of a SETTINGS frame, in order."""
        p = self.payload
        pairs = range(0, len(p), 6)
        return [
            (int.from_bytes(p[i : i + 2], "big"), int.from_bytes(p[i + 2 : i + 6], "big"))
            for i in pairs
        ]


def parse_frames(data: bytes) -> list[Frame]:
    """Cut written bytes into frames (a client's preface in front is skipped).

    ValueError if they do not end at a frame's end: connections write whole frames.
    """
    frames = []
    at = len(PREFACE) if data.startswith(PREFACE) else 0
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if at + 9 > len(data) or end > len(data):
            raise ValueError(f"half a frame at the end: {data[at:]!r}")
        stream = int.from_bytes(data[at + 5 : at + 9], "big") & MAX_ID
        frames.append(Frame(data[at + 3], data[at + 4], stream, data[at + 9 : end]))
        at = end
    return frames


def frame(type: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Any frame; all 32 bits of `stream` are written as they are."""
    head = len(payload).to_bytes(3, "big") + bytes((type, flags)) + stream.to_bytes(4, "big")
    return head + payload


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def padded(payload: bytes, pad: int | None) -> bytes:
    """The payload with its pad length in front and the padding behind; None: not padded."""
    return payload if pad is None else bytes((pad,)) + payload + bytes(pad)


class FrameFactory:
    """A peer's pen: frames as bytes. One per connection, so that its HPACK state is real."""

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()

    frame = staticmethod(frame)

    def block(self, headers: Fields) -> bytes:
        """A field block, encoded with the state of this connection."""
        return self.encoder.encode(list(headers))

    def decode(self, block: bytes) -> Headers:
        """A field block written by the connection under test, decoded. Each must pass here once."""
        text = []
        for field in self.decoder.decode(block, raw=True):
            name, value = bytes(field[0]), bytes(field[1])
            text.append((_text(name), _text(value)))
        return text

    def headers(
        self,
        stream: int,
        headers: Fields,
        *,
        end_stream: bool = False,
        end_headers: bool = True,
        pad: int | None = None,
        priority: tuple[int, int] | None = None,
        flags: int = 0,
    ) -> bytes:
        """HEADERS with a whole field block. `priority` is (dependency with its E bit, weight)."""
        return self.headers_frame(
            stream,
            self.block(headers),
            end_stream=end_stream,
            end_headers=end_headers,
            pad=pad,
            priority=priority,
            flags=flags,
        )

    def headers_frame(
        self,
        stream: int,
        fragment: bytes,
        *,
        end_stream: bool = False,
        end_headers: bool = True,
        pad: int | None = None,
        priority: tuple[int, int] | None = None,
        flags: int = 0,
    ) -> bytes:
        """HEADERS with this (part of a) field block."""
        if priority is not None:
            fragment = u32(priority[0]) + bytes((priority[1],)) + fragment
        flags |= END_STREAM if end_stream else 0
        flags |= END_HEADERS if end_headers else 0
        flags |= PADDED if pad is not None else 0
        flags |= PRIORITY_FLAG if priority is not None else 0
        return frame(HEADERS, flags, stream, padded(fragment, pad))

    def continuation(self, stream: int, fragment: bytes, end_headers: bool = True) -> bytes:
        return frame(CONTINUATION, END_HEADERS if end_headers else 0, stream, fragment)

    def data(
        self, stream: int, payload: bytes, end_stream: bool = False, pad: int | None = None
    ) -> bytes:
        flags = (END_STREAM if end_stream else 0) | (PADDED if pad is not None else 0)
        return frame(DATA, flags, stream, padded(payload, pad))

    def settings(
        self, values: Mapping[int, int] | Iterable[tuple[int, int]] = (), ack: bool = False
    ) -> bytes:
        """SETTINGS; give pairs instead of a mapping to name a setting twice."""
        pairs = values.items() if isinstance(values, Mapping) else values
        payload = b"".join(k.to_bytes(2, "big") + u32(v) for k, v in pairs)
        return frame(SETTINGS, ACK if ack else 0, 0, payload)

    def ping(self, data: bytes = b"\0" * 8, ack: bool = False) -> bytes:
        return frame(PING, ACK if ack else 0, 0, data)

    def goaway(self, last: int, code: int = NO_ERROR, debug: bytes = b"") -> bytes:
        return frame(GOAWAY, 0, 0, u32(last) + u32(code) + debug)

    def rst(self, stream: int, code: int = CANCEL) -> bytes:
        return frame(RST_STREAM, 0, stream, u32(code))

    def window_update(self, stream: int, increment: int) -> bytes:
        return frame(WINDOW_UPDATE, 0, stream, u32(increment))

    def priority(self, stream: int, dependency: int = 0, weight: int = 15) -> bytes:
        return frame(PRIORITY, 0, stream, u32(dependency) + bytes((weight,)))

    def priority_update(self, stream: int, value: str, on: int = 0) -> bytes:
        return frame(PRIORITY_UPDATE, 0, on, u32(stream) + value.encode("latin-1"))

    def push_promise(
        self,
        stream: int,
        promised: int,
        headers: Fields,
        *,
        end_headers: bool = True,
        pad: int | None = None,
    ) -> bytes:
        flags = (END_HEADERS if end_headers else 0) | (PADDED if pad is not None else 0)
        payload = u32(promised) + self.block(headers)
        return frame(PUSH_PROMISE, flags, stream, padded(payload, pad))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def literal(name: bytes, value: bytes, first: int = 0x00) -> bytes:
    """One field without Huffman coding or index: leaves every HPACK table alone. For short text."""
    if len(name) > 126 or len(value) > 126:
        raise ValueError("too long for one octet of length")
    return bytes((first, len(name))) + name + bytes((len(value),)) + value
