"""Mixed traffic for long, and what grows meanwhile: `python -m tests.stress.soak --minutes 10`.

A server in its own process, and clients of all kinds in this one, at full speed: small requests,
uploads, downloads, pushes, trailers, resets, cancelled requests, tunnels, handlers that fail,
connections that come and go; HTTP/1.1, and HTTP/2 in clear text and over TLS. Memory, tasks,
timers and file descriptors of both are looked at every few seconds. Fails where any of them grows
after the first minute, or where something is left once all is closed.
"""

import argparse
import asyncio
import collections
import contextlib
import gc
import json
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cno
from benchmarks import lab
from benchmarks.servers import Site
from tests.census import MIB, census, is_of_the_loop

HOST: Final = "127.0.0.1"
LARGE: Final = bytes(MIB)
#: How far each figure may be above where it was: a part of that, and so many at least. Memory is in
#: MiB: that of an interpreter under load wanders, and whatever leaks once in 10,000 requests is
#: more than that in ten minutes. The others go up and down with the requests that are open.
TOLERANCE: Final[dict[str, tuple[float, float]]] = {
    "MiB": (0.05, 3.0),
    "tasks": (0.25, 40.0),
    "timers": (0.25, 60.0),
    "files": (0.25, 30.0),
    "objects": (0.15, 5_000.0),
}
#: What may be left at the end: the tasks, files and connections of whoever looks.
LEFT: Final = {"tasks": 4, "files": 16, "connections": 2}


# -- what is looked at -----------------------------------------------------------------------------


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """By how much a second they grow, by least squares."""
    middle, level = statistics.fmean(times), statistics.fmean(values)
    spread = sum((t - middle) ** 2 for t in times)
    if spread == 0:
        return 0.0
    return sum((t - middle) * (v - level) for t, v in zip(times, values, strict=True)) / spread


def judge(name: str, times: Sequence[float], values: Sequence[float]) -> tuple[float, float, bool]:
    """By how much it has grown, what is allowed, and whether it is too much.

    Both the trend, and the last quarter compared with the first one, have to say so: memory goes up
    in steps.
    """
    part, least = TOLERANCE[name]
    quarter = max(len(values) // 4, 1)
    before = statistics.median(values[:quarter])
    allowed = max(part * before, least)
    trend = slope(times, values) * (times[-1] - times[0])
    ends = statistics.median(values[-quarter:]) - before
    grown = max(trend, ends)
    return grown, allowed, grown > allowed


# -- the server ------------------------------------------------------------------------------------


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)
        await asyncio.sleep(0)


class House:
    """The application: each path is another way to answer."""

    def __init__(self) -> None:
        self.listeners: list[cno.Listener] = []
        self.complaints: collections.Counter[str] = collections.Counter()

    async def __call__(self, request: cno.Request) -> None:
        if request.method == "CONNECT" or request.path == "/tunnel":
            await self.tunnel(request)
            return
        ways = {
            "/state": self.state,
            "/large": self.large,
            "/echo": self.echo,
            "/swallow": self.swallow,
            "/push": self.push,
            "/slow": self.slow,
            "/fail": self.fail,
            "/fail-late": self.fail_late,
        }
        await ways.get(request.path, self.small)(request)

    async def small(self, request: cno.Request) -> None:
        await request.respond(200, [("content-type", "text/plain")], b"Hello, World!")

    async def state(self, request: cno.Request) -> None:
        gc.collect()
        found = census()
        found["connections"] = sum(each.connections for each in self.listeners)
        said = {"state": found, "complaints": self.complaints}
        await request.respond(200, [], json.dumps(said).encode())

    async def large(self, request: cno.Request) -> None:
        await request.respond(200, [], LARGE)

    async def echo(self, request: cno.Request) -> None:
        trailers = [("x-sum", "1")]
        await request.inform(103, [("link", "</style.css>")])
        await request.respond(200, [], chunks(request.payload), trailers=trailers)

    async def swallow(self, request: cno.Request) -> None:
        total = 0
        while data := await request.payload.read(65_536):
            total += len(data)
        await request.respond(200, [], str(total).encode())

    async def push(self, request: cno.Request) -> None:
        for number in range(3):
            request.push("GET", f"/pushed/{number}")
        await request.respond(200, [], b"pushed")

    async def slow(self, request: cno.Request) -> None:
        await asyncio.sleep(0.02)
        await request.respond(200, [], pieces(20, 4_096))

    async def fail(self, request: cno.Request) -> None:
        raise RuntimeError("on purpose")

    async def fail_late(self, request: cno.Request) -> None:
        await request.respond(200, [], failing())

    async def tunnel(self, request: cno.Request) -> None:
        async with await request.upgrade() as tunnel:
            while data := await tunnel.read(65_536):
                await tunnel.write(data)

    def complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        message = str(context.get("message"))
        if str(error) != "on purpose" and not is_of_the_loop(context):
            self.complaints[f"{message}: {error!r}"] += 1


async def chunks(payload: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await payload.read(65_536):
        yield data


async def failing() -> AsyncIterator[bytes]:
    yield bytes(10_000)
    await asyncio.sleep(0)
    raise RuntimeError("on purpose")


async def serve(cert: str, key: str) -> None:
    house = House()
    asyncio.get_running_loop().set_exception_handler(house.complain)
    settings: cno.SettingsDict = {"enable_connect_protocol": 1}
    clear = cno.serve(house, HOST, 0, settings=settings)
    secure = cno.serve(house, HOST, 0, certfile=cert, keyfile=key, settings=settings)
    async with clear, secure:
        house.listeners = [clear, secure]
        ports = [each.sockets[0].getsockname()[1] for each in house.listeners]
        print(json.dumps(ports), flush=True)
        await asyncio.get_running_loop().create_future()


# -- the clients -----------------------------------------------------------------------------------


class Wrong(Exception):
    """An answer that is not as it should be."""


def check(what: bool, text: str) -> None:
    if not what:
        raise Wrong(text)


class World:
    """The places that can be asked, and how often that was done."""

    def __init__(self, clear: str, secure: str, context: ssl.SSLContext, seed: int) -> None:
        self.clear = clear
        self.secure = secure
        self.context = context
        self.chance = random.Random(seed)
        self.done: collections.Counter[str] = collections.Counter()
        self.problems: collections.Counter[str] = collections.Counter()
        self.stopping = False
        self.http1 = cno.Pool(max_per_origin=20)
        self.http2 = cno.Pool(force_http2=True)
        self.tls = cno.Pool(context)

    def any_pool(self) -> tuple[cno.Pool, str]:
        ways = [(self.http1, self.clear), (self.http2, self.clear), (self.tls, self.secure)]
        return self.chance.choice(ways)

    async def connect(self) -> cno.Client:
        """A connection of one's own."""
        kind = self.chance.randrange(3)
        if kind == 2:
            return await cno.connect(self.secure, self.context)
        return await cno.connect(self.clear, force_http2=kind == 1)

    async def work(self, name: str, job: Callable[["World"], Awaitable[None]]) -> None:
        """Do this again and again."""
        while not self.stopping:
            try:
                async with asyncio.timeout(30):
                    await job(self)
            except (Exception, TimeoutError) as error:
                self.problems[f"{name}: {error!r}"] += 1
                await asyncio.sleep(0.01)
            else:
                self.done[name] += 1

    async def close(self) -> None:
        for pool in (self.http1, self.http2, self.tls):
            await pool.aclose()


async def small(world: World) -> None:
    pool, url = world.any_pool()
    async with await pool.request("GET", f"{url}/") as response:
        check(await response.payload.read() == b"Hello, World!", "another page")


async def large(world: World) -> None:
    pool, url = world.any_pool()
    async with await pool.request("GET", f"{url}/large") as response:
        check(len(await response.payload.read()) == MIB, "a page cut short")


async def upload(world: World) -> None:
    pool, url = world.any_pool()
    size = world.chance.choice([1, 1_000, 100_000, MIB])
    body = LARGE[:size] if world.chance.random() < 0.5 else pieces(size // 1_000, 1_000)
    headers = [("expect", "100-continue")] if world.chance.random() < 0.2 else []
    async with await pool.request("POST", f"{url}/swallow", headers, body) as response:
        got = int(await response.payload.read())
        check(got in (size, size // 1_000 * 1_000), "an upload cut short")


async def echo(world: World) -> None:
    pool, url = world.any_pool()
    trailers = [("x-sum", "2")]
    body = pieces(10, 1_000)
    async with await pool.request("POST", f"{url}/echo", [], body, trailers=trailers) as response:
        check(len(await response.payload.read()) == 10_000, "an echo cut short")
        check(response.trailers == [("x-sum", "1")], "no trailers")


async def push(world: World) -> None:
    async with await cno.connect(world.clear, force_http2=True) as client:
        for _ in range(20):
            response = await client.request("GET", "/push")
            if world.chance.random() < 0.2:
                response.cancel()
                continue
            async for each in response.pushed:
                if world.chance.random() < 0.2:
                    each.cancel()
                    continue
                answer = await each.response
                check(await answer.payload.read() == b"Hello, World!", "another push")
            await response.payload.read()


async def give_up(world: World) -> None:
    pool, url = world.any_pool()
    # A server of HTTP/1.1 that does not read a large body has to close the connection, and whoever
    # asks on it at that moment never knows: so it is read.
    where, body = world.chance.choice([("/", b""), ("/slow", b""), ("/swallow", LARGE)])
    asking = asyncio.ensure_future(pool.request("POST", url + where, [], body))
    await asyncio.sleep(world.chance.random() * 0.03)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        response = await asking
        async with response:
            pass


async def give_up_late(world: World) -> None:
    pool, url = world.any_pool()
    async with await pool.request("GET", f"{url}/large") as response:
        await response.payload.read(1)


async def tunnel(world: World) -> None:
    async with await world.connect() as client, await client.upgrade("echo", "/tunnel") as stream:
        for _ in range(20):
            await stream.write(LARGE[:10_000])
            await stream.reader.readexactly(10_000)
        if world.chance.random() < 0.5:
            await stream.write_eof()


async def fail(world: World) -> None:
    pool, url = world.any_pool()
    async with await pool.request("GET", f"{url}/fail") as response:
        check(response.code == 500, "no 500")
    try:
        async with await pool.request("GET", f"{url}/fail-late") as response:
            await response.payload.read()
    except (cno.StreamError, cno.ConnectionLostError):
        return
    raise Wrong("no error")


async def come_and_go(world: World) -> None:
    client = await world.connect()
    response = await client.request("GET", world.chance.choice(["/", "/large"]))
    if world.chance.random() < 0.3:
        client.abort()
        await client.wait_closed()
        return
    async with client:
        if client.is_http2:
            await client.ping()
        if world.chance.random() < 0.5:
            await response.payload.read()


JOBS: Final = {
    "small requests": (small, 16),
    "downloads": (large, 2),
    "uploads": (upload, 3),
    "echoes with trailers": (echo, 4),
    "connections with pushes": (push, 1),
    "requests given up": (give_up, 4),
    "responses given up": (give_up_late, 2),
    "tunnels": (tunnel, 1),
    "failing handlers": (fail, 2),
    "connections": (come_and_go, 2),
}


# -- the run ---------------------------------------------------------------------------------------


class Watch:
    """Samples of both processes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.times: list[float] = []
        self.values: dict[tuple[str, str], list[float]] = {}
        self.complaints: dict[str, int] = {}

    async def look(self) -> dict[tuple[str, str], float]:
        """What both are like now."""
        async with await cno.request("GET", self.url + "/state") as response:
            said = json.loads(await response.payload.read())
        self.complaints = said["complaints"]
        gc.collect()
        found = {("server", name): value for name, value in said["state"].items()}
        return found | {("client", name): value for name, value in census().items()}

    async def keep(self, at: float) -> None:
        found = await self.look()
        self.times.append(at)
        for key, value in found.items():
            self.values.setdefault(key, []).append(value)

    def verdicts(self, since: float) -> tuple[list[list[str]], bool]:
        """A table of what was seen after that time, and whether anything grew."""
        first = next((n for n, at in enumerate(self.times) if at >= since), 0)
        times, rows, bad = self.times[first:], [], False
        for (who, name), values in self.values.items():
            if name not in TOLERANCE:
                continue
            some = values[first:]
            grown, allowed, wrong = judge(name, times, some)
            bad = bad or wrong
            ends = [f"{each:.1f}" for each in (some[0], min(some), max(some), some[-1])]
            says = "grows" if wrong else "steady"
            rows.append([f"{who}, {name}", *ends, f"{grown:.1f}", f"{allowed:.1f}", says])
        return rows, bad


async def soak(world: World, seconds: float, every: float) -> Watch:
    watch = Watch(world.clear)
    jobs = [
        asyncio.ensure_future(world.work(name, job))
        for name, (job, count) in JOBS.items()
        for _ in range(count)
    ]
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        await asyncio.sleep(min(every, seconds - at))
        await watch.keep(time.monotonic() - began)
        print(f"{watch.times[-1]:.0f} s, {sum(world.done.values()):,} jobs", file=sys.stderr)
    world.stopping = True
    await asyncio.gather(*jobs)
    await world.close()
    return watch


async def left(watch: Watch) -> list[str]:
    """What is too much once all is closed."""
    found: dict[tuple[str, str], float] = {}
    for _ in range(50):
        await asyncio.sleep(0.1)
        found = await watch.look()
        if all(value <= LEFT.get(name, value) for (_, name), value in found.items()):
            return []
    return [
        f"{who}: {value:.0f} {name} are left"
        for (who, name), value in found.items()
        if value > LEFT.get(name, value)
    ]


async def run(ports: Sequence[int], context: ssl.SSLContext, args: argparse.Namespace) -> int:
    complaints: collections.Counter[str] = collections.Counter()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, said: complaints.update([str(said)]))
    world = World(f"http://{HOST}:{ports[0]}", f"https://{HOST}:{ports[1]}", context, args.seed)
    seconds = args.minutes * 60
    watch = await soak(world, seconds, max(seconds / 120, 0.5))
    rows, bad = watch.verdicts(min(60.0, seconds / 4))
    problems = [f"{count} x {what}" for what, count in world.problems.most_common(20)]
    problems += [f"server, {count} x {what}" for what, count in watch.complaints.items()]
    problems += [f"client, {count} x {what}" for what, count in complaints.most_common(20)]
    problems += await left(watch)
    print("; ".join(f"{name} {value}" for name, value in lab.machine().items()) + "\n")
    jobs = [[name, f"{count:,}", f"{count / seconds:.0f}"] for name, count in world.done.items()]
    print(lab.table(["jobs", "done", "a second"], jobs) + "\n")
    heads = ["after the first minute", "first", "least", "most", "last", "grown", "allowed", ""]
    print(lab.table(heads, rows))
    print("\n".join(["", *problems]))
    return int(bad or bool(problems))


def factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    return lab.peer("uvloop").new_event_loop if uvloop else None


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--uvloop", action="store_true", help="both processes run on it")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = parsed()
    with asyncio.Runner(loop_factory=factory(args.uvloop)) as runner:
        if args.serve:
            runner.run(serve(*args.serve))
            return 0
        with tempfile.TemporaryDirectory() as folder:
            site = Site.make(Path(folder))
            command = [sys.executable, "-m", "tests.stress.soak", "--serve", *site.pair()]
            command += ["--uvloop"] * args.uvloop
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                try:
                    assert server.stdout is not None
                    ports = json.loads(server.stdout.readline())
                    context = ssl.create_default_context()
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE  # who signed it is not what is tested
                    return runner.run(run(ports, context, args))
                finally:
                    server.kill()


if __name__ == "__main__":
    sys.exit(main())
