"""Frames without I/O: whole and cut anywhere, against the `websockets` package as the oracle."""

import itertools
import random
import tracemalloc
from typing import Any

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

from cno.websocket import Options
from cno.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    MESSAGE,
    NOTHING,
    PING,
    PONG,
    TEXT,
    FrameMaker,
    FrameReader,
    Violation,
    close_of,
    is_code,
)
from cno.websocket.wire import Deflate
from tests.rows import each_row

MESSAGES: list[str | bytes] = ["", b"", "text", "é\N{SNOWMAN}\N{GRINNING FACE}" * 100]
MESSAGES += [b"x" * size for size in (1, 3, 4, 5, 125, 126, 65_535, 65_536, 200_001)]
SIDES = [pytest.param(True, id="client"), pytest.param(False, id="server")]


def agreed(resets: bool) -> PerMessageDeflate:
    return PerMessageDeflate(resets, resets, 12, 12, {})


def deflate(compressed: bool, resets: bool) -> Deflate | None:
    return Deflate(agreed(resets)) if compressed else None


def other(client: bool, compressed: bool, resets: bool) -> Any:
    """The package's end, of the other role."""
    protocol: Any = Protocol(Side.SERVER if client else Side.CLIENT, max_size=None)
    protocol.extensions = [agreed(resets)] if compressed else []
    return protocol


def pieces(data: bytes, seed: int) -> list[bytes]:
    """Cut data: once whole, once into bytes at both ends, or anywhere."""
    if seed == 0:
        return [data]
    dice = random.Random(seed)
    cuts = sorted({*range(30), *(dice.randrange(len(data) + 1) for _ in range(20)), len(data)})
    return [data[a:b] for a, b in itertools.pairwise(cuts)]


def events(reader: FrameReader) -> list[tuple[int, str | bytes]]:
    found: list[tuple[int, str | bytes]] = []
    while (kind := int(reader.next())) != NOTHING:
        found.append((kind, reader.message if kind == MESSAGE else reader.payload))
    return found


@each_row("client", SIDES)
@each_row("resets", [False, True])
@each_row("compressed", [False, True])
def test_what_we_make_is_read(client: bool, compressed: bool, resets: bool) -> None:
    maker = FrameMaker(client, deflate(compressed, resets))
    peer = other(client, compressed, resets)
    for message in MESSAGES:
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        peer.receive_data(maker.message(TEXT if is_text else BINARY, data))
        (frame,) = peer.events_received()
        assert frame.opcode is (Opcode.TEXT if is_text else Opcode.BINARY)
        assert bytes(frame.data) == data
    peer.receive_data(maker.frame(FIN | PING, b"ping"))
    peer.receive_data(maker.close(4000, "reason"))
    assert [each.opcode for each in peer.events_received()] == [Opcode.PING, Opcode.CLOSE]
    assert (peer.close_rcvd.code, peer.close_rcvd.reason) == (4000, "reason")


@each_row("client", SIDES)
@each_row("resets", [False, True])
@each_row("compressed", [False, True])
@each_row("seed", range(4))
def test_what_others_make_is_read(client: bool, compressed: bool, resets: bool, seed: int) -> None:
    reader = FrameReader(client, Options(), deflate(compressed, resets))
    peer = other(client, compressed, resets)
    wanted: list[tuple[int, str | bytes]] = []
    for message in MESSAGES:
        data = message.encode() if isinstance(message, str) else message
        send = peer.send_text if isinstance(message, str) else peer.send_binary
        half = len(data) // 2
        if seed % 2:
            send(data[:half], fin=False)
            peer.send_ping(b"between")
            peer.send_continuation(data[half:], fin=False)
            peer.send_continuation(b"", fin=True)
            wanted.append((PING, b"between"))
        else:
            send(data)
        wanted.append((MESSAGE, message))
    peer.send_pong(b"pong")
    peer.send_close(1000, "é")
    wanted += [(PONG, b"pong"), (CLOSE, b"\x03\xe8\xc3\xa9")]
    found = []
    for piece in pieces(b"".join(peer.data_to_send()), seed):
        reader.feed(piece)
        found += events(reader)
    assert [(kind, type(each)) for kind, each in found] == [(k, type(e)) for k, e in wanted]
    assert found == wanted
    assert close_of(b"\x03\xe8\xc3\xa9") == (1000, "é")


def masked(first: int, data: bytes) -> bytes:
    return bytes((first, 0x80 | len(data))) + bytes(4) + data


@each_row(
    ("data", "code"),
    [
        (b"\x81\x85\0\0\0\0\xff", 1007),  # text is refused before its frame is complete
        (masked(0x01, b"\xe2\x82") + masked(0x80, b"\xac"), 0),
        (masked(0x01, b"\xe2\x82") + masked(0x80, b"x"), 1007),
        (masked(0x01, b"\xe2\x82") + masked(0x80, b""), 1007),
        (masked(0x41, b""), 1002),  # compressed, without agreement
        (b"\x82\xff" + b"\x80" + bytes(11), 1002),  # a negative length
        (b"\x82\xff" + bytes(4) + b"\xff" * 4 + bytes(4), 1009),
        (masked(0x8B, b""), 1002),
        (masked(0x83, b""), 1002),
    ],
)
def test_violations(data: bytes, code: int) -> None:
    for size in (len(data), 1):
        reader = FrameReader(False, Options(), None)
        found = 0
        try:
            for at in range(0, len(data), size):
                reader.feed(data[at : at + size])
                events(reader)
        except Violation as violation:
            found = violation.code
        assert found == code


def test_garbage_raises_violations_only() -> None:
    dice = random.Random(1)
    ends = 0
    for _ in range(3_000):
        reader = FrameReader(False, Options(), deflate(True, False))
        try:
            for _ in range(5):
                size = dice.randrange(8)
                first = dice.choice([0, 1, 2, 8, 9, 10]) | dice.choice([0, 0x80, 0xC0, 0x40])
                reader.feed(masked(first, dice.randbytes(size)))
                for kind, payload in events(reader):
                    if kind == CLOSE:
                        close_of(payload if isinstance(payload, bytes) else b"")
        except Violation as violation:
            assert violation.code in (1002, 1007, 1009)
            ends += 1
    assert 1_000 < ends < 3_000


def test_a_message_that_comes_byte_by_byte_takes_its_size() -> None:
    size = 20_000
    frame = b"\x81\xff" + size.to_bytes(8, "big") + bytes(4)
    reader = FrameReader(False, Options(), None)
    reader.feed(frame)
    tracemalloc.start()
    try:
        for _ in range(size - 1):
            reader.feed(b"x")
            assert reader.next() == NOTHING
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size
    reader.feed(b"x")
    assert reader.next() == MESSAGE and reader.message == "x" * size


def test_codes() -> None:
    good = [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]
    assert [code for code in range(65_536) if is_code(code)] == good
