"""Servers: how they end, what they wait for and for how long, what they leave behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from cno import aio
from cno.errors import ConnectionError as CnoConnectionError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP2,
    HTTP2_TLS,
    Lab,
    Peer,
    Wire,
    hello,
    place,
    settle,
    skip,
    until,
)


async def closed_within(peer: Peer, least: float, most: float) -> list[f.Frame]:
    """The frames until the connection is closed, which must take so many seconds."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    seen = await asyncio.wait_for(peer.rest(), most + 2)
    assert least <= loop.time() - start <= most
    return seen


# -- ending ----------------------------------------------------------------------------------------


def test_serve_forever_until_cancelled(lab: Lab) -> None:
    async def main() -> None:
        listener = aio.serve(hello, HOST, 0)
        serving = asyncio.ensure_future(listener.serve_forever())
        await until(lambda: listener.sockets, "the start")
        response = await aio.request("GET", place(listener))
        assert await response.payload.read() == b"hello"
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert listener.connections == 0

    lab.run(main())


# What a Listener serves to our clients: both protocols, of which they choose HTTP/2 over TLS.
LISTENED = pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)


@LISTENED
def test_close_lets_requests_finish(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        begun = asyncio.Event()
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            begun.set()
            await go_on.wait()
            await request.respond(200, [], b"finished")

        certs = lab.certs
        arguments = {"certfile": certs.certfile, "keyfile": certs.keyfile} if wire.tls else {}
        listener = await aio.serve(handle, HOST, 0, **arguments)  # type: ignore[call-overload]  # of the mapping's values
        url = place(listener).replace("http", wire.scheme)
        client = await lab.connect(wire, url)
        asked = asyncio.ensure_future(client.request("GET", "/"))
        await begun.wait()
        listener.close()
        closing = asyncio.ensure_future(listener.wait_closed())
        await asyncio.sleep(0.02)
        assert not closing.done()
        with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
            await aio.connect(url)
        # HTTP/2: it has been told; HTTP/1.1: it waits in line until the connection ends.
        asyncio.get_running_loop().call_later(0.02, go_on.set)
        with pytest.raises(aio.ConnectionLostError):
            await client.request("GET", "/")
        response = await asked
        assert await response.payload.read() == b"finished"
        if not wire.http2:
            assert ("connection", "close") not in response.headers
        await client.wait_closed()
        await closing

    lab.run(main())


@LISTENED
def test_what_is_not_done_in_time_is_cut_off(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                if request.path == "/after":
                    await request.respond(200)
                await asyncio.sleep(60)
            finally:
                ends.append(request.path)

        limits = Limits(shutdown_timeout=0.2)
        async with lab.serving(wire, handle, limits=limits) as url:
            client = await lab.connect(wire, url)
            assert (await client.request("GET", "/after")).code == 200
            asked = asyncio.ensure_future(client.request("GET", "/before"))
            await asyncio.sleep(0.05)
        assert sorted(ends) == ["/after", "/before"]
        with pytest.raises(CnoConnectionError):
            await asked

    lab.run(main())


@LISTENED
def test_close_in_a_hurry(lab: Lab, wire: Wire) -> None:
    """`close(timeout)` bounds it further; what is done by then is done well."""

    async def main() -> None:
        ends: list[str] = []

        async def handle(request: aio.Request) -> None:
            try:
                await asyncio.sleep(60 if request.path == "/slow" else 0.1)
                await request.respond(200, [], b"done")
            finally:
                ends.append(request.path)

        certs = lab.certs
        arguments = {"certfile": certs.certfile, "keyfile": certs.keyfile} if wire.tls else {}
        listener = await aio.serve(handle, HOST, 0, **arguments)  # type: ignore[call-overload]  # of the mapping's values
        url = place(listener).replace("http", wire.scheme)
        clients = [await lab.connect(wire, url) for _ in range(2)]
        paths = ("/quick", "/slow")
        asked = [
            asyncio.ensure_future(client.request("GET", path))
            for client, path in zip(clients, paths, strict=True)
        ]
        await asyncio.sleep(0.05)
        listener.close()
        listener.close(0.3)
        listener.close(20)
        await asyncio.wait_for(listener.wait_closed(), 5)
        assert sorted(ends) == ["/quick", "/slow"]
        assert await (await asked[0]).payload.read() == b"done"
        with pytest.raises(CnoConnectionError):
            await asked[1]
        for client in clients:
            await client.wait_closed()

    lab.run(main())


def test_idle_connections_are_closed_at_once(lab: Lab) -> None:
    async def main() -> None:
        listener = await aio.serve(hello, HOST, 0)
        url = place(listener)
        clients = [await lab.connect(wire, url) for wire in (HTTP1, HTTP2)]
        for client in clients:
            await (await client.request("GET", "/")).payload.read()
        assert listener.connections == 2
        listener.close()
        await asyncio.wait_for(listener.wait_closed(), 1)
        for client in clients:
            await client.wait_closed()

    lab.run(main())


def test_shutdown_of_one_connection(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            request.conn.shutdown()
            await request.respond(200, [], b"the last")

        async with lab.serving(HTTP2, handle) as url:
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                warning = await peer.expect(f.GOAWAY)
                assert (warning.last, warning.code) == (f.MAX_ID, f.NO_ERROR)
                while True:
                    got = await peer.frame()
                    if got.type == f.PING:
                        peer.send(peer.pen.ping(got.payload, ack=True))
                    if got.type == f.GOAWAY:
                        assert (got.last, got.code) == (1, f.NO_ERROR)
                        break
                await peer.rest()
            client = await lab.connect(HTTP1, url)
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"the last"
            await client.wait_closed()

    lab.run(main())


# -- timers ----------------------------------------------------------------------------------------


def test_peers_that_do_not_begin(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=0.2)
        async with lab.serving(HTTP1, hello, limits=limits) as url:
            for start in (b"", b"GET / HT", f.PREFACE[:20], f.PREFACE):
                async with await Peer.connect(url) as peer:
                    peer.send(start)
                    begin = asyncio.get_running_loop().time()
                    await peer.reader.read()
                    assert 0.15 <= asyncio.get_running_loop().time() - begin <= 0.5
            async with await Peer.connect_http2(url) as peer:
                await asyncio.sleep(0.4)
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                await peer.expect(f.HEADERS, 1)

    lab.run(main())


def test_peers_that_do_not_begin_tls(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=0.2)
        async with lab.serving(HTTP2_TLS, hello, limits=limits) as url:
            for start in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
                async with await Peer.connect(url) as peer:
                    peer.send(start)
                    assert await asyncio.wait_for(peer.reader.read(), 5) == b""

    lab.run(main())


def test_peers_that_do_not_acknowledge_settings(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(settings_timeout=0.2)
        async with lab.serving(HTTP1, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                peer.send(f.PREFACE + frame_of_settings())
                head = await peer.reader.readexactly(9)
                await peer.reader.readexactly(int.from_bytes(head[:3], "big"))
                last = (await closed_within(peer, 0.15, 0.6))[-1]
                assert (last.type, last.code) == (f.GOAWAY, f.SETTINGS_TIMEOUT)

    lab.run(main())


def frame_of_settings() -> bytes:
    return f.frame(f.SETTINGS)


def test_idle_connections_end(lab: Lab) -> None:
    async def main() -> None:
        limits = Limits(keepalive_timeout=0.2)
        async with lab.serving(HTTP1, hello, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                for _ in range(4):
                    await asyncio.sleep(0.12)
                    peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    assert (await peer.head()).startswith(b"HTTP/1.1 200")
                    assert await peer.reader.readexactly(5) == b"hello"
                # Half a request does not count.
                peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n")
                await closed_within(peer, 0.1, 0.6)
            async with await Peer.connect_http2(url) as peer:
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                await peer.expect(f.DATA, 1)
                away = await peer.expect(f.GOAWAY)
                assert (away.last, away.code) == (f.MAX_ID, f.NO_ERROR)
                ping = await peer.expect(f.PING)
                peer.send(peer.pen.ping(ping.payload, ack=True))
                last = (await peer.rest())[-1]
                assert (last.type, last.last, last.code) == (f.GOAWAY, 1, f.NO_ERROR)

    lab.run(main())


def test_connections_with_work_are_not_idle(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def slow(request: aio.Request) -> None:
            await asyncio.sleep(0.5)
            await request.respond(200, [], b"slow")

        limits = Limits(keepalive_timeout=0.1)
        async with lab.pair(wire, slow, limits=limits) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"slow"

    lab.run(main())


def test_client_waits_for_a_server_that_does_not_begin(lab: Lab) -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, HOST, 0)
        url = place(server)
        limits = Limits(handshake_timeout=0.2)
        async with await lab.connect(HTTP2, url, limits=limits) as client:
            with pytest.raises(aio.ConnectionLostError):
                await asyncio.wait_for(client.request("GET", "/"), 1)
        server.close()
        await server.wait_closed()

    lab.run(main())


# -- bounds ----------------------------------------------------------------------------------------


def test_handlers_of_streams_that_are_gone_are_bounded(lab: Lab) -> None:
    """Rapid resets: each makes room for a stream, but not for another handler."""

    async def main() -> None:
        running = 0
        most = 0

        async def stubborn(request: aio.Request) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.3)
            running -= 1

        limits = Limits(max_concurrent_streams=10, max_pending_handlers=40)
        async with lab.serving(HTTP2, stubborn, limits=limits) as url:
            async with await Peer.connect_http2(url) as peer:
                for n in range(60):
                    stream = 2 * n + 1
                    peer.send(peer.pen.headers(stream, f.POST))
                    await asyncio.sleep(0.001)
                    peer.send(peer.pen.rst(stream))
                away = [each for each in await peer.rest() if each.type == f.GOAWAY]
                assert away[-1].code == f.ENHANCE_YOUR_CALM
            assert most == 40
            await until(lambda: running == 0, "the end of the handlers")

    lab.run(main())


def test_pipelined_requests_are_bounded(lab: Lab) -> None:
    async def main() -> None:
        begun: list[str] = []
        go_on = asyncio.Event()

        async def handle(request: aio.Request) -> None:
            begun.append(request.path)
            await go_on.wait()
            await request.respond(200, [], request.path.encode())

        limits = Limits(max_pipelined=4)
        async with lab.serving(HTTP1, handle, limits=limits) as url:
            async with await Peer.connect(url) as peer:
                paths = [f"/{n:02}" for n in range(30)]
                for path in paths:
                    peer.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                await asyncio.sleep(0.05)
                assert begun == paths[:4]
                go_on.set()
                for path in paths:
                    assert b"content-length: 3\r\n" in await peer.head()
                    assert await peer.reader.readexactly(3) == path.encode()

    lab.run(main())


# -- nothing is left behind ------------------------------------------------------------------------


class Canary:
    """Lives as long as the connection it sits on (weak references to compiled objects: no)."""

    @staticmethod
    def on(conn: object) -> "weakref.ref[Canary]":
        canary = Canary()
        setattr(conn, "canary", canary)  # noqa: B010  # no checker knows of it
        return weakref.ref(canary)


@pytest.mark.parametrize("how", ["client", "server", "abort", "cancelled", "nonsense"])
def test_closed_connections_are_freed_at_once(lab: Lab, wire: Wire, how: str) -> None:
    async def main() -> None:
        kept: list[weakref.ref[Canary]] = []

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100
                await asyncio.sleep(0.001)

        async def handle(request: aio.Request) -> None:
            kept.append(Canary.on(request.conn))
            if request.path == "/slow":
                await request.respond(200, [], endless())
            await request.payload.read()
            await request.respond(200, [], b"hello")

        gc.collect()
        gc.disable()
        try:
            async with lab.serving(wire, handle) as url:
                await talk(lab, wire, url, how, kept)
                if how == "server":
                    await until(lambda: kept, "a request")
            await until(lambda: all(ref() is None for ref in kept), f"freeing of {kept}")
            assert len(kept) >= 2
        finally:
            gc.enable()

    lab.run(main())


async def talk(lab: Lab, wire: Wire, url: str, how: str, kept: list[weakref.ref[Canary]]) -> None:
    """A client's life, and one of these ends."""
    client = await lab.connect(wire, url)
    kept.append(Canary.on(client))
    response = await client.request("POST", "/", [], b"data")
    assert await response.payload.read() == b"hello"
    response = await client.request("GET", "/slow")
    await response.payload.read(1)
    if how == "cancelled":
        response.cancel()
        with pytest.raises(CnoConnectionError):
            await skip(response.payload)
    elif how == "abort":
        client.abort()
    elif how == "nonsense":
        client.transport.write(b"\0" * 100)
        await asyncio.sleep(0.05)
    if how != "server":
        client.close()
        await client.wait_closed()
    else:
        response.cancel()
        client.close()


def test_no_timer_is_left(lab: Lab) -> None:
    """The loop can end at once when the connections are closed."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with lab.pair(HTTP2, hello) as client:
            await (await client.request("GET", "/")).payload.read()
        await settle()
        scheduled = getattr(loop, "_scheduled", None)
        if scheduled is not None:  # asyncio's own loop
            ours = [each for each in scheduled if not each.cancelled() and "cno" in repr(each)]
            assert ours == []

    lab.run(main())


def test_subclasses_of_users(lab: Lab) -> None:
    """Interpreted ones, which see events as well."""

    async def main() -> None:
        seen: list[str] = []

        class MyServer(aio.Server):
            def on_stream_start(self, stream: int) -> None:
                seen.append(f"server {stream}")

        class MyClient(aio.Client):
            extra = "attribute"

            def on_stream_end(self, stream: int, code: int, side: int) -> None:
                seen.append(f"client {stream} {code}")
                super().on_stream_end(stream, code, side)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: MyServer(hello), HOST, 0)
        port = server.sockets[0].getsockname()[1]
        _, client = await loop.create_connection(
            lambda: MyClient("cno.test", "http", force_http2=True), HOST, port
        )
        client.extra = "own"
        response = await client.request("GET", "/")
        assert await response.payload.read() == b"hello"
        assert seen == ["server 1", "client 1 0"]
        client.close()
        await client.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.02)

    lab.run(main())


def test_events_that_raise_are_reported(lab: Lab) -> None:
    async def main() -> None:
        class Broken(aio.Server):
            def on_stream_start(self, stream: int) -> None:
                raise ValueError("on purpose")

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Broken(hello), HOST, 0)
        url = place(server)
        async with await lab.connect(HTTP2, url) as client:
            with pytest.raises(aio.ConnectionLostError):
                await client.request("GET", "/")
        server.close()
        await server.wait_closed()

    lab.run(main(), failures=1)
    assert repr(lab.failures[0]["exception"]) == "ValueError('on purpose')"


def test_http2_over_tls_end_to_end(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2_TLS, hello) as client:
            responses = await asyncio.gather(*(client.request("GET", "/") for _ in range(300)))
            for response in responses:
                assert await response.payload.read() == b"hello"

    lab.run(main())


def test_several_can_wait_for_the_end(lab: Lab) -> None:
    async def main() -> None:
        listener = await aio.serve(hello, HOST, 0)
        client = await lab.connect(HTTP2, place(listener))
        assert (await client.request("GET", "/")).code == 200
        listener.close()
        await asyncio.gather(listener.wait_closed(), listener.wait_closed(), client.wait_closed())

    lab.run(main())
