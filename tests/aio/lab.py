"""Tools for the tests of the asyncio layer: a loop, a server, a client, a scripted peer.

`Lab` runs a test's coroutine on one kind of event loop, and insists that it leaves nothing behind.
`Wire` is a protocol, in clear text or over TLS. Knows the public names only.
"""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cno import aio
from cno.limits import Limits
from cno.settings import SettingsDict
from tests import frames as f

T = TypeVar("T")
Headers = list[tuple[str, str]]
Handler = Callable[[aio.Request], Coroutine[Any, Any, None]]

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Wire:
    """A protocol and what is below it."""

    name: str
    http2: bool
    tls: bool

    def __str__(self) -> str:
        return self.name

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


HTTP1 = Wire("http1", False, False)
HTTP2 = Wire("http2", True, False)
HTTP1_TLS = Wire("http1-tls", False, True)
HTTP2_TLS = Wire("http2-tls", True, True)
WIRES = [HTTP1, HTTP2, HTTP1_TLS, HTTP2_TLS]


@dataclass
class Certificates:
    """A certificate for the loopback interface, and who vouches for it."""

    certfile: str
    keyfile: str
    cafile: str

    def server(self, *protocols: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certfile, self.keyfile)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cafile)


def place(server: aio.Listener | asyncio.Server, scheme: str = "http") -> str:
    """The URL of who listens here, without a path."""
    return f"{scheme}://{HOST}:{server.sockets[0].getsockname()[1]}"


class Lab:
    """One kind of event loop. `failures` are what its exception handler was told."""

    def __init__(
        self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None, certs: Certificates
    ) -> None:
        self.loop_factory = loop_factory
        self.certs = certs
        self.failures: list[dict[str, Any]] = []

    def run(self, coro: Coroutine[Any, Any, T], failures: int = 0) -> T:
        """Run a test. `failures` is how often it makes the loop's exception handler be called."""
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: self.failures.append(context))
            try:
                result = runner.run(self._checked(coro))
            except BaseException as error:
                for failure in self.failures:
                    error.add_note(f"the loop was told: {failure!r}")
                raise
        gc.collect()
        gc.freeze()  # what tests leave behind: those that follow need not look at it again
        assert len(self.failures) == failures, self.failures
        return result

    async def _checked(self, coro: Coroutine[Any, Any, T]) -> T:
        result = await asyncio.wait_for(coro, 30)
        await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    @asynccontextmanager
    async def serving(
        self,
        wire: Wire,
        handler: Handler,
        *,
        limits: Limits | None = None,
        settings: SettingsDict | None = None,
    ) -> AsyncIterator[str]:
        """A server; gives the URL it is at, without a path."""
        if wire.tls and not wire.http2:
            # By the protocol itself: `serve` offers both.
            loop = asyncio.get_running_loop()
            context = self.certs.server("http/1.1")
            servers: list[aio.Server] = []

            def made() -> aio.Server:
                servers.append(aio.Server(loop, handler, limits=limits, settings=settings))
                return servers[-1]

            server = await loop.create_server(made, HOST, 0, ssl=context)
            try:
                yield place(server, "https")
            finally:
                server.close()
                for each in servers:
                    each.close()
                    await each.wait_closed()
                await server.wait_closed()
            return
        files = {"certfile": self.certs.certfile, "keyfile": self.certs.keyfile} if wire.tls else {}
        async with aio.serve(  # type: ignore[call-overload]  # of the mapping's values
            handler,
            HOST,
            0,
            limits=limits,
            settings=settings,
            **files,
        ) as listener:
            yield place(listener, wire.scheme)

    async def connect(self, wire: Wire, url: str, **arguments: Any) -> aio.Client:
        """A client that talks this way."""
        if wire.tls:
            client = await aio.connect(url, self.certs.client(), **arguments)
        else:
            client = await aio.connect(url, force_http2=wire.http2, **arguments)
        assert client.is_http2 == wire.http2
        return client

    @asynccontextmanager
    async def pair(
        self,
        wire: Wire,
        handler: Handler,
        *,
        limits: Limits | None = None,
        client_limits: Limits | None = None,
    ) -> AsyncIterator[aio.Client]:
        """A server, and a client that is connected to it."""
        async with self.serving(wire, handler, limits=limits) as url:
            async with await self.connect(wire, url, limits=client_limits) as client:
                yield client


async def hello(request: aio.Request) -> None:
    """A handler."""
    await request.respond(200, [], b"hello")


async def settle(turns: int = 5) -> None:
    """Let what is due happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def skip(reader: asyncio.StreamReader) -> int:
    """Read to the end; how much that was."""
    total = 0
    while data := await reader.read(65536):
        total += len(data)
    return total


async def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until something has become true."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{what} never happened")


class Transport(asyncio.Transport):
    """Knows whether it is paused, and drops what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def write(self, data: Any) -> None: ...

    def writelines(self, list_of_data: Any) -> None: ...

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Peer:
    """The other end of a connection, by hand: bytes, and with `pen` frames of HTTP/2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.pen = f.FrameFactory()
        self.seen: list[f.Frame] = []

    @classmethod
    async def connect(cls, url: str) -> "Peer":
        port = int(url.rpartition(":")[2])
        return cls(*await asyncio.open_connection(HOST, port))

    @classmethod
    async def connect_http2(cls, url: str, settings: Mapping[int, int] | None = None) -> "Peer":
        """A client after the handshake."""
        peer = await cls.connect(url)
        peer.send(f.PREFACE + peer.pen.settings(settings or {}))
        await peer.expect(f.SETTINGS)
        peer.send(peer.pen.settings(ack=True))
        return peer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> f.Frame:
        """The next frame."""
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        stream = int.from_bytes(head[5:], "big") & f.MAX_ID
        got = f.Frame(head[3], head[4], stream, payload)
        self.seen.append(got)
        if got.type == f.SETTINGS and not got.flags & f.ACK:
            self.send(self.pen.settings(ack=True))
        return got

    async def expect(self, kind: int, stream: int | None = None) -> f.Frame:
        """The next frame of this type (and on this stream), those before it passed over."""
        while True:
            got = await self.frame()
            if got.type == kind and stream in (None, got.stream):
                return got

    async def rest(self) -> list[f.Frame]:
        """All frames until the connection is closed."""
        got: list[f.Frame] = []
        try:
            while True:
                got.append(await self.frame())
        except (asyncio.IncompleteReadError, ConnectionError):
            return got

    async def head(self) -> bytes:
        """A head of HTTP/1.1, up to its empty line."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def __aenter__(self) -> "Peer":
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@asynccontextmanager
async def by_hand(
    script: Callable[[Peer], Coroutine[Any, Any, None]],
) -> AsyncIterator[str]:
    """A server that plays a script on each connection; gives its URL. What the script raises comes
    out here."""
    problems: list[BaseException] = []
    running: set[asyncio.Task[Any]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            async with Peer(reader, writer) as peer:
                await script(peer)
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass
        except BaseException as error:
            problems.append(error)
        finally:
            running.discard(task)

    server = await asyncio.start_server(play, HOST, 0)
    try:
        yield place(server)
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        if running:
            await asyncio.wait(list(running), timeout=5)
        await server.wait_closed()
    if problems:
        raise problems[0]


async def greet(peer: Peer, settings: Mapping[int, int] | None = None) -> None:
    """A server's part of the handshake of HTTP/2."""
    assert await peer.reader.readexactly(len(f.PREFACE)) == f.PREFACE
    peer.send(peer.pen.settings(settings or {}))
    await peer.expect(f.SETTINGS)
