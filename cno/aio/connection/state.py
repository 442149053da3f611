"""The state of one connection: the engine, the event loop, and the parts as fields.

Functions in other modules are the behaviour; they take a `Link`. Must never know requests and
responses.
"""

import asyncio
import contextvars
import itertools
import time
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connection.lifecycle import Lifecycle
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.pings import Pings
from cno.aio.connection.stream_state import StreamState
from cno.aio.connection.transports import write_buffer
from cno.aio.log import connection_log
from cno.const import DEFAULT_WINDOW
from cno.engine import Engine
from cno.errors import ConnectionError, Reason
from cno.limits import Limits, window
from cno.priority import SHARED
from cno.settings import SettingsDict, check_dict

#: Numbers of connections, by which an error names its connection without a reference to it.
NUMBERS: Final = itertools.count(1)


#: Bytes of input parsed in the first iteration of the event loop: see `intake.adapt`.
FIRST_CHUNK: Final = 16_384
#: Less than any count of bytes.
NEVER: Final = -(1 << 62)
# Placeholders where there is nothing, as on most connections most of the time. Not to be modified.
NO_INPUT: Final = bytearray()
NO_CHUNKS: Final[list[bytes]] = []


@final
class Intake:
    """Input that is not parsed, or not read by the application."""

    def __init__(self, limits: Limits) -> None:
        self.received: i64 = 0  # calls of data_received
        self.parsing = False  # input is being parsed: output and new work wait for its end
        self.unparsed = NO_INPUT  # received, not yet given to the engine
        self.behind = False  # that waits for the next iteration of the event loop
        self.chunk: i64 = min(limits.read_chunk, FIRST_CHUNK)  # bytes parsed in one iteration
        self.most_chunk: i64 = limits.read_chunk
        self.most_frames: i64 = limits.read_frames  # of HTTP/2, in one iteration
        self.unread: i64 = 0  # bytes of bodies in HTTP/1.1; HTTP/2 has windows
        self.most_unread: i64 = limits.read_buffer
        self.pipeline_blocked = False  # `max_pipelined` is reached: the engine keeps the rest
        self.reading_paused = False  # the transport's reading is paused


@final
class Timeouts:
    """The timer of a connection, and what it has seen at its last ticks."""

    def __init__(self) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self.fast_tick = False  # the tick is short enough for the timeouts of streams
        self.retire_at = 0.0  # when to accept no more requests; 0: never, or it is past
        self.unacked_since = 0.0  # 0: all our SETTINGS are acknowledged
        self.idle_since = 0.0  # 0: not idle
        self.idle_mark: i64 = -1  # the peer's last stream at `idle_since`
        self.head_since = 0.0  # 0: no head is partly received
        self.head_mark: i64 = 0  # the id of the partly received head
        self.received_seen: i64 = 0  # `Intake.received` at the last tick
        self.heard_at = 0.0  # the last tick that saw something received
        self.ping_sent = 0.0  # 0: no PING that tests the peer is unanswered
        self.suspected = False  # the peer left a request unanswered, until it answers that PING
        self.output_mark: i64 = 0  # bytes that the peer had acknowledged at `output_since`
        self.output_since = 0.0  # 0: the transport is empty
        self.taken_mark: i64 = NEVER  # bytes acknowledged at the last check of `is_taking`
        self.written_mark: i64 = 0  # bytes of bodies written at the last tick
        self.eof_since = 0.0  # when the peer's end was seen while reading is paused; 0: never
        self.refused_since = 0.0  # 0: no request waits for a server that allows none


@final
class ReceiveWindow:
    """The connection's receive window, and the round trips that show how large it should be."""

    def __init__(self, limits: Limits) -> None:
        self.until_check: i64 = 0  # bytes to read before `bdp` looks at the clock again
        self.probing = False  # our PING is not answered yet
        self.probe_sent = 0.0
        self.rtt = 0.0  # round-trip time in seconds; 0: unknown
        self.rtt_guessed = False  # no PING has been answered yet
        self.announced_at = 0.0  # when our SETTINGS went out
        first = max(DEFAULT_WINDOW, window(limits.connection_window))
        self.least_room: i64 = first // 2  # see `room`
        self.extension: i64 = 0  # bytes by which unread data has widened the window
        self.room_due = False  # `room` will check whether more is needed
        self.read_in_all: i64 = 0  # bytes read in total
        self.read_before: i64 = 0  # `read_in_all` at `marked_at`
        self.marked_at = 0.0


@final
class TransportState:
    """The abilities of the transport, and a count of the bytes that were written to it."""

    def __init__(self, limits: Limits) -> None:
        self.clear_text = False  # it has no TLS
        self.gathers = False  # its writelines() does not copy (`transports.gathers`)
        self.most_whole: i64 = 0  # bytes that HTTP/1.1 passes to it whole
        self.bounded = False  # `bound_unsent` has been called
        self.written: i64 = 0  # bytes given to it in total
        self.full = False  # it is above its high-water mark
        self.backlog: i64 = 0  # bytes written since it was full
        self.most_backlog: i64 = limits.max_write_backlog


class FlushListener:
    """Called once, at the next flush: see `SendBuffer.listeners`."""

    def flushed(self) -> None:
        """Note that the tasks which the last input started have run."""


NO_LISTENERS: Final[list[FlushListener]] = []  # as NO_CHUNKS


@final
class SendBuffer:
    """The output that the next flush passes to the transport."""

    def __init__(self, limits: Limits) -> None:
        self.chunks = NO_CHUNKS
        self.flush_due = False  # a flush is scheduled
        self.collecting = False  # the engine is corked until the scheduled flush
        self.listeners = NO_LISTENERS
        self.unflushed: i64 = 0  # bytes of bodies written since the last flush
        self.body_written: i64 = 0  # bytes of bodies written in total
        self.flush_size: i64 = max(1, write_buffer(limits))  # bytes of bodies in one flush


@final
class SendQueue:
    """The writes that a window, the transport or other writes block."""

    def __init__(self, flush_size: i64) -> None:
        self.pending: dict[int, PendingWrite] = {}  # by stream, longest waiting first
        self.window_opened = False  # some of them may be able to continue
        self.turn_due = False  # they are tried in the next iteration of the event loop
        self.running = False  # they are being tried
        self.transport_drained = False  # the next iteration lets new requests go first
        self.burst: i64 = flush_size  # bytes of bodies in one flush while the queue runs
        self.burst_mark: i64 = 0  # `SendBuffer.body_written` when `burst` was last adapted
        self.initial_window: i64 = 0  # INITIAL_WINDOW_SIZE with which blocked streams were tried
        self.initial_window_at = 0.0  # when that became larger
        self.retry_due = False  # a timer will try them with a larger one
        self.ranked_updates: i64 = 0  # PRIORITY_UPDATEs that the ranks of the queue include


@mypyc_attr(allow_interpreted_subclasses=True)
class Link(Engine, asyncio.Protocol):
    """The engine with the parts that connect it to a transport."""

    #: Set by connection_made().
    transport: asyncio.Transport

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, limits=limits, clock=time.monotonic)
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop() if loop is None else loop
        #: The context in which the connection was made. All of its callbacks, readers and timers
        #: run in it, not in that of a handler, whose variables the next request would see.
        self._context = contextvars.copy_context()
        self._number: int = next(NUMBERS)
        self._life = Lifecycle()
        self._intake = Intake(limits)
        self._timeouts = Timeouts()
        self._window = ReceiveWindow(limits)
        self._transport_state = TransportState(limits)
        self._send_buffer = SendBuffer(limits)
        self._send_queue: SendQueue | None = None  # once a write has been blocked
        self._exchanges: dict[int, StreamState] = {}  # by stream
        self._pings: Pings | None = None  # that the application waits for
        self._adapter: object = None  # kept for an adapter (ASGI)
        self.manual_flow_control = True
        if settings is not None:
            check_dict(settings, server)
            self.configure(**settings)

    # -- hooks: what servers, clients and the connection itself do -------------------------------

    def abort(self) -> None:
        """Close the transport at once; unsent output is lost."""

    def _shorten_timer(self) -> None:
        """Called when output begins to wait for the peer: the timer must notice that soon."""

    def _rank_of(self, stream: int) -> i64:
        """Return the priority of a stream: see `cno.priority.rank`."""
        return SHARED

    def _unsent(self, stream: int, error: Exception) -> None:
        """Handle an error of a write that no task waits for."""
        about = {"connection": self._number, "stream": stream}
        connection_log.debug("stream %d: %s", stream, error, extra=about)

    def _clear_http2(self) -> bool:
        """Return whether to begin with HTTP/2 if no protocol was negotiated."""
        return False

    def _on_refusal(self, error: ConnectionError) -> None:
        """Note that the peer has broken the protocol; it has been answered."""
        connection_log.debug("%s", error, extra={"connection": self._number})

    def _after_input(self) -> None:
        """After each batch of input: start handlers, resume writers, flush, close if done."""

    def _begin_work(self) -> None:
        """Start the work that the input has caused."""

    def _freed(self) -> None:
        """Called when a stream has ended, settings have changed, or the transport has drained."""

    def _on_exchange_end(self, exchange: StreamState, clean: bool) -> None:
        """Called when a stream has ended; `clean`: our message was complete."""

    def _after_loss(self) -> None:
        """Called when the connection and all its streams have ended."""

    def _is_idle(self) -> bool:
        """Return whether a connection without streams may be closed as idle."""
        return False

    def _requests_wait(self) -> bool:
        """Client: return whether requests wait for the server to allow them."""
        return False

    def _requests_not_allowed(self) -> None:
        """Client: fail the waiting requests, which the server does not allow."""

    def _overdue(self, exchange: StreamState, now: float) -> Reason | None:
        """Return what has not come in time on a stream; None if nothing is late."""
        return None

    def _probe_answered(self) -> None:
        """HTTP/2: the peer has answered our PING."""

    def _retire(self) -> None:
        """Accept no more requests; open ones may finish."""

    def _engine_shutdown(self) -> None:
        """Tell the peer that no more streams are accepted."""
        super().shutdown()

    def _lose(self, why: Reason) -> None:
        """End the connection after its received input: the peer has gone."""
