"""The end of an HTTP/2 connection after a fault of the peer: GOAWAY, and then the end at once.

> After sending the GOAWAY frame for an error condition, the endpoint MUST close the TCP connection.
> (RFC 9113 5.4.1)

The peers use sockets and the `ssl` module, and see whether TLS ended properly (close_notify).
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Wire, hello, until

BOTH = pytest.mark.parametrize("both", [HTTP2, HTTP2_TLS], ids=str)
#: Nothing is closed because a time is up.
LONG = Limits(linger_timeout=60.0, shutdown_timeout=60.0)
SHORT = Limits(linger_timeout=0.2, shutdown_timeout=60.0)


def read_all(sock: socket.socket) -> bytes:
    """Read to the end; OSError if that was none."""
    got = b""
    while data := sock.recv(65_536):
        got += data
    return got


class Wired:
    """A client's socket, after the handshake of HTTP/2."""

    def __init__(self, lab: Lab, wire: Wire, url: str) -> None:
        port = int(url.rpartition(":")[2])
        self.sock: socket.socket = socket.create_connection((HOST, port), 10)
        if wire.tls:
            context = lab.certs.client()
            context.set_alpn_protocols(["h2"])
            # An end without close_notify is an error.
            self.sock = context.wrap_socket(
                self.sock, server_hostname=HOST, suppress_ragged_eofs=False
            )
        self.pen = f.FrameFactory()
        self.sock.sendall(f.PREFACE + self.pen.settings() + self.pen.settings(ack=True))

    def __enter__(self) -> "Wired":
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()


FAULTS: dict[str, tuple[Callable[[f.FrameFactory], bytes], int]] = {
    "HEADERS of a stream that has ended": (
        lambda p: (
            p.headers(1, f.REQUEST, end_stream=True)
            + p.headers(3, f.REQUEST, end_stream=True)
            + p.headers(1, f.REQUEST, end_stream=True)
        ),
        f.STREAM_CLOSED,
    ),
    "PRIORITY on itself": (lambda p: p.priority(2, 2), f.PROTOCOL_ERROR),
    "PING of a stream": (lambda p: f.frame(f.PING, 0, 3, b"\0" * 8), f.PROTOCOL_ERROR),
    "PING of 6 bytes": (lambda p: f.frame(f.PING, 0, 0, b"\0" * 6), f.FRAME_SIZE_ERROR),
    "a bad block": (
        lambda p: p.headers_frame(1, b"\x80", end_stream=True),
        f.COMPRESSION_ERROR,
    ),
    "DATA of an idle stream": (lambda p: p.data(1, b"x"), f.PROTOCOL_ERROR),
}


async def quickly(request: aio.Request) -> None:
    """Answer the first request at once, so that its stream ends; the others later."""
    if request.stream > 1:
        await asyncio.sleep(0.05)
    await request.respond(200)


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_ends_at_once(lab: Lab, both: Wire, fault: str) -> None:
    make, code = FAULTS[fault]

    async def main() -> None:
        def play() -> bytes:
            with Wired(lab, both, url) as peer:
                if code == f.STREAM_CLOSED:
                    peer.sock.sendall(peer.pen.headers(1, f.REQUEST, end_stream=True))
                    got = peer.sock.recv(65_536)
                    while b"\x00\x00\x00\x01" not in got.partition(b"\x01\x05")[2]:
                        got += peer.sock.recv(65_536)
                    peer.sock.sendall(peer.pen.headers(1, f.REQUEST, end_stream=True))
                    return got + read_all(peer.sock)
                peer.sock.sendall(make(peer.pen))
                return read_all(peer.sock)

        async with lab.serving(both, quickly, limits=LONG) as url:
            frames = f.parse_frames(await asyncio.to_thread(play))
        assert (frames[-1].type, frames[-1].code) == (f.GOAWAY, code)
        assert sum(frame.type == f.GOAWAY for frame in frames) == 1

    lab.run(main())


@BOTH
def test_a_stream_that_depends_on_itself_is_reset(lab: Lab, both: Wire) -> None:
    async def main() -> None:
        def play() -> bytes:
            with Wired(lab, both, url) as peer:
                pen = peer.pen
                peer.sock.sendall(pen.headers(1, f.REQUEST, end_stream=True, priority=(1, 0)))
                peer.sock.sendall(f.frame(f.PING, 0, 0, b"\0" * 6))
                return read_all(peer.sock)

        async with lab.serving(both, hello, limits=LONG) as url:
            frames = f.parse_frames(await asyncio.to_thread(play))
        reset, goaway = [each for each in frames if each.type in (f.RST_STREAM, f.GOAWAY)]
        assert (reset.type, reset.stream, reset.code) == (f.RST_STREAM, 1, f.PROTOCOL_ERROR)
        assert (goaway.type, goaway.code) == (f.GOAWAY, f.FRAME_SIZE_ERROR)

    lab.run(main())


@BOTH
def test_a_client_that_goes_on_sending_can_read_why(lab: Lab, both: Wire) -> None:
    async def main() -> None:
        def play() -> bytes:
            with Wired(lab, both, url) as peer:
                peer.sock.sendall(peer.pen.data(1, b"x"))
                got = b""
                with contextlib.suppress(OSError):
                    for _ in range(20):
                        peer.sock.sendall(peer.pen.data(1, b"x" * 16_384))
                with contextlib.suppress(OSError):
                    while data := peer.sock.recv(65_536):
                        got += data
                return got

        async with lab.serving(both, hello, limits=LONG) as url:
            frames = f.parse_frames(await asyncio.to_thread(play))
        assert (frames[-1].type, frames[-1].code) == (f.GOAWAY, f.PROTOCOL_ERROR)

    lab.run(main())


@BOTH
def test_a_client_that_stays_is_cut_off(lab: Lab, both: Wire) -> None:
    """It does not end its side: the server gives it `linger_timeout`, and no more."""

    async def main() -> None:
        files = {"certfile": lab.certs.certfile, "keyfile": lab.certs.keyfile}
        context = aio.tls.server_context(**files) if both.tls else None
        async with aio.serve(hello, HOST, 0, ssl=context, limits=SHORT) as listener:
            url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
            with await asyncio.to_thread(Wired, lab, both, url) as peer:
                await until(lambda: listener.connections == 1)
                await asyncio.to_thread(peer.sock.sendall, peer.pen.data(1, b"x"))
                await until(lambda: listener.connections == 0)

    lab.run(main())


@BOTH
def test_a_client_ends_at_once(lab: Lab, both: Wire) -> None:
    """The other role: the server breaks the rules."""

    async def main() -> None:
        seen: list[bytes] = []
        connected = threading.Event()
        problems: list[BaseException] = []
        with socket.create_server((HOST, 0)) as listening:
            listening.settimeout(10)

            def play() -> None:
                try:
                    sock, _ = listening.accept()
                    sock.settimeout(10)
                    if both.tls:
                        sock = lab.certs.server("h2").wrap_socket(
                            sock, server_side=True, suppress_ragged_eofs=False
                        )
                    with sock:
                        pen = f.FrameFactory()
                        sock.sendall(pen.settings())
                        assert connected.wait(10)
                        sock.sendall(f.frame(f.PING, 0, 0, b"\0" * 6))
                        seen.append(read_all(sock))
                except BaseException as error:
                    problems.append(error)

            thread = threading.Thread(target=play)
            thread.start()
            url = f"{both.scheme}://{HOST}:{listening.getsockname()[1]}"
            client = await lab.connect(both, url, limits=LONG)
            connected.set()
            await asyncio.to_thread(thread.join, 10)
            await client.wait_closed()
        assert problems == []
        last = f.parse_frames(seen[0])[-1]
        assert (last.type, last.code) == (f.GOAWAY, f.FRAME_SIZE_ERROR)

    lab.run(main())


def test_ssl_tells_an_end_without_close_notify(lab: Lab) -> None:
    """What the tests above rely on."""

    async def main() -> None:
        servers: list[asyncio.BaseTransport] = []

        class Abrupt(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                servers.append(transport)

            def data_received(self, data: bytes) -> None:
                sock = servers[0].get_extra_info("socket")
                with socket.fromfd(sock.fileno(), sock.family, sock.type) as same:
                    same.shutdown(socket.SHUT_WR)

        def play() -> None:
            with Wired(lab, HTTP2_TLS, url) as peer, pytest.raises(ssl.SSLEOFError):
                read_all(peer.sock)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Abrupt, HOST, 0, ssl=lab.certs.server("h2"))
        url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        await asyncio.to_thread(play)
        for transport in servers:
            transport.abort()  # type: ignore[attr-defined]  # it is one of a socket
        server.close()
        await server.wait_closed()

    lab.run(main())


def test_a_client_that_reads_slowly_gets_all(lab: Lab) -> None:
    """The kernel has all output, and the client sends: an abort would discard what it has not read.

    As long as it acknowledges some within `linger_timeout`, there is no abort.
    """

    size = 1_000_000

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            tunnel = await request.upgrade()
            await tunnel.write(b"x" * size)
            await tunnel.write_eof()

        async with lab.serving(HTTP1, handle, limits=Limits(linger_timeout=0.25)) as url:
            loop = asyncio.get_running_loop()
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size // 40)
                sock.setblocking(False)
                await loop.sock_connect(sock, (HOST, int(url.rpartition(":")[2])))
                await loop.sock_sendall(sock, b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
                received = 0
                while data := await loop.sock_recv(sock, size // 20):
                    received += len(data)
                    await loop.sock_sendall(sock, b"y")
                    await asyncio.sleep(0.03)
                assert received > size

    lab.run(main())
