"""Requests and responses of the blocking client, over every wire."""

import io
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import cno
from cno import sync
from cno.errors import UsageError
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Peer, Wire, by_hand
from tests.aio.test_proxy import Proxy, proxied
from tests.sync.kit import background, serving

BIG = bytes(range(256)) * 20_000  # 5 MB: several windows


async def handler(request: cno.Request) -> None:
    if request.path == "/echo":
        await request.respond(200, [("content-type", "x/y")], await request.payload.read())
    elif request.path == "/stream":
        await request.respond(200, [], pieces_of(request))
    elif request.path == "/big":
        await request.respond(200, [], BIG)
    elif request.path == "/trailers":
        await request.payload.read()
        told = str(request.trailers)
        await request.respond(200, [], pieces(told.encode()), trailers=[("x-end", "1")])
    elif request.path == "/early":
        await request.inform(103, [("link", "a")])
        await request.inform(103, [("link", "b")])
        await request.respond(200, [], b"late")
    elif request.path == "/push":
        request.push("GET", "/pushed")
        await request.respond(200, [], b"pushing")
    elif request.path == "/no":
        await request.respond(403, [], b"no")
    elif request.path == "/json":
        await request.respond(200, [("content-type", "text/plain; charset=latin-1")], b'{"a": 1}')
    else:
        fields = [("x-method", request.method), ("x-path", request.path), ("x-two", "1")]
        await request.respond(200, [*fields, ("x-two", "2")], b"hello")


async def pieces_of(request: cno.Request) -> AsyncIterator[bytes]:
    while piece := await request.payload.read(65_536):
        yield piece


async def pieces(*them: bytes) -> AsyncIterator[bytes]:
    for each in them:
        yield each


@pytest.fixture
def url(lab: Lab, wire: Wire) -> Iterator[str]:
    with serving(lab, wire, handler) as found:
        yield found


@pytest.fixture
def pool(lab: Lab, url: str) -> Iterator[sync.Pool]:
    with sync.Pool(lab.certs.client()) as made:
        yield made


def test_a_request(pool: sync.Pool, url: str, wire: Wire) -> None:
    for _ in range(3):
        with pool.request("GET", url + "/x?y", [("X-Mine", "1")]) as response:
            assert response.code == 200
            assert response.header("X-Path") == "/x?y"
            assert response.header("no") is None
            assert response.header("no", "none") == "none"
            assert response.header_values("x-two") == ["1", "2"]
            assert response.read() == response.read() == b"hello"
            assert response.text() == "hello"
            assert response.raise_for_status() is response
            assert response.is_http2 == wire.http2
            assert response.trailers is None
    assert pool.connections == 1


def test_by_connect_and_request(lab: Lab, url: str) -> None:
    context = lab.certs.client()
    with sync.connect(url, context) as client:
        for _ in range(2):
            assert client.request("GET", "/").read() == b"hello"
        if client.is_http2:
            assert 0.0 < client.ping() < 10.0
        else:
            with pytest.raises(cno.ConnectionError, match="no PING"):
                client.ping()
    with pytest.raises(cno.ConnectionLostError):
        client.request("GET", "/")
    assert sync.request("GET", url, ssl_ctx=context).read() == b"hello"
    with sync.request("GET", url + "/big", ssl_ctx=context) as response:
        assert next(response)


def generated(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


@pytest.mark.parametrize("kind", ["bytes", "memoryview", "list", "iterable", "file", "memory"])
def test_bodies(pool: sync.Pool, url: str, kind: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"skip" + BIG)
        file.seek(4)
        data: Any = {
            "bytes": BIG,
            "memoryview": memoryview(BIG),
            "list": [BIG[:10], BIG[10:]],
            "iterable": generated(BIG),
            "file": file,
            "memory": io.BytesIO(BIG),
        }[kind]
        with pool.request("POST", url + "/echo", [], data) as response:
            assert response.read() == BIG


def test_both_directions_at_once(pool: sync.Pool, url: str) -> None:
    """The server answers while the request is still being sent."""
    with pool.request("POST", url + "/stream", [], generated(BIG)) as response:
        assert b"".join(response) == BIG
    with pool.request("POST", url + "/stream", [], BIG) as response:
        assert response.read() == BIG


def test_a_body_piece_by_piece(pool: sync.Pool, url: str, tmp_path: Path) -> None:
    with pool.request("GET", url + "/big") as response:
        with open(tmp_path / "it", "wb") as file:
            shutil.copyfileobj(response.payload, file)
        assert (tmp_path / "it").read_bytes() == BIG
    with pool.request("GET", url + "/big") as response:
        raw: Any = response.payload
        buffered = io.BufferedReader(raw, 100_000)
        assert buffered.read(10) == BIG[:10]
        assert buffered.read() == BIG[10:]
    with pool.request("GET", url + "/big") as response:
        assert response.payload.read(0) == b""
        assert len(response.payload.read(7)) == 7
        assert len(response.payload.read(-1)) == len(BIG) - 7


def test_iteration_and_read(pool: sync.Pool, url: str) -> None:
    with pool.request("GET", url + "/big") as response:
        assert response.read() == BIG
        for _ in range(2):
            pieces = list(response)
            assert b"".join(pieces) == BIG
            assert max(map(len, pieces)) <= 131_072
        next(response, None)
        assert response.read() == BIG
    with pool.request("GET", url + "/big") as response:
        begin = next(response)
        for call in (response.read, response.text, response.json):
            with pytest.raises(UsageError, match=r"an iteration has returned a part.*payload"):
                call()
        assert begin + response.payload.read() == BIG
    with pool.request("HEAD", url) as response:
        assert list(response) == []
        assert response.read() == b""


def test_limits_of_read(pool: sync.Pool, url: str) -> None:
    with pool.request("GET", url + "/big") as response, pytest.raises(cno.BodyTooLargeError):
        response.read(1000)
    with pool.request("POST", url + "/stream", [], BIG) as response:
        with pytest.raises(cno.BodyTooLargeError):
            response.read(1000)
    response = pool.request("GET", url)
    assert response.read(5) == b"hello"
    with pytest.raises(cno.BodyTooLargeError):
        response.read(4)
    with pytest.raises(ValueError, match="negative"):
        pool.request("GET", url).read(-1)


def test_text_and_json(pool: sync.Pool, url: str) -> None:
    response = pool.request("GET", url + "/json")
    assert response.json() == {"a": 1}
    assert response.text() == '{"a": 1}'
    with pytest.raises(ValueError, match="Expecting value"):
        pool.request("GET", url).json()
    with pytest.raises(cno.StatusError) as caught:
        pool.request("GET", url + "/no").raise_for_status()
    assert caught.value.code == 403


def test_trailers_both_ways(pool: sync.Pool, url: str) -> None:
    response = pool.request("POST", url + "/trailers", [], b"body", trailers=[("x-mine", "2")])
    assert response.read() == b"[('x-mine', '2')]"
    assert response.trailers == [("x-end", "1")]


def test_interim_responses(pool: sync.Pool, url: str) -> None:
    told: list[tuple[int, Any]] = []
    response = pool.request(
        "GET", url + "/early", on_informational=lambda code, fields: told.append((code, fields))
    )
    assert told == response.informational == [(103, [("link", "a")]), (103, [("link", "b")])]
    assert response.read() == b"late"


def test_expect_continue(pool: sync.Pool, url: str) -> None:
    fields = [("expect", "100-continue")]
    with pool.request("POST", url + "/echo", fields, BIG) as response:
        assert response.read() == BIG
        assert [code for code, _ in response.informational] == [100]
    with pool.request("POST", url + "/no", fields, iter([BIG])) as response:
        assert response.code == 403


def test_head_and_no_content(pool: sync.Pool, url: str) -> None:
    response = pool.request("HEAD", url)
    assert response.read() == b""
    assert response.header("content-length") == "5"


def test_leaving_early(pool: sync.Pool, url: str) -> None:
    for _ in range(3):
        with pool.request("GET", url + "/big") as response:
            assert next(response)
        assert pool.request("GET", url).read() == b"hello"
    response = pool.request("GET", url + "/big")
    response.cancel()
    with pytest.raises(cno.StreamError):
        for _ in response:
            pass


def test_an_abandoned_upload(pool: sync.Pool, url: str) -> None:
    closed: list[bool] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(10_000)
        finally:
            closed.append(True)

    with pool.request("POST", url + "/stream", [], endless()) as response:
        assert next(response)
    assert closed == [True]
    assert pool.request("GET", url).read() == b"hello"


def test_a_body_that_fails(pool: sync.Pool, url: str) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        pool.request("POST", url + "/echo", [], broken())
    for wrong in ("text", 5, {"a": 1}, io.StringIO("text")):
        data: Any = wrong
        with pytest.raises(TypeError):
            pool.request("POST", url + "/echo", [], data)
    with pytest.raises(ValueError, match="no host"):
        pool.request("GET", "http:///")
    with pytest.raises(cno.ConnectionError, match="G T"):
        pool.request("G T", url)
    assert pool.request("GET", url).read() == b"hello"


def test_pushes(lab: Lab) -> None:
    with serving(lab, HTTP2, handler) as url, sync.Pool(pushes=True) as pool:
        with pool.request("GET", url + "/push") as response:
            pushes = list(response.pushed)
            assert [(each.method, each.path) for each in pushes] == [("GET", "/pushed")]
            assert pushes[0].response.read() == b"hello"
        with pool.request("GET", url + "/push") as response:
            assert response.read() == b"pushing"
        with pool.request("GET", url + "/push") as response:
            for push in response.pushed:
                push.cancel()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with background(lambda: cno.serve(handler, path=path)):
        with sync.Pool(unix=path) as pool:
            assert pool.request("GET", "http://anything/").read() == b"hello"
        assert sync.request("GET", "h2c://anything/", unix=path).read() == b"hello"


# -- time limits -----------------------------------------------------------------------------------


def silent_after(data: bytes) -> Any:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(data)
        await peer.reader.read()

    return lambda: by_hand(script)


def test_timeouts_of_a_request() -> None:
    with background(silent_after(b"")) as url, sync.Pool() as pool:
        for given in (0.05, sync.Timeout(0.05), sync.Timeout(read=0.05)):
            began = time.monotonic()
            with pytest.raises(sync.ReadTimeoutError) as caught:
                pool.request("GET", url, timeout=given)
            assert time.monotonic() - began < 5
            assert isinstance(caught.value, (TimeoutError, cno.StreamTimeoutError))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"
    with background(silent_after(head)) as url, sync.Pool(timeout=0.05) as pool:
        response = pool.request("GET", url)
        assert next(response) == b"abc"
        with pytest.raises(sync.ReadTimeoutError):
            next(response)
    with sync.Pool(limits=Limits(body_timeout=0.05)) as pool, background(silent_after(head)) as url:
        with pytest.raises(cno.StreamTimeoutError, match="body_timeout"):
            pool.request("GET", url).read()
    for wrong in ("1", 0, -1, float("nan"), True):
        bad: Any = wrong
        with pytest.raises((TypeError, ValueError)):
            sync.Pool(timeout=bad)


def test_a_server_that_takes_nothing() -> None:
    async def script(peer: Peer) -> None:
        peer.send(peer.pen.settings({f.INITIAL_WINDOW_SIZE: 10}))
        await peer.reader.readexactly(24)
        await peer.rest()

    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        url = url.replace("http:", "h2c:")
        with pytest.raises(sync.WriteTimeoutError):
            pool.request("POST", url, [], BIG, timeout=sync.Timeout(write=0.05))
        with pytest.raises(sync.WriteTimeoutError):
            pool.request("POST", url, [], generated(BIG), timeout=0.05)


def test_no_connection_in_time(lab: Lab) -> None:
    with serving(lab, HTTP1, handler) as url, sync.Pool(max_connections=1) as pool:
        with pool.request("GET", url + "/big"):
            with pytest.raises(sync.PoolTimeoutError):
                pool.request("GET", url, timeout=sync.Timeout(pool=0.05))
            with pytest.raises(sync.PoolTimeoutError):
                pool.request("GET", url, timeout=0.05)
        assert pool.request("GET", url).read() == b"hello"
        assert pool.connections == 1


# -- proxies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
@pytest.mark.parametrize("secure", [False, True], ids=["proxy", "proxy-tls"])
def test_through_a_proxy(lab: Lab, target: Wire, secure: bool) -> None:
    context = lab.certs.client()
    through = HTTP1_TLS if secure else HTTP1
    with serving(lab, target, handler) as url:
        with background(lambda: proxied(lab, Proxy(), through)) as proxy:
            with sync.Pool(context, proxy=proxy, proxy_ssl_ctx=context, proxy_tunnel=True) as pool:
                with pool.request("POST", url + "/echo", [], BIG) as response:
                    assert response.read() == BIG
                assert pool.request("GET", url).read() == b"hello"


# -- the end of connections ------------------------------------------------------------------------


def test_an_idle_connection_that_the_server_closes() -> None:
    heads = 0

    async def script(peer: Peer) -> None:
        nonlocal heads
        await peer.head()
        heads += 1
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        peer.writer.close()
        await peer.writer.wait_closed()
        closed.release()

    closed = threading.Semaphore(0)
    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        for _ in range(20):
            assert pool.request("POST" if _ % 2 else "GET", url).read() == b"ok"
            assert closed.acquire(timeout=10)
    assert heads == 20


def test_a_refused_stream_is_sent_again() -> None:
    async def script(peer: Peer) -> None:
        peer.send(peer.pen.settings({}))
        await peer.reader.readexactly(24)
        got = await peer.expect(f.HEADERS)
        peer.send(peer.pen.rst(got.stream, f.REFUSED_STREAM))
        got = await peer.expect(f.HEADERS)
        peer.send(peer.pen.headers(got.stream, [(":status", "204")], end_stream=True))
        await peer.rest()

    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        assert pool.request("POST", url.replace("http:", "h2c:"), [], b"body").code == 204


def test_requests_beyond_the_servers_limit(lab: Lab) -> None:
    """One thread opens more streams than the server allows, and reads none before."""
    with serving(lab, HTTP2, handler, limits=Limits(max_concurrent_streams=5)) as url:
        with sync.Pool() as pool:
            responses = [pool.request("GET", url) for _ in range(40)]
            assert all(each.read() == b"hello" for each in responses)
            assert pool.connections == 1


def test_closing_from_another_thread(lab: Lab) -> None:
    with background(silent_after(b"")) as url:
        client = sync.connect(url)
        timer = threading.Timer(0.05, client.close)
        timer.start()
        with pytest.raises(cno.ConnectionLostError, match="closed here"):
            client.request("GET", "/")
        timer.join()
        pool = sync.Pool()

        def leave() -> None:
            with suppress(LookupError), pool:
                raise LookupError  # `with` then cancels what is open

        timer = threading.Timer(0.05, leave)
        timer.start()
        with pytest.raises((cno.ConnectionLostError, cno.StreamError)):
            pool.request("GET", url)
        timer.join()


# -- connecting ------------------------------------------------------------------------------------


def test_the_connect_timeout_of_a_request_that_waits_for_anothers_connection() -> None:
    """Each request has its own, whichever thread makes the connection."""

    async def silent(peer: Peer) -> None:
        await peer.reader.read()  # no answer to the TLS handshake

    with background(lambda: by_hand(silent)) as url, sync.Pool() as pool:
        secure = url.replace("http:", "https:")

        def patient() -> None:
            with pytest.raises(cno.ConnectTimeoutError):
                pool.request("GET", secure, timeout=sync.Timeout(connect=1.0))

        other = threading.Thread(target=patient)
        other.start()
        time.sleep(0.03)
        began = time.monotonic()
        with pytest.raises(cno.ConnectTimeoutError, match="no connection within 0"):
            pool.request("GET", secure, timeout=sync.Timeout(connect=0.05, pool=5))
        assert time.monotonic() - began < 0.8
        other.join()


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse at once")
def test_a_unix_socket_whose_backlog_is_full(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        held = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        try:
            for each in held:
                each.setblocking(False)
                with suppress(BlockingIOError):
                    each.connect(path)
            with pytest.raises(cno.ConnectTimeoutError):
                sync.connect("http://a/", unix=path, timeout=sync.Timeout(connect=0.05))
        finally:
            for each in held:
                each.close()
