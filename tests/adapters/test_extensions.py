"""Extensions and arguments: trace, SNI, streams of tunnels, sockets, proxies, limits."""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cno import aio
from cno.limits import Limits
from cno.settings import SettingsDict
from tests.adapters.kit import Kit
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Peer, Wire, by_hand, hello, until


def test_trace(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        events: list[str] = []

        async def trace(name: str, info: dict[str, Any]) -> None:
            events.append(name)
            assert isinstance(info, dict)

        async with lab.serving(wire, hello) as url, kit.client(lab, wire) as client:
            for _ in range(2):
                await client.get(url, extensions={"trace": trace})
        name = "http2" if wire.http2 else "http11"
        steps = ["connection.connect_tcp", *["connection.start_tls"] * wire.tls]
        request = [
            f"{name}.send_request_headers",
            f"{name}.send_request_body",
            f"{name}.receive_response_headers",
            f"{name}.receive_response_body",
            f"{name}.response_closed",
        ]
        expected = [
            f"{step}.{state}"
            for step in [*steps, *request, *request]
            for state in ("started", "complete")
        ]
        assert events == expected

    lab.run(main())


def test_trace_that_raises(kit: Kit, lab: Lab) -> None:
    async def trace(name: str, info: dict[str, Any]) -> None:
        raise KeyError(name)

    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url, kit.client(lab, HTTP1) as client:
            with pytest.raises(KeyError):
                await client.get(url, extensions={"trace": trace})
            with pytest.raises(TypeError, match="asynchronous function"):
                await client.get(url, extensions={"trace": print})

    lab.run(main())


def test_sni_hostname(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url, kit.client(lab, HTTP2_TLS) as client:
            by_name = await client.get(url, extensions={"sni_hostname": "cno.test"})
            assert by_name.text == "hello"
            with pytest.raises(kit.httpx.ConnectError):
                await client.get(url, extensions={"sni_hostname": "other.test"})

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_extra_info(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, hello) as url, kit.client(lab, wire) as client:
            async with client.stream("GET", url) as response:
                stream = response.extensions["network_stream"]
                port = int(url.rpartition(":")[2])
                assert stream.get_extra_info("server_addr")[:2] == (HOST, port)
                assert stream.get_extra_info("client_addr")[0] == HOST
                assert stream.get_extra_info("is_readable") is False
                secured = stream.get_extra_info("ssl_object")
                assert isinstance(secured, ssl.SSLObject) == wire.tls
                assert stream.get_extra_info("nothing") is None
                with pytest.raises(kit.core.LocalProtocolError):
                    await stream.read(1)

    lab.run(main())


async def echo_upgrade(request: aio.Request) -> None:
    async with await request.upgrade() as tunnel:
        while data := await tunnel.read(100):
            await tunnel.write(data)


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_tunnel(kit: Kit, lab: Lab, wire: Wire, method: str) -> None:
    async def main() -> None:
        settings: SettingsDict = {"enable_connect_protocol": True}
        async with (
            lab.serving(wire, echo_upgrade, settings=settings) as url,
            kit.client(lab, wire) as client,
        ):
            headers = {"connection": "upgrade", "upgrade": "echo"} if method == "GET" else {}
            extensions = {"target": b"example.org:443"} if method == "CONNECT" else {}
            async with client.stream(
                method, url, headers=headers, extensions=extensions
            ) as response:
                assert response.status_code == (200 if method == "CONNECT" else 101)
                stream = response.extensions["network_stream"]
                await stream.write(b"ping")
                assert await stream.read(100, timeout=5) == b"ping"
                with pytest.raises(kit.core.ReadTimeout):
                    await stream.read(100, timeout=0.02)
                await stream.write(b"pong", timeout=5)
                assert await stream.read(100) == b"pong"

    lab.run(main())


def test_upgrade_without_extended_connect(kit: Kit, lab: Lab) -> None:
    """A server whose HTTP/2 has no extended CONNECT is asked over HTTP/1.1."""

    async def main() -> None:
        async with (
            lab.serving(
                HTTP2_TLS, echo_upgrade, settings={"enable_connect_protocol": False}
            ) as url,
            kit.client(lab, HTTP2_TLS) as client,
        ):
            headers = {"connection": "upgrade", "upgrade": "echo"}
            async with client.stream("GET", url, headers=headers) as response:
                assert response.status_code == 101 and response.http_version == "HTTP/1.1"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_websocket(kit: Kit, lab: Lab, wire: Wire) -> None:
    """httpx2's own WebSockets, and httpx-ws for httpx."""

    async def handler(request: aio.Request) -> None:
        async with await request.accept_websocket() as socket:
            async for message in socket:
                await socket.send(message)

    async def main() -> None:
        settings: SettingsDict = {"enable_connect_protocol": True}
        async with (
            lab.serving(wire, handler, settings=settings) as url,
            kit.client(lab, wire) as client,
        ):
            if str(kit) == "httpx2":
                opened = client.websocket(url)
            else:
                from httpx_ws import aconnect_ws

                opened = aconnect_ws(url, client)
            async with opened as ws:
                await ws.send_text("hi")
                assert await ws.receive_text() == "hi"
                await ws.send_bytes(b"x" * 50_000)
                assert await ws.receive_bytes() == b"x" * 50_000

    lab.run(main())


def test_unix_socket(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "s"))
            async with aio.serve(hello, path=path), kit.client(lab, HTTP1, uds=path) as client:
                assert (await client.get("http://anything/")).text == "hello"

    lab.run(main())


def test_local_address(kit: Kit, lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        peer = request.peer
        await request.respond(200, [], str(peer and peer[0]).encode())

    async def main() -> None:
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        async with (
            lab.serving(HTTP1, handler) as url,
            kit.client(lab, HTTP1, local_address="127.0.0.2", socket_options=options) as client,
        ):
            response = await client.get(url)
            assert response.text == "127.0.0.2"
            sock = response.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    lab.run(main())


def test_limits(kit: Kit, lab: Lab) -> None:
    """Never more connections than allowed, and after use no more than are to be kept."""
    open_now = 0
    most = 0

    async def handler(request: aio.Request) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.01)
        open_now -= 1
        await request.respond(200)

    async def main() -> None:
        limits = kit.httpx.Limits(max_connections=3, max_keepalive_connections=1)
        servers: set[Any] = set()

        async def noting(request: aio.Request) -> None:
            servers.add(request.conn)
            await handler(request)

        async with (
            lab.serving(HTTP1, noting) as url,
            kit.client(lab, HTTP1, limits=limits) as client,
        ):
            responses = await asyncio.gather(*[client.get(url) for _ in range(12)])
            assert {each.status_code for each in responses} == {200}
            assert most == 3
            await until(lambda: sum(not each.transport.is_closing() for each in servers) == 1)

    lab.run(main())


def test_keepalive_expiry(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        connections: set[int] = set()

        async def handler(request: aio.Request) -> None:
            peer = request.peer
            connections.add(peer[1] if peer else 0)
            await request.respond(200)

        limits = kit.httpx.Limits(keepalive_expiry=0.02)
        async with (
            lab.serving(HTTP1, handler) as url,
            kit.client(lab, HTTP1, limits=limits) as client,
        ):
            for _ in range(2):
                await client.get(url)
                await asyncio.sleep(0.05)
            assert len(connections) == 2

    lab.run(main())


class Proxy:
    """An HTTP proxy by hand: what it was asked, and a relay behind CONNECT."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, peer: Peer) -> None:
        head = await peer.head()
        self.heads.append(head)
        if not head.startswith(b"CONNECT"):
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nproxied")
            await peer.reader.read()
            return
        peer.send(self.answer)
        if b" 200 " not in self.answer:
            return
        address = head.split(b" ")[1].decode()
        await relay(peer, address)


async def relay(peer: Peer, address: str) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    back = asyncio.create_task(copy(reader, peer.writer))
    try:
        await copy(peer.reader, writer)
    finally:
        back.cancel()
        writer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


def test_http_proxy(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(HTTP2_TLS, hello) as url, by_hand(proxy) as place:
            given = kit.httpx.Proxy(place, auth=("u", "p"), headers={"x-for": "proxy"})
            async with kit.client(lab, HTTP2_TLS, proxy=given) as client:
                response = await client.get(url)
                assert response.text == "hello" and response.http_version == "HTTP/2"
                assert (await client.get("http://example.org/a")).text == "proxied"
        tunnel, forwarded = proxy.heads
        assert tunnel.startswith(b"CONNECT 127.0.0.1:")
        assert forwarded.startswith(b"GET http://example.org/a HTTP/1.1\r\n")
        for head in proxy.heads:
            assert b"proxy-authorization: Basic dTpw" in head and b"x-for: proxy" in head

    lab.run(main())


def test_proxy_refuses(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        async with by_hand(Proxy(refusal)) as place:
            async with kit.client(lab, HTTP2_TLS, proxy=place) as client:
                with pytest.raises(kit.httpx.ProxyError, match="407"):
                    await client.get("https://example.org/")

    lab.run(main())


@asynccontextmanager
async def socks_server(password: bytes | None, refuse: bool = False) -> AsyncIterator[str]:
    async def serve(peer: Peer) -> None:
        _, count = await peer.reader.readexactly(2)
        await peer.reader.readexactly(count)
        peer.send(b"\5\0" if password is None else b"\5\2")
        if password is not None:
            await peer.reader.readexactly(1)
            user = await peer.reader.readexactly((await peer.reader.readexactly(1))[0])
            given = await peer.reader.readexactly((await peer.reader.readexactly(1))[0])
            peer.send(b"\1\0" if (user, given) == (b"u", password) else b"\1\1")
        head = await peer.reader.readexactly(4)
        if head[3] == 1:
            host = socket.inet_ntoa(await peer.reader.readexactly(4))
        else:
            host = (await peer.reader.readexactly((await peer.reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await peer.reader.readexactly(2), "big")
        peer.send(b"\5" + (b"\5" if refuse else b"\0") + b"\0\1\0\0\0\0\0\0")
        if not refuse:
            await relay(peer, f"{host}:{port}")

    async with by_hand(serve) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize("wire", [HTTP1, HTTP2_TLS], ids=str)
def test_socks(kit: Kit, lab: Lab, wire: Wire) -> None:
    pytest.importorskip("socksio")

    async def main() -> None:
        async with lab.serving(wire, hello) as url:
            async with socks_server(None) as place:
                async with kit.client(lab, wire, proxy=f"socks5://{place}") as client:
                    assert (await client.get(url)).text == "hello"
            async with socks_server(b"p") as place:
                async with kit.client(lab, wire, proxy=f"socks5://u:p@{place}") as client:
                    assert (await client.get(url)).text == "hello"
                async with kit.client(lab, wire, proxy=f"socks5://u:x@{place}") as client:
                    with pytest.raises(kit.httpx.ProxyError):
                        await client.get(url)
            async with socks_server(None, refuse=True) as place:
                async with kit.client(lab, wire, proxy=f"socks5://{place}") as client:
                    with pytest.raises(kit.httpx.ProxyError, match="CONNECTION_REFUSED"):
                        await client.get(url)

    lab.run(main())


def test_arguments(kit: Kit) -> None:
    with pytest.raises(ValueError, match="http1 or http2"):
        kit.ours.AsyncTransport(http1=False, http2=False)
    with pytest.raises(ValueError, match="scheme"):
        kit.ours.AsyncTransport(proxy="ftp://a")
    kit.ours.AsyncTransport(protocol_limits=Limits(max_header_list_size=1000))


def test_without_http2(kit: Kit, lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            async with kit.client(lab, HTTP2_TLS, http2=False) as client:
                assert (await client.get(url)).http_version == "HTTP/1.1"
            async with kit.client(lab, HTTP2_TLS) as client:
                assert (await client.get(url)).http_version == "HTTP/2"

    lab.run(main())
