"""HTTP/1.1: what ends with the connection is never taken for whole when it has been cut off."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from cno import aio
from cno.examples.proxy import Proxy
from cno.limits import Limits
from tests.aio.lab import HOST, HTTP1, HTTP1_TLS, Lab, Wire, place, settle, until

Handler = Callable[[aio.Request], Coroutine[Any, Any, None]]

WIRES = [HTTP1, HTTP1_TLS]


async def get(lab: Lab, wire: Wire, url: str) -> tuple[bytes, bool]:
    """What a client of HTTP/1.0 gets, and whether it ends as whole responses do."""
    port = int(url.rpartition(":")[2])
    return await asyncio.to_thread(ask, lab.certs.client() if wire.tls else None, port)


def ask(context: ssl.SSLContext | None, port: int) -> tuple[bytes, bool]:
    """A blocking client: what asyncio's streams say of the end is not all that the system does."""
    got = b""
    sock = socket.create_connection((HOST, port), timeout=10)
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False)
    with sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            while data := sock.recv(65536):
                got += data
        except (ConnectionResetError, ssl.SSLEOFError):
            return got.partition(b"\r\n\r\n")[2], False
    return got.partition(b"\r\n\r\n")[2], True


async def begun() -> AsyncIterator[bytes]:
    yield b"begun"
    await asyncio.sleep(0.02)


async def fails(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        raise ZeroDivisionError

    await request.respond(200, [], body())


async def returns_early(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        await asyncio.sleep(10)

    with suppress(TimeoutError):
        await asyncio.wait_for(request.respond(200, [], body()), 0.1)


async def is_cancelled(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        own = asyncio.current_task()
        assert own is not None
        own.cancel()
        await asyncio.sleep(0)

    await request.respond(200, [], body())


async def closes(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        request.conn.close()
        await asyncio.sleep(10)

    await request.respond(200, [], body())


async def shuts_down(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        assert isinstance(request.conn, aio.Server)
        request.conn.drain(0.05)
        await asyncio.sleep(10)

    await request.respond(200, [], body())


async def aborts(request: aio.Request) -> None:
    async def body() -> AsyncIterator[bytes]:
        async for each in begun():
            yield each
        request.conn.abort()
        await asyncio.sleep(10)

    await request.respond(200, [], body())


async def by_hand(request: aio.Request) -> None:
    request.conn.write_head(request.stream, 200, "", "", [], False)
    request.conn.write_data(request.stream, b"begun", False)
    await asyncio.sleep(0.02)


CUTS: list[tuple[Handler, int]] = [
    (fails, 1),
    (returns_early, 0),
    (is_cancelled, 0),
    (closes, 0),
    (shuts_down, 0),
    (aborts, 0),
    (by_hand, 0),
]


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize(("cut", "failures"), CUTS, ids=lambda each: getattr(each, "__name__", ""))
def test_half_a_response_is_seen_as_half(lab: Lab, wire: Wire, cut: Handler, failures: int) -> None:
    async def main() -> None:
        async with lab.serving(wire, cut) as url:
            assert await get(lab, wire, url) == (b"begun", False)
            await settle()

    lab.run(main(), failures=failures)


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_a_whole_response_is_seen_as_whole(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [], begun())
            if request.conn.is_http2:
                return
            request.conn.close()

        async with lab.serving(wire, handle) as url:
            assert await get(lab, wire, url) == (b"begun", True)

    lab.run(main())


def test_half_closed_client_that_is_given_up(lab: Lab) -> None:
    """What is not complete when its time is up."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            async def body() -> AsyncIterator[bytes]:
                yield b"begun"
                await asyncio.sleep(10)

            await request.respond(200, [], body())

        async with lab.serving(HTTP1, handle, limits=Limits(half_closed_timeout=0.1)) as url:
            reader, writer = await asyncio.open_connection(HOST, int(url.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            writer.write_eof()
            await reader.readuntil(b"begun")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    lab.run(main())


def test_a_response_with_a_length_needs_no_reset(lab: Lab) -> None:
    """Nor one in chunks: clients count. What had been written before arrives for certain."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [("content-length", "99")], begun())

        async with lab.serving(HTTP1, handle) as url:
            assert await get(lab, HTTP1, url) == (b"begun", True)
            await until(lambda: lab.failures, "the failure")

    lab.run(main(), failures=1)


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("failing", [False, True])
def test_a_tunnel_that_fails_is_reset(lab: Lab, wire: Wire, side: str, failing: bool) -> None:
    """The other side of one that is closed sees an end; of one that failed, an error."""

    async def main() -> None:
        ends: list[object] = []

        async def leave(tunnel: aio.Tunnel, here: bool) -> None:
            if not here:
                assert await tunnel.read(5) == b"begun"
                try:
                    ends.append(await tunnel.read())
                except (aio.ConnectionLostError, asyncio.CancelledError):
                    ends.append("lost")
                    raise
                return
            await tunnel.write(b"begun")
            await asyncio.sleep(0.05)
            if failing:
                raise ZeroDivisionError

        async def handle(request: aio.Request) -> None:
            with suppress(ZeroDivisionError):
                async with await request.upgrade() as tunnel:
                    await leave(tunnel, side == "server")

        async with lab.pair(wire, handle) as client:
            with suppress(ZeroDivisionError, aio.ConnectionLostError):
                async with await client.upgrade("x") as tunnel:
                    await leave(tunnel, side == "client")
            await until(lambda: ends, "the end")
        assert ends == ["lost" if failing else b""]

    lab.run(main())


def test_a_proxy_passes_resets_on(lab: Lab) -> None:
    """
    > A proxy MUST send a TCP segment with the RST bit set if it detects an error with the stream
    > or the HTTP/2 connection.   (RFC 9113 8.5)
    """

    async def main() -> None:
        ends: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"begun")
            try:
                ends.append(repr(await reader.read()))
            except ConnectionResetError:
                ends.append("reset")
            writer.close()

        target = await asyncio.start_server(serve, HOST, 0)
        authority = place(target).removeprefix("http://")
        async with lab.serving(HTTP1, Proxy().handle) as url:
            for http2 in (False, True):
                client = await aio.connect(url, force_http2=http2)
                with suppress(ZeroDivisionError):
                    async with await client.tunnel(authority) as tunnel:
                        assert await tunnel.read(5) == b"begun"
                        raise ZeroDivisionError
                client.close()
                await client.wait_closed()
            await until(lambda: len(ends) == 2, "the ends")
        target.close()
        await target.wait_closed()
        assert ends == ["reset"] * 2

    lab.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_closing_in_the_middle_of_what_a_tunnel_writes(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            asyncio.get_running_loop().call_later(0.1, request.conn.close)
            await tunnel.write(bytes(30_000_000))

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                tunnel = await client.tunnel("cno.test:1")
                await asyncio.sleep(0.2)
                with pytest.raises(aio.ConnectionLostError):
                    await tunnel.read()

    lab.run(main())
