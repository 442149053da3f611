"""Exceptions of handlers: where they are reported, and how the stream ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

import cno
from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    WIRES,
    Lab,
    Peer,
    Transport,
    Wire,
    by_hand,
    hello,
    settle,
    until,
)

PLAIN = [HTTP1, HTTP2]

Handler = Callable[[aio.Request], Coroutine[Any, Any, None]]


class Quit(BaseException):
    """What nothing catches that catches `Exception`."""


async def outcome(client: aio.Client) -> "int | type[BaseException]":
    """The code of a response, or what kind of error there is instead; never a wait."""
    try:
        async with asyncio.timeout(5), await client.request("GET", "/") as response:
            await response.payload.read()
            return response.code
    except CnoConnectionError as error:
        return type(error)


def told(lab: Lab) -> list[type[BaseException] | None]:
    return [type(each["exception"]) if "exception" in each else None for each in lab.failures]


# -- after a complete response ---------------------------------------------------------------------


async def fails_elsewhere(request: aio.Request) -> None:
    async with aio.Pool() as pool:
        await pool.request("GET", "http://127.0.0.1:1/")


async def responds_again(request: aio.Request) -> None:
    await request.respond(200, [], b"again")


async def raises_what_others_say(request: aio.Request) -> None:
    raise aio.StreamError("of another connection", stream=request.stream, code=8)


async def loses_another_connection(request: aio.Request) -> None:
    raise aio.ConnectionLostError("another one", stream=0)


async def several_at_once(request: aio.Request) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails_elsewhere(request))
        group.create_task(responds_again(request))


LATER: list[tuple[Handler, type[BaseException]]] = [
    (fails_elsewhere, aio.ConnectError),
    (responds_again, UsageError),
    (raises_what_others_say, aio.StreamError),
    (loses_another_connection, aio.ConnectionLostError),
    (several_at_once, ExceptionGroup),
]


@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize(("later", "kind"), LATER, ids=lambda each: getattr(each, "__name__", ""))
def test_errors_after_the_response_are_told(
    lab: Lab, wire: Wire, later: Handler, kind: type[BaseException]
) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], b"ok")
            await later(request)

        async with lab.pair(wire, handle) as client:
            assert await outcome(client) == 200
            await until(lambda: lab.failures, "the error")

    lab.run(main(), failures=1)
    assert told(lab) == [kind]


def test_the_same_error_of_an_upstream_connection_is_told(lab: Lab) -> None:
    """A handler whose own client has gone lets through what befell another connection."""

    async def main() -> None:
        caught: list[BaseException] = []

        async def upstream(request: aio.Request) -> None:
            request.conn.write_reset(request.stream, 8)

        async with lab.serving(HTTP2, upstream) as url:

            async def handle(request: aio.Request) -> None:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(10)
                async with await lab.connect(HTTP2, url) as client:
                    try:
                        await client.request("GET", "/")
                    except CnoConnectionError as error:
                        assert getattr(error, "stream", 0) == request.stream
                        caught.append(error)
                        raise

            async with lab.serving(HTTP2, handle) as own, await Peer.connect_http2(own) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                await asyncio.sleep(0.02)
                peer.send(peer.pen.rst(1))
                await until(lambda: caught, "the upstream's error")
                await settle()

    lab.run(main(), failures=1)
    assert told(lab) == [aio.StreamError]


# -- what says that this client has gone -----------------------------------------------------------


async def responds(request: aio.Request) -> None:
    await request.respond(200, [], b"late")


async def reads(request: aio.Request) -> None:
    await request.payload.read()


async def informs(request: aio.Request) -> None:
    await request.inform(103)


async def pushes(request: aio.Request) -> None:
    request.push("GET", "/pushed")


async def streams(request: aio.Request) -> None:
    channel: aio.Channel[bytes] = aio.Channel(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(fill(channel, 5))
        await request.respond(200, [], channel)


async def upgrades(request: aio.Request) -> None:
    async with await request.upgrade() as tunnel:
        await tunnel.write(b"hello")


async def fill(channel: "aio.Channel[bytes]", count: int) -> None:
    for _ in range(count):
        await channel.put(b"x" * 1000)
    channel.close()


GONE: list[Handler] = [responds, reads, informs, pushes, streams]


@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize("doing", GONE, ids=lambda each: str(each.__name__))
def test_a_client_that_has_gone_is_no_failure(lab: Lab, wire: Wire, doing: Handler) -> None:
    """Whatever the handler does that it cannot do any more, shielded from its cancellation."""

    async def main() -> None:
        ends: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10)
            try:
                await doing(request)
            except BaseException as error:
                ends.append(error)
                raise

        async with lab.serving(wire, handle) as url:
            if wire.http2:
                async with await Peer.connect_http2(url) as peer:
                    peer.send(peer.pen.headers(1, f.POST))
                    await asyncio.sleep(0.02)
                    peer.send(peer.pen.rst(1))
                    await until(lambda: ends, "the end")
            else:
                async with await Peer.connect(url) as peer:
                    peer.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
                    await asyncio.sleep(0.02)
                await until(lambda: ends, "the end")

    lab.run(main())


@pytest.mark.parametrize("wire", PLAIN, ids=str)
def test_a_client_that_stalls_is_no_failure(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        ends: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            try:
                await request.payload.read()
            except BaseException as error:
                ends.append(error)
                raise

        async with lab.serving(wire, handle, limits=Limits(body_timeout=0.05)) as url:
            if wire.http2:
                async with await Peer.connect_http2(url) as peer:
                    peer.send(peer.pen.headers(1, f.POST))
                    await peer.expect(f.RST_STREAM, 1)
            else:
                async with await Peer.connect(url) as peer:
                    peer.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
                    assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
            await until(lambda: ends, "the end")

    lab.run(main())


# -- every failure has an end ----------------------------------------------------------------------


async def raises_a_group(request: aio.Request) -> None:
    raise BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError("on purpose")])


async def raises_generator_exit(request: aio.Request) -> None:
    raise GeneratorExit


async def raises_what_is_no_exception(request: aio.Request) -> None:
    raise Quit


async def lets_a_cancellation_through(request: aio.Request) -> None:
    """Of something else: nobody has cancelled the handler."""
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


BASE: list[tuple[Handler, type[BaseException]]] = [
    (raises_a_group, BaseExceptionGroup),
    (raises_generator_exit, GeneratorExit),
    (raises_what_is_no_exception, Quit),
    (lets_a_cancellation_through, asyncio.CancelledError),
]


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(("failing", "kind"), BASE, ids=lambda each: getattr(each, "__name__", ""))
def test_whatever_is_raised_ends_the_stream(
    lab: Lab, wire: Wire, begun: bool, failing: Handler, kind: type[BaseException]
) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def body() -> AsyncIterator[bytes]:
                yield b"begun"
                await failing(request)

            if begun:
                await request.respond(200, [], body())
            else:
                await failing(request)

        async with lab.pair(wire, handle) as client:
            ended = await outcome(client)
            assert isinstance(ended, type) if begun else ended == 500

    if begun and kind is GeneratorExit:
        return  # an async generator turns that into a RuntimeError of its own, or its plain end
    lab.run(main(), failures=1)
    assert told(lab) == [kind]


@pytest.mark.parametrize("wire", PLAIN, ids=str)
def test_who_cancels_itself_resets_its_stream(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            own = asyncio.current_task()
            assert own is not None
            own.cancel()
            await asyncio.sleep(0)

        async with lab.pair(wire, handle) as client:
            assert isinstance(await outcome(client), type)

    lab.run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("wire", PLAIN, ids=str)
def test_what_stops_the_loop_is_answered_as_well(
    lab: Lab, wire: Wire, kind: type[BaseException]
) -> None:
    """The loop stops by it; when it runs on, for its own end, the client hears of that."""

    async def handle(request: aio.Request) -> None:
        raise kind

    loop = asyncio.new_event_loop() if lab.loop_factory is None else lab.loop_factory()
    try:
        listener = loop.run_until_complete(start(handle))
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        client = loop.run_until_complete(lab_connect(url, wire))
        asking = loop.create_task(outcome(client))
        with pytest.raises(kind):
            loop.run_until_complete(asking)
        assert loop.run_until_complete(asking) == 500
        client.close()
        listener.close()
        loop.run_until_complete(listener.wait_closed())
    finally:
        loop.close()


async def start(handler: Handler) -> aio.Listener:
    return await cno.serve(handler, "127.0.0.1", 0)


async def lab_connect(url: str, wire: Wire) -> aio.Client:
    return await aio.connect(url, force_http2=wire.http2)


# -- responses by hand -----------------------------------------------------------------------------


def by_own_calls(request: aio.Request, final: bool) -> None:
    request.conn.write_head(request.stream, 200, "", "", [("x", "y")], final)


async def head_and_respond(request: aio.Request) -> None:
    by_own_calls(request, False)
    await request.respond(200, [], b"no")


async def head_and_error(request: aio.Request) -> None:
    by_own_calls(request, False)
    raise ValueError("on purpose")


async def head_and_nothing(request: aio.Request) -> None:
    by_own_calls(request, False)


async def all_and_error(request: aio.Request) -> None:
    by_own_calls(request, True)
    raise ValueError("on purpose")


async def all_of_it(request: aio.Request) -> None:
    by_own_calls(request, True)


BY_HAND: list[tuple[Handler, bool, int]] = [
    (head_and_respond, False, 1),
    (head_and_error, False, 1),
    (head_and_nothing, False, 0),
    (all_and_error, True, 1),
    (all_of_it, True, 0),
]


@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize("whole", [True, False], ids=["request", "half a request"])
@pytest.mark.parametrize(
    ("writing", "complete", "failures"), BY_HAND, ids=lambda each: getattr(each, "__name__", "")
)
def test_responses_by_hand_have_an_end(
    lab: Lab, wire: Wire, whole: bool, writing: Handler, complete: bool, failures: int
) -> None:
    async def main() -> None:
        async with lab.serving(wire, writing, limits=Limits(linger_timeout=0.05)) as url:
            if wire.http2:
                async with await Peer.connect_http2(url) as peer:
                    peer.send(peer.pen.headers(1, f.POST, end_stream=whole))
                    head = await peer.expect(f.HEADERS, 1)
                    assert bool(head.flags & f.END_STREAM) == complete
                    if not (complete and whole):
                        reset = await asyncio.wait_for(peer.expect(f.RST_STREAM, 1), 5)
                        assert reset.code == (f.NO_ERROR if complete else f.INTERNAL_ERROR)
            else:
                async with await Peer.connect(url) as peer:
                    length = 0 if whole else 9
                    peer.send(
                        f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()
                    )
                    assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                    if not (complete and whole):
                        with suppress(ConnectionError):
                            assert await asyncio.wait_for(peer.reader.read(), 5) == b""

    lab.run(main(), failures=failures)


def test_a_failure_while_another_task_informs(lab: Lab) -> None:
    """The other task's wait ends as well."""

    async def main() -> None:
        ends: list[BaseException] = []

        async def inform(request: aio.Request) -> None:
            try:
                await request.inform(103)
            except BaseException as error:
                ends.append(error)

        tasks: list[asyncio.Task[None]] = []

        async def handle(request: aio.Request) -> None:
            if request.path == "/first":
                await asyncio.sleep(0.05)
                await request.respond(200)
                return
            tasks.append(asyncio.create_task(inform(request)))
            await asyncio.sleep(0.01)
            raise ValueError("on purpose")

        async with lab.serving(HTTP1, handle) as url, await Peer.connect(url) as peer:
            peer.send(b"GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
            await peer.reader.read()
            await asyncio.wait_for(tasks[0], 5)

    lab.run(main(), failures=1)


# -- bodies that nobody takes ----------------------------------------------------------------------


async def feed(request: aio.Request, code: int, count: int) -> None:
    channel: aio.Channel[bytes] = aio.Channel(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(fill(channel, count))
        await request.respond(code, [], channel)


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_channel_for_no_body_is_emptied(lab: Lab, wire: Wire, method: str, code: int) -> None:
    async def main() -> None:
        done = 0

        async def handle(request: aio.Request) -> None:
            nonlocal done
            await feed(request, code, 20)
            done += 1

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                async with await client.request(method, "/") as response:
                    assert response.code == code
                    assert await response.payload.read() == b""
            await until(lambda: done == 2, "the end of the handlers")

    lab.run(main())


@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize("pause", [0.0, 0.5], ids=["large", "slow"])
def test_a_channel_without_end_for_no_body_is_closed(lab: Lab, wire: Wire, pause: float) -> None:
    """Its producer learns of it, and that is nobody's failure."""

    async def main() -> None:
        ends: list[BaseException] = []

        async def produce(channel: "aio.Channel[bytes]") -> None:
            try:
                while True:
                    await channel.put(b"x" * 10_000)
                    await asyncio.sleep(pause)
            except BaseException as error:
                ends.append(error)
                raise

        async def handle(request: aio.Request) -> None:
            channel: aio.Channel[bytes] = aio.Channel(1)
            async with asyncio.TaskGroup() as group:
                group.create_task(produce(channel))
                await request.respond(200, [], channel)

        limits = Limits(max_drained=100_000, linger_timeout=0.1)
        async with lab.pair(wire, handle, limits=limits) as client:
            assert (await client.request("HEAD", "/")).code == 200
            assert (await client.request("HEAD", "/")).code == 200
            await until(lambda: len(ends) == 2, "the ends")
        assert all(isinstance(each, BrokenPipeError) for each in ends)

    lab.run(main())


def test_other_broken_pipes_are_told(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await feed(request, 200, 3)
            other: aio.Channel[bytes] = aio.Channel(1)
            other.close()
            if request.path == "/channel":
                await other.put(b"x")
            raise BrokenPipeError(32, "Broken pipe")

        async with lab.pair(HTTP2, handle) as client:
            for path in ("/channel", "/socket"):
                assert (await client.request("HEAD", path)).code == 200
            await until(lambda: len(lab.failures) == 2, "the errors")

    lab.run(main(), failures=2)


@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize("wrong", ["field", "code", "second", "gone"])
def test_a_refused_head_is_told_to_the_producer(lab: Lab, wire: Wire, wrong: str) -> None:
    async def main() -> None:
        ends: list[BaseException] = []
        producers: list[asyncio.Task[None]] = []

        async def handle(request: aio.Request) -> None:
            async def produce() -> None:
                try:
                    await fill(channel, 9)
                except BaseException as error:
                    ends.append(error)

            channel: aio.Channel[bytes] = aio.Channel(1)
            producers.append(asyncio.create_task(produce()))
            await asyncio.sleep(0)
            if wrong == "second":
                await request.respond(200)
            if wrong == "gone":
                request.conn.write_reset(request.stream, 8)
            code = 100 if wrong == "code" else 200
            headers = [("x-note", "two\nlines")] if wrong == "field" else []
            with pytest.raises(CnoConnectionError):
                await request.respond(code, headers, channel)
            await request.respond(202) if wrong in ("field", "code") else None

        async with lab.pair(wire, handle) as client:
            ended = await outcome(client)
            assert ended == {"second": 200, "gone": ended}.get(wrong, 202)
            await asyncio.wait_for(producers[0], 5)
        assert [type(each) for each in ends] == [BrokenPipeError]

    lab.run(main())


def test_a_refused_head_leaves_a_generator(lab: Lab) -> None:
    async def main() -> None:
        left: list[bool] = []

        class Source:
            def __aiter__(self) -> "Source":
                return self

            async def __anext__(self) -> bytes:
                raise AssertionError("nobody asks for it")

            async def aclose(self) -> None:
                left.append(True)

        async def handle(request: aio.Request) -> None:
            with pytest.raises(UsageError):
                await request.respond(200, [("x", "a\nb")], Source())
            await request.respond(202)

        async with lab.pair(HTTP2, handle) as client:
            assert await outcome(client) == 202
        assert left == [True]

    lab.run(main())


def test_what_fails_at_the_end_of_a_body_does_not_hide_why_it_ended(lab: Lab) -> None:
    async def main() -> None:
        class Source:
            def __aiter__(self) -> "Source":
                return self

            async def __anext__(self) -> bytes:
                raise ValueError("first")

            async def aclose(self) -> None:
                raise KeyError("second")

        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], Source())

        async with lab.pair(HTTP2, handle) as client:
            assert isinstance(await outcome(client), type)

    lab.run(main(), failures=1)
    error = lab.failures[0]["exception"]
    assert (type(error), type(error.__context__)) == (KeyError, ValueError)


# -- transports and subclasses of the application --------------------------------------------------


class HalfCloseless(Transport):
    """A transport that cannot end its own direction alone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write_eof(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def test_a_transport_that_cannot_half_close_is_closed(lab: Lab) -> None:
    async def main() -> None:
        server = aio.Server(hello)
        transport = HalfCloseless()
        server.connection_made(transport)
        server.data_received(b"what?\r\n\r\n")  # answered by a 400, then the end
        await settle()
        assert transport.calls == ["close"]
        server.connection_lost(None)
        await server.wait_closed()

    lab.run(main())


def test_an_override_that_fails_when_the_connection_ends(lab: Lab) -> None:
    class Broken(aio.Client):
        def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
            raise ZeroDivisionError("of the application")

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

        async with by_hand(script) as url:
            loop = asyncio.get_running_loop()
            client = Broken("example.com", "http")
            await loop.create_connection(lambda: client, HOST, int(url.rpartition(":")[2]))
            response = await client.request("GET", "/")
            with pytest.raises(aio.ConnectionLostError):
                await response.read()
            await client.wait_closed()

    lab.run(main(), failures=1)
    assert isinstance(lab.failures[0]["exception"], ZeroDivisionError)
