"""The effect of a flood on other connections: `python -m tests.stress.floods`.

A server in one process; in another an attacker, which sends as much as it can and reconnects when
it is cut off; in a third an honest client, whose latencies are compared with those without an
attacker. Knows the attacks, never how they are parsed. `hostile` and `hostile_h1` measure the cost
of one piece of a flood.
"""

import argparse
import asyncio
import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import lab
from benchmarks.wire import frame
from tests.stress import hostile, hostile_h1
from tests.stress.hostile import GET, POST, SETTINGS, data, head, reset, settings, sid, window

HOST: Final = "127.0.0.1"
#: How much slower the slowest hundredth of honest requests may become.
AT_MOST: Final = 10.0
#: Honest requests per second.
RATE: Final = 200
#: Octets of a flood that are made beforehand; a connection that took them all is begun anew.
MADE: Final = 1 << 21
SENT: Final = 1 << 16
#: Seconds between a flood and the next.
PAUSE: Final = 0.3

ABOUT: Final = (
    "a server on one core; an attacker, who floods it by one or many connections and comes back "
    f"whenever it is cut off, and an honest client, who asks {RATE} times a second by a connection "
    "of its own, on another. Latencies are the honest client's; the ratio is that of the slowest "
    "hundredth with and without the flood."
)

BODY: Final = b"Hello, World!"
BIG: Final = bytes(1 << 20)


def path(method: bytes, where: bytes) -> bytes:
    """A field block; the dynamic table is left alone."""
    return method[:1] + b"\x87\x04" + bytes((len(where),)) + where + b"\x01\x01x"


UNREAD: Final = path(POST, b"/unread")
LARGE: Final = path(GET, b"/big")


@dataclass(frozen=True)
class Flood:
    """One class of attack: `first`, then piece after piece, on so many connections at once.

    `reads`: what the server says is read. `stays`: a connection that has sent all it has waits,
    instead of being begun anew. `pause`: seconds between the octets of a connection, for those who
    are slow; each of them keeps its own time.
    """

    name: str
    first: bytes
    pieces: Callable[[int], bytes]
    reads: bool = True
    stays: bool = False
    pause: float = 0.0
    conns: int = 1
    count: int = 1 << 30

    def made(self) -> bytes:
        """What one connection sends."""
        parts, size, number = [self.first], 0, 0
        while size < MADE and number < self.count:
            parts.append(self.pieces(number))
            size += len(parts[-1])
            number += 1
        return b"".join(parts)


def greeting(*pairs: tuple[int, int]) -> bytes:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    return preface + settings(*pairs) + frame(SETTINGS, hostile.ACK, 0)


def prelude(case: hostile.Case) -> bytes:
    """As in `hostile.started`: 1 is open, 3 was reset, 5 too, 7 is complete."""
    opened = head(1, UNREAD if case.unread else POST)
    return greeting() + opened + head(3) + reset(3) + head(5) + reset(5) + head(7, GET, True)


def http2() -> Iterator[Flood]:
    for case in hostile.CASES:
        if case.client or case.tiny or case.answers:
            continue
        yield Flood(case.name, prelude(case) + case.first, case.piece)
    ping = frame(hostile.PING, 0, 0, bytes(8))
    started = greeting() + head(1, POST)
    yield Flood("A9 PING, answers unread", started, lambda _: ping, reads=False)
    yield Flood("A12 SETTINGS, answers unread", started, lambda _: settings(), reads=False)
    yield Flood(
        "A2 DATA after the end", greeting(), lambda i: head(sid(i), GET, True) + data(sid(i), b".")
    )
    yield Flood("A3 over the limit", greeting(), lambda i: head(sid(i), UNREAD))
    begun = greeting() + frame(hostile.HEADERS, 0, 1, POST)
    yield Flood("A4 CONTINUATION, empty", begun, lambda _: frame(hostile.CONTINUATION, 0, 1))
    yield from stalls()
    wide = greeting() + window(0, 1 << 30)
    yield Flood("A22 honest requests", wide, lambda i: head(sid(i), GET, True))
    yield Flood("A22 honest uploads", greeting() + head(1, POST), lambda _: data(1, bytes(16_384)))


def stalls() -> Iterator[Flood]:
    """Many connections that are left open."""

    def large(number: int) -> bytes:
        return head(sid(number), LARGE, True)

    wide = greeting((4, (1 << 31) - 1)) + window(0, 1 << 30)
    shut = greeting((4, 0))
    half = greeting() + head(1)[:-1]
    yield Flood(
        "A14 large responses, unread", wide, large, reads=False, stays=True, conns=50, count=90
    )
    yield Flood("A19 windows of nothing", shut, large, stays=True, conns=50, count=90)
    yield Flood("A19 half a head", half, lambda _: b"", stays=True, conns=50, count=1)


def http1() -> Iterator[Flood]:
    names = {
        "E17 requests", "E8 chunks of 1 octet", "E8 chunks with extensions", "E19 fields, lenient",
        "E8 trailers", "E19 target, strict", "E18 behind the last request",
        "E16 behind an upgrade",
    }  # fmt: skip
    for case in hostile_h1.CASES:
        if case.name in names:
            names.remove(case.name)
            yield Flood(case.name, case.first, lambda i, piece=case.piece: piece)  # type: ignore[misc]  # mypy sees no default
    assert not names, names
    get = hostile_h1.GET
    yield Flood("E17 requests, answers unread", b"", lambda _: get, reads=False)
    slow = get.removesuffix(b"\r\n") + b"x: "
    large = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n"
    yield Flood("E20 slow heads", slow, lambda _: b"a", pause=0.01, conns=200)
    yield Flood("E20 slow bodies", large, lambda _: b"a", pause=0.01, conns=200)
    yield Flood("E20 slow requests", b"", lambda _: get, pause=0.01, conns=200, count=1)
    yield Flood("E20 connections", b"", lambda _: get[:10], count=1)
    yield Flood("E20 connections, HTTP/2", greeting(), lambda _: b"", count=1)


FLOODS: Final = [*http2(), *http1()]


# -- the attacker ----------------------------------------------------------------------------------


class Line:
    """One connection of the attacker; what it has sent of what there is."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port))
        self.sock.setblocking(False)
        # What the server does not read must not be on its way already.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT)
        self.at = 0
        self.due = 0.0


class Attacker:
    """Sends a flood on its connections until time is up."""

    def __init__(self, flood: Flood, port: int) -> None:
        self.flood = flood
        self.port = port
        self.wire = memoryview(flood.made())
        self.selector = selectors.DefaultSelector()
        self.slow: deque[Line] = deque()  # those with a pause, by when their next octet is due
        self.connects = 0
        self.octets = 0
        begun = time.monotonic()
        spread = min(1.0, flood.pause * len(self.wire))
        for number in range(flood.conns):
            self.connect(begun + spread * number / flood.conns)

    def connect(self, due: float) -> None:
        line = Line(self.port)
        self.connects += 1
        self.watch(line, not self.flood.pause)
        if self.flood.pause:
            line.due = due
            self.slow.append(line)

    def watch(self, line: Line, sends: bool) -> None:
        wanted = selectors.EVENT_READ if self.flood.reads else 0
        wanted |= selectors.EVENT_WRITE if sends else 0
        with contextlib.suppress(KeyError):
            self.selector.unregister(line.sock)
        if wanted:
            self.selector.register(line.sock, wanted, line)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, events in self.selector.select(self.drip()):
                try:
                    self.serve(key.data, events)
                except BlockingIOError:
                    continue
                except OSError:
                    self.selector.unregister(key.fileobj)
                    key.data.sock.close()
                    self.connect(time.monotonic() + self.flood.pause)

    def drip(self) -> float:
        """Send the octets that are due; seconds until the next one is, 0.1 at most."""
        now = time.monotonic()
        while self.slow and self.slow[0].due <= now:
            line = self.slow.popleft()
            with contextlib.suppress(OSError):  # it has been cut off: seen when it is read from
                self.send(line, 1)
                if line.at < len(self.wire):
                    line.due = max(line.due, now - self.flood.pause) + self.flood.pause
                    self.slow.append(line)
        return min(0.1, self.slow[0].due - now) if self.slow else 0.1

    def serve(self, line: Line, events: int) -> None:
        """Send some, read some. OSError where the server has had enough, or we have no more."""
        if events & selectors.EVENT_READ and not line.sock.recv(1 << 18):
            raise ConnectionResetError
        if events & selectors.EVENT_WRITE:
            self.send(line, SENT)

    def send(self, line: Line, most: int) -> None:
        sent = line.sock.send(self.wire[line.at : line.at + most])
        line.at += sent
        self.octets += sent
        if line.at == len(self.wire):
            if not self.flood.stays and not self.flood.reads:
                raise ConnectionResetError
            if not self.flood.stays:
                line.sock.shutdown(socket.SHUT_WR)  # and wait until the server has had it all
            self.watch(line, False)


def attack(name: str, port: int, seconds: float) -> None:
    os.nice(19)
    attacker = Attacker(next(flood for flood in FLOODS if flood.name == name), port)
    attacker.run(seconds)
    print(json.dumps({"connects": attacker.connects, "octets": attacker.octets}))


# -- the honest client -----------------------------------------------------------------------------


class Honest:
    """A client of HTTP/2 that asks, waits for the answer, and asks again at its next moment."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(20)
        self.sock.sendall(greeting() + window(0, 1 << 30))
        self.buffer = b""
        self.stream = 1

    def ask(self) -> float:
        """Seconds that a request takes."""
        began = time.perf_counter()
        self.sock.sendall(head(self.stream, GET, True))
        while not self.answered():
            more = self.sock.recv(65_536)
            if not more:
                raise ConnectionError("an honest client was cut off")
            self.buffer += more
        self.stream += 2
        return time.perf_counter() - began

    def answered(self) -> bool:
        """Whether the end of the answer is among what has come; that is dropped."""
        while len(self.buffer) >= 9:
            end = 9 + int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < end:
                return False
            kind, flags = self.buffer[3], self.buffer[4]
            self.buffer = self.buffer[end:]
            if kind == hostile.DATA and flags & hostile.END_STREAM:
                return True
            if kind in (hostile.RST_STREAM, hostile.GOAWAY):
                raise ConnectionError("an honest client was refused")
        return False


def be_honest(port: int, seconds: float) -> None:
    client = Honest(port)
    for _ in range(20):
        client.ask()
    times = []
    due = time.monotonic()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        times.append(client.ask())
        due = max(due + 1 / RATE, time.monotonic())
    print(json.dumps(times))


# -- the server ------------------------------------------------------------------------------------


async def handle(request: Any) -> None:
    if request.path == "/unread":
        await asyncio.sleep(60)
    if request.method == "POST":
        while await request.payload.read(262_144):
            pass
    await request.respond(200, [], BIG if request.path == "/big" else BODY)


async def serve(port: int) -> None:
    import cno

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with cno.serve(handle, HOST, port) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def run_server(uvloop: bool) -> None:
    factory = lab.peer("uvloop").new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(0))


# -- how it is measured ----------------------------------------------------------------------------


@dataclass
class Found:
    """Of one flood: latencies in milliseconds, what the attacker did, what the server weighs."""

    name: str
    times: list[float]
    connects: float = 0.0  # a second
    octets: float = 0.0  # a second
    resident: int = 0

    def at(self, part: float) -> float:
        found = sorted(self.times)
        return found[min(int(len(found) * part), len(found) - 1)]


class Scene:
    """The server, and the commands that start the others; all of these on a core of their own."""

    def __init__(self, uvloop: bool) -> None:
        self.server_core, self.core = lab.cores()
        self.server = self.start(["--serve", *["--uvloop"] * uvloop], self.server_core)
        assert self.server.stdout is not None
        self.port = self.server.stdout.readline().strip()

    @staticmethod
    def start(args: list[str], core: set[int]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.stress.floods", *args]
        return lab.pinned(command, core, stdout=subprocess.PIPE, text=True)

    def measure(self, flood: Flood | None, seconds: float) -> Found:
        attacker = None
        if flood is not None:
            spent = ["--seconds", str(seconds + 1)]
            attacker = self.start(["--attack", flood.name, "--port", self.port, *spent], self.core)
            time.sleep(0.7)
        times = self.told(["--honest", "--port", self.port, "--seconds", str(seconds)], self.core)
        found = Found("nothing" if flood is None else flood.name, [t * 1e3 for t in times])
        if attacker is not None:
            said = json.loads(attacker.communicate()[0])
            found.connects = said["connects"] / (seconds + 1)
            found.octets = said["octets"] / (seconds + 1)
        found.resident = resident(self.server.pid)
        return found

    def told(self, args: list[str], core: set[int]) -> Any:
        process = self.start(args, core)
        said = process.communicate()[0]
        if process.returncode:
            raise RuntimeError("the honest client failed")
        return json.loads(said)

    def close(self) -> None:
        self.server.kill()
        self.server.wait()


def resident(pid: int) -> int:
    """Octets of memory a process has."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows(found: list[Found], idle: float) -> Iterator[list[str]]:
    for each in found:
        yield [
            each.name,
            *(lab.short(each.at(part)) for part in (0.5, 0.99, 1.0)),
            f"{each.at(0.99) / idle:.1f}",
            lab.short(each.connects),
            lab.short(each.octets / 1e6),
            str(each.resident >> 20),
        ]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flood")
    parser.add_argument("--only", default="", help="floods, by parts of their names: a;b;c")
    parser.add_argument("--uvloop", action="store_true", help="the server runs on it")
    parser.add_argument("--out", type=Path, help="a file to write the report to as well")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--honest", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(args: argparse.Namespace) -> int:
    """Print a table; 1 if any flood makes the honest wait too long."""
    scene = Scene(args.uvloop)
    found: list[Found] = []
    quiet: list[Found] = []
    try:
        for flood in FLOODS:
            if not any(part in flood.name for part in args.only.split(";")):
                continue
            if len(found) % 10 == 0:
                quiet.append(scene.measure(None, args.seconds))
                time.sleep(PAUSE)
            found.append(scene.measure(flood, args.seconds))
            print(f"{flood.name}: {found[-1].at(0.99):.2f} ms", file=sys.stderr)
            time.sleep(PAUSE)
        quiet.append(scene.measure(None, args.seconds))
    finally:
        scene.close()
    idle = Found("nothing", [t for each in quiet for t in each.times], resident=quiet[-1].resident)
    columns = ["ms", "p50", "p99", "most", "p99 ratio", "connects/s", "MB/s", "server MiB"]
    worst = max(found, key=lambda each: each.at(0.99))
    ratio = worst.at(0.99) / idle.at(0.99)
    where = lab.machine() | {"seconds of each": f"{args.seconds:g}"}
    text = [
        "# What an honest client gets of a server under attack",
        f"Made by `python -m tests.stress.floods --seconds {args.seconds:g}`: {ABOUT}",
        "; ".join(f"{name} {value}" for name, value in where.items()) + ".",
        lab.table(columns, rows([idle, *found], idle.at(0.99))),
        f"Worst: {ratio:.1f} ({worst.name}); at most {AT_MOST:.0f}.",
    ]
    report = "\n\n".join(text) + "\n"
    print(report)
    if args.out:
        args.out.write_text(report, "utf-8")
    return int(ratio > AT_MOST)


def main() -> int:
    args = parsed()
    if args.serve:
        run_server(args.uvloop)
    elif args.attack:
        attack(args.attack, args.port, args.seconds)
    elif args.honest:
        be_honest(args.port, args.seconds)
    else:
        return compare(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
