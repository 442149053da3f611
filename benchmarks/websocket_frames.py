"""Processor time of a WebSocket echo without I/O: `python -m benchmarks.websocket_frames`.

A server's end takes a masked text frame and makes the frame of the same text: `cno.websocket`, the
`websockets` package and wsproto. Knows nothing of connections.
"""

import os
import time
from collections.abc import Callable
from typing import Any, Final

import cno
from benchmarks.lab import peer, table
from cno.websocket import Options
from cno.websocket.frames import NOTHING, TEXT, FrameMaker, FrameReader

#: Characters of a message, and how many there are.
SIZES: Final = ((100, 5_000), (10_000, 500))
ROUNDS: Final = 9


def masked(size: int) -> bytes:
    mask = os.urandom(4)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + mask + bytes(0x78 ^ mask[at & 3] for at in range(size))


def ours(frame: bytes, count: int) -> None:
    reader, maker = FrameReader(False, Options(), None), FrameMaker(False, None)
    for _ in range(count):
        reader.feed(frame)
        while reader.next() != NOTHING:
            message = reader.message
            maker.message(TEXT, message.encode() if isinstance(message, str) else message)


def websockets(frame: bytes, count: int) -> None:
    library: Any = peer("websockets.protocol")
    protocol = library.Protocol(library.Side.SERVER)
    for _ in range(count):
        protocol.receive_data(frame)
        for each in protocol.events_received():
            protocol.send_text(each.data)
        protocol.data_to_send()


def wsproto(frame: bytes, count: int) -> None:
    library: Any = peer("wsproto.connection")
    text: Any = peer("wsproto.events").TextMessage
    connection = library.Connection(library.ConnectionType.SERVER)
    for _ in range(count):
        connection.receive_data(frame)
        for each in connection.events():
            connection.send(text(each.data))


def microseconds(run: Callable[[bytes, int], None], size: int, count: int) -> float:
    """Return the processor time of one message, the best of the rounds."""
    frame = masked(size)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        run(frame, count)
        best = min(best, time.process_time() - began)
    return best / count * 1e6


def main() -> None:
    rows = []
    for name, run in (("cno", ours), ("websockets", websockets), ("wsproto", wsproto)):
        rows.append((name, *(f"{microseconds(run, *each):.2f}" for each in SIZES)))
    print(f"microseconds for each message; cno is {'' if cno.COMPILED else 'not '}compiled")
    print(table(("", *(f"{size:,} characters" for size, _ in SIZES)), rows))


if __name__ == "__main__":
    main()
