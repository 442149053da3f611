"""A TCP relay that breaks connections: `python -m tests.stress.relay --seed N PORT...`

Prints a JSON list of the ports it listens on, one for each PORT of the loopback interface that it
leads to. It leaves about half of the connections alone. Each of the others meets one fault, after
so many bytes in one direction: cut (RST), truncated (FIN to both ends), half closed, stalled, dead
for a while and then cut, or slow. Which one is a function of the seed and of the connection's
number. Knows no protocol.
"""

import argparse
import asyncio
import json
import random
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import cast

from tests.stress.server import HOST, loop_factory

#: Bytes that wait in a direction that has stalled, before its sender is no longer read from.
BUFFER = 262_144
FAULTS = ("cut", "truncate", "half", "stall", "hole", "slow")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Fault:
    """What a connection meets: `what`, after `size` bytes to the server or (`down`) from it."""

    def __init__(self, seed: int, number: int, patience: float) -> None:
        chance = random.Random(seed << 32 | number)
        self.what = "" if chance.random() < 0.5 else chance.choice(FAULTS)
        self.down = chance.random() < 0.6
        self.size = int(10 ** chance.uniform(0.0, 6.3))
        if chance.random() < 0.04:
            self.size = 0  # before anything
        self.pause = chance.uniform(0.05, patience)
        self.delay = chance.choice([0.002, 0.005, 0.02])


class End(asyncio.Protocol):
    """One of the two ends of a connection."""

    def __init__(self, down: bool) -> None:
        self.down = down  # what comes from here goes down to the client
        self.transport: asyncio.Transport | None = None
        self.other: End
        self.line: Line
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        if not self.down:
            self.line.begin()
        elif self.line.closed:
            self.transport.abort()
        else:
            self.line.connected()

    def data_received(self, data: bytes) -> None:
        self.line.pass_on(self, data)

    def eof_received(self) -> bool:
        self.ended = True
        self.line.pass_on(self, b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.line.lost(self)

    def pause_writing(self) -> None:
        self.other.hold()

    def resume_writing(self) -> None:
        self.other.release()

    def hold(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        else:
            with suppress(OSError):  # uvloop: the other side has gone
                self.transport.write_eof()


class Line:
    """A connection: two ends, and its fault."""

    def __init__(self, fault: Fault, port: int) -> None:
        self.fault = fault
        self.port = port
        self.near, self.far = End(False), End(True)
        self.near.other, self.far.other = self.far, self.near
        self.near.line = self.far.line = self
        self.closed = False
        self._early: list[bytes] = []  # came before there was another end
        self._left = fault.size  # bytes until the fault happens
        self._waiting: deque[tuple[End, bytes]] = deque()  # the direction has stalled, or is slow
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: set[bool] = set()  # directions
        self._dial: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._dial = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self.far, HOST, self.port)
        except OSError:
            self.close(False)

    def connected(self) -> None:
        if self.fault.what and self._left == 0:
            self._strike()
        for data in self._early:
            self.pass_on(self.near, data)

    def pass_on(self, end: End, data: bytes) -> None:
        """Bytes have come; b"": the end."""
        if self.closed:
            return
        if self.far.transport is None:
            self._early.append(data)
            return
        if self.fault.what and self._left > 0 and end.down == self.fault.down and data:
            first = data[: self._left]
            self._left -= len(first)
            if self._left == 0:
                end.other.write(first)
                self._strike()
                if rest := data[len(first) :]:
                    self.pass_on(end, rest)
                return
        if end.down in self._stalled:
            self._waiting.append((end, data))
            self._waiting_bytes += len(data)
            if self._waiting_bytes > BUFFER:
                end.hold()
            if self.fault.what == "slow" and self._timer is None:
                self._go_on_later()
        else:
            end.other.write(data)
            if not data and end.other.ended:
                self.close(False)

    def _strike(self) -> None:
        """The fault happens."""
        fault, loop = self.fault, asyncio.get_running_loop()
        if fault.what == "cut":
            self.close(True)
        elif fault.what == "truncate":
            self.close(False)
        elif fault.what == "half":
            (self.near if fault.down else self.far).write(b"")
            self._stalled.add(fault.down)  # for ever
            self._timer = loop.call_later(fault.pause, self.close, True)
        elif fault.what == "hole":
            self._stalled |= {True, False}
            self._timer = loop.call_later(fault.pause, self.close, True)
        else:
            self._stalled.add(fault.down)
            if fault.what == "stall":
                self._timer = loop.call_later(fault.pause, self._go_on)

    def _go_on(self) -> None:
        """Pass on what waits: all of it after a stall; where it is slow, one piece at a time."""
        self._timer = None
        slow = self.fault.what == "slow"
        if not slow:
            self._stalled.clear()
        while self._waiting:
            end, data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            end.other.write(data)
            if not data and end.other.ended:
                self.close(False)
                return
            if slow:
                break
        if self._waiting:
            self._go_on_later()
        else:
            (self.far if self.fault.down else self.near).release()

    def _go_on_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.fault.delay, self._go_on)

    def lost(self, end: End) -> None:
        self.close(False)

    def close(self, reset: bool) -> None:
        """End both ends, by RST or, after what is being written, by FIN."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for end in (self.near, self.far):
            if end.transport is None:
                continue
            if reset:
                sock = end.transport.get_extra_info("socket")
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.transport.abort()
            else:
                end.transport.close()


async def serve(seed: int, patience: float, ports: list[int]) -> None:
    """Relay until killed."""
    loop = asyncio.get_running_loop()
    count = 0

    def made(port: int) -> End:
        nonlocal count
        count += 1
        return Line(Fault(seed, count, patience), port).near

    servers = [
        await loop.create_server(lambda port=port: made(port), HOST, 0)  # type: ignore[misc]  # mypy infers no default arguments
        for port in ports
    ]
    print(json.dumps([each.sockets[0].getsockname()[1] for each in servers]), flush=True)
    await loop.create_future()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=2.0, help="seconds of a stall, at most")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(args.loop)) as runner:
        runner.run(serve(args.seed, args.patience, args.ports))


if __name__ == "__main__":
    main()
