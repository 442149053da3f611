"""Writes on streams, and the queue of those that a window, the transport or others block.

The queue continues in the order of priorities, as windows and the transport allow. Knows the
engine's write methods. Must never know what comes in, or requests and responses.

A message that is written at once: `perform` -> `start` -> `write_first` -> `write_next` -> `put`.
The queue, in a later iteration: `take_turn` -> `run` -> `write_level` -> `write_one` ->
`write_next` -> `put`. `finish`, `add` and `post` queue what is left of a message.
"""

import asyncio
from collections import deque
from typing import Final

from mypy_extensions import i64

from cno.aio.connection import reasons, send_buffer
from cno.aio.connection.lifecycle import FLUSHING, LOST
from cno.aio.connection.pending_write import UNRANKED, PendingWrite
from cno.aio.connection.state import Link, SendQueue
from cno.aio.connection.transports import bound_unsent
from cno.aio.errors import claim, fresh
from cno.aio.waiters import wake
from cno.core import UNKNOWN_LENGTH, announce_size
from cno.errors import DisconnectError, InvalidStreamError, UsageError, WouldBlockError
from cno.limits import UNBOUNDED

#: Bytes of one body that are written before another stream may write.
QUANTUM: Final = 65_536
#: The most bytes written in one iteration while the transport accepts all of them at once, as a
#: multiple of `write_buffer`. 1 MiB then takes 6 iterations instead of 16, a quarter of the time.
BURST: Final = 4
#: HTTP/2: bytes of a piece of a body, which fit into one frame for any peer.
FRAME: Final = 16_384

#: Seconds that each queued stream adds to the time between two changes of INITIAL_WINDOW_SIZE after
#: which all of them are tried: about a hundred times as long as trying one takes.
RETRY_COST: Final = 0.000_1

# The outcomes of an attempt to write.
BLOCKED: Final = 0  # by a window, or by an earlier response
PROGRESSED: Final = 1  # there is more
FINISHED: Final = 2
PIECE_SENT: Final = 3  # finished, but the stream's writer will continue once it is woken


# -- messages and parts of them --------------------------------------------------------------------


async def perform(conn: Link, write: PendingWrite) -> None:
    """Write this; wait until the windows and the transport have accepted all of it."""
    if not start(conn, write):
        await finish(conn, write)


def start(conn: Link, write: PendingWrite) -> bool:
    """Write the first part of this. Return whether that was all; if not, await `finish`.

    `perform` calls both. Most responses need only this, and awaiting a coroutine costs as much as
    writing a head.
    """
    queue = conn._send_queue
    if queue is not None and queue.pending and write.stream in queue.pending:
        raise UsageError("another task is writing on this stream", stream=write.stream)
    try:
        return write_first(conn, write)
    except (InvalidStreamError, DisconnectError) as error:
        claim(error, conn._number)
        raise


async def finish(conn: Link, write: PendingWrite) -> None:
    """Wait until the rest has been accepted."""
    waiter = add(conn, write)
    try:
        await waiter
    finally:
        pending = queue_of(conn).pending
        if pending.get(write.stream) is write:
            del pending[write.stream]
    if write.error is not None:
        raise fresh(write.error)


def add(conn: Link, write: PendingWrite) -> asyncio.Future[None]:
    """Queue the rest of this; return a future that is done once it is written, or has failed."""
    if conn._life.phase >= LOST:
        raise reasons.of_loss(conn, write.stream)
    conn._shorten_timer()
    waiter = conn.loop.create_future()
    write.waiter = waiter
    queue_of(conn).pending[write.stream] = write
    return waiter


def start_or_add(conn: Link, write: PendingWrite) -> asyncio.Future[None] | None:
    """Write this; return None if that was all, else the future to wait for. The error is then in
    `write.error`."""
    return None if start(conn, write) else add(conn, write)


def post(conn: Link, write: PendingWrite) -> None:
    """Write this as far as possible, and queue the rest."""
    if not write_first(conn, write):
        conn._shorten_timer()
        queue_of(conn).pending[write.stream] = write


def write_first(conn: Link, write: PendingWrite) -> bool:
    """Write the first part, unless queued streams come first. Return whether that was all.

    A small, whole message is written at once: waiting would cost more than writing it.
    """
    queue = conn._send_queue
    turn_due = queue is not None and queue.turn_due
    if conn._transport_state.full or turn_due:
        size = len(write.data)
        yields = size > FRAME or (write.headers is None and size != 0)
        # For a stream that has ended, let the engine raise now: no event would follow.
        if (yields or conn._transport_state.full) and write.stream in conn._streams:
            return False
    # No other response of HTTP/1.1 could share the write with the end of this one.
    at_once = write.final and conn._server and not conn._http2 and send_buffer.claim_flush(conn)
    try:
        if at_once:
            send_buffer.collect(conn, False)
        if write_next(conn, write):
            return True
    finally:
        if at_once:
            send_buffer.flush(conn)
    if not write.blocked:
        if conn._http2 and not conn._transport_state.bounded:
            conn._transport_state.bounded = True
            bound_unsent(conn.transport, conn._limits.max_unsent)
        schedule_turn(conn)
    return False


def write_next(conn: Link, write: PendingWrite) -> bool:
    """Write a quantum of this. Return whether all of it is written."""
    write.blocked = False
    headers = write.headers
    size: i64 = len(write.data)
    if headers is not None:
        last = write.final and size == 0 and not write.trailers
        announce_size(conn, write.length)
        try:
            conn.write_head(write.stream, write.code, write.reason, "", headers, last)
        except WouldBlockError:
            # An earlier response comes first, or too many pushed streams are open.
            write.blocked = True
            return False
        finally:
            announce_size(conn, UNKNOWN_LENGTH)
        write.headers = None
        if size == 0 and not write.trailers:
            return True
    if write.written < size or (size == 0 and not write.trailers):
        end_here = write.final and not write.trailers
        write.written = put(conn, write, end_here)
        if write.written < size:
            return False
    if write.trailers:
        conn.write_tail(write.stream, write.trailers)
    return True


def put(conn: Link, write: PendingWrite, final: bool) -> i64:
    """Write data up to a quantum, or until a window is closed. Return the new position."""
    data = write.data
    size: i64 = len(data)
    at = write.written
    most: i64 = min(size, at + QUANTUM)
    step: i64 = FRAME if conn._http2 else QUANTUM
    if at == 0 and (
        size <= QUANTUM or (size <= conn._transport_state.most_whole and not conn._http2)
    ):
        most = step = size  # the engine splits it into frames
    buffer = conn._send_buffer
    queue = conn._send_queue
    at_once = queue.burst if queue is not None and queue.running else buffer.flush_size
    while True:
        stop = min(most, at + step)
        piece = data if stop - at == size else data[at:stop]
        taken: i64 = conn.write_data(write.stream, piece, final and stop == size)
        at += taken
        buffer.unflushed += taken
        buffer.body_written += taken
        if buffer.unflushed >= at_once:
            send_buffer.flush(conn)
            schedule_turn(conn)  # enough for this iteration: other writes are queued
        if at < stop:
            write.blocked = True
            return at
        if at == most or conn._transport_state.full:
            return at


# -- the queue -------------------------------------------------------------------------------------


def queue_of(conn: Link) -> SendQueue:
    """Return the queue of a connection; make it if there is none."""
    queue = conn._send_queue
    if queue is None:
        queue = conn._send_queue = SendQueue(conn._send_buffer.flush_size)
    return queue


def pending(conn: Link, stream: int) -> PendingWrite | None:
    """Return the queued write of a stream; None if there is none."""
    queue = conn._send_queue
    return None if queue is None else queue.pending.get(stream)


def is_pending(conn: Link, stream: int) -> bool:
    """Return whether a write of this stream is queued."""
    queue = conn._send_queue
    return queue is not None and stream in queue.pending


def all_pending(conn: Link) -> list[PendingWrite]:
    """Return the queued writes, the one that has waited for longest first."""
    queue = conn._send_queue
    return [] if queue is None else list(queue.pending.values())


def is_empty(conn: Link) -> bool:
    """Return whether no write is queued."""
    queue = conn._send_queue
    return queue is None or not queue.pending


def remove(conn: Link, stream: int) -> PendingWrite | None:
    """Take the queued write of a stream out of the queue, and return it."""
    queue = conn._send_queue
    if queue is None or not queue.pending:
        return None
    return queue.pending.pop(stream, None)


def resolve(conn: Link, write: PendingWrite, error: Exception | None) -> None:
    """Wake the task that waits for a write which is complete, or has failed."""
    write.error = error
    if error is not None:
        claim(error, conn._number)
    if write.waiter is None and error is not None:
        conn._unsent(write.stream, error)
    wake(write.waiter)


def fail_all(conn: Link) -> None:
    """Fail the queued writes of a lost connection. Their streams have ended before them, so that no
    event has done so."""
    queue = conn._send_queue
    if queue is not None:
        for write in list(queue.pending.values()):
            resolve(conn, write, reasons.of_loss(conn, write.stream))
        queue.pending.clear()


def window_opened(conn: Link, stream: int) -> None:
    """Let a stream continue, or with 0 all of them: the peer has opened a window."""
    queue = conn._send_queue
    if queue is None:
        return
    if stream != 0:
        write = queue.pending.get(stream)
        if write is None:
            return
        write.blocked_at = -1
    if conn._intake.parsing:
        queue.window_opened = True
    else:
        run(conn, queue)


def run_after_input(conn: Link) -> None:
    """Continue the queue if the input has opened a window."""
    queue = conn._send_queue
    if queue is not None and queue.window_opened:
        queue.window_opened = False
        if queue.pending and conn._life.phase < LOST:
            run(conn, queue)


def transport_filled(conn: Link) -> None:
    """Note that the transport is above its high-water mark."""
    conn._transport_state.full = True
    conn._transport_state.backlog = 0
    conn._shorten_timer()


def transport_drained(conn: Link) -> None:
    """Continue the queue in the next iteration: the transport accepts output again.

    (If a write inside this call fails, or closes the transport, asyncio reports the loss twice, the
    first time as a clean end. Besides, this call runs in the context of the last write, not of the
    connection.)
    """
    conn._transport_state.full = False
    queue_of(conn).transport_drained = True
    schedule_turn(conn)


def is_full(conn: Link) -> bool:
    """Return whether the transport is full. (Any write may change that.)"""
    return conn._transport_state.full


def schedule_turn(conn: Link) -> None:
    """Continue the queue in the next iteration of the event loop."""
    queue = queue_of(conn)
    if not queue.turn_due:
        queue.turn_due = True
        conn.loop.call_soon(take_turn, conn, queue, context=conn._context)


def take_turn(conn: Link, queue: SendQueue) -> None:
    """Continue the queue in this iteration of the event loop."""
    queue.turn_due = False
    if conn._life.phase >= FLUSHING:
        return
    if queue.transport_drained:
        queue.transport_drained = False
        conn._freed()  # first: the queue may fill the transport again at once
    run(conn, queue)


def run(conn: Link, queue: SendQueue) -> None:
    """Let queued streams write, the most urgent first, until windows or transport are full.

    One call writes about as much as the transport holds; the rest continues in the next iteration
    of the event loop, so that other connections are served.
    """
    if queue.running:
        schedule_turn(conn)  # called by the end of a stream while writing
        return
    if not queue.pending or conn._transport_state.full or queue.turn_due:
        return  # if it is due: the writers that were woken run first
    adapt_burst(conn, queue)
    enough = conn._send_buffer.body_written + queue.burst
    queue.running = True
    try:
        if len(queue.pending) == 1:
            write_level(conn, queue, list(queue.pending.values()), enough)
        else:
            for level in by_urgency(conn, queue):
                if level and not write_level(conn, queue, level, enough):
                    break
    finally:
        queue.running = False


def adapt_burst(conn: Link, queue: SendQueue) -> None:
    """Write more in an iteration while the transport keeps nothing back: urgent data cannot
    overtake data in the transport. (Not with TLS, which hides the transport's buffer.)"""
    if not conn._transport_state.clear_text:
        return
    buffer = conn._send_buffer
    written = buffer.body_written - queue.burst_mark
    queue.burst_mark = buffer.body_written
    if conn.transport.get_write_buffer_size() != 0:
        queue.burst = buffer.flush_size
    elif written >= queue.burst and queue.burst < buffer.flush_size * BURST:
        queue.burst *= 2


def by_urgency(conn: Link, queue: SendQueue) -> list[list[PendingWrite]]:
    """Return the queue in groups, the most urgent first."""
    updates: i64 = conn._h2.priority_updates if conn._http2 else 0
    outdated = updates != queue.ranked_updates
    queue.ranked_updates = updates
    levels: list[list[PendingWrite]] = [[], [], [], [], [], [], [], []]
    if conn._http2:
        note_initial_window(conn, queue)
    for write in queue.pending.values():
        if outdated or write.rank == UNRANKED:
            write.rank = conn._rank_of(write.stream)
        if (
            write.blocked_at >= queue.initial_window
            and conn._send_buffer.body_written < write.retry_at
        ):
            continue
        levels[write.rank >> 1].append(write)
    return levels


def rank_again(conn: Link) -> None:
    """Have the ranks of all queued streams found anew, once they are compared the next time."""
    queue = conn._send_queue
    if queue is not None:
        queue.ranked_updates = -1


def note_initial_window(conn: Link, queue: SendQueue) -> None:
    """Note the peer's INITIAL_WINDOW_SIZE: if it has become larger, blocked streams may continue.
    The peer may change it at any rate, and trying each stream costs time, so the number of streams
    sets the time between two attempts."""
    initial = conn._remote._initial_window_size
    if initial > queue.initial_window:
        now = conn.loop.time()
        wait = queue.initial_window_at + RETRY_COST * len(queue.pending) - now
        if wait > 0.0:
            if not queue.retry_due:
                queue.retry_due = True
                conn.loop.call_later(wait, retry, conn, queue, context=conn._context)
            return
        queue.initial_window_at = now
    queue.initial_window = initial


def retry(conn: Link, queue: SendQueue) -> None:
    """Continue the queue with a larger INITIAL_WINDOW_SIZE."""
    queue.retry_due = False
    if conn._life.phase < LOST:
        run(conn, queue)


def note_window(conn: Link, write: PendingWrite) -> None:
    """HTTP/2: note whether the window of its stream blocks this: it is tried again when that window
    has grown."""
    write.blocked_at = -1
    stream = conn._streams.get(write.stream)
    if stream is None or write.headers is not None:
        return
    initial = conn._remote._initial_window_size
    window = initial + stream.send_window
    if window <= conn._h2.send_window:
        write.blocked_at = initial
        # A small window may be used after all once enough has been sent (`min_data_frame`).
        most = conn._send_buffer.body_written + FRAME
        write.retry_at = most if window > 0 else UNBOUNDED


def write_level(conn: Link, queue: SendQueue, level: list[PendingWrite], enough: i64) -> bool:
    """Let streams of one urgency write. Return whether less urgent ones may write, too.

    > Non-incremental responses of the same urgency SHOULD be served ... in ascending order of the
    > stream ID ... Incremental responses of the same urgency SHOULD be served by sharing bandwidth
    > among them.   (RFC 9218 10)

    The first non-incremental one shares with the incremental ones, so that neither kind blocks the
    other.
    """
    sequential: list[PendingWrite] = []  # the non-incremental ones, the first at the end
    for write in level:
        if write.rank & 1 == 0:
            sequential.append(write)
    if len(sequential) > 1:
        sequential.sort(key=stream_of, reverse=True)
    first = sequential.pop() if sequential else None
    turns: deque[PendingWrite] = deque()
    for write in level:
        if write.rank & 1 or write is first:
            turns.append(write)
    paused = False
    while turns and conn._send_buffer.body_written < enough:
        write = turns.popleft()
        outcome = write_one(conn, queue, write)
        if outcome == PROGRESSED:
            turns.append(write)
        elif outcome == PIECE_SENT:
            paused = True
        elif sequential and write is first:
            first = sequential.pop()
            turns.appendleft(first)
        if is_full(conn):
            return False
    if queue.pending and (paused or turns):
        schedule_turn(conn)
        return False
    return True


def write_one(conn: Link, queue: SendQueue, write: PendingWrite) -> i64:
    """Let one queued stream write. Return the outcome."""
    stream = write.stream
    if queue.pending.get(stream) is not write:
        return FINISHED  # the stream has ended meanwhile
    before = write.written
    error: Exception | None = None
    try:
        done = write_next(conn, write)
    except Exception as caught:
        done = True
        error = caught
    if done:
        queue.pending.pop(stream, None)
        resolve(conn, write, error)
        return FINISHED if write.final or error is not None else PIECE_SENT
    if write.written != before and queue.pending.pop(stream, None) is not None:
        queue.pending[stream] = write  # to the end of the queue
    if not write.blocked:
        return PROGRESSED
    if conn._http2:
        note_window(conn, write)
    return BLOCKED


def stream_of(write: PendingWrite) -> int:
    return write.stream
