"""Which connection a request of the blocking pool gets, and where it is sent again."""

import pytest

import cno
from cno import sync
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2_TLS, Lab, Peer, Wire, by_hand
from tests.sync.kit import background, serving


async def where(request: cno.Request) -> None:
    await request.respond(200, [], b"2" if request.conn.is_http2 else b"1")


@pytest.mark.parametrize("answers", [1, 2])
def test_a_misdirected_request(answers: int) -> None:
    """It is sent once more, over a new connection."""
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.head()
        if connections <= answers:
            peer.send(b"HTTP/1.1 421 Not Me\r\ncontent-length: 2\r\n\r\nno")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await peer.reader.read()

    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        response = pool.request("POST", url, [], b"body")
        assert (response.code, response.read()) == ((200, b"ok") if answers == 1 else (421, b"no"))
        assert connections == 2


def test_a_server_that_requires_http1(lab: Lab) -> None:
    """Later requests to the same origin go over HTTP/1.1 at once."""
    asked: list[bool] = []

    async def handle(request: cno.Request) -> None:
        asked.append(request.conn.is_http2)
        if request.conn.is_http2:
            request.conn.write_reset(request.stream, cno.raw.CNO_RST_HTTP_1_1_REQUIRED)
        else:
            await where(request)

    with serving(lab, HTTP2_TLS, handle) as url, sync.Pool(lab.certs.client()) as pool:
        for _ in range(2):
            assert pool.request("POST", url, [], b"body").read() == b"1"
        assert asked == [True, False, False]
        with sync.request("GET", url, ssl_ctx=lab.certs.client()) as response:
            assert response.read() == b"1"


def test_a_goaway_that_requires_http1(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        peer.send(peer.pen.settings({}))
        await peer.reader.readexactly(24)
        await peer.expect(f.HEADERS)
        peer.send(peer.pen.goaway(0, f.HTTP_1_1_REQUIRED))
        await peer.rest()

    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        with pytest.raises(cno.ConnectionError):  # in clear text, nothing else can be tried
            pool.request("GET", url.replace("http:", "h2c:"))


def test_the_proxy_of_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def proxy(request: cno.Request) -> None:
        asked.append(request.header(":authority") or "")
        await request.respond(200, [], b"proxied")

    with serving(lab, HTTP1, proxy) as place, serving(lab, HTTP1, where) as url:
        monkeypatch.setenv("http_proxy", place)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with sync.Pool(proxy="env") as pool:
            assert pool.request("GET", "http://cno.test/a").read() == b"proxied"
            assert pool.request("GET", url).read() == b"1"
        with sync.request("GET", "http://cno.test/a", proxy="env") as response:
            assert response.read() == b"proxied"
        monkeypatch.setenv("http_proxy", "socks9://")
        with sync.Pool(proxy="env") as pool, pytest.raises(ValueError, match="socks9"):
            pool.request("GET", "http://cno.test/a")
    assert asked == ["cno.test", "cno.test"]


@pytest.mark.parametrize("wire", [HTTP1_TLS, HTTP2_TLS], ids=str)
def test_the_name_of_the_certificate(lab: Lab, wire: Wire) -> None:
    context = lab.certs.client()
    with serving(lab, wire, where) as url:
        with sync.Pool(context, ssl_hostname="cno.test") as pool:
            assert pool.request("GET", url).read() == (b"2" if wire.http2 else b"1")
        with sync.Pool(context, ssl_hostname="other.test") as pool:
            with pytest.raises(cno.ConnectError, match=r"other\.test"):
                pool.request("GET", url)


def test_connections_of_http1(lab: Lab) -> None:
    """Up to `max_per_origin` at once; of those that nobody uses, `max_idle` are kept."""
    body = bytes(5_000_000)  # more than comes with the head

    async def large(request: cno.Request) -> None:
        await request.respond(200, [], body)

    with serving(lab, HTTP1, large) as url:
        with sync.Pool(max_per_origin=3, max_idle=1) as pool:
            responses = [pool.request("GET", url) for _ in range(3)]
            assert pool.connections == 3
            with pytest.raises(sync.PoolTimeoutError):
                pool.request("GET", url, timeout=sync.Timeout(pool=0.02))
            for response in responses:
                assert response.read() == body
            assert pool.connections == 1
