"""Peers that are slow but steady are not taken for stalled ones; stalled ones still are.

The peers have small buffers, and the timeouts are short: the system then takes octets of a server
less often than they allow, although the peer takes some all the time.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from cno import aio
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HOST, HTTP1, HTTP2, Handler, Lab, Peer, Wire

#: Seconds that a peer may take nothing.
STALL = 0.25
#: Octets that the slow peers read at once; so often a second.
PIECE = 8_192
OFTEN = 50
#: Seconds for which they are slow.
LONG = 4 * STALL
BODY = 6_000_000
CLEAR = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)


def limits(**more: float) -> Limits:
    """Without bounds to what the system takes ahead: that is how most is hidden."""
    return Limits(write_stall_timeout=STALL, max_unsent=None, **more)  # type: ignore[arg-type]  # all are numbers


class SlowPeer:
    """A client by hand with a small buffer, which reads in a thread: its system takes no more ahead
    than that. Its windows hold everything."""

    def __init__(self, lab: Lab, wire: Wire, url: str) -> None:
        self.wire = wire
        self.pen = f.FrameFactory()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.settimeout(20)
        sock.connect((HOST, int(url.rpartition(":")[2])))
        if wire.tls:
            context = lab.certs.client()
            context.set_alpn_protocols(["h2" if wire.http2 else "http/1.1"])
            sock = context.wrap_socket(sock, server_hostname=HOST)
        self.sock = sock
        if wire.http2:
            self.send(f.PREFACE + self.pen.settings({f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}))
            self.send(
                self.pen.window_update(0, f.MAX_WINDOW - 65_535) + self.pen.settings(ack=True)
            )

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, *fields: bytes) -> None:
        if self.wire.http2:
            self.send(self.pen.headers(1, f.REQUEST, end_stream=True))
        else:
            self.send(b"\r\n".join((b"GET / HTTP/1.1", b"host: a", *fields, b"", b"")))

    def slowly(self, seconds: float = LONG) -> int:
        """Read a little at a time; how much that was."""
        end = time.monotonic() + seconds
        total = 0
        while time.monotonic() < end:
            data = self.sock.recv(PIECE)
            assert data, f"cut off after {total} octets"
            total += len(data)
            time.sleep(1 / OFTEN)
        return total

    def fast(self, least: int) -> int:
        """Read until so much has come, or there is no more."""
        total = 0
        while total < least:
            try:
                data = self.sock.recv(min(1 << 20, least - total))
            except ConnectionError:
                break
            if not data:
                break
            total += len(data)
        return total

    def head(self) -> bytes:
        """A head of HTTP/1.1."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            octet = self.sock.recv(1)
            assert octet, f"cut off after {data!r}"
            data += octet
        return data

    def __enter__(self) -> "SlowPeer":
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()


async def answer(request: aio.Request) -> None:
    await request.respond(200, [], bytes(BODY))


async def small(request: aio.Request) -> None:
    """All of it, into the transport: the system takes a part of it, and more once that has gone."""
    sock = request.conn.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    request.conn.transport.set_write_buffer_limits(high=2 * BODY)
    await request.respond(200, [], bytes(BODY))


def play(
    lab: Lab,
    wire: Wire,
    bounds: Limits,
    script: Callable[[SlowPeer], None],
    handle: Handler = answer,
    failures: int = 0,
) -> None:
    """A server, and a slow client that plays a script in a thread."""

    async def main() -> None:
        async with lab.serving(wire, handle, limits=bounds) as url:

            def run() -> None:
                with SlowPeer(lab, wire, url) as peer:
                    script(peer)

            await asyncio.to_thread(run)

    lab.run(main(), failures)


def test_slow_client_gets_all_of_a_response(lab: Lab, wire: Wire) -> None:
    def script(peer: SlowPeer) -> None:
        peer.ask()
        got = peer.slowly()
        assert got + peer.fast(BODY - got) >= BODY

    play(lab, wire, limits(), script)


def test_client_that_stops_taking_is_still_cut_off(lab: Lab, wire: Wire) -> None:
    failed = threading.Event()

    async def handle(request: aio.Request) -> None:
        try:
            await answer(request)
        except BaseException:
            failed.set()
            raise

    def script(peer: SlowPeer) -> None:
        peer.ask()
        peer.slowly(2 * STALL)
        assert not failed.is_set()
        assert failed.wait(20)

    play(lab, wire, limits(), script, handle)


def test_slow_client_reads_the_last_response_of_a_connection(lab: Lab) -> None:
    """What is in the transport by then takes longer than a connection has to close."""

    def script(peer: SlowPeer) -> None:
        peer.ask(b"connection: close")
        assert b"connection: close" in peer.head()
        got = peer.slowly()
        assert got + peer.fast(BODY) == BODY

    play(lab, HTTP1, limits(shutdown_timeout=STALL), script, small)


def test_slow_client_that_has_closed_its_sending_side(lab: Lab) -> None:
    def script(peer: SlowPeer) -> None:
        peer.ask()
        peer.sock.shutdown(socket.SHUT_WR)
        peer.head()
        got = peer.slowly()
        assert got + peer.fast(BODY) == BODY

    play(lab, HTTP1, limits(half_closed_timeout=LONG / 2), script)


def test_slow_client_reads_why_its_upload_is_refused(lab: Lab) -> None:
    def script(peer: SlowPeer) -> None:
        peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n")
        peer.head()
        got = peer.slowly()
        assert got + peer.fast(BODY) == BODY

    play(lab, HTTP1, limits(linger_timeout=STALL / 2), script, small)


def test_unread_output_keeps_a_connection_from_being_idle(lab: Lab) -> None:
    """Everything has been answered, and is on its way slowly."""

    def script(peer: SlowPeer) -> None:
        peer.ask()
        peer.head()
        got = peer.slowly()
        assert got + peer.fast(BODY) == BODY

    bounds = limits(keepalive_timeout=STALL / 4, shutdown_timeout=STALL / 4)
    play(lab, HTTP1, bounds, script, small)


@pytest.mark.parametrize("what", ["ping", "settings"])
def test_answers_that_wait_behind_slow_output(lab: Lab, what: str) -> None:
    async def handle(request: aio.Request) -> None:
        if what == "settings":
            answering = asyncio.ensure_future(answer(request))
            await asyncio.sleep(0.05)
            request.conn.configure(max_frame_size=20_000)
            await answering
        else:
            await answer(request)

    def script(peer: SlowPeer) -> None:
        peer.ask()
        got = peer.slowly()
        assert got + peer.fast(BODY - got) >= BODY

    waits = {"settings_timeout": STALL}
    if what == "ping":
        waits = {"ping_interval": STALL, "ping_timeout": STALL}
    play(lab, HTTP2, limits(**waits), script, handle)


@CLEAR
def test_upload_to_a_server_that_reads_slowly(lab: Lab, wire: Wire) -> None:
    def script(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        peer = object.__new__(SlowPeer)
        peer.sock = sock
        pen = f.FrameFactory()
        with peer:
            if wire.http2:
                peer.send(pen.settings({f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}))
                peer.send(pen.window_update(0, f.MAX_WINDOW - 65_535) + pen.settings(ack=True))
            got = peer.slowly()
            assert got + peer.fast(BODY - got) >= BODY
            if wire.http2:
                peer.send(pen.headers(1, f.RESPONSE, end_stream=True))
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            peer.fast(1 << 30)

    async def main() -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            listener.bind((HOST, 0))
            listener.listen()
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            serving = asyncio.ensure_future(asyncio.to_thread(script, listener))
            async with await lab.connect(wire, url, limits=limits()) as client:
                response = await client.request("POST", "/", [], bytes(BODY))
                assert response.code == 200
            await serving

    lab.run(main())


# -- windows --------------------------------------------------------------------------------------


def test_application_that_reads_slowly_keeps_its_response(lab: Lab) -> None:
    """Half of its window takes longer than the server waits: less of it is announced meanwhile."""

    async def main() -> None:
        ours = Limits(
            initial_window_size=1 << 20, connection_window=8 << 20, body_timeout=STALL / 2
        )
        async with lab.pair(
            HTTP2, answer, limits=Limits(write_stall_timeout=STALL), client_limits=ours
        ) as client:
            response = await client.request("GET", "/")
            loop = asyncio.get_running_loop()
            end = loop.time() + 2 * LONG
            got = 0
            while loop.time() < end:
                got += len(await response.payload.read(400))
                await asyncio.sleep(1 / OFTEN)
            while data := await response.payload.read(1 << 20):
                got += len(data)
            assert got == BODY

    lab.run(main())


def test_handler_that_reads_slowly_keeps_its_request(lab: Lab) -> None:
    async def main() -> None:
        got: list[int] = []

        async def handle(request: aio.Request) -> None:
            total = 0
            for _ in range(int(2 * LONG * OFTEN)):
                total += len(await request.payload.read(200))
                await asyncio.sleep(1 / OFTEN)
            while data := await request.payload.read(1 << 20):
                total += len(data)
            got.append(total)
            await request.respond(200)

        ours = Limits(
            initial_window_size=262_144, connection_window=1 << 20, body_timeout=STALL / 2
        )
        theirs = Limits(write_stall_timeout=STALL)
        async with lab.pair(HTTP2, handle, limits=ours, client_limits=theirs) as client:
            assert (await client.request("POST", "/", [], bytes(BODY))).code == 200
        assert got == [BODY]

    lab.run(main())


@pytest.mark.parametrize("window", ["stream", "connection"])
def test_window_that_opens_by_too_little_to_be_used(lab: Lab, window: str) -> None:
    """That is progress all the same; none is none."""

    async def main() -> None:
        async with lab.serving(HTTP2, answer, limits=limits()) as url:
            async with await Peer.connect_http2(url) as peer:
                if window == "stream":
                    peer.send(peer.pen.window_update(0, BODY))
                else:
                    peer.send(peer.pen.settings({f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}))
                peer.send(peer.pen.headers(1, f.REQUEST, end_stream=True))
                listening = asyncio.ensure_future(peer.expect(f.RST_STREAM, 1))
                for _ in range(int(2 * LONG * OFTEN)):
                    peer.send(peer.pen.window_update(1 if window == "stream" else 0, 10))
                    await asyncio.sleep(1 / OFTEN)
                    assert not listening.done()
                assert (await listening).code == f.CANCEL

    lab.run(main())
