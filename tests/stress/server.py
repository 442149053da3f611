"""The server under load, a separate process: `python -m tests.stress.server --help`.

The first port is for clear text, the second for TLS. Answers each path of `tests.stress.plan` and
keeps, in files of the folder, so that they survive when the process is killed: which request it
began (`journal`), and all errors (`complaints`). SIGUSR1 restarts it gracefully, SIGUSR2
aborts some of its connections, SIGINT ends it: it then prints the objects that are left.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import os
import random
import signal
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import cno
from cno.limits import Limits
from tests.census import census, forget_needless_timers, is_of_the_loop, pending_timers
from tests.stress.bodies import DOWN, MARK, UP, Check, Mark, WrongBody, body

HOST = "127.0.0.1"
ON_PURPOSE = "on purpose"
#: Requests after which a connection ends gracefully.
MAX_REQUESTS = 700
#: A record of the journal: what happened, to which request.
RECORD = struct.Struct("<cQ")
BEGUN, WHOLE = b"B", b"W"


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes an event loop of this kind; None stands for asyncio's own."""
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


class Journal:
    """Files that are complete whenever the process ends."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._journal = os.open(folder / "journal", flags)
        self._complaints = os.open(folder / "complaints", flags)

    def note(self, what: bytes, number: int) -> None:
        os.write(self._journal, RECORD.pack(what, number))

    def complain(self, kind: str, text: str) -> None:
        os.write(self._complaints, json.dumps([kind, text]).encode() + b"\n")


class Call:
    """One request and what its path asks for: `/KIND/NUMBER?up=N&down=N`."""

    def __init__(self, request: cno.Request) -> None:
        self.request = request
        path, _, query = request.path.partition("?")
        _, self.kind, number = path.split("/")
        self.number = int(number)
        sizes = dict(each.split("=") for each in query.split("&"))
        self.up = int(sizes["up"])
        self.down = int(sizes["down"])
        self.chance = random.Random(self.number)

    def body(self) -> bytes:
        return body(self.number, DOWN, self.down)

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [("x-number", str(self.number))]


class Site:
    """The handler of all connections."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.listeners: list[cno.Listener] = []
        self.conns: weakref.WeakSet[Any] = weakref.WeakSet()
        self._refused: set[int] = set()

    async def __call__(self, request: cno.Request) -> None:
        if request.path == "/state":
            forget_needless_timers()
            await request.respond(200, [], json.dumps(self.state()).encode())
            return
        self.conns.add(request.conn)
        call = Call(request)
        before = MARK.get()
        if before is not None:
            text = f"request {call.number} runs in the context of request {before.number}"
            self.journal.complain("context", text)
        if call.kind == "refuse" and request.conn.is_http2 and call.number not in self._refused:
            self._refused.add(call.number)
            request.conn.write_reset(request.stream, cno.raw.CNO_RST_REFUSED_STREAM)
            return
        mark = Mark(call.number)
        MARK.set(mark)
        self.journal.note(BEGUN, call.number)
        try:
            await self.answer(call)
        except WrongBody as error:
            text = f"{request.method} {request.path}, HTTP/{1 + request.conn.is_http2}: {error}"
            self.journal.complain("upload", text)
        self.check_context(mark)

    def check_context(self, mark: Mark) -> None:
        now = MARK.get()
        if now is not mark:
            text = f"request {mark.number} finds itself in the context of {now and now.number}"
            self.journal.complain("context", text)

    def state(self) -> dict[str, Any]:
        """What this process holds."""
        gc.collect()
        return {
            **census(),
            "connections": sum(each.connections for each in self.listeners),
            "marks": [each.number for each in Mark.alive],
        }

    async def take(self, call: Call) -> str:
        """Read the request's body and check it; return its SHA-256."""
        check = Check.of(call.number, UP, call.up)
        digest = hashlib.sha256()
        slow = call.chance.random() < 0.05
        while data := await call.request.payload.read(4_096 if slow else 65_536):
            check.feed(data)
            digest.update(data)
            if slow:
                await asyncio.sleep(0.002)
        check.end()
        self.journal.note(WHOLE, call.number)
        return digest.hexdigest()

    async def answer(self, call: Call) -> None:
        await WAYS[call.kind](self, call)

    # -- kinds of requests -----------------------------------------------------------------------

    async def at_once(self, call: Call) -> None:
        if call.chance.random() < 0.1:
            await asyncio.sleep(call.chance.random() * 0.01)
        await call.request.respond(200, call.headers, call.body())

    async def pieces(self, call: Call) -> None:
        await call.request.respond(200, call.headers, self._pieces(call, call.down))

    async def _pieces(self, call: Call, until: int) -> AsyncIterator[bytes]:
        """The body up to there, in parts of different sizes."""
        mark = MARK.get()
        assert mark is not None
        data = call.body()
        at = 0
        while at < until:
            size = min(call.chance.randrange(1, 30_000), until - at)
            yield data[at : at + size]
            at += size
            if call.chance.random() < 0.2:
                await asyncio.sleep(call.chance.choice([0, 0, 0.001]))
            self.check_context(mark)

    async def echo(self, call: Call) -> None:
        trailers: list[tuple[str, str]] = []
        await call.request.respond(200, call.headers, self._echo(call, trailers), trailers=trailers)

    async def _echo(self, call: Call, trailers: list[tuple[str, str]]) -> AsyncIterator[bytes]:
        check = Check.of(call.number, UP, call.up)
        while data := await call.request.payload.read(65_536):
            check.feed(data)
            yield data
        check.end()
        trailers.append(("x-size", str(check.size)))

    async def digest(self, call: Call) -> None:
        await call.request.respond(200, call.headers, (await self.take(call)).encode())

    async def early(self, call: Call) -> None:
        await call.request.respond(200, call.headers, call.body())
        await self.take(call)

    async def refused(self, call: Call) -> None:
        # Who sends more than the server drops has its connection ended, and is to know that.
        fields = [] if call.request.conn.is_http2 else [("connection", "close")]
        await call.request.respond(413, [*call.headers, *fields], b"too large")

    async def crash(self, call: Call) -> None:
        raise RuntimeError(ON_PURPOSE)

    async def crashlate(self, call: Call) -> None:
        await call.request.respond(200, call.headers, self._failing(call))

    async def _failing(self, call: Call) -> AsyncIterator[bytes]:
        async for each in self._pieces(call, call.chance.randrange(call.down + 1)):
            yield each
        raise RuntimeError(ON_PURPOSE)

    async def reset(self, call: Call) -> None:
        request = call.request
        if call.chance.random() < 0.5:
            await request.respond(200, call.headers, self._resetting(call))
        else:
            request.conn.write_reset(request.stream, cno.raw.CNO_RST_INTERNAL_ERROR)

    async def _resetting(self, call: Call) -> AsyncIterator[bytes]:
        async for each in self._pieces(call, call.chance.randrange(call.down + 1)):
            yield each
        call.request.conn.write_reset(call.request.stream, cno.raw.CNO_RST_INTERNAL_ERROR)
        yield b"too late"

    async def refuse(self, call: Call) -> None:
        await call.request.respond(200, call.headers, call.body())


WAYS: dict[str, Callable[[Site, Call], Coroutine[Any, Any, None]]] = {
    "bytes": Site.at_once,
    "pieces": Site.pieces,
    "echo": Site.echo,
    "digest": Site.digest,
    "early": Site.early,
    "refused": Site.refused,
    "crash": Site.crash,
    "crashlate": Site.crashlate,
    "reset": Site.reset,
    "refuse": Site.refuse,
}


class House:
    """The process: its listeners, its signals, its end."""

    def __init__(self, args: argparse.Namespace, site: Callable[[Journal], Site]) -> None:
        self.args = args
        self.journal = Journal(args.folder)
        self.site = site(self.journal)
        self._chance = random.Random(args.seed)
        self._socks = [socket.create_server((HOST, each), backlog=1000) for each in args.ports]
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        limits = Limits(
            initial_window_size=262_144,
            connection_window=1_048_576,
            max_requests_per_connection=MAX_REQUESTS if self.args.recycle else None,
        )
        pair = {"certfile": self.args.cert, "keyfile": self.args.key}
        clear, secure = (each.dup() for each in self._socks)
        self.site.listeners += [
            await cno.serve(self.site, sock=clear, limits=limits, backlog=1000),
            await cno.serve(self.site, sock=secure, limits=limits, backlog=1000, **pair),
        ]

    async def renew(self) -> None:
        """End all listeners gracefully; others take their place at once."""
        old = list(self.site.listeners[-2:])
        for each in old:
            each.close()
        await self.start()
        for each in old:
            await each.wait_closed()
            self.site.listeners.remove(each)

    def restart(self) -> None:
        task = asyncio.ensure_future(self.renew())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def abort_some(self) -> None:
        for each in list(self.site.conns):
            if self._chance.random() < 0.5:
                each.transport.abort()

    def complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if str(error) != ON_PURPOSE and not is_of_the_loop(context):
            self.journal.complain("loop", f"{context.get('message')}: {error!r}")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.complain)
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, stopped.set)
        loop.add_signal_handler(signal.SIGUSR1, self.restart)
        loop.add_signal_handler(signal.SIGUSR2, self.abort_some)
        # Once libuv has listened anywhere, it keeps a file.
        (await loop.create_server(asyncio.Protocol, HOST, 0)).close()
        await asyncio.sleep(0)
        files = census()["files"]
        await self.start()
        print("ready", flush=True)
        await stopped.wait()
        began = loop.time()
        await asyncio.gather(*self._leaving)
        for each in self.site.listeners:
            each.close()
        for each in self.site.listeners:
            await each.wait_closed()
        took = loop.time() - began
        await asyncio.sleep(0.1)
        # A TLS handshake that a relay holds up is no connection yet, and ends by a timeout.
        for _ in range(120):
            if census()["files"] <= files:
                break
            await asyncio.sleep(0.1)
        forget_needless_timers()
        left = self.site.state()
        left["files"] -= files
        left["tasks"] -= 1  # this one
        left["seconds"] = took
        left["timers"] = len(pending_timers())
        print(json.dumps(left), flush=True)


def main(site: Callable[[Journal], Site] = Site) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ports", type=int, nargs=2, required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument(
        "--recycle", action="store_true", help="connections end after some requests"
    )
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(args.loop)) as runner:
        runner.run(House(args, site).run())


if __name__ == "__main__":
    main()
