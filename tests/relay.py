"""A TCP relay that simulates a long line: it delays every byte and limits the rate.

    python -m tests.relay PORT [--delay 0.05] [--rate 25000000]

Runs as a separate process. It prints the port that it listens on, and relays each connection to
PORT of the loopback interface. `delay` is seconds in each direction, `rate` bytes per second in
each direction, for all connections together. Queues hold a fraction of a second, as those of a
router do; the rest stays with the sender. Knows no protocol.
"""

import argparse
import asyncio
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import Running

HOST = "127.0.0.1"
#: Octets read at once.
PIECE = 65_536
#: Octets that the system keeps for each end, beside what is under way.
BUFFER = 262_144
#: Seconds that the line may be ahead of its rate: how long the loop may sleep without losing it.
SLACK = 0.005


class Line:
    """One direction: when the octets that are put on it now will have passed."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    def put(self, size: int) -> float:
        """Take octets; the time at which the last of them has left."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - SLACK) + size / self.rate
        return max(self._free_at, now)


async def pump(source: socket.socket, sink: socket.socket, line: Line, delay: float) -> None:
    """Everything from one socket to another, until the end or an error of either."""
    loop = asyncio.get_running_loop()
    on_the_way: deque[tuple[float, bytes]] = deque()
    room = line.rate * delay + BUFFER
    more = asyncio.Event()
    less = asyncio.Event()

    async def deliver() -> None:
        nonlocal room
        while True:
            while not on_the_way:
                more.clear()
                await more.wait()
            due, data = on_the_way.popleft()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                return
            await loop.sock_sendall(sink, data)
            room += len(data)
            less.set()

    async def take() -> None:
        nonlocal room
        data = b"more"
        while data:
            while room <= 0:  # nobody takes it at the other end
                less.clear()
                await less.wait()
            data = await loop.sock_recv(source, PIECE)
            left = line.put(len(data))
            on_the_way.append((left + delay, data))
            room -= len(data)
            more.set()
            wait = left - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)

    async with asyncio.TaskGroup() as both:
        both.create_task(take())
        both.create_task(deliver())
    sink.shutdown(socket.SHUT_WR)


async def relay(near: socket.socket, port: int, lines: tuple[Line, Line], delay: float) -> None:
    """One connection."""
    loop = asyncio.get_running_loop()
    far = quick_socket()
    try:
        await loop.sock_connect(far, (HOST, port))
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(near, far, lines[0], delay))
            both.create_task(pump(far, near, lines[1], delay))
    except* OSError:
        pass  # one end has gone: so does the other
    finally:
        near.close()
        far.close()


def quick_socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    prepare(made)
    return made


def prepare(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)


async def serve(port: int, delay: float, rate: float) -> None:
    """Relay until killed."""
    loop = asyncio.get_running_loop()
    lines = (Line(rate), Line(rate))
    running: set[asyncio.Task[None]] = set()
    with socket.create_server((HOST, 0), backlog=100) as listener:
        listener.setblocking(False)
        prepare(listener)  # what it accepts inherits it
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = await loop.sock_accept(listener)
            near.setblocking(False)
            prepare(near)
            task = loop.create_task(relay(near, port, lines, delay))
            running.add(task)
            task.add_done_callback(running.discard)


@contextmanager
def relaying(port: int, delay: float = 0.05, rate: float = 25e6) -> Iterator[int]:
    """A relay to a port, in a process of its own; gives the port to connect to."""
    numbers = ["--delay", str(delay), "--rate", str(rate)]
    root = Path(__file__).parent.parent
    program = [sys.executable, "-m", "tests.relay", str(port), *numbers]
    with Running(program, cwd=root) as running:
        yield int(running.wait_for(r"^(\d+)$").group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--rate", type=float, default=25e6)
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.delay, args.rate))


if __name__ == "__main__":
    main()
