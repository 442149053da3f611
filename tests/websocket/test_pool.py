"""`request.accept_websocket` and `pool.websocket`: what connects, what is refused, what ends it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

import cno
from cno.websocket import HandshakeError, Options, WebSocket, WebSocketClosed
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Handler, Lab, Peer, Wire, until
from tests.rows import each_row
from tests.tunnel_proxy import tunnel_proxy

SETTINGS: cno.SettingsDict = {"enable_connect_protocol": 1}
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


async def echo(request: cno.Request) -> None:
    async with await request.accept_websocket() as socket:
        async for message in socket:
            await socket.send(message)


def ws(url: str) -> str:
    return "ws" + url.removeprefix("http")


def pool_for(lab: Lab, wire: Wire, max_per_origin: int = 100) -> cno.Pool:
    if wire.tls:
        return cno.Pool(lab.certs.client(), max_per_origin=max_per_origin)
    return cno.Pool(force_http2=wire.http2, max_per_origin=max_per_origin)


@contextlib.asynccontextmanager
async def serving(lab: Lab, wire: Wire, handler: Handler = echo) -> AsyncIterator[str]:
    async with lab.serving(wire, handler, settings=SETTINGS) as url:
        yield ws(url)


# -- opening ---------------------------------------------------------------------------------------


def test_a_pool_opens_websockets(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with serving(lab, wire) as url, pool_for(lab, wire) as pool:
            async with pool.websocket(url + "/chat?room=1") as socket:
                await socket.send("hello")
                assert await socket.receive() == "hello"
            assert socket.close_code == 1000
            socket = await pool.websocket(url.upper().replace("WS", "WS"))
            await socket.send(b"bytes")
            assert await socket.receive() == b"bytes"
            await socket.close()

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP2, HTTP2_TLS], ids=str)
def test_they_share_the_connection_of_requests(lab: Lab, wire: Wire) -> None:
    async def handle(request: cno.Request) -> None:
        if request.method == "CONNECT":
            await echo(request)
        else:
            await request.respond(200, [], b"hello")

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            async with pool.websocket(url) as one, pool.websocket(url) as two:
                response = await pool.request("GET", "http" + url.removeprefix("ws"))
                assert await response.read() == b"hello"
                for socket in (one, two):
                    await socket.send("x")
                    assert await socket.receive() == "x"
                assert pool.connections == 1

    lab.run(main())


def test_over_http1_they_take_no_connection_from_requests(lab: Lab) -> None:
    """A connection that became a WebSocket takes no more requests, and counts no more."""

    async def handle(request: cno.Request) -> None:
        if request.header("upgrade"):
            await echo(request)
        else:
            await request.respond(200, [], b"")

    async def main() -> None:
        async with (
            serving(lab, HTTP1, handle) as url,
            pool_for(lab, HTTP1, max_per_origin=1) as pool,
        ):
            async with pool.websocket(url) as one, pool.websocket(url) as two:
                await (await pool.request("GET", "http" + url.removeprefix("ws"))).read()
                assert pool.connections == 3
                for socket in (one, two):
                    await socket.send("x")
                    assert await socket.receive() == "x"
            await until(lambda: pool.connections == 1)

    lab.run(main())


def test_a_server_that_takes_none_over_http2_is_asked_over_http1(lab: Lab) -> None:
    """Requests keep their HTTP/2 connection."""
    versions: list[str] = []

    async def handle(request: cno.Request) -> None:
        versions.append("2" if request.conn.is_http2 else "1")
        if request.header("upgrade"):
            await echo(request)
        else:
            await request.respond(200, [], b"")

    async def main() -> None:
        async with lab.serving(HTTP2_TLS, handle) as url, pool_for(lab, HTTP2_TLS) as pool:
            for _ in range(2):
                async with pool.websocket(ws(url)) as socket:
                    await socket.send("x")
                    assert await socket.receive() == "x"
                await (await pool.request("GET", url)).read()
        assert versions == ["1", "2", "1", "2"]

    lab.run(main())


def test_in_clear_text_nothing_else_can_be_tried(lab: Lab) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2, echo) as url, pool_for(lab, HTTP2) as pool:
            with pytest.raises(cno.raw.UnsupportedError, match="no WebSockets over HTTP/2"):
                await pool.websocket(ws(url))
            # It leaves the connection free.
            with pytest.raises(cno.raw.UnsupportedError):
                await pool.websocket(url)

    lab.run(main())


def test_a_stream_that_requires_http1_is_asked_over_http1(lab: Lab) -> None:
    async def handle(request: cno.Request) -> None:
        if request.method == "CONNECT":
            request.conn.write_reset(request.stream, cno.raw.CNO_RST_HTTP_1_1_REQUIRED)
        else:
            await echo(request)

    async def main() -> None:
        async with serving(lab, HTTP2_TLS, handle) as url, pool_for(lab, HTTP2_TLS) as pool:
            async with pool.websocket(url) as socket:
                await socket.send("x")
                assert await socket.receive() == "x"

    lab.run(main())


def test_a_connection_that_was_closed_meanwhile_is_replaced(lab: Lab) -> None:
    async def handle(request: cno.Request) -> None:
        if request.path == "/websocket":
            await echo(request)
        else:
            await request.respond(200, [], b"")
            asyncio.get_running_loop().call_soon(request.conn.abort)

    async def main() -> None:
        async with serving(lab, HTTP1, handle) as url, pool_for(lab, HTTP1) as pool:
            for _ in range(5):
                await (await pool.request("GET", "http" + url.removeprefix("ws"))).read()
                async with pool.websocket(url + "/websocket") as socket:
                    await socket.send("x")
                    assert await socket.receive() == "x"

    lab.run(main())


def test_through_a_proxy_they_take_a_tunnel(lab: Lab) -> None:
    asked: list[str] = []
    proxy = tunnel_proxy(asked)

    async def main() -> None:
        async with serving(lab, HTTP1) as url, lab.serving(HTTP1, proxy) as by:
            async with cno.Pool(proxy=by) as pool, pool.websocket(url) as socket:
                await socket.send("x")
                assert await socket.receive() == "x"
        assert asked == ["CONNECT"]

    lab.run(main())


def test_what_is_sent(lab: Lab) -> None:
    """Credentials of the URL, fields and subprotocols; the handler sees them."""
    seen: list[tuple[str | None, ...]] = []

    async def handle(request: cno.Request) -> None:
        fields = ("authorization", "cookie", "sec-websocket-protocol", "host")
        seen.append(tuple(request.header(name) for name in fields))
        more = [("x-more", "1")]
        async with await request.accept_websocket(more, subprotocols=["c", "b"]) as socket:
            assert socket.subprotocol == "b"

    async def main() -> None:
        async with serving(lab, HTTP1, handle) as url, pool_for(lab, HTTP1) as pool:
            host = url.removeprefix("ws://")
            opening = pool.websocket(
                f"ws://user:secret@{host}", [("cookie", "a=b")], subprotocols=["a", "b", "c"][:2]
            )
            async with opening as socket:
                assert socket.subprotocol == "b"
            assert seen == [("Basic dXNlcjpzZWNyZXQ=", "a=b", "a, b", host)]

    lab.run(main())


@each_row("url", ["", "ftp://x/", "ws:/x", "ws://", "wss://a b/", "//x/"])
def test_malformed_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cno.Pool().websocket(url)


def test_without_compression_none_is_offered(lab: Lab) -> None:
    seen: list[str | None] = []

    async def handle(request: cno.Request) -> None:
        seen.append(request.header("sec-websocket-extensions"))
        await request.accept_websocket()

    async def main() -> None:
        async with serving(lab, HTTP1, handle) as url, pool_for(lab, HTTP1) as pool:
            for compression in (True, False):
                await (await pool.websocket(url, options=Options(compression=compression))).close()
        assert seen[1] is None and (seen[0] or "").startswith("permessage-deflate")

    lab.run(main())


# -- refusals --------------------------------------------------------------------------------------


@CLEAR
def test_what_asks_for_none_is_told_to_upgrade_without_a_report(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with serving(lab, wire) as url, pool_for(lab, wire) as pool:
            response = await pool.request("GET", "http" + url.removeprefix("ws"))
            assert response.code == 426
            assert (response.header("upgrade") is None) == wire.http2
            assert await response.read() == b""

    lab.run(main())


@CLEAR
def test_a_handshake_error_after_a_response_has_begun_is_a_failure(lab: Lab, wire: Wire) -> None:
    async def handle(request: cno.Request) -> None:
        async with request.start(200) as out:
            await out.write(b"begun")
            await request.accept_websocket()

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            response = await pool.request("GET", "http" + url.removeprefix("ws"))
            with pytest.raises(cno.ConnectionError):
                await response.read()

    lab.run(main(), failures=1)


def test_origins(lab: Lab) -> None:
    async def handle(request: cno.Request) -> None:
        await request.accept_websocket(origins=["https://a.test"])

    async def main() -> None:
        async with serving(lab, HTTP1, handle) as url, pool_for(lab, HTTP1) as pool:
            for origin in ([], [("origin", "https://a.test")]):
                await (await pool.websocket(url, origin)).close()
            for name in ("https://b.test", "null", "https://a.test:1", "HTTPS://A.TEST"):
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await pool.websocket(url, [("origin", name)])
                assert caught.value.status == 403

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("size", [0, 1_000, 10_000_000])
def test_a_refusal_can_be_read_and_leaves_the_connection(lab: Lab, wire: Wire, size: int) -> None:
    async def handle(request: cno.Request) -> None:
        await request.respond(401, [("x-why", "because")], bytes(size))

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire, max_per_origin=1) as pool:
            for _ in range(3):
                with pytest.raises(cno.UpgradeRefused) as caught:
                    async with pool.websocket(url):
                        raise AssertionError
                error = caught.value
                assert error.status == 401 and ("x-why", "because") in error.headers
                if size < 65_536:
                    assert len(await error.response.read()) == size

    lab.run(main())


@CLEAR
def test_a_server_that_agrees_to_what_was_not_offered(lab: Lab, wire: Wire) -> None:
    async def handle(request: cno.Request) -> None:
        await request.accept_websocket([("sec-websocket-protocol", "unasked")])

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            with pytest.raises(HandshakeError, match="unasked"):
                await pool.websocket(url)

    lab.run(main())


def test_the_error_of_a_websocket_of_the_handlers_own_is_no_answer(lab: Lab) -> None:
    """A handler that is a client of a server that misbehaves has failed."""

    async def misbehave(request: cno.Request) -> None:
        await request.accept_websocket([("sec-websocket-protocol", "unasked")])

    async def main() -> None:
        async with serving(lab, HTTP1, misbehave) as other, pool_for(lab, HTTP1) as pool:

            async def handle(request: cno.Request) -> None:
                await pool.websocket(other)

            async with lab.serving(HTTP1, handle) as url:
                assert (await pool.request("GET", url)).code == 500

    lab.run(main(), failures=1)


# -- the end ---------------------------------------------------------------------------------------


def test_a_server_that_never_closes_the_connection_is_given_up(lab: Lab) -> None:
    """The client lets the server close the TCP connection first. (RFC 6455 7.1.1)"""

    async def handle(request: cno.Request) -> None:
        from cno.websocket.wire import library

        accept = str(library().accept_key(request.header("sec-websocket-key")))
        tunnel = await request.upgrade([("sec-websocket-accept", accept)])
        await tunnel.read(100)
        await tunnel.write(b"\x88\x02\x03\xe8")
        with contextlib.suppress(cno.ConnectionError):
            await tunnel.read()

    async def main() -> None:
        async with serving(lab, HTTP1, handle) as url, pool_for(lab, HTTP1) as pool:
            async with pool.websocket(url, options=Options(close_timeout=0.05)):
                pass
            await until(lambda: pool.connections == 0)

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_returns_closes_it(lab: Lab, wire: Wire, fails: bool) -> None:
    """Without `async with` too, and however much the client has sent."""

    async def handle(request: cno.Request) -> None:
        socket = await request.accept_websocket()
        await socket.receive()
        if fails:
            raise LookupError

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            async with pool.websocket(url, options=Options(compression=False)) as socket:
                with contextlib.suppress(WebSocketClosed):
                    for _ in range(400):
                        await socket.send(bytes(10_000))
                with pytest.raises(WebSocketClosed) as caught:
                    await socket.receive()
                assert caught.value.code == (1011 if fails else 1000)

    lab.run(main(), failures=int(fails))


@CLEAR
def test_closing_does_not_wait_for_messages_that_nobody_takes(lab: Lab, wire: Wire) -> None:
    done: list[int | None] = []

    async def handle(request: cno.Request) -> None:
        socket = await request.accept_websocket()
        await socket.receive()
        await asyncio.sleep(0.05)  # more than the queue holds has come
        await socket.close(4000)
        done.append(socket.close_code)

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            async with pool.websocket(url, options=Options(compression=False)) as socket:
                with contextlib.suppress(WebSocketClosed):
                    for _ in range(400):
                        await socket.send(bytes(10_000))
                await until(lambda: done)
        assert done == [4000]

    lab.run(main())


@CLEAR
def test_closing_a_pool_closes_its_websockets(lab: Lab, wire: Wire) -> None:
    ends: list[int | None] = []

    async def handle(request: cno.Request) -> None:
        socket = await request.accept_websocket()
        async for _ in socket:
            pass
        ends.append(socket.close_code)

    async def main() -> None:
        async with serving(lab, wire, handle) as url:
            async with pool_for(lab, wire) as pool:
                sockets = [await pool.websocket(url) for _ in range(3)]
            assert [socket.close_code for socket in sockets] == [1001] * 3
            await until(lambda: len(ends) == 3)
            assert ends == [1001] * 3
            with pytest.raises(cno.raw.UsageError, match="closed"):
                await pool.websocket(url)

    lab.run(main())


@CLEAR
def test_a_server_that_stops_closes_its_websockets(lab: Lab, wire: Wire) -> None:
    ends: list[int | None] = []

    async def handle(request: cno.Request) -> None:
        async with await request.accept_websocket() as socket:
            async for _ in socket:
                pass
            ends.append(socket.close_code)

    async def main() -> None:
        async with pool_for(lab, wire) as pool:
            async with serving(lab, wire, handle) as url:
                socket = await pool.websocket(url)
                await socket.ping()
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            assert caught.value.code == 1001 and ends == [1001]

    lab.run(main())


@CLEAR
def test_cancelling_gives_up(lab: Lab, wire: Wire) -> None:
    ended = asyncio.Event()

    async def handle(request: cno.Request) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def main() -> None:
        async with serving(lab, wire, handle) as url, pool_for(lab, wire) as pool:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), pool.websocket(url):
                    raise AssertionError
            await asyncio.wait_for(ended.wait(), 5)

    lab.run(main())


def test_a_peer_that_answers_with_anything_is_told(lab: Lab) -> None:
    """HTTP/2: a 200 opens it, and nothing else does."""

    async def main() -> None:
        async with (
            serving(lab, HTTP2) as url,
            await Peer.connect_http2("http" + url.removeprefix("ws")) as peer,
        ):
            ask = [
                (":method", "CONNECT"),
                (":protocol", "chat"),
                (":scheme", "http"),
                (":authority", "x"),
                (":path", "/"),
                ("sec-websocket-version", "13"),
            ]
            peer.send(peer.pen.headers(1, ask))
            head = peer.pen.decode((await peer.expect(f.HEADERS, 1)).payload)
            assert head[0] == (":status", "426")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1_TLS, HTTP2_TLS], ids=str)
def test_types(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with serving(lab, wire) as url, pool_for(lab, wire) as pool:
            opening = pool.websocket(url)
            assert isinstance(await asyncio.wait_for(opening, 5), WebSocket)

    lab.run(main())
