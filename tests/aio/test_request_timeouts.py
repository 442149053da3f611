"""The arguments `timeout` and `on_informational` of requests."""

import asyncio
import copy
import math
import pickle
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

import cno
from cno import aio
from tests.aio.lab import HOST, HTTP1, HTTP2, Lab, Wire
from tests.rows import each_row

both = pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
#: Seconds: how long tests wait for what does not come.
SHORT = 0.03
TIMEOUTS = [
    (SHORT, "total"),
    (cno.Timeout(total=SHORT), "total"),
    (cno.Timeout(read=SHORT), "read"),
]


async def handle(request: aio.Request) -> None:
    """`/silent`: no response; `/half`: no more than a part; `/hungry`: reads nothing."""
    if request.path == "/half":
        async with request.start(200) as out:
            await out.write(b"half")
            await asyncio.Event().wait()
    elif request.path in ("/silent", "/hungry"):
        await asyncio.Event().wait()
    elif request.path == "/late":
        await asyncio.sleep(4 * SHORT)
        async with request.start(200) as out:
            await asyncio.sleep(4 * SHORT)
            await out.write(b"late")
    elif request.path == "/slow":
        async with request.start(200) as out:
            for _ in range(10):
                await asyncio.sleep(SHORT)
                await out.write(b"more")
    else:
        await request.respond(200, [], await request.payload.read())


def names(error: BaseException, limit: str) -> bool:
    """Whether an error is a TimeoutError that names a limit, in its text too."""
    assert isinstance(error, cno.ConnectionError)
    assert isinstance(error, TimeoutError)
    return error.limit == f"timeout.{limit}" and error.limit in str(error)


@both
@pytest.mark.parametrize(("timeout", "limit"), TIMEOUTS, ids=["seconds", "total", "read"])
@pytest.mark.parametrize("way", ["request", "client", "pool"])
def test_no_response(lab: Lab, wire: Wire, way: str, timeout: Any, limit: str) -> None:
    async def main() -> None:
        force: dict[str, Any] = {"force_http2": wire.http2}
        async with lab.serving(wire, handle) as url, cno.Pool(**force) as pool:
            async with cno.connect(url, **force) as client:
                if way == "request":
                    pending = cno.request("GET", f"{url}/silent", timeout=timeout, **force)
                elif way == "client":
                    pending = client.request("GET", "/silent", timeout=timeout)
                else:
                    pending = pool.request("GET", f"{url}/silent", timeout=timeout)
                # A slow machine may not even connect in time.
                with pytest.raises(cno.ConnectionError) as caught:
                    await pending
            assert names(caught.value, limit)
            assert isinstance(caught.value, cno.StreamTimeoutError | cno.ConnectTimeoutError)
            assert (caught.value.stream > 0) != caught.value.retryable
            async with pool.request("GET", url, timeout=10) as response:
                assert response.code == 200

    lab.run(main())


@both
@pytest.mark.parametrize(
    ("timeout", "limit"),
    [
        (8 * SHORT, "total"),  # the response takes a part of that
        (cno.Timeout(total=8 * SHORT), "total"),
        (cno.Timeout(read=8 * SHORT), "read"),
    ],
    ids=["seconds", "total", "read"],
)
def test_no_more_of_a_body(lab: Lab, wire: Wire, timeout: Any, limit: str) -> None:
    async def main() -> None:
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            await (await pool.request("GET", url)).read()
            async with pool.request("GET", f"{url}/half", timeout=timeout) as response:
                assert await response.payload.readexactly(4) == b"half"
                with pytest.raises(cno.StreamTimeoutError) as caught:
                    await response.payload.read(1)
                assert names(caught.value, limit)

    lab.run(main())


def test_too_late_to_be_sent(lab: Lab) -> None:
    """The time is over when a request has its turn, and before its task runs."""

    async def main() -> None:
        limits = cno.Limits(max_concurrent_streams=1)
        async with lab.pair(HTTP2, handle, limits=limits) as client:
            await client.request("GET", "/")
            first = await client.request("GET", "/half")
            task = asyncio.create_task(client.request("GET", "/half", timeout=SHORT))
            await asyncio.sleep(SHORT / 2)
            asyncio.get_running_loop().call_later(0, first.cancel)
            time.sleep(SHORT)  # both are due now  # noqa: ASYNC251
            with pytest.raises(TimeoutError):
                async with await task as response:
                    await response.read()

    lab.run(main())


@both
def test_progress_is_not_late(lab: Lab, wire: Wire) -> None:
    """`read` counts from the last piece, `total` from the beginning."""

    async def main() -> None:
        timeouts = cno.Timeout(read=8 * SHORT)
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            async with pool.request("GET", f"{url}/slow", timeout=timeouts) as response:
                assert await response.read() == b"more" * 10
            async with pool.request("GET", f"{url}/slow", timeout=SHORT) as response:
                with pytest.raises(TimeoutError):
                    await response.read()

    lab.run(main())


@both
@pytest.mark.parametrize("patience", [10.0, math.inf])
def test_it_takes_the_place_of_the_limits(lab: Lab, wire: Wire, patience: float) -> None:
    """A request may have more time than `Limits` give to all others."""

    async def main() -> None:
        limits = cno.Limits(body_timeout=SHORT, response_timeout=SHORT)
        async with lab.pair(wire, handle, client_limits=limits) as client:
            timeout = cno.Timeout(read=patience)
            async with client.request("GET", "/late", timeout=timeout) as response:
                assert await response.read() == b"late"

    lab.run(main())


@both
def test_nobody_reads(lab: Lab, wire: Wire) -> None:
    """A server is not late while the application itself does not wait."""

    async def main() -> None:
        timeouts = cno.Timeout(read=SHORT)
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            async with pool.request("POST", url, data=b"body", timeout=timeouts) as response:
                await asyncio.sleep(1.5 * SHORT)
                assert await response.read() == b"body"

    lab.run(main())


def test_nothing_is_taken(lab: Lab) -> None:
    async def main() -> None:
        limits = cno.Limits(initial_window_size=1000)
        timeouts = cno.Timeout(write=SHORT)
        async with lab.pair(HTTP2, handle, limits=limits) as client:
            for data in (bytes(5000), iter([bytes(5000)])):
                with pytest.raises(cno.StreamTimeoutError) as caught:
                    await client.request("POST", "/hungry", data=data, timeout=timeouts)
                assert names(caught.value, "write")
            assert (await client.request("POST", "/", data=bytes(5000), timeout=timeouts)).code

    lab.run(main())


@both
def test_no_turn(lab: Lab, wire: Wire) -> None:
    """Requests that cannot be sent: they may be sent again."""

    async def main() -> None:
        force: dict[str, Any] = {"force_http2": wire.http2}
        limits = cno.Limits(max_concurrent_streams=1)
        timeouts: dict[str, Any] = {"pool": cno.Timeout(pool=SHORT), "total": SHORT}
        async with lab.serving(wire, handle, limits=limits) as url:
            async with cno.Pool(max_per_origin=1, **force) as pool, cno.connect(url, **force) as c:
                async with pool.request("GET", f"{url}/half"), c.request("GET", "/half"):
                    for limit, timeout in timeouts.items():
                        with pytest.raises(cno.StreamTimeoutError) as caught:
                            await pool.request("GET", url, timeout=timeout)
                        assert names(caught.value, limit)
                        assert caught.value.retryable
                        with pytest.raises(cno.StreamTimeoutError) as caught:
                            await c.request("GET", "/", timeout=timeout)
                        assert names(caught.value, limit)
                        assert caught.value.retryable
                if wire.http2:
                    assert (await c.request("GET", "/", timeout=10)).code == 200
                assert (await pool.request("GET", url, timeout=10)).code == 200

    lab.run(main())


@pytest.mark.parametrize(
    ("timeout", "limit"), [(SHORT, "total"), (cno.Timeout(connect=SHORT), "connect")]
)
def test_no_connection(lab: Lab, timeout: Any, limit: str) -> None:
    """TLS to a server that says nothing."""

    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, HOST, 0)
        async with server, cno.Pool(lab.certs.client()) as pool:
            url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}/"
            for send in (pool.request, cno.request):
                with pytest.raises(cno.ConnectTimeoutError, match=HOST) as caught:
                    await send("GET", url, timeout=timeout)
                assert names(caught.value, limit)
                assert caught.value.retryable

    lab.run(main())


@both
def test_the_limit_ends_with_the_response(lab: Lab, wire: Wire) -> None:
    """No timer is left: the loop's next one would otherwise be far away."""

    async def main() -> None:
        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            loop: Any = asyncio.get_running_loop()
            for _ in range(3):
                async with pool.request("POST", url, data=b"1", timeout=3_000_000) as response:
                    await response.read()
            timers = getattr(loop, "_scheduled", ())
            late = [
                each for each in timers if not each.cancelled() and each.when() > 1e6 + loop.time()
            ]
            assert not late

    lab.run(main())


@both
def test_a_limit_of_retries(lab: Lab, wire: Wire) -> None:
    """A cancelled request leaves nothing behind, and a body that hangs does not outlive `total`."""

    async def main() -> None:
        left = asyncio.Event()

        async def hangs() -> AsyncIterator[bytes]:
            try:
                yield b"begun"
                await asyncio.Event().wait()
            finally:
                left.set()

        async with lab.serving(wire, handle) as url, cno.Pool(force_http2=wire.http2) as pool:
            with pytest.raises(TimeoutError):
                await pool.request("POST", url, data=hangs(), timeout=SHORT)
            await left.wait()
            task = asyncio.create_task(pool.request("GET", f"{url}/silent", timeout=10))
            await asyncio.sleep(SHORT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    lab.run(main())


@both
@pytest.mark.parametrize("way", ["request", "client", "pool"])
def test_informational(lab: Lab, wire: Wire, way: str) -> None:
    """Interim responses are there before the response is, in the context of the request."""
    here: ContextVar[str] = ContextVar("here")

    async def main() -> None:
        force: dict[str, Any] = {"force_http2": wire.http2}
        told: asyncio.Queue[tuple[int, cno.Headers, str]] = asyncio.Queue()

        async def hints(request: aio.Request) -> None:
            await request.inform(103, [("link", "</style.css>; rel=preload")])
            await go.wait()
            await request.respond(200)

        def hook(code: int, headers: cno.Headers) -> None:
            told.put_nowait((code, headers, here.get("elsewhere")))

        go = asyncio.Event()
        async with lab.serving(wire, hints) as url:
            async with cno.Pool(**force) as pool, cno.connect(url, **force) as client:
                here.set(way)
                if way == "request":
                    pending = cno.request("GET", url, on_informational=hook, **force)
                elif way == "client":
                    pending = client.request("GET", "/", on_informational=hook)
                else:
                    pending = pool.request("GET", url, on_informational=hook)
                task = asyncio.create_task(pending)
                code, headers, where = await told.get()
                assert (code, where) == (103, way)
                assert ("link", "</style.css>; rel=preload") in headers
                assert not task.done()
                go.set()
                response = await task
                assert [code for code, _ in response.informational] == [103]
                response.cancel()

    lab.run(main())


@both
def test_informational_responses_without_a_hook(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def hints(request: aio.Request) -> None:
            await request.inform(103, [("x-hint", "1")])
            await request.respond(200)

        async with lab.pair(wire, hints) as client:
            async with client.request("GET", "/", timeout=30) as response:
                ((code, headers),) = response.informational
                assert (code, response.code) == (103, 200)
                assert ("x-hint", "1") in headers

    lab.run(main())


def test_a_hook_that_fails(lab: Lab) -> None:
    """The event loop's exception handler is told, and the request goes on."""

    async def main() -> None:
        async def hints(request: aio.Request) -> None:
            await request.inform(103)
            await request.respond(200)

        def hook(code: int, headers: cno.Headers) -> None:
            raise ZeroDivisionError

        async with lab.pair(HTTP2, hints) as client:
            assert (await client.request("GET", "/", on_informational=hook)).code == 200

    lab.run(main(), failures=1)


@each_row("wrong", [0, -1, float("nan"), cno.Limits(), "1", True])
def test_what_is_no_timeout(wrong: Any) -> None:
    kind = ValueError if isinstance(wrong, int | float) and wrong is not True else TypeError
    with pytest.raises(kind):
        cno.Pool().request("GET", "http://cno.test/", timeout=wrong)


def test_the_record() -> None:
    timeouts = cno.Timeout(connect=1, read=2.5)
    assert timeouts == copy.copy(timeouts) == pickle.loads(pickle.dumps(timeouts))
    assert timeouts != cno.Timeout()
    assert "read=2.5" in repr(timeouts)
    with pytest.raises(AttributeError):
        timeouts.read = 3  # type: ignore[misc]  # it is frozen
