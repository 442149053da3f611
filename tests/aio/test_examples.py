"""The other examples, as programs and in this process: a proxy, and uploads."""

import asyncio
import hashlib
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import cno
from cno.examples import grpc
from cno.examples.proxy import Proxy
from cno.examples.upload import Uploads
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Wire
from tests.peers import require
from tests.processes import Running, run


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs `python -m cno.examples.PROGRAM`; where it can be reached."""
    name, *options = request.param
    with Running([sys.executable, "-m", f"cno.examples.{name}", "--port=0", *options]) as running:
        yield running.wait_for(r"^(http://\S+:\d+)/?$")[1]
        assert running.stop() == 0, running.err
        assert running.err == []


def program_is(*arguments: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("program", [arguments], indirect=True, ids=[arguments[0]])


# -- the proxy -------------------------------------------------------------------------------------


async def hello(request: cno.Request) -> None:
    await request.respond(200, [], b"hello " + await request.payload.read())


@pytest.mark.slow
@program_is("proxy")
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_through_the_proxy(lab: Lab, program: str, version: str) -> None:
    curl = require("curl")

    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url:
            options = ["-sS", "--max-time", "15", version, "--proxytunnel", "--proxy", program]
            done = await asyncio.to_thread(run, curl, *options, "-d", "you", f"{url}/")
            assert (done.stdout, done.stderr) == (b"hello you", "")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_tunnels_through_the_proxy(lab: Lab, wire: Wire) -> None:
    """Much, both ways at once; each side's end is told to the other."""

    async def main() -> None:
        async def reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write(b"the end")
            writer.close()

        target = await asyncio.start_server(reverse, HOST, 0)
        place = f"{HOST}:{target.sockets[0].getsockname()[1]}"
        async with lab.serving(wire, Proxy().handle) as url:
            async with await lab.connect(wire, url) as client:
                async with await client.tunnel(place) as tunnel:
                    talking = asyncio.ensure_future(tunnel.write(bytes(3_000_000)))
                    assert await tunnel.reader.readexactly(3_000_000) == bytes(3_000_000)
                    await talking
                    if wire.http2 or not wire.tls:
                        await tunnel.write_eof()
                        assert await tunnel.read() == b"the end"
        target.close()
        await target.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("gone", ["host", "client"])
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_the_proxy_tells_who_has_gone(lab: Lab, wire: Wire, gone: str) -> None:
    """By RST_STREAM(CONNECT_ERROR), or by a TCP segment with RST. (RFC 9113 8.5)"""

    async def main() -> None:
        ended: asyncio.Future[type | None] = asyncio.get_running_loop().create_future()

        async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(2)
            if gone == "host":
                reset = struct.pack("ii", 1, 0)
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                writer.transport.abort()
                return
            writer.write(b"ok")
            try:
                await reader.read()
                ended.set_result(None)
            except OSError as error:
                ended.set_result(type(error))
            writer.close()

        target = await asyncio.start_server(host, HOST, 0)
        place = f"{HOST}:{target.sockets[0].getsockname()[1]}"
        async with lab.serving(wire, Proxy().handle) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.tunnel(place)
                await tunnel.write(b"hi")
                if gone == "host":
                    with pytest.raises(cno.ConnectionError) as caught:
                        await tunnel.reader.readexactly(2)
                    if wire.http2:
                        assert caught.value.code == cno.raw.CNO_RST_CONNECT_ERROR
                else:
                    assert await tunnel.reader.readexactly(2) == b"ok"
                    if wire.http2:
                        client.write_reset(tunnel.stream, cno.raw.CNO_RST_CANCEL)
                    else:
                        client.abort()
                    assert await asyncio.wait_for(ended, 5) is ConnectionResetError
        target.close()
        await target.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_what_the_proxy_refuses(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        silent = await asyncio.start_server(lambda *_: None, HOST, 0)
        port = silent.sockets[0].getsockname()[1]
        silent.close()
        await silent.wait_closed()
        async with lab.serving(wire, Proxy(frozenset([port])).handle) as url:
            for place, code in (
                (f"{HOST}:{port}", 502),
                (f"{HOST}:1", 403),
            ):
                async with await lab.connect(wire, url) as client:
                    response = await client.request("GET", "/")
                    assert response.code == 405
                    with pytest.raises(cno.UpgradeRefused) as caught:
                        await client.tunnel(place)
                    assert caught.value.response.code == code
                    if wire.http2:
                        assert (await client.request("GET", "/")).code == 405
                        continue
                    # It ends with a refusal, so that nothing behind is taken for a request.
                    with pytest.raises(cno.ConnectionLostError) as lost:
                        await client.request("GET", "/")
                    assert lost.value.retryable

    lab.run(main())


# -- gRPC ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeout", ["", "S", "1", "-1S", "1x", "1.5S", "\u00b2S", "1" * 4_301 + "S"]
)
def test_a_malformed_grpc_timeout_is_refused(lab: Lab, timeout: str) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2, grpc.Service({"/echo.Echo/Say": grpc.say})) as client:
            fields = [("content-type", "application/grpc"), ("grpc-timeout", timeout)]
            response = await client.request("POST", "/echo.Echo/Say", fields)
            assert response.code == 200
            assert ("grpc-status", str(grpc.INVALID)) in response.headers

    lab.run(main())


@pytest.mark.parametrize("status", ["", "x", "\u00b2", "1" * 4_301, "-1", "2"])
def test_a_malformed_grpc_status_is_unknown(lab: Lab, status: str) -> None:
    async def handle(request: cno.Request) -> None:
        await request.respond(200, [("grpc-status", status)])

    async def main() -> None:
        async with lab.pair(HTTP2, handle) as client:
            with pytest.raises(grpc.RpcError) as caught:
                async for _ in await grpc.call(client, "/x", grpc.each(b"x")):
                    pass
            assert caught.value.code == grpc.UNKNOWN

    lab.run(main())


def test_a_unary_call_takes_one_reply(lab: Lab) -> None:
    """Of a server whose replies have no end no more than two are read."""
    sent = 0

    async def endless(requests: AsyncIterator[bytes], _: grpc.Context) -> grpc.Replies:
        nonlocal sent
        async for _request in requests:
            while True:
                sent += 1
                yield bytes(10_000)

    async def main() -> None:
        async with lab.pair(HTTP2, grpc.Service({"/x": endless})) as client:
            with pytest.raises(grpc.RpcError, match="more than one"):
                await asyncio.wait_for(grpc.unary(client, "/x", b"x"), 20)
            assert sent < 10_000
            assert (await client.request("GET", "/")).code == 415  # the connection goes on

    lab.run(main())


@pytest.mark.parametrize("cut", [b"\0\0", b"\0\0\0\0\x05abc"])
def test_a_message_that_is_cut_short_is_an_error_of_the_call(lab: Lab, cut: bytes) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2, grpc.Service({"/echo.Echo/Say": grpc.say})) as client:
            fields = [("content-type", "application/grpc")]
            response = await client.request("POST", "/echo.Echo/Say", fields, cut)
            assert ("grpc-status", str(grpc.INTERNAL)) in response.headers

    lab.run(main())


@pytest.mark.parametrize("refusal", ["403", "502", "504", "405"])
def test_what_is_tunnelled_before_the_proxy_agrees_is_no_request(lab: Lab, refusal: str) -> None:
    """An optimistic client sends what somebody else wants tunnelled without waiting."""
    seen: list[str] = []

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            seen.append(request.path)
            if refusal == "405":
                await request.respond(405)
            elif refusal == "504":
                await asyncio.sleep(0.05)
                await request.respond(504, [], b"later")
            else:
                await Proxy(frozenset([1] if refusal == "502" else [2])).handle(request)

        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        async with lab.serving(HTTP1, handle) as url:
            reader, writer = await asyncio.open_connection(HOST, int(url.rpartition(":")[2]))
            connect = f"CONNECT {HOST}:1 HTTP/1.1\r\nHost: {HOST}:1\r\n\r\n".encode()
            writer.write(connect + smuggled)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {refusal} ".encode())
            assert b"connection: close\r\n" in head
            writer.write(smuggled)
            assert b"HTTP/1.1" not in await reader.read()
            writer.close()

    lab.run(main())
    assert seen == [""]


# -- uploads ---------------------------------------------------------------------------------------


@pytest.mark.slow
@program_is("upload", "--limit=30000000")
def test_curl_uploads(program: str, tmp_path: Path) -> None:
    curl = require("curl")
    file = tmp_path / "file"
    file.write_bytes(bytes(25_000_000))
    small, large = str(file), str(tmp_path / "large")
    Path(large).write_bytes(bytes(31_000_000))
    for version in ("--http1.1", "--http2-prior-knowledge"):
        common = ["-sS", "--max-time", "15", version]
        done = run(curl, *common, "-T", small, f"{program}/")
        assert (done.status, done.stderr) == (0, "")
        assert re.fullmatch(rb"(\d+ bytes so far\n){2}25000000 bytes\n", done.stdout)
        done = run(curl, *common, "-T", large, f"{program}/")
        assert (done.status, done.stdout, done.stderr) == (0, b"too much\n", "")


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_upload_says_in_trailers_what_it_was(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, Uploads(1_000_000).handle) as client:
            response = await client.request("PUT", "/", [], b"x" * 100_000)
            assert await response.payload.read() == b"100000 bytes\n"
            digest = hashlib.sha256(b"x" * 100_000).hexdigest()
            assert response.trailers == [("digest", f"sha-256={digest}")]
            assert (await client.request("GET", "/")).code == 405

    lab.run(main())


def test_upload_that_does_not_say_how_large_it_is(lab: Lab) -> None:
    async def main() -> None:
        body: cno.Channel[bytes] = cno.Channel(4)

        async def fill() -> None:
            try:
                while True:
                    await body.put(bytes(100_000))
            except BrokenPipeError:
                pass

        async with lab.pair(HTTP2, Uploads(1_000_000).handle) as client:
            filling = asyncio.ensure_future(fill())
            response = await client.request("PUT", "/", [], body)
            assert await response.payload.read() == b"too much\n"
            assert response.trailers is None
            await filling

    lab.run(main())
