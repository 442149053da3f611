"""WebSockets of the blocking client, over either protocol."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

import cno
from cno import sync
from cno.settings import SettingsDict
from cno.sync.websocket import WebSocket, connect
from cno.websocket import HandshakeError, Options, WebSocketClosed
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, Lab, Peer, Wire, by_hand
from tests.sync.kit import background, in_threads, serving
from tests.tunnel_proxy import tunnel_proxy

pytest.importorskip("websockets")

CONNECT: SettingsDict = {"enable_connect_protocol": True}
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


async def handler(request: cno.Request) -> None:
    if request.path == "/plain":
        await request.respond(200, [], b"plain")
        return
    if request.path == "/no":
        await request.respond(403, [], b"refused")
        return
    async with await request.accept_websocket(subprotocols=["b", "a"]) as socket:
        if request.path == "/bye":
            await socket.close(1001, "going")
        elif request.path == "/flood":
            for number in range(500):
                await socket.send(str(number))
        elif request.path == "/silent":
            await socket.wait_closed()
        else:
            async for message in socket:
                await socket.send(message)


@pytest.fixture
def url(lab: Lab, wire: Wire) -> Iterator[str]:
    with serving(lab, wire, handler, settings=CONNECT) as found:
        yield found


@pytest.fixture
def pool(lab: Lab, request: pytest.FixtureRequest) -> Iterator[sync.Pool]:
    if "url" in request.fixturenames:
        request.getfixturevalue("url")  # the pool closes before the server
    with sync.Pool(lab.certs.client()) as made:
        yield made


# -- servers by hand -------------------------------------------------------------------------------


async def accepted(request: cno.Request) -> cno.Tunnel:
    """Accept a WebSocket; return its bytes."""
    key = request.header("sec-websocket-key")
    if key is None:
        return await request.upgrade([])
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
    return await request.upgrade([("sec-websocket-accept", accept)])


def frame(opcode: int, data: bytes = b"", fin: bool = True) -> bytes:
    size = len(data)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([size]) + data
    return head + b"\x7f" + size.to_bytes(8, "big") + data


async def exactly(tunnel: cno.Tunnel, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await tunnel.read(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


async def next_frame(tunnel: cno.Tunnel) -> tuple[int, bytes]:
    """Return the opcode and the payload of a client's frame."""
    first, second = await exactly(tunnel, 2)
    assert second & 0x80, "clients mask"
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await exactly(tunnel, 2), "big")
    elif size == 127:
        size = int.from_bytes(await exactly(tunnel, 8), "big")
    mask = await exactly(tunnel, 4)
    data = await exactly(tunnel, size)
    return first & 15, bytes(each ^ mask[at % 4] for at, each in enumerate(data))


Script = Callable[[cno.Tunnel], Awaitable[None]]


@contextlib.contextmanager
def scripted(lab: Lab, wire: Wire, script: Script) -> Iterator[str]:
    """A server that plays a script on each WebSocket; what it raises comes out here."""
    problems: list[BaseException] = []

    async def play(request: cno.Request) -> None:
        tunnel = await accepted(request)
        try:
            await script(tunnel)
        except (cno.ConnectionError, asyncio.CancelledError, EOFError):
            raise
        except BaseException as error:
            problems.append(error)
            raise

    limits = cno.Limits(linger_timeout=0.05, shutdown_timeout=0.05)
    with serving(lab, wire, play, settings=CONNECT, limits=limits) as url:
        yield url
    assert problems == []


async def until_gone(tunnel: cno.Tunnel) -> None:
    while await tunnel.read(65_536):
        pass


# -- messages --------------------------------------------------------------------------------------


def test_messages(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url, subprotocols=["a", "b"]) as socket:
        code = socket.close_code
        assert (socket.subprotocol, code) == ("b", None)
        for message in ("text", b"binary", "é" * 100_000, bytes(500_000), "", b""):
            socket.send(message)
            assert socket.receive(timeout=10) == message
        socket.send(memoryview(b"view"))
        assert socket.receive() == b"view"
        assert 0.0 < socket.ping() < 10.0
        with pytest.raises(TypeError, match="message is str"):
            socket.send(1)  # type: ignore[arg-type]  # that is the mistake
    assert (socket.close_code, socket.close_reason) == (1000, "")
    with pytest.raises(WebSocketClosed):
        socket.send("late")
    with pytest.raises(WebSocketClosed):
        socket.ping()
    with pytest.raises(WebSocketClosed):
        socket.receive()
    socket.close()
    assert list(socket) == []


@CLEAR
def test_over_one_connection(url: str) -> None:
    with sync.connect(url) as client:
        with connect(client, "/", subprotocols=["a"], timeout=10) as socket:
            assert socket.subprotocol == "a"
            socket.send("x")
            assert socket.receive() == "x"
        with pytest.raises(cno.ConnectionError):
            connect(client, "/no")


@CLEAR
@pytest.mark.parametrize("compression", [False, True])
def test_compression(pool: sync.Pool, url: str, compression: bool) -> None:
    options = Options(compression=compression)
    noise = os.urandom(200_000)
    with pool.websocket(url, options=options) as socket:
        for message in (b"again and " * 20_000, noise, b"again and " * 20_000):
            socket.send(message)
            assert socket.receive(timeout=10) == message


def test_the_servers_end(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url + "/flood") as socket:
        assert list(socket) == [str(number) for number in range(500)]
        assert socket.close_code == 1000
    with pool.websocket(url + "/bye") as socket:
        assert list(socket) == []
        assert (socket.close_code, socket.close_reason) == (1001, "going")


@CLEAR
def test_a_late_message_leaves_it_open(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url) as socket:
        for wait in (0.01, 0.01, 0.0):
            with pytest.raises(sync.ReadTimeoutError):
                socket.receive(timeout=wait)
        with pytest.raises(sync.ReadTimeoutError):
            socket.wait_closed(timeout=0.01)
        socket.send("x")
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(sync.ReadTimeoutError):
                assert socket.receive(timeout=0) == "x"  # reads what has come
                break
        else:
            pytest.fail("a call that does not wait reads nothing")


# -- opening ---------------------------------------------------------------------------------------


def test_refusals(pool: sync.Pool, url: str) -> None:
    with pytest.raises(sync.UpgradeRefused) as caught:
        pool.websocket(url + "/no")
    assert caught.value.response.read() == b"refused"
    with pytest.raises(ValueError, match="ws or wss"):
        pool.websocket("ftp://host/")
    with pool.websocket(url) as socket:
        with pytest.raises(ValueError, match="1005"):
            socket.close(1005)
        with pytest.raises(ValueError, match="123 bytes"):
            socket.close(1000, "x" * 124)


@pytest.mark.parametrize("wire", [HTTP2, HTTP2_TLS], ids=str)
def test_requests_beside_it(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url) as one, pool.websocket(url) as two:
        assert pool.request("GET", url + "/plain").read() == b"plain"
        for socket in (one, two):
            socket.send("x")
            assert socket.receive() == "x"
        assert pool.connections == 1


def test_over_http1_it_takes_no_connection_from_requests(lab: Lab) -> None:
    with serving(lab, HTTP1, handler) as url, sync.Pool(max_per_origin=1) as pool:
        with pool.websocket(url) as one, pool.websocket(url) as two:
            assert pool.request("GET", url + "/plain").read() == b"plain"
            for socket in (one, two):
                socket.send("x")
                assert socket.receive() == "x"
            assert pool.connections == 3
        assert pool.connections == 1


def test_a_server_without_extended_connect(lab: Lab) -> None:
    with serving(lab, HTTP2_TLS, handler) as url, sync.Pool(lab.certs.client()) as pool:
        for _ in range(2):
            with pool.websocket(url.replace("https:", "wss:")) as socket:
                socket.send("x")
                assert socket.receive() == "x"
            assert pool.request("GET", url + "/plain").is_http2
    with serving(lab, HTTP2, handler) as url, sync.Pool() as pool:
        for _ in range(2):
            with pytest.raises(cno.raw.UnsupportedError, match="no WebSockets over HTTP/2"):
                pool.websocket(url)
        assert pool.request("GET", url + "/plain").read() == b"plain"


def test_a_stream_that_requires_http1(lab: Lab) -> None:
    async def handle(request: cno.Request) -> None:
        if request.method == "CONNECT":
            request.conn.write_reset(request.stream, cno.raw.CNO_RST_HTTP_1_1_REQUIRED)
        else:
            await handler(request)

    place = serving(lab, HTTP2_TLS, handle, settings=CONNECT)
    with place as url, sync.Pool(lab.certs.client()) as pool, pool.websocket(url) as socket:
        socket.send("x")
        assert socket.receive() == "x"


def test_a_connection_that_was_closed_meanwhile_is_replaced(lab: Lab) -> None:
    async def handle(request: cno.Request) -> None:
        await handler(request)
        if request.path == "/plain":
            asyncio.get_running_loop().call_soon(request.conn.abort)

    with serving(lab, HTTP1, handle) as url, sync.Pool() as pool:
        for _ in range(5):
            pool.request("GET", url + "/plain").read()
            with pool.websocket(url) as socket:
                socket.send("x")
                assert socket.receive() == "x"


def test_through_a_proxy_it_takes_a_tunnel(lab: Lab) -> None:
    asked: list[str] = []
    proxy = tunnel_proxy(asked)

    with serving(lab, HTTP1, handler) as url, serving(lab, HTTP1, proxy) as by:
        with sync.Pool(proxy=by) as pool, pool.websocket(url) as socket:
            socket.send("x")
            assert socket.receive() == "x"
    assert asked == ["CONNECT"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("sec-websocket-accept: x", "accept is wrong"),
        ("sec-websocket-accept: {}\r\nsec-websocket-protocol: z", "subprotocol 'z'"),
        ("sec-websocket-accept: {}\r\nsec-websocket-extensions: zip", "zip was not offered"),
    ],
)
def test_a_server_that_accepts_something_else(fields: str, error: str) -> None:
    async def script(peer: Peer) -> None:
        head = (await peer.head()).decode()
        key = head.lower().partition("sec-websocket-key: ")[0]
        key = head[len(key) :].split("\r\n")[0].partition(": ")[2]
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
        start = "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        peer.send(f"{start}{fields.format(accept)}\r\n\r\n".encode())
        await peer.reader.read()

    with background(lambda: by_hand(script)) as url, sync.Pool() as pool:
        with pytest.raises(HandshakeError, match=error):
            pool.websocket(url, subprotocols=["a"])


@CLEAR
def test_a_server_that_does_not_answer(lab: Lab, wire: Wire) -> None:
    async def never(request: cno.Request) -> None:
        await asyncio.Event().wait()

    with serving(lab, wire, never, settings=CONNECT) as url, sync.Pool() as pool:
        with pytest.raises(sync.ReadTimeoutError):
            pool.websocket(url, timeout=0.05)
        pool.close()
        with pytest.raises(cno.raw.UsageError, match="closed"):
            pool.websocket(url)


@pytest.mark.parametrize("closes", [False, True])
def test_a_server_that_sends_no_settings(lab: Lab, closes: bool) -> None:
    """Nothing says that it takes no WebSockets: the error is not that."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(24)
        if not closes:
            await peer.reader.read()

    expected = cno.ConnectionLostError if closes else sync.ReadTimeoutError
    with background(lambda: by_hand(script)) as server, sync.Pool() as pool:
        with pytest.raises(expected):
            pool.websocket(server.replace("http:", "h2c:"), timeout=0.2)


# -- frames of the server --------------------------------------------------------------------------


def test_pings_are_answered_while_it_is_read(lab: Lab, wire: Wire, pool: sync.Pool) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await tunnel.write(frame(PING, b"one"))
        assert await next_frame(tunnel) == (PONG, b"one")
        await tunnel.write(frame(TEXT, b"mes", fin=False) + frame(PING, b"two"))
        assert await next_frame(tunnel) == (PONG, b"two")
        await tunnel.write(frame(0, b"sage") + frame(PONG, b"unasked"))
        assert await next_frame(tunnel) == (TEXT, b"answer")
        await tunnel.write(frame(CLOSE, b"\x0f\xa0bye"))
        assert await next_frame(tunnel) == (CLOSE, b"\x0f\xa0bye")

    with scripted(lab, wire, script) as url, sync.Pool(lab.certs.client()) as own:
        with own.websocket(url) as socket:
            assert socket.receive(timeout=10) == "message"
            socket.send("answer")
            with pytest.raises(WebSocketClosed, match="4000: bye") as caught:
                socket.receive(timeout=10)
            assert caught.value.code == 4000


@CLEAR
def test_messages_before_what_breaks_a_rule(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await tunnel.write(frame(TEXT, b"good") + frame(TEXT, b"\xff"))
        assert await next_frame(tunnel) == (TEXT, b"answer")
        code, data = await next_frame(tunnel)
        assert (code, data[:2]) == (CLOSE, (1007).to_bytes(2, "big"))
        await tunnel.write_eof()

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url) as socket:
            assert socket.receive() == "good"
            socket.send("answer")
            with pytest.raises(WebSocketClosed, match="UTF-8"):
                socket.receive()
        assert socket.close_code == 1007


@CLEAR
def test_a_message_that_is_too_big(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await tunnel.write(frame(BINARY, bytes(1001)))
        code, data = await next_frame(tunnel)
        assert (code, data[:2]) == (CLOSE, (1009).to_bytes(2, "big"))

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url, options=Options(max_message_size=1000)) as socket:
            with pytest.raises(WebSocketClosed, match="too big"):
                socket.receive()


@CLEAR
def test_a_stream_that_is_cut(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await tunnel.write(frame(TEXT, b"last") + frame(TEXT, b"half")[:3])
        await tunnel.write_eof()

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url) as socket:
            assert socket.receive(timeout=10) == "last"
            for _ in range(2):
                with pytest.raises(WebSocketClosed, match="without a close frame") as caught:
                    socket.receive(timeout=10)
                assert caught.value.code == 1006


# -- bounds ----------------------------------------------------------------------------------------


@CLEAR
def test_what_is_not_taken_makes_the_server_wait(lab: Lab, wire: Wire) -> None:
    """Also while another call reads: the bound holds over HTTP/1.1, which has no windows."""
    sent = 0
    piece = frame(BINARY, bytes(100_000))

    async def script(tunnel: cno.Tunnel) -> None:
        nonlocal sent
        for _ in range(400):
            await tunnel.write(piece)
            sent += len(piece)
        await tunnel.write(frame(PING, b"end"))
        await until_gone(tunnel)

    options = Options(compression=False, ping_interval=None, close_timeout=0.05)
    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url, options=options) as socket:
            with pytest.raises(sync.ReadTimeoutError):
                socket.ping(timeout=0.3)
            assert sent < 20_000_000
            for _ in range(400):
                assert len(socket.receive(timeout=10)) == 100_000


@CLEAR
def test_pongs_for_a_server_that_reads_nothing(lab: Lab, wire: Wire) -> None:
    """Only the last one is kept."""
    pings = b"".join(frame(PING, b"%0125d" % number) for number in range(40_000))
    done = threading.Event()

    async def script(tunnel: cno.Tunnel) -> None:
        await tunnel.write(pings)
        await tunnel.write(frame(TEXT, b"read"))
        await asyncio.to_thread(done.wait, 20)
        found: list[int] = []
        code, data = await next_frame(tunnel)
        while code == PONG:
            found.append(int(data))
            code, data = await next_frame(tunnel)
        assert code == TEXT
        assert found[-1] == 39_999
        assert len(found) < 20_000 or not wire.http2

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url, options=Options(close_timeout=0.2)) as socket:
            assert socket.receive(timeout=20) == "read"
            done.set()
            socket.send("x")


@CLEAR
def test_a_server_that_reads_nothing(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await asyncio.Event().wait()

    limits = cno.Limits(linger_timeout=0.05, shutdown_timeout=0.05)
    options = Options(compression=False)

    async def play(request: cno.Request) -> None:
        await script(await accepted(request))

    with serving(lab, wire, play, settings=CONNECT, limits=limits) as url, sync.Pool() as pool:
        socket = pool.websocket(url, options=options)
        with pytest.raises(sync.WriteTimeoutError):
            socket.send(bytes(50_000_000), timeout=0.05)
        with pytest.raises(WebSocketClosed):
            socket.send("more")
        socket.close()
        assert socket.close_code == 1006


# -- the end ---------------------------------------------------------------------------------------


@CLEAR
def test_a_server_that_does_not_agree(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        await until_gone(tunnel)

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        began = time.monotonic()
        with pool.websocket(url, options=Options(close_timeout=0.05)) as socket:
            pass
        assert socket.close_code == 1006
        assert time.monotonic() - began < 5
        assert pool.connections == (1 if wire.http2 else 0)


def test_the_servers_end_releases_the_connection() -> None:
    """One of HTTP/1.1, as soon as our close frame is sent."""
    got: list[bytes] = []

    def behave(peer: socket.socket) -> None:
        peer.sendall(frame(TEXT, b"last") + frame(CLOSE, b"\x03\xe9bye"))
        peer.settimeout(5)
        while data := peer.recv(100):
            got.append(data)

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url)
        assert websocket.receive(timeout=5) == "last"
        with pytest.raises(WebSocketClosed) as caught:
            websocket.receive(timeout=5)
        assert (caught.value.code, caught.value.reason) == (1001, "bye")
        assert pool.connections == 0
        websocket.close()
    close = b"".join(got)
    assert close[0] == 0x80 | CLOSE
    assert len(close) == 2 + 4 + 5


def test_the_servers_answer_ends_it_without_a_call_of_close() -> None:
    """A thread that waits for the end of a WebSocket waits until the server has closed."""
    order: list[str] = []

    def behave(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(frame(CLOSE, b"\x03\xe8"))
        time.sleep(0.05)
        order.append("server")

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url)
        websocket.start_close()
        websocket.wait_closed(timeout=5)
        order.append("client")
        websocket.wait_closed(timeout=0)
        assert pool.connections == 0
    assert order == ["server", "client"]


def test_a_short_wait_for_the_end_gives_nothing_up() -> None:
    """The server may still end the stream, after the handshake."""
    may_end = threading.Event()
    ends: list[bytes] = []

    def behave(peer: socket.socket) -> None:
        peer.recv(100)
        peer.sendall(frame(CLOSE, b"\x03\xe8"))
        may_end.wait(5)
        peer.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            ends.append(peer.recv(100))

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url)
        websocket.start_close()
        for _ in range(100):
            with contextlib.suppress(sync.ReadTimeoutError):
                websocket.wait_closed(timeout=0.01)
                if websocket.close_code is not None:
                    break
        may_end.set()
        websocket.close()
    assert ends == []


@CLEAR
def test_leaving_by_an_error(lab: Lab, wire: Wire) -> None:
    seen: list[int] = []

    async def script(tunnel: cno.Tunnel) -> None:
        code, data = await next_frame(tunnel)
        assert code == CLOSE
        seen.append(int.from_bytes(data[:2], "big"))
        await tunnel.write(frame(CLOSE, data))

    def leave(own: sync.Pool, at: str, error: BaseException) -> None:
        with own.websocket(at):
            raise error

    with scripted(lab, wire, script) as url, sync.Pool() as own:
        with pytest.raises(LookupError):
            leave(own, url, LookupError())
        with pytest.raises(KeyboardInterrupt):
            leave(own, url, KeyboardInterrupt())
        assert seen[0] == 1011


@CLEAR
def test_closing_the_pool_closes_it(url: str, wire: Wire) -> None:
    pool = sync.Pool()
    socket = pool.websocket(url)
    other = pool.websocket(url)
    got: list[object] = []

    def read() -> None:
        try:
            socket.receive()
        except WebSocketClosed as error:
            got.append(error.code)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.02)
    pool.close()
    thread.join(10)
    assert got == [1001]
    socket.close()
    other.close()
    assert other.close_code == 1001


@pytest.mark.parametrize("by_pool", [True, False])
@CLEAR
def test_closing_it_ends_a_thread_that_receives(lab: Lab, wire: Wire, by_pool: bool) -> None:
    """Of a server that does not answer, and one that sends nothing else."""
    codes: list[int] = []

    async def script(tunnel: cno.Tunnel) -> None:
        await until_gone(tunnel)

    def read() -> None:
        with pytest.raises(WebSocketClosed) as caught:
            websocket.receive()
        codes.append(caught.value.code)

    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        websocket = pool.websocket(url, options=Options(close_timeout=0.05))
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        time.sleep(0.02)
        if by_pool:
            pool.close()
        else:
            websocket.start_close()
        thread.join(3)
        assert codes == [1006]


@CLEAR
def test_automatic_pings(lab: Lab, wire: Wire) -> None:
    async def script(tunnel: cno.Tunnel) -> None:
        for _ in range(3):
            code, data = await next_frame(tunnel)
            assert code == PING
            await tunnel.write(frame(PONG, data))
        assert (await next_frame(tunnel))[0] == PING  # is not answered
        code, data = await next_frame(tunnel)
        assert (code, data[:2]) == (CLOSE, (1011).to_bytes(2, "big"))

    options = Options(ping_interval=0.01, ping_timeout=0.2)
    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        with pool.websocket(url, options=options) as socket:
            with pytest.raises(WebSocketClosed, match="no answer to a ping") as caught:
                socket.receive()
            assert caught.value.code == 1006


@CLEAR
def test_a_dead_peer_of_short_waits(lab: Lab, wire: Wire) -> None:
    """Calls that time out do not give the peer more time to answer a ping."""

    async def script(tunnel: cno.Tunnel) -> None:
        await until_gone(tunnel)

    def receive() -> None:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            with contextlib.suppress(sync.ReadTimeoutError):
                websocket.receive(timeout=0.01)

    options = Options(ping_interval=0.02, ping_timeout=0.2, close_timeout=0.05)
    with scripted(lab, wire, script) as url, sync.Pool() as pool:
        websocket = pool.websocket(url, options=options)
        with pytest.raises(WebSocketClosed, match="no answer to a ping"):
            receive()
        websocket.close()


# -- a server of sockets, whose connections break -------------------------------------------------


@contextlib.contextmanager
def sockets(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that accepts one WebSocket over HTTP/1.1, and passes its socket to this."""

    def run() -> None:
        peer, _ = listener.accept()
        with peer:
            head = b""
            while b"\r\n\r\n" not in head:
                head += peer.recv(65_536)
            lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            at = head.lower().index(b"sec-websocket-key: ") + 19
            key = head[at : at + len(lines[b"sec-websocket-key"])]
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            peer.sendall(
                b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            behave(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            thread.join(10)


def reset_of(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def send_on(websocket: WebSocket, pause: Callable[[], None]) -> None:
    for _ in range(500):
        pause()
        websocket.send("x", timeout=10)


def receive_on(websocket: WebSocket) -> None:
    for _ in range(500):
        websocket.receive(timeout=5)


def test_a_thread_that_only_sends_learns_of_the_end() -> None:
    told = threading.Event()

    def behave(peer: socket.socket) -> None:
        told.wait(10)
        reset_of(peer)

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url)
        websocket.send("x")
        told.set()
        with pytest.raises(WebSocketClosed, match="without a close frame") as caught:
            send_on(websocket, lambda: time.sleep(0.002))
        assert caught.value.code == 1006
        with pytest.raises(WebSocketClosed):
            websocket.ping()
        websocket.close()


def test_a_thread_that_only_sends_sees_the_close_frame(lab: Lab) -> None:
    """Which another thread of the connection has read."""

    async def script(tunnel: cno.Tunnel) -> None:
        if count:
            await tunnel.write(frame(CLOSE))
        else:
            count.append(1)
            await next_frame(tunnel)
            await tunnel.write(frame(CLOSE, (1001).to_bytes(2, "big")))
        await until_gone(tunnel)

    count: list[int] = []
    with scripted(lab, HTTP2, script) as url, sync.Pool() as pool:
        websocket = pool.websocket(url)
        websocket.send("x")
        with pytest.raises(WebSocketClosed) as caught:
            send_on(websocket, lambda: pool.websocket(url).wait_closed())
        assert caught.value.code == 1001


def test_a_lost_connection_behind_messages() -> None:
    """The messages that came before are there; calls that send do not wait."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(frame(TEXT, b"x") * 100)
        peer.recv(65_536)
        reset_of(peer)

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url, options=Options(compression=False, max_queue=8))
        assert websocket.receive(timeout=10) == "x"
        with pytest.raises(WebSocketClosed):
            websocket.send(bytes(50_000_000), timeout=5)
        with pytest.raises(WebSocketClosed):
            websocket.ping(timeout=5)
        for _ in range(7):
            assert websocket.receive(timeout=5) == "x"
        with pytest.raises(WebSocketClosed):
            receive_on(websocket)


def test_a_connection_that_is_lost_behind_messages_during_a_ping() -> None:
    def behave(peer: socket.socket) -> None:
        peer.sendall(frame(TEXT, b"x") * 100)
        peer.recv(65_536)
        peer.shutdown(socket.SHUT_WR)

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url, options=Options(compression=False, max_queue=8))
        with pytest.raises(WebSocketClosed):
            websocket.ping(timeout=5)
        with pytest.raises(WebSocketClosed):
            websocket.send("x")
        for _ in range(100):
            assert websocket.receive(timeout=5) == "x"
        websocket.close()
        assert websocket.close_code == 1006


def test_a_message_that_was_sent_is_not_lost() -> None:
    """The socket has accepted all of it, so that a server which reads later gets it."""
    size = 30_000
    sent = 0
    got = 0
    told = threading.Event()

    def behave(peer: socket.socket) -> None:
        nonlocal got
        told.wait(20)
        peer.settimeout(10)
        piece = peer.recv(65_536)
        while piece:
            got += len(piece)
            piece = peer.recv(65_536)

    def send() -> None:
        nonlocal sent
        while sent < 50_000_000:
            websocket.send(bytes(size), timeout=0.1)
            sent += size

    with sockets(behave) as url, sync.Pool() as pool:
        websocket = pool.websocket(url, options=Options(compression=False, close_timeout=0.05))
        with pytest.raises(sync.WriteTimeoutError):
            send()
        websocket.close()
        told.set()
    assert got >= sent > 0


# -- threads, forks, interrupts --------------------------------------------------------------------


def test_many_threads(pool: sync.Pool, url: str) -> None:
    """Some send, others receive; the messages of each sender keep their order."""
    got: list[str] = []
    lock = threading.Lock()
    with pool.websocket(url) as socket:

        def work(number: int) -> None:
            for at in range(30):
                if number % 2:
                    socket.send(f"{number} {at} " + "x" * 10_000)
                else:
                    message = str(socket.receive(timeout=20))
                    with lock:
                        got.append(message.rstrip("x"))
            if number == 0:
                assert socket.ping(timeout=20) > 0.0

        in_threads(8, work)
    assert sorted(got) == sorted(f"{n} {at} " for n in (1, 3, 5, 7) for at in range(30))


def test_a_ping_while_another_thread_receives(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url) as socket:
        receiver = threading.Thread(target=socket.receive)
        receiver.start()
        time.sleep(0.02)
        assert socket.ping(timeout=10) > 0.0
        socket.send("done")
        receiver.join(10)
        assert not receiver.is_alive()


def test_both_directions_at_once(pool: sync.Pool, url: str) -> None:
    """More than all buffers hold, so that sending waits for receiving."""
    messages = [os.urandom(400_000) for _ in range(20)]
    with pool.websocket(url, options=Options(compression=False)) as socket:

        def send() -> None:
            for message in messages:
                socket.send(message)

        sender = threading.Thread(target=send)
        sender.start()
        assert [socket.receive(timeout=20) for _ in messages] == messages
        sender.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@CLEAR
def test_the_child_of_a_fork(pool: sync.Pool, url: str) -> None:
    with pool.websocket(url) as socket:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                try:
                    socket.receive(timeout=10)
                except WebSocketClosed:
                    code = 0
                with pool.websocket(url) as own:
                    own.send("child")
                    assert own.receive() == "child"
            except BaseException:
                code = 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        socket.send("parent")
        assert socket.receive(timeout=10) == "parent"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@CLEAR
def test_interrupts_at_any_place(lab: Lab, wire: Wire) -> None:
    """Interrupts at random moments leave nothing locked, in this thread or in another one."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def talk(socket: WebSocket, text: str) -> None:
        for _ in range(20):
            socket.send(text, timeout=10)
            if socket.receive(timeout=10) != text:
                raise AssertionError(text)

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        with serving(lab, wire, handler, settings=CONNECT) as url, sync.Pool() as pool:
            until = time.monotonic() + 1.0
            delay = 0.0001
            while time.monotonic() < until:
                delay = delay * 1.1 if delay < 0.01 else 0.0001
                try:
                    signal.setitimer(signal.ITIMER_REAL, delay)
                    with pool.websocket(url, options=Options(close_timeout=0.1)) as socket:
                        talk(socket, "x" * 1000)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    interrupted += 1
                except cno.ConnectionError:
                    pass  # the interrupt came while the pool was closing the WebSocket
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            assert interrupted > 5
            with pool.websocket(url) as socket:
                in_threads(1, lambda _: talk(socket, "end"))
    finally:
        signal.signal(signal.SIGALRM, before)
