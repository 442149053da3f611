"""Splits one direction of a connection into frames, cut anywhere, without judging them.

Knows where a frame begins and ends. Must never know what it means.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cno.const import CNO_FRAME_DATA

HEADER_SIZE: Final = 9
#: Bytes of payload that are kept of a frame: of DATA, only what its record shows.
MAX_KEPT: Final = 65_536
MAX_DATA_KEPT: Final = 64


@dataclass(slots=True)
class RawFrame:
    """A frame as it is on the wire. `payload` is its beginning, `length` its whole size."""

    header: bytes
    type: int
    flags: int
    stream: int
    length: int
    payload: bytes


class FrameReader:
    """Reads frames. `skip`: bytes before the first one (the preface of a client)."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._header = bytearray()
        self._kept = bytearray()
        self._left = 0  # bytes of the payload that have not come

    def feed(self, data: bytes | memoryview) -> Iterator[RawFrame]:
        """Take bytes; yield each frame that they complete."""
        view = memoryview(data)
        if self._skip:
            skipped = min(self._skip, len(view))
            self._skip -= skipped
            view = view[skipped:]
        while view:
            if len(self._header) < HEADER_SIZE:
                wanted = HEADER_SIZE - len(self._header)
                self._header += view[:wanted]
                view = view[wanted:]
                if len(self._header) < HEADER_SIZE:
                    return
                self._left = int.from_bytes(self._header[:3], "big")
            piece = view[: self._left]
            most = MAX_DATA_KEPT if self._header[3] == CNO_FRAME_DATA else MAX_KEPT
            self._kept += piece[: max(0, most - len(self._kept))]
            self._left -= len(piece)
            view = view[len(piece) :]
            if self._left == 0:
                yield self._take()

    def _take(self) -> RawFrame:
        header = bytes(self._header)
        payload = bytes(self._kept)
        self._header.clear()
        self._kept.clear()
        return RawFrame(
            header,
            header[3],
            header[4],
            int.from_bytes(header[5:], "big") & 0x7FFF_FFFF,
            int.from_bytes(header[:3], "big"),
            payload,
        )
