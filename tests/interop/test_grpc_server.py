"""A `cno` client calls a grpcio server, the C core's: every kind of call, and how each ends."""

import asyncio
import threading
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import cno
from cno.examples.grpc import INVALID, UNIMPLEMENTED, RpcError, call, each, unary
from tests.aio.lab import settle, until
from tests.peers import missing
from tests.processes import Pair

try:
    import grpc  # type: ignore[import-untyped]  # as it comes
except ImportError:
    missing("grpcio is not installed")

WAIT = 20.0

# Under TLS it never says goodbye: that is waited for no longer than this.
LIMITS = cno.Limits(linger_timeout=0.1)


class Methods:
    """What can be called. grpcio runs each call in a thread; its context and iterators block."""

    def __init__(self) -> None:
        self.hanging = threading.Semaphore(0)
        self.given_up = threading.Semaphore(0)

    def echo(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.set_trailing_metadata((("x-end", "yes"), ("x-data-bin", b"\x00\xff")))
        yield from requests

    def size(self, requests: Iterator[bytes], _: Any) -> bytes:
        return str(sum(len(request) for request in requests)).encode()

    def repeat(self, request: bytes, _: Any) -> Iterator[bytes]:
        yield from (str(number).encode() for number in range(int(request)))

    def bulk(self, request: bytes, _: Any) -> Iterator[bytes]:
        for _ in range(int(request)):
            yield bytes(65_536)

    def fail(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield from (str(number).encode() for number in range(int(request)))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not good: 100 % ünüsual")

    def crash(self, request: bytes, _: Any) -> bytes:
        raise RuntimeError("on purpose")

    def hang(self, _: bytes, context: Any) -> Iterator[bytes]:
        over = threading.Event()
        context.add_callback(over.set)
        context.add_callback(self.given_up.release)
        yield b"%d" % (context.time_remaining() < WAIT)
        self.hanging.release()
        over.wait(WAIT)

    def meta(self, _: bytes, context: Any) -> bytes:
        found = dict(context.invocation_metadata())
        return b"%s|%s" % (found["x-text"].encode(), found["x-data-bin"])

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(
            "test",
            {
                "unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
                "echo": grpc.stream_stream_rpc_method_handler(self.echo),
                "size": grpc.stream_unary_rpc_method_handler(self.size),
                "repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
                "bulk": grpc.unary_stream_rpc_method_handler(self.bulk),
                "fail": grpc.unary_stream_rpc_method_handler(self.fail),
                "crash": grpc.unary_unary_rpc_method_handler(self.crash),
                "hang": grpc.unary_stream_rpc_method_handler(self.hang),
                "meta": grpc.unary_unary_rpc_method_handler(self.meta),
            },
        )


Script = Callable[[cno.Client, Methods], Coroutine[Any, Any, None]]


def against_grpcio(
    script: Script, pair: Pair | None = None, limits: cno.Limits = LIMITS, **options: int
) -> None:
    """Run a script on one connection to a server with these `grpc.` options."""
    methods = Methods()
    named = [(f"grpc.{name.replace('__', '.')}", value) for name, value in options.items()]
    with ThreadPoolExecutor(16) as threads:
        server = grpc.server(threads, [methods.handlers()], options=named)
        if pair is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            chain = [(pair.key.read_bytes(), pair.cert.read_bytes())]
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(chain))
        server.start()
        try:
            asyncio.run(over_one_connection(script, methods, port, pair, limits))
        finally:
            server.stop(0).wait(WAIT)


async def over_one_connection(
    script: Script, methods: Methods, port: int, pair: Pair | None, limits: cno.Limits
) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    context = None if pair is None else cno.aio.tls.client_context(str(pair.authority))
    url = f"{'h2c' if pair is None else 'https'}://127.0.0.1:{port}/"
    async with asyncio.timeout(WAIT):
        async with await cno.connect(url, context, limits=limits) as client:
            await script(client, methods)
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert failures == []


async def receive(replies: AsyncIterable[bytes], into: list[bytes]) -> None:
    async for reply in replies:
        into.append(reply)


async def received(replies: AsyncIterable[bytes]) -> list[bytes]:
    return [reply async for reply in replies]


async def call_on_and_on(client: cno.Client) -> None:
    while True:
        await unary(client, "/test/unary", b"hello")
        await asyncio.sleep(0.02)


def test_each_kind_of_call() -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        assert await unary(client, "/test/unary", b"hello") == b"hello"
        assert await unary(client, "/test/unary", b"") == b""
        sizes = await call(client, "/test/size", each(*(bytes(n) for n in range(100))))
        assert await received(sizes) == [b"4950"]
        assert await received(await call(client, "/test/size", each())) == [b"0"]
        for count in (0, 1, 1000):
            replies = await call(client, "/test/repeat", each(b"%d" % count))
            assert await received(replies) == [b"%d" % n for n in range(count)]
        sent = [bytes([n]) * n * 100 for n in range(200)]
        assert await received(await call(client, "/test/echo", each(*sent))) == sent

    against_grpcio(script)


def test_turns_are_taken() -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        outgoing: cno.Channel[bytes] = cno.Channel()
        outgoing.put_nowait(b"first")
        talk = await call(client, "/test/echo", outgoing)
        replies = aiter(talk)
        assert await anext(replies) == b"first"
        for number in range(100):
            await outgoing.put(b"%d" % number)
            assert await anext(replies) == b"%d" % number
        outgoing.close()
        assert await received(replies) == []
        trailers = dict(talk.response.trailers or [])
        assert trailers["grpc-status"] == "0"
        assert (trailers["x-end"], trailers["x-data-bin"].rstrip("=")) == ("yes", "AP8")

    against_grpcio(script)


def test_statuses() -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        for count in (0, 3):
            replies = await call(client, "/test/fail", each(b"%d" % count))
            got: list[bytes] = []
            with pytest.raises(RpcError) as caught:
                await receive(replies, got)
            assert (caught.value.code, caught.value.message) == (INVALID, "not good: 100 % ünüsual")
            assert got == [b"%d" % n for n in range(count)]
        with pytest.raises(RpcError) as caught:
            await unary(client, "/test/none", b"")
        assert caught.value.code == UNIMPLEMENTED
        with pytest.raises(RpcError, match="on purpose"):
            await unary(client, "/test/crash", b"")
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    against_grpcio(script)


def test_metadata() -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        metadata = [("x-text", "text, more"), ("x-data-bin", "AP8Q")]
        replies = await received(await call(client, "/test/meta", each(b""), metadata))
        assert replies == [b"text, more|\x00\xff\x10"]

    against_grpcio(script)


@pytest.mark.parametrize("how", ["deadline", "cancel", "leave"])
def test_a_call_given_up_is_seen_by_the_server(how: str) -> None:
    """By a deadline of ours, by cancelling the task, by leaving the response."""

    async def hang(client: cno.Client) -> None:
        talk = await call(client, "/test/hang", each(b""), deadline=WAIT - 1)
        patience = 0.3 if how == "deadline" else None
        async with talk.response, asyncio.timeout(patience):
            replies = aiter(talk)
            assert await anext(replies) == b"1"
            if how != "leave":
                await anext(replies)

    async def script(client: cno.Client, methods: Methods) -> None:
        tasks = [asyncio.create_task(hang(client)) for _ in range(10)]
        if how == "cancel":
            await asyncio.to_thread(take, methods.hanging, 10)
            for task in tasks:
                task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        expected = {"deadline": TimeoutError, "cancel": asyncio.CancelledError, "leave": type(None)}
        assert [type(end) for end in ends] == [expected[how]] * 10
        await asyncio.to_thread(take, methods.given_up, 10)
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    against_grpcio(script)


def take(semaphore: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert semaphore.acquire(timeout=WAIT)


def test_a_deadline_of_the_server() -> None:
    """Which keeps what the client has asked for."""

    async def script(client: cno.Client, methods: Methods) -> None:
        with pytest.raises((RpcError, cno.StreamError)):
            await received(await call(client, "/test/hang", each(b""), deadline=0.1))
        await asyncio.to_thread(take, methods.given_up, 1)
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    against_grpcio(script)


def test_many_at_once() -> None:
    """More than the server takes at a time: the rest waits for its turn."""

    async def script(client: cno.Client, _: Methods) -> None:
        # What is sent before its SETTINGS are here would be reset with ENHANCE_YOUR_CALM.
        assert await unary(client, "/test/unary", b"hello") == b"hello"
        sent = [b"%d" % number * 50 for number in range(1000)]
        assert await asyncio.gather(*(persist(client, item) for item in sent)) == sent

    against_grpcio(script, max_concurrent_streams=20)


async def persist(client: cno.Client, message: bytes) -> bytes:
    """grpcio has room for a stream only some time after it has ended another: till then, refused.

    Which says that nothing has been done, so that it can be tried again.
    """
    while True:
        try:
            return await unary(client, "/test/unary", message)
        except cno.StreamError as error:
            assert (error.code, error.retryable) == (cno.raw.CNO_RST_REFUSED_STREAM, True)


def test_large_messages() -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        message = bytes(range(256)) * (1 << 14)  # 4 MiB
        calls = [unary(client, "/test/unary", message) for _ in range(8)]
        assert [got == message for got in await asyncio.gather(*calls)] == [True] * 8
        replies = await received(await call(client, "/test/echo", each(*[message] * 5)))
        assert [got == message for got in replies] == [True] * 5

    against_grpcio(script, max_receive_message_length=-1)


def test_a_long_download() -> None:
    """64 MB; whatever we send meanwhile (WINDOW_UPDATE, PING), the server must not mind."""

    async def script(client: cno.Client, _: Methods) -> None:
        total = 0
        async for message in await call(client, "/test/bulk", each(b"1000")):
            total += len(message)
        assert total == 65_536_000
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    against_grpcio(script)


def test_over_tls(pair: Pair) -> None:
    async def script(client: cno.Client, _: Methods) -> None:
        assert await unary(client, "/test/unary", bytes(1_000_000)) == bytes(1_000_000)

    against_grpcio(script, pair)


def test_pings_of_the_server_are_answered() -> None:
    """It would close the connection otherwise."""

    async def script(client: cno.Client, _: Methods) -> None:
        begun = time.monotonic()
        await until(lambda: time.monotonic() > begun + 0.8)
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    against_grpcio(
        script,
        keepalive_time_ms=100,
        keepalive_timeout_ms=200,
        keepalive_permit_without_calls=1,
        http2__max_pings_without_data=0,
    )


def test_a_server_that_ends_connections() -> None:
    """After some age: GOAWAY, and calls that are open may end; new ones are refused, retryable."""

    async def script(client: cno.Client, methods: Methods) -> None:
        replies = aiter(await call(client, "/test/hang", each(b""), deadline=WAIT - 1))
        await anext(replies)
        with pytest.raises(cno.ConnectionLostError) as caught:
            await call_on_and_on(client)
        assert caught.value.retryable
        with pytest.raises((RpcError, cno.ConnectionError)):
            await anext(replies)

    against_grpcio(script, max_connection_age_ms=300, max_connection_age_grace_ms=500)


def test_pings_of_ours() -> None:
    """As often as this server allows; it does not always."""

    async def script(client: cno.Client, _: Methods) -> None:
        begun = time.monotonic()
        await until(lambda: time.monotonic() > begun + 0.5)
        assert await unary(client, "/test/unary", b"hello") == b"hello"

    limits = replace(LIMITS, ping_interval=0.1, ping_timeout=WAIT)
    against_grpcio(script, limits=limits, http2__min_ping_interval_without_data_ms=50)


def test_a_pool_moves_on() -> None:
    """The server ends each connection after 100 ms or so; each call gets its reply."""

    async def script(client: cno.Client, _: Methods) -> None:
        seen: set[object] = set()

        async def talk(pool: cno.Pool, number: int) -> None:
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                begun = await call(pool, f"h2c://{client.authority}/test/unary", each(b"hello"))
                seen.add(begun.response.conn)
                assert await received(begun) == [b"hello"]

        async with cno.Pool() as pool:
            await asyncio.gather(*(talk(pool, number) for number in range(10)))
        assert len(seen) >= 3

    against_grpcio(script, max_connection_age_ms=100, max_connection_age_grace_ms=10_000)
