"""Servers that restart under a pool carrying load: every request is answered once, or fails with an
error that says whether it may have been processed."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Peer, Wire, place, until

WORKERS = 20
ROUNDS = 6


class Site:
    """A server that can be stopped, one way or another, and started again. Its port stays open."""

    def __init__(self, lab: Lab, wire: Wire) -> None:
        self.processed: Counter[str] = Counter()
        self._sock = socket.create_server((HOST, 0), backlog=1000)
        self.url = f"{wire.scheme}://{HOST}:{self._sock.getsockname()[1]}"
        self._files = (lab.certs.certfile, lab.certs.keyfile) if wire.tls else (None, None)
        self._conns: set[aio.Server] = set()
        self._listener: aio.Listener | None = None
        self._leaving: list[aio.Listener] = []

    async def handle(self, request: aio.Request) -> None:
        assert isinstance(request.conn, aio.Server)
        self._conns.add(request.conn)
        # From here on it counts as processed, whatever the client learns of it.
        self.processed[request.path] += 1
        if request.path.endswith("3"):
            await asyncio.sleep(0.003)
        body = await request.payload.read()
        await request.respond(200, [("x-path", request.path)], body)

    async def start(self) -> None:
        certfile, keyfile = self._files
        self._listener = await aio.serve(
            self.handle, sock=self._sock.dup(), certfile=certfile, keyfile=keyfile, backlog=1000,
            limits=Limits(max_concurrent_streams=50),
        )  # fmt: skip

    async def stop(self, kindly: bool) -> None:
        assert self._listener is not None
        listener, self._listener = self._listener, None
        listener.close()
        self._leaving.append(listener)
        if not kindly:
            for conn in self._conns:
                conn.transport.abort()
            self._conns.clear()

    async def end(self) -> None:
        self._conns.clear()
        self._sock.close()
        if self._listener is not None:
            await self.stop(True)
        for listener in self._leaving:
            await listener.wait_closed()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data[:1]
    await asyncio.sleep(0)
    yield data[1:]


class Load:
    """Workers that ask all the time, and judge what they get."""

    def __init__(self, site: Site, pool: aio.Pool) -> None:
        self.site = site
        self.pool = pool
        self.stopping = False
        self.answered = 0
        self.safe = 0
        self.unsure = 0

    async def work(self, name: int) -> None:
        number = 0
        while not self.stopping:
            number += 1
            path = f"/{name}/{number}"
            data = path.encode()
            try:
                body = pieces(data) if number % 5 == 0 else data
                async with await self.pool.request("POST", self.site.url + path, [], body) as got:
                    assert got.code == 200
                    assert await got.payload.read() == data
            except (aio.ConnectError, aio.ConnectionLostError, aio.StreamError) as error:
                if error.retryable:
                    self.safe += 1
                    assert self.site.processed[path] == 0, f"{path} was processed: {error}"
                else:
                    self.unsure += 1
                    assert self.site.processed[path] <= 1
                await asyncio.sleep(0.001)
            else:
                self.answered += 1
                assert self.site.processed[path] == 1


async def endure(site: Site, pool: aio.Pool, kindly: bool) -> Load:
    load = Load(site, pool)
    await site.start()
    working = [asyncio.ensure_future(load.work(n)) for n in range(WORKERS)]
    for _ in range(ROUNDS):
        before = load.answered
        while load.answered < before + 40:
            await asyncio.sleep(0.001)
            for each in working:
                assert not each.done(), each
        await site.stop(kindly)
        if not kindly:
            await asyncio.sleep(0.005)
        await site.start()
    load.stopping = True
    await asyncio.gather(*working)
    return load


@pytest.mark.parametrize("kindly", [True, False], ids=["kindly", "abruptly"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_restarts(lab: Lab, wire: Wire, kindly: bool) -> None:
    async def main() -> None:
        site = Site(lab, wire)
        context = lab.certs.client() if wire.tls else None
        async with aio.Pool(context, force_http2=wire.http2 and not wire.tls) as pool:
            load = await endure(site, pool, kindly)
        await site.end()
        assert load.answered >= 40 * ROUNDS
        assert max(site.processed.values()) == 1
        if kindly and wire.http2:
            # GOAWAY tells exactly, and there is always somebody at the port.
            assert (load.safe, load.unsure) == (0, 0)

    lab.run(main())


# -- connections that have only just begun ---------------------------------------------------------

ASKED1 = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def asked2(peer: Peer) -> bytes:
    return f.PREFACE + peer.pen.settings({}) + peer.pen.headers(1, f.REQUEST, end_stream=True)


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], b"heard")


@asynccontextmanager
async def unheard() -> AsyncIterator[tuple[aio.Listener, Peer]]:
    """A connection that was accepted, and has said nothing yet."""
    listener = await aio.serve(answer, HOST, 0)
    async with await Peer.connect(place(listener)) as peer:
        await until(lambda: listener.connections)
        yield listener, peer
    await asyncio.wait_for(listener.wait_closed(), 10)


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("turns", range(7))
def test_close_while_accepting(lab: Lab, turns: int, http2: bool) -> None:
    """Whoever accepts a connection, the old server or the new one, answers what it asks."""

    async def main() -> None:
        with socket.create_server((HOST, 0)) as sock:
            old = await aio.serve(answer, sock=sock.dup())
            with socket.create_connection(sock.getsockname()) as ours:
                ours.setblocking(False)
                peer = Peer(*await asyncio.open_connection(sock=ours.dup()))
                peer.send(asked2(peer) if http2 else ASKED1)
                for _ in range(turns):
                    await asyncio.sleep(0)
                old.close()
                async with peer, await aio.serve(answer, sock=sock.dup()):
                    if http2:
                        assert (await peer.expect(f.DATA)).payload == b"heard"
                    else:
                        assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                        assert await peer.reader.readexactly(5) == b"heard"
            await old.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_first_words_after_a_close(lab: Lab, http2: bool) -> None:
    async def main() -> None:
        async with unheard() as (listener, peer):
            listener.close()
            await asyncio.sleep(0.05)
            words = asked2(peer) if http2 else ASKED1
            peer.send(words[:20])
            await asyncio.sleep(0.05)
            peer.send(words[20:])
            if http2:
                warning = await peer.expect(f.GOAWAY)
                assert (warning.last, warning.code) == (f.MAX_ID, f.NO_ERROR)
                assert (await peer.expect(f.DATA)).payload == b"heard"
            else:
                assert b"\r\nconnection: close\r\n" in await peer.head()
                assert await peer.reader.read() == b"heard"

    lab.run(main())


@pytest.mark.parametrize("words", [b"", b"PRI * HTTP", b"GET / HTT"], ids=["none", "h2", "h1"])
def test_who_never_gets_round_to_it_is_closed(lab: Lab, words: bytes) -> None:
    async def main() -> None:
        async with unheard() as (listener, peer):
            peer.send(words)
            await asyncio.sleep(0.02)
            listener.close()
            assert await asyncio.wait_for(peer.reader.read(), 10) == b""

    lab.run(main())
