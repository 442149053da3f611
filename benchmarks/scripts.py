"""Fixed scripts of the compiled engine and asyncio layer, whose instructions are counted.

Each makes its subject, warms it up, and runs a number of units between two marks. Nothing here
depends on time, on hashes of strings, or on the network.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import cno
from benchmarks import engine, wire
from benchmarks.callgrind import mark
from cno.asgi import Handler
from cno.hpack import Decoder, Encoder

#: The fields of the response as ASGI has them.
RAW_RESPONSE: Final = [(name.encode(), value.encode()) for name, value in wire.RESPONSE]


@dataclass(frozen=True)
class Script:
    """`run(units)` marks where those units begin and end; earlier ones do not count."""

    name: str
    units: int
    run: Callable[[int], None]


# -- the engine --------------------------------------------------------------------------------


def in_process(case: engine.Case, units: int) -> None:
    """A case of `benchmarks.engine`: as many units before as are counted."""
    chunks = case.make(units if case.large else 2 * units)
    subject = engine.start("cno", case, units)
    http2 = case.role.endswith("2")
    server = "server" in case.role
    if http2:
        subject.feed(wire.CLIENT_PREFACE if server else wire.SERVER_PREFACE)

    def feed(part: list[bytes]) -> None:
        subject.out.clear()
        engine.exchange(subject, case, part, units, False)

    half = 0 if case.large else len(chunks) // 2
    if half:
        feed(chunks[:half])
    mark()
    feed(chunks[half:])
    mark()


def hpack(decode: bool, units: int) -> None:
    """Blocks of browser requests to ten hosts, as the engine reads and writes them."""
    lists = [
        [*head, ("x-number", str(number))]
        for number, head in enumerate(wire.request_lists("GET", wire.TEN) * (units // 8))
    ]
    encoder = Encoder()
    blocks = [encoder.encode(fields) for fields in lists]
    code: Callable[[Any], object] = Decoder().decode if decode else Encoder().encode
    inputs: list[Any] = list(blocks if decode else lists)
    for item in inputs[:units]:
        code(item)
    mark()
    for item in inputs[units : 2 * units]:
        code(item)
    mark()


# -- asyncio -----------------------------------------------------------------------------------


class Memory(asyncio.Transport):
    """A transport that keeps what is written; `answer`, if any, is told."""

    def __init__(self) -> None:
        super().__init__()
        self.out: list[bytes] = []
        self.answer: Callable[[], object] | None = None

    def write(self, data: Any) -> None:
        self.out.append(bytes(data))
        if self.answer is not None:
            self.answer()

    def writelines(self, chunks: Any) -> None:
        self.write(b"".join(chunks))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


async def handle(request: cno.Request) -> None:
    await request.respond(200, wire.RESPONSE, wire.BODY)


async def handle_body(request: cno.Request) -> None:
    await request.payload.read()
    await request.respond(200, wire.RESPONSE, wire.BODY)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": RAW_RESPONSE})
    await send({"type": "http.response.body", "body": wire.BODY})


#: Of the loop, in which every response has been sent.
TURNS: Final = 20


async def serve(chunks: list[bytes], http2: bool, handler: Any) -> None:
    """A server's connection: each chunk is a read, and answered before the next one."""
    server = cno.Server(None, handler)
    transport = Memory()
    server.connection_made(transport)
    if http2:
        server.data_received(wire.CLIENT_PREFACE)
    await asyncio.sleep(0)
    half = len(chunks) // 2
    for number, chunk in enumerate(chunks):
        if number == half:
            mark()
        before = len(transport.out)
        server.data_received(chunk)
        for _ in range(TURNS):
            if len(transport.out) > before:
                break
            await asyncio.sleep(0)
    mark()
    server.connection_lost(None)
    await asyncio.sleep(0)


async def ask(answers: list[bytes], http2: bool, width: int) -> None:
    """A client's connection with concurrent requests; each is answered as soon as it is sent."""
    loop = asyncio.get_running_loop()
    client = cno.Client(loop, "example.com", "http", force_http2=http2)
    transport = Memory()
    client.connection_made(transport)
    if http2:
        client.data_received(wire.SERVER_PREFACE)
    await asyncio.sleep(0)

    async def get() -> None:
        response = await client.request("GET", "/page/1", wire.TEN)
        assert len(await response.payload.read()) == len(wire.BODY)

    at = 0

    def answer() -> None:
        loop.call_soon(client.data_received, b"".join(answers[at : at + width]))

    transport.answer = answer
    half = len(answers) // 2
    for at in range(0, len(answers), width):
        if at == half:
            mark()
        if width == 1:
            await get()
        else:
            await asyncio.gather(*(get() for _ in range(width)))
    mark()
    transport.answer = None
    client.connection_lost(None)


def in_loop(make: Callable[[int], Coroutine[Any, Any, None]], units: int) -> None:
    with asyncio.Runner() as runner:
        runner.run(make(2 * units))


def joined(chunks: list[bytes], width: int) -> list[bytes]:
    return [b"".join(chunks[at : at + width]) for at in range(0, len(chunks), width)]


def posts(count: int) -> list[bytes]:
    return wire.grpc(count)


def asyncio_scripts() -> list[Script]:
    def one(name: str, units: int, make: Callable[[int], Coroutine[Any, Any, None]]) -> Script:
        return Script(name, units, partial(in_loop, make))

    def small(count: int) -> list[bytes]:
        return wire.small(wire.TEN, count)

    return [
        one("asyncio server", 400, lambda n: serve(small(n), True, handle)),
        one(
            "asyncio server, 100 at once", 400, lambda n: serve(joined(small(n), 100), True, handle)
        ),
        one("asyncio server, POST", 400, lambda n: serve(posts(n), True, handle_body)),
        one(
            "asyncio server, HTTP/1.1",
            400,
            lambda n: serve(wire.small1(wire.TEN, n), False, handle),
        ),
        one("ASGI server", 400, lambda n: serve(small(n), True, Handler(application))),
        one(
            "ASGI server, HTTP/1.1",
            400,
            lambda n: serve(wire.small1(wire.TEN, n), False, Handler(application)),
        ),
        one("asyncio client", 400, lambda n: ask(wire.answers(n), True, 1)),
        one("asyncio client, 100 at once", 400, lambda n: ask(wire.answers(n), True, 100)),
        one("asyncio client, HTTP/1.1", 400, lambda n: ask(wire.answers1(n), False, 1)),
    ]


#: Cases of the engine that are left out: others say the same.
SKIP: Final = ("1000 interleaved", "10 interleaved", "1 interleaved", "on 10 streams")


def all_scripts() -> list[Script]:
    """Every script, in an order that stays."""
    found = []
    for case in engine.all_cases():
        if not any(part in case.name for part in SKIP):
            units = 2 if case.large else 400
            name = case.name.replace("64 MiB", "2 MiB").replace("16 MiB", "2 MiB")
            found.append(Script(name, units, partial(in_process, case)))
    found.append(Script("HPACK, decode", 400, partial(hpack, True)))
    found.append(Script("HPACK, encode", 400, partial(hpack, False)))
    return [*found, *asyncio_scripts()]


def main(names: list[str]) -> None:
    """Run them, all or by name."""
    # The collector runs when it wants: its turns would wander from one script to another.
    gc.disable()
    for script in all_scripts():
        if not names or script.name in names:
            script.run(script.units)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
