"""Requests and responses through httpx: bodies, fields, redirects, cookies, auth, hooks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cno import aio
from tests.adapters.kit import Kit
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire, skip, until


async def echo(request: aio.Request) -> None:
    body = await request.payload.read()
    fields = dict(request.headers)
    await request.respond(
        200,
        [("x-method", request.method), ("x-path", request.path), ("x-got", fields.get("x-a", ""))],
        body,
    )


async def counted(count: int, size: int = 1000) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


def test_get(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url, kit.client(lab, wire) as client:
            response = await client.get(url + "/a?b=c", headers={"X-A": "é".encode()})
            assert response.status_code == 200
            assert response.http_version == ("HTTP/2" if wire.http2 else "HTTP/1.1")
            assert response.reason_phrase == "OK"
            assert response.headers["x-path"] == "/a?b=c"
            assert (b"x-got", "é".encode()) in response.headers.raw
            assert response.extensions.get("stream_id") == (1 if wire.http2 else None)
            assert response.elapsed.total_seconds() < 10

    lab.run(main())


@pytest.mark.parametrize("body", [b"", b"x", b"abc" * 400_000], ids=len)
def test_post(kit: Kit, lab: Lab, wire: Wire, body: bytes) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url, kit.client(lab, wire) as client:
            response = await client.post(url, content=body)
            assert response.content == body

    lab.run(main())


def test_upload_in_pieces(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url, kit.client(lab, wire) as client:
            assert len((await client.put(url, content=counted(30))).content) == 30_000
            files = {"file": ("a.bin", b"y" * 5000)}
            response = await client.post(url, files=files, data={"k": "v"})
            assert b"y" * 5000 in response.content and b'name="k"' in response.content

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_both_directions_at_once(kit: Kit, lab: Lab, wire: Wire) -> None:
    """The response is read while the request is being sent."""

    async def handler(request: aio.Request) -> None:
        await request.respond(200, [], request.payload)

    async def main() -> None:
        answered: asyncio.Queue[bytes] = asyncio.Queue()

        async def ping_pong() -> AsyncIterator[bytes]:
            yield b"0"
            for n in range(1, 5):
                assert await answered.get() == str(n - 1).encode()
                yield str(n).encode()

        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            async with client.stream("POST", url, content=ping_pong()) as response:
                got = b""
                async for piece in response.aiter_raw():
                    got += piece
                    answered.put_nowait(piece)
                assert got == b"01234"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_memory_stays_bounded(kit: Kit, lab: Lab, wire: Wire) -> None:
    """Neither direction is collected: the producer waits for the consumer."""
    size = 1 << 16
    produced = 0

    async def endless(limit: int) -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(limit):
            produced += size
            yield bytes(size)

    async def handler(request: aio.Request) -> None:
        await request.respond(200, [], endless(1000))

    async def main() -> None:
        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            async with client.stream("GET", url) as response:
                await asyncio.sleep(0.05)
                assert produced < 64_000_000 * 0.9
                received = 0
                async for piece in response.aiter_raw():
                    received += len(piece)
                assert received == 1000 * size

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_closed_early(kit: Kit, lab: Lab, wire: Wire) -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            ended.set()

    async def handler(request: aio.Request) -> None:
        if request.path == "/":
            await request.respond(200, [], endless())
        else:
            await request.respond(200, [], b"fine")

    async def main() -> None:
        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            async with client.stream("GET", url) as response:
                async for _ in response.aiter_bytes():
                    break
            await asyncio.wait_for(ended.wait(), 5)
            assert (await client.get(url + "/next")).text == "fine"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_body_that_raises(kit: Kit, lab: Lab, wire: Wire) -> None:
    closed = False

    async def broken() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield b"x"
            raise KeyError("mine")
        finally:
            closed = True

    async def main() -> None:
        async with lab.serving(wire, echo) as url, kit.client(lab, wire) as client:
            with pytest.raises(KeyError, match="mine"):
                await client.post(url, content=broken())
            assert closed
            assert (await client.post(url, content=b"again")).content == b"again"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_cancelled(kit: Kit, lab: Lab, wire: Wire) -> None:
    begun = cancelled = 0

    async def handler(request: aio.Request) -> None:
        nonlocal begun, cancelled
        begun += 1
        if request.path != "/":
            await request.respond(200)
            return
        try:
            await asyncio.sleep(30)
        finally:
            cancelled += 1

    async def main() -> None:
        import anyio

        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            task = asyncio.create_task(client.get(url))
            await until(lambda: begun == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with anyio.move_on_after(0.1) as scope:
                await client.get(url)
            assert scope.cancelled_caught
            await until(lambda: cancelled == 2)
            assert (await client.get(url + "/next")).status_code == 200

    lab.run(main())


def test_fields_of_ours(kit: Kit, lab: Lab, wire: Wire) -> None:
    """Interim responses, and trailers in both directions."""
    seen: Any = None

    async def handler(request: aio.Request) -> None:
        nonlocal seen
        await skip(request.payload)
        seen = request.trailers
        await request.inform(103, [("link", "</a>")])

        async def body() -> AsyncIterator[bytes]:
            yield b"a"

        await request.respond(200, [], body(), trailers=[("x-end", "1")])

    async def main() -> None:
        async with lab.serving(wire, handler) as url, kit.client(lab, wire) as client:
            extensions = {"trailers": [(b"X-Sum", b"7")]}
            response = await client.post(url, content=b"body", extensions=extensions)
            assert response.text == "a"
            assert response.extensions["trailers"] == [(b"x-end", b"1")]
            assert response.extensions["informational"] == [(103, [(b"link", b"</a>")])]
            assert seen == [("x-sum", "7")]

    lab.run(main())


def test_target(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.serving(wire, echo) as url, kit.client(lab, wire) as client:
            response = await client.options(url, extensions={"target": b"*"})
            assert response.headers["x-path"] == "*"

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_what_httpx_does_itself(kit: Kit, lab: Lab, wire: Wire) -> None:
    async def handler(request: aio.Request) -> None:
        fields = dict(request.headers)
        if request.path == "/redirect":
            await request.respond(302, [("location", "/cookie"), ("set-cookie", "a=b; Path=/")])
        elif fields.get("authorization") is None:
            await request.respond(401, [("www-authenticate", "Basic")])
        else:
            text = f"{request.path} {fields.get('cookie')} {fields['authorization'][:5]}"
            await request.respond(200, [], text.encode())

    async def main() -> None:
        hooks: list[str] = []

        async def asked(request: Any) -> None:
            hooks.append(request.method)

        async def answered(response: Any) -> None:
            hooks.append(str(response.status_code))

        async with lab.serving(wire, handler) as url:
            transport = kit.transport(lab, wire)
            async with kit.httpx.AsyncClient(
                mounts={"all://": transport},
                auth=("u", "p"),
                follow_redirects=True,
                event_hooks={"request": [asked], "response": [answered]},
                base_url=url,
            ) as client:
                response = await client.get("/redirect")
                assert response.text == "/cookie a=b Basic"
                assert hooks == ["GET", "302", "GET", "200"]

    lab.run(main())


def test_several_loops(kit: Kit, lab: Lab) -> None:
    """One transport for `asyncio.run` again and again, as programs with a global client do it."""
    transport = kit.ours.AsyncTransport()

    async def main() -> None:
        async with lab.serving(HTTP1, echo) as url:
            client = kit.httpx.AsyncClient(transport=transport)
            assert (await client.get(url)).status_code == 200
            await transport.aclose()

    lab.run(main())
    lab.run(main())
