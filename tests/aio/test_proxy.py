"""Through HTTP proxies: one made of a server's tunnels, and tinyproxy."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP1_TLS,
    HTTP2,
    HTTP2_TLS,
    Lab,
    Peer,
    Wire,
    by_hand,
    settle,
    skip,
    until,
)
from tests.peers import free_port, require
from tests.processes import Running

#: Aladdin:open sesame
CREDENTIALS = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


async def pump(reader: asyncio.StreamReader, tunnel: aio.Tunnel) -> None:
    try:
        while data := await reader.read(65536):
            await tunnel.write(data)
    except OSError:
        pass  # either of them has gone
    await tunnel.close()


class Proxy:
    """CONNECT, from a tunnel to a socket."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.credentials: list[str | None] = []
        self.open = 0
        self.refuse: int | None = None
        self.transports: list[asyncio.Transport] = []  # those of clients

    async def __call__(self, request: aio.Request) -> None:
        fields = dict(request.headers)
        self.asked.append(f"{request.method} {fields[':authority']}")
        self.credentials.append(fields.get("proxy-authorization"))
        self.transports.append(request.conn.transport)
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
        except (OSError, RuntimeError):  # uvloop's, of a transport that has closed
            pass
        finally:
            self.open -= 1
            writer.close()
            if back is not None:
                back.cancel()


@asynccontextmanager
async def proxied(lab: Lab, proxy: Proxy, wire: Wire = HTTP1) -> AsyncIterator[str]:
    async with lab.serving(wire, proxy) as url:
        yield url


async def about(request: aio.Request) -> None:
    body = await request.payload.read()
    http2 = "2" if request.conn.is_http2 else "1"
    await request.respond(200, [("x-http", http2), ("x-path", request.path)], body)


def test_connection_through_a_proxy(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(wire, about) as url, proxied(lab, proxy) as way:
            async with await lab.connect(wire, url, proxy=way, proxy_tunnel=True) as client:
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
                await aio.connect(url, proxy=way, proxy_tunnel=True)
            assert (caught.value.code, caught.value.retryable) == (407, True)
            assert "407" in str(caught.value)
            async with aio.Pool(proxy=way, proxy_tunnel=True) as pool:
                for error in await asyncio.gather(
                    *(pool.request("GET", url) for _ in range(3)), return_exceptions=True
                ):
                    assert isinstance(error, aio.ProxyError)
                    assert (error.code, error.retryable) == (407, True)
                    assert (error.reason, error.content) == (
                        "Proxy Authentication Required",
                        b"go away",
                    )
                    assert ("x-why", "no") in error.headers

    lab.run(main())


@pytest.mark.parametrize("framing", ["length", "close", "stalled"])
def test_refusal_of_a_proxy_keeps_a_bounded_part_of_its_content(lab: Lab, framing: str) -> None:
    """Whatever its end, and for no longer than `linger_timeout`."""

    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            size = {"length": 5, "close": 1_000_000, "stalled": 5}[framing]
            length = {"length": 5, "stalled": 6}.get(framing)
            field = b"" if length is None else b"content-length: %d\r\n" % length
            peer.send(b"HTTP/1.1 503 Down today\r\n" + field + b"\r\n" + b"x" * size)
            if framing == "stalled":
                await peer.reader.read()

        async with by_hand(script) as way:
            limits = Limits(linger_timeout=0.1)
            with pytest.raises(aio.ProxyError, match="503 Down today") as caught:
                await aio.connect("https://a.test/", proxy=way, limits=limits)
            assert caught.value.reason == "Down today"
            assert caught.value.content == b"x" * (65_536 if framing == "close" else 5)

    lab.run(main())


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "limits", "limit"),
    [
        (
            HEAD + b"a: %s\r\n\r\n" % (b"b" * 300),
            Limits(max_header_list_size=200),
            "max_header_list_size",
        ),
        (HEAD + b"a: b\r\n" * 5 + b"\r\n", Limits(max_header_fields=4), "max_header_fields"),
        (HEAD + b"a: %s\r\n\r\n" % (b"b" * 300), Limits(max_line_size=200), "max_line_size"),
        (HEAD + b"a: b\n\r\n", Limits(), "allow_bare_lf"),
        (
            b"HTTP/1.1 103 Hints\r\n\r\n" * 9 + HEAD,
            Limits(max_informational=3),
            "max_informational",
        ),
    ],
)
def test_limits_hold_for_what_a_proxy_answers(
    lab: Lab, answer: bytes, limits: Limits, limit: str
) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            peer.send(answer)
            await peer.reader.read()

        async with by_hand(script) as way:
            with pytest.raises(aio.ProxyError, match="the proxy's answer") as caught:
                await aio.connect("https://a.test/", proxy=way, limits=limits)
            assert caught.value.limit == limit
            async with aio.Pool(proxy=way, limits=limits) as pool:
                with pytest.raises(aio.ProxyError, match="the proxy's answer") as caught:
                    await pool.request("GET", "https://a.test/")
            assert caught.value.limit == limit
            assert not caught.value.retryable

    lab.run(main())


@pytest.mark.parametrize(
    "limits",
    [
        Limits(handshake_timeout=0.2),
        Limits(handshake_timeout=None, response_timeout=0.2),
        Limits(handshake_timeout=None, header_timeout=0.2),
    ],
)
def test_waits_for_a_proxy_are_bounded(lab: Lab, limits: Limits) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()
            if limits.header_timeout == 0.2:
                peer.send(b"HTTP/1.1 200 OK\r\n")
            await peer.reader.read()

        async with by_hand(script) as way:
            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(aio.connect("https://a.test/", proxy=way, limits=limits), 5)
            assert isinstance(caught.value, aio.ConnectError)
            assert getattr(limits, caught.value.limit) == 0.2

    lab.run(main())


def test_proxy_that_ends_instead(lab: Lab, free_port: int) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.head()

        async with by_hand(script) as way:
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect("http://cno.test/", proxy=way, proxy_tunnel=True)
            assert caught.value.code == 0
        for tunnel in (True, False):
            with pytest.raises(aio.ProxyError, match="cannot connect to the proxy") as caught:
                await aio.connect(
                    "http://cno.test/", proxy=f"http://{HOST}:{free_port}", proxy_tunnel=tunnel
                )
            assert caught.value.retryable

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
                "GET",
                f"{scheme}://cno.test/",
                proxy=way,
                proxy_tunnel=True,
                ssl_ctx=lab.certs.client(),
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


@pytest.mark.parametrize("way", ["h2://p.test/", "h2c://p.test", "p.test:80", "socks5://p.test"])
def test_proxies_that_cannot_be_used(lab: Lab, way: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError):  # noqa: PT011  # some texts are urllib's
            await aio.connect("http://cno.test/", proxy=way)
        with pytest.raises(ValueError):  # noqa: PT011  # the same
            aio.Pool(proxy=way)
        with pytest.raises(ValueError, match="not both"):
            aio.Pool(proxy="http://p.test", unix="socket")

    lab.run(main())


# -- over TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tunnel", [False, True])
def test_https_proxy(lab: Lab, wire: Wire, tunnel: bool) -> None:
    """TLS to the proxy, and TLS to the server inside of that."""

    async def main() -> None:
        proxy = Proxy()
        async with lab.serving(wire, about) as url, proxied(lab, proxy, HTTP1_TLS) as way:
            forwards = not tunnel and not wire.tls and not wire.http2
            async with await lab.connect(
                wire,
                url,
                proxy=way,
                proxy_ssl_ctx=lab.certs.client(),
                proxy_tunnel=tunnel,
            ) as client:
                assert client.scheme == wire.scheme
                if forwards:
                    proxy.refuse = 200
                    async with await client.request("GET", "/a?b") as response:
                        assert await response.payload.read() == b"go away"
                    assert proxy.asked == [f"GET {url.rpartition('/')[2]}"]
                    return
                for _ in range(3):
                    response = await client.request("POST", "/a?b", [], b"x" * 1_000_000)
                    assert ("x-http", "2" if wire.http2 else "1") in response.headers
                    assert await skip(response.payload) == 1_000_000
        assert proxy.asked == [f"CONNECT {url.rpartition('/')[2]}"]
        assert proxy.open == 0

    lab.run(main())


def test_certificate_of_a_proxy_is_checked(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with proxied(lab, proxy, HTTP1_TLS) as way:
            for url in ("http://a.test/", "https://a.test/"):
                with pytest.raises(aio.ProxyError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                    await aio.connect(url, proxy=way)
                assert not caught.value.retryable
                async with aio.Pool(proxy=way) as pool:
                    with pytest.raises(aio.ProxyError, match="CERTIFICATE_VERIFY_FAILED") as caught:
                        await pool.request("GET", url)
                assert not caught.value.retryable
        assert proxy.asked == []

    lab.run(main())


def test_https_proxy_that_ends_the_handshake(lab: Lab) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.read(1)

        async with by_hand(script) as way:
            for url in ("http://a.test/", "https://a.test/"):
                with pytest.raises(
                    aio.ProxyError, match=r"cannot connect to the proxy .*: .* "
                ) as caught:
                    await aio.connect(url, proxy=way.replace("http:", "https:"))
                assert caught.value.retryable

    lab.run(main())


def test_https_proxy_that_chooses_http2(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        context.set_alpn_protocols(["h2"])
        async with proxied(lab, proxy, HTTP2_TLS) as way:
            for url in ("http://a.test/", "https://a.test/"):
                with pytest.raises(aio.ProxyError, match="HTTP/2"):
                    await aio.connect(url, proxy=way, proxy_ssl_ctx=context)

    lab.run(main())


def test_one_context_for_the_proxy_and_the_server(lab: Lab) -> None:
    """It offers HTTP/2 to the server, and not to the proxy."""

    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with lab.serving(HTTP2_TLS, about) as url, proxied(lab, proxy, HTTP2_TLS) as way:
            async with aio.Pool(context, proxy=way, proxy_ssl_ctx=context) as pool:
                for _ in range(2):
                    async with await pool.request("GET", url) as response:
                        assert ("x-http", "2") in response.headers
        assert len(proxy.asked) == 1

    lab.run(main())


def test_who_gives_up_an_https_proxy_leaves_nothing(lab: Lab) -> None:
    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        async with lab.serving(HTTP2_TLS, about) as url, proxied(lab, proxy, HTTP1_TLS) as way:
            for turns in range(0, 60, 3):
                connecting = asyncio.ensure_future(
                    aio.connect(url, context, proxy=way, proxy_ssl_ctx=lab.certs.client())
                )
                await settle(turns)
                connecting.cancel()
                try:
                    client = await connecting
                except asyncio.CancelledError:
                    continue
                client.close()
                await client.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("end", ["abort", "close", "server", "proxy"])
def test_ends_of_tls_inside_tls(lab: Lab, end: str) -> None:
    """Whoever ends it, the others notice."""

    async def main() -> None:
        proxy = Proxy()
        context = lab.certs.client()
        arrived = asyncio.Event()
        servers: list[aio.Request] = []

        async def handler(request: aio.Request) -> None:
            servers.append(request)
            arrived.set()
            try:
                await request.payload.read()
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                servers.pop()
                raise

        async with lab.serving(HTTP2_TLS, handler) as url, proxied(lab, proxy, HTTP1_TLS) as way:
            client = await aio.connect(url, context, proxy=way, proxy_ssl_ctx=lab.certs.client())
            asked = asyncio.ensure_future(client.request("POST", "/", [], b"x" * 100_000))
            await arrived.wait()
            if end == "abort":
                client.abort()
            elif end == "close":
                client.close()
            elif end == "server":
                servers[0].conn.abort()
            else:
                proxy.transports[0].abort()
            with pytest.raises((aio.ConnectionLostError, aio.StreamError)):
                await asked
            await client.wait_closed()
            await until(lambda: not proxy.open and not servers)

    lab.run(main())


# -- a real one ------------------------------------------------------------------------------------


@contextmanager
def running_tinyproxy(folder: Path, *lines: str) -> Iterator[str]:
    program = require("tinyproxy")
    port = free_port()
    config = folder / "config"
    basic = f"Port {port}\nListen {HOST}\nTimeout 30\nMaxClients 20\nBasicAuth someone secret\n"
    config.write_text(basic + "".join(f"{line}\n" for line in lines))
    with Running([program, "-d", "-c", config], cwd=folder) as running:
        running.wait_listening(port)
        yield f"http://someone:secret@{HOST}:{port}"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_tinyproxy(tmp_path_factory.mktemp("tinyproxy")) as url:
        yield url


@pytest.fixture(scope="module")
def strict_tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As distributions configure it."""
    with running_tinyproxy(tmp_path_factory.mktemp("strict"), "ConnectPort 443") as url:
        yield url


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
            guess = tinyproxy.replace("secret", "guess")
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect(url, context, proxy=guess, proxy_tunnel=True)
            assert caught.value.code in (401, 407)
            assert b"<html" in caught.value.content.lower()
            if not wire.tls:
                async with await aio.request("GET", url, proxy=guess) as response:
                    assert response.code in (401, 407)

    lab.run(main())


def test_tinyproxy_that_allows_no_tunnels(lab: Lab, strict_tinyproxy: str) -> None:
    """It forwards requests, and refuses CONNECT to other ports than 443."""

    async def main() -> None:
        async with lab.serving(HTTP1, about) as url:
            for _ in range(2):
                async with await aio.request(
                    "POST", f"{url}/a", [], b"b", proxy=strict_tinyproxy
                ) as got:
                    assert (got.code, await got.payload.read()) == (200, b"b")
                    assert ("x-path", "/a") in got.headers
            async with aio.Pool(proxy=strict_tinyproxy) as pool:
                for _ in range(3):
                    async with await pool.request("HEAD", f"{url}/a") as response:
                        assert ("x-path", "/a") in response.headers
            with pytest.raises(aio.ProxyError) as caught:
                await aio.connect(url, proxy=strict_tinyproxy, proxy_tunnel=True)
            assert caught.value.code == 403

    lab.run(main())
