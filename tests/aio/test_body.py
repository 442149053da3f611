"""The payload reader compared with asyncio's StreamReader, and channels, without a connection."""

import asyncio
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno import aio
from cno.aio.connection.body import BodyBuffer, Payload
from cno.limits import Limits
from cno.raw import Connection
from tests.aio.lab import Lab, settle
from tests.rows import each_row


class Ledger(Connection):
    """A connection that writes down what it is given back."""

    def __init__(self) -> None:
        super().__init__(True, limits=Limits())
        self.consumed: list[int] = []

    def consume(self, stream: int, size: int) -> None:
        assert stream == 7
        self.consumed.append(size)


def reader() -> tuple[Payload, BodyBuffer, Ledger]:
    """A payload, its other side, and who is told what was read."""
    conn = Ledger()
    buffer = BodyBuffer(conn, 7, asyncio.get_running_loop())
    return Payload(buffer), buffer, conn


def run(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(make(), 10))


# -- as asyncio's ----------------------------------------------------------------------------------

Call = tuple[str, tuple[Any, ...]]

CALLS = st.one_of(
    st.tuples(st.just("read"), st.tuples(st.integers(-1, 12))),
    st.tuples(st.just("readexactly"), st.tuples(st.integers(0, 12))),
    st.tuples(st.just("readuntil"), st.tuples(st.sampled_from([b"\n", b"ab", b"aab"]))),
    st.tuples(st.just("readline"), st.just(())),
    st.tuples(st.just("at_eof"), st.just(())),
)
CHUNKS = st.lists(st.text("ab\n", max_size=8).map(str.encode), max_size=8)


async def outcome(stream: asyncio.StreamReader, call: Call) -> object:
    name, arguments = call
    try:
        result = getattr(stream, name)(*arguments)
        return await result if inspect.isawaitable(result) else result
    except asyncio.IncompleteReadError as error:
        return ("incomplete", error.partial, error.expected)
    except ValueError as error:
        return ("value", str(error))


@given(chunks=CHUNKS, calls=st.lists(CALLS, max_size=10), eof=st.integers(0, 8))
def test_reads_as_asyncio_does(chunks: list[bytes], calls: list[Call], eof: int) -> None:
    """With data before the calls and between them, and the end anywhere after that."""

    async def main() -> None:
        ours, _, conn = reader()
        theirs = asyncio.StreamReader()
        pending = list(chunks)
        for call in calls:
            tasks = [asyncio.ensure_future(outcome(each, call)) for each in (ours, theirs)]
            await settle(2)
            while not (tasks[0].done() and tasks[1].done()):
                # Both wait, or else they differ.
                assert not tasks[0].done() and not tasks[1].done()
                for each in (ours, theirs):
                    if pending:
                        each.feed_data(pending[0])
                    else:
                        each.feed_eof()
                if pending:
                    pending.pop(0)
                await settle(2)
            assert tasks[0].result() == tasks[1].result(), call
        for each in (ours, theirs):
            for chunk in pending:
                each.feed_data(chunk)
            each.feed_eof()
        assert await ours.read() == await theirs.read()
        assert ours.at_eof() and theirs.at_eof()
        # Each octet is given back, once.
        assert sum(conn.consumed) == sum(map(len, chunks))
        assert 0 not in conn.consumed

    run(main)


def test_every_method_of_a_stream_reader_is_there() -> None:
    public = {name for name in dir(asyncio.StreamReader) if not name.startswith("_")}
    own = {name for name in public if name in vars(Payload)}
    assert own == public

    async def main() -> None:
        payload, buffer, _ = reader()
        assert isinstance(payload, asyncio.StreamReader)
        assert "stream=7" in repr(payload)
        assert payload.exception() is None
        with pytest.raises(RuntimeError):
            payload.set_transport(asyncio.Transport())
        buffer.feed(b"one\ntwo\nthree")
        buffer.end()
        assert [line async for line in payload] == [b"one\n", b"two\n", b"three"]
        assert await payload.read() == b""

    run(main)


def test_chunk_read_whole_is_not_copied() -> None:
    async def main() -> None:
        payload, buffer, _ = reader()
        chunk = bytes(range(200))
        buffer.feed(chunk)
        assert await payload.read(1000) is chunk

    run(main)


def test_large_pieces_are_not_copied_to_be_filled_up() -> None:
    async def main() -> None:
        payload, buffer, conn = reader()
        chunks = [bytes([n]) * 60_000 for n in range(4)]
        for chunk in chunks:
            buffer.feed(chunk)
        assert await payload.read(100_000) is chunks[0]
        assert await payload.read(130_000) == chunks[1] + chunks[2]
        assert conn.consumed == [60_000, 120_000]
        assert await payload.read(130_000) is chunks[3]

    run(main)


@given(
    sizes=st.lists(st.integers(1, 3_000), max_size=100),
    calls=st.lists(
        st.tuples(st.sampled_from(["read", "readexactly"]), st.integers(1, 9_000)), max_size=30
    ),
)
def test_large_pieces_arrive_in_order(sizes: list[int], calls: list[tuple[str, int]]) -> None:
    """Whatever is asked for, and however; never more than that, and at least half if it is here."""

    async def main() -> None:
        payload, buffer, conn = reader()
        body = bytes(n * 7 % 251 for n in range(sum(sizes)))
        at = 0
        for size in sizes:
            buffer.feed(body[at : at + size])
            at += size
        at = 0
        for name, count in calls:
            left = len(body) - at
            if left == 0 or (name == "readexactly" and left < count):
                continue
            got = await getattr(payload, name)(count)
            assert got == body[at : at + len(got)]
            assert min(count, left) <= 2 * len(got) and len(got) <= count
            assert name == "read" or len(got) == count
            at += len(got)
        assert sum(conn.consumed) == at

    run(main)


@each_row("size", [1, 100, 5_000])
@each_row("first", [0, 1, 77, 70_000])
def test_many_pieces(size: int, first: int) -> None:
    """Small ones and large ones, read in part at first, with more behind what is left."""

    async def main() -> None:
        ours, buffer, conn = reader()
        body = b"".join(bytes([n % 251]) * size for n in range(300))
        for n in range(200):
            buffer.feed(body[n * size : (n + 1) * size])
        got = await ours.read(first)
        assert got == body[: min(first, 200 * size)]
        rest = asyncio.ensure_future(ours.read())
        await settle(1)
        for n in range(200, 300):
            buffer.feed(body[n * size : (n + 1) * size])
            if n % 3 == 0:
                await settle(1)
        buffer.end()
        assert got + await rest == body
        assert sum(conn.consumed) == len(body)

    run(main)


def test_arguments_that_asyncio_refuses() -> None:
    async def main() -> None:
        payload, buffer, conn = reader()
        plain = asyncio.StreamReader()
        for stream, feed in ((payload, buffer.feed), (plain, plain.feed_data)):
            feed(b"abc\n")
            with pytest.raises(ValueError, match="readexactly size can not be less than zero"):
                await stream.readexactly(-1)
            with pytest.raises(ValueError, match="at least one-byte"):
                await stream.readuntil(b"")
            assert await stream.readline() == b"abc\n"
        assert sum(conn.consumed) <= 4

    run(main)


def test_second_reader_is_refused() -> None:
    async def main() -> None:
        payload, buffer, _ = reader()
        first = asyncio.ensure_future(payload.read(1))
        await settle()
        with pytest.raises(RuntimeError):
            await payload.readline()
        buffer.feed(b"x")
        assert await first == b"x"

    run(main)


def test_cancelled_reader_takes_nothing() -> None:
    async def main() -> None:
        payload, buffer, _ = reader()
        first = asyncio.ensure_future(payload.readexactly(4))
        await settle()
        buffer.feed(b"ab")
        await settle()
        first.cancel()
        await settle()
        buffer.feed(b"cd")
        assert await payload.readexactly(4) == b"abcd"

    run(main)


def test_data_before_an_error_can_be_read() -> None:
    async def main() -> None:
        payload, buffer, _ = reader()
        buffer.feed(b"before")
        error = aio.StreamError("cut", stream=7, code=8)
        payload.set_exception(error)
        assert payload.exception() is error
        buffer.feed(b"after")
        buffer.end()
        assert await payload.read(3) == b"bef"
        assert await payload.read(100) == b"ore"
        for attempt in (payload.read(1), payload.read(), payload.readline()):
            with pytest.raises(aio.StreamError):
                await attempt

    run(main)


def test_errors_wake_readers() -> None:
    async def main() -> None:
        for name, arguments in (("read", (5,)), ("read", ()), ("readline", ())):
            payload, buffer, _ = reader()
            waiting = asyncio.ensure_future(getattr(payload, name)(*arguments))
            await settle()
            buffer.fail(aio.StreamError("cut", stream=7, code=8))
            with pytest.raises(aio.StreamError):
                await waiting

    run(main)


# -- what is given back ----------------------------------------------------------------------------


def test_credit_is_given_for_what_is_read() -> None:
    async def main() -> None:
        payload, buffer, conn = reader()
        buffer.feed(b"x" * 100)
        await settle()
        assert conn.consumed == []
        await payload.read(10)
        await payload.readexactly(20)
        assert conn.consumed == [10, 20]
        await payload.read(1000)
        assert conn.consumed == [10, 20, 70]

    run(main)


def test_credit_is_given_for_what_is_waited_for() -> None:
    async def main() -> None:
        payload, buffer, conn = reader()
        buffer.feed(b"x" * 100)
        reading = asyncio.ensure_future(payload.readexactly(250))
        await settle()
        assert conn.consumed == [100]
        buffer.feed(b"x" * 100)
        await settle()
        buffer.feed(b"x" * 100)
        await settle()
        assert (sum(conn.consumed), len(await reading)) == (250, 250)
        await payload.read(50)
        assert sum(conn.consumed) == 300

    run(main)


def test_what_is_detached_gives_nothing_back() -> None:
    async def main() -> None:
        payload, buffer, conn = reader()
        buffer.feed(b"x" * 100)
        await payload.read(30)
        assert buffer.detach() == 70
        assert buffer.detach() == 0
        assert await payload.read(100) == b"x" * 70
        assert conn.consumed == [30]

    run(main)


# -- channels --------------------------------------------------------------------------------------


def test_channel_is_a_queue_and_an_iterator() -> None:
    async def main() -> None:
        channel: aio.Channel[int] = aio.Channel(2)
        assert isinstance(channel, asyncio.Queue)
        assert channel.maxsize == 2
        assert not channel.closed

        async def fill() -> None:
            for n in range(10):
                await channel.put(n)
            channel.close()

        filling = asyncio.ensure_future(fill())
        assert [n async for n in channel] == list(range(10))
        assert [n async for n in channel] == []
        await filling
        assert channel.closed

    run(main)


def test_channel_takes_the_arguments_of_the_original() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert aio.Channel[int](loop=loop).maxsize == 0
        assert aio.Channel[int](5, loop=loop).maxsize == 5

    run(main)


def test_closed_channel() -> None:
    async def main() -> None:
        channel: aio.Channel[str] = aio.Channel()
        channel.put_nowait("kept")
        channel.close()
        channel.close()
        with pytest.raises(BrokenPipeError):
            await channel.put("late")
        with pytest.raises(BrokenPipeError):
            channel.put_nowait("late")
        assert await channel.get() == "kept"
        with pytest.raises(EOFError):
            await channel.get()
        with pytest.raises(asyncio.QueueEmpty):
            channel.get_nowait()

    run(main)


def test_close_wakes_everybody() -> None:
    async def main() -> None:
        empty: aio.Channel[int] = aio.Channel(1)
        getting = [asyncio.ensure_future(empty.get()) for _ in range(3)]
        iterating = asyncio.ensure_future(anext(empty))
        await settle()
        empty.close()
        results = await asyncio.gather(*getting, iterating, return_exceptions=True)
        assert [type(result) for result in results] == [EOFError] * 3 + [StopAsyncIteration]
        full: aio.Channel[int] = aio.Channel(1)
        full.put_nowait(1)
        putting = [asyncio.ensure_future(full.put(n)) for n in range(3)]
        await settle()
        full.close()
        broken = await asyncio.gather(*putting, return_exceptions=True)
        assert [type(result) for result in broken] == [BrokenPipeError] * 3
        assert [n async for n in full] == [1]

    run(main)


def test_one_item_and_two_who_wait_when_it_is_closed() -> None:
    async def main() -> None:
        channel: aio.Channel[int] = aio.Channel()
        waiting = [asyncio.ensure_future(anext(channel)) for _ in range(2)]
        await settle()
        channel.put_nowait(1)
        channel.close()
        first, second = await asyncio.gather(*waiting, return_exceptions=True)
        assert first == 1
        assert isinstance(second, StopAsyncIteration)

    run(main)


def test_cancelled_waiters_pass_their_turn_on() -> None:
    async def main() -> None:
        channel: aio.Channel[int] = aio.Channel(1)
        getting = [asyncio.ensure_future(channel.get()) for _ in range(3)]
        await settle()
        getting[1].cancel()
        await settle()
        channel.put_nowait(1)
        getting[0].cancel()
        await settle()
        assert await getting[2] == 1
        channel.put_nowait(2)
        putting = [asyncio.ensure_future(channel.put(n)) for n in (3, 4)]
        await settle()
        assert channel.get_nowait() == 2
        putting[0].cancel()
        await settle()
        assert await channel.get() == 4

    run(main)


def test_channel_joins_and_shuts_down_as_a_queue() -> None:
    async def main() -> None:
        channel: aio.Channel[int] = aio.Channel()
        channel.put_nowait(1)
        joining = asyncio.ensure_future(channel.join())
        await settle()
        assert not joining.done()
        assert await channel.get() == 1
        channel.task_done()
        await joining
        channel.put_nowait(2)
        channel.shutdown(immediate=True)
        assert channel.closed and channel.empty()
        await channel.join()

    run(main)


def test_channels_on_every_loop(lab: Lab) -> None:
    async def main() -> None:
        channel: aio.Channel[bytes] = aio.Channel(1)

        async def fill() -> None:
            for n in range(100):
                await channel.put(bytes([n]))
            channel.close()

        filling = asyncio.ensure_future(fill())
        assert b"".join([item async for item in channel]) == bytes(range(100))
        await filling

    lab.run(main())
    gc.collect()
