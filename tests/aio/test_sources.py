"""Bodies of every kind that an application may give, in requests and in responses.

Files, readers and iterables. An object that is no body is refused before anything is sent.
"""

import array
import asyncio
import gzip
import io
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cno import aio
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet, until

DATA = b"\0line\n" * 60_000  # 360,000 bytes, and no line end in the first of a binary file's

Make = Callable[[Path], Any]


def file_of(path: Path, data: bytes = DATA) -> io.BufferedReader:
    path.write_bytes(data)
    return path.open("rb")


def pipe_of(data: bytes) -> io.BufferedReader:
    read, write = os.pipe()

    def fill() -> None:
        with os.fdopen(write, "wb") as end:
            try:
                end.write(data)
            except BrokenPipeError:
                pass  # nobody wants the rest

    threading.Thread(target=fill).start()
    return os.fdopen(read, "rb")


def at(file: Any, position: int) -> Any:
    file.seek(position)
    return file


def temporary(data: bytes) -> Any:
    file = tempfile.NamedTemporaryFile()
    file.write(data)  # and not flushed
    return at(file, 0)


def zipped(path: Path) -> gzip.GzipFile:
    path.write_bytes(gzip.compress(DATA))
    return gzip.open(path)


def pieces() -> Iterator[bytes]:
    for start in range(0, len(DATA), 50_000):
        yield DATA[start : start + 50_000]
        yield b""


async def reader() -> asyncio.StreamReader:
    made = asyncio.StreamReader()
    made.feed_data(DATA)
    made.feed_eof()
    return made


class Slow:
    """The least of a file."""

    def __init__(self, data: bytes, seconds: float = 0.0) -> None:
        self._data = data
        self._seconds = seconds
        self.threads: set[int] = set()

    def read(self, size: int) -> bytes:
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        data, self._data = self._data[:size], self._data[size:]
        return data


KINDS: dict[str, tuple[Make, bool]] = {  # how it is made, and whether its size is known
    "file": (lambda path: file_of(path), True),
    "file that is not buffered": (lambda path: open(file_of(path).name, "rb", 0), True),
    "file from its middle on": (lambda path: at(file_of(path, b"x" * 99 + DATA), 99), True),
    "temporary file": (lambda path: temporary(DATA), True),
    "memory": (lambda path: at(io.BytesIO(b"x" + DATA), 1), True),
    "pipe": (lambda path: pipe_of(DATA), False),
    "compressed file": (zipped, False),
    "something with read": (lambda path: Slow(DATA), False),
    "generator": (lambda path: pieces(), False),
    "list": (lambda path: list(pieces()), True),
    "tuple": (lambda path: (bytearray(DATA[:9]), memoryview(DATA)[9:]), True),
    "map": (lambda path: map(bytes, [DATA[:9], DATA[9:]]), False),
}


def length_of(headers: list[tuple[str, str]]) -> str | None:
    return next((value for name, value in headers if name == "content-length"), None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the files that the table opens
def test_kinds(lab: Lab, wire: Wire, kind: str, tmp_path: Path) -> None:
    make, known = KINDS[kind]

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert length_of(request.headers) == (str(len(DATA)) if known else None)
            assert await request.payload.read() == DATA
            with_end = make(tmp_path / "a")
            await request.respond(200, [], with_end)
            assert not getattr(with_end, "closed", False)

        async with lab.pair(wire, handle) as client:
            for _ in range(2):
                body = make(tmp_path / "b")
                response = await client.request("POST", "/", [], body)
                assert await response.payload.read() == DATA
                assert length_of(response.headers) == (str(len(DATA)) if known else None)
                if hasattr(body, "closed"):
                    assert not body.closed
                    body.close()

    lab.run(main())


def test_readers(lab: Lab, wire: Wire) -> None:
    """A payload is sent in pieces, whatever lines it has."""

    async def main() -> None:
        async def echo(request: aio.Request) -> None:
            await request.respond(200, [], request.payload)

        async with lab.pair(wire, echo) as client:
            for data in (DATA, b"\0" * 300_000, b"short", b""):
                response = await client.request("POST", "/", [], data)
                again = (
                    await client.request("POST", "/", [], response.payload)
                    if (wire.http2)
                    else response
                )
                assert await again.payload.read() == data
            response = await client.request("POST", "/", [], await reader())
            assert await response.payload.read() == DATA

    lab.run(main())


def test_anything_that_is_read_by_await(lab: Lab) -> None:
    class Reader:
        def __init__(self) -> None:
            self._left = [b"da", b"ta"]

        async def read(self, size: int) -> bytes:
            assert size > 0
            return self._left.pop(0) if self._left else b""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b"data"
            await request.respond(200, [], Reader())  # type: ignore[arg-type]  # no type says so

        async with lab.pair(HTTP1, handle) as client:
            response = await client.request("POST", "/", [], Reader())  # type: ignore[arg-type]  # the same
            assert await response.payload.read() == b"data"

    lab.run(main())


def wrongs(path: Path) -> list[tuple[Any, type[Exception]]]:
    closed = file_of(path)
    closed.close()
    return [
        ("text", TypeError),
        (7, TypeError),
        ({b"a": b"b"}, TypeError),
        ({}, TypeError),
        (["text"], TypeError),
        ([1, 2], TypeError),
        (path, TypeError),
        (object(), TypeError),
        (io.StringIO("text"), TypeError),
        (path.open("r"), TypeError),
        (tempfile.NamedTemporaryFile("w+"), TypeError),
        (closed, ValueError),
        (path.open("wb"), ValueError),
    ]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the files that the table opens
def test_what_is_no_body(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    """Nothing is sent, and the connection is as it was."""

    async def main() -> None:
        seen = 0

        async def handle(request: aio.Request) -> None:
            nonlocal seen
            seen += 1
            for wrong, error in wrongs(tmp_path / "a"):
                with pytest.raises(error):
                    await request.respond(200, [], wrong)
            await request.respond(200, [], b"fine")

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                for wrong, error in wrongs(tmp_path / "b"):
                    with pytest.raises(error):
                        await client.request("POST", "/", [], wrong)
                response = await client.request("GET", "/")
                assert await response.payload.read() == b"fine"
            if not wire.tls:
                async with aio.Pool(force_http2=wire.http2) as pool:
                    for wrong, error in wrongs(tmp_path / "b"):
                        with pytest.raises(error):
                            await pool.request("POST", url, [], wrong)
                    assert pool.connections == 0
        assert seen == 1

    lab.run(main())


def test_empty_files(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b""
            await request.respond(200, [], io.BytesIO())

        async with lab.pair(wire, handle) as client:
            with file_of(tmp_path / "a", b"") as empty:
                for body in (io.BytesIO(), at(io.BytesIO(b"data"), 9), empty, at(empty, 5)):
                    response = await client.request("POST", "/", [], body)
                    assert await response.payload.read() == b""
                    assert length_of(response.headers) == "0"

    lab.run(main())


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux has such files")
def test_files_whose_size_the_system_does_not_know(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert (await request.payload.read()).startswith(b"Name:")
            with Path("/proc/self/status").open("rb") as file:  # noqa: ASYNC230  # takes no time
                await request.respond(200, [], file)

        async with lab.pair(wire, handle) as client:
            with Path("/proc/self/status").open("rb") as file:  # noqa: ASYNC230  # the same
                response = await client.request("POST", "/", [], file)
                assert (await response.payload.read()).startswith(b"Name:")

    lab.run(main())


def test_head_and_statuses_without_a_body(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        files: list[io.BytesIO] = []

        async def handle(request: aio.Request) -> None:
            files.append(io.BytesIO(b"data"))
            await request.respond(int(request.path[1:]), [], files[-1])

        async with lab.pair(wire, handle) as client:
            for method, path, length in (("HEAD", "/200", "4"), ("GET", "/204", None)):
                response = await client.request(method, path)
                assert await response.payload.read() == b""
                assert length_of(response.headers) == length
            assert [file.tell() for file in files] == [0, 0]

    lab.run(main())


def test_length_that_the_application_says(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.respond(200, [("Content-Length", "4")], io.BytesIO(b"data"))

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert [value for name, value in response.headers if name == "content-length"] == ["4"]

    lab.run(main())


def test_file_with_trailers(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            assert await request.payload.read() == b"data"
            assert request.trailers == [("x", "1")]
            await request.respond(200, [], io.BytesIO(b"data"), trailers=[("y", "2")])

        async with lab.pair(wire, handle) as client:
            body = io.BytesIO(b"data")
            response = await client.request("POST", "/", [], body, trailers=[("x", "1")])
            assert await response.payload.read() == b"data"
            assert response.trailers == [("y", "2")]

    lab.run(main())


def test_files_are_not_read_in_the_event_loop(lab: Lab) -> None:
    async def main() -> None:
        files: list[Slow] = []

        async def handle(request: aio.Request) -> None:
            await request.payload.read()
            files.append(Slow(b"x" * 300_000, 0.05))
            await request.respond(200, [], files[-1])  # type: ignore[arg-type]  # less than a file

        async with lab.pair(HTTP2, handle) as client:
            files.append(Slow(b"x" * 300_000, 0.05))
            asked = asyncio.ensure_future(client.request("POST", "/", [], files[0]))  # type: ignore[arg-type]  # the same
            longest = 0.0
            while not asked.done():
                before = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
            assert len(await (await asked).payload.read()) == 300_000
            assert threading.get_ident() not in files[0].threads | files[1].threads
            assert longest < 0.05

    lab.run(main())


def test_file_that_becomes_shorter(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    """The message is cut off, and whoever gave the file is told."""

    size = 32 << 20  # more than sockets hold

    async def main() -> None:
        told: list[BaseException] = []

        async def handle(request: aio.Request) -> None:
            if request.method == "POST":
                with pytest.raises(aio.StreamError if wire.http2 else Exception):
                    await request.payload.read()
                raise asyncio.CancelledError
            with file_of(tmp_path / "a") as file:
                os.truncate(file.name, size)
                responding = asyncio.ensure_future(request.respond(200, [], file))
                await asyncio.sleep(0)  # the size is known by now
                os.truncate(file.name, 200_000)
                try:
                    await responding
                except EOFError as error:
                    told.append(error)
                    raise

        async with lab.serving(wire, handle) as url:
            async with await lab.connect(wire, url) as client:
                response = await client.request("GET", "/")
                assert length_of(response.headers) == str(size)
                with pytest.raises((aio.StreamError, aio.ConnectionLostError)):
                    await response.payload.read()
            async with await lab.connect(wire, url) as client:
                with file_of(tmp_path / "b") as file:
                    os.truncate(file.name, size)
                    asked = asyncio.ensure_future(client.request("POST", "/", [], file))
                    await asyncio.sleep(0)  # the same
                    os.truncate(file.name, 200_000)
                    with pytest.raises(EOFError, match=r"shorter, by [0-9]+ bytes"):
                        await asked
        assert len(told) == 1

    lab.run(main(), failures=1)


def add_to(name: str) -> None:
    with open(name, "ab") as file:
        file.write(b"more")


def test_file_that_becomes_longer(lab: Lab, wire: Wire, tmp_path: Path) -> None:
    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            with file_of(tmp_path / "a") as file:
                responding = asyncio.ensure_future(request.respond(200, [], file))
                await asyncio.sleep(0)  # the size is known by now
                add_to(file.name)
                await responding

        async with lab.pair(wire, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.read() == DATA

    lab.run(main())


def test_body_of_another_message_that_is_cut_off(lab: Lab, wire: Wire) -> None:
    """A relay whose client goes away resets what it began: nothing waits for the rest."""

    async def main() -> None:
        ends: list[str] = []

        async def behind(request: aio.Request) -> None:
            try:
                await request.payload.read()
                ends.append("whole")
            except (aio.StreamError, aio.ConnectionLostError):
                ends.append("cut off")
                raise
            except asyncio.CancelledError:
                ends.append("cut off")
                raise

        async with lab.serving(wire, behind) as url, await lab.connect(wire, url) as client:
            inbound = asyncio.StreamReader()
            inbound.feed_data(b"some")
            asked = asyncio.ensure_future(client.request("POST", "/", [], inbound))
            await asyncio.sleep(0.02)
            inbound.set_exception(aio.StreamError("reset", stream=1, code=8))
            with pytest.raises(aio.StreamError):
                await asyncio.wait_for(asked, 5)
            await until(lambda: ends, "an end")
        assert ends == ["cut off"]

    lab.run(main())


def test_generators_are_closed(lab: Lab) -> None:
    """Also where the rest of them is not wanted."""

    async def main() -> None:
        ends: list[str] = []

        def endless(name: str) -> Iterator[bytes]:
            try:
                while True:
                    yield b"x" * 10_000
            finally:
                ends.append(name)

        async def handle(request: aio.Request) -> None:
            await request.respond(413, [], endless("response"))

        async with lab.pair(HTTP2, handle) as client:
            async with await client.request("POST", "/", [], endless("request")):
                pass
            await until(lambda: len(ends) == 2, "the ends")
        assert sorted(ends) == ["request", "response"]

    lab.run(main())


# -- once more -------------------------------------------------------------------------------------


async def refuse_once(peer: Peer, got: list[bytes]) -> None:
    """Refuse the first request after a part of its body; take the second."""
    await greet(peer)
    refused = await peer.expect(f.HEADERS)
    await peer.expect(f.DATA)
    peer.send(peer.pen.rst(refused.stream, f.REFUSED_STREAM) + peer.pen.window_update(0, 1 << 20))
    head = await peer.expect(f.HEADERS)
    peer.send(peer.pen.window_update(head.stream, 1 << 20))
    body = b""
    while True:
        frame = await peer.expect(f.DATA, head.stream)
        body += frame.payload
        if frame.flags & f.END_STREAM:
            break
    got.append(body)
    peer.send(peer.pen.headers(head.stream, f.RESPONSE, end_stream=True))
    await peer.rest()


@pytest.mark.parametrize("kind", ["file", "file from its middle on", "memory"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the files that the table opens
def test_files_are_sent_again(lab: Lab, kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        got: list[bytes] = []
        async with by_hand(lambda peer: refuse_once(peer, got)) as url:
            async with aio.Pool(force_http2=True) as pool:
                response = await pool.request("POST", url, [], KINDS[kind][0](tmp_path / "a"))
                assert response.code == 200
        assert got == [DATA]

    lab.run(main())


async def stream() -> AsyncIterator[bytes]:
    yield DATA


@pytest.mark.parametrize("make", [pieces, stream, lambda: pipe_of(DATA), lambda: Slow(DATA)])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the pipe
def test_what_cannot_be_rewound_is_not_sent_again(lab: Lab, make: Callable[[], Any]) -> None:
    async def main() -> None:
        got: list[bytes] = []
        async with by_hand(lambda peer: refuse_once(peer, got)) as url:
            async with aio.Pool(force_http2=True) as pool:
                with pytest.raises(aio.StreamError) as caught:
                    await pool.request("POST", url, [], make())
                assert caught.value.retryable
        assert got == []

    lab.run(main())


def test_file_that_is_still_being_read_is_rewound_after_that(lab: Lab) -> None:
    """A thread cannot be cancelled: what it reads for an attempt that is over is not sent."""

    class Late(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if self.tell() < 300_000:
                time.sleep(0.05)
            return data

    async def main() -> None:
        got: list[bytes] = []
        raw = Late(DATA)
        async with by_hand(lambda peer: refuse_once(peer, got)) as url:
            async with aio.Pool(force_http2=True) as pool:
                body = io.BufferedReader(raw, 1)
                assert (await pool.request("POST", url, [], body)).code == 200
        assert got == [DATA]

    lab.run(main())


def test_a_device_has_no_size(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async def count(request: aio.Request) -> None:
            size = 0
            while piece := await request.payload.read(65_536):
                size += len(piece)
            await request.respond(200, [], b"%d" % size)

        async with lab.pair(wire, count) as client:
            async with client.request("POST", "/", [], nothing) as response:
                assert await response.read() == b"0"
            with pytest.raises(aio.StreamError):
                await client.request("POST", "/", [], zeros, timeout=0.05)

    with Path("/dev/null").open("rb") as nothing, Path("/dev/zero").open("rb") as zeros:
        lab.run(main())


def test_a_file_that_has_no_data_yet(lab: Lab) -> None:
    """One in non-blocking mode: nothing tells when it has some."""

    async def main() -> None:
        async def handle(request: aio.Request) -> None:
            await request.read()
            await request.respond(200)

        read, write = os.pipe()
        os.set_blocking(read, False)
        with os.fdopen(read, "rb", buffering=0) as source, os.fdopen(write, "wb"):
            async with lab.pair(HTTP2, handle) as client:
                with pytest.raises(BlockingIOError, match="non-blocking"):
                    await client.request("POST", "/", [], source)
                async with client.request("POST", "/", [], b"other") as response:
                    assert response.code == 200

    lab.run(main())


def test_any_object_with_bytes_in_it(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        def packed(data: bytes) -> Any:
            return array.array("B", data)

        async def echo(request: aio.Request) -> None:
            await request.respond(200, [], packed(await request.read()))

        async with lab.pair(wire, echo) as client:
            async with client.request("POST", "/", [], packed(b"abc")) as response:
                assert await response.read() == b"abc"
                assert response.header("content-length") == "3"

    lab.run(main())
