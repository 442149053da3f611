"""Which error of httpx a fault becomes, and that ours is its cause."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import pytest

import cno
from cno import aio
from tests import frames as f
from tests.adapters.kit import Kit, closed_port
from tests.aio.lab import HOST, HTTP1, HTTP1_TLS, HTTP2, Lab, Peer, Wire, by_hand, greet, hello

OFF: dict[str, float | None] = {"connect": None, "read": None, "write": None, "pool": None}
SHORT = 0.05
Script = Callable[[Peer], Coroutine[Any, Any, None]]


def timeouts(**limits: float) -> dict[str, Any]:
    return {"timeout": OFF | limits}


async def closes(peer: Peer) -> None:
    await peer.head()


async def resets_tcp(peer: Peer) -> None:
    await peer.head()
    sock = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.writer.transport.abort()


async def no_http(peer: Peer) -> None:
    await peer.head()
    peer.send(b"nonsense\r\n\r\n")


async def cut_short(peer: Peer) -> None:
    await peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")


async def resets(peer: Peer) -> None:
    await greet(peer)
    head = await peer.expect(f.HEADERS)
    peer.send(peer.pen.rst(head.stream, 2))
    await peer.rest()


async def breaks_rules(peer: Peer) -> None:
    await greet(peer)
    await peer.expect(f.HEADERS)
    peer.send(peer.pen.headers(2, f.RESPONSE))
    await peer.rest()


#: What servers do wrong -> the name of httpx's error.
SCRIPTS: list[tuple[Wire, Script, str]] = [
    (HTTP1, closes, "RemoteProtocolError"),
    (HTTP1, resets_tcp, "ReadError"),
    (HTTP1, no_http, "RemoteProtocolError"),
    (HTTP1, cut_short, "RemoteProtocolError"),
    (HTTP2, resets, "RemoteProtocolError"),
    (HTTP2, breaks_rules, "RemoteProtocolError"),
]


@pytest.mark.parametrize(("wire", "script", "name"), SCRIPTS)
def test_faults_of_servers(kit: Kit, lab: Lab, wire: Wire, script: Script, name: str) -> None:
    async def main() -> None:
        async with by_hand(script) as url, kit.client(lab, wire) as client:
            with pytest.raises(getattr(kit.httpx, name)) as raised:
                await client.get(url)
            assert isinstance(raised.value.__cause__, cno.ConnectionError)
            assert raised.value.request.method == "GET"

    lab.run(main())


def test_unreachable(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with kit.client(lab, HTTP1) as client:
            with pytest.raises(kit.httpx.ConnectError) as raised:
                await client.get(closed_port())
            assert isinstance(raised.value.__cause__, cno.ConnectError)
            with pytest.raises(kit.httpx.ConnectError):
                await client.get("http://name.invalid/")

    lab.run(main())


def test_untrusted(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1_TLS, hello) as url, kit.client(lab, HTTP1) as client:
            with pytest.raises(kit.httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(url)
            async with kit.client(lab, HTTP1, verify=False) as careless:
                assert (await careless.get(url)).text == "hello"

    lab.run(main(), failures=0)


@pytest.mark.parametrize("url", ["ftp://host/", "host", "//host/"])
def test_protocols(kit: Kit, lab: Lab, url: str) -> None:
    async def main() -> None:
        async with kit.client(lab, HTTP1) as client:
            with pytest.raises(kit.httpx.UnsupportedProtocol):
                await client.get(url)

    lab.run(main())


def test_our_own_fault(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url, kit.client(lab, HTTP1) as client:
            with pytest.raises(kit.httpx.LocalProtocolError) as raised:
                await client.get(url, headers={"x": "a\nb"})
            assert isinstance(raised.value.__cause__, cno.raw.UsageError)
            assert (await client.get(url)).text == "hello"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_read_timeout(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def handler(request: aio.Request) -> None:
        if request.path == "/head":
            await asyncio.sleep(20)

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(20)

        await request.respond(200, [], body() if request.path == "/body" else b"fine")

    async def main() -> None:
        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            for path in ("/head", "/body"):
                with pytest.raises(kit.httpx.ReadTimeout) as raised:
                    await client.get(url + path, extensions=timeouts(read=SHORT))
                assert isinstance(raised.value.__cause__, TimeoutError)
                assert isinstance(raised.value.__cause__, cno.StreamError)
            ok = await client.get(url, extensions=timeouts(read=5, write=5, pool=5, connect=5))
            assert ok.text == "fine"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_slow_is_not_late(kit: Kit, lab: Lab, wire: Wire) -> None:
    """The read timeout is for each wait, and the time of the application does not count."""

    async def handler(request: aio.Request) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"x"
                await asyncio.sleep(0.03)

        await request.payload.read()
        await request.respond(200, [], body())

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            await asyncio.sleep(0.03)

    async def main() -> None:
        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            limits = timeouts(read=0.08, write=0.08)
            async with client.stream("POST", url, content=slowly(), extensions=limits) as response:
                await asyncio.sleep(0.1)
                assert await response.aread() == b"xxxx"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
@pytest.mark.parametrize("whole", [True, False])
def test_write_timeout(kit: Kit, lab: Lab, wire: Wire, whole: bool) -> None:
    async def deaf(peer: Peer) -> None:
        if wire.http2:
            await greet(peer)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport for both directions
        await asyncio.sleep(20)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(65_536)

    async def main() -> None:
        async with by_hand(deaf) as url, kit.client(lab, wire) as client:
            content: Any = bytes(64_000_000) if whole else pieces()
            with pytest.raises(kit.httpx.WriteTimeout) as raised:
                await client.post(url, content=content, extensions=timeouts(write=SHORT, read=9))
            assert isinstance(raised.value.__cause__, TimeoutError)

    lab.run(main())


def test_pool_timeout(kit: Kit, lab: Lab) -> None:
    """And afterwards the pool has all of its places again."""

    async def handler(request: aio.Request) -> None:
        if request.path == "/slow":
            await asyncio.sleep(0.3)
        await request.respond(200)

    async def main() -> None:
        limits = kit.httpx.Limits(max_connections=1)
        async with (
            lab.serving(HTTP1, handler) as url,
            kit.client(lab, HTTP1, limits=limits) as client,
        ):
            slow = asyncio.create_task(client.get(url + "/slow", timeout=None))
            await asyncio.sleep(0.05)
            late = [client.get(url, extensions=timeouts(pool=SHORT)) for _ in range(20)]
            errors = await asyncio.gather(*late, return_exceptions=True)
            assert {type(error) for error in errors} == {kit.httpx.PoolTimeout}
            await slow
            fine = [client.get(url, extensions=timeouts(pool=5)) for _ in range(20)]
            assert {each.status_code for each in await asyncio.gather(*fine)} == {200}

    lab.run(main())


def test_connect_timeout(kit: Kit, lab: Lab) -> None:
    """A listener whose backlog is full accepts nobody; TLS that is never answered is as late."""

    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    async def main() -> None:
        with ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind((HOST, 0))
            full.listen(0)
            for _ in range(3):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            async with by_hand(silent) as url, kit.client(lab, HTTP1) as client:
                urls = [f"http://{HOST}:{full.getsockname()[1]}", url.replace("http", "https")]
                for each in urls:
                    with pytest.raises(kit.httpx.ConnectTimeout) as raised:
                        await client.get(each, extensions=timeouts(connect=SHORT))
                    assert isinstance(raised.value.__cause__, TimeoutError)

    lab.run(main())


def test_retries(kit: Kit, lab: Lab) -> None:
    """`retries` is for connections that could not be made."""

    async def main() -> None:
        async with kit.client(lab, HTTP1, retries=2) as client:
            url = closed_port()
            port = int(url.rpartition(":")[2])
            events: list[str] = []

            async def trace(name: str, info: dict[str, Any]) -> None:
                events.append(name)
                if name == "connection.connect_tcp.failed" and not servers:
                    servers.append(await aio.serve(hello, HOST, port))

            servers: list[aio.Listener] = []
            response = await client.get(url, extensions={"trace": trace})
            assert response.text == "hello"
            assert events.count("connection.connect_tcp.started") in (2, 3)
            for server in servers:
                server.close()
                await server.wait_closed()

    lab.run(main())
