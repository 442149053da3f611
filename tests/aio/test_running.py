"""`cno.run`, the hook for access logs, and the fields that a proxy passes on."""

import asyncio
import os
import signal
import sys
import threading
from typing import Any

import pytest

import cno
from cno import aio
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Wire, hello, place, until

Entry = tuple[str, int, int]


def test_run_until_a_signal() -> None:
    bodies: list[bytes] = []
    threads: list[threading.Thread] = []

    def fetch(url: str) -> None:
        async def main() -> None:
            response = await cno.request("GET", url)
            bodies.append(await response.read())
            os.kill(os.getpid(), signal.SIGTERM)

        asyncio.run(main())

    def started(listener: cno.Listener) -> None:
        threads.append(threading.Thread(target=fetch, args=[place(listener)]))
        threads[0].start()

    cno.run(hello, HOST, 0, on_start=started)
    threads[0].join()
    assert bodies == [b"hello"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_run_makes_the_loop_that_it_is_told_to() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    def made() -> asyncio.AbstractEventLoop:
        loops.append(asyncio.new_event_loop())
        return loops[0]

    def started(listener: cno.Listener) -> None:
        assert asyncio.get_running_loop() is loops[0]
        loops[0].call_soon(os.kill, os.getpid(), signal.SIGINT)

    cno.run(hello, HOST, 0, on_start=started, loop_factory=made)
    assert loops[0].is_closed()


def test_run_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional dependency: asyncio's own loop takes its place."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loops: list[asyncio.AbstractEventLoop] = []

    def started(listener: cno.Listener) -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon(os.kill, os.getpid(), signal.SIGINT)

    cno.run(hello, HOST, 0, on_start=started)
    assert isinstance(loops[0], asyncio.BaseEventLoop)
    assert loops[0].is_closed()


def test_run_raises_what_serve_raises() -> None:
    with pytest.raises(ValueError, match="where to listen"):
        cno.run(hello)
    with pytest.raises(TypeError):
        cno.run(None, HOST, 0)  # type: ignore[arg-type]  # on purpose

    async def inside() -> None:
        cno.run(hello, HOST, 0)

    with pytest.raises(RuntimeError):
        asyncio.run(inside())


class Log:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __call__(self, request: cno.Request, code: int, size: int, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.entries.append((request.path, code, size))


async def handle(request: aio.Request) -> None:
    if request.path == "/late":
        await asyncio.get_running_loop().create_future()
    elif request.path == "/raises":
        raise ValueError("on purpose")
    elif request.path == "/half":
        async with request.start(200) as out:
            await out.write(b"1234")
            raise ValueError("on purpose")
    elif request.path != "/silent":
        await request.respond(201, [], b"hello")


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_an_access_log(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        log = Log()
        async with aio.serve(handle, HOST, 0, on_response=log) as listener:
            url = place(listener)
            for path, code in [("/", 201), ("/raises", 500), ("/silent", 500)]:
                async with await lab.connect(wire, url) as client:
                    assert (await client.request("GET", path)).code == code
            async with await lab.connect(wire, url) as client:
                response = await client.request("GET", "/half")
                with pytest.raises(cno.ConnectionError):
                    await response.read()
            client = await lab.connect(wire, url)
            late = asyncio.ensure_future(client.request("GET", "/late"))
            await until(lambda: listener.connections == 1)
            await asyncio.sleep(0.02)
            client.abort()
            with pytest.raises(cno.ConnectionError):
                await late
        assert log.entries == [
            ("/", 201, 5),
            ("/raises", 500, 0),
            ("/silent", 500, 0),
            ("/half", 200, 4),
            ("/late", 0, 0),
        ]

    lab.run(main(), failures=3)


def test_a_hook_that_fails_harms_no_response(lab: Lab) -> None:
    async def main() -> None:
        def fail(*arguments: Any) -> None:
            raise ValueError("on purpose")

        async with aio.serve(handle, HOST, 0, on_response=fail) as listener:
            assert (await aio.request("GET", place(listener))).code == 201

    lab.run(main(), failures=1)


def test_a_handler_is_checked_with_a_hook_too() -> None:
    with pytest.raises(TypeError):
        aio.serve(lambda request: None, HOST, 0, on_response=Log())  # type: ignore[arg-type, return-value]  # on purpose
    with pytest.raises(TypeError):
        aio.serve(None, HOST, 0, on_response=Log())  # type: ignore[call-overload]  # on purpose


def test_fields_that_a_proxy_passes_on() -> None:
    received = [
        (":scheme", "https"),
        (":authority", "a.test"),
        ("host", "a.test"),
        ("accept", "*/*"),
        ("Connection", "close, X-Hop ,, te"),
        ("connection", "y-hop"),
        ("x-hop", "1"),
        ("Y-HOP", "1"),
        ("keep-alive", "5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAA"),
        ("content-length", "5"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ]
    kept = cno.forwardable(iter(received))
    assert kept == [received[3], received[15], received[16], received[17]]
    assert cno.forwardable([]) == []
