"""Through HTTP proxies: one made of a server's tunnels, and tinyproxy."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cno import aio
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Peer, Wire, by_hand, settle, skip
from tests.peers import free_port, require
from tests.processes import Running

#: Aladdin:open sesame
CREDENTIALS = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


async def pump(reader: asyncio.StreamReader, tunnel: aio.Tunnel) -> None:
    while data := await reader.read(65536):
        await tunnel.write(data)
    await tunnel.close()


class Proxy:
    """CONNECT, from a tunnel to a socket."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.credentials: list[str | None] = []
        self.open = 0
        self.refuse: int | None = None

    async def __call__(self, request: aio.Request) -> None:
        fields = dict(request.headers)
        self.asked.append(f"{request.method} {fields[':authority']}")
        self.credentials.append(fields.get("proxy-authorization"))
        if self.refuse is not None:
            await request.respond(self.refuse, [("x-why", "no")], b"go away")
            return
        host, _, port = fields[":authority"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self.open += 1
        back: asyncio.Task[None] | None = None
        try:
            tunnel = await request.upgrade()
            back = asyncio.ensure_future(pump(reader, tunnel))
            while data := await tunnel.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.open -= 1
            writer.close()
            if back is not None:
                back.cancel()


@asynccontextmanager
async def proxied(lab: Lab, proxy: Proxy) -> AsyncIterator[str]:
    async with lab.serving(HTTP1, proxy) as url:
        yield url


async def about(request: aio.Request) -> None:
    body = await request.payload.read()
    http2 = "2" if request.conn.is_http2 else "1"
    await request.respond(200, [("x-http", http2), ("x-path", request.path)], body)


def test_connection_through_a_proxy(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(wire, about) as url, proxied(lab, proxy) as way:
            async with await lab.connect(wire, url, proxy=way) as client:
                assert client.is_http2 == wire.http2
                assert client.scheme == wire.scheme
                for _ in range(3):
                    response = await client.request("POST", "/a?b", [], b"x" * 300_000)
                    assert ("x-http", "2" if wire.http2 else "1") in response.headers
                    assert await skip(response.payload) == 300_000
        assert proxy.asked == [f"CONNECT {url.rpartition('/')[2]}"]
        assert proxy.credentials == [None]
        assert proxy.open == 0

    lab.run(main())


def test_request_and_pool_through_a_proxy(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        async with lab.serving(HTTP2_TLS, about) as url, proxied(lab, proxy) as way:
            named = way.replace("//", "//Aladdin:open%20sesame@")
            async with await aio.request("GET", f"{url}/x", ssl_ctx=context, proxy=named) as got:
                assert ("x-path", "/x") in got.headers
            async with aio.Pool(context, proxy=named) as pool:
                asked = [pool.request("PUT", url, [], b"data") for _ in range(20)]
                for response in await asyncio.gather(*asked):
                    assert await response.payload.read() == b"data"
                assert pool.connections == 1
        assert len(proxy.asked) == 2
        assert proxy.credentials == [CREDENTIALS] * 2

    lab.run(main())


def test_proxy_that_refuses(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        proxy.refuse = 407
        async with lab.serving(HTTP1, about) as url, proxied(lab, proxy) as way:
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect(url, proxy=way)
            assert (caught.value.code, caught.value.retryable) == (407, True)
            assert "407" in str(caught.value)
            async with aio.Pool(proxy=way) as pool:
                for error in await asyncio.gather(
                    *(pool.request("GET", url) for _ in range(3)), return_exceptions=True
                ):
                    assert isinstance(error, aio.ProxyError)
                    assert (error.code, error.retryable) == (407, True)

    lab.run(main())


def test_proxy_that_ends_instead(lab: Lab, free_port: int) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()

        async with by_hand(script) as way:
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect("http://cno.test/", proxy=way)
            assert caught.value.code == 0
        with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
            await aio.connect("http://cno.test/", proxy=f"http://{HOST}:{free_port}")

    lab.run(main())


def test_proxy_that_speaks_too_soon(lab: Lab) -> None:
    """In clear text a server may be the first to say something; under TLS it cannot be."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            head = await peer.head()
            settings = peer.pen.settings({})
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + settings)
            if head.startswith(b"CONNECT plain.test:80 "):
                await peer.reader.readuntil(b"SM\r\n\r\n")
                stream = (await peer.expect(1)).stream
                peer.send(peer.pen.headers(stream, [(":status", "204")], end_stream=True))
            await peer.reader.read()

        async with by_hand(script) as way:
            async with await aio.connect("h2c://plain.test/", proxy=way) as client:
                assert (await client.request("GET", "/")).code == 204
            with pytest.raises(aio.ProxyError):
                await aio.connect("https://secret.test/", lab.certs.client(), proxy=way)

    lab.run(main())


def test_all_that_comes_right_behind_the_answer_of_a_proxy_is_for_the_client(lab: Lab) -> None:
    """Though it is more than is parsed in a turn of the loop."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            unknown = f.frame(0x20, 0, 0, bytes(16_384))
            early = peer.pen.settings({}) + 5 * unknown + peer.pen.ping(b"12345678")
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + early)
            await peer.reader.readuntil(b"SM\r\n\r\n")
            while not {f.PING, f.HEADERS} <= {each.type for each in peer.seen}:
                await peer.frame()
            peer.send(peer.pen.headers(1, f.RESPONSE, end_stream=True))

        async with by_hand(script) as way:
            async with await aio.connect("h2c://plain.test/", proxy=way) as client:
                assert (await client.request("GET", "/")).code == 200

    lab.run(main())


@pytest.mark.parametrize("scheme", ["http", "h2c", "https"])
def test_proxy_that_answers_and_ends(lab: Lab, scheme: str) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")

        async with by_hand(script) as way:
            asked = aio.request(
                "GET", f"{scheme}://cno.test/", proxy=way, ssl_ctx=lab.certs.client()
            )
            with pytest.raises((aio.ProxyError, aio.ConnectionLostError, OSError)) as caught:
                await asyncio.wait_for(asked, 5)
            assert not isinstance(caught.value, TimeoutError)

    lab.run(main())


def test_certificates_are_checked_through_a_proxy(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(HTTP2_TLS, about) as url, proxied(lab, proxy) as way:
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await aio.connect(url, proxy=way)
            with pytest.raises(OSError, match=r"other\.test"):
                await aio.connect(url, lab.certs.client(), "other.test", proxy=way)
            client = await aio.connect(url, lab.certs.client(), "cno.test", proxy=way)
            client.close()
            await client.wait_closed()

    lab.run(main())


def test_who_gives_up_leaves_nothing(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        async with lab.serving(HTTP2_TLS, about) as url, proxied(lab, proxy) as way:
            for turns in range(40):
                connecting = asyncio.ensure_future(aio.connect(url, context, proxy=way))
                await settle(turns)
                connecting.cancel()
                try:
                    client = await connecting
                except asyncio.CancelledError:
                    continue
                client.close()
                await client.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("way", ["https://p.test/", "h2c://p.test", "p.test:80", "socks5://p.test"])
def test_proxies_that_cannot_be_used(lab: Lab, way: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError):  # noqa: PT011  # some texts are urllib's
            await aio.connect("http://cno.test/", proxy=way)
        with pytest.raises(ValueError):  # noqa: PT011  # the same
            aio.Pool(proxy=way)
        with pytest.raises(ValueError, match="not both"):
            aio.Pool(proxy="http://p.test", unix="socket")

    lab.run(main())


# -- a real one ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> object:
    program = require("tinyproxy")
    folder: Path = tmp_path_factory.mktemp("tinyproxy")
    port = free_port()
    config = folder / "config"
    config.write_text(
        f"Port {port}\nListen {HOST}\nTimeout 30\nMaxClients 20\nBasicAuth someone secret\n"
    )
    with Running([program, "-d", "-c", config], cwd=folder) as running:
        running.wait_listening(port)
        yield f"http://someone:secret@{HOST}:{port}"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_tinyproxy(lab: Lab, wire: Wire, tinyproxy: str) -> None:
    async def main() -> None:
        async with lab.serving(wire, about) as url:
            options = {"force_http2": wire.http2 and not wire.tls, "proxy": tinyproxy}
            context = lab.certs.client() if wire.tls else None
            async with aio.Pool(context, max_per_origin=5, **options) as pool:  # type: ignore[arg-type]  # of the mapping's values
                asked = [pool.request("PUT", url, [], b"x" * 100_000) for _ in range(10)]
                for response in await asyncio.gather(*asked):
                    assert await skip(response.payload) == 100_000
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect(url, context, proxy=tinyproxy.replace("secret", "guess"))
            assert caught.value.code in (401, 407)

    lab.run(main())
