"""Context variables of one request are never seen by another, nor by what serves all of them.

A callback runs in the context of whoever registered it. A connection's callbacks, readers and
timers serve all requests: each must run in the connection's own context, whoever causes them.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, cast

import pytest

import cno
from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Peer, Wire, skip, until

#: Whose context this is: set by handlers, and by who makes requests.
WHO: ContextVar[str] = ContextVar("who", default="nobody")

PLAIN = [HTTP1, HTTP2]
WIRES = [HTTP1, HTTP2, HTTP1_TLS, HTTP2_TLS]


class Seen:
    """What events that run in no task have found in their context."""

    def __init__(self) -> None:
        self.events: dict[str, set[str]] = {}

    def note(self, event: str) -> None:
        if asyncio.current_task() is None:
            self.events.setdefault(event, set()).add(WHO.get())

    def whose(self) -> set[str]:
        return set().union(*self.events.values())


def watched(base: Any, seen: Seen) -> Any:
    """A class of connections whose events are noted."""

    class Watched(base):  # type: ignore[misc]  # either of the two
        def data_received(self, data: bytes) -> None:
            seen.note("data_received")
            super().data_received(data)

        def on_message_head(self, *told: Any) -> None:
            seen.note("on_message_head")
            super().on_message_head(*told)

        def on_message_tail(self, *told: Any) -> None:
            seen.note("on_message_tail")
            super().on_message_tail(*told)

        def on_stream_end(self, *told: Any) -> None:
            seen.note("on_stream_end")
            super().on_stream_end(*told)

        def on_writev(self, *told: Any) -> None:
            seen.note("on_writev")
            super().on_writev(*told)

        def on_close(self) -> None:
            seen.note("on_close")
            super().on_close()

        def abort(self) -> None:
            seen.note("abort")
            super().abort()

        def write_reset(self, *told: Any) -> None:
            seen.note("write_reset")
            super().write_reset(*told)

    return Watched


@asynccontextmanager
async def watching(
    lab: Lab,
    wire: Wire,
    handler: Callable[[aio.Request], Coroutine[Any, Any, None]],
    limits: Limits | None = None,
) -> AsyncIterator[tuple[str, Seen]]:
    """A server whose events are watched."""
    seen = Seen()
    loop = asyncio.get_running_loop()
    made: list[aio.Server] = []
    kind = watched(aio.Server, seen)

    def factory() -> aio.Server:
        made.append(kind(handler, limits=limits))
        return made[-1]

    context = lab.certs.server("h2" if wire.http2 else "http/1.1") if wire.tls else None
    server = await loop.create_server(factory, HOST, 0, ssl=context)
    try:
        yield f"{wire.scheme}://{HOST}:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        for each in made:
            each.close()
            await each.wait_closed()
        await server.wait_closed()
        assert seen.whose() <= {"nobody"}, seen.events


async def read_late(request: aio.Request) -> None:
    """Let reading pause, and resume it from this task."""
    found = WHO.get()
    WHO.set(request.path)
    await asyncio.sleep(0.02)
    await skip(request.payload)
    await request.respond(200, [], found.encode())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_reading_that_a_handler_resumes(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with watching(lab, wire, read_late) as (url, _):
            async with await lab.connect(wire, url) as client:
                for size in (2_000_000, 0, 2_000_000, 10):
                    response = await client.request("POST", f"/{size}", [], bytes(size))
                    assert await response.payload.read() == b"nobody"

    lab.run(main())


def test_requests_that_wait_behind_others(lab: Lab) -> None:
    """Those that wait for a response, those behind an upgrade that is declined, and half-closes."""

    async def main() -> None:
        found: list[str] = []

        async def handle(request: aio.Request) -> None:
            found.append(WHO.get())
            WHO.set(request.path)
            await asyncio.sleep(0.01)
            await request.respond(200)

        limits = Limits(max_pipelined=2)
        async with (
            watching(lab, HTTP1, handle, limits) as (url, _),
            await Peer.connect(url) as peer,
        ):
            upgrade = b"GET /up HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
            peer.send(upgrade + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 9)
            for _ in range(5):
                await peer.head()
            peer.writer.write_eof()
            for _ in range(5):
                await peer.head()
            assert await peer.reader.read() == b""
        assert found == ["nobody"] * 10

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_writing_that_the_transport_resumes(lab: Lab, wire: Wire) -> None:
    """A handler fills the transport; what its drain makes possible serves others as well."""

    async def main() -> None:
        found: list[str] = []

        async def handle(request: aio.Request) -> None:
            found.append(WHO.get())
            WHO.set(request.path)
            await asyncio.sleep(0)
            await request.respond(200, [], bytes(6_000_000))

        limits = Limits(max_pipelined=1)
        async with watching(lab, wire, handle, limits) as (url, _):
            async with await lab.connect(wire, url) as client:
                for number in range(3):
                    response = await client.request("GET", f"/{number}")
                    await asyncio.sleep(0.05)
                    assert await skip(response.payload) == 6_000_000
        assert found == ["nobody"] * 3

    lab.run(main())


def test_pipelined_requests_behind_a_full_transport(lab: Lab) -> None:
    async def main() -> None:
        found: list[str] = []

        async def handle(request: aio.Request) -> None:
            found.append(WHO.get())
            WHO.set(request.path)
            await asyncio.sleep(0)
            await request.respond(200, [("content-length", "6000000")], bytes(6_000_000))

        limits = Limits(max_pipelined=1)
        async with (
            watching(lab, HTTP1, handle, limits) as (url, _),
            await Peer.connect(url) as peer,
        ):
            peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
            await asyncio.sleep(0.1)
            for _ in range(3):
                await peer.head()
                assert len(await peer.reader.readexactly(6_000_000)) == 6_000_000
        assert found == ["nobody"] * 3

    lab.run(main())


@pytest.mark.parametrize("wire", PLAIN, ids=str)
def test_timers_that_a_handler_causes(lab: Lab, wire: Wire) -> None:
    """Of a body that does not come, of one that nobody reads, and of the end that follows."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            WHO.set(request.path)
            await asyncio.sleep(0)
            if request.path == "/read":
                with pytest.raises(aio.StreamError):
                    await request.payload.read()
            else:
                await request.respond(200)

        limits = Limits(body_timeout=0.05, linger_timeout=0.05, keepalive_timeout=0.2)
        async with watching(lab, wire, handle, limits) as (url, seen):
            for path in ("/read", "/leave"):
                if wire.http2:
                    async with await Peer.connect_http2(url) as peer:
                        peer.send(peer.pen.headers(1, [*f.POST[:3], (":path", path)]))
                        await peer.expect(f.RST_STREAM, 1)
                        await peer.rest()
                else:
                    async with await Peer.connect(url) as peer:
                        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"
                        peer.send(head.encode())
                        await peer.reader.read()
            assert seen.events["on_stream_end"] == {"nobody"}

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_the_end_that_a_handler_causes(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        ends: list[str] = []

        class Ends(aio.Server):
            def on_stream_end(self, *told: Any) -> None:
                if asyncio.current_task() is None:
                    ends.append(WHO.get())
                super().on_stream_end(*told)

        async def handle(request: aio.Request) -> None:
            WHO.set(request.path)
            await asyncio.sleep(0)
            request.conn.transport.abort()
            await asyncio.sleep(10)

        loop = asyncio.get_running_loop()
        context = lab.certs.server("h2" if wire.http2 else "http/1.1") if wire.tls else None
        server = await loop.create_server(lambda: Ends(handle), HOST, 0, ssl=context)
        url = f"{wire.scheme}://{HOST}:{server.sockets[0].getsockname()[1]}"
        async with await lab.connect(wire, url) as client:
            with pytest.raises(aio.ConnectionLostError):
                await client.request("GET", "/")
        await until(lambda: ends == ["nobody"], "the end in a context of its own")
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_shutdown_that_a_handler_begins(lab: Lab) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            WHO.set(request.path)
            await asyncio.sleep(0)
            assert isinstance(request.conn, aio.Server)
            request.conn.drain(0.05)
            await asyncio.sleep(10)

        for wire in PLAIN:
            async with watching(lab, wire, handle) as (url, seen):
                async with await lab.connect(wire, url) as client:
                    with pytest.raises((aio.ConnectionLostError, aio.StreamError)):
                        await client.request("GET", "/")
                assert seen.events["abort"] == {"nobody"}

    lab.run(main())


def test_pushes_know_nothing_of_who_made_them(lab: Lab) -> None:
    async def main() -> None:
        found: dict[str, str] = {}

        async def handle(request: aio.Request) -> None:
            found[request.path] = WHO.get()
            WHO.set(request.path)
            await asyncio.sleep(0)
            if request.path == "/":
                request.push("GET", "/pushed")
            await request.respond(200)

        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            async for push in response.pushed:
                await (await push.response).payload.read()
        assert found == {"/": "nobody", "/pushed": "nobody"}

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_a_client_has_its_own_as_well(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            size = await skip(request.payload)
            await request.respond(200, [], bytes(max(size, 3_000_000)))

        async def ask(client: aio.Client, size: int) -> None:
            WHO.set("request")
            async with await client.request("POST", "/", [], bytes(size)) as response:
                await asyncio.sleep(0.02)
                assert await skip(response.payload) >= 3_000_000

        seen = Seen()
        kind = watched(aio.Client, seen)
        loop = asyncio.get_running_loop()
        async with lab.serving(wire, handle) as url:
            port = int(url.rpartition(":")[2])
            context = lab.certs.client() if wire.tls else None
            if context is not None:
                context.set_alpn_protocols(["h2", "http/1.1"])
            _, client = await loop.create_connection(
                lambda: kind(f"{HOST}:{port}", wire.scheme, force_http2=wire.http2),
                HOST,
                port,
                ssl=context,
            )
            for size in (6_000_000, 0):
                await asyncio.create_task(ask(client, size))

            async def leave() -> None:
                WHO.set("request")
                client.close()
                await client.wait_closed()

            await asyncio.create_task(leave())
        assert seen.whose() == {"nobody"}, seen.events

    lab.run(main())


@pytest.mark.parametrize("wire", PLAIN, ids=str)
def test_connections_of_a_pool_are_nobodys(lab: Lab, wire: Wire) -> None:
    """Made because of one request, used by all: not in the context of the first."""

    async def main() -> None:
        made: set[str] = set()
        loop = asyncio.get_running_loop()

        def factory(
            loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any
        ) -> "asyncio.Task[Any]":
            made.add(WHO.get())
            return asyncio.Task(coro, loop=loop, **more)

        async def handle(request: aio.Request) -> None:
            await request.respond(200)

        async with lab.serving(wire, handle) as url:
            async with aio.Pool(force_http2=wire.http2) as pool:

                async def ask() -> None:
                    WHO.set("request")
                    async with await pool.request("GET", f"{url}/") as response:
                        await response.payload.read()

                asking = asyncio.create_task(ask())
                usual = loop.get_task_factory()
                loop.set_task_factory(cast(Any, factory))
                await asking
                loop.set_task_factory(usual)
        assert made == {"nobody"}

    lab.run(main())


def test_no_context_is_kept_for_long(lab: Lab) -> None:
    """What a request's context holds is freed with its task, though the connection lives on."""

    async def main() -> None:
        class Heavy(str):
            pass

        def alive() -> int:
            gc.collect()
            return sum(type(each) is Heavy for each in gc.get_objects())

        async def handle(request: aio.Request) -> None:
            WHO.set(Heavy(request.path))
            await asyncio.sleep(0.01)
            await skip(request.payload)
            await request.respond(200, [], bytes(1_000_000))

        for wire in PLAIN:
            async with lab.pair(wire, handle) as client:
                for _ in range(3):
                    response = await client.request("POST", "/", [], bytes(1_000_000))
                    await skip(response.payload)
                await asyncio.sleep(0.02)
                assert alive() == 0

    lab.run(main())


def test_the_server_is_where_this_is_read(lab: Lab) -> None:
    """What is set where the server is made is seen by all of its handlers."""

    async def main() -> None:
        found: list[str] = []

        async def handle(request: aio.Request) -> None:
            found.append(WHO.get())
            await request.respond(200)

        WHO.set("server")
        async with cno.serve(handle, HOST, 0) as listener:
            WHO.set("client")
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}/"
            async with await aio.request("GET", url) as response:
                await response.payload.read()
        assert found == ["server"]

    lab.run(main())
