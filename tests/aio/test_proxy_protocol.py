"""Servers behind proxies that announce their clients (PROXY protocol), by hand and by HAProxy.

(https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt)
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno import aio
from cno.aio.server.proxy_header import parse
from cno.limits import Limits
from tests.aio.lab import HOST, HTTP2, WIRES, Lab, Wire, until
from tests.peers import free_port, require
from tests.processes import Running
from tests.rows import each_row

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOOPBACK = ["127.0.0.0/8"]
REAL = "real"  # the peer is who is connected


def v2(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + block


def pair4(source: str = "192.0.2.7", port: int = 56324) -> bytes:
    return (
        socket.inet_aton(source) + bytes([198, 51, 100, 1]) + port.to_bytes(2, "big") + b"\x01\xbb"
    )


def pair6() -> bytes:
    address = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    return address + bytes(16) + (56324).to_bytes(2, "big") + b"\x01\xbb"


TLV = b"\x04\x00\x03abc" + b"\x20\x00\x00"

GOOD: list[tuple[bytes, Any]] = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", ("192.0.2.7", 56324)),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ("0.0.0.0", 0)),
    (b"PROXY TCP6 2001:DB8:0::7 ::1 56324 443\r\n", ("2001:db8::7", 56324)),
    (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    ),
    (b"PROXY UNKNOWN\r\n", REAL),
    (b"PROXY UNKNOWN ffff:: ... what \xff ever\r\n", REAL),
    (v2(0x21, 0x11, pair4()), ("192.0.2.7", 56324)),
    (v2(0x21, 0x12, pair4()), ("192.0.2.7", 56324)),
    (v2(0x21, 0x21, pair6()), ("2001:db8::7", 56324)),
    (v2(0x21, 0x31, b"/run/a".ljust(108, b"\0") + bytes(108)), None),
    (v2(0x21, 0x11, pair4() + TLV), ("192.0.2.7", 56324)),
    (v2(0x21, 0x21, pair6() + TLV * 400), ("2001:db8::7", 56324)),
    (v2(0x21, 0x00, b""), REAL),
    (v2(0x21, 0x00, b"any thing"), REAL),
    (v2(0x20, 0x00, b""), REAL),
    (v2(0x20, 0x11, pair4()), REAL),
    (v2(0x20, 0xFF, b"x" * 200), REAL),
]

BAD = [
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100 56324 443\r\n",
    b"PROXY TCP4 ::1 ::1 56324 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n",
    b"PROXY TCP6 [::1] [::1] 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 +56 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 999999999999999999999\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 443\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN" + b" " * 93 + b"\r\n",
    b"PROXY " + b"x" * 200,
    v2(0x11, 0x11, pair4()),
    v2(0x31, 0x11, pair4()),
    v2(0x22, 0x11, pair4()),
    v2(0x21, 0x41, bytes(300)),
    v2(0x21, 0x13, pair4()),
    v2(0x21, 0x11, pair4()[:-1]),
    v2(0x21, 0x21, pair4()),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x11, pair4() + b"\x04"),
    v2(0x21, 0x11, pair4() + b"\x04\x00"),
    v2(0x21, 0x11, pair4() + b"\x04\x00\x04abc"),
    v2(0x21, 0x11, pair4() + b"\x04\xff\xff"),
    v2(0x21, 0x11, b"", 4081),
    v2(0x20, 0x00, b"", 65535),
    SIGNATURE[:-1] + b"\r" + b"\x21\x11",
    b"\r\n\r\nGET",
]


async def tell(request: aio.Request) -> None:
    """A handler: whom it takes for the client."""
    peer = request.peer
    await request.respond(200, [("x-peer", "none" if peer is None else f"{peer[0]} {peer[1]}")])


def parsed(data: bytes) -> object:
    """What there is to a header: its size, an error, or None while more is needed."""
    try:
        header = parse(data)
    except ValueError:
        return ValueError
    return None if header is None else header.size


@given(st.sampled_from([header for header, _ in GOOD] + BAD), st.data())
def test_a_header_is_refused_or_complete_whatever_follows(
    header: bytes, data: st.DataObject
) -> None:
    """However it is changed: parsing raises nothing else, and never changes its mind."""
    text = bytearray(header)
    for at in data.draw(st.lists(st.integers(0, len(header) - 1), max_size=3)):
        text[at] = data.draw(st.integers(0, 255))
    changed = bytes(text) + data.draw(st.binary(max_size=20))
    found = None
    for size in range(len(changed) + 1):
        now = parsed(changed[:size])
        if found is not None:
            assert now == found
        elif isinstance(now, int):
            assert now == size
        found = now


@asynccontextmanager
async def serving(lab: Lab, wire: Wire, trusted: list[str], **options: Any) -> AsyncIterator[int]:
    """A server; gives its port."""
    context = lab.certs.server() if wire.tls else None
    async with aio.serve(tell, HOST, 0, ssl=context, proxy_protocol=trusted, **options) as listener:
        yield listener.sockets[0].getsockname()[1]


async def connected(lab: Lab, wire: Wire, sock: socket.socket) -> aio.Client:
    """A client over a connection on which something has been said already."""
    loop = asyncio.get_running_loop()
    client = aio.Client(loop, "cno.test", wire.scheme, force_http2=wire.http2)
    context: ssl.SSLContext | None = None
    if wire.tls:
        context = lab.certs.client()
        context.set_alpn_protocols(["h2"] if wire.http2 else ["http/1.1"])
    await loop.create_connection(
        lambda: client, sock=sock, ssl=context, server_hostname="cno.test" if wire.tls else None
    )
    return client


async def announced(
    lab: Lab, wire: Wire, port: int, header: bytes, pieces: int = 1
) -> tuple[str, str]:
    """Whom the server takes a connection's peer for; and who that really is."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (HOST, port))
    step = -(-len(header) // pieces) or 1
    for at in range(0, len(header), step):
        await loop.sock_sendall(sock, header[at : at + step])
        if pieces > 1:
            await asyncio.sleep(0.001)
    name = sock.getsockname()
    async with await connected(lab, wire, sock) as client:
        peers = set()
        for _ in range(2):
            async with await client.request("GET", "/") as response:
                peers.add(dict(response.headers)["x-peer"])
        assert len(peers) == 1
        return peers.pop(), f"{name[0]} {name[1]}"


@pytest.mark.parametrize(("header", "peer"), GOOD)
def test_header(lab: Lab, header: bytes, peer: Any) -> None:
    async def main() -> None:
        async with serving(lab, HTTP2, LOOPBACK) as port:
            for pieces in (1, 2, 3):
                seen, real = await announced(lab, HTTP2, port, header, pieces)
                if peer is None:
                    assert seen == "none"
                else:
                    assert seen == (real if peer is REAL else f"{peer[0]} {peer[1]}")

    lab.run(main())


@pytest.mark.parametrize("header", [GOOD[0][0], GOOD[7][0] + b"", GOOD[15][0]])
def test_header_on_every_wire(lab: Lab, wire: Wire, header: bytes) -> None:
    async def main() -> None:
        expected = dict(GOOD)[header]
        async with serving(lab, wire, LOOPBACK) as port:
            for pieces in (1, len(header)):
                seen, real = await announced(lab, wire, port, header, pieces)
                assert seen == (real if expected is REAL else f"{expected[0]} {expected[1]}")

    lab.run(main())


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("version", [0, 7])
def test_header_that_comes_with_what_follows(lab: Lab, version: int, secure: bool) -> None:
    """In one segment with the first request, or with the beginning of TLS."""

    async def main() -> None:
        wire = WIRES[2] if secure else WIRES[0]
        async with serving(lab, wire, LOOPBACK) as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            hello, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            request = b"GET / HTTP/1.1\r\nhost: cno.test\r\nconnection: close\r\n\r\n"
            if not secure:
                writer.write(GOOD[version][0] + request)
                assert b"x-peer: 192.0.2.7 56324\r\n" in await reader.read()
            else:
                inner = lab.certs.client().wrap_bio(hello, outgoing, server_hostname="cno.test")
                first = GOOD[version][0]
                while True:
                    try:
                        inner.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(first + outgoing.read())
                        first = b""
                        hello.write(await reader.read(65536))
                inner.write(request)
                writer.write(outgoing.read())
                answer = b""
                while b"\r\n\r\n" not in answer:
                    try:
                        answer += inner.read(65536)
                    except ssl.SSLWantReadError:
                        hello.write(await reader.read(65536))
                assert b"x-peer: 192.0.2.7 56324\r\n" in answer
            writer.close()
            await until(lambda: writer.transport.is_closing())

    lab.run(main())


@pytest.mark.parametrize("header", BAD)
def test_malformed_header_ends_the_connection(lab: Lab, header: bytes) -> None:
    """As soon as it is seen to be malformed, without an answer."""

    async def main() -> None:
        for wire, step in ((WIRES[0], len(header)), (WIRES[3], 7)):
            async with serving(lab, wire, LOOPBACK) as port:
                reader, writer = await asyncio.open_connection(HOST, port)
                for at in range(0, len(header), step):
                    if not writer.transport.is_closing():
                        writer.write(header[at : at + step])
                    await asyncio.sleep(0)
                try:
                    assert await asyncio.wait_for(reader.read(), 5) == b""
                except ConnectionError:
                    pass
                writer.close()

    lab.run(main())


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 192.0.2.7", v2(0x21, 0x11, pair4())[:20]])
def test_wait_for_a_header_is_bounded(lab: Lab, sent: bytes) -> None:
    async def main() -> None:
        for wire in (WIRES[0], WIRES[3]):
            async with serving(lab, wire, LOOPBACK, limits=Limits(handshake_timeout=0.1)) as port:
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(sent)
                try:
                    assert await asyncio.wait_for(reader.read(), 5) == b""
                except ConnectionError:
                    pass
                writer.close()

    lab.run(main())


def test_peer_that_goes_before_its_header(lab: Lab) -> None:
    async def main() -> None:
        for wire in (WIRES[0], WIRES[3]):
            async with serving(lab, wire, LOOPBACK) as port:
                for sent in (b"", b"PROXY TCP4", GOOD[0][0]):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.write(sent)
                    writer.close()
                    await writer.wait_closed()

    lab.run(main())


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        (["127.0.0.1"], True),
        (["10.0.0.0/8", "127.0.0.0/8", "::1"], True),
        (["0.0.0.0/0"], True),
        (["127.0.0.2"], False),
        (["::/0"], False),
        (["unix:"], False),
        ([], False),
    ],
)
def test_only_trusted_addresses_have_a_header(
    lab: Lab, wire: Wire, trusted: list[str], expected: bool
) -> None:
    """From others it is an error, and is not needed."""

    async def main() -> None:
        async with serving(lab, wire, trusted) as port:
            if expected:
                seen, _ = await announced(lab, wire, port, GOOD[0][0])
                assert seen == "192.0.2.7 56324"
                return
            seen, real = await announced(lab, wire, port, b"")
            assert seen == real
            if not wire.tls and not wire.http2:
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(GOOD[0][0] + b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
                writer.close()

    lab.run(main())


def test_one_address_may_be_given_as_text(lab: Lab) -> None:
    async def main() -> None:
        async with aio.serve(tell, HOST, 0, proxy_protocol="127.0.0.1") as listener:
            port = listener.sockets[0].getsockname()[1]
            assert (await announced(lab, HTTP2, port, GOOD[0][0]))[0] == "192.0.2.7 56324"

    lab.run(main())


@each_row("trusted", [["cno.test"], ["127.0.0.1/33"], ["10.0.0.1/8"], [""], "x"])
def test_networks_that_are_none(trusted: Any) -> None:
    with pytest.raises(ValueError, match=r"network|bits|address"):
        aio.serve(tell, HOST, 0, proxy_protocol=trusted)


def test_mapped_address_of_a_socket_for_both_families(lab: Lab) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        async with aio.serve(tell, sock=sock, proxy_protocol=LOOPBACK):
            port = sock.getsockname()[1]
            assert (await announced(lab, HTTP2, port, GOOD[0][0]))[0] == "192.0.2.7 56324"

    lab.run(main())


@pytest.mark.parametrize("trusted", [True, False])
def test_unix_socket(lab: Lab, wire: Wire, tmp_path: Path, trusted: bool) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        context = lab.certs.server() if wire.tls else None
        entries = ["unix:"] if trusted else LOOPBACK
        async with aio.serve(tell, path=path, ssl=context, proxy_protocol=entries):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            sock.setblocking(False)
            if trusted:
                sock.send(GOOD[7][0])
            async with await connected(lab, wire, sock) as client:
                async with await client.request("GET", "/") as response:
                    seen = dict(response.headers)["x-peer"]
                    assert seen == ("192.0.2.7 56324" if trusted else "none")

    lab.run(main())


def test_peer_without_the_protocol(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, tell) as client:
            async with await client.request("GET", "/") as response:
                name = client.transport.get_extra_info("sockname")
                assert dict(response.headers)["x-peer"] == f"{name[0]} {name[1]}"

    lab.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_server_that_closes(lab: Lab, late: bool) -> None:
    """It waits a moment for connections that have just come, and not for those that say nothing."""

    async def main() -> None:
        listener = await aio.serve(tell, HOST, 0, proxy_protocol=LOOPBACK)
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(HOST, port)
        await asyncio.sleep(0.05)
        listener.close()
        if not late:
            writer.write(GOOD[0][0] + b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(listener.wait_closed(), 5)
        try:
            assert (b"x-peer: 192.0.2.7" in await reader.read()) == (not late)
        except ConnectionError:
            assert late
        writer.close()

    lab.run(main())


def test_connections_leave_no_descriptor(lab: Lab) -> None:
    async def main() -> None:
        async with serving(lab, WIRES[3], LOOPBACK) as port:
            before = len(os.listdir("/proc/self/fd"))
            for header in (GOOD[0][0], GOOD[7][0]) * 5:
                await announced(lab, WIRES[3], port, header)
            for header in (*BAD[:5], GOOD[0][0] + b"no TLS at all\r\n\r\n"):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(header)
                try:
                    await reader.read()
                except ConnectionError:
                    pass
                writer.close()
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    lab.run(main())


# -- HAProxy ---------------------------------------------------------------------------------------

HAPROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend front
    bind 127.0.0.1:{front}
    default_backend app
backend app
    server app 127.0.0.1:{port} {option} check inter 100ms
"""


@pytest.fixture
def front(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """HAProxy: the port it is at, and the one it connects to."""
    program = require("haproxy")
    ports = free_port(), free_port()
    config = tmp_path / "config"
    config.write_text(HAPROXY.format(front=ports[0], port=ports[1], option=request.param))
    with Running([program, "-db", "-f", config]) as running:
        running.wait_listening(ports[0])
        yield ports


@pytest.mark.slow
@pytest.mark.parametrize(
    "front",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"],
    indirect=True,
)
def test_haproxy(lab: Lab, wire: Wire, front: tuple[int, int]) -> None:
    async def main() -> None:
        context = lab.certs.server() if wire.tls else None
        async with aio.serve(tell, HOST, front[1], ssl=context, proxy_protocol=LOOPBACK):
            found = ("", " ")
            for _ in range(100):  # until its check has found the server
                try:
                    found = await announced(lab, wire, front[0], b"")
                except (OSError, aio.ConnectionLostError, aio.StreamError):
                    await asyncio.sleep(0.1)
                    continue
                break
            assert found[0] == found[1]

    lab.run(main())
