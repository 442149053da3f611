"""What goes out of a connection: one write to the transport per turn of the event loop.

What a window, the transport, or an earlier response holds back waits in line, and goes on in turns
when it can. Knows the engine's writing verbs and the transport; must never know what comes in.
"""

import asyncio
import contextvars
import itertools
import logging
import time
from collections import deque
from typing import Final, TypeAlias

from mypy_extensions import i64, mypyc_attr

from cno.aio.errors import ConnectionLostError, claim, end_error, fresh
from cno.aio.lifecycle import ABORT, CONNECTING, FLUSHING, IN_ORDER, LINGERING, LOST, after
from cno.aio.transports import bound_unsent, write_buffer
from cno.aio.waiters import wake
from cno.core import INIT, UNKNOWN_LENGTH
from cno.engine import Engine
from cno.errors import DisconnectError, InvalidStreamError, Reason, UsageError, WouldBlockError
from cno.limits import UNBOUNDED, Limits
from cno.priority import SHARED
from cno.settings import SettingsDict, check_dict

log: Final = logging.getLogger("cno")

Headers: TypeAlias = list[tuple[str, str]]

#: Octets of one body written before another stream has its turn.
QUANTUM: Final = 65_536
#: What a transport that takes everything at once gets in a turn, as a multiple of `write_buffer`:
#: 1 MiB then takes 6 turns of the event loop and not 16, which is a quarter of its time.
BURST: Final = 4
#: Octets of a piece of a body in HTTP/2: what fits any peer's frame is not cut again.
FRAME: Final = 16_384

#: Seconds that each stream in line adds to the time between two changes of INITIAL_WINDOW_SIZE that
#: all of them are asked about: some hundred times of what one takes.
VISIT: Final = 0.000_1

# What became of a turn.
BLOCKED: Final = 0  # a window is closed, or an earlier response goes first
PROGRESSED: Final = 1  # there is more
FINISHED: Final = 2
PIECE_SENT: Final = 3  # done; but more may come of the same stream, once who writes it is told

UNRANKED: Final = -1

#: Numbers of connections: which one an error is about, without holding it.
NUMBERS: Final = itertools.count(1)


class Sending:
    """What is to be written on a stream: perhaps a head, perhaps data, perhaps trailers."""

    def __init__(self, stream: int, data: bytes, final: bool) -> None:
        self.stream = stream
        self.headers: Headers | None = None  # a head that is still to be written
        self.code = 0
        self.reason = ""
        self.data = data
        self.at: i64 = 0  # of these octets, so many are written
        self.final = final  # nothing follows on this stream
        self.length: i64 = UNKNOWN_LENGTH  # bytes of all of the body, for the head to tell
        self.trailers: Headers | None = None
        self.stuck = False  # the last attempt wrote less than it could have
        self.blocked_at: i64 = (
            -1
        )  # INITIAL_WINDOW_SIZE when its window was too small; -1: it is not
        self.again: i64 = 0  # octets in all after which a window that is small is tried once more
        self.rank: i64 = UNRANKED  # smaller goes first; even: before all others of its urgency
        self.waiter: asyncio.Future[None] | None = None
        self.seen: i64 = 0  # how much was written ...
        self.since = 0.0  # ... when a timer looked at it last; 0: none has
        self.window: i64 = 0  # of the stream, ...
        self.room: i64 = 0  # ... and of the connection, by then
        self.error: Exception | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Output(Engine, asyncio.Protocol):
    """The writing half of a connection."""

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
        #: That of whoever made the connection. All of its callbacks, readers and timers run in it,
        #: never in that of a handler that happens to cause them: the next request would see it.
        self._context = contextvars.copy_context()
        self._number: int = next(NUMBERS)
        self.manual_flow_control = True
        if settings is not None:
            check_dict(settings, server)
            self.configure(**settings)
        self._busy = False  # inside data_received: output and new work are dealt with at its end
        self._phase: i64 = CONNECTING  # written by `_fire` alone
        self._close_mode: i64 = IN_ORDER  # how the transport will be closed; by `_close_by` alone
        self._end = "the connection is closed"  # and how that came
        self._timed_out: Reason | None = None  # which limit ended the connection
        self._outbox: list[bytes] = []
        self._clear_text = False  # there is no TLS in it
        self._gathers = False  # it takes many pieces as if they were one
        self._most_whole: i64 = 0  # octets that HTTP/1.1 hands over without cutting them
        self._flush_soon = False  # a flush is scheduled
        self._collecting = False  # until then the engine is corked
        self._unflushed: i64 = 0  # octets of bodies written since the last flush
        self._moved: i64 = 0  # octets of bodies written in all
        self._written: i64 = 0  # octets given to the transport in all
        self._write_high: i64 = max(1, write_buffer(limits))  # octets of bodies in one write
        self._burst: i64 = self._write_high  # the same for a write of those in line
        self._burst_mark: i64 = 0  # octets of bodies that had been written when that was found out
        self._most_backlog: i64 = limits.max_write_backlog
        self._stalled: dict[int, Sending] = {}  # in line, by stream, longest waiting first
        self._window_opened = False  # some of these may be able to go on
        self._turn_due = False  # they will be asked, in the next turn of the loop
        self._pumping = False  # they are being asked
        self._bounded = False  # the system has been told how much it may hold back
        self._initial: i64 = 0  # INITIAL_WINDOW_SIZE by which blocked streams have been asked
        self._initial_at = 0.0  # when it became larger
        self._visit_due = False  # they will be asked by a larger one
        self._ranked: i64 = 0  # PRIORITY_UPDATEs that their ranks take account of
        self._full = False  # the transport is
        self._drained = False  # it no longer is: those in line are told in the next turn
        self._backlog: i64 = 0  # octets written since then

    def _fire(self, event: i64) -> bool:
        """Go to the phase that an event leads to; whether that is another one."""
        before = self._phase
        self._phase = after(before, event)
        return self._phase != before

    def _close_by(self, mode: i64) -> None:
        """Close the transport this way in the end, unless that is to be harsher already."""
        if self._close_mode < mode:
            self._close_mode = mode

    def pause_writing(self) -> None:
        super().pause_writing()
        self._full = True
        self._backlog = 0
        self._hurry()

    def _hurry(self) -> None:
        """Something waits for the peer now: have an eye on it."""

    def resume_writing(self) -> None:
        super().resume_writing()
        self._full = False
        # Go on in a turn of its own. If a write inside this call fails, or the transport is closed
        # there, asyncio tells of the loss twice, at first as of an orderly end. (Nor is this called
        # in the connection's context, but in that of whoever wrote last.)
        self._drained = True
        self._schedule_turn()

    def _freed(self) -> None:
        """Something may have become possible: a stream ended, settings changed, the way is free."""

    def abort(self) -> None:
        """Close the transport at once; what it has not written is lost."""
        self._outbox = []
        if self._phase < LOST:
            self._fire(ABORT)
            if self._state != INIT:
                self._abort_transport()

    def _abort_transport(self) -> None:
        self.transport.abort()

    def _lost(self, stream: int, where: str = "") -> ConnectionLostError:
        """What those are told who wait for something of a connection that is gone."""
        lost = end_error(self._end + where, stream, self._timed_out)
        lost._connection = self._number
        return lost

    # -- messages and parts of them --------------------------------------------------------------

    async def _perform(self, sending: Sending) -> None:
        """Write this; wait until all of it has been taken by the windows and by the transport."""
        if not self._start(sending):
            await self._finish(sending)

    def _start(self, sending: Sending) -> bool:
        """Write the first of this; whether that was all of it. If not: `_finish`.

        Together they are `_perform`. Most responses need no more than this, and a coroutine that
        never waits costs as much as writing a head does.
        """
        if self._stalled and sending.stream in self._stalled:
            raise UsageError("another task is writing on this stream", stream=sending.stream)
        try:
            return self._begin_sending(sending)
        except (InvalidStreamError, DisconnectError) as error:
            claim(error, self._number)
            raise

    async def _finish(self, sending: Sending) -> None:
        """Wait until the rest of it has been taken."""
        if self._phase >= LOST:
            raise self._lost(sending.stream)
        self._hurry()
        sending.waiter = self.loop.create_future()
        self._stalled[sending.stream] = sending
        try:
            await sending.waiter
        finally:
            if self._stalled.get(sending.stream) is sending:
                del self._stalled[sending.stream]
        if sending.error is not None:
            raise fresh(sending.error)

    def _post(self, sending: Sending) -> None:
        """Write this, now as far as possible, and the rest as it becomes possible."""
        if not self._begin_sending(sending):
            self._hurry()
            self._stalled[sending.stream] = sending

    def _begin_sending(self, sending: Sending) -> bool:
        """Write the first of this, unless others go first; whether that was all. Else to the line.

        What is small and whole goes first always: to wait would cost more than it takes.
        """
        size = len(sending.data)
        if self._full or (
            self._turn_due and (size > FRAME or (sending.headers is None and size != 0))
        ):
            # (A stream that has ended is never told to go on: the engine says so now.)
            if sending.stream in self._streams:
                return False
        if self._advance(sending):
            return True
        if not sending.stuck:
            if self._http2 and not self._bounded:
                self._bounded = True
                bound_unsent(self.transport, self._limits.max_unsent)
            self._schedule_turn()
        return False

    def _advance(self, sending: Sending) -> bool:
        """Write a quantum of this; whether all of it has been written now."""
        sending.stuck = False
        headers = sending.headers
        size: i64 = len(sending.data)
        if headers is not None:
            last = sending.final and size == 0 and not sending.trailers
            self._body_size = sending.length
            try:
                self.write_head(sending.stream, sending.code, sending.reason, "", headers, last)
            except WouldBlockError:
                # An earlier response must go first; or, of a pushed one, too many are open.
                sending.stuck = True
                return False
            finally:
                self._body_size = UNKNOWN_LENGTH
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
        """Write data of this up to a quantum, or until a window is closed; where that was."""
        data = sending.data
        size: i64 = len(data)
        at = sending.at
        most: i64 = min(size, at + QUANTUM)
        step: i64 = FRAME if self._http2 else QUANTUM
        if at == 0 and (size <= QUANTUM or (size <= self._most_whole and not self._http2)):
            most = step = size  # the engine cuts it, if its frames are to be smaller
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
                self._schedule_turn()  # that is enough for one; what else there is gets in line
            if at < stop:
                sending.stuck = True
                return at
            if at == most or self._full:
                return at

    def _is_full(self) -> bool:
        """Whether the transport takes no more for now. (Any write may change that.)"""
        return self._full

    def _schedule_turn(self) -> None:
        """Let those in line go on in the next turn of the event loop."""
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._turn_due = False
        if self._phase >= FLUSHING:
            return
        if self._drained:
            self._drained = False
            self._freed()  # first: those in line may fill it again at once
        self._pump()

    def _pump(self) -> None:
        """Let those in line write, the most urgent first, until windows or transport are full.

        One call writes about as much as fits the transport; what can go on does so in the next turn
        of the loop, so that others have theirs.
        """
        if self._pumping:
            self._schedule_turn()  # an end of a stream among what is being written
            return
        if not self._stalled or self._full or self._turn_due:
            return  # if it is due: not before those who were told that all is written
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
        """Write more in a turn while all of it goes out: what waits in the transport can no longer
        be overtaken by what is more urgent. (With TLS nobody tells what waits below that.)"""
        if not self._clear_text:
            return
        written = self._moved - self._burst_mark
        self._burst_mark = self._moved
        if self.transport.get_write_buffer_size() != 0:
            self._burst = self._write_high
        elif written >= self._burst and self._burst < self._write_high * BURST:
            self._burst *= 2

    def _by_urgency(self) -> list[list[Sending]]:
        """Those in line, in groups: the first one goes first."""
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
        """Take notice of the peer's INITIAL_WINDOW_SIZE: where that has become larger, blocked
        streams may go on. The peer can change it as often as it likes: to ask each of them takes
        time that depends on how many there are, so that is done from time to time."""
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
        if self._phase < LOST:
            self._pump()

    def _note_window(self, sending: Sending) -> None:
        """HTTP/2: this got stuck. If that is for the window of its stream, it need not be asked
        again before that has grown."""
        sending.blocked_at = -1
        stream = self._streams.get(sending.stream)
        if stream is None or sending.headers is not None:
            return
        initial = self._remote._initial_window_size
        window = initial + stream.send_window
        if window <= self._h2.send_window:
            sending.blocked_at = initial
            # A small window may be used up after all, once enough has been sent elsewhere.
            sending.again = self._moved + FRAME if window > 0 else UNBOUNDED

    def _rank_of(self, stream: int) -> i64:
        """Who goes first: see `cno.priority.rank`."""
        return SHARED

    def _serve(self, level: list[Sending], enough: i64) -> bool:
        """Let these write, all of one urgency; whether those less urgent may as well.

        > Non-incremental responses of the same urgency SHOULD be served ... in ascending order of
        > the stream ID ... Incremental responses of the same urgency SHOULD be served by sharing
        > bandwidth among them.   (RFC 9218 10)

        The first of the former shares with the latter as if it were one of them: neither can keep
        the other waiting.
        """
        row: list[Sending] = []  # one after the other, the last of the list first
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
        """A turn of somebody in line."""
        stream = sending.stream
        if self._stalled.get(stream) is not sending:
            return FINISHED  # it has ended meanwhile
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
            self._stalled[stream] = sending  # to the end of the line
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
        """What nobody waits for could not be written."""
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
        """Collect what those write that are about to run; it goes out once they have."""
        if not self._collecting:
            self._collecting = True
            self.cork()
        if not self._flush_soon:
            self._flush_soon = True
            self.loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        """Hand what was written to the transport."""
        self._unflushed = 0
        if self._collecting:
            self._collecting = False
            self._flush_soon = True  # on_writev need not schedule what happens below
            self.uncork()
        self._flush_soon = False
        outbox = self._outbox
        if not outbox:
            return
        self._outbox = []
        if self._phase >= LINGERING or self.transport.is_closing():
            return
        size: i64 = 0
        for chunk in outbox:
            size += len(chunk)
        if self._full:
            self._backlog += size
            if self._backlog > self._most_backlog:
                # > An endpoint that doesn't monitor use of these features exposes itself to a risk
                # > of denial of service.   (RFC 9113 10.5)
                self.abort()
                return
        self._written += size
        if len(outbox) == 1:
            self.transport.write(outbox[0])
        elif self._gathers:
            self.transport.writelines(outbox)
        elif self._most_whole != 0 and size > QUANTUM:
            write_apart(self.transport, outbox)
        else:
            self.transport.write(b"".join(outbox))


def stream_of(sending: Sending) -> int:
    return sending.stream


def write_apart(transport: asyncio.Transport, chunks: list[bytes]) -> None:
    """Write large chunks as they are, and those between them joined."""
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
