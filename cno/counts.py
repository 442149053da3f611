"""Counts of what one connection, or many, have sent and received: frames by type, bytes, resets.

Finds the boundaries of HTTP/2 frames without judging them. Must never know a connection.
"""

from typing import Final, final

from mypy_extensions import i64

from cno.const import CNO_FRAME_GOAWAY, CNO_FRAME_RST_STREAM
from cno.enums import ErrorCode, FrameType

#: Types that have counters of their own; all others share the last one.
KNOWN_TYPES: Final = 0x12
HEADER_SIZE: Final = 9
#: Bytes of payload that a frame with an error code begins with.
CODE_END: Final = 8


@final
class Counts:
    """Counts of one direction."""

    def __init__(self) -> None:
        self.octets: i64 = 0
        self.frames: list[int] = [0] * (KNOWN_TYPES + 1)
        self.resets: dict[int, int] = {}  # RST_STREAM by error code
        self.goaways: dict[int, int] = {}  # GOAWAY by error code

    def add(self, other: "Counts") -> None:
        """Add the counts of another connection."""
        self.octets += other.octets
        for kind in range(len(self.frames)):
            self.frames[kind] += other.frames[kind]
        for code, count in other.resets.items():
            self.resets[code] = self.resets.get(code, 0) + count
        for code, count in other.goaways.items():
            self.goaways[code] = self.goaways.get(code, 0) + count

    def frames_by_type(self) -> dict[str, int]:
        """Return how many frames there were of each type that occurred."""
        return {type_name(kind): count for kind, count in enumerate(self.frames) if count}

    def resets_by_code(self) -> dict[str, int]:
        """Return how many RST_STREAM there were with each error code."""
        return {code_name(code): count for code, count in sorted(self.resets.items())}

    def goaways_by_code(self) -> dict[str, int]:
        """Return how many GOAWAY there were with each error code."""
        return {code_name(code): count for code, count in sorted(self.goaways.items())}


@final
class FrameCounter:
    """Counts the frames of one direction, cut anywhere. `skip`: bytes before the first one."""

    def __init__(self, counts: Counts, skip: i64) -> None:
        self._counts = counts
        self._skip = skip
        self._header = b""  # of a frame whose header is incomplete
        self._left: i64 = 0  # bytes of the payload still to come
        self._kept = b""  # the beginning of a payload with an error code
        self._kind: i64 = 0

    def feed(self, data: bytes) -> None:
        """Count the frames that begin in these bytes."""
        at: i64 = 0
        size: i64 = len(data)
        if self._skip > 0:
            at = min(self._skip, size)
            self._skip -= at
        while at < size:
            if self._left > 0:
                piece: i64 = min(self._left, size - at)
                if self._kind == CNO_FRAME_RST_STREAM or self._kind == CNO_FRAME_GOAWAY:
                    self._keep(data[at : at + piece])
                self._left -= piece
                at += piece
                continue
            missing: i64 = HEADER_SIZE - len(self._header)
            self._header += data[at : at + missing]
            at += missing
            if len(self._header) == HEADER_SIZE:
                header = self._header
                self._header = b""
                self._kept = b""
                self._left = (header[0] << 16) | (header[1] << 8) | header[2]
                self._kind = header[3]
                self._counts.frames[min(self._kind, KNOWN_TYPES)] += 1

    def _keep(self, data: bytes) -> None:
        """Count a reset once its error code is there."""
        before: i64 = len(self._kept)
        needed: i64 = 4 if self._kind == CNO_FRAME_RST_STREAM else CODE_END
        if before >= needed:
            return
        self._kept += data[: needed - before]
        if len(self._kept) == needed:
            code = int.from_bytes(self._kept[needed - 4 :], "big")
            found = self._counts.resets
            if self._kind == CNO_FRAME_GOAWAY:
                found = self._counts.goaways
            # A peer may send any code; those without a name count as one.
            known = code if code <= int(ErrorCode.HTTP_1_1_REQUIRED) else -1
            found[known] = found.get(known, 0) + 1


def type_name(kind: int) -> str:
    """Return the name of a frame type."""
    try:
        return FrameType(kind).name
    except ValueError:
        return "other"


def code_name(code: int) -> str:
    """Return the name of an error code (RFC 9113 7)."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return "other"
