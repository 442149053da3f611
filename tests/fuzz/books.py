"""The books of one HTTP/2 connection, kept from the octets on its wire alone.

Knows RFC 9113 and nothing of `cno`. `heard` is what the connection is given, frame by frame;
`wrote` checks what it says: whole frames in a lawful order, within the windows and sizes that its
peer has granted. AssertionError where that is not so.
"""

from itertools import pairwise

from tests.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_ID,
    MAX_WINDOW,
    NO_ERROR,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    FrameFactory,
    parse_frames,
)

WINDOW = 65_535


class Books:
    """Of the connection under test: what it may send, what may be sent to it."""

    def __init__(self, server: bool, pen: FrameFactory) -> None:
        self.server = server
        self.pen = pen
        self.preface = PREFACE if server else b""  # what is left of it
        self.partial = b""  # heard, and not yet a frame
        # What the peer granted.
        self.initial = WINDOW
        self.room = WINDOW
        self.more: dict[int, int] = {}  # beyond `initial`, by stream
        self.max_frame = 16_384
        # What the connection granted; `overrun`: the peer sent more.
        self.granted = WINDOW
        self.overrun = False
        self.settings_heard = 0
        self.due: list[list[tuple[int, int]]] = []  # heard, and not acknowledged
        self.pings_heard = 0
        # What it has said.
        self.acks = 0
        self.pongs = 0
        self.ended: set[int] = set()  # by END_STREAM
        self.reset: set[int] = set()
        self.opened = 0 if server else -1  # its highest stream
        self.block = b""
        self.block_of = 0
        self.gone = False

    def frames_of(self, data: bytes) -> list[bytes]:
        """These octets cut where frames end: what is said between two of them counts."""
        skip = len(self.preface)
        known = self.partial + data[skip:]
        back = len(self.partial) - skip
        cuts, at = [0], 0
        while len(known) - at >= 9:
            at += 9 + int.from_bytes(known[at : at + 3], "big")
            if at > len(known):
                break
            cuts.append(at - back)
        return [data[start:end] for start, end in pairwise([*cuts, len(data)]) if start < end]

    # -- what it is given -------------------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        if self.preface:
            size = len(self.preface)
            self.preface, data = self.preface[len(data) :], data[size:]
        self.partial += data
        while len(self.partial) >= 9:
            end = 9 + int.from_bytes(self.partial[:3], "big")
            if len(self.partial) < end:
                return
            (frame,) = parse_frames(self.partial[:end])
            self.partial = self.partial[end:]
            self._heard(frame)

    def _heard(self, f: Frame) -> None:
        if f.type == SETTINGS and not f.flags & ACK:
            self.settings_heard += 1
            self.due.append(f.settings if len(f.payload) % 6 == 0 else [])
        elif f.type == WINDOW_UPDATE and len(f.payload) == 4:
            increment = f.increment & MAX_WINDOW
            if f.stream:
                self.more[f.stream] = self.more.get(f.stream, 0) + increment
            else:
                self.room += increment
        elif f.type == DATA:
            self.granted -= len(f.payload)
            self.overrun = self.overrun or self.granted < 0
        elif f.type == PING and not f.flags & ACK:
            self.pings_heard += 1

    def _setting(self, key: int, value: int) -> None:
        if key == INITIAL_WINDOW_SIZE:
            self.initial = min(value, MAX_WINDOW)
        elif key == MAX_FRAME_SIZE:
            self.max_frame = max(16_384, min(value, (1 << 24) - 1))
        elif key == HEADER_TABLE_SIZE:
            self.pen.decoder.max_allowed_table_size = value

    # -- what it says -----------------------------------------------------------------------------

    def wrote(self, data: bytes) -> list[Frame]:
        """Check it, and count."""
        frames = parse_frames(data)
        for f in frames:
            assert not self.gone, f"{f} after GOAWAY with an error"
            assert f.type == GOAWAY or len(f.payload) <= self.max_frame, f"too large: {f}"
            if self.block_of:
                assert f.type == CONTINUATION and f.stream == self.block_of, f"in a block: {f}"
            self._wrote(f)
        return frames

    def _wrote(self, f: Frame) -> None:
        s = f.stream
        if f.type == DATA:
            self._not_over(f)
            size = len(f.payload)
            self.room -= size
            self.more[s] = self.more.get(s, 0) - size
            if size:
                assert self.room >= 0, f"{-self.room} beyond the connection's window"
                left = self.initial + self.more[s]
                assert left >= 0, f"{-left} beyond the window of stream {s}"
            if f.flags & END_STREAM:
                self.ended.add(s)
        elif f.type in (HEADERS, PUSH_PROMISE):
            self._not_over(f)
            self._fields(f)
        elif f.type == CONTINUATION:
            assert self.block_of == s
            self.block += f.payload
            self._block_end(f)
        elif f.type == RST_STREAM:
            assert s and len(f.payload) == 4
            self.reset.add(s)
        elif f.type == WINDOW_UPDATE:
            assert 0 < f.increment <= MAX_WINDOW
            if s == 0:
                self.granted += f.increment
                assert self.granted <= MAX_WINDOW
        elif f.type == SETTINGS:
            assert s == 0 and (not f.payload if f.flags & ACK else len(f.payload) % 6 == 0)
            if f.flags & ACK:
                self.acks += 1
                assert self.due, "an acknowledgement of nothing"
                # What was said before is under the settings before, however late it is written.
                for key, value in self.due.pop(0):
                    self._setting(key, value)
        elif f.type == PING:
            assert s == 0 and len(f.payload) == 8
            self.pongs += f.flags & ACK
            assert self.pongs <= self.pings_heard, "an answer to no question"
        elif f.type == GOAWAY:
            assert s == 0 and len(f.payload) >= 8
            self.gone = f.code != NO_ERROR

    def _not_over(self, f: Frame) -> None:
        assert f.stream, f
        assert f.stream not in self.ended, f"after END_STREAM: {f}"
        assert f.stream not in self.reset, f"after RST_STREAM: {f}"

    def _fields(self, f: Frame) -> None:
        s = f.stream
        self.block_of = s
        self.block = f.payload
        if f.type == PUSH_PROMISE:
            assert self.server
            s = int.from_bytes(f.payload[:4], "big") & MAX_ID
            self.block = f.payload[4:]
            assert s % 2 == 0 and s > self.opened, f"promises stream {s}"
            self.opened = s
        elif not self.server and s % 2 and s > self.opened:
            self.opened = s
        elif not self.server:
            assert s % 2 and s <= self.opened
        if f.type == HEADERS and f.flags & END_STREAM:
            self.ended.add(s)
        self._block_end(f)

    def _block_end(self, f: Frame) -> None:
        if f.flags & END_HEADERS:
            fields = self.pen.decode(self.block)
            assert fields or f.type != PUSH_PROMISE
            plain = [name for name, _ in fields if not name.startswith(":")]
            names = [name for name, _ in fields]
            assert names[len(names) - len(plain) :] == plain, f"pseudo-fields behind: {fields}"
            self.block, self.block_of = b"", 0

    def settled(self) -> None:
        """Nothing is under way: what is owed has been paid."""
        assert not self.block_of, "half a field block"
        if not self.partial and not self.gone:
            assert self.acks == self.settings_heard, f"{self.acks} of {self.settings_heard} acks"
            assert self.pongs == self.pings_heard, f"{self.pongs} of {self.pings_heard} pongs"


def without_preface(data: bytes) -> bytes:
    return data.removeprefix(PREFACE)
