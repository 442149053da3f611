"""Whatever a client sends, no example prints a traceback."""

import asyncio
import contextlib
import socket
import struct

import pytest

import cno
from cno.examples import grpc, websocket
from cno.examples.proxy import Proxy
from cno.examples.upload import Uploads
from tests.aio.lab import HOST, HTTP2, Lab

SERVICE = grpc.Service({"/echo.Echo/Say": grpc.say})


async def exchange(handler: cno.Handler, request: bytes, patience: float = 0.3) -> bytes:
    """Send bytes, and return what comes back until the server has no more to say."""
    limits = cno.Limits(body_timeout=0.1, half_closed_timeout=0.1, linger_timeout=0.1)
    options: cno.SettingsDict = {"enable_connect_protocol": 1}
    async with cno.serve(handler, HOST, 0, limits=limits, settings=options) as listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
        writer.write(request)
        received = b""
        try:
            async with asyncio.timeout(patience):
                while data := await reader.read(65536):
                    received += data
        except TimeoutError:
            pass
        writer.close()
        await writer.wait_closed()
    return received


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, "host: cno.test", *fields, "", ""]).encode("utf-8", "surrogateescape")


def upgrade(*fields: str, line: str = "GET / HTTP/1.1") -> bytes:
    return head(line, *fields)


KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
ASK = ("upgrade: websocket", "sec-websocket-version: 13")
CONNECTION = "connection: upgrade"
DEFLATE = "sec-websocket-extensions: permessage-deflate"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (upgrade(*ASK, KEY), b"426"),
        (upgrade(*ASK, KEY, "connection: close"), b"426"),
        (upgrade(*ASK, CONNECTION), b"400"),
        (upgrade(*ASK, CONNECTION, "sec-websocket-key: \udcff"), b"400"),
        (upgrade(*ASK, CONNECTION, "sec-websocket-key: \u20ac"), b"400"),
        (upgrade(*ASK, CONNECTION, KEY, line="POST / HTTP/1.1"), b"400"),
        (upgrade(*ASK, CONNECTION, KEY, line="GET / HTTP/1.0"), b"426"),
        (upgrade(*ASK, CONNECTION, KEY, "content-length: 3") + b"abc", b"101"),
        (upgrade("upgrade: h2c", CONNECTION, KEY), b"426"),
        (upgrade(), b"426"),
        (upgrade(*ASK, CONNECTION, KEY, f"{DEFLATE}; client_max_window_bits=x"), b"101"),
        (upgrade(*ASK, CONNECTION, KEY, f"{DEFLATE}; server_max_window_bits=99"), b"101"),
    ],
)
def test_websocket_handshakes(lab: Lab, request_: bytes, answer: bytes) -> None:
    received = lab.run(exchange(websocket.echo, request_))
    assert received.split()[1] == answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\x05Hello",  # not masked
        b"\x83\x80\0\0\0\0",  # an opcode that is not defined
        b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0",
        b"\x89\xfe\x00\xff\0\0\0\0" + bytes(255),  # a PING that is too long
        b"\xc1\x85\0\0\0\0Hello",  # compressed, which was not agreed
        b"\x81\x81\0\0\0\0\xff",  # not UTF-8
        b"\x88\x81\0\0\0\0x",  # half of a code
        b"\x88\x82\0\0\0\0\x03\xee",  # a code that nobody may send
        b"\x88\x80\0\0\0\0" + b"\x81\x81\0\0\0\0x",
        b"\x88\x80\0\0\0\0" * 2,
        b"\x80\x80\0\0\0\0",  # goes on with nothing
        b"\x01\x80\0\0\0\0" + b"\x81\x80\0\0\0\0",
        b"\x81\x85",  # and nothing more
    ],
)
@pytest.mark.parametrize("deflate", [(), (DEFLATE,)])
def test_websocket_messages(lab: Lab, sent: bytes, deflate: tuple[str, ...]) -> None:
    received = lab.run(exchange(websocket.echo, upgrade(*ASK, CONNECTION, KEY, *deflate) + sent))
    assert received.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_websocket_over_http2(lab: Lab, method: str) -> None:
    """A request without an upgrade, a CONNECT without or with another protocol."""

    async def main() -> None:
        async with lab.serving(
            HTTP2, websocket.echo, settings={"enable_connect_protocol": 1}
        ) as url:
            async with await cno.connect(url, force_http2=True) as client:
                if method == "GET":
                    assert (await client.request("GET", "/")).code == 426
                    return
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await client.tunnel("cno.test:80")
                assert caught.value.status == 426

    lab.run(main())


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("a" * 64 + ".test:80", b"502"),
        ("a..test:80", b"502"),
        (".test:80", b"502"),
        ("\u20ac.test:80", b"400"),
        ("cno.test:99999", b"502"),
        ("cno.test:" + "9" * 5000, b"400"),
        ("[::1:80", b"400"),
        ("127.0.0.1:0", b"502"),
    ],
)
def test_where_a_proxy_is_to_connect(lab: Lab, target: str, answer: bytes) -> None:
    request = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode()
    received = lab.run(exchange(Proxy().handle, request, patience=5 if answer == b"502" else 1))
    assert received.split()[1] in (answer, b"400", b"414")


@pytest.mark.parametrize("side", ["client", "host"])
def test_a_reset_on_one_side_of_the_proxy(lab: Lab, side: str) -> None:
    """While the other side sends, reads, or has ended already."""

    def reset(writer: asyncio.StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def main() -> None:
        async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)
            if side == "host":
                reset(writer)
            else:
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()

        server = await asyncio.start_server(host, HOST, 0)
        where = server.sockets[0].getsockname()
        async with cno.serve(Proxy().handle, HOST, 0) as listener:
            reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
            writer.write(f"CONNECT {HOST}:{where[1]} HTTP/1.1\r\nhost: x:1\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"x" * 100_000)
            if side == "client":
                await asyncio.sleep(0.05)
                reset(writer)
            await asyncio.sleep(0.1)
            writer.close()
        server.close()
        await server.wait_closed()

    lab.run(main())


GRPC = ("content-type: application/grpc", "te: trailers")
CHUNKED = "transfer-encoding: chunked"


@pytest.mark.parametrize(
    "request_",
    [
        head("GET /echo.Echo/Say HTTP/1.1", *GRPC),
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "content-length: 5") + b"\0\xff\xff\xff\xff",
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "content-length: 3") + b"\0\0\0",
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "content-length: 6") + b"\0\0\0\0\x02x",
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "content-length: 5") + b"\1\0\0\0\0",
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "grpc-timeout: 99999999H"),
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "grpc-timeout: 0n", CHUNKED),
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, "grpc-timeout: \udcff"),
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, CHUNKED) + b"6\r\n\0\0\0\0\1x\r\n",  # stalls
        head("POST /echo.Echo/Say HTTP/1.1", *GRPC, CHUNKED) + b"zz\r\n",
        head("POST /\u20ac HTTP/1.1", *GRPC, "content-length: 0"),
    ],
)
def test_grpc_calls(lab: Lab, request_: bytes) -> None:
    assert lab.run(exchange(SERVICE, request_)).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "request_",
    [
        head("PUT / HTTP/1.1", "content-length: " + "9" * 18),
        head("PUT / HTTP/1.1", "content-length: 5000"),
        head("PUT / HTTP/1.1", "content-length: 500") + b"half",
        head("PUT / HTTP/1.1", CHUNKED) + b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
        head("PUT / HTTP/1.1", CHUNKED) + b"7d0\r\n" + b"x" * 2000 + b"\r\n",
        head("PUT / HTTP/1.1", CHUNKED) + b"5\r\nhello\r\nzz\r\n",
        head("PUT / HTTP/1.1", CHUNKED, "expect: 100-continue"),
        head("PUT / HTTP/1.0") + b"x" * 2000,
        head("DELETE / HTTP/1.1"),
        head("PUT / HTTP/1.1", CHUNKED) + b"5\r\nhello\r\n0\r\ndigest: x\r\n\r\n",
    ],
)
def test_uploads(lab: Lab, request_: bytes) -> None:
    assert lab.run(exchange(Uploads(1000).handle, request_)).startswith(b"HTTP/1.1 ")
