"""Open files as response bodies, which the system may copy to the socket by itself."""

import asyncio
import hashlib
import io
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import cno
from cno.limits import Limits

DATA = os.urandom(3_000_017)
Handler = Callable[[cno.Request], Awaitable[object]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a test on one of the event loops."""
    factory: Any = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def go(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main, 20))

    return go


def get(path: str = "/", method: str = "GET", last: bool = True) -> bytes:
    end = "connection: close\r\n" if last else ""
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\n{end}\r\n".encode()


async def fetch(handler: Handler, request: bytes, slow: bool = False) -> bytes:
    """Send bytes to a server and return all that it sends."""
    async with cno.serve(handler, "127.0.0.1", 0) as listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
        writer.write(request)
        received = bytearray()
        while data := await reader.read(65536):
            received += data
            if slow and len(received) % 7 == 0:
                await asyncio.sleep(0.002)
        writer.close()
    return bytes(received)


def test_a_large_file(path: Path, run: Any) -> None:
    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            with path.open("rb") as file:
                await request.respond(200, [], file)

        for slow in (False, True):
            head, _, body = (await fetch(handle, get(), slow)).partition(b"\r\n\r\n")
            assert f"content-length: {len(DATA)}".encode() in head.lower()
            assert hashlib.sha256(body).digest() == hashlib.sha256(DATA).digest()

    run(main())


def test_from_a_position_and_more_than_once(path: Path, run: Any) -> None:
    async def main() -> None:
        with path.open("rb") as file:
            file.seek(1_000_000)

            async def handle(request: cno.Request) -> None:
                await request.respond(200, [], file)

            request = get(last=False) * 3 + get()
            received = await fetch(handle, request)
        expected = DATA[1_000_000:]
        rest = received
        for _ in range(4):
            _, _, rest = rest.partition(b"\r\n\r\n")
            assert rest.startswith(expected)
            rest = rest[len(expected) :]
        assert rest == b""

    run(main())


def test_pipelined_responses_keep_their_order(path: Path, run: Any) -> None:
    """A response after a file waits for it, and one before it is written first."""

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            if request.path == "/small":
                await request.respond(200, [], b"small" * 5000)
            else:
                if request.path == "/late":
                    await asyncio.sleep(0.02)
                with path.open("rb") as file:
                    await request.respond(200, [], file)

        paths = ("/small", "/file", "/small", "/late", "/file", "/small")
        request = b"".join(get(p, last=i == 5) for i, p in enumerate(paths))
        rest = await fetch(handle, request)
        for name in paths:
            _, _, rest = rest.partition(b"\r\n\r\n")
            expected = b"small" * 5000 if name == "/small" else DATA
            assert rest[: len(expected)] == expected
            rest = rest[len(expected) :]
        assert rest == b""

    run(main())


def test_head_trailers_and_memory(path: Path, run: Any) -> None:
    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            if request.path == "/memory":
                await request.respond(200, [], io.BytesIO(DATA))
                return
            with path.open("rb") as file:
                trailers = [("x-end", "1")] if request.path == "/trailers" else None
                await request.respond(200, [], file, trailers=trailers)

        received = await fetch(handle, get(method="HEAD"))
        assert received.endswith(b"\r\n\r\n")
        assert f"content-length: {len(DATA)}".encode() in received.lower()
        received = await fetch(handle, get("/trailers"))
        assert b"transfer-encoding: chunked" in received.lower()
        assert received.endswith(b"0\r\nx-end: 1\r\n\r\n")
        assert len(received) > len(DATA)
        received = await fetch(handle, get("/memory"))
        assert received.endswith(DATA)

    run(main())


def test_the_file_becomes_shorter(path: Path, run: Any) -> None:
    async def main() -> None:
        raised: list[BaseException] = []

        async def handle(request: cno.Request) -> None:
            with path.open("rb") as file:
                asyncio.get_running_loop().call_soon(os.truncate, path, 500_000)
                try:
                    await request.respond(200, [("content-length", str(len(DATA)))], file)
                except EOFError as error:
                    raised.append(error)
                    raise

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        received = await fetch(handle, get())
        assert len(received) < len(DATA) + 500
        assert len(raised) == 1 or len(received) < 500

    run(main())


def test_a_client_that_reads_nothing(path: Path, run: Any) -> None:
    """It is ended after `write_stall_timeout`, and the file is closed."""

    path.write_bytes(DATA * 8)

    async def main() -> None:
        failed = asyncio.get_running_loop().create_future()

        async def handle(request: cno.Request) -> None:
            with path.open("rb") as file:
                try:
                    await request.respond(200, [], file)
                except BaseException as error:
                    failed.set_result(type(error).__name__)
                    raise

        limits = Limits(write_stall_timeout=0.2)
        async with cno.serve(handle, "127.0.0.1", 0, limits=limits) as listener:
            _, writer = await asyncio.open_connection(
                *listener.sockets[0].getsockname()[:2], limit=1000
            )
            writer.write(get())
            await failed
            assert listener.connections == 0
            writer.transport.abort()

    run(main())


def still_open(path: Path) -> list[str]:
    """Return our descriptors of a file; none if the system does not list them."""
    if sys.platform != "linux":
        return []
    links = Path("/proc/self/fd").iterdir()
    return [link.name for link in links if link.is_symlink() and same(link, path)]


def same(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:
        return False


def test_a_client_that_goes(path: Path, run: Any) -> None:
    path.write_bytes(DATA * 8)

    async def main() -> None:
        ended = asyncio.get_running_loop().create_future()

        async def handle(request: cno.Request) -> None:
            try:
                with path.open("rb") as file:
                    await request.respond(200, [], file)
            finally:
                ended.set_result(None)

        async with cno.serve(handle, "127.0.0.1", 0) as listener:
            reader, writer = await asyncio.open_connection(
                *listener.sockets[0].getsockname()[:2], limit=1000
            )
            writer.write(get())
            await reader.read(1000)
            writer.transport.abort()
            await ended
        await asyncio.sleep(0.02)
        assert not still_open(path)

    run(main())


def test_http2_and_a_slow_handler_beside(path: Path, run: Any) -> None:
    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            with path.open("rb") as file:
                await request.respond(200, [], file)

        async with cno.serve(handle, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            client = await cno.connect(f"h2c://127.0.0.1:{port}/")
            answers = await asyncio.gather(*[client.request("GET", "/", []) for _ in range(3)])
            for answer in answers:
                assert await answer.payload.read() == DATA
            client.close()
            await client.wait_closed()

    run(main())
