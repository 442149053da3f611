"""Our client against nghttpd: HTTP/2 with all of its options."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cno
from tests.interop.conftest import BIG, LARGE
from tests.interop.test_client_nginx import run
from tests.peers import free_port, require
from tests.processes import Running

Script = Callable[[cno.Client], Coroutine[None, None, None]]


@contextmanager
def nghttpd(root: Path, *options: str) -> Iterator[tuple[str, Running]]:
    port = free_port()
    args = [require("nghttpd"), "--no-tls", "-a", "127.0.0.1", "-d", str(root), *options]
    with Running([*args, str(port)]) as running:
        running.wait_listening(port)
        yield f"h2c://127.0.0.1:{port}/", running


def client(root: Path, script: Script, *options: str) -> None:
    """Run a script on one connection to a server with these options."""

    async def main(url: str) -> None:
        async with asyncio.timeout(60), await cno.connect(url) as client:
            await script(client)

    with nghttpd(root, *options) as (url, _):
        run(main(url))


async def size(response: cno.Response) -> int:
    assert response.code == 200
    total = 0
    while data := await response.payload.read(1_000_000):
        total += len(data)
    return total


def test_there_and_back_again(big: Path, big_sha256: str) -> None:
    """100 MB, echoed while they are being sent."""
    data = big.read_bytes()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 300_000):
            yield data[start : start + 300_000]

    async def script(client: cno.Client) -> None:
        for body in (pieces(), data):
            response = await client.request("POST", "/", [], body)
            assert response.code == 200
            digest = hashlib.sha256()
            while received := await response.payload.read(1_000_000):
                digest.update(received)
            assert digest.hexdigest() == big_sha256

    client(big.parent, script, "--echo-upload")


def test_downloads_side_by_side(big: Path) -> None:
    async def script(client: cno.Client) -> None:
        responses = [await client.request("GET", "/big.bin") for _ in range(4)]
        assert await asyncio.gather(*map(size, responses)) == [BIG] * 4

    client(big.parent, script)


def test_few_streams_at_once(site: Path) -> None:
    """Those beyond the server's limit wait for their turn."""

    async def ask(client: cno.Client, number: int) -> int:
        return await size(await client.request("GET", "/hello.txt"))

    async def script(client: cno.Client) -> None:
        assert await size(await client.request("GET", "/large.bin")) == LARGE
        sizes = await asyncio.gather(*(ask(client, number) for number in range(300)))
        assert sizes == [13] * 300

    client(site, script, "-m", "3")


def test_small_windows_and_padding(site: Path) -> None:
    data = bytes(range(256)) * 4000

    async def script(client: cno.Client) -> None:
        response = await client.request("POST", "/", [], data)
        assert (response.code, await response.payload.read()) == (200, data)

    client(site, script, "--echo-upload", "-w", "8", "-W", "16", "-b", "255")


def test_no_dynamic_table(site: Path) -> None:
    async def script(client: cno.Client) -> None:
        for _ in range(20):
            fields = [("x-same", "value"), ("cookie", "a=1")]
            assert await size(await client.request("GET", "/hello.txt", fields)) == 13

    client(site, script, "-c", "0", "--encoder-header-table-size=0")


def test_trailers(site: Path) -> None:
    async def script(client: cno.Client) -> None:
        response = await client.request("GET", "/large.bin")
        assert response.trailers is None
        assert await size(response) == LARGE
        assert response.trailers == [("x-one", "1"), ("x-two", "2")]

    client(site, script, "--trailer", "x-one: 1", "--trailer", "x-two: 2")


def test_an_answer_before_the_upload_is_complete(big: Path) -> None:
    """The server answers at once, and goes on reading."""
    data = big.read_bytes()

    async def script(client: cno.Client) -> None:
        response = await client.request("POST", "/none", [], data)
        assert response.code == 404
        await response.payload.read()
        assert await size(await client.request("GET", "/big.bin")) == BIG

    client(big.parent, script, "--early-response")


def test_pushes(site: Path) -> None:
    async def script(client: cno.Client) -> None:
        response = await client.request("GET", "/hello.txt")
        got: dict[str, bytes | int] = {}
        async for push in response.pushed:
            assert push.method == "GET"
            answer = await push.response
            got[push.path] = await answer.payload.read() if answer.code == 200 else answer.code
        assert got == {"/style.css": (site / "style.css").read_bytes(), "/none": 404}
        assert await size(response) == 13
        # Those that nobody takes are cancelled, which harms nothing.
        for _ in range(10):
            async with await client.request("GET", "/hello.txt") as response:
                assert await size(response) == 13

    client(site, script, "--push", "/hello.txt=/style.css,/none")


def test_a_server_that_is_killed(big: Path) -> None:
    """In the middle of a download: an error for who reads, and for who asks next."""

    async def main(url: str, running: Running) -> None:
        async with asyncio.timeout(60), await cno.connect(url) as client:
            response = await client.request("GET", "/big.bin")
            await response.payload.readexactly(100_000)
            running.process.kill()
            with pytest.raises(cno.ConnectionLostError) as caught:
                await response.payload.read()
            assert not caught.value.retryable
            with pytest.raises(cno.ConnectionLostError) as caught:
                await client.request("GET", "/big.bin")
            assert caught.value.retryable

    with nghttpd(big.parent) as (url, running):
        run(main(url, running))
