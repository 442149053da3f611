"""The blocking transports: requests, errors and extensions, as those of the asynchronous ones."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import cno
from cno import aio
from cno.limits import Limits
from cno.settings import SettingsDict
from tests.adapters.kit import Kit, closed_port
from tests.adapters.test_errors import SCRIPTS, Script, timeouts
from tests.adapters.test_extensions import Proxy, echo_upgrade, socks_server
from tests.adapters.test_requests import echo
from tests.aio.lab import (
    HOST,
    HTTP1,
    HTTP1_TLS,
    HTTP2,
    HTTP2_TLS,
    Certificates,
    Handler,
    Lab,
    Peer,
    Wire,
    by_hand,
    greet,
    hello,
    skip,
)
from tests.sync.kit import background, in_threads

SHORT = 0.05


@pytest.fixture
def lab(certificates: Certificates) -> Lab:
    """Servers on asyncio's own loop: the clients use none."""
    return Lab(None, certificates)


@contextmanager
def client_of(
    kit: Kit, lab: Lab, wire: Wire, *, options: dict[str, Any] | None = None, **arguments: Any
) -> Iterator[Any]:
    """A `Client` that talks this way. `arguments` are the transport's."""
    transport = kit.sync_transport(lab, wire, **arguments)
    with kit.httpx.Client(transport=transport, **(options or {})) as client:
        yield client


@contextmanager
def serving(lab: Lab, wire: Wire, handler: Handler, **options: Any) -> Iterator[str]:
    """A server in a thread; gives its URL."""
    with background(lambda: lab.serving(wire, handler, **options)) as url:
        yield url


# -- requests --------------------------------------------------------------------------------------


def test_get(kit: Kit, lab: Lab, wire: Wire) -> None:
    with serving(lab, wire, echo) as url, client_of(kit, lab, wire) as client:
        response = client.get(url + "/a?b=c", headers={"X-A": "é".encode()})
        assert response.status_code == 200
        assert response.http_version == ("HTTP/2" if wire.http2 else "HTTP/1.1")
        assert response.reason_phrase == "OK"
        assert response.headers["x-path"] == "/a?b=c"
        assert (b"x-got", "é".encode()) in response.headers.raw
        assert response.extensions.get("stream_id") == (1 if wire.http2 else None)


def test_post(kit: Kit, lab: Lab, wire: Wire) -> None:
    with serving(lab, wire, echo) as url, client_of(kit, lab, wire) as client:
        for body in (b"", b"x", b"abc" * 400_000):
            assert client.post(url, content=body).content == body
        pieces = (b"x" * 1000 for _ in range(30))
        assert len(client.put(url, content=pieces).content) == 30_000
        files = {"file": ("a.bin", b"y" * 5000)}
        response = client.post(url, files=files, data={"k": "v"})
        assert b"y" * 5000 in response.content and b'name="k"' in response.content


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_closed_early(kit: Kit, lab: Lab, wire: Wire) -> None:
    ended = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            ended.set()

    async def handler(request: aio.Request) -> None:
        await request.respond(200, [], endless() if request.path == "/" else b"fine")

    with serving(lab, wire, handler) as url, client_of(kit, lab, wire) as client:
        with client.stream("GET", url) as response:
            next(response.iter_bytes())
        assert ended.wait(5)
        assert client.get(url + "/next").text == "fine"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_body_that_raises(kit: Kit, lab: Lab, wire: Wire) -> None:
    closed: list[bool] = []

    def broken() -> Iterator[bytes]:
        try:
            yield b"x"
            raise KeyError("mine")
        finally:
            closed.append(True)

    with serving(lab, wire, echo) as url, client_of(kit, lab, wire) as client:
        with pytest.raises(KeyError, match="mine"):
            client.post(url, content=broken())
        assert closed == [True]
        assert client.post(url, content=b"again").content == b"again"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_fields_of_ours(kit: Kit, lab: Lab, wire: Wire) -> None:
    """Interim responses, and trailers in both directions."""
    seen: list[Any] = []

    async def handler(request: aio.Request) -> None:
        await skip(request.payload)
        seen.append(request.trailers)
        await request.inform(103, [("link", "</a>")])

        async def body() -> AsyncIterator[bytes]:
            yield b"a"

        await request.respond(200, [], body(), trailers=[("x-end", "1")])

    with serving(lab, wire, handler) as url, client_of(kit, lab, wire) as client:
        extensions = {"trailers": [(b"X-Sum", b"7")], "target": b"/else"}
        response = client.post(url, content=b"body", extensions=extensions)
        assert response.text == "a"
        assert response.extensions["trailers"] == [(b"x-end", b"1")]
        assert response.extensions["informational"] == [(103, [(b"link", b"</a>")])]
        assert seen == [[("x-sum", "7")]]


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_what_httpx_does_itself(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def handler(request: aio.Request) -> None:
        fields = dict(request.headers)
        if request.path == "/redirect":
            await request.respond(302, [("location", "/cookie"), ("set-cookie", "a=b; Path=/")])
        elif fields.get("authorization") is None:
            await request.respond(401, [("www-authenticate", "Basic")])
        else:
            text = f"{request.path} {fields.get('cookie')} {fields['authorization'][:5]}"
            await request.respond(200, [], text.encode())

    options = {"auth": ("u", "p"), "follow_redirects": True}
    with serving(lab, wire, handler) as url:
        with client_of(kit, lab, wire, options=options) as client:
            assert client.get(url + "/redirect").text == "/cookie a=b Basic"


def test_closed_and_used_again(kit: Kit, lab: Lab) -> None:
    transport = kit.ours.Transport()
    with serving(lab, HTTP1, echo) as url:
        for _ in range(2):
            with kit.httpx.Client(transport=transport) as client:
                assert client.get(url).status_code == 200


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wire", "script", "name"), SCRIPTS)
def test_faults_of_servers(kit: Kit, lab: Lab, wire: Wire, script: Script, name: str) -> None:
    with background(lambda: by_hand(script)) as url, client_of(kit, lab, wire) as client:
        with pytest.raises(getattr(kit.httpx, name)) as raised:
            client.get(url)
        assert isinstance(raised.value.__cause__, cno.ConnectionError)
        assert raised.value.request.method == "GET"


def test_unreachable(kit: Kit, lab: Lab) -> None:
    with client_of(kit, lab, HTTP1) as client:
        with pytest.raises(kit.httpx.ConnectError) as raised:
            client.get(closed_port())
        assert isinstance(raised.value.__cause__, cno.ConnectError)
        for url in ("ftp://host/", "host", "//host/"):
            with pytest.raises(kit.httpx.UnsupportedProtocol):
                client.get(url)


def test_untrusted(kit: Kit, lab: Lab) -> None:
    with serving(lab, HTTP1_TLS, hello) as url:
        with client_of(kit, lab, HTTP1) as client:
            with pytest.raises(kit.httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                client.get(url)
        with client_of(kit, lab, HTTP1, verify=False) as careless:
            assert careless.get(url).text == "hello"


def test_our_own_fault(kit: Kit, lab: Lab) -> None:
    with serving(lab, HTTP1, hello) as url, client_of(kit, lab, HTTP1) as client:
        with pytest.raises(kit.httpx.LocalProtocolError) as raised:
            client.get(url, headers={"x": "a\nb"})
        assert isinstance(raised.value.__cause__, cno.raw.UsageError)
        assert client.get(url).text == "hello"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_read_timeout(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def handler(request: aio.Request) -> None:
        if request.path == "/head":
            await asyncio.sleep(20)

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(20)

        await request.respond(200, [], body() if request.path == "/body" else b"fine")

    with serving(lab, wire, handler) as url, client_of(kit, lab, wire) as client:
        for path in ("/head", "/body"):
            with pytest.raises(kit.httpx.ReadTimeout) as raised:
                client.get(url + path, extensions=timeouts(read=SHORT))
            assert isinstance(raised.value.__cause__, TimeoutError)
            assert isinstance(raised.value.__cause__, cno.StreamError)
        ok = client.get(url, extensions=timeouts(read=5, write=5, pool=5, connect=5))
        assert ok.text == "fine"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_write_timeout(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def deaf(peer: Peer) -> None:
        if wire.http2:
            await greet(peer)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport for both directions
        await asyncio.sleep(20)

    with background(lambda: by_hand(deaf)) as url, client_of(kit, lab, wire) as client:
        for content in (bytes(64_000_000), iter([bytes(65_536)] * 1000)):
            with pytest.raises(kit.httpx.WriteTimeout) as raised:
                client.post(url, content=content, extensions=timeouts(write=SHORT, read=9))
            assert isinstance(raised.value.__cause__, TimeoutError)


def test_pool_timeout(kit: Kit, lab: Lab) -> None:
    """And afterwards the pool has all of its places again."""

    async def handler(request: aio.Request) -> None:
        if request.path == "/slow":
            began.set()
            await asyncio.sleep(0.3)
        await request.respond(200)

    began = threading.Event()
    limits = kit.httpx.Limits(max_connections=1)
    with serving(lab, HTTP1, handler) as url, client_of(kit, lab, HTTP1, limits=limits) as client:
        slow = threading.Thread(target=client.get, args=(url + "/slow",))
        slow.start()
        assert began.wait(5)

        def late(number: int) -> None:
            with pytest.raises(kit.httpx.PoolTimeout):
                client.get(url, extensions=timeouts(pool=SHORT))

        in_threads(10, late)
        slow.join()

        def fine(number: int) -> None:
            assert client.get(url, extensions=timeouts(pool=5)).status_code == 200

        in_threads(10, fine)


def test_connect_timeout(kit: Kit, lab: Lab) -> None:
    """A listener whose backlog is full accepts nobody; TLS that is never answered is as late."""

    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        url = stack.enter_context(background(lambda: by_hand(silent)))
        client = stack.enter_context(client_of(kit, lab, HTTP1))
        urls = [f"http://{HOST}:{full.getsockname()[1]}", url.replace("http", "https")]
        for each in urls:
            with pytest.raises(kit.httpx.ConnectTimeout) as raised:
                client.get(each, extensions=timeouts(connect=SHORT))
            assert isinstance(raised.value.__cause__, TimeoutError)


def test_retries(kit: Kit, lab: Lab) -> None:
    """`retries` is for connections that could not be made."""
    url = closed_port()
    port = int(url.rpartition(":")[2])
    events: list[str] = []
    with ExitStack() as stack, client_of(kit, lab, HTTP1, retries=2) as client:

        def trace(name: str, info: dict[str, Any]) -> None:
            events.append(name)
            if events.count("connection.connect_tcp.failed") == 1 and len(events) == 2:
                stack.enter_context(background(lambda: aio.serve(hello, HOST, port)))

        assert client.get(url, extensions={"trace": trace}).text == "hello"
        assert events.count("connection.connect_tcp.started") == 2
        client.close()


# -- extensions and arguments ----------------------------------------------------------------------


def test_trace(kit: Kit, lab: Lab, wire: Wire) -> None:
    events: list[str] = []

    def trace(name: str, info: dict[str, Any]) -> None:
        events.append(name)
        assert isinstance(info, dict)

    with serving(lab, wire, hello) as url, client_of(kit, lab, wire) as client:
        for _ in range(2):
            client.get(url, extensions={"trace": trace})
    name = "http2" if wire.http2 else "http11"
    steps = ["connection.connect_tcp", *["connection.start_tls"] * wire.tls]
    request = [
        f"{name}.send_request_headers",
        f"{name}.send_request_body",
        f"{name}.receive_response_headers",
        f"{name}.receive_response_body",
        f"{name}.response_closed",
    ]
    assert events == [
        f"{step}.{state}"
        for step in [*steps, *request, *request]
        for state in ("started", "complete")
    ]


def test_trace_that_raises(kit: Kit, lab: Lab) -> None:
    def trace(name: str, info: dict[str, Any]) -> None:
        raise KeyError(name)

    async def asynchronous(name: str, info: dict[str, Any]) -> None:
        raise AssertionError

    with serving(lab, HTTP1, hello) as url, client_of(kit, lab, HTTP1) as client:
        for _ in range(2):
            with pytest.raises(KeyError):
                client.get(url, extensions={"trace": trace})
        with pytest.raises(TypeError, match="normal function"):
            client.get(url, extensions={"trace": asynchronous})
        assert client.get(url).text == "hello"


def test_sni_hostname(kit: Kit, lab: Lab) -> None:
    with serving(lab, HTTP2_TLS, hello) as url, client_of(kit, lab, HTTP2_TLS) as client:
        assert client.get(url, extensions={"sni_hostname": "cno.test"}).text == "hello"
        with pytest.raises(kit.httpx.ConnectError):
            client.get(url, extensions={"sni_hostname": "other.test"})


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_extra_info(kit: Kit, lab: Lab, wire: Wire) -> None:
    with serving(lab, wire, hello) as url, client_of(kit, lab, wire) as client:
        with client.stream("GET", url) as response:
            stream = response.extensions["network_stream"]
            port = int(url.rpartition(":")[2])
            assert stream.get_extra_info("server_addr")[:2] == (HOST, port)
            assert stream.get_extra_info("client_addr")[0] == HOST
            assert stream.get_extra_info("is_readable") is False
            assert isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject) == wire.tls
            assert stream.get_extra_info("nothing") is None
            with pytest.raises(kit.core.LocalProtocolError):
                stream.read(1)


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_tunnel(kit: Kit, lab: Lab, wire: Wire, method: str) -> None:
    settings: SettingsDict = {"enable_connect_protocol": True}
    headers = {"connection": "upgrade", "upgrade": "echo"} if method == "GET" else {}
    extensions = {"target": b"example.org:443"} if method == "CONNECT" else {}
    with (
        serving(lab, wire, echo_upgrade, settings=settings) as url,
        client_of(kit, lab, wire) as client,
        client.stream(method, url, headers=headers, extensions=extensions) as response,
    ):
        assert response.status_code == (200 if method == "CONNECT" else 101)
        stream = response.extensions["network_stream"]
        stream.write(b"ping")
        assert stream.read(100, timeout=5) == b"ping"
        with pytest.raises(kit.core.ReadTimeout):
            stream.read(100, timeout=0.02)
        stream.write(b"pong", timeout=5)
        assert stream.read(100) == b"pong"


def test_upgrade_without_extended_connect(kit: Kit, lab: Lab) -> None:
    """A server whose HTTP/2 has no extended CONNECT is asked over HTTP/1.1."""
    settings: SettingsDict = {"enable_connect_protocol": False}
    headers = {"connection": "upgrade", "upgrade": "echo"}
    with (
        serving(lab, HTTP2_TLS, echo_upgrade, settings=settings) as url,
        client_of(kit, lab, HTTP2_TLS) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 101 and response.http_version == "HTTP/1.1"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_websocket(kit: Kit, lab: Lab, wire: Wire) -> None:
    """httpx2's own WebSockets, and httpx-ws for httpx."""

    async def handler(request: aio.Request) -> None:
        async with await request.accept_websocket() as socket:
            async for message in socket:
                await socket.send(message)

    settings: SettingsDict = {"enable_connect_protocol": True}
    with (
        serving(lab, wire, handler, settings=settings) as url,
        client_of(kit, lab, wire) as client,
    ):
        if str(kit) == "httpx2":
            opened = client.websocket(url)
        else:
            from httpx_ws import connect_ws

            opened = connect_ws(url, client)
        with opened as ws:
            ws.send_text("hi")
            assert ws.receive_text() == "hi"
            ws.send_bytes(b"x" * 50_000)
            assert ws.receive_bytes() == b"x" * 50_000


def test_unix_socket(kit: Kit, lab: Lab, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with background(lambda: aio.serve(hello, path=path)):
        with client_of(kit, lab, HTTP1, uds=path) as client:
            assert client.get("http://anything/").text == "hello"


def test_local_address(kit: Kit, lab: Lab) -> None:
    async def handler(request: aio.Request) -> None:
        peer = request.peer
        await request.respond(200, [], str(peer and peer[0]).encode())

    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    arguments: dict[str, Any] = {"local_address": "127.0.0.2", "socket_options": options}
    with serving(lab, HTTP1, handler) as url, client_of(kit, lab, HTTP1, **arguments) as client:
        response = client.get(url)
        assert response.text == "127.0.0.2"
        sock = response.extensions["network_stream"].get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_limits(kit: Kit, lab: Lab) -> None:
    """Never more connections than allowed, and after use no more than are to be kept."""
    open_now = 0
    most = 0
    connections: set[Any] = set()

    async def handler(request: aio.Request) -> None:
        nonlocal open_now, most
        connections.add(request.conn)
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.01)
        open_now -= 1
        await request.respond(200)

    limits = kit.httpx.Limits(max_connections=3, max_keepalive_connections=1)
    with serving(lab, HTTP1, handler) as url, client_of(kit, lab, HTTP1, limits=limits) as client:

        def work(number: int) -> None:
            assert client.get(url).status_code == 200

        in_threads(12, work)
        assert most == 3
        until = time.monotonic() + 5
        while sum(not each.transport.is_closing() for each in connections) > 1:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_http_proxy(kit: Kit, lab: Lab) -> None:
    proxy = Proxy()
    with serving(lab, HTTP2_TLS, hello) as url, background(lambda: by_hand(proxy)) as place:
        given = kit.httpx.Proxy(place, auth=("u", "p"), headers={"x-for": "proxy"})
        with client_of(kit, lab, HTTP2_TLS, proxy=given) as client:
            response = client.get(url)
            assert response.text == "hello" and response.http_version == "HTTP/2"
            assert client.get("http://example.org/a").text == "proxied"
    tunnel, forwarded = proxy.heads
    assert tunnel.startswith(b"CONNECT 127.0.0.1:")
    assert forwarded.startswith(b"GET http://example.org/a HTTP/1.1\r\n")
    for head in proxy.heads:
        assert b"proxy-authorization: Basic dTpw" in head and b"x-for: proxy" in head


def test_proxy_refuses(kit: Kit, lab: Lab) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    with background(lambda: by_hand(Proxy(refusal))) as place:
        with client_of(kit, lab, HTTP2_TLS, proxy=place) as client:
            with pytest.raises(kit.httpx.ProxyError, match="407"):
                client.get("https://example.org/")


@pytest.mark.parametrize("wire", [HTTP1, HTTP2_TLS], ids=str)
def test_socks(kit: Kit, lab: Lab, wire: Wire) -> None:
    pytest.importorskip("socksio")
    with serving(lab, wire, hello) as url:
        with background(lambda: socks_server(None)) as place:
            with client_of(kit, lab, wire, proxy=f"socks5://{place}") as client:
                assert client.get(url).text == "hello"
        with background(lambda: socks_server(b"p")) as place:
            with client_of(kit, lab, wire, proxy=f"socks5://u:p@{place}") as client:
                assert client.get(url).text == "hello"
            with client_of(kit, lab, wire, proxy=f"socks5://u:x@{place}") as client:
                with pytest.raises(kit.httpx.ProxyError):
                    client.get(url)
        with background(lambda: socks_server(None, refuse=True)) as place:
            with client_of(kit, lab, wire, proxy=f"socks5://{place}") as client:
                with pytest.raises(kit.httpx.ProxyError, match="CONNECTION_REFUSED"):
                    client.get(url)


def test_without_http2(kit: Kit, lab: Lab) -> None:
    with serving(lab, HTTP2_TLS, hello) as url:
        with client_of(kit, lab, HTTP2_TLS, http2=False) as client:
            assert client.get(url).http_version == "HTTP/1.1"
        with client_of(kit, lab, HTTP2_TLS) as client:
            assert client.get(url).http_version == "HTTP/2"


# -- threads ---------------------------------------------------------------------------------------


def test_goaway_under_load(kit: Kit, lab: Lab) -> None:
    """A server that ends each connection after ten requests: none of them fails."""

    async def handler(request: aio.Request) -> None:
        await request.respond(200, [], request.path.encode())

    limits = Limits(max_requests_per_connection=10)
    with serving(lab, HTTP2, handler, limits=limits) as url:
        with client_of(kit, lab, HTTP2) as client:

            def work(number: int) -> None:
                for at in range(20):
                    method = "POST" if at % 2 else "GET"
                    response = client.request(method, f"{url}/{number}/{at}", timeout=10)
                    assert response.text == f"/{number}/{at}"

            in_threads(10, work)
