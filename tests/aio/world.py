"""One connection, the peer at its other end, and the application that uses it.

Knows the public names of `cno.aio`, and the wire; tells in a few words what can be seen of a
connection from outside. Must never know what phase it is in.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.simulation import Remote, VirtualLoop

Work: TypeAlias = Coroutine[Any, Any, None]
#: Ours, and the peer's.
Contexts: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext]

#: Seconds that are longer than any timeout.
LONG = 600.0

#: The default, but for one that would end at the same time as asyncio's patience with TLS.
SERVER_LIMITS = Limits(shutdown_timeout=20.0)

#: How a call of the application may end, as the table has it.
WORDS = {
    "CancelledError": "cancelled",
    "ConnectionLostError": "lost",
    "StreamError": "failed",
    "StreamTimeoutError": "late",
    "ConnectionTimeoutError": "late",
    "ZeroDivisionError": "raised",
    "UsageError": "refused",
}

#: More than a transport is given at once.
BIG = bytes(2_000_000)


@dataclass
class World:
    """One connection, its peer, its application."""

    loop: VirtualLoop
    server: bool
    http2: bool
    tls: Contexts | None = None
    pen: f.FrameFactory = field(default_factory=f.FrameFactory)
    told: list[str] = field(default_factory=list)  # how what the application does has ended
    texts: list[str] = field(default_factory=list)  # of errors
    more: bytes = b""  # what the peer may well send next; b"": another request
    bad: bytes = b""  # what it must not
    stream: int = 1  # HTTP/2: the peer's next one

    def __post_init__(self) -> None:
        self.remote = Remote(self.loop)
        self.go: asyncio.Future[None] = self.loop.create_future()
        self.end_ours: asyncio.Future[None] = self.loop.create_future()
        self.work: asyncio.Task[None] | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.at = 0  # what of `remote.seen` has been looked at
        self.connected = False
        self.answers = False  # PING, SETTINGS
        self.conn: aio.Server | aio.Client
        if self.server:
            self.conn = aio.Server(self.loop, self.handle, limits=SERVER_LIMITS)
        else:
            self.conn = aio.Client(self.loop, "localhost", "http", force_http2=self.http2)
        self.remote.on_seen = self.answer_frames
        self.answered = 0

    # -- the peer --------------------------------------------------------------------------------

    async def connect(self) -> None:
        self.connected = True
        if self.tls is None:
            self.remote.connect(self.conn)
        else:
            await self.remote.connect_tls(self.conn, *self.tls, self.server)
        await self.settle()

    async def greet(self) -> None:
        """Connect, and exchange SETTINGS."""
        await self.connect()
        if self.http2:
            self.greeted()
        await self.settle()

    def greeted(self) -> None:
        """HTTP/2: send the preface, and answer SETTINGS and PINGs from now on."""
        self.remote.send((f.PREFACE if self.server else b"") + self.pen.settings())
        self.answers = True
        self.answer_frames()

    def answer_frames(self) -> None:
        """HTTP/2: acknowledge SETTINGS and PING."""
        if not self.http2 or not self.answers:
            return
        data = bytes(self.remote.seen)
        at = max(self.answered, len(f.PREFACE) if data.startswith(f.PREFACE) else 0)
        while at + 9 <= len(data):
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == f.SETTINGS and not flags & f.ACK:
                self.remote.send(self.pen.settings(ack=True))
            elif kind == f.PING and not flags & f.ACK:
                self.remote.send(self.pen.ping(data[at + 9 : end], ack=True))
            at = end
        self.answered = at

    async def settle(self) -> None:
        """Let everything happen that takes no time."""
        await self.loop.quiet()

    # -- a server's application ------------------------------------------------------------------

    async def handle(self, request: aio.Request) -> None:
        await self.noting(self.serve(request))

    async def noting(self, work: Work) -> None:
        try:
            await work
        except BaseException as error:
            self.told.append(type(error).__name__)
            self.texts.append(str(error))
            raise
        self.told.append("done")

    async def serve(self, request: aio.Request) -> None:
        if request.method == "CONNECT":
            await self.talk(await request.upgrade())
        elif request.path == "/read":
            await request.payload.read()
            await request.respond(200, [], b"hello")
        elif request.path == "/stream":
            await request.respond(200, [], self.body())
        elif request.path == "/big":
            await request.respond(200, [], BIG)
        elif request.path == "/hold":
            await self.go
            await request.payload.read()
            await request.respond(200, [], b"hello")
        else:
            if request.path == "/wait":
                await self.go
            await request.respond(200, [], b"hello")

    async def talk(self, tunnel: aio.Tunnel) -> None:
        """Read to the end, unless something else happens first."""
        async with tunnel:
            if self.end_ours.done():
                await tunnel.write_eof()
            reading = asyncio.ensure_future(self.read(tunnel))
            try:
                await asyncio.wait((reading, self.go), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
                await self.go
            finally:
                reading.cancel()

    async def read(self, tunnel: aio.Tunnel) -> None:
        while await tunnel.read(65_536):
            pass
        self.told.append("end")

    async def body(self) -> AsyncIterator[bytes]:
        yield b"begun"
        await self.go
        yield b"done."

    # -- a client's application ------------------------------------------------------------------

    def start(self, work: Work) -> None:
        task = self.loop.create_task(self.quietly(work))
        self.tasks.append(task)
        self.work = task

    async def quietly(self, work: Work) -> None:
        try:
            await self.noting(work)
        except (Exception, asyncio.CancelledError):
            pass

    async def get(self) -> None:
        assert isinstance(self.conn, aio.Client)
        async with await self.conn.request("GET", "/") as response:
            await response.payload.read()

    async def post(self) -> None:
        assert isinstance(self.conn, aio.Client)
        async with await self.conn.request("POST", "/", [], self.body()) as response:
            await response.payload.read()

    async def post_big(self) -> None:
        assert isinstance(self.conn, aio.Client)
        async with await self.conn.request("POST", "/", [], BIG) as response:
            await response.payload.read()

    async def hold(self) -> None:
        assert isinstance(self.conn, aio.Client)
        async with await self.conn.request("GET", "/") as response:
            await self.go
            await response.payload.read()

    async def use_tunnel(self) -> None:
        assert isinstance(self.conn, aio.Client)
        await self.talk(await self.conn.tunnel("a:1"))

    # -- what can be seen ------------------------------------------------------------------------

    def state(self) -> str:
        near = self.remote.near
        if not self.connected:
            return "unconnected"
        if near.lost:
            if near.sock.resets:
                return "reset"
            return "cut" if near.aborted else "closed"
        if self.remote.transport.is_closing():
            return "closing"
        return "half" if near.sent_eof else "open"

    def written(self) -> list[str]:
        """What has been written since this was asked last, in words."""
        data = bytes(self.remote.seen[self.at :])
        words: list[str] = []
        if self.http2:
            if self.at == 0 and data.startswith(f.PREFACE):
                data = data[len(f.PREFACE) :]
            for frame in f.parse_frames(data):
                if frame.type in (f.GOAWAY, f.RST_STREAM):
                    name = "GOAWAY" if frame.type == f.GOAWAY else "RST"
                    words.append(f"{name}({frame.code})")
                elif frame.type == f.HEADERS:
                    words.append("HEADERS")
        else:
            text = data.decode("latin-1")
            starts = re.finditer(r"^HTTP/1.1 (\d+)|^([A-Z]+) \S+ HTTP/1.1", text, re.M)
            words = [start[1] or start[2] for start in starts]
        self.at = len(self.remote.seen)
        return words

    def outcome(self, start: float = 0.0) -> str:
        """What has become of everything, in the words of the table. (`start`: if time has passed
        since, also after how many seconds FIN was sent, and the connection ended.)"""
        words = self.written()
        words.append(self.state())
        words += [WORDS.get(each, each) for each in self.told]
        self.told = []
        if self.loop.time() > start > 0.0:
            near = self.remote.near
            words += [f"half@{near.eof_at - start:g}"] * (near.eof_at > start)
            words += [f"end@{near.lost_at - start:g}"] * (near.lost_at > start)
        return " ".join(words)

    async def end(self) -> None:
        """Whatever has happened: the connection ends when it is told to, and leaves nothing."""
        await asyncio.sleep(LONG)
        self.conn.abort()
        await self.settle()
        for task in self.tasks:
            task.cancel()
        if isinstance(self.conn, aio.Server):
            self.conn.cancel_handlers()
        await self.settle()
        await self.loop.idle()
        if self.connected:
            await self.conn.wait_closed()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
