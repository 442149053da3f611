"""WebSockets of ours with each other and with the `websockets` package, over both protocols."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import cno
from cno import websocket
from cno.websocket import Options, WebSocket, WebSocketClosed
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Wire, until

SETTINGS: cno.SettingsDict = {"enable_connect_protocol": 1}
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)

Serve = Callable[[WebSocket], Awaitable[None]]


async def echo(socket: WebSocket) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def serving(
    lab: Lab, wire: Wire, serve: Serve, options: Options | None = None
) -> AsyncIterator[str]:
    async def handle(request: cno.Request) -> None:
        async with await request.accept_websocket(options=options) as socket:
            await serve(socket)

    async with lab.serving(wire, handle, settings=SETTINGS) as url:
        yield url


@asynccontextmanager
async def opened(
    lab: Lab,
    wire: Wire,
    serve: Serve = echo,
    options: Options | None = None,
    client_options: Options | None = None,
) -> AsyncIterator[WebSocket]:
    """A WebSocket to a server of ours."""
    async with serving(lab, wire, serve, options) as url:
        async with await lab.connect(wire, url) as client:
            async with await websocket.connect(
                client, options=client_options or Options()
            ) as socket:
                yield socket


MESSAGES: list[str | bytes] = [
    "",
    b"",
    "text",
    b"bytes",
    "é\N{SNOWMAN}\N{GRINNING FACE}",
    "x" * 125,
    "x" * 126,
    b"x" * 65_535,
    b"x" * 65_536,
    b"x" * 3_000_000,
]


@pytest.mark.parametrize("compression", [True, False])
def test_messages_come_back_as_they_were(lab: Lab, wire: Wire, compression: bool) -> None:
    async def main() -> None:
        options = Options(compression=compression)
        async with opened(lab, wire, options=options) as socket:
            for message in MESSAGES:
                await socket.send(message)
                found = await socket.receive()
                assert type(found) is type(message) and found == message

    lab.run(main())


@CLEAR
def test_many_at_once(lab: Lab, wire: Wire) -> None:
    """More than windows and buffers hold, in both directions at once."""

    async def main() -> None:
        async with opened(lab, wire) as socket:

            async def send() -> None:
                for number in range(2_000):
                    await socket.send(f"{number}".ljust(1_000))

            sending = asyncio.ensure_future(send())
            for number in range(2_000):
                found = await socket.receive()
                assert isinstance(found, str) and int(found) == number
            await sending

    lab.run(main())


@CLEAR
def test_senders_wait_for_a_slow_receiver(lab: Lab, wire: Wire) -> None:
    sent = 0
    proceed = asyncio.Event()

    async def slow(socket: WebSocket) -> None:
        await proceed.wait()
        async for _ in socket:
            pass

    async def main() -> None:
        nonlocal sent
        async with opened(lab, wire, slow, Options(compression=False)) as socket:

            async def send() -> None:
                nonlocal sent
                for _ in range(300):
                    await socket.send(b"\xff" * 65_536)
                    sent += 1

            sending = asyncio.ensure_future(send())
            held = -1
            while held != sent:
                held = sent
                await asyncio.sleep(0.3)
            assert 0 < sent < 300
            proceed.set()
            await sending

    lab.run(main())


@CLEAR
def test_few_bytes_that_inflate_to_much_wait_for_the_application(lab: Lab, wire: Wire) -> None:
    """The queue is bounded by what messages are, not by what they were when they came."""
    proceed = asyncio.Event()
    peaks: list[int] = []

    async def slow(socket: WebSocket) -> None:
        await proceed.wait()
        peaks.append(tracemalloc.get_traced_memory()[1])
        async for _ in socket:
            pass

    async def main() -> None:
        async with opened(lab, wire, slow) as socket:
            tracemalloc.start()
            try:
                for _ in range(200):
                    await socket.send(b"\0" * 100_000)
                await asyncio.sleep(0.2)
                proceed.set()
                await socket.close()
            finally:
                tracemalloc.stop()
        assert peaks[0] < 12_000_000

    lab.run(main())


@CLEAR
@pytest.mark.parametrize("by_server", [True, False])
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "gone"), (4999, "é")])
def test_close_codes(lab: Lab, wire: Wire, by_server: bool, code: int, reason: str) -> None:
    ends: list[tuple[int, str]] = []

    async def serve(socket: WebSocket) -> None:
        if by_server:
            await socket.close(code, reason)
        try:
            await socket.receive()
        except WebSocketClosed as closed:
            ends.append((closed.code, closed.reason))

    async def main() -> None:
        async with opened(lab, wire, serve) as socket:
            if not by_server:
                await socket.close(code, reason)
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            ends.append((caught.value.code, caught.value.reason))
            with pytest.raises(WebSocketClosed):
                await socket.send("late")
            await until(lambda: len(ends) == 2)
            assert socket.close_code == code and socket.close_reason == reason
        assert ends == [(code, reason)] * 2

    lab.run(main())


@CLEAR
def test_messages_before_a_close_are_received(lab: Lab, wire: Wire) -> None:
    async def serve(socket: WebSocket) -> None:
        for number in range(5):
            await socket.send(str(number))

    async def main() -> None:
        async with opened(lab, wire, serve) as socket:
            await asyncio.sleep(0.05)
            assert [message async for message in socket] == list("01234")

    lab.run(main())


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000])
def test_codes_that_must_not_be_sent(lab: Lab, code: int) -> None:
    async def main() -> None:
        async with opened(lab, HTTP1) as socket:
            with pytest.raises(ValueError, match="RFC 6455"):
                await socket.close(code)
            with pytest.raises(ValueError, match="123 bytes"):
                await socket.close(1000, "x" * 124)
            await socket.send("still open")
            assert await socket.receive() == "still open"

    lab.run(main())


def test_a_lost_connection_is_no_orderly_close(lab: Lab, wire: Wire) -> None:
    ends: list[int] = []

    async def serve(socket: WebSocket) -> None:
        try:
            await socket.receive()
        except WebSocketClosed as closed:
            ends.append(closed.code)
            assert closed.__cause__ is not None

    async def main() -> None:
        async with serving(lab, wire, serve) as url:
            async with await lab.connect(wire, url) as client:
                socket = await websocket.connect(client)
                client.abort()
                with pytest.raises(WebSocketClosed) as caught:
                    await socket.receive()
                assert caught.value.code == 1006
                await until(lambda: ends)
        assert ends == [1006]

    lab.run(main())


@CLEAR
def test_a_handler_that_fails_closes_with_1011(lab: Lab, wire: Wire) -> None:
    async def serve(socket: WebSocket) -> None:
        raise LookupError

    async def main() -> None:
        async with opened(lab, wire, serve) as socket:
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            assert caught.value.code == 1011

    lab.run(main(), failures=1)


@CLEAR
def test_pings(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with opened(lab, wire) as socket:
            assert 0 <= await socket.ping() < 5
            results = await asyncio.gather(*[socket.ping() for _ in range(10)])
            assert len(results) == 10

    lab.run(main())


@CLEAR
def test_a_peer_that_answers_no_ping_is_given_up(lab: Lab, wire: Wire) -> None:
    closed: list[int | None] = []
    options = Options(ping_interval=0.05, ping_timeout=0.1)

    async def serve(socket: WebSocket) -> None:
        try:
            await socket.receive()
        except WebSocketClosed as error:
            closed.append(error.code)

    async def main() -> None:
        async with serving(lab, wire, serve, options) as url:
            async with await lab.connect(wire, url) as client:
                key = ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
                fields = [("sec-websocket-version", "13"), key]
                tunnel = await client.upgrade("websocket", "/", fields)
                await until(lambda: closed)  # nobody answers on this tunnel
                assert closed == [1006]
                data = await tunnel.read(100)
                assert data[:1] == b"\x89"  # a ping

    lab.run(main())


@CLEAR
def test_a_peer_that_answers_pings_is_kept(lab: Lab, wire: Wire) -> None:
    options = Options(ping_interval=0.02, ping_timeout=0.5)

    async def main() -> None:
        async with opened(lab, wire, options=options, client_options=options) as socket:
            await asyncio.sleep(0.3)
            await socket.send("still there")
            assert await socket.receive() == "still there"

    lab.run(main())


@CLEAR
def test_a_peer_that_does_not_answer_a_close_is_given_up(lab: Lab, wire: Wire) -> None:
    ended = asyncio.Event()

    async def serve(socket: WebSocket) -> None:
        await socket.close()
        assert socket.close_code == 1006
        ended.set()

    async def main() -> None:
        async with serving(lab, wire, serve, Options(close_timeout=0.05)) as url:
            async with await lab.connect(wire, url) as client:
                key = ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
                fields = [("sec-websocket-version", "13"), key]
                await client.upgrade("websocket", "/", fields)
                await asyncio.wait_for(ended.wait(), 5)

    lab.run(main())


# -- limits, and what peers must not send ----------------------------------------------------------


def frame(opcode: int, data: bytes, fin: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return bytes([opcode | (0x80 if fin else 0)]) + length + b"\0\0\0\0" + data


#: What a client sends, and the code the server closes with.
VIOLATIONS = [
    (frame(1, b"\xff"), 1007),
    (frame(1, b"\xe2\x82", False) + frame(0, b"\x28"), 1007),
    (frame(1, b"\xe2\x82"), 1007),
    (frame(3, b""), 1002),
    (frame(0, b"x"), 1002),
    (frame(1, b"x", False) + frame(1, b"y"), 1002),
    (frame(9, b"x" * 126), 1002),
    (frame(9, b"x", False), 1002),
    (b"\x81\x01x", 1002),  # not masked
    (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
    (frame(8, b"x"), 1002),
    (frame(8, b"\x03\xed"), 1002),  # 1005
    (frame(2, b"x" * 1_001), 1009),
    (frame(2, b"x" * 600, False) + frame(0, b"x" * 600), 1009),
    (frame(2, b"", False) + frame(0, b"", False) * 20, 1009),
]


@CLEAR
@pytest.mark.parametrize(("data", "code"), VIOLATIONS)
def test_violations(lab: Lab, wire: Wire, data: bytes, code: int) -> None:
    closed: list[int | None] = []
    options = Options(max_message_size=1_000, max_fragments=10, compression=False)

    async def serve(socket: WebSocket) -> None:
        try:
            await socket.receive()
        except WebSocketClosed:
            closed.append(socket.close_code)

    async def main() -> None:
        async with serving(lab, wire, serve, options) as url:
            async with await lab.connect(wire, url) as client:
                key = ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
                fields = [("sec-websocket-version", "13"), key]
                tunnel = await client.upgrade("websocket", "/", fields)
                await tunnel.write(data)
                answer = await tunnel.read()  # to its end
                assert answer[:1] == b"\x88"
                assert int.from_bytes(answer[2:4]) == code
                await until(lambda: closed)

    lab.run(main())


@CLEAR
def test_what_inflates_to_too_much_is_refused(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        options = Options(max_message_size=100_000)
        async with opened(lab, wire, options=options) as socket:
            await socket.send("x" * 100_000)
            assert await socket.receive() == "x" * 100_000
            await socket.send("x" * 100_001)
            with pytest.raises(WebSocketClosed) as caught:
                await socket.receive()
            assert caught.value.code == 1009

    lab.run(main())


@CLEAR
def test_pongs_for_a_peer_that_reads_nothing(lab: Lab, wire: Wire) -> None:
    """Only the last one is kept (RFC 6455 5.5.3), so that the peer cannot make memory grow."""
    count = 40_000
    parsed = asyncio.Event()

    async def serve(socket: WebSocket) -> None:
        assert await socket.receive() == "read"
        parsed.set()
        await socket.receive()

    async def main() -> None:
        async with serving(lab, wire, serve) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.upgrade("websocket", "/", [VERSION, KEY])
                numbers = range(0, count, 1_000)
                for at in numbers:
                    pings = [frame(9, b"%0125d" % number) for number in range(at, at + 1_000)]
                    await tunnel.write(b"".join(pings))
                await tunnel.write(frame(1, b"read"))
                await parsed.wait()
                await tunnel.write(frame(8, b""))
                data = await tunnel.read()
                pongs = [data[at : at + 127] for at in range(0, len(data) - 2, 127)]
                assert data[-2:] == b"\x88\0"
                assert pongs[-1][2:] == b"%0125d" % (count - 1)
                # Over HTTP/1.1, the buffers of the system may hold all of them.
                assert len(pongs) < count * 3 // 4 or not wire.http2

    lab.run(main())


# -- the handshake ---------------------------------------------------------------------------------

KEY = ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
VERSION = ("sec-websocket-version", "13")


@CLEAR
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([KEY], 426),
        ([KEY, ("sec-websocket-version", "8")], 426),
        ([VERSION, KEY, ("sec-websocket-extensions", "permessage-deflate; =")], 400),
    ],
)
def test_requests_that_are_refused(
    lab: Lab, wire: Wire, fields: list[tuple[str, str]], status: int
) -> None:
    async def main() -> None:
        async with serving(lab, wire, echo) as url:
            async with await lab.connect(wire, url) as client:
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await client.upgrade("websocket", "/", fields)
                assert caught.value.status == status
                if status == 426:
                    assert ("sec-websocket-version", "13") in caught.value.headers

    lab.run(main())


@pytest.mark.parametrize("key", [None, "", "short", "AAAAAAAAAAAAAAAAAAAAAAA=", "*" * 24])
def test_keys_that_are_refused(lab: Lab, key: str | None) -> None:
    async def main() -> None:
        fields = [VERSION] if key is None else [VERSION, ("sec-websocket-key", key)]
        async with serving(lab, HTTP1, echo) as url:
            async with await lab.connect(HTTP1, url) as client:
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await client.upgrade("websocket", "/", fields)
                assert caught.value.status == 400

    lab.run(main())


def test_a_plain_request_is_told_to_upgrade(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with serving(lab, wire, echo) as url:
            async with await lab.connect(wire, url) as client:
                response = await client.request("GET", "/")
                assert response.code == 426

    lab.run(main())


@CLEAR
def test_subprotocols(lab: Lab, wire: Wire) -> None:
    seen: list[Any] = []

    async def handle(request: cno.Request) -> None:
        handshake = websocket.Handshake(request)
        seen.append(handshake.subprotocols)
        with pytest.raises(ValueError, match="not offered"):
            await handshake.accept("c")
        async with await handshake.accept("b", [("x-more", "1")]) as socket:
            seen.append(socket.subprotocol)

    async def main() -> None:
        async with lab.serving(wire, handle, settings=SETTINGS) as url:
            async with await lab.connect(wire, url) as client:
                async with await websocket.connect(client, subprotocols=["a", "b"]) as socket:
                    assert socket.subprotocol == "b"
        assert seen == [["a", "b"], "b"]

    lab.run(main())


@pytest.mark.parametrize(
    "fields",
    [
        [("sec-websocket-accept", "wrong")],
        [("sec-websocket-protocol", "unasked")],
        [("sec-websocket-extensions", "x-unknown")],
        [("sec-websocket-extensions", "permessage-deflate; nonsense")],
    ],
)
def test_servers_that_agree_to_what_was_not_asked(lab: Lab, fields: list[tuple[str, str]]) -> None:
    async def handle(request: cno.Request) -> None:
        from cno.websocket.wire import library

        key = dict(request.headers)["sec-websocket-key"]
        accept = ("sec-websocket-accept", str(library().accept_key(key)))
        given = fields if fields[0][0] == "sec-websocket-accept" else [accept, *fields]
        tunnel = await request.upgrade(given)
        await tunnel.read()

    async def main() -> None:
        async with lab.serving(HTTP1, handle) as url:
            async with await lab.connect(HTTP1, url) as client:
                with pytest.raises(websocket.HandshakeError):
                    await websocket.connect(client)

    lab.run(main())


# -- the websockets package ------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [HTTP1, HTTP1_TLS], ids=str)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_client_of_the_websockets_package(lab: Lab, wire: Wire, compression: str | None) -> None:
    client: Any = pytest.importorskip("websockets.asyncio.client")

    async def main() -> None:
        async with serving(lab, wire, echo) as url:
            ssl = lab.certs.client() if wire.tls else None
            async with client.connect(
                "ws" + url.removeprefix("http"), ssl=ssl, compression=compression, max_size=None
            ) as socket:
                for message in MESSAGES:
                    await socket.send(message)
                    assert await socket.recv() == message
                await (await socket.ping())
                await socket.send(["fr", "ag", "ments"])
                assert await socket.recv() == "fragments"
            assert socket.close_code == 1000

    lab.run(main())


def test_a_server_of_the_websockets_package(lab: Lab) -> None:
    server: Any = pytest.importorskip("websockets.asyncio.server")

    async def handle(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async def main() -> None:
        async with server.serve(handle, "127.0.0.1", 0, max_size=None) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with await cno.connect(f"http://127.0.0.1:{port}") as client:
                async with await websocket.connect(client) as socket:
                    for message in MESSAGES:
                        await socket.send(message)
                        assert await socket.receive() == message
                    await socket.ping()
                assert socket.close_code == 1000

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP2, HTTP2_TLS], ids=str)
def test_many_share_a_connection(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with serving(lab, wire, echo) as url:
            async with await lab.connect(wire, url) as client:
                sockets = await asyncio.gather(*[websocket.connect(client) for _ in range(50)])
                for number, socket in enumerate(sockets):
                    await socket.send(str(number))
                for number, socket in enumerate(sockets):
                    assert await socket.receive() == str(number)
                await asyncio.gather(*[socket.close() for socket in sockets])
                assert {socket.close_code for socket in sockets} == {1000}

    lab.run(main())
