"""Names that stand for several addresses: the first to answer is used, the others leave nothing.

The resolver is made up; the addresses are of the loopback interface. A silent one has a listener
whose backlog is full: the system drops what asks for a connection, as a firewall would.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cno import aio
from cno.aio.client.happy_eyeballs import ATTEMPT_DELAY
from tests.aio.lab import HOST, HTTP1, HTTP2, HTTP2_TLS, Lab, Wire, hello, settle
from tests.peers import free_port

NAME = "cno.test"
SILENT = "127.0.0.2"
REFUSED = "127.0.0.3"


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have the running loop find these addresses, whatever the name."""

    async def found(host: str, port: int, **_: object) -> list[object]:
        await asyncio.sleep(0)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@contextmanager
def silent(port: int, address: str = SILENT) -> Iterator[None]:
    """Something that does not answer."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind((address, port))
        deaf.listen(0)
        with socket.create_connection((address, port)):  # there is room for no other
            yield


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


@pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)
def test_silent_address(lab: Lab, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with lab.serving(wire, hello) as url:
            named = url.replace(HOST, NAME)
            with silent(port_of(url)):
                resolve_to(monkeypatch, SILENT, HOST)
                before = time.monotonic()
                async with await lab.connect(wire, named) as client:
                    assert ATTEMPT_DELAY * 0.9 < time.monotonic() - before < 5
                    assert (await client.request("GET", "/")).code == 200
                    sock = client.transport.get_extra_info("socket")
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
                    assert client.transport.get_extra_info("peername")[0] == HOST

    lab.run(main())


def test_silent_address_of_a_pool_and_a_proxy(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(request: aio.Request) -> None:
        await request.respond(200 if request.method == "GET" else 403)

    async def main() -> None:
        async with lab.serving(HTTP1, refuse) as url:
            named = url.replace(HOST, NAME)
            with silent(port_of(url)):
                resolve_to(monkeypatch, SILENT, HOST)
                async with aio.Pool() as pool, asyncio.timeout(5):
                    assert (await pool.request("GET", named)).code == 200
                async with asyncio.timeout(5):
                    with pytest.raises(aio.ProxyError, match="403"):
                        await aio.connect("http://elsewhere.test/", proxy=named, proxy_tunnel=True)

    lab.run(main())


def test_address_that_refuses_is_not_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url:
            resolve_to(monkeypatch, *[REFUSED] * 20, HOST)
            async with asyncio.timeout(ATTEMPT_DELAY * 10):
                async with await aio.connect(url.replace(HOST, NAME)) as client:
                    assert (await client.request("GET", "/")).code == 200

    lab.run(main())


def test_families_take_turns(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one family leads nowhere, the other one's first address is the second to be tried."""

    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url:
            with silent(port_of(url)), silent(port_of(url), "127.0.0.4"):
                resolve_to(monkeypatch, SILENT, "127.0.0.4", "127.0.0.4", "::1")
                with socket.socket(socket.AF_INET6) as listening:
                    listening.bind(("::1", port_of(url)))
                    listening.listen()
                    before = time.monotonic()
                    client = await aio.connect(url.replace(HOST, NAME))
                    assert time.monotonic() - before < ATTEMPT_DELAY * 1.9
                    assert client.transport.get_extra_info("peername")[0] == "::1"
                    client.transport.abort()
                    await client.wait_closed()

    lab.run(main())


def test_errors_name_every_address(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        port = free_port()
        resolve_to(monkeypatch, HOST, REFUSED)
        with pytest.raises(aio.ConnectError) as refused:
            await aio.connect(f"http://{NAME}:{port}/")
        cause = refused.value.__cause__
        assert isinstance(cause, ConnectionRefusedError)
        assert cause.errno == errno.ECONNREFUSED
        assert f"{HOST}:{port}" in str(refused.value) and f"{REFUSED}:{port}" in str(refused.value)
        resolve_to(monkeypatch, HOST, "255.255.255.255")
        with pytest.raises(OSError, match="Errno") as caught:
            await aio.connect(f"http://{NAME}:{port}/")
        assert f"{HOST}:{port}" in str(caught.value)
        assert f"255.255.255.255:{port}" in str(caught.value)
        resolve_to(monkeypatch)
        with pytest.raises(OSError, match="no addresses"):
            await aio.connect(f"http://{NAME}:{port}/")

    lab.run(main())


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 8, 0.02, ATTEMPT_DELAY + 0.02])
def test_giving_up_leaves_nothing(lab: Lab, after: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled in any turn of the loop: no task, no descriptor, no warning of an open socket."""

    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            with silent(port_of(url)):
                resolve_to(monkeypatch, REFUSED, SILENT, SILENT, HOST)
                before = descriptors()
                connecting = asyncio.ensure_future(
                    aio.connect(url.replace(HOST, NAME), lab.certs.client())
                )
                if isinstance(after, int):
                    await settle(after)
                else:
                    await asyncio.sleep(after)
                assert not connecting.done()
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                await settle()
                assert descriptors() <= before

    lab.run(main())


def test_certificate_that_is_refused_leaves_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with lab.serving(HTTP2_TLS, hello) as url:
            resolve_to(monkeypatch, HOST, SILENT)
            before = descriptors()
            for _ in range(3):
                with pytest.raises(OSError, match="CERTIFICATE"):
                    await aio.connect(url.replace(HOST, NAME))
            await asyncio.sleep(0.02)
            assert descriptors() <= before

    lab.run(main())


def test_localhost(lab: Lab) -> None:
    """By the system's resolver."""

    async def main() -> None:
        async with lab.serving(HTTP1, hello) as url:
            async with await aio.connect(url.replace(HOST, "localhost")) as client:
                assert (await client.request("GET", "/")).code == 200
            response = await aio.request("GET", url.replace(HOST, "localhost"))
            assert await response.payload.read() == b"hello"

    lab.run(main())
