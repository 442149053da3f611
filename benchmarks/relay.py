"""Downloads and uploads through a relay that simulates a long line, compared with plain TCP.

    python -m benchmarks.relay [--rate 25e6 125e6] [--delay 0.05] [--size 64e6] [--rounds 3]

Everything is at its defaults: `cno.serve` on one side, `cno.connect` on the other, HTTP/2 in clear
text; a process each for the server, the relay (tests/relay.py) and the clients. Plain TCP uses the
same relay in the same run, and its rate is 100 %. Ten concurrent downloads share the rate; a
request for 100 bytes made meanwhile is timed in round trips. httpx and nghttp download from cno.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import cno
from benchmarks.lab import Missing, peer, program
from tests.relay import HOST, relaying

PIECE = 262_144
STREAMS = 10
SMALL = 100


# -- the server's side ----------------------------------------------------------------------------


async def handle(request: cno.Request) -> None:
    """GET /N: N octets. POST: how many octets came."""
    if request.method == "POST":
        size = 0
        while data := await request.payload.read(PIECE):
            size += len(data)
        await request.respond(200, [], str(size).encode())
    else:
        await request.respond(200, [], bytes(int(request.path[1:])))


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A line `get N` or `put N`; then the octets, or `ok` when all have come."""
    verb, number = (await reader.readline()).split()
    left = int(number)
    piece = bytes(PIECE)
    while left > 0:
        if verb == b"get":
            writer.write(piece[:left])
            left -= PIECE
            await writer.drain()
        else:
            left -= len(await reader.read(PIECE))
    if verb == b"put":
        writer.write(b"ok\n")
    writer.close()


async def serve(kind: str) -> None:
    if kind == "plain":
        server = await asyncio.start_server(plain, HOST, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
    else:
        listener = await cno.serve(handle, HOST, 0)
        print(listener.sockets[0].getsockname()[1], flush=True)
        await listener.serve_forever()


@contextmanager
def serving(kind: str) -> Iterator[int]:
    """Run a server in a separate process. Gives its port."""
    command = [sys.executable, "-m", "benchmarks.relay", "--serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


# -- the clients' side ----------------------------------------------------------------------------


async def plain_download(port: int, size: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, limit=4 * PIECE)
    writer.write(b"get %d\n" % size)
    while size > 0:
        size -= len(await reader.read(PIECE))
    writer.close()


async def plain_upload(port: int, size: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"put %d\n" % size)
    piece = bytes(PIECE)
    while size > 0:
        writer.write(piece[:size])
        size -= PIECE
        await writer.drain()
    assert await reader.readline() == b"ok\n"
    writer.close()


async def connect(port: int) -> cno.Client:
    return await cno.connect(f"http://{HOST}:{port}/", force_http2=True)


async def fetch(client: cno.Client, size: int) -> float:
    """Download; when that was done."""
    response = await client.request("GET", f"/{size}")
    while data := await response.payload.read(PIECE):
        size -= len(data)
    assert size == 0
    return time.monotonic()


async def download(port: int, size: int) -> None:
    async with await connect(port) as client:
        await fetch(client, size)


async def upload(port: int, size: int) -> None:
    async with await connect(port) as client:
        response = await client.request("POST", "/", [], bytes(size))
        assert int(await response.payload.read()) == size


async def httpx_download(port: int, size: int) -> None:
    httpx = peer("httpx")
    peer("h2")
    async with httpx.AsyncClient(http1=False, http2=True, timeout=None) as client:
        async with client.stream("GET", f"http://{HOST}:{port}/{size}") as response:
            async for data in response.aiter_raw():
                size -= len(data)
    assert size == 0


async def nghttp_download(port: int, size: int) -> None:
    command = [program("nghttp"), "--null-out", f"http://{HOST}:{port}/{size}"]
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


# The server, its name, its task, and the part of the size: nghttp would take minutes.
CASES: list[tuple[str, str, Callable[[int, int], Awaitable[None]], int]] = [
    ("plain", "TCP, down", plain_download, 1),
    ("plain", "TCP, up", plain_upload, 1),
    ("cno", "cno, down", download, 1),
    ("cno", "cno, up", upload, 1),
    ("cno", "httpx, down", httpx_download, 1),
    ("cno", "nghttp, down", nghttp_download, 16),
]


async def together(port: int, size: int) -> tuple[float, list[float], list[float]]:
    """Ten downloads at once, and small requests meanwhile: seconds in all, for each, for each."""
    small: list[float] = []
    async with await connect(port) as client:
        begun = time.monotonic()
        large = [asyncio.ensure_future(fetch(client, size // STREAMS)) for _ in range(STREAMS)]
        await asyncio.sleep(0.5)
        while not any(each.done() for each in large):
            asked = time.monotonic()
            small.append(await fetch(client, SMALL) - asked)
        ends = [await each - begun for each in large]
    return max(ends), ends, small


def measure(rate: float, delay: float, size: int, rounds: int) -> None:
    speeds: dict[str, list[float]] = {}
    with serving("plain") as plain_port, serving("cno") as cno_port:
        with relaying(plain_port, delay, rate) as far_plain, relaying(cno_port, delay, rate) as far:
            for _ in range(rounds):
                for kind, name, run, part in CASES:
                    begun = time.monotonic()
                    try:
                        port = far_plain if kind == "plain" else far
                        asyncio.run(_run(run, port, size // part))
                    except Missing:
                        continue
                    seconds = time.monotonic() - begun
                    speeds.setdefault(name, []).append(size // part / seconds / 1e6)
            total, ends, small = asyncio.run(together(far, size))
    print(f"\n{rate / 1e6:.0f} MB/s, {2000 * delay:.0f} ms round trip, {size / 1e6:.0f} MB:")
    for name, each in speeds.items():
        best = statistics.median(speeds["TCP, up" if name.endswith("up") else "TCP, down"])
        mine = statistics.median(each)
        print(f"  {name:14} {mine:7.1f} MB/s  {100 * mine / best:4.0f} % of TCP")
    print(f"  {STREAMS} downloads at once: {size / total / 1e6:.1f} MB/s in all;", end=" ")
    print(f"the first ends after {100 * min(ends) / max(ends):.0f} % of the time of the last")
    if small:
        trips = [each / (2 * delay) for each in small]
        print(f"  {len(small)} small requests meanwhile:", end=" ")
        print(f"median {statistics.median(trips):.2f} round trips, at most {max(trips):.2f}")


async def _run(run: Callable[[int, int], Awaitable[None]], port: int, size: int) -> None:
    await run(port, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=["plain", "cno"], help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, nargs="*", default=[25e6, 125e6])
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--size", type=float, default=64e6)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve))
        return
    print(f"cno {'compiled' if cno.COMPILED else 'from its sources'}")
    for rate in args.rate:
        measure(rate, args.delay, int(args.size), args.rounds)


if __name__ == "__main__":
    main()
