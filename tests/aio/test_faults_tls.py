"""TLS that ends without close_notify: data that may have been cut off counts as cut off.

The peers here use the `ssl` module on plain sockets: asyncio's transports always say so.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from cno import aio
from tests import frames as f
from tests.aio.lab import HOST, HTTP1_TLS, HTTP2_TLS, Lab, Wire, until

BODY = b"0123456789" * 3
CHUNKED = b"transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n14\r\n" + BODY[10:]
Play = Callable[[ssl.SSLSocket], None]


def gone(secure: ssl.SSLSocket) -> None:
    """End the connection below TLS: FIN, and no alert."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(secure, socket.SHUT_WR)
        while socket.socket.recv(secure, 65_536):
            pass


@contextlib.contextmanager
def playing(lab: Lab, protocol: str, play: Play) -> Iterator[str]:
    """A server, in a thread, that plays this on one connection; its URL."""
    context = lab.certs.server(protocol)
    problems: list[BaseException] = []
    with socket.create_server((HOST, 0)) as listening:
        listening.settimeout(10)

        def run() -> None:
            try:
                plain, _ = listening.accept()
                plain.settimeout(10)
                with context.wrap_socket(plain, server_side=True) as secure:
                    play(secure)
            except BaseException as error:
                problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"https://{HOST}:{listening.getsockname()[1]}"
        finally:
            thread.join(10)
    assert problems == []


def answering(answer: bytes, proper: bool) -> Play:
    def play(secure: ssl.SSLSocket) -> None:
        while b"\r\n\r\n" not in secure.recv(65_536):
            pass
        secure.sendall(answer)
        if proper:
            with contextlib.suppress(OSError):
                secure.unwrap()
        else:
            gone(secure)

    return play


ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n" + BODY[:20],
    "chunked": b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n",
    "head": b"HTTP/1.1 200 OK\r\ncontent-len",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:20],
}


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_answers_cut_off(lab: Lab, kind: str) -> None:
    # > A response that has neither chunked transfer coding nor Content-Length is complete only if a
    # > valid closure alert has been received.   (RFC 9112 9.8)
    async def main() -> None:
        with playing(lab, "http/1.1", answering(ANSWERS[kind], False)) as url:
            client = await lab.connect(HTTP1_TLS, url)
            with pytest.raises(aio.ConnectionLostError) as caught:
                await (await client.request("GET", "/")).payload.read()
            assert not caught.value.retryable
            await client.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("proper", [True, False])
def test_answers_that_are_complete(lab: Lab, proper: bool) -> None:
    """Where the message says itself how long it is, no more is asked for."""

    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n" + BODY
        with playing(lab, "http/1.1", answering(answer, proper)) as url:
            client = await lab.connect(HTTP1_TLS, url)
            response = await client.request("GET", "/")
            assert await response.payload.read() == BODY
            await client.wait_closed()

    lab.run(main())


def test_an_answer_until_the_end_that_is_said(lab: Lab) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
        with playing(lab, "http/1.1", answering(answer, True)) as url:
            client = await lab.connect(HTTP1_TLS, url)
            response = await client.request("GET", "/")
            assert await response.payload.read() == BODY
            await client.wait_closed()

    lab.run(main())


def test_http2_server_that_is_gone(lab: Lab) -> None:
    """Half of a response, and one that has not begun: neither is complete."""

    def play(secure: ssl.SSLSocket) -> None:
        pen = f.FrameFactory()
        said = b""
        while sum(each.type == f.HEADERS for each in f.parse_frames(said)) < 2:
            said += secure.recv(65_536)
        secure.sendall(pen.settings() + pen.headers(1, f.RESPONSE) + pen.data(1, BODY))
        gone(secure)

    async def main() -> None:
        with playing(lab, "h2", play) as url:
            client = await lab.connect(HTTP2_TLS, url)
            first = asyncio.ensure_future(client.request("GET", "/"))
            second = asyncio.ensure_future(client.request("GET", "/"))
            with pytest.raises(aio.ConnectionLostError):
                await (await first).payload.read()
            with pytest.raises(aio.ConnectionLostError) as caught:
                await second
            assert not caught.value.retryable
            await client.wait_closed()

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1_TLS, HTTP2_TLS], ids=str)
def test_clients_that_are_gone(lab: Lab, wire: Wire) -> None:
    """In the middle of an upload: its handler is told, and nothing is left."""
    pen = f.FrameFactory()
    said = b"POST / HTTP/1.1\r\nhost: a\r\n" + CHUNKED
    if wire.http2:
        said = f.PREFACE + pen.settings() + pen.headers(1, f.POST) + pen.data(1, BODY)

    async def main() -> None:
        reads: list[bytes] = []
        ends: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            try:
                reads.append(await request.payload.readexactly(10))
                await request.payload.read()
            except BaseException as error:
                ends.append(error)
                raise

        def run(port: int) -> None:
            context = lab.certs.client()
            context.set_alpn_protocols(["h2" if wire.http2 else "http/1.1"])
            plain = socket.create_connection((HOST, port))
            plain.settimeout(10)
            with context.wrap_socket(plain, server_hostname=HOST) as secure:
                secure.sendall(said)
                gone(secure)

        async with lab.serving(wire, handle) as url:
            await asyncio.to_thread(run, int(url.rpartition(":")[2]))
            await until(lambda: ends, "the end of the handler")
            assert reads == [BODY[:10]]
            assert isinstance(
                ends[0], asyncio.CancelledError | aio.ConnectionLostError | aio.StreamError
            )

    lab.run(main())


# -- a transport that has ended below TLS, before anybody was told ---------------------------------


@pytest.mark.parametrize("wire", [HTTP1_TLS, HTTP2_TLS], ids=str)
@pytest.mark.parametrize("role", ["client", "server"])
def test_close_before_the_loss_is_told(lab: Lab, wire: Wire, role: str) -> None:
    """asyncio forgets what belongs to a TLS transport that is closed twice; the first time may be
    the end of the connection below."""
    servers: list[aio.Server] = []

    async def handle(request: aio.Request) -> None:
        assert isinstance(request.conn, aio.Server)
        servers.append(request.conn)
        await request.respond(200, [], b"hello")

    async def main() -> None:
        async with lab.serving(wire, handle) as url, await lab.connect(wire, url) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"hello"
            here, there = (client, servers[0]) if role == "client" else (servers[0], client)
            there.transport.abort()
            for _ in range(100_000):  # not a turn later
                if here.transport.is_closing():
                    break
                await asyncio.sleep(0)
            here.close()
            here.close()
            await here.wait_closed()

    lab.run(main())
