"""Files that change while they are sent over a connection, and hostile targets on the wire."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import cno
from cno.cli.files import Files
from cno.limits import Limits

OLD = 784111777
SIZE = 24_000_000
#: A small receive buffer: the server cannot write all of it before the file changes.
LIMIT = 4_096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (folder / "a.txt").write_bytes(b"hello")
    with (folder / "big.bin").open("wb") as file:
        for number in range(SIZE // 1_000_000):
            file.write(bytes([number]) * 1_000_000)
    os.utime(folder / "big.bin", (OLD, OLD))
    return folder


def shrink(path: Path) -> None:
    os.truncate(path, 1_000_000)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 1000)


def vanish(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    (path.parent / "new").write_bytes(b"new")
    (path.parent / "new").replace(path)


CHANGES = {"shrinks": shrink, "grows": grow, "vanishes": vanish, "is replaced": replace}


async def raw(port: int, request: bytes) -> bytes:
    """Send bytes and return all that the server sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    data = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return data


def serving(root: Path, script: Callable[[int], Awaitable[None]]) -> list[dict[str, Any]]:
    """Run a script against a server. Return the reports to the event loop."""
    told: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
        handler = Files(root)
        limits = Limits(write_stall_timeout=5.0)
        async with cno.serve(handler, "127.0.0.1", 0, limits=limits) as listener:
            await script(listener.sockets[0].getsockname()[1])
        handler.close()

    asyncio.run(asyncio.wait_for(main(), 30))
    return told


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("scheme", ["http", "h2c"])
def test_while_it_is_sent(root: Path, scheme: str, name: str) -> None:
    """The client gets the file as it was, or learns that it has not got all of it."""

    async def script(port: int) -> None:
        for _ in range(2):  # the second time, its descriptor is kept
            client = await cno.connect(f"{scheme}://127.0.0.1:{port}/")
            answer = await client.request("GET", "/a.txt", [])
            assert await answer.payload.read() == b"hello"
            client.close()
        client = await cno.connect(f"{scheme}://127.0.0.1:{port}/")
        answer = await client.request("GET", "/big.bin", [])
        assert ("content-length", str(SIZE)) in answer.headers
        got = bytearray(await answer.payload.read(LIMIT))
        CHANGES[name](root / "big.bin")
        broken = False
        try:
            while data := await answer.payload.read(1 << 20):
                got += data
        except ConnectionError:
            broken = True
        assert broken == (name == "shrinks")
        assert len(got) == SIZE or broken
        part = got[: 1_000_000 * (len(got) // 1_000_000)]
        assert all(part[at] == at // 1_000_000 for at in range(0, len(part), 99_991))
        if scheme == "h2c":  # the connection lives on
            answer = await client.request("GET", "/a.txt", [])
            assert await answer.payload.read() == b"hello"
        client.close()
        assert b" 200 " in await raw(port, b"GET /a.txt HTTP/1.0\r\n\r\n")
        after = await raw(port, b"GET /big.bin HTTP/1.0\r\nrange: bytes=0-1\r\n\r\n")
        assert (b" 404 " if name == "vanishes" else b" 206 ") in after

    told = serving(root, script)
    assert [type(each.get("exception")) for each in told] == [EOFError] * (name == "shrinks")


TARGETS = [
    b"/../secret.txt",
    b"/a.txt/../../secret.txt",
    b"/%2e%2e/secret.txt",
    b"/%2E./secret.txt",
    b"/..%2fsecret.txt",
    b"/..%5csecret.txt",
    b"/..\\secret.txt",
    b"/%252e%252e%252fsecret.txt",
    b"/%c0%ae%c0%ae/secret.txt",
    b"/%e0%80%ae%e0%80%ae/secret.txt",
    b"/\xef\xbc\x8e\xef\xbc\x8e/secret.txt",
    b"/..%00/secret.txt",
    b"/..;/secret.txt",
    b"/.../secret.txt",
    b"/~root/secret.txt",
    b"//secret.txt",
    b"///../secret.txt",
    b"http://127.0.0.1/../secret.txt",
    b"http://127.0.0.1/%2e%2e/secret.txt",
    b"file:///etc/passwd",
    b"/proc/self/environ",
    b"/?archive=zip/../../secret.txt",
    b"/a.txt?archive=zip",
    b"/%",
    b"*",
]


def test_targets_that_would_lead_out(root: Path) -> None:
    async def script(port: int) -> None:
        for target in TARGETS:
            for method in (b"GET", b"HEAD", b"PUT"):
                request = b"%s %s HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
                data = await raw(port, request % (method, target))
                assert b"secret" not in data.partition(b"\r\n\r\n")[2].replace(b"secret.txt", b"")
                assert b"root:" not in data
                status = int(data.split(b" ")[1])
                listed = target.startswith((b"/?", b"/a.txt?"))
                assert 400 <= status < 500 or listed, (target, data[:200])

    assert serving(root, script) == []


@pytest.mark.parametrize("many", [200, 3_000])
def test_many_ranges_are_no_more_work_than_the_file(root: Path, many: int) -> None:
    async def script(port: int) -> None:
        for ranges in (",0-" * many, ",-1" * many, ",0-0,2-2" * (many // 2)):
            field = b"range: bytes=" + ranges[1:].encode()
            data = await raw(port, b"GET /a.txt HTTP/1.0\r\n" + field + b"\r\n\r\n")
            head, _, body = data.partition(b"\r\n\r\n")
            assert head.split(b" ")[1] in (b"200", b"206", b"416", b"431")
            assert len(body) < 2_000

    assert serving(root, script) == []
