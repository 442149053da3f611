"""Two examples: a service, and a reverse proxy."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import cno
from cno.examples.reverse_proxy import ReverseProxy
from cno.examples.service import Service
from cno.testing import answer, connected
from tests.aio.lab import HOST, HTTP1, HTTP2, Handler, Lab, Wire
from tests.processes import Running
from tests.tree import PACKAGE

both = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
WIRES = [(front, back) for front in (HTTP1, HTTP2) for back in (HTTP1, HTTP2)]
between = pytest.mark.parametrize(("front", "back"), WIRES, ids=str)


@pytest.mark.parametrize("name", ["service", "reverse_proxy"])
def test_short(name: str) -> None:
    source = PACKAGE.joinpath("examples", f"{name}.py").read_text("utf-8")
    assert source.count("\n") < 80


# -- the service -----------------------------------------------------------------------------------


@both
def test_notes(tmp_path: Path, wire: Wire) -> None:
    async def main() -> None:
        service = Service(tmp_path)
        assert (await answer(service, "POST", "/notes", data=b'{"a": 1}')).json() == {"number": 1}
        assert (await answer(service, "GET", "/notes?page=1")).json() == [{"a": 1}]
        assert (await answer(service, "GET", "/")).code == 404
        assert (await answer(service, "POST", "/notes", data=b"{")).code == 400
        assert (await answer(service, "POST", "/notes", data=b'"' * 20_000)).code == 413
        assert len(service.notes) == 1

    asyncio.run(main())


@both
def test_uploads(tmp_path: Path, wire: Wire) -> None:
    async def main() -> None:
        async with connected(Service(tmp_path), http2=wire.http2) as client:
            async with client.request("PUT", "/files/a.b", data=bytes(1_000_000)) as response:
                assert (response.code, await response.json()) == (201, {"size": 1_000_000})
            assert tmp_path.joinpath("a.b").stat().st_size == 1_000_000
            for name in ("..", "", ".", "a%2fb", "a/b"):
                async with client.request("PUT", f"/files/{name}", data=b"1") as response:
                    assert response.code == 404
        async with connected(Service(tmp_path, limit=10), http2=wire.http2) as client:
            async with client.request("PUT", "/files/large", data=bytes(100)) as response:
                assert response.code == 413

    asyncio.run(main())


@both
def test_events(tmp_path: Path, wire: Wire) -> None:
    async def main() -> None:
        service = Service(tmp_path)
        async with connected(service, http2=wire.http2) as client:
            async with client.request("GET", "/events") as response:
                assert response.header("content-type") == "text/event-stream"
                for number in range(3):
                    await answer(service, "POST", "/notes", data=b"%d" % number)
                    line = await response.payload.readuntil(b"\n\n")
                    assert line == b"data: %d\n\n" % number
                service.stopping = True
                service.notify()
                assert await response.payload.read() == b""

    asyncio.run(main())


@pytest.mark.slow
def test_the_end_of_the_service(tmp_path: Path) -> None:
    """SIGTERM ends the event streams, and then the process."""

    async def main(url: str, running: Running) -> None:
        async with cno.request("GET", f"{url}/events", timeout=20) as response:
            running.process.send_signal(signal.SIGTERM)
            assert await response.payload.read() == b""

    command = [sys.executable, "-m", "cno.examples.service", HOST, "0", str(tmp_path)]
    with Running(command) as running:
        url = running.wait_for(r"^(http://\S+:\d+)/$")[1]
        asyncio.run(main(url, running))
        assert running.process.wait(20) == 0
        assert running.err == []


# -- the reverse proxy -----------------------------------------------------------------------------


@asynccontextmanager
async def proxied(lab: Lab, front: Wire, back: Wire, handler: Handler) -> AsyncIterator[str]:
    """A proxy before a server; gives the proxy's URL."""
    async with lab.serving(back, handler) as upstream, cno.Pool(force_http2=back.http2) as pool:
        async with lab.serving(front, ReverseProxy(pool, upstream)) as url:
            yield url


async def echo(request: cno.Request) -> None:
    trailers: list[tuple[str, str]] = []

    async def body() -> AsyncIterator[bytes]:
        while data := await request.payload.read(65_536):
            yield data
        trailers.extend(request.trailers or [("x-none", "1")])

    kept = ("x-", "via", "content-length")
    fields = [each for each in request.headers if each[0].startswith(kept)]
    fields = [("x-length" if n == "content-length" else n, v) for n, v in fields]
    fields.append(("x-target", f"{request.method} {request.path}"))
    await request.respond(201, fields, body(), trailers=trailers)


@between
def test_messages_pass(lab: Lab, front: Wire, back: Wire) -> None:
    async def main() -> None:
        async with proxied(lab, front, back, echo) as url:
            async with cno.Pool(force_http2=front.http2) as pool:
                fields = [("connection", "x-hop"), ("x-hop", "1")] if not front.http2 else []
                fields += [("x-own", "1"), ("x-forwarded-for", "forged"), ("te", "trailers")]
                body, sum_ = iter([b"a" * 100_000, b"b"]), [("x-sum", "2")]
                async with pool.request(
                    "POST", f"{url}/a?b=c", fields, body, trailers=sum_
                ) as response:
                    assert response.code == 201
                    assert await response.read() == b"a" * 100_000 + b"b"
                    assert ("x-sum", "2") in (response.trailers or [])
                assert response.header("x-own") == "1"
                assert response.header("x-hop") is None
                assert response.header_values("x-forwarded-for") == [HOST]
                assert response.header("x-target") == "POST /a?b=c"
                versions = ["2 cno" if wire.http2 else "1.1 cno" for wire in (front, back)]
                assert response.header_values("via") == versions
                async with pool.request("GET", f"{url}/nothing") as response:
                    assert await response.read() == b""
                    assert response.header("x-length") is None  # no body was made up
                async with pool.request("HEAD", url) as response:
                    assert (response.code, await response.read()) == (201, b"")

    lab.run(main())


@between
def test_back_pressure(lab: Lab, front: Wire, back: Wire) -> None:
    """A client that does not read stops the server behind the proxy."""

    async def main() -> None:
        written = 0

        async def endless(request: cno.Request) -> None:
            nonlocal written
            async with request.start(200) as out:
                while True:
                    await out.write(bytes(65_536))
                    written += 65_536

        async with proxied(lab, front, back, endless) as url:
            async with cno.request("GET", url, force_http2=front.http2) as response:
                await response.payload.readexactly(1)
                before = -1
                while before != written:  # until it stands still
                    before = written
                    await asyncio.sleep(0.05)
                assert written < 40_000_000

    lab.run(main())


@between
def test_the_client_goes(lab: Lab, front: Wire, back: Wire) -> None:
    """The server's handler is cancelled, while it answers and before."""

    async def main() -> None:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def handle(request: cno.Request) -> None:
            begun.set()
            try:
                if request.path == "/answers":
                    async with request.start(200) as out:
                        while True:
                            await out.write(b"more")
                            await asyncio.sleep(0)
                await asyncio.Event().wait()
            finally:
                gone.set()

        async with proxied(lab, front, back, handle) as url:
            for path in ("/answers", "/waits"):
                begun.clear()
                gone.clear()
                task = asyncio.create_task(read(url + path, front))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await gone.wait()

    async def read(url: str, wire: Wire) -> None:
        async with cno.request("GET", url, force_http2=wire.http2) as response:
            await response.read()

    lab.run(main())


@between
def test_the_server_goes(lab: Lab, front: Wire, back: Wire) -> None:
    """Before the response: 502; in the middle of it: an error for the client."""

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            if request.path == "/half":
                async with request.start(200) as out:
                    await out.write(b"half")
                    await seen.wait()
                    request.conn.abort()
                    await asyncio.Event().wait()
            request.conn.abort()
            await asyncio.Event().wait()

        seen = asyncio.Event()

        async with proxied(lab, front, back, handle) as url:
            async with cno.Pool(force_http2=front.http2) as pool:
                async with pool.request("POST", url, data=b"1") as response:
                    assert response.code == 502
                async with pool.request("GET", f"{url}/half") as response:
                    assert await response.payload.readexactly(4) == b"half"
                    seen.set()
                    with pytest.raises(cno.ConnectionError):
                        await response.read()

    lab.run(main(), failures=1)


@both
def test_there_is_no_server(lab: Lab, wire: Wire, free_port: int) -> None:
    async def main() -> None:
        async with cno.Pool() as pool:
            proxy = ReverseProxy(pool, f"http://{HOST}:{free_port}")
            async with connected(proxy, http2=wire.http2) as client:
                async with client.request("GET", "/") as response:
                    assert response.code == 502
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await client.tunnel("cno.test:80")
                assert caught.value.response.code == 501

    lab.run(main())


def test_the_server_is_late(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cno.examples.reverse_proxy.TIMEOUT", cno.Timeout(read=0.02))

    async def main() -> None:
        async def late(request: cno.Request) -> None:
            await asyncio.Event().wait()

        async with proxied(lab, HTTP2, HTTP2, late) as url:
            async with cno.request("GET", url, force_http2=True) as response:
                assert response.code == 504

    lab.run(main())
