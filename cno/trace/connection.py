"""The trace of a connection: bytes of both directions in, records out.

Keeps what is needed to read frames: both HPACK tables, both sets of windows, the field block that
is open. Reports what is on the wire; the engine judges it. Must never know a transport.
"""

import itertools
import re
import time
from collections.abc import Callable
from typing import Final

from cno.const import PREFACE
from cno.enums import FrameType
from cno.hpack import Decoder, HPACKError
from cno.trace.frame_reader import FrameReader, RawFrame
from cno.trace.hook import Tap, Tracer
from cno.trace.payloads import fragment, values_of
from cno.trace.record import MAX_OCTETS, Record, flag_names, type_name
from cno.trace.windows import SenderWindows

Listener = Callable[[Record], None]

#: Bytes of a field block that is decoded. The fields of a longer one, and of all that follow in
#: its direction, are not shown.
MAX_BLOCK: Final = 262_144
#: Fields of one block that are shown.
MAX_FIELDS: Final = 1_000
#: Bytes of an HPACK table that is followed.
MAX_TABLE: Final = 1 << 20

BLANKS: Final = " \t"
#: Bytes of a head of HTTP/1.1 that comes in pieces.
MAX_HEAD: Final = 65_536

_HEAD: Final = re.compile(rb"(HTTP/1\.[01] \d{3}|[!-~]+ [!-~]+ HTTP/1\.[01]\r?\n)")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")


class Trace(Tracer):
    """A trace of any number of connections. `listener` gets each record.

    `clock` returns seconds. The listener is called while a connection sends and receives: it must
    be quick. If it raises, the trace of that connection ends, and the exception goes to
    `on_error`.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self.listener = listener
        self.on_error = on_error
        self._clock = clock
        #: The time of the clock at which the trace began.
        self.began = clock()
        self._numbers = itertools.count(1)  # for several threads

    def now(self) -> float:
        """Return the seconds since the trace began."""
        return self._clock() - self.began

    def open(self, server: bool, http2: bool | None = None) -> "ConnectionTrace":
        """Return the trace of a new connection, of which we are the server or the client.

        `http2`: whether that was negotiated; None: the client's first bytes show it.
        """
        return ConnectionTrace(self, next(self._numbers), server, http2)


class Direction:
    """One direction: the frames of one side, and what it may send."""

    def __init__(self, sent: bool, is_client: bool) -> None:
        self.sent = sent
        self.is_client = is_client
        self.windows = SenderWindows()
        self.reader = FrameReader(len(PREFACE) if is_client else 0)
        self.decoder: Decoder | None = Decoder(max_list_size=None, max_fields=MAX_FIELDS)
        self.block = bytearray()  # of HEADERS or PUSH_PROMISE without END_HEADERS
        self.ends_stream = False  # its HEADERS had END_STREAM
        self.ended: set[int] = set()  # streams that ended in this direction only
        self.head = b""  # of HTTP/1.1, of which the end has not passed


class ConnectionTrace(Tap):
    """The trace of one connection; see `Trace.open`."""

    def __init__(self, trace: Trace, number: int, server: bool, http2: bool | None) -> None:
        self.number = number
        self._trace = trace
        self._http2 = http2
        self._sending = Direction(True, not server)
        self._receiving = Direction(False, server)
        self._is_broken = False

    def sent(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that we pass to the transport."""
        self._feed(self._sending, self._receiving, bytes(data))

    def received(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that the transport has delivered."""
        self._feed(self._receiving, self._sending, bytes(data))

    def _feed(self, own: Direction, other: Direction, data: bytes) -> None:
        if self._is_broken or not data:
            return
        try:
            if own.is_client and not self._http2 and data.startswith(PREFACE):
                self._http2 = True  # by prior knowledge
            if not self._http2:
                self._http1(own, data)
                return
            for frame in own.reader.feed(data):
                self._trace.listener(self._record(own, other, frame))
        except Exception as error:
            self._is_broken = True
            if self._trace.on_error is not None:
                self._trace.on_error(error)

    # -- HTTP/2 ----------------------------------------------------------------------------------

    def _record(self, own: Direction, other: Direction, frame: RawFrame) -> Record:
        record = Record(
            self._trace.now(),
            self.number,
            own.sent,
            "HTTP/2",
            type_name(frame.type),
            frame.stream,
            flag_names(frame.type, frame.flags),
            frame.length,
            values=values_of(frame),
            octets=(frame.header + frame.payload)[:MAX_OCTETS],
        )
        if frame.type == FrameType.DATA:
            self._data(own, record, frame)
        elif frame.type == FrameType.WINDOW_UPDATE:
            increment = record.values.get("increment", 0)
            if isinstance(increment, int):
                other.windows.widened(frame.stream, increment)
            show_windows(record, other)
        elif frame.type == FrameType.SETTINGS:
            apply_settings(other, record)
        elif frame.type in (FrameType.HEADERS, FrameType.PUSH_PROMISE, FrameType.CONTINUATION):
            self._block(own, record, frame)
        if frame.type == FrameType.RST_STREAM:
            close(own, other, frame.stream)
        elif "END_STREAM" in record.flags and frame.type != FrameType.HEADERS:
            end(own, other, frame.stream)
        elif own.ends_stream and "END_HEADERS" in record.flags:
            own.ends_stream = False
            end(own, other, frame.stream)
        return record

    def _data(self, own: Direction, record: Record, frame: RawFrame) -> None:
        if "PADDED" in record.flags and frame.payload:
            record.values["padding"] = frame.payload[0]
        own.windows.sent(frame.stream, frame.length)
        show_windows(record, own)

    def _block(self, own: Direction, record: Record, frame: RawFrame) -> None:
        """Add to the open field block; decode it at its end."""
        piece, said = fragment(frame)
        record.values |= said
        if frame.type != FrameType.CONTINUATION:
            own.block.clear()
        if frame.type == FrameType.HEADERS:
            own.ends_stream = "END_STREAM" in record.flags
            self._sending.windows.open(frame.stream)
            self._receiving.windows.open(frame.stream)
        own.block += piece
        if len(own.block) > MAX_BLOCK or len(frame.payload) < frame.length:
            own.decoder = None
            own.block.clear()
        if own.decoder is None:
            record.problem = "the field block is too large for the trace, or follows one that is"
        elif "END_HEADERS" in record.flags:
            try:
                record.fields = own.decoder.decode(bytes(own.block))
            except HPACKError as error:
                record.problem = f"the field block cannot be decoded: {error}"
                own.decoder = None
            own.block.clear()

    # -- HTTP/1.1 --------------------------------------------------------------------------------

    def _http1(self, own: Direction, data: bytes) -> None:
        """Report a piece of HTTP/1.1: a head where one ends, otherwise its size.

        Pieces of a head that is not whole are reported as "DATA", so that a fault in it is seen.
        """
        before = own.head
        if before or _HEAD.match(data):
            whole = before + data
            blank = _BLANK_LINE.search(whole, max(0, len(before) - 2))
            own.head = whole if blank is None and len(whole) <= MAX_HEAD else b""
            if blank is not None:
                size = blank.end() - len(before)
                record = self._piece(own, "HEAD", data[:size])
                describe_head(record, whole[: blank.end()])
                self._trace.listener(record)
                data = data[size:]
        if data:
            self._trace.listener(self._piece(own, "DATA", data))

    def _piece(self, own: Direction, type: str, data: bytes) -> Record:
        now = self._trace.now()
        return Record(
            now, self.number, own.sent, "HTTP/1.1", type, 0, (), len(data), octets=data[:MAX_OCTETS]
        )


def describe_head(record: Record, head: bytes) -> None:
    """Add the start line and the fields of a head, and the lines that break RFC 9112 2.2 or 5.2."""
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-2]
    bare = text.count("\n") - text.count("\r\n")
    folded = 0
    fields: list[tuple[str, str]] = []
    for raw in lines[1 : MAX_FIELDS + 1]:
        line = raw.removesuffix("\r")
        if line[:1] in (" ", "\t") and fields:
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip(BLANKS)}".strip(BLANKS))
            folded += 1
        else:
            name, _, value = line.partition(":")
            fields.append((name.lower(), value.strip(BLANKS)))
    record.fields = fields
    record.values["line"] = lines[0].removesuffix("\r")
    if bare:
        record.values["bare_lf"] = bare
    if folded:
        record.values["obs_fold"] = folded


def show_windows(record: Record, sender: Direction) -> None:
    """Add the windows of `sender` to a record."""
    record.connection_window = sender.windows.connection
    if record.stream:
        record.stream_window = sender.windows.of(record.stream)


def apply_settings(other: Direction, record: Record) -> None:
    """Apply the settings of one side to what the other sends."""
    window = record.values.get("INITIAL_WINDOW_SIZE")
    if isinstance(window, int):
        other.windows.initial = window
    size = record.values.get("HEADER_TABLE_SIZE")
    # A lower bound binds after its acknowledgement. The encoder announces the size that it uses.
    if isinstance(size, int) and other.decoder is not None and size > 4_096:
        other.decoder.set_max_table_size(min(size, MAX_TABLE))


def end(own: Direction, other: Direction, stream: int) -> None:
    """A stream has ended in one direction."""
    if stream in other.ended:
        close(own, other, stream)
    else:
        own.ended.add(stream)


def close(own: Direction, other: Direction, stream: int) -> None:
    """A stream has ended in both directions."""
    for each in (own, other):
        each.ended.discard(stream)
        each.windows.close(stream)
