"""Threads that share one blocking pool, against a server that ends its connections all the time.

    python -m tests.stress.threads --threads 50 --requests 2000 --goaway 1000 --faults 0.1 --seed 7

Each thread sends requests whose bodies come back. The server sends GOAWAY after `--goaway` requests
of a connection. A share of the requests, `--faults`, is given up: cancelled, closed early, or by a
timeout. These must hold nevertheless: each body is exact, no request fails but those that are given
up, none hangs, and in the end no thread, descriptor or connection is left. Exits with 1 and
describes the violations otherwise.
"""

import argparse
import gc
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import cno
from cno import sync
from cno.limits import Limits
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, Certificates, Lab, Wire
from tests.processes import certificate
from tests.sync.kit import serving

WIRES = {str(wire): wire for wire in (HTTP1, HTTP2, HTTP2_TLS)}
#: Bytes of bodies: within one frame, of several, beyond the windows.
SIZES = (0, 10, 10, 10, 1_000, 50_000, 300_000)
#: Seconds that a request may take at most.
PATIENCE = 60.0


class Outcome:
    """What the threads have seen. `violations` says what must not be."""

    def __init__(self) -> None:
        self.done = 0
        self.given_up = 0
        self.violations: list[str] = []


async def echo(request: cno.Request) -> None:
    await request.respond(200, [], await request.payload.read())


class Worker:
    """One thread's requests. The seed and its number determine them."""

    def __init__(self, pool: sync.Pool, url: str, number: int, faults: float, seed: int) -> None:
        self._pool = pool
        self._url = url
        self._number = number
        self._faults = faults
        self._random = random.Random(f"{seed} {number}")

    def run(self, requests: int, outcome: Outcome) -> None:
        for at in range(requests):
            given_up = self._random.random() < self._faults
            try:
                if given_up:
                    self._give_up(at)
                    outcome.given_up += 1
                else:
                    self._request(at)
                    outcome.done += 1
            except Exception as error:
                outcome.violations.append(f"thread {self._number}, request {at}: {error!r}")

    def _body(self, at: int) -> bytes:
        mark = f"{self._number} {at} ".encode()
        size = self._random.choice(SIZES)
        return (mark * (size // len(mark) + 1))[:size]

    def _request(self, at: int) -> None:
        body = self._body(at)
        with self._pool.request("POST", self._url, [], body, timeout=PATIENCE) as response:
            if response.code != 200 or response.read() != body:
                raise AssertionError("the body is wrong")

    def _give_up(self, at: int) -> None:
        """Send a request, and do not read its response to the end."""
        body = self._body(at)
        how = self._random.randrange(3)
        timeout = self._random.random() * 0.02 + 0.0001 if how == 0 else PATIENCE
        try:
            with self._pool.request("POST", self._url, [], body, timeout=timeout) as response:
                if how == 1:
                    response.cancel()
                elif body and not body.startswith(next(response)):
                    raise AssertionError("the beginning of the body is wrong")
        except TimeoutError:
            if how != 0:
                raise


def run(
    lab: Lab, wire: Wire, threads: int, requests: int, goaway: int, faults: float, seed: int
) -> Outcome:
    """Put the load on a server; return the outcome."""
    outcome = Outcome()
    before = descriptors(), threading.active_count()
    limits = Limits(max_requests_per_connection=goaway)
    with serving(lab, wire, echo, limits=limits) as url, sync.Pool(lab.certs.client()) as pool:
        workers = [Worker(pool, url, number, faults, seed) for number in range(threads)]
        started = [
            threading.Thread(target=worker.run, args=(requests, outcome), daemon=True)
            for worker in workers
        ]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(PATIENCE + requests)
        hanging = sum(thread.is_alive() for thread in started)
        if hanging:
            outcome.violations.append(f"{hanging} threads hang")
    gc.collect()
    after = descriptors(), threading.active_count()
    if after[0] > before[0] or after[1] > before[1]:
        outcome.violations.append(f"descriptors and threads: {before} before, {after} after")
    if pool.connections != 0:
        outcome.violations.append(f"{pool.connections} connections are left")
    return outcome


def descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2_000, help="of each thread")
    parser.add_argument("--goaway", type=int, default=1_000, help="requests of a connection")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests given up")
    parser.add_argument("--wire", choices=sorted(WIRES), default=str(HTTP2))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pair = certificate(Path(folder))
        lab = Lab(None, Certificates(str(pair.cert), str(pair.key), str(pair.authority)))
        began = time.monotonic()
        outcome = run(
            lab,
            WIRES[args.wire],
            args.threads,
            args.requests,
            args.goaway,
            args.faults,
            args.seed,
        )
    seconds = time.monotonic() - began
    print(
        f"{outcome.done} responses, {outcome.given_up} given up, {seconds:.1f} s, "
        f"{len(outcome.violations)} violations"
    )
    for violation in outcome.violations[:20]:
        print(violation)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
