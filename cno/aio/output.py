"""The output of a connection: at most one write to the transport in each event loop iteration.

Output that a window, the transport or an earlier response blocks is queued by stream, and continues
in the order of priorities. Knows the engine's write methods and the transport. Must never know the
input.
"""

import asyncio
from collections import deque
from typing import Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connection.lifecycle import ABORT, FLUSHING, LINGERING, LOST
from cno.aio.connection.state import Link
from cno.aio.errors import ConnectionLostError, claim, end_error, fresh
from cno.aio.fields import Headers
from cno.aio.log import log
from cno.aio.transports import bound_unsent, write_buffer
from cno.aio.waiters import wake
from cno.core import INIT, UNKNOWN_LENGTH, announce_size
from cno.errors import DisconnectError, InvalidStreamError, UsageError, WouldBlockError
from cno.limits import UNBOUNDED, Limits
from cno.priority import SHARED
from cno.settings import SettingsDict

#: Bytes of one body that are written before another stream may write.
QUANTUM: Final = 65_536
#: The most bytes written in one iteration while the transport accepts all of them at once, as a
#: multiple of `write_buffer`. 1 MiB then takes 6 iterations instead of 16, a quarter of the time.
BURST: Final = 4
#: HTTP/2: bytes of a piece of a body, which fit into one frame for any peer.
FRAME: Final = 16_384

#: Seconds that each queued stream adds to the time between two changes of INITIAL_WINDOW_SIZE after
#: which all of them are tried: about a hundred times as long as trying one takes.
VISIT: Final = 0.000_1

# The outcomes of an attempt to write.
BLOCKED: Final = 0  # by a window, or by an earlier response
PROGRESSED: Final = 1  # there is more
FINISHED: Final = 2
PIECE_SENT: Final = 3  # finished, but the stream's writer will continue once it is woken

UNRANKED: Final = -1


class Sending:
    """A pending write on a stream: a head, data and trailers, each optional."""

    def __init__(
        self,
        stream: int,
        data: bytes,
        final: bool,
        headers: Headers | None = None,
        code: int = 0,
        *,
        length: i64 = UNKNOWN_LENGTH,
        trailers: Headers | None = None,
    ) -> None:
        self.stream = stream
        self.headers = headers  # of the head, until it is written
        self.code = code
        self.reason = ""
        self.data = data
        self.at: i64 = 0  # bytes of `data` that are written
        self.final = final  # this is the last write on the stream
        self.length: i64 = length  # bytes of the whole body, for its content-length
        self.trailers = trailers
        self.stuck = False  # the last attempt wrote less than it could have
        self.blocked_at: i64 = (
            -1
        )  # INITIAL_WINDOW_SIZE when the stream's window blocked this; -1: it does not
        self.again: i64 = 0  # try a small window again once `_moved` has reached this
        self.rank: i64 = UNRANKED  # smaller is sent first; even: not incremental
        self.waiter: asyncio.Future[None] | None = None
        self.seen: i64 = 0  # `at`, when the timer looked last
        self.since = 0.0  # when the timer first saw that state; 0: never
        self.window: i64 = 0  # of the stream, at that time
        self.room: i64 = 0  # window of the connection, at that time
        self.error: Exception | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Output(Link):
    """The writing half of a connection."""

    def __init__(
        self,
        server: bool,
        loop: asyncio.AbstractEventLoop | None,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(server, loop, limits, settings)
        self._busy = False  # inside data_received: output and new work wait for its end
        self._outbox: list[bytes] = []
        self._flush_soon = False  # a flush is scheduled
        self._collecting = False  # the engine is corked until the scheduled flush
        self._unflushed: i64 = 0  # bytes of bodies written since the last flush
        self._moved: i64 = 0  # bytes of bodies written in total
        self._write_high: i64 = max(1, write_buffer(limits))  # bytes of bodies in one flush
        self._burst: i64 = self._write_high  # the same for queued streams
        self._burst_mark: i64 = 0  # `_moved` when `_burst` was last adapted
        self._stalled: dict[int, Sending] = {}  # the queue, by stream, longest waiting first
        self._window_opened = False  # some queued streams may be able to continue
        self._turn_due = False  # they are tried in the next iteration of the event loop
        self._pumping = False  # they are being tried
        self._initial: i64 = 0  # INITIAL_WINDOW_SIZE with which blocked streams were tried
        self._initial_at = 0.0  # when that became larger
        self._visit_due = False  # a timer will try them with a larger one
        self._ranked: i64 = 0  # PRIORITY_UPDATEs that the ranks of the queue include
        self._drained = False  # it no longer is: the next iteration continues the queue

    def pause_writing(self) -> None:
        super().pause_writing()
        self._transport_state.full = True
        self._transport_state.backlog = 0
        self._shorten_timer()

    def _shorten_timer(self) -> None:
        """Called when output begins to wait for the peer: the timer must notice that soon."""

    def resume_writing(self) -> None:
        super().resume_writing()
        self._transport_state.full = False
        # Continue in the next iteration. If a write inside this call fails, or closes the
        # transport, asyncio reports the loss twice, the first time as a clean end. Besides, this
        # call runs in the context of the last write, not of the connection.
        self._drained = True
        self._schedule_turn()

    def abort(self) -> None:
        """Close the transport at once; unsent output is lost."""
        self._outbox = []
        if self._life.phase < LOST:
            self._life.fire(ABORT)
            if self._state != INIT:
                self._abort_transport()

    def _abort_transport(self) -> None:
        self.transport.abort()

    def _lost(self, stream: int, where: str = "") -> ConnectionLostError:
        """Return the error for calls that wait on a connection that has ended."""
        lost = end_error(self._life.cause + where, stream, self._life.timed_out)
        lost._connection = self._number
        return lost

    # -- messages and parts of them --------------------------------------------------------------

    async def _perform(self, sending: Sending) -> None:
        """Write this; wait until the windows and the transport have accepted all of it."""
        if not self._start(sending):
            await self._finish(sending)

    def _start(self, sending: Sending) -> bool:
        """Write the first part of this. Return whether that was all; if not, await `_finish`.

        `_perform` calls both. Most responses need only this, and awaiting a coroutine costs as much
        as writing a head.
        """
        if self._stalled and sending.stream in self._stalled:
            raise UsageError("another task is writing on this stream", stream=sending.stream)
        try:
            return self._begin_sending(sending)
        except (InvalidStreamError, DisconnectError) as error:
            claim(error, self._number)
            raise

    async def _finish(self, sending: Sending) -> None:
        """Wait until the rest has been accepted."""
        waiter = self._queue(sending)
        try:
            await waiter
        finally:
            if self._stalled.get(sending.stream) is sending:
                del self._stalled[sending.stream]
        if sending.error is not None:
            raise fresh(sending.error)

    def _queue(self, sending: Sending) -> asyncio.Future[None]:
        """Put the rest of it in line; return what is done once that is written, or has failed."""
        if self._life.phase >= LOST:
            raise self._lost(sending.stream)
        self._shorten_timer()
        waiter = self.loop.create_future()
        sending.waiter = waiter
        self._stalled[sending.stream] = sending
        return waiter

    def _start_or_queue(self, sending: Sending) -> asyncio.Future[None] | None:
        """Write this; return None if that was all, else what to wait for. The error is then in
        `sending.error`."""
        return None if self._start(sending) else self._queue(sending)

    def _post(self, sending: Sending) -> None:
        """Write this as far as possible, and queue the rest."""
        if not self._begin_sending(sending):
            self._shorten_timer()
            self._stalled[sending.stream] = sending

    def _begin_sending(self, sending: Sending) -> bool:
        """Write the first part, unless queued streams come first. Return whether that was all.

        A small, whole message is written at once: waiting would cost more than writing it.
        """
        size = len(sending.data)
        if self._transport_state.full or (
            self._turn_due and (size > FRAME or (sending.headers is None and size != 0))
        ):
            # For a stream that has ended, let the engine raise now: no event would follow.
            if sending.stream in self._streams:
                return False
        if self._advance(sending):
            return True
        if not sending.stuck:
            if self._http2 and not self._transport_state.bounded:
                self._transport_state.bounded = True
                bound_unsent(self.transport, self._limits.max_unsent)
            self._schedule_turn()
        return False

    def _advance(self, sending: Sending) -> bool:
        """Write a quantum of this. Return whether all of it is written."""
        sending.stuck = False
        headers = sending.headers
        size: i64 = len(sending.data)
        if headers is not None:
            last = sending.final and size == 0 and not sending.trailers
            announce_size(self, sending.length)
            try:
                self.write_head(sending.stream, sending.code, sending.reason, "", headers, last)
            except WouldBlockError:
                # An earlier response comes first, or too many pushed streams are open.
                sending.stuck = True
                return False
            finally:
                announce_size(self, UNKNOWN_LENGTH)
            sending.headers = None
            if size == 0 and not sending.trailers:
                return True
        if sending.at < size or (size == 0 and not sending.trailers):
            end_here = sending.final and not sending.trailers
            sending.at = self._put(sending, end_here)
            if sending.at < size:
                return False
        if sending.trailers:
            self.write_tail(sending.stream, sending.trailers)
        return True

    def _put(self, sending: Sending, final: bool) -> i64:
        """Write data up to a quantum, or until a window is closed. Return the new position."""
        data = sending.data
        size: i64 = len(data)
        at = sending.at
        most: i64 = min(size, at + QUANTUM)
        step: i64 = FRAME if self._http2 else QUANTUM
        if at == 0 and (
            size <= QUANTUM or (size <= self._transport_state.most_whole and not self._http2)
        ):
            most = step = size  # the engine splits it into frames
        at_once = self._burst if self._pumping else self._write_high
        while True:
            stop = min(most, at + step)
            piece = data if stop - at == size else data[at:stop]
            taken: i64 = self.write_data(sending.stream, piece, final and stop == size)
            at += taken
            self._unflushed += taken
            self._moved += taken
            if self._unflushed >= at_once:
                self._flush()
                self._schedule_turn()  # enough for this iteration: other writes are queued
            if at < stop:
                sending.stuck = True
                return at
            if at == most or self._transport_state.full:
                return at

    def _is_full(self) -> bool:
        """Return whether the transport is full. (Any write may change that.)"""
        return self._transport_state.full

    def _schedule_turn(self) -> None:
        """Continue the queue in the next iteration of the event loop."""
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._turn_due = False
        if self._life.phase >= FLUSHING:
            return
        if self._drained:
            self._drained = False
            self._freed()  # first: the queue may fill the transport again at once
        self._pump()

    def _pump(self) -> None:
        """Let queued streams write, the most urgent first, until windows or transport are full.

        One call writes about as much as the transport holds; the rest continues in the next
        iteration of the event loop, so that other connections are served.
        """
        if self._pumping:
            self._schedule_turn()  # called by the end of a stream while writing
            return
        if not self._stalled or self._transport_state.full or self._turn_due:
            return  # if it is due: the writers that were woken run first
        self._adapt_burst()
        enough = self._moved + self._burst
        self._pumping = True
        try:
            if len(self._stalled) == 1:
                self._serve(list(self._stalled.values()), enough)
            else:
                for level in self._by_urgency():
                    if level and not self._serve(level, enough):
                        break
        finally:
            self._pumping = False

    def _adapt_burst(self) -> None:
        """Write more in an iteration while the transport keeps nothing back: urgent data cannot
        overtake data in the transport. (Not with TLS, which hides the transport's buffer.)"""
        if not self._transport_state.clear_text:
            return
        written = self._moved - self._burst_mark
        self._burst_mark = self._moved
        if self.transport.get_write_buffer_size() != 0:
            self._burst = self._write_high
        elif written >= self._burst and self._burst < self._write_high * BURST:
            self._burst *= 2

    def _by_urgency(self) -> list[list[Sending]]:
        """Return the queue in groups, the most urgent first."""
        told: i64 = self._h2.priority_updates if self._http2 else 0
        anew = told != self._ranked
        self._ranked = told
        levels: list[list[Sending]] = [[], [], [], [], [], [], [], []]
        if self._http2:
            self._take_initial()
        for sending in self._stalled.values():
            if anew or sending.rank == UNRANKED:
                sending.rank = self._rank_of(sending.stream)
            if sending.blocked_at >= self._initial and self._moved < sending.again:
                continue
            levels[sending.rank >> 1].append(sending)
        return levels

    def _take_initial(self) -> None:
        """Note the peer's INITIAL_WINDOW_SIZE: if it has become larger, blocked streams may
        continue. The peer may change it at any rate, and trying each stream costs time, so the
        number of streams sets the time between two attempts."""
        initial = self._remote._initial_window_size
        if initial > self._initial:
            now = self.loop.time()
            wait = self._initial_at + VISIT * len(self._stalled) - now
            if wait > 0.0:
                if not self._visit_due:
                    self._visit_due = True
                    self.loop.call_later(wait, self._visit, context=self._context)
                return
            self._initial_at = now
        self._initial = initial

    def _visit(self) -> None:
        self._visit_due = False
        if self._life.phase < LOST:
            self._pump()

    def _note_window(self, sending: Sending) -> None:
        """HTTP/2: note whether the window of its stream blocks this: it is tried again when that
        window has grown."""
        sending.blocked_at = -1
        stream = self._streams.get(sending.stream)
        if stream is None or sending.headers is not None:
            return
        initial = self._remote._initial_window_size
        window = initial + stream.send_window
        if window <= self._h2.send_window:
            sending.blocked_at = initial
            # A small window may be used after all once enough has been sent (`min_data_frame`).
            sending.again = self._moved + FRAME if window > 0 else UNBOUNDED

    def _rank_of(self, stream: int) -> i64:
        """Return the priority of a stream: see `cno.priority.rank`."""
        return SHARED

    def _serve(self, level: list[Sending], enough: i64) -> bool:
        """Let streams of one urgency write. Return whether less urgent ones may write, too.

        > Non-incremental responses of the same urgency SHOULD be served ... in ascending order of
        > the stream ID ... Incremental responses of the same urgency SHOULD be served by sharing
        > bandwidth among them.   (RFC 9218 10)

        The first non-incremental one shares with the incremental ones, so that neither kind blocks
        the other.
        """
        row: list[Sending] = []  # the non-incremental ones, the first at the end
        for sending in level:
            if sending.rank & 1 == 0:
                row.append(sending)
        if len(row) > 1:
            row.sort(key=stream_of, reverse=True)
        first = row.pop() if row else None
        turns: deque[Sending] = deque()
        for sending in level:
            if sending.rank & 1 or sending is first:
                turns.append(sending)
        paused = False
        while turns and self._moved < enough:
            sending = turns.popleft()
            outcome = self._go_on(sending)
            if outcome == PROGRESSED:
                turns.append(sending)
            elif outcome == PIECE_SENT:
                paused = True
            elif row and sending is first:
                first = row.pop()
                turns.appendleft(first)
            if self._is_full():
                return False
        if self._stalled and (paused or turns):
            self._schedule_turn()
            return False
        return True

    def _go_on(self, sending: Sending) -> i64:
        """Let one queued stream write. Return the outcome."""
        stream = sending.stream
        if self._stalled.get(stream) is not sending:
            return FINISHED  # the stream has ended meanwhile
        before = sending.at
        error: Exception | None = None
        try:
            done = self._advance(sending)
        except Exception as caught:
            done = True
            error = caught
        if done:
            self._stalled.pop(stream, None)
            self._resolve(sending, error)
            return FINISHED if sending.final or error is not None else PIECE_SENT
        if sending.at != before and self._stalled.pop(stream, None) is not None:
            self._stalled[stream] = sending  # to the end of the queue
        if not sending.stuck:
            return PROGRESSED
        if self._http2:
            self._note_window(sending)
        return BLOCKED

    def _resolve(self, sending: Sending, error: Exception | None) -> None:
        sending.error = error
        if error is not None:
            claim(error, self._number)
        if sending.waiter is None and error is not None:
            self._unsent(sending.stream, error)
        wake(sending.waiter)

    def _unsent(self, stream: int, error: Exception) -> None:
        """Handle an error of a write that no task waits for."""
        log.debug("stream %d: %s", stream, error)

    # -- events, and one write for many of them ---------------------------------------------------

    def on_writev(self, chunks: list[bytes]) -> None:
        self._outbox.extend(chunks)
        if not self._busy and not self._flush_soon:
            self._flush_soon = True
            self.loop.call_soon(self._flush, context=self._context)

    def on_flow_increase(self, stream: int) -> None:
        if stream != 0:
            sending = self._stalled.get(stream)
            if sending is None:
                return
            sending.blocked_at = -1
        if self._busy:
            self._window_opened = True
        else:
            self._pump()

    def _collect(self) -> None:
        """Collect the output of tasks that are about to run, and flush it after them."""
        if not self._collecting:
            self._collecting = True
            self.cork()
        if not self._flush_soon:
            self._flush_soon = True
            self.loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        """Pass the collected output to the transport."""
        self._unflushed = 0
        if self._collecting:
            self._collecting = False
            self._flush_soon = True  # keep on_writev from scheduling a flush
            self.uncork()
        self._flush_soon = False
        outbox = self._outbox
        if not outbox:
            return
        self._outbox = []
        if self._life.phase >= LINGERING or self.transport.is_closing():
            return
        size: i64 = 0
        for chunk in outbox:
            size += len(chunk)
        if self._transport_state.full:
            self._transport_state.backlog += size
            if self._transport_state.backlog > self._transport_state.most_backlog:
                # > An endpoint that doesn't monitor use of these features exposes itself to a risk
                # > of denial of service.   (RFC 9113 10.5)
                self.abort()
                return
        self._transport_state.written += size
        if len(outbox) == 1:
            self.transport.write(outbox[0])
        elif self._transport_state.gathers:
            self.transport.writelines(outbox)
        elif self._transport_state.most_whole != 0 and size > QUANTUM:
            write_apart(self.transport, outbox)
        else:
            self.transport.write(b"".join(outbox))


def stream_of(sending: Sending) -> int:
    return sending.stream


def count_copied(output: Output, size: i64) -> None:
    """Count bytes of a body that went to the socket past the transport (`sendfile`)."""
    output._moved += size
    output._transport_state.written += size


def write_apart(transport: asyncio.Transport, chunks: list[bytes]) -> None:
    """Write large chunks uncopied, and join the small ones between them."""
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) <= QUANTUM:
            small.append(chunk)
            continue
        if small:
            transport.write(b"".join(small))
            small = []
        transport.write(chunk)
    if small:
        transport.write(b"".join(small))
