"""Byte streams of the blocking client: upgrades and CONNECT, over either protocol."""

import asyncio
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cno
from cno import sync
from cno.settings import SettingsDict
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Peer, Wire, by_hand
from tests.sync.kit import background, serving


async def handler(request: cno.Request) -> None:
    if request.path == "/no":
        await request.respond(403, [], b"refused")
        return
    async with await request.upgrade([("x-mine", "1")]) as tunnel:
        while data := await tunnel.read(65_536):
            await tunnel.write(data)


@pytest.fixture
def client(lab: Lab, wire: Wire) -> Iterator[sync.Client]:
    with serving(lab, wire, handler, settings={"enable_connect_protocol": True}) as url:
        with sync.connect(url, lab.certs.client()) as made:
            yield made


def opened(client: sync.Client, way: str) -> sync.Tunnel:
    return client.upgrade("echo", "/yes") if way == "upgrade" else client.tunnel("a.test:1")


@pytest.mark.parametrize("way", ["upgrade", "connect"])
def test_an_echo(client: sync.Client, way: str, wire: Wire) -> None:
    with opened(client, way) as tunnel:
        assert tunnel.is_http2 == wire.http2
        assert ("x-mine", "1") in tunnel.headers
        for text in (b"a", b"bc" * 1000):
            tunnel.write(text)
            got = b""
            while len(got) < len(text):
                got += tunnel.read(100, timeout=5)
            assert got == text
        assert tunnel.read(0) == b""


def test_a_read_that_is_late_leaves_the_tunnel_open(client: sync.Client) -> None:
    with opened(client, "upgrade") as tunnel:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(sync.ReadTimeoutError, match="within 0"):
                tunnel.read(1, timeout=0.02)
            assert time.monotonic() - began < 5
        tunnel.write(b"x", timeout=5)
        assert tunnel.read(1, timeout=5) == b"x"


#: More bytes than a Unix socket buffers, and not more than a tunnel takes at once.
MUCH = 262_144
UNIX = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no Unix sockets")


@contextmanager
def unix_tunnel(
    tmp_path: Path, behave: Callable[[socket.socket], None]
) -> Iterator[tuple[sync.Tunnel, threading.Thread]]:
    """A tunnel over a Unix socket whose buffer is small; `behave` is the server, in a thread."""

    def run() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(2)
            while b"\r\n\r\n" not in peer.recv(65_536):
                pass
            peer.sendall(b"HTTP/1.1 101 x\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n")
            behave(peer)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = str(tmp_path / "s")
        listener.bind(path)
        listener.listen()
        server = threading.Thread(target=run)
        server.start()
        with sync.connect("http://a.test/", unix=path) as client:
            yield client.upgrade("echo", "/"), server
        server.join(10)


@UNIX
def test_a_write_waits_until_the_socket_has_all_of_it(tmp_path: Path) -> None:
    """Nothing is left for the next call, even if the server begins late to read."""
    got: list[int] = []

    def read_late(peer: socket.socket) -> None:
        time.sleep(0.05)
        while sum(got) < MUCH and (data := peer.recv(65_536)):
            got.append(len(data))

    with unix_tunnel(tmp_path, read_late) as (tunnel, server):
        tunnel.write(bytes(MUCH), timeout=5)
        server.join(10)
        assert sum(got) == MUCH


@UNIX
def test_a_write_that_the_socket_does_not_take(tmp_path: Path) -> None:
    is_over = threading.Event()

    def read_nothing(peer: socket.socket) -> None:
        is_over.wait(5)

    with unix_tunnel(tmp_path, read_nothing) as (tunnel, _):
        with pytest.raises(sync.WriteTimeoutError, match=r"within 0\.05 s"):
            tunnel.write(bytes(MUCH), timeout=0.05)
        with pytest.raises(cno.ConnectionError):
            tunnel.write(b"x")
        is_over.set()


@UNIX
def test_a_write_whose_rest_the_server_never_takes(tmp_path: Path) -> None:
    with unix_tunnel(tmp_path, lambda _: time.sleep(0.02)) as (tunnel, _):
        with pytest.raises(cno.ConnectionLostError):
            tunnel.write(bytes(MUCH), timeout=5)


def test_both_directions_at_once(client: sync.Client) -> None:
    """More than all buffers hold, so that writing waits for reading."""
    data = os.urandom(8_000_000)
    with opened(client, "upgrade") as tunnel:
        writer = threading.Thread(target=tunnel.write, args=(data,))
        writer.start()
        got = bytearray()
        while len(got) < len(data):
            got += tunnel.read(100_000, timeout=20)
        writer.join()
        assert bytes(got) == data


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_the_end_of_one_direction(client: sync.Client) -> None:
    tunnel = opened(client, "upgrade")
    tunnel.write(b"all")
    tunnel.write_eof()
    tunnel.write_eof()
    assert tunnel.read() == b"all"
    with pytest.raises(cno.ConnectionError, match="closed"):
        tunnel.write(b"more")
    tunnel.close()


@pytest.mark.parametrize("wire", [HTTP1, HTTP1_TLS, HTTP2], ids=str)
def test_a_refusal(client: sync.Client) -> None:
    with pytest.raises(sync.UpgradeRefused) as caught:
        client.upgrade("echo", "/no")
    error = caught.value
    assert isinstance(error, cno.UpgradeRefused)
    assert error.status == 403
    refusal: sync.Response = error.response
    assert refusal.read() == b"refused"
    copied = pickle.loads(pickle.dumps(error))
    assert copied.status == 403
    with pytest.raises(AttributeError):
        print(copied.response)


@pytest.mark.parametrize("wire", [HTTP2, HTTP2_TLS], ids=str)
def test_requests_beside_a_tunnel(client: sync.Client) -> None:
    with opened(client, "upgrade") as tunnel:
        assert client.request("GET", "/no").read() == b"refused"
        tunnel.write(b"x")
        assert tunnel.read(1) == b"x"


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_a_server_that_reads_nothing(lab: Lab, wire: Wire) -> None:
    async def deaf(request: cno.Request) -> None:
        await request.upgrade()
        await asyncio.sleep(20)  # until the stream is reset

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport for both directions
        await asyncio.sleep(20)

    settings: SettingsDict = {"enable_connect_protocol": True}
    place = serving(lab, wire, deaf, settings=settings)
    with place if wire.http2 else background(lambda: by_hand(script)) as url:
        with sync.connect(url) as client:
            tunnel = opened(client, "upgrade")
            with pytest.raises(sync.WriteTimeoutError):
                tunnel.write(bytes(50_000_000), timeout=0.05)


def fail_in(tunnel: sync.Tunnel) -> None:
    with tunnel:
        tunnel.write(b"x")
        raise LookupError


def test_leaving_by_an_error_resets_the_stream(client: sync.Client) -> None:
    tunnel = opened(client, "upgrade")
    with pytest.raises(LookupError):
        fail_in(tunnel)
    with pytest.raises(cno.ConnectionError):
        tunnel.read(1)


def test_threads_that_read_and_write_while_another_one_polls(lab: Lab) -> None:
    """Data wakes the reader of a tunnel although its writer waits as well."""

    async def handle(request: cno.Request) -> None:
        if request.path == "/last":
            await over.wait()
            await request.respond(200, [], b"")
        else:
            await handler(request)

    over = asyncio.Event()
    data = os.urandom(6_000_000)
    settings: SettingsDict = {"enable_connect_protocol": True}
    with serving(lab, HTTP2, handle, settings=settings) as url, sync.connect(url) as client:

        def poll() -> None:
            client.request("GET", "/last").read()

        def write() -> None:
            tunnel.write(data, timeout=20)
            tunnel.write_eof()

        tunnel = client.upgrade("echo", "/yes")
        threads = [threading.Thread(target=poll), threading.Thread(target=write)]
        threads[0].start()
        time.sleep(0.02)
        threads[1].start()
        time.sleep(0.05)
        assert tunnel.read(timeout=20) == data
        with client.upgrade("echo", "/yes"):
            over.set()
        for thread in threads:
            thread.join()
