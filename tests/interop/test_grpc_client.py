"""A grpcio client, the C core's, calls a `cno` server: every kind of call, and how each ends."""

import asyncio
import queue
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import cno
from cno import raw
from cno.examples.grpc import INVALID, Context, Replies, RpcError, Service
from tests.aio.lab import until
from tests.peers import missing
from tests.processes import Pair, Running, run

try:
    import grpc  # type: ignore[import-untyped]  # as it comes
except ImportError:
    missing("grpcio is not installed")

WAIT = 20.0


class Methods:
    """What can be called, and what has happened there."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    async def echo(self, requests: AsyncIterator[bytes], context: Context) -> Replies:
        async for request in requests:
            yield request
        context.trailing.append(("x-end", "yes"))

    async def size(self, requests: AsyncIterator[bytes], context: Context) -> Replies:
        yield str(sum([len(request) async for request in requests])).encode()

    async def repeat(self, requests: AsyncIterator[bytes], _: Context) -> Replies:
        count = int(await anext(requests))
        for number in range(count):
            yield str(number).encode()

    async def fail(self, requests: AsyncIterator[bytes], _: Context) -> Replies:
        """After as many replies as asked for."""
        for number in range(int(await anext(requests))):
            yield str(number).encode()
        raise RpcError(INVALID, "not good: 100 % ünüsual")

    async def crash(self, requests: AsyncIterator[bytes], _: Context) -> Replies:
        for number in range(int(await anext(requests))):
            yield str(number).encode()
        raise RuntimeError("on purpose")

    async def hang(self, _: AsyncIterator[bytes], context: Context) -> Replies:
        assert context.timeout is not None and 0 < context.timeout <= WAIT + 1
        self.events["hanging"] += 1
        try:
            yield b"begun"
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.events["cancelled"] += 1
            raise

    async def meta(self, _: AsyncIterator[bytes], context: Context) -> Replies:
        yield "|".join(context.metadata[name] for name in ("x-text", "x-data-bin")).encode()
        context.trailing.append(("x-data-bin", "AAEC/w=="))

    def service(self) -> Service:
        names = ("echo", "size", "repeat", "fail", "crash", "hang", "meta")
        return Service({f"/test/{name}": getattr(self, name) for name in names})


class CountsPings(cno.Server):
    pings = 0

    def on_frame(self, frame: raw.Frame) -> None:
        if frame.type == raw.CNO_FRAME_PING and not frame.flags & raw.CNO_FLAG_ACK:
            self.pings += 1


class Serving:
    """A service in an event loop, and grpcio's blocking client in a thread beside it."""

    def __init__(self, **options: Any) -> None:
        self.methods = Methods()
        self.failures: list[str] = []
        self.pings = 0
        self.connections: list[CountsPings] = []
        self._options = options

    def run(self, client: Callable[[str], None], pair: Pair | None = None) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, c: self.failures.append(str(c["message"])))
            service = self.methods.service()

            def protocol() -> CountsPings:
                self.connections.append(CountsPings(service, **self._options))
                return self.connections[-1]

            context = None
            if pair is not None:
                context = cno.aio.tls.server_context(pair.cert, pair.key)
            server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context)
            port = server.sockets[0].getsockname()[1]
            await asyncio.to_thread(client, f"localhost:{port}" if pair else f"127.0.0.1:{port}")
            server.close()
            for connection in self.connections:
                connection.drain()
                await asyncio.wait_for(connection.wait_closed(), WAIT)
            await server.wait_closed()
            await until(lambda: len(asyncio.all_tasks()) == 1, "the end of all handlers")
            self.pings = sum(connection.pings for connection in self.connections)

        asyncio.run(main())


@pytest.fixture
def serving() -> Iterator[Serving]:
    made = Serving()
    yield made
    assert made.failures == []


def test_each_kind_of_call(serving: Serving) -> None:
    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary("/test/echo")(b"hello", timeout=WAIT) == b"hello"
            assert channel.unary_unary("/test/echo")(b"", timeout=WAIT) == b""
            sizes = channel.stream_unary("/test/size")
            assert sizes(iter([bytes(n) for n in range(100)]), timeout=WAIT) == b"4950"
            assert sizes(iter([]), timeout=WAIT) == b"0"
            repeat = channel.unary_stream("/test/repeat")
            for count in (0, 1, 1000):
                got = list(repeat(str(count).encode(), timeout=WAIT))
                assert got == [str(n).encode() for n in range(count)]
            talk = channel.stream_stream("/test/echo")
            sent = [bytes([n]) * n * 100 for n in range(200)]
            assert list(talk(iter(sent), timeout=WAIT)) == sent

    serving.run(client)
    assert len(serving.connections) == 1


def test_turns_are_taken(serving: Serving) -> None:
    """Both directions at once: each message is sent when the answer to the last one is here."""

    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            replies = channel.stream_stream("/test/echo")(iter(outgoing.get, b""), timeout=WAIT)
            for number in range(100):
                outgoing.put(b"%d." % number)
                assert next(replies) == b"%d." % number
            outgoing.put(b"")
            assert list(replies) == []
            assert replies.code() is grpc.StatusCode.OK
            assert replies.trailing_metadata() == (("x-end", "yes"),)

    serving.run(client)


def test_statuses(serving: Serving) -> None:
    """In a response that is nothing but a head, and in trailers."""

    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            for count in (0, 3):
                replies = channel.unary_stream("/test/fail")(str(count).encode(), timeout=WAIT)
                got = []
                with pytest.raises(grpc.RpcError) as caught:
                    got.extend(replies)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert caught.value.details() == "not good: 100 % ünüsual"
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/test/none")(b"", timeout=WAIT)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.details() == "no such method: /test/none"
            # The connection has not suffered.
            assert channel.unary_unary("/test/echo")(b"hello", timeout=WAIT) == b"hello"

    serving.run(client)
    assert len(serving.connections) == 1


def test_handlers_that_raise(serving: Serving) -> None:
    """A 500 before the first message, a reset later: each a status of grpcio's own making."""

    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            for count, code in ((0, grpc.StatusCode.UNKNOWN), (1, grpc.StatusCode.INTERNAL)):
                with pytest.raises(grpc.RpcError) as caught:
                    list(channel.unary_stream("/test/crash")(b"%d" % count, timeout=WAIT))
                assert caught.value.code() is code, caught.value
            assert channel.unary_unary("/test/echo")(b"hello", timeout=WAIT) == b"hello"

    serving.run(client)
    assert [failure.partition(" stream=")[0] for failure in serving.failures] == [
        "cno: the handler of <Request POST '/test/crash'"
    ] * 2
    serving.failures.clear()


def test_metadata(serving: Serving) -> None:
    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            metadata = (("x-text", "text, more"), ("x-data-bin", b"\x00\xff\x10"))
            reply, about = channel.unary_unary("/test/meta").with_call(
                b"", timeout=WAIT, metadata=metadata
            )
            text, _, data = reply.partition(b"|")
            assert (text, data.rstrip(b"=")) == (b"text, more", b"AP8Q")
            assert about.trailing_metadata() == (("x-data-bin", b"\x00\x01\x02\xff"),)

    serving.run(client)


@pytest.mark.parametrize("how", ["deadline", "cancel", "channel"])
def test_a_call_given_up_cancels_its_handler(serving: Serving, how: str) -> None:
    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            hang = channel.unary_stream("/test/hang")
            calls = [hang(b"", timeout=0.5 if how == "deadline" else WAIT) for _ in range(10)]
            assert [next(call) for call in calls] == [b"begun"] * 10
            if how == "cancel":
                for call in calls:
                    call.cancel()
            if how != "channel":
                for call in calls:
                    with pytest.raises(grpc.RpcError) as caught:
                        next(call)
                    expected = "DEADLINE_EXCEEDED" if how == "deadline" else "CANCELLED"
                    assert caught.value.code() is grpc.StatusCode[expected]
                assert channel.unary_unary("/test/echo")(b"hello", timeout=WAIT) == b"hello"

    serving.run(client)
    assert serving.methods.events == {"hanging": 10, "cancelled": 10}


def test_many_at_once(serving: Serving) -> None:
    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary("/test/echo")
            sent = [b"%d" % number * 50 for number in range(1000)]
            futures = [call.future(message, timeout=WAIT) for message in sent]
            assert [future.result() for future in futures] == sent

    serving.run(client)
    assert len(serving.connections) == 1


def test_connections_that_end() -> None:
    """The server ends each after some calls: none of those under way is lost, others move on."""
    serving = Serving(limits=cno.Limits(max_requests_per_connection=50))

    def client(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary("/test/echo")
            for number in range(120):
                assert call(b"%d" % number, timeout=WAIT) == b"%d" % number
            futures = [call.future(b"%d" % number, timeout=WAIT) for number in range(300)]
            assert [future.result() for future in futures] == [b"%d" % n for n in range(300)]

    serving.run(client)
    assert serving.failures == []
    assert len(serving.connections) >= 5


def test_large_messages(serving: Serving) -> None:
    def client(target: str) -> None:
        unbounded = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(target, unbounded) as channel:
            message = bytes(range(256)) * (1 << 14)  # 4 MiB
            call = channel.unary_unary("/test/echo")
            futures = [call.future(message, timeout=WAIT) for _ in range(8)]
            assert all(future.result() == message for future in futures)
            stream = channel.stream_stream("/test/echo")
            replies = stream(iter([message] * 5), timeout=WAIT)
            assert [reply == message for reply in replies] == [True] * 5

    serving.run(client)


def test_over_tls(serving: Serving, pair: Pair) -> None:
    def client(target: str) -> None:
        credentials = grpc.ssl_channel_credentials(pair.authority.read_bytes())
        with grpc.secure_channel(target, credentials) as channel:
            assert channel.unary_unary("/test/size")(bytes(1_000_000), timeout=WAIT) == b"1000000"

    serving.run(client, pair)
    assert len(serving.connections) == 1


def test_pings_keep_a_call_alive(serving: Serving) -> None:
    """grpcio gives up a connection that does not answer them within `keepalive_timeout`."""
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]

    def client(target: str) -> None:
        with grpc.insecure_channel(target, options) as channel:
            call = channel.unary_stream("/test/hang")(b"", timeout=1)
            assert next(call) == b"begun"
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert channel.unary_unary("/test/echo")(b"hello", timeout=WAIT) == b"hello"

    serving.run(client)
    assert serving.pings >= 2
    assert len(serving.connections) == 1


def test_the_programs() -> None:
    """What the example does when it is run, as a server and as a client."""
    command = [sys.executable, "-m", "cno.examples.grpc"]
    with Running([*command, "--port", "0"]) as running:
        url = running.wait_for("^(h2c://(.*?)/.*)$")
        with grpc.insecure_channel(url[2]) as channel:
            assert channel.unary_unary("/echo.Echo/Say")(b"hello", timeout=WAIT) == b"hello"
        result = run(*command, url[1], "hello", "there")
        assert (result.status, result.text, result.stderr) == (0, "hello\nthere\n", "")
        assert (running.stop(), running.err) == (0, [])
